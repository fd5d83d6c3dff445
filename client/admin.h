/* SPDX-License-Identifier: Apache-2.0
 *
 * libgodwit for the programs of this tree: everything that a request can carry, administrative questions among it, and the
 * whole decoded answer. include/godwit.h has connections and codes, and the calls that applications use, which end up here.
 * Nothing of this is exported by the shared library. */
#ifndef GODWIT_CLIENT_ADMIN_H
#define GODWIT_CLIENT_ADMIN_H
#include <stdbool.h>

#include "include/godwit.h"

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
	 * most GW_OPERATIONS_MAX, and about 1 MiB of keys and values. */
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

/* As gw_submit_put and its kind: copies what it needs; GW_FULL when pipeline_max is reached; a value or key too large and a
 * wrong kind are refused here, at once, by the return code. Sending happens in client_poll and gw_flush. */
int client_submit(struct gw_connection *connection, const struct client_operation *operation);
/* As gw_poll: what a result points to lives until `each` returns. */
int client_poll(struct gw_connection *connection, uint32_t timeout_ms,
    void (*each)(void *context, const struct client_result *result), void *context);
/* Blocking: one operation. The result's memory lives until the next call on the connection. Returns result->code. */
int client_call(struct gw_connection *connection, const struct client_operation *operation, struct client_result *result);

#endif
