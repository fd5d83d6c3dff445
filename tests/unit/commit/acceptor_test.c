/* SPDX-License-Identifier: Apache-2.0
 *
 * What a region must not say before it may (A20): each of these fails for one small fault that all other tests passed over. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/bytes.h"
#include "tests/unit/commit/world.h"

/* Voted for by `voter`, which nobody has heard. Returns its name. */
static struct commit_id voted(struct world *w, uint8_t voter)
{
	world_put(w, 0, 1, "a", "one");
	world_deliver(w, 1u << voter | 1u, COMMIT_PREPARE);
	struct commit_id id = world_waiting(w, COMMIT_VOTE).id;
	cr_assert(id.hlc, "it has not voted");
	world_drop(w, 255, 255, 0);
	return id;
}

/* Does region 1 promise a ballot that region 0 asks for? */
static bool promises(struct world *w, struct commit_id id, uint64_t wanted)
{
	struct commit_message m = {.type = COMMIT_RECOVER, .id = id, .ballot = wanted};
	world_drop(w, 255, 255, 0);
	world_inject(w, 0, 1, &m);
	world_deliver(w, 3, COMMIT_RECOVER);
	bool promised = world_pending(w, COMMIT_PROMISED);
	world_drop(w, 255, 255, 0);
	return promised;
}

Test(acceptor, a20_ack_all_is_answered_after_all)
{
	for (uint32_t n = 3; n <= 5; n += 2) {
		struct world *w = world_new(n);
		w->ack_all = true;
		world_put(w, 0, 1, "a", "one");
		for (uint8_t voter = 1; voter < n; voter++) {
			cr_assert_eq(world_code(w, 1), 1, "%u regions: answered with %u votes", n, voter - 1);
			world_deliver(w, 1u << voter | 1u, COMMIT_PREPARE);
			world_deliver(w, 1u << voter | 1u, COMMIT_VOTE);
		}
		cr_assert_eq(world_code(w, 1), ERR_OK);
		world_free(w);
	}
}

/* To accept is to promise: a lower ballot gets nothing any more, not after a restart either. */
Test(acceptor, a20_an_accepted_ballot_is_a_promise)
{
	for (int again = 0; again < 2; again++) {
		struct world *w = world_new_with(3, &(struct commit_options){.carry_lsn = 8});
		struct commit_id id = voted(w, 1);
		struct commit_message accept = {
		    .type = COMMIT_ACCEPT, .id = id, .ballot = world_ballot(10, 2), .decision = COMMIT_ABORTED};
		world_inject(w, 2, 1, &accept);
		world_deliver(w, 6, COMMIT_ACCEPT);
		cr_assert_eq(world_pending(w, COMMIT_ACCEPTED), 1);
		if (again) {
			world_kill(w, 1);
			world_start(w, 1);
		}
		cr_assert(!promises(w, id, world_ballot(5, 0)), "a lower ballot is promised, %d", again);
		cr_assert(promises(w, id, world_ballot(11, 0)), "a higher one is not, %d", again);
		world_free(w);
	}
}

/* Puts so many entries behind what region 1 has of an undecided transaction that it writes that anew, then drops the old log.
 */
static void carry(struct world *w)
{
	world_kill(w, 0);
	for (uint64_t i = 0; i < 10; i++) {
		char key[3] = {'k', (char)('0' + i), 0};
		world_put(w, 2, 10 + i, key, "x");
		world_deliver(w, 6, COMMIT_PREPARE);
		world_deliver(w, 6, COMMIT_VOTE);
		world_deliver(w, 6, COMMIT_DECIDED);
		cr_assert_eq(world_code(w, 10 + i), ERR_OK);
	}
	world_streams(w);
	world_drop(w, 255, 255, 0);
	uint32_t before = w->regions[1].count;
	for (int i = 0; i < 20; i++) {
		world_tick(w, 1, 10 * MS);
		world_drop(w, 255, 255, 0);
	}
	cr_assert_gt(w->regions[1].count, before, "nothing was written anew");
	uint64_t cut = w->regions[1].cut;
	world_trim(w, 1);
	cr_assert_gt(w->regions[1].cut, cut + 2, "the log was not cut behind it");
	world_drop(w, 255, 255, 0);
	world_start(w, 0);
}

