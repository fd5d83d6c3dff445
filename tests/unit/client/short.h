/* SPDX-License-Identifier: Apache-2.0
 *
 * client_call in one line, for tests that ask for one key after another. */
#ifndef GODWIT_TESTS_UNIT_CLIENT_SHORT_H
#define GODWIT_TESTS_UNIT_CLIENT_SHORT_H
#include "client/admin.h"

static inline int client_put(struct gw_connection *c, const char *keyspace, const void *key, size_t key_size, const void *value,
    size_t value_size, struct client_result *result)
{
	struct client_operation operation = {.kind = CLIENT_PUT,
	    .keyspace = keyspace,
	    .key = key,
	    .key_size = key_size,
	    .value = value,
	    .value_size = value_size};
	return client_call(c, &operation, result);
}

static inline int client_get(
    struct gw_connection *c, const char *keyspace, const void *key, size_t key_size, struct client_result *result)
{
	struct client_operation operation = {.kind = CLIENT_GET, .keyspace = keyspace, .key = key, .key_size = key_size};
	return client_call(c, &operation, result);
}

static inline int client_delete(
    struct gw_connection *c, const char *keyspace, const void *key, size_t key_size, struct client_result *result)
{
	struct client_operation operation = {.kind = CLIENT_DELETE, .keyspace = keyspace, .key = key, .key_size = key_size};
	return client_call(c, &operation, result);
}

#endif
