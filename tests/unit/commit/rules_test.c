/* SPDX-License-Identifier: Apache-2.0
 *
 * What a participant answers, rule by rule (A20): PREPAREs, decisions and withdrawals that no other region sent are put in
 * front of one, and what it says is looked at. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/bytes.h"
#include "core/hlc.h"
#include "tests/unit/commit/world.h"

/* A stamp that is so much ahead of all that the world has given out. */
static uint64_t stamp(uint64_t ahead_ms)
{
	return hlc_pack(1900000000000ull + 100000 + ahead_ms, 0);
}

/* PREPARE of `from`, with one request of a client of its own. */
static struct commit_message prepare(
    struct commit_id id, uint64_t since, uint32_t count, const struct commit_operation *operations)
{
	static uint8_t bytes[4096];
	struct commit_request_name name = {.client_id = 0x7000 + id.hlc, .number = 1, .after = 1};
	uint8_t *out = commit_body_begin(bytes, false, 1, since, 1);
	out = commit_request_name_put(out, &name);
	bytes_put_u16(out, (uint16_t)count);
	out += 2;
	for (uint32_t i = 0; i < count; i++)
		out = commit_operation_put(out, &operations[i]);
	return (struct commit_message){.type = COMMIT_PREPARE, .id = id, .body = bytes, .body_size = (uint32_t)(out - bytes)};
}

static void prepare_put(struct world *w, uint8_t from, uint8_t to, struct commit_id id, uint64_t since, const char *key)
{
	struct commit_operation o = world_operation(COMMIT_PUT, key, "x");
	struct commit_message m = prepare(id, since, 1, &o);
	world_inject(w, from, to, &m);
	world_deliver(w, 1u << from | 1u << to, COMMIT_PREPARE);
}

/* Everybody has it. Returns its version. */
static struct commit_id everywhere(struct world *w, uint8_t region, uint64_t route, const char *key, const char *value)
{
	world_put(w, region, route, key, value);
	world_deliver(w, ALL, 0);
	world_streams(w);
	world_deliver(w, ALL, 0);
	cr_assert_eq(world_code(w, route), ERR_OK);
	return world_answer(w, route)->version;
}

struct rule {
	const char *name;
	uint8_t condition;
	int64_t hlc;     /* expected: so much above the version that is there */
	uint16_t share;  /* the same */
	const char *key; /* there: "a" */
	bool is_late;
	uint8_t vote;
	int reason;
	bool is_final;
};
static const struct rule rules[] = {
    {"its version", COMMIT_IF_VERSION, 0, 0, "a", false, COMMIT_YES, 0, false},
    {"another share", COMMIT_IF_VERSION, 0, 1, "a", false, COMMIT_NO, ERR_CHECK_FAILED, true},
    {"an older version", COMMIT_IF_VERSION, -1, 0, "a", false, COMMIT_NO, ERR_CHECK_FAILED, true},
    {"a version that has not come", COMMIT_IF_VERSION, 1, 0, "a", false, COMMIT_ABSTAIN, 0, false},
    {"not come, and late", COMMIT_IF_VERSION, 1, 0, "a", true, COMMIT_ABSTAIN, 0, false},
    {"absent, and it is there", COMMIT_IF_ABSENT, 0, 0, "a", false, COMMIT_NO, ERR_CHECK_FAILED, false},
    {"absent, there, and late", COMMIT_IF_ABSENT, 0, 0, "a", true, COMMIT_NO, ERR_CHECK_FAILED, false},
    {"absent, and it is not there", COMMIT_IF_ABSENT, 0, 0, "c", false, COMMIT_YES, 0, false},
    {"late", COMMIT_ALWAYS, 0, 0, "a", true, COMMIT_NO, ERR_OVERLOADED, false},
};

