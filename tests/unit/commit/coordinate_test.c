/* SPDX-License-Identifier: Apache-2.0
 *
 * What a coordinator makes of votes and of what its requests ask for, rule by rule (A20): who of those that share a transaction
 * is to blame, who goes on, who is woken. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "commit/state.h"
#include "tests/unit/commit/world.h"

/* Everybody has it. Returns its version. */
static struct commit_id everywhere(struct world *w, uint8_t region, uint64_t route, const struct commit_operation *o)
{
	world_transaction(w, region, route, 1000 + route, 1, 1, o);
	world_deliver(w, ALL, 0);
	world_streams(w);
	world_deliver(w, ALL, 0);
	cr_assert_eq(world_code(w, route), ERR_OK);
	return world_answer(w, route)->version;
}

static struct commit_operation operation(
    enum commit_kind kind, const char *key, const char *value, uint8_t condition, struct commit_id expected)
{
	struct commit_operation o = world_operation(kind, key, value);
	o.condition = condition;
	o.expected = expected;
	return o;
}

static const struct commit_id none;

/* Two requests of region 0 that also write `b`, which another one holds until both wait: they share a transaction. Its PREPAREs
 * wait, and nothing else. Returns its name. */
static struct commit_id shared(struct world *w, struct commit_operation first, struct commit_operation second)
{
	struct commit_operation o[2] = {first, world_operation(COMMIT_PUT, "b", "x")};
	world_put(w, 0, 50, "b", "before");
	struct commit_id before = world_waiting(w, COMMIT_PREPARE).id;
	world_transaction(w, 0, 11, 1011, 1, 2, o);
	o[0] = second;
	world_transaction(w, 0, 12, 1012, 1, 2, o);
	world_deliver(w, ALL, COMMIT_PREPARE);
	world_deliver(w, ALL, COMMIT_VOTE);
	world_deliver(w, ALL, COMMIT_DECIDED);
	cr_assert_eq(world_code(w, 50), ERR_OK);
	cr_assert_eq(world_pending(w, COMMIT_PREPARE), 2);
	struct commit_id id = world_waiting(w, COMMIT_PREPARE).id;
	cr_assert(!commit_id_equal(id, before));
	cr_assert_eq(commit_counts(w->regions[0].machine)->shared, 2);
	world_drop(w, 255, 255, 0);
	return id;
}

static void no(struct world *w, uint8_t from, struct commit_id id, int reason, uint64_t which, bool is_final)
{
	world_say(w, from, 0,
	    (struct commit_message){.type = COMMIT_VOTE,
	        .vote = COMMIT_NO,
	        .id = id,
	        .reason = (int16_t)reason,
	        .read = which,
	        .is_final = is_final});
}

static void yes(struct world *w, uint8_t from, struct commit_id id, uint32_t count)
{
	static struct commit_seen seen[8];
	memset(seen, 0, sizeof seen);
	world_say(w, from, 0,
	    (struct commit_message){.type = COMMIT_VOTE, .vote = COMMIT_YES, .id = id, .seen = seen, .seen_count = count});
}

static void withdrawn(struct world *w, uint8_t from, struct commit_id id)
{
	world_drop(w, 255, 255, COMMIT_WITHDRAW);
	world_say(w, from, 0, (struct commit_message){.type = COMMIT_WITHDRAWN, .id = id});
}

static uint64_t requeued(const struct world *w)
{
	return commit_counts(w->regions[0].machine)->requeued;
}

/* A version that was replaced is final, absence is not: who asked for that looks again. */
Test(coordinate, a20_final_is_for_versions_only)
{
	struct world *w = world_new(3);
	struct commit_operation o = world_operation(COMMIT_DELETE, "a", NULL);
	struct commit_id there = everywhere(w, 0, 1, &o);
	struct commit_id id = shared(w, operation(COMMIT_CHECK, "a", NULL, COMMIT_IF_ABSENT, none),
	    operation(COMMIT_PUT, "a", "two", COMMIT_IF_VERSION, there));
	no(w, 1, id, ERR_CHECK_FAILED, 0, true);
	cr_assert_eq(world_pending(w, COMMIT_WITHDRAW), 2);
	withdrawn(w, 1, id);
	cr_assert_eq(world_code(w, 12), ERR_CHECK_FAILED);
	cr_assert_eq(world_code(w, 11), 1);
	cr_assert_eq(world_pending(w, COMMIT_ASK), 2, "whether it is absent is not asked");
	world_deliver(w, ALL, 0);
	world_streams(w);
	for (int i = 0; i < 20; i++) {
		world_tick(w, 0, 20 * MS);
		world_deliver(w, ALL, 0);
	}
	cr_assert_eq(world_code(w, 11), ERR_OK);
	world_free(w);
}

