/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows: what is taken is encoded to the same bytes again; merging is commutative, associative and idempotent, whatever two or
 * three states meet; a winner can always be chosen. */
#include "core/row.h"
#include "base/error.h"
#include "tests/fuzz/fuzz.h"

#define ROWS 3

static struct row rows[ROWS], left, right;

static uint8_t *encode(const struct row *row, size_t *size)
{
	*size = (size_t)row_encoded_size(row);
	uint8_t *out = malloc(*size);
	if (out == NULL)
		abort();
	CHECK(row_encode(row, out, *size) == (long)*size && row_encode(row, out, *size - 1) == ERR_FULL);
	return out;
}

static void check_equal(const struct row *a, const struct row *b)
{
	size_t a_size, b_size;
	uint8_t *a_bytes = encode(a, &a_size), *b_bytes = encode(b, &b_size);
	CHECK(a_size == b_size && memcmp(a_bytes, b_bytes, a_size) == 0);
	free(a_bytes);
	free(b_bytes);
}

static void check_one(const struct row *row, const uint8_t *bytes, size_t size)
{
	static const uint32_t priority[REGIONS_MAX] = {3, 1, 2, 2};
	size_t again_size;
	uint8_t *again = encode(row, &again_size);
	CHECK(again_size == size && memcmp(again, bytes, size) == 0);
	free(again);
	for (uint32_t i = 0; i < row->sibling_count; i++)
		bytes_touch(row->siblings[i].value, row->siblings[i].value_size);
	for (enum strategy s = STRATEGY_LWW; row->sibling_count && s <= STRATEGY_PRIORITY; s++)
		CHECK(row_winner(row, s, priority) < row->sibling_count);
	row_is_deleted(row);
	left = *row;
	row_merge(&left, row);
	check_equal(&left, row);
}

static bool rows_agree(const struct row *a, const struct row *b)
{
	for (uint32_t i = 0; i < a->sibling_count; i++)
		for (uint32_t j = 0; j < b->sibling_count; j++) {
			const struct sibling *x = &a->siblings[i], *y = &b->siblings[j];
			if (x->dot.region == y->dot.region && x->dot.sequence == y->dot.sequence &&
			    (x->hlc != y->hlc || x->flags != y->flags || x->value_size != y->value_size ||
			        memcmp(x->value, y->value, x->value_size) != 0))
				return false;
		}
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct input in = {bytes, bytes + size};
	uint8_t *parts[ROWS];
	size_t sizes[ROWS];
	int read[ROWS];
	for (int i = 0; i < ROWS; i++) {
		size_t wanted = i == ROWS - 1 ? input_left(&in) : (size_t)input_number(&in, 2);
		parts[i] = input_bytes(&in, wanted, &sizes[i]);
		read[i] = row_decode(&rows[i], parts[i], sizes[i]);
		CHECK(read[i] == 0 || (read[i] == ERR_MALFORMED && rows[i].sibling_count == 0));
		if (read[i] == 0)
			check_one(&rows[i], parts[i], sizes[i]);
	}
	/* One dot is one write: two states that say otherwise are promised nothing. */
	bool torn = false;
	for (int a = 0; a < ROWS; a++)
		for (int b = 0; b < a; b++)
			torn = torn || !rows_agree(&rows[a], &rows[b]);
	if (!read[0] && !read[1] && !torn) {
		left = rows[0];
		row_merge(&left, &rows[1]);
		right = rows[1];
		row_merge(&right, &rows[0]);
		check_equal(&left, &right);
		size_t merged_size;
		uint8_t *merged = encode(&left, &merged_size);
		CHECK(row_decode(&right, merged, merged_size) == 0);
		check_equal(&left, &right);
		free(merged);
	}
	if (!read[0] && !read[1] && !read[2] && !torn) {
		row_merge(&left, &rows[2]);
		right = rows[1];
		row_merge(&right, &rows[2]);
		row_merge(&right, &rows[0]);
		check_equal(&left, &right);
	}
	for (int i = 0; i < ROWS; i++)
		free(parts[i]);
	return 0;
}
