/* SPDX-License-Identifier: Apache-2.0
 *
 * Messages between coordinators as bytes, little endian:
 *   u8 type | u16 which of the fields | u8 vote, decision << 2, accepted value << 4 | u8 flags | id (u64 hlc, u16 share, u8
 * region) and of the fields, in this order, those that are not nothing: i16 reason | version (id) | u64 ballot | u64 accepted
 * ballot | u64 read | u16 voters | u8 holds, id... | u16 seen, (u8 live and, times two, whether there is a version, id stamp,
 * id version)... | u16 keyspace, u16 key size, key | u32 value size, value | u32 body size, body and of PROMISED: 16 x u64
 * assigned vector Own rather than protobuf: the body goes into the log as it comes, and nothing here is taken from the heap. */
#ifndef GODWIT_COMMIT_MESSAGE_H
#define GODWIT_COMMIT_MESSAGE_H
#include "commit/commit.h"

size_t commit_message_size(const struct commit_message *message);
/* Bytes written, or ERR_FULL. */
long commit_message_encode(const struct commit_message *message, uint8_t *out, size_t capacity);
/* 0 or ERR_MALFORMED. All caps are checked, and the body with commit_body_open. Borrows from bytes and from seen. */
int commit_message_decode(
    struct commit_message *message, struct commit_seen seen[static COMMIT_OPERATIONS_MAX], const uint8_t *bytes, size_t size);

#endif
