/* SPDX-License-Identifier: Apache-2.0
 *
 * A region that recovers, and what it makes of replies that the test puts into the others' mouths (A20). */
#include <criterion/criterion.h>
#include <string.h>

#include "commit/message.h"
#include "tests/unit/commit/world.h"

/* Region 1 has voted for `a` of region 0 and recovers it; nobody else has heard of it. Returns the RECOVER that it sent. */
static struct commit_message looked_at(struct world *w)
{
	world_put(w, 0, 1, "a", "one");
	world_deliver(w, 3, COMMIT_PREPARE);
	world_drop(w, 255, 255, 0);
	for (uint32_t i = 0; i < 500 && !world_pending(w, COMMIT_RECOVER); i++) {
		world_drop(w, 255, 255, 0);
		world_tick(w, 1, 20 * MS);
	}
	struct commit_message recover = world_waiting(w, COMMIT_RECOVER);
	cr_assert(recover.ballot, "it does not look");
	world_drop(w, 255, 255, 0);
	return recover;
}

/* One that has nothing to say but what is set in it. */
static struct commit_message promise_of(struct commit_id id, uint64_t ballot)
{
	static const struct commit_seen nothing;
	return (struct commit_message){.type = COMMIT_PROMISED, .id = id, .ballot = ballot, .seen = &nothing, .seen_count = 1};
}

/* ---- who is in the way ---- */

/* Two that nobody but 1 recovers: t of 0, for which 1 has voted, and b of 4, for which 2 has. */
struct two {
	struct world *w;
	struct commit_id t, b;
	bool hears_4; /* in place of 3, when it asks about t: it holds b */
};

static void reply(struct two *two, struct commit_message asked, uint8_t from)
{
	bool is_t = commit_id_equal(asked.id, two->t);
	struct commit_message m = promise_of(asked.id, asked.ballot);
	if (from == 2 && !is_t)
		m.vote = COMMIT_YES;
	if ((from == 2 || from == 4) && is_t) {
		m.hold_count = 1;
		m.holds[0] = two->b;
	}
	world_inject(two->w, from, 1, &m);
}

/* Whenever 1 asks, 2 and 3 reply, or 2 and 4. Returns what it proposes in the end; type 0: nothing in three seconds. */
static struct commit_message proposed(struct two *two)
{
	static struct commit_seen seen[COMMIT_OPERATIONS_MAX];
	for (uint32_t i = 0; i < 150 && !world_pending(two->w, COMMIT_ACCEPT); i++) {
		world_tick(two->w, 1, 20 * MS);
		struct commit_message asked[8];
		uint32_t count = 0;
		for (uint32_t j = 0; j < two->w->message_count && count < 8; j++) {
			const struct world_message *m = &two->w->messages[j];
			if (m->type == COMMIT_RECOVER && m->to == 2)
				cr_assert_eq(commit_message_decode(&asked[count++], seen, m->bytes, m->size), 0);
		}
		for (uint32_t j = 0; j < count; j++)
			for (uint8_t from = 2; from <= 4; from++)
				if (from == 2 || (from == 4) == (two->hears_4 && commit_id_equal(asked[j].id, two->t)))
					reply(two, asked[j], from);
		world_drop(two->w, 1, 255, COMMIT_RECOVER);
		world_drop(two->w, 1, 255, COMMIT_FETCH);
		world_deliver(two->w, 30, COMMIT_PROMISED);
	}
	struct commit_message m = world_waiting(two->w, COMMIT_ACCEPT);
	world_drop(two->w, 255, 255, 0);
	return m;
}

static struct two two_met(bool b_is_later)
{
	struct two two = {.w = world_new(5)};
	struct world *w = two.w;
	w->regions[4].clock_ms = b_is_later ? 50 : -50;
	world_put(w, 4, 2, "a", "two");
	struct commit_message known = world_waiting(w, COMMIT_PREPARE);
	static uint8_t body[256];
	cr_assert_leq(known.body_size, sizeof body);
	memcpy(body, known.body, known.body_size);
	known = (struct commit_message){.type = COMMIT_KNOWN, .id = known.id, .body = body, .body_size = known.body_size};
	world_drop(w, 255, 255, 0);
	two.b = known.id;
	two.t = looked_at(w).id;
	cr_assert_eq(commit_id_compare(two.b, two.t) > 0, b_is_later);
	world_say(w, 2, 1, known);
	return two;
}

