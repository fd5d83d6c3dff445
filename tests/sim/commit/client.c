/* SPDX-License-Identifier: Apache-2.0
 *
 * A client has one operation open. What is not answered in time is asked again, there or in another region, and called unknown
 * in the end. A refusal is final only if it was sent to one region once, since another copy may be applied; or if a check
 * failed and the region knew that there are other copies. */
#include <assert.h>
#include <string.h>

#include "tests/sim/commit/sim.h"

static void access_draw(struct sim *sim, struct sim_client *client, struct sim_access *a, uint32_t value, bool conditional)
{
	struct chance *chance = &sim->chance;
	a->kind = chance_of(chance, 200) ? COMMIT_DELETE : COMMIT_PUT;
	a->value = a->kind == COMMIT_PUT ? value : 0;
	a->condition = COMMIT_ALWAYS;
	if (!conditional)
		return;
	bool has = client->seen[a->key].hlc != 0;
	if (has && chance_of(chance, 700)) {
		a->condition = COMMIT_IF_VERSION;
		a->expected = client->seen[a->key];
		a->expected_value = client->seen_value[a->key];
		if (chance_of(chance, 300)) {
			a->kind = COMMIT_CHECK;
			a->value = 0;
		}
	} else {
		a->condition = COMMIT_IF_ABSENT;
		a->kind = COMMIT_PUT;
		a->value = value;
	}
}

static void operation_draw(struct sim *sim, uint32_t index, uint32_t client_index)
{
	struct chance *chance = &sim->chance;
	struct sim_client *client = &sim->clients[client_index];
	struct sim_operation *op = &sim->operations[index];
	*op = (struct sim_operation){
	    .client = client_index, .number = ++client->number, .start_ns = sim->now_ns, .after = client->after, .count = 1};
	uint64_t draw = sim->hot ? 50 : chance_below(chance, 100);
	uint32_t value = (index + 1) * SIM_OPS_KEYS; /* unique; those of a transaction count up from it */
	op->ack_all = !sim->hot && chance_of(chance, 60);
	op->accesses[0].key = (uint32_t)chance_below(chance, sim->keys);
	if (draw < 30) {
		op->kind = SIM_READ;
	} else if (draw < 30 + sim->blind || sim->hot) {
		op->kind = SIM_PUT;
		access_draw(sim, client, &op->accesses[0], value, false);
	} else if (draw < 80 || sim->keys < 2) {
		op->kind = SIM_CAS;
		access_draw(sim, client, &op->accesses[0], value, true);
	} else {
		op->kind = SIM_TXN;
		op->count = 2 + (uint32_t)chance_below(chance, sim->keys < SIM_OPS_KEYS ? sim->keys - 1 : SIM_OPS_KEYS - 1);
		for (uint32_t i = 0; i < op->count; i++) {
			op->accesses[i].key = (op->accesses[0].key + i * (1 + i % 2)) % sim->keys;
			for (uint32_t j = 0; j < i; j++)
				if (op->accesses[j].key == op->accesses[i].key)
					op->count = i;
			if (op->count == i)
				break;
			access_draw(sim, client, &op->accesses[i], value + i, chance_of(chance, 400));
		}
	}
	static const uint32_t deadlines_ms[] = {150, 600, 2000, 5000};
	op->deadline_ns = sim->now_ns + (sim->hot ? 30000 : deadlines_ms[chance_below(chance, 4)]) * SIM_MS;
}

static void operation_send(struct sim *sim, uint32_t index, uint8_t region)
{
	struct sim_operation *op = &sim->operations[index];
	op->copies++;
	bool moved = op->regions & ~(1u << region);
	op->regions |= 1u << region;
	sim_trace(sim, "client %u asks %u for #%u kind %u key %u of %u value %u (number %llu)", op->client, region, index,
	    op->kind, op->accesses[0].key, op->count, op->accesses[0].value, (unsigned long long)op->number);
	if (!sim->calm && !sim->hot && chance_of(&sim->chance, 20))
		return;
	sim_push(sim, sim->now_ns + chance_below(&sim->chance, 2 * SIM_MS),
	    (struct sim_event){.kind = SIM_REQUEST, .region = region, .operation = index, .moved = moved});
}