Test(acceptor, a20_a_promise_outlives_its_log)
{
	struct world *w = world_new_with(3, &(struct commit_options){.carry_lsn = 8});
	struct commit_id id = voted(w, 1);
	struct commit_message recover = {.type = COMMIT_RECOVER, .id = id, .ballot = world_ballot(10, 2)};
	world_inject(w, 2, 1, &recover);
	world_deliver(w, 6, COMMIT_RECOVER);
	cr_assert_eq(world_waiting(w, COMMIT_PROMISED).vote, COMMIT_YES);
	carry(w);
	cr_assert(!promises(w, id, world_ballot(5, 0)), "a lower ballot is promised");
	/* With what it had voted. */
	struct commit_message higher = {.type = COMMIT_RECOVER, .id = id, .ballot = world_ballot(11, 0)};
	world_inject(w, 0, 1, &higher);
	world_deliver(w, 3, COMMIT_RECOVER);
	cr_assert_eq(world_pending(w, COMMIT_PROMISED), 1);
	cr_assert_eq(world_waiting(w, COMMIT_PROMISED).vote, COMMIT_YES);
	world_free(w);
}

Test(acceptor, a20_an_accepted_value_outlives_its_log)
{
	struct world *w = world_new_with(3, &(struct commit_options){.carry_lsn = 8});
	struct commit_id id = voted(w, 1);
	struct commit_message accept = {
	    .type = COMMIT_ACCEPT, .id = id, .ballot = world_ballot(10, 2), .decision = COMMIT_ABORTED};
	world_inject(w, 2, 1, &accept);
	world_deliver(w, 6, COMMIT_ACCEPT);
	cr_assert_eq(world_pending(w, COMMIT_ACCEPTED), 1);
	carry(w);
	cr_assert(!promises(w, id, world_ballot(5, 0)), "a lower ballot is promised");
	struct commit_message higher = {.type = COMMIT_RECOVER, .id = id, .ballot = world_ballot(11, 0)};
	world_inject(w, 0, 1, &higher);
	world_deliver(w, 3, COMMIT_RECOVER);
	struct commit_message promised = world_waiting(w, COMMIT_PROMISED);
	cr_assert_eq(promised.accepted_ballot, world_ballot(10, 2));
	cr_assert_eq(promised.accepted_value, COMMIT_ABORTED);
	world_free(w);
}

/* Once promised to another, the region's own ballot counts for nothing: it does not vote any more. */
Test(acceptor, a20_no_vote_after_a_promise)
{
	struct world *w = world_new(3);
	w->regions[1].slow_disk = true;
	world_put(w, 0, 1, "a", "one");
	struct commit_id id = world_waiting(w, COMMIT_PREPARE).id;
	world_deliver(w, 3, COMMIT_PREPARE);
	struct commit_message recover = {.type = COMMIT_RECOVER, .id = id, .ballot = world_ballot(1, 2)};
	world_inject(w, 2, 1, &recover);
	world_deliver(w, 6, COMMIT_RECOVER);
	world_sync(w, 1);
	cr_assert_eq(world_pending(w, COMMIT_VOTE), 0, "a vote under a ballot that it has given up");
	world_deliver(w, 6, COMMIT_RECOVER);
	cr_assert_eq(world_pending(w, COMMIT_PROMISED), 1);
	world_free(w);
}

