/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/watch.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <zmq.h>

#include "runtime/logline.h"
#include "runtime/loop.h"
#include "runtime/socket.h"

#define RETRY_S      1
#define CLOSED_MEANS 3 /* exchanges broken off in a row */
#define EVENTS_WATCHED                                                                                                         \
	(ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |          \
	    ZMQ_EVENT_HANDSHAKE_FAILED_AUTH | ZMQ_EVENT_CLOSED)

struct watch {
	struct loop *loop;
	void *socket, *events;
	int timer;
	char endpoint[128], key_dir[256], own[64], peer[64], own_key[KEY_TEXT_SIZE], peer_key[KEY_TEXT_SIZE];
	_Atomic uint32_t *refusal;
	uint32_t broken_off; /* exchanges in a row */
	bool is_waiting;     /* to connect again */
};

static void refusal_note(struct watch *w, enum key_refusal refusal)
{
	if (!w->refusal)
		return;
	enum key_refusal before = atomic_exchange_explicit(w->refusal, refusal, memory_order_relaxed);
	uint64_t subject = logline_subject(w->peer);
	if (refusal == KEY_UNKNOWN_THERE)
		logline_distinct(LOG_LEVEL_WARN, "key_refused_by", subject,
		    "peer=%s name=%s key=%s reason=\"%s does not know the key of %s; "
		    "import it there\"",
		    w->peer, w->own, w->own_key, w->peer, w->own);
	else if (refusal == KEY_OTHER_THERE)
		logline_distinct(LOG_LEVEL_WARN, "key_differs", subject,
		    "peer=%s key=%s reason=\"%s breaks the exchange of keys off: "
		    "%s.public here is not its key; export it there and import it here\"",
		    w->peer, w->peer_key, w->peer, w->peer);
	else if (before != KEY_ACCEPTED)
		logline(LOG_LEVEL_INFO, "key_accepted", "peer=%s name=%s", w->peer, w->own);
}

static void connect_again(struct watch *w)
{
	if (w->broken_off)
		keys_choose_other(w->key_dir, w->peer, w->peer_key, w->peer_key); /* of two, each is tried in turn */
	/* No such endpoint: libzmq has given it up by itself. */
	int failed = zmq_disconnect(w->socket, w->endpoint) != 0 && errno != ENOENT;
	failed |= zmq_setsockopt(w->socket, ZMQ_CURVE_SERVERKEY, w->peer_key, KEY_TEXT_SIZE);
	failed |= zmq_connect(w->socket, w->endpoint);
	if (failed)
		logline_distinct(
		    LOG_LEVEL_ERROR, "reconnect_failed", 0, "endpoint=%s reason=\"%s\"", w->endpoint, zmq_strerror(errno));
}

static void timer_arm(struct watch *w)
{
	if (w->is_waiting)
		return;
	w->is_waiting = true;
	timerfd_settime(w->timer, 0, &(struct itimerspec){.it_value.tv_sec = RETRY_S}, NULL);
}

static void timer_disarm(struct watch *w)
{
	w->is_waiting = false;
	timerfd_settime(w->timer, 0, &(struct itimerspec){0}, NULL);
}

static void event_take(struct watch *w, uint16_t event, uint32_t value)
{
	if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
		w->broken_off = 0;
		timer_disarm(w); /* or it would end a connection that is good */
		refusal_note(w, KEY_ACCEPTED);
	} else if (event == ZMQ_EVENT_CLOSED) {
		/* Nobody took the connection: what was known of the keys is old. */
		w->broken_off = 0;
		if (w->refusal)
			atomic_store_explicit(w->refusal, KEY_ACCEPTED, memory_order_relaxed);
	} else if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) {
		w->broken_off = 0;
		refusal_note(w, KEY_UNKNOWN_THERE);
		timer_arm(w);
	} else if (event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL || value == EPIPE) {
		if (++w->broken_off >= CLOSED_MEANS)
			refusal_note(w, KEY_OTHER_THERE);
		char other[KEY_TEXT_SIZE];
		if (event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL || keys_choose_other(w->key_dir, w->peer, w->peer_key, other))
			timer_arm(w);
	}
}

static uint32_t events_drain(void *self, struct clock_now now, uint32_t limit)
{
	struct watch *w = self;
	uint32_t handled = 0;
	(void)now;
	for (; handled < limit; handled++) {
		uint8_t frame[6] = {0}, address[256];
		int more = 0;
		size_t size = sizeof more;
		if (zmq_recv(w->events, frame, sizeof frame, ZMQ_DONTWAIT) != sizeof frame)
			break;
		while (zmq_getsockopt(w->events, ZMQ_RCVMORE, &more, &size) == 0 && more)
			if (zmq_recv(w->events, address, sizeof address, ZMQ_DONTWAIT) < 0)
				break;
		uint16_t event;
		uint32_t value;
		memcpy(&event, frame, sizeof event);
		memcpy(&value, frame + sizeof event, sizeof value);
		event_take(w, event, value);
	}
	return handled;
}

static uint32_t timer_drain(void *self, struct clock_now now, uint32_t limit)
{
	struct watch *w = self;
	uint64_t expired;
	(void)now;
	(void)limit;
	if (read(w->timer, &expired, sizeof expired) == sizeof expired) {
		w->is_waiting = false;
		connect_again(w);
	}
	return 0;
}

int watch_start(struct watch **out, const struct watch_options *options, struct error_context *error)
{
	struct watch *w = calloc(1, sizeof *w);
	char name[64];
	if (!w)
		return error_set(error, ERR_NO_MEMORY, "out of memory");
	w->loop = options->loop;
	w->socket = options->socket;
	w->refusal = options->refusal;
	if (w->refusal) /* what a process before this one has left */
		atomic_store_explicit(w->refusal, KEY_ACCEPTED, memory_order_relaxed);
	w->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	snprintf(w->endpoint, sizeof w->endpoint, "%s", options->endpoint);
	snprintf(w->key_dir, sizeof w->key_dir, "%s", options->key_dir);
	snprintf(w->own, sizeof w->own, "%s", options->own);
	snprintf(w->peer, sizeof w->peer, "%s", options->peer);
	snprintf(w->own_key, sizeof w->own_key, "%s", options->own_key);
	snprintf(w->peer_key, sizeof w->peer_key, "%s", options->peer_key);
	snprintf(name, sizeof name, "inproc://watch-%p", (void *)w);
	int code = 0;
	if (w->timer < 0 || zmq_socket_monitor(w->socket, name, EVENTS_WATCHED) != 0)
		code = error_set(error, ERR_IO, "watching the connection to %s: %s", w->peer, strerror(errno));
	if (!code)
		code = socket_connect(&w->events, options->context, ZMQ_PAIR, name, NULL, error);
	if (!code)
		code = loop_add_socket(w->loop, w->events, events_drain, w);
	if (!code && (code = loop_add_fd(w->loop, w->timer, timer_drain, w)) != 0)
		loop_remove_socket(w->loop, w->events);
	if (code) {
		socket_close(w->events);
		if (w->timer >= 0)
			close(w->timer);
		free(w);
		return code;
	}
	*out = w;
	return 0;
}

void watch_stop(struct watch *w)
{
	if (!w)
		return;
	loop_remove_fd(w->loop, w->timer);
	loop_remove_socket(w->loop, w->events);
	zmq_socket_monitor(w->socket, NULL, 0);
	socket_close(w->events);
	close(w->timer);
	free(w);
}
