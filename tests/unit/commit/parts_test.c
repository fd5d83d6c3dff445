/* SPDX-License-Identifier: Apache-2.0
 *
 * Parts of the machine by themselves, and reads rule by rule (A20): the arena, what is known below a stamp, who is asked and
 * when, and that all that was taken is given back. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "commit/state.h"
#include "tests/unit/commit/world.h"

/* ---- the arena ---- */

static size_t fill(struct arena *arena, size_t size, uint8_t **list)
{
	size_t count = 0;
	for (uint8_t *memory; (memory = arena_take(arena, size)); count++) {
		cr_assert(memory >= arena->bytes && memory + size <= arena->bytes + arena->size, "outside of the arena");
		cr_assert_eq((uintptr_t)memory % ARENA_BLOCK, 0);
		for (size_t i = 0; i < count; i++)
			cr_assert(list[i] + size <= memory || memory + size <= list[i], "two overlap");
		memset(memory, (int)count, size);
		list[count] = memory;
	}
	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < size; j++)
			cr_assert_eq(list[i][j], (uint8_t)i);
	return count;
}

Test(parts, a20_the_arena_is_used_to_the_last_block)
{
	struct arena arena = {0};
	uint8_t *list[64];
	cr_assert_eq(arena_init(&arena, 16 * ARENA_BLOCK), 0);
	static const struct {
		size_t size, count;
	} sizes[] = {{1, 16}, {256, 16}, {257, 8}, {512, 8}, {1024, 4}, {1025, 2}, {2048, 2}, {4096, 1}, {4097, 0}};
	for (uint32_t backwards = 0; backwards < 2; backwards++)
		for (uint32_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
			size_t count = fill(&arena, sizes[i].size, list);
			cr_assert_eq(count, sizes[i].count, "%zu of %zu bytes", count, sizes[i].size);
			if (count)
				cr_assert_eq(arena.used, 16 * ARENA_BLOCK);
			for (size_t j = 0; j < count; j++)
				arena_give(&arena, list[backwards ? count - 1 - j : j]);
			cr_assert_eq(arena.used, 0);
		}
	/* Those that are given back in between are joined with their own neighbours only. */
	for (size_t odd = 0; odd < 2; odd++) {
		cr_assert_eq(fill(&arena, 256, list), 16);
		for (size_t j = 0; j < 16; j++)
			if ((size_t)(list[j] - arena.bytes) / 256 % 2 == odd)
				arena_give(&arena, list[j]);
		cr_assert_null(arena_take(&arena, 512));
		cr_assert_eq(arena.used, 8 * ARENA_BLOCK);
		for (size_t j = 0; j < 16; j++)
			if ((size_t)(list[j] - arena.bytes) / 256 % 2 != odd)
				arena_give(&arena, list[j]);
		cr_assert_eq(arena.used, 0);
	}
	cr_assert_eq(fill(&arena, 4096, list), 1);
	arena_deinit(&arena);
}

#ifndef __SANITIZE_ADDRESS__ /* it keeps what was given back for a while, on purpose */
static long pages_mapped(void)
{
	long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");
	cr_assert(f && fscanf(f, "%ld", &pages) == 1);
	fclose(f);
	return pages;
}

Test(parts, a20_a_machine_gives_its_memory_back)
{
	world_free(world_new(3));
	long before = pages_mapped();
	for (int i = 0; i < 10; i++)
		world_free(world_new(3));
	/* Three arenas of 16 MiB each time, were they kept. */
	cr_assert_lt(pages_mapped() - before, 10 * 3 * (16 << 20) / 4096 / 4);
}
#endif

/* ---- what is known below a stamp ---- */

static struct commit_id at(uint64_t hlc)
{
	return (struct commit_id){.hlc = hlc};
}

