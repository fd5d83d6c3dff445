/* SPDX-License-Identifier: Apache-2.0
 *
 * How requests of clients end. */
#include <criterion/criterion.h>
#include <string.h>
#include <time.h>

#include "core/hlc.h"
#include "tests/unit/commit/world.h"

/* Returns after how long the answer came; at most ns. */
static uint64_t wait_for(struct world *w, uint32_t regions, uint64_t route, uint64_t ns)
{
	uint64_t start_ns = w->now_ns;
	while (world_code(w, route) == 1 && w->now_ns < start_ns + ns)
		world_wait(w, regions, 20 * MS);
	return w->now_ns - start_ns;
}

/* One region is gone and another says NO: nobody is left who could make it a majority. */
Test(requests, A9_a_no_is_not_waited_over_for_who_is_gone)
{
	for (uint32_t told = 0; told < 2; told++) {
		struct world *w = world_new(3);
		world_put_without_0(w, 1, "a");
		world_kill(w, 2);
		if (told)
			world_peers(w, 0, 3);
		struct commit_operation o = world_operation(COMMIT_PUT, "a", "mine");
		o.condition = COMMIT_IF_ABSENT;
		world_transaction(w, 0, 2, 7, 1, 1, &o);
		uint64_t took_ns = wait_for(w, 3, 2, 3 * WORLD_SECOND);
		cr_assert_eq(world_code(w, 2), ERR_CHECK_FAILED, "told %u: %s", told, error_name(world_code(w, 2)));
		cr_assert_leq(
		    took_ns, (told ? 60 : 400) * MS, "told %u: after %llu ms", told, (unsigned long long)(took_ns / MS));
		world_free(w);
	}
}

/* With five regions two may be gone; a NO of one of the two that are left decides it, and a YES of both does, too. */
Test(requests, A9_five_regions)
{
	struct world *w = world_new(5);
	world_kill(w, 3);
	world_kill(w, 4);
	world_peers(w, 0, 7);
	world_put(w, 0, 1, "a", "x");
	wait_for(w, ALL, 1, WORLD_SECOND);
	cr_assert_eq(world_code(w, 1), ERR_OK);
	world_put(w, 0, 2, "a", "y");
	world_deliver(w, 3, COMMIT_PREPARE);
	struct commit_message no = {.type = COMMIT_VOTE, .vote = COMMIT_NO, .reason = ERR_OVERLOADED};
	no.id = world_waiting(w, COMMIT_PREPARE).id;
	world_drop(w, 0, 2, COMMIT_PREPARE);
	world_inject(w, 2, 0, &no);
	world_deliver(w, 5, COMMIT_VOTE);
	cr_assert_eq(world_pending(w, COMMIT_WITHDRAW), 4, "two can vote, and one of them said NO");
	world_drop(w, 0, 3, 0);
	world_drop(w, 0, 4, 0);
	wait_for(w, ALL, 2, WORLD_SECOND);
	cr_assert_eq(world_code(w, 2), ERR_OK);
	world_free(w);
}

/* Every try is answered NO by both: how often is it begun again within its two seconds? */
static uint64_t tries(struct world *w, int16_t reason, uint64_t route)
{
	world_put(w, 0, route, "a", "x");
	uint64_t count = 0, start_ns = w->now_ns;
	while (world_code(w, route) == 1 && w->now_ns < start_ns + 3 * WORLD_SECOND) {
		struct commit_message no = {.type = COMMIT_VOTE, .vote = COMMIT_NO, .reason = reason};
		while (world_pending(w, COMMIT_PREPARE)) {
			no.id = world_waiting(w, COMMIT_PREPARE).id;
			count++;
			world_drop(w, 0, 255, COMMIT_PREPARE);
			world_inject(w, 1, 0, &no);
			world_inject(w, 2, 0, &no);
			world_deliver(w, ALL, COMMIT_VOTE);
			world_deliver(w, ALL, COMMIT_WITHDRAW);
			world_deliver(w, ALL, COMMIT_WITHDRAWN);
			cr_assert_lt(count, 10000);
		}
		world_tick(w, 0, 20 * MS);
	}
	return count;
}

