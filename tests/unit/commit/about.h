/* SPDX-License-Identifier: Apache-2.0
 *
 * Messages about transactions that no region of a test has begun. */
#ifndef GODWIT_TESTS_UNIT_COMMIT_ABOUT_H
#define GODWIT_TESTS_UNIT_COMMIT_ABOUT_H
#include "base/bytes.h"
#include "core/commit_entry.h"
#include "core/hlc.h"
#include "tests/unit/commit/world.h"

/* A stamp that is so much ahead of all that the world has given out. */
static inline struct commit_id ahead(uint64_t ahead_ms, uint8_t region)
{
	return (struct commit_id){.hlc = hlc_pack(1900000000000ull + 100000 + ahead_ms, 0), .region = region};
}

/* About a transaction that puts `key`, with its body. */
static inline struct commit_message about(uint8_t type, struct commit_id id, const char *key)
{
	static uint8_t bytes[512];
	struct commit_request_name name = {.client_id = 0x7000 + id.hlc, .number = 1, .after = 1};
	struct commit_operation o = world_operation(COMMIT_PUT, key, "x");
	uint8_t *out = commit_request_name_put(commit_body_begin(bytes, false, 1, 1, 1), &name);
	bytes_put_u16(out, 1);
	out = commit_operation_put(out + 2, &o);
	return (struct commit_message){.type = type, .id = id, .body = bytes, .body_size = (uint32_t)(out - bytes)};
}

#endif
