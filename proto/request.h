/* SPDX-License-Identifier: Apache-2.0
 *
 * The servers' side of client.proto, by hand for what every operation costs: requests are read in place without a copy or an
 * allocation, and plain answers are written straight into the message that will be sent. Unknown fields are skipped and the
 * last of a repeated single field counts, as the generated code does it; the tests hold both against each other. */
#ifndef GODWIT_PROTO_REQUEST_H
#define GODWIT_PROTO_REQUEST_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In one message, on both sides. */
#define REQUEST_OPERATIONS_MAX 4096u

struct request_bytes {
	const uint8_t *bytes;
	size_t size;
};

struct request_operation {
	uint64_t number, settled, age_ms, limit_id, token;
	uint32_t kind; /* of client.proto; any number */
	uint32_t limit;
	uint32_t condition, level, timeout_ms;
	uint32_t step_count;
	bool moved;
	struct request_bytes keyspace, key, value, context, after, expected;
	struct request_bytes whole; /* this operation's own encoding, to be packed again */
};

struct request {
	uint32_t protocol;
	uint64_t client_id;
	uint32_t operation_count;
	const uint8_t *at, *end; /* what request_next has not yet read */
};

/* Reads everything but the operations, which are only counted. 0 or ERR_MALFORMED. The bytes are borrowed. */
int request_open(struct request *request, const uint8_t *bytes, size_t size);
/* 0 with the next operation; ERR_EMPTY after the last; ERR_MALFORMED. */
int request_next(struct request *request, struct request_operation *operation);

struct request_step {
	uint32_t kind, condition;
	struct request_bytes keyspace, key, value, expected;
};
/* The steps of a transaction, one after the other: *at is NULL at first. 0, ERR_EMPTY after the last, ERR_MALFORMED. */
int request_step_next(const struct request_operation *operation, const uint8_t **at, struct request_step *step);

/* A request again from some of the operations of another: header, then each. */
#define REQUEST_HEADER_SIZE_MAX 16u
size_t request_header_encode(uint32_t protocol, uint64_t client_id, uint8_t out[static REQUEST_HEADER_SIZE_MAX]);
#define REQUEST_FIELD_OVERHEAD 11u
size_t request_operation_encode(const struct request_operation *operation, uint8_t *out);

/* An answer without lists. */
struct answer {
	uint64_t number;
	int code;
	const char *reason; /* NULL: none */
	struct request_bytes value, version;
	uint64_t hlc;
	uint32_t siblings;
	uint64_t token;
};

/* A message of Answers is its header and then any number of answers, one behind the other. */
#define ANSWERS_HEADER_SIZE_MAX 8u
size_t answers_header_encode(uint32_t protocol, uint8_t out[static ANSWERS_HEADER_SIZE_MAX]);
/* Room that the encoding may take. */
size_t answer_size_max(const struct answer *answer);
size_t answer_encode(const struct answer *answer, uint8_t *out);
/* Tag and length in front of an answer encoded otherwise; at most REQUEST_FIELD_OVERHEAD bytes. */
size_t answer_prefix_encode(size_t size, uint8_t *out);

#endif
