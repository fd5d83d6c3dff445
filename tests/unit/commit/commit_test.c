/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include "base/bytes.h"
#include "commit/message.h"
#include "tests/unit/commit/world.h"

/* PREPAREs out, votes of `voters` in their way back, nothing else. */
static void prepared(struct world *w, const char *key, const char *value, uint32_t voters)
{
	world_put(w, 0, 1, key, value);
	world_deliver(w, voters | 1u, COMMIT_PREPARE);
}

Test(commit, one_round_to_the_nearest_majority)
{
	struct world *w = world_new(3);
	world_put(w, 0, 1, "a", "one");
	cr_assert_eq(world_deliver(w, 3, COMMIT_PREPARE), 1);
	cr_assert_eq(world_code(w, 1), 1);
	cr_assert_eq(world_deliver(w, 3, COMMIT_VOTE), 1);
	cr_assert_eq(world_code(w, 1), ERR_OK);
	world_deliver(w, ALL, 0);
	world_expect_quiet(w, ALL);
	for (uint8_t r = 0; r < 3; r++)
		cr_assert_str_eq(world_value(w, r, "a"), "one");
	world_get(w, 2, 2, "a");
	world_deliver(w, 6, 0);
	cr_assert_str_eq(world_answer(w, 2)->value, "one");
	world_free(w);
}

Test(commit, nothing_is_answered_before_it_is_durable)
{
	struct world *w = world_new(3);
	w->regions[1].slow_disk = true;
	prepared(w, "a", "one", 2);
	cr_assert_eq(world_pending(w, COMMIT_VOTE), 0);
	world_sync(w, 1);
	cr_assert_eq(world_pending(w, COMMIT_VOTE), 1);
	w->regions[0].slow_disk = true;
	world_deliver(w, 3, COMMIT_VOTE);
	cr_assert_eq(world_code(w, 1), 1);
	cr_assert_eq(world_pending(w, COMMIT_DECIDED), 0);
	world_sync(w, 0);
	cr_assert_eq(world_code(w, 1), ERR_OK);
	world_free(w);
}

Test(commit, T34_all_or_nothing)
{
	struct world *w = world_new(3);
	struct commit_operation o[3] = {world_operation(COMMIT_PUT, "a", "1"), world_operation(COMMIT_PUT, "b", "2"),
	    world_operation(COMMIT_PUT, "c", "3")};
	world_transaction(w, 1, 1, 7, 1, 3, o);
	world_deliver(w, 6, COMMIT_PREPARE);
	for (uint8_t r = 0; r < 3; r++)
		cr_assert(!world_value(w, r, "a") && !world_value(w, r, "b") && !world_value(w, r, "c"));
	world_deliver(w, ALL, 0);
	world_expect_quiet(w, ALL);
	for (uint8_t r = 0; r < 3; r++)
		cr_assert(world_value(w, r, "a") && world_value(w, r, "b") && world_value(w, r, "c"));
	/* One condition broken: none of it. */
	o[0] = world_operation(COMMIT_PUT, "d", "4");
	o[1].condition = COMMIT_IF_ABSENT;
	world_transaction(w, 2, 2, 7, 2, 2, o);
	world_wait(w, ALL, WORLD_SECOND / 2);
	cr_assert_eq(world_code(w, 2), ERR_CHECK_FAILED);
	world_expect_quiet(w, ALL);
	cr_assert(!world_value(w, 2, "d"));
	world_free(w);
}

Test(commit, T46_ok_then_the_disk_is_thrown_away)
{
	struct world *w = world_new(3);
	prepared(w, "a", "one", 2);
	world_deliver(w, 3, COMMIT_VOTE);
	cr_assert_eq(world_code(w, 1), ERR_OK);
	world_lose(w, 0);
	world_drop(w, 0, 255, 0);
	for (uint8_t r = 1; r < 3; r++)
		world_peers(w, r, 6);
	world_get(w, 2, 2, "a");
	world_wait(w, 6, 4 * WORLD_SECOND / 2);
	cr_assert_eq(world_code(w, 2), ERR_OK, "the read is %s", error_name(world_code(w, 2)));
	cr_assert_str_eq(world_answer(w, 2)->value, "one");
	world_wait(w, 6, 10 * WORLD_SECOND);
	world_expect_quiet(w, 6);
	cr_assert_str_eq(world_value(w, 2, "a"), "one");
	world_free(w);
}