/* Neither can be committed before the other is aborted: the later one passes over the earlier, and never the other way. */
Test(ballot, a20_of_two_that_need_each_others_abort_the_later_goes_on)
{
	for (int b_is_later = 0; b_is_later < 2; b_is_later++) {
		struct two two = two_met(b_is_later);
		struct commit_message m = proposed(&two);
		cr_assert_eq(m.type, COMMIT_ACCEPT, "%d: nothing is proposed", b_is_later);
		cr_assert_eq(m.decision, COMMIT_COMMITTED);
		cr_assert(commit_id_equal(m.id, b_is_later ? two.b : two.t), "%d: the earlier goes on", b_is_later);
		cr_assert_eq(m.hold_count, 1);
		cr_assert(commit_id_equal(m.holds[0], b_is_later ? two.t : two.b));
		world_free(two.w);
	}
}

/* b cannot be committed before t is aborted, while t needs nothing of b, whose coordinator has replied: t goes on. */
Test(ballot, a20_who_needs_no_abort_passes_over_who_does)
{
	struct two two = two_met(true);
	two.hears_4 = true;
	struct commit_message m = proposed(&two);
	cr_assert_eq(m.type, COMMIT_ACCEPT);
	cr_assert(commit_id_equal(m.id, two.t) && m.decision == COMMIT_COMMITTED);
	cr_assert(m.hold_count == 1 && commit_id_equal(m.holds[0], two.b));
	world_free(two.w);
}

/* 1, 2 and 3 have voted for t: nobody else can have a majority before it is decided. But of a full list there may be more. */
Test(ballot, a20_a_list_of_holders_that_may_go_on_is_waited_for)
{
	for (uint32_t count = COMMIT_HOLDS_MAX - 1; count <= COMMIT_HOLDS_MAX; count++) {
		struct world *w = world_new(5);
		struct commit_message asked = looked_at(w);
		struct commit_message m = promise_of(asked.id, asked.ballot);
		m.vote = COMMIT_YES;
		world_say(w, 2, 1, m);
		m.hold_count = count;
		for (uint32_t i = 0; i < count; i++)
			m.holds[i] = (struct commit_id){.hlc = asked.id.hlc - 10 + i, .region = 4};
		world_say(w, 3, 1, m);
		bool is_full = count == COMMIT_HOLDS_MAX;
		cr_assert_eq(world_pending(w, COMMIT_ACCEPT), is_full ? 0 : 4);
		if (!is_full)
			cr_assert_eq(world_waiting(w, COMMIT_ACCEPT).hold_count, count);
		world_free(w);
	}
}

/* Who is asked to accept COMMIT and has voted for another says for whom. */
Test(ballot, a20_who_is_in_the_way_is_named)
{
	struct world *w = world_new(3);
	world_put(w, 2, 2, "a", "two");
	struct commit_id holder = world_waiting(w, COMMIT_PREPARE).id;
	world_deliver(w, 6, COMMIT_PREPARE);
	world_drop(w, 255, 255, 0);
	world_put(w, 0, 1, "a", "one");
	struct commit_message accept = world_waiting(w, COMMIT_PREPARE);
	accept.type = COMMIT_ACCEPT;
	accept.ballot = world_ballot(3, 0);
	accept.decision = COMMIT_COMMITTED;
	world_inject(w, 0, 1, &accept);
	world_drop(w, 0, 255, COMMIT_PREPARE);
	world_deliver(w, 3, COMMIT_ACCEPT);
	struct commit_message blocked = world_waiting(w, COMMIT_BLOCKED);
	cr_assert(blocked.ballot == accept.ballot && blocked.hold_count == 1 && commit_id_equal(blocked.holds[0], holder));
	cr_assert_eq(world_pending(w, COMMIT_ACCEPTED), 0);
	world_free(w);
}

