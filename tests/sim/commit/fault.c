/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/commit/sim.h"

void fault_draw(struct sim *sim)
{
	struct chance *chance = &sim->chance;
	static const uint32_t gaps_ms[] = {100, 300, 1000, 3000, 10000};
	static const uint32_t thinks_ms[] = {2, 20, 100, 400};
	sim->n = chance_of(chance, 600) ? 3 : 5;
	sim->keys = 1 + (uint32_t)chance_below(chance, SIM_KEYS_MAX);
	if (chance_of(chance, 400))
		sim->keys = 1 + (uint32_t)chance_below(chance, 3);
	sim->fault_gap_ms = gaps_ms[chance_below(chance, 5)];
	sim->think_ms = thinks_ms[chance_below(chance, 4)];
	sim->late_sync = chance_of(chance, 400) ? (uint32_t)chance_below(chance, 100) : 0;
	sim->losses_left = chance_of(chance, 300) ? (uint32_t)chance_below(chance, sim->n / 2 + 1) : 0;
	sim->lose_after_ok = chance_of(chance, 500) ? 50 : 0;
	sim->forgets = chance_of(chance, 300);
	sim->memory = sim->forgets ? 8u << chance_below(chance, 5) : 16384;
	sim->damages = sim->seed % 4 == 3; /* drawn apart: the other seeds stay what they were */
	sim->blind = 10 + (uint32_t)chance_below(chance, 40);
	bool lossy = chance_of(chance, 600), skewed = chance_of(chance, 400);
	for (uint32_t a = 0; a < sim->n; a++) {
		sim->nodes[a].skew_ms = skewed ? (int64_t)chance_below(chance, 300) - 150 : 0;
		for (uint32_t b = 0; b < sim->n; b++) {
			struct sim_link *link = &sim->links[a][b];
			link->delay_ns = (1 + chance_below(chance, 80)) * SIM_MS;
			link->jitter_ns = chance_below(chance, 20) * SIM_MS;
			link->loss = lossy ? (uint32_t)chance_below(chance, 150) : 0;
			link->duplicate = lossy ? (uint32_t)chance_below(chance, 150) : 0;
			link->reorder = lossy ? (uint32_t)chance_below(chance, 150) : 0;
		}
	}
}

void fault_draw_hot(struct sim *sim)
{
	static const uint32_t round_trips_ms[3][3] = {{0, 75, 190}, {75, 0, 110}, {190, 110, 0}};
	sim->hot = true;
	sim->n = 3;
	sim->keys = 1;
	sim->memory = 16384;
	sim->think_ms = 1;
	for (uint32_t a = 0; a < 3; a++)
		for (uint32_t b = 0; b < 3; b++)
			sim->links[a][b].delay_ns = round_trips_ms[a][b] * SIM_MS / 2;
}

static void start_later(struct sim *sim, struct sim_node *node)
{
	uint64_t delay_ms =
	    chance_of(&sim->chance, 700) ? 5 + chance_below(&sim->chance, 200) : chance_below(&sim->chance, 6000);
	sim_push(sim, sim->now_ns + delay_ms * SIM_MS, (struct sim_event){.kind = SIM_START, .region = node->region});
}

static void cut_links(struct sim *sim)
{
	struct chance *chance = &sim->chance;
	uint64_t shape = chance_below(chance, 5);
	uint32_t a = (uint32_t)chance_below(chance, sim->n), b = (a + 1 + (uint32_t)chance_below(chance, sim->n - 1)) % sim->n;
	sim->counts.cuts++;
	sim_trace(sim, "links cut, shape %u, %u and %u", (unsigned)shape, a, b);
	for (uint32_t i = 0; i < sim->n; i++) {
		for (uint32_t j = 0; j < sim->n; j++) {
			bool one = i == a || j == a, pair = (i == a && j == b) || (i == b && j == a), way = i == a && j == b;
			if ((shape == 0 && one) || (shape == 1 && (one || i == b || j == b)) || (shape == 2 && way) ||
			    (shape == 3 && pair) || (shape == 4 && chance_of(chance, 400)))
				sim->links[i][j].cut = true;
		}
	}
}

static void heal_links(struct sim *sim)
{
	sim_trace(sim, "links healed");
	for (uint32_t i = 0; i < sim->n; i++)
		for (uint32_t j = 0; j < sim->n; j++)
			sim->links[i][j].cut = false;
}

void fault_next(struct sim *sim)
{
	struct chance *chance = &sim->chance;
	struct sim_node *node = &sim->nodes[chance_below(chance, sim->n)];
	switch (chance_below(chance, 14)) {
	case 0:
	case 1:
		if (node->up) {
			sim->counts.crashes++;
			node_kill(sim, node, false);
			start_later(sim, node);
		}
		break;
	case 2:
	case 3:
		if (node->up) {
			sim->counts.machine_crashes++;
			node_kill(sim, node, true);
			start_later(sim, node);
		}
		break;
	case 4:
		if (sim->losses_left && node->up && !sim->lose_after_ok) {
			sim->losses_left--;
			sim->counts.losses++;
			node_lose(sim, node);
		}
		break;
	case 5:
		if (node->up) {
			sim->counts.pauses++;
			node->paused_until_ns = sim->now_ns + chance_below(chance, 3000) * SIM_MS;
			sim_trace(sim, "%u paused", node->region);
		}
		break;
	case 6:
	case 7:
		cut_links(sim);
		break;
	case 8:
	case 9:
	case 12:
	case 13:
		heal_links(sim);
		break;
	case 10:
		node->skew_ms += (int64_t)chance_below(chance, 300) - 150;
		break;
	case 11:
		if (node->up)
			node_peers(sim, node, chance_of(chance, 700) ? ~0u : (uint32_t)chance_next(chance));
		break;
	}
	if (sim->damages && chance_of(chance, 200))
		node->damaged[chance_below(chance, sim->keys)] = true;
	sim_push(sim, sim->now_ns + (1 + chance_below(chance, 2 * sim->fault_gap_ms)) * SIM_MS,
	    (struct sim_event){.kind = SIM_FAULT});
}

static bool has_damage(const struct sim *sim, const struct sim_node *node)
{
	bool any = false;
	for (uint32_t i = 0; i < sim->keys; i++)
		any |= node->damaged[i];
	return any;
}

void fault_end(struct sim *sim)
{
	sim->calm = true;
	heal_links(sim);
	for (uint32_t i = 0; i < sim->n; i++) {
		struct sim_node *node = &sim->nodes[i];
		node->skew_ms = 0;
		if (node->paused_until_ns > sim->now_ns)
			node->paused_until_ns = sim->now_ns;
		if (has_damage(sim, node))
			node_kill(sim, node, false);
		node_start(sim, node);
		if (node->up)
			node_peers(sim, node, ~0u);
		for (uint32_t j = 0; j < sim->n; j++)
			sim->links[i][j].loss = sim->links[i][j].duplicate = sim->links[i][j].reorder = 0;
	}
}
