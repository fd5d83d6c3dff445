/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/coordinator/replies.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "proto/client.pb-c.h"
#include "proto/request.h"
#include "shm/counters.h"

int replies_init(struct replies *replies, void *socket, struct counter_block *counters)
{
	*replies = (struct replies){.socket = socket, .counters = counters};
	replies->routes = calloc(REPLY_ROUTES, sizeof *replies->routes);
	return replies->routes ? 0 : ERR_NO_MEMORY;
}

void replies_deinit(struct replies *replies)
{
	for (uint32_t i = 0; i < REPLY_MESSAGES; i++)
		free(replies->messages[i].bytes);
	free(replies->routes);
	*replies = (struct replies){0};
}

/* A name holds the place in its lower bits. */
static struct reply_route *route_find(struct replies *replies, uint64_t name)
{
	struct reply_route *route = &replies->routes[name % REPLY_ROUTES];
	return name && route->name == name ? route : NULL;
}

uint64_t replies_route(struct replies *replies, const uint8_t *identity, uint32_t identity_size)
{
	assert(identity_size <= IDENTITY_SIZE_MAX);
	uint64_t set = XXH3_64bits(identity, identity_size) % (REPLY_ROUTES / REPLY_ROUTE_WAYS) * REPLY_ROUTE_WAYS;
	struct reply_route *oldest = &replies->routes[set];
	for (uint64_t i = set; i < set + REPLY_ROUTE_WAYS; i++) {
		struct reply_route *route = &replies->routes[i];
		if (route->name && route->identity_size == identity_size && !memcmp(route->identity, identity, identity_size)) {
			route->used = ++replies->uses;
			return route->name;
		}
		if (route->used < oldest->used)
			oldest = route;
	}
	if (oldest->message)
		replies_send(replies);
	oldest->used = ++replies->uses;
	oldest->name = oldest->used * REPLY_ROUTES + (uint64_t)(oldest - replies->routes);
	oldest->identity_size = (uint8_t)identity_size;
	memcpy(oldest->identity, identity, identity_size);
	return oldest->name;
}

static int message_reserve(struct reply_message *message, size_t size)
{
	if (message->capacity - message->size >= size)
		return 0;
	size_t capacity = message->capacity ? message->capacity : 4096;
	while (capacity - message->size < size)
		capacity *= 2;
	uint8_t *bytes = realloc(message->bytes, capacity);
	if (!bytes)
		return ERR_NO_MEMORY;
	message->bytes = bytes;
	message->capacity = capacity;
	return 0;
}

/* Room for `size` bytes of answers to the route, or NULL when they are dropped: its client asks again. */
static uint8_t *room_take(struct replies *replies, uint64_t name, size_t size, struct reply_message **message)
{
	struct reply_route *route = route_find(replies, name);
	if (!route) {
		counter_add(replies->counters, COUNTER_queue_refused, 1);
		return NULL;
	}
	if (!route->message && replies->message_count == REPLY_MESSAGES)
		replies_send(replies);
	if (route->message && replies->messages[route->message - 1].size + size > REPLY_SIZE_MAX)
		replies_send(replies);
	if (!route->message) {
		struct reply_message *fresh = &replies->messages[replies->message_count++];
		fresh->route = (uint32_t)(route - replies->routes);
		fresh->size = 0;
		route->message = replies->message_count;
	}
	*message = &replies->messages[route->message - 1];
	if (message_reserve(*message, size + ANSWERS_HEADER_SIZE_MAX) < 0) {
		counter_add(replies->counters, COUNTER_queue_refused, 1);
		return NULL;
	}
	if (!(*message)->size)
		(*message)->size = answers_header_encode(PROTOCOL_VERSION, (*message)->bytes);
	return (*message)->bytes + (*message)->size;
}

void replies_add_value(struct replies *replies, const struct coordinator_answer *from, const uint8_t *value, size_t value_size)
{
	const struct answer answer = {
	    .number = from->number,
	    .code = from->code,
	    .reason = !from->code    ? NULL
	              : from->reason ? from->reason
	                             : error_text(from->code),
	    .value = {value, value_size},
	    .version = {from->version, from->version_size},
	    .hlc = from->hlc,
	    .siblings = from->siblings,
	    .token = from->token,
	};
	struct reply_message *message;
	uint8_t *out = room_take(replies, from->route, answer_size_max(&answer), &message);
	if (out)
		message->size += answer_encode(&answer, out);
}

void replies_add(struct replies *replies, const struct coordinator_answer *from)
{
	replies_add_value(replies, from, NULL, 0);
}

void replies_add_message(struct replies *replies, uint64_t route, const Godwit__Client__Answer *answer)
{
	struct reply_message *message;
	size_t size = godwit__client__answer__get_packed_size(answer);
	uint8_t *out = room_take(replies, route, size + REQUEST_FIELD_OVERHEAD, &message);
	if (!out)
		return;
	size_t prefix = answer_prefix_encode(size, out);
	message->size += prefix + godwit__client__answer__pack(answer, out + prefix);
}

void replies_send(struct replies *replies)
{
	for (uint32_t i = 0; i < replies->message_count; i++) {
		struct reply_message *message = &replies->messages[i];
		struct reply_route *route = &replies->routes[message->route];
		route->message = 0;
		/* The router is gone or full: the client asks again. */
		if (message->size &&
		    socket_send(replies->socket, route->identity, route->identity_size, message->bytes, message->size) < 0)
			counter_add(replies->counters, COUNTER_queue_refused, 1);
	}
	replies->message_count = 0;
}
