/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/coordinator/commit/message.h"

#include <string.h>

#include "core/bytes.h"

#define ID_SIZE    11u
#define FIXED_SIZE (5 + 2 + 2 * ID_SIZE + 24 + 2 + 1 + 2 + 2 + 2 + 4 + 4)
#define SEEN_SIZE  (2 * ID_SIZE + 1)
#define VECTOR_SIZE (8u * REGIONS_MAX)

size_t commit_message_size(const struct commit_message *m)
{
	return FIXED_SIZE + (m->type == COMMIT_PROMISED ? VECTOR_SIZE : 0) + (size_t)m->hold_count * ID_SIZE + (size_t)m->seen_count * SEEN_SIZE + m->key_size + m->value_size +
	       (m->body ? m->body_size : 0);
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

long commit_message_encode(const struct commit_message *m, uint8_t *out, size_t capacity)
{
	size_t size = commit_message_size(m);
	if (size > capacity)
		return ERR_FULL;
	*out++ = m->type;
	*out++ = m->vote;
	*out++ = m->decision;
	*out++ = m->accepted_value;
	*out++ = (uint8_t)(m->is_final | m->coordinates << 1 | m->withdrawn << 2 | m->dead << 3 | m->forgotten << 4 |
	                   m->live << 5 | m->committed << 6 | m->blank << 7);
	out = put_u16(out, (uint16_t)m->reason);
	out = put_id(out, m->id);
	out = put_id(out, m->version);
	out = put_u64(out, m->ballot);
	out = put_u64(out, m->accepted_ballot);
	out = put_u64(out, m->read);
	out = put_u16(out, m->voters);
	*out++ = (uint8_t)m->hold_count;
	for (uint32_t i = 0; i < m->hold_count; i++)
		out = put_id(out, m->holds[i]);
	out = put_u16(out, (uint16_t)m->seen_count);
	for (uint32_t i = 0; i < m->seen_count; i++) {
		out = put_id(out, m->seen[i].stamp);
		out = put_id(out, m->seen[i].version);
		*out++ = m->seen[i].live;
	}
	out = put_u16(out, m->keyspace);
	out = put_u16(out, (uint16_t)m->key_size);
	out = put_bytes(out, m->key, m->key_size);
	out = put_u32(out, m->value_size);
	out = put_bytes(out, m->value, m->value_size);
	out = put_u32(out, m->body ? m->body_size : 0);
	out = put_bytes(out, m->body, m->body ? m->body_size : 0);
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
static bool take_bool(struct cursor *cursor)
{
	uint8_t value = take_u8(cursor);
	cursor->bad |= value > 1;
	return value == 1;
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

static void take_lists(struct cursor *cursor, struct commit_message *m, struct commit_seen *seen)
{
	m->hold_count = take_u8(cursor);
	if (m->hold_count > COMMIT_HOLDS_MAX) {
		cursor->bad = true;
		return;
	}
	for (uint32_t i = 0; i < m->hold_count; i++)
		m->holds[i] = take_id(cursor);
	m->seen_count = take_u16(cursor);
	if (m->seen_count > COMMIT_OPERATIONS_MAX) {
		cursor->bad = true;
		return;
	}
	m->seen = m->seen_count ? seen : NULL;
	for (uint32_t i = 0; i < m->seen_count; i++) {
		seen[i].stamp = take_id(cursor);
		seen[i].version = take_id(cursor);
		seen[i].live = take_bool(cursor);
	}
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
	m->vote = take_u8(&cursor);
	m->decision = take_u8(&cursor);
	m->accepted_value = take_u8(&cursor);
	uint8_t flags = take_u8(&cursor);
	m->is_final = flags & 1;
	m->coordinates = flags >> 1 & 1;
	m->withdrawn = flags >> 2 & 1;
	m->dead = flags >> 3 & 1;
	m->forgotten = flags >> 4 & 1;
	m->live = flags >> 5 & 1;
	m->committed = flags >> 6 & 1;
	m->blank = flags >> 7;
	m->reason = (int16_t)take_u16(&cursor);
	m->id = take_id(&cursor);
	m->version = take_id(&cursor);
	m->ballot = take_u64(&cursor);
	m->accepted_ballot = take_u64(&cursor);
	m->read = take_u64(&cursor);
	m->voters = take_u16(&cursor);
	take_lists(&cursor, m, seen);
	m->keyspace = take_u16(&cursor);
	m->key_size = take_u16(&cursor);
	m->key = m->key_size <= KEY_SIZE_MAX ? take(&cursor, m->key_size) : NULL;
	m->value_size = take_u32(&cursor);
	m->value = m->value_size <= VALUE_SIZE_MAX ? take(&cursor, m->value_size) : NULL;
	m->body_size = take_u32(&cursor);
	m->body = m->body_size && m->body_size <= COMMIT_BODY_MAX ? take(&cursor, m->body_size) : NULL;
	cursor.bad |= !m->body && m->body_size;
	for (uint32_t i = 0; m->type == COMMIT_PROMISED && i < REGIONS_MAX; i++)
		m->assigned.sequence[i] = take_u64(&cursor);
	struct commit_body body;
	if (cursor.bad || cursor.at != cursor.end || !m->type || m->type >= COMMIT_MESSAGE_TYPES ||
	    (m->blank && m->type != COMMIT_PROMISED) || m->vote > COMMIT_ABSTAIN || m->decision > COMMIT_COMMITTED ||
	    m->accepted_value > COMMIT_COMMITTED || m->key_size > KEY_SIZE_MAX || m->value_size > VALUE_SIZE_MAX ||
	    m->id.share || m->reason > 0)
		return ERR_MALFORMED;
	if (m->body && commit_body_open(&body, m->body, m->body_size) < 0)
		return ERR_MALFORMED;
	return is_whole(m) ? 0 : ERR_MALFORMED;
}
