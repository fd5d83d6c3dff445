/* SPDX-License-Identifier: Apache-2.0
 *
 * What must hold, said again without the code under test where that is possible: the oracle knows every write by its dot, and
 * computes rows and winners from the set of writes by definition. */
#include "tests/sim/sim.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Each time a region applies a record, in whatever process life. */
void check_applied(struct sim *sim, struct sim_node *node, const struct record *record, const uint8_t *bytes, uint32_t size)
{
	uint8_t origin = record->dot.region;
	uint64_t sequence = record->dot.sequence;
	if (node->wiped && origin == node->region)
		return; /* a stranger under an old name: see check_wiped */
	if (sequence != node->disk.applied.sequence[origin] + 1)
		sim_fail(sim, SIM_SAFETY, "%s applies %s:%llu after %llu", sim_names[node->region], sim_names[origin],
		    (unsigned long long)sequence, (unsigned long long)node->disk.applied.sequence[origin]);
	/* Others keep their time, whatever the clock of one region says (T23, C5). */
	if (sim->leapt && origin != sim->leap_region &&
	    hlc_milliseconds(record->hlc) > sim->wall_start_ms + sim->now_ns / SIM_MS + 60000)
		sim_fail(sim, SIM_SAFETY, "%s holds %s:%llu, whose stamp is of a future that has not come (T23)",
		    sim_names[node->region], sim_names[origin], (unsigned long long)sequence);
	if (sequence > sim->write_counts[origin]) {
		assert(sequence == sim->write_counts[origin] + 1);
		if (origin != node->region)
			sim_fail(sim, SIM_SAFETY, "%s holds %s:%llu, which its origin never applied", sim_names[node->region],
			    sim_names[origin], (unsigned long long)sequence);
		if (sim->write_counts[origin] == sim->write_capacities[origin]) {
			sim->write_capacities[origin] = sim->write_capacities[origin] ? sim->write_capacities[origin] * 2 : 256;
			sim->writes[origin] =
			    realloc(sim->writes[origin], sim->write_capacities[origin] * sizeof *sim->writes[origin]);
			if (!sim->writes[origin])
				abort();
		}
		struct sim_write *write = &sim->writes[origin][sim->write_counts[origin]++];
		*write = (struct sim_write){.size = size, .bytes = malloc(size)};
		if (!write->bytes)
			abort();
		memcpy(write->bytes, bytes, size);
		if (sequence > 1) {
			struct record earlier;
			assert(record_decode(&earlier, sim->writes[origin][sequence - 2].bytes,
			           sim->writes[origin][sequence - 2].size) > 0);
			if (earlier.hlc >= record->hlc)
				sim_fail(sim, SIM_SAFETY, "the stamps of %s go back at %llu (T24)", sim_names[origin],
				    (unsigned long long)sequence);
		}
	}
	const struct sim_write *known = &sim->writes[origin][sequence - 1];
	if (known->size != size || memcmp(known->bytes, bytes, size) != 0)
		sim_fail(sim, SIM_SAFETY, "%s holds another %s:%llu than was first applied", sim_names[node->region],
		    sim_names[origin], (unsigned long long)sequence);
}

static bool rows_equal(const struct sim_disk *a, const struct sim_disk *b)
{
	if (a->row_count != b->row_count)
		return false;
	for (uint32_t i = 0; i < a->row_capacity; i++) {
		if (!a->rows[i].key[0])
			continue;
		const struct sim_row *other = disk_row((struct sim_disk *)(uintptr_t)b, a->rows[i].key, false);
		if (!other || other->size != a->rows[i].size || memcmp(other->bytes, a->rows[i].bytes, other->size) != 0)
			return false;
	}
	return true;
}

bool check_expects(const struct sim *sim, uint32_t region, uint8_t origin)
{
	const struct sim_node *node = &sim->nodes[region];
	uint64_t held = node->disk.kept.sequence[origin];
	if (region == origin || held >= sim->write_counts[origin])
		return true;
	/* Log that it needed went for want of room, and it is marked (T22). */
	return !sim->budget_entries || node->streamer.inbound[origin].state != LINK_NEEDS_RESYNC;
}

bool check_converged(struct sim *sim)
{
	for (uint32_t r = 0; r < sim->regions; r++) {
		const struct sim_node *node = &sim->nodes[r];
		for (uint8_t o = 0; o < sim->regions; o++) {
			if (node->disk.applied.sequence[o] == sim->write_counts[o])
				continue;
			if (check_expects(sim, r, o))
				return false;
		}
		if (node->disk.count != node->disk.durable || node->ring.count)
			return false;
	}
	return true;
}

