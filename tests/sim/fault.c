/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/sim.h"

#include <stdlib.h>

/* Each seed has its own weather: some are gentle with one kind of trouble, some have all of it at once. */
void fault_draw(struct sim *sim)
{
	struct chance *chance = &sim->chance;
	static const uint32_t gaps_ms[] = {20, 60, 150, 400, 1500};
	static const uint32_t regions[] = {2, 3, 3, 3, 4, 5};
	sim->regions = regions[chance_below(chance, 6)];
	sim->fault_gap_ms = gaps_ms[chance_below(chance, 5)];
	sim->sync_fail = chance_of(chance, 300) ? (uint32_t)chance_below(chance, 20) : 0;
	sim->append_refuse = chance_of(chance, 300) ? (uint32_t)chance_below(chance, 30) : 0;
	sim->wipe_region = chance_of(chance, 100) ? (uint32_t)chance_below(chance, sim->regions) : SIM_REGIONS_MAX;
	if (chance_of(chance, 150))
		sim->leap_region = (uint8_t)chance_below(chance, sim->regions);
	else
		sim->leap_region = SIM_REGIONS_MAX;
	sim->damage = sim->wipe_region == SIM_REGIONS_MAX && chance_of(chance, 80);
	sim->compare_ms = 300 + (uint32_t)chance_below(chance, 1700);
	sim->forgetful = chance_of(chance, 400);
	if (sim->forgetful && chance_of(chance, 700))
		sim->snapshot_entries = 40 + (uint32_t)chance_below(chance, 300);
	if (sim->snapshot_entries && sim->wipe_region == SIM_REGIONS_MAX && chance_of(chance, 200))
		sim->budget_entries = 100 + (uint32_t)chance_below(chance, 300);
	if (sim->leap_region < SIM_REGIONS_MAX)
		sim->wipe_region = SIM_REGIONS_MAX;
	bool lossy = chance_of(chance, 500), corrupt = chance_of(chance, 300), skewed = chance_of(chance, 500);
	for (uint32_t a = 0; a < sim->regions; a++) {
		sim->nodes[a].supervised = chance_of(chance, 500);
		sim->nodes[a].skew_ms = skewed ? (int64_t)chance_below(chance, 400) - 200 : 0;
		for (uint32_t b = 0; b < sim->regions; b++) {
			struct sim_link *link = &sim->links[a][b];
			link->delay_ns = (1 + chance_below(chance, 100)) * SIM_MS;
			link->jitter_ns = chance_below(chance, 20) * SIM_MS;
			link->loss = lossy ? (uint32_t)chance_below(chance, 60) : 0;
			link->duplicate = lossy ? (uint32_t)chance_below(chance, 60) : 0;
			link->reorder = lossy ? (uint32_t)chance_below(chance, 60) : 0;
			link->corrupt = corrupt ? (uint32_t)chance_below(chance, 60) : 0;
		}
	}
}

static void kill_process(struct sim *sim, struct sim_node *node, enum actor actor)
{
	if (!node->processes[actor].up)
		return;
	sim->counts.crashes++;
	node_kill(sim, node, actor);
	restart_exited(sim, node, actor);
}

static void kill_region(struct sim *sim, struct sim_node *node)
{
	sim_trace(sim, "%s: all its processes are killed", sim_names[node->region]);
	sim->counts.crashes++;
	restart_all(sim, node);
}

static void crash_machine(struct sim *sim, struct sim_node *node)
{
	sim_trace(sim, "%s: the machine goes down", sim_names[node->region]);
	sim->counts.machine_crashes++;
	restart_all(sim, node);
	disk_lose_machine(sim, &node->disk);
	node_lose_memory(sim, node);
}

static void pause_process(struct sim *sim, struct sim_node *node)
{
	enum actor actor = (enum actor)chance_below(&sim->chance, ACTORS);
	struct sim_process *process = &node->processes[actor];
	if (!process->up || process->paused_until_ns > sim->now_ns)
		return;
	sim->counts.pauses++;
	process->paused_until_ns = process->changed_ns = sim->now_ns + chance_below(&sim->chance, 3000) * SIM_MS;
	sim_trace(sim, "%s %s paused", sim_names[node->region], actor_name(actor));
}

/* Shapes of FAILURES section 4. */
enum shape { ONE_ISOLATED, ALL_ISOLATED, ONE_WAY, PAIR, PARTIAL, RING, BRIDGE, SHAPES };

static bool shape_cuts(struct sim *sim, enum shape shape, uint32_t i, uint32_t j, uint32_t a, uint32_t b)
{
	uint32_t n = sim->regions, apart = (i + n - j) % n;
	switch (shape) {
	case ONE_ISOLATED:
		return i == a || j == a;
	case ALL_ISOLATED:
		return true;
	case ONE_WAY:
		return i == a && j == b;
	case PAIR:
		return (i == a && j == b) || (i == b && j == a);
	case PARTIAL:
		return chance_of(&sim->chance, 500);
	case RING:
		return apart != 1 && apart != n - 1;
	default: /* two sides, and a that both reach */
		return i != a && j != a && ((i + n - a) % n <= n / 2) != ((j + n - a) % n <= n / 2);
	}
}

