/* SPDX-License-Identifier: Apache-2.0 */
#include "core/commit_entry.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "core/version.h"

#define BODY_VERSION 2u /* the oldest understood, and written: core/version.h */

struct cursor {
	const uint8_t *at, *end;
	bool bad;
};

static const uint8_t *take(struct cursor *cursor, size_t size)
{
	if (cursor->bad || (size_t)(cursor->end - cursor->at) < size) {
		cursor->bad = true;
		return NULL;
	}
	const uint8_t *bytes = cursor->at;
	cursor->at += size;
	return bytes;
}
static uint8_t take_u8(struct cursor *cursor)
{
	const uint8_t *bytes = take(cursor, 1);
	return bytes ? *bytes : 0;
}
static uint16_t take_u16(struct cursor *cursor)
{
	const uint8_t *bytes = take(cursor, 2);
	return bytes ? bytes_get_u16(bytes) : 0;
}
static uint64_t take_u64(struct cursor *cursor)
{
	const uint8_t *bytes = take(cursor, 8);
	return bytes ? bytes_get_u64(bytes) : 0;
}
static uint32_t take_u32(struct cursor *cursor)
{
	const uint8_t *bytes = take(cursor, 4);
	return bytes ? (uint32_t)bytes_get_u16(bytes) | (uint32_t)bytes_get_u16(bytes + 2) << 16 : 0;
}

static void operation_take(struct cursor *cursor, struct commit_operation *o)
{
	*o = (struct commit_operation){.kind = take_u8(cursor), .condition = take_u8(cursor), .keyspace = take_u16(cursor)};
	o->share = take_u16(cursor);
	o->key_size = take_u16(cursor);
	o->key = take(cursor, o->key_size);
	o->value_size = take_u32(cursor);
	o->value = take(cursor, o->value_size);
	if (o->condition == COMMIT_IF_VERSION) {
		o->expected.hlc = take_u64(cursor);
		o->expected.region = take_u8(cursor);
		o->expected.share = take_u16(cursor);
	}
}

static bool operation_is_good(const struct commit_operation *o)
{
	if (o->kind < COMMIT_PUT || o->kind > COMMIT_CHECK || o->condition > COMMIT_IF_VERSION || o->keyspace >= KEYSPACES_MAX)
		return false;
	if (!o->key_size || o->key_size > KEY_SIZE_MAX || o->value_size > VALUE_SIZE_MAX || o->expected.region >= REGIONS_MAX)
		return false;
	if (o->kind != COMMIT_PUT && o->value_size)
		return false;
	return o->kind != COMMIT_CHECK || (o->condition != COMMIT_ALWAYS && !o->share);
}

int commit_body_open(struct commit_body *body, const uint8_t *bytes, size_t size)
{
	*body = (struct commit_body){.bytes = bytes, .size = (uint32_t)size};
	if (size > COMMIT_BODY_MAX)
		return ERR_MALFORMED;
	struct cursor cursor = {bytes, bytes + size, false};
	uint8_t version = take_u8(&cursor), ack = take_u8(&cursor);
	body->ack_all = ack == 1;
	body->born = take_u64(&cursor);
	body->since = take_u64(&cursor);
	body->request_count = take_u16(&cursor);
	/* What is cut off reads as 0, and neither count may be that. */
	if (!version_is_understood(version, BODY_VERSION) || ack > 1 || !body->request_count ||
	    body->request_count > COMMIT_REQUESTS_MAX)
		return ERR_MALFORMED;
	body->requests_at = (uint32_t)(cursor.at - bytes);
	take(&cursor, (size_t)body->request_count * COMMIT_REQUEST_NAME_SIZE);
	body->operation_count = take_u16(&cursor);
	body->operations_at = (uint32_t)(cursor.at - bytes);
	if (!body->operation_count || body->operation_count > COMMIT_OPERATIONS_MAX)
		return ERR_MALFORMED;
	for (uint32_t i = 0; i < body->operation_count; i++) {
		struct commit_operation operation;
		operation_take(&cursor, &operation);
		if (cursor.bad || !operation_is_good(&operation) || operation.share >= body->request_count)
			return ERR_MALFORMED;
	}
	return cursor.at == cursor.end ? 0 : ERR_MALFORMED;
}

void commit_body_request(const struct commit_body *body, uint32_t *at, struct commit_request_name *name)
{
	name->client_id = bytes_get_u64(body->bytes + *at);
	name->number = bytes_get_u64(body->bytes + *at + 8);
	name->after = bytes_get_u64(body->bytes + *at + 16);
	*at += COMMIT_REQUEST_NAME_SIZE;
}

void commit_body_operation(const struct commit_body *body, uint32_t *at, struct commit_operation *operation)
{
	struct cursor cursor = {body->bytes + *at, body->bytes + body->size, false};
	operation_take(&cursor, operation);
	assert(!cursor.bad);
	*at = (uint32_t)(cursor.at - body->bytes);
}

