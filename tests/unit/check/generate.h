/* SPDX-License-Identifier: Apache-2.0
 *
 * Histories made up from a seed: of a store that keeps its promise, or of one that breaks it in one way. */
#ifndef GODWIT_TESTS_UNIT_CHECK_GENERATE_H
#define GODWIT_TESTS_UNIT_CHECK_GENERATE_H
#include "check/judge.h"

struct random {
	uint64_t state;
};
uint64_t random_next(struct random *random);
/* Below limit. */
uint32_t random_below(struct random *random, uint32_t limit);

/* A linearizable store of registers, and clients that each have one operation under way. */
enum register_mistake {
	MISTAKE_NONE,
	MISTAKE_STALE_GET,    /* a get sees the value before the last, written long ago */
	MISTAKE_LOST_PUT,     /* a put is acknowledged and does not happen */
	MISTAKE_APPLIED_FAIL, /* a put that fails happens */
	MISTAKE_NOWHERE,      /* a get sees a value that nobody wrote */
	MISTAKE_CAS_TWICE,    /* a cas succeeds on a value that is not there any more */
	MISTAKE_KINDS
};
struct register_plan {
	uint32_t operations, keys, clients;
	uint32_t unknown_percent, fail_percent, delete_percent, cas_percent;
	enum register_mistake mistake; /* once, half-way */
};
/* Adds to the history; *final, if not NULL, gets the store at the end. True when the mistake was made. */
bool generate_registers(uint64_t seed, const struct register_plan *plan, struct history *history, struct final_state *final);

/* Regions that replicate to each other, last writer wins; sessions that move about. */
struct replicas_plan {
	uint32_t operations, keys, sessions, regions, delete_percent;
	bool gate_off;  /* M11: a region applies a write before what it depends on */
	bool token_off; /* M10: a session goes on in a region that has not seen what it has */
	bool tie_off;   /* M6: equal stamps are won by whoever comes last */
	bool has_versions;
	struct final_state *finals; /* per region, or NULL */
};
void generate_replicas(uint64_t seed, const struct replicas_plan *plan, struct history *history);

/* Transactions, one after the other in an order that respects time. */
enum transaction_mistake {
	TRANSACTION_GOOD,
	TRANSACTION_STALE,      /* reads what was there a while ago, and goes on */
	TRANSACTION_SNAPSHOT,   /* snapshot isolation: reads as of its start, no two write the same key at once */
	TRANSACTION_LOST_WRITE, /* acknowledged, one of its writes does not happen */
};
struct transactions_plan {
	uint32_t transactions, keys, clients;
	bool lists; /* append and read lists, else registers */
	enum transaction_mistake mistake;
	uint32_t mistake_percent, unknown_percent, delete_percent; /* deletes of registers only */
};
void generate_transactions(uint64_t seed, const struct transactions_plan *plan, struct history *history);

/* Adds a line; the test fails when it cannot be read. */
void history_line(struct history *history, const char *format, ...) __attribute__((format(printf, 2, 3)));
void final_line(struct final_state *final, struct history *history, const char *file, const char *key, const char *value);

/* Of all checks, or of one by its name. */
enum verdict judged(const struct history *history, const struct judge_options *options, const char *check);

#endif