struct below {
	const char *name;
	uint64_t stamp, previous, version; /* of the row */
	struct {
		uint64_t id, previous;
		bool writes, live;
	} history[3];
	uint64_t seen, seen_version;
	bool live, dead, committed, forgotten;
};
/* Of 50. */
static const struct below below[] = {
    {.name = "nothing was there"},
    {"one below", 40, 30, 40, .seen = 40, .seen_version = 40, .live = true},
    {"itself", 50, 40, 50, .seen = 40, .committed = true},
    {"itself, over what it does not know", 50, 50, 50, .committed = true},
    {"replaced by the next", 60, 50, 60, .committed = true},
    {"one above that replaced one below", 60, 40, 60, .seen = 40, .dead = true},
    {"one above that replaced another above", 60, 55, 60, .forgotten = true},
    {"one above that does not know", 60, 60, 60, .forgotten = true},
    {"a chain that ends below", 60, 55, 60, {{55, 40, true, true}}, .seen = 40, .dead = true},
    {"a chain that ends at it", 60, 55, 60, {{55, 50, true, true}}, .committed = true},
    {"the newest write below", 60, 55, 60, {{55, 45, true, true}, {45, 40, false, false}, {40, 30, true, true}}, .seen = 45,
        .seen_version = 40, .live = true, .dead = true},
    {"a deletion below", 60, 55, 60, {{55, 45, true, true}, {45, 40, true, false}, {40, 30, true, true}}, .seen = 45,
        .seen_version = 45, .dead = true},
    {"in any order", 60, 55, 60, {{40, 30, true, false}, {45, 40, true, true}, {55, 45, true, true}}, .seen = 45,
        .seen_version = 45, .live = true, .dead = true},
    {"checked since", 60, 50, 40, .seen_version = 40, .live = true, .committed = true},
    {"itself, long ago", 60, 58, 60, {{50, 40, true, true}}, .seen = 40, .committed = true, .forgotten = true},
};

Test(parts, a20_what_is_known_below_a_stamp)
{
	for (uint32_t i = 0; i < sizeof below / sizeof *below; i++) {
		const struct below *b = &below[i];
		struct world *w = world_new(3);
		struct commit *c = w->regions[0].machine;
		struct key key = {.hash = 77};
		key.row = (struct commit_row){
		    .stamp = at(b->stamp), .previous = at(b->previous), .version = at(b->version), .live = b->version != 0};
		for (uint32_t j = 0; j < 3 && b->history[j].id; j++)
			history_add(c, key.hash, at(b->history[j].id), at(b->history[j].previous), b->history[j].writes,
			    b->history[j].live);
		history_add(c, key.hash + 1, at(49), at(48), true, true);              /* another key */
		history_add(c, key.hash + c->memory_size, at(48), at(47), true, true); /* and one in the same bucket */
		struct commit_seen seen;
		struct proof proof = {0};
		history_below(c, &key, at(50), &seen, &proof);
		cr_assert_eq(seen.stamp.hlc, b->seen, "%s: stamp %u", b->name, (unsigned)seen.stamp.hlc);
		cr_assert_eq(seen.version.hlc, b->seen_version, "%s: version %u", b->name, (unsigned)seen.version.hlc);
		cr_assert_eq(seen.live, b->live, "%s", b->name);
		cr_assert_eq(proof.dead, b->dead, "%s", b->name);
		cr_assert_eq(proof.committed, b->committed, "%s", b->name);
		cr_assert_eq(proof.forgotten, b->forgotten, "%s", b->name);
		world_free(w);
	}
}

Test(parts, a20_who_replaced_a_version)
{
	struct world *w = world_new(3);
	struct commit *c = w->regions[0].machine;
	struct key key = {.hash = 77, .row = {.stamp = at(60), .previous = at(55), .version = at(60), .live = true}};
	struct commit_id shared = {.hlc = 55, .share = 3};
	cr_assert(history_replaced(c, &key, at(55)));
	cr_assert(history_replaced(c, &key, shared));
	cr_assert(!history_replaced(c, &key, at(60)));
	cr_assert(!history_replaced(c, &key, at(50)));
	history_add(c, 78, at(55), at(50), true, true);
	cr_assert(!history_replaced(c, &key, at(50)), "another key's");
	history_add(c, 77, at(55), at(50), false, false);
	cr_assert(history_replaced(c, &key, at(50)), "checked, then replaced");
	history_add(c, 77, at(45), at(45), true, true);
	cr_assert(!history_replaced(c, &key, at(45)), "by itself");
	key.row.version = at(50);
	cr_assert(!history_replaced(c, &key, at(50)), "checked only");
	key.row.previous = at(60);
	key.row.version = at(60);
	cr_assert(!history_replaced(c, &key, at(60)), "one that does not know what it replaced");
	world_free(w);
}