/* Alone, and as the second of two operations. */
Test(rules, a20_a_vote_goes_by_the_row)
{
	for (uint32_t i = 0; i < 2 * sizeof rules / sizeof *rules; i++) {
		const struct rule *rule = &rules[i / 2];
		uint32_t second = i % 2;
		struct world *w = world_new(3);
		struct commit_id there = everywhere(w, 0, 1, "a", "one");
		struct commit_operation o[2] = {
		    world_operation(COMMIT_PUT, "b", "two"), world_operation(COMMIT_PUT, rule->key, "two")};
		o[1].condition = rule->condition;
		o[1].expected = there;
		o[1].expected.hlc += (uint64_t)rule->hlc;
		o[1].expected.share = (uint16_t)(there.share + rule->share);
		struct commit_id id = {.hlc = rule->is_late ? there.hlc - 1 : stamp(0), .region = 2};
		world_say(w, 2, 1, prepare(id, 1, 1 + second, second ? o : o + 1));
		cr_assert_eq(world_pending(w, COMMIT_VOTE), 1, "%s", rule->name);
		struct commit_message vote = world_waiting(w, COMMIT_VOTE);
		cr_assert_eq(vote.vote, rule->vote, "%s: vote %u", rule->name, vote.vote);
		cr_assert_eq(vote.reason, rule->reason, "%s: reason %d", rule->name, vote.reason);
		cr_assert_eq(vote.is_final, rule->is_final, "%s", rule->name);
		if (rule->reason == ERR_CHECK_FAILED)
			cr_assert_eq(vote.read, second, "%s: operation %u", rule->name, (unsigned)vote.read);
		if (rule->reason == ERR_OVERLOADED)
			cr_assert(commit_id_equal(vote.version, there));
		if (rule->vote == COMMIT_YES && !strcmp(rule->key, "a"))
			cr_assert(commit_id_equal(vote.seen[second].stamp, there), "it does not name what it replaces");
		cr_assert_eq(world_in_doubt(w, 1), rule->vote == COMMIT_YES, "%s: more than a YES is kept", rule->name);
		world_free(w);
	}
}

/* Of two that are broken, the one that can never hold again counts. */
Test(rules, a20_a_final_no_outweighs_others)
{
	struct world *w = world_new(3);
	struct commit_id there = everywhere(w, 0, 1, "a", "one");
	everywhere(w, 0, 2, "b", "one");
	struct commit_operation o[2] = {world_operation(COMMIT_PUT, "b", "two"), world_operation(COMMIT_PUT, "a", "two")};
	o[0].condition = COMMIT_IF_ABSENT;
	o[1].condition = COMMIT_IF_VERSION;
	o[1].expected = there;
	o[1].expected.hlc--;
	world_say(w, 2, 1, prepare((struct commit_id){.hlc = stamp(0), .region = 2}, 1, 2, o));
	struct commit_message vote = world_waiting(w, COMMIT_VOTE);
	cr_assert(vote.vote == COMMIT_NO && vote.is_final && vote.read == 1);
	world_free(w);
}

/* Whoever has waited longest comes first, whenever its PREPARE came; who is withdrawn leaves the line and nobody else. */
Test(rules, a20_they_wait_in_order)
{
	struct world *w = world_new(3);
	struct commit_id holder = {.hlc = stamp(0), .region = 2};
	struct commit_id id[5];
	static const uint64_t since[5] = {50, 30, 40, 20, 60};
	prepare_put(w, 2, 1, holder, 10, "a");
	cr_assert_eq(world_pending(w, COMMIT_VOTE), 1);
	world_drop(w, 255, 255, 0);
	for (uint32_t i = 0; i < 5; i++) {
		id[i] = (struct commit_id){.hlc = stamp(1 + i), .region = 2};
		prepare_put(w, 2, 1, id[i], since[i], "a");
	}
	cr_assert_eq(world_pending(w, COMMIT_VOTE), 0);
	world_say(w, 2, 1, (struct commit_message){.type = COMMIT_DECIDED, .id = id[2], .decision = COMMIT_ABORTED});
	static const uint32_t order[4] = {3, 1, 0, 4};
	struct commit_id last = holder;
	for (uint32_t i = 0; i < 4; i++) {
		world_say(w, 2, 1, (struct commit_message){.type = COMMIT_DECIDED, .id = last, .decision = COMMIT_ABORTED});
		cr_assert_eq(world_pending(w, COMMIT_VOTE), 1, "at %u", i);
		last = world_waiting(w, COMMIT_VOTE).id;
		cr_assert(commit_id_equal(last, id[order[i]]), "at %u it is not the turn of this one", i);
		world_drop(w, 255, 255, 0);
	}
	world_free(w);
}