Test(requests, A3_a_request_that_is_refused_backs_off)
{
	struct world *w = world_new(3);
	uint64_t count = tries(w, ERR_OVERLOADED, 1);
	cr_assert_eq(world_code(w, 1), ERR_NO_QUORUM);
	cr_assert(count >= 4 && count <= 12, "begun %llu times in 2 s", (unsigned long long)count);
	world_free(w);
}

/* Whatever it is: another try would be told the same. */
Test(requests, A3_a_refusal_that_cannot_change_ends_the_request)
{
	const int16_t reasons[] = {ERR_CLOCK_AHEAD, ERR_VALUE_TOO_LARGE, ERR_UNSUPPORTED};
	for (uint32_t i = 0; i < 3; i++) {
		struct world *w = world_new(3);
		cr_assert_eq(tries(w, reasons[i], 1), 1);
		cr_assert_eq(world_code(w, 1), reasons[i], "%s", error_name(world_code(w, 1)));
		cr_assert_lt(w->now_ns, WORLD_SECOND + 500 * MS);
		world_free(w);
	}
}

/* Part of the rows' room is kept for what makes room: a transaction that only deletes, with conditions or without. */
Test(requests, E13b_deletes_are_taken_when_there_is_no_room_for_more)
{
	struct world *w = world_new(3);
	struct commit_operation check = world_operation(COMMIT_CHECK, "c", NULL);
	check.condition = COMMIT_IF_ABSENT;
	const struct commit_operation deletes[] = {world_operation(COMMIT_DELETE, "a", NULL), check};
	const struct commit_operation mixed[] = {
	    world_operation(COMMIT_DELETE, "b", NULL), world_operation(COMMIT_PUT, "a", "more")};
	world_put(w, 0, 1, "a", "one");
	world_put(w, 0, 2, "b", "two");
	world_wait(w, 7, 200 * MS);
	cr_assert(world_code(w, 1) == ERR_OK && world_code(w, 2) == ERR_OK);
	world_refuse_but_deletes(w, 0, ERR_DISK_FULL);
	world_put(w, 0, 3, "a", "more");
	world_transaction(w, 0, 4, 9, 1, 2, mixed);
	world_transaction(w, 0, 5, 9, 2, 1, &check);
	world_transaction(w, 0, 6, 9, 3, 2, deletes);
	world_wait(w, 7, 200 * MS);
	cr_assert_eq(world_code(w, 3), ERR_DISK_FULL);
	cr_assert_eq(world_code(w, 4), ERR_DISK_FULL);
	cr_assert_eq(world_code(w, 5), ERR_DISK_FULL);
	cr_assert_eq(world_code(w, 6), ERR_OK, "%s", error_name(world_code(w, 6)));
	world_streams(w);
	cr_assert_null(world_value(w, 0, "a"));
	cr_assert_str_eq(world_value(w, 0, "b"), "two");
	/* Any other reason is for deletes, too, and when nothing is kept for them any more. */
	world_refuse(w, 0, ERR_DISK_FULL);
	world_transaction(w, 0, 7, 9, 4, 2, deletes);
	cr_assert_eq(world_code(w, 7), ERR_DISK_FULL);
	world_free(w);
}

/* A stamp that came too late is a matter of one more try, at once. */
Test(requests, A3_a_stamp_too_late_costs_one_try)
{
	struct world *w = world_new(3);
	world_put_without_0(w, 1, "a");
	world_kill(w, 2);
	w->regions[0].clock_ms = -200;
	world_put(w, 0, 2, "a", "mine");
	uint64_t took_ns = wait_for(w, 3, 2, 3 * WORLD_SECOND);
	cr_assert_eq(world_code(w, 2), ERR_OK);
	cr_assert_leq(took_ns, 400 * MS);
	world_free(w);
}

/* The same request goes to 0, where it waits for the key, and to 1, where it is applied. */
static struct world *duplicate_waits(void)
{
	struct world *w = world_new(3);
	world_put(w, 0, 1, "a", "first");
	world_drop(w, 0, 255, 0);
	struct commit_operation o = world_operation(COMMIT_PUT, "a", "R");
	world_transaction(w, 0, 2, 7, 1, 1, &o);
	world_drop(w, 0, 255, 0);
	world_repeat(w, 1, 3, 7, 1, 100, &o);
	world_deliver(w, 6, COMMIT_PREPARE);
	world_deliver(w, 6, COMMIT_VOTE);
	cr_assert_eq(world_code(w, 3), ERR_OK);
	world_drop(w, 255, 255, 0);
	return w;
}

