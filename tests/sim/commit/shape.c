/* SPDX-License-Identifier: Apache-2.0
 *
 * What the world of a seed is like. All is drawn always, and what the flags leave out is then not used, so that a seed without
 * one kind of width is otherwise the same world. */
#include <stdio.h>
#include <string.h>

#include "tests/sim/commit/sim.h"

#define YEAR_MS (365ull * 24 * 3600 * 1000)

/* Each order of magnitude as often as any other. */
static uint64_t spread(struct chance *chance, uint64_t least, uint64_t most)
{
	uint32_t doublings = 0;
	while (least << (doublings + 1) <= most)
		doublings++;
	uint64_t from = least << chance_below(chance, doublings + 1);
	uint64_t value = from + chance_below(chance, from);
	return value > most ? most : value;
}

static void sizes_draw(struct sim_shape *s, struct chance *chance, uint32_t wide)
{
	static const uint32_t smalls[] = {4, 8, 16, 32};
	s->transactions = 128;
	s->requests = 256;
	s->reads = 128;
	s->table_keys = 4096;
	s->memory = s->forgets ? 8u << chance_below(chance, 5) : 4096;
	s->arena = 4u << 20;
	if (s->forgets)
		s->requests = 16;
	s->value_size = sizeof(uint32_t);
	uint64_t which = chance_next(chance);
	uint32_t value_size = (uint32_t)spread(chance, 16, 8192), crowd = 16 + (uint32_t)chance_below(chance, 33);
	uint32_t transactions = smalls[chance_below(chance, 4)], requests = smalls[chance_below(chance, 4)],
	         reads = smalls[chance_below(chance, 3)] / 2;
	uint64_t arena = 16384ull << chance_below(chance, 6);
	if (wide & SIM_WIDE_FULL) {
		s->transactions = which & 1 ? transactions : s->transactions;
		s->requests = which & 2 ? requests : s->requests;
		s->reads = which & 4 ? reads : s->reads;
		s->arena = which & 8 ? arena : s->arena;
		s->table_keys = which & 16 ? 2048 : s->table_keys;
		s->value_size = which & 32 ? value_size : s->value_size;
		s->clients = which & 64 ? crowd : s->clients;
		/* A few writes fit in at any rate, each in a block of up to twice its size, and one body in what is kept for
		 * recoveries (an eighth). */
		while (s->arena < 32 * (uint64_t)s->value_size)
			s->arena *= 2;
		/* More keys than the table may have in use. */
		if (which & 16 && wide & SIM_WIDE_MANY)
			s->keys = 1200 + (uint32_t)chance_below(chance, SIM_KEYS_MAX - 1200);
	} else if (wide & SIM_WIDE_LARGE) {
		s->transactions = s->requests = s->reads = s->table_keys = s->memory = 0;
		s->arena = 0;
		s->forgets = false;
	}
}

static void keys_draw(struct sim_shape *s, struct chance *chance)
{
	static const uint16_t sizes[] = {5, 40, 41, 42, 63, 64, 200, KEY_SIZE_MAX - 1, KEY_SIZE_MAX};
	bool some = chance_of(chance, 700);
	for (uint32_t k = 0; k < SIM_KEYS_MAX; k++) {
		uint16_t size = sizes[chance_below(chance, sizeof sizes / sizeof *sizes)];
		bool all = chance_below(chance, 100) < s->all_keys, is_long = !some || chance_of(chance, 500);
		s->key_sizes[k] = s->wide & SIM_WIDE_LONG && is_long ? size : 5;
		s->key_all[k] = s->wide & SIM_WIDE_ALL_KEYS && all;
	}
}

static void links_draw(struct sim *sim, struct chance *chance)
{
	bool lossy = chance_of(chance, 600), skewed = chance_of(chance, 400);
	for (uint32_t a = 0; a < SIM_REGIONS_MAX; a++) {
		sim->nodes[a].skew_ms = skewed ? (int64_t)chance_below(chance, 300) - 150 : 0;
		for (uint32_t b = 0; b < SIM_REGIONS_MAX; b++) {
			struct sim_link *link = &sim->links[a][b];
			link->delay_ns = (1 + chance_below(chance, 80)) * SIM_MS;
			link->jitter_ns = chance_below(chance, 20) * SIM_MS;
			link->loss = (uint32_t)chance_below(chance, 150);
			link->duplicate = (uint32_t)chance_below(chance, 150);
			link->reorder = (uint32_t)chance_below(chance, 150);
			if (!lossy)
				link->loss = link->duplicate = link->reorder = 0;
		}
	}
}

