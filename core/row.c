/* SPDX-License-Identifier: Apache-2.0 */
#include "core/row.h"

#include <assert.h>
#include <string.h>

#include "base/broken.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/varint.h"
#include "core/commit_entry.h"

/* (region, sequence) as one rising integer would need 68 bits; region first, then sequence. */
static bool dot_before(struct dot a, struct dot b)
{
	return a.region != b.region ? a.region < b.region : a.sequence < b.sequence;
}

static bool dot_equal(struct dot a, struct dot b)
{
	return a.region == b.region && a.sequence == b.sequence;
}

/* Siblings beyond sibling_count are never read, so they are not cleared: the struct is large and made for every read. */
void row_init(struct row *row)
{
	row->context = (struct vector){0};
	row->sibling_count = 0;
	row->trimmed = 0;
}

/* Takes out the siblings that the context covers, keeping the order. True when any was. */
static bool siblings_drop_covered(struct row *row, const struct vector *context)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < row->sibling_count; i++) {
		if (vector_covers_dot(context, row->siblings[i].dot))
			continue;
		if (kept != i)
			row->siblings[kept] = row->siblings[i];
		kept++;
	}
	bool dropped = kept != row->sibling_count;
	row->sibling_count = kept;
	return dropped;
}

/* Puts a sibling in its place. False, with the row as it was, when it is there already or is older than
 * SIBLINGS_PER_REGION_MAX others of its region; otherwise the oldest of a full region makes room. */
static bool siblings_insert(struct row *row, const struct sibling *s)
{
	uint32_t place = 0, first_of_region;
	while (place < row->sibling_count && row->siblings[place].dot.region < s->dot.region)
		place++;
	first_of_region = place;
	while (place < row->sibling_count && dot_before(row->siblings[place].dot, s->dot))
		place++;
	uint32_t region_end = place;
	while (region_end < row->sibling_count && row->siblings[region_end].dot.region == s->dot.region)
		region_end++;
	if (place < region_end && row->siblings[place].dot.sequence == s->dot.sequence)
		return false;
	if (region_end - first_of_region == SIBLINGS_PER_REGION_MAX) {
		row->trimmed++;
		if (place == first_of_region)
			return false;
		place--;
		memmove(&row->siblings[first_of_region], &row->siblings[first_of_region + 1],
		    (place - first_of_region) * sizeof row->siblings[0]);
	} else {
		assert(row->sibling_count < SIBLINGS_MAX);
		memmove(
		    &row->siblings[place + 1], &row->siblings[place], (row->sibling_count - place) * sizeof row->siblings[0]);
		row->sibling_count++;
	}
	row->siblings[place] = *s;
	return true;
}

int row_merge_record(struct row *row, const struct record *r, enum row_change *change)
{
	assert(r->dot.region < REGIONS_MAX && !vector_covers_dot(&r->context, r->dot));
	/* The record's context joins even when the write itself is superseded or known: the row is a function of the set. */
	bool superseded = vector_covers_dot(&row->context, r->dot);
	vector_join(&row->context, &r->context);
	bool dropped = siblings_drop_covered(row, &r->context);
	bool inserted = false;
	if (!superseded && !(BROKEN(M8) && (r->flags & RECORD_TOMBSTONE))) {
		struct sibling s = {
		    .dot = r->dot, .hlc = r->hlc, .value = r->value, .value_size = r->value_size, .flags = r->flags};
		inserted = siblings_insert(row, &s);
	}
	if (inserted)
		*change = row->sibling_count > 1 ? ROW_CONFLICT : ROW_REPLACED;
	else
		*change = dropped ? ROW_REPLACED : ROW_UNCHANGED;
	return 0;
}

/* Of each region's run, only the newest SIBLINGS_PER_REGION_MAX; the rest is counted. from is in rising order. */
static void siblings_take_newest(struct row *row, const struct sibling *from, uint32_t count)
{
	row->sibling_count = 0;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t newer = i + SIBLINGS_PER_REGION_MAX;
		if (newer < count && from[newer].dot.region == from[i].dot.region)
			row->trimmed++;
		else
			row->siblings[row->sibling_count++] = from[i];
	}
}

int row_merge(struct row *row, const struct row *other)
{
	struct sibling merged[2 * SIBLINGS_MAX];
	uint32_t count = 0, i = 0, j = 0;
	assert(row->sibling_count <= SIBLINGS_MAX && other->sibling_count <= SIBLINGS_MAX);
	vector_join(&row->context, &other->context);
	while (i < row->sibling_count || j < other->sibling_count) {
		const struct sibling *s;
		if (j == other->sibling_count) {
			s = &row->siblings[i++];
		} else if (i == row->sibling_count || dot_before(other->siblings[j].dot, row->siblings[i].dot)) {
			s = &other->siblings[j++];
		} else {
			j += dot_equal(other->siblings[j].dot, row->siblings[i].dot);
			s = &row->siblings[i++];
		}
		if (!vector_covers_dot(&row->context, s->dot))
			merged[count++] = *s;
	}
	siblings_take_newest(row, merged, count);
	return 0;
}