Test(commit, T48_a_read_settles_what_it_meets)
{
	struct world *w = world_new(3);
	prepared(w, "a", "one", 2);
	world_drop(w, 1, 0, COMMIT_VOTE);
	world_get(w, 1, 2, "a");
	world_deliver(w, 6, COMMIT_ASK);
	world_deliver(w, 6, COMMIT_TOLD);
	cr_assert_eq(world_code(w, 2), 1, "answered over something in doubt");
	world_kill(w, 0);
	for (uint8_t r = 1; r < 3; r++)
		world_peers(w, r, 6);
	world_wait(w, 6, 2 * WORLD_SECOND - WORLD_SECOND / 10);
	cr_assert_neq(world_code(w, 2), 1);
	int first = world_code(w, 2);
	for (uint64_t route = 3; route < 6; route++) {
		world_get(w, 1 + (uint8_t)(route % 2), route, "a");
		world_wait(w, 6, WORLD_SECOND / 5);
		cr_assert_eq(world_code(w, route), first);
	}
	world_free(w);
}

Test(commit, T50_a_restart_disturbs_nobody_else)
{
	struct world *w = world_new(3);
	for (uint64_t i = 1; i <= 20; i++) {
		if (i % 4 == 0)
			world_kill(w, 2);
		world_put(w, 0, i, "a", "x");
		world_deliver(w, ALL, 0);
		cr_assert_eq(world_code(w, i), ERR_OK);
		if (i % 4 == 0)
			world_start(w, 2);
	}
	world_wait(w, ALL, 10 * WORLD_SECOND);
	world_expect_quiet(w, ALL);
	world_free(w);
}

Test(commit, T51_a_late_prepare_is_refused_by_ballot)
{
	struct world *w = world_new(3);
	prepared(w, "a", "one", 2); /* 2 has not got its PREPARE yet */
	world_drop(w, 1, 0, COMMIT_VOTE);
	world_kill(w, 0);
	/* 1 recovers; its RECOVER comes to 2 before the PREPARE. */
	for (uint32_t i = 0; i < 200 && !world_pending(w, COMMIT_PROMISED); i++) {
		world_wait(w, 0, WORLD_SECOND / 50);
		world_put(w, 1, 100 + i, "other", "x"); /* time goes on */
		world_deliver(w, 6, COMMIT_RECOVER);
		if (i > 100)
			break;
	}
	world_wait(w, 6, 5 * WORLD_SECOND);
	world_deliver(w, ALL, COMMIT_PREPARE);
	world_deliver(w, ALL, 0);
	world_wait(w, 6, 10 * WORLD_SECOND);
	world_expect_quiet(w, 6);
	world_free(w);
}

Test(commit, T52_recovery_and_the_slow_coordinator_decide_one_thing)
{
	/* The vote is on its way while the others recover, with the coordinator and without it. */
	for (uint32_t with = 0; with < 2; with++) {
		struct world *w = world_new(3);
		prepared(w, "a", "one", 2);
		uint32_t recoverers = with ? ALL : 6;
		for (uint32_t i = 0; i < 300; i++) {
			w->now_ns += WORLD_SECOND / 50;
			world_deliver(w, recoverers, COMMIT_RECOVER);
			world_deliver(w, recoverers, COMMIT_PROMISED);
			world_deliver(w, recoverers, COMMIT_ACCEPT);
			world_deliver(w, recoverers, COMMIT_ACCEPTED);
		}
		world_deliver(w, 3, COMMIT_VOTE);
		world_wait(w, ALL, 10 * WORLD_SECOND);
		world_expect_quiet(w, ALL);
		bool committed = world_value(w, 1, "a") != NULL;
		for (uint8_t r = 0; r < 3; r++)
			cr_assert_eq(world_value(w, r, "a") != NULL, committed);
		if (world_code(w, 1) == ERR_OK)
			cr_assert(committed);
		world_free(w);
	}
}

Test(commit, T53_in_doubt_holds_its_own_keys_only)
{
	struct world *w = world_new(3);
	prepared(w, "a", "one", 6);
	world_drop(w, 255, 255, 0);
	world_lose(w, 0);
	world_kill(w, 1);
	world_start(w, 1);
	cr_assert_eq(world_in_doubt(w, 1), 1);
	struct commit_in_doubt list[4];
	cr_assert_eq(commit_in_doubt(w->regions[1].machine, list, 4), 1);
	cr_assert(list[0].voted && list[0].id.region == 0);
	world_put(w, 1, 2, "b", "two");
	world_deliver(w, 6, 0);
	cr_assert_eq(world_code(w, 2), ERR_OK);
	world_wait(w, 6, 5 * WORLD_SECOND);
	cr_assert_eq(world_in_doubt(w, 1), 0);
	world_free(w);
}

