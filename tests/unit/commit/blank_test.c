/* SPDX-License-Identifier: Apache-2.0
 *
 * What a region says of a transaction that it cannot know: no place for its body, or a row that cannot be read (A4, B2). And
 * how long others are taken to be away, which is what decides how soon one of two gives way (A18). */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "commit/message.h"
#include "commit/state.h"
#include "tests/unit/commit/world.h"

static struct commit_message recover_of(struct commit_message prepare, uint64_t with)
{
	return (struct commit_message){
	    .type = COMMIT_RECOVER, .id = prepare.id, .ballot = with, .body = prepare.body, .body_size = prepare.body_size};
}

static void expect_blank(struct world *w, uint64_t with)
{
	cr_assert_eq(world_pending(w, COMMIT_PROMISED), 1, "no promise");
	struct commit_message promised = world_waiting(w, COMMIT_PROMISED);
	cr_assert(promised.blank && promised.forgotten, "it speaks of what it does not know");
	cr_assert(promised.ballot == with && promised.vote == COMMIT_NONE && !promised.coordinates && !promised.hold_count);
	world_drop(w, 255, 255, 0);
}

Test(blank, B2_who_cannot_read_the_row_promises_all_the_same)
{
	struct world *w = world_new(3);
	world_put(w, 0, 1, "a", "one");
	world_deliver(w, ALL, 0);
	world_streams(w);
	world_damage(w, 2, "a");
	world_put(w, 0, 2, "a", "two");
	struct commit_message prepare = world_waiting(w, COMMIT_PREPARE);
	struct commit_id id = prepare.id;
	struct commit_message recover = recover_of(prepare, world_ballot(10, 1));
	world_inject(w, 1, 2, &recover);
	world_drop(w, 0, 1, 0);
	world_deliver(w, 6, COMMIT_RECOVER);
	cr_assert_eq(world_pending(w, COMMIT_PROMISED), 1);
	world_deliver(w, 5, COMMIT_PREPARE);
	cr_assert_eq(world_pending(w, COMMIT_VOTE), 0, "a vote after a promise");
	world_drop(w, 0, 255, 0);
	expect_blank(w, world_ballot(10, 1));
	/* After a restart, too. */
	world_kill(w, 2);
	world_start_damaged(w, 2, "a");
	world_drop(w, 255, 255, 0);
	recover = (struct commit_message){.type = COMMIT_RECOVER, .id = id, .ballot = world_ballot(9, 1)};
	world_inject(w, 1, 2, &recover);
	world_deliver(w, 6, COMMIT_RECOVER);
	cr_assert_eq(world_pending(w, COMMIT_PROMISED), 0, "a lower ballot is promised");
	world_free(w);
}

/* Region 1 recovers what it voted for, and hears `forgotten` of region 0 and a blank promise of region 2. */
Test(blank, A4_a_blank_promise_counts_where_all_are_waited_for_and_nowhere_else)
{
	for (int forgotten = 0; forgotten < 2; forgotten++) {
		struct world *w = world_new(3);
		world_put(w, 0, 1, "a", "one");
		world_deliver(w, 3, COMMIT_PREPARE);
		world_drop(w, 255, 255, 0);
		for (int i = 0; i < 500 && !world_pending(w, COMMIT_RECOVER); i++) {
			world_tick(w, 1, 20 * MS);
			world_drop(w, 255, 0, COMMIT_FETCH);
		}
		struct commit_message recover = world_waiting(w, COMMIT_RECOVER);
		cr_assert(recover.ballot, "region 1 never asks");
		world_drop(w, 255, 255, 0);
		struct commit_message promised = {.type = COMMIT_PROMISED, .id = recover.id, .ballot = recover.ballot};
		promised.blank = promised.forgotten = true;
		world_inject(w, 2, 1, &promised);
		world_deliver(w, 6, COMMIT_PROMISED);
		cr_assert_eq(world_pending(w, COMMIT_ACCEPT), 0, "it counts as a reply");
		if (forgotten) {
			promised.blank = false;
			world_inject(w, 0, 1, &promised);
			world_deliver(w, 3, COMMIT_PROMISED);
			cr_assert_eq(world_pending(w, COMMIT_ACCEPT), 2, "all have promised, and nothing is proposed");
			cr_assert_eq(world_waiting(w, COMMIT_ACCEPT).decision, COMMIT_ABORTED);
		}
		world_free(w);
	}
}

/* A majority of true replies is enough, whoever else is blank. */
Test(blank, A4_a_blank_promise_holds_nobody_up)
{
	struct world *w = world_new(5);
	world_put(w, 0, 1, "a", "one");
	world_deliver(w, 3, COMMIT_PREPARE);
	world_kill(w, 0);
	world_drop(w, 255, 255, 0);
	for (int i = 0; i < 500 && !world_pending(w, COMMIT_RECOVER); i++)
		world_tick(w, 1, 20 * MS);
	struct commit_message recover = world_waiting(w, COMMIT_RECOVER);
	struct commit_message promised = {
	    .type = COMMIT_PROMISED, .id = recover.id, .ballot = recover.ballot, .blank = true, .forgotten = true};
	cr_assert(recover.ballot, "region 1 never asks");
	world_inject(w, 4, 1, &promised);
	world_deliver(w, 18, COMMIT_PROMISED);
	world_deliver(w, 14, COMMIT_RECOVER);
	world_deliver(w, 14, COMMIT_PROMISED);
	cr_assert_gt(world_pending(w, COMMIT_ACCEPT), 0);
	world_free(w);
}

