/* SPDX-License-Identifier: Apache-2.0
 *
 * The row: a dotted version vector set (Almeida, Baquero, Gonçalves, Preguiça, Fonte, "Scalable and Accurate Causality
 * Tracking for Eventually Consistent Stores", 2014).
 *
 * A row is a pure function of the SET of writes that reached it: context = join of their contexts; siblings = the writes
 * whose dot that context does not cover. So merge is commutative, associative and idempotent, whatever the order.
 *
 * Encoding (also what digests hash and LMDB stores; canonical, siblings in rising (region, sequence)):
 *   vector context | u8 siblings | per sibling: u8 flags, u8 region, LEB128 sequence, u64 HLC, LEB128 value size, value
 * A region's blind write supersedes all that it holds, so a row has about one sibling a region; only writes with an older
 * context add more. The origin refuses a write that would exceed SIBLINGS_PER_REGION_MAX of its own on one row.
 *
 * Behind that refusal, a merge keeps of each region only the newest SIBLINGS_PER_REGION_MAX uncovered writes, by sequence, so
 * that it never fails and a row is bounded. That is still a pure function of the set: the newest k of a union are the newest k
 * of the newest k of its parts; and since a context that covers a sequence covers all lower ones, an older write that was
 * left out is covered as soon as one of the newer ones that were kept is, so it is never missed. */
#ifndef GODWIT_CORE_ROW_H
#define GODWIT_CORE_ROW_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/record.h"
#include "core/vector.h"

#define SIBLINGS_PER_REGION_MAX 8u
#define SIBLINGS_MAX            (REGIONS_MAX * SIBLINGS_PER_REGION_MAX)

struct sibling {
	struct dot dot;
	uint64_t hlc;
	const uint8_t *value; /* borrowed */
	uint32_t value_size;
	uint8_t flags; /* RECORD_TOMBSTONE */
};

struct row {
	struct vector context;
	uint32_t sibling_count; /* 0 in a fresh row; later only if contexts covered each other, which no honest region writes */
	uint32_t
	    trimmed; /* writes left out by the cap since row_init or row_decode; not encoded, 0 unless an origin misbehaves */
	struct sibling siblings[SIBLINGS_MAX];
};

/* What a write did to the siblings. The context may grow in each case, ROW_UNCHANGED included: the row must be stored unless
 * its bytes are the same, or a later, older write would come back. ROW_UNCHANGED: known or superseded already. ROW_REPLACED:
 * what was there, if anything, is superseded. ROW_CONFLICT: the write is new, and an earlier one stays beside it. */
enum row_change { ROW_UNCHANGED, ROW_REPLACED, ROW_CONFLICT };

void row_init(struct row *row);
/* Merges one write; always 0. Values stay borrowed from the record. */
int row_merge_record(struct row *row, const struct record *r, enum row_change *change);
/* Merges another state of the same row (repair after a partition); always 0. Values stay borrowed from both. */
int row_merge(struct row *row, const struct row *other);
long row_encoded_size(const struct row *row);
/* Size, or ERR_FULL if capacity does not suffice. */
long row_encode(const struct row *row, uint8_t *out, size_t capacity);
/* 0 or ERR_MALFORMED (row then empty of siblings), also for what row_encode would not have written: siblings out of order,
 * covered by the context or beyond the cap. Siblings borrow from bytes, which must be wholly consumed. */
int row_decode(struct row *row, const uint8_t *bytes, size_t size);
/* True when no sibling carries a value: such rows are left out of digests (collection happens at different times). */
bool row_is_deleted(const struct row *row);
/* The same of stored bytes, of whatever level; ERR_MALFORMED, else 0 or 1. */
int row_bytes_are_deleted(const uint8_t *bytes, size_t size);

/* The winner among siblings, only ever chosen when read. A pure function of the set. */
enum strategy { STRATEGY_LWW, STRATEGY_FWW, STRATEGY_PRIORITY };
/* priority[region id], used by STRATEGY_PRIORITY only. Index of the winner; row must have a sibling. */
uint32_t row_winner(const struct row *row, enum strategy strategy, const uint32_t priority[static REGIONS_MAX]);

/* Digests: 128-bit sum over rows of XXH3-128(keyspace, key, row bytes; of a strong row without what it replaced). Sum, not XOR:
 * equal hashes must not cancel. */
struct digest {
	uint64_t low, high;
};
#define DIGEST_BUCKETS 256u
struct digest row_digest(uint16_t keyspace, const uint8_t *key, size_t key_size, const uint8_t *row, size_t row_size);
uint32_t row_digest_bucket(const uint8_t *key, size_t key_size);
void digest_add(struct digest *d, struct digest x);
void digest_subtract(struct digest *d, struct digest x);

#endif
