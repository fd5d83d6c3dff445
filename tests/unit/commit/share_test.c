/* SPDX-License-Identifier: Apache-2.0
 *
 * Requests that share a transaction (A15), and what becomes of one of them without the others (A7). */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/commit/world.h"

static struct commit_id version_of(const struct world *w, uint64_t route)
{
	cr_assert_eq(world_code(w, route), ERR_OK, "%llu: %d", (unsigned long long)route, world_code(w, route));
	return world_answer(w, route)->version;
}

/* The client of a request is its route; so it can be repeated. */
static void ask(struct world *w, uint8_t region, uint64_t route, uint32_t count, const struct commit_operation *operations)
{
	world_transaction(w, region, route, 1000 + route, 1, count, operations);
}

static struct commit_operation put(const char *key, const char *value)
{
	return world_operation(COMMIT_PUT, key, value);
}

static struct commit_operation put_if_absent(const char *key, const char *value)
{
	struct commit_operation o = put(key, value);
	o.condition = COMMIT_IF_ABSENT;
	return o;
}

static struct commit_operation put_if(const char *key, const char *value, struct commit_id expected)
{
	struct commit_operation o = put(key, value);
	o.condition = COMMIT_IF_VERSION;
	o.expected = expected;
	return o;
}

/* What asks for `keys` from now on waits, until deliver_all. */
static void hold_keys(struct world *w, const char *const *keys, uint32_t count)
{
	struct commit_operation operations[8];
	for (uint32_t i = 0; i < count; i++)
		operations[i] = world_operation(COMMIT_DELETE, keys[i], NULL);
	ask(w, 0, 900, count, operations);
	cr_assert_eq(world_pending(w, COMMIT_PREPARE), 2);
}

static void deliver_all(struct world *w)
{
	world_deliver(w, (1u << w->n) - 1, 0);
	world_streams(w);
}

/* Delivers the holder's votes and leaves the batch's PREPARE waiting. */
static struct commit_message batch_begun(struct world *w)
{
	world_deliver(w, ALL, COMMIT_PREPARE);
	world_deliver(w, ALL, COMMIT_VOTE);
	cr_assert_eq(world_code(w, 900), ERR_OK);
	return world_waiting(w, COMMIT_PREPARE);
}

static void row_is(const struct world *w, const char *key, const char *value, struct commit_id version)
{
	for (uint8_t r = 0; r < w->n; r++) {
		if (!w->regions[r].up)
			continue;
		const char *have = world_value(w, r, key);
		cr_assert(
		    value ? have && !strcmp(have, value) : !have, "region %u has %s of %s", r, have ? have : "nothing", key);
		const struct commit_row *row = &world_row(w, r, key)->row;
		cr_assert(commit_id_equal(row->version, version) && row->version.share == version.share,
		    "region %u: share %u of %s", r, row->version.share, key);
	}
}

Test(share, A15_transactions_that_conflict_share_a_commit)
{
	struct world *w = world_new(3);
	hold_keys(w, (const char *const[]){"b"}, 1);
	ask(w, 0, 1, 2, (struct commit_operation[]){put("a", "a1"), put("b", "b1")});
	ask(w, 0, 2, 2, (struct commit_operation[]){put("b", "b2"), put("c", "c2")});
	ask(w, 0, 3, 2, (struct commit_operation[]){put("c", "c3"), world_operation(COMMIT_DELETE, "d", NULL)});
	struct commit_message m = batch_begun(w);
	struct commit_body body;
	cr_assert_eq(commit_body_open(&body, m.body, m.body_size), 0);
	cr_assert(body.request_count == 3 && body.operation_count == 4, "%u, %u", body.request_count, body.operation_count);
	cr_assert_eq(world_code(w, 1), 1);
	deliver_all(w);
	for (uint64_t i = 1; i <= 3; i++)
		cr_assert(commit_id_equal(version_of(w, i), m.id) && version_of(w, i).share == i - 1);
	for (int again = 0; again < 2; again++) {
		row_is(w, "a", "a1", version_of(w, 1));
		row_is(w, "b", "b2", version_of(w, 2));
		row_is(w, "c", "c3", version_of(w, 3));
		row_is(w, "d", NULL, version_of(w, 3));
		for (uint8_t r = 0; r < 3 && !again; r++) {
			world_kill(w, r);
			world_start(w, r);
		}
	}
	/* Each is known in each region under its own name, from the log alone. */
	for (uint8_t r = 0; r < 3; r++) {
		for (uint64_t i = 1; i <= 3; i++) {
			struct commit_operation o = put("a", "again");
			world_transaction(w, r, 10 * (r + 1u) + i, 1000 + i, 1, 1, &o);
			cr_assert(commit_id_equal(version_of(w, 10 * (r + 1u) + i), m.id));
			cr_assert_eq(version_of(w, 10 * (r + 1u) + i).share, i - 1);
		}
	}
	row_is(w, "a", "a1", version_of(w, 1));
	world_free(w);
}