/* Who comes after a member that writes the row has nothing to do with the row itself, and begins again at once. */
Test(coordinate, a20_only_who_met_the_row_is_to_blame)
{
	struct world *w = world_new(3);
	struct commit_operation o = world_operation(COMMIT_PUT, "a", "one");
	struct commit_id there = everywhere(w, 0, 1, &o);
	struct commit_id id = shared(w, operation(COMMIT_DELETE, "a", NULL, COMMIT_IF_VERSION, there),
	    operation(COMMIT_PUT, "a", "two", COMMIT_IF_ABSENT, none));
	no(w, 1, id, ERR_CHECK_FAILED, 0, true);
	uint64_t before = requeued(w);
	withdrawn(w, 1, id);
	cr_assert_eq(world_code(w, 11), ERR_CHECK_FAILED);
	cr_assert_eq(world_code(w, 12), 1);
	cr_assert_eq(requeued(w), before + 1);
	world_free(w);
}

/* A condition of one operation says nothing of a request without it. */
Test(coordinate, a20_another_operation_is_not_to_blame)
{
	for (uint64_t which = 0; which < 2; which++) {
		struct world *w = world_new(3);
		struct commit_operation o = world_operation(COMMIT_PUT, "a", "one");
		struct commit_id a = everywhere(w, 0, 1, &o);
		o = world_operation(COMMIT_PUT, "c", "one");
		struct commit_id c = everywhere(w, 0, 2, &o);
		struct commit_id id = shared(w, operation(COMMIT_PUT, "a", "two", COMMIT_IF_VERSION, a),
		    operation(COMMIT_PUT, "c", "two", COMMIT_IF_VERSION, c));
		/* The operations are a, b, c. */
		uint64_t before = requeued(w);
		no(w, 1, id, ERR_CHECK_FAILED, 2 * which, true);
		withdrawn(w, 1, id);
		cr_assert_eq(world_code(w, 11 + which), ERR_CHECK_FAILED, "%u", (unsigned)which);
		cr_assert_eq(world_code(w, 12 - which), 1);
		cr_assert_eq(requeued(w), before + 1);
		world_deliver(w, ALL, 0);
		cr_assert_eq(world_code(w, 12 - which), ERR_OK);
		world_free(w);
	}
}

/* One NO that is not final is no end while enough others may vote; of one that no more can, it is. */
Test(coordinate, a20_hopeless_when_too_few_are_left)
{
	for (int gone = 0; gone < 2; gone++) {
		struct world *w = world_new(3);
		world_put(w, 0, 1, "a", "one");
		struct commit_id id = world_waiting(w, COMMIT_PREPARE).id;
		world_drop(w, 255, 255, 0);
		if (gone)
			world_peers(w, 0, 3);
		no(w, 1, id, ERR_OVERLOADED, 0, false);
		cr_assert_eq(world_pending(w, COMMIT_WITHDRAW), gone ? 2 : 0, "%d", gone);
		if (!gone) {
			no(w, 2, id, ERR_OVERLOADED, 0, false);
			cr_assert_eq(world_pending(w, COMMIT_WITHDRAW), 2);
		}
		world_free(w);
	}
}

/* A NO that names a request beyond the last, or one that only rides, is of nothing here. */
Test(coordinate, a20_a_no_for_a_request_that_is_not_there)
{
	static const int reasons[] = {ERR_OK, ERR_EXPIRED};
	for (uint32_t i = 0; i < 4; i++) {
		struct world *w = world_new(3);
		struct commit_id id = shared(w, operation(COMMIT_PUT, "a", "two", COMMIT_ALWAYS, none),
		    operation(COMMIT_CHECK, "a", NULL, COMMIT_IF_ABSENT, none));
		no(w, 1, id, reasons[i % 2], 1 + i / 2, false);
		cr_assert_eq(world_pending(w, COMMIT_WITHDRAW), 0, "%u", i);
		yes(w, 2, id, 2);
		cr_assert_eq(world_code(w, 11), ERR_OK);
		cr_assert_eq(world_code(w, 12), ERR_CHECK_FAILED);
		world_free(w);
	}
}

