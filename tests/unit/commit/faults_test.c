/* SPDX-License-Identifier: Apache-2.0
 *
 * Small faults by rule that every other test passed over (A20, tools/mutants). */
#include <criterion/criterion.h>
#include <string.h>

#include "base/bytes.h"
#include "commit/message.h"
#include "commit/state.h"
#include "tests/unit/commit/about.h"
#include "tests/unit/commit/world.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

/* Region 1 has decided so many to be aborted that it does not remember whether that one was among them. Nothing was ever
 * committed on its key, so all that is open is an ABORT: whoever asks is told so, its coordinator is not said to be here, and
 * COMMIT is not accepted. */
Test(faults, a20_who_may_have_forgotten_an_abort_says_so)
{
	for (uint8_t coordinator = 0; coordinator < 2; coordinator++) {
		struct world *w = world_new_forgetful(3);
		struct commit_id id = ahead(0, coordinator);
		for (uint64_t i = 0; i < 20; i++)
			world_say(w, 2, 1,
			    (struct commit_message){.type = COMMIT_DECIDED, .id = ahead(1 + i, 2), .decision = COMMIT_ABORTED});
		struct commit_message m = about(COMMIT_RECOVER, id, "a");
		m.ballot = world_ballot(3, 2);
		world_say(w, 2, 1, m);
		cr_assert_eq(world_pending(w, COMMIT_PROMISED), 1);
		struct commit_message promised = world_waiting(w, COMMIT_PROMISED);
		cr_assert(promised.forgotten, "coordinator %u: nothing is said of it", coordinator);
		cr_assert(!promised.coordinates && !promised.dead && !promised.committed);
		m.type = COMMIT_ACCEPT;
		for (uint8_t value = COMMIT_COMMITTED; value >= COMMIT_ABORTED; value--) {
			m.decision = value;
			world_say(w, 2, 1, m);
			cr_assert_eq(world_pending(w, COMMIT_ACCEPTED), value == COMMIT_ABORTED);
		}
		world_free(w);
	}
}

/* A body that was asked for and comes late makes nothing anew: not of what is decided, nor of what is in the table. */
Test(faults, a20_a_body_that_comes_late_makes_nothing_anew)
{
	struct world *w = world_new(3);
	struct commit *c = w->regions[1].machine;
	world_say(w, 0, 1, about(COMMIT_KNOWN, ahead(0, 0), "a"));
	cr_assert_eq(world_in_doubt(w, 1), 1);
	world_say(w, 0, 1, about(COMMIT_KNOWN, ahead(0, 0), "a"));
	cr_assert_eq(c->transaction_count, 1, "it is there twice");
	world_say(w, 0, 1, (struct commit_message){.type = COMMIT_DECIDED, .id = ahead(0, 0), .decision = COMMIT_ABORTED});
	world_say(w, 0, 1, (struct commit_message){.type = COMMIT_DECIDED, .id = ahead(1, 0), .decision = COMMIT_ABORTED});
	for (uint64_t i = 0; i < 2; i++)
		world_say(w, 0, 1, about(COMMIT_KNOWN, ahead(i, 0), "a"));
	cr_assert_eq(c->transaction_count, 0, "what is decided is begun anew");
	world_free(w);
}

/* Each request of a body is remembered, and nothing that stands behind them. */
Test(faults, a20_as_many_answers_are_remembered_as_there_are_requests)
{
	struct world *w = world_new(3);
	for (uint64_t i = 1; i <= 4; i++)
		world_put(w, 0, i, "a", "x"); /* all but the first share what comes second */
	world_deliver(w, ALL, 0);
	world_streams(w);
	for (uint8_t r = 0; r < 3; r++) {
		const struct reply_cache *memory = &w->regions[r].machine->reply_cache;
		cr_assert_eq(memory->newest - memory->oldest, 4, "region %u remembers %u", r,
		    (unsigned)(memory->newest - memory->oldest));
	}
	world_free(w);
}

