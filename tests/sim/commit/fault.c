/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/commit/sim.h"

/* A wrong clock: for good, or for a while, and then what it was. Sometimes over a restart. */
static void clock_jump(struct sim *sim, struct sim_node *node)
{
	struct chance *chance = &sim->chance;
	const struct sim_shape *s = &sim->shape;
	uint64_t off_ms = s->clock_ms / 2 + chance_below(chance, s->clock_ms / 2 + 1),
	         while_ms = 50u << chance_below(chance, 9);
	bool ahead = chance_of(chance, 500), for_good = chance_of(chance, 300), restarts = chance_of(chance, 250);
	struct sim_event back = {.kind = SIM_CLOCK, .region = node->region, .skew_ms = node->skew_ms};
	node->skew_ms = ahead ? (int64_t)off_ms : -(int64_t)off_ms;
	sim->counts.clocks++;
	sim_trace(sim, "the clock of %u is off by %lld ms", node->region, (long long)node->skew_ms);
	if (!for_good)
		sim_push(sim, sim->now_ns + while_ms * SIM_MS, back);
	if (restarts && node->up) {
		node_kill(sim, node, true);
		sim_push(sim, sim->now_ns + chance_below(chance, 2 * while_ms) * SIM_MS,
		    (struct sim_event){.kind = SIM_START, .region = node->region});
	}
}

void fault_clock(struct sim *sim, const struct sim_event *event)
{
	if (sim->calm)
		return;
	sim->nodes[event->region].skew_ms = event->skew_ms;
	sim_trace(sim, "the clock of %u is off by %lld ms again", event->region, (long long)event->skew_ms);
}

void fault_begin(struct sim *sim)
{
	for (uint32_t i = 0; i < sim->shape.clocks; i++)
		if (chance_of(&sim->chance, 300))
			clock_jump(sim, &sim->nodes[(sim->seed + i) % sim->n]);
	sim_push(sim, sim->shape.fault_gap_ms * SIM_MS, (struct sim_event){.kind = SIM_FAULT});
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
	if (sim->n == 1)
		return;
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

/* A start, and while it has hardly begun the next one; or a region that takes no requests for a while. */
static void restart_or_refuse(struct sim *sim, struct sim_node *node)
{
	struct chance *chance = &sim->chance;
	if (!node->up)
		return;
	if (chance_of(chance, 400)) {
		node_refuse(sim, node, chance_of(chance, 500) ? ERR_DISK_FULL : ERR_DRAINING);
		sim_push(sim, sim->now_ns + (1 + chance_below(chance, 3000)) * SIM_MS,
		    (struct sim_event){.kind = SIM_TAKE, .region = node->region});
		return;
	}
	sim->counts.crashes++;
	uint64_t at_ns = sim->now_ns;
	bool first = true;
	node_kill(sim, node, chance_of(chance, 500));
	for (uint64_t times = 1 + chance_below(chance, 4); times > 0; times--) {
		at_ns += (1 + chance_below(chance, 150)) * SIM_MS;
		sim_push(sim, at_ns, (struct sim_event){.kind = SIM_START, .region = node->region, .code = !first});
		first = false;
	}
}

void fault_next(struct sim *sim)
{
	struct chance *chance = &sim->chance;
	struct sim_node *node = &sim->nodes[chance_below(chance, sim->n)];
	const struct sim_shape *s = &sim->shape;
	uint64_t kinds = 15 + (s->wide & SIM_WIDE_CLOCKS ? 3 : 0) + (s->wide & SIM_WIDE_RESTARTS ? 4 : 0);
	uint64_t kind = chance_below(chance, kinds);
	if (kind >= 18 || (kind >= 15 && !(s->wide & SIM_WIDE_CLOCKS)))
		kind = 18;
	switch (kind) {
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
		if (sim->losses_left && node->up && !s->lose_after_ok) {
			sim->losses_left--;
			sim->counts.losses++;
			node_lose(sim, node);
		}
		break;
	case 5:
		if (node->up) {
			sim->counts.pauses++;
			sim_pause(sim, node, sim->now_ns + chance_below(chance, s->pause_ms) * SIM_MS);
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
	case 14:
		if (chance_of(chance, 300)) {
			node->disk_until_ns = sim->now_ns + chance_below(chance, s->pause_ms) * SIM_MS;
			sim_trace(sim, "the disk of %u stands still", node->region);
		}
		break;
	case 15:
	case 16:
	case 17:
		clock_jump(sim, &sim->nodes[(sim->seed + chance_below(chance, s->clocks)) % sim->n]);
		break;
	case 18:
		restart_or_refuse(sim, node);
		break;
	}
	if (s->wide & SIM_WIDE_DAMAGE && chance_of(chance, 200))
		node->rows[chance_below(chance, sim->keys)].damaged = true;
	sim_push(
	    sim, sim->now_ns + (1 + chance_below(chance, 2 * s->fault_gap_ms)) * SIM_MS, (struct sim_event){.kind = SIM_FAULT});
}

static bool has_damage(const struct sim *sim, const struct sim_node *node)
{
	bool any = false;
	for (uint32_t i = 0; node->rows && i < sim->keys; i++)
		any |= node->rows[i].damaged;
	return any;
}

void fault_end(struct sim *sim)
{
	sim->calm = true;
	heal_links(sim);
	for (uint32_t i = 0; i < sim->n; i++) {
		struct sim_node *node = &sim->nodes[i];
		node->skew_ms = 0;
		node->disk_until_ns = 0;
		if (node->paused_until_ns > sim->now_ns)
			sim_pause(sim, node, sim->now_ns);
		if (has_damage(sim, node))
			node_kill(sim, node, false);
		node_start(sim, node);
		if (node->up)
			node_peers(sim, node, ~0u);
		if (node->up)
			node_refuse(sim, node, 0);
		for (uint32_t j = 0; j < sim->n; j++)
			sim->links[i][j].loss = sim->links[i][j].duplicate = sim->links[i][j].reorder = 0;
	}
}
