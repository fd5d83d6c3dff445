/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads and writes of include/godwit.h, as operations of client/admin.h, and what comes back. */
#include "client/connection.h"

/* The public header names each code of the table. The two that applications know by another name, or not at all: */
#define GW_UNKNOWN_OUTCOME GW_UNKNOWN
#define GW_ALREADY_RUNS    ERR_ALREADY_RUNS
#define X(name, value, exit_code, outcome, text)                                                                               \
	_Static_assert((int)GW_##name == ERR_##name, #name " as in core/error.h");                                             \
	_Static_assert((int)GW_OUTCOME_##outcome == (int)ERROR_OUTCOME_##outcome, "outcomes as in core/error.h");
ERROR_TABLE(X)
#undef X
_Static_assert((int)GW_PUT == CLIENT_PUT && (int)GW_DELETE == CLIENT_DELETE && (int)GW_GET == CLIENT_GET &&
                   (int)GW_TRANSACTION == CLIENT_TRANSACTION && (int)GW_CHECK == CLIENT_CHECK,
    "kinds as in client/admin.h");
_Static_assert(GW_REASON_SIZE == sizeof((struct error_context *)NULL)->text, "room for each reason");

const char *gw_error_name(int code)
{
	return error_name(code);
}

const char *gw_error_text(int code)
{
	return error_text(code);
}

enum gw_outcome gw_outcome(int code)
{
	return (enum gw_outcome)error_outcome(code);
}

static struct gw_result result_public(const struct client_result *result)
{
	return (struct gw_result){.code = result->code,
	    .kind = (enum gw_kind)result->kind,
	    .user = result->user,
	    .reason = result->reason,
	    .value = {result->value, result->value_size},
	    .version = {result->version, result->version_size},
	    .hlc = result->hlc,
	    .submitted_ns = result->submitted_ns,
	    .answered_ns = result->answered_ns,
	    .siblings = result->siblings};
}

int call_public(struct gw_connection *c, const struct client_operation *operation, struct gw_result *result)
{
	struct client_result got;
	int code = client_call(c, operation, &got);
	if (result)
		*result = result_public(&got);
	return code;
}

static struct client_operation write_of(
    enum client_kind kind, struct gw_bytes key, struct gw_bytes value, const struct gw_write_options *options)
{
	struct client_operation operation = {
	    .kind = kind, .key = key.data, .key_size = key.size, .value = value.data, .value_size = value.size};
	if (options) {
		operation.keyspace = options->keyspace;
		operation.timeout_ms = options->timeout_ms;
		operation.condition = options->condition;
		operation.expected = options->expected.data;
		operation.expected_size = options->expected.size;
		operation.version = options->seen.data;
		operation.version_size = options->seen.size;
	}
	return operation;
}

static struct client_operation get_of(struct gw_bytes key, const struct gw_read_options *options)
{
	struct client_operation operation = {.kind = CLIENT_GET, .key = key.data, .key_size = key.size};
	if (options) {
		operation.keyspace = options->keyspace;
		operation.timeout_ms = options->timeout_ms;
		operation.level = options->level;
	}
	return operation;
}

int gw_put(struct gw_connection *connection, struct gw_bytes key, struct gw_bytes value, const struct gw_write_options *options,
    struct gw_result *result)
{
	struct client_operation operation = write_of(CLIENT_PUT, key, value, options);
	return call_public(connection, &operation, result);
}

int gw_delete(
    struct gw_connection *connection, struct gw_bytes key, const struct gw_write_options *options, struct gw_result *result)
{
	struct client_operation operation = write_of(CLIENT_DELETE, key, gw_data(NULL, 0), options);
	return call_public(connection, &operation, result);
}

int gw_get(
    struct gw_connection *connection, struct gw_bytes key, const struct gw_read_options *options, struct gw_result *result)
{
	struct client_operation operation = get_of(key, options);
	return call_public(connection, &operation, result);
}

int gw_submit_put(struct gw_connection *connection, struct gw_bytes key, struct gw_bytes value,
    const struct gw_write_options *options, void *user)
{
	struct client_operation operation = write_of(CLIENT_PUT, key, value, options);
	operation.user = user;
	return client_submit(connection, &operation);
}

int gw_submit_delete(struct gw_connection *connection, struct gw_bytes key, const struct gw_write_options *options, void *user)
{
	struct client_operation operation = write_of(CLIENT_DELETE, key, gw_data(NULL, 0), options);
	operation.user = user;
	return client_submit(connection, &operation);
}

int gw_submit_get(struct gw_connection *connection, struct gw_bytes key, const struct gw_read_options *options, void *user)
{
	struct client_operation operation = get_of(key, options);
	operation.user = user;
	return client_submit(connection, &operation);
}

struct taker {
	void (*each)(void *context, const struct gw_result *result);
	void *context;
};

static void result_pass(void *context, const struct client_result *result)
{
	const struct taker *taker = context;
	struct gw_result shown = result_public(result);
	taker->each(taker->context, &shown);
}

int gw_poll(struct gw_connection *connection, uint32_t timeout_ms, void (*each)(void *context, const struct gw_result *result),
    void *context)
{
	struct taker taker = {each, context};
	return client_poll(connection, timeout_ms, result_pass, &taker);
}