/* ---- keys ---- */

/* Of 16 bytes each (XXH3_len_9to16_64b): one half is nothing to the hash, and the other one's sum with the size is the same. */
static void collide(uint64_t seed, uint8_t a[16], uint8_t b[16])
{
	const uint64_t low = (XXH_readLE64(XXH3_kSecret + 24) ^ XXH_readLE64(XXH3_kSecret + 32)) + seed;
	const uint64_t high = (XXH_readLE64(XXH3_kSecret + 40) ^ XXH_readLE64(XXH3_kSecret + 48)) - seed;
	const uint64_t x = 0x1122334455667788ull;
	bytes_put_u64(a, low);
	bytes_put_u64(a + 8, x ^ high);
	bytes_put_u64(b, XXH_swap64(x) ^ low);
	bytes_put_u64(b + 8, high);
}

Test(faults, a20_two_keys_with_one_hash_are_two)
{
	struct world *w = world_new(3);
	struct commit *c = w->regions[0].machine;
	uint8_t a[16], b[16];
	collide(c->options.incarnation, a, b);
	cr_assert(memcmp(a, b, 16) && key_hash(c, 0, a, 16) == key_hash(c, 0, b, 16), "no collision: another xxhash?");
	uint32_t one = key_take(c, 0, a, 16, CLAIM_NEW), two = key_take(c, 0, b, 16, CLAIM_NEW);
	cr_assert_neq(one, two);
	cr_assert_eq(key_take(c, 0, a, 16, CLAIM_NEW), one);
	cr_assert_eq(key_take(c, 0, b, 16, CLAIM_NEW), two);
	world_free(w);
}

/* ---- a row that cannot be read ---- */

/* Region 1 has voted for a transaction on `a` and `b`, and starts again with one of them damaged. It says nothing that COMMIT
 * could stand on; an ABORT it accepts. */
Test(faults, a20_what_a_region_without_a_say_says)
{
	for (int damaged = 0; damaged < 3; damaged++) {
		struct world *w = world_new(3);
		struct commit_operation o[2] = {world_operation(COMMIT_PUT, "a", "x"), world_operation(COMMIT_PUT, "b", "x")};
		static uint8_t body[512];
		world_transaction(w, 0, 1, 7, 1, 2, o);
		struct commit_message prepare = world_waiting(w, COMMIT_PREPARE),
		                      accept = {.type = COMMIT_ACCEPT, .id = prepare.id};
		cr_assert_leq(prepare.body_size, sizeof body);
		accept.body = prepare.body = memcpy(body, prepare.body, prepare.body_size);
		accept.body_size = prepare.body_size;
		prepare.seen_count = 0;
		world_say(w, 0, 1, prepare);
		world_drop(w, 255, 255, 0);
		world_kill(w, 1);
		world_start_damaged(w, 1, damaged ? (damaged == 1 ? "a" : "b") : NULL);
		world_say(w, 0, 1, prepare);
		cr_assert_eq(world_pending(w, COMMIT_VOTE), !damaged, "vote, %d", damaged);
		for (uint8_t value = COMMIT_COMMITTED; value >= COMMIT_ABORTED; value--) {
			world_drop(w, 255, 255, 0);
			accept.decision = value;
			accept.ballot = world_ballot(10 - value, 2);
			world_say(w, 2, 1, accept);
			cr_assert_eq(
			    world_pending(w, COMMIT_ACCEPTED), !damaged || value == COMMIT_ABORTED, "%u, %d", value, damaged);
			static struct commit_head head;
			struct commit_body unused;
			const struct world_entry *last = &w->regions[1].entries[w->regions[1].count - 1];
			cr_assert_eq(commit_entry_open(last->bytes, last->size, &head, &unused), 0);
			cr_assert(last->type == COMMIT_ENTRY_ACCEPT && head.value == value);
			cr_assert_eq(
			    head.previous_count, value == COMMIT_COMMITTED ? 2 : 0, "what an ABORT replaces is nothing");
		}
		world_free(w);
	}
}