static void chain_ask(struct world *w)
{
	hold_keys(w, (const char *const[]){"k"}, 1);
	struct commit_operation first = put_if_absent("k", "1"), late = put_if_absent("k", "x"),
	                        gone = world_operation(COMMIT_DELETE, "k", NULL);
	struct commit_operation third[] = {put_if_absent("k", "3"), put("l", "3")},
	                        check[] = {put("z", "z"), put_if_absent("k", NULL)};
	check[1].kind = COMMIT_CHECK;
	ask(w, 0, 1, 1, &first);
	ask(w, 0, 2, 1, &late);
	ask(w, 0, 3, 1, &gone);
	ask(w, 0, 4, 2, third);
	ask(w, 0, 5, 2, check);
}

static void chain_check(struct world *w)
{
	row_is(w, "k", "3", version_of(w, 4));
	row_is(w, "l", "3", version_of(w, 4));
	cr_assert(!world_value(w, 0, "z") && !world_value(w, 1, "z") && !world_value(w, 2, "z"));
}

/* absent, 1, absent again, 3: each against what the one before it left; who fails on that is told so once it is true. */
Test(share, A15_a_chain_of_conditions_is_decided_in_order)
{
	struct world *w = world_new(3);
	chain_ask(w);
	struct commit_message m = batch_begun(w);
	struct commit_body body;
	cr_assert_eq(commit_body_open(&body, m.body, m.body_size), 0);
	cr_assert(body.request_count == 3 && body.operation_count == 2);
	struct commit_operation o;
	uint32_t at = body.operations_at;
	commit_body_operation(&body, &at, &o);
	cr_assert(o.condition == COMMIT_IF_ABSENT && o.kind == COMMIT_PUT && o.share == 2,
	    "of whoever met the row; of whoever wrote last");
	commit_body_operation(&body, &at, &o);
	cr_assert(o.condition == COMMIT_ALWAYS && o.share == 2);
	for (uint64_t i = 1; i <= 5; i++)
		cr_assert_eq(world_code(w, i), 1, "%llu is answered before it is committed", (unsigned long long)i);
	deliver_all(w);
	cr_assert(version_of(w, 1).share == 0 && version_of(w, 3).share == 1 && version_of(w, 4).share == 2);
	cr_assert(world_code(w, 2) == ERR_CHECK_FAILED && world_code(w, 5) == ERR_CHECK_FAILED);
	chain_check(w);
	for (uint8_t r = 0; r < 3; r++) {
		world_kill(w, r);
		world_start(w, r);
	}
	chain_check(w);
	/* The share is part of a version. */
	struct commit_id wrong = version_of(w, 4);
	wrong.share = 1;
	struct commit_operation stale = put_if("k", "4", wrong), right = put_if("k", "5", version_of(w, 4));
	ask(w, 1, 6, 1, &stale);
	cr_assert_eq(world_code(w, 6), ERR_CHECK_FAILED);
	ask(w, 1, 7, 1, &right);
	deliver_all(w);
	row_is(w, "k", "5", version_of(w, 7));
	world_free(w);
}

