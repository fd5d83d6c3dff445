/* SPDX-License-Identifier: Apache-2.0
 *
 * timing.c: how long what was begun here stands before it gives way, and who begins next on a key that many regions want.
 * Nothing but time rests on either. */
#include <criterion/criterion.h>

#include "commit/state.h"
#include "tests/unit/commit/world.h"

#define ONE_MS   1000000ull
#define EVERYONE 0xffffffffu

/* Region r is as far from region 0 as ms[r] says. */
static void distances_set(struct world *w, const uint64_t ms[])
{
	for (uint32_t r = 1; r < w->n; r++)
		round_trip_note(w->regions[0].machine, (uint8_t)r, ms[r] * ONE_MS, 0);
}

static uint64_t grace_ms(const struct world *w)
{
	return grace_ns(w->regions[0].machine) / ONE_MS;
}

/* One that only the nearest has time to answer in lets five regions end each other's transactions again and again. */
Test(timing, A18_grace_lasts_until_a_majority_can_have_voted)
{
	static const uint64_t ms[] = {0, 200, 10, 100, 40, 160, 80};
	static const struct {
		uint32_t n;
		uint64_t grace_ms, gone, without_ms;
	} cases[] = {{3, 15, 2, 300}, {5, 60, 4, 150}, {7, 120, 2, 150}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct world *w = world_new(cases[i].n);
		cr_assert_eq(grace_ms(w), 0, "nobody is known yet");
		distances_set(w, ms);
		cr_assert_eq(grace_ms(w), cases[i].grace_ms, "%u regions", cases[i].n);
		world_peers(w, 0, ((1u << cases[i].n) - 1) & ~(1u << cases[i].gone));
		cr_assert_eq(grace_ms(w), cases[i].without_ms, "%u regions, one gone", cases[i].n);
		world_free(w);
	}
}

Test(timing, A18_grace_is_of_the_farthest_known_while_a_majority_is_not)
{
	struct world *w = world_new(7);
	round_trip_note(w->regions[0].machine, 3, 20 * ONE_MS, 0);
	cr_assert_eq(grace_ms(w), 30);
	round_trip_note(w->regions[0].machine, 5, 10 * ONE_MS, 0);
	cr_assert_eq(grace_ms(w), 30);
	world_free(w);
}

/* Region 0 has committed; in the last two regions a request waits, whose votes said so: the older one in the last but one. */
static struct world *two_wait(uint32_t n)
{
	struct world *w = world_new(n);
	uint8_t older = (uint8_t)(n - 2), younger = (uint8_t)(n - 1);
	world_put(w, 0, 1, "hot", "first");
	w->regions[older].slow_disk = w->regions[younger].slow_disk = true;
	world_deliver(w, EVERYONE, COMMIT_PREPARE);
	world_tick(w, older, 5 * ONE_MS);
	world_put(w, older, 2, "hot", "second");
	world_tick(w, younger, 5 * ONE_MS);
	world_put(w, younger, 3, "hot", "third");
	w->regions[older].slow_disk = w->regions[younger].slow_disk = false;
	world_sync(w, older);
	world_sync(w, younger);
	world_deliver(w, 1u << 0 | 1u << older | 1u << younger, COMMIT_VOTE);
	cr_assert(world_answer(w, 1) && world_answer(w, 1)->code == 0);
	cr_assert_geq(world_pending(w, COMMIT_DECIDED), n - 1);
	cr_assert_eq(world_pending(w, COMMIT_PREPARE), 0);
	return w;
}

/* Who began at once would be ended by the one that has waited longer, and both would have lost a round trip. */
Test(timing, A18_the_youngest_waits_for_who_comes_first_of_five)
{
	struct world *w = two_wait(5);
	world_deliver(w, 1u << 0 | 1u << 4, COMMIT_DECIDED);
	cr_assert_eq(world_pending(w, COMMIT_PREPARE), 0, "the younger one began");
	world_deliver(w, 1u << 0 | 1u << 3, COMMIT_DECIDED);
	cr_assert_eq(world_pending(w, COMMIT_PREPARE), 4, "the older one did not begin");
	world_deliver(w, EVERYONE, 0);
	for (uint64_t route = 2; route <= 3; route++)
		cr_assert(world_answer(w, route) && world_answer(w, route)->code == 0, "%d", (int)route);
	cr_assert_eq(w->regions[4].machine->counts.withdrawn + w->regions[3].machine->counts.withdrawn, 0);
	world_streams(w);
	cr_assert_str_eq(world_value(w, 1, "hot"), "third");
	world_free(w);
}

Test(timing, A18_nobody_waits_long_for_one_that_does_not_come)
{
	struct world *w = two_wait(5);
	world_deliver(w, 1u << 0 | 1u << 4, COMMIT_DECIDED);
	world_kill(w, 3);
	for (uint64_t ms = 0; ms < 100 && !world_pending(w, COMMIT_PREPARE); ms += 5)
		world_tick(w, 4, 5 * ONE_MS);
	cr_assert_eq(world_pending(w, COMMIT_PREPARE), 4);
	world_free(w);
}

/* One vote besides its own is a majority of three: begun at once, the third region's vote settles which of two it is. */
Test(timing, A18_of_three_both_begin)
{
	struct world *w = two_wait(3);
	world_deliver(w, 1u << 0 | 1u << 2, COMMIT_DECIDED);
	cr_assert_eq(world_pending(w, COMMIT_PREPARE), 2);
	world_free(w);
}
