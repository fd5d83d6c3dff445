/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "base/error.h"
#include "core/hlc.h"
#include "tests/unit/core/sample.h"

#define NOW 1700000000000ull

Test(core_hlc, follows_the_wall_clock_and_counts_when_it_stands)
{
	struct hlc clock;
	uint64_t bound;
	hlc_init(&clock, 0);
	cr_assert_eq(hlc_tick(&clock, NOW, &bound), hlc_pack(NOW, 0));
	cr_assert_eq(bound, hlc_pack(NOW + HLC_BOUND_STEP_MS, 0));
	cr_assert_eq(hlc_tick(&clock, NOW, &bound), hlc_pack(NOW, 1));
	cr_assert_eq(bound, 0);
	cr_assert_eq(hlc_tick(&clock, NOW - 3600000, &bound), hlc_pack(NOW, 2));
	cr_assert_eq(hlc_tick(&clock, NOW + 1, &bound), hlc_pack(NOW + 1, 0));
	cr_assert_eq(hlc_milliseconds(clock.last), NOW + 1);
}

Test(core_hlc, a_full_counter_runs_into_the_milliseconds)
{
	struct hlc clock;
	uint64_t bound, last = 0;
	hlc_init(&clock, 0);
	for (int i = 0; i < 70000; i++) {
		uint64_t stamp = hlc_tick(&clock, NOW, &bound);
		cr_assert(stamp > last);
		last = stamp;
	}
	cr_assert_eq(hlc_milliseconds(last), NOW + 1);
	cr_assert(hlc_tick(&clock, NOW + 1, &bound) > last);
}

/* The clock is set back across a restart: only the bound was kept. */
Test(core_hlc, T24_never_goes_back_across_a_restart)
{
	struct hlc clock;
	uint64_t stored = 0, bound;
	hlc_init(&clock, stored);
	uint64_t before = hlc_tick(&clock, NOW, &bound);
	stored = bound;
	cr_assert(stored > before);
	hlc_init(&clock, stored);
	uint64_t after = hlc_tick(&clock, NOW - 86400000, &bound);
	cr_assert(after > before);
	cr_assert(bound > after, "what is above the stored bound needs a new one first");
}

/* Clock jumps, remote stamps and crashes at random; what survives a crash is what *store_bound said, and nothing else. */
Test(core_hlc, T24_random_crashes_and_jumps)
{
	uint64_t seed = setting("GODWIT_SEED", 24);
	struct hlc clock;
	uint64_t stored = 0, bound, given = 0, now = NOW;
	hlc_init(&clock, stored);
	for (int i = 0; i < 1000000; i++) {
		switch (random_below(&seed, 16)) {
		case 0:
			hlc_init(&clock, stored);
			break;
		case 1:
			now = NOW + random_below(&seed, 7200000) - 3600000;
			break;
		case 2:
			hlc_observe(&clock, hlc_pack(now + random_below(&seed, 1000), (uint16_t)random_next(&seed)), now, 500);
			break;
		default: {
			now += random_below(&seed, 3);
			uint64_t stamp = hlc_tick(&clock, now, &bound);
			if (bound)
				stored = bound;
			cr_assert(
			    stamp > given, "step %d: %llx after %llx", i, (unsigned long long)stamp, (unsigned long long)given);
			cr_assert(stamp <= stored, "step %d: given out above the stored bound", i);
			given = stamp;
		}
		}
	}
}

Test(core_hlc, observes_and_goes_on_above)
{
	struct hlc clock;
	uint64_t bound;
	hlc_init(&clock, 0);
	hlc_tick(&clock, NOW, &bound);
	uint64_t remote = hlc_pack(NOW + 400, 7);
	cr_assert_eq(hlc_observe(&clock, remote, NOW, 500), 0);
	cr_assert_eq(hlc_tick(&clock, NOW, &bound), remote + 1);
	cr_assert_eq(hlc_observe(&clock, hlc_pack(NOW - 5, 0), NOW, 500), 0);
	cr_assert_eq(hlc_tick(&clock, NOW, &bound), remote + 2, "an old stamp changes nothing");
}

/* An observed stamp may lie above the bound; what is given out next may not, before a new bound is stored. */
Test(core_hlc, observing_beyond_the_bound_makes_the_next_tick_store_one)
{
	struct hlc clock;
	uint64_t bound;
	hlc_init(&clock, 0);
	hlc_tick(&clock, NOW, &bound);
	cr_assert_eq(hlc_observe(&clock, hlc_pack(NOW + HLC_BOUND_STEP_MS + 1, 0), NOW, 60000), 0);
	uint64_t stamp = hlc_tick(&clock, NOW, &bound);
	cr_assert(bound > stamp);
}

Test(core_hlc, T23_a_clock_that_jumped_ahead_is_refused_and_not_learned)
{
	static const uint64_t ahead_ms[] = {501, 3600000, 31536000000ull, (UINT64_MAX >> 16) - NOW};
	struct hlc clock;
	uint64_t bound;
	hlc_init(&clock, 0);
	uint64_t before = hlc_tick(&clock, NOW, &bound);
	for (size_t i = 0; i < sizeof ahead_ms / sizeof ahead_ms[0]; i++) {
		cr_assert_eq(hlc_observe(&clock, hlc_pack(NOW + ahead_ms[i], 0), NOW, 500), ERR_CLOCK_AHEAD);
		cr_assert_eq(hlc_tick(&clock, NOW, &bound), ++before);
	}
	cr_assert_eq(hlc_observe(&clock, hlc_pack(NOW + 500, UINT16_MAX), NOW, 500), 0, "the limit itself is allowed");
	cr_assert_eq(hlc_observe(&clock, UINT64_MAX, NOW, 0), ERR_CLOCK_AHEAD);
}