/* ---- votes and withdrawals that come when they cannot ---- */

/* Nobody has heard of it yet, its lock is not on the disk: neither votes nor a decision of others do anything with it. */
Test(faults, a20_no_vote_before_the_lock_is_durable)
{
	for (int decided = 0; decided < 2; decided++) {
		struct world *w = world_new(3);
		struct commit *c = w->regions[0].machine;
		struct commit_in_doubt own;
		w->regions[0].slow_disk = true;
		world_put(w, 0, 1, "a", "x");
		cr_assert(commit_in_doubt(c, &own, 1) == 1 && own.coordinating);
		static const struct commit_seen seen[1];
		struct commit_message m = {
		    .type = decided ? COMMIT_DECIDED : COMMIT_VOTE, .id = own.id, .seen = seen, .seen_count = 1};
		m.vote = decided ? 0 : COMMIT_YES;
		m.decision = decided ? COMMIT_COMMITTED : 0;
		world_say(w, 1, 0, m);
		cr_assert_eq(commit_counts(c)->commits, decided, "committed by a vote that nobody can have given");
		world_drop(w, 255, 255, 0);
		world_sync(w, 0);
		cr_assert_eq(world_pending(w, COMMIT_PREPARE), decided ? 0 : 1, "asked of those who have not voted");
		world_free(w);
	}
}

/* A withdrawal on a minority, and others have committed meanwhile: what is said of the withdrawal then is nothing to it. */
Test(faults, a20_a_withdrawal_that_others_overtook_is_over)
{
	struct world *w = world_new(3);
	struct commit *c = w->regions[0].machine;
	w->deadline_ns = WORLD_SECOND / 2;
	world_put(w, 0, 1, "a", "x");
	struct commit_id id = world_waiting(w, COMMIT_PREPARE).id;
	world_drop(w, 255, 255, 0);
	world_tick(w, 0, WORLD_SECOND / 2); /* to the very nanosecond */
	cr_assert_eq(world_pending(w, COMMIT_WITHDRAW), 2, "at the deadline nobody waits any more");
	world_drop(w, 255, 255, 0);
	static const struct commit_seen seen[1];
	world_say(w, 1, 0,
	    (struct commit_message){
	        .type = COMMIT_DECIDED, .id = id, .decision = COMMIT_COMMITTED, .seen = seen, .seen_count = 1});
	cr_assert_eq(commit_counts(c)->commits, 1);
	for (uint8_t r = 1; r < 3; r++)
		world_say(w, r, 0, (struct commit_message){.type = COMMIT_WITHDRAWN, .id = id});
	cr_assert_eq(commit_counts(c)->aborts, 0);
	world_free(w);
}

/* ---- requests ---- */

/* A client that has seen a version which has not come here yet is told so by nobody: its request is tried again, and succeeds
 * when the stream has brought it. */
Test(faults, a20_a_request_whose_version_is_still_to_come_waits_for_it)
{
	struct world *w = world_new(3);
	world_put_without_0(w, 1, "a");
	struct commit_operation o = world_operation(COMMIT_PUT, "a", "mine");
	o.condition = COMMIT_IF_VERSION;
	o.expected = world_answer(w, 1)->version;
	world_transaction(w, 0, 2, 7, 1, 1, &o);
	cr_assert_eq(world_code(w, 2), 1);
	world_streams(w);
	for (uint64_t begun_ns = w->now_ns; world_code(w, 2) == 1 && w->now_ns < begun_ns + WORLD_SECOND / 2;)
		world_wait(w, ALL, 20 * MS);
	cr_assert_eq(world_code(w, 2), ERR_OK, "%d", world_code(w, 2));
	world_free(w);
}

