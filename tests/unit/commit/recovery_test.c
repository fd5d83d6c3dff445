/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include "base/bytes.h"
#include "commit/state.h"
#include "tests/unit/commit/about.h"
#include "tests/unit/commit/world.h"

/* Region 0 is gone, and the others are told so. */
static void gone(struct world *w, uint8_t region)
{
	world_kill(w, region);
	world_drop(w, region, 255, 0);
	for (uint8_t r = 0; r < w->n; r++)
		if (w->regions[r].up)
			world_peers(w, r, ((1u << w->n) - 1) & ~(1u << region));
}

/* How long until that request has its answer. */
static uint64_t until(struct world *w, uint32_t regions, uint64_t route)
{
	uint64_t began_ns = w->now_ns;
	while (world_code(w, route) == 1 && w->now_ns < began_ns + 5 * WORLD_SECOND)
		world_wait(w, regions, 20 * MS);
	return w->now_ns - began_ns;
}

Test(recovery, A14_keys_of_a_region_that_is_gone_are_free_at_once)
{
	struct world *w = world_new(3);
	world_put(w, 0, 1, "a", "one");
	world_deliver(w, 3, COMMIT_PREPARE);
	gone(w, 0);
	world_put(w, 2, 2, "a", "two");
	uint64_t took_ns = until(w, 6, 2);
	cr_assert_eq(world_code(w, 2), ERR_OK);
	cr_assert_leq(took_ns, 200 * MS, "%llu ms", (unsigned long long)(took_ns / MS));
	world_free(w);
}

/* 1 holds a vote for 0's transaction, which 2 has never met: its own holds the key there, and cannot have 1's vote. */
Test(recovery, A14_who_promises_gets_out_of_the_way)
{
	struct world *w = world_new(3);
	world_put(w, 0, 1, "a", "one");
	world_deliver(w, 3, COMMIT_PREPARE);
	world_drop(w, 0, 2, 0);
	world_put(w, 2, 2, "a", "two");
	world_deliver(w, 6, COMMIT_PREPARE);
	gone(w, 0);
	world_put(w, 1, 3, "a", "three");
	uint64_t took_ns = until(w, 6, 3), second_ns = until(w, 6, 2);
	cr_assert_eq(world_code(w, 3), ERR_OK);
	cr_assert_eq(world_code(w, 2), ERR_OK);
	cr_assert_leq(took_ns + second_ns, 300 * MS, "%llu ms", (unsigned long long)((took_ns + second_ns) / MS));
	world_free(w);
}

/* Both coordinators are gone, and each transaction is in the other's way. With two votes for the first, three of five are not
 * to be had for the second before the first is decided. */
Test(recovery, A17_what_too_few_can_vote_for_is_passed_over)
{
	struct world *w = world_new(5);
	struct commit_operation o[2] = {world_operation(COMMIT_PUT, "a", "one"), world_operation(COMMIT_PUT, "b", "one")};
	world_transaction(w, 4, 1, 7, 1, 2, o);
	world_deliver(w, 1 | 2 | 16, COMMIT_PREPARE);
	world_drop(w, 4, 255, 0);
	w->now_ns += 20 * MS;
	world_put(w, 3, 2, "b", "two");
	world_deliver(w, 4 | 8, COMMIT_PREPARE); /* 2 votes for it; to 0 and 1 it comes, and waits there */
	world_deliver(w, 1 | 2 | 8, COMMIT_PREPARE);
	gone(w, 3);
	gone(w, 4);
	for (uint8_t r = 0; r < 3; r++)
		world_peers(w, r, 7);
	world_put(w, 0, 3, "a", "three");
	world_put(w, 2, 4, "b", "four");
	uint64_t took_ns = until(w, 7, 3), second_ns = until(w, 7, 4);
	cr_assert_eq(world_code(w, 3), ERR_OK);
	cr_assert_eq(world_code(w, 4), ERR_OK);
	cr_assert_leq(took_ns + second_ns, 500 * MS, "%llu ms", (unsigned long long)((took_ns + second_ns) / MS));
	world_free(w);
}

