/* SPDX-License-Identifier: Apache-2.0
 *
 * Why poll(2) on ZMQ_FD and not zmq_poll: zmq_poll makes two passes whenever it sleeps, each with a system call a socket. Here
 * every socket is asked once for ZMQ_EVENTS before the sleep, and only those that were signalled after it. ZMQ_FD is edge-
 * triggered: any operation on a socket (a send, too) can swallow the edge, so the question has to come after the actor's
 * last callback and immediately before the sleep, for every socket. */
#include "runtime/loop.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <zmq.h>

#include "runtime/descriptors.h"
#include "runtime/socket.h"

#define SOURCES_MAX       128u
#define CPU_TIME_EVERY_NS (100ull * 1000000u)
#define MILLISECOND_NS    1000000ull

struct source {
	void *socket;      /* NULL: a descriptor, or an inbox when fd < 0 */
	int fd;            /* of a socket: its ZMQ_FD */
	loop_drain *drain; /* NULL: removed, swept at the end of the turn */
	void *self;
	bool ready;
};

struct loop {
	struct loop_actor actor;
	struct doorbell *bell;
	struct counter_block *counters;
	struct source sources[SOURCES_MAX];
	uint32_t source_count;
	struct pollfd items[SOURCES_MAX + 2]; /* source i at place i; then signals and bell */
	int signal_fd;
	sigset_t mask_before;
	uint64_t cpu_time_read_ns;
	int code;
	bool has_inbox, work_left, stopping;
};

int loop_new(struct loop **out, const struct loop_actor *actor, struct doorbell *bell, struct counter_block *counters)
{
	struct loop *loop = calloc(1, sizeof *loop);
	if (!loop)
		return ERR_NO_MEMORY;
	if (actor)
		loop->actor = *actor;
	loop->bell = bell;
	loop->counters = counters;
	sigset_t stop;
	sigemptyset(&stop);
	sigaddset(&stop, SIGTERM);
	sigaddset(&stop, SIGINT);
	loop->signal_fd = signalfd(-1, &stop, SFD_NONBLOCK | SFD_CLOEXEC);
	if (loop->signal_fd < 0) {
		free(loop);
		return ERR_IO;
	}
	pthread_sigmask(SIG_BLOCK, &stop, &loop->mask_before);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	*out = loop;
	return 0;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	close(loop->signal_fd);
	pthread_sigmask(SIG_SETMASK, &loop->mask_before, NULL);
	free(loop);
}

static int loop_add(struct loop *loop, struct source source)
{
	assert(source.drain);
	if (loop->source_count == SOURCES_MAX)
		return ERR_FULL;
	/* What came before the source was added has no edge of its own any more. */
	loop->work_left = true;
	loop->sources[loop->source_count++] = source;
	return 0;
}

int loop_add_socket(struct loop *loop, void *zmq_socket, loop_drain *drain, void *self)
{
	int fd;
	size_t size = sizeof fd;
	if (zmq_getsockopt(zmq_socket, ZMQ_FD, &fd, &size) != 0)
		return ERR_IO;
	return loop_add(loop, (struct source){.socket = zmq_socket, .fd = fd, .drain = drain, .self = self});
}

int loop_add_fd(struct loop *loop, int fd, loop_drain *drain, void *self)
{
	assert(fd >= 0);
	return loop_add(loop, (struct source){.fd = fd, .drain = drain, .self = self});
}

int loop_add_inbox(struct loop *loop, loop_drain *drain, void *self)
{
	loop->has_inbox = true;
	return loop_add(loop, (struct source){.fd = -1, .drain = drain, .self = self});
}

void loop_remove_socket(struct loop *loop, void *zmq_socket)
{
	for (uint32_t i = 0; i < loop->source_count; i++)
		if (loop->sources[i].socket == zmq_socket)
			loop->sources[i].drain = NULL;
}

void loop_remove_fd(struct loop *loop, int fd)
{
	for (uint32_t i = 0; i < loop->source_count; i++)
		if (!loop->sources[i].socket && loop->sources[i].fd == fd)
			loop->sources[i].drain = NULL;
}

static void loop_sweep(struct loop *loop)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < loop->source_count; i++)
		if (loop->sources[i].drain)
			loop->sources[kept++] = loop->sources[i];
	loop->source_count = kept;
}

static bool socket_is_readable(void *socket)
{
	int events;
	size_t size = sizeof events;
	return zmq_getsockopt(socket, ZMQ_EVENTS, &events, &size) == 0 && (events & ZMQ_POLLIN);
}

/* Asks every socket, and builds the items for poll. True when there is something to do without sleeping. */
static bool loop_look(struct loop *loop)
{
	bool found = loop->work_left;
	for (uint32_t i = 0; i < loop->source_count; i++) {
		struct source *s = &loop->sources[i];
		loop->items[i] = (struct pollfd){.fd = s->fd, .events = POLLIN};
		s->ready = s->socket ? socket_is_readable(s->socket) : s->fd < 0;
		found |= s->socket && s->ready;
	}
	return found;
}

