/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include "runtime/waiting.h"

Test(waiting, F16_who_is_behind_is_told_by_name)
{
	static struct topology t = {
	    .region_count = 3, .regions = {{.name = "us", .id = 4}, {.name = "eu", .id = 0}, {.name = "ap", .id = 7}}};
	struct vector applied[REGIONS_MAX] = {{{0}}};
	char text[BEHIND_TEXT_MAX];
	behind_write(&t, 7, applied, text);
	cr_assert_str_eq(text, "");
	applied[0].sequence[4] = 12;
	applied[1].sequence[4] = 10;
	applied[1].sequence[0] = 3;
	behind_write(&t, 7, applied, text);
	cr_assert_str_eq(text, "us lacks 3 writes of eu; eu lacks 2 writes of us; ap lacks 3 writes of eu and 12 of us");
	behind_write(&t, 1, applied, text);
	cr_assert_str_eq(text, "", "one that is not known lacks nothing");
	applied[2].sequence[9] = UINT64_MAX; /* a region that the file does not name */
	for (uint32_t i = 0; i < 3; i++)
		memset(t.regions[i].name, 'x', 40);
	behind_write(&t, 7, applied, text);
	cr_assert_lt(strlen(text), BEHIND_TEXT_MAX);
	cr_assert_not_null(strstr(text, "18446744073709551615 of ?"));
}

Test(waiting, F16_a_wait_is_told_of_when_it_is_long)
{
	struct waiting w = {.started_ns = 5000000000ull};
	cr_assert_not(waiting_is_due(&w, 5000000000ull));
	cr_assert_not(waiting_is_due(&w, 6499999999ull));
	cr_assert(waiting_is_due(&w, 6500000000ull));
	cr_assert_not(waiting_is_due(&w, 8400000000ull));
	cr_assert(waiting_is_due(&w, 8500000000ull));
}
