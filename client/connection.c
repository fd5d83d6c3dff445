/* SPDX-License-Identifier: Apache-2.0
 *
 * One turn of client_poll: what the socket's monitor says, what is due (deadlines, repeats), send, receive. Every operation has
 * a slot; the window maps numbers to slots, so that an answer finds its slot by its number alone. */
#include "client/connection.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "core/dotted.h"
#include "core/record.h"
#include "proto/request.h"

_Static_assert(GW_VERSION_SIZE_MAX == DOTTED_ENCODED_MAX, "the public header says the same");
_Static_assert((int)CLIENT_CHECK == GODWIT__CLIENT__KIND__CHECK && (int)CLIENT_PUT == GODWIT__CLIENT__KIND__PUT &&
                   (int)CLIENT_REGION == GODWIT__CLIENT__KIND__REGION,
    "kinds as on the wire");
_Static_assert(
    (int)GW_IF_VERSION == GODWIT__CLIENT__CONDITION__IF_VERSION && (int)GW_LEVEL_STRONG == GODWIT__CLIENT__LEVEL__STRONG,
    "conditions and levels as on the wire");

uint64_t connection_now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint32_t gw_pending(const struct gw_connection *connection)
{
	return connection->pending;
}

int gw_fd(const struct gw_connection *connection)
{
	int fd = -1;
	size_t size = sizeof fd;
	if (!connection->socket || zmq_getsockopt(connection->socket, ZMQ_FD, &fd, &size) != 0)
		return -1;
	return fd;
}

static int options_take(struct gw_connection *c, const struct gw_options *options, struct error_context *error)
{
	if (!options->endpoint || !options->key_dir || !options->region)
		return error_set(error, ERR_USAGE, "endpoint, key_dir and region must be given");
	c->timeout_ms = options->timeout_ms ? options->timeout_ms : 5000;
	c->pipeline_max = options->pipeline_max ? options->pipeline_max : 1024;
	c->batch_max = options->batch_max ? options->batch_max : 256;
	if (c->pipeline_max > CONNECTION_PIPELINE_MAX)
		return error_set(error, ERR_USAGE, "pipeline_max is at most %u", CONNECTION_PIPELINE_MAX);
	if (c->batch_max > c->pipeline_max)
		c->batch_max = c->pipeline_max;
	if (c->batch_max > REQUEST_OPERATIONS_MAX)
		c->batch_max = REQUEST_OPERATIONS_MAX;
	c->endpoint = strdup(options->endpoint);
	c->region = strdup(options->region);
	c->key_dir = strdup(options->key_dir);
	/* The window is wider than the pipeline, so that one slow operation does not hold up the others. */
	for (c->window_size = 64; c->window_size < c->pipeline_max * 4;)
		c->window_size *= 2;
	c->window = calloc(c->window_size, sizeof *c->window);
	c->slots = calloc(c->pipeline_max, sizeof *c->slots);
	c->free_slots = calloc(c->pipeline_max, sizeof *c->free_slots);
	c->batch = calloc(c->batch_max, sizeof *c->batch);
	if (!c->endpoint || !c->region || !c->key_dir || !c->window || !c->slots || !c->free_slots || !c->batch)
		return error_set(error, ERR_NO_MEMORY, "no memory for a pipeline of %u operations", c->pipeline_max);
	for (uint32_t i = 0; i < c->pipeline_max; i++)
		c->free_slots[c->free_count++] = c->pipeline_max - 1 - i;
	return ERR_OK;
}

int gw_connect(struct gw_connection **connection, const struct gw_options *options, char *error_text_out)
{
	struct error_context error = {{0}};
	struct gw_connection *c = calloc(1, sizeof *c);
	*connection = NULL;
	int code = c ? options_take(c, options, &error) : error_set(&error, ERR_NO_MEMORY, "no memory for a connection");
	if (!code)
		code = keys_load(options->key_dir, "client", &c->keys, &error);
	if (!code)
		code = keys_load_public(options->key_dir, options->region, c->server_key, &error);
	while (!code && c->client_id == 0)
		if (getrandom(&c->client_id, sizeof c->client_id, 0) != sizeof c->client_id)
			code = error_set(&error, ERR_IO, "getrandom: %s", strerror(errno));
	if (!code) {
		c->next_number = c->lowest = c->scan_from = 1;
		code = connection_open(c, &error);
	}
	if (error_text_out)
		memcpy(error_text_out, error.text, sizeof error.text);
	if (code)
		gw_close(c);
	else
		*connection = c;
	return code;
}