uint64_t commit_body_keyspaces(const struct commit_body *body)
{
	uint64_t keyspaces = 0;
	uint32_t at = body->operations_at;
	for (uint32_t i = 0; i < body->operation_count; i++) {
		struct commit_operation operation;
		commit_body_operation(body, &at, &operation);
		keyspaces |= 1ull << operation.keyspace;
	}
	return keyspaces;
}

size_t commit_operation_size(const struct commit_operation *o)
{
	return 1 + 1 + 2 + 2 + 2 + (size_t)o->key_size + 4 + o->value_size + (o->condition == COMMIT_IF_VERSION ? 11 : 0);
}

uint8_t *commit_operation_put(uint8_t *out, const struct commit_operation *o)
{
	*out++ = o->kind;
	*out++ = o->condition;
	bytes_put_u16(out, o->keyspace);
	bytes_put_u16(out + 2, o->share);
	bytes_put_u16(out + 4, (uint16_t)o->key_size);
	memcpy(out + 6, o->key, o->key_size);
	out += 6 + o->key_size;
	bytes_put_u16(out, (uint16_t)o->value_size);
	bytes_put_u16(out + 2, (uint16_t)(o->value_size >> 16));
	if (o->value_size)
		memcpy(out + 4, o->value, o->value_size);
	out += 4 + o->value_size;
	if (o->condition == COMMIT_IF_VERSION) {
		bytes_put_u64(out, o->expected.hlc);
		out[8] = o->expected.region;
		bytes_put_u16(out + 9, o->expected.share);
		out += 11;
	}
	return out;
}

uint8_t *commit_body_begin(uint8_t *out, bool ack_all, uint64_t born, uint64_t since, uint32_t request_count)
{
	*out++ = BODY_VERSION;
	*out++ = ack_all;
	bytes_put_u64(out, born);
	bytes_put_u64(out + 8, since);
	bytes_put_u16(out + 16, (uint16_t)request_count);
	return out + 18;
}

size_t commit_head_put(uint8_t *out, const struct commit_head *head, bool has_body)
{
	uint8_t *start = out;
	bytes_put_u64(out, head->id.hlc);
	out[8] = head->id.region;
	bytes_put_u64(out + 9, head->ballot);
	out[17] = head->value;
	out[18] = (uint8_t)(head->own_lock | has_body << 1 | (head->voters != 0) << 2);
	bytes_put_u16(out + 19, (uint16_t)head->previous_count);
	out += 21;
	for (uint32_t i = 0; i < head->previous_count; i++, out += 9) {
		bytes_put_u64(out, head->previous[i].hlc);
		out[8] = head->previous[i].region;
	}
	if (head->voters) {
		bytes_put_u16(out, head->voters);
		out += 2;
	}
	return (size_t)(out - start);
}

int commit_entry_open(const uint8_t *bytes, size_t size, struct commit_head *head, struct commit_body *body)
{
	struct cursor cursor = {bytes, bytes + size, false};
	head->id = (struct commit_id){.hlc = take_u64(&cursor)};
	head->id.region = take_u8(&cursor);
	head->ballot = take_u64(&cursor);
	head->value = take_u8(&cursor);
	uint8_t flags = take_u8(&cursor);
	head->own_lock = flags & 1;
	head->previous_count = take_u16(&cursor);
	*body = (struct commit_body){0};
	if (cursor.bad || flags > 7 || head->id.region >= REGIONS_MAX || head->value > COMMIT_COMMITTED ||
	    head->previous_count > COMMIT_OPERATIONS_MAX)
		return ERR_MALFORMED;
	for (uint32_t i = 0; i < head->previous_count; i++) {
		head->previous[i] = (struct commit_id){.hlc = take_u64(&cursor)};
		head->previous[i].region = take_u8(&cursor);
		cursor.bad |= head->previous[i].region >= REGIONS_MAX; /* it goes into a row, which would not be read again */
	}
	head->voters = flags & 4 ? take_u16(&cursor) : 0;
	if (cursor.bad || (flags & 4 && !head->voters))
		return ERR_MALFORMED;
	if (!(flags & 2))
		return cursor.at == cursor.end ? 0 : ERR_MALFORMED;
	int code = commit_body_open(body, cursor.at, (size_t)(cursor.end - cursor.at));
	return code < 0 || (head->previous_count && head->previous_count != body->operation_count) ? ERR_MALFORMED : 0;
}

bool commit_row_apply(struct commit_row *row, struct commit_id id, struct commit_id previous, const struct commit_operation *o)
{
	bool changed = false;
	if (commit_id_compare(id, row->stamp) > 0) {
		row->stamp = id;
		row->previous = previous;
		changed = true;
	}
	if (o->kind != COMMIT_CHECK && commit_id_compare(id, row->version) > 0) {
		row->version = id;
		row->version.share = o->share;
		row->live = o->kind == COMMIT_PUT;
		row->value = o->value;
		row->value_size = o->value_size;
		changed = true;
	}
	return changed;
}