/* Nothing is forgotten yet, and a request whose client has read no clock is none that may be. */
Test(faults, a20_without_a_reading_nothing_is_forgotten_while_all_is_remembered)
{
	struct world *w = world_new(3);
	struct commit_message m = about(COMMIT_PREPARE, ahead(0, 2), "a");
	memset((uint8_t *)m.body + COMMIT_BODY_BEGIN_SIZE + 16, 0, 8); /* `after` */
	world_say(w, 2, 1, m);
	cr_assert_eq(world_waiting(w, COMMIT_VOTE).vote, COMMIT_YES);
	world_free(w);
}

/* However old a repeat says that it is. */
Test(faults, a20_an_age_beyond_all_reason_is_from_before_the_start)
{
	struct world *w = world_new(3);
	w->now_ns += 10 * WORLD_SECOND;
	world_put(w, 0, 1, "a", "first");
	world_drop(w, 0, 255, 0);
	w->after = 1;
	struct commit_operation o = world_operation(COMMIT_PUT, "a", "R");
	world_repeat(w, 0, 2, 7, 1, UINT64_MAX, &o);
	for (uint32_t i = 0; i < 120 && world_code(w, 2) == 1; i++) {
		world_wait(w, 0, 20 * MS);
		world_drop(w, 255, 255, 0);
	}
	cr_assert_eq(world_code(w, 2), ERR_UNKNOWN_OUTCOME, "%d", world_code(w, 2));
	world_free(w);
}

/* ---- time ---- */

/* While something is open the machine asks for a turn, and for none before there is something to do. */
Test(faults, a20_a_turn_is_asked_for_ahead)
{
	struct world *w = world_new(3);
	world_put(w, 0, 1, "a", "x");
	for (uint32_t i = 0; i < 10; i++) {
		world_tick(w, 0, 5 * MS);
		cr_assert(
		    w->regions[0].timer_ns > w->now_ns && w->regions[0].timer_ns < w->now_ns + WORLD_SECOND, "turn %u", i);
	}
	world_free(w);
}

/* Committed by others under `ack: all`: who has not said that it has it is asked, and again after a while only, in one message
 * for all requests of a transaction. */
Test(faults, a20_who_may_not_have_it_is_asked_again_in_time)
{
	struct world *w = world_new(5);
	w->ack_all = true;
	w->deadline_ns = 6 * WORLD_SECOND;
	world_put(w, 0, 1, "a", "first");
	for (uint64_t i = 2; i <= 4; i++)
		world_put(w, 0, i, "a", "x"); /* share what comes next */
	world_deliver(w, 31, COMMIT_PREPARE);
	world_deliver(w, 31, COMMIT_VOTE);
	cr_assert_eq(world_code(w, 1), ERR_OK);
	world_deliver(w, 31, COMMIT_DECIDED);
	world_deliver(w, 31, COMMIT_PREPARE);
	world_drop(w, 255, 0, 0);
	world_wait(w, 30, WORLD_SECOND * 3);
	for (uint8_t r = 1; r < 5; r++)
		world_drop(w, r, 255, 0);
	world_streams(w);
	world_drop(w, 255, 255, 0);
	uint64_t asked = 0, turns = 0;
	for (uint32_t i = 0; i < 40; i++) {
		world_tick(w, 0, 25 * MS);
		turns += world_pending(w, COMMIT_FETCH) > 0;
		asked += world_drop(w, 0, 255, COMMIT_FETCH);
	}
	cr_assert_eq(turns, 10, "not each 100 ms: %u times", (unsigned)turns);
	cr_assert(asked >= 4 * 2 && asked <= 4 * 12, "asked %u times in a second", (unsigned)asked);
	world_drop(w, 255, 255, 0);
	for (uint64_t i = 2; i <= 4; i++)
		cr_assert_eq(world_code(w, i), 1, "answered before all have it");
	for (uint32_t i = 0; i < 50; i++)
		world_wait(w, 31, 20 * MS);
	for (uint64_t i = 2; i <= 4; i++)
		cr_assert_eq(world_code(w, i), ERR_OK, "%d", world_code(w, i));
	world_free(w);
}