/* Only the coordinator itself is heard. */
Test(rules, a20_nobody_speaks_for_a_coordinator)
{
	struct world *w = world_new(3);
	struct commit_id id = {.hlc = stamp(0), .region = 2};
	prepare_put(w, 0, 1, id, 10, "a");
	cr_assert_eq(w->message_count, 0, "a vote for what region 0 says that region 2 asks");
	cr_assert_eq(world_in_doubt(w, 1), 0);
	prepare_put(w, 2, 1, id, 10, "a");
	cr_assert_eq(world_pending(w, COMMIT_VOTE), 1);
	world_drop(w, 255, 255, 0);
	world_say(w, 0, 1, (struct commit_message){.type = COMMIT_WITHDRAW, .id = id});
	cr_assert_eq(w->message_count, 0, "withdrawn by another");
	world_say(w, 2, 1, (struct commit_message){.type = COMMIT_WITHDRAW, .id = id});
	cr_assert_eq(world_pending(w, COMMIT_WITHDRAWN), 1);
	world_free(w);
}

/* After it has said that it is withdrawn a region does not vote for it, not after a restart either; and says it again. */
Test(rules, a20_what_is_withdrawn_stays_so)
{
	for (int again = 0; again < 2; again++) {
		struct world *w = world_new(3);
		struct commit_id id = {.hlc = stamp(0), .region = 2};
		world_say(w, 2, 1, (struct commit_message){.type = COMMIT_WITHDRAW, .id = id});
		cr_assert_eq(world_pending(w, COMMIT_WITHDRAWN), 1);
		world_drop(w, 255, 255, 0);
		if (again) {
			world_kill(w, 1);
			world_start(w, 1);
		}
		prepare_put(w, 2, 1, id, 10, "a");
		cr_assert_eq(world_pending(w, COMMIT_VOTE), 0, "%d: a vote", again);
		uint32_t entries = w->regions[1].count;
		world_say(w, 2, 1, (struct commit_message){.type = COMMIT_WITHDRAW, .id = id});
		cr_assert_eq(world_pending(w, COMMIT_WITHDRAWN), 1);
		cr_assert_eq(w->regions[1].count, entries, "said twice, and written twice");
		/* A recovery goes on from there. */
		world_drop(w, 255, 255, 0);
		world_say(w, 0, 1, (struct commit_message){.type = COMMIT_RECOVER, .id = id, .ballot = REGIONS_MAX * 3});
		cr_assert(world_waiting(w, COMMIT_PROMISED).withdrawn, "%d: the promise does not tell", again);
		world_free(w);
	}
}