/* A promise to an earlier attempt says nothing about the present one: since then the region may have accepted something. */
Test(acceptor, a20_a_promise_to_an_earlier_attempt_does_not_count)
{
	struct world *w = world_new(3);
	voted(w, 1);
	world_kill(w, 0);
	for (int i = 0; i < 500 && !world_pending(w, COMMIT_RECOVER); i++)
		world_tick(w, 1, 20 * MS);
	uint64_t first = world_waiting(w, COMMIT_RECOVER).ballot;
	cr_assert(first, "region 1 never asks");
	world_deliver(w, 6, COMMIT_RECOVER);
	cr_assert_eq(world_pending(w, COMMIT_PROMISED), 1);
	for (int i = 0; i < 500 && world_waiting(w, COMMIT_RECOVER).ballot <= first; i++) {
		world_drop(w, 255, 255, COMMIT_RECOVER);
		world_tick(w, 1, 20 * MS);
	}
	cr_assert_gt(world_waiting(w, COMMIT_RECOVER).ballot, first, "it never asks anew");
	world_drop(w, 255, 255, COMMIT_RECOVER);
	world_deliver(w, 6, COMMIT_PROMISED); /* the late one */
	cr_assert_eq(world_pending(w, COMMIT_ACCEPT), 0, "it proposes with a promise that nobody has given to this ballot");
	world_free(w);
}

/* A region that restarts may give out every stamp above its durable bound again: none of those has a name outside of it. */
Test(acceptor, a20_nothing_goes_out_before_the_bound_of_its_stamp_is_durable)
{
	struct world *w = world_new(3);
	w->regions[0].slow_disk = true;
	world_put(w, 0, 1, "a", "one");
	cr_assert_eq(world_pending(w, COMMIT_PREPARE), 0);
	world_sync(w, 0);
	cr_assert_eq(world_pending(w, COMMIT_PREPARE), 2);
	world_free(w);
}

/* Others know a row by what is told of it in a promise: a row whose COMMIT may be lost again is not told. */
Test(acceptor, a20_a_promise_tells_of_durable_rows_only)
{
	struct world *w = world_new(3);
	struct commit_id first = voted(w, 1);
	w->regions[0].slow_disk = false;
	world_wait(w, 5, 300 * MS); /* 0 and 2 commit it, and 1 has voted and heard nothing more */
	cr_assert_eq(world_code(w, 1), ERR_OK);
	world_drop(w, 255, 255, 0);
	world_put(w, 2, 2, "a", "two");
	world_deliver(w, 6, COMMIT_PREPARE); /* waits behind the first in 1 */
	struct commit_id second = world_waiting(w, COMMIT_PREPARE).id;
	cr_assert(second.hlc);
	world_drop(w, 255, 255, 0);
	w->regions[1].slow_disk = true;
	struct commit_message recover = {.type = COMMIT_RECOVER, .id = second, .ballot = world_ballot(1, 0)};
	world_inject(w, 0, 1, &recover);
	world_deliver(w, 3, COMMIT_RECOVER);
	uint32_t promise = w->regions[1].count;
	world_streams(w); /* the COMMIT of the first, behind the promise */
	cr_assert_gt(w->regions[1].count, promise);
	world_sync_to(w, 1, promise);
	cr_assert_eq(
	    world_pending(w, COMMIT_PROMISED), 0, "it tells of %llu, which is not durable", (unsigned long long)first.hlc);
	world_sync(w, 1);
	cr_assert_eq(world_pending(w, COMMIT_PROMISED), 1);
	world_free(w);
}

/* Those who committed it have forgotten it, and the COMMIT is on its way in a stream: until that has come, nobody may abort. */
Test(acceptor, a20_no_abort_before_the_streams_have_caught_up)
{
	struct world *w = world_new_forgetful(3);
	world_put(w, 0, 1, "a", "one");
	world_deliver(w, ALL, COMMIT_PREPARE);
	world_drop(w, 2, 0, COMMIT_VOTE);
	world_kill(w, 2); /* it has voted */
	world_deliver(w, 3, 0);
	cr_assert_eq(world_code(w, 1), ERR_OK);
	for (uint64_t i = 0; i < 20; i++) {
		world_put(w, (uint8_t)(i % 2), 100 + i, i % 2 ? "a" : "b", "later");
		world_deliver(w, 3, 0);
		world_streams(w);
		cr_assert_eq(world_code(w, 100 + i), ERR_OK);
	}
	world_drop(w, 255, 255, 0);
	world_start(w, 2);
	cr_assert_eq(world_in_doubt(w, 2), 1);
	world_wait(w, ALL, 5 * WORLD_SECOND);
	cr_assert_eq(world_in_doubt(w, 2), 1, "it is decided by somebody who does not know");
	world_streams(w);
	world_wait(w, ALL, WORLD_SECOND);
	cr_assert_eq(world_in_doubt(w, 2), 0);
	cr_assert_str_eq(world_value(w, 2, "a"), "later");
	for (uint8_t r = 0; r < 3; r++)
		cr_assert_eq(commit_counts(w->regions[r].machine)->contradictions, 0);
	world_free(w);
}

