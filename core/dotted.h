/* SPDX-License-Identifier: Apache-2.0
 *
 * A version of a write that has not seen everything of its own region: a vector, and one dot beyond it (a dotted version
 * vector, Preguica et al., "Dotted Version Vectors", 2010). What lies between the two is not covered.
 *
 * Encoding: that of the vector if there is no dot, or none beyond it; else the same with 0x80 in the first byte, then u8
 * region, LEB128 sequence. Text: "0:12,2:7", then "+2:9". */
#ifndef GODWIT_CORE_DOTTED_H
#define GODWIT_CORE_DOTTED_H
#include "core/vector.h"

struct dotted {
	struct vector seen;
	struct dot dot; /* sequence 0: none */
};

#define DOTTED_ENCODED_MAX (VECTOR_ENCODED_MAX + 11)
#define DOTTED_TEXT_MAX    (VECTOR_TEXT_MAX + 25)
size_t dotted_encode(const struct dotted *d, uint8_t out[static DOTTED_ENCODED_MAX]);
/* All of the bytes: 0 or ERR_MALFORMED. */
int dotted_decode(struct dotted *d, const uint8_t *bytes, size_t size);
void dotted_format(const struct dotted *d, char out[static DOTTED_TEXT_MAX]);
int dotted_parse(struct dotted *d, const char *text); /* 0 or ERR_MALFORMED */

#endif