void gw_close(struct gw_connection *c)
{
	if (!c)
		return;
	if (c->held_open)
		zmq_msg_close(&c->held);
	connection_shut(c);
	for (uint32_t i = 0; c->slots && i < c->pipeline_max; i++)
		free(c->slots[i].encoded);
	arena_deinit(&c->arena);
	free(c->slots);
	free(c->free_slots);
	free(c->window);
	free(c->batch);
	free(c->endpoint);
	free(c->region);
	free(c->key_dir);
	explicit_bzero(&c->keys, sizeof c->keys);
	free(c);
}

int gw_move(struct gw_connection *c, const char *endpoint, const char *region, char *error_text_out)
{
	struct error_context error = {{0}};
	char *old_endpoint = c->endpoint, *old_region = c->region;
	char old_key[KEY_TEXT_SIZE], key[KEY_TEXT_SIZE];
	char *new_endpoint = endpoint ? strdup(endpoint) : NULL, *new_region = region ? strdup(region) : NULL;
	int code = ERR_OK;
	if (!endpoint || !region)
		code = error_set(&error, ERR_USAGE, "endpoint and region must be given");
	else if (!new_endpoint || !new_region)
		code = error_set(&error, ERR_NO_MEMORY, "no memory for the name of a region");
	if (!code)
		code = keys_load_public(c->key_dir, region, key, &error);
	if (!code) {
		memcpy(old_key, c->server_key, sizeof old_key);
		memcpy(c->server_key, key, sizeof key);
		c->endpoint = new_endpoint;
		c->region = new_region;
		code = connection_switch(c, &error);
		if (code) {
			memcpy(c->server_key, old_key, sizeof old_key);
			c->endpoint = old_endpoint;
			c->region = old_region;
		}
	}
	if (error_text_out)
		memcpy(error_text_out, error.text, sizeof error.text);
	free(code ? new_endpoint : old_endpoint);
	free(code ? new_region : old_region);
	return code;
}

static int operation_check(const struct client_operation *o)
{
	bool transaction = o->kind == CLIENT_TRANSACTION;
	if (o->kind < CLIENT_PUT || o->kind > CLIENT_IN_DOUBT)
		return ERR_USAGE;
	/* A write has the level of its keyspace; nobody shall think that he got another. */
	if (o->level > GW_LEVEL_STALE || (o->level && kind_is_write(o->kind)))
		return ERR_USAGE;
	if ((transaction && (o->key_size || o->value_size || o->condition)) || (!transaction && o->step_count) ||
	    (o->condition && !kind_is_write(o->kind)))
		return ERR_USAGE;
	bool needs_key = o->kind == CLIENT_PUT || o->kind == CLIENT_DELETE || o->kind == CLIENT_GET;
	if (o->key_size > KEY_SIZE_MAX || o->after_size > KEY_SIZE_MAX || (needs_key && o->key_size == 0))
		return ERR_KEY_TOO_LARGE;
	if (o->value_size > VALUE_SIZE_MAX)
		return ERR_VALUE_TOO_LARGE;
	if (o->version_size > GW_VERSION_SIZE_MAX)
		return ERR_MALFORMED;
	if (o->keyspace && strlen(o->keyspace) > CONNECTION_KEYSPACE_MAX)
		return ERR_UNKNOWN_KEYSPACE;
	return transaction ? steps_check(o->steps, o->step_count) : condition_check(o);
}

static int submit_until(
    struct gw_connection *c, const struct client_operation *operation, uint64_t now_ns, uint64_t deadline_ns)
{
	int code = operation_check(operation);
	if (code)
		return code;
	struct client_operation timed = *operation;
	timed.timeout_ms = (uint32_t)((deadline_ns - now_ns + 999999) / 1000000);
	size_t room = wire_operation_size_max(&timed);
	if (c->free_count == 0 || c->next_number - c->lowest >= c->window_size ||
	    (c->pending && c->pending_bytes + room > CONNECTION_BYTES_MAX))
		return ERR_FULL;
	uint32_t place = c->free_slots[c->free_count - 1];
	struct slot *slot = &c->slots[place];
	if (slot->capacity < room) {
		uint8_t *larger = realloc(slot->encoded, room);
		if (!larger)
			return ERR_NO_MEMORY;
		slot->encoded = larger;
		slot->capacity = (uint32_t)room;
	}
	c->free_count--;
	slot->number = c->next_number++;
	slot->encoded_size = (uint32_t)wire_operation_encode(&timed, slot->number, slot->encoded);
	slot->submitted_ns = now_ns;
	slot->deadline_ns = deadline_ns;
	slot->wait_ms = CONNECTION_REPEAT_MS;
	slot->sends = 0;
	slot->refused = slot->moved = false;
	slot->renewed = 0;
	slot->state = SLOT_QUEUED;
	slot->kind = operation->kind;
	slot->user = operation->user;
	c->window[slot->number & (c->window_size - 1)] = place + 1;
	if (c->pending++ == 0)
		c->heard_ns = now_ns;
	c->pending_bytes += slot->capacity;
	c->queued++;
	if (deadline_ns < c->check_ns || c->pending == 1)
		c->check_ns = deadline_ns < now_ns + CONNECTION_CHECK_NS ? deadline_ns : now_ns + CONNECTION_CHECK_NS;
	return ERR_OK;
}

