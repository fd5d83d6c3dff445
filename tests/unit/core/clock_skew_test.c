/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "core/clock_skew.h"
#include "tests/unit/core/sample.h"

#define SECOND_US 1000000ll

static struct clock_judgement judge(uint32_t regions, uint32_t heard, const int64_t offsets_ms[static 5])
{
	int64_t offset_us[REGIONS_MAX] = {0};
	for (uint32_t i = 0; i < 5; i++)
		offset_us[i] = offsets_ms[i] * 1000;
	return skew_judge(offset_us, heard, 0, regions);
}

/* Region 0 is the one that asks. */
Test(clock_skew, c5_a_clock_is_wrong_when_more_than_half_of_those_heard_say_so)
{
	static const struct {
		uint32_t regions, heard;
		int64_t ms[5];
		int64_t ahead_ms;
		uint8_t against;
		uint32_t count;
	} cases[] = {
	    {3, 7, {40000, 0, 10}, 39990, 2, 3},
	    {3, 7, {-40000, 0, 10}, -40000, 1, 3},
	    {3, 7, {5, 0, 10}, 0, 0, 3},
	    {3, 7, {0, 40000, 10}, -10, 2, 3}, /* another's clock that is off says nothing of this one */
	    {3, 7, {0, -86400000, -10}, 10, 2, 3},
	    {3, 3, {40000, 0, 0}, 0, 0, 2}, /* two: who of them is wrong? */
	    {3, 1, {40000, 0, 0}, 0, 0, 0}, /* alone */
	    {5, 7, {40000, 0, 10}, 39990, 2, 3},
	    {5, 15, {40000, 0, 10, 20}, 39980, 3, 4},
	    {5, 15, {40000, 0, 10, 40000}, 0, 0, 4}, /* half of them agree with it */
	    {5, 31, {40000, 0, 10, 40000, 40000}, 0, 0, 5},
	    {5, 3, {40000, 0}, 0, 0, 0}, /* a minority */
	    {2, 3, {40000, 0}, 0, 0, 2},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct clock_judgement j = judge(cases[i].regions, cases[i].heard, cases[i].ms);
		cr_assert(j.ahead_us == cases[i].ahead_ms * 1000 && j.heard == cases[i].count, "%zu: %lld us, %u heard", i,
		    (long long)j.ahead_us, j.heard);
		cr_assert_eq(j.ahead_us ? j.against : 0, cases[i].ahead_ms ? cases[i].against : 0, "%zu", i);
	}
}

/* Ways there and back of any length, and now and then a clock that is set: never off by more than the best round trip. */
Test(clock_skew, c5_ranges_hold_the_clock_and_steps_show_at_once)
{
	uint64_t seed = setting("GODWIT_SEED", 5);
	struct clock_range range;
	int64_t true_us = 1700000000ll * SECOND_US;
	uint64_t now_us = 5 * (uint64_t)SECOND_US;
	for (uint32_t i = 0; i < 200000; i++) {
		bool is_set = i % 100 == 0;
		if (is_set)
			true_us += (int64_t)random_below(&seed, 2000) * SECOND_US * (i % 200 ? 1 : -1) + 3 * SECOND_US;
		uint64_t there_us = 500 + random_below(&seed, 100000), back_us = 500 + random_below(&seed, 100000);
		uint64_t wall_ms = (uint64_t)(true_us + (int64_t)(now_us + there_us)) / 1000;
		range = skew_range_of(i ? &range : NULL, wall_ms, now_us * 1000, (now_us + there_us + back_us) * 1000);
		cr_assert(range.low_us <= true_us && true_us <= range.high_us, "step %u", i);
		cr_assert_leq(range.high_us - range.low_us, (int64_t)(there_us + back_us) + 1000);
		now_us += 100000;
	}
}

Test(clock_skew, c5_a_slow_answer_does_not_move_a_clock_that_is_known)
{
	struct clock_range range = skew_range_of(NULL, 1000000, 5000000000, 5002000000);
	int64_t before_us = skew_range_middle_us(&range);
	for (uint64_t i = 1; i <= 50; i++) /* all of it on the way back */
		range = skew_range_of(&range, 1000000 + i * 100, 5000000000 + i * 100000000, 7000000000 + i * 100000000);
	cr_assert_leq(llabs(skew_range_middle_us(&range) - before_us), 3000);
}