/* Who has not replied may have committed it. Region 2 has forgotten so much that it cannot know, region 0 is cut off. */
Test(acceptor, a20_no_abort_before_all_have_replied)
{
	struct world *w = world_new_forgetful(3);
	world_put(w, 0, 1, "a", "one");
	struct commit_id id = world_waiting(w, COMMIT_PREPARE).id;
	world_deliver(w, 3, COMMIT_PREPARE);
	world_deliver(w, 3, COMMIT_VOTE);
	cr_assert_eq(world_code(w, 1), ERR_OK);
	world_drop(w, 255, 255, 0);
	for (uint64_t i = 1; i <= 20; i++) {
		struct commit_message aborted = {
		    .type = COMMIT_DECIDED, .id = {.hlc = id.hlc + (i << 16), .region = 1}, .decision = COMMIT_ABORTED};
		world_inject(w, 1, 2, &aborted);
	}
	world_deliver(w, 6, COMMIT_DECIDED);
	world_wait(w, 6, 5 * WORLD_SECOND);
	cr_assert_eq(world_in_doubt(w, 1), 1, "decided without region 0, which has committed it");
	world_streams(w);
	world_wait(w, ALL, 2 * WORLD_SECOND);
	for (uint8_t r = 0; r < 3; r++) {
		cr_assert_eq(world_in_doubt(w, r), 0);
		cr_assert_str_eq(world_value(w, r, "a"), "one");
		cr_assert_eq(commit_counts(w->regions[r].machine)->contradictions, 0);
	}
	world_free(w);
}

Test(acceptor, a20_nothing_is_accepted_below_a_promise)
{
	struct world *w = world_new(3);
	struct commit_id id = voted(w, 1);
	cr_assert(promises(w, id, world_ballot(10, 0)));
	for (uint64_t round = 9; round <= 10; round++) {
		struct commit_message accept = {
		    .type = COMMIT_ACCEPT, .id = id, .ballot = world_ballot(round, 0), .decision = COMMIT_ABORTED};
		world_inject(w, 0, 1, &accept);
		world_deliver(w, 3, COMMIT_ACCEPT);
		cr_assert_eq(world_pending(w, COMMIT_ACCEPTED), round == 10, "round %u", (unsigned)round);
	}
	world_free(w);
}

enum against { NOTHING, OTHER_VERSION, NEWER_ROW, OTHER_SHARE, DONE_ELSEWHERE, REPLACED, REPLACED_LONG_AGO, AGAINST };
static const char *const against_names[AGAINST] = {"nothing", "a row without a condition", "a newer version", "another share",
    "the request under another name", "a row that was replaced without it", "rows that are forgotten"};

/* Committed by 2, 3 and 4, and streamed to all. */
static void theirs(struct world *w, uint64_t client, const char *key)
{
	static uint64_t route = 1000;
	struct commit_operation o = world_operation(COMMIT_PUT, key, "theirs");
	w->now_ns += MS;
	world_transaction(w, 2, ++route, client, 1, 1, &o);
	world_deliver(w, 28, 0);
	cr_assert_eq(world_code(w, route), ERR_OK);
	world_drop(w, 255, 255, 0);
	world_streams(w);
}