/* The first has one vote, and may have another one; the second is committed, and those who voted for it do not know that. */
Test(recovery, A17_what_may_be_committed_is_not_passed_over)
{
	struct world *w = world_new(5);
	struct commit_operation first = world_operation(COMMIT_PUT, "a", "first"),
	                        second = world_operation(COMMIT_PUT, "a", "second");
	first.condition = second.condition = COMMIT_IF_ABSENT;
	world_transaction(w, 4, 1, 7, 1, 1, &first);
	world_deliver(w, 1 | 16, COMMIT_PREPARE);
	world_drop(w, 4, 255, 0);
	w->now_ns += 20 * MS;
	world_transaction(w, 3, 2, 8, 1, 1, &second);
	world_deliver(w, 2 | 4 | 8, COMMIT_PREPARE);
	world_deliver(w, 2 | 4 | 8, COMMIT_VOTE);
	cr_assert_eq(world_code(w, 2), ERR_OK);
	gone(w, 3);
	gone(w, 4);
	for (uint8_t r = 0; r < 3; r++)
		world_peers(w, r, 7);
	world_tick(w, 0, 20 * MS); /* the first is looked at first */
	world_wait(w, 7, 10 * WORLD_SECOND);
	world_streams(w);
	for (uint8_t r = 0; r < 3; r++) {
		cr_assert_eq(world_in_doubt(w, r), 0);
		cr_assert_str_eq(world_value(w, r, "a"), "second");
		cr_assert_eq(commit_counts(w->regions[r].machine)->contradictions, 0);
		cr_assert_eq(commit_counts(w->regions[r].machine)->commits, 1, "the first was committed over it");
	}
	world_free(w);
}

/* 4 coordinates t. 0 has voted for it, 1 has accepted its COMMIT, 2 holds b of 3: if 1 does not hold b, too few are left to
 * vote for it. A list of eight may be cut off (A10), and then says nothing of what is not in it. Returns what may be passed
 * over. */
static uint32_t passed_over_with(uint32_t listed_by_1)
{
	static struct commit c;
	static union {
		struct recovery recovery;
		uint8_t bytes[sizeof(struct recovery)];
	} memory;
	struct transaction t = {.id = {.hlc = 100, .region = 4}, .promises = 7, .recovery = &memory.recovery};
	memset(&memory, 0, sizeof memory);
	c.options.regions = 31;
	c.quorum = 3;
	struct reply *replies = memory.recovery.replies;
	replies[0].yes = true;
	replies[1].accepted_value = COMMIT_COMMITTED;
	replies[1].hold_count = listed_by_1;
	for (uint32_t i = 0; i < listed_by_1; i++)
		replies[1].holds[i] = (struct commit_id){.hlc = 10 + i, .region = 3};
	replies[2].hold_count = 1;
	replies[2].holds[0] = (struct commit_id){.hlc = 50, .region = 3};
	over_take(&c, &t);
	cr_assert(t.over_count == 0 || (t.over_count == 1 && is_over(&t, replies[2].holds[0])));
	return t.over_count;
}

Test(recovery, A17_a_list_that_may_be_cut_off_proves_nothing)
{
	cr_expect_eq(passed_over_with(0), 1);
	cr_expect_eq(passed_over_with(REPLY_HOLDS_MAX - 1), 1);
	cr_expect_eq(passed_over_with(REPLY_HOLDS_MAX), 0);
}

/* With `ack: all`, everybody has voted, no vote comes back, and the others finish it. */
static struct world *finished_by_others(void)
{
	struct world *w = world_new(5);
	w->ack_all = true;
	w->deadline_ns = 6 * WORLD_SECOND;
	world_put(w, 0, 1, "a", "one");
	world_deliver(w, 31, COMMIT_PREPARE);
	world_drop(w, 255, 0, 0);
	world_wait(w, 30, WORLD_SECOND * 3);
	world_streams(w);
	cr_assert_str_eq(world_value(w, 4, "a"), "one");
	return w;
}

Test(recovery, A16_all_is_answered_when_all_have_what_others_finished)
{
	struct world *w = finished_by_others();
	until(w, 31, 1);
	cr_assert_eq(world_code(w, 1), ERR_OK, "%s", error_name(world_code(w, 1)));
	world_free(w);
}