/* A coordinator that begins again goes on with what it had withdrawn. */
Test(rules, a20_a_coordinator_goes_on_withdrawing)
{
	struct world *w = world_new(3);
	w->deadline_ns = 100 * MS;
	world_put(w, 0, 1, "a", "one");
	struct commit_id id = world_waiting(w, COMMIT_PREPARE).id;
	world_tick(w, 0, 150 * MS);
	cr_assert_eq(world_pending(w, COMMIT_WITHDRAW), 2);
	world_drop(w, 255, 255, 0);
	world_kill(w, 0);
	world_start(w, 0);
	uint32_t entries = w->regions[0].count;
	for (int i = 0; i < 50 && !world_pending(w, COMMIT_WITHDRAW); i++)
		world_tick(w, 0, 20 * MS);
	cr_assert_eq(world_pending(w, COMMIT_WITHDRAW), 2);
	cr_assert_eq(w->regions[0].count, entries, "withdrawn again, with another entry");
	world_deliver(w, ALL, COMMIT_WITHDRAW);
	world_deliver(w, ALL, COMMIT_WITHDRAWN);
	for (int i = 0; i < 50 && world_in_doubt(w, 0); i++) {
		world_tick(w, 0, 20 * MS);
		world_deliver(w, ALL, 0);
	}
	cr_assert_eq(world_in_doubt(w, 0), 0);
	world_drop(w, 255, 255, 0);
	world_say(w, 1, 0, (struct commit_message){.type = COMMIT_FETCH, .id = id});
	cr_assert_eq(world_waiting(w, COMMIT_DECIDED).decision, COMMIT_ABORTED);
	world_free(w);
}

/* An ABORT is remembered over a restart: what comes late is told so, and what was held is free. */
Test(rules, a20_an_abort_outlives_a_restart)
{
	struct world *w = world_new(3);
	struct commit_id id = {.hlc = stamp(0), .region = 2};
	prepare_put(w, 2, 1, id, 10, "a");
	cr_assert_eq(world_waiting(w, COMMIT_VOTE).vote, COMMIT_YES);
	world_say(w, 2, 1, (struct commit_message){.type = COMMIT_DECIDED, .id = id, .decision = COMMIT_ABORTED});
	world_drop(w, 255, 255, 0);
	world_kill(w, 1);
	world_start(w, 1);
	cr_assert_eq(world_in_doubt(w, 1), 0);
	cr_assert_eq(commit_held_keys(w->regions[1].machine), 0);
	prepare_put(w, 2, 1, id, 10, "a");
	cr_assert_eq(world_pending(w, COMMIT_VOTE), 0);
	cr_assert_eq(world_waiting(w, COMMIT_DECIDED).decision, COMMIT_ABORTED);
	world_free(w);
}

/* Two decisions of one transaction: counted, and the first one stays. */
Test(rules, a20_contradictions_are_counted)
{
	struct world *w = world_new(3);
	struct commit_id done = everywhere(w, 0, 1, "a", "one"), id = {.hlc = stamp(0), .region = 2};
	const struct commit_counts *counts = commit_counts(w->regions[1].machine);
	world_say(w, 0, 1, (struct commit_message){.type = COMMIT_DECIDED, .id = done, .decision = COMMIT_COMMITTED});
	cr_assert_eq(counts->contradictions, 0);
	world_say(w, 0, 1, (struct commit_message){.type = COMMIT_DECIDED, .id = done, .decision = COMMIT_ABORTED});
	cr_assert_eq(counts->contradictions, 1);
	world_say(w, 2, 1, (struct commit_message){.type = COMMIT_DECIDED, .id = id, .decision = COMMIT_ABORTED});
	world_say(w, 2, 1, (struct commit_message){.type = COMMIT_DECIDED, .id = id, .decision = COMMIT_ABORTED});
	cr_assert_eq(counts->contradictions, 1);
	world_say(w, 2, 1, (struct commit_message){.type = COMMIT_DECIDED, .id = id, .decision = COMMIT_COMMITTED});
	cr_assert_eq(counts->contradictions, 2);
	/* Known to be committed, by message and not in the log yet. */
	id.hlc = stamp(1);
	prepare_put(w, 2, 1, id, 10, "b");
	world_say(w, 2, 1, (struct commit_message){.type = COMMIT_DECIDED, .id = id, .decision = COMMIT_COMMITTED});
	cr_assert_eq(counts->contradictions, 2);
	world_say(w, 2, 1, (struct commit_message){.type = COMMIT_DECIDED, .id = id, .decision = COMMIT_ABORTED});
	cr_assert_eq(counts->contradictions, 3);
	/* By stream, what was aborted here. */
	world_put(w, 0, 2, "c", "two");
	id = world_waiting(w, COMMIT_PREPARE).id;
	world_say(w, 0, 1, (struct commit_message){.type = COMMIT_DECIDED, .id = id, .decision = COMMIT_ABORTED});
	world_drop(w, 255, 1, 0);
	world_deliver(w, 5, 0);
	cr_assert_eq(world_code(w, 2), ERR_OK);
	world_streams(w);
	cr_assert_eq(counts->contradictions, 4);
	world_free(w);
}

