/* SPDX-License-Identifier: Apache-2.0 */
#include "commit/message.h"

#include <string.h>

#include "base/bytes.h"

#define ID_SIZE     11u
#define FIXED_SIZE  (5u + ID_SIZE)
#define VECTOR_SIZE (8u * REGIONS_MAX)

/* Most messages need few of the fields: a vote is 30 bytes, and was 93 with all of them. */
enum field {
	FIELD_REASON = 1,
	FIELD_VERSION = 2,
	FIELD_BALLOT = 4,
	FIELD_ACCEPTED_BALLOT = 8,
	FIELD_READ = 16,
	FIELD_VOTERS = 32,
	FIELD_HOLDS = 64,
	FIELD_SEEN = 128,
	FIELD_KEY = 256,
	FIELD_VALUE = 512,
	FIELD_BODY = 1024,
};

static bool is_none(struct commit_id id)
{
	return !id.hlc && !id.share && !id.region;
}

static uint32_t fields_of(const struct commit_message *m)
{
	return (m->reason ? FIELD_REASON : 0) | (is_none(m->version) ? 0 : FIELD_VERSION) | (m->ballot ? FIELD_BALLOT : 0) |
	       (m->accepted_ballot ? FIELD_ACCEPTED_BALLOT : 0) | (m->read ? FIELD_READ : 0) | (m->voters ? FIELD_VOTERS : 0) |
	       (m->hold_count ? FIELD_HOLDS : 0) | (m->seen_count ? FIELD_SEEN : 0) |
	       (m->key_size || m->keyspace ? FIELD_KEY : 0) | (m->value_size ? FIELD_VALUE : 0) |
	       (m->body && m->body_size ? FIELD_BODY : 0);
}

static size_t size_of(const struct commit_message *m, uint32_t fields)
{
	size_t size = FIXED_SIZE + (m->type == COMMIT_PROMISED ? VECTOR_SIZE : 0);
	size += (fields & FIELD_REASON ? 2 : 0) + (fields & FIELD_VERSION ? ID_SIZE : 0) + (fields & FIELD_BALLOT ? 8 : 0) +
	        (fields & FIELD_ACCEPTED_BALLOT ? 8 : 0) + (fields & FIELD_READ ? 8 : 0) + (fields & FIELD_VOTERS ? 2 : 0);
	if (fields & FIELD_HOLDS)
		size += 1 + m->hold_count * ID_SIZE;
	if (fields & FIELD_SEEN)
		size += 2;
	for (uint32_t i = 0; i < m->seen_count; i++)
		size += 1 + ID_SIZE + (is_none(m->seen[i].version) ? 0 : ID_SIZE);
	if (fields & FIELD_KEY)
		size += 4 + m->key_size;
	if (fields & FIELD_VALUE)
		size += 4 + m->value_size;
	if (fields & FIELD_BODY)
		size += 4 + m->body_size;
	return size;
}

size_t commit_message_size(const struct commit_message *m)
{
	return size_of(m, fields_of(m));
}

static uint8_t *put_u16(uint8_t *out, uint16_t value)
{
	bytes_put_u16(out, value);
	return out + 2;
}
static uint8_t *put_u32(uint8_t *out, uint32_t value)
{
	return put_u16(put_u16(out, (uint16_t)value), (uint16_t)(value >> 16));
}
static uint8_t *put_u64(uint8_t *out, uint64_t value)
{
	bytes_put_u64(out, value);
	return out + 8;
}
static uint8_t *put_id(uint8_t *out, struct commit_id id)
{
	out = put_u16(put_u64(out, id.hlc), id.share);
	*out = id.region;
	return out + 1;
}
static uint8_t *put_bytes(uint8_t *out, const void *bytes, size_t size)
{
	if (size)
		memcpy(out, bytes, size);
	return out + size;
}

static uint8_t *put_seen(uint8_t *out, const struct commit_message *m)
{
	out = put_u16(out, (uint16_t)m->seen_count);
	for (uint32_t i = 0; i < m->seen_count; i++) {
		bool has_version = !is_none(m->seen[i].version);
		*out++ = (uint8_t)(m->seen[i].live | has_version << 1);
		out = put_id(out, m->seen[i].stamp);
		if (has_version)
			out = put_id(out, m->seen[i].version);
	}
	return out;
}