/* Its coordinator dies with the batch sent: the others finish it, and know each member by its own version. */
Test(share, A15_a_batch_that_others_recover_has_the_same_versions)
{
	struct world *w = world_new(3);
	chain_ask(w);
	struct commit_message m = batch_begun(w);
	struct commit_id id = m.id;
	world_deliver(w, ALL, COMMIT_PREPARE);
	world_drop(w, 255, 0, 0);
	world_kill(w, 0);
	world_wait(w, 6, 6 * WORLD_SECOND);
	cr_assert(!world_in_doubt(w, 1) && !world_in_doubt(w, 2));
	world_streams(w);
	struct commit_id last = id;
	last.share = 2;
	row_is(w, "k", "3", last);
	static const uint16_t shares[] = {[1] = 0, [3] = 1, [4] = 2};
	for (uint64_t i = 1; i <= 4; i++) {
		struct commit_operation o = put("q", "again");
		if (i == 2)
			continue;
		world_repeat(w, 2, 20 + i, 1000 + i, 1, 5000, &o);
		world_wait(w, 6, WORLD_SECOND / 2);
		cr_assert(commit_id_equal(version_of(w, 20 + i), id) && version_of(w, 20 + i).share == shares[i]);
	}
	world_start(w, 0);
	world_wait(w, ALL, 8 * WORLD_SECOND);
	world_streams(w);
	row_is(w, "k", "3", last);
	world_free(w);
}

/* Two of one version: one of them gets it; the other hears so when that is committed, and not before. */
Test(share, A15_of_two_for_one_version_the_first_gets_it)
{
	struct world *w = world_new(3);
	struct commit_operation o = put("k", "0");
	ask(w, 0, 1, 1, &o);
	deliver_all(w);
	hold_keys(w, (const char *const[]){"other"}, 1);
	struct commit_operation a[] = {put_if("k", "a", version_of(w, 1)), put("other", "a")};
	struct commit_operation b[] = {put_if("k", "b", version_of(w, 1)), put("other", "b")};
	ask(w, 0, 2, 2, a);
	ask(w, 0, 3, 2, b);
	struct commit_message m = batch_begun(w);
	cr_assert(m.type && world_code(w, 3) == 1);
	deliver_all(w);
	cr_assert_eq(world_code(w, 3), ERR_CHECK_FAILED);
	row_is(w, "k", "a", version_of(w, 2));
	row_is(w, "other", "a", version_of(w, 2));
	world_free(w);
}

/* What failed on a batch that was withdrawn has failed on nothing. */
Test(share, A15_who_fails_on_a_batch_that_is_withdrawn_begins_again)
{
	struct world *w = world_new(3);
	hold_keys(w, (const char *const[]){"k"}, 1);
	w->deadline_ns = 300 * MS;
	struct commit_operation first = put_if_absent("k", "1"), late = put_if_absent("k", "2");
	ask(w, 0, 1, 1, &first);
	w->deadline_ns = 3 * WORLD_SECOND;
	ask(w, 0, 2, 1, &late);
	batch_begun(w);
	world_drop(w, 0, 255, COMMIT_PREPARE);
	/* Nobody hears of it until the first has given up; the second was never in it. */
	for (int i = 0; i < 30 && world_code(w, 1) == 1; i++) {
		world_tick(w, 0, 20 * MS);
		world_drop(w, 0, 255, COMMIT_PREPARE);
	}
	cr_assert_eq(world_code(w, 1), ERR_UNKNOWN_OUTCOME);
	cr_assert_eq(world_code(w, 2), 1);
	world_wait(w, ALL, 2 * WORLD_SECOND);
	world_streams(w);
	row_is(w, "k", "2", version_of(w, 2));
	world_free(w);
}