Test(recovery, A16_all_is_not_answered_ok_while_one_is_not_heard)
{
	struct world *w = finished_by_others();
	world_kill(w, 4);
	until(w, 15, 1);
	cr_assert_eq(world_code(w, 1), ERR_UNKNOWN_OUTCOME, "%s", error_name(world_code(w, 1)));
	world_free(w);
}

/* ---- when it is looked ---- */

/* Nothing waits for the next turn of a clock that has a deadline. */
Test(recovery, a20_who_goes_is_noticed_at_once)
{
	struct world *w = world_new(3);
	world_put(w, 0, 1, "a", "one");
	world_deliver(w, 3, COMMIT_PREPARE);
	w->now_ns += MS;
	world_peers(w, 1, 7);
	cr_assert_gt(w->regions[1].timer_ns, w->now_ns);
	world_peers(w, 1, 6);
	cr_assert_leq(w->regions[1].timer_ns, w->now_ns);
	world_free(w);
}

/* Several have voted for what the region that goes coordinated: they look one after the other, and not all at once. */
Test(recovery, a20_who_comes_later_in_turn_looks_later)
{
	struct world *w = world_new(5);
	world_put(w, 0, 1, "a", "one");
	world_deliver(w, 1 | 2 | 4 | 8, COMMIT_PREPARE);
	world_drop(w, 255, 255, 0);
	world_kill(w, 0);
	uint64_t looked_ns[4] = {0};
	for (uint8_t r = 1; r < 4; r++)
		world_peers(w, r, 30);
	for (uint32_t i = 0; i < 400; i++) {
		w->now_ns += 5 * MS;
		for (uint8_t r = 1; r < 4; r++) {
			world_timer(w, r);
			if (world_drop(w, r, 255, COMMIT_RECOVER) && !looked_ns[r])
				looked_ns[r] = w->now_ns;
		}
	}
	cr_assert(looked_ns[1] && looked_ns[2] && looked_ns[3]);
	cr_assert_geq(looked_ns[2], looked_ns[1] + 100 * MS - 25 * MS);
	cr_assert_geq(looked_ns[3], looked_ns[2] + 100 * MS - 25 * MS);
	world_free(w);
}

/* Both wait for each other's keys in region 1, which has looked at the second in vain: as soon as the first is decided it looks
 * again, and not when the second's time has come. */
Test(recovery, a20_what_was_looked_at_in_vain_is_looked_at_when_the_way_is_free)
{
	uint64_t took_ns[2];
	for (int decided = 0; decided < 2; decided++) {
		struct world *w = world_new(3);
		world_put(w, 0, 1, "a", "one");
		world_deliver(w, 3, COMMIT_PREPARE);
		struct commit_id first = world_waiting(w, COMMIT_VOTE).id;
		world_drop(w, 255, 255, 0);
		world_put(w, 2, 2, "a", "two");
		struct commit_message recover = world_waiting(w, COMMIT_PREPARE);
		struct commit_id second = recover.id;
		recover.type = COMMIT_RECOVER;
		recover.ballot = world_ballot(3, 2);
		recover.seen_count = 0;
		world_inject(w, 2, 1, &recover);
		world_drop(w, 2, 255, COMMIT_PREPARE);
		world_deliver(w, 6, COMMIT_RECOVER);
		world_drop(w, 255, 255, 0);
		while (!world_pending(w, COMMIT_RECOVER) || !commit_id_equal(world_waiting(w, COMMIT_RECOVER).id, second)) {
			world_drop(w, 255, 255, 0);
			world_tick(w, 1, MS);
			cr_assert_lt(w->now_ns, 10 * WORLD_SECOND, "it never looks");
		}
		world_drop(w, 255, 255, 0);
		if (decided)
			world_say(
			    w, 2, 1, (struct commit_message){.type = COMMIT_DECIDED, .id = first, .decision = COMMIT_ABORTED});
		uint64_t begun_ns = w->now_ns;
		while (!world_pending(w, COMMIT_RECOVER) || !commit_id_equal(world_waiting(w, COMMIT_RECOVER).id, second)) {
			world_drop(w, 255, 255, 0);
			world_tick(w, 1, MS);
			cr_assert_lt(w->now_ns, 20 * WORLD_SECOND, "it never looks again");
		}
		took_ns[decided] = w->now_ns - begun_ns;
		world_free(w);
	}
	cr_assert_lt(took_ns[1], took_ns[0] / 2, "%llu and %llu ms", (unsigned long long)(took_ns[0] / MS),
	    (unsigned long long)(took_ns[1] / MS));
}