Test(requests, A11_a_duplicate_that_waits_is_told_what_became_of_it)
{
	struct world *w = duplicate_waits();
	world_streams(w);
	cr_assert_str_eq(world_value(w, 0, "a"), "R");
	uint64_t took_ns = wait_for(w, 0, 2, 3 * WORLD_SECOND);
	cr_assert_eq(world_code(w, 2), ERR_OK, "%s", error_name(world_code(w, 2)));
	cr_assert_eq(commit_id_compare(world_answer(w, 2)->version, world_answer(w, 3)->version), 0);
	cr_assert_lt(took_ns, 200 * MS, "at its deadline only");
	world_free(w);
}

/* The stream comes while its own transaction waits for votes that do not come. */
Test(requests, A11_a_duplicate_under_way_is_not_called_unknown)
{
	struct world *w = world_new(3);
	struct commit_operation o = world_operation(COMMIT_PUT, "a", "R");
	world_transaction(w, 0, 2, 7, 1, 1, &o);
	world_drop(w, 0, 255, 0);
	world_repeat(w, 1, 3, 7, 1, 100, &o);
	world_deliver(w, 6, COMMIT_PREPARE);
	world_deliver(w, 6, COMMIT_VOTE);
	cr_assert_eq(world_code(w, 3), ERR_OK);
	world_drop(w, 255, 255, 0);
	world_streams(w);
	wait_for(w, 0, 2, 3 * WORLD_SECOND);
	cr_assert_eq(world_code(w, 2), ERR_OK, "%s", error_name(world_code(w, 2)));
	world_free(w);
}

/* It was the second of those that share the commit, and is answered with its own version. */
Test(requests, a20_a_duplicate_is_told_its_own_share)
{
	struct world *w = world_new(3);
	struct commit_operation o = world_operation(COMMIT_PUT, "a", "R");
	world_put(w, 1, 1, "a", "holds it in 1");
	world_put(w, 1, 2, "a", "first of two");
	world_repeat(w, 1, 3, 7, 1, 100, &o);
	world_drop(w, 1, 0, COMMIT_PREPARE);
	world_deliver(w, 6, 0); /* the first, and then both of the others in one */
	world_drop(w, 255, 255, 0);
	cr_assert_eq(world_code(w, 3), ERR_OK);
	cr_assert_eq(world_answer(w, 3)->version.share, 1);
	world_put(w, 0, 4, "a", "holds it in 0");
	world_drop(w, 255, 255, 0);
	world_transaction(w, 0, 5, 7, 1, 1, &o);
	world_streams(w);
	wait_for(w, 0, 5, WORLD_SECOND);
	cr_assert_eq(world_code(w, 5), ERR_OK, "%s", error_name(world_code(w, 5)));
	cr_assert_eq(commit_id_compare(world_answer(w, 5)->version, world_answer(w, 3)->version), 0);
	cr_assert_eq(world_answer(w, 5)->version.share, 1);
	world_free(w);
}

/* Sent again while the first copy is under way: the newest way back is answered, with its own time of arrival. */
Test(requests, a20_a_repeat_is_answered_as_it_arrived)
{
	struct world *w = world_new(3);
	struct commit_operation o = world_operation(COMMIT_PUT, "a", "R");
	w->arrived_ns = 111;
	world_transaction(w, 0, 1, 7, 1, 1, &o);
	w->arrived_ns = 222;
	world_repeat(w, 0, 2, 7, 1, 10, &o);
	world_deliver(w, ALL, 0);
	cr_assert_eq(world_code(w, 1), 1);
	cr_assert_eq(world_code(w, 2), ERR_OK);
	cr_assert_eq(world_answer(w, 2)->arrived_ns, 222);
	world_free(w);
}