/* The coordinator itself has promised, and commits no more: with one vote it is over. Nobody else speaks for it. */
Test(ballot, a20_only_the_coordinator_says_that_it_is_over)
{
	for (uint8_t from = 0; from < 3; from += 2) {
		struct world *w = world_new(3);
		struct commit_message asked = looked_at(w);
		struct commit_message m = promise_of(asked.id, asked.ballot);
		m.coordinates = true;
		world_say(w, from, 1, m);
		cr_assert_eq(world_waiting(w, COMMIT_ACCEPT).decision, from ? COMMIT_COMMITTED : COMMIT_ABORTED, "%u", from);
		world_free(w);
	}
}

/* ---- what is known of the row below ---- */

/* The newest of all that a promise, an acceptance and the own row name. */
Test(ballot, a20_what_is_recovered_names_the_newest_row_that_any_reply_names)
{
	for (int newest = 0; newest < 3; newest++) {
		struct world *w = world_new(5);
		world_put(w, 4, 2, "a", "below");
		world_deliver(w, 28, 0);
		cr_assert_eq(world_code(w, 2), ERR_OK);
		struct commit_id own = world_answer(w, 2)->version;
		w->now_ns += 100 * MS;
		struct commit_message asked = looked_at(w);
		uint64_t below = newest < 2 ? asked.id.hlc - 1000 : own.hlc - 1;
		cr_assert_gt(below, newest < 2 ? own.hlc : 0);
		struct commit_seen seen[2] = {{.stamp = {.hlc = below + (newest == 0), .region = 3}},
		    {.stamp = {.hlc = below + (newest == 1), .region = 3}}};
		struct commit_message m = promise_of(asked.id, asked.ballot);
		m.vote = COMMIT_YES;
		if (newest < 2)
			m.seen = &seen[0];
		world_say(w, 2, 1, m);
		m.seen = promise_of(asked.id, 0).seen;
		world_say(w, 3, 1, m);
		cr_assert_eq(world_waiting(w, COMMIT_ACCEPT).decision, COMMIT_COMMITTED);
		if (newest == 2)
			world_streams(w);
		struct commit_message accepted = {
		    .type = COMMIT_ACCEPTED, .id = asked.id, .ballot = asked.ballot, .seen = &seen[1], .seen_count = 1};
		world_say(w, 2, 1, accepted);
		accepted.seen_count = 0;
		world_say(w, 3, 1, accepted);
		struct commit_message decided = world_waiting(w, COMMIT_DECIDED);
		cr_assert_eq(decided.decision, COMMIT_COMMITTED);
		cr_assert_eq(decided.seen_count, 1);
		cr_assert_eq(decided.seen[0].stamp.hlc, newest < 2 ? below + 1 : own.hlc, "%d", newest);
		world_free(w);
	}
}

/* ---- what waits for the disk is overtaken ---- */

/* Region 1 has voted for `a` of region 0. Its disk stands still from now on. */
static struct commit_id voted_and_slow(struct world *w)
{
	world_put(w, 0, 1, "a", "one");
	world_deliver(w, 3, COMMIT_PREPARE);
	struct commit_id id = world_waiting(w, COMMIT_VOTE).id;
	cr_assert(id.hlc);
	world_drop(w, 255, 255, 0);
	w->regions[1].slow_disk = true;
	return id;
}

static void told_of_abort(struct world *w, struct commit_id id)
{
	world_say(w, 2, 1, (struct commit_message){.type = COMMIT_DECIDED, .id = id, .decision = COMMIT_ABORTED});
}

static void asked_for(struct world *w, struct commit_id id, uint64_t ballot)
{
	world_say(w, 2, 1, (struct commit_message){.type = COMMIT_RECOVER, .id = id, .ballot = ballot});
}

static void proposed_to(struct world *w, struct commit_id id, uint64_t ballot)
{
	world_say(
	    w, 2, 1, (struct commit_message){.type = COMMIT_ACCEPT, .id = id, .ballot = ballot, .decision = COMMIT_ABORTED});
}

/* Its promise to itself becomes durable when another has the promise, or when all is over, or when it has made the next one
 * itself, which is not durable: it asks nobody by it. */