Test(commit, B08_a_repeat_is_answered_not_applied)
{
	struct world *w = world_new(3);
	struct commit_operation o = world_operation(COMMIT_PUT, "a", "one"), p = world_operation(COMMIT_PUT, "a", "two");
	world_transaction(w, 0, 1, 7, 1, 1, &o);
	world_transaction(w, 0, 2, 7, 1, 1, &o); /* while it runs */
	world_deliver(w, ALL, 0);
	cr_assert_eq(world_code(w, 2), ERR_OK);
	struct commit_id version = world_answer(w, 2)->version;
	world_transaction(w, 1, 3, 8, 1, 1, &p);
	world_deliver(w, ALL, 0);
	world_streams(w);
	for (uint8_t r = 0; r < 3; r++) { /* in each region, after a restart of each */
		world_transaction(w, r, 10 + r, 7, 1, 1, &o);
		world_deliver(w, ALL, 0);
		cr_assert_eq(world_code(w, 10 + r), ERR_OK);
		cr_assert(commit_id_equal(world_answer(w, 10 + r)->version, version));
		world_kill(w, r);
		world_start(w, r);
		world_transaction(w, r, 20 + r, 7, 1, 1, &o);
		cr_assert(commit_id_equal(world_answer(w, 20 + r)->version, version));
		cr_assert_str_eq(world_value(w, r, "a"), "two");
	}
	world_free(w);
}

Test(commit, B08_a_repeat_elsewhere_before_the_record_came)
{
	struct world *w = world_new(3);
	struct commit_operation o = world_operation(COMMIT_PUT, "a", "one");
	world_transaction(w, 0, 1, 7, 1, 1, &o);
	world_deliver(w, 3, COMMIT_PREPARE);
	world_deliver(w, 3, COMMIT_VOTE);
	cr_assert_eq(world_code(w, 1), ERR_OK);
	world_drop(w, 255, 2, 0); /* 2 knows nothing of it */
	world_transaction(w, 2, 2, 7, 1, 1, &o);
	world_wait(w, ALL, WORLD_SECOND);
	cr_assert_eq(world_code(w, 2), ERR_OK);
	cr_assert(commit_id_equal(world_answer(w, 2)->version, world_answer(w, 1)->version));
	world_free(w);
}

Test(commit, B17_after_its_time_the_outcome_is_unknown)
{
	struct world *w = world_new(3);
	world_put(w, 0, 1, "a", "one");
	world_drop(w, 255, 255, 0);
	world_wait(w, 0, 3 * WORLD_SECOND);
	cr_assert_eq(world_code(w, 1), ERR_UNKNOWN_OUTCOME);
	world_put(w, 0, 2, "a", "two"); /* waits behind it, was never sent: certain */
	world_wait(w, 0, 3 * WORLD_SECOND);
	cr_assert_eq(world_code(w, 2), ERR_NO_QUORUM);
	world_wait(w, ALL, 3 * WORLD_SECOND);
	world_expect_quiet(w, ALL);
	world_put(w, 0, 3, "a", "three");
	world_deliver(w, ALL, 0);
	cr_assert_eq(world_code(w, 3), ERR_OK);
	world_free(w);
}

Test(commit, B27_an_answer_to_an_earlier_life_is_nobodys)
{
	struct world *w = world_new(3);
	world_put(w, 1, 1, "b", "two");
	world_deliver(w, ALL, 0);
	world_streams(w);
	world_get(w, 0, 2, "a");
	world_deliver(w, ALL, COMMIT_ASK); /* the answers, "no such row", wait */
	world_kill(w, 0);
	world_start(w, 0);
	world_row(w, 0, "b")->row = (struct commit_row){0};
	world_get(w, 0, 3, "b"); /* with the number that the read of a had */
	world_drop(w, 0, 255, COMMIT_ASK);
	world_deliver(w, ALL, COMMIT_TOLD);
	cr_assert_eq(world_code(w, 3), 1, "answered by what was said to the process before");
	world_free(w);
}

Test(commit, the_older_goes_first_and_the_wounded_comes_again)
{
	struct world *w = world_new(3);
	world_put(w, 0, 1, "a", "older");
	w->now_ns += WORLD_SECOND / 100;
	world_put(w, 1, 2, "a", "younger");
	world_wait(w, ALL, WORLD_SECOND);
	cr_assert_eq(world_code(w, 1), ERR_OK);
	cr_assert_eq(world_code(w, 2), ERR_OK);
	cr_assert_eq(commit_counts(w->regions[1].machine)->wounded, 1);
	world_expect_quiet(w, ALL);
	for (uint8_t r = 0; r < 3; r++)
		cr_assert_str_eq(world_value(w, r, "a"), "younger");
	world_free(w);
}