/* A repeat that an earlier copy may have come before, elsewhere: no refusal of it is certain. */
Test(requests, A11_nothing_is_certain_of_a_request_whose_first_copy_is_not_known)
{
	struct world *w = world_new(3);
	w->now_ns += 10 * WORLD_SECOND;
	world_put(w, 0, 1, "a", "first");
	world_drop(w, 0, 255, 0);
	struct commit_operation o = world_operation(COMMIT_PUT, "a", "R");
	w->moved = true;
	world_repeat(w, 0, 2, 7, 1, 100, &o);
	for (uint32_t i = 0; i < 120 && world_code(w, 2) == 1; i++) {
		world_wait(w, 0, 20 * MS);
		world_drop(w, 255, 255, 0);
	}
	cr_assert_eq(world_code(w, 2), ERR_UNKNOWN_OUTCOME, "%s", error_name(world_code(w, 2)));
	world_free(w);
}

/* The same request waits in region 1 while region 0 commits it: nothing is done yet, and 1 votes for it. */
Test(requests, a20_a_request_that_waits_is_not_done)
{
	struct world *w = world_new(3);
	struct commit_operation o = world_operation(COMMIT_PUT, "a", "R");
	world_put(w, 1, 1, "a", "holds it in 1");
	world_transaction(w, 1, 2, 7, 1, 1, &o);
	world_drop(w, 255, 255, 0);
	o = world_operation(COMMIT_PUT, "b", "R");
	world_transaction(w, 0, 3, 7, 1, 1, &o);
	world_deliver(w, 3, COMMIT_PREPARE);
	cr_assert_eq(world_waiting(w, COMMIT_VOTE).vote, COMMIT_YES);
	world_free(w);
}

/* ---- reads ---- */

static struct world *blocked_reads(uint32_t reads)
{
	struct world *w = world_new_with(3, &(struct commit_options){.reads = reads});
	w->deadline_ns = 10 * WORLD_SECOND;
	world_put(w, 0, 1, "a", "x");
	world_drop(w, 0, 255, 0);
	return w;
}

/* CPU seconds for `count` more questions of region 1 that wait in region 0. */
static double reads_ask(struct world *w, uint64_t route, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		world_get(w, 1, route + i, "a");
	world_drop(w, 1, 2, COMMIT_ASK);
	clock_t start = clock();
	cr_assert_eq(world_deliver(w, 3, COMMIT_ASK), count);
	return (double)(clock() - start) / CLOCKS_PER_SEC;
}

/* The table filled to its end: the last question costs what the first did, and so do all when they are asked again. */
Test(requests, A12_waiting_reads_cost_the_same_however_many_they_are)
{
	struct world *w = blocked_reads(16384);
	double first = reads_ask(w, 1000, 2000) + 0.001, last = 0;
	for (uint32_t n = 2000; n < 16000; n += 2000)
		last = reads_ask(w, 1000 + n, 2000);
	cr_assert_lt(last, 4 * first, "the first 2000 took %.4f s, the last %.4f s", first, last);
	world_tick(w, 1, WORLD_SECOND);
	world_drop(w, 1, 2, COMMIT_ASK);
	clock_t start = clock();
	cr_assert_eq(world_deliver(w, 3, COMMIT_ASK), 16000);
	double again = (double)(clock() - start) / CLOCKS_PER_SEC;
	cr_assert_lt(again, 32 * first, "all again took %.4f s, the first 2000 %.4f s", again, first);
	world_free(w);
}

/* Whoever asked has given up: nothing of it is left here, and others have the room. */
Test(requests, A12_a_read_that_nobody_waits_for_gives_its_place_back)
{
	struct world *w = blocked_reads(64);
	w->deadline_ns = WORLD_SECOND;
	for (uint32_t i = 0; i < 64; i++)
		world_get(w, 1, 100 + i, "a");
	world_deliver(w, 3, COMMIT_ASK);
	cr_assert_eq(commit_counts(w->regions[0].machine)->reads_waited, 64);
	world_get(w, 2, 200, "a");
	world_deliver(w, 5, COMMIT_ASK);
	cr_assert_eq(commit_counts(w->regions[0].machine)->reads_waited, 64, "the table was full");
	/* Region 1's have ended, answered by 2 and itself; nobody asks for them again. */
	for (uint32_t i = 0; i < 100; i++) {
		world_tick(w, 0, 20 * MS);
		world_drop(w, 0, 255, 0);
		world_drop(w, 255, 0, 0);
	}
	world_get(w, 2, 201, "a");
	world_deliver(w, 5, COMMIT_ASK);
	cr_assert_eq(commit_counts(w->regions[0].machine)->reads_waited, 65, "their places were not given back");
	world_free(w);
}