/* ---- looks ---- */

/* With an arena that is full: free places are taken before any look ends; then the one that has lasted longest gives its place,
 * if it had time. */
Test(faults, a20_of_looks_the_oldest_gives_way)
{
	for (uint32_t first = 0; first < 8; first++) {
		struct world *w = world_new(3);
		struct commit *c = w->regions[0].machine;
		cr_assert_eq(c->look_count, 8);
		while (arena_take(&c->arena, ARENA_BLOCK))
			;
		/* Place i is taken at a time of its own; the oldest is the one at `first`. */
		struct transaction *by_age[8];
		for (uint32_t i = 0; i < 8; i++) {
			uint32_t age = (i + 8 - first) % 8;
			by_age[age] = &c->transactions[i];
			c->now_ns = (1 + age) * WORLD_SECOND;
			cr_assert(by_age[age]->recovery = look_take(c, by_age[age]));
			for (uint32_t j = 0; j < i; j++)
				cr_assert(c->transactions[j].recovery, "%u ended while %u were free", j, 8 - i);
		}
		struct transaction *next = &c->transactions[8];
		c->now_ns = WORLD_SECOND + c->options.in_doubt_ns - 1;
		cr_assert_null(look_take(c, next));
		for (uint32_t age = 0; age < 8; age++, next++) {
			c->now_ns = age ? 100 * WORLD_SECOND + age : WORLD_SECOND + c->options.in_doubt_ns;
			next->recovery = look_take(c, next);
			cr_assert(next->recovery, "%u", age);
			next->recovery->begun_ns = 200 * WORLD_SECOND; /* younger than all of these */
			for (uint32_t j = 0; j < 8; j++)
				cr_assert_eq(
				    by_age[j]->recovery == NULL, j <= age, "the look of age %u, when %u had ended", j, age);
		}
		world_free(w);
	}
}

/* What recoveries took of the arenas they give back. */
Test(faults, a20_a_recovery_gives_all_back)
{
	struct world *w = world_new(3);
	for (uint64_t i = 0; i < 4; i++) {
		char key[2] = {(char)('a' + i), 0};
		world_put(w, 0, 1 + i, key, "x");
	}
	world_deliver(w, 3, COMMIT_PREPARE);
	world_kill(w, 0);
	world_drop(w, 0, 255, 0);
	world_peers(w, 1, 6);
	world_peers(w, 2, 6);
	world_wait(w, 6, 3 * WORLD_SECOND);
	cr_assert_geq(commit_counts(w->regions[1].machine)->recoveries + commit_counts(w->regions[2].machine)->recoveries, 4);
	world_expect_quiet(w, 6);
	for (uint8_t r = 1; r < 3; r++) {
		struct commit *c = w->regions[r].machine;
		world_tick(w, r, 10 * WORLD_SECOND); /* commits that no stream of their coordinator brings go out here */
		world_tick(w, r, MS);
		world_tick(w, r, MS);
		cr_assert_eq(c->transaction_count, 0, "region %u: %u", r, c->transaction_count);
		cr_assert_eq(
		    c->arena.used + c->spare.used, 0, "region %u keeps %u bytes", r, (unsigned)(c->arena.used + c->spare.used));
		cr_assert_eq(c->look_free_count, c->look_count);
	}
	world_free(w);
}

/* ---- ballots ---- */