Test(commit, waiting_blind_writes_share_a_transaction)
{
	struct world *w = world_new(3);
	char value[8] = "v0";
	for (uint64_t i = 1; i <= 9; i++) {
		value[1] = (char)('0' + i);
		world_put(w, 0, i, "a", value);
	}
	world_deliver(w, ALL, 0);
	for (uint64_t i = 1; i <= 9; i++)
		cr_assert_eq(world_code(w, i), ERR_OK);
	cr_assert_eq(commit_counts(w->regions[0].machine)->commits, 2);
	cr_assert_str_eq(world_value(w, 0, "a"), "v9");
	/* The version of one that another covered in the same transaction is no longer the row's. */
	struct commit_operation o = world_operation(COMMIT_PUT, "a", "cas");
	o.condition = COMMIT_IF_VERSION;
	o.expected = world_answer(w, 5)->version;
	world_transaction(w, 0, 20, 5, 1, 1, &o);
	world_deliver(w, ALL, 0);
	cr_assert_eq(world_code(w, 20), ERR_CHECK_FAILED);
	o.expected = world_answer(w, 9)->version;
	world_transaction(w, 0, 21, 5, 2, 1, &o);
	world_deliver(w, ALL, 0);
	cr_assert_eq(world_code(w, 21), ERR_OK);
	world_free(w);
}

Test(commit, minority_refuses_at_once)
{
	struct world *w = world_new(3);
	static struct commit_effects out;
	struct commit_event e = {.type = COMMIT_EVENT_PEERS, .now_ns = w->now_ns, .peers = 1};
	commit_step(w->regions[0].machine, &e, &out);
	world_put(w, 0, 1, "a", "one");
	cr_assert_eq(world_code(w, 1), ERR_NO_QUORUM);
	world_get(w, 0, 2, "a");
	cr_assert_eq(world_code(w, 2), ERR_NO_QUORUM);
	cr_assert_eq(w->message_count, 0);
	world_free(w);
}

/* The list of FAILURES section 3: the coordinator is killed (with or without its disk) or cut off at each point. */
Test(commit, killed_at_each_point)
{
	for (uint32_t point = 0; point < 40; point++) {
		struct world *w = world_new(3);
		uint32_t way = point % 4, steps = point / 4; /* kill, kill for good, lose the disk, cut off */
		world_put(w, 0, 1, "a", "one");
		for (uint32_t i = 0; i < steps && w->message_count; i++) {
			/* One message at a time, in order of sending. */
			static struct commit_seen seen[COMMIT_OPERATIONS_MAX];
			static struct commit_effects out;
			(void)seen;
			(void)out;
			struct world_message first = w->messages[0];
			uint32_t rest = w->message_count - 1;
			struct world_message saved[64];
			cr_assert(rest < 64);
			memcpy(saved, &w->messages[1], rest * sizeof *saved);
			w->messages[0] = first;
			w->message_count = 1;
			/* Without what comes of it. */
			uint8_t to = first.to, from = first.from;
			struct world_region *region = &w->regions[to];
			bool slow = region->slow_disk;
			world_deliver(w, 1u << from | 1u << to, first.type);
			region->slow_disk = slow;
			memcpy(&w->messages[w->message_count], saved, rest * sizeof *saved);
			w->message_count += rest;
		}
		bool was_ok = world_code(w, 1) == ERR_OK;
		if (way == 2)
			world_lose(w, 0);
		else if (way < 2)
			world_kill(w, 0);
		if (way != 3)
			world_drop(w, 0, 255, 0);
		world_drop(w, 255, 0, 0);
		world_wait(w, 6, 12 * WORLD_SECOND);
		if (way == 0)
			world_start(w, 0);
		world_wait(w, w->regions[0].up ? ALL : 6, 12 * WORLD_SECOND);
		world_expect_quiet(w, w->regions[0].up ? ALL : 6);
		bool there = world_value(w, 1, "a") != NULL;
		cr_assert_eq(world_value(w, 2, "a") != NULL, there);
		cr_assert(!was_ok || there, "point %u: acknowledged and gone", point);
		if (world_answer(w, 1) && world_code(w, 1) != ERR_UNKNOWN_OUTCOME)
			cr_assert_eq(world_code(w, 1) == ERR_OK, there, "point %u: %s, and there: %d", point,
			    error_name(world_code(w, 1)), there);
		world_free(w);
	}
}