/* In the order in which they came, and each with all that was there when it came. */
Test(requests, A12_a_read_waits_for_what_was_there_before_it_and_no_more)
{
	struct world *w = world_new(3);
	world_put(w, 1, 1, "a", "one");
	world_deliver(w, 3, COMMIT_PREPARE); /* 0 has voted */
	world_drop(w, 1, 2, 0);
	world_get(w, 0, 2, "a");
	world_drop(w, 0, 255, COMMIT_ASK);
	cr_assert_eq(commit_counts(w->regions[0].machine)->reads_waited, 1);
	world_deliver(w, 3, COMMIT_VOTE);
	world_deliver(w, 3, COMMIT_DECIDED);
	world_put(w, 2, 3, "a", "two");
	world_deliver(w, 5, COMMIT_PREPARE); /* held again: the read came before */
	world_streams(w);
	world_tick(w, 0, WORLD_SECOND / 2); /* and asks the others again */
	world_deliver(w, 3, COMMIT_ASK);
	world_deliver(w, 3, COMMIT_TOLD);
	cr_assert_eq(world_code(w, 2), ERR_OK, "%s", error_name(world_code(w, 2)));
	cr_assert_str_eq(world_answer(w, 2)->value, "one");
	world_free(w);
}

/* ---- what is older than the memory ---- */

/* More requests than are remembered, of other clients, through regions 1 and 2. */
static void memory_fill(struct world *w, uint64_t route)
{
	for (uint32_t i = 0; i < 40; i++, route++) {
		w->now_ns += MS;
		world_put(w, 1, route, "other", "x");
		world_deliver(w, 6, 0);
		world_drop(w, 255, 0, 0);
		cr_assert_eq(world_code(w, route), ERR_OK);
	}
}

/* The original stands in a paused region while its repeat is applied elsewhere, and forgotten: it says that it is sent for the
 * first time, and only what its client had read of the clock tells how long ago. `caught_up`: the streams came before it. */
Test(requests, A5_waiting_time_counts)
{
	for (uint32_t caught_up = 0; caught_up < 2; caught_up++) {
		struct world *w = world_new_with(3, &(struct commit_options){.memory = 8, .requests = 8});
		world_put(w, 0, 1, "a", "older");
		world_wait(w, ALL, WORLD_SECOND / 10);
		struct commit_operation o = world_operation(COMMIT_PUT, "a", "R"),
		                        p = world_operation(COMMIT_PUT, "a", "newer");
		uint64_t token = w->after = commit_token(w->regions[0].machine);
		world_repeat(w, 1, 2, 7, 1, 100, &o);
		world_deliver(w, 6, 0);
		world_drop(w, 255, 0, 0);
		cr_assert_eq(world_code(w, 2), ERR_OK);
		w->after = 0;
		world_transaction(w, 1, 3, 8, 1, 1, &p);
		world_deliver(w, 6, 0);
		world_drop(w, 255, 0, 0);
		memory_fill(w, 10000);
		if (caught_up)
			world_streams(w);
		w->after = token;
		world_transaction(w, 0, 4, 7, 1, 1, &o);
		world_wait(w, ALL, WORLD_SECOND);
		cr_assert_eq(world_code(w, 4), ERR_EXPIRED, "caught up %u: %s", caught_up, error_name(world_code(w, 4)));
		world_streams(w);
		cr_assert_str_eq(world_value(w, 1, "a"), "newer");
		/* Whoever knows that there was no other copy sends it as new, under the same number. */
		w->after = token;
		world_transaction(w, 0, 5, 7, 2, 1, &p);
		world_wait(w, ALL, WORLD_SECOND);
		cr_assert_eq(world_code(w, 5), ERR_EXPIRED);
		w->after = commit_token(w->regions[0].machine);
		world_transaction(w, 0, 5, 7, 2, 1, &p);
		world_wait(w, ALL, WORLD_SECOND);
		cr_assert_eq(world_code(w, 5), ERR_OK, "caught up %u: %s", caught_up, error_name(world_code(w, 5)));
		world_free(w);
	}
}