/* A ballot is its region's own, and above those of a withdrawal. */
Test(faults, a20_a_ballot_is_of_who_says_it)
{
	static const struct {
		const char *what;
		uint64_t ballot;
		bool good;
	} ballots[] = {{"none", 0, false}, {"as small as a withdrawal's", 2, false},
	    {"another region's", 3 * REGIONS_MAX, false}, {"its first", REGIONS_MAX + 2, true}};
	for (uint32_t i = 0; i < 2 * sizeof ballots / sizeof *ballots; i++) {
		struct world *w = world_new(3);
		bool asks = i % 2;
		struct commit_message m = about(asks ? COMMIT_RECOVER : COMMIT_ACCEPT, ahead(0, 0), "a");
		m.ballot = ballots[i / 2].ballot;
		m.decision = asks ? 0 : COMMIT_ABORTED;
		world_say(w, 2, 1, m);
		cr_assert_eq(
		    world_pending(w, asks ? COMMIT_PROMISED : COMMIT_ACCEPTED), ballots[i / 2].good, "%s", ballots[i / 2].what);
		cr_assert_eq(w->regions[1].machine->transaction_count, ballots[i / 2].good);
		world_free(w);
	}
}

/* Region 1 proposes COMMIT and hears that others are in the way: what it knows it looks at soon, what it does not know it asks
 * for, and what is decided is in nobody's way. Of another ballot it hears nothing. */
Test(faults, a20_who_is_in_the_way_is_looked_at_or_asked_for)
{
	enum { UNKNOWN, KNOWN, DECIDED, ANOTHER_BALLOT, CASES };
	for (int which = 0; which < CASES; which++) {
		struct world *w = world_new(3);
		world_put(w, 0, 1, "a", "one");
		world_deliver(w, 3, COMMIT_PREPARE);
		world_drop(w, 255, 255, 0);
		struct commit_id other = ahead(0, 0);
		if (which == KNOWN)
			world_say(w, 0, 1, about(COMMIT_PREPARE, other, "b"));
		if (which == DECIDED)
			world_say(
			    w, 0, 1, (struct commit_message){.type = COMMIT_DECIDED, .id = other, .decision = COMMIT_ABORTED});
		world_kill(w, 0);
		world_peers(w, 1, 6);
		for (int i = 0; i < 500 && !world_pending(w, COMMIT_ACCEPT); i++) {
			world_tick(w, 1, 5 * MS);
			if (world_waiting(w, COMMIT_RECOVER).id.hlc == other.hlc)
				world_drop(w, 1, 2, COMMIT_RECOVER); /* not that one yet */
			world_deliver(w, 6, COMMIT_RECOVER);
			world_deliver(w, 6, COMMIT_PROMISED);
		}
		struct commit_message blocked = world_waiting(w, COMMIT_ACCEPT);
		cr_assert_eq(blocked.decision, COMMIT_COMMITTED);
		world_drop(w, 255, 255, 0);
		struct commit_in_doubt list[2];
		cr_assert_eq(commit_in_doubt(w->regions[1].machine, list, 2), which == KNOWN ? 2u : 1u);
		struct transaction *t = &w->regions[1].machine->transactions[w->regions[1].machine->transaction_newest];
		blocked = (struct commit_message){
		    .type = COMMIT_BLOCKED, .id = blocked.id, .ballot = blocked.ballot, .hold_count = 1, .holds = {other}};
		blocked.ballot += which == ANOTHER_BALLOT ? REGIONS_MAX : 0;
		world_say(w, 2, 1, blocked);
		cr_assert_eq(world_pending(w, COMMIT_FETCH), which == UNKNOWN, "%d", which);
		if (which == KNOWN)
			cr_assert(commit_id_equal(t->id, other) && t->urgent, "it is not looked at first");
		world_free(w);
	}
}

