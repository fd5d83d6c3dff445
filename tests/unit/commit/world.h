/* SPDX-License-Identifier: Apache-2.0
 *
 * A few regions of the strong commit, moved by hand: every message waits until the test delivers or drops it, and every disk
 * syncs at once unless it is told not to. */
#ifndef GODWIT_TESTS_UNIT_COMMIT_WORLD_H
#define GODWIT_TESTS_UNIT_COMMIT_WORLD_H
#include <stdbool.h>
#include <stdint.h>

#include "commit/commit.h"

#define ALL           7u /* bit mask of three regions */
#define MS            1000000ull
#define WORLD_REGIONS 7u
#define WORLD_VALUE   64u /* so much of a value is kept, with its end */
#define WORLD_SECOND  1000000000ull

struct world_row {
	bool damaged; /* cannot be read any more; what is applied to it does not change that */
	char *key, value[WORLD_VALUE];
	uint32_t key_size;
	struct commit_row row;
};
struct world_rows { /* open addressing: capacity is a power of two */
	struct world_row **places;
	uint32_t count, capacity;
};
struct world_entry {
	enum commit_entry type;
	bool streamed;
	uint32_t record; /* of a streamed one: which of all that were ever streamed */
	uint8_t *bytes;
	size_t size;
};
struct world_region {
	struct commit *machine;
	bool up, slow_disk; /* slow: durable only when the test says so */
	int64_t clock_ms;   /* its clock is ahead by so much */
	uint64_t timer_ns;  /* as its last step said */
	uint32_t starts;
	struct world_entry *entries;
	uint32_t count, capacity, durable, applied, base;
	uint64_t cut, forgotten_hlc, cut_bound; /* entries that world_trim took away; no stamp in them is larger */
	struct vector assigned;                 /* how many commits came by stream or went on it, whoever began the stream */
	bool *has;                              /* by record */
	uint32_t has_count;
	struct world_rows rows, trimmed; /* trimmed: what the entries that are cut had made */
};
struct world_message {
	uint8_t from, to, type;
	uint8_t *bytes;
	size_t size;
};
struct world_answer {
	uint8_t region;
	uint64_t route, arrived_ns;
	int code;
	struct commit_id version;
	char value[WORLD_VALUE];
};
struct world {
	uint32_t n;
	uint64_t now_ns;
	struct commit_options options; /* of the next starts: capacities and times */
	uint64_t deadline_ns;          /* of the next requests and reads, from then on: 2 s */
	bool ack_all;                  /* of the next requests */
	uint64_t arrived_ns;           /* of the next requests */
	uint64_t after;                /* of the next requests; 0: as read when they were first sent */
	bool moved;                    /* the next repeats were first sent to another region */
	struct world_region regions[WORLD_REGIONS];
	struct world_message *messages;
	uint32_t message_count, message_capacity;
	struct world_answer *answers;
	uint32_t answer_count, answer_capacity, record_count;
};

struct world *world_new(uint32_t n);
struct world *world_new_forgetful(uint32_t n); /* remembers eight decisions of each kind */
/* What is 0 in `options` is as in world_new, which has small tables; UINT32_MAX and UINT64_MAX: as shipped. */
struct world *world_new_with(uint32_t n, const struct commit_options *options);
void world_free(struct world *w);
void world_start(struct world *w, uint8_t region);
void world_start_damaged(struct world *w, uint8_t region, const char *key); /* with a row that cannot be read; NULL: none */
void world_kill(struct world *w, uint8_t region);                           /* what is not durable is gone */
void world_lose(struct world *w, uint8_t region);                           /* with its disk */
void world_sync(struct world *w, uint8_t region);
void world_sync_to(struct world *w, uint8_t region, uint32_t count); /* the first `count` entries, and no more */
/* Starts again with what the log has to keep, and no more. Only with all of it durable. */
void world_trim(struct world *w, uint8_t region);
void world_peers(struct world *w, uint8_t region, uint32_t mask);
void world_refuse(struct world *w, uint8_t region, int code);
void world_refuse_but_deletes(struct world *w, uint8_t region, int code);
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
/* As if `from` had sent it: waits with the others. */
void world_inject(struct world *w, uint8_t from, uint8_t to, const struct commit_message *message);
/* The newest of a type that waits, decoded (what it points to is good until the next call); type 0: there is none. */
struct commit_message world_waiting(const struct world *w, uint8_t type);
uint32_t world_drop(struct world *w, uint8_t from, uint8_t to, uint8_t type); /* 255 and 0: any */
uint32_t world_pending(const struct world *w, uint8_t type);
void world_timer(struct world *w, uint8_t region);
void world_wait(struct world *w, uint32_t regions, uint64_t ns); /* timers run, messages between `regions` pass */
void world_tick(struct world *w, uint8_t region, uint64_t ns);   /* time goes on, and that region's timer runs */
void world_streams(struct world *w); /* all that is on the disk of a region that is up reaches the others */
const struct world_answer *world_answer(const struct world *w, uint64_t route);      /* the newest; NULL */
const char *world_value(const struct world *w, uint8_t region, const char *key);     /* as applied; NULL */
struct world_row *world_row(const struct world *w, uint8_t region, const char *key); /* as applied; NULL: never met */
void world_damage(struct world *w, uint8_t region, const char *key);
uint32_t world_in_doubt(const struct world *w, uint8_t region);
int world_code(const struct world *w, uint64_t route); /* of the newest answer; 1: none yet */
/* `from` says that, and `to` hears it with all that waits of that type between the two. */
void world_say(struct world *w, uint8_t from, uint8_t to, struct commit_message message);
uint64_t world_ballot(uint64_t round, uint8_t region);
void world_put_without_0(struct world *w, uint64_t route, const char *key); /* committed by 1 and 2; 0 has not heard of it */
/* Streams pass; then these regions have nothing in doubt and hold no key. */
void world_expect_quiet(struct world *w, uint32_t regions);

#endif