Test(ballot, a20_nobody_is_asked_by_a_ballot_that_is_over)
{
	for (int how = 0; how < 4; how++) {
		struct world *w = world_new(3);
		struct commit_id id = voted_and_slow(w);
		uint64_t before = w->regions[1].count;
		for (uint32_t i = 0; i < 500 && w->regions[1].count == before; i++)
			world_tick(w, 1, 20 * MS);
		cr_assert_eq(world_pending(w, COMMIT_RECOVER), 0, "it asks before it has promised");
		if (how == 1)
			told_of_abort(w, id);
		if (how == 2)
			asked_for(w, id, world_ballot(100, 2));
		uint32_t first = w->regions[1].count;
		for (uint32_t i = 0; how == 3 && i < 500 && w->regions[1].count == first; i++)
			world_tick(w, 1, 20 * MS);
		world_sync_to(w, 1, first);
		cr_assert_eq(world_pending(w, COMMIT_RECOVER), how == 0 ? 2 : 0, "%d", how);
		world_sync(w, 1);
		cr_assert_eq(world_pending(w, COMMIT_RECOVER), how == 0 || how == 3 ? 2 : 0, "%d", how);
		world_free(w);
	}
}

Test(ballot, a20_a_promise_that_was_overtaken_is_not_sent)
{
	for (int how = 0; how < 3; how++) {
		struct world *w = world_new(3);
		struct commit_id id = voted_and_slow(w);
		asked_for(w, id, world_ballot(3, 2));
		if (how == 1)
			told_of_abort(w, id);
		if (how == 2)
			asked_for(w, id, world_ballot(4, 2));
		world_sync(w, 1);
		cr_assert_eq(world_pending(w, COMMIT_PROMISED), how != 1, "%d", how);
		cr_assert_eq(world_pending(w, COMMIT_DECIDED), how == 1, "%d", how);
		if (how != 1)
			cr_assert_eq(world_waiting(w, COMMIT_PROMISED).ballot, world_ballot(how == 2 ? 4 : 3, 2));
		world_free(w);
	}
}

Test(ballot, a20_an_acceptance_that_was_overtaken_is_not_told)
{
	for (int how = 0; how < 3; how++) {
		struct world *w = world_new(3);
		struct commit_id id = voted_and_slow(w);
		proposed_to(w, id, world_ballot(3, 2));
		if (how == 1)
			told_of_abort(w, id);
		if (how == 2)
			proposed_to(w, id, world_ballot(4, 2));
		world_sync(w, 1);
		cr_assert_eq(world_pending(w, COMMIT_ACCEPTED), how != 1, "%d", how);
		cr_assert_eq(world_pending(w, COMMIT_DECIDED), how == 1, "%d", how);
		if (how != 1)
			cr_assert_eq(world_waiting(w, COMMIT_ACCEPTED).ballot, world_ballot(how == 2 ? 4 : 3, 2));
		world_free(w);
	}
}

/* It has a majority's promises and accepts its own proposal, and another has its promise before that is durable. */
Test(ballot, a20_nothing_is_proposed_by_a_ballot_that_is_over)
{
	for (int how = 0; how < 3; how++) {
		struct world *w = world_new(3);
		struct commit_message asked = looked_at(w);
		w->regions[1].slow_disk = true;
		world_say(w, 2, 1, promise_of(asked.id, asked.ballot));
		if (how == 1)
			told_of_abort(w, asked.id);
		if (how == 2)
			asked_for(w, asked.id, world_ballot(100, 2));
		world_sync(w, 1);
		cr_assert_eq(world_pending(w, COMMIT_ACCEPT), how == 0 ? 2 : 0, "%d", how);
		world_free(w);
	}
}

/* ---- ballots that come late ---- */

Test(ballot, a20_a_promise_is_said_again_to_who_has_it)
{
	struct world *w = world_new(3);
	struct commit_id id = voted_and_slow(w);
	w->regions[1].slow_disk = false;
	for (int i = 0; i < 2; i++) {
		asked_for(w, id, world_ballot(3, 2));
		cr_assert_eq(world_pending(w, COMMIT_PROMISED), 1, "time %d", i);
		world_drop(w, 255, 255, 0);
	}
	proposed_to(w, id, world_ballot(3, 2));
	cr_assert_eq(world_pending(w, COMMIT_ACCEPTED), 1);
	world_drop(w, 255, 255, 0);
	uint32_t before = w->regions[1].count;
	proposed_to(w, id, world_ballot(3, 2));
	cr_assert_eq(world_pending(w, COMMIT_ACCEPTED), 1, "not told again");
	cr_assert_eq(w->regions[1].count, before, "it is in the log already");
	world_free(w);
}

