/* SPDX-License-Identifier: Apache-2.0
 *
 * The socket of a connection and its monitor. All connections of a process share one ZeroMQ context: a context each would be
 * two threads each. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "client/connection.h"
#include "runtime/socket.h"

static pthread_mutex_t shared_lock = PTHREAD_MUTEX_INITIALIZER;
static void *shared_context;
static uint32_t shared_users;

static void *context_take(void)
{
	pthread_mutex_lock(&shared_lock);
	if (!shared_context)
		shared_context = socket_context_new();
	if (shared_context)
		shared_users++;
	pthread_mutex_unlock(&shared_lock);
	return shared_context;
}

static void context_give(void)
{
	pthread_mutex_lock(&shared_lock);
	if (--shared_users == 0) {
		socket_context_free(shared_context);
		shared_context = NULL;
	}
	pthread_mutex_unlock(&shared_lock);
}

static int monitor_open(struct gw_connection *c, struct error_context *error)
{
	char name[96];
	int linger = 0;
	/* The address of the connection and the count of its sockets: no two at a time are alike in one process. */
	snprintf(name, sizeof name, "inproc://godwit-monitor-%p-%u", (void *)c, c->connections);
	if (zmq_socket_monitor(c->socket, name,
	        ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
	            ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) < 0)
		return error_set(error, ERR_IO, "watching the socket: %s", zmq_strerror(errno));
	c->monitor = zmq_socket(shared_context, ZMQ_PAIR);
	if (!c->monitor || zmq_setsockopt(c->monitor, ZMQ_LINGER, &linger, sizeof linger) < 0 ||
	    zmq_connect(c->monitor, name) < 0)
		return error_set(error, ERR_IO, "watching the socket: %s", zmq_strerror(errno));
	return ERR_OK;
}

int connection_open(struct gw_connection *c, struct error_context *error)
{
	struct socket_options options = {
	    .own = &c->keys, .server_key = c->server_key, .high_water = 1000, .reconnect_max_ms = CONNECTION_RECONNECT_MS_MAX};
	if (!c->context_held) {
		if (!context_take())
			return error_set(error, ERR_NO_MEMORY, "no ZeroMQ context: %s", zmq_strerror(errno));
		c->context_held = true;
		c->silence_ms = CONNECTION_SILENCE_MS;
	}
	int code = socket_prepare(&c->socket, shared_context, ZMQ_DEALER, c->endpoint, &options, error);
	if (code)
		return code;
	c->connections++;
	c->links++;
	c->opened_ns = connection_now_ns();
	code = monitor_open(c, error);
	return code ? code : socket_dial(c->socket, c->endpoint, error);
}

static void sockets_close(struct gw_connection *c)
{
	if (c->socket) {
		zmq_socket_monitor(c->socket, NULL, 0);
		socket_close(c->socket);
	}
	if (c->monitor)
		zmq_close(c->monitor);
	c->socket = c->monitor = NULL;
}

int connection_switch(struct gw_connection *c, struct error_context *error)
{
	void *socket = c->socket, *monitor = c->monitor;
	c->socket = c->monitor = NULL;
	int code = connection_open(c, error);
	void *new_socket = c->socket, *new_monitor = c->monitor;
	if (!code) {
		c->socket = socket;
		c->monitor = monitor;
	}
	sockets_close(c); /* the old ones, or what there is of the new */
	c->socket = code ? socket : new_socket;
	c->monitor = code ? monitor : new_monitor;
	if (code)
		return code;
	c->blocked = c->disconnected = c->key_refused = false;
	c->refused_ns = 0;
	c->heard_ns = c->opened_ns;
	c->silence_ms = CONNECTION_SILENCE_MS;
	c->highest_answer[0] = c->highest_answer[1] = 0;
	connection_requeue_moved(c);
	return ERR_OK;
}

void connection_shut(struct gw_connection *c)
{
	sockets_close(c);
	if (c->context_held)
		context_give();
	c->context_held = false;
}

/* Another socket, with the keys that the files hold now; of two that the region has during a rotation, the other one. */
static void connection_retry_refused(struct gw_connection *c)
{
	struct error_context error;
	if (!c->refused_ns || connection_now_ns() < c->refused_ns + CONNECTION_REFUSED_MS * 1000000ull)
		return;
	c->refused_ns = 0;
	keys_choose_other(c->key_dir, c->region, c->server_key, c->server_key);
	sockets_close(c);
	if (connection_open(c, &error) < 0)
		sockets_close(c); /* opened again below, in time */
	connection_requeue(c);
}

void connection_watch(struct gw_connection *c)
{
	zmq_msg_t event;
	zmq_msg_init(&event);
	while (c->monitor && zmq_msg_recv(&event, c->monitor, ZMQ_DONTWAIT) >= 0) {
		uint16_t kind = 0;
		uint32_t value = 0;
		if (zmq_msg_size(&event) >= sizeof kind + sizeof value && zmq_msg_more(&event)) {
			memcpy(&kind, zmq_msg_data(&event), sizeof kind);
			memcpy(&value, (const uint8_t *)zmq_msg_data(&event) + sizeof kind, sizeof value);
		}
		while (zmq_msg_more(&event) && zmq_msg_recv(&event, c->monitor, ZMQ_DONTWAIT) >= 0)
			; /* the address: we know it */
		/* ZeroMQ drops what it had not sent, and the answers on their way. Nothing is sent until it is connected again:
		 * for a moment it still takes messages for the connection that is gone. */
		if (kind == ZMQ_EVENT_DISCONNECTED) {
			c->disconnected = true;
		} else if (kind == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
			c->key_refused = false;
			c->refused_ns = 0;
			if (c->disconnected) {
				c->links++;
				connection_requeue(c);
			}
			c->disconnected = false;
		} else if (kind) {
			/* A handshake whose time is over says nothing of keys: the other side may be too busy to look at them.
			 */
			c->key_refused = kind != ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL || value == EPIPE;
			/* Told that the key is unknown, or hung up on: libzmq does not come back from the first, and knows one
			 * key of the region's only. */
			if (!c->refused_ns && (kind != ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL || value == EPIPE))
				c->refused_ns = connection_now_ns();
		}
	}
	zmq_msg_close(&event);
	connection_retry_refused(c);

	/* Repeats went out and nothing came for long: a half-open connection. Another socket has another identity as well. The
	 * same when it does not come back: it may, without our having been told. */
	uint64_t now_ns = connection_now_ns();
	uint64_t since_ns = c->heard_ns > c->opened_ns ? c->heard_ns : c->opened_ns;
	bool waiting = c->pending > c->queued || (c->pending && c->disconnected);
	if (!c->socket || (waiting && now_ns > since_ns + c->silence_ms * 1000000)) {
		struct error_context error;
		sockets_close(c);
		if (connection_open(c, &error) < 0) {
			sockets_close(c);
			return; /* out of file descriptors perhaps: the next check tries again, deadlines go on */
		}
		c->silence_ms = c->silence_ms * 2 < CONNECTION_SILENCE_MS_MAX ? c->silence_ms * 2 : CONNECTION_SILENCE_MS_MAX;
		c->disconnected = false;
		connection_requeue(c);
	}
}