uint8_t *commit_request_name_put(uint8_t *out, const struct commit_request_name *name)
{
	bytes_put_u64(out, name->client_id);
	bytes_put_u64(out + 8, name->number);
	bytes_put_u64(out + 16, name->after);
	return out + COMMIT_REQUEST_NAME_SIZE;
}

/* ---- rows ---- */

static uint8_t *name_put(uint8_t *out, struct commit_id id)
{
	bytes_put_u64(out, id.hlc);
	out[8] = id.region;
	return out + 9;
}

static const uint8_t *name_get(const uint8_t *at, struct commit_id *id)
{
	*id = (struct commit_id){.hlc = bytes_get_u64(at), .region = at[8]};
	return at + 9;
}

void commit_row_encode(const struct commit_row *row, uint8_t *out)
{
	*out++ = COMMIT_ROW_MARK;
	out = name_put(out, row->previous);
	out = name_put(out, row->stamp);
	out = name_put(out, row->version);
	bytes_put_u16(out, row->version.share);
	out[2] = row->live;
	if (row->live && row->value_size)
		memcpy(out + 3, row->value, row->value_size);
}

int commit_row_decode(struct commit_row *row, const uint8_t *bytes, size_t size)
{
	*row = (struct commit_row){0};
	if (size < COMMIT_ROW_OVERHEAD || size - COMMIT_ROW_OVERHEAD > VALUE_SIZE_MAX || bytes[0] != COMMIT_ROW_MARK)
		return ERR_MALFORMED;
	const uint8_t *at = name_get(bytes + 1, &row->previous);
	at = name_get(at, &row->stamp);
	at = name_get(at, &row->version);
	row->version.share = bytes_get_u16(at);
	if (at[2] > 1 || (!at[2] && size != COMMIT_ROW_OVERHEAD) || row->previous.region >= REGIONS_MAX ||
	    row->stamp.region >= REGIONS_MAX || row->version.region >= REGIONS_MAX)
		return ERR_MALFORMED;
	row->live = at[2];
	row->value = row->live ? at + 3 : NULL;
	row->value_size = (uint32_t)(size - COMMIT_ROW_OVERHEAD);
	return 0;
}

/* ---- versions ---- */

#define VERSION_MARK 0xfeu /* no encoded vector begins with it */

void commit_version_encode(struct commit_id version, uint8_t out[static COMMIT_VERSION_SIZE])
{
	out[0] = VERSION_MARK;
	bytes_put_u16(name_put(out + 1, version), version.share);
}

int commit_version_decode(struct commit_id *version, const uint8_t *bytes, size_t size)
{
	if (size != COMMIT_VERSION_SIZE || bytes[0] != VERSION_MARK || bytes[9] >= REGIONS_MAX)
		return ERR_MALFORMED;
	version->share = bytes_get_u16(name_get(bytes + 1, version));
	return 0;
}

void commit_version_format(struct commit_id version, char out[static COMMIT_VERSION_TEXT_MAX])
{
	int size = snprintf(out, COMMIT_VERSION_TEXT_MAX, "%" PRIu64 ".%u@%u", version.hlc >> 16,
	    (unsigned)(version.hlc & 0xffff), version.region);
	if (version.share)
		snprintf(out + size, COMMIT_VERSION_TEXT_MAX - (size_t)size, "/%u", version.share);
}

/* A decimal number up to `most`, without sign or blank. Returns what follows it, or NULL. */
static const char *number_take(const char *text, uint64_t most, uint64_t *value)
{
	*value = 0;
	if (!text || *text < '0' || *text > '9')
		return NULL;
	for (; *text >= '0' && *text <= '9'; text++) {
		*value = *value * 10 + (uint64_t)(*text - '0');
		if (*value > most)
			return NULL;
	}
	return text;
}

static const char *sign_take(const char *text, char sign)
{
	return text && *text == sign ? text + 1 : NULL;
}

int commit_version_parse(struct commit_id *version, const char *text)
{
	uint64_t milliseconds, counter, region, share = 0;
	text = sign_take(number_take(text, UINT64_MAX >> 16, &milliseconds), '.');
	text = sign_take(number_take(text, 0xffff, &counter), '@');
	text = number_take(text, REGIONS_MAX - 1, &region);
	if (text && *text == '/')
		text = number_take(text + 1, 0xffff, &share);
	if (!text || *text)
		return ERR_MALFORMED;
	*version = (struct commit_id){.hlc = milliseconds << 16 | counter, .share = (uint16_t)share, .region = (uint8_t)region};
	return 0;
}
