/* SPDX-License-Identifier: Apache-2.0 */
#include "core/vector.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/varint.h"

/* The loops over all places have no early exit: sixteen places are cheaper without branches. */
bool vector_covers(const struct vector *a, const struct vector *b)
{
	bool covers = true;
	for (int i = 0; i < REGIONS_MAX; i++)
		covers &= a->sequence[i] >= b->sequence[i];
	return covers;
}

void vector_join(struct vector *into, const struct vector *other)
{
	for (int i = 0; i < REGIONS_MAX; i++)
		into->sequence[i] = into->sequence[i] > other->sequence[i] ? into->sequence[i] : other->sequence[i];
}

enum vector_order vector_compare(const struct vector *a, const struct vector *b)
{
	bool after = vector_covers(a, b), before = vector_covers(b, a);
	if (after && before)
		return VECTOR_EQUAL;
	return after ? VECTOR_AFTER : before ? VECTOR_BEFORE : VECTOR_CONCURRENT;
}

size_t vector_encode(const struct vector *v, uint8_t out[static VECTOR_ENCODED_MAX])
{
	size_t n = 1;
	uint8_t pairs = 0;
	for (uint8_t i = 0; i < REGIONS_MAX; i++) {
		if (!v->sequence[i])
			continue;
		out[n++] = i;
		n += varint_encode(v->sequence[i], out + n);
		pairs++;
	}
	out[0] = pairs;
	return n;
}

long vector_decode(struct vector *v, const uint8_t *bytes, size_t size)
{
	if (!size || bytes[0] > REGIONS_MAX)
		return ERR_MALFORMED;
	*v = (struct vector){0};
	size_t at = 1;
	int previous = -1;
	for (uint8_t pairs = bytes[0]; pairs; pairs--) {
		if (at == size)
			return ERR_MALFORMED;
		uint8_t region = bytes[at++];
		if (region >= REGIONS_MAX || region <= previous)
			return ERR_MALFORMED;
		previous = region;
		long n = varint_decode(bytes + at, size - at, &v->sequence[region]);
		if (n < 0 || !v->sequence[region])
			return ERR_MALFORMED;
		at += (size_t)n;
	}
	return (long)at;
}

void vector_format(const struct vector *v, char out[static VECTOR_TEXT_MAX])
{
	size_t n = 0;
	for (int i = 0; i < REGIONS_MAX; i++) {
		if (v->sequence[i])
			n += (size_t)snprintf(out + n, VECTOR_TEXT_MAX - n, "%s%d:%" PRIu64, n ? "," : "", i, v->sequence[i]);
	}
	if (!n)
		strcpy(out, "-");
}

/* A decimal number without sign, blank or leading zero. Returns what follows it; NULL, and the number 0, for none, or one above
 * 64 bits. */
static const char *number_parse(const char *text, uint64_t *value)
{
	*value = 0;
	if (*text < '1' || *text > '9')
		return *text == '0' ? text + 1 : NULL;
	uint64_t v = 0;
	for (; *text >= '0' && *text <= '9'; text++) {
		uint64_t digit = (uint64_t)(*text - '0');
		if (v > (UINT64_MAX - digit) / 10)
			return NULL;
		v = v * 10 + digit;
	}
	*value = v;
	return text;
}

int vector_parse(struct vector *v, const char *text)
{
	*v = (struct vector){0};
	if (!strcmp(text, "-"))
		return 0;
	for (;;) {
		uint64_t region, sequence;
		text = number_parse(text, &region);
		if (!text || *text != ':' || region >= REGIONS_MAX || v->sequence[region])
			return ERR_MALFORMED;
		text = number_parse(text + 1, &sequence);
		if (!sequence)
			return ERR_MALFORMED;
		v->sequence[region] = sequence;
		if (!*text)
			return 0;
		if (*text++ != ',')
			return ERR_MALFORMED;
	}
}