/* A decision whose body nobody here knows is left to the stream; one of a body that the message brings is not. */
Test(rules, a20_a_decision_without_a_body_waits_for_the_stream)
{
	struct world *w = world_new(3);
	world_put(w, 0, 1, "a", "one");
	struct commit_message prepare = world_waiting(w, COMMIT_PREPARE);
	struct commit_id id = prepare.id;
	world_drop(w, 255, 1, 0);
	world_say(w, 2, 1, (struct commit_message){.type = COMMIT_RECOVER, .id = id, .ballot = REGIONS_MAX * 3 + 2});
	world_drop(w, 1, 255, 0);
	world_say(w, 0, 1, (struct commit_message){.type = COMMIT_DECIDED, .id = id, .decision = COMMIT_COMMITTED});
	cr_assert_eq(world_in_doubt(w, 1), 1);
	world_deliver(w, 5, 0);
	cr_assert_eq(world_code(w, 1), ERR_OK);
	world_streams(w);
	cr_assert_eq(world_in_doubt(w, 1), 0);
	cr_assert_str_eq(world_value(w, 1, "a"), "one");
	cr_assert_eq(commit_held_keys(w->regions[1].machine), 0);
	world_free(w);
}

/* Nothing of it is on disk, and nobody asks any more: its place is given back after ten times the time of doubt, and not
 * before. */
Test(rules, a20_who_waits_in_vain_is_forgotten)
{
	struct world *w = world_new(3);
	struct commit_id holder = {.hlc = stamp(0), .region = 2}, waits = {.hlc = stamp(1), .region = 0};
	prepare_put(w, 2, 1, holder, 10, "a");
	prepare_put(w, 0, 1, waits, 20, "a");
	cr_assert_eq(world_in_doubt(w, 1), 2);
	for (int i = 0; i < 98; i++) {
		world_tick(w, 1, 100 * MS);
		world_drop(w, 255, 255, 0);
	}
	cr_assert_eq(world_in_doubt(w, 1), 2, "forgotten too soon");
	for (int i = 0; i < 5; i++)
		world_tick(w, 1, 100 * MS);
	cr_assert_eq(world_in_doubt(w, 1), 1);
	world_free(w);
}

/* In recovery COMMIT stands on the condition: with nothing in the way a majority knows the row below. */
Test(rules, a20_a_recovery_looks_at_the_condition)
{
	static const struct {
		const char *name;
		uint8_t condition;
		bool newer, is_committed;
	} cases[] = {
	    {"its version", COMMIT_IF_VERSION, false, true},
	    {"a newer version elsewhere", COMMIT_IF_VERSION, true, false},
	    {"absent", COMMIT_IF_ABSENT, false, true},
	    {"there elsewhere", COMMIT_IF_ABSENT, true, false},
	    {"no condition", COMMIT_ALWAYS, true, true},
	};
	for (uint32_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct world *w = world_new(3);
		bool absent = cases[i].condition == COMMIT_IF_ABSENT;
		struct commit_id there = everywhere(w, 0, 1, absent ? "z" : "a", "one");
		if (cases[i].newer) { /* region 1 does not hear of it */
			world_put(w, 2, 2, "a", "two");
			world_drop(w, 255, 1, 0);
			world_deliver(w, 5, 0);
			world_drop(w, 255, 255, 0);
			cr_assert_eq(world_code(w, 2), ERR_OK);
		}
		struct commit_operation o = world_operation(COMMIT_PUT, "a", "three");
		o.condition = cases[i].condition;
		o.expected = there;
		struct commit_id id = {.hlc = stamp(0), .region = 0};
		world_say(w, 0, 1, prepare(id, 10, 1, &o));
		cr_assert_eq(world_waiting(w, COMMIT_VOTE).vote, COMMIT_YES, "%s", cases[i].name);
		world_drop(w, 255, 255, 0);
		world_kill(w, 0);
		world_wait(w, 6, 4 * WORLD_SECOND);
		cr_assert_eq(world_in_doubt(w, 1), 0, "%s: undecided", cases[i].name);
		world_drop(w, 255, 255, 0);
		world_say(w, 2, 1, (struct commit_message){.type = COMMIT_FETCH, .id = id});
		cr_assert_eq(world_waiting(w, COMMIT_DECIDED).decision,
		    cases[i].is_committed ? COMMIT_COMMITTED : COMMIT_ABORTED, "%s", cases[i].name);
		world_free(w);
	}
}

