/* SPDX-License-Identifier: Apache-2.0 */
#include "core/record.h"

#include <assert.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/varint.h"
#include "core/commit_entry.h"

_Static_assert(RECORD_ENTRY_MAX >= COMMIT_BODY_MAX + COMMIT_HEAD_MAX, "a record holds the largest transaction");

static long transaction_encode(const struct record *r, uint8_t *out, size_t capacity)
{
	assert(r->dot.region < REGIONS_MAX && r->dot.sequence >= 1 && r->entry_size && r->entry_size <= RECORD_ENTRY_MAX);
	size_t size = 4 + varint_size(r->dot.sequence) + 8 + r->entry_size;
	if (size > capacity)
		return ERR_FULL;
	out[0] = RECORD_TRANSACTION;
	out[1] = r->dot.region;
	bytes_put_u16(out + 2, 0);
	out += 4 + varint_encode(r->dot.sequence, out + 4);
	bytes_put_u64(out, r->hlc);
	memcpy(out + 8, r->entry, r->entry_size);
	return (long)size;
}

long record_encode(const struct record *r, uint8_t *out, size_t capacity)
{
	if (r->flags == RECORD_TRANSACTION)
		return transaction_encode(r, out, capacity);
	assert(r->dot.region < REGIONS_MAX && r->dot.sequence >= 1 && !vector_covers_dot(&r->context, r->dot));
	assert(r->keyspace < KEYSPACES_MAX && !(r->flags & ~RECORD_TOMBSTONE));
	assert(r->key_size >= 1 && r->key_size <= KEY_SIZE_MAX && r->value_size <= VALUE_SIZE_MAX);
	assert(!(r->flags & RECORD_TOMBSTONE) || !r->value_size);
	uint8_t context[VECTOR_ENCODED_MAX];
	size_t context_size = vector_encode(&r->context, context);
	size_t size = 1 + 1 + 2 + varint_size(r->dot.sequence) + 8 + context_size + 8 + varint_size(r->request) +
	              varint_size(r->key_size) + r->key_size + varint_size(r->value_size) + r->value_size;
	if (size > capacity)
		return ERR_FULL;
	uint8_t *at = out;
	*at++ = r->flags;
	*at++ = r->dot.region;
	bytes_put_u16(at, r->keyspace);
	at += 2;
	at += varint_encode(r->dot.sequence, at);
	bytes_put_u64(at, r->hlc);
	at += 8;
	memcpy(at, context, context_size);
	at += context_size;
	bytes_put_u64(at, r->client_id);
	at += 8;
	at += varint_encode(r->request, at);
	at += varint_encode(r->key_size, at);
	memcpy(at, r->key, r->key_size);
	at += r->key_size;
	at += varint_encode(r->value_size, at);
	if (r->value_size)
		memcpy(at, r->value, r->value_size);
	return (long)size;
}

/* A LEB128 size and as many bytes. Bytes read from `at`, or ERR_MALFORMED. */
static long blob_decode(const uint8_t *at, const uint8_t *end, uint32_t size_max, const uint8_t **blob, uint32_t *blob_size)
{
	uint64_t size;
	long n = varint_decode(at, (size_t)(end - at), &size);
	if (n < 0 || size > size_max || size > (size_t)(end - at) - (size_t)n)
		return ERR_MALFORMED;
	*blob = at + n;
	*blob_size = (uint32_t)size;
	return n + (long)size;
}

/* Flags, origin, keyspace and sequence: the part that every reader needs. */
static long head_decode(const uint8_t *bytes, size_t size, struct dot *dot)
{
	if (size < 5 || bytes[0] > RECORD_TRANSACTION || bytes[1] >= REGIONS_MAX || bytes_get_u16(bytes + 2) >= KEYSPACES_MAX)
		return ERR_MALFORMED;
	dot->region = bytes[1];
	long n = varint_decode(bytes + 4, size - 4, &dot->sequence);
	return n < 0 || !dot->sequence ? ERR_MALFORMED : 4 + n;
}

/* What stands behind the stamp. */
static long transaction_decode(struct record *r, const uint8_t *bytes, const uint8_t *at, const uint8_t *end)
{
	struct commit_head head;
	struct commit_body body;
	r->context = (struct vector){0};
	r->client_id = r->request = 0;
	r->key = r->value = NULL;
	r->key_size = r->value_size = 0;
	r->entry = at;
	r->entry_size = (uint32_t)(end - at);
	if (r->keyspace || (size_t)(end - at) > RECORD_ENTRY_MAX ||
	    commit_entry_open(at, (size_t)(end - at), &head, &body) < 0 || !body.bytes ||
	    head.previous_count != body.operation_count || head.id.hlc != r->hlc)
		return ERR_MALFORMED;
	return end - bytes;
}

long record_decode(struct record *r, const uint8_t *bytes, size_t size)
{
	const uint8_t *at = bytes, *end = bytes + size;
	long n = head_decode(bytes, size, &r->dot);
	if (n < 0)
		return ERR_MALFORMED;
	r->flags = bytes[0];
	r->keyspace = bytes_get_u16(bytes + 2);
	at += n;
	if (end - at < 8)
		return ERR_MALFORMED;
	r->hlc = bytes_get_u64(at);
	at += 8;
	if (r->flags & RECORD_TRANSACTION)
		return transaction_decode(r, bytes, at, end);
	r->entry = NULL;
	r->entry_size = 0;
	if ((n = vector_decode(&r->context, at, (size_t)(end - at))) < 0 || vector_covers_dot(&r->context, r->dot))
		return ERR_MALFORMED;
	at += n;
	if (end - at < 8)
		return ERR_MALFORMED;
	r->client_id = bytes_get_u64(at);
	at += 8;
	if ((n = varint_decode(at, (size_t)(end - at), &r->request)) < 0)
		return ERR_MALFORMED;
	at += n;
	if ((n = blob_decode(at, end, KEY_SIZE_MAX, &r->key, &r->key_size)) < 0 || !r->key_size)
		return ERR_MALFORMED;
	at += n;
	if ((n = blob_decode(at, end, VALUE_SIZE_MAX, &r->value, &r->value_size)) < 0)
		return ERR_MALFORMED;
	if ((r->flags & RECORD_TOMBSTONE) && r->value_size)
		return ERR_MALFORMED;
	return at + n - bytes;
}

int record_peek(const uint8_t *bytes, size_t size, struct dot *dot)
{
	return head_decode(bytes, size, dot) < 0 ? ERR_MALFORMED : 0;
}