/* Somebody with an old ballot, however often it asks, does not keep this region from looking itself. */
Test(ballot, a20_a_ballot_that_is_over_puts_nothing_off)
{
	uint64_t took_ns[2];
	for (int asked = 0; asked < 2; asked++) {
		struct world *w = world_new(3);
		struct commit_id id = voted_and_slow(w);
		w->regions[1].slow_disk = false;
		asked_for(w, id, world_ballot(30, 2));
		world_drop(w, 255, 255, 0);
		uint64_t begun_ns = w->now_ns;
		for (uint32_t i = 0; i < 300 && !world_pending(w, COMMIT_RECOVER); i++) {
			if (asked)
				asked_for(w, id, world_ballot(20, 2));
			world_tick(w, 1, 20 * MS);
		}
		cr_assert_eq(world_pending(w, COMMIT_RECOVER), 2, "it never looks");
		took_ns[asked] = w->now_ns - begun_ns;
		world_free(w);
	}
	cr_assert_eq(took_ns[0], took_ns[1]);
}

/* Both keys of what is promised are held by what is known to be committed and is not in the log yet: it is, before a word is
 * said of the rows. */
Test(ballot, a20_a_promise_notes_first_what_is_known)
{
	struct world *w = world_new(3);
	struct commit_operation o[2] = {world_operation(COMMIT_PUT, "a", "one"), world_operation(COMMIT_PUT, "b", "one")};
	struct commit_id known[2];
	for (uint32_t i = 0; i < 2; i++) {
		world_transaction(w, 0, 1 + i, 7, 1 + i, 1, &o[i]);
		world_deliver(w, 3, COMMIT_PREPARE);
		world_deliver(w, 3, COMMIT_VOTE);
		world_deliver(w, 3, COMMIT_DECIDED);
		known[i] = world_answer(w, 1 + i)->version;
		world_drop(w, 255, 255, 0);
	}
	w->now_ns += MS;
	w->regions[2].clock_ms = 10;
	world_transaction(w, 2, 3, 8, 1, 2, o);
	struct commit_message recover = world_waiting(w, COMMIT_PREPARE);
	recover.type = COMMIT_RECOVER;
	recover.ballot = world_ballot(3, 2);
	recover.seen_count = 0;
	world_inject(w, 2, 1, &recover);
	world_drop(w, 2, 255, COMMIT_PREPARE);
	world_deliver(w, 6, COMMIT_RECOVER);
	struct commit_message promised = world_waiting(w, COMMIT_PROMISED);
	cr_assert_eq(promised.seen_count, 2);
	cr_assert_eq(promised.hold_count, 0, "what is committed is not in the way");
	for (uint32_t i = 0; i < 2; i++)
		cr_assert(commit_id_equal(promised.seen[i].version, known[i]), "the row of %s is older", i ? "b" : "a");
	world_free(w);
}

/* Region 1 coordinates `a` itself when it is asked about another's transaction on it: its own makes way; for one that it may
 * have decided and forgotten nothing does. */
Test(ballot, a20_what_is_promised_is_made_way_for)
{
	for (int forgotten = 0; forgotten < 2; forgotten++) {
		struct world *w = world_new_forgetful(3);
		world_put(w, 0, 1, "a", "one");
		struct commit_message asked = world_waiting(w, COMMIT_PREPARE);
		static uint8_t body[256];
		cr_assert_leq(asked.body_size, sizeof body);
		memcpy(body, asked.body, asked.body_size);
		asked.type = COMMIT_RECOVER;
		asked.ballot = world_ballot(3, 2);
		asked.seen_count = 0;
		asked.body = body;
		world_drop(w, 255, 255, 0);
		for (uint64_t i = 0; forgotten && i < 20; i++) {
			w->now_ns += MS;
			world_put(w, 1, 100 + i, "a", "x");
			world_deliver(w, 6, 0);
			cr_assert_eq(world_code(w, 100 + i), ERR_OK);
			world_drop(w, 255, 255, 0);
		}
		world_put(w, 1, 2, "a", "mine");
		struct commit_id own = world_waiting(w, COMMIT_PREPARE).id;
		world_drop(w, 255, 255, 0);
		world_say(w, 2, 1, asked);
		cr_assert_eq(world_pending(w, COMMIT_PROMISED), 1);
		cr_assert_eq(world_waiting(w, COMMIT_PROMISED).forgotten || world_waiting(w, COMMIT_PROMISED).dead, forgotten);
		cr_assert_eq(world_pending(w, COMMIT_WITHDRAW), forgotten ? 0 : 2);
		if (!forgotten)
			cr_assert(commit_id_equal(world_waiting(w, COMMIT_WITHDRAW).id, own));
		world_free(w);
	}
}

