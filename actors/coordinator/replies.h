/* SPDX-License-Identifier: Apache-2.0
 *
 * Who waits for answers, and what goes to them at the end of the turn: one message for each client and turn.
 *
 * A route names a client's connection at the router. The table is bounded; when it is full the connection unused for longest
 * makes room, and answers to it are dropped: its client asks again and is answered from memory. */
#ifndef GODWIT_ACTORS_COORDINATOR_REPLIES_H
#define GODWIT_ACTORS_COORDINATOR_REPLIES_H
#include <stddef.h>
#include <stdint.h>

#include "actors/coordinator/coordinator.h"
#include "runtime/socket.h"

#define REPLY_ROUTES     16384u
#define REPLY_ROUTE_WAYS 8u
#define REPLY_MESSAGES   128u
#define REPLY_SIZE_MAX   (128u * 1024)

struct reply_route {
	uint64_t name; /* what the step is given: rises, so that the place's next owner has another; 0: never used */
	uint64_t used;
	uint32_t message; /* place + 1 in `messages`; 0: nothing to send */
	uint8_t identity_size;
	uint8_t identity[IDENTITY_SIZE_MAX];
};

struct reply_message {
	uint32_t route;
	size_t size, capacity;
	uint8_t *bytes;
};

struct replies {
	void *socket;
	struct counter_block *counters;
	struct reply_route *routes;
	struct reply_message messages[REPLY_MESSAGES];
	uint32_t message_count;
	uint64_t uses;
};

int replies_init(struct replies *replies, void *socket, struct counter_block *counters);
void replies_deinit(struct replies *replies);
uint64_t replies_route(struct replies *replies, const uint8_t *identity, uint32_t identity_size);
void replies_add(struct replies *replies, const struct coordinator_answer *answer);
void replies_add_value(
    struct replies *replies, const struct coordinator_answer *answer, const uint8_t *value, size_t value_size);
struct Godwit__Client__Answer;
void replies_add_message(struct replies *replies, uint64_t route, const struct Godwit__Client__Answer *answer);
void replies_send(struct replies *replies);

#endif