/* Of one that is a member, it is. Each request gets its own answer. */
Test(coordinate, a20_a_no_for_one_request_is_its_answer)
{
	for (uint64_t which = 0; which < 4; which++) {
		struct world *w = world_new(3);
		struct commit_id id = shared(w, operation(COMMIT_PUT, "a", "two", COMMIT_ALWAYS, none),
		    operation(COMMIT_PUT, "a", "three", COMMIT_ALWAYS, none));
		bool expired = which >= 2;
		no(w, 1, id, expired ? ERR_EXPIRED : ERR_OK, which % 2, false);
		cr_assert_eq(world_pending(w, COMMIT_WITHDRAW), 2);
		withdrawn(w, 1, id);
		cr_assert_eq(world_code(w, 11 + which % 2), expired ? ERR_EXPIRED : ERR_OK, "%u", (unsigned)which);
		cr_assert_eq(world_code(w, 12 - which % 2), 1);
		world_deliver(w, ALL, 0);
		cr_assert_eq(world_code(w, 12 - which % 2), ERR_OK);
		world_free(w);
	}
}

/* The same client's request, committed elsewhere on another key, and region 0 hears of it while it asks for votes. */
static void done_elsewhere(struct world *w, uint64_t client)
{
	struct commit_operation o = world_operation(COMMIT_PUT, "z", "elsewhere");
	world_transaction(w, 2, 60, client, 1, 1, &o);
	world_deliver(w, 6, COMMIT_PREPARE);
	world_deliver(w, 6, COMMIT_VOTE);
	cr_assert_eq(world_code(w, 60), ERR_OK);
	world_drop(w, 255, 255, 0);
	world_streams(w);
	world_drop(w, 255, 255, 0);
}

/* A member that is done under another name does not commit again; one that only rides stops nobody, and is done. */
Test(coordinate, a20_done_elsewhere_is_not_done_again)
{
	for (uint64_t client = 1011; client <= 1012; client++) {
		struct world *w = world_new(3);
		struct commit_id id = shared(w, operation(COMMIT_PUT, "a", "two", COMMIT_ALWAYS, none),
		    operation(COMMIT_CHECK, "a", NULL, COMMIT_IF_ABSENT, none));
		done_elsewhere(w, client);
		struct commit_id elsewhere = world_answer(w, 60)->version;
		yes(w, 1, id, 2);
		bool rides = client == 1012;
		cr_assert_eq(world_pending(w, COMMIT_WITHDRAW), rides ? 0 : 2);
		if (!rides)
			withdrawn(w, 1, id);
		cr_assert_eq(world_code(w, client - 1000), ERR_OK);
		cr_assert(commit_id_equal(world_answer(w, client - 1000)->version, elsewhere));
		if (rides)
			cr_assert_str_eq(world_value(w, 0, "a"), "two");
		else
			cr_assert_null(world_value(w, 0, "a"));
		world_free(w);
	}
}

/* A row that changed by stream since PREPARE: the coordinator, which votes last, looks at its rows again. */
Test(coordinate, a20_the_coordinator_looks_again_before_it_commits)
{
	struct world *w = world_new(3);
	struct commit_operation o = world_operation(COMMIT_PUT, "a", "one");
	struct commit_id there = everywhere(w, 0, 1, &o);
	struct commit_operation two[2] = {
	    world_operation(COMMIT_PUT, "c", "x"), operation(COMMIT_PUT, "a", "mine", COMMIT_IF_VERSION, there)};
	world_transaction(w, 0, 11, 1011, 1, 2, two);
	struct commit_id id = world_waiting(w, COMMIT_PREPARE).id;
	world_drop(w, 255, 255, 0);
	world_put(w, 2, 2, "a", "theirs");
	world_deliver(w, 6, COMMIT_PREPARE);
	world_deliver(w, 6, COMMIT_VOTE);
	cr_assert_eq(world_code(w, 2), ERR_OK);
	world_drop(w, 255, 255, 0);
	world_streams(w);
	world_drop(w, 255, 255, 0);
	uint64_t before = requeued(w);
	yes(w, 1, id, 2);
	cr_assert_eq(world_pending(w, COMMIT_WITHDRAW), 2);
	withdrawn(w, 1, id);
	cr_assert_eq(world_code(w, 11), ERR_CHECK_FAILED);
	cr_assert_eq(requeued(w), before, "begun again, though its own condition is to blame");
	cr_assert_str_eq(world_value(w, 0, "a"), "theirs");
	cr_assert_null(world_value(w, 0, "c"));
	world_free(w);
}

