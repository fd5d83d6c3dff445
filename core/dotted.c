/* SPDX-License-Identifier: Apache-2.0 */
#include "core/dotted.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/varint.h"

#define HAS_DOT 0x80u

/* The next one of its region is no exception. */
static void fold(struct dotted *d)
{
	uint64_t *seen = &d->seen.sequence[d->dot.region];
	if (d->dot.sequence > *seen + 1)
		return;
	*seen = d->dot.sequence > *seen ? d->dot.sequence : *seen;
	d->dot = (struct dot){0};
}

size_t dotted_encode(const struct dotted *from, uint8_t out[static DOTTED_ENCODED_MAX])
{
	struct dotted d = *from;
	fold(&d);
	size_t size = vector_encode(&d.seen, out);
	if (!d.dot.sequence)
		return size;
	out[0] |= HAS_DOT;
	out[size++] = d.dot.region;
	return size + varint_encode(d.dot.sequence, out + size);
}

int dotted_decode(struct dotted *d, const uint8_t *bytes, size_t size)
{
	uint8_t plain[VECTOR_ENCODED_MAX];
	*d = (struct dotted){0};
	if (!size || !(bytes[0] & HAS_DOT))
		return vector_decode(&d->seen, bytes, size) == (long)size ? 0 : ERR_MALFORMED;
	size_t vector_size = size < sizeof plain ? size : sizeof plain;
	memcpy(plain, bytes, vector_size);
	plain[0] &= (uint8_t)~HAS_DOT;
	long at = vector_decode(&d->seen, plain, vector_size);
	if (at < 0 || (size_t)at == size || bytes[at] >= REGIONS_MAX)
		return ERR_MALFORMED;
	d->dot.region = bytes[at++];
	long n = varint_decode(bytes + at, size - (size_t)at, &d->dot.sequence);
	if (n < 0 || (size_t)(at + n) != size || d->dot.sequence < d->seen.sequence[d->dot.region] + 2)
		return ERR_MALFORMED;
	return 0;
}

void dotted_format(const struct dotted *from, char out[static DOTTED_TEXT_MAX])
{
	struct dotted d = *from;
	fold(&d);
	vector_format(&d.seen, out);
	if (d.dot.sequence)
		snprintf(out + strlen(out), DOTTED_TEXT_MAX - strlen(out), "+%u:%" PRIu64, d.dot.region, d.dot.sequence);
}

int dotted_parse(struct dotted *d, const char *text)
{
	char seen[DOTTED_TEXT_MAX];
	struct vector dot = {0};
	const char *plus = strchr(text, '+');
	size_t size = plus ? (size_t)(plus - text) : strlen(text);
	*d = (struct dotted){0};
	if (size >= sizeof seen)
		return ERR_MALFORMED;
	memcpy(seen, text, size);
	seen[size] = 0;
	if (vector_parse(&d->seen, seen) < 0 || (plus && vector_parse(&dot, plus + 1) < 0))
		return ERR_MALFORMED;
	for (uint8_t r = 0; plus && r < REGIONS_MAX; r++) {
		if (!dot.sequence[r])
			continue;
		if (d->dot.sequence)
			return ERR_MALFORMED; /* one */
		d->dot = (struct dot){.region = r, .sequence = dot.sequence[r]};
	}
	if (plus && !d->dot.sequence)
		return ERR_MALFORMED;
	fold(d);
	return 0;
}