/* No clock is asked: not the client's, nor those of the regions, one of which is two hours behind. */
Test(requests, A5_whatever_the_clocks_say)
{
	struct world *w = world_new_with(3, &(struct commit_options){.memory = 8, .requests = 8});
	w->regions[0].clock_ms = -7200000;
	memory_fill(w, 10000);
	uint64_t token = commit_token(w->regions[1].machine);
	w->after = token;
	struct commit_operation o = world_operation(COMMIT_PUT, "a", "R");
	world_transaction(w, 1, 2, 7, 1, 1, &o);
	world_deliver(w, 6, 0);
	world_drop(w, 255, 0, 0);
	cr_assert_eq(world_code(w, 2), ERR_OK);
	w->after = 0;
	memory_fill(w, 20000);
	world_streams(w);
	w->after = token;
	w->moved = true;
	world_repeat(w, 0, 3, 7, 1, 1, &o);
	world_wait(w, ALL, WORLD_SECOND);
	cr_assert_eq(world_code(w, 3), ERR_EXPIRED, "%s", error_name(world_code(w, 3)));
	/* What is new, with what its client has read in the region that is right, is taken by the one that is behind. */
	w->after = commit_token(w->regions[1].machine);
	w->moved = false;
	world_transaction(w, 0, 4, 8, 1, 1, &o);
	world_wait(w, ALL, WORLD_SECOND);
	cr_assert_eq(world_code(w, 4), ERR_OK, "%s", error_name(world_code(w, 4)));
	cr_assert_gt(world_answer(w, 4)->version.hlc, w->after);
	/* But a client does not put a region's clock ahead by more than an hour. */
	w->after = commit_token(w->regions[0].machine) + (7200000ull << 16) * 2;
	world_transaction(w, 0, 5, 9, 1, 1, &o);
	cr_assert_eq(world_code(w, 5), ERR_OVERLOADED, "%s", error_name(world_code(w, 5)));
	world_free(w);
}

/* One of those that share a transaction is too old, the others are not. */
Test(requests, A13_one_that_is_expired_ends_alone)
{
	struct world *w = world_new(3);
	world_put(w, 0, 1, "a", "first");
	for (uint64_t i = 2; i < 8; i++)
		world_put(w, 0, i, "a", "x"); /* wait for it, and share what comes next */
	world_deliver(w, 3, COMMIT_PREPARE);
	world_deliver(w, 3, COMMIT_VOTE);
	world_deliver(w, ALL, COMMIT_DECIDED);
	cr_assert_eq(world_code(w, 1), ERR_OK);
	cr_assert_geq(commit_counts(w->regions[0].machine)->shared, 6);
	struct commit_message no = {.type = COMMIT_VOTE, .vote = COMMIT_NO, .reason = ERR_EXPIRED, .read = 2};
	no.id = world_waiting(w, COMMIT_PREPARE).id;
	world_drop(w, 0, 255, COMMIT_PREPARE);
	world_inject(w, 1, 0, &no);
	world_wait(w, ALL, WORLD_SECOND);
	for (uint64_t i = 2; i < 8; i++)
		cr_assert_eq(
		    world_code(w, i), i == 4 ? ERR_EXPIRED : ERR_OK, "%u: %s", (unsigned)i, error_name(world_code(w, i)));
	world_free(w);
}