/* The others say NO to one condition: whoever it comes from is told, the others begin again without it, in their order. */
Test(share, A15_a_no_is_for_the_member_whose_condition_it_is)
{
	for (uint32_t by_version = 0; by_version < 2; by_version++) {
		struct world *w = world_new(3);
		struct commit_operation o = put("a", "old");
		if (by_version)
			ask(w, 0, 1, 1, &o);
		deliver_all(w);
		struct commit_operation blamed[] = {
		    by_version ? put_if("a", "mine", version_of(w, 1)) : put_if_absent("a", "mine"), put("b", "blamed")};
		struct commit_operation before[] = {put("b", "before"), put("c", "before")};
		struct commit_operation after[] = {put("b", "after"), put("a", "after")};
		world_put_without_0(w, 99, "a");
		hold_keys(w, (const char *const[]){"b"}, 1);
		ask(w, 0, 2, 2, before);
		ask(w, 0, 3, 2, blamed);
		ask(w, 0, 4, 2, after);
		struct commit_message m = batch_begun(w);
		struct commit_body body;
		cr_assert_eq(commit_body_open(&body, m.body, m.body_size), 0);
		cr_assert_eq(body.request_count, 3);
		world_wait(w, ALL, WORLD_SECOND);
		world_streams(w);
		cr_assert_eq(world_code(w, 3), ERR_CHECK_FAILED, "%d", world_code(w, 3));
		cr_assert(commit_id_equal(version_of(w, 2), version_of(w, 4)));
		row_is(w, "a", "after", version_of(w, 4));
		row_is(w, "b", "after", version_of(w, 4));
		row_is(w, "c", "before", version_of(w, 2));
		world_free(w);
	}
}

/* A request that is too old to know, or applied under another name, ends by itself. */
Test(share, A15_a_request_that_is_expired_or_done_ends_alone)
{
	for (uint32_t done = 0; done < 2; done++) {
		struct world *w = world_new(3);
		hold_keys(w, (const char *const[]){"a", "b"}, 2);
		struct commit_operation a = put("a", "1"), both[] = {put("a", "2"), put("b", "2")}, b = put("b", "3");
		ask(w, 0, 1, 1, &a);
		ask(w, 0, 2, 2, both);
		ask(w, 0, 3, 1, &b);
		struct commit_message m = batch_begun(w), no = {.type = COMMIT_VOTE, .vote = COMMIT_NO, .id = m.id, .read = 1};
		no.reason = done ? ERR_OK : ERR_EXPIRED;
		no.version = (struct commit_id){.hlc = 77, .region = 2, .share = done ? 5 : 0};
		world_inject(w, 1, 0, &no);
		world_drop(w, 0, 255, COMMIT_PREPARE);
		world_wait(w, ALL, WORLD_SECOND);
		if (done)
			cr_assert(version_of(w, 2).hlc == 77 && version_of(w, 2).share == 5);
		else
			cr_assert_eq(world_code(w, 2), ERR_EXPIRED);
		world_streams(w);
		row_is(w, "a", "1", version_of(w, 1));
		row_is(w, "b", "3", version_of(w, 3));
		world_free(w);
	}
}

/* One that is impatient is told UNKNOWN; the others' transaction goes on, and is applied with all that is in it. */
Test(share, A7_a_deadline_ends_that_member_only)
{
	struct world *w = world_new(3);
	hold_keys(w, (const char *const[]){"a"}, 1);
	struct commit_operation one = put("a", "1"), two = put("a", "2"), three[] = {put_if_absent("a", "3"), put("c", "3")};
	w->deadline_ns = 5 * WORLD_SECOND;
	ask(w, 0, 1, 1, &one);
	w->deadline_ns = 100 * MS;
	ask(w, 0, 2, 1, &two);
	ask(w, 0, 3, 2, three); /* fails on what is before it: certainly not applied */
	batch_begun(w);
	world_deliver(w, ALL, COMMIT_PREPARE);
	for (int i = 0; i < 20; i++) {
		world_tick(w, 0, 20 * MS);
		cr_assert_eq(world_pending(w, COMMIT_WITHDRAW), 0, "withdrawn after %d ms", 20 * (i + 1));
	}
	cr_assert_eq(world_code(w, 2), ERR_UNKNOWN_OUTCOME);
	cr_assert_eq(world_code(w, 3), ERR_NO_QUORUM, "%d", world_code(w, 3));
	cr_assert_eq(world_code(w, 1), 1);
	deliver_all(w);
	struct commit_id version = version_of(w, 1);
	version.share = 1;
	row_is(w, "a", "2", version);
	/* When nobody waits for it any more it is withdrawn. */
	w->deadline_ns = 100 * MS;
	ask(w, 0, 4, 1, &one);
	world_drop(w, 255, 255, 0);
	for (int i = 0; i < 20 && !world_pending(w, COMMIT_WITHDRAW); i++)
		world_tick(w, 0, 20 * MS);
	cr_assert_eq(world_code(w, 4), ERR_UNKNOWN_OUTCOME);
	cr_assert_gt(world_pending(w, COMMIT_WITHDRAW), 0);
	world_free(w);
}

