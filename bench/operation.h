/* SPDX-License-Identifier: Apache-2.0
 *
 * One operation of the load: which keys it takes, what it does with them and on which condition; what its answer means for
 * what the client knows, and for the history. No connection and no clock. */
#ifndef GODWIT_BENCH_OPERATION_H
#define GODWIT_BENCH_OPERATION_H
#include "bench/seen.h"
#include "bench/workload.h"
#include "client/admin.h"

/* What is done with one key. A transaction has several, anything else one. */
struct step {
	uint64_t key;
	enum client_kind kind;      /* GET, PUT, DELETE; of a transaction also CHECK */
	struct seen_value expected; /* not known: no condition */
	char value[VALUE_ID_SIZE];  /* of a PUT */
};
struct operation {
	uint64_t start_ns;
	uint32_t next_free;
	uint32_t step_count;
	bool is_read, is_transaction;
	bool set_follows; /* a read whose answer a compare-and-set of the same key waits for */
	struct step *steps;
};
enum operation_end { OPERATION_OK, OPERATION_CHECK_FAILED, OPERATION_REFUSED, OPERATION_UNKNOWN, OPERATION_FAILED };

/* Decides what to do. With compare-and-sets no key gets a second operation of this client, and its keys are marked as busy
 * until operation_release; without, seen is not looked at and may be NULL. False: the keys at hand are all busy. */
bool operation_draw(struct operation *operation, const struct workload_options *options, const struct zipf *zipf,
    struct random *random, struct seen *seen);
void operation_release(const struct operation *operation, struct seen *seen);
/* The read was answered: it becomes the compare-and-set that waited for it. */
void operation_turn_to_set(struct operation *operation, const struct client_result *result);
bool operation_has_condition(const struct operation *operation);

enum operation_end operation_end_of(const struct operation *operation, const struct client_result *result);
/* What the client knows after it. */
void operation_learn(
    const struct operation *operation, const struct client_result *result, enum operation_end end, struct seen *seen);
/* One line; a transaction's condition is a get in front of the write, since it saw that value or did not take place. */
void operation_note(const struct operation *operation, const struct client_result *result, enum operation_end end,
    uint32_t client, const char *region, struct history *history);

#endif
