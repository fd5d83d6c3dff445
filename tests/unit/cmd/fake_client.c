/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/cmd/fake_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define PENDING_MAX 4096u

void (*fake_answer)(
    const char *region, const struct client_operation *operation, struct client_result *result, Godwit__Client__Answer *answer);

struct gw_connection {
	char region[64];
	struct client_operation pending[PENDING_MAX];
	uint32_t count;
};

static void bytes_note(FILE *out, const char *name, const void *bytes, size_t size)
{
	if (size)
		fprintf(out, " %s=%.*s", name, (int)size, (const char *)bytes);
}

static void note(const struct gw_connection *c, const struct client_operation *o)
{
	static const char *const kinds[] = {[CLIENT_PUT] = "put",
	    [CLIENT_DELETE] = "delete",
	    [CLIENT_GET] = "get",
	    [CLIENT_SCAN] = "scan",
	    [CLIENT_DIGESTS] = "digests",
	    [CLIENT_BUCKET] = "bucket",
	    [CLIENT_CONFLICTS] = "conflicts",
	    [CLIENT_CONFLICT] = "conflict",
	    [CLIENT_REGION] = "region",
	    [CLIENT_TRANSACTION] = "transaction",
	    [CLIENT_IN_DOUBT] = "in_doubt",
	    [CLIENT_CHECK] = "check"};
	FILE *out = fopen("asked", "a");
	fprintf(out, "%s %s %s", c->region, kinds[o->kind], o->keyspace ? o->keyspace : "-");
	bytes_note(out, "key", o->key, o->key_size);
	bytes_note(out, "value", o->value, o->value_size);
	bytes_note(out, "after", o->after, o->after_size);
	if (o->limit)
		fprintf(out, " limit=%u", o->limit);
	if (o->limit_id)
		fprintf(out, " limit_id=%llu", (unsigned long long)o->limit_id);
	if (o->condition)
		fprintf(out, " condition=%d expected=%zu", (int)o->condition, o->expected_size);
	if (o->version_size)
		fprintf(out, " context=%zu", o->version_size);
	if (o->level)
		fprintf(out, " level=%d", (int)o->level);
	if (o->step_count)
		fprintf(out, " steps=%zu", o->step_count);
	fprintf(out, "\n");
	fclose(out);
}

static void answer(struct gw_connection *c, const struct client_operation *o, struct client_result *result)
{
	static Godwit__Client__Answer empty = GODWIT__CLIENT__ANSWER__INIT, one;
	one = empty;
	*result = (struct client_result){
	    .kind = o->kind, .user = o->user, .reason = "", .answer = &one, .submitted_ns = 1000000, .answered_ns = 3500000};
	note(c, o);
	fake_answer(c->region, o, result, &one);
}

const char *gw_error_name(int code)
{
	return error_name(code);
}

const char *gw_error_text(int code)
{
	return error_text(code);
}

int gw_connect(struct gw_connection **connection, const struct gw_options *options, char *error)
{
	(void)error;
	*connection = calloc(1, sizeof **connection);
	snprintf((*connection)->region, sizeof(*connection)->region, "%s", options->region);
	return 0;
}

void gw_close(struct gw_connection *connection)
{
	free(connection);
}

int client_submit(struct gw_connection *connection, const struct client_operation *operation)
{
	if (connection->count == PENDING_MAX)
		return GW_FULL;
	connection->pending[connection->count++] = *operation;
	return 0;
}

int gw_flush(struct gw_connection *connection)
{
	(void)connection;
	return 0;
}

uint32_t gw_pending(const struct gw_connection *connection)
{
	return connection->count;
}

int client_poll(struct gw_connection *connection, uint32_t timeout_ms,
    void (*each)(void *context, const struct client_result *result), void *context)
{
	struct client_result result;
	uint32_t count = connection->count;
	(void)timeout_ms;
	for (uint32_t i = 0; i < count; i++) {
		answer(connection, &connection->pending[i], &result);
		each(context, &result);
	}
	memmove(connection->pending, connection->pending + count, (connection->count - count) * sizeof connection->pending[0]);
	connection->count -= count;
	return (int)count;
}

int client_call(struct gw_connection *connection, const struct client_operation *operation, struct client_result *result)
{
	answer(connection, operation, result);
	return result->code;
}