Test(commit, messages_and_bodies_refuse_what_is_not_theirs)
{
	struct world *w = world_new(3);
	static struct commit_seen seen[COMMIT_OPERATIONS_MAX];
	struct commit_message m;
	world_put(w, 0, 1, "a", "one");
	const struct world_message *prepare = &w->messages[0];
	cr_assert_eq(commit_message_decode(&m, seen, prepare->bytes, prepare->size), 0);
	for (size_t size = 0; size < prepare->size; size++)
		cr_assert_eq(commit_message_decode(&m, seen, prepare->bytes, size), ERR_MALFORMED);
	uint64_t random = 1;
	for (uint32_t i = 0; i < 100000; i++) {
		uint8_t bytes[512];
		memcpy(bytes, prepare->bytes, prepare->size);
		for (uint32_t j = 0; j < 1 + i % 4; j++) {
			random = random * 6364136223846793005ull + 1442695040888963407ull;
			bytes[(random >> 33) % prepare->size] = (uint8_t)(random >> 20);
		}
		int code = commit_message_decode(&m, seen, bytes, prepare->size);
		cr_assert(code == 0 || code == ERR_MALFORMED);
		uint8_t again[512];
		cr_assert(code || (commit_message_encode(&m, again, sizeof again) == (long)prepare->size &&
		                      !memcmp(again, bytes, prepare->size)));
	}
	/* A question without a key, or of a keyspace that cannot be. */
	static uint8_t question[512];
	for (uint32_t i = 0; i < 4; i++) {
		struct commit_message ask = {.type = COMMIT_ASK, .key = (const uint8_t *)"a", .key_size = i & 1, .read = 1};
		ask.keyspace = i & 2 ? KEYSPACES_MAX : KEYSPACES_MAX - 1;
		long asked = commit_message_encode(&ask, question, sizeof question);
		cr_assert_eq(
		    commit_message_decode(&m, seen, question, (size_t)asked), i == 1 ? 0 : ERR_MALFORMED, "question %u", i);
	}
	/* Where a body is not needed: one of more bytes than may be, of which none is there. */
	struct commit_message vote = {.type = COMMIT_VOTE, .vote = COMMIT_YES, .id = {.hlc = 1}};
	uint8_t bytes[512];
	long size = commit_message_encode(&vote, bytes, sizeof bytes);
	cr_assert_eq(commit_message_decode(&m, seen, bytes, (size_t)size), 0);
	bytes[2] |= 1024 >> 8; /* with a body */
	for (uint32_t body_size = COMMIT_BODY_MAX + 1; body_size; body_size <<= 1) {
		for (int i = 0; i < 4; i++)
			bytes[size + i] = (uint8_t)(body_size >> 8 * i);
		cr_assert_eq(commit_message_decode(&m, seen, bytes, (size_t)size + 4), ERR_MALFORMED);
	}
	/* The same of a key and of a value. */
	bytes[2] = 0;
	static const uint32_t fields[] = {256, 512};
	for (int i = 0; i < 2; i++) {
		uint32_t longest = i ? VALUE_SIZE_MAX : KEY_SIZE_MAX;
		bytes[2] = (uint8_t)(fields[i] >> 8);
		for (uint32_t given = longest + 1; given < (i ? UINT32_MAX / 2 : 0x8000u); given *= 2) {
			bytes_put_u64(bytes + size, i ? given : given << 16);
			cr_assert_eq(
			    commit_message_decode(&m, seen, bytes, (size_t)size + 4), ERR_MALFORMED, "%d: %u", i, given);
		}
	}
	world_free(w);
}

/* The votes of a write are most of what coordinators say to each other, and each byte of them is encrypted and decrypted. */
Test(commit, a_message_is_as_long_as_what_it_says)
{
	struct commit_seen seen[2] = {{.stamp = {.hlc = 9, .region = 1}}}, back[COMMIT_OPERATIONS_MAX];
	struct commit_message m,
	    vote = {.type = COMMIT_VOTE, .vote = COMMIT_YES, .id = {.hlc = 1}, .seen = seen, .seen_count = 1};
	uint8_t bytes[128];
	cr_assert_eq(commit_message_encode(&vote, bytes, sizeof bytes), 30);
	cr_assert_eq(commit_message_decode(&m, back, bytes, 30), 0);
	cr_assert(m.vote == COMMIT_YES && m.seen_count == 1 && m.seen[0].stamp.hlc == 9 && !m.seen[0].version.hlc && !m.ballot);
	seen[0].version = (struct commit_id){.region = 2};
	seen[0].live = true;
	vote.ballot = 5;
	cr_assert_eq(commit_message_encode(&vote, bytes, sizeof bytes), 30 + 11 + 8);
	cr_assert_eq(commit_message_decode(&m, back, bytes, 49), 0);
	cr_assert(m.ballot == 5 && m.seen[0].version.region == 2 && m.seen[0].live);
	/* One message, one encoding: a field that is there and nothing, and one that nobody knows, are refused. */
	memset(bytes + 16, 0, 8);
	cr_assert_eq(commit_message_decode(&m, back, bytes, 49), ERR_MALFORMED);
	cr_assert_eq(commit_message_encode(&vote, bytes, sizeof bytes), 49);
	bytes[2] |= 2048 >> 8;
	cr_assert_eq(commit_message_decode(&m, back, bytes, 49), ERR_MALFORMED);
	cr_assert_eq(commit_message_encode(&vote, bytes, sizeof bytes), 49);
	memset(bytes + 38, 0, 11);
	cr_assert_eq(commit_message_decode(&m, back, bytes, 49), ERR_MALFORMED, "a version that is none");
}