/* What was committed below it meanwhile is what it replaces. */
Test(coordinate, a20_a_commit_names_the_newest_row)
{
	struct world *w = world_new(3);
	world_put(w, 2, 2, "a", "theirs");
	struct commit_id theirs = world_waiting(w, COMMIT_PREPARE).id;
	world_drop(w, 255, 0, 0);
	world_deliver(w, 6, COMMIT_PREPARE);
	world_deliver(w, 6, COMMIT_VOTE);
	world_drop(w, 255, 255, 0);
	w->now_ns += 10 * MS;
	world_put(w, 0, 1, "a", "mine");
	struct commit_id id = world_waiting(w, COMMIT_PREPARE).id;
	world_drop(w, 255, 255, 0);
	world_streams(w);
	world_drop(w, 255, 255, 0);
	yes(w, 1, id, 1);
	cr_assert_eq(world_code(w, 1), ERR_OK);
	struct commit_message decided = world_waiting(w, COMMIT_DECIDED);
	cr_assert_eq(decided.seen_count, 1);
	cr_assert(commit_id_equal(decided.seen[0].stamp, theirs));
	world_free(w);
}

/* ---- who waits ---- */

/* One that ends while it waits lets all go that waited behind it, for each of its keys. */
Test(coordinate, a20_who_leaves_wakes_all_behind_it)
{
	struct world *w = world_new(3);
	struct commit_operation o = world_operation(COMMIT_PUT, "k1", "one");
	struct commit_id wrong = everywhere(w, 0, 1, &o);
	wrong.hlc--;
	world_put(w, 0, 50, "k0", "before");
	struct commit_operation four[4] = {world_operation(COMMIT_PUT, "k0", "x"),
	    operation(COMMIT_PUT, "k1", "x", COMMIT_IF_VERSION, wrong), world_operation(COMMIT_PUT, "k2", "x"),
	    world_operation(COMMIT_PUT, "k3", "x")};
	world_transaction(w, 0, 10, 1010, 1, 4, four);
	world_put(w, 0, 11, "k1", "y");
	world_put(w, 0, 12, "k2", "y");
	world_put(w, 0, 13, "k3", "y");
	world_deliver(w, ALL, 0);
	cr_assert_eq(world_code(w, 50), ERR_OK);
	cr_assert_eq(world_code(w, 10), ERR_CHECK_FAILED);
	for (uint64_t route = 11; route <= 13; route++)
		cr_assert_eq(world_code(w, route), ERR_OK, "%u was not woken", (unsigned)route);
	world_free(w);
}

/* One that stepped aside for a dead coordinator's key is taken into the batch of whoever is before it there. */
Test(coordinate, a20_who_stepped_aside_comes_back_into_a_batch)
{
	for (int before = 0; before < 2; before++) {
		struct world *w = world_new(3);
		world_put(w, 1, 50, "c", "before");
		struct commit_id dead = world_waiting(w, COMMIT_PREPARE).id;
		world_deliver(w, 3, COMMIT_PREPARE);
		world_drop(w, 255, 255, 0);
		if (before)
			world_put(w, 0, 10, "c", "first");
		struct commit_operation o[2] = {world_operation(COMMIT_PUT, "a", "x"), world_operation(COMMIT_PUT, "c", "x")};
		world_transaction(w, 0, 11, 1011, 1, 2, o);
		world_put(w, 0, 12, "a", "y");
		world_deliver(w, ALL, 0);
		cr_assert_eq(world_code(w, 12), 1);
		world_tick(w, 0, 600 * MS);
		world_deliver(w, 5, 0);
		cr_assert_eq(world_code(w, 12), ERR_OK, "nobody stepped aside");
		world_drop(w, 255, 255, 0);
		uint64_t shared = commit_counts(w->regions[0].machine)->shared;
		world_say(w, 1, 0, (struct commit_message){.type = COMMIT_DECIDED, .id = dead, .decision = COMMIT_ABORTED});
		world_deliver(w, 5, 0);
		cr_assert_eq(world_code(w, 11), ERR_OK);
		if (before)
			cr_assert_eq(world_code(w, 10), ERR_OK);
		cr_assert_eq(commit_counts(w->regions[0].machine)->shared, shared + (before ? 2 : 0));
		world_free(w);
	}
}