/* Is COMMIT of a transaction of region 0 accepted by region 1, with that against it? */
static bool is_accepted(enum against against)
{
	struct world *w = world_new_with(5, &(struct commit_options){.memory = 8, .requests = 8});
	world_put(w, 0, 1, "a", "first");
	world_deliver(w, 31, 0);
	world_streams(w);
	struct commit_operation o = world_operation(COMMIT_PUT, "a", "mine");
	o.condition = against == OTHER_VERSION ? COMMIT_ALWAYS : COMMIT_IF_VERSION;
	o.expected = world_answer(w, 1)->version;
	o.expected.share = against == OTHER_SHARE;
	if (against == OTHER_VERSION || against == NEWER_ROW)
		theirs(w, 8, "a");
	if (against == DONE_ELSEWHERE)
		theirs(w, 7, "b");
	uint8_t body[256], *out = commit_body_begin(body, false, 1, 1, 1);
	struct commit_request_name name = {.client_id = 7, .number = 1, .after = 1ull << 62}; /* no request is forgotten */
	out = commit_request_name_put(out, &name);
	bytes_put_u16(out, 1);
	out = commit_operation_put(out + 2, &o);
	struct commit_message accept = {.type = COMMIT_ACCEPT,
	    .id = {.hlc = commit_newest_hlc(w->regions[1].machine) + 100, .region = 0},
	    .ballot = world_ballot(3, 2),
	    .decision = COMMIT_COMMITTED,
	    .body = body,
	    .body_size = (uint32_t)(out - body)};
	if (against == REPLACED || against == REPLACED_LONG_AGO) { /* voted for: else it is taken for forgotten itself */
		struct commit_message prepare = accept;
		prepare.type = COMMIT_PREPARE;
		world_say(w, 0, 1, prepare);
		cr_assert_eq(world_waiting(w, COMMIT_VOTE).vote, COMMIT_YES);
		world_drop(w, 255, 255, 0);
		for (uint64_t i = 0; i < (against == REPLACED ? 1 : 20); i++)
			theirs(w, 100 + i, "a");
	}
	world_say(w, 2, 1, accept);
	bool accepted = world_pending(w, COMMIT_ACCEPTED);
	world_free(w);
	return accepted;
}

/* COMMIT is accepted where nothing that is known here speaks against it, whoever proposes it. */
Test(acceptor, a20_commit_is_not_accepted_against_what_is_known)
{
	for (enum against against = NOTHING; against < AGAINST; against++)
		cr_expect_eq(is_accepted(against), against <= OTHER_VERSION, "%s", against_names[against]);
}

/* An accepted COMMIT holds the keys, after a restart as before; when it may have been forgotten since, an ABORT lets them go.
 */
Test(acceptor, a20_what_is_accepted_holds_its_keys_until_it_is_aborted)
{
	struct world *w = world_new_with(3, &(struct commit_options){.carry_lsn = 8});
	world_put(w, 0, 1, "a", "one");
	struct commit_message accept = world_waiting(w, COMMIT_PREPARE);
	accept.type = COMMIT_ACCEPT;
	accept.ballot = world_ballot(10, 2);
	accept.decision = COMMIT_COMMITTED;
	accept.seen_count = 0;
	struct commit_id id = accept.id;
	world_inject(w, 2, 1, &accept);
	world_drop(w, 0, 255, COMMIT_PREPARE);
	world_deliver(w, 6, COMMIT_ACCEPT);
	cr_assert_eq(world_pending(w, COMMIT_ACCEPTED), 1);
	cr_assert_eq(commit_held_keys(w->regions[1].machine), 1);
	carry(w);
	cr_assert_eq(commit_held_keys(w->regions[1].machine), 1, "held by nobody after a restart");
	world_drop(w, 255, 255, 0);
	world_say(w, 2, 1,
	    (struct commit_message){
	        .type = COMMIT_ACCEPT, .id = id, .ballot = world_ballot(1000, 2), .decision = COMMIT_ABORTED});
	cr_assert_eq(world_pending(w, COMMIT_ACCEPTED), 1);
	cr_assert_eq(commit_held_keys(w->regions[1].machine), 0, "held by what cannot be committed");
	world_free(w);
}