/* Found by the simulator, seed 17366: the voter had the request itself, waiting, when it learned that it was done. */
Test(commit, B08_a_repeat_waits_where_it_becomes_known_as_done)
{
	struct world *w = world_new(3);
	struct commit_operation o = world_operation(COMMIT_PUT, "a", "one");
	world_transaction(w, 2, 1, 7, 1, 1, &o);
	world_deliver(w, 5, COMMIT_PREPARE);
	world_drop(w, 255, 255, 0);
	world_kill(w, 2); /* forgets it; 0 has voted */
	world_start(w, 2);
	world_transaction(w, 2, 2, 7, 1, 1, &o);
	world_transaction(w, 0, 3, 7, 1, 1, &o);
	world_deliver(w, 5, COMMIT_PREPARE);
	world_drop(w, 2, 1, 0);
	world_wait(w, 3, WORLD_SECOND + WORLD_SECOND / 5); /* 0 and 1 commit the first */
	world_wait(w, 5, WORLD_SECOND / 2);                /* 2 asks 0 again */
	world_wait(w, ALL, 10 * WORLD_SECOND);
	world_expect_quiet(w, ALL);
	/* One name, however many streams it came by. */
	static struct commit_head first, head;
	uint32_t commits = 0;
	for (uint32_t i = 0; i < w->regions[1].count; i++) {
		const struct world_entry *entry = &w->regions[1].entries[i];
		struct commit_body body;
		if (entry->type != COMMIT_ENTRY_COMMIT)
			continue;
		cr_assert_eq(commit_entry_open(entry->bytes, entry->size, &head, &body), 0);
		if (!commits++)
			first = head;
		cr_assert(commit_id_equal(first.id, head.id), "applied twice");
	}
	world_free(w);
}

/* docs/spec, "What spin found", 3: what a region accepted names what it replaces, and so is not in the way of it. */
Test(commit, T52_an_accepted_value_names_what_it_replaced)
{
	struct world *w = world_new(3);
	world_put(w, 0, 1, "a", "first");
	world_deliver(w, 5, COMMIT_PREPARE);
	world_deliver(w, 5, COMMIT_VOTE);
	cr_assert_eq(world_code(w, 1), ERR_OK); /* by 0 and 2; 1 has heard nothing */
	world_drop(w, 0, 255, 0);
	w->now_ns += WORLD_SECOND / 10;
	world_put(w, 1, 2, "a", "second");
	world_deliver(w, 3, COMMIT_PREPARE); /* 0 votes: over the first */
	world_drop(w, 0, 1, COMMIT_VOTE);
	world_drop(w, 1, 255, 0);
	/* 0 recovers the second; 1 coordinates it, so it comes to ABORT there, or 0 is lost before. */
	for (uint32_t i = 0; i < 100 && !world_pending(w, COMMIT_ACCEPT); i++) {
		world_wait(w, 0, WORLD_SECOND / 50);
		world_deliver(w, 3, 0);
	}
	world_lose(w, 0);
	world_drop(w, 0, 255, 0);
	world_wait(w, 6, 20 * WORLD_SECOND);
	world_expect_quiet(w, 6);
	cr_assert_not_null(world_value(w, 1, "a"));
	cr_assert_str_eq(world_value(w, 1, "a"), world_value(w, 2, "a"));
	world_free(w);
}