static uint32_t wide_draw(struct chance *chance, uint32_t allowed)
{
	static const uint16_t per_mille[SIM_WIDE_BITS] = {[SIM_BIT_REGIONS] = 200,
	    [SIM_BIT_MANY] = 120,
	    [SIM_BIT_LONG] = 200,
	    [SIM_BIT_FULL] = 200,
	    [SIM_BIT_LARGE] = 10,
	    [SIM_BIT_SHORT] = 250,
	    [SIM_BIT_HOT] = 120,
	    [SIM_BIT_ALL_KEYS] = 300,
	    [SIM_BIT_LATE] = 200,
	    [SIM_BIT_CLOCKS] = 350,
	    [SIM_BIT_RESTARTS] = 150,
	    [SIM_BIT_DOUBT] = 200,
	    [SIM_BIT_DAMAGE] = 250,
	    [SIM_BIT_PROBE] = 1000};
	uint32_t wide = 0;
	for (uint32_t bit = 0; bit < SIM_WIDE_BITS; bit++)
		wide |= chance_of(chance, per_mille[bit]) ? 1u << bit : 0;
	return wide & allowed;
}

static void people_draw(struct sim_shape *s, struct chance *chance)
{
	static const uint32_t thinks_ms[] = {2, 20, 100, 400};
	uint32_t few = 1 + (uint32_t)chance_below(chance, 3), some = 1 + (uint32_t)chance_below(chance, 12),
	         many = 16 + (uint32_t)chance_below(chance, 500), hot = 1 + (uint32_t)chance_below(chance, 10),
	         crowd = 16 + (uint32_t)chance_below(chance, 33), impatient = 1 + (uint32_t)chance_below(chance, 4),
	         txn_keys = (uint32_t)spread(chance, 4, COMMIT_OPERATIONS_MAX);
	s->keys = chance_of(chance, 400) ? few : some;
	s->clients = 8;
	s->txn_keys = 4;
	s->think_ms = thinks_ms[chance_below(chance, 4)];
	s->impatient = s->wide & SIM_WIDE_SHORT ? impatient : 0;
	if (s->wide & SIM_WIDE_MANY) {
		s->keys = many;
		s->txn_keys = txn_keys < s->keys ? txn_keys : s->keys;
		s->clients = s->txn_keys > 32 ? 2 * crowd : s->clients; /* each with a key that such a transaction wants */
	} else if (s->wide & SIM_WIDE_HOT) {
		s->keys = hot;
		s->clients = crowd;
		s->think_ms = 2;
	}
	uint32_t more = 1 + (uint32_t)chance_below(chance, 20);
	if (s->wide & SIM_WIDE_SHORT && s->clients > 8)
		s->impatient = more;
}

void shape_draw(struct sim *sim)
{
	static const uint32_t gaps_ms[] = {100, 300, 1000, 3000, 10000};
	struct sim_shape *s = &sim->shape;
	struct chance shape = {.state = sim->seed ^ 0x5ba9e0ull}, *chance = &shape;
	*s = (struct sim_shape){.wide = wide_draw(chance, sim->flags.wide)};
	uint32_t plain = chance_of(chance, 600) ? 3 : 5, wide = chance_of(chance, 700) ? 7 : 1;
	s->n = s->wide & SIM_WIDE_REGIONS ? wide : plain;
	s->n = sim->flags.regions ? sim->flags.regions : s->n;
	s->forgets = chance_of(chance, 300);
	s->fault_gap_ms = gaps_ms[chance_below(chance, 5)];
	s->late_sync = (uint32_t)chance_below(chance, 100);
	s->late_sync = chance_of(chance, 400) ? s->late_sync : 0;
	s->losses = (uint32_t)chance_below(chance, s->n / 2 + 1);
	s->losses = chance_of(chance, 300) ? s->losses : 0;
	s->lose_after_ok = chance_of(chance, 500) ? 50 : 0;
	s->blind = 10 + (uint32_t)chance_below(chance, 40);
	s->all_keys = chance_of(chance, 300) ? 100 : 10 + (uint32_t)chance_below(chance, 60);
	people_draw(s, chance);
	sizes_draw(s, chance, s->wide);
	keys_draw(s, chance);
	uint64_t pause_ms = spread(chance, 3000, 60000), patience_ms = spread(chance, 300, 20000);
	s->pause_ms = s->wide & SIM_WIDE_LATE ? pause_ms : 3000;
	s->patience_ms = s->wide & SIM_WIDE_LATE ? patience_ms : 300;
	uint64_t in_doubt_ms = spread(chance, 30, 300), resend_ms = spread(chance, 30, 200);
	uint32_t gap_ms = (uint32_t)spread(chance, 10, 200), lost = 300 + (uint32_t)chance_below(chance, 700);
	s->in_doubt_ms = 400;
	s->resend_ms = 200;
	if (s->wide & SIM_WIDE_DOUBT) {
		s->in_doubt_ms = in_doubt_ms;
		s->resend_ms = resend_ms;
		s->fault_gap_ms = gap_ms;
		s->lost_decisions = lost;
	}
	uint64_t clock_ms = spread(chance, 1000, YEAR_MS);
	uint8_t clocks = chance_of(chance, 600) ? 1 : (uint8_t)(1 + chance_below(chance, s->n));
	s->clock_ms = s->wide & SIM_WIDE_CLOCKS ? clock_ms : 0;
	s->clocks = s->wide & SIM_WIDE_CLOCKS ? clocks : 0;
	if (sim->flags.keys)
		s->keys = sim->flags.keys;
	if (sim->flags.txn_keys)
		s->txn_keys = sim->flags.txn_keys;
	if (sim->flags.clients)
		s->clients = sim->flags.clients;
	if (sim->flags.impatient)
		s->impatient = sim->flags.impatient;
	links_draw(sim, chance);
	for (uint32_t i = 0; s->wide & SIM_WIDE_DOUBT && i < SIM_REGIONS_MAX * SIM_REGIONS_MAX; i++) {
		struct sim_link *link = &sim->links[i / SIM_REGIONS_MAX][i % SIM_REGIONS_MAX];
		link->delay_ns /= 8; /* so that a recovery can end before the next one begins */
		link->jitter_ns /= 8;
	}
}

