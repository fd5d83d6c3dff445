/* SPDX-License-Identifier: Apache-2.0
 *
 * libgodwit: write to any region, read from any region.
 *
 * A connection talks to one region. Each operation has a request number; what is not answered is sent again with the same
 * number (over a new connection if need be) until its deadline, so a write is applied at most once however often it is sent.
 * When the deadline passes the outcome is GW_UNKNOWN: it may have happened. A refusal (codes of core/error.h whose exit code is
 * 3, and CHECK_FAILED) is certain: not applied. Not thread-safe; one connection a thread. */
#ifndef GODWIT_CLIENT_ADMIN_H
#define GODWIT_CLIENT_ADMIN_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GW_VERSION_SIZE_MAX 188 /* an encoded version vector, and one dot beyond it */

struct gw_connection;
struct gw_options {
	const char *endpoint;  /* "tcp://127.0.0.1:7400" */
	const char *key_dir;   /* holds client.secret, client.public and REGION.public; see docs/operating.md */
	const char *region;    /* whose public key to expect */
	uint32_t timeout_ms;   /* deadline of an operation; 0: 5000 */
	uint32_t pipeline_max; /* operations without an answer; beyond it submit says GW_FULL; 0: 1024 */
	uint32_t batch_max;    /* operations a message, 4096 at most; 0: 256 */
};

/* An outcome: 0, or a negative code of core/error.h. Those that programs decide by: */
enum gw_code {
	GW_OK = 0,
	GW_NOT_FOUND = -1,
	GW_CHECK_FAILED = -2,
	GW_OVERLOADED = -9,
	GW_NO_QUORUM = -12,
	GW_UNKNOWN = -15, /* it may have happened; so with GW_EXPIRED */
	GW_UNREACHABLE = -16,
	GW_FULL = -22,
	GW_EXPIRED = -28,
	GW_ROW_DAMAGED = -29, /* this region's copy of the row cannot be read; another region's can */
};
const char *gw_error_name(int code);
const char *gw_error_text(int code);

/* error: at least 320 bytes, or NULL. */
int gw_connect(struct gw_connection **connection, const struct gw_options *options, char *error);
void gw_close(struct gw_connection *connection);

/* Leaves the region for another one. What has no answer yet is sent there under its number: of what had been sent before, a
 * strong keyspace applies it once in whatever regions it came to; other keyspaces cannot tell, the outcome is then unknown
 * (EXPIRED). Call client_poll before, for answers that are there already. On failure the connection stays where it was. */
int gw_move(struct gw_connection *connection, const char *endpoint, const char *region, char *error);

enum client_kind {
	CLIENT_PUT = 1,
	CLIENT_DELETE,
	CLIENT_GET,
	CLIENT_SCAN,
	CLIENT_DIGESTS,
	CLIENT_BUCKET,
	CLIENT_CONFLICTS,
	CLIENT_CONFLICT,
	CLIENT_REGION,
	CLIENT_TRANSACTION, /* all steps or none */
	CLIENT_IN_DOUBT,
	CLIENT_CHECK, /* a step only: writes nothing, holds the transaction to its condition */
};
/* Of a write or a check in a strong keyspace. */
enum gw_condition { GW_ALWAYS, GW_IF_ABSENT, GW_IF_VERSION };
/* Of a read; OWN: that of the keyspace, which others may only weaken. */
/* Of a read. STALE: whatever the region holds, even where it knows that its rows are incomplete and refuses every other read.
 */
enum gw_level { GW_LEVEL_OWN, GW_LEVEL_EVENTUAL, GW_LEVEL_SESSION, GW_LEVEL_CAUSAL, GW_LEVEL_STRONG, GW_LEVEL_STALE };

#define GW_STEPS_MAX 256