/* Who says that a request is too old says what it has forgotten, so that the coordinator knows it, too. */
Test(requests, a20_too_old_comes_with_what_is_forgotten)
{
	struct world *w = world_new_with(3, &(struct commit_options){.memory = 8, .requests = 8});
	uint64_t token = commit_token(w->regions[0].machine);
	memory_fill(w, 10000);
	w->after = token;
	struct commit_operation o = world_operation(COMMIT_PUT, "a", "R");
	world_transaction(w, 0, 2, 7, 1, 1, &o);
	world_deliver(w, 3, COMMIT_PREPARE);
	struct commit_message vote = world_waiting(w, COMMIT_VOTE);
	cr_assert(vote.vote == COMMIT_NO && vote.reason == ERR_EXPIRED);
	cr_assert_geq(vote.version.hlc, token);
	cr_assert_lt(vote.version.hlc, commit_token(w->regions[1].machine));
	world_free(w);
}

/* ---- how old a request is ---- */

static uint64_t since_of_the_next(struct world *w, uint64_t age_ms)
{
	static uint64_t route = 1000;
	struct commit_operation o = world_operation(COMMIT_PUT, "a", "x");
	struct commit_body body;
	route++;
	world_repeat(w, 0, route, route, 1, age_ms, &o);
	struct commit_message prepare = world_waiting(w, COMMIT_PREPARE);
	cr_assert_eq(commit_body_open(&body, prepare.body, prepare.body_size), 0);
	world_deliver(w, ALL, 0);
	cr_assert_eq(world_code(w, route), ERR_OK);
	return body.since;
}

static uint64_t wall(const struct world *w, int64_t ahead_ms)
{
	return hlc_pack((uint64_t)(1900000000000ll + (int64_t)(w->now_ns / MS) + ahead_ms), 0);
}

/* It waits since its client sent it first, by the clock of strong stamps: a wall clock that is behind makes nobody older. */
Test(requests, a20_a_request_waits_since_it_was_first_sent)
{
	struct world *w = world_new(3);
	cr_assert_eq(since_of_the_next(w, 0), wall(w, 0));
	w->now_ns += WORLD_SECOND;
	cr_assert_eq(since_of_the_next(w, 300), wall(w, -300));
	w->now_ns += WORLD_SECOND;
	cr_assert_eq(since_of_the_next(w, UINT64_MAX >> 18), 0, "older than the clock can tell");
	world_put(w, 1, 1, "b", "x");
	world_deliver(w, ALL, 0);
	uint64_t met = world_answer(w, 1)->version.hlc;
	w->regions[0].clock_ms = -5000;
	cr_assert_geq(since_of_the_next(w, 0), met);
	w->regions[0].clock_ms = 1ll << 47;
	cr_assert_eq(since_of_the_next(w, 0), hlc_pack(HLC_WALL_MS_MAX, 0));
	world_free(w);
}

/* ---- a check that failed ---- */

/* Versions of "a": replaced[0] by replaced[1], and that by the newest. */
static struct world *replaced_twice(struct commit_id replaced[2])
{
	struct world *w = world_new(3);
	for (uint64_t i = 1; i < 4; i++) {
		w->now_ns += MS;
		world_put(w, 1, i, "a", i == 3 ? "newest" : "x");
		world_deliver(w, ALL, 0);
		cr_assert_eq(world_code(w, i), ERR_OK);
		if (i < 3)
			replaced[i - 1] = world_answer(w, i)->version;
	}
	world_streams(w);
	return w;
}

/* Carried on from another region: whatever became of the copy there, the version is replaced, and by somebody else. */
Test(requests, C5b_a_check_that_failed_is_an_answer_after_a_move)
{
	struct commit_id replaced[2];
	for (uint32_t which = 0; which < 2; which++) {
		struct world *w = replaced_twice(replaced);
		struct commit_operation o = world_operation(COMMIT_PUT, "a", "mine");
		o.condition = COMMIT_IF_VERSION;
		o.expected = replaced[which];
		w->moved = true;
		world_repeat(w, 0, 10, 7, 1, 100, &o);
		world_wait(w, ALL, WORLD_SECOND / 2);
		cr_assert_eq(world_code(w, 10), ERR_CHECK_FAILED, "%u: %s", which, error_name(world_code(w, 10)));
		world_free(w);
	}
}

/* The copy there was applied, and replaced; this region has that commit only by the row that replaced it, and must not say that
 * it was refused. */
