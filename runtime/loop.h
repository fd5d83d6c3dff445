/* SPDX-License-Identifier: Apache-2.0
 *
 * The one event loop of every actor. A turn:
 *   1. poll until the earliest deadline (0 if the last turn left work), 2. read both clocks once, 3. drain each ready source up
 *   to its limit, stepping the actor's pure state machine, which piles up effects, 4. apply them in this order, whatever the
 *   actor: persist (hand to the log), publish (shared memory), send (sockets), then take the next deadline.
 * Sources are ZeroMQ sockets, file descriptors, and "idle inputs" that have no descriptor (an shm ring behind a doorbell).
 * The loop knows no role: it sees the callbacks of struct loop_actor. Not thread-safe; one loop a process. */
#ifndef GODWIT_RUNTIME_LOOP_H
#define GODWIT_RUNTIME_LOOP_H
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "shm/counters.h"
#include "shm/doorbell.h"

struct clock_now {
	uint64_t monotonic_ns;
	uint64_t wall_ms; /* since the Unix epoch */
};
struct clock_now clock_read(void);

#define LOOP_NEVER UINT64_MAX

struct loop;
struct loop_actor {
	void *self;
	/* Each may be NULL. Called once a turn, in this order, after the sources were drained. */
	void (*tick)(void *self, struct clock_now now); /* time as an event */
	void (*persist)(void *self, struct clock_now now);
	void (*publish)(void *self, struct clock_now now);
	void (*send)(void *self, struct clock_now now);
	uint64_t (*deadline_ns)(void *self); /* monotonic; LOOP_NEVER for none */
	/* True when there is input without a descriptor (a ring) or work left over: the loop then does not sleep. Asked again
	 * between doorbell_prepare and poll. */
	bool (*has_work)(void *self);
};

/* Handles at most `limit` messages of the source; returns how many (equal to limit: there may be more). May add and remove
 * sources; those added are first asked in the next turn. */
typedef uint32_t loop_drain(void *self, struct clock_now now, uint32_t limit);

/* bell: this actor's own; NULL when nobody rings it. counters: this actor's block, or NULL. */
int loop_new(struct loop **loop, const struct loop_actor *actor, struct doorbell *bell, struct counter_block *counters);
void loop_free(struct loop *loop);
int loop_add_socket(struct loop *loop, void *zmq_socket, loop_drain *drain, void *self);
int loop_add_fd(struct loop *loop, int fd, loop_drain *drain, void *self);
/* Drained every turn, without a descriptor. The actor must have has_work, which tells whether there is something in it. */
int loop_add_inbox(struct loop *loop, loop_drain *drain, void *self);
void loop_remove_socket(struct loop *loop, void *zmq_socket);
void loop_remove_fd(struct loop *loop, int fd);
/* Runs until loop_stop, SIGTERM or SIGINT (signalfd, added by the loop itself). Returns the code given to loop_stop. */
int loop_run(struct loop *loop);
void loop_stop(struct loop *loop, int code);
#define LOOP_DRAIN_MAX 256u

#endif