/* Region 1 has begun and taken as many as it may; what is in doubt elsewhere gets its promise all the same. */
Test(blank, A4_a_promise_is_not_refused_for_want_of_a_place)
{
	enum { PLACES = 8, MORE = 2 * PLACES };
	struct world *w = world_new_with(3, &(struct commit_options){.transactions = PLACES});
	char key[8];
	for (uint32_t i = 0; i < PLACES; i++) {
		snprintf(key, sizeof key, "k%u", i);
		world_put(w, 1, 1 + i, key, "x");
	}
	world_drop(w, 255, 255, 0);
	for (uint32_t i = 0; i < MORE; i++) {
		struct commit_message recover = {
		    .type = COMMIT_RECOVER, .id = {.hlc = (uint64_t)(i + 1) << 16, .region = 2}, .ballot = world_ballot(1, 0)};
		world_inject(w, 0, 1, &recover);
	}
	world_deliver(w, 3, COMMIT_RECOVER);
	cr_assert_eq(world_pending(w, COMMIT_PROMISED), MORE);
	/* There is a bound to it. */
	world_drop(w, 255, 255, 0);
	for (uint32_t i = 0; i < MORE; i++) {
		struct commit_message recover = {
		    .type = COMMIT_RECOVER, .id = {.hlc = (uint64_t)(i + 1) << 16, .region = 0}, .ballot = world_ballot(1, 2)};
		world_inject(w, 2, 1, &recover);
	}
	world_deliver(w, 6, COMMIT_RECOVER);
	cr_assert_lt(world_pending(w, COMMIT_PROMISED), MORE);
	world_free(w);
}

/* A body of 60 keys, in a region with room for none such. */
static struct commit_message large(struct world *w, struct commit_operation *operations, uint32_t count, char (*keys)[8])
{
	for (uint32_t i = 0; i < count; i++) {
		snprintf(keys[i], sizeof keys[i], "k%u", i);
		operations[i] = world_operation(COMMIT_PUT, keys[i], "a value of some length, which is there to take up room");
	}
	w->options.arena = 4096;
	world_kill(w, 1);
	world_start(w, 1);
	world_transaction(w, 0, 1, 77, 1, count, operations);
	return world_waiting(w, COMMIT_PREPARE);
}

Test(blank, A4_who_has_no_room_for_the_body_promises_all_the_same)
{
	struct world *w = world_new(3);
	struct commit_operation operations[60];
	char keys[60][8];
	struct commit_message recover = recover_of(large(w, operations, 60, keys), world_ballot(10, 2));
	cr_assert(recover.body_size > 4096);
	world_inject(w, 2, 1, &recover);
	world_drop(w, 0, 255, 0);
	world_deliver(w, 6, COMMIT_RECOVER);
	expect_blank(w, world_ballot(10, 2));
	world_free(w);
}

/* It says WITHDRAWN, too; and when it does not hear how that ended, it asks, since it has it on its disk. */
Test(blank, A4_who_knows_nothing_of_it_withdraws_and_asks_how_it_ended)
{
	struct world *w = world_new(3);
	struct commit_operation operations[60];
	char keys[60][8];
	large(w, operations, 60, keys);
	world_kill(w, 2);
	world_drop(w, 255, 255, 0);
	for (int i = 0; i < 500 && !world_pending(w, COMMIT_WITHDRAWN); i++) {
		world_tick(w, 0, 20 * MS);
		world_deliver(w, 3, COMMIT_WITHDRAW);
		world_drop(w, 0, 255, 0);
	}
	cr_assert_eq(world_pending(w, COMMIT_WITHDRAWN), 1, "who knows nothing of it does not say that it is withdrawn");
	world_deliver(w, 3, COMMIT_WITHDRAWN);
	cr_assert_eq(world_in_doubt(w, 0), 0);
	world_drop(w, 255, 255, 0); /* DECIDED among them */
	cr_assert_eq(world_in_doubt(w, 1), 1);
	world_wait(w, 3, 10 * WORLD_SECOND);
	cr_assert_eq(world_in_doubt(w, 1), 0, "it never learns how it ended");
	world_free(w);
}