/* ---- choose(): five regions, 4 coordinates, 0 to 2 have replied where nothing else is said ---- */

#define COMMITTED(ballot)                                                                                                      \
	{                                                                                                                      \
		.accepted_ballot = (ballot), .accepted_value = COMMIT_COMMITTED                                                \
	}
#define ABORTED(ballot)                                                                                                        \
	{                                                                                                                      \
		.accepted_ballot = (ballot), .accepted_value = COMMIT_ABORTED                                                  \
	}

Test(recovery, A19_a_choice_rests_on_the_replies_alone)
{
	static const struct {
		const char *what;
		struct reply replies[5];
		uint32_t promises, needed;
		bool unknown, caught_up, broken;
		enum choice choice;
	} rows[] = {
	    {"one YES, and another may be", {{.yes = true}}, 7, 2, .choice = CHOICE_COMMIT},
	    {"the YES of one who has not replied is not seen", {[3] = {.yes = true}}, 7, 2, .choice = CHOICE_ABORT},
	    {"two YES", {{.yes = true}, {.yes = true}}, 7, 2, .choice = CHOICE_COMMIT},
	    {"no YES: one unseen is too few", {{.yes = false}}, 7, 2, .choice = CHOICE_ABORT},
	    {"one YES, all others have replied", {{.yes = true}}, 15, 2, .choice = CHOICE_ABORT},
	    {"with all, three YES and one unseen", {{.yes = true}, {.yes = true}, {.yes = true}}, 7, 4,
	        .choice = CHOICE_COMMIT},
	    {"with all, two YES", {{.yes = true}, {.yes = true}}, 7, 4, .choice = CHOICE_ABORT},
	    {"its coordinator has promised", {{.yes = true}, {.yes = true}, [4] = {.coordinates = true}}, 19, 2,
	        .choice = CHOICE_ABORT},
	    {"withdrawn", {{.yes = true}, {.yes = true}, {.withdrawn = true}}, 7, 2, .choice = CHOICE_ABORT},
	    {"accepted goes before withdrawn", {COMMITTED(16), {.withdrawn = true}}, 7, 2, .choice = CHOICE_ACCEPTED},
	    {"the newest ballot counts, seen first", {COMMITTED(32), ABORTED(16)}, 7, 2, .choice = CHOICE_ACCEPTED},
	    {"the newest ballot counts, seen last", {COMMITTED(16), ABORTED(32)}, 7, 2, .choice = CHOICE_ABORT},
	    {"of one who has not replied it does not", {ABORTED(16), [3] = COMMITTED(32)}, 7, 2, .choice = CHOICE_ABORT},
	    {"proof goes before accepted", {COMMITTED(16), {.dead = true}}, 7, 2, .choice = CHOICE_ABORT},
	    {"known goes before proof", {{.committed = true}, {.dead = true}}, 7, 2, .choice = CHOICE_KNOWN},
	    {"known, but not what it is", {{.committed = true}, {.yes = true}}, 7, 2, .unknown = true, .choice = CHOICE_NONE},
	    {"forgotten", {{.forgotten = true}, COMMITTED(16)}, 7, 2, .choice = CHOICE_NONE},
	    {"forgotten, and all streams are here", {{.forgotten = true}}, 31, 2, .caught_up = true, .choice = CHOICE_ABORT},
	    {"proof goes before forgotten", {{.forgotten = true}, {.dead = true}}, 7, 2, .choice = CHOICE_ABORT},
	    {"nobody knows what it is, and it may be committed", {{.yes = true}}, 7, 2, .unknown = true, .choice = CHOICE_NONE},
	    {"nobody knows what it is, and it cannot be", {{.yes = false}}, 7, 2, .unknown = true, .choice = CHOICE_ABORT},
	    {"a condition is broken", {{.yes = true}}, 7, 2, .broken = true, .choice = CHOICE_ABORT},
	    {"accepted goes before a condition", {COMMITTED(16)}, 7, 2, .broken = true, .choice = CHOICE_ACCEPTED},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct reply replies[REGIONS_MAX] = {0};
		memcpy(replies, rows[i].replies, sizeof rows[i].replies);
		struct evidence evidence = {.regions = 31,
		    .promises = rows[i].promises,
		    .coordinator = 4,
		    .needed = rows[i].needed,
		    .is_known = !rows[i].unknown,
		    .is_caught_up = rows[i].caught_up,
		    .is_broken = rows[i].broken,
		    .replies = replies};
		cr_expect_eq(choose(&evidence), rows[i].choice, "%s", rows[i].what);
	}
}

