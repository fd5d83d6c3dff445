/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/commit/sim.h"

/* A commit of one key that all regions want, of three, five and seven. Round trips to the nearest majority: 75, 75, 110 ms of
 * three, 75 to 165 of five, 115 to 260 of seven; and who is next has to hear of it. */
static const double hot_commit_ms_max[SIM_REGIONS_MAX + 1] = {[3] = 130, [5] = 200, [7] = 280};

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

static void deliver(struct sim *sim, uint64_t time_ns, struct sim_event event)
{
	uint8_t *copy = malloc(event.size ? event.size : 1);
	if (!copy)
		abort();
	memcpy(copy, event.bytes, event.size);
	event.bytes = copy;
	sim->counts.messages++;
	sim_push(sim, time_ns, event);
}

/* Worse than TCP: lost, twice, late, out of order. */
void sim_network(struct sim *sim, uint8_t from, uint8_t to, struct sim_event event)
{
	struct sim_link *link = &sim->links[from][to];
	if (link->cut || chance_of(&sim->chance, link->loss))
		return;
	uint64_t time_ns = sim->now_ns + link->delay_ns + (link->jitter_ns ? chance_below(&sim->chance, link->jitter_ns) : 0);
	if (!chance_of(&sim->chance, link->reorder)) {
		if (time_ns <= link->last_ns)
			time_ns = link->last_ns + 1;
		link->last_ns = time_ns;
	}
	deliver(sim, time_ns, event);
	if (chance_of(&sim->chance, link->duplicate))
		deliver(sim, time_ns + chance_below(&sim->chance, 2000 * SIM_MS), event);
}

static bool is_to_node(const struct sim_event *event)
{
	return event->kind <= SIM_PUMP || event->kind == SIM_REQUEST;
}

/* A pause that ends earlier than it was to end: what came meanwhile (and the node's own timer) has been put off until then. */
void sim_pause(struct sim *sim, struct sim_node *node, uint64_t until_ns)
{
	uint64_t before_ns = node->paused_until_ns;
	node->paused_until_ns = until_ns;
	if (until_ns >= before_ns)
		return;
	for (uint32_t i = 0; i < sim->queue_count; i++) {
		struct sim_event event = sim->queue[i];
		if (event.time_ns != before_ns || event.region != node->region || !is_to_node(&event))
			continue;
		event.time_ns = until_ns < sim->now_ns ? sim->now_ns : until_ns;
		uint32_t place = i;
		for (; place && before(&event, &sim->queue[(place - 1) / 2]); place = (place - 1) / 2)
			sim->queue[place] = sim->queue[(place - 1) / 2];
		sim->queue[place] = event;
	}
}

static void dispatch(struct sim *sim, struct sim_event *event)
{
	struct sim_node *node = &sim->nodes[event->region];
	bool to_node = is_to_node(event);
	if (event->kind == SIM_REQUEST && !event->arrived_ns)
		event->arrived_ns = sim->now_ns;
	bool own = event->kind == SIM_SYNCED || event->kind == SIM_APPLY || event->kind == SIM_TIMER || event->kind == SIM_PUMP;
	if (to_node && node->up && sim->now_ns < node->paused_until_ns) {
		sim_push(sim, node->paused_until_ns, *event);
		return;
	}
	if ((!to_node || node->up) && (!own || event->incarnation == node->incarnation)) {
		switch (event->kind) {
		case SIM_MESSAGE:
			node_message(sim, node, event->peer, event->bytes, event->size);
			break;
		case SIM_STREAM:
			node_stream(sim, node, event);
			break;
		case SIM_SYNCED:
			node_synced(sim, node);
			break;
		case SIM_APPLY:
			node_apply(sim, node);
			break;
		case SIM_TIMER:
			node_timer(sim, node);
			break;
		case SIM_PUMP:
			node_pump(sim, node);
			break;
		case SIM_REQUEST:
			node_request(sim, node, event);
			break;
		case SIM_CLIENT:
			client_turn(sim, event->client);
			break;
		case SIM_ANSWER:
			client_answer(sim, event);
			break;
		case SIM_START:
			if (event->code && !sim->calm)
				node_kill(sim, node, false); /* one start after the other */
			node_start(sim, node);
			break;
		case SIM_CLOCK:
			fault_clock(sim, event);
			break;
		case SIM_TAKE:
			if (node->up)
				node_refuse(sim, node, 0);
			break;
		case SIM_FAULT:
			if (event->code && sim->losses_left && node->up && !sim->calm) {
				sim->losses_left--;
				sim->counts.losses++;
				node_lose(sim, node);
			} else if (!event->code && !sim->calm) {
				fault_next(sim);
			}
			break;
		}
	}
	free(event->bytes);
}

static void run_until(struct sim *sim, uint64_t limit_ns, bool (*done)(struct sim *sim))
{
	uint32_t countdown = 0;
	while (sim->queue_count && sim->queue[0].time_ns <= limit_ns) {
		struct sim_event event = pop(sim);
		sim->now_ns = event.time_ns;
		dispatch(sim, &event);
		if (++countdown % 32 == 0 && done(sim))
			return;
	}
}

static bool all_issued(struct sim *sim)
{
	return sim->issued >= sim->wanted;
}

static bool all_quiet(struct sim *sim)
{
	return clients_idle(sim) && check_quiet(sim);
}

