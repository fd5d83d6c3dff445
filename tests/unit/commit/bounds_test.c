/* SPDX-License-Identifier: Apache-2.0
 *
 * The machine at the ends of its tables and of one step. The codes are those of docs/testing.md. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commit/message.h"
#include "tests/unit/commit/world.h"

#define LONG_KEY "user/000000000000000000000000000000000000000000000001"
#define LARGE    900000u

static struct commit_operation operations[COMMIT_OPERATIONS_MAX];
static char keys[COMMIT_OPERATIONS_MAX][16];

static void operations_of(uint32_t count, const char *prefix)
{
	for (uint32_t i = 0; i < count; i++) {
		snprintf(keys[i], sizeof keys[i], "%.8s%03u", prefix, i);
		operations[i] = world_operation(COMMIT_PUT, keys[i], "v");
	}
}

/* The body of the first PREPARE on its way; to be freed. */
static uint8_t *prepared_body(const struct world *w, struct commit_message *m)
{
	static struct commit_seen seen[COMMIT_OPERATIONS_MAX];
	for (uint32_t i = 0; i < w->message_count; i++) {
		const struct world_message *at = &w->messages[i];
		if (at->type != COMMIT_PREPARE)
			continue;
		cr_assert_eq(commit_message_decode(m, seen, at->bytes, at->size), 0);
		uint8_t *body = malloc(m->body_size);
		memcpy(body, m->body, m->body_size);
		m->body = body;
		return body;
	}
	abort(); /* no PREPARE */
}

/* The look has room for what others saw of 200 keys only if the keys were known when it began. What lies behind it are bodies
 * of other transactions. */
Test(bounds, A6_a_body_learnt_in_the_middle_of_a_look_overwrites_nothing)
{
	enum { KEYS = 200, OTHERS = 40 };
	static struct commit_seen seen[KEYS];
	struct world *w = world_new(3);
	struct commit_message prepare, m;
	operations_of(KEYS, "k");
	world_transaction(w, 0, 1, 7, 1, KEYS, operations);
	uint8_t *body = prepared_body(w, &prepare);
	world_drop(w, 255, 255, 0);
	m = (struct commit_message){.type = COMMIT_RECOVER, .id = prepare.id, .ballot = 16};
	world_inject(w, 0, 1, &m); /* without the body: as after a restart that found only a decision to abort */
	world_deliver(w, 3, COMMIT_RECOVER);
	for (uint32_t i = 0; i < 1000 && !world_pending(w, COMMIT_RECOVER); i++) {
		world_drop(w, 255, 255, 0);
		world_tick(w, 1, WORLD_SECOND / 50);
	}
	cr_assert_eq(world_pending(w, COMMIT_RECOVER), 2, "region 1 looks, by its own ballot");
	uint64_t ballot = 16 + 16 + 1;
	world_drop(w, 255, 255, 0);
	for (uint32_t j = 0; j < OTHERS; j++) {
		char prefix[16];
		snprintf(prefix, sizeof prefix, "x%u.", j);
		operations_of(20, prefix);
		world_transaction(w, 2, 100 + j, 70 + j, 1, 20, operations);
	}
	world_deliver(w, 6, COMMIT_PREPARE);
	struct commit_in_doubt list[OTHERS + 1];
	uint8_t *copies[OTHERS + 1] = {0};
	uint32_t count = commit_in_doubt(w->regions[1].machine, list, OTHERS + 1);
	cr_assert_eq(count, OTHERS + 1);
	for (uint32_t i = 0; i < count; i++)
		if (list[i].body.bytes)
			copies[i] = memcpy(malloc(list[i].body.size), list[i].body.bytes, list[i].body.size);
	m.body = body; /* late, and now it tells what it is about */
	m.body_size = prepare.body_size;
	world_inject(w, 0, 1, &m);
	world_deliver(w, 3, COMMIT_RECOVER);
	for (uint32_t i = 0; i < KEYS; i++)
		seen[i].stamp = seen[i].version = (struct commit_id){.hlc = 0x4141414141414141, .region = 1};
	m = (struct commit_message){
	    .type = COMMIT_PROMISED, .id = prepare.id, .ballot = ballot, .seen = seen, .seen_count = KEYS};
	world_inject(w, 2, 1, &m);
	world_deliver(w, 6, COMMIT_PROMISED);
	uint32_t changed = 0;
	for (uint32_t i = 0; i < count; i++)
		changed += copies[i] && memcmp(copies[i], list[i].body.bytes, list[i].body.size) != 0;
	cr_assert_eq(changed, 0, "%u bodies of other transactions are no longer what they were", changed);
	world_drop(w, 255, 255, 0);
	for (uint32_t i = 0; i < 1000 && !world_pending(w, COMMIT_RECOVER); i++)
		world_tick(w, 1, WORLD_SECOND / 50);
	cr_assert_gt(world_pending(w, COMMIT_RECOVER), 0, "it looks again, with the body");
	for (uint32_t i = 0; i < count; i++)
		free(copies[i]);
	free(body);
	world_free(w);
}

