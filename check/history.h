/* SPDX-License-Identifier: Apache-2.0
 *
 * A history: what clients asked and were told, as drivers record it, one JSON object a line.
 *
 *   client   text or number                      session  text or number; a client without one is its own session
 *   op       get put delete cas append txn       outcome  ok fail unknown
 *   key, value, expect   text or number; null or missing: no such key. Base64 in key_base64, value_base64, expect_base64.
 *   applied  cas only: whether it took place     start_ns, end_ns  of one clock; end_ns may be missing when unknown
 *   region   text or number, where it was asked
 *   hlc, region_id, sequence   of the version that a write made, where the driver knows it
 *   txn      a name, with "ops": a list of objects of op, key, value. A get of a list has a list as its value.
 *
 * Unknown members are ignored. A member that contradicts another, a time that runs back, a member given twice is refused: a
 * history that is half understood must not be judged.
 *
 * `fail` is certain: it did not take place and never will. `unknown` may take place at any time after its start, for ever.
 * No value is written twice to a key, apart from writes that failed. */
#ifndef GODWIT_CHECK_HISTORY_H
#define GODWIT_CHECK_HISTORY_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "check/names.h"

#define VALUE_ABSENT   0u /* number of the value of a key that is not there */
#define TIME_NEVER     INT64_MAX
#define LINE_SIZE_MAX  (64u * 1024 * 1024)
#define OPERATIONS_MAX (1u << 26)

enum operation_kind { OPERATION_GET, OPERATION_PUT, OPERATION_DELETE, OPERATION_CAS, OPERATION_APPEND, OPERATION_TRANSACTION };
enum outcome { OUTCOME_OK, OUTCOME_FAIL, OUTCOME_UNKNOWN };

/* One step of a transaction. */
struct access {
	enum operation_kind kind; /* get, put, delete, append */
	uint32_t key, value;
	uint32_t list_first, list_count; /* in history.list_values */
	bool is_list;                    /* a get that saw a list */
};
struct operation {
	int64_t start_ns, end_ns; /* end_ns is TIME_NEVER when unknown */
	enum operation_kind kind;
	enum outcome outcome;
	uint32_t client, session, region; /* region may be NAME_NONE */
	uint32_t key, value, expect;      /* not those of a transaction */
	uint32_t access_first, access_count;
	uint32_t file, line;
	bool applied; /* of a cas that is ok */
	bool has_version;
	uint8_t region_id;
	uint64_t hlc, sequence;
};
struct history {
	struct operation *operations;
	struct access *accesses;
	uint32_t *list_values;
	uint32_t count, capacity, access_count, access_capacity, list_count, list_capacity;
	struct names keys, values, clients, sessions, regions, files;
};

/* value_size_max: drivers may record only the beginning of each value, which is unique; all are cut to that size. 0: never. */
void history_init(struct history *history, size_t value_size_max);
void history_deinit(struct history *history);
/* One line. A blank one is skipped. file is for messages. ERR_MALFORMED with file, line and reason. */
int history_add_line(
    struct history *history, const char *file, uint32_t line, const char *bytes, size_t size, struct error_context *error);
/* Many lines. */
int history_add_text(struct history *history, const char *file, const char *bytes, size_t size, struct error_context *error);

/* Whether an operation may have written; whether it did for certain (a cas that found what it expected, an ok put). */
bool operation_may_write(const struct operation *operation);
bool operation_wrote(const struct operation *operation);

/* "run.jsonl:12 client 3 put k=v7 ok [105, 230]"; longer keys and values are cut. Returns out. */
#define DESCRIPTION_MAX 640
const char *operation_describe(
    const struct history *history, const struct operation *operation, char out[static DESCRIPTION_MAX]);
/* At most 48 bytes of a name, anything unprintable as '?'; "(none)" for VALUE_ABSENT. */
#define NAME_TEXT_MAX 64
const char *value_text(const struct history *history, uint32_t value, char out[static NAME_TEXT_MAX]);
const char *key_text(const struct history *history, uint32_t key, char out[static NAME_TEXT_MAX]);

/* What a region held at the end: lines of key and value as `godwit export` writes them. */
struct final_state {
	const char *file;
	uint32_t *keys, *values; /* numbers of the history's tables */
	uint32_t count, capacity;
};
int final_state_add_text(struct final_state *state, struct history *history, const char *file, const char *bytes, size_t size,
    struct error_context *error);
/* What was there before the history began: a write of each row, by nobody, at the beginning of time. */
void history_add_initial(struct history *history, const struct final_state *state);
void final_state_deinit(struct final_state *state);

#endif
