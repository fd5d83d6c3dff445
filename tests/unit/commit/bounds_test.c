/* SPDX-License-Identifier: Apache-2.0
 *
 * The machine at the ends of its tables and of one step. The codes are those of docs/testing.md. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/coordinator/commit/message.h"
#include "tests/unit/commit/world.h"

#define ALL       7u
#define LONG_KEY  "user/000000000000000000000000000000000000000000000001"
#define LARGE     900000u

static struct commit_operation operations[COMMIT_OPERATIONS_MAX];
static char keys[COMMIT_OPERATIONS_MAX][16];

static int code_of(const struct world *w, uint64_t route)
{
	const struct world_answer *a = world_answer(w, route);
	return a ? a->code : 1; /* 1: none yet */
}

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
	cr_assert_eq(code_of(w, 1), ERR_OK);
	world_drop(w, 255, 255, 0);
	uint32_t taken = 0, size = LARGE;
	for (uint32_t i = 0; i < 1000 && size; i++) {
		snprintf(keys[0], sizeof keys[0], "l%u", i);
		struct commit_operation o = world_operation(COMMIT_PUT, keys[0], NULL);
		o.value = (const uint8_t *)large;
		o.value_size = size;
		world_transaction(w, 1, 1000 + i, 1000 + i, 1, 1, &o);
		if (code_of(w, 1000 + i) == ERR_OVERLOADED)
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