static uint64_t loop_sleep_ns(struct loop *loop)
{
	uint64_t deadline_ns = loop->actor.deadline_ns ? loop->actor.deadline_ns(loop->actor.self) : LOOP_NEVER;
	uint64_t sleep_ns = LOOP_NEVER;
	if (deadline_ns != LOOP_NEVER) {
		uint64_t now_ns = clock_read().monotonic_ns;
		sleep_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
	}
	if (loop->bell) {
		uint64_t most_ns = loop->bell->fd < 0 ? MILLISECOND_NS : DOORBELL_BACKSTOP_MS * MILLISECOND_NS;
		sleep_ns = sleep_ns < most_ns ? sleep_ns : most_ns;
	}
	return sleep_ns;
}

static void loop_poll(struct loop *loop)
{
	uint64_t sleep_ns = loop_look(loop) ? 0 : loop_sleep_ns(loop);
	uint32_t count = loop->source_count;
	loop->items[count++] = (struct pollfd){.fd = loop->signal_fd, .events = POLLIN};
	bool rests = sleep_ns > 0;
	if (rests && loop->bell) {
		loop->items[count++] = (struct pollfd){.fd = loop->bell->fd, .events = POLLIN};
		doorbell_prepare(loop->bell);
		if (loop->actor.has_work && loop->actor.has_work(loop->actor.self))
			sleep_ns = 0;
	}
	struct timespec timeout = {.tv_sec = (time_t)(sleep_ns / 1000000000u), .tv_nsec = (long)(sleep_ns % 1000000000u)};
	int signalled = ppoll(loop->items, count, sleep_ns == LOOP_NEVER ? NULL : &timeout, NULL);
	if (rests && loop->bell)
		doorbell_awake(loop->bell);
	if (signalled <= 0) {
		assert(signalled == 0 || errno == EINTR || errno == ENOMEM);
		return;
	}
	for (uint32_t i = 0; i < loop->source_count; i++) {
		struct source *s = &loop->sources[i];
		if (s->ready || !loop->items[i].revents)
			continue;
		s->ready = s->socket ? socket_is_readable(s->socket) : true;
	}
	struct signalfd_siginfo info;
	if (loop->items[loop->source_count].revents && read(loop->signal_fd, &info, sizeof info) == sizeof info)
		loop_stop(loop, 0);
}

static void loop_drain_sources(struct loop *loop, struct clock_now now)
{
	uint32_t count = loop->source_count; /* those added meanwhile wait for the next turn */
	for (uint32_t i = 0; i < count; i++) {
		struct source *s = &loop->sources[i];
		if (s->drain && s->ready && s->drain(s->self, now, LOOP_DRAIN_MAX) >= LOOP_DRAIN_MAX)
			loop->work_left = true;
	}
}

/* That it lives, and its processor time: of the whole process, so that ZeroMQ's and the sync thread count as well. */
static void loop_count_time(struct loop *loop, uint64_t now_ns)
{
	struct rusage usage;
	loop->cpu_time_read_ns = now_ns;
	descriptors_tell(loop->counters);
	if (loop->counters)
		counter_set(loop->counters, COUNTER_turned_ms, now_ns / MILLISECOND_NS);
	if (!loop->counters || getrusage(RUSAGE_SELF, &usage) != 0)
		return;
	uint64_t us = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000u;
	counter_set(loop->counters, COUNTER_cpu_us, us + (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec));
}

static void loop_turn(struct loop *loop)
{
	const struct loop_actor *actor = &loop->actor;
	loop_poll(loop);
	struct clock_now now = clock_read();
	loop->work_left = false;
	loop_drain_sources(loop, now);
	if (actor->tick)
		actor->tick(actor->self, now);
	if (actor->persist)
		actor->persist(actor->self, now);
	if (actor->publish)
		actor->publish(actor->self, now);
	if (actor->send)
		actor->send(actor->self, now);
	if (actor->has_work && actor->has_work(actor->self))
		loop->work_left = true;
	loop_sweep(loop);
	if (loop->counters)
		counter_add(loop->counters, COUNTER_loop_turns, 1);
	if (now.monotonic_ns - loop->cpu_time_read_ns < CPU_TIME_EVERY_NS)
		return;
	loop_count_time(loop, now.monotonic_ns);
	for (uint32_t i = 0; i < loop->source_count; i++)
		if (loop->sources[i].socket)
			socket_renew_path(loop->sources[i].socket);
}

int loop_run(struct loop *loop)
{
	/* Without has_work, what arrives in an inbox between its drain and the sleep would wait for the backstop. */
	assert(!loop->has_inbox || loop->actor.has_work);
	loop->work_left = true; /* the first turn comes at once */
	while (!loop->stopping)
		loop_turn(loop);
	loop_count_time(loop, clock_read().monotonic_ns);
	loop->stopping = false;
	return loop->code;
}

void loop_stop(struct loop *loop, int code)
{
	/* The first reason counts. */
	if (!loop->stopping)
		loop->code = code;
	loop->stopping = true;
}