/* A repeat of an impatient one takes part again. */
Test(share, A7_a_repeat_waits_on)
{
	struct world *w = world_new(3);
	struct commit_operation one = put("a", "1");
	w->deadline_ns = 100 * MS;
	ask(w, 0, 1, 1, &one);
	world_deliver(w, ALL, COMMIT_PREPARE);
	world_tick(w, 0, 50 * MS);
	w->deadline_ns = WORLD_SECOND;
	world_repeat(w, 0, 2, 1001, 1, 50, &one);
	for (int i = 0; i < 10; i++)
		world_tick(w, 0, 20 * MS);
	cr_assert_eq(world_pending(w, COMMIT_WITHDRAW), 0);
	deliver_all(w);
	cr_assert_eq(world_code(w, 2), ERR_OK);
	world_free(w);
}

static struct commit_body body_begun(struct world *w)
{
	struct commit_message m = batch_begun(w);
	struct commit_body body;
	cr_assert_eq(commit_body_open(&body, m.body, m.body_size), 0);
	return body;
}

/* 256 requests, 256 keys, COMMIT_BODY_MAX bytes: no more in one, and the rest right after it. */
Test(share, A15_a_batch_is_full)
{
	static char keys[400][16];
	for (uint32_t i = 0; i < 400; i++)
		snprintf(keys[i], sizeof keys[i], "key-%u", i);
	struct world *w = world_new(3);
	hold_keys(w, (const char *const[]){"hot"}, 1);
	for (uint32_t i = 0; i < COMMIT_REQUESTS_MAX + 44; i++)
		ask(w, 0, 1000 + i, 1, (struct commit_operation[]){put("hot", keys[i])});
	struct commit_body body = body_begun(w);
	cr_assert(body.request_count == COMMIT_REQUESTS_MAX && body.operation_count == 1);
	deliver_all(w);
	row_is(w, "hot", keys[COMMIT_REQUESTS_MAX + 43], version_of(w, 1000 + COMMIT_REQUESTS_MAX + 43));
	cr_assert_eq(version_of(w, 1000 + COMMIT_REQUESTS_MAX + 43).share, 43);
	world_free(w);

	w = world_new(3);
	hold_keys(w, (const char *const[]){"hot"}, 1);
	for (uint32_t i = 0; i < 130; i++)
		ask(w, 0, 1000 + i, 3,
		    (struct commit_operation[]){put("hot", "1"), put(keys[2 * i], "1"), put(keys[2 * i + 1], "1")});
	body = body_begun(w);
	cr_assert(body.request_count == 127 && body.operation_count == 255, "%u, %u", body.request_count, body.operation_count);
	deliver_all(w);
	for (uint32_t i = 0; i < 130; i++)
		cr_assert_eq(version_of(w, 1000 + i).share, i < 127 ? i : i - 127);
	world_free(w);

	w = world_new_with(3, &(struct commit_options){.arena = UINT64_MAX});
	char *large = malloc(VALUE_SIZE_MAX / 4 + 1);
	memset(large, 'x', VALUE_SIZE_MAX / 4);
	large[VALUE_SIZE_MAX / 4] = 0;
	hold_keys(w, (const char *const[]){"hot"}, 1);
	for (uint32_t i = 0; i < 8; i++)
		ask(w, 0, 1000 + i, 2, (struct commit_operation[]){put("hot", large), put(keys[i], large)});
	body = body_begun(w);
	/* "hot" is there once, however often it is written. */
	uint32_t fit = (uint32_t)((COMMIT_BODY_MAX - 8192) / (VALUE_SIZE_MAX / 4)) - 1;
	cr_assert(body.request_count == fit && body.size <= COMMIT_BODY_MAX, "%u of %u", body.request_count, fit);
	free(large);
	world_free(w);
}

