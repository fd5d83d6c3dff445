/* SPDX-License-Identifier: Apache-2.0
 *
 * The client's side of proto/client.proto, written by hand for the two messages that every operation costs: a request is
 * encoded once, when it is submitted, and copied from then on; an answer that carries no list is read in place, without a copy.
 * Everything else goes through the generated code, into an arena. The tests hold both against the generated code. */
#ifndef GODWIT_CLIENT_WIRE_H
#define GODWIT_CLIENT_WIRE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/admin.h"
#include "proto/client.pb-c.h"

/* Memory of the answers of one message: taken bit by bit, given back all at once. */
#define ARENA_SIZE_MAX (64u * 1024 * 1024) /* a hostile answer cannot make us take more */
struct arena_chunk;
struct arena {
	struct arena_chunk *chunks;
	size_t size; /* of all chunks */
};
void *arena_take(struct arena *arena, size_t size); /* NULL beyond ARENA_SIZE_MAX or without memory */
void arena_reset(struct arena *arena);              /* keeps one chunk of ordinary size */
void arena_deinit(struct arena *arena);

/* Upper bound of the encoding of an operation, its tail not included. */
size_t wire_operation_size_max(const struct client_operation *operation);
/* Returns the bytes written to out. timeout_ms goes along with what a region may have to wait for: writes, GET. */
size_t wire_operation_encode(const struct client_operation *operation, uint64_t number, uint8_t *out);

#define WIRE_REQUEST_HEADER_SIZE 11u
void wire_request_header(uint32_t protocol, uint64_t client_id, uint8_t out[static WIRE_REQUEST_HEADER_SIZE]);
/* What is known of an operation only when it is sent. 0: not sent. */
struct wire_tail {
	uint64_t settled, age_ms, token;
	bool moved;
};
/* One operation inside a request. */
size_t wire_request_operation_size(size_t encoded_size, const struct wire_tail *tail);
uint8_t *wire_request_operation(uint8_t *out, const uint8_t *encoded, size_t encoded_size, const struct wire_tail *tail);

struct wire_answers {
	const uint8_t *at, *end;
	uint32_t protocol;
};
/* ERR_MALFORMED when the message is not framed as Answers. */
int wire_answers_start(struct wire_answers *answers, const uint8_t *bytes, size_t size);
/* 0 with the next answer, borrowing from the message and the arena; ERR_EMPTY at the end; ERR_MALFORMED. */
int wire_answers_next(struct wire_answers *answers, struct arena *arena, const Godwit__Client__Answer **answer);

#endif
