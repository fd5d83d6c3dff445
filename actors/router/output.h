/* SPDX-License-Identifier: Apache-2.0
 *
 * A message of Answers while it is written, and the body of one answer with lists. */
#ifndef GODWIT_ACTORS_ROUTER_OUTPUT_H
#define GODWIT_ACTORS_ROUTER_OUTPUT_H
#include <stddef.h>
#include <stdint.h>

#include "proto/client.pb-c.h"

struct output {
	uint8_t *bytes;
	size_t size, capacity;
};

void output_deinit(struct output *output);
/* Room for size more bytes; ends the process when there is no memory for an answer. */
uint8_t *output_reserve(struct output *output, size_t size);
void output_bytes(struct output *output, const void *bytes, size_t size);
/* Fields of a message; zero and empty ones are left out, as proto3 has it. */
void output_number(struct output *output, uint32_t field, uint64_t value);
void output_message(struct output *output, uint32_t field, const ProtobufCMessage *message);

#endif
