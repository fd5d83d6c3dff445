/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/sim.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The version of the row as its region holds it, for a client that reads, then writes. */
static uint32_t read_version(struct sim *sim, struct sim_node *node, const char *key, uint8_t out[VECTOR_ENCODED_MAX])
{
	struct sim_row *stored = disk_row(&node->disk, key, false);
	struct row row;
	(void)sim;
	if (!stored || !stored->bytes || row_decode(&row, stored->bytes, stored->size) != 0)
		return 0;
	struct vector version = row.context;
	for (uint32_t i = 0; i < row.sibling_count; i++)
		if (version.sequence[row.siblings[i].dot.region] < row.siblings[i].dot.sequence)
			version.sequence[row.siblings[i].dot.region] = row.siblings[i].dot.sequence;
	return (uint32_t)vector_encode(&version, out);
}

static void send(struct sim *sim, uint32_t index, struct sim_operation *operation)
{
	struct sim_client *client = &sim->clients[index];
	operation->retry_ns = sim->now_ns + (100 + chance_below(&sim->chance, 400)) * SIM_MS;
	bool repeat = operation->copies++ > 0;
	if (!repeat)
		operation->first_sent_ns = sim->now_ns;
	if (!sim->calm && chance_of(&sim->chance, 20))
		return; /* lost on its way */
	struct sim_event event = {
	    .kind = SIM_REQUEST, .region = client->region, .client = index, .number = operation->number, .repeat = repeat};
	sim_push(sim, sim->now_ns + SIM_MS / 10 + chance_below(&sim->chance, SIM_MS), event);
	/* A copy that comes late. One of the first sending does not outlive two coordinators: it waits nowhere but in the
	 * connection to one. */
	if (!sim->calm && !(sim->forgetful && !repeat) && chance_of(&sim->chance, 10)) {
		operation->copies++;
		sim_push(sim, sim->now_ns + chance_below(&sim->chance, 3000 * SIM_MS), event);
	}
}

static void issue(struct sim *sim, uint32_t index)
{
	struct sim_client *client = &sim->clients[index];
	if (client->newest == client->capacity) {
		client->capacity = client->capacity ? client->capacity * 2 : 64;
		client->operations = realloc(client->operations, client->capacity * sizeof *client->operations);
		if (!client->operations)
			abort();
	}
	struct sim_operation *operation = &client->operations[client->newest++];
	memset(operation, 0, sizeof *operation);
	operation->number = client->newest;
	if (chance_of(&sim->chance, 800))
		snprintf(operation->key, sizeof operation->key, "key-%u", (unsigned)chance_below(&sim->chance, SIM_KEYS));
	else
		snprintf(operation->key, sizeof operation->key, "own-%u-%u", index, (unsigned)operation->number);
	operation->tombstone = chance_of(&sim->chance, 120);
	if (!operation->tombstone)
		snprintf(
		    operation->value, sizeof operation->value, "value %u of client %u", (unsigned)operation->number, index);
	if (chance_of(&sim->chance, 250))
		operation->context_size = read_version(sim, &sim->nodes[client->region], operation->key, operation->context);
	operation->deadline_ns = sim->now_ns + (3000 + chance_below(&sim->chance, 7000)) * SIM_MS;
	sim->operations_issued++;
	send(sim, index, operation);
}

static void settle(struct sim *sim, struct sim_client *client)
{
	(void)sim;
	while (client->settled < client->newest && client->operations[client->settled].outcome != SIM_OPEN)
		client->settled++;
}

void client_turn(struct sim *sim, uint32_t index)
{
	struct sim_client *client = &sim->clients[index];
	uint64_t open = 0;
	for (uint64_t i = client->settled; i < client->newest; i++) {
		struct sim_operation *operation = &client->operations[i];
		if (operation->outcome != SIM_OPEN)
			continue;
		if (sim->now_ns >= operation->deadline_ns) {
			operation->outcome = SIM_UNKNOWN;
			history_write(sim, index, operation);
			sim->counts.unknown++;
			sim_trace(sim, "client %u: #%llu is UNKNOWN", index, (unsigned long long)operation->number);
			continue;
		}
		open++;
		if (sim->now_ns >= operation->retry_ns) {
			sim->counts.repeats++;
			send(sim, index, operation);
		}
	}
	settle(sim, client);
	while (open < SIM_PIPELINE && sim->operations_issued < sim->operations_wanted && chance_of(&sim->chance, 700)) {
		issue(sim, index);
		open++;
	}
	if (chance_of(&sim->chance, 200))
		read_ask(sim, index);
	bool more = open || sim->operations_issued < sim->operations_wanted;
	if (more)
		sim_push(sim, sim->now_ns + (1 + chance_below(&sim->chance, 25)) * SIM_MS,
		    (struct sim_event){.kind = SIM_CLIENT_TURN, .region = client->region, .client = index});
}

void client_answer(struct sim *sim, uint32_t index, const struct coordinator_answer *answer)
{
	struct sim_client *client = &sim->clients[index];
	struct dotted version;
	assert(answer->number >= 1 && answer->number <= client->newest);
	struct sim_operation *operation = &client->operations[answer->number - 1];
	if (operation->outcome != SIM_OPEN)
		return;
	/* As libgodwit does: a refusal is certain only of the copy that it answers. */
	if (answer->code < 0 && error_exit_code(answer->code) == 3 && operation->copies > 1)
		return;
	if (answer->code == 0) {
		operation->outcome = SIM_OK;
		operation->hlc = answer->hlc;
		if (answer->version_size && dotted_decode(&version, answer->version, answer->version_size) == 0)
			operation->dot = version.dot.sequence ? version.dot
			                                      : (struct dot){.sequence = version.seen.sequence[client->region],
			                                            .region = client->region};
		sim->counts.ok++;
		read_acknowledged(sim, client, operation);
	} else {
		operation->outcome = error_exit_code(answer->code) == 3 ? SIM_FAILED : SIM_UNKNOWN;
		if (operation->outcome == SIM_FAILED)
			sim->counts.failed++;
		else
			sim->counts.unknown++;
	}
	history_write(sim, index, operation);
	sim_trace(sim, "client %u: #%llu -> %s", index, (unsigned long long)answer->number, error_name(answer->code));
	settle(sim, client);
}

bool clients_idle(const struct sim *sim)
{
	for (uint32_t i = 0; i < SIM_CLIENTS; i++)
		if (sim->clients[i].settled < sim->clients[i].newest)
			return false;
	return sim->operations_issued >= sim->operations_wanted;
}