/* It can propose nothing but ABORT: it asks several times what it is before it tries that. */
Test(blank, a20_who_knows_nothing_of_it_asks_before_it_proposes)
{
	struct world *w = world_new(3);
	struct commit_operation operations[60];
	char keys[60][8];
	struct commit_message prepare = large(w, operations, 60, keys);
	struct commit_message recover = recover_of(prepare, world_ballot(10, 2));
	world_inject(w, 2, 1, &recover);
	world_drop(w, 0, 255, 0);
	world_deliver(w, 6, COMMIT_RECOVER);
	world_drop(w, 255, 255, 0);
	uint32_t asked = 0;
	for (uint32_t i = 0; i < 3000 && !world_pending(w, COMMIT_RECOVER); i++) {
		world_tick(w, 1, 20 * MS);
		asked += world_drop(w, 1, 0, COMMIT_FETCH);
	}
	cr_assert_eq(asked, 4);
	cr_assert_eq(world_pending(w, COMMIT_RECOVER), 2, "it never tries");
	world_free(w);
}

Test(blank, blank_is_said_of_promises_only)
{
	uint8_t bytes[512];
	struct commit_seen seen[COMMIT_OPERATIONS_MAX];
	struct commit_message m = {.type = COMMIT_PROMISED, .id = {.hlc = 1}, .blank = true}, back;
	long size = commit_message_encode(&m, bytes, sizeof bytes);
	cr_assert_eq(commit_message_decode(&back, seen, bytes, (size_t)size), 0);
	cr_assert(back.blank && !back.committed);
	m.type = COMMIT_DECIDED;
	size = commit_message_encode(&m, bytes, sizeof bytes);
	cr_assert_eq(commit_message_decode(&back, seen, bytes, (size_t)size), ERR_MALFORMED);
}

/* ---- how far away others are ---- */

static uint64_t grace_after(struct commit *c, int count, uint64_t took_ms, uint64_t waited_ms)
{
	for (int i = 0; i < count; i++)
		round_trip_note(c, 1, took_ms * MS, waited_ms * MS);
	return grace_ns(c) / MS;
}

/* What a vote waited for a key is no distance: two regions that met on a key took it for one, gave each other more time at each
 * meeting, and in the end so much that both were taken for silent and ended. */
Test(blank, A18_a_time_of_grace_does_not_lengthen_the_next)
{
	struct world *w = world_new(3);
	struct commit *c = w->regions[0].machine;
	uint64_t in_doubt_ms = c->options.in_doubt_ns / MS;
	cr_assert_eq(grace_after(c, 1, 20, 0), 30);
	cr_assert_leq(grace_after(c, 100, 3000, 2980), 31);
	cr_assert_lt(grace_after(c, 100, 3000, 0), in_doubt_ms, "both are taken for silent");
	cr_assert_geq(grace_after(c, 1, 3000, 0), in_doubt_ms / 2, "a slow one is given its time");
	cr_assert_leq(grace_after(c, 8, 20, 0), 60, "what was slow for a while counts for long");
	world_free(w);
}

/* Region 2 has voted, and 0, which is there, still waits for 1: whoever looks too soon ends what is about to be committed. */
Test(blank, A18_a_coordinator_that_is_there_is_given_time)
{
	for (int there = 0; there < 2; there++) {
		struct world *w = world_new(3);
		uint64_t in_doubt_ns = w->options.in_doubt_ns ? w->options.in_doubt_ns : WORLD_SECOND;
		world_put(w, 0, 1, "a", "one");
		world_deliver(w, 5, COMMIT_PREPARE);
		world_drop(w, 255, 255, 0);
		world_peers(w, 2, there ? 7 : 6);
		for (uint64_t ns = 0; ns < in_doubt_ns + in_doubt_ns / 2; ns += 20 * MS)
			world_tick(w, 2, 20 * MS);
		cr_assert_eq(world_pending(w, COMMIT_RECOVER) > 0, !there);
		for (uint64_t ns = 0; ns < 2 * in_doubt_ns; ns += 20 * MS)
			world_tick(w, 2, 20 * MS);
		cr_assert_gt(world_pending(w, COMMIT_RECOVER), 0);
		world_free(w);
	}
}

Test(blank, A18_a_vote_says_how_long_its_prepare_waited)
{
	struct world *w = world_new(3);
	world_put(w, 0, 1, "a", "one");
	world_deliver(w, 5, COMMIT_PREPARE); /* region 2 holds the key for 0 */
	world_drop(w, 0, 1, COMMIT_PREPARE);
	cr_assert_eq(world_waiting(w, COMMIT_VOTE).ballot, 0);
	world_put(w, 1, 2, "a", "two");
	world_deliver(w, 6, COMMIT_PREPARE);
	cr_assert_eq(world_pending(w, COMMIT_VOTE), 1);
	w->now_ns += 70 * MS;
	world_deliver(w, 5, 0); /* 0 commits; 2 votes for what has waited */
	cr_assert_eq(world_pending(w, COMMIT_VOTE), 1);
	cr_assert_geq(world_waiting(w, COMMIT_VOTE).ballot, 70 * MS);
	cr_assert_lt(world_waiting(w, COMMIT_VOTE).ballot, 200 * MS);
	world_free(w);
}
