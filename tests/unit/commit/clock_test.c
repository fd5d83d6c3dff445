/* SPDX-License-Identifier: Apache-2.0
 *
 * Wrong wall clocks: strong stamps order, and nothing is refused for the time that they show (A2, C5). */
#include <criterion/criterion.h>
#include <stdio.h>

#include "core/hlc.h"
#include "tests/unit/commit/world.h"

#define YEAR_MS (365ll * 86400000)

static struct world *w;

static void setup(void)
{
	w = world_new(3);
}
static void teardown(void)
{
	world_free(w);
}
TestSuite(clock, .init = setup, .fini = teardown);

static void put_is_ok(uint8_t region, uint64_t route)
{
	char key[16];
	snprintf(key, sizeof key, "k%u", (unsigned)(route % 7));
	world_put(w, region, route, key, "v");
	world_deliver(w, ALL, 0);
	const struct world_answer *answer = world_answer(w, route);
	cr_assert(answer, "region %u does not answer at once", region);
	cr_assert_eq(answer->code, ERR_OK, "region %u: %s", region, error_name(answer->code));
}

static void all_restart_as_after_much_log(void)
{
	world_streams(w);
	world_deliver(w, ALL, 0);
	for (uint8_t r = 0; r < 3; r++)
		world_trim(w, r);
	world_drop(w, 255, 255, 0);
}

/* Each distance, in each region, forward and back, with a restart of all while the clock is wrong and after it was put right.
 */
Test(clock, a2_a_wrong_clock_stops_nobody)
{
	static const int64_t off_ms[] = {1000, 40000, 7200000, YEAR_MS, -1000, -40000, -YEAR_MS};
	uint64_t route = 0;
	for (size_t i = 0; i < sizeof off_ms / sizeof *off_ms; i++) {
		for (uint8_t wrong = 0; wrong < 3; wrong++) {
			w->regions[wrong].clock_ms = off_ms[i];
			for (uint8_t turn = 0; turn < 6; turn++)
				put_is_ok((uint8_t)((wrong + turn) % 3), ++route);
			all_restart_as_after_much_log();
			for (uint8_t turn = 0; turn < 3; turn++)
				put_is_ok(turn, ++route);
			w->regions[wrong].clock_ms = 0;
			for (uint8_t turn = 0; turn < 3; turn++)
				put_is_ok(turn, ++route);
			all_restart_as_after_much_log();
			for (uint8_t turn = 0; turn < 3; turn++)
				put_is_ok(turn, ++route);
			world_streams(w);
			w->answer_count = 0;
		}
	}
}

/* It was cut off while its clock was wrong, and its undecided transaction meets the others later. */
Test(clock, a2_stamps_from_the_future_that_come_late)
{
	w->regions[2].clock_ms = YEAR_MS;
	world_put(w, 2, 1, "a", "far");
	world_drop(w, 2, 1, 0);
	world_deliver(w, ALL, 0); /* region 0 alone meets it */
	cr_assert_eq(world_answer(w, 1)->code, ERR_OK);
	w->regions[2].clock_ms = 0;
	all_restart_as_after_much_log();
	/* Region 1 knows nothing of that year; region 0 has forgotten all below. */
	put_is_ok(1, 2);
	put_is_ok(2, 3);
	put_is_ok(0, 4);
}

/* Region 0 alone has met a stamp of that year, and has forgotten all below it. Returns that stamp. */
static uint64_t one_has_forgotten(void)
{
	put_is_ok(1, 99); /* some log to be cut */
	world_streams(w);
	w->regions[2].clock_ms = YEAR_MS;
	world_put(w, 2, 1, "a", "far");
	world_drop(w, 2, 1, 0);
	world_deliver(w, ALL, COMMIT_PREPARE);
	world_drop(w, 255, 255, 0);
	w->regions[2].clock_ms = 0;
	uint64_t far = commit_newest_hlc(w->regions[0].machine);
	cr_assert_lt(commit_newest_hlc(w->regions[1].machine), far);
	world_trim(w, 0);
	world_drop(w, 255, 255, 0);
	return far;
}

/* The reading that the first request had is older than what region 0 may have forgotten, so it is EXPIRED, and comes again as
 * new. */
Test(clock, a2_a_refusal_tells_the_stamp_to_be_above)
{
	uint64_t far = one_has_forgotten();
	for (uint64_t route = 2; route <= 3; route++) {
		world_put(w, 1, route, "k", "v");
		world_wait(w, 1u | 2u, WORLD_SECOND / 2);
		cr_assert(world_answer(w, route));
	}
	cr_assert_eq(world_answer(w, 2)->code, ERR_EXPIRED);
	cr_assert_eq(world_answer(w, 3)->code, ERR_OK, "%s", error_name(world_answer(w, 3)->code));
	cr_assert_gt(world_answer(w, 3)->version.hlc, far);
}