/* ---- reads ---- */

Test(parts, a20_reads_that_are_refused)
{
	struct world *w = world_new_with(3, &(struct commit_options){.reads = 4});
	static char key[KEY_SIZE_MAX + 2];
	world_get(w, 0, 1, "");
	cr_assert_eq(world_code(w, 1), ERR_KEY_TOO_LARGE);
	memset(key, 'k', KEY_SIZE_MAX + 1);
	world_get(w, 0, 2, key);
	cr_assert_eq(world_code(w, 2), ERR_KEY_TOO_LARGE);
	key[KEY_SIZE_MAX] = 0;
	world_get(w, 0, 3, key);
	cr_assert_eq(world_code(w, 3), 1);
	world_deliver(w, ALL, 0);
	cr_assert_eq(world_code(w, 3), ERR_NOT_FOUND);
	world_peers(w, 0, 1);
	world_get(w, 0, 4, "a");
	cr_assert_eq(world_code(w, 4), ERR_NO_QUORUM);
	world_peers(w, 0, 3);
	for (uint64_t route = 10; route < 14; route++) {
		world_get(w, 0, route, "a");
		cr_assert_eq(world_code(w, route), 1);
	}
	world_get(w, 0, 14, "a");
	cr_assert_eq(world_code(w, 14), ERR_OVERLOADED);
	world_deliver(w, 3, 0);
	for (uint64_t route = 10; route < 14; route++)
		cr_assert_eq(world_code(w, route), ERR_NOT_FOUND);
	world_get(w, 0, 15, "a");
	world_deliver(w, 3, 0);
	cr_assert_eq(world_code(w, 15), ERR_NOT_FOUND, "no place was given back");
	world_free(w);
}

/* A region counts once, and only for the question that this start of this region asked. */
Test(parts, a20_a_reply_counts_once)
{
	struct world *w = world_new(5);
	world_get(w, 0, 1, "a");
	struct commit_message ask = world_waiting(w, COMMIT_ASK);
	world_drop(w, 255, 255, 0);
	struct commit_message told = {.type = COMMIT_TOLD, .id = {.region = 1}, .read = ask.read, .ballot = ask.ballot};
	world_say(w, 1, 0, told);
	world_say(w, 1, 0, told);
	world_say(w, 1, 0, told);
	cr_assert_eq(world_code(w, 1), 1);
	told.ballot++;
	world_say(w, 2, 0, told);
	told.ballot--;
	told.read += 1u << 16;
	world_say(w, 2, 0, told);
	told.read -= 1u << 16;
	told.read++;
	world_say(w, 2, 0, told);
	told.read = 0xffff;
	world_say(w, 2, 0, told);
	cr_assert_eq(world_code(w, 1), 1);
	/* Asked again in time: who has not replied. */
	for (int i = 0; i < 15 && !world_pending(w, COMMIT_ASK); i++)
		world_tick(w, 0, 10 * MS);
	cr_assert_eq(world_pending(w, COMMIT_ASK), 3);
	cr_assert_eq(world_drop(w, 0, 1, COMMIT_ASK), 0, "asked though it has replied");
	told.read = ask.read;
	world_say(w, 2, 0, told);
	cr_assert_eq(world_code(w, 1), ERR_NOT_FOUND);
	world_free(w);
}