/* ---- what is taken of a message ---- */

/* The rows of the coordinator count where they are newer than the participant's own; nobody else's do. */
Test(rules, a20_a_vote_names_the_newer_row)
{
	struct world *w = world_new(3);
	struct commit_id id = {.hlc = stamp(0), .region = 2}, newer = {.hlc = stamp(0) - 5, .region = 2};
	struct commit_operation o = world_operation(COMMIT_PUT, "a", "x");
	struct commit_seen seen = {.stamp = newer};
	struct commit_message m = prepare(id, 10, 1, &o);
	m.seen = &seen;
	m.seen_count = 1;
	world_say(w, 2, 1, m);
	cr_assert(commit_id_equal(world_waiting(w, COMMIT_VOTE).seen[0].stamp, newer));
	world_drop(w, 255, 255, 0);
	/* A vote that comes to one who does not coordinate it. */
	seen.stamp.hlc++;
	world_say(w, 0, 1,
	    (struct commit_message){.type = COMMIT_VOTE, .id = id, .vote = COMMIT_YES, .seen = &seen, .seen_count = 1});
	world_say(w, 0, 1, (struct commit_message){.type = COMMIT_VOTE, .id = id, .vote = COMMIT_NO, .is_final = true});
	cr_assert_eq(w->message_count, 0);
	prepare_put(w, 2, 1, id, 10, "a");
	cr_assert(commit_id_equal(world_waiting(w, COMMIT_VOTE).seen[0].stamp, newer));
	world_free(w);
}

/* A decision says it once. One without a value says nothing. */
Test(rules, a20_the_first_decision_counts)
{
	struct world *w = world_new(3);
	struct commit_id id = {.hlc = stamp(0), .region = 2}, below = {.hlc = stamp(0) - 5, .region = 2};
	prepare_put(w, 2, 1, id, 10, "a");
	struct commit_seen seen = {.stamp = below};
	struct commit_message m = {.type = COMMIT_DECIDED, .id = id, .seen = &seen, .seen_count = 1};
	struct commit_event e = {.type = COMMIT_EVENT_MESSAGE, .now_ns = w->now_ns, .message = {2, &m}};
	static struct commit_effects out;
	commit_step(w->regions[1].machine, &e, &out); /* no encoder makes one */
	cr_assert_eq(world_in_doubt(w, 1), 1);
	m.decision = COMMIT_COMMITTED;
	world_say(w, 2, 1, m);
	cr_assert_eq(world_in_doubt(w, 1), 0);
	m.seen_count = 0;
	world_say(w, 2, 1, m);
	prepare_put(w, 2, 1, (struct commit_id){.hlc = stamp(1), .region = 2}, 11, "a"); /* asks for the key: it is noted */
	cr_assert_not_null(world_row(w, 1, "a"));
	cr_assert(commit_id_equal(world_row(w, 1, "a")->row.stamp, id));
	cr_assert(commit_id_equal(world_row(w, 1, "a")->row.previous, below));
	cr_assert_eq(commit_counts(w->regions[1].machine)->contradictions, 0);
	world_free(w);
}