/* Promised by name, and again with the body: after a restart region 1 knows what it is, and what it has promised. */
Test(acceptor, a20_a_body_that_comes_later_outlives_a_restart)
{
	struct world *w = world_new(3);
	world_put(w, 0, 1, "a", "one");
	struct commit_message recover = world_waiting(w, COMMIT_PREPARE);
	struct commit_message by_name = {.type = COMMIT_RECOVER, .id = recover.id, .ballot = world_ballot(3, 2)};
	recover.type = COMMIT_RECOVER;
	recover.ballot = world_ballot(4, 2);
	recover.seen_count = 0;
	world_inject(w, 2, 1, &by_name);
	world_inject(w, 2, 1, &recover);
	world_drop(w, 0, 255, COMMIT_PREPARE);
	cr_assert_eq(world_deliver(w, 6, COMMIT_RECOVER), 2);
	world_drop(w, 255, 255, 0);
	world_kill(w, 1);
	world_start(w, 1);
	by_name.ballot = world_ballot(3, 2);
	world_say(w, 2, 1, by_name);
	cr_assert_eq(world_pending(w, COMMIT_PROMISED), 0, "it has promised a later one");
	by_name.ballot = world_ballot(5, 2);
	world_say(w, 2, 1, by_name);
	cr_assert_eq(world_waiting(w, COMMIT_PROMISED).seen_count, 1);
	cr_assert_gt(world_waiting(w, COMMIT_PROMISED).body_size, 0);
	world_free(w);
}

/* What is known by name only is accepted once ACCEPT says what it is. */
Test(acceptor, a20_an_accept_brings_the_body)
{
	struct world *w = world_new(3);
	world_put(w, 0, 1, "a", "one");
	struct commit_message accept = world_waiting(w, COMMIT_PREPARE);
	struct commit_message by_name = {.type = COMMIT_RECOVER, .id = accept.id, .ballot = world_ballot(3, 2)};
	accept.type = COMMIT_ACCEPT;
	accept.ballot = world_ballot(3, 2);
	accept.decision = COMMIT_COMMITTED;
	accept.seen_count = 0;
	world_inject(w, 2, 1, &by_name);
	world_inject(w, 2, 1, &accept);
	world_drop(w, 0, 255, COMMIT_PREPARE);
	world_deliver(w, 6, COMMIT_RECOVER);
	cr_assert_eq(commit_held_keys(w->regions[1].machine), 0);
	world_deliver(w, 6, COMMIT_ACCEPT);
	cr_assert_eq(world_pending(w, COMMIT_ACCEPTED), 1);
	cr_assert_eq(commit_held_keys(w->regions[1].machine), 1);
	world_free(w);
}

/* An ABORT that was accepted holds nothing, not after a restart either. */
Test(acceptor, a20_an_accepted_abort_holds_nothing)
{
	struct world *w = world_new(3);
	world_put(w, 0, 1, "a", "one");
	struct commit_message accept = world_waiting(w, COMMIT_PREPARE);
	accept.type = COMMIT_ACCEPT;
	accept.ballot = world_ballot(10, 2);
	accept.decision = COMMIT_ABORTED;
	accept.seen_count = 0;
	world_inject(w, 2, 1, &accept);
	world_deliver(w, 6, COMMIT_ACCEPT);
	cr_assert_eq(world_pending(w, COMMIT_ACCEPTED), 1);
	for (int again = 0; again < 2; again++) {
		cr_assert_eq(world_in_doubt(w, 1), 1);
		cr_assert_eq(commit_held_keys(w->regions[1].machine), 0, "%d", again);
		world_kill(w, 1);
		world_start(w, 1);
	}
	world_free(w);
}

/* What is in doubt is written again when so much log lies behind it, and not before: as shipped, after 32 MiB. */
Test(acceptor, a20_what_is_in_doubt_is_not_written_again_for_nothing)
{
	struct world *w = world_new(3);
	voted(w, 1);
	for (uint64_t i = 0; i < 10; i++) {
		char key[3] = {'k', (char)('0' + i), 0};
		world_put(w, 1, 10 + i, key, "x");
		world_deliver(w, 6, 0);
		cr_assert_eq(world_code(w, 10 + i), ERR_OK);
	}
	world_drop(w, 255, 255, 0);
	uint32_t before = w->regions[1].count;
	for (int i = 0; i < 20; i++)
		world_tick(w, 1, 10 * MS);
	cr_assert_eq(w->regions[1].count, before);
	world_free(w);
}

