/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <zmq.h>

#include "runtime/loop.h"
#include "runtime/socket.h"

struct probe {
	struct loop *loop;
	char trace[64];
	uint32_t size, turns, turns_max, drained, more;
	uint64_t deadline_ns, ticked_ns;
	_Atomic uint32_t inbox;
	void *socket;
};

static void note(struct probe *p, char what)
{
	if (p->size + 1 < sizeof p->trace)
		p->trace[p->size++] = what;
}
static void probe_tick(void *self, struct clock_now now)
{
	struct probe *p = self;
	note(p, 't');
	p->ticked_ns = now.monotonic_ns;
}
static void probe_persist(void *self, struct clock_now now)
{
	(void)now;
	note(self, 'p');
}
static void probe_publish(void *self, struct clock_now now)
{
	(void)now;
	note(self, 'u');
}
static void probe_send(void *self, struct clock_now now)
{
	struct probe *p = self;
	(void)now;
	note(p, 's');
	if (++p->turns == p->turns_max)
		loop_stop(p->loop, 7);
}
static uint64_t probe_deadline(void *self)
{
	return ((struct probe *)self)->deadline_ns;
}
static bool probe_has_work(void *self)
{
	return atomic_load(&((struct probe *)self)->inbox) > 0;
}
static uint32_t probe_drain(void *self, struct clock_now now, uint32_t limit)
{
	struct probe *p = self;
	(void)now;
	note(p, 'd');
	uint32_t taken = p->more < limit ? p->more : limit;
	p->more -= taken;
	p->drained += taken;
	return taken;
}
static uint32_t inbox_drain(void *self, struct clock_now now, uint32_t limit)
{
	struct probe *p = self;
	(void)now;
	(void)limit;
	uint32_t got = atomic_exchange(&p->inbox, 0);
	p->drained += got;
	if (got)
		loop_stop(p->loop, 3);
	return got;
}
static struct loop_actor actor_of(struct probe *p)
{
	return (struct loop_actor){.self = p,
	    .tick = probe_tick,
	    .persist = probe_persist,
	    .publish = probe_publish,
	    .send = probe_send,
	    .deadline_ns = probe_deadline,
	    .has_work = probe_has_work};
}

Test(loop, effects_in_order)
{
	struct probe p = {.turns_max = 2, .deadline_ns = 0};
	struct loop_actor actor = actor_of(&p);
	cr_assert_eq(loop_new(&p.loop, &actor, NULL, NULL), 0);
	int fd = eventfd(1, EFD_NONBLOCK); /* always readable */
	cr_assert_eq(loop_add_fd(p.loop, fd, probe_drain, &p), 0);
	cr_assert_eq(loop_run(p.loop), 7);
	cr_assert_str_eq(p.trace, "dtpusdtpus");
	loop_remove_fd(p.loop, fd);
	p.size = 0;
	memset(p.trace, 0, sizeof p.trace);
	p.turns = 0;
	cr_assert_eq(loop_run(p.loop), 7);
	cr_assert_str_eq(p.trace + 1, p.trace[0] == 'd' ? "tpustpus" : "pustpus");
	loop_free(p.loop);
	close(fd);
}

Test(loop, deadline_is_met_and_never_early)
{
	struct probe p = {.turns_max = 2};
	struct loop_actor actor = actor_of(&p);
	cr_assert_eq(loop_new(&p.loop, &actor, NULL, NULL), 0);
	for (int i = 0; i < 5; i++) {
		p.turns = 0;
		p.deadline_ns = clock_read().monotonic_ns + 20000000;
		cr_assert_eq(loop_run(p.loop), 7);
		cr_assert_geq(p.ticked_ns, p.deadline_ns);
		cr_assert_lt(p.ticked_ns, p.deadline_ns + 2000000000);
	}
	loop_free(p.loop);
}

Test(loop, work_left_is_gone_on_with_at_once)
{
	struct probe p = {.turns_max = 4, .deadline_ns = LOOP_NEVER, .more = 3 * LOOP_DRAIN_MAX};
	struct loop_actor actor = actor_of(&p);
	cr_assert_eq(loop_new(&p.loop, &actor, NULL, NULL), 0);
	cr_assert_eq(loop_add_inbox(p.loop, probe_drain, &p), 0);
	alarm(20); /* without "work left" the loop would sleep for ever */
	cr_assert_eq(loop_run(p.loop), 7);
	cr_assert_eq(p.drained, 3 * LOOP_DRAIN_MAX);
	loop_free(p.loop);
}

