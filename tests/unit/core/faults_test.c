/* SPDX-License-Identifier: Apache-2.0
 *
 * Small faults by rule that every other test passed over (A20, tools/mutants). */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "core/row.h"

/* Below and above the size up to which a digest is taken in one piece, on the key's side and on the row's. */
Test(core_faults, a20_a_digest_is_one_hash_whatever_the_sizes)
{
	static const size_t sizes[] = {0, 1, 2, 250, 500, 506, 507, 508, 509, 510, 1023, KEY_SIZE_MAX, 5000};
	static uint8_t all[16384];
	for (size_t i = 0; i < sizeof all; i++)
		all[i] = (uint8_t)(i * 7 + i / 256);
	for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
		for (size_t r = 0; r < sizeof sizes / sizeof *sizes; r++) {
			size_t key_size = sizes[k], row_size = sizes[r];
			if (key_size > KEY_SIZE_MAX)
				continue;
			uint8_t *whole = malloc(4 + key_size + row_size);
			bytes_put_u16(whole, 3);
			bytes_put_u16(whole + 2, (uint16_t)key_size);
			memcpy(whole + 4, all, key_size);
			memcpy(whole + 4 + key_size, all + 1, row_size);
			XXH128_hash_t want = XXH3_128bits(whole, 4 + key_size + row_size);
			struct digest got = row_digest(3, all, key_size, all + 1, row_size);
			cr_assert(got.low == want.low64 && got.high == want.high64, "key %zu, row %zu", key_size, row_size);
			free(whole);
		}
}

/* Each prefix in memory of its very size: whoever reads beyond it is seen by AddressSanitizer. */
Test(core_faults, a20_a_row_is_not_read_beyond_its_end)
{
	static uint8_t bytes[4096];
	struct row row;
	row_init(&row);
	row.context.sequence[1] = 300;
	row.sibling_count = 2;
	row.siblings[0] = (struct sibling){
	    .dot = {.region = 1, .sequence = 301}, .hlc = 9, .value = (const uint8_t *)"value", .value_size = 5};
	row.siblings[1] = (struct sibling){.dot = {.region = 2, .sequence = 1}, .hlc = 8, .flags = RECORD_TOMBSTONE};
	size_t size = (size_t)row_encode(&row, bytes, sizeof bytes);
	for (size_t cut = 0; cut <= size; cut++) {
		uint8_t *exact = malloc(cut ? cut : 1);
		memcpy(exact, bytes, cut);
		cr_assert_eq(row_decode(&row, exact, cut) == 0, cut == size, "cut at %zu", cut);
		cr_assert_eq(row.sibling_count, cut == size ? 2 : 0);
		free(exact);
	}
	/* A context that cannot be read, at the start of what may be read. */
	for (uint8_t first = REGIONS_MAX; first < 255; first++) {
		uint8_t *exact = malloc(2);
		exact[0] = first;
		exact[1] = 0;
		cr_assert_neq(row_decode(&row, exact, 2), 0);
		free(exact);
	}
}

/* What stands behind a text is no part of it. */
Test(core_faults, a20_a_mark_is_whole_or_none)
{
	static const char utf8[] = "\xef\xbb\xbf", *const utf16[] = {"\xff\xfe", "\xfe\xff"};
	for (size_t size = 0; size <= 3; size++)
		cr_assert_eq(bytes_mark_size(utf8, size), size == 3 ? 3 : 0, "%zu bytes", size);
	cr_assert_eq(bytes_mark_size("\xef\xbb\xbe", 3), 0);
	for (size_t size = 0; size <= 2; size++)
		for (size_t i = 0; i < 2; i++)
			cr_assert_eq(bytes_are_utf16(utf16[i], size), size == 2, "%zu bytes", size);
	cr_assert_not(bytes_are_utf16("\xff\xff", 2));
}