static void operation_end(struct sim *sim, uint32_t index, enum sim_outcome outcome)
{
	struct sim_operation *op = &sim->operations[index];
	struct sim_client *client = &sim->clients[op->client];
	op->outcome = outcome;
	op->end_ns = outcome == SIM_UNKNOWN ? UINT64_MAX : sim->now_ns;
	client->open = 0;
	sim_push(sim, sim->now_ns + 1 + chance_below(&sim->chance, sim->think_ms * SIM_MS),
	    (struct sim_event){.kind = SIM_CLIENT, .client = op->client});
}

void client_turn(struct sim *sim, uint32_t index)
{
	struct sim_client *client = &sim->clients[index];
	uint64_t again_ns = 100 * SIM_MS + chance_below(&sim->chance, 400 * SIM_MS);
	if (client->open) {
		struct sim_operation *op = &sim->operations[client->open - 1];
		uint64_t patience = op->deadline_ns + 300 * SIM_MS;
		if (sim->now_ns < patience) {
			sim_push(sim, sim->now_ns + again_ns, (struct sim_event){.kind = SIM_CLIENT, .client = index});
			return;
		}
		if (op->copies < 4 && chance_of(&sim->chance, 600)) {
			if (chance_of(&sim->chance, 400))
				client->region = (uint8_t)chance_below(&sim->chance, sim->n);
			sim->counts.repeats++;
			op->deadline_ns += op->deadline_ns - op->start_ns;
			operation_send(sim, client->open - 1, client->region);
			sim_push(sim, sim->now_ns + again_ns, (struct sim_event){.kind = SIM_CLIENT, .client = index});
			return;
		}
		sim->counts.unknown++;
		operation_end(sim, client->open - 1, SIM_UNKNOWN);
		return;
	}
	if (sim->calm && sim->issued >= sim->wanted)
		return;
	if (sim->issued >= sim->wanted)
		return;
	uint32_t operation = sim->operation_count++;
	sim->issued++;
	operation_draw(sim, operation, index);
	client->open = operation + 1;
	operation_send(sim, operation, client->region);
	sim_push(sim, sim->now_ns + again_ns, (struct sim_event){.kind = SIM_CLIENT, .client = index});
}

void client_answer(struct sim *sim, const struct sim_event *event)
{
	struct sim_operation *op = &sim->operations[event->operation];
	struct sim_client *client = &sim->clients[op->client];
	if (event->after > client->after)
		client->after = event->after;
	if (op->outcome != SIM_OPEN)
		return;
	assert(client->open == event->operation + 1);
	op->code = event->code;
	if (event->code == ERR_OK || (op->kind == SIM_READ && event->code == ERR_NOT_FOUND)) {
		op->version = event->version;
		op->read_value = event->value;
		if (op->kind == SIM_READ) {
			client->seen[op->accesses[0].key] = event->code == ERR_OK ? event->version : (struct commit_id){0};
			client->seen_value[op->accesses[0].key] = event->value;
			sim->counts.reads++;
		} else {
			for (uint32_t i = 0; i < op->count; i++) {
				const struct sim_access *a = &op->accesses[i];
				if (a->kind == COMMIT_CHECK)
					continue;
				client->seen[a->key] = a->kind == COMMIT_PUT ? event->version : (struct commit_id){0};
				client->seen_value[a->key] = a->value;
			}
			sim->counts.ok++;
		}
		operation_end(sim, event->operation, SIM_OK);
		return;
	}
	/* Nobody knows: ask again, or leave it. */
	if (event->code == ERR_UNKNOWN_OUTCOME || event->code == ERR_EXPIRED ||
	    (op->copies > 1 && !(event->code == ERR_CHECK_FAILED && event->moved))) {
		sim->counts.unknown++;
		operation_end(sim, event->operation, SIM_UNKNOWN);
		return;
	}
	if (event->code == ERR_CHECK_FAILED) {
		for (uint32_t i = 0; i < op->count; i++)
			client->seen[op->accesses[i].key] = (struct commit_id){0};
		sim->counts.failed++;
		operation_end(sim, event->operation, SIM_CHECK_FAILED);
		return;
	}
	sim->counts.refused++;
	operation_end(sim, event->operation, SIM_REFUSED);
}

bool clients_idle(const struct sim *sim)
{
	if (sim->issued < sim->wanted)
		return false;
	for (uint32_t i = 0; i < SIM_CLIENTS; i++)
		if (sim->clients[i].open)
			return false;
	return true;
}
