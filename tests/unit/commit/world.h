/* SPDX-License-Identifier: Apache-2.0
 *
 * A few regions of the strong commit, moved by hand: every message waits until the test delivers or drops it, and every disk
 * syncs at once unless it is told not to. */
#ifndef GODWIT_TESTS_UNIT_COMMIT_WORLD_H
#define GODWIT_TESTS_UNIT_COMMIT_WORLD_H
#include <stdbool.h>
#include <stdint.h>

#include "actors/coordinator/commit/commit.h"

#define WORLD_REGIONS  5u
#define WORLD_ROWS     64u
#define WORLD_MESSAGES 4096u
#define WORLD_ANSWERS  256u
#define WORLD_SECOND   1000000000ull

struct world_row {
	bool used;
	char key[32], value[64];
	struct commit_row row;
};
struct world_entry {
	enum commit_entry type;
	bool streamed;
	uint8_t *bytes;
	size_t size;
};
struct world_region {
	struct commit *machine;
	bool up, slow_disk; /* slow: durable only when the test says so */
	uint32_t starts;
	struct world_entry *entries;
	uint32_t count, durable, applied, base;
	struct vector assigned; /* how many commits came by stream or went on it, whoever began the stream */
	struct world_row rows[WORLD_ROWS];
};
struct world_message {
	uint8_t from, to, type;
	uint8_t *bytes;
	size_t size;
};
struct world_answer {
	uint8_t region;
	uint64_t route;
	int code;
	struct commit_id version;
	char value[64];
};
struct world {
	uint32_t n, memory;
	uint64_t now_ns;
	struct world_region regions[WORLD_REGIONS];
	struct world_message messages[WORLD_MESSAGES];
	uint32_t message_count;
	struct world_answer answers[WORLD_ANSWERS];
	uint32_t answer_count;
	uint64_t appended_bytes;
};

struct world *world_new(uint32_t n);
struct world *world_new_forgetful(uint32_t n); /* remembers eight decisions of each kind */
void world_free(struct world *w);
void world_start(struct world *w, uint8_t region);
void world_kill(struct world *w, uint8_t region); /* what is not durable is gone */
void world_lose(struct world *w, uint8_t region); /* with its disk */
void world_sync(struct world *w, uint8_t region);
void world_put(struct world *w, uint8_t region, uint64_t route, const char *key, const char *value);
void world_transaction(struct world *w, uint8_t region, uint64_t route, uint64_t client, uint64_t number, uint32_t count,
    const struct commit_operation *operations);
/* The same of one operation, first sent age_ms ago. */
void world_repeat(struct world *w, uint8_t region, uint64_t route, uint64_t client, uint64_t number, uint64_t age_ms,
    const struct commit_operation *operation);
void world_get(struct world *w, uint8_t region, uint64_t route, const char *key);
struct commit_operation world_operation(enum commit_kind kind, const char *key, const char *value);
/* Delivers all, and what comes of it, that goes between regions of the mask; the rest stays. type 0: all. Returns how many. */
uint32_t world_deliver(struct world *w, uint32_t regions, uint8_t type);
uint32_t world_drop(struct world *w, uint8_t from, uint8_t to, uint8_t type); /* 255 and 0: any */
uint32_t world_pending(const struct world *w, uint8_t type);
void world_wait(struct world *w, uint32_t regions, uint64_t ns); /* timers run, messages between `regions` pass */
void world_streams(struct world *w); /* all that is on the disk of a region that is up reaches the others */
const struct world_answer *world_answer(const struct world *w, uint64_t route);  /* the newest; NULL */
const char *world_value(const struct world *w, uint8_t region, const char *key); /* as applied; NULL */
uint32_t world_in_doubt(const struct world *w, uint8_t region);

#endif
