/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/router/router.h"

#include <string.h>

#include "core/version.h"

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

bool router_is_forwarded(const struct topology *topology, const struct request_operation *operation)
{
	switch (operation->kind) {
	case ROUTER_PUT:
	case ROUTER_DELETE:
	case ROUTER_TRANSACTION:
	case ROUTER_IN_DOUBT:
		return true;
	case ROUTER_GET:
		break;
	default:
		return false;
	}
	if (operation->level != ROUTER_OWN && operation->level != ROUTER_STRONG)
		return false;
	int keyspace = keyspace_find(topology, operation->keyspace);
	return keyspace >= 0 && topology->keyspaces[keyspace].level == LEVEL_STRONG && operation->key.size;
}

static bool is_permitted_in(const struct rights *rights, bool has_right, struct request_bytes keyspace)
{
	return has_right && rights_has_keyspace(rights, keyspace.bytes, keyspace.size);
}

bool router_is_permitted(const struct rights *rights, const struct request_operation *operation)
{
	const uint8_t *at = NULL;
	struct request_step step;
	if (!rights)
		return false;
	switch (operation->kind) {
	case ROUTER_PUT:
	case ROUTER_DELETE:
		return is_permitted_in(rights, rights->write, operation->keyspace);
	case ROUTER_GET:
	case ROUTER_SCAN:
	case ROUTER_DIGESTS:
	case ROUTER_BUCKET:
		return is_permitted_in(rights, rights->read, operation->keyspace);
	case ROUTER_TRANSACTION:
		while (request_step_next(operation, &at, &step) == 0)
			if (!is_permitted_in(rights, step.kind == ROUTER_CHECK ? rights->read : rights->write, step.keyspace))
				return false;
		return rights->read || rights->write;
	case ROUTER_CONFLICTS:
	case ROUTER_CONFLICT:
	case ROUTER_IN_DOUBT:
		return rights->admin;
	default:
		return true;
	}
}

void router_plan(struct router_plan *plan, const struct topology *topology, const struct rights *rights, const uint8_t *bytes,
    size_t size, uint32_t protocol)
{
	*plan = (struct router_plan){0};
	plan->code = request_open(&plan->request, bytes, size);
	if (!plan->code && !version_is_understood(plan->request.protocol, protocol))
		plan->code = ERR_WRONG_VERSION;
	if (!plan->code && (!plan->request.client_id || plan->request.operation_count > REQUEST_OPERATIONS_MAX))
		plan->code = ERR_MALFORMED;
	if (plan->code)
		return;
	struct request all = plan->request;
	struct request_operation operation;
	int code;
	while (!(code = request_next(&all, &operation))) {
		if (!router_is_permitted(rights, &operation))
			plan->unpermitted++;
		else if (router_is_forwarded(topology, &operation))
			plan->forwarded++;
		else if (++plan->others && operation.number > plan->others_number_max)
			plan->others_number_max = operation.number;
	}
	if (code != ERR_EMPTY)
		plan->code = code;
}

/* May the rows of this region, as they are, answer a read of that level? */
static int level_check(const struct keyspace *keyspace, const struct request_operation *operation, const char **reason)
{
	bool is_diagnosis = operation->kind == ROUTER_DIGESTS || operation->kind == ROUTER_BUCKET;
	if (operation->level > ROUTER_STALE) {
		*reason = "there is no such level";
		return ERR_MALFORMED;
	}
	if (is_diagnosis || operation->level == ROUTER_EVENTUAL || operation->level == ROUTER_STALE)
		return 0;
	if (keyspace->level == LEVEL_STRONG && operation->kind == ROUTER_SCAN &&
	    (operation->level == ROUTER_OWN || operation->level == ROUTER_STRONG))
		*reason = "a scan reads the rows of one region: in a strong keyspace ask for it with level eventual";
	else if (operation->level == ROUTER_STRONG)
		*reason = "a strong read needs a keyspace of level strong";
	else if (operation->level != ROUTER_OWN)
		*reason = "reads of level session and causal are not available in this version";
	else if (keyspace->level != LEVEL_EVENTUAL)
		*reason = "only eventual and strong keyspaces can be read in this version";
	else
		return 0;
	return ERR_LEVEL_UNAVAILABLE;
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
	*keyspace = (uint16_t)found;
	return level_check(&topology->keyspaces[found], operation, reason);
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

void router_answer_committed(struct answer *answer, const struct commit_row *row, uint8_t version[static COMMIT_VERSION_SIZE])
{
	commit_version_encode(row->version, version);
	answer->version = (struct request_bytes){version, COMMIT_VERSION_SIZE};
	answer->hlc = row->version.hlc;
	answer->siblings = row->live;
	answer->code = row->live ? 0 : ERR_NOT_FOUND;
	answer->value = (struct request_bytes){row->value, row->live ? row->value_size : 0};
}
