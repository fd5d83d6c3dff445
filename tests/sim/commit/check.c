/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/commit/sim.h"

static bool quiet_node(const struct sim *sim, const struct sim_node *node)
{
	(void)sim;
	return !commit_in_doubt(node->machine, NULL, 0) && !commit_held_keys(node->machine) && node->applied == node->count;
}

bool check_quiet(struct sim *sim)
{
	const struct sim_node *first = NULL;
	for (uint32_t r = 0; r < sim->n; r++) {
		const struct sim_node *node = &sim->nodes[r];
		if (!node->up)
			continue;
		if (!quiet_node(sim, node))
			return false;
		for (uint32_t k = 0; first && k < sim->keys; k++)
			if (commit_id_compare(first->rows[k].row.stamp, node->rows[k].row.stamp) != 0 ||
			    commit_id_compare(first->rows[k].row.version, node->rows[k].row.version) != 0)
				return false;
		first = node;
	}
	return true;
}

static uint32_t *place_of(struct sim *sim, struct commit_id id)
{
	uint32_t mask = sim->decision_place_count - 1;
	uint32_t at = (uint32_t)((id.hlc ^ (uint64_t)id.region << 56) * 0x9e3779b97f4a7c15ull >> 32) & mask;
	while (sim->decision_places[at] && !commit_id_equal(sim->decisions[sim->decision_places[at] - 1].id, id))
		at = (at + 1) & mask;
	return &sim->decision_places[at];
}

/* 0: not decided so far; else its number + 1. */
static uint32_t *decision_place(struct sim *sim, struct commit_id id)
{
	if (2 * (sim->decision_count + 1) > sim->decision_place_count) {
		free(sim->decision_places);
		sim->decision_place_count = sim->decision_place_count ? 2 * sim->decision_place_count : 1024;
		sim->decision_places = calloc(sim->decision_place_count, sizeof *sim->decision_places);
		if (!sim->decision_places)
			abort();
		for (uint32_t i = 0; i < sim->decision_count; i++)
			*place_of(sim, sim->decisions[i].id) = i + 1;
	}
	return place_of(sim, id);
}

/* Once on a disk, a decision is the same on each. */
void check_entry(struct sim *sim, struct sim_node *node, const struct sim_entry *entry)
{
	static struct commit_head head;
	struct commit_body body;
	if (entry->type != COMMIT_ENTRY_COMMIT && entry->type != COMMIT_ENTRY_ABORT)
		return;
	if (commit_entry_open(entry->bytes, entry->size, &head, &body) != 0)
		sim_fail(sim, SIM_SAFETY, "an entry of region %u does not decode", node->region);
	uint8_t value = entry->type == COMMIT_ENTRY_COMMIT ? COMMIT_COMMITTED : COMMIT_ABORTED;
	uint32_t *place = decision_place(sim, head.id);
	if (*place) {
		const struct sim_decision *d = &sim->decisions[*place - 1];
		if (d->value != value)
			sim_fail(
			    sim, SIM_SAFETY, "%s is committed in one region and aborted in another (T52)", sim_id(head.id));
		if (value == COMMIT_COMMITTED && (d->size != body.size || memcmp(d->body, body.bytes, body.size) != 0))
			sim_fail(sim, SIM_SAFETY, "%s is not the same everywhere (T34)", sim_id(head.id));
		return;
	}
	if (sim->decision_count == sim->decision_capacity) {
		sim->decision_capacity = sim->decision_capacity ? sim->decision_capacity * 2 : 256;
		sim->decisions = realloc(sim->decisions, sim->decision_capacity * sizeof *sim->decisions);
	}
	struct sim_decision *d = &sim->decisions[sim->decision_count++];
	*place = sim->decision_count;
	*d = (struct sim_decision){.id = head.id, .value = value, .size = body.size};
	if (body.bytes) {
		d->body = malloc(body.size);
		memcpy(d->body, body.bytes, body.size);
	}
}

static bool is_on_disk(const struct sim_node *node, struct commit_id id)
{
	for (uint64_t i = node->durable; i-- > 0;)
		if (node->entries[i].gives && commit_id_equal(node->entries[i].id, id))
			return true;
	return false;
}

/* What is acknowledged is on the disks of a majority, with ack: all on every one, whatever happened to them since. */
void check_acknowledged(struct sim *sim, uint32_t operation, struct commit_id id)
{
	uint32_t count = 0, wanted = sim->operations[operation].ack_all ? sim->n : sim->n / 2 + 1;
	for (uint32_t r = 0; r < sim->n; r++)
		count += is_on_disk(&sim->nodes[r], id);
	if (count < wanted)
		sim_fail(sim, SIM_SAFETY, "#%u is acknowledged as %s, which is on %u disks, and has to be on %u", operation,
		    sim_id(id), count, wanted);
}

static void check_stuck(struct sim *sim)
{
	for (uint32_t r = 0; r < sim->n; r++) {
		struct sim_node *node = &sim->nodes[r];
		struct commit_in_doubt list[4];
		if (!node->up)
			continue;
		uint32_t count = commit_in_doubt(node->machine, list, 4);
		if (count)
			sim_fail(sim, SIM_LIVENESS, "region %u has %u in doubt, the first is %s (voted %d)", r, count,
			    sim_id(list[0].id), list[0].voted);
		if (commit_held_keys(node->machine))
			sim_fail(sim, SIM_LIVENESS, "region %u holds %u keys", r, commit_held_keys(node->machine));
		if (node->applied != node->count)
			sim_fail(sim, SIM_LIVENESS, "region %u has not applied its log", r);
	}
}

/* What a region has forgotten, only all others together can make up for: a lost one is then missed for good. */
bool check_may_be_stuck(const struct sim *sim)
{
	return sim->shape.forgets && sim->counts.losses;
}

void check_end(struct sim *sim)
{
	bool may_be_stuck = check_may_be_stuck(sim);
	for (uint32_t i = 0; i < sim->client_count; i++)
		if (sim->clients[i].open)
			sim_fail(sim, SIM_LIVENESS, "client %u has no outcome of #%u", i, sim->clients[i].open - 1);
	if (!may_be_stuck)
		check_stuck(sim);
	history_check(sim, !may_be_stuck);
	if (!may_be_stuck && !check_quiet(sim))
		sim_fail(sim, SIM_LIVENESS, "the regions have not become equal");
	for (uint32_t r = 0; r < sim->n; r++)
		if (sim->nodes[r].up)
			sim->counts.recovered += commit_counts(sim->nodes[r].machine)->recovered;
}