/* ---- what is taken at all ---- */

static int taken(
    struct world *w, uint64_t route, uint64_t client, uint64_t number, uint32_t count, const struct commit_operation *o)
{
	world_transaction(w, 0, route, client, number, count, o);
	return world_code(w, route);
}

Test(coordinate, a20_malformed_requests_are_refused)
{
	struct world *w = world_new(3);
	static uint8_t key[KEY_SIZE_MAX + 1] = {1};
	struct commit_operation good = world_operation(COMMIT_PUT, "a", "x"), bad[2] = {good, good};
	uint64_t route = 100;
	cr_assert_eq(taken(w, ++route, 0, 1, 1, &good), ERR_MALFORMED);
	cr_assert_eq(taken(w, ++route, 1, 0, 1, &good), ERR_MALFORMED);
	cr_assert_eq(taken(w, ++route, 1, 1, 0, &good), ERR_MALFORMED);
	cr_assert_eq(taken(w, ++route, 1, 1, 2, bad), ERR_MALFORMED, "a key twice");
	struct commit_operation o = good;
	o.key_size = 0;
	cr_assert_eq(taken(w, ++route, 1, 1, 1, &o), ERR_KEY_TOO_LARGE);
	o.key = key;
	o.key_size = KEY_SIZE_MAX + 1;
	cr_assert_eq(taken(w, ++route, 1, 1, 1, &o), ERR_KEY_TOO_LARGE);
	uint8_t *value = calloc(1, VALUE_SIZE_MAX + 1);
	o = good;
	o.value = value;
	o.value_size = VALUE_SIZE_MAX + 1;
	cr_assert_eq(taken(w, ++route, 1, 1, 1, &o), ERR_VALUE_TOO_LARGE);
	bad[0].value = bad[1].value = value;
	bad[0].value_size = bad[1].value_size = VALUE_SIZE_MAX;
	bad[1].key = key;
	cr_assert_eq(taken(w, ++route, 1, 1, 2, bad), ERR_VALUE_TOO_LARGE, "together");
	free(value);
	static const struct {
		uint8_t kind, condition;
		bool value;
	} kinds[] = {{0, 0, false}, {COMMIT_CHECK + 1, 0, false}, {COMMIT_PUT, COMMIT_IF_VERSION + 1, true},
	    {COMMIT_CHECK, COMMIT_ALWAYS, false}, {COMMIT_DELETE, COMMIT_ALWAYS, true}, {COMMIT_CHECK, COMMIT_IF_ABSENT, true}};
	for (uint32_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		o = world_operation(COMMIT_PUT, "a", kinds[i].value ? "x" : NULL);
		o.kind = kinds[i].kind;
		o.condition = kinds[i].condition;
		cr_assert_eq(taken(w, ++route, 1, 1, 1, &o), ERR_MALFORMED, "%u", i);
	}
	struct commit_operation largest = good;
	largest.key = key;
	largest.key_size = KEY_SIZE_MAX;
	struct commit_operation spaces[3] = {good, good, largest};
	spaces[1].keyspace = 1;
	cr_assert_eq(taken(w, ++route, 1, 1, 3, spaces), 1, "good ones are not taken");
	world_deliver(w, ALL, 0);
	cr_assert_eq(world_code(w, route), ERR_OK);
	world_free(w);
}