int client_submit(struct gw_connection *c, const struct client_operation *operation)
{
	uint64_t now_ns = connection_now_ns();
	uint32_t timeout_ms = operation->timeout_ms ? operation->timeout_ms : c->timeout_ms;
	return submit_until(c, operation, now_ns, now_ns + timeout_ms * 1000000ull);
}

int gw_flush(struct gw_connection *c)
{
	return connection_send(c, connection_now_ns());
}

/* Sleeps until there is something to receive, room to send, news from the monitor, or the time has come. False: a signal. */
static bool wait_until(struct gw_connection *c, uint64_t now_ns, uint64_t until_ns)
{
	if (c->pending && c->check_ns < until_ns)
		until_ns = c->check_ns;
	uint64_t wait_ns = until_ns > now_ns ? until_ns - now_ns : 0;
	if (!c->socket) { /* no descriptors were left for another one */
		struct timespec pause = {.tv_nsec = wait_ns < CONNECTION_CHECK_NS ? (long)wait_ns : (long)CONNECTION_CHECK_NS};
		return nanosleep(&pause, NULL) == 0;
	}
	short wanted = (short)(c->queued && !c->disconnected ? ZMQ_POLLIN | ZMQ_POLLOUT : ZMQ_POLLIN);
	zmq_pollitem_t items[2] = {{.socket = c->socket, .events = wanted}, {.socket = c->monitor, .events = ZMQ_POLLIN}};
	return zmq_poll(items, 2, (long)((wait_ns + 999999) / 1000000)) >= 0 || errno != EINTR;
}

int client_poll(struct gw_connection *c, uint32_t timeout_ms, void (*each)(void *, const struct client_result *), void *user)
{
	uint64_t now_ns = connection_now_ns(), end_ns = now_ns + timeout_ms * 1000000ull;
	struct receiver receiver = {.each = each, .user = user};
	for (;;) {
		connection_send(c, now_ns);
		connection_receive(c, &receiver);
		if (now_ns >= c->check_ns && c->pending) {
			connection_watch(c);
			connection_check(c, now_ns, &receiver);
		}
		if (c->queued)
			connection_send(c, now_ns);
		if (receiver.results || now_ns >= end_ns)
			break;
		if (!wait_until(c, now_ns, end_ns))
			break;
		connection_watch(c);
		now_ns = connection_now_ns();
	}
	return (int)receiver.results;
}

static void keep_result(void *user, const struct client_result *result)
{
	*(struct client_result *)user = *result;
}

int client_call(struct gw_connection *c, const struct client_operation *operation, struct client_result *result)
{
	*result = (struct client_result){.kind = operation->kind, .user = operation->user, .reason = ""};
	uint64_t started_ns = connection_now_ns();
	uint64_t deadline_ns = started_ns + (operation->timeout_ms ? operation->timeout_ms : c->timeout_ms) * 1000000ull;
	uint64_t pause_ms = 10;
	if (c->pending) {
		result->code = ERR_USAGE;
		result->reason = "a blocking call while pipelined operations are pending";
		return result->code;
	}
	for (uint64_t now_ns = started_ns;; now_ns = connection_now_ns()) {
		int code = submit_until(c, operation, now_ns, deadline_ns);
		if (code) {
			result->code = code;
			result->reason = error_text(code);
			return code;
		}
		while (c->pending)
			client_poll(c, 1000, keep_result, result);
		result->submitted_ns = started_ns;
		/* Certainly not applied: what comes next is a new request, under a new number. */
		now_ns = connection_now_ns();
		if (result->code != ERR_OVERLOADED || now_ns + pause_ms * 1000000 >= deadline_ns)
			return result->code;
		struct timespec pause = {.tv_sec = 0, .tv_nsec = (long)pause_ms * 1000000};
		nanosleep(&pause, NULL);
		pause_ms = pause_ms < 160 ? pause_ms * 2 : 320;
	}
}