/* The row of a key from all writes to it within the limit: the join of contexts, and those writes that it does not cover. */
static void oracle_row(struct sim *sim, const struct vector *limit, const char *key, struct vector *context,
    struct record *winner, uint32_t *siblings)
{
	*context = (struct vector){{0}};
	*siblings = 0;
	for (int pass = 0; pass < 2; pass++) {
		for (uint32_t r = 0; r < sim->regions; r++) {
			for (uint64_t i = 0; i < sim->write_counts[r] && i < limit->sequence[r]; i++) {
				struct record record;
				assert(record_decode(&record, sim->writes[r][i].bytes, sim->writes[r][i].size) > 0);
				if (strlen(key) != record.key_size || memcmp(key, record.key, record.key_size) != 0)
					continue;
				if (pass == 0) {
					for (uint32_t p = 0; p < REGIONS_MAX; p++)
						if (record.context.sequence[p] > context->sequence[p])
							context->sequence[p] = record.context.sequence[p];
					continue;
				}
				if (context->sequence[r] >= record.dot.sequence)
					continue;
				bool later = record.hlc != winner->hlc ? record.hlc > winner->hlc
				             : record.dot.region != winner->dot.region
				                 ? record.dot.region > winner->dot.region
				                 : record.dot.sequence > winner->dot.sequence;
				if ((*siblings)++ == 0 || later)
					*winner = record;
			}
		}
	}
}

/* What a reader is told, by definition. */
void check_read(struct sim *sim, struct sim_node *node, const char *key, bool found, const uint8_t *value, size_t size)
{
	struct vector context;
	struct record winner = {0};
	uint32_t siblings;
	oracle_row(sim, &node->disk.applied, key, &context, &winner, &siblings);
	bool there = siblings && !(winner.flags & RECORD_TOMBSTONE);
	if (there != found || (found && (winner.value_size != size || memcmp(winner.value, value, size) != 0)))
		sim_fail(sim, SIM_SAFETY, "a read of %s in %s is told '%.*s', by definition it is '%.*s'", key,
		    sim_names[node->region], found ? (int)size : 0, (const char *)value, there ? (int)winner.value_size : 0,
		    (const char *)winner.value);
}

static void check_rows(struct sim *sim, const struct sim_disk *disk)
{
	static const uint32_t priorities[REGIONS_MAX];
	for (uint32_t i = 0; i < disk->row_capacity; i++) {
		const struct sim_row *stored = &disk->rows[i];
		struct vector context;
		struct record winner = {0};
		uint32_t siblings;
		struct row row;
		if (!stored->key[0])
			continue;
		oracle_row(sim, &disk->applied, stored->key, &context, &winner, &siblings);
		assert(row_decode(&row, stored->bytes, stored->size) == 0);
		if (vector_compare(&row.context, &context) != VECTOR_EQUAL || row.sibling_count != siblings)
			sim_fail(sim, SIM_SAFETY, "row %s is not what its writes add up to: %u siblings, not %u", stored->key,
			    row.sibling_count, siblings);
		const struct sibling *chosen = &row.siblings[row_winner(&row, STRATEGY_LWW, priorities)];
		if (chosen->dot.region != winner.dot.region || chosen->dot.sequence != winner.dot.sequence)
			sim_fail(sim, SIM_SAFETY, "row %s: %s:%llu wins, by definition it is %s:%llu", stored->key,
			    sim_names[chosen->dot.region], (unsigned long long)chosen->dot.sequence,
			    sim_names[winner.dot.region], (unsigned long long)winner.dot.sequence);
	}
}