/* Who fails on what a full batch writes needs no room in it, however much it would have written. */
Test(share, a20_a_rider_needs_no_room)
{
	char *large = malloc(VALUE_SIZE_MAX / 2 + 1);
	memset(large, 'x', VALUE_SIZE_MAX / 2);
	large[VALUE_SIZE_MAX / 2] = 0;
	static const char *const names[] = {"b", "c", "d", "e", "f", "g", "h", "i"};
	uint32_t fit = (uint32_t)((COMMIT_BODY_MAX - 8192) / (VALUE_SIZE_MAX / 2));
	cr_assert_leq(fit, sizeof names / sizeof *names);
	struct world *w = world_new_with(3, &(struct commit_options){.arena = UINT64_MAX});
	hold_keys(w, (const char *const[]){"hot"}, 1);
	for (uint32_t i = 0; i < fit; i++)
		ask(w, 0, 1000 + i, 2, (struct commit_operation[]){put("hot", "1"), put(names[i], large)});
	ask(w, 0, 2, 2, (struct commit_operation[]){put_if_absent("hot", "2"), put("new", large)});
	struct commit_message m = batch_begun(w);
	struct commit_id id = m.id;
	struct commit_body body;
	cr_assert_eq(commit_body_open(&body, m.body, m.body_size), 0);
	cr_assert_eq(body.request_count, fit);
	cr_assert_gt(body.size + VALUE_SIZE_MAX / 2, COMMIT_BODY_MAX, "there is room for it");
	cr_assert_eq(world_code(w, 2), 1);
	static const struct commit_seen nothing[COMMIT_OPERATIONS_MAX];
	world_drop(w, 255, 255, 0);
	world_say(w, 1, 0,
	    (struct commit_message){.type = COMMIT_VOTE, .vote = COMMIT_YES, .id = id, .seen = nothing, .seen_count = fit + 1});
	cr_assert_eq(world_code(w, 1000), ERR_OK);
	cr_assert_eq(world_code(w, 2), ERR_CHECK_FAILED, "it did not ride");
	cr_assert_eq(world_pending(w, COMMIT_ASK), 0);
	free(large);
	world_free(w);
}

/* Nobody who wants one of its keys comes before one that waits: so it cannot wait for ever. */
Test(share, A15_nobody_is_overtaken)
{
	struct world *w = world_new(3);
	hold_keys(w, (const char *const[]){"a"}, 1);
	ask(w, 0, 1, 2, (struct commit_operation[]){put("a", "1"), put("b", "1")});
	ask(w, 0, 2, 2, (struct commit_operation[]){put("b", "2"), put("c", "2")});
	ask(w, 0, 3, 1, (struct commit_operation[]){put("c", "3")});
	ask(w, 0, 5, 2, (struct commit_operation[]){put("e", "5"), put("b", "5")}); /* first at one, not at the other */
	ask(w, 0, 4, 1, (struct commit_operation[]){put("free", "4")});
	cr_assert_eq(world_pending(w, COMMIT_PREPARE), 4, "the holder's, and that of who wants none of these");
	struct commit_body body = body_begun(w);
	cr_assert_eq(body.request_count, 4);
	deliver_all(w);
	row_is(w, "b", "5", version_of(w, 5));
	row_is(w, "c", "3", version_of(w, 3));
	world_free(w);
}

/* One that joins late because of somebody before it who wants none of the batch's keys takes that one along. */
Test(share, A15_who_has_to_go_before_joins_too)
{
	struct world *w = world_new(3);
	hold_keys(w, (const char *const[]){"a", "d"}, 2);
	ask(w, 0, 1, 1, (struct commit_operation[]){put("a", "1")});
	ask(w, 0, 2, 2, (struct commit_operation[]){put("d", "2"), put("e", "2")});
	ask(w, 0, 3, 2, (struct commit_operation[]){put("a", "3"), put("e", "3")});
	struct commit_body body = body_begun(w);
	cr_assert_eq(body.request_count, 3, "%u", body.request_count);
	deliver_all(w);
	row_is(w, "a", "3", version_of(w, 3));
	row_is(w, "e", "3", version_of(w, 3));
	world_free(w);
}