/* One that could not vote YES at first, and can now: its NO is forgotten, and it is a vote like any other. */
Test(faults, a20_a_yes_takes_a_no_back)
{
	struct world *w = world_new(5);
	world_put(w, 0, 1, "a", "x");
	static const struct commit_seen seen[1];
	struct commit_message vote = {
	    .type = COMMIT_VOTE, .id = world_waiting(w, COMMIT_PREPARE).id, .vote = COMMIT_NO, .reason = ERR_OVERLOADED};
	world_drop(w, 255, 255, 0);
	world_say(w, 1, 0, vote);
	vote.vote = COMMIT_YES;
	vote.reason = 0;
	vote.seen = seen;
	vote.seen_count = 1;
	world_say(w, 1, 0, vote);
	for (uint32_t i = 0; i < 10; i++)
		world_tick(w, 0, 25 * MS);
	cr_assert_eq(world_pending(w, COMMIT_WITHDRAW), 0, "withdrawn for a NO that was taken back");
	cr_assert_geq(world_pending(w, COMMIT_PREPARE), 3);
	world_say(w, 2, 0, vote);
	cr_assert_eq(world_code(w, 1), ERR_OK);
	world_free(w);
}

/* ---- what is done twice ---- */

/* A repeat that came from another region is committed by this one: that is certain, whatever became of the first copy. */
Test(faults, a20_ok_is_certain_for_whoever_has_it)
{
	struct world *w = world_new(3);
	w->now_ns += 10 * WORLD_SECOND;
	w->moved = true;
	struct commit_operation o = world_operation(COMMIT_PUT, "a", "R");
	world_repeat(w, 0, 2, 7, 1, 100, &o);
	world_deliver(w, ALL, 0);
	cr_assert_eq(world_code(w, 2), ERR_OK, "%d", world_code(w, 2));
	world_free(w);
}

/* The ring of keys to look at has room for each once. */
Test(faults, a20_a_key_is_woken_once)
{
	struct world *w = world_new(3);
	struct commit *c = w->regions[0].machine;
	world_put(w, 0, 1, "a", "x");
	world_put(w, 0, 2, "a", "x"); /* waits for it */
	uint32_t index = key_take(c, 0, (const uint8_t *)"a", 1, CLAIM_NEW), references = c->keys[index].references;
	for (int i = 0; i < 3; i++)
		wake(c, index);
	cr_assert_eq(c->wake_tail - c->wake_head, 1);
	cr_assert_eq(c->keys[index].references, references + 1);
	world_free(w);
}

/* ---- messages ---- */

/* Each number that no region says is refused, whatever else the message holds. */
Test(faults, a20_what_nobody_says_is_refused)
{
	const struct commit_message good = {
	    .type = COMMIT_PROMISED, .id = {.hlc = 5, .region = 2}, .ballot = 18, .reason = ERR_FULL};
	static const char *const what[] = {"nothing", "no type", "a type beyond the last", "blank, and no promise",
	    "a decision", "an accepted value", "a share", "a reason that is none", "a region", "a version's region",
	    "a holder's region", "a row's region", "a row's version's region"};
	for (uint32_t i = 0; i < sizeof what / sizeof *what; i++) {
		struct commit_message m = good, decoded;
		static struct commit_seen into[COMMIT_OPERATIONS_MAX];
		struct commit_seen seen = {.stamp = {.hlc = 1}, .version = {.hlc = 1}};
		static uint8_t bytes[512];
		m.version.hlc = 1;
		m.hold_count = 1;
		m.seen = &seen;
		m.seen_count = 1;
		m.type = i == 1 ? 0 : i == 2 ? COMMIT_MESSAGE_TYPES : i == 3 ? COMMIT_ACCEPTED : m.type;
		m.blank = i == 3;
		m.decision = i == 4 ? COMMIT_COMMITTED + 1 : COMMIT_COMMITTED;
		m.accepted_value = i == 5 ? COMMIT_COMMITTED + 1 : COMMIT_COMMITTED;
		m.id.share = i == 6;
		m.reason = i == 7 ? 1 : m.reason;
		uint8_t *regions[] = {
		    &m.id.region, &m.version.region, &m.holds[0].region, &seen.stamp.region, &seen.version.region};
		for (uint32_t r = 0; r < 5; r++)
			*regions[r] = i == 8 + r ? REGIONS_MAX : REGIONS_MAX - 1;
		long size = commit_message_encode(&m, bytes, sizeof bytes);
		cr_assert_gt(size, 0);
		cr_assert_eq(commit_message_decode(&decoded, into, bytes, (size_t)size), i ? ERR_MALFORMED : 0, "%s", what[i]);
		bytes[size] = 0;
		cr_assert_eq(
		    commit_message_decode(&decoded, into, bytes, (size_t)size + 1), ERR_MALFORMED, "more than %s", what[i]);
	}
}

