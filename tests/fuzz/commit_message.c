/* SPDX-License-Identifier: Apache-2.0
 *
 * Messages of the strong commit between regions: what is taken is within its limits and encoded to the same bytes again. */
#include "base/error.h"
#include "commit/message.h"
#include "tests/fuzz/fuzz.h"

static struct commit_seen seen[COMMIT_OPERATIONS_MAX];

static void body_walk(const struct commit_message *m)
{
	struct commit_body body;
	CHECK(m->body_size > 0 && m->body_size <= COMMIT_BODY_MAX);
	CHECK(commit_body_open(&body, m->body, m->body_size) == 0);
	uint32_t at = body.operations_at;
	for (uint32_t i = 0; i < body.operation_count; i++) {
		struct commit_operation operation;
		commit_body_operation(&body, &at, &operation);
		bytes_touch(operation.key, operation.key_size);
		bytes_touch(operation.value, operation.value_size);
	}
	CHECK(at == body.size);
}

static void check_limits(const struct commit_message *m)
{
	CHECK(m->type > 0 && m->type < COMMIT_MESSAGE_TYPES && m->vote <= COMMIT_ABSTAIN && m->reason <= 0);
	CHECK(m->decision <= COMMIT_COMMITTED && m->accepted_value <= COMMIT_COMMITTED);
	CHECK(m->id.region < REGIONS_MAX && !m->id.share && m->version.region < REGIONS_MAX);
	CHECK(m->hold_count <= COMMIT_HOLDS_MAX && m->seen_count <= COMMIT_OPERATIONS_MAX);
	CHECK(m->key_size <= KEY_SIZE_MAX && m->value_size <= VALUE_SIZE_MAX);
	CHECK(!m->seen_count == !m->seen && !m->body_size == !m->body);
	CHECK(m->body || (m->type != COMMIT_PREPARE && m->type != COMMIT_KNOWN));
	CHECK(m->type != COMMIT_ASK || (m->key_size > 0 && m->keyspace < KEYSPACES_MAX));
	for (uint32_t i = 0; i < m->hold_count; i++)
		CHECK(m->holds[i].region < REGIONS_MAX);
	for (uint32_t i = 0; i < m->seen_count; i++)
		CHECK(m->seen[i].stamp.region < REGIONS_MAX && m->seen[i].version.region < REGIONS_MAX);
	bytes_touch(m->key, m->key_size);
	bytes_touch(m->value, m->value_size);
	if (m->body)
		body_walk(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct commit_message message;
	int code = commit_message_decode(&message, seen, bytes, size);
	CHECK(code == 0 || code == ERR_MALFORMED);
	if (code)
		return 0;
	check_limits(&message);
	CHECK(commit_message_size(&message) == size);
	uint8_t *again = malloc(size);
	if (again == NULL)
		abort();
	CHECK(commit_message_encode(&message, again, size) == (long)size && memcmp(again, bytes, size) == 0);
	CHECK(commit_message_encode(&message, again, size - 1) == ERR_FULL);
	free(again);
	return 0;
}
