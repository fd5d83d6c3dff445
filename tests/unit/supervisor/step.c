/* SPDX-License-Identifier: Apache-2.0
 *
 * The step function by traces: what is asked for is written as one word an effect ("+router" start, "-router" SIGTERM,
 * "!router" SIGKILL, "~router:200" told that it is started again in 200 ms, "ready", "finished"). */
#include "actors/supervisor/supervisor.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct supervisor s;
static uint64_t now_ms;
static char trace[512];
static bool limit_told;

static const char *step(enum supervisor_event_type type, enum actor actor)
{
	static const char signs[] = {'+', '-', '!', '~'};
	struct supervisor_effects effects = {0};
	struct supervisor_event event = {.type = type, .actor = actor, .now_ns = now_ms * 1000000u};
	supervisor_step(&s, &event, &effects);
	size_t size = 0;
	trace[0] = 0;
	limit_told = false;
	for (uint32_t i = 0; i < effects.count; i++) {
		const struct supervisor_effect *e = &effects.list[i];
		const char *space = i == 0 ? "" : " ";
		if (e->type == SUPERVISOR_EFFECT_BACK_OFF)
			size += (size_t)snprintf(
			    trace + size, sizeof(trace) - size, "%s~%s:%u", space, actor_name(e->actor), e->delay_ms);
		else if (e->type <= SUPERVISOR_EFFECT_KILL)
			size += (size_t)snprintf(
			    trace + size, sizeof(trace) - size, "%s%c%s", space, signs[e->type], actor_name(e->actor));
		else
			size += (size_t)snprintf(trace + size, sizeof(trace) - size, "%s%s", space,
			    e->type == SUPERVISOR_EFFECT_TELL_READY ? "ready" : "finished");
		limit_told = limit_told || e->at_limit;
	}
	return trace;
}

#define EXPECT(type, actor, wanted) cr_assert_str_eq(step(SUPERVISOR_EVENT_##type, ACTOR_##actor), wanted)
#define ACTOR_ANY                   ACTOR_COORDINATOR

static void set_up(void)
{
	now_ms = 1000;
	supervisor_init(&s, 30000, 10000);
}

static void all_ready(void)
{
	EXPECT(START, ANY, "+coordinator");
	EXPECT(READY, COORDINATOR, "+streamer +monitor +router +reconciler");
	EXPECT(READY, STREAMER, "");
	EXPECT(READY, MONITOR, "");
	EXPECT(READY, RECONCILER, "");
	EXPECT(READY, ROUTER, "ready");
}

TestSuite(supervisor_step, .init = set_up);

Test(supervisor_step, coordinator_first_then_the_others_then_ready)
{
	EXPECT(START, ANY, "+coordinator");
	cr_assert_eq(supervisor_actor_state(&s, ACTOR_COORDINATOR), ACTOR_STARTING);
	cr_assert_eq(supervisor_actor_state(&s, ACTOR_ROUTER), ACTOR_DOWN);
	EXPECT(TIME, ANY, "");
	set_up();
	all_ready();
	cr_assert_eq(supervisor_actor_state(&s, ACTOR_ROUTER), ACTOR_READY);
	cr_assert_eq(supervisor_deadline_ns(&s), SUPERVISOR_NEVER);
}

Test(supervisor_step, the_others_stay_up_when_the_coordinator_dies_and_ready_is_told_once)
{
	all_ready();
	EXPECT(EXITED, COORDINATOR, "~coordinator:0 +coordinator");
	EXPECT(READY, COORDINATOR, "");
}

Test(supervisor_step, the_others_wait_for_a_coordinator_that_dies_while_starting)
{
	EXPECT(START, ANY, "+coordinator");
	EXPECT(EXITED, COORDINATOR, "~coordinator:0 +coordinator");
	EXPECT(EXITED, COORDINATOR, "~coordinator:100");
	now_ms += 99;
	EXPECT(TIME, ANY, "");
	now_ms += 1;
	EXPECT(TIME, ANY, "+coordinator");
	EXPECT(READY, COORDINATOR, "+streamer +monitor +router +reconciler");
}

Test(supervisor_step, back_off_doubles_to_five_seconds_and_never_gives_up)
{
	static const uint32_t delays[] = {0, 100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000};
	all_ready();
	for (uint32_t i = 0; i < sizeof(delays) / sizeof(delays[0]); i++) {
		char wanted[64];
		snprintf(wanted, sizeof(wanted), delays[i] == 0 ? "~router:%u +router" : "~router:%u", delays[i]);
		EXPECT(EXITED, ROUTER, wanted);
		cr_assert_eq(limit_told, delays[i] == 5000);
		if (delays[i] == 0)
			continue;
		cr_assert_eq(supervisor_actor_state(&s, ACTOR_ROUTER), ACTOR_BACKING_OFF);
		cr_assert_eq(supervisor_deadline_ns(&s), (now_ms + delays[i]) * 1000000u);
		now_ms += delays[i];
		EXPECT(TIME, ANY, "+router");
	}
}

Test(supervisor_step, ten_seconds_of_being_ready_forgive_and_less_does_not)
{
	all_ready();
	EXPECT(EXITED, ROUTER, "~router:0 +router");
	EXPECT(READY, ROUTER, "");
	now_ms += 9999;
	EXPECT(EXITED, ROUTER, "~router:100");
	now_ms += 100;
	EXPECT(TIME, ANY, "+router");
	EXPECT(READY, ROUTER, "");
	now_ms += 10000;
	EXPECT(EXITED, ROUTER, "~router:0 +router");
	now_ms += 20000; /* not ready: no merit */
	EXPECT(EXITED, ROUTER, "~router:100");
}