/* No faults but the clock: few keys that all regions want, and an ocean or less between them. */
void shape_draw_clock(struct sim *sim)
{
	struct chance shape = {.state = sim->seed ^ 0xc10cull}, *chance = &shape;
	struct sim_shape *s = &sim->shape;
	*s = (struct sim_shape){.wide = sim->flags.wide & SIM_WIDE_PROBE,
	    .clients = 24,
	    .think_ms = 2,
	    .blind = 40,
	    .in_doubt_ms = 400,
	    .resend_ms = 200};
	s->n = chance_of(chance, 700) ? 3 : 5;
	s->keys = 1 + (uint32_t)chance_below(chance, 6);
	s->txn_keys = 2;
	s->clock_ms = spread(chance, 1000, YEAR_MS);
	sizes_draw(s, chance, 0);
	keys_draw(s, chance);
	s->requests = 256;
	links_draw(sim, chance);
	for (uint32_t a = 0; a < SIM_REGIONS_MAX; a++) {
		sim->nodes[a].skew_ms = 0;
		for (uint32_t b = 0; b < SIM_REGIONS_MAX; b++)
			sim->links[a][b].loss = sim->links[a][b].duplicate = sim->links[a][b].reorder = 0;
	}
}

void shape_draw_hot(struct sim *sim)
{
	/* Virginia, Ireland, Mumbai, Oregon, Singapore, Sao Paulo, Tokyo; half of it one way. */
	static const uint32_t round_trips_ms[7][7] = {{0, 75, 190, 65, 215, 115, 150}, {75, 0, 110, 125, 175, 180, 205},
	    {190, 110, 0, 215, 60, 300, 125}, {65, 125, 215, 0, 165, 175, 100}, {215, 175, 60, 165, 0, 320, 70},
	    {115, 180, 300, 175, 320, 0, 260}, {150, 205, 125, 100, 70, 260, 0}};
	const struct sim_flags *f = &sim->flags;
	uint32_t n = f->regions >= 3 && f->regions <= 7 ? f->regions : 3;
	sim->hot = true;
	sim->local = f->local;
	sim->shape = (struct sim_shape){.n = n,
	    .keys = f->keys ? f->keys : 1,
	    .clients = f->clients ? f->clients : 8,
	    .impatient = f->impatient,
	    .txn_keys = f->txn_keys ? f->txn_keys : 1,
	    .think_ms = 1,
	    .value_size = sizeof(uint32_t),
	    .in_doubt_ms = 400,
	    .resend_ms = 200,
	    .transactions = 512,
	    .requests = 256,
	    .reads = 128,
	    .table_keys = 8192,
	    .memory = 16384,
	    .arena = 8u << 20};
	for (uint32_t k = 0; k < SIM_KEYS_MAX; k++)
		sim->shape.key_sizes[k] = 5;
	for (uint32_t a = 0; a < n; a++)
		for (uint32_t b = 0; b < n; b++)
			sim->links[a][b].delay_ns = f->local ? 250000 : round_trips_ms[a][b] * SIM_MS / 2;
}

void shape_describe(const struct sim *sim, char *out, size_t size)
{
	static const char *const names[] = {
#define X(name, text) text,
	    SIM_WIDE_TABLE(X)
#undef X
	};
	const struct sim_shape *s = &sim->shape;
	size_t at = (size_t)snprintf(out, size, "%u regions, %u keys, up to %u a transaction, %u clients%s; wide:", s->n,
	    s->keys, s->txn_keys, s->clients, s->forgets ? ", little memory" : "");
	for (uint32_t bit = 0; bit < SIM_WIDE_BITS && at < size; bit++)
		if (s->wide & 1u << bit)
			at += (size_t)snprintf(out + at, size - at, " %s", names[bit]);
}