static void cut_links(struct sim *sim)
{
	static const char *const names[SHAPES] = {
	    "one isolated", "all isolated", "one way", "a pair", "partial", "a ring is left", "a bridge is left"};
	enum shape shape = (enum shape)chance_below(&sim->chance, SHAPES);
	uint32_t a = (uint32_t)chance_below(&sim->chance, sim->regions),
	         b = (a + 1 + (uint32_t)chance_below(&sim->chance, sim->regions - 1)) % sim->regions;
	sim->counts.cuts++;
	sim_trace(sim, "links cut: %s, %s and %s", names[shape], sim_names[a], sim_names[b]);
	for (uint32_t i = 0; i < sim->regions; i++)
		for (uint32_t j = 0; j < sim->regions; j++)
			if (shape_cuts(sim, shape, i, j, a, b))
				network_cut(sim, i, j, true);
}

static void start_flapping(struct sim *sim)
{
	uint8_t a = (uint8_t)chance_below(&sim->chance, sim->regions), b = (uint8_t)chance_below(&sim->chance, sim->regions);
	sim->counts.flaps++;
	sim_trace(sim, "the link between %s and %s flaps", sim_names[a], sim_names[b]);
	sim_push(sim, sim->now_ns,
	    (struct sim_event){.kind = SIM_FLAP, .region = a, .peer = b, .number = 4 + chance_below(&sim->chance, 40)});
}

void fault_flap(struct sim *sim, const struct sim_event *event)
{
	network_cut(sim, event->region, event->peer, event->number % 2 == 0);
	network_cut(sim, event->peer, event->region, event->number % 2 == 0);
	if (event->number == 1)
		return;
	struct sim_event next = *event;
	next.number--;
	sim_push(sim, sim->now_ns + (1 + chance_below(&sim->chance, 200)) * SIM_MS, next);
}

static void heal_links(struct sim *sim)
{
	sim_trace(sim, "links healed");
	for (uint32_t i = 0; i < sim->regions; i++)
		for (uint32_t j = 0; j < sim->regions; j++)
			network_cut(sim, i, j, false);
}

static void jump_clock(struct sim *sim, struct sim_node *node)
{
	if (node->region == sim->leap_region && chance_of(&sim->chance, 500)) {
		/* Off by an hour or a year, or back to where it should be. */
		static const int64_t off_ms[] = {3600000, 365ll * 86400000, -3600000, -365ll * 86400000};
		bool is_off = node->skew_ms > 3000000 || node->skew_ms < -3000000;
		node->skew_ms = is_off ? 0 : off_ms[chance_below(&sim->chance, 4)];
		sim->leapt = true;
		sim->counts.leaps++;
		sim_trace(
		    sim, "%s: the clock leaps, and is %lld ms off now", sim_names[node->region], (long long)node->skew_ms);
		return;
	}
	int64_t jump_ms = (int64_t)chance_below(&sim->chance, 800) - 400;
	if (chance_of(&sim->chance, 100))
		jump_ms = (int64_t)chance_below(&sim->chance, 12000) - 6000;
	node->skew_ms += jump_ms;
	sim->counts.clock_jumps++;
	sim_trace(sim, "%s: the clock jumps by %lld ms", sim_names[node->region], (long long)jump_ms);
}

/* Rather than now, after so many effects, and between two of them. */
static void doom_process(struct sim *sim, struct sim_node *node)
{
	sim->doom.armed = true;
	sim->doom.region = node->region;
	sim->doom.actor = chance_of(&sim->chance, 600) ? ACTOR_COORDINATOR : ACTOR_STREAMER;
	sim->doom.points = (uint32_t)chance_below(&sim->chance, 40);
}

void fault_next(struct sim *sim)
{
	struct sim_node *node = &sim->nodes[chance_below(&sim->chance, sim->regions)];
	switch (chance_below(&sim->chance, 17)) {
	case 0:
	case 1:
		kill_process(sim, node, ACTOR_COORDINATOR);
		break;
	case 2:
		kill_process(sim, node, ACTOR_STREAMER);
		break;
	case 3:
		kill_process(sim, node, ACTOR_STREAMER);
		kill_process(sim, node, ACTOR_COORDINATOR);
		break;
	case 12:
		if (chance_of(&sim->chance, 200))
			kill_region(sim, node);
		else
			kill_process(sim, node, (enum actor)(ACTOR_MONITOR + chance_below(&sim->chance, 3)));
		break;
	case 4:
		crash_machine(sim, node);
		break;
	case 5:
		pause_process(sim, node);
		break;
	case 6:
	case 7:
		cut_links(sim);
		break;
	case 8:
	case 9:
	case 10:
		heal_links(sim);
		break;
	case 11:
		jump_clock(sim,
		    sim->leap_region < SIM_REGIONS_MAX && chance_of(&sim->chance, 300) ? &sim->nodes[sim->leap_region] : node);
		break;
	case 13:
	case 14:
	case 15:
		doom_process(sim, node);
		break;
	case 16:
		start_flapping(sim);
		break;
	}
	sim_push(sim, sim->now_ns + (1 + chance_below(&sim->chance, 2 * sim->fault_gap_ms)) * SIM_MS,
	    (struct sim_event){.kind = SIM_FAULT});
}

void fault_end(struct sim *sim)
{
	sim->calm = true;
	sim->doom.armed = false;
	sim->calm_ns = sim->now_ns;
	heal_links(sim);
	for (uint32_t i = 0; i < sim->regions; i++) {
		struct sim_node *node = &sim->nodes[i];
		node->skew_ms = 0;
		if (!node->supervised || !node->supervisor_up)
			restart_begin(sim, node);
		for (uint32_t j = 0; j < sim->regions; j++) {
			struct sim_link *link = &sim->links[i][j];
			link->loss = link->duplicate = link->reorder = link->corrupt = 0;
		}
	}
}
