/* SPDX-License-Identifier: Apache-2.0
 *
 * Version vectors: region id -> highest sequence, all lower ones included. Dense, since a cluster has at most 16 regions.
 * Parker et al., "Detection of Mutual Inconsistency in Distributed Systems", 1983. */
#ifndef GODWIT_CORE_VECTOR_H
#define GODWIT_CORE_VECTOR_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REGIONS_MAX 16

struct vector {
	uint64_t sequence[REGIONS_MAX];
};

struct dot {
	uint64_t sequence; /* from 1 */
	uint8_t region;
};

enum vector_order { VECTOR_EQUAL, VECTOR_BEFORE, VECTOR_AFTER, VECTOR_CONCURRENT };

static inline bool vector_covers_dot(const struct vector *v, struct dot d)
{
	return v->sequence[d.region] >= d.sequence;
}
bool vector_covers(const struct vector *a, const struct vector *b); /* a >= b in every place */
void vector_join(struct vector *into, const struct vector *other);
enum vector_order vector_compare(const struct vector *a, const struct vector *b);

/* Encoding: u8 count of pairs, then per non-zero place in rising order u8 region, LEB128 sequence. Canonical: equal vectors
 * have equal bytes. */
#define VECTOR_ENCODED_MAX (1 + REGIONS_MAX * 11)
size_t vector_encode(const struct vector *v, uint8_t out[static VECTOR_ENCODED_MAX]);
/* Bytes read (> 0), or ERR_MALFORMED. */
long vector_decode(struct vector *v, const uint8_t *bytes, size_t size);
/* "0:12,2:7"; "-" when empty. out of VECTOR_TEXT_MAX bytes. */
#define VECTOR_TEXT_MAX (REGIONS_MAX * 24 + 2)
void vector_format(const struct vector *v, char out[static VECTOR_TEXT_MAX]);
int vector_parse(struct vector *v, const char *text);

#endif
