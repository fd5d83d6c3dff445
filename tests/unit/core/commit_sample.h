/* SPDX-License-Identifier: Apache-2.0
 *
 * Transactions as tests write them: operations in one line, and the COMMIT entry that they make. */
#ifndef GODWIT_TESTS_UNIT_CORE_COMMIT_SAMPLE_H
#define GODWIT_TESTS_UNIT_CORE_COMMIT_SAMPLE_H
#include <string.h>

#include "base/bytes.h"
#include "core/commit_entry.h"

/* text NULL: a delete. */
static inline struct commit_operation commit_write(uint16_t keyspace, const char *key, const char *text)
{
	return (struct commit_operation){.kind = text ? COMMIT_PUT : COMMIT_DELETE,
	    .keyspace = keyspace,
	    .key = (const uint8_t *)key,
	    .key_size = (uint32_t)strlen(key),
	    .value = (const uint8_t *)text,
	    .value_size = text ? (uint32_t)strlen(text) : 0};
}

static inline struct commit_operation commit_check(uint16_t keyspace, const char *key, struct commit_id expected)
{
	struct commit_operation o = commit_write(keyspace, key, NULL);
	o.kind = COMMIT_CHECK;
	o.condition = expected.hlc ? COMMIT_IF_VERSION : COMMIT_IF_ABSENT;
	o.expected = expected;
	return o;
}

/* A body of these requests (NULL: one, of client 5) and operations. Returns its size. */
static inline size_t commit_body_sample(uint8_t *out, const struct commit_request_name *names, uint32_t name_count,
    const struct commit_operation *operations, uint32_t count)
{
	static const struct commit_request_name one = {.client_id = 5, .number = 1};
	uint8_t *at = commit_body_begin(out, false, 3, 4, names ? name_count : 1);
	for (uint32_t i = 0; i < (names ? name_count : 1); i++)
		at = commit_request_name_put(at, names ? &names[i] : &one);
	bytes_put_u16(at, (uint16_t)count);
	at += 2;
	for (uint32_t i = 0; i < count; i++)
		at = commit_operation_put(at, &operations[i]);
	return (size_t)(at - out);
}

/* A whole COMMIT entry. previous: what each operation replaced; NULL: nothing. Returns its size. */
static inline size_t commit_entry_sample(uint8_t *out, struct commit_id id, const struct commit_id *previous,
    const struct commit_operation *operations, uint32_t count)
{
	struct commit_head head = {.id = id, .value = COMMIT_COMMITTED, .previous_count = count};
	if (previous)
		memcpy(head.previous, previous, count * sizeof *previous);
	size_t size = commit_head_put(out, &head, true);
	return size + commit_body_sample(out + size, NULL, 0, operations, count);
}

#endif