/* Region 1 has no byte left for bodies and values. A commit that comes by stream needs none. */
Test(bounds, A8_a_streamed_commit_with_a_long_key_meets_a_full_arena)
{
	struct world *w = world_new(3);
	char *large = malloc(LARGE);
	memset(large, 'x', LARGE);
	world_put(w, 0, 1, LONG_KEY, "one");
	world_deliver(w, 5, COMMIT_PREPARE);
	world_deliver(w, 5, COMMIT_VOTE);
	cr_assert_eq(world_code(w, 1), ERR_OK);
	world_drop(w, 255, 255, 0);
	uint32_t taken = 0, size = LARGE;
	for (uint32_t i = 0; i < 1000 && size; i++) {
		snprintf(keys[0], sizeof keys[0], "l%u", i);
		struct commit_operation o = world_operation(COMMIT_PUT, keys[0], NULL);
		o.value = (const uint8_t *)large;
		o.value_size = size;
		world_transaction(w, 1, 1000 + i, 1000 + i, 1, 1, &o);
		if (world_code(w, 1000 + i) == ERR_OVERLOADED)
			size /= 2;
		else
			taken++;
	}
	cr_assert(taken > 4 && size == 0, "%u taken, then all is full", taken);
	world_streams(w);
	cr_assert_str_eq(world_value(w, 1, LONG_KEY), "one");
	free(large);
	world_free(w);
}

static void all_ok(struct world *w, uint64_t route, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		cr_assert_eq(world_code(w, route + i), ERR_OK, "%u of %u: %d", i, count, world_code(w, route + i));
}

static void nothing_left(struct world *w, uint32_t regions)
{
	world_streams(w);
	for (uint8_t r = 0; r < w->n; r++) {
		if (!(regions & 1u << r))
			continue;
		cr_assert_eq(world_in_doubt(w, r), 0, "region %u has %u in doubt", r, world_in_doubt(w, r));
		cr_assert_eq(commit_held_keys(w->regions[r].machine), 0, "region %u holds keys", r);
	}
}

static void puts_of(struct world *w, uint8_t region, uint32_t count, uint64_t route)
{
	for (uint32_t i = 0; i < count; i++)
		world_put(w, region, route + i, keys[i], "x");
}

/* What region 1 knows to be committed by message only is noted when somebody wants the keys: all of them at once. */
Test(bounds, A1_a_transaction_over_many_keys_whose_commits_are_known_by_message)
{
	struct world *w = world_new_with(3, &(struct commit_options){.transactions = 1024});
	operations_of(COMMIT_OPERATIONS_MAX, "k");
	puts_of(w, 0, COMMIT_OPERATIONS_MAX, 1);
	world_deliver(w, ALL, 0);
	all_ok(w, 1, COMMIT_OPERATIONS_MAX);
	world_transaction(w, 1, 1000, 77, 1, COMMIT_OPERATIONS_MAX, operations);
	world_deliver(w, ALL, 0);
	cr_assert_eq(world_code(w, 1000), ERR_OK);
	cr_assert_eq(commit_counts(w->regions[1].machine)->noted, COMMIT_OPERATIONS_MAX);
	nothing_left(w, ALL);
	world_free(w);
}