/* A transaction whose request was committed under another name is dead; whether one is whose request is older than all that is
 * remembered, nobody can tell here. */
Test(ballot, a20_a_promise_tells_of_the_requests)
{
	enum { NEW, DONE, OLD, CASES };
	for (int which = NEW; which < CASES; which++) {
		struct world *w = world_new_with(3, &(struct commit_options){.memory = 8, .requests = 8});
		struct commit_operation o = world_operation(COMMIT_PUT, "a", "x");
		uint64_t token = commit_token(w->regions[0].machine);
		for (uint64_t i = 0; i < (which == OLD ? 40 : 1); i++) {
			w->now_ns += MS;
			struct commit_operation other = world_operation(COMMIT_PUT, "b", "x");
			world_transaction(w, 1, 100 + i, which == DONE ? 7 : 100 + i, 1, 1, &other);
			world_deliver(w, 6, 0);
			cr_assert_eq(world_code(w, 100 + i), ERR_OK);
			world_drop(w, 255, 255, 0);
		}
		w->now_ns += MS;
		w->after = which == OLD ? token : commit_token(w->regions[1].machine);
		world_transaction(w, 0, 1, 7, 1, 1, &o);
		struct commit_message asked = world_waiting(w, COMMIT_PREPARE);
		asked.type = COMMIT_RECOVER;
		asked.ballot = world_ballot(3, 2);
		asked.seen_count = 0;
		world_inject(w, 2, 1, &asked);
		world_deliver(w, 6, COMMIT_RECOVER);
		struct commit_message promised = world_waiting(w, COMMIT_PROMISED);
		cr_assert(promised.ballot, "%d: no promise", which);
		cr_assert_eq(promised.dead, which == DONE, "%d", which);
		cr_assert_eq(promised.forgotten, which == OLD, "%d", which);
		world_free(w);
	}
}

/* Region 1 recovers what it knows by name only; a promise tells it what that is: it asks anew, with the body. */
Test(ballot, a20_a_body_that_a_promise_brings_is_recovered_from_the_start)
{
	struct world *w = world_new(3);
	world_put(w, 0, 1, "a", "one");
	struct commit_message prepare = world_waiting(w, COMMIT_PREPARE);
	static uint8_t body[256];
	cr_assert_leq(prepare.body_size, sizeof body);
	memcpy(body, prepare.body, prepare.body_size);
	world_drop(w, 255, 255, 0);
	asked_for(w, prepare.id, world_ballot(3, 2));
	struct commit_message asked = {0};
	for (int with_body = 0; with_body < 2; with_body++) {
		for (uint32_t i = 0; i < 500 && !world_pending(w, COMMIT_RECOVER); i++)
			world_tick(w, 1, 20 * MS);
		asked = world_waiting(w, COMMIT_RECOVER);
		cr_assert_eq(asked.body_size, with_body ? prepare.body_size : 0, "%d", with_body);
		struct commit_message m = promise_of(asked.id, asked.ballot);
		m.body = body;
		m.body_size = prepare.body_size;
		m.vote = COMMIT_YES;
		world_drop(w, 255, 255, 0);
		world_say(w, 2, 1, m);
		cr_assert_eq(world_pending(w, COMMIT_ACCEPT), with_body ? 2 : 0, "%d", with_body);
	}
	cr_assert_eq(world_waiting(w, COMMIT_ACCEPT).decision, COMMIT_COMMITTED);
	world_free(w);
}