struct client_operation {
	enum client_kind kind;
	const char *keyspace; /* NULL: default */
	const void *key;
	size_t key_size;
	const void *value;
	size_t value_size;
	const void *version; /* PUT, DELETE: what was read, from a result's version; NULL: replace whatever the region holds */
	size_t version_size;
	const void *after;
	size_t after_size;
	uint32_t limit;
	uint64_t limit_id;
	uint32_t timeout_ms; /* 0: the connection's */
	enum gw_condition condition;
	const void *expected; /* IF_VERSION: from a result's version */
	size_t expected_size;
	enum gw_level level; /* GET, SCAN */
	/* TRANSACTION: PUT, DELETE and CHECK, each of another key; of each count kind, keyspace, key, value and condition. At
	 * most GW_STEPS_MAX, and about 1 MiB of keys and values. */
	const struct client_operation *steps;
	size_t step_count;
	void *user; /* comes back with the result */
};

struct client_result {
	uint64_t number;
	enum client_kind kind;
	void *user;
	int code;           /* 0, a refusal, ERR_UNKNOWN_OUTCOME (writes), ERR_UNREACHABLE (reads; writes never sent) */
	const char *reason; /* "" with code 0 */
	const uint8_t *value;
	size_t value_size;
	const uint8_t *version;
	size_t version_size;
	uint64_t hlc;
	uint32_t siblings;
	uint64_t submitted_ns, answered_ns; /* CLOCK_MONOTONIC */
	const void *answer; /* the whole decoded Godwit__Client__Answer (proto/client.pb-c.h); NULL without an answer */
};

/* Pipelined: submit copies what it needs; GW_FULL (ERR_FULL) when pipeline_max is reached; a value or key too large and a wrong
 * kind are refused here, at once, by the return code. Sending happens in poll and flush. */
int client_submit(struct gw_connection *connection, const struct client_operation *operation);
int gw_flush(struct gw_connection *connection);
/* Waits up to timeout_ms for results and calls `each` for every one, in whatever order they come; what result points to lives
 * until `each` returns. Returns the number of results. */
int client_poll(struct gw_connection *connection, uint32_t timeout_ms,
    void (*each)(void *context, const struct client_result *result), void *context);
uint32_t gw_pending(const struct gw_connection *connection);
/* For one thread with several connections: readable when client_poll may have something to do. Edge-triggered, and another one
 * after a reconnect: call client_poll with 0 until it returns 0, ask for the descriptor, wait for a few ms at most. -1: none.
 */
int gw_fd(const struct gw_connection *connection);

/* Blocking: one operation. The result's memory lives until the next call on the connection. Returns result->code. */
int client_call(struct gw_connection *connection, const struct client_operation *operation, struct client_result *result);
int client_put(struct gw_connection *connection, const char *keyspace, const void *key, size_t key_size, const void *value,
    size_t value_size, struct client_result *result);
int client_get(
    struct gw_connection *connection, const char *keyspace, const void *key, size_t key_size, struct client_result *result);
int client_delete(
    struct gw_connection *connection, const char *keyspace, const void *key, size_t key_size, struct client_result *result);

/* A transaction put together step by step, over strong keyspaces. */
struct gw_transaction;
int gw_begin_global_transaction(
    struct gw_connection *connection, uint32_t timeout_secs /* 0: 30 */, struct gw_transaction **transaction);
/* Copies the step. A step that is refused leaves the transaction as it was: ERR_FULL beyond GW_STEPS_MAX, ERR_VALUE_TOO_LARGE
 * beyond what one transaction may hold, ERR_USAGE for a key that it has already. */
int gw_add_operation(struct gw_transaction *transaction, const struct client_operation *step);
/* Blocking, with a result as of client_call: with 0 its version is that of every key written. Frees nothing: after a certain
 * refusal the same may be tried again. */
int gw_commit_global(struct gw_transaction *transaction, struct client_result *result);
void gw_transaction_free(struct gw_transaction *transaction);

/* Bytes sent and received on the connection's socket payloads, both directions. */
void gw_traffic(const struct gw_connection *connection, uint64_t *sent, uint64_t *received);

#ifdef __cplusplus
}
#endif
#endif