/* The newest version of a majority, in whatever order it comes; deleted is not found. */
Test(parts, a20_a_read_takes_the_newest)
{
	for (uint32_t i = 0; i < 8; i++) {
		struct world *w = world_new(3);
		bool live = i & 1, first = i & 2, share = i & 4;
		world_get(w, 0, 1, "a");
		struct commit_message ask = world_waiting(w, COMMIT_ASK);
		cr_assert(ask.key_size == 1 && ask.key[0] == 'a');
		world_drop(w, 255, 255, 0);
		w->regions[0].machine->reads[ask.read & 0xffff].replies = 0; /* as if its own row could not be read */
		struct commit_message told[2];
		for (uint32_t j = 0; j < 2; j++)
			told[j] = (struct commit_message){.type = COMMIT_TOLD,
			    .id = {.region = (uint8_t)(1 + j)},
			    .read = ask.read,
			    .ballot = ask.ballot,
			    .version = {.hlc = share ? 20 : 10 + 10 * j, .share = (uint16_t)(share ? j : 1 - j)},
			    .live = j == 0 || live,
			    .value = (const uint8_t *)(j ? "new" : "old"),
			    .value_size = j == 0 || live ? 3 : 0};
		world_say(w, (uint8_t)(1 + !first), 0, told[!first]);
		cr_assert_eq(world_code(w, 1), 1);
		world_say(w, (uint8_t)(1 + first), 0, told[first]);
		cr_assert_eq(world_code(w, 1), live ? ERR_OK : ERR_NOT_FOUND, "%u", i);
		if (live)
			cr_assert_str_eq(world_answer(w, 1)->value, "new");
		world_timer(w, 0);
		cr_assert_eq(w->regions[0].machine->arena.used, 0, "%u: a value is kept", i);
		world_free(w);
	}
}

/* Whichever ends first, the others end in their time: not before, and not never. */
Test(parts, a20_reads_end_in_any_order)
{
	for (uint64_t ends = 1; ends <= 3; ends++) {
		struct world *w = world_new(3);
		struct commit_message ask[4] = {0};
		for (uint64_t route = 1; route <= 3; route++) {
			world_get(w, 0, route, "a");
			ask[route] = world_waiting(w, COMMIT_ASK);
		}
		world_drop(w, 255, 255, 0);
		world_say(w, 1, 0,
		    (struct commit_message){
		        .type = COMMIT_TOLD, .id = {.region = 1}, .read = ask[ends].read, .ballot = ask[ends].ballot});
		cr_assert_eq(world_code(w, ends), ERR_NOT_FOUND);
		world_get(w, 0, 4, "a");
		for (int i = 0; i < 19; i++) {
			world_tick(w, 0, 100 * MS);
			world_drop(w, 255, 255, 0);
		}
		for (uint64_t route = 1; route <= 4; route++)
			cr_assert_eq(
			    world_code(w, route), route == ends ? ERR_NOT_FOUND : 1, "%u ended too soon", (unsigned)route);
		world_tick(w, 0, 100 * MS);
		for (uint64_t route = 1; route <= 4; route++)
			cr_assert_eq(
			    world_code(w, route), route == ends ? ERR_NOT_FOUND : ERR_NO_QUORUM, "%u", (unsigned)route);
		const struct commit *c = w->regions[0].machine;
		cr_assert(c->read_oldest == NOBODY && c->read_newest == NOBODY && c->key_count == 0);
		world_free(w);
	}
}

/* One that waits in its own region's line leaves it when others have answered. */
Test(parts, a20_a_read_leaves_its_own_line)
{
	struct world *w = world_new(3);
	world_put(w, 2, 50, "a", "x");
	world_deliver(w, 5, COMMIT_PREPARE);
	world_drop(w, 255, 255, 0);
	world_get(w, 0, 1, "a");
	cr_assert_eq(w->regions[0].machine->waiting_read_count, 1);
	struct commit_message ask = world_waiting(w, COMMIT_ASK);
	world_drop(w, 255, 255, 0);
	for (uint8_t from = 1; from <= 2; from++)
		world_say(w, from, 0,
		    (struct commit_message){
		        .type = COMMIT_TOLD, .id = {.region = from}, .read = ask.read, .ballot = ask.ballot});
	cr_assert_eq(world_code(w, 1), ERR_NOT_FOUND);
	cr_assert_eq(w->regions[0].machine->waiting_read_count, 0);
	world_free(w);
}