/* Who asks for a promise tells what it is about, also to one that has promised before without knowing it. */
Test(rules, a20_a_promise_learns_the_body)
{
	struct world *w = world_new(3);
	struct commit_id id = {.hlc = stamp(0), .region = 2};
	struct commit_operation o = world_operation(COMMIT_PUT, "a", "x");
	world_say(w, 0, 1, (struct commit_message){.type = COMMIT_RECOVER, .id = id, .ballot = REGIONS_MAX * 3});
	cr_assert_eq(world_pending(w, COMMIT_PROMISED), 1);
	world_drop(w, 255, 255, 0);
	struct commit_message m = prepare(id, 10, 1, &o);
	m.type = COMMIT_RECOVER;
	m.ballot = REGIONS_MAX * 4;
	world_say(w, 0, 1, m);
	cr_assert_eq(world_pending(w, COMMIT_PROMISED), 1);
	world_drop(w, 255, 255, 0);
	world_say(w, 0, 1, (struct commit_message){.type = COMMIT_FETCH, .id = id});
	struct commit_message known = world_waiting(w, COMMIT_KNOWN);
	cr_assert_eq(known.body_size, m.body_size);
	world_drop(w, 255, 255, 0);
	/* Whoever's turn it is not may not have this ballot. */
	world_say(w, 0, 1, (struct commit_message){.type = COMMIT_RECOVER, .id = id, .ballot = REGIONS_MAX * 5 + 2});
	world_say(w, 0, 1, (struct commit_message){.type = COMMIT_RECOVER, .id = id, .ballot = 0});
	cr_assert_eq(world_pending(w, COMMIT_PROMISED), 0);
	world_free(w);
}

/* One that waits and was promised to another meanwhile does not vote when its turn comes. */
Test(rules, a20_no_turn_for_what_is_promised)
{
	struct world *w = world_new(3);
	struct commit_id holder = {.hlc = stamp(0), .region = 2}, waits = {.hlc = stamp(1), .region = 2};
	prepare_put(w, 2, 1, holder, 10, "a");
	prepare_put(w, 2, 1, waits, 20, "a");
	world_drop(w, 255, 255, 0);
	world_say(w, 0, 1, (struct commit_message){.type = COMMIT_RECOVER, .id = waits, .ballot = REGIONS_MAX * 3});
	cr_assert_eq(world_waiting(w, COMMIT_PROMISED).vote, COMMIT_NONE);
	world_drop(w, 255, 255, 0);
	world_say(w, 2, 1, (struct commit_message){.type = COMMIT_DECIDED, .id = holder, .decision = COMMIT_ABORTED});
	prepare_put(w, 2, 1, waits, 20, "a");
	cr_assert_eq(world_pending(w, COMMIT_VOTE), 0);
	world_free(w);
}

/* Holders are listed by operation: one that names a key twice is not voted for, and leaves nothing behind. */
Test(rules, a20_no_vote_for_a_key_that_is_named_twice)
{
	for (uint32_t at = 0; at < 2; at++) {
		struct world *w = world_new(3);
		struct commit_operation o[3] = {world_operation(COMMIT_PUT, "a", "1"),
		    world_operation(COMMIT_PUT, at ? "b" : "a", "2"), world_operation(COMMIT_PUT, at ? "b" : "c", "3")};
		world_say(w, 2, 1, prepare((struct commit_id){.hlc = stamp(0), .region = 2}, 1, 3, o));
		cr_assert_neq(world_waiting(w, COMMIT_VOTE).vote, COMMIT_YES, "%u", at);
		cr_assert_eq(commit_held_keys(w->regions[1].machine), 0);
		cr_assert_eq(world_in_doubt(w, 1), 0);
		world_free(w);
	}
}