/* The same with entries as large as they get: 48 commits of 256 keys, and one transaction that has a key of each. */
Test(bounds, A1_notes_of_many_large_commits_fit_the_scratch)
{
	enum { LARGE_ONES = 48 };
	struct world *w = world_new_with(3, &(struct commit_options){.transactions = 1024, .keys = 65536, .arena = 64u << 20});
	static char firsts[LARGE_ONES][16];
	for (uint32_t i = 0; i < LARGE_ONES; i++) {
		snprintf(firsts[i], sizeof firsts[i], "p%u.", i);
		operations_of(COMMIT_OPERATIONS_MAX, firsts[i]);
		world_transaction(w, 0, 1 + i, 100 + i, 1, COMMIT_OPERATIONS_MAX, operations);
		strcpy(firsts[i], keys[0]);
	}
	world_deliver(w, ALL, 0);
	all_ok(w, 1, LARGE_ONES);
	for (uint32_t i = 0; i < LARGE_ONES; i++)
		operations[i] = world_operation(COMMIT_PUT, firsts[i], "v");
	world_transaction(w, 1, 1000, 77, 1, LARGE_ONES, operations);
	world_deliver(w, ALL, 0);
	cr_assert_eq(world_code(w, 1000), ERR_OK);
	nothing_left(w, ALL);
	world_free(w);
}

/* An older transaction of another region takes the keys of 200 of this region's. */
Test(bounds, A1_one_prepare_wounds_many_transactions)
{
	enum { COUNT = 200 };
	struct world *w = world_new_with(3, &(struct commit_options){.transactions = 1024});
	operations_of(COUNT, "k");
	world_transaction(w, 1, 1000, 77, 1, COUNT, operations);
	w->now_ns += WORLD_SECOND / 100;
	puts_of(w, 0, COUNT, 1);
	world_deliver(w, 3, COMMIT_PREPARE);
	cr_assert_eq(commit_counts(w->regions[0].machine)->withdrawn, COUNT);
	cr_assert_eq(world_pending(w, COMMIT_WITHDRAW), 2 * COUNT);
	world_wait(w, ALL, WORLD_SECOND);
	cr_assert_eq(world_code(w, 1000), ERR_OK);
	all_ok(w, 1, COUNT);
	nothing_left(w, ALL);
	world_free(w);
}

/* Region 2 is asked to accept a transaction of a dead coordinator whose keys 200 of its own transactions hold. */
Test(bounds, A1_accepting_makes_many_own_transactions_yield)
{
	enum { COUNT = 200 };
	struct world *w = world_new_with(3, &(struct commit_options){.transactions = 1024});
	struct commit_message prepare;
	operations_of(COUNT, "k");
	world_transaction(w, 0, 1000, 77, 1, COUNT, operations);
	uint8_t *body = prepared_body(w, &prepare);
	world_drop(w, 255, 255, 0);
	puts_of(w, 2, COUNT, 1);
	world_inject(w, 1, 2,
	    &(struct commit_message){.type = COMMIT_ACCEPT,
	        .id = prepare.id,
	        .ballot = 17,
	        .decision = COMMIT_COMMITTED,
	        .body = body,
	        .body_size = prepare.body_size});
	world_deliver(w, 6, COMMIT_ACCEPT);
	cr_assert_eq(world_pending(w, COMMIT_BLOCKED), 1);
	cr_assert_eq(commit_counts(w->regions[2].machine)->withdrawn, COUNT);
	free(body);
	world_free(w);
}

/* The disk of region 1 stands still. Each of its 8192 clients has to be answered when its time is up, whatever messages have
 * come before. */
Test(bounds, A1_answers_have_room_when_messages_have_filled_the_actions)
{
	enum { CLIENTS = 8192 };
	struct world *w = world_new_with(3, &(struct commit_options){.transactions = 64, .requests = CLIENTS});
	world_put(w, 0, 1, "a", "one");
	struct commit_message prepare = world_waiting(w, COMMIT_PREPARE);
	world_deliver(w, 3, COMMIT_PREPARE);
	w->regions[1].slow_disk = true;
	world_put(w, 1, 2, "b", "one"); /* whatever is appended from here on is not on the disk */
	for (uint32_t i = 0; i < CLIENTS - 1; i++)
		world_put(w, 1, 100 + i, "a", "two");
	for (uint32_t i = 0; i < 50000; i++) {
		world_inject(w, 0, 1, &prepare);
		if (i % 1000 == 0)
			world_deliver(w, 3, COMMIT_PREPARE);
	}
	world_deliver(w, 3, COMMIT_PREPARE);
	w->now_ns += 3 * WORLD_SECOND;
	world_tick(w, 1, WORLD_SECOND);
	world_sync(w, 1);
	for (uint32_t i = 0; i < CLIENTS - 1; i++)
		cr_assert_neq(world_code(w, 100 + i), 1, "client %u is not answered", i);
	world_free(w);
}