/* What waits for a dead coordinator's key does not keep others from its other keys. */
Test(share, A15_a_silent_holder_stops_its_own_key_only)
{
	struct world *w = world_new(3);
	struct commit_operation dead = put("x", "dead");
	ask(w, 1, 1, 1, &dead);
	world_deliver(w, ALL, COMMIT_PREPARE);
	world_drop(w, 255, 255, 0);
	world_kill(w, 1);
	w->deadline_ns = 5 * WORLD_SECOND;
	ask(w, 0, 2, 2, (struct commit_operation[]){put("x", "2"), put("y", "2")});
	ask(w, 0, 3, 1, (struct commit_operation[]){put("y", "3")});
	for (int i = 0; i < 35 && world_code(w, 3) == 1; i++) {
		world_wait(w, 5, 20 * MS);
		world_drop(w, 255, 255, COMMIT_RECOVER);
	}
	cr_assert_eq(world_code(w, 3), ERR_OK, "%d", world_code(w, 3));
	cr_assert_eq(world_code(w, 2), 1);
	world_wait(w, 5, 4 * WORLD_SECOND);
	cr_assert_eq(world_code(w, 2), ERR_OK, "%d", world_code(w, 2));
	world_free(w);
}

/* Those who wait take half of the keys at most, and give them back. */
Test(share, A15_who_waits_leaves_keys_to_others)
{
	static char keys[COMMIT_OPERATIONS_MAX][16];
	struct commit_operation operations[COMMIT_OPERATIONS_MAX];
	struct world *w = world_new_with(3, &(struct commit_options){.keys = 8192});
	hold_keys(w, (const char *const[]){"hot"}, 1);
	operations[0] = put("hot", "1");
	uint64_t route = 1000;
	for (; route < 1100; route++) {
		for (uint32_t i = 1; i < COMMIT_OPERATIONS_MAX; i++) {
			snprintf(keys[i], sizeof keys[i], "%u-%u", (unsigned)route, i);
			operations[i] = put(keys[i], "1");
		}
		ask(w, 0, route, COMMIT_OPERATIONS_MAX, operations);
		if (world_code(w, route) != 1)
			break;
	}
	cr_assert_eq(world_code(w, route), ERR_OVERLOADED);
	cr_assert_eq(route, 1000 + 8192 / 2 / COMMIT_OPERATIONS_MAX);
	ask(w, 0, 1, 1, (struct commit_operation[]){put("free", "1")});
	cr_assert_gt(world_pending(w, COMMIT_PREPARE), 2, "who does not wait is taken");
	for (int i = 0; i < 100; i++)
		deliver_all(w);
	for (uint64_t i = 1000; i < route; i++)
		cr_assert_eq(world_code(w, i), ERR_OK);
	cr_assert_eq(world_code(w, 1), ERR_OK);
	world_free(w);
}

/* A version is asked for beside "absent", of one row: both are kept, as the version says all that "absent" does. */
Test(share, A15_conditions_of_two_on_one_row_are_both_kept)
{
	struct world *w = world_new(3);
	struct commit_operation gone = world_operation(COMMIT_DELETE, "k", NULL);
	ask(w, 0, 1, 1, &gone);
	deliver_all(w);
	hold_keys(w, (const char *const[]){"h"}, 1);
	struct commit_operation absent[] = {put("h", "2"), put_if_absent("k", NULL)},
	                        version[] = {put_if("k", "3", version_of(w, 1)), put("h", "3")};
	absent[1].kind = COMMIT_CHECK;
	ask(w, 0, 2, 2, absent);
	ask(w, 0, 3, 2, version);
	struct commit_body body = body_begun(w);
	uint32_t at = body.operations_at;
	struct commit_operation o;
	commit_body_operation(&body, &at, &o);
	commit_body_operation(&body, &at, &o);
	cr_assert(body.request_count == 2 && o.kind == COMMIT_PUT && o.share == 1);
	cr_assert(o.condition == COMMIT_IF_VERSION && commit_id_equal(o.expected, version_of(w, 1)));
	deliver_all(w);
	row_is(w, "k", "3", version_of(w, 3));
	row_is(w, "h", "3", version_of(w, 3));
	world_free(w);
}