/* Found by the simulator, seed 52776: a NO that names a commit before that is on disk made another region answer ok for it. */
Test(commit, T46_a_refusal_waits_for_the_disk_too)
{
	struct world *w = world_new(3);
	struct commit_operation o = world_operation(COMMIT_PUT, "a", "one");
	w->regions[2].slow_disk = true;
	world_transaction(w, 2, 1, 7, 1, 1, &o);
	world_sync(w, 2);
	world_deliver(w, 6, COMMIT_PREPARE);
	world_deliver(w, 6, COMMIT_VOTE); /* COMMIT is appended */
	world_drop(w, 2, 0, 0);
	world_transaction(w, 0, 2, 7, 1, 1, &o);
	world_deliver(w, 5, COMMIT_PREPARE);
	cr_assert_eq(world_pending(w, COMMIT_VOTE), 0, "told what is on no disk");
	world_deliver(w, ALL, 0);
	cr_assert_eq(world_code(w, 2), 1, "answered for what is on no disk");
	world_sync(w, 2);
	world_wait(w, ALL, WORLD_SECOND / 2);
	world_sync(w, 2);
	cr_assert_eq(world_code(w, 1), ERR_OK);
	cr_assert_eq(world_code(w, 2), ERR_OK);
	cr_assert(commit_id_equal(world_answer(w, 1)->version, world_answer(w, 2)->version));
	world_free(w);
}

/* Asked in two regions of five, both coordinators fall, and both transactions are recovered. */
Test(commit, B08_the_same_request_is_not_recovered_twice)
{
	struct world *w = world_new(5);
	struct commit_operation o = world_operation(COMMIT_PUT, "a", "one");
	struct commit_in_doubt first;
	world_transaction(w, 4, 1, 7, 1, 1, &o);
	world_deliver(w, 1 | 2 | 16, COMMIT_PREPARE);
	cr_assert_eq(commit_in_doubt(w->regions[0].machine, &first, 1), 1);
	world_drop(w, 255, 255, 0);
	w->now_ns += WORLD_SECOND; /* so that the second one is the younger */
	world_transaction(w, 3, 2, 7, 1, 1, &o);
	world_deliver(w, 4 | 8, COMMIT_PREPARE);
	cr_assert_eq(world_in_doubt(w, 2), 1);
	world_drop(w, 255, 255, 0);
	world_kill(w, 3);
	world_kill(w, 4);
	world_wait(w, 7, 20 * WORLD_SECOND);
	cr_assert_str_eq(world_value(w, 0, "a"), "one");
	world_start(w, 3);
	world_start(w, 4);
	world_streams(w);
	world_wait(w, 31, 10 * WORLD_SECOND);
	world_expect_quiet(w, 31);
	for (uint8_t r = 0; r < 5; r++) {
		cr_assert_str_eq(world_value(w, r, "a"), "one");
		world_get(w, r, 10 + r, "a");
		world_deliver(w, 31, 0);
		cr_assert(commit_id_equal(world_answer(w, 10 + r)->version, first.id), "it was committed again");
	}
	world_free(w);
}

/* The others have finished it long ago, and remember it no more, when its coordinator would rather not have begun. */
Test(commit, T52_a_forgotten_commit_is_not_withdrawn)
{
	struct world *w = world_new_forgetful(3);
	prepared(w, "a", "one", 6);
	world_drop(w, 255, 0, 0);
	world_wait(w, 6, 5 * WORLD_SECOND);
	cr_assert_str_eq(world_value(w, 1, "a"), "one");
	for (uint64_t i = 0; i < 20; i++) {
		world_put(w, 1, 100 + i, i % 2 ? "a" : "b", "later");
		world_deliver(w, 6, 0);
		cr_assert_eq(world_code(w, 100 + i), ERR_OK);
	}
	world_wait(w, 6, 10 * WORLD_SECOND);
	cr_assert_gt(world_deliver(w, ALL, COMMIT_WITHDRAW), 0);
	cr_assert_eq(world_pending(w, COMMIT_WITHDRAWN), 0);
	world_streams(w);
	world_wait(w, ALL, 10 * WORLD_SECOND);
	world_expect_quiet(w, ALL);
	for (uint8_t r = 0; r < 3; r++)
		cr_assert_str_eq(world_value(w, r, "a"), "later");
	cr_assert(world_code(w, 1) != ERR_NO_QUORUM, "a refusal of what is committed");
	world_free(w);
}