Test(supervisor_step, an_actor_that_does_not_get_ready_is_killed_and_started_again)
{
	all_ready();
	EXPECT(EXITED, MONITOR, "~monitor:0 +monitor");
	now_ms += 29999;
	EXPECT(TIME, ANY, "");
	now_ms += 1;
	EXPECT(TIME, ANY, "!monitor");
	EXPECT(READY, MONITOR, "");
	EXPECT(EXITED, MONITOR, "~monitor:100");
}

Test(supervisor_step, stops_from_the_front_door_to_the_store)
{
	all_ready();
	EXPECT(STOP, ANY, "-router");
	EXPECT(STOP, ANY, "");
	EXPECT(EXITED, ROUTER, "-streamer -monitor -reconciler");
	EXPECT(EXITED, MONITOR, "");
	EXPECT(EXITED, STREAMER, "");
	EXPECT(EXITED, RECONCILER, "-coordinator");
	EXPECT(EXITED, COORDINATOR, "finished");
}

Test(supervisor_step, one_that_does_not_stop_is_killed_after_ten_seconds)
{
	all_ready();
	EXPECT(STOP, ANY, "-router");
	now_ms += 9999;
	EXPECT(TIME, ANY, "");
	now_ms += 1;
	EXPECT(TIME, ANY, "!router");
	EXPECT(EXITED, ROUTER, "-streamer -monitor -reconciler");
}

Test(supervisor_step, one_that_dies_while_it_waits_its_turn_to_stop_is_started_again)
{
	all_ready();
	EXPECT(STOP, ANY, "-router");
	EXPECT(EXITED, COORDINATOR, "~coordinator:0 +coordinator");
	EXPECT(EXITED, COORDINATOR, "~coordinator:100");
	EXPECT(EXITED, ROUTER, "-streamer -monitor -reconciler");
	EXPECT(EXITED, MONITOR, "");
	EXPECT(EXITED, STREAMER, "");
	EXPECT(EXITED, RECONCILER, "finished"); /* the coordinator waited to be started: down at once */
}

Test(supervisor_step, stop_while_starting)
{
	EXPECT(START, ANY, "+coordinator");
	EXPECT(STOP, ANY, "-coordinator");
	EXPECT(READY, COORDINATOR, ""); /* too late: nobody else is started */
	EXPECT(EXITED, COORDINATOR, "finished");

	set_up();
	EXPECT(START, ANY, "+coordinator");
	now_ms += 30000;
	EXPECT(TIME, ANY, "!coordinator");
	EXPECT(STOP, ANY, "");
	EXPECT(EXITED, COORDINATOR, "finished"); /* killed for being slow, and not started again */
}

/* Whatever comes in whatever order: one process a child at most, no effect without end, and a stop always ends. */
Test(supervisor_step, random_events)
{
	uint32_t random = 1;
	for (uint32_t round = 0; round < 2000; round++) {
		bool alive[ACTORS] = {false};
		bool finished = false;
		set_up();
		for (uint32_t i = 0; i < 1000 && !finished; i++) {
			random = random * 1664525u + 1013904223u;
			struct supervisor_event event = {.type = i == 0 ? SUPERVISOR_EVENT_START : SUPERVISOR_EVENT_TIME};
			event.actor = (enum actor)((random >> 24) % ACTORS);
			uint32_t dice = (random >> 16) % 64;
			if (i > 0 && i < 300 && dice < 1)
				event.type = SUPERVISOR_EVENT_STOP;
			else if (i == 300)
				event.type = SUPERVISOR_EVENT_STOP; /* at last */
			else if (i > 0 && dice < 24 && alive[event.actor])
				event.type = dice < 16 ? SUPERVISOR_EVENT_READY : SUPERVISOR_EVENT_EXITED;
			now_ms += random >> 20;
			event.now_ns = now_ms * 1000000u;
			if (event.type == SUPERVISOR_EVENT_EXITED)
				alive[event.actor] = false;
			struct supervisor_effects effects = {0};
			supervisor_step(&s, &event, &effects);
			for (uint32_t j = 0; j < effects.count; j++) {
				const struct supervisor_effect *e = &effects.list[j];
				if (e->type == SUPERVISOR_EFFECT_SPAWN) {
					cr_assert(!alive[e->actor], "started twice");
					alive[e->actor] = true;
				} else if (e->type == SUPERVISOR_EFFECT_TERMINATE || e->type == SUPERVISOR_EFFECT_KILL) {
					cr_assert(alive[e->actor], "signal to nobody");
				}
				finished = finished || e->type == SUPERVISOR_EFFECT_FINISHED;
			}
		}
		cr_assert(finished);
		for (uint32_t i = 0; i < ACTORS; i++)
			cr_assert(!alive[i], "left behind");
	}
}

Test(supervisor_step, f14_what_hangs_is_killed_and_started_again_but_only_if_it_was_ready)
{
	EXPECT(START, ANY, "+coordinator");
	EXPECT(HANGS, COORDINATOR, "");
	EXPECT(READY, COORDINATOR, "+streamer +monitor +router +reconciler");
	EXPECT(HANGS, COORDINATOR, "!coordinator");
	EXPECT(HANGS, COORDINATOR, "");
	EXPECT(EXITED, COORDINATOR, "~coordinator:0 +coordinator");
}
