/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows that their region cannot read (B2). */
#include <criterion/criterion.h>

#include "commit/message.h"
#include "tests/unit/commit/world.h"

/* A region that cannot read its copy of a row says nothing about it; the others are a majority. */
Test(commit, B2_a_damaged_row_is_read_and_written_by_the_other_regions)
{
	struct world *w = world_new(3);
	world_put(w, 0, 1, "a", "one");
	world_deliver(w, ALL, 0);
	world_streams(w);
	world_damage(w, 0, "a");
	/* Read in the region with the damaged row, and in another: each needs both good ones. */
	world_get(w, 0, 2, "a");
	world_deliver(w, 3, 0);
	cr_assert_eq(world_code(w, 2), 1, "answered by a majority that counts the damaged row");
	world_deliver(w, ALL, 0);
	cr_assert_eq(world_code(w, 2), ERR_OK);
	cr_assert_str_eq(world_answer(w, 2)->value, "one");
	world_get(w, 1, 3, "a");
	world_deliver(w, 3, 0);
	cr_assert_eq(world_code(w, 3), 1);
	world_deliver(w, ALL, 0);
	cr_assert_str_eq(world_answer(w, 3)->value, "one");
	/* It takes no write of that row, and its neighbour is none of that. */
	world_put(w, 0, 4, "a", "two");
	cr_assert_eq(world_code(w, 4), ERR_ROW_DAMAGED);
	world_put(w, 0, 5, "b", "two");
	world_deliver(w, ALL, 0);
	cr_assert_eq(world_code(w, 5), ERR_OK);
	/* From another region: with the vote of the third one, not with its own and the damaged one's. */
	world_put(w, 1, 6, "a", "three");
	world_deliver(w, 3, 0);
	cr_assert_eq(world_code(w, 6), 1);
	world_deliver(w, ALL, 0);
	cr_assert_eq(world_code(w, 6), ERR_OK);
	world_streams(w);
	world_get(w, 0, 7, "a");
	world_deliver(w, ALL, 0);
	cr_assert_str_eq(world_answer(w, 7)->value, "three");
	world_wait(w, ALL, 10 * WORLD_SECOND);
	world_expect_quiet(w, ALL);
	world_free(w);
}

/* Damaged while something on it is in doubt, and the region starts anew: as good as not knowing (T52). */
Test(commit, B2_a_damaged_row_under_a_vote_has_no_say)
{
	struct world *w = world_new(3);
	world_put(w, 0, 1, "a", "one");
	world_deliver(w, 3u, COMMIT_PREPARE);
	world_drop(w, 255, 255, 0);
	world_kill(w, 0);
	world_kill(w, 1);
	world_start_damaged(w, 1, "a");
	world_wait(w, 6, 10 * WORLD_SECOND);
	cr_assert(!world_value(w, 2, "a"), "committed on the word of a row that cannot be read");
	cr_assert_eq(world_in_doubt(w, 1), 1);
	/* The two others settle it. */
	world_start(w, 0);
	world_wait(w, ALL, 10 * WORLD_SECOND);
	world_expect_quiet(w, ALL);
	world_free(w);
}