/* ---- A4: undecided transactions of a coordinator that is gone for good fill the tables of the survivors ---- */

struct filling {
	const char *name;
	struct commit_options survivors, coordinator; /* capacities */
	uint32_t operations, value_size;
	bool apart;    /* each transaction is known to one survivor only */
	bool requests; /* clients of the survivors wait for the keys */
	uint32_t restarts;
	uint8_t gone; /* coordinators: 1, of 3 regions, or 2, of 5 */
};

static const char *prefix_of(uint8_t region, uint32_t count)
{
	static char prefix[16];
	snprintf(prefix, sizeof prefix, "%c%u.", 'a' + region, count);
	return prefix;
}

/* Until the survivors refuse. */
static uint32_t fill(struct world *w, const struct filling *f)
{
	char *value = calloc(1, f->value_size + 1);
	memset(value, 'v', f->value_size);
	uint32_t count = 0, refused = 0;
	for (; !refused; count++) {
		uint8_t from = (uint8_t)(count % f->gone);
		operations_of(f->operations, prefix_of(from, count));
		for (uint32_t i = 0; i < f->operations; i++) {
			operations[i].value = (const uint8_t *)value;
			operations[i].value_size = f->value_size;
		}
		world_transaction(w, from, 1 + count, 100 + count, 1, f->operations, operations);
		cr_assert_eq(world_code(w, 1 + count), 1, "a coordinator has room for more than the survivors (%u)", count);
		for (uint8_t r = f->gone; r < w->n; r++) {
			if (f->apart && count % 2 != r % 2)
				world_drop(w, from, r, COMMIT_PREPARE);
			uint32_t before = world_in_doubt(w, r);
			uint32_t sent = world_deliver(w, 1u << from | 1u << r, COMMIT_PREPARE);
			refused += world_in_doubt(w, r) != before + sent;
		}
		world_drop(w, 255, 255, 0);
	}
	free(value);
	return count;
}

static struct world *filled(struct filling *f, uint32_t *count)
{
	f->gone = f->gone ? f->gone : 1;
	struct world *w = world_new_with(2 * f->gone + 1, &f->survivors);
	struct commit_options small = w->options, *o = &w->options;
	o->transactions = f->coordinator.transactions ? f->coordinator.transactions : o->transactions;
	o->keys = f->coordinator.keys ? f->coordinator.keys : o->keys;
	o->arena = f->coordinator.arena ? f->coordinator.arena : o->arena;
	for (uint8_t r = 0; r < f->gone; r++) {
		world_kill(w, r);
		world_start(w, r);
	}
	w->options = small;
	*count = fill(w, f);
	cr_assert_gt(*count, 2);
	for (uint8_t r = 0; r < f->gone; r++)
		world_kill(w, r);
	return w;
}

static bool is_free(const struct world *w, uint8_t region)
{
	return !world_in_doubt(w, region) && !commit_held_keys(w->regions[region].machine);
}

static bool all_free(const struct world *w, uint8_t first)
{
	bool all = true;
	for (uint8_t r = first; r < w->n; r++)
		all &= is_free(w, r);
	return all;
}

static void survive(struct filling *f)
{
	uint32_t count, mask;
	struct world *w = filled(f, &count);
	mask = ((1u << w->n) - 1) & ~((1u << f->gone) - 1);
	for (uint32_t i = 0; f->requests && i < 3000; i++)
		world_put(w, f->gone + i % 2, 1000000 + i, i % 3 ? "a0.000" : "a1.000", "x");
	for (uint8_t r = 0; r < f->restarts; r++) {
		world_kill(w, f->gone + r);
		world_start(w, f->gone + r);
	}
	for (uint32_t s = 0; s < 120 && !all_free(w, f->gone); s++) {
		world_wait(w, mask, WORLD_SECOND / 2);
		world_streams(w);
	}
	for (uint8_t r = f->gone; r < w->n; r++) {
		cr_assert_eq(world_in_doubt(w, r), 0, "%s: %u of %u in doubt in %u", f->name, world_in_doubt(w, r), count, r);
		cr_assert_eq(commit_held_keys(w->regions[r].machine), 0, "%s: keys held in %u", f->name, r);
	}
	world_wait(w, mask, 6 * WORLD_SECOND);
	for (uint8_t r = f->gone; r < w->n; r++) {
		world_put(w, r, 2000000 + r, "a0.000", "new");
		world_wait(w, mask, WORLD_SECOND);
		cr_assert_eq(world_code(w, 2000000 + r), ERR_OK, "%s: %d in %u", f->name, world_code(w, 2000000 + r), r);
	}
	world_free(w);
}