struct ringer {
	struct probe *p;
	struct doorbell *bell;
};
static void *ring_later(void *self)
{
	struct ringer *r = self;
	usleep(15000);
	atomic_store(&r->p->inbox, 5);
	doorbell_ring(r->bell);
	return NULL;
}

Test(loop, doorbell_wakes)
{
	_Atomic uint32_t sleeping = 0;
	struct doorbell bell = {&sleeping, eventfd(0, EFD_NONBLOCK)};
	struct probe p = {.deadline_ns = LOOP_NEVER};
	struct loop_actor actor = actor_of(&p);
	cr_assert_eq(loop_new(&p.loop, &actor, &bell, NULL), 0);
	cr_assert_eq(loop_add_inbox(p.loop, inbox_drain, &p), 0);
	uint64_t fastest_ns = UINT64_MAX;
	for (int i = 0; i < 10; i++) {
		struct ringer ringer = {&p, &bell};
		pthread_t thread;
		p.drained = 0;
		uint64_t start_ns = clock_read().monotonic_ns;
		pthread_create(&thread, NULL, ring_later, &ringer);
		cr_assert_eq(loop_run(p.loop), 3);
		uint64_t took_ns = clock_read().monotonic_ns - start_ns;
		fastest_ns = took_ns < fastest_ns ? took_ns : fastest_ns;
		cr_assert_eq(p.drained, 5);
		pthread_join(thread, NULL);
		cr_assert_eq(atomic_load(&sleeping), 0);
	}
	/* Woken by the ring: the backstop on its own would be later. */
	cr_assert_lt(fastest_ns, (DOORBELL_BACKSTOP_MS - 10) * 1000000ull);
	loop_free(p.loop);
	close(bell.fd);
}

static _Atomic uint32_t sleeping_word;
static bool arrives_before_the_sleep(void *self)
{
	struct probe *p = self;
	if (atomic_load(&sleeping_word) && p->turns == 1)
		atomic_store(&p->inbox, 5);
	return atomic_load(&p->inbox) > 0;
}

/* The data came after the inbox was drained, the ring before the sleeper said that it sleeps. */
Test(loop, asks_once_more_before_it_sleeps)
{
	struct doorbell bell = {&sleeping_word, eventfd(0, EFD_NONBLOCK)};
	uint64_t fastest_ns = UINT64_MAX;
	alarm(20);
	for (int i = 0; i < 5; i++) {
		struct probe p = {.deadline_ns = LOOP_NEVER};
		struct loop_actor actor = actor_of(&p);
		actor.has_work = arrives_before_the_sleep;
		cr_assert_eq(loop_new(&p.loop, &actor, &bell, NULL), 0);
		cr_assert_eq(loop_add_inbox(p.loop, inbox_drain, &p), 0);
		uint64_t start_ns = clock_read().monotonic_ns;
		cr_assert_eq(loop_run(p.loop), 3);
		uint64_t took_ns = clock_read().monotonic_ns - start_ns;
		fastest_ns = took_ns < fastest_ns ? took_ns : fastest_ns;
		loop_free(p.loop);
	}
	cr_assert_lt(fastest_ns, (DOORBELL_BACKSTOP_MS - 10) * 1000000ull);
	close(bell.fd);
}

/* The ring came, but its eventfd write did not: the ringer was killed in between. */
Test(loop, a_lost_ring_is_met_by_the_backstop)
{
	_Atomic uint32_t sleeping = 0;
	struct doorbell bell = {&sleeping, eventfd(0, EFD_NONBLOCK)};
	struct probe p = {.deadline_ns = LOOP_NEVER, .turns_max = 5};
	struct loop_actor actor = actor_of(&p);
	cr_assert_eq(loop_new(&p.loop, &actor, &bell, NULL), 0);
	uint64_t start = clock_read().monotonic_ns;
	alarm(20);
	cr_assert_eq(loop_run(p.loop), 7);
	uint64_t took_ms = (clock_read().monotonic_ns - start) / 1000000;
	cr_assert_geq(took_ms, 4 * DOORBELL_BACKSTOP_MS);
	/* By hand, without bells: a millisecond. */
	bell.fd = -1;
	p.turns = 0;
	p.turns_max = 11;
	start = clock_read().monotonic_ns;
	cr_assert_eq(loop_run(p.loop), 7);
	took_ms = (clock_read().monotonic_ns - start) / 1000000;
	cr_assert_geq(took_ms, 9);
	loop_free(p.loop);
}

