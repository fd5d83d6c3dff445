/* SPDX-License-Identifier: Apache-2.0
 *
 * Writing what commit_body_open and commit_entry_open read. */
#ifndef GODWIT_ACTORS_COORDINATOR_COMMIT_ENCODE_H
#define GODWIT_ACTORS_COORDINATOR_COMMIT_ENCODE_H
#include "actors/coordinator/commit/commit.h"

#define BODY_BEGIN_SIZE 12u
size_t operation_size(const struct commit_operation *operation);
uint8_t *operation_put(uint8_t *out, const struct commit_operation *operation);
/* Up to the requests; then follow 16 bytes each, u16 operations, and the operations. */
uint8_t *body_begin(uint8_t *out, bool ack_all, uint64_t born, uint32_t request_count);
size_t head_put(uint8_t *out, const struct commit_head *head, bool has_body);

#endif
