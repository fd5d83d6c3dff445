/* SPDX-License-Identifier: Apache-2.0
 *
 * A record is one write: the unit that the log keeps, the ring hands over and the stream ships, in one encoding everywhere.
 *
 *   u8 flags | u8 origin | u16 keyspace | LEB128 sequence | u64 HLC (little endian) | vector context |
 *   u64 client id | LEB128 request | LEB128 key size | key | LEB128 value size | value
 *
 * The context is the vector of everything that the writing region held when it wrote (or what the client said it had read):
 * the write replaces exactly the dots that its context covers. Because a region applies every origin's records in sequence
 * order, its whole vector is a valid context for any key, so a write needs no read; and it is at the same time the vector
 * that a causal keyspace must wait for. */
#ifndef GODWIT_CORE_RECORD_H
#define GODWIT_CORE_RECORD_H
#include <stddef.h>
#include <stdint.h>

#include "core/vector.h"

#define KEY_SIZE_MAX 1024u
#define VALUE_SIZE_MAX (1024u * 1024u)
#define KEYSPACES_MAX 64u

enum record_flags { RECORD_TOMBSTONE = 1 };

struct record {
	struct dot dot;
	uint64_t hlc;
	struct vector context; /* never covers dot */
	uint64_t client_id;    /* 0: none */
	uint64_t request;
	const uint8_t *key; /* borrowed from the bytes decoded */
	const uint8_t *value;
	uint32_t key_size; /* 1 to KEY_SIZE_MAX */
	uint32_t value_size;
	uint16_t keyspace;
	uint8_t flags;
};

#define RECORD_OVERHEAD_MAX (2 + 2 + 10 + 8 + VECTOR_ENCODED_MAX + 8 + 10 + 5 + 5)
#define RECORD_ENCODED_MAX (RECORD_OVERHEAD_MAX + KEY_SIZE_MAX + VALUE_SIZE_MAX)
/* Writes the encoding; returns its size, or ERR_FULL if capacity does not suffice. */
long record_encode(const struct record *r, uint8_t *out, size_t capacity);
/* Bytes read, or ERR_MALFORMED: every size and id is checked, and that the context does not cover the dot. */
long record_decode(struct record *r, const uint8_t *bytes, size_t size);
/* The dot alone, without decoding the rest: for a streamer that skips other origins. 0 or ERR_MALFORMED. */
int record_peek(const uint8_t *bytes, size_t size, struct dot *dot);

#endif