static uint8_t *put_fields(uint8_t *out, const struct commit_message *m, uint32_t fields)
{
	if (fields & FIELD_REASON)
		out = put_u16(out, (uint16_t)m->reason);
	if (fields & FIELD_VERSION)
		out = put_id(out, m->version);
	if (fields & FIELD_BALLOT)
		out = put_u64(out, m->ballot);
	if (fields & FIELD_ACCEPTED_BALLOT)
		out = put_u64(out, m->accepted_ballot);
	if (fields & FIELD_READ)
		out = put_u64(out, m->read);
	if (fields & FIELD_VOTERS)
		out = put_u16(out, m->voters);
	if (fields & FIELD_HOLDS) {
		*out++ = (uint8_t)m->hold_count;
		for (uint32_t i = 0; i < m->hold_count; i++)
			out = put_id(out, m->holds[i]);
	}
	if (fields & FIELD_SEEN)
		out = put_seen(out, m);
	if (fields & FIELD_KEY)
		out = put_bytes(put_u16(put_u16(out, m->keyspace), (uint16_t)m->key_size), m->key, m->key_size);
	if (fields & FIELD_VALUE)
		out = put_bytes(put_u32(out, m->value_size), m->value, m->value_size);
	if (fields & FIELD_BODY)
		out = put_bytes(put_u32(out, m->body_size), m->body, m->body_size);
	return out;
}

long commit_message_encode(const struct commit_message *m, uint8_t *out, size_t capacity)
{
	uint32_t fields = fields_of(m);
	size_t size = size_of(m, fields);
	if (size > capacity)
		return ERR_FULL;
	*out++ = m->type;
	out = put_u16(out, (uint16_t)fields);
	*out++ = (uint8_t)(m->vote | m->decision << 2 | m->accepted_value << 4);
	*out++ = (uint8_t)(m->is_final | m->coordinates << 1 | m->withdrawn << 2 | m->dead << 3 | m->forgotten << 4 |
	                   m->live << 5 | m->committed << 6 | m->blank << 7);
	out = put_id(out, m->id);
	out = put_fields(out, m, fields);
	for (uint32_t i = 0; m->type == COMMIT_PROMISED && i < REGIONS_MAX; i++)
		out = put_u64(out, m->assigned.sequence[i]);
	return (long)size;
}

struct cursor {
	const uint8_t *at, *end;
	bool bad;
};

static const uint8_t *take(struct cursor *cursor, size_t size)
{
	static const uint8_t zeros[8];
	if (cursor->bad || (size_t)(cursor->end - cursor->at) < size) {
		cursor->bad = true;
		return size <= sizeof zeros ? zeros : NULL;
	}
	cursor->at += size;
	return cursor->at - size;
}
static uint8_t take_u8(struct cursor *cursor)
{
	return *take(cursor, 1);
}
static uint16_t take_u16(struct cursor *cursor)
{
	return bytes_get_u16(take(cursor, 2));
}
static uint32_t take_u32(struct cursor *cursor)
{
	uint32_t low = take_u16(cursor);
	return low | (uint32_t)take_u16(cursor) << 16;
}
static uint64_t take_u64(struct cursor *cursor)
{
	return bytes_get_u64(take(cursor, 8));
}
static struct commit_id take_id(struct cursor *cursor)
{
	struct commit_id id = {.hlc = take_u64(cursor)};
	id.share = take_u16(cursor);
	id.region = take_u8(cursor);
	cursor->bad |= id.region >= REGIONS_MAX;
	return id;
}

static void take_holds(struct cursor *cursor, struct commit_message *m)
{
	m->hold_count = take_u8(cursor);
	if (m->hold_count > COMMIT_HOLDS_MAX) {
		cursor->bad = true;
		return;
	}
	for (uint32_t i = 0; i < m->hold_count; i++)
		m->holds[i] = take_id(cursor);
}

