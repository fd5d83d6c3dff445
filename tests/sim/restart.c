/* SPDX-License-Identifier: Apache-2.0
 *
 * Who brings processes up again: in some regions the supervisor's state machine, in others a timer, which is harsher in its
 * own way, since it has no rhythm. */
#include "tests/sim/sim.h"

#include <string.h>

static void start_later(struct sim *sim, struct sim_node *node, enum actor actor)
{
	uint64_t delay_ms =
	    chance_of(&sim->chance, 700) ? 5 + chance_below(&sim->chance, 100) : chance_below(&sim->chance, 4000);
	sim_push(sim, sim->now_ns + delay_ms * SIM_MS,
	    (struct sim_event){.kind = SIM_START, .region = node->region, .actor = actor});
}

static struct sim_event about(const struct sim_node *node, enum sim_event_kind kind, enum actor actor)
{
	return (struct sim_event){.kind = kind, .region = node->region, .actor = actor, .incarnation = node->generation};
}

static void spawn(struct sim *sim, struct sim_node *node, enum actor actor)
{
	struct sim_event event = about(node, SIM_START, actor);
	event.number = ++node->spawns[actor];
	if (!sim->calm && chance_of(&sim->chance, 4)) {
		sim->counts.hangs++;
		sim_trace(sim, "%s %s hangs while it starts", sim_names[node->region], actor_name(actor));
		return;
	}
	sim_push(sim, sim->now_ns + SIM_MS + chance_below(&sim->chance, 15 * SIM_MS), event);
}

static void feed(struct sim *sim, struct sim_node *node, enum supervisor_event_type type, enum actor actor)
{
	struct supervisor_event event = {.type = type, .actor = actor, .now_ns = sim->now_ns};
	struct supervisor_effects effects = {0};
	supervisor_step(&node->supervisor, &event, &effects);
	for (uint32_t i = 0; i < effects.count; i++) {
		const struct supervisor_effect *effect = &effects.list[i];
		switch (effect->type) {
		case SUPERVISOR_EFFECT_SPAWN:
			if (node->processes[effect->actor].up)
				sim_fail(sim, SIM_SAFETY, "the supervisor of %s starts a second %s", sim_names[node->region],
				    actor_name(effect->actor));
			spawn(sim, node, effect->actor);
			break;
		case SUPERVISOR_EFFECT_KILL:
			sim_trace(sim, "%s supervisor > kills the %s", sim_names[node->region], actor_name(effect->actor));
			node->spawns[effect->actor]++; /* one that was about to come up does not */
			node_kill(sim, node, effect->actor);
			sim_push(sim, sim->now_ns + SIM_MS, about(node, SIM_EXITED, effect->actor));
			break;
		case SUPERVISOR_EFFECT_BACK_OFF:
			sim_trace(sim, "%s supervisor > %s again in %u ms", sim_names[node->region], actor_name(effect->actor),
			    effect->delay_ms);
			break;
		case SUPERVISOR_EFFECT_TELL_READY:
			sim_trace(sim, "%s supervisor > all are ready", sim_names[node->region]);
			break;
		case SUPERVISOR_EFFECT_TERMINATE:
		case SUPERVISOR_EFFECT_FINISHED:
			sim_fail(sim, SIM_SAFETY, "the supervisor of %s stops, and nobody told it to", sim_names[node->region]);
		}
	}
	uint64_t deadline_ns = supervisor_deadline_ns(&node->supervisor);
	if (deadline_ns != SUPERVISOR_NEVER && deadline_ns != node->supervise_ns) {
		node->supervise_ns = deadline_ns;
		sim_push(sim, deadline_ns, about(node, SIM_SUPERVISE, ACTORS));
	}
}

void restart_begin(struct sim *sim, struct sim_node *node)
{
	if (!node->supervised) {
		for (uint32_t actor = 0; actor < ACTORS; actor++)
			if (!node->processes[actor].up)
				node_start(sim, node, (enum actor)actor);
		return;
	}
	sim_trace(sim, "%s supervisor up", sim_names[node->region]);
	node->generation++;
	node->supervisor_up = true;
	node->supervise_ns = 0;
	supervisor_init(&node->supervisor, SUPERVISOR_START_TIMEOUT_MS, SUPERVISOR_STOP_TIMEOUT_MS);
	feed(sim, node, SUPERVISOR_EVENT_START, ACTOR_COORDINATOR);
}

void restart_exited(struct sim *sim, struct sim_node *node, enum actor actor)
{
	if (!node->supervised)
		start_later(sim, node, actor);
	else if (node->supervisor_up)
		sim_push(sim, sim->now_ns + chance_below(&sim->chance, 2 * SIM_MS), about(node, SIM_EXITED, actor));
}

void restart_event(struct sim *sim, struct sim_node *node, const struct sim_event *event)
{
	enum actor actor = event->actor;
	if (event->kind == SIM_START && actor == ACTORS) {
		if (!node->supervisor_up)
			restart_begin(sim, node);
		return;
	}
	if (!node->supervised) {
		if (!node->processes[actor].up)
			node_start(sim, node, actor);
		return;
	}
	if (!node->supervisor_up || event->incarnation != node->generation)
		return;
	switch (event->kind) {
	case SIM_START:
		if (event->number != node->spawns[actor])
			return;
		node_start(sim, node, actor);
		struct sim_event ready = about(node, SIM_READY, actor);
		ready.number = node->processes[actor].incarnation;
		sim_push(sim, sim->now_ns + chance_below(&sim->chance, 3 * SIM_MS), ready);
		break;
	case SIM_READY:
		if (node->processes[actor].up && node->processes[actor].incarnation == event->number)
			feed(sim, node, SUPERVISOR_EVENT_READY, actor);
		break;
	case SIM_EXITED:
		feed(sim, node, SUPERVISOR_EVENT_EXITED, actor);
		break;
	default:
		feed(sim, node, SUPERVISOR_EVENT_TIME, ACTOR_COORDINATOR);
		break;
	}
}

/* Everything of a region dies at once, as with the machine, or with the supervisor. */
void restart_all(struct sim *sim, struct sim_node *node)
{
	for (uint32_t actor = 0; actor < ACTORS; actor++) {
		if (!node->processes[actor].up)
			continue;
		node_kill(sim, node, (enum actor)actor);
		if (!node->supervised)
			start_later(sim, node, (enum actor)actor);
	}
	if (!node->supervised || !node->supervisor_up)
		return;
	node->supervisor_up = false;
	start_later(sim, node, ACTORS);
}
