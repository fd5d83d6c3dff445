/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/router/router.h"

#include <string.h>

void router_plan(struct router_plan *plan, const uint8_t *bytes, size_t size, uint32_t protocol)
{
	*plan = (struct router_plan){0};
	plan->code = request_open(&plan->request, bytes, size);
	if (!plan->code && plan->request.protocol != protocol)
		plan->code = ERR_WRONG_VERSION;
	if (!plan->code && (!plan->request.client_id || plan->request.operation_count > REQUEST_OPERATIONS_MAX))
		plan->code = ERR_MALFORMED;
	if (plan->code)
		return;
	struct request all = plan->request;
	struct request_operation operation;
	int code;
	while (!(code = request_next(&all, &operation))) {
		if (router_is_write(operation.kind))
			plan->writes++;
		else
			plan->others++;
	}
	if (code != ERR_EMPTY)
		plan->code = code;
}

static int keyspace_find(const struct topology *topology, struct request_bytes name)
{
	if (!name.size)
		return 0;
	for (uint32_t i = 0; i < topology->keyspace_count; i++) {
		const char *known = topology->keyspaces[i].name;
		if (strlen(known) == name.size && !memcmp(known, name.bytes, name.size))
			return (int)i;
	}
	return -1;
}

int router_check(
    const struct topology *topology, const struct request_operation *operation, uint16_t *keyspace, const char **reason)
{
	*keyspace = 0;
	*reason = NULL;
	switch (operation->kind) {
	case ROUTER_CONFLICTS:
	case ROUTER_CONFLICT:
	case ROUTER_REGION:
		return 0;
	case ROUTER_GET:
		if (!operation->key.size)
			return ERR_KEY_TOO_LARGE;
		break;
	case ROUTER_BUCKET:
		if (operation->limit >= DIGEST_BUCKETS) {
			*reason = "there is no bucket of that number";
			return ERR_MALFORMED;
		}
		break;
	case ROUTER_SCAN:
	case ROUTER_DIGESTS:
		break;
	default:
		*reason = "this kind of operation is not known here";
		return ERR_UNSUPPORTED;
	}
	if (operation->key.size > KEY_SIZE_MAX || operation->after.size > KEY_SIZE_MAX)
		return ERR_KEY_TOO_LARGE;
	int found = keyspace_find(topology, operation->keyspace);
	if (found < 0)
		return ERR_UNKNOWN_KEYSPACE;
	if (topology->keyspaces[found].level != LEVEL_EVENTUAL) {
		*reason = "only eventual keyspaces can be read in this version";
		return ERR_LEVEL_UNAVAILABLE;
	}
	*keyspace = (uint16_t)found;
	return 0;
}

void router_version(const struct row *row, struct vector *version)
{
	*version = row->context;
	for (uint32_t i = 0; i < row->sibling_count; i++) {
		struct dot dot = row->siblings[i].dot;
		if (version->sequence[dot.region] < dot.sequence)
			version->sequence[dot.region] = dot.sequence;
	}
}

const struct sibling *router_winner(const struct row *row, enum strategy strategy, const uint32_t priority[static REGIONS_MAX])
{
	if (!row->sibling_count)
		return NULL;
	const struct sibling *winner = &row->siblings[row_winner(row, strategy, priority)];
	return winner->flags & RECORD_TOMBSTONE ? NULL : winner;
}

void router_answer_row(struct answer *answer, const struct row *row, enum strategy strategy,
    const uint32_t priority[static REGIONS_MAX], uint8_t version[static VECTOR_ENCODED_MAX])
{
	struct vector seen;
	router_version(row, &seen);
	answer->version = (struct request_bytes){version, vector_encode(&seen, version)};
	answer->siblings = row->sibling_count;
	if (row->sibling_count)
		answer->hlc = row->siblings[row_winner(row, strategy, priority)].hlc;
	const struct sibling *winner = router_winner(row, strategy, priority);
	if (!winner) {
		answer->code = ERR_NOT_FOUND;
		return;
	}
	answer->code = 0;
	answer->value = (struct request_bytes){winner->value, winner->value_size};
}