/* Whatever is open here needs the timer: by itself alone too. With nothing there is none. */
Test(parts, a20_a_timer_while_something_is_open)
{
	struct world *w = world_new(3);
	struct commit_operation o = world_operation(COMMIT_PUT, "a", "x");
	for (uint8_t r = 0; r < 3; r++)
		cr_assert_eq(w->regions[r].timer_ns, 0);
	world_get(w, 0, 1, "a");
	cr_assert_neq(w->regions[0].timer_ns, 0, "a read");
	world_deliver(w, 3, COMMIT_ASK);
	cr_assert_eq(w->regions[1].timer_ns, 0, "it has replied");
	world_deliver(w, 3, COMMIT_TOLD);
	cr_assert_eq(w->regions[0].timer_ns, 0, "the read is over");
	world_drop(w, 255, 255, 0);
	world_transaction(w, 0, 2, 1002, 1, 1, &o);
	cr_assert_neq(w->regions[0].timer_ns, 0, "a request");
	world_deliver(w, 3, COMMIT_PREPARE);
	cr_assert_neq(w->regions[1].timer_ns, 0, "a transaction");
	world_deliver(w, ALL, 0);
	world_streams(w);
	for (uint8_t r = 0; r < 3; r++)
		cr_assert_eq(w->regions[r].timer_ns, 0, "%u", r);
	world_free(w);
}

/* ---- all that was taken ---- */

/* Some hundred transactions and reads of three regions on few keys, with messages lost and regions gone in between: at the end
 * nothing is kept. */
Test(parts, a20_all_is_given_back)
{
	static const char *const keys[] = {"a", "b", "c", "a key that is longer than what a slot holds of it by itself"};
	struct world *w = world_new(3);
	uint32_t random = 12345;
	for (uint64_t route = 1; route <= 400; route++) {
		random = random * 1103515245u + 12345u;
		uint32_t bits = random >> 8;
		uint8_t region = (uint8_t)(bits % 3);
		struct commit_operation o[2] = {
		    world_operation(bits & 64 ? COMMIT_PUT : COMMIT_DELETE, keys[bits >> 8 & 3], bits & 64 ? "value" : NULL),
		    world_operation(COMMIT_PUT, keys[(bits >> 8 & 3) ^ 1], "other")};
		o[0].condition = bits & 16 ? COMMIT_IF_ABSENT : COMMIT_ALWAYS;
		if (w->regions[region].up && bits & 32)
			world_get(w, region, 10000 + route, keys[bits >> 8 & 3]);
		else if (w->regions[region].up)
			world_transaction(w, region, route, 1000 + route, 1, 1 + (bits >> 7 & 1), o);
		if (bits >> 12 & 1)
			world_drop(w, region, 255, (uint8_t)(1 + (bits >> 13) % (COMMIT_MESSAGE_TYPES - 1)));
		if (bits >> 17 & 1)
			world_wait(w, ALL, 20 * MS);
		if (route % 40 == 0)
			world_kill(w, (uint8_t)(route / 40 % 3));
		if (route % 40 == 15 && route > 40)
			world_start(w, (uint8_t)(route / 40 % 3));
		if (route % 20 == 0)
			world_streams(w);
	}
	for (uint8_t r = 0; r < 3; r++)
		if (!w->regions[r].up)
			world_start(w, r);
	for (int i = 0; i < 10; i++) {
		world_wait(w, ALL, 2 * WORLD_SECOND);
		world_streams(w);
	}
	world_wait(w, ALL, WORLD_SECOND);
	for (uint8_t r = 0; r < 3; r++) {
		const struct commit *c = w->regions[r].machine;
		cr_assert_eq(c->transaction_count, 0, "%u: %u transactions", r, c->transaction_count);
		cr_assert_eq(c->request_count, 0, "%u: %u requests", r, c->request_count);
		cr_assert(c->read_oldest == NOBODY && c->waiting_read_count == 0);
		cr_assert_eq(c->key_count, 0, "%u: %u keys", r, c->key_count);
		cr_assert_eq(c->held_keys, 0);
		cr_assert_eq(c->queued_keys, 0);
		cr_assert_eq(c->begun_count, 0);
		cr_assert_eq(c->arena.used + c->spare.used, 0, "%u: %llu bytes", r, (unsigned long long)c->arena.used);
		cr_assert_eq(c->look_free_count, c->look_count);
		cr_assert_eq(c->counts.contradictions, 0);
		cr_assert_eq(c->action_head, c->action_tail);
	}
	world_free(w);
}