/* ---- condition_is_broken(): what a majority has seen below a transaction with one operation ---- */

static bool is_broken(uint8_t condition, int64_t newer, uint16_t share, bool live, bool is_held)
{
	uint8_t bytes[128], *out = commit_body_begin(bytes, false, 1, 1, 1);
	struct commit_request_name name = {.client_id = 7, .number = 1};
	struct commit_operation o = world_operation(COMMIT_PUT, "a", "x");
	o.condition = condition;
	o.expected = (struct commit_id){.hlc = 100, .share = 1, .region = 2};
	out = commit_request_name_put(out, &name);
	bytes_put_u16(out, 1);
	out = commit_operation_put(out + 2, &o);
	static union {
		struct recovery recovery;
		uint8_t bytes[sizeof(struct recovery) + sizeof(struct commit_seen)];
	} memory;
	struct transaction t = {.promises = 3, .recovery = &memory.recovery};
	cr_assert_eq(commit_body_open(&t.body, bytes, (uint32_t)(out - bytes)), 0);
	memset(&memory, 0, sizeof memory);
	memory.recovery.seen[0].version = (struct commit_id){.hlc = (uint64_t)(100 + newer), .share = share, .region = 2};
	memory.recovery.seen[0].live = live;
	memory.recovery.replies[1].hold_count = is_held;
	return condition_is_broken(&t);
}

Test(recovery, a20_a_condition_is_broken_by_what_a_majority_has_seen)
{
	for (int is_held = 0; is_held < 2; is_held++) {
		cr_expect(!is_broken(COMMIT_IF_VERSION, 0, 1, true, is_held), "the version itself");
		cr_expect(is_broken(COMMIT_IF_VERSION, 0, 2, true, is_held), "another share");
		cr_expect(is_broken(COMMIT_IF_VERSION, 1, 1, true, is_held), "a newer version");
		cr_expect_eq(is_broken(COMMIT_IF_VERSION, -1, 1, true, is_held), !is_held, "an older version");
		cr_expect_eq(is_broken(COMMIT_IF_ABSENT, 1, 0, true, is_held), !is_held, "it is there");
		cr_expect(!is_broken(COMMIT_IF_ABSENT, 1, 0, false, is_held), "it is not there");
		cr_expect(!is_broken(COMMIT_ALWAYS, 1, 0, true, is_held), "without a condition");
	}
}

/* ---- what one region says and accepts (A20) ---- */

/* Region 1 holds `a` for a transaction in each of three ways, and is to accept another's COMMIT there: what it has only
 * promised is in the way of new votes, and not of that. */
