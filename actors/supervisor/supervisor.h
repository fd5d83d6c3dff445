/* SPDX-License-Identifier: Apache-2.0
 *
 * The supervisor as a step function: which child is to be started, told to stop, killed, and when. No process, file or clock
 * in here; io.c has them.
 *
 * A child, state by event (a dot: nothing to do):
 *
 *                START      READY     EXITED              DEADLINE            STOP                 HANGS
 *   DOWN         spawn      .         .                   .                   .                    .
 *   STARTING     .          ready     start it again      kill (too slow)     SIGTERM              .
 *   READY        .          .         start it again      .                   SIGTERM              kill
 *   BACKING_OFF  .          .         .                   spawn               down                 .
 *   STOPPING     .          .         down                kill (too slow)     .                    .
 *   KILLING      .          .         start it again,     .                   remember that it is  .
 *                                     or down if stopping                     to stay down
 *
 * "Start it again": at once the first time, then after 100 ms, doubling to 5 s; from there on each time with an error line, but
 * it is never given up: what ails it (a full disk, a port in use) may pass. Ten seconds of being ready forgive everything.
 *
 * The coordinator is started first, since the others need the store that it makes; the other four when it is ready for the
 * first time. When it dies later, they stay up. Stopping goes the other way: the front door, then those who talk to peers, then
 * the coordinator. */
#ifndef GODWIT_ACTORS_SUPERVISOR_SUPERVISOR_H
#define GODWIT_ACTORS_SUPERVISOR_SUPERVISOR_H
#include <stdbool.h>
#include <stdint.h>

#include "shm/layout.h"

#define SUPERVISOR_START_TIMEOUT_MS 30000u
#define SUPERVISOR_STOP_TIMEOUT_MS  10000u
#define SUPERVISOR_BACKOFF_MIN_MS   100u
#define SUPERVISOR_BACKOFF_MAX_MS   5000u
#define SUPERVISOR_FORGIVE_MS       10000u
#define SUPERVISOR_NEVER            UINT64_MAX

enum child_state { CHILD_DOWN, CHILD_STARTING, CHILD_READY, CHILD_BACKING_OFF, CHILD_STOPPING, CHILD_KILLING, CHILD_STATES };
enum child_event {
	CHILD_EVENT_START,
	CHILD_EVENT_READY,
	CHILD_EVENT_EXITED,
	CHILD_EVENT_DEADLINE,
	CHILD_EVENT_STOP,
	CHILD_EVENT_HANGS,
	CHILD_EVENTS
};

struct child {
	enum child_state state;
	bool stay_down;       /* a stop came while it was being killed */
	uint32_t failures;    /* ends in a row, none of them after SUPERVISOR_FORGIVE_MS of being ready */
	uint64_t deadline_ns; /* SUPERVISOR_NEVER: none */
	uint64_t ready_ns;    /* since when, while READY */
};

struct supervisor {
	struct child children[ACTORS];
	uint32_t start_timeout_ms, stop_timeout_ms;
	uint32_t stop_stage;
	bool others_started, told_ready, stopping, finished;
};

enum supervisor_event_type {
	SUPERVISOR_EVENT_START,  /* once, first of all */
	SUPERVISOR_EVENT_READY,  /* this actor said so */
	SUPERVISOR_EVENT_EXITED, /* this actor ended, whatever the reason; also: could not be started */
	SUPERVISOR_EVENT_TIME,   /* deadlines may have passed */
	SUPERVISOR_EVENT_STOP,
	SUPERVISOR_EVENT_HANGS, /* this actor's loop has not turned for too long */
};
struct supervisor_event {
	enum supervisor_event_type type;
	enum actor actor; /* READY, EXITED, HANGS */
	uint64_t now_ns;  /* CLOCK_MONOTONIC */
};

enum supervisor_effect_type {
	SUPERVISOR_EFFECT_SPAWN,
	SUPERVISOR_EFFECT_TERMINATE,  /* SIGTERM */
	SUPERVISOR_EFFECT_KILL,       /* SIGKILL: it did not start or stop in time, or hangs */
	SUPERVISOR_EFFECT_BACK_OFF,   /* to be told: it ended and is started again after delay_ms */
	SUPERVISOR_EFFECT_TELL_READY, /* all five are ready, for the first time */
	SUPERVISOR_EFFECT_FINISHED,   /* all are down after a stop */
};
struct supervisor_effect {
	enum supervisor_effect_type type;
	enum actor actor;
	uint32_t delay_ms; /* BACK_OFF */
	bool at_limit;     /* BACK_OFF: as long as it gets */
};
#define SUPERVISOR_EFFECTS_MAX (4u * ACTORS + 2u)
struct supervisor_effects {
	uint32_t count;
	struct supervisor_effect list[SUPERVISOR_EFFECTS_MAX];
};

void supervisor_init(struct supervisor *s, uint32_t start_timeout_ms, uint32_t stop_timeout_ms);
/* Effects are appended, to be carried out in order. */
void supervisor_step(struct supervisor *s, const struct supervisor_event *event, struct supervisor_effects *effects);
uint64_t supervisor_deadline_ns(const struct supervisor *s);
/* What the rest of the region is told of a child. */
enum actor_state supervisor_actor_state(const struct supervisor *s, enum actor actor);

#endif