/* Who needs all regions does not share with who needs a majority. */
Test(share, A15_all_and_quorum_do_not_mix)
{
	struct world *w = world_new(3);
	struct commit_operation a = put("a", "1");
	hold_keys(w, (const char *const[]){"a"}, 1);
	ask(w, 0, 1, 1, &a);
	w->ack_all = true;
	ask(w, 0, 2, 1, &a);
	w->ack_all = false;
	ask(w, 0, 3, 1, &a);
	struct commit_body body = body_begun(w);
	cr_assert(body.request_count == 1 && !body.ack_all);
	deliver_all(w);
	cr_assert(!commit_id_equal(version_of(w, 1), version_of(w, 2)) && !commit_id_equal(version_of(w, 2), version_of(w, 3)));
	world_free(w);
}

/* One that cannot join keeps those behind it out, and nobody else. */
Test(share, A15_who_cannot_join_does_not_end_the_batch)
{
	struct world *w = world_new(3);
	hold_keys(w, (const char *const[]){"a", "b"}, 2);
	world_deliver(w, ALL, COMMIT_PREPARE);
	ask(w, 0, 9, 1, (struct commit_operation[]){put("z", "9")}); /* nobody votes for it for now */
	world_drop(w, 0, 255, COMMIT_PREPARE);
	ask(w, 0, 1, 2, (struct commit_operation[]){put("a", "1"), put("b", "1")});
	ask(w, 0, 2, 2, (struct commit_operation[]){put("a", "2"), put("z", "2")});
	ask(w, 0, 3, 1, (struct commit_operation[]){put("b", "3")});
	ask(w, 0, 4, 1, (struct commit_operation[]){put("a", "4")});
	struct commit_body body = body_begun(w);
	cr_assert_eq(body.request_count, 2, "%u", body.request_count);
	deliver_all(w);
	cr_assert(world_code(w, 1) == ERR_OK && world_code(w, 3) == ERR_OK && world_code(w, 2) == 1 && world_code(w, 4) == 1);
	world_wait(w, ALL, WORLD_SECOND);
	world_streams(w);
	row_is(w, "a", "4", version_of(w, 4));
	row_is(w, "z", "2", version_of(w, 2));
	world_free(w);
}

/* A condition that was decided on what an earlier member writes says nothing of the row, and is not to blame for it. */
Test(share, A15_a_no_blames_only_who_met_the_row)
{
	struct world *w = world_new(3);
	struct commit_operation first = put_if_absent("a", "1"), gone = world_operation(COMMIT_DELETE, "a", NULL),
	                        late = put_if_absent("a", "3");
	world_put_without_0(w, 99, "a");
	ask(w, 0, 9, 2, (struct commit_operation[]){put("b", "9"), put("c", "9")});
	ask(w, 0, 1, 2, (struct commit_operation[]){first, put("b", "1")});
	ask(w, 0, 2, 2, (struct commit_operation[]){gone, put("b", "2")});
	ask(w, 0, 3, 2, (struct commit_operation[]){late, put("b", "3")});
	world_wait(w, ALL, WORLD_SECOND);
	world_streams(w);
	cr_assert_eq(world_code(w, 1), ERR_CHECK_FAILED, "%d", world_code(w, 1));
	cr_assert(commit_id_equal(version_of(w, 2), version_of(w, 3)));
	row_is(w, "a", "3", version_of(w, 3));
	row_is(w, "b", "3", version_of(w, 3));
	world_free(w);
}

/* Transactions are in the table until the stream has brought them: a hitch of that refuses nobody, new requests wait. */
Test(share, A4_a_full_table_of_transactions_makes_requests_wait)
{
	static char keys[80][16];
	struct world *w = world_new_with(3, &(struct commit_options){.transactions = 64});
	w->deadline_ns = 20 * WORLD_SECOND;
	for (uint32_t i = 0; i < 80; i++) {
		snprintf(keys[i], sizeof keys[i], "key-%u", i);
		ask(w, 0, 1000 + i, 1, (struct commit_operation[]){put(keys[i], "1")});
		cr_assert_eq(world_code(w, 1000 + i), 1, "%u: %s", i, error_name(world_code(w, 1000 + i)));
	}
	for (int i = 0; i < 40; i++) {
		world_wait(w, ALL, WORLD_SECOND / 10);
		world_streams(w);
	}
	for (uint32_t i = 0; i < 80; i++)
		cr_assert_eq(world_code(w, 1000 + i), ERR_OK, "%u: %s", i, error_name(world_code(w, 1000 + i)));
	world_free(w);
}