Test(recovery, a20_a_promise_alone_blocks_no_commit)
{
	enum { PROMISED, ACCEPTED, VOTED, CASES };
	for (int how = PROMISED; how < CASES; how++) {
		struct world *w = world_new(3);
		static const uint8_t types[] = {COMMIT_RECOVER, COMMIT_ACCEPT, COMMIT_PREPARE};
		struct commit_message m = about(types[how], ahead(0, 0), "a");
		m.ballot = how == VOTED ? 0 : world_ballot(3, 2);
		m.decision = how == ACCEPTED ? COMMIT_COMMITTED : 0;
		world_say(w, how == VOTED ? 0 : 2, 1, m);
		cr_assert(
		    world_pending(w, COMMIT_PROMISED) + world_pending(w, COMMIT_ACCEPTED) + world_pending(w, COMMIT_VOTE) == 1);
		world_drop(w, 255, 255, 0);
		m = about(COMMIT_PREPARE, ahead(1, 2), "a");
		world_say(w, 2, 1, m);
		cr_assert_eq(world_pending(w, COMMIT_VOTE), 0, "it votes all the same, %d", how);
		m.type = COMMIT_ACCEPT;
		m.ballot = world_ballot(3, 2);
		m.decision = COMMIT_COMMITTED;
		world_say(w, 2, 1, m);
		cr_assert_eq(world_pending(w, COMMIT_ACCEPTED), how == PROMISED, "%d", how);
		cr_assert_eq(world_pending(w, COMMIT_BLOCKED), how != PROMISED, "%d", how);
		world_free(w);
	}
}

/* After its vote a commit with a lower stamp came by stream: a promise names that as what the transaction would replace. */
Test(recovery, a20_a_promise_names_the_row_that_came_after_the_vote)
{
	struct world *w = world_new(3);
	struct commit_message m = about(COMMIT_PREPARE, ahead(0, 0), "a");
	world_say(w, 0, 1, m);
	cr_assert_eq(world_pending(w, COMMIT_VOTE), 1);
	world_drop(w, 255, 255, 0);
	world_put(w, 2, 1, "a", "below");
	world_deliver(w, 5, COMMIT_PREPARE);
	world_deliver(w, 5, COMMIT_VOTE);
	cr_assert_eq(world_code(w, 1), ERR_OK);
	world_drop(w, 255, 255, 0);
	world_streams(w);
	m.type = COMMIT_RECOVER;
	m.ballot = world_ballot(3, 2);
	world_say(w, 2, 1, m);
	struct commit_message promised = world_waiting(w, COMMIT_PROMISED);
	cr_assert(promised.vote == COMMIT_YES && promised.seen_count == 1);
	cr_assert(commit_id_equal(promised.seen[0].stamp, world_answer(w, 1)->version), "it names an older one");
	world_free(w);
}

/* Region 1 has been asked about a transaction whose body it does not know: the stream brings that, and all that is in it
 * counts. */
Test(recovery, a20_a_stream_brings_what_was_not_known)
{
	struct world *w = world_new(3);
	struct commit *c = w->regions[1].machine;
	world_put(w, 0, 1, "a", "x");
	struct commit_id id = world_waiting(w, COMMIT_PREPARE).id;
	world_drop(w, 0, 1, 0);
	world_deliver(w, 5, COMMIT_PREPARE);
	world_deliver(w, 5, COMMIT_VOTE);
	cr_assert_eq(world_code(w, 1), ERR_OK);
	world_drop(w, 255, 255, 0);
	world_say(w, 2, 1, (struct commit_message){.type = COMMIT_RECOVER, .id = id, .ballot = world_ballot(3, 2)});
	cr_assert_eq(c->transaction_count, 1);
	cr_assert_eq(c->history_count, 0);
	world_streams(w);
	cr_assert_eq(c->transaction_count, 0);
	cr_assert_eq(c->history_count, 1, "no row of it is known");
	cr_assert_eq(c->reply_cache.newest - c->reply_cache.oldest, 1, "its request is not");
	cr_assert_eq(commit_counts(c)->commits, 1);
	world_free(w);
}

/* A vote is in the log that a start has read, and nothing was written of it since: that much of the log is kept, and a second
 * start finds the vote. */