static void take_seen(struct cursor *cursor, struct commit_message *m, struct commit_seen *seen)
{
	m->seen_count = take_u16(cursor);
	if (m->seen_count > COMMIT_OPERATIONS_MAX) {
		cursor->bad = true;
		return;
	}
	m->seen = seen;
	for (uint32_t i = 0; i < m->seen_count; i++) {
		uint8_t flags = take_u8(cursor);
		seen[i] = (struct commit_seen){.live = flags & 1};
		seen[i].stamp = take_id(cursor);
		if (flags & 2)
			seen[i].version = take_id(cursor);
		cursor->bad |= flags > 3 || (flags & 2 && is_none(seen[i].version));
	}
}

static void take_fields(struct cursor *cursor, struct commit_message *m, struct commit_seen *seen, uint32_t fields)
{
	if (fields & FIELD_REASON)
		m->reason = (int16_t)take_u16(cursor);
	if (fields & FIELD_VERSION)
		m->version = take_id(cursor);
	if (fields & FIELD_BALLOT)
		m->ballot = take_u64(cursor);
	if (fields & FIELD_ACCEPTED_BALLOT)
		m->accepted_ballot = take_u64(cursor);
	if (fields & FIELD_READ)
		m->read = take_u64(cursor);
	if (fields & FIELD_VOTERS)
		m->voters = take_u16(cursor);
	if (fields & FIELD_HOLDS)
		take_holds(cursor, m);
	if (fields & FIELD_SEEN)
		take_seen(cursor, m, seen);
	if (fields & FIELD_KEY) {
		m->keyspace = take_u16(cursor);
		m->key_size = take_u16(cursor);
		m->key = m->key_size <= KEY_SIZE_MAX ? take(cursor, m->key_size) : NULL;
	}
	if (fields & FIELD_VALUE) {
		m->value_size = take_u32(cursor);
		m->value = m->value_size <= VALUE_SIZE_MAX ? take(cursor, m->value_size) : NULL;
	}
	if (fields & FIELD_BODY) {
		m->body_size = take_u32(cursor);
		m->body = m->body_size <= COMMIT_BODY_MAX ? take(cursor, m->body_size) : NULL;
	}
	/* One message, one encoding: what is nothing is left out. */
	cursor->bad |= fields_of(m) != fields;
}

/* What a message of this type cannot do without. */
static bool is_whole(const struct commit_message *m)
{
	switch ((enum commit_message_type)m->type) {
	case COMMIT_PREPARE:
	case COMMIT_KNOWN:
		return m->body != NULL;
	case COMMIT_ASK:
		return m->key_size > 0 && m->keyspace < KEYSPACES_MAX;
	default:
		return true;
	}
}

int commit_message_decode(
    struct commit_message *m, struct commit_seen seen[static COMMIT_OPERATIONS_MAX], const uint8_t *bytes, size_t size)
{
	struct cursor cursor = {bytes, bytes + size, false};
	memset(m, 0, sizeof *m);
	m->type = take_u8(&cursor);
	uint32_t fields = take_u16(&cursor);
	uint8_t small = take_u8(&cursor), flags = take_u8(&cursor);
	m->vote = small & 3;
	m->decision = small >> 2 & 3;
	m->accepted_value = small >> 4;
	m->is_final = flags & 1;
	m->coordinates = flags >> 1 & 1;
	m->withdrawn = flags >> 2 & 1;
	m->dead = flags >> 3 & 1;
	m->forgotten = flags >> 4 & 1;
	m->live = flags >> 5 & 1;
	m->committed = flags >> 6 & 1;
	m->blank = flags >> 7;
	m->id = take_id(&cursor);
	take_fields(&cursor, m, seen, fields);
	for (uint32_t i = 0; m->type == COMMIT_PROMISED && i < REGIONS_MAX; i++)
		m->assigned.sequence[i] = take_u64(&cursor);
	struct commit_body body;
	if (cursor.bad || cursor.at != cursor.end || !m->type || m->type >= COMMIT_MESSAGE_TYPES ||
	    (m->blank && m->type != COMMIT_PROMISED) || m->decision > COMMIT_COMMITTED ||
	    m->accepted_value > COMMIT_COMMITTED || m->key_size > KEY_SIZE_MAX || m->value_size > VALUE_SIZE_MAX ||
	    m->id.share || m->reason > 0)
		return ERR_MALFORMED;
	if (m->body && commit_body_open(&body, m->body, m->body_size) < 0)
		return ERR_MALFORMED;
	return is_whole(m) ? 0 : ERR_MALFORMED;
}