static void survive_both(struct filling f)
{
	survive(&f);
	f.restarts = 1;
	survive(&f);
	f.restarts = 2;
	survive(&f);
}

Test(bounds, A4_full_of_keys)
{
	survive_both((struct filling){
	    .name = "keys", .survivors = {.keys = 8192}, .coordinator = {.keys = 32768}, .operations = COMMIT_OPERATIONS_MAX});
}

Test(bounds, A4_full_of_keys_that_one_survivor_knows)
{
	survive_both((struct filling){.name = "keys apart",
	    .survivors = {.keys = 8192},
	    .coordinator = {.keys = 32768},
	    .operations = COMMIT_OPERATIONS_MAX,
	    .apart = true});
}

Test(bounds, A4_full_of_transactions)
{
	survive_both((struct filling){
	    .name = "transactions", .survivors = {.transactions = 64}, .coordinator = {.transactions = 512}, .operations = 1});
}

Test(bounds, A4_full_of_transactions_that_one_survivor_knows)
{
	survive_both((struct filling){.name = "transactions apart",
	    .survivors = {.transactions = 64},
	    .coordinator = {.transactions = 512},
	    .operations = 1,
	    .apart = true});
}

Test(bounds, A4_full_arena)
{
	survive_both((struct filling){.name = "arena",
	    .survivors = {.keys = 32768, .arena = 1u << 20},
	    .coordinator = {.keys = 32768, .arena = 16u << 20},
	    .operations = 100,
	    .value_size = 60});
}

Test(bounds, A4_full_arena_that_one_survivor_knows)
{
	survive_both((struct filling){.name = "arena apart",
	    .survivors = {.keys = 32768, .arena = 1u << 20},
	    .coordinator = {.keys = 32768, .arena = 16u << 20},
	    .operations = 100,
	    .value_size = 60,
	    .apart = true});
}

Test(bounds, A4_full_of_keys_and_requests)
{
	survive_both((struct filling){.name = "keys and requests",
	    .survivors = {.keys = 8192},
	    .coordinator = {.keys = 32768},
	    .operations = COMMIT_OPERATIONS_MAX,
	    .requests = true});
}

Test(bounds, A4_full_of_keys_of_two_coordinators)
{
	survive_both((struct filling){.name = "five regions",
	    .survivors = {.keys = 8192},
	    .coordinator = {.keys = 32768},
	    .operations = COMMIT_OPERATIONS_MAX,
	    .gone = 2});
}

static bool no_row(void *user, uint16_t keyspace, const uint8_t *key, uint32_t key_size, struct commit_row *row)
{
	(void)user, (void)keyspace, (void)key, (void)key_size;
	*row = (struct commit_row){0};
	return true;
}

static bool replays(const struct world_region *region, uint32_t keys_capacity)
{
	static struct commit_effects effects;
	static const struct vector assigned;
	struct commit *machine;
	struct commit_options o = {.region = 1,
	    .regions = ALL,
	    .incarnation = 1,
	    .transactions = 256,
	    .requests = 64,
	    .reads = 64,
	    .keys = keys_capacity,
	    .memory = 4096,
	    .arena = 16u << 20,
	    .lookup = no_row,
	    .assigned = &assigned};
	cr_assert_eq(commit_new(&machine, &o, 0, 0), 0);
	for (uint32_t i = 0; i < region->count; i++) {
		const struct world_entry *entry = &region->entries[i];
		commit_step(machine,
		    &(struct commit_event){
		        .type = COMMIT_EVENT_REPLAY, .replay = {entry->type, entry->bytes, entry->size, i, entry->streamed}},
		    &effects);
	}
	bool good = commit_replayed(machine);
	commit_free(machine);
	return good;
}

/* Votes are in the log that smaller tables do not hold. */
Test(bounds, A4_a_start_that_would_forget_votes_fails)
{
	struct filling f = {.survivors = {.keys = 8192}, .coordinator = {.keys = 32768}, .operations = COMMIT_OPERATIONS_MAX};
	uint32_t count;
	struct world *w = filled(&f, &count);
	cr_assert(replays(&w->regions[1], 8192));
	cr_assert_not(replays(&w->regions[1], 4096));
	world_free(w);
}