static uint32_t socket_drain(void *self, struct clock_now now, uint32_t limit)
{
	struct probe *p = self;
	uint32_t got = 0;
	(void)now;
	(void)limit;
	/* One at a time, so that messages stay in the socket after their edge is gone. */
	struct message message;
	if (socket_receive(p->socket, &message, false) == 0) {
		message_close(&message);
		got = 1;
		if (++p->drained == 100)
			loop_stop(p->loop, 4);
	}
	return got;
}

Test(loop, messages_left_in_a_socket_need_no_new_edge)
{
	void *context = socket_context_new(), *from, *to;
	struct probe p = {.deadline_ns = LOOP_NEVER};
	struct loop_actor actor = {.self = &p, .deadline_ns = probe_deadline};
	cr_assert_eq(loop_new(&p.loop, &actor, NULL, NULL), 0);
	cr_assert_eq(socket_bind(&to, context, ZMQ_ROUTER, "inproc://x", NULL, NULL), 0);
	cr_assert_eq(socket_connect(&from, context, ZMQ_DEALER, "inproc://x", NULL, NULL), 0);
	p.socket = to;
	cr_assert_eq(loop_add_socket(p.loop, to, socket_drain, &p), 0);
	for (int i = 0; i < 100; i++)
		cr_assert_eq(socket_send(from, NULL, 0, "m", 1), 0);
	alarm(20);
	cr_assert_eq(loop_run(p.loop), 4);
	cr_assert_eq(p.drained, 100);
	loop_free(p.loop);
	socket_context_free(context);
}

Test(loop, sigterm_ends_it_and_time_is_counted)
{
	struct counter_block *counters = aligned_alloc(128, (sizeof *counters + 127) / 128 * 128);
	memset(counters, 0, sizeof *counters);
	struct probe p = {.deadline_ns = LOOP_NEVER};
	struct loop_actor actor = actor_of(&p);
	cr_assert_eq(loop_new(&p.loop, &actor, NULL, counters), 0);
	raise(SIGPIPE);
	raise(SIGHUP);
	raise(SIGTERM);
	alarm(20);
	cr_assert_eq(loop_run(p.loop), 0);
	cr_assert_geq(counter_get(counters, COUNTER_loop_turns), 1);
	cr_assert_gt(counter_get(counters, COUNTER_cpu_us), 0);
	loop_free(p.loop);
	free(counters);
}

static uint32_t removing_drain(void *self, struct clock_now now, uint32_t limit)
{
	struct probe *p = self;
	(void)now;
	(void)limit;
	p->drained++;
	socket_close(p->socket); /* after its removal nothing may touch it */
	return 0;
}
static uint32_t remover_drain(void *self, struct clock_now now, uint32_t limit)
{
	struct probe *p = self;
	(void)now;
	(void)limit;
	if (p->socket) {
		loop_remove_socket(p->loop, p->socket);
		socket_close(p->socket);
		p->socket = NULL;
	}
	return 0;
}

Test(loop, a_source_removed_in_a_turn_is_not_called_in_it)
{
	void *context = socket_context_new(), *from, *to;
	struct probe p = {.turns_max = 5, .deadline_ns = 0};
	struct loop_actor actor = actor_of(&p);
	cr_assert_eq(loop_new(&p.loop, &actor, NULL, NULL), 0);
	cr_assert_eq(socket_bind(&to, context, ZMQ_ROUTER, "inproc://x", NULL, NULL), 0);
	cr_assert_eq(socket_connect(&from, context, ZMQ_DEALER, "inproc://x", NULL, NULL), 0);
	cr_assert_eq(socket_send(from, NULL, 0, "m", 1), 0);
	p.socket = to;
	cr_assert_eq(loop_add_inbox(p.loop, remover_drain, &p), 0);
	cr_assert_eq(loop_add_socket(p.loop, to, removing_drain, &p), 0);
	cr_assert_eq(loop_run(p.loop), 7);
	cr_assert_eq(p.drained, 0);
	loop_free(p.loop);
	socket_context_free(context);
}
