/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/supervisor/supervisor.h"

#include <assert.h>
#include <string.h>

#define NS_PER_MS 1000000ull

/* Who is stopped together, stage after stage. */
static const uint32_t stop_stages[] = {
    1u << ACTOR_ROUTER, 1u << ACTOR_STREAMER | 1u << ACTOR_MONITOR | 1u << ACTOR_RECONCILER, 1u << ACTOR_COORDINATOR};
#define STOP_STAGES (sizeof(stop_stages) / sizeof(stop_stages[0]))

struct step {
	struct supervisor *supervisor;
	struct child *child;
	enum actor actor;
	uint64_t now_ns;
	struct supervisor_effects *effects;
};

static struct supervisor_effect *effect_add(
    struct supervisor_effects *effects, enum supervisor_effect_type type, enum actor actor)
{
	assert(effects->count < SUPERVISOR_EFFECTS_MAX);
	struct supervisor_effect *effect = &effects->list[effects->count++];
	*effect = (struct supervisor_effect){.type = type, .actor = actor};
	return effect;
}

static void child_enter(const struct step *step, enum child_state state, uint64_t deadline_ns)
{
	step->child->state = state;
	step->child->deadline_ns = deadline_ns;
}

static void child_spawn(const struct step *step)
{
	effect_add(step->effects, SUPERVISOR_EFFECT_SPAWN, step->actor);
	child_enter(step, CHILD_STARTING, step->now_ns + step->supervisor->start_timeout_ms * NS_PER_MS);
}

static void child_ready(const struct step *step)
{
	step->child->ready_ns = step->now_ns;
	child_enter(step, CHILD_READY, SUPERVISOR_NEVER);
}

static void child_again(const struct step *step)
{
	struct child *child = step->child;
	if (child->state == CHILD_READY && step->now_ns - child->ready_ns >= SUPERVISOR_FORGIVE_MS * NS_PER_MS)
		child->failures = 0;
	uint32_t delay_ms = 0;
	if (child->failures > 0) {
		/* 100 ms << 6 is beyond the limit: no larger shift is ever needed. */
		uint32_t doublings = child->failures - 1 < 6 ? child->failures - 1 : 6;
		delay_ms = SUPERVISOR_BACKOFF_MIN_MS << doublings;
	}
	bool at_limit = delay_ms >= SUPERVISOR_BACKOFF_MAX_MS;
	if (at_limit)
		delay_ms = SUPERVISOR_BACKOFF_MAX_MS;
	else
		child->failures++;

	struct supervisor_effect *told = effect_add(step->effects, SUPERVISOR_EFFECT_BACK_OFF, step->actor);
	told->delay_ms = delay_ms;
	told->at_limit = at_limit;
	if (delay_ms == 0)
		child_spawn(step);
	else
		child_enter(step, CHILD_BACKING_OFF, step->now_ns + delay_ms * NS_PER_MS);
}

static void child_down(const struct step *step)
{
	child_enter(step, CHILD_DOWN, SUPERVISOR_NEVER);
}

static void child_terminate(const struct step *step)
{
	effect_add(step->effects, SUPERVISOR_EFFECT_TERMINATE, step->actor);
	child_enter(step, CHILD_STOPPING, step->now_ns + step->supervisor->stop_timeout_ms * NS_PER_MS);
}

static void child_kill(const struct step *step)
{
	effect_add(step->effects, SUPERVISOR_EFFECT_KILL, step->actor);
	child_enter(step, CHILD_KILLING, SUPERVISOR_NEVER);
}

static void child_kill_slow_stop(const struct step *step)
{
	step->child->stay_down = true;
	child_kill(step);
}

static void child_killed(const struct step *step)
{
	if (step->child->stay_down)
		child_down(step);
	else
		child_again(step);
}

static void child_stay_down(const struct step *step)
{
	step->child->stay_down = true;
}

typedef void child_transition(const struct step *step);
/* NULL: nothing to do. That is right, too, for what comes late: a ready line of a child already told to stop. */
static child_transition *const transitions[CHILD_STATES][CHILD_EVENTS] = {
    /*                     START        READY        EXITED        DEADLINE               STOP             HANGS */
    [CHILD_DOWN] = {child_spawn, NULL, NULL, NULL, NULL, NULL},
    [CHILD_STARTING] = {NULL, child_ready, child_again, child_kill, child_terminate, NULL},
    [CHILD_READY] = {NULL, NULL, child_again, NULL, child_terminate, child_kill},
    [CHILD_BACKING_OFF] = {NULL, NULL, NULL, child_spawn, child_down, NULL},
    [CHILD_STOPPING] = {NULL, NULL, child_down, child_kill_slow_stop, NULL, NULL},
    [CHILD_KILLING] = {NULL, NULL, child_killed, NULL, child_stay_down, NULL},
};

