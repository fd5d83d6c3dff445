/* SPDX-License-Identifier: Apache-2.0
 *
 * The history of a run for checkers: one JSON object a line, in the order of the ends seen by each thread.
 *   {"client":3,"op":"put","key":"k000000000000017","value":"5f...","outcome":"ok","session":3,"region":"eu-west-1",
 *    "start_ns":..,"end_ns":..}
 * value: the first VALUE_ID_SIZE bytes, which are unique; null of a get that found nothing or failed. Times: CLOCK_MONOTONIC.
 * op cas has "expect", null for no such key, and, when ok, "applied"; op txn has "ops", a list of {"op","key","value"}, in
 * place of key and value. */
#ifndef GODWIT_BENCH_HISTORY_H
#define GODWIT_BENCH_HISTORY_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct history;
struct history_step {
	const char *op; /* get, put, delete */
	const char *key;
	const void *value; /* NULL: null */
	size_t value_size;
};
struct history_line {
	uint32_t client;
	const char *op; /* put, get, delete, cas, txn */
	const char *key;
	const void *value; /* NULL: null */
	size_t value_size;
	const void *expect; /* of a cas; NULL: null */
	size_t expect_size;
	bool applied;                     /* of a cas that is ok */
	const struct history_step *steps; /* of a txn */
	uint32_t step_count;
	const char *outcome; /* ok, fail, unknown */
	const char *region;
	uint64_t start_ns, end_ns;
};
int history_open(struct history **history, const char *path, struct error_context *error);
/* Any thread. */
void history_add(struct history *history, const struct history_line *line);
int history_close(struct history *history, uint64_t *lines, struct error_context *error);

#endif