Test(coordinate, a20_nothing_is_taken_while_it_is_refused)
{
	struct world *w = world_new(3);
	world_refuse(w, 0, ERR_FULL);
	world_put(w, 0, 1, "a", "one");
	cr_assert_eq(world_code(w, 1), ERR_FULL);
	world_refuse(w, 0, 0);
	world_put(w, 0, 2, "a", "one");
	world_deliver(w, ALL, 0);
	cr_assert_eq(world_code(w, 2), ERR_OK);
	world_peers(w, 0, 1);
	world_put(w, 0, 3, "a", "one");
	cr_assert_eq(world_code(w, 3), ERR_NO_QUORUM);
	world_peers(w, 0, 3);
	w->ack_all = true;
	world_put(w, 0, 4, "a", "one");
	cr_assert_eq(world_code(w, 4), ERR_NO_QUORUM, "one that all are to have, and one is not there");
	w->ack_all = false;
	world_put(w, 0, 5, "a", "one");
	world_deliver(w, 3, 0);
	cr_assert_eq(world_code(w, 5), ERR_OK);
	world_free(w);
}

/* A NO about a request or a condition that the transaction does not have is about nothing in it. */
Test(coordinate, a20_a_no_about_what_is_not_there_blames_nobody)
{
	struct world *w = world_new(3);
	world_put(w, 0, 1, "a", "one");
	struct commit_id id = world_waiting(w, COMMIT_PREPARE).id;
	world_drop(w, 255, 255, 0);
	for (uint64_t which = 1; which < 4; which++) {
		no(w, 1, id, ERR_OK, which, false);
		no(w, 1, id, ERR_EXPIRED, which, false);
	}
	cr_assert_eq(world_pending(w, COMMIT_WITHDRAW), 0);
	yes(w, 2, id, 1);
	cr_assert_eq(world_code(w, 1), ERR_OK);
	world_free(w);

	for (uint64_t which = 0; which < 3; which++) {
		w = world_new(3);
		struct commit_operation o = operation(COMMIT_DELETE, "a", NULL, COMMIT_ALWAYS, none);
		o = operation(COMMIT_PUT, "a", "two", COMMIT_IF_VERSION, everywhere(w, 0, 1, &o));
		world_transaction(w, 0, 2, 7, 1, 1, &o);
		id = world_waiting(w, COMMIT_PREPARE).id;
		world_drop(w, 255, 255, 0);
		no(w, 1, id, ERR_CHECK_FAILED, which, true);
		withdrawn(w, 1, id);
		cr_assert_eq(world_code(w, 2), ERR_CHECK_FAILED, "%d: its only operation is not to blame", (int)which);
		world_free(w);
	}
}

/* ---- who else wants the key ---- */

/* Region 1 was in region 0's way on `a` and is expected to come; a younger request of 0 waits a little for it. */
static struct world *expected(void)
{
	struct world *w = world_new(5);
	world_put(w, 1, 1, "a", "theirs");
	struct commit_message withdraw = world_waiting(w, COMMIT_PREPARE);
	withdraw.type = COMMIT_WITHDRAW;
	withdraw.seen_count = 0;
	world_inject(w, 1, 0, &withdraw);
	world_drop(w, 1, 0, COMMIT_PREPARE);
	world_deliver(w, 3, COMMIT_WITHDRAW);
	world_drop(w, 0, 255, 0);
	w->now_ns += MS;
	world_put(w, 0, 2, "a", "mine");
	cr_assert_eq(world_drop(w, 0, 255, COMMIT_PREPARE), 0, "it does not wait");
	return w;
}

Test(coordinate, a20_who_was_expected_and_came_is_waited_for_no_more)
{
	struct world *w = expected();
	world_deliver(w, 14, 0);
	cr_assert_eq(world_code(w, 1), ERR_OK);
	world_drop(w, 255, 255, 0);
	world_streams(w);
	cr_assert_str_eq(world_value(w, 0, "a"), "theirs");
	cr_assert_eq(world_pending(w, COMMIT_PREPARE), 4, "it still waits");
	world_free(w);
}

Test(coordinate, a20_another_that_came_is_not_who_was_expected)
{
	struct world *w = expected();
	world_drop(w, 255, 255, 0);
	world_put(w, 4, 3, "a", "another");
	world_deliver(w, 28, 0);
	cr_assert_eq(world_code(w, 3), ERR_OK);
	world_drop(w, 255, 255, 0);
	world_streams(w);
	cr_assert_str_eq(world_value(w, 0, "a"), "another");
	cr_assert_eq(world_pending(w, COMMIT_PREPARE), 0, "it waits no more for who is still to come");
	world_tick(w, 0, 50 * MS);
	cr_assert_eq(world_pending(w, COMMIT_PREPARE), 4, "it waits for ever");
	world_free(w);
}