/* ---- what is in the way of a recovery ---- */

/* b and t of five regions: coordinated by 0 and 1, each looked at with the promises of 2, 3 and 4; b has one YES of the two
 * that it needs. */
static bool b_waits_for_t(struct commit *c, void change(struct transaction *b, struct transaction *t))
{
	struct recovery *looks = calloc(2, sizeof *looks);
	struct transaction b = {
	    .id = {.hlc = 10, .region = 0}, .phase = PHASE_PROMISING, .promises = 28, .recovery = &looks[0]};
	struct transaction t = {
	    .id = {.hlc = 11, .region = 1}, .phase = PHASE_PROMISING, .promises = 28, .recovery = &looks[1]};
	looks[0].replies[2].yes = true;
	if (change)
		change(&b, &t);
	bool needs = needs_abort_of(c, &b, &t);
	free(looks);
	return needs;
}
static void second_yes(struct transaction *b, struct transaction *t)
{
	(void)t, b->recovery->replies[3].yes = true;
}
static void own_yes(struct transaction *b, struct transaction *t)
{
	(void)t, b->recovery->replies[0].yes = true;
}
static void not_promising(struct transaction *b, struct transaction *t)
{
	(void)t, b->phase = PHASE_ACCEPTING;
}
static void two_promises(struct transaction *b, struct transaction *t)
{
	(void)t, b->promises = 12, b->body.ack_all = true;
}
static void b_has_its_promise(struct transaction *b, struct transaction *t)
{
	(void)t, b->promises |= 2;
}
static void t_has_its_promise(struct transaction *b, struct transaction *t)
{
	(void)b, t->promises |= 2;
}
static void of_one_region(struct transaction *b, struct transaction *t)
{
	(void)b, t->id.region = 0;
}
static void accepted(struct transaction *b, struct transaction *t)
{
	(void)t, b->recovery->replies[4].accepted_ballot = 99;
}
static void given_up(struct transaction *b, struct transaction *t)
{
	(void)t, b->recovery->replies[4].withdrawn = true;
}
static void of_an_earlier_look(struct transaction *b, struct transaction *t)
{
	(void)t, b->recovery->replies[1].withdrawn = true;
}

Test(parts, a20_who_cannot_commit_before_another_is_aborted)
{
	struct world *w = world_new(5);
	struct commit *c = w->regions[2].machine;
	cr_assert(b_waits_for_t(c, NULL));
	cr_assert(b_waits_for_t(c, own_yes), "who has not promised has no vote");
	cr_assert(b_waits_for_t(c, of_an_earlier_look));
	cr_assert(!b_waits_for_t(c, second_yes), "it has what it needs");
	cr_assert(!b_waits_for_t(c, not_promising));
	cr_assert(!b_waits_for_t(c, two_promises), "no majority has replied");
	cr_assert(!b_waits_for_t(c, b_has_its_promise));
	cr_assert(!b_waits_for_t(c, t_has_its_promise));
	cr_assert(!b_waits_for_t(c, of_one_region));
	cr_assert(!b_waits_for_t(c, accepted));
	cr_assert(!b_waits_for_t(c, given_up));
	world_free(w);
}