Test(requests, C5b_but_not_while_the_commit_that_replaced_it_is_not_known)
{
	struct commit_id replaced[2];
	struct world *w = replaced_twice(replaced);
	struct commit_id newest = world_answer(w, 3)->version;
	struct commit_operation o = world_operation(COMMIT_PUT, "a", "mine");
	o.condition = COMMIT_IF_VERSION;
	o.expected = newest;
	uint64_t token = commit_token(w->regions[0].machine);
	world_transaction(w, 1, 10, 7, 1, 1, &o); /* with 2, and 0 hears nothing of it */
	world_deliver(w, 6, 0);
	world_drop(w, 255, 0, 0);
	cr_assert_eq(world_code(w, 10), ERR_OK);
	world_lose(w, 2); /* so that nobody but 1, which is away, knows the request */
	w->moved = true;
	w->after = token;
	world_repeat(w, 0, 11, 7, 1, 100, &o);
	world_wait(w, 1, 3 * WORLD_SECOND);
	cr_assert_eq(world_code(w, 11), ERR_UNKNOWN_OUTCOME, "%s", error_name(world_code(w, 11)));
	world_free(w);
}

/* It was refused here for certain when this was the only copy; then it went elsewhere, and comes back. */
Test(requests, C5b_what_was_certain_of_one_copy)
{
	struct commit_id replaced[2];
	struct world *w = replaced_twice(replaced);
	struct commit_operation o = world_operation(COMMIT_PUT, "a", "mine");
	o.condition = COMMIT_IF_ABSENT;
	world_transaction(w, 0, 10, 7, 1, 1, &o);
	world_wait(w, ALL, WORLD_SECOND / 2);
	cr_assert_eq(world_code(w, 10), ERR_CHECK_FAILED, "%s", error_name(world_code(w, 10)));
	world_repeat(w, 0, 11, 7, 1, 100, &o);
	cr_assert_eq(world_code(w, 11), ERR_CHECK_FAILED, "%s", error_name(world_code(w, 11)));
	w->moved = true;
	world_repeat(w, 0, 12, 7, 1, 100, &o);
	cr_assert_eq(world_code(w, 12), ERR_UNKNOWN_OUTCOME, "%s", error_name(world_code(w, 12)));
	world_free(w);
}

/* An absent key may be absent again while the other copy is still on its way: that remains unknown. */
Test(requests, C5b_a_key_that_may_be_absent_again)
{
	struct commit_id replaced[2];
	struct world *w = replaced_twice(replaced);
	struct commit_operation o = world_operation(COMMIT_PUT, "a", "mine");
	o.condition = COMMIT_IF_ABSENT;
	w->moved = true;
	world_repeat(w, 0, 10, 7, 1, 100, &o);
	world_wait(w, ALL, WORLD_SECOND / 2);
	cr_assert_eq(world_code(w, 10), ERR_UNKNOWN_OUTCOME, "%s", error_name(world_code(w, 10)));
	world_free(w);
}

/* Asked about what was decided and forgotten here, and the answer to that was lost: it asks in its turn, and lets go. */
Test(requests, A13_an_echo_ends)
{
	struct world *w = world_new(3);
	world_kill(w, 1);
	w->options.memory = 8;
	world_start(w, 1);
	struct commit_message ask = {.type = COMMIT_RECOVER, .ballot = REGIONS_MAX + 2};
	for (uint64_t i = 1; i < 30; i++) {
		w->now_ns += MS;
		world_put(w, 0, i, "a", "x");
		world_deliver(w, ALL, 0);
		cr_assert_eq(world_code(w, i), ERR_OK);
		if (i == 1)
			ask.id = world_answer(w, i)->version;
	}
	world_streams(w);
	world_inject(w, 2, 1, &ask);
	world_deliver(w, 6, COMMIT_RECOVER);
	world_drop(w, 255, 255, 0);
	world_put(w, 1, 100, "b", "x");
	world_deliver(w, ALL, 0);
	uint64_t held = commit_oldest_lsn(w->regions[1].machine);
	cr_assert_lt(held, w->regions[1].durable - 2, "it promised nothing");
	world_wait(w, ALL, 6 * WORLD_SECOND);
	cr_assert_gt(commit_oldest_lsn(w->regions[1].machine), held, "it is still there");
	world_free(w);
}