static size_t siblings_encoded_size(const struct row *row)
{
	size_t n = 1;
	for (uint32_t i = 0; i < row->sibling_count; i++) {
		const struct sibling *s = &row->siblings[i];
		n += 1 + 1 + varint_size(s->dot.sequence) + 8 + varint_size(s->value_size) + s->value_size;
	}
	return n;
}

long row_encoded_size(const struct row *row)
{
	uint8_t context[VECTOR_ENCODED_MAX];
	return (long)(vector_encode(&row->context, context) + siblings_encoded_size(row));
}

long row_encode(const struct row *row, uint8_t *out, size_t capacity)
{
	assert(row->sibling_count <= SIBLINGS_MAX);
	uint8_t context[VECTOR_ENCODED_MAX], *at = out;
	size_t context_size = vector_encode(&row->context, context);
	size_t size = context_size + siblings_encoded_size(row);
	if (size > capacity)
		return ERR_FULL;
	memcpy(at, context, context_size);
	at += context_size;
	*at++ = (uint8_t)row->sibling_count;
	for (uint32_t i = 0; i < row->sibling_count; i++) {
		const struct sibling *s = &row->siblings[i];
		*at++ = s->flags;
		*at++ = s->dot.region;
		at += varint_encode(s->dot.sequence, at);
		bytes_put_u64(at, s->hlc);
		at += 8;
		at += varint_encode(s->value_size, at);
		if (s->value_size)
			memcpy(at, s->value, s->value_size);
		at += s->value_size;
	}
	return (long)size;
}

/* Bytes read, or ERR_MALFORMED. */
static long sibling_decode(struct sibling *s, const uint8_t *bytes, size_t size)
{
	const uint8_t *at = bytes, *end = bytes + size;
	if (size < 2 || (at[0] & ~RECORD_TOMBSTONE) || at[1] >= REGIONS_MAX)
		return ERR_MALFORMED;
	s->flags = at[0];
	s->dot.region = at[1];
	at += 2;
	long n = varint_decode(at, (size_t)(end - at), &s->dot.sequence);
	if (n < 0 || !s->dot.sequence)
		return ERR_MALFORMED;
	at += n;
	if (end - at < 8)
		return ERR_MALFORMED;
	s->hlc = bytes_get_u64(at);
	at += 8;
	uint64_t value_size;
	n = varint_decode(at, (size_t)(end - at), &value_size);
	if (n < 0 || value_size > VALUE_SIZE_MAX || value_size > (size_t)(end - at) - (size_t)n)
		return ERR_MALFORMED;
	if ((s->flags & RECORD_TOMBSTONE) && value_size)
		return ERR_MALFORMED;
	at += n;
	s->value = at;
	s->value_size = (uint32_t)value_size;
	return at + value_size - bytes;
}

int row_decode(struct row *row, const uint8_t *bytes, size_t size)
{
	row->sibling_count = 0;
	row->trimmed = 0;
	long n = vector_decode(&row->context, bytes, size);
	if (n < 0 || (size_t)n == size || bytes[n] > SIBLINGS_MAX)
		return ERR_MALFORMED;
	size_t at = (size_t)n + 1;
	uint32_t count = bytes[n];
	for (uint32_t i = 0; i < count; i++) {
		struct sibling *s = &row->siblings[i];
		n = sibling_decode(s, bytes + at, size - at);
		if (n < 0 || vector_covers_dot(&row->context, s->dot))
			return ERR_MALFORMED;
		if (i && !dot_before(s[-1].dot, s->dot))
			return ERR_MALFORMED;
		if (i >= SIBLINGS_PER_REGION_MAX && row->siblings[i - SIBLINGS_PER_REGION_MAX].dot.region == s->dot.region)
			return ERR_MALFORMED;
		at += (size_t)n;
	}
	if (at != size)
		return ERR_MALFORMED;
	/* Set last: a row that was refused is an empty one, not half a row. */
	row->sibling_count = count;
	return 0;
}

bool row_is_deleted(const struct row *row)
{
	for (uint32_t i = 0; i < row->sibling_count; i++) {
		if (!(row->siblings[i].flags & RECORD_TOMBSTONE))
			return false;
	}
	return true;
}

int row_bytes_are_deleted(const uint8_t *bytes, size_t size)
{
	struct commit_row committed;
	struct row row;
	if (commit_row_is(bytes, size))
		return commit_row_decode(&committed, bytes, size) < 0 ? ERR_MALFORMED : !committed.live;
	return row_decode(&row, bytes, size) < 0 ? ERR_MALFORMED : row_is_deleted(&row);
}