/* A row that is not on disk yet must not be named to others: they would take it as proof that it was committed. */
Test(commit, T52_what_a_prepare_names_is_on_disk)
{
	struct world *w = world_new(3);
	prepared(w, "a", "one", 2);
	w->regions[0].slow_disk = true;
	world_deliver(w, 3, COMMIT_VOTE);
	cr_assert_eq(world_code(w, 1), 1, "its COMMIT is appended, and not durable");
	world_put(w, 0, 2, "a", "two");
	cr_assert_eq(world_pending(w, COMMIT_PREPARE), 1, "only the first one's, to the region that has not voted");
	world_sync(w, 0);
	cr_assert_eq(world_code(w, 1), ERR_OK);
	cr_assert_eq(world_pending(w, COMMIT_PREPARE), 3);
	w->regions[0].slow_disk = false;
	world_sync(w, 0);
	world_deliver(w, ALL, 0);
	world_sync(w, 0);
	world_deliver(w, ALL, 0);
	cr_assert_eq(world_code(w, 2), ERR_OK);
	world_expect_quiet(w, ALL);
	world_free(w);
}

/* The first copy was taken before a restart: nobody here knows whether it is what changed the row. */
Test(commit, B17_a_failed_check_of_a_repeat_is_certain_only_if_all_copies_are_known)
{
	struct world *w = world_new(3);
	struct commit_operation o = world_operation(COMMIT_PUT, "a", "mine");
	world_put(w, 0, 1, "a", "there");
	world_deliver(w, ALL, 0);
	world_streams(w);
	o.condition = COMMIT_IF_VERSION;
	o.expected = (struct commit_id){.hlc = 5};
	world_transaction(w, 0, 2, 7, 1, 1, &o);
	world_deliver(w, ALL, 0);
	cr_assert_eq(world_code(w, 2), ERR_CHECK_FAILED);
	world_repeat(w, 0, 3, 7, 1, 400, &o);
	cr_assert_eq(world_code(w, 3), ERR_CHECK_FAILED, "remembered");
	world_kill(w, 0);
	world_start(w, 0);
	world_repeat(w, 0, 4, 7, 1, 800, &o);
	world_deliver(w, ALL, 0);
	cr_assert_eq(world_code(w, 4), ERR_UNKNOWN_OUTCOME);
	world_transaction(w, 0, 5, 7, 2, 1, &o);
	world_deliver(w, ALL, 0);
	cr_assert_eq(world_code(w, 5), ERR_CHECK_FAILED, "the first time");
	world_free(w);
}

/* Nobody holds a vote for what a restart makes its coordinator forget. */
Test(commit, A19_a_lock_is_on_disk_before_anybody_hears_of_it)
{
	struct world *w = world_new(3);
	world_put(w, 0, 1, "warm", "up"); /* the bound of stamps is on disk */
	world_deliver(w, ALL, 0);
	world_streams(w);
	w->regions[0].slow_disk = true;
	world_put(w, 0, 2, "a", "one");
	cr_assert_eq(world_pending(w, COMMIT_PREPARE), 0);
	world_sync(w, 0);
	cr_assert_eq(world_pending(w, COMMIT_PREPARE), 2);
	world_deliver(w, 3, COMMIT_PREPARE);
	world_drop(w, 255, 255, 0);
	world_kill(w, 0);
	world_start(w, 0);
	cr_assert_eq(world_in_doubt(w, 0), 1, "the restarted coordinator knows nothing of its transaction");
	world_wait(w, ALL, 2 * WORLD_SECOND);
	world_expect_quiet(w, ALL);
	world_free(w);
}

/* machine-restarts-stuck: 2 votes for T0 of 0, 0 restarts and is asked to vote for T1 of 1, 1 restarts, and is lost. */
Test(commit, A19_two_restarts_and_a_loss_leave_nothing_in_doubt)
{
	struct world *w = world_new(3);
	world_put(w, 0, 1, "a", "one");
	world_deliver(w, 5, COMMIT_PREPARE);
	world_drop(w, 255, 255, 0);
	world_kill(w, 0);
	world_start(w, 0);
	w->now_ns += WORLD_SECOND / 50;
	world_put(w, 1, 2, "a", "two");
	world_deliver(w, 3, COMMIT_PREPARE);
	world_drop(w, 255, 255, 0);
	world_kill(w, 1);
	world_start(w, 1);
	/* 2 recovers T0 with 1, which is gone before 2 hears that it has accepted. */
	for (int i = 0; i < 8 && !world_pending(w, COMMIT_ACCEPTED); i++) {
		w->now_ns += WORLD_SECOND;
		world_timer(w, 2);
		world_deliver(w, 6, COMMIT_RECOVER);
		world_deliver(w, 6, COMMIT_PROMISED);
		world_deliver(w, 6, COMMIT_ACCEPT);
	}
	world_drop(w, 255, 255, 0);
	world_lose(w, 1);
	world_wait(w, 5, 20 * WORLD_SECOND);
	world_expect_quiet(w, 5);
	world_free(w);
}