static void child_step(
    struct supervisor *s, enum actor actor, enum child_event event, uint64_t now_ns, struct supervisor_effects *effects)
{
	const struct step step = {
	    .supervisor = s, .child = &s->children[actor], .actor = actor, .now_ns = now_ns, .effects = effects};
	child_transition *transition = transitions[step.child->state][event];
	if (transition != NULL)
		transition(&step);
}

void supervisor_init(struct supervisor *s, uint32_t start_timeout_ms, uint32_t stop_timeout_ms)
{
	memset(s, 0, sizeof(*s));
	s->start_timeout_ms = start_timeout_ms;
	s->stop_timeout_ms = stop_timeout_ms;
	for (uint32_t i = 0; i < ACTORS; i++)
		s->children[i].deadline_ns = SUPERVISOR_NEVER;
}

/* What follows from the states of all children together. */
static void start_go_on(struct supervisor *s, uint64_t now_ns, struct supervisor_effects *effects)
{
	if (!s->others_started && s->children[ACTOR_COORDINATOR].state == CHILD_READY) {
		s->others_started = true;
		for (uint32_t i = 0; i < ACTORS; i++)
			child_step(s, (enum actor)i, CHILD_EVENT_START, now_ns, effects);
	}
	uint32_t ready = 0;
	for (uint32_t i = 0; i < ACTORS; i++)
		ready += s->children[i].state == CHILD_READY;
	if (ready == ACTORS && !s->told_ready) {
		s->told_ready = true;
		effect_add(effects, SUPERVISOR_EFFECT_TELL_READY, ACTOR_COORDINATOR);
	}
}

static void stop_go_on(struct supervisor *s, uint64_t now_ns, struct supervisor_effects *effects)
{
	for (; s->stop_stage < STOP_STAGES; s->stop_stage++) {
		bool all_down = true;
		for (uint32_t i = 0; i < ACTORS; i++) {
			if ((stop_stages[s->stop_stage] >> i & 1u) == 0)
				continue;
			child_step(s, (enum actor)i, CHILD_EVENT_STOP, now_ns, effects);
			all_down = all_down && s->children[i].state == CHILD_DOWN;
		}
		if (!all_down)
			return;
	}
	if (!s->finished) {
		s->finished = true;
		effect_add(effects, SUPERVISOR_EFFECT_FINISHED, ACTOR_COORDINATOR);
	}
}

void supervisor_step(struct supervisor *s, const struct supervisor_event *event, struct supervisor_effects *effects)
{
	switch (event->type) {
	case SUPERVISOR_EVENT_START:
		child_step(s, ACTOR_COORDINATOR, CHILD_EVENT_START, event->now_ns, effects);
		break;
	case SUPERVISOR_EVENT_READY:
		child_step(s, event->actor, CHILD_EVENT_READY, event->now_ns, effects);
		break;
	case SUPERVISOR_EVENT_EXITED:
		child_step(s, event->actor, CHILD_EVENT_EXITED, event->now_ns, effects);
		break;
	case SUPERVISOR_EVENT_TIME:
		for (uint32_t i = 0; i < ACTORS; i++)
			if (event->now_ns >= s->children[i].deadline_ns)
				child_step(s, (enum actor)i, CHILD_EVENT_DEADLINE, event->now_ns, effects);
		break;
	case SUPERVISOR_EVENT_STOP:
		s->stopping = true;
		break;
	case SUPERVISOR_EVENT_HANGS:
		child_step(s, event->actor, CHILD_EVENT_HANGS, event->now_ns, effects);
		break;
	}
	/* One that waits its turn to be stopped may still end and be started again: its neighbours need it until then. */
	if (s->stopping)
		stop_go_on(s, event->now_ns, effects);
	else
		start_go_on(s, event->now_ns, effects);
}

uint64_t supervisor_deadline_ns(const struct supervisor *s)
{
	uint64_t earliest = SUPERVISOR_NEVER;
	for (uint32_t i = 0; i < ACTORS; i++)
		if (s->children[i].deadline_ns < earliest)
			earliest = s->children[i].deadline_ns;
	return earliest;
}

enum actor_state supervisor_actor_state(const struct supervisor *s, enum actor actor)
{
	static const enum actor_state states[CHILD_STATES] = {
	    [CHILD_DOWN] = ACTOR_DOWN,
	    [CHILD_STARTING] = ACTOR_STARTING,
	    [CHILD_READY] = ACTOR_READY,
	    [CHILD_BACKING_OFF] = ACTOR_BACKING_OFF,
	    [CHILD_STOPPING] = ACTOR_DOWN, /* nobody is to count on it any more */
	    [CHILD_KILLING] = ACTOR_DOWN,
	};
	return states[s->children[actor].state];
}
