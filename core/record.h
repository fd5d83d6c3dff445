/* SPDX-License-Identifier: Apache-2.0
 *
 * A record is one write, or one strong transaction: the unit that the log keeps, the ring hands over and the stream ships, in
 * one encoding everywhere.
 *
 *   u8 flags | u8 origin | u16 keyspace | LEB128 sequence | u64 HLC (little endian) | vector context |
 *   u64 client id | LEB128 request | LEB128 key size | key | LEB128 value size | value
 *
 * With RECORD_TRANSACTION: u8 flags | u8 origin | u16 0 | LEB128 sequence | u64 HLC | COMMIT entry (core/commit_entry.h), to
 * the end. The origin is the region whose stream it travels on; who coordinated it stands in the entry.
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

#define KEY_SIZE_MAX   1024u
#define VALUE_SIZE_MAX (1024u * 1024u)
#define KEYSPACES_MAX  64u

enum record_flags { RECORD_TOMBSTONE = 1, RECORD_TRANSACTION = 2 };

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
	const uint8_t *entry; /* with RECORD_TRANSACTION, instead of context, client, key and value, which are zero then */
	uint32_t entry_size;
};

#define RECORD_OVERHEAD_MAX (2 + 2 + 10 + 8 + VECTOR_ENCODED_MAX + 8 + 10 + 5 + 5)
#define RECORD_ENTRY_MAX    (VALUE_SIZE_MAX + 260u * 1024)
#define RECORD_ENCODED_MAX  (RECORD_OVERHEAD_MAX + RECORD_ENTRY_MAX)
/* Writes the encoding; returns its size, or ERR_FULL if capacity does not suffice. */
long record_encode(const struct record *r, uint8_t *out, size_t capacity);
/* Bytes read, or ERR_MALFORMED: every size and id is checked, that the context does not cover the dot, and all of a
 * transaction's entry. */
long record_decode(struct record *r, const uint8_t *bytes, size_t size);
/* The dot alone, without decoding the rest: for a streamer that skips other origins. 0 or ERR_MALFORMED. */
int record_peek(const uint8_t *bytes, size_t size, struct dot *dot);

#endif