/* Region 1 has noted a COMMIT by its message, and the stream that was to bring it is lost with its region: after five seconds
 * it goes out on region 1's own stream, after a restart as well. One that comes by stream does not. */
Test(acceptor, a20_a_commit_that_no_stream_brings_is_rescued)
{
	for (int again = 0; again < 3; again++) {
		struct world *w = world_new(3);
		world_put(w, 0, 1, "a", "one");
		world_deliver(w, 3, COMMIT_PREPARE);
		world_put(w, 1, 2, "a", "waits");
		world_deliver(w, 3, COMMIT_VOTE);
		world_deliver(w, 3, COMMIT_DECIDED);
		cr_assert_eq(commit_counts(w->regions[1].machine)->noted, 1);
		if (again == 2)
			world_streams(w);
		world_lose(w, 0);
		if (again == 1) {
			world_kill(w, 1);
			world_start(w, 1);
		}
		for (uint64_t ns = 0; ns < 5 * WORLD_SECOND - 100 * MS; ns += 100 * MS)
			world_tick(w, 1, 100 * MS);
		cr_assert_eq(commit_counts(w->regions[1].machine)->rescued, 0, "%d: too soon", again);
		for (uint32_t i = 0; i < 5; i++)
			world_tick(w, 1, 100 * MS);
		cr_assert_eq(commit_counts(w->regions[1].machine)->rescued, again < 2, "%d", again);
		world_streams(w);
		cr_assert_str_eq(world_value(w, 2, "a"), "one");
		world_free(w);
	}
}

/* Until a stream brings it, what is noted is nowhere in region 1's log but where it was noted: that is kept, however much lies
 * behind it. */
Test(acceptor, a20_log_is_kept_for_a_commit_that_is_noted)
{
	struct world *w = world_new_with(3, &(struct commit_options){.carry_lsn = 8});
	world_put(w, 0, 1, "a", "one");
	world_deliver(w, 3, COMMIT_PREPARE);
	world_put(w, 1, 2, "a", "waits");
	world_deliver(w, 3, COMMIT_VOTE);
	world_deliver(w, 3, COMMIT_DECIDED);
	cr_assert_eq(commit_counts(w->regions[1].machine)->noted, 1);
	world_lose(w, 0);
	world_drop(w, 255, 255, 0);
	for (uint64_t i = 0; i < 10; i++) {
		char key[3] = {'k', (char)('0' + i), 0};
		world_put(w, 2, 10 + i, key, "x");
		world_deliver(w, 6, COMMIT_PREPARE);
		world_deliver(w, 6, COMMIT_VOTE);
		world_deliver(w, 6, COMMIT_DECIDED);
		cr_assert_eq(world_code(w, 10 + i), ERR_OK);
	}
	world_streams(w);
	world_drop(w, 255, 255, 0);
	for (int i = 0; i < 20; i++) {
		world_tick(w, 1, 10 * MS);
		world_drop(w, 255, 255, 0);
	}
	world_trim(w, 1);
	world_kill(w, 1);
	world_start(w, 1);
	for (int i = 0; i < 60; i++)
		world_tick(w, 1, 100 * MS);
	cr_assert_eq(commit_counts(w->regions[1].machine)->rescued, 1);
	world_streams(w);
	cr_assert_str_eq(world_value(w, 2, "a"), "one");
	world_free(w);
}

/* What was lost is asked again, after a while and not at every turn. */
Test(acceptor, a20_a_prepare_is_sent_again_in_time)
{
	struct world *w = world_new(3);
	uint32_t sent = 0;
	world_put(w, 0, 1, "a", "one");
	world_drop(w, 255, 255, 0);
	for (int i = 0; i < 50; i++) {
		world_tick(w, 0, 20 * MS);
		sent += world_drop(w, 0, 1, COMMIT_PREPARE);
		world_drop(w, 255, 255, 0);
	}
	cr_assert(sent >= 8 && sent <= 11, "%u times in a second", sent); /* each 100 ms: no round trip was seen yet */
	world_free(w);
}