/* ---- queues ---- */

/* The first of three waits elsewhere for a version that is still to come, and is in line again when the second, whose
 * transaction is withdrawn, goes back: between it and the third. */
Test(faults, a20_who_comes_back_stands_where_it_stood)
{
	struct world *w = world_new(3);
	struct commit *c = w->regions[0].machine;
	world_put_without_0(w, 1, "a");
	struct commit_operation o = world_operation(COMMIT_PUT, "a", "first");
	o.condition = COMMIT_IF_VERSION;
	o.expected = world_answer(w, 1)->version;
	world_transaction(w, 0, 2, 7, 1, 1, &o);
	world_put(w, 0, 3, "a", "second");
	world_put(w, 0, 4, "a", "third");
	struct commit_message no = {.type = COMMIT_VOTE, .vote = COMMIT_NO, .reason = ERR_OVERLOADED};
	no.id = world_waiting(w, COMMIT_PREPARE).id;
	world_drop(w, 255, 255, 0);
	for (uint32_t i = 0; i < 20 && c->queued_keys < 2; i++)
		world_tick(w, 0, 5 * MS);
	cr_assert_eq(c->queued_keys, 2, "the first is not back");
	world_drop(w, 255, 255, 0);
	world_say(w, 1, 0, no);
	world_say(w, 2, 0, no);
	world_deliver(w, 3, COMMIT_WITHDRAW);
	world_deliver(w, 3, COMMIT_WITHDRAWN);
	struct commit_message next = world_waiting(w, COMMIT_PREPARE);
	struct commit_body body;
	cr_assert_eq(commit_body_open(&body, next.body, next.body_size), 0);
	cr_assert(!commit_id_equal(next.id, no.id) && body.request_count == 2);
	uint32_t at = body.requests_at;
	for (uint64_t i = 3; i <= 4; i++) {
		struct commit_request_name name;
		commit_body_request(&body, &at, &name);
		cr_assert_eq(name.client_id, 1000 + i);
	}
	world_free(w);
}

/* A bound is on the disk, and the lock of whatever took a stamp below it is not. After a restart with a clock that was set
 * back, stamps go on above the bound: so nothing is named twice. */
Test(faults, a20_stamps_go_on_above_the_stored_bound)
{
	struct world *w = world_new(3);
	struct commit_in_doubt before, after;
	w->regions[0].clock_ms = 3600000;
	w->regions[0].slow_disk = true;
	world_put(w, 0, 1, "a", "x");
	cr_assert_eq(commit_in_doubt(w->regions[0].machine, &before, 1), 1);
	cr_assert_eq(w->regions[0].entries[0].type, COMMIT_ENTRY_BOUND);
	world_sync_to(w, 0, 1);
	world_kill(w, 0);
	w->regions[0].clock_ms = 0;
	world_start(w, 0);
	cr_assert_eq(commit_in_doubt(w->regions[0].machine, &after, 1), 0);
	world_put(w, 0, 2, "a", "x");
	cr_assert_eq(commit_in_doubt(w->regions[0].machine, &after, 1), 1);
	cr_assert_gt(after.id.hlc, before.id.hlc);
	cr_assert_gt(after.id.hlc, bytes_get_u64(w->regions[0].entries[0].bytes));
	world_free(w);
}
