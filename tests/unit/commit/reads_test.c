/* SPDX-License-Identifier: Apache-2.0
 *
 * Strong reads: whom a region asks, how often, and for how long a question waits (A20). */
#include <criterion/criterion.h>

#include "tests/unit/commit/world.h"

/* Turns of `region`'s timer for `ms`; returns how many questions it sent. */
static uint32_t asked_within(struct world *w, uint8_t region, uint64_t ms)
{
	world_drop(w, 255, 255, 0);
	for (uint64_t i = 0; i < ms; i += 25)
		world_tick(w, region, 25 * MS);
	return world_pending(w, COMMIT_ASK);
}

/* Every 100 ms where nobody is far away, and only those that have not answered. */
Test(reads, a20_who_has_not_answered_is_asked_again_in_time)
{
	struct world *w = world_new(5);
	world_get(w, 0, 1, "a");
	cr_assert_eq(world_pending(w, COMMIT_ASK), 4);
	cr_assert_eq(asked_within(w, 0, 75), 0, "too soon");
	cr_assert_eq(asked_within(w, 0, 25), 4);
	world_drop(w, 0, 3, 0);
	world_deliver(w, 3, COMMIT_ASK);
	world_deliver(w, 3, COMMIT_TOLD);
	cr_assert_eq(world_code(w, 1), 1, "two of five are no majority");
	cr_assert_eq(asked_within(w, 0, 75), 0, "again at every turn");
	cr_assert_eq(asked_within(w, 0, 25), 3, "who has answered is asked, too");
	world_deliver(w, 5, COMMIT_ASK);
	world_deliver(w, 5, COMMIT_TOLD);
	cr_assert_eq(world_code(w, 1), ERR_NOT_FOUND);
	cr_assert_eq(asked_within(w, 0, 1000), 0, "it is answered");
	world_free(w);
}

/* `a` is held in region 0 when region 1 asks about it, and free after `free_ms`; region 1 asks again every `again_ms`. Is it
 * told? */
static bool is_told(uint64_t free_ms, uint64_t again_ms)
{
	struct world *w = world_new(3);
	w->deadline_ns = 10 * WORLD_SECOND;
	world_put(w, 0, 1, "a", "one");
	struct commit_id id = world_waiting(w, COMMIT_PREPARE).id;
	world_drop(w, 255, 255, 0);
	world_get(w, 1, 2, "a");
	struct commit_message question = world_waiting(w, COMMIT_ASK);
	question.key = (const uint8_t *)"a"; /* what it points to is gone when the next message comes */
	world_drop(w, 1, 2, 0);
	world_deliver(w, 3, COMMIT_ASK);
	for (uint64_t ms = 0; ms < free_ms; ms += 10) {
		world_tick(w, 0, 10 * MS);
		if (again_ms && ms && ms % again_ms == 0)
			world_say(w, 1, 0, question);
	}
	cr_assert_eq(world_pending(w, COMMIT_TOLD), 0);
	static const struct commit_seen nothing;
	world_say(w, 2, 0,
	    (struct commit_message){.type = COMMIT_VOTE, .vote = COMMIT_YES, .id = id, .seen = &nothing, .seen_count = 1});
	cr_assert_eq(world_code(w, 1), ERR_OK);
	bool told = world_pending(w, COMMIT_TOLD);
	world_free(w);
	return told;
}

/* Four times as long as whoever waits for the answer lets pass before it asks again, and from the last time on. */
Test(reads, a20_a_question_waits_while_somebody_waits_for_the_answer)
{
	cr_assert(is_told(700, 0), "given up too soon");
	cr_assert(!is_told(1000, 0), "nobody has asked for a second");
	cr_assert(is_told(3000, 500), "it was asked all the time");
}