/* Nothing is made, logged or remembered of a stamp that no clock can have given. */
Test(clock, a2_an_impossible_stamp_is_damage)
{
	put_is_ok(0, 1);
	uint64_t newest = commit_newest_hlc(w->regions[1].machine);
	uint32_t entries = w->regions[1].count;
	world_put(w, 0, 2, "b", "v");
	for (uint32_t i = 0; i < w->message_count; i++)
		w->messages[i].bytes[12] = 0xff; /* type, fields, votes, flags: 5 bytes; then the stamp */
	world_deliver(w, 2u | 1u, COMMIT_PREPARE);
	cr_assert_eq(commit_newest_hlc(w->regions[1].machine), newest);
	cr_assert_eq(w->regions[1].count, entries);
	cr_assert_eq(world_pending(w, COMMIT_VOTE), 0);
	cr_assert_eq(world_in_doubt(w, 1), 0);
	world_drop(w, 255, 255, 0);
	world_wait(w, ALL, WORLD_SECOND);
	put_is_ok(1, 3);
}

/* A wall clock that shows the year 9999 gives stamps that can still be counted from. */
Test(clock, a2_a_wall_clock_beyond_all_reason)
{
	w->regions[0].clock_ms = 253402300799000ll - 1900000000000ll;
	for (uint64_t i = 1; i <= 9; i++)
		put_is_ok((uint8_t)(i % 3), i);
	cr_assert_leq(commit_newest_hlc(w->regions[1].machine), HLC_STAMP_MAX / 2 + (1u << 20));
	w->regions[0].clock_ms = 0;
	all_restart_as_after_much_log();
	for (uint64_t i = 11; i <= 19; i++)
		put_is_ok((uint8_t)(i % 3), i);
}

/* Who comes later waits, though its wall clock says that it has waited for 40 s already. */
Test(clock, c5_a_clock_behind_does_not_always_go_first)
{
	w->regions[1].clock_ms = -40000;
	put_is_ok(0, 7);
	for (uint64_t i = 1; i <= 20; i++) {
		world_put(w, 0, 100 + i, "hot", "old");
		w->now_ns += WORLD_SECOND / 10;
		world_put(w, 1, 200 + i, "hot", "young");
		world_wait(w, ALL, WORLD_SECOND);
		cr_assert_eq(world_answer(w, 100 + i)->code, ERR_OK);
		cr_assert_eq(world_answer(w, 200 + i)->code, ERR_OK);
		cr_assert_lt(commit_id_compare(world_answer(w, 100 + i)->version, world_answer(w, 200 + i)->version), 0);
		w->answer_count = 0;
	}
	cr_assert_eq(commit_counts(w->regions[0].machine)->withdrawn, 0);
}

static int repeat(uint8_t region, uint64_t route, uint64_t age_ms, const struct commit_operation *o)
{
	world_repeat(w, region, route, 5000 + route, 1, age_ms, o);
	world_deliver(w, ALL, 0);
	const struct world_answer *answer = world_answer(w, route);
	cr_assert(answer, "repeat %u is not answered", (unsigned)route);
	return answer->code;
}

/* Was it sent before the start, so that a copy of it may have been taken that is not remembered? The monotonic clock knows. */
Test(clock, a13_uncertain_is_told_by_no_wall_clock)
{
	struct commit_operation o = world_operation(COMMIT_PUT, "there", "new");
	o.condition = COMMIT_IF_ABSENT;
	world_put(w, 0, 1, "there", "old");
	world_deliver(w, ALL, 0);
	world_streams(w);
	world_kill(w, 0);
	w->regions[0].clock_ms = 3600000;
	world_start(w, 0);
	w->regions[0].clock_ms = 0;
	w->now_ns += 30 * WORLD_SECOND;
	cr_assert_eq(repeat(0, 2, 500, &o), ERR_CHECK_FAILED, "sent long after the start");
	world_kill(w, 0);
	w->regions[0].clock_ms = -3600000;
	world_start(w, 0);
	w->regions[0].clock_ms = 0;
	w->now_ns += 5 * WORLD_SECOND;
	cr_assert_eq(repeat(0, 3, 7000, &o), ERR_UNKNOWN_OUTCOME, "sent before the start");
}
