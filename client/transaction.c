/* SPDX-License-Identifier: Apache-2.0
 *
 * Steps of transactions: what is refused before anything is sent, and the builder that keeps copies of them. */
#include <stdlib.h>
#include <string.h>

#include "client/connection.h"
#include "core/commit_entry.h"

#define TIMEOUT_SECS_DEFAULT 30u

_Static_assert(GW_OPERATIONS_MAX == COMMIT_OPERATIONS_MAX, "the public header says the same");

struct gw_transaction {
	struct gw_connection *connection;
	uint32_t timeout_ms;
	size_t step_count;
	struct client_operation steps[GW_OPERATIONS_MAX];
	void *copies[GW_OPERATIONS_MAX]; /* what each step points to */
};

int condition_check(const struct client_operation *o)
{
	if (o->condition > GW_IF_VERSION || (o->expected_size && o->condition != GW_IF_VERSION))
		return ERR_USAGE;
	if (o->condition == GW_IF_VERSION && (o->expected_size == 0 || o->expected_size > GW_VERSION_SIZE_MAX))
		return ERR_MALFORMED;
	return ERR_OK;
}

static int step_check(const struct client_operation *o)
{
	if (o->kind != CLIENT_PUT && o->kind != CLIENT_DELETE && o->kind != CLIENT_CHECK)
		return ERR_USAGE;
	if ((o->kind != CLIENT_PUT && o->value_size) || (o->kind == CLIENT_CHECK && o->condition == GW_ALWAYS))
		return ERR_USAGE;
	if (o->key_size == 0 || o->key_size > KEY_SIZE_MAX)
		return ERR_KEY_TOO_LARGE;
	if (o->value_size > VALUE_SIZE_MAX)
		return ERR_VALUE_TOO_LARGE;
	if (o->keyspace && strlen(o->keyspace) > CONNECTION_KEYSPACE_MAX)
		return ERR_UNKNOWN_KEYSPACE;
	return condition_check(o);
}

/* The transaction has to fit into one record of every region. */
int steps_check(const struct client_operation *steps, size_t count)
{
	size_t size = COMMIT_BODY_BEGIN_SIZE + COMMIT_REQUEST_NAME_SIZE + 2;
	if (count == 0 || count > GW_OPERATIONS_MAX)
		return ERR_USAGE;
	for (size_t i = 0; i < count; i++) {
		const struct client_operation *step = &steps[i];
		int code = step_check(step);
		if (code)
			return code;
		struct commit_operation stored = {.condition = (uint8_t)step->condition,
		    .key_size = (uint32_t)step->key_size,
		    .value_size = (uint32_t)step->value_size};
		size += commit_operation_size(&stored);
	}
	return size > COMMIT_BODY_MAX ? ERR_VALUE_TOO_LARGE : ERR_OK;
}

int gw_begin_global_transaction(struct gw_connection *connection, uint32_t timeout_secs, struct gw_transaction **transaction)
{
	*transaction = NULL;
	if (timeout_secs > UINT32_MAX / 1000)
		return ERR_USAGE;
	struct gw_transaction *t = calloc(1, sizeof *t);
	if (!t)
		return ERR_NO_MEMORY;
	t->connection = connection;
	t->timeout_ms = (timeout_secs ? timeout_secs : TIMEOUT_SECS_DEFAULT) * 1000;
	*transaction = t;
	return ERR_OK;
}

static const char *keyspace_of(const struct client_operation *step)
{
	return step->keyspace && *step->keyspace ? step->keyspace : "default";
}

static bool same_key(const struct client_operation *a, const struct client_operation *b)
{
	return a->key_size == b->key_size && memcmp(a->key, b->key, a->key_size) == 0 &&
	       strcmp(keyspace_of(a), keyspace_of(b)) == 0;
}

static const void *copy_part(uint8_t **at, const void *bytes, size_t size)
{
	const void *copy = *at;
	if (size)
		memcpy(*at, bytes, size);
	*at += size;
	return copy;
}

int gw_add_operation(struct gw_transaction *t, const struct gw_operation *operation)
{
	if (t->step_count == GW_OPERATIONS_MAX)
		return ERR_FULL;
	struct client_operation *kept = &t->steps[t->step_count];
	*kept = (struct client_operation){.kind = (enum client_kind)operation->kind,
	    .keyspace = operation->options.keyspace,
	    .key = operation->key.data,
	    .key_size = operation->key.size,
	    .value = operation->value.data,
	    .value_size = operation->value.size,
	    .condition = operation->options.condition,
	    .expected = operation->options.expected.data,
	    .expected_size = operation->options.expected.size};
	kept->keyspace = keyspace_of(kept);
	int code = steps_check(t->steps, t->step_count + 1);
	for (size_t i = 0; !code && i < t->step_count; i++)
		code = same_key(&t->steps[i], kept) ? ERR_USAGE : ERR_OK;
	if (code)
		return code;
	size_t keyspace_size = strlen(kept->keyspace) + 1;
	uint8_t *at = malloc(keyspace_size + kept->key_size + kept->value_size + kept->expected_size);
	if (!at)
		return ERR_NO_MEMORY;
	t->copies[t->step_count++] = at;
	kept->keyspace = copy_part(&at, kept->keyspace, keyspace_size);
	kept->key = copy_part(&at, kept->key, kept->key_size);
	kept->value = copy_part(&at, kept->value, kept->value_size);
	kept->expected = copy_part(&at, kept->expected, kept->expected_size);
	return ERR_OK;
}

static int step_add(struct gw_transaction *t, enum gw_kind kind, struct gw_bytes key, struct gw_bytes value,
    const struct gw_step_options *options)
{
	struct gw_operation operation = {.kind = kind, .key = key, .value = value};
	if (options)
		operation.options = *options;
	return gw_add_operation(t, &operation);
}

int gw_transaction_put(
    struct gw_transaction *transaction, struct gw_bytes key, struct gw_bytes value, const struct gw_step_options *options)
{
	return step_add(transaction, GW_PUT, key, value, options);
}

int gw_transaction_delete(struct gw_transaction *transaction, struct gw_bytes key, const struct gw_step_options *options)
{
	return step_add(transaction, GW_DELETE, key, gw_data(NULL, 0), options);
}

int gw_transaction_check(struct gw_transaction *transaction, struct gw_bytes key, const struct gw_step_options *options)
{
	return step_add(transaction, GW_CHECK, key, gw_data(NULL, 0), options);
}

static struct client_operation whole(const struct gw_transaction *t)
{
	return (struct client_operation){
	    .kind = CLIENT_TRANSACTION, .steps = t->steps, .step_count = t->step_count, .timeout_ms = t->timeout_ms};
}

int gw_commit_global(struct gw_transaction *t, struct gw_result *result)
{
	struct client_operation operation = whole(t);
	return call_public(t->connection, &operation, result);
}

int gw_submit_commit_global(struct gw_transaction *t, void *user)
{
	struct client_operation operation = whole(t);
	operation.user = user;
	return client_submit(t->connection, &operation);
}

void gw_transaction_free(struct gw_transaction *t)
{
	for (size_t i = 0; t && i < t->step_count; i++)
		free(t->copies[i]);
	free(t);
}