/* ---- what is asked again, and what counts ---- */

/* What is being withdrawn is said again, in time and until a majority has it. */
Test(coordinate, a20_a_withdrawal_is_said_again_in_time)
{
	struct world *w = world_new(3);
	w->deadline_ns = WORLD_SECOND / 2;
	world_put(w, 0, 1, "a", "one");
	world_drop(w, 255, 255, 0);
	for (uint32_t i = 0; i < 100 && !world_pending(w, COMMIT_WITHDRAW); i++)
		world_tick(w, 0, 25 * MS);
	cr_assert_eq(world_drop(w, 0, 255, COMMIT_WITHDRAW), 2);
	for (uint32_t i = 0; i < 3; i++)
		world_tick(w, 0, 25 * MS);
	cr_assert_eq(world_pending(w, COMMIT_WITHDRAW), 0, "at every turn");
	world_tick(w, 0, 25 * MS);
	cr_assert_eq(world_pending(w, COMMIT_WITHDRAW), 2, "never again");
	world_deliver(w, 3, COMMIT_WITHDRAW);
	world_deliver(w, 3, COMMIT_WITHDRAWN);
	cr_assert_eq(world_in_doubt(w, 0), 0);
	world_free(w);
}

/* A vote is a YES that names every row, and nothing else is. */
Test(coordinate, a20_only_a_whole_yes_is_a_vote)
{
	struct world *w = world_new(3);
	world_put(w, 0, 1, "a", "one");
	struct commit_id id = world_waiting(w, COMMIT_PREPARE).id;
	world_drop(w, 255, 255, 0);
	yes(w, 1, id, 0);
	yes(w, 1, id, 2);
	static const struct commit_seen nothing;
	for (uint8_t vote = COMMIT_NONE; vote <= COMMIT_ABSTAIN; vote++)
		if (vote != COMMIT_YES && vote != COMMIT_NO)
			world_say(w, 1, 0,
			    (struct commit_message){
			        .type = COMMIT_VOTE, .vote = vote, .id = id, .seen = &nothing, .seen_count = 1});
	cr_assert_eq(world_code(w, 1), 1);
	cr_assert_eq(world_pending(w, COMMIT_WITHDRAW), 0);
	yes(w, 1, id, 1);
	cr_assert_eq(world_code(w, 1), ERR_OK);
	world_free(w);
}

/* Half of the keys is for those who need not wait: behind a holder one waits, even if it is the first to. */
Test(coordinate, a20_half_of_the_keys_is_for_those_who_need_not_wait)
{
	struct world *w = world_new(3);
	struct commit *c = w->regions[0].machine;
	world_put(w, 0, 1, "held", "x");
	world_put(w, 0, 2, "queued", "x");
	world_put(w, 0, 3, "queued", "x");
	uint32_t queued = c->queued_keys;
	c->queued_keys = c->options.keys / 2;
	world_put(w, 0, 4, "held", "x");
	cr_assert_eq(world_code(w, 4), ERR_OVERLOADED);
	world_put(w, 0, 5, "queued", "x");
	cr_assert_eq(world_code(w, 5), ERR_OVERLOADED);
	world_put(w, 0, 6, "free", "x");
	cr_assert_eq(world_code(w, 6), 1);
	c->queued_keys = c->options.keys / 2 - 1;
	world_put(w, 0, 7, "held", "x");
	cr_assert_eq(world_code(w, 7), 1, "there is room for one more");
	c->queued_keys = queued + 1;
	world_deliver(w, ALL, 0);
	cr_assert_eq(world_code(w, 7), ERR_OK);
	cr_assert_eq(c->queued_keys, 0);
	world_free(w);
}

/* What was not withdrawn is not aborted, whoever says that it agrees. */
Test(coordinate, a20_nobody_agrees_to_what_was_not_said)
{
	struct world *w = world_new(3);
	world_put(w, 0, 1, "a", "x");
	struct commit_message m = {.type = COMMIT_WITHDRAWN, .id = world_waiting(w, COMMIT_PREPARE).id};
	world_say(w, 1, 0, m);
	world_say(w, 2, 0, m);
	cr_assert_eq(commit_counts(w->regions[0].machine)->aborts, 0);
	world_deliver(w, ALL, 0);
	cr_assert_eq(world_code(w, 1), ERR_OK);
	world_free(w);
}