/* 64 undecided, an arena without room and 8 places: nobody answers, and each has its turn all the same. */
Test(bounds, A4_looks_that_last_give_way)
{
	static struct commit_head head;
	struct filling f = {.survivors = {.keys = 32768, .arena = 1u << 20},
	    .coordinator = {.keys = 32768, .arena = 16u << 20},
	    .operations = 100,
	    .value_size = 60};
	uint32_t count, turns = 0;
	struct world *w = filled(&f, &count);
	uint32_t undecided = world_in_doubt(w, 1);
	struct commit_id *seen = calloc(undecided, sizeof *seen);
	world_wait(w, 0, 60 * WORLD_SECOND);
	for (uint32_t i = 0; i < w->regions[1].count; i++) {
		const struct world_entry *entry = &w->regions[1].entries[i];
		struct commit_body body;
		uint32_t at = 0;
		if (entry->type != COMMIT_ENTRY_PROMISE)
			continue;
		cr_assert_eq(commit_entry_open(entry->bytes, entry->size, &head, &body), 0);
		while (at < turns && !commit_id_equal(seen[at], head.id))
			at++;
		if (at == turns)
			seen[turns++] = head.id;
	}
	cr_assert(undecided > 32 && turns == undecided, "%u of %u had a turn", turns, undecided);
	free(seen);
	world_free(w);
}

Test(bounds, A4_the_tables_as_shipped, .timeout = 60)
{
	struct filling f = {.name = "as shipped",
	    .survivors = {.transactions = UINT32_MAX,
	        .requests = UINT32_MAX,
	        .reads = UINT32_MAX,
	        .keys = UINT32_MAX,
	        .memory = UINT32_MAX,
	        .arena = UINT64_MAX},
	    .coordinator = {.keys = 262144},
	    .operations = COMMIT_OPERATIONS_MAX};
	survive(&f);
	f.restarts = 1;
	survive(&f);
}

/* ---- A10: more own transactions on the keys than a reply has places for ---- */

Test(bounds, A10_a_recovery_goes_on_however_many_hold_the_keys)
{
	for (uint32_t count = 7; count <= 63; count += 8) {
		struct world *w = world_new(3);
		w->deadline_ns = 60 * WORLD_SECOND;
		operations_of(count, "k");
		world_transaction(w, 0, 1, 7, 1, count, operations);
		world_deliver(w, 3, COMMIT_PREPARE);
		world_drop(w, 255, 255, 0);
		world_kill(w, 0);
		puts_of(w, 2, count, 100);
		uint64_t begun_ns = w->now_ns;
		uint32_t done = 0;
		while (done < count && w->now_ns < begun_ns + 50 * WORLD_SECOND) {
			world_wait(w, 6, WORLD_SECOND / 50);
			for (done = 0; done < count && world_code(w, 100 + done) != 1;)
				done++;
		}
		all_ok(w, 100, count);
		uint64_t took_ms = (w->now_ns - begun_ns) / 1000000;
		cr_assert_leq(took_ms, 4000, "%u holders: %llu ms", count, (unsigned long long)took_ms);
		nothing_left(w, 6);
		world_free(w);
	}
}

/* ---- the budget of a piece of work ---- */

/* The most that one has added, and no less when a smaller one follows. */
Test(bounds, a20_a_piece_of_work_is_measured)
{
	struct world *w = world_new(3);
	const struct commit_counts *counts = commit_counts(w->regions[0].machine);
	cr_assert(counts->work_effects == 0 && counts->work_scratch == 0);
	world_put(w, 0, 1, "a", "one");
	cr_assert_eq(counts->work_effects, 2, "%u: the bound of stamps and the lock", (unsigned)counts->work_effects);
	uint64_t scratch = counts->work_scratch;
	cr_assert(scratch > 0 && scratch <= COMMIT_WORK_SCRATCH);
	world_get(w, 0, 2, "b");
	cr_assert_eq(counts->work_effects, 2);
	cr_assert_geq(counts->work_scratch, scratch);
	operations_of(10, "k");
	world_transaction(w, 0, 3, 7, 1, 10, operations);
	cr_assert_gt(counts->work_scratch, scratch, "ten operations need no more than one");
	world_free(w);
}