static bool all_probed(struct sim *sim)
{
	return clients_have_probed(sim) && check_quiet(sim);
}

void world_begin(struct sim *sim, uint64_t seed, const struct sim_flags *flags, void (*draw)(struct sim *sim))
{
	sim->seed = seed;
	sim->flags = *flags;
	sim->trace = flags->trace;
	sim->chance.state = seed;
	sim->wall_ms = 1900000000000ull;
	draw(sim);
	sim->n = sim->shape.n;
	sim->keys = sim->shape.keys;
	sim->losses_left = sim->shape.losses;
	sim->wanted = flags->operations;
	/* A transaction of many keys is as much work as many. */
	uint32_t work = sim->shape.txn_keys * (1 + sim->shape.value_size / 256);
	if (!sim->hot && work > 8)
		sim->wanted = 40 + sim->wanted * 8 / work;
	for (uint8_t r = 0; r < sim->n; r++) {
		sim->nodes[r].region = r;
		sim->nodes[r].effects = malloc(sizeof *sim->nodes[r].effects);
		node_start(sim, &sim->nodes[r]);
	}
	clients_begin(sim);
}

static bool never(struct sim *sim)
{
	(void)sim;
	return false;
}

void world_run(struct sim *sim, uint64_t until_ns)
{
	run_until(sim, until_ns, never);
}

/* The faults end, and all has to come right. */
void world_end(struct sim *sim)
{
	sim_trace(sim, "---- the faults end");
	fault_end(sim);
	uint64_t end_ns = sim->now_ns;
	run_until(sim, sim->now_ns + SIM_LIVE_NS, all_quiet);
	sim->quiet_ns = check_may_be_stuck(sim) ? 0 : sim->now_ns - end_ns;
	if (sim->shape.wide & SIM_WIDE_PROBE && !check_may_be_stuck(sim) && all_quiet(sim)) {
		sim_trace(sim, "---- every key from every region");
		clients_probe(sim);
		run_until(sim, sim->now_ns + SIM_LIVE_NS, all_probed);
	}
	check_end(sim);
}

void sim_run(struct sim *sim, uint64_t seed, const struct sim_flags *flags)
{
	world_begin(sim, seed, flags, shape_draw);
	fault_begin(sim);
	run_until(sim, 3600ull * 1000 * SIM_MS, all_issued);
	if (!all_issued(sim))
		sim_fail(sim, SIM_LIVENESS, "clients issued only %u operations in an hour", sim->issued);
	world_end(sim);
}

void sim_run_hot(struct sim *sim, uint64_t seed, const struct sim_flags *flags)
{
	uint32_t by_region[SIM_REGIONS_MAX] = {0}, okay = 0, patient = 0;
	uint64_t aborts = 0, longest_ns = 0;
	world_begin(sim, seed, flags, shape_draw_hot);
	run_until(sim, 3600ull * 1000 * SIM_MS, all_issued);
	uint64_t took_ns = sim->now_ns;
	fault_end(sim);
	run_until(sim, sim->now_ns + SIM_LIVE_NS, all_quiet);
	uint64_t commits = commit_counts(sim->nodes[0].machine)->commits;
	for (uint32_t i = 0; i < sim->operation_count; i++) {
		const struct sim_operation *op = &sim->operations[i];
		by_region[sim->clients[op->client].region]++;
		okay += op->outcome == SIM_OK;
		patient += op->outcome == SIM_OK && !sim->clients[op->client].impatient;
		if (op->outcome == SIM_OK)
			longest_ns = op->end_ns - op->start_ns > longest_ns ? op->end_ns - op->start_ns : longest_ns;
	}
	for (uint32_t r = 0; r < sim->n; r++)
		aborts += commit_counts(sim->nodes[r].machine)->withdrawn;
	check_end(sim);
	printf("%.1f ok/s, %.1f of them of patient clients, %u of %u not ok\n", okay / ((double)took_ns / 1e9),
	    patient / ((double)took_ns / 1e9), sim->operation_count - okay, sim->operation_count);
	printf("%u keys from %u regions: %.1f ms a commit, %.2f withdrawn a commit; the longest %.0f ms; requests", sim->keys,
	    sim->n, (double)took_ns / 1e6 / (double)commits, (double)aborts / (double)commits, (double)longest_ns / 1e6);
	for (uint32_t r = 0; r < sim->n; r++)
		printf(" %u", by_region[r]);
	putchar('\n');
	/* In virtual time, so that it is the same on any machine. */
	if (sim->keys == 1 && !sim->shape.impatient && hot_commit_ms_max[sim->n] > 0 &&
	    (double)took_ns / 1e6 / (double)commits > hot_commit_ms_max[sim->n])
		sim_fail(sim, SIM_LIVENESS, "a hot key commits less often than once in %.0f ms", hot_commit_ms_max[sim->n]);
}

void sim_release(struct sim *sim)
{
	for (uint32_t i = 0; i < sim->queue_count; i++)
		free(sim->queue[i].bytes);
	free(sim->queue);
	for (uint32_t r = 0; r < sim->n; r++)
		node_free(&sim->nodes[r]);
	for (uint32_t i = 0; i < sim->decision_count; i++)
		free(sim->decisions[i].body);
	free(sim->decisions);
	free(sim->decision_places);
	clients_free(sim);
}