Test(recovery, a20_a_vote_outlives_a_start_and_a_log_that_is_cut)
{
	struct world *w = world_new(3);
	struct commit_message m = about(COMMIT_PREPARE, ahead(0, 0), "held");
	world_put(w, 2, 1, "a", "x");
	world_deliver(w, 6, 0);
	world_streams(w);
	world_say(w, 0, 1, m);
	cr_assert_eq(world_pending(w, COMMIT_VOTE), 1);
	world_drop(w, 255, 255, 0);
	uint64_t vote_lsn = w->regions[1].cut + w->regions[1].count - 1;
	world_kill(w, 1);
	world_start(w, 1);
	for (uint64_t i = 2; i < 6; i++) {
		world_put(w, 2, i, "a", "x");
		world_deliver(w, 6, 0);
		cr_assert_eq(world_code(w, i), ERR_OK);
	}
	world_streams(w);
	cr_assert_leq(commit_oldest_lsn(w->regions[1].machine), vote_lsn, "its vote may be cut away");
	world_trim(w, 1);
	cr_assert_gt(w->regions[1].cut, 0, "nothing was cut away");
	world_drop(w, 255, 255, 0);
	m.type = COMMIT_RECOVER;
	m.ballot = world_ballot(3, 2);
	world_say(w, 2, 1, m);
	cr_assert_eq(world_waiting(w, COMMIT_PROMISED).vote, COMMIT_YES);
	world_free(w);
}

/* An acceptance counts for the ballot that it names, and beside the proposer's own, which is on the disk. */
Test(recovery, a20_an_acceptance_counts_for_its_ballot)
{
	enum { RIGHT, ANOTHER_BALLOT, OWN_NOT_DURABLE, CASES };
	for (int which = RIGHT; which < CASES; which++) {
		struct world *w = world_new(3);
		const struct commit_counts *counts = commit_counts(w->regions[1].machine);
		world_say(w, 0, 1, about(COMMIT_PREPARE, ahead(0, 0), "a"));
		world_drop(w, 255, 255, 0);
		world_kill(w, 0);
		world_peers(w, 1, 6);
		for (uint32_t i = 0; i < 500 && !world_pending(w, COMMIT_RECOVER); i++)
			world_tick(w, 1, 20 * MS);
		struct commit_message accepted = {.type = COMMIT_ACCEPTED, .id = ahead(0, 0)};
		accepted.ballot = world_waiting(w, COMMIT_RECOVER).ballot + (which == ANOTHER_BALLOT ? REGIONS_MAX : 0);
		w->regions[1].slow_disk = which == OWN_NOT_DURABLE;
		world_deliver(w, 6, COMMIT_RECOVER);
		world_deliver(w, 6, COMMIT_PROMISED);
		cr_assert_eq(world_pending(w, COMMIT_ACCEPT), which == OWN_NOT_DURABLE ? 0 : 2);
		world_drop(w, 255, 255, 0);
		world_say(w, 2, 1, accepted);
		cr_assert_eq(counts->commits, which == RIGHT, "%d", which);
		if (which == OWN_NOT_DURABLE) {
			world_sync(w, 1);
			cr_assert_eq(counts->commits, 0, "what was said before counts");
			world_say(w, 2, 1, accepted);
			cr_assert_eq(counts->commits, 1);
		}
		world_free(w);
	}
}

/* A PREPARE that comes late, of what may have been aborted and forgotten here: no vote, and the stamp to be above is told. */
Test(recovery, a20_no_vote_for_what_may_have_been_aborted)
{
	struct world *w = world_new_forgetful(3);
	for (uint64_t i = 0; i < 20; i++)
		world_say(w, 2, 1,
		    (struct commit_message){.type = COMMIT_DECIDED, .id = ahead(1 + i, 2), .decision = COMMIT_ABORTED});
	uint64_t forgotten_hlc = w->regions[1].machine->forgotten_abort_hlc;
	cr_assert_gt(forgotten_hlc, ahead(0, 0).hlc);
	for (uint64_t i = 0; i < 3; i++) {
		struct commit_id id = {.hlc = i ? forgotten_hlc + i - 1 : ahead(0, 0).hlc, .region = 0};
		world_say(w, 0, 1, about(COMMIT_PREPARE, id, "a"));
		struct commit_message vote = world_waiting(w, COMMIT_VOTE);
		cr_assert_eq(vote.vote, i < 2 ? COMMIT_NO : COMMIT_YES, "%u", (unsigned)i);
		if (i < 2)
			cr_assert(vote.reason == ERR_OVERLOADED && vote.version.hlc == forgotten_hlc);
		world_drop(w, 255, 255, 0);
	}
	world_free(w);
}