/* Who never heard of a transaction learns from ACCEPT what it is. */
Test(acceptor, a20_what_is_proposed_comes_with_its_body)
{
	struct world *w = world_new(3);
	voted(w, 1);
	world_kill(w, 0);
	for (int i = 0; i < 500 && !world_pending(w, COMMIT_ACCEPT); i++) {
		world_tick(w, 1, 20 * MS);
		world_deliver(w, 6, COMMIT_RECOVER);
		world_deliver(w, 6, COMMIT_PROMISED);
	}
	struct commit_message accept = world_waiting(w, COMMIT_ACCEPT);
	cr_assert_eq(accept.decision, COMMIT_COMMITTED);
	cr_assert(accept.body && accept.body_size > 0);
	world_deliver(w, 6, 0);
	world_wait(w, 6, WORLD_SECOND);
	world_streams(w);
	cr_assert_str_eq(world_value(w, 2, "a"), "one");
	world_free(w);
}

/* The row that an accepted COMMIT names as replaced is still named after a restart. */
Test(acceptor, a20_an_accepted_commit_names_what_it_replaced_after_a_restart)
{
	struct world *w = world_new(3);
	world_put(w, 0, 1, "a", "one");
	struct commit_message prepare = world_waiting(w, COMMIT_PREPARE);
	struct commit_seen seen = {.stamp = {.hlc = prepare.id.hlc - 1, .region = 2}, .live = true};
	struct commit_message accept = {.type = COMMIT_ACCEPT,
	    .id = prepare.id,
	    .ballot = world_ballot(10, 2),
	    .decision = COMMIT_COMMITTED,
	    .body = prepare.body,
	    .body_size = prepare.body_size,
	    .seen = &seen,
	    .seen_count = 1};
	world_inject(w, 2, 1, &accept);
	world_deliver(w, 6, COMMIT_ACCEPT);
	cr_assert_eq(world_pending(w, COMMIT_ACCEPTED), 1);
	world_kill(w, 1);
	world_start(w, 1);
	world_drop(w, 255, 255, 0);
	struct commit_message recover = {.type = COMMIT_RECOVER, .id = accept.id, .ballot = world_ballot(11, 0)};
	world_inject(w, 0, 1, &recover);
	world_deliver(w, 3, COMMIT_RECOVER);
	struct commit_message promised = world_waiting(w, COMMIT_PROMISED);
	cr_assert(promised.accepted_ballot == world_ballot(10, 2) && promised.accepted_value == COMMIT_COMMITTED);
	cr_assert_eq(promised.seen_count, 1);
	cr_assert(commit_id_equal(promised.seen[0].stamp, seen.stamp));
	world_free(w);
}

/* Of two versions of one commit the later share is the newer. */
Test(acceptor, a20_a_read_answers_with_the_newest_share)
{
	struct world *w = world_new(3);
	world_put(w, 0, 1, "a", "one");
	world_deliver(w, ALL, 0);
	world_streams(w);
	world_get(w, 0, 2, "a");
	world_deliver(w, 3, COMMIT_ASK);
	struct commit_message told = world_waiting(w, COMMIT_TOLD);
	cr_assert(told.read && told.live);
	told.version.share = 5;
	told.value = (const uint8_t *)"two";
	told.value_size = 3;
	world_inject(w, 1, 0, &told);
	world_drop(w, 255, 255, COMMIT_ASK);
	struct world_message first = w->messages[0];
	w->messages[0] = w->messages[w->message_count - 1];
	w->messages[w->message_count - 1] = first; /* the later one comes first */
	world_deliver(w, 3, COMMIT_TOLD);
	cr_assert_eq(world_code(w, 2), ERR_OK);
	cr_assert_str_eq(world_answer(w, 2)->value, "two");
	world_free(w);
}
