/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/sim.h"

#include <assert.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

uint64_t chance_next(struct chance *c) /* splitmix64 (Steele, Lea, Flood, 2014) */
{
	uint64_t z = (c->state += 0x9e3779b97f4a7c15ull);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static bool before(const struct sim_event *a, const struct sim_event *b)
{
	return a->time_ns != b->time_ns ? a->time_ns < b->time_ns : a->order < b->order;
}

void sim_push(struct sim *sim, uint64_t time_ns, struct sim_event event)
{
	if (sim->queue_count == sim->queue_capacity) {
		sim->queue_capacity = sim->queue_capacity ? sim->queue_capacity * 2 : 1024;
		sim->queue = realloc(sim->queue, sim->queue_capacity * sizeof *sim->queue);
		if (!sim->queue)
			abort();
	}
	event.time_ns = time_ns < sim->now_ns ? sim->now_ns : time_ns;
	event.order = sim->order++;
	uint32_t place = sim->queue_count++;
	while (place && before(&event, &sim->queue[(place - 1) / 2])) {
		sim->queue[place] = sim->queue[(place - 1) / 2];
		place = (place - 1) / 2;
	}
	sim->queue[place] = event;
}

static struct sim_event pop(struct sim *sim)
{
	struct sim_event first = sim->queue[0], last = sim->queue[--sim->queue_count];
	uint32_t place = 0;
	for (;;) {
		uint32_t child = place * 2 + 1;
		if (child >= sim->queue_count)
			break;
		if (child + 1 < sim->queue_count && before(&sim->queue[child + 1], &sim->queue[child]))
			child++;
		if (!before(&sim->queue[child], &last))
			break;
		sim->queue[place] = sim->queue[child];
		place = child;
	}
	sim->queue[place] = last;
	return first;
}

/* A paused process gets its events when it goes on; a dead one never. True when the event is for nobody now. */
static bool held_back(struct sim *sim, const struct sim_process *process, const struct sim_event *event)
{
	if (process->up && sim->now_ns < process->paused_until_ns) {
		sim_push(sim, process->paused_until_ns, *event);
		return true;
	}
	return false;
}

static void message(struct sim *sim, struct sim_node *node, const struct sim_event *event)
{
	if (event->service == SERVICE_STREAM)
		stream_message(sim, node, event->from_receiver, event->bytes, event->size);
	else if (event->service == SERVICE_HEALTH)
		health_message(sim, node, event->from_receiver, event->bytes, event->size);
	else
		digests_message(sim, node, event);
}

static void turn(struct sim *sim, struct sim_node *node, enum actor actor)
{
	if (actor == ACTOR_COORDINATOR)
		node_coordinator_turn(sim, node);
	else if (actor == ACTOR_STREAMER)
		stream_turn(sim, node);
	else if (actor == ACTOR_MONITOR)
		health_turn(sim, node);
	else if (actor == ACTOR_RECONCILER)
		digests_turn(sim, node);
}

static jmp_buf survivors;

_Noreturn void sim_escape(void)
{
	stream_escape();
	longjmp(survivors, 1);
}

static void dispatch(struct sim *sim, struct sim_event *event)
{
	struct sim_node *node = &sim->nodes[event->region];
	static const enum actor receivers[SERVICES] = {
	    [SERVICE_STREAM] = ACTOR_STREAMER, [SERVICE_HEALTH] = ACTOR_MONITOR, [SERVICE_DIGEST] = ACTOR_RECONCILER};
	enum actor actor = event->kind == SIM_MESSAGE ? receivers[event->service]
	                   : event->kind == SIM_TURN  ? event->actor
	                   : event->kind == SIM_READ  ? ACTOR_ROUTER
	                                              : ACTOR_COORDINATOR;
	struct sim_process *process = &node->processes[actor];
	if (setjmp(survivors)) {
		free(event->bytes);
		free(event->answer);
		return;
	}
	switch (event->kind) {
	case SIM_MESSAGE:
		if (held_back(sim, process, event))
			return;
		if (process->up)
			message(sim, node, event);
		break;
	case SIM_SYNC_DONE:
		if (held_back(sim, process, event))
			return;
		if (process->up && process->incarnation == event->incarnation)
			node_sync_done(sim, node);
		break;
	case SIM_TURN:
		if (held_back(sim, process, event))
			return;
		if (process->up && process->incarnation == event->incarnation && process->turn_ns <= event->time_ns) {
			process->turn_ns = UINT64_MAX;
			turn(sim, node, actor);
		}
		break;
	case SIM_CLIENT_TURN:
		client_turn(sim, event->client);
		break;
	case SIM_REQUEST:
		/* What waits for a process dies with it. */
		if (!event->incarnation)
			event->incarnation = process->incarnation;
		if (held_back(sim, process, event))
			return;
		if (process->up && process->incarnation == event->incarnation && node->processes[ACTOR_ROUTER].up)
			node_request(sim, node, event->client, event->number, event->repeat);
		break;
	case SIM_READ:
		if (held_back(sim, process, event))
			return;
		if (process->up)
			read_answer(sim, node, event);
		break;
	case SIM_ANSWER:
		client_answer(sim, event->client, event->answer);
		break;
	case SIM_START:
	case SIM_READY:
	case SIM_EXITED:
	case SIM_SUPERVISE:
		restart_event(sim, node, event);
		break;
	case SIM_FAULT:
		if (!sim->calm)
			fault_next(sim);
		break;
	case SIM_FLAP:
		if (!sim->calm)
			fault_flap(sim, event);
		break;
	}
	free(event->bytes);
	free(event->answer);
}

static void run_until(struct sim *sim, uint64_t limit_ns, bool (*done)(struct sim *sim))
{
	uint32_t countdown = 0;
	while (sim->queue_count && sim->queue[0].time_ns <= limit_ns) {
		struct sim_event event = pop(sim);
		sim->now_ns = event.time_ns;
		/* Time must pass: who always finds something to do at once would keep it from doing so. */
		if (sim->order > SIM_EVENTS_MAX)
			sim_fail(sim, SIM_LIVENESS, "%llu events, and no end", (unsigned long long)sim->order);
		dispatch(sim, &event);
		if (done && ++countdown % 64 == 0 && done(sim))
			return;
	}
	if (!done || !done(sim))
		sim->now_ns = limit_ns > sim->now_ns ? limit_ns : sim->now_ns;
}

static bool all_issued(struct sim *sim)
{
	return sim->operations_issued >= sim->operations_wanted;
}

static void topology_make(struct sim *sim)
{
	struct topology *topology = &sim->topology;
	strcpy(topology->cluster, "sim");
	topology->region_count = sim->regions;
	topology->keyspace_count = 1;
	strcpy(topology->keyspaces[0].name, "default");
	for (uint8_t r = 0; r < sim->regions; r++) {
		topology->regions[r].id = r;
		snprintf(topology->regions[r].name, sizeof topology->regions[r].name, "%s", sim_names[r]);
	}
}

static bool all_settled(struct sim *sim)
{
	return clients_idle(sim) && check_converged(sim) && health_settled(sim) && digests_settled(sim);
}

static void clients_go_on(struct sim *sim, uint32_t operations)
{
	sim->operations_wanted += operations;
	for (uint32_t i = 0; i < SIM_CLIENTS; i++)
		sim_push(sim, sim->now_ns, (struct sim_event){.kind = SIM_CLIENT_TURN, .client = i});
}

static void cut_off(struct sim *sim, uint8_t region, bool cut)
{
	sim_trace(sim, "%s %s", sim_names[region], cut ? "is cut off" : "is back");
	for (uint32_t r = 0; r < sim->regions; r++) {
		if (r == region)
			continue;
		network_cut(sim, region, r, cut);
		network_cut(sim, r, region, cut);
	}
}

void sim_run(struct sim *sim, uint64_t seed, uint32_t operations, bool trace)
{
	sim->seed = seed;
	sim->trace = trace;
	sim->chance.state = seed;
	sim->operations_wanted = operations;
	sim->wall_start_ms = 1900000000000ull;
	fault_draw(sim);
	rows_show(sim);
	topology_make(sim);
	for (uint8_t r = 0; r < sim->regions; r++) {
		struct sim_node *node = &sim->nodes[r];
		node->region = r;
		/* On a page's start, as shm_layout demands it, and nothing of it is touched before its use. */
		node->memory = mmap(NULL, sizeof *node->memory, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (node->memory == MAP_FAILED)
			abort();
		node->peers = ((1u << sim->regions) - 1) & ~(1u << r);
		restart_begin(sim, node);
	}
	for (uint32_t i = 0; i < SIM_CLIENTS; i++) {
		sim->clients[i].id = chance_next(&sim->chance) | 1;
		sim->clients[i].region = (uint8_t)(i % sim->regions);
		sim_push(
		    sim, chance_below(&sim->chance, 20 * SIM_MS), (struct sim_event){.kind = SIM_CLIENT_TURN, .client = i});
	}
	sim_push(sim, sim->fault_gap_ms * SIM_MS, (struct sim_event){.kind = SIM_FAULT});

	/* Safety: everything may go wrong, and whatever is seen must be right. */
	run_until(sim, 3600ull * 1000 * SIM_MS, all_issued);
	if (!all_issued(sim))
		sim_fail(sim, SIM_LIVENESS, "clients issued only %u operations in an hour", sim->operations_issued);
	/* Liveness: nothing goes wrong any more; it must become quiet and equal. */
	sim_trace(sim, "---- the faults end");
	fault_end(sim);
	run_until(sim, sim->now_ns + SIM_LIVE_NS, all_settled);
	if (!clients_idle(sim))
		sim_fail(
		    sim, SIM_LIVENESS, "requests without an outcome %llu s after the last fault", SIM_LIVE_NS / 1000000000ull);
	check_end(sim);
	if (sim->damage) {
		digests_damage(sim);
		sim->counts.damages++;
		run_until(sim, sim->now_ns + 30ull * 1000 * SIM_MS, digests_damage_told);
		if (!digests_damage_told(sim))
			sim_fail(sim, SIM_LIVENESS, "row %s of %s differs, and not everybody says so (T13)", sim->damaged_key,
			    sim_names[sim->damaged_region]);
		return;
	}
	if (sim->wipe_region < sim->regions && sim->write_counts[sim->wipe_region]) {
		struct sim_node *node = &sim->nodes[sim->wipe_region];
		sim_trace(sim, "---- %s comes back without its disk", sim_names[node->region]);
		for (uint32_t actor = 0; actor < ACTORS; actor++)
			node_kill(sim, node, (enum actor)actor);
		disk_wipe(&node->disk);
		node->wiped = true;
		node_lose_memory(sim, node);
		restart_begin(sim, node);
		if (chance_of(&sim->chance, 500)) {
			/* Nobody tells it until it has outgrown its old numbers. */
			cut_off(sim, node->region, true);
			clients_go_on(sim, 60 + (uint32_t)(sim->write_counts[node->region] * sim->regions * 3 / 2));
			run_until(sim, sim->now_ns + 600ull * 1000 * SIM_MS, all_issued);
			cut_off(sim, node->region, false);
		}
		clients_go_on(sim, SIM_WIPED_OPERATIONS);
		run_until(sim, sim->now_ns + 20ull * 1000 * SIM_MS, NULL);
		check_wiped(sim);
	}
}

void sim_release(struct sim *sim)
{
	for (uint32_t i = 0; i < sim->queue_count; i++) {
		free(sim->queue[i].bytes);
		free(sim->queue[i].answer);
	}
	free(sim->queue);
	for (uint32_t r = 0; r < sim->regions; r++) {
		node_release(&sim->nodes[r]);
		for (uint64_t i = 0; i < sim->write_counts[r]; i++)
			free(sim->writes[r][i].bytes);
		free(sim->writes[r]);
	}
	for (uint32_t i = 0; i < SIM_CLIENTS; i++)
		free(sim->clients[i].operations);
}