/* Every ok is there once, with what was written; nothing refused is there; nothing is there twice. */
static void check_outcomes(struct sim *sim)
{
	for (uint32_t c = 0; c < SIM_CLIENTS; c++) {
		struct sim_client *client = &sim->clients[c];
		uint32_t *seen = calloc(client->newest + 1, sizeof *seen);
		if (!seen)
			abort();
		for (uint32_t r = 0; r < sim->regions; r++) {
			for (uint64_t i = 0; i < sim->write_counts[r]; i++) {
				struct record record;
				assert(record_decode(&record, sim->writes[r][i].bytes, sim->writes[r][i].size) > 0);
				if (record.client_id != client->id)
					continue;
				assert(record.request >= 1 && record.request <= client->newest);
				const struct sim_operation *operation = &client->operations[record.request - 1];
				unsigned long long number = operation->number;
				if (seen[record.request]++)
					sim_fail(sim, SIM_SAFETY, "client %u #%llu was applied twice (B08)", c, number);
				if (operation->outcome == SIM_FAILED)
					sim_fail(sim, SIM_SAFETY, "client %u #%llu was refused, and applied (B17)", c, number);
				if (record.key_size != strlen(operation->key) ||
				    memcmp(record.key, operation->key, record.key_size) != 0 ||
				    record.value_size != strlen(operation->value) ||
				    memcmp(record.value, operation->value, record.value_size) != 0)
					sim_fail(sim, SIM_SAFETY, "client %u #%llu was applied with another key or value", c,
					    number);
				if (operation->outcome == SIM_OK && operation->hlc != record.hlc)
					sim_fail(sim, SIM_SAFETY, "client %u #%llu was answered with another stamp than it has",
					    c, number);
				if (operation->outcome == SIM_OK && operation->dot.sequence && !operation->context_size &&
				    operation->dot.sequence != record.dot.sequence)
					sim_fail(sim, SIM_SAFETY,
					    "client %u #%llu was answered with another version than it has", c, number);
			}
		}
		for (uint64_t n = 1; n <= client->newest; n++)
			if (client->operations[n - 1].outcome == SIM_OK && !seen[n])
				sim_fail(sim, SIM_SAFETY, "client %u #%llu was acknowledged, and is nowhere", c,
				    (unsigned long long)n);
		free(seen);
	}
}

void check_end(struct sim *sim)
{
	char text[SIM_REGIONS_MAX * (VECTOR_TEXT_MAX + 8)] = "";
	for (uint32_t r = 0; r < sim->regions; r++) {
		char vector[VECTOR_TEXT_MAX];
		vector_format(&sim->nodes[r].disk.applied, vector);
		snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s %s", r ? ", " : "", sim_names[r], vector);
	}
	check_outcomes(sim);
	if (!check_converged(sim))
		sim_fail(sim, SIM_LIVENESS, "regions have not caught up: %s", text);
	if (!health_settled(sim))
		sim_fail(sim, SIM_LIVENESS, "the monitors do not say that all is well");
	if (!digests_settled(sim))
		sim_fail(sim, SIM_LIVENESS, "the reconcilers do not say that all is equal");
	for (uint32_t r = 1; r < sim->regions; r++)
		if (vector_compare(&sim->nodes[0].disk.applied, &sim->nodes[r].disk.applied) == VECTOR_EQUAL)
			if (!rows_equal(&sim->nodes[0].disk, &sim->nodes[r].disk) ||
			    !rows_equal(&sim->nodes[r].disk, &sim->nodes[0].disk))
				sim_fail(sim, SIM_SAFETY, "equal vectors, different rows in us and %s", sim_names[r]);
	for (uint32_t r = 0; r < sim->regions; r++) {
		bool same = r && vector_compare(&sim->nodes[0].disk.applied, &sim->nodes[r].disk.applied) == VECTOR_EQUAL;
		if (!same)
			check_rows(sim, &sim->nodes[r].disk);
		for (uint8_t o = 0; o < sim->regions; o++)
			sim->counts.resyncs += !check_expects(sim, r, o);
	}
	if (sim->counts.ok < sim->operations_wanted / 20)
		sim_fail(sim, SIM_LIVENESS, "only %llu of %u writes were acknowledged: that proves nothing",
		    (unsigned long long)sim->counts.ok, sim->operations_wanted);
}

/* T39: a region that came back without its disk is refused by everybody, and says so. */
void check_wiped(struct sim *sim)
{
	struct sim_node *wiped = &sim->nodes[sim->wipe_region];
	for (uint32_t r = 0; r < sim->regions; r++) {
		struct sim_node *node = &sim->nodes[r];
		if (node == wiped)
			continue;
		if (node->streamer.outbound[wiped->region].state != LINK_REFUSED)
			sim_fail(sim, SIM_SAFETY, "%s serves %s, which lost its disk", sim_names[r], sim_names[wiped->region]);
		if (node->disk.applied.sequence[wiped->region] != sim->write_counts[wiped->region])
			sim_fail(sim, SIM_SAFETY, "%s took new writes of %s under old numbers", sim_names[r],
			    sim_names[wiped->region]);
	}
}