/* Of three regions 1 coordinates it and 2 has voted: one of region 0 cannot get a vote any more, one of region 1 can. */
Test(parts, a20_what_is_passed_over)
{
	struct world *w = world_new(3);
	struct commit *c = w->regions[0].machine;
	struct recovery *look = calloc(1, sizeof *look);
	struct transaction t = {.id = {.hlc = 10, .region = 1}, .promises = 5, .voters = 4, .recovery = look};
	struct commit_id ours = {.hlc = 7, .region = 0}, theirs = {.hlc = 8, .region = 1}, old = {.hlc = 6, .region = 0};
	struct reply *zero = &look->replies[0], *one = &look->replies[1], *two = &look->replies[2];
	*zero = (struct reply){.hold_count = 2, .holds = {ours, theirs, old}};
	*one = (struct reply){.hold_count = 1, .holds = {old}};
	*two = (struct reply){.hold_count = 1, .holds = {ours}};
	t.over_count = 3;
	over_take(c, &t);
	cr_assert_eq(t.over_count, 1);
	cr_assert(is_over(&t, ours) && !is_over(&t, theirs) && !is_over(&t, old));
	/* Without that vote nobody is passed over; with one that a promise tells of, as before. */
	t.voters = 0;
	over_take(c, &t);
	cr_assert_eq(t.over_count, 0);
	two->yes = true;
	over_take(c, &t);
	cr_assert_eq(t.over_count, 1);
	two->yes = false;
	/* Who accepted its COMMIT keeps it as well, unless it may hold the other. */
	two->accepted_value = COMMIT_COMMITTED;
	over_take(c, &t);
	cr_assert_eq(t.over_count, 0, "2 may hold it");
	two->holds[0] = theirs;
	over_take(c, &t);
	cr_assert_eq(t.over_count, 1);
	two->hold_count = REPLY_HOLDS_MAX;
	over_take(c, &t);
	cr_assert(!is_over(&t, ours), "of a full list there may be more");
	/* A full list of its own. */
	t.voters = 4;
	for (uint64_t i = 0; i < REPLY_HOLDS_MAX; i++) {
		zero->holds[i] = (struct commit_id){.hlc = 20 + i};
		two->holds[i] = (struct commit_id){.hlc = 30 + i};
	}
	zero->hold_count = REPLY_HOLDS_MAX;
	over_take(c, &t);
	cr_assert_eq(t.over_count, COMMIT_HOLDS_MAX);
	free(look);
	world_free(w);
}

/* Whichever leaves the list of what is left for later, the others stay in it in their order, and the next is the last. */
Test(parts, a20_what_is_left_for_later_stays_in_order)
{
	enum { COUNT = 4 };
	for (uint32_t all = 0; all < 1u << COUNT; all++) {
		struct world *w = world_new(3);
		struct commit *c = w->regions[0].machine;
		for (uint32_t i = 0; i < COUNT; i++) {
			leave_for_later(c, &c->transactions[i], false);
			leave_for_later(c, &c->transactions[i], false); /* once */
		}
		for (uint32_t i = 0; i < COUNT; i++)
			if (all >> i & 1) {
				left_remove(c, &c->transactions[i]);
				left_remove(c, &c->transactions[i]);
			}
		leave_for_later(c, &c->transactions[COUNT], true);
		uint32_t at = c->left_oldest, older = NOBODY;
		for (uint32_t i = 0; i <= COUNT; i++) {
			if (all >> i & 1)
				continue;
			cr_assert_eq(at, i, "without %x: %u in the place of %u", all, at, i);
			cr_assert_eq(c->transactions[at].left_older, older);
			older = at;
			at = c->transactions[at].left_newer;
		}
		cr_assert(at == NOBODY && c->left_newest == COUNT);
		cr_assert(c->transactions[COUNT].yields && !c->transactions[0].yields);
		world_free(w);
	}
}
