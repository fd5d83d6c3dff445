/* SPDX-License-Identifier: Apache-2.0
 *
 * A client has one operation open. What is not answered in time is asked again, there or in another region, and called unknown
 * in the end. A refusal is final only if it was sent to one region once, since another copy may be applied; or if a check
 * failed and the region knew that there are other copies. */
#include <assert.h>
#include <stdlib.h>
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
	bool has = client->seen[a->key].id.hlc != 0;
	if (has && chance_of(chance, 700)) {
		a->condition = COMMIT_IF_VERSION;
		a->expected = client->seen[a->key].id;
		a->expected_value = client->seen[a->key].value;
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

static struct sim_operation *operation_add(struct sim *sim, uint32_t client_index, uint32_t accesses)
{
	struct sim_client *client = &sim->clients[client_index];
	if (sim->operation_count == sim->operation_capacity) {
		sim->operation_capacity = sim->operation_capacity ? 2 * sim->operation_capacity : 512;
		sim->operations = realloc(sim->operations, sim->operation_capacity * sizeof *sim->operations);
	}
	if (client->number + 1 >= client->capacity) {
		client->capacity = client->capacity ? 2 * client->capacity : 64;
		client->operations = realloc(client->operations, client->capacity * sizeof *client->operations);
	}
	struct sim_operation *op = &sim->operations[sim->operation_count];
	*op = (struct sim_operation){.client = client_index,
	    .number = ++client->number,
	    .start_ns = sim->now_ns,
	    .after = client->after,
	    .count = 1,
	    .accesses = calloc(accesses, sizeof *op->accesses)};
	if (!client->operations || !op->accesses)
		abort();
	client->operations[client->number] = sim->operation_count++;
	return op;
}

/* Unique; those of a transaction count up from it. */
static uint32_t value_of(const struct sim *sim, const struct sim_operation *op)
{
	return (uint32_t)(op - sim->operations + 1) * (SIM_OPS_KEYS + 1);
}

static void transaction_draw(struct sim *sim, struct sim_client *client, struct sim_operation *op)
{
	struct chance *chance = &sim->chance;
	uint32_t most = sim->shape.txn_keys < sim->keys ? sim->shape.txn_keys : sim->keys;
	uint32_t wanted = sim->hot ? most : 2 + (uint32_t)chance_below(chance, most - 1);
	uint32_t conditional = sim->hot ? 0 : (uint32_t)(wanted > 8 ? 40 : 400);
	bool used[SIM_KEYS_MAX] = {false};
	op->kind = SIM_TXN;
	op->count = 0;
	while (op->count < wanted) {
		struct sim_access *a = &op->accesses[op->count];
		a->key = (uint32_t)chance_below(chance, sim->keys);
		while (used[a->key])
			a->key = (a->key + 1) % sim->keys;
		used[a->key] = true;
		access_draw(sim, client, a, value_of(sim, op) + op->count, chance_of(chance, conditional));
		op->count++;
	}
}

static void operation_draw(struct sim *sim, uint32_t client_index)
{
	struct chance *chance = &sim->chance;
	const struct sim_shape *s = &sim->shape;
	struct sim_client *client = &sim->clients[client_index];
	struct sim_operation *op = operation_add(sim, client_index, s->txn_keys < 2 ? 1 : s->txn_keys);
	uint64_t draw = sim->hot ? 99 : chance_below(chance, 100);
	uint64_t blind = s->wide & SIM_WIDE_HOT ? 5 : s->blind, transactions = s->wide & SIM_WIDE_HOT ? 60 : 80;
	op->accesses[0].key = (uint32_t)chance_below(chance, sim->keys);
	if (draw < 30) {
		op->kind = SIM_READ;
	} else if (draw < 30 + blind) {
		op->kind = SIM_PUT;
		access_draw(sim, client, &op->accesses[0], value_of(sim, op), false);
	} else if (draw < transactions) {
		op->kind = SIM_CAS;
		access_draw(sim, client, &op->accesses[0], value_of(sim, op), true);
	} else if (sim->keys > 1 && s->txn_keys > 1) {
		transaction_draw(sim, client, op);
	} else {
		op->kind = SIM_PUT;
		access_draw(sim, client, &op->accesses[0], value_of(sim, op), !sim->hot && chance_of(chance, 500));
	}
	for (uint32_t i = 0; i < op->count; i++)
		op->ack_all |= s->key_all[op->accesses[i].key];
	static const uint32_t deadlines_ms[] = {150, 600, 2000, 5000};
	uint32_t deadline_ms = deadlines_ms[chance_below(chance, 4)];
	op->timeout_ns = (client->impatient ? 60 : sim->hot ? 30000 : deadline_ms) * SIM_MS;
}

static void operation_send(struct sim *sim, uint32_t index, uint8_t region)
{
	struct sim_operation *op = &sim->operations[index];
	struct sim_event event = {.kind = SIM_REQUEST,
	    .region = region,
	    .operation = index,
	    .age_ms = op->copies ? (sim->now_ns - op->start_ns) / SIM_MS + 1 : 0};
	op->deadline_ns = sim->now_ns + op->timeout_ns;
	op->copies++;
	op->regions |= 1u << region;
	event.moved = (op->regions & (op->regions - 1)) != 0;
	sim_trace(sim, "client %u asks %u for #%u kind %u key %u of %u value %u (number %llu, copy %u)", op->client, region,
	    index, op->kind, op->accesses[0].key, op->count, op->accesses[0].value, (unsigned long long)op->number, op->copies);
	if (!sim->calm && !sim->hot && chance_of(&sim->chance, 20))
		return;
	sim_push(sim, sim->now_ns + chance_below(&sim->chance, 2 * SIM_MS), event);
}

static void operation_end(struct sim *sim, uint32_t index, enum sim_outcome outcome)
{
	struct sim_operation *op = &sim->operations[index];
	struct sim_client *client = &sim->clients[op->client];
	op->outcome = outcome;
	op->end_ns = outcome == SIM_UNKNOWN ? UINT64_MAX : sim->now_ns;
	client->open = 0;
	sim_push(sim, sim->now_ns + 1 + chance_below(&sim->chance, sim->shape.think_ms * SIM_MS),
	    (struct sim_event){.kind = SIM_CLIENT, .client = op->client});
}

/* In the end: each key in turn, from this client's region. */
static void probe_turn(struct sim *sim, uint32_t index)
{
	struct sim_client *client = &sim->clients[index];
	while (!client->open && client->probed < (sim->keys < SIM_PROBED_MAX ? sim->keys : SIM_PROBED_MAX)) {
		uint32_t key = (uint32_t)((uint64_t)client->probed++ * sim->keys / SIM_PROBED_MAX % sim->keys);
		if (sim->keys <= SIM_PROBED_MAX)
			key = client->probed - 1;
		if (sim->shape.key_all[key] && sim->counts.losses)
			continue; /* a region is gone for good, and every one was asked for */
		struct sim_operation *op = operation_add(sim, index, 1);
		op->kind = SIM_PUT;
		op->probe = true;
		op->accesses[0] =
		    (struct sim_access){.key = key, .value = value_of(sim, op), .kind = COMMIT_PUT, .condition = COMMIT_ALWAYS};
		op->ack_all = sim->shape.key_all[key];
		op->timeout_ns = SIM_PROBE_NS;
		client->open = (uint32_t)(op - sim->operations) + 1;
		sim->counts.probes++;
		operation_send(sim, client->open - 1, client->region);
	}
}

static void client_waits(struct sim *sim, uint32_t index)
{
	struct sim_client *client = &sim->clients[index];
	struct sim_operation *op = &sim->operations[client->open - 1];
	uint64_t again_ns = 100 * SIM_MS + chance_below(&sim->chance, 400 * SIM_MS);
	uint64_t patience_ns = 300 * SIM_MS;
	if (!sim->calm && sim->shape.patience_ms > 300 && (op->number + op->copies) % 4 == 0)
		patience_ns = sim->shape.patience_ms * SIM_MS;
	if (sim->now_ns < op->deadline_ns + patience_ns) {
		sim_push(sim, sim->now_ns + again_ns, (struct sim_event){.kind = SIM_CLIENT, .client = index});
		return;
	}
	if (op->copies < 4 && chance_of(&sim->chance, 600)) {
		if (chance_of(&sim->chance, 400))
			client->region = (uint8_t)chance_below(&sim->chance, sim->n);
		sim->counts.repeats++;
		op->timeout_ns *= 2;
		operation_send(sim, client->open - 1, client->region);
		sim_push(sim, sim->now_ns + again_ns, (struct sim_event){.kind = SIM_CLIENT, .client = index});
		return;
	}
	sim->counts.unknown++;
	operation_end(sim, client->open - 1, SIM_UNKNOWN);
}

void client_turn(struct sim *sim, uint32_t index)
{
	struct sim_client *client = &sim->clients[index];
	if (client->probes) {
		probe_turn(sim, index);
		return;
	}
	if (client->open) {
		client_waits(sim, index);
		return;
	}
	if (sim->issued >= sim->wanted)
		return;
	sim->issued++;
	operation_draw(sim, index);
	client->open = sim->operation_count;
	operation_send(sim, client->open - 1, client->region);
	sim_push(sim, sim->now_ns + 100 * SIM_MS + chance_below(&sim->chance, 400 * SIM_MS),
	    (struct sim_event){.kind = SIM_CLIENT, .client = index});
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
	/* With the token that came with this answer: again, as a new one. Where little is remembered, others may be faster. */
	if (op->probe && event->code == ERR_EXPIRED && (!op->after || sim->shape.forgets) && client->again < SIM_PROBED_AGAIN) {
		client->again++;
		client->probed--;
	} else if (op->probe && event->code != ERR_OK)
		sim_fail(sim, SIM_LIVENESS, "in the end a write of key %u in region %u is answered %s", op->accesses[0].key,
		    client->region, error_name(event->code));
	if (event->code == ERR_OK || (op->kind == SIM_READ && event->code == ERR_NOT_FOUND)) {
		op->version = event->version;
		op->read_value = event->value;
		if (op->kind == SIM_READ) {
			client->seen[op->accesses[0].key] = (struct sim_seen){
			    .id = event->code == ERR_OK ? event->version : (struct commit_id){0}, .value = event->value};
			sim->counts.reads++;
		} else {
			for (uint32_t i = 0; i < op->count; i++) {
				const struct sim_access *a = &op->accesses[i];
				if (a->kind == COMMIT_CHECK)
					continue;
				client->seen[a->key] = (struct sim_seen){
				    .id = a->kind == COMMIT_PUT ? event->version : (struct commit_id){0}, .value = a->value};
			}
			sim->counts.ok++;
		}
		operation_end(sim, event->operation, SIM_OK);
		return;
	}
	/* Nobody knows: ask again, or leave it. */
	if (event->code == ERR_UNKNOWN_OUTCOME || (event->code == ERR_EXPIRED && op->copies > 1) ||
	    (op->copies > 1 && !(event->code == ERR_CHECK_FAILED && event->moved))) {
		sim->counts.unknown++;
		operation_end(sim, event->operation, SIM_UNKNOWN);
		return;
	}
	if (event->code == ERR_CHECK_FAILED) {
		for (uint32_t i = 0; i < op->count; i++)
			client->seen[op->accesses[i].key].id = (struct commit_id){0};
		sim->counts.failed++;
		operation_end(sim, event->operation, SIM_CHECK_FAILED);
		return;
	}
	sim->counts.refused++;
	operation_end(sim, event->operation, SIM_REFUSED);
}

void clients_begin(struct sim *sim)
{
	sim->client_count = sim->shape.clients;
	for (uint32_t i = 0; i < sim->client_count; i++) {
		struct sim_client *client = &sim->clients[i];
		client->id = chance_next(&sim->chance) | 1;
		client->region = (uint8_t)(i % sim->n);
		client->impatient = i < sim->shape.impatient;
		client->seen = calloc(sim->keys, sizeof *client->seen);
		if (!client->seen)
			abort();
		sim_push(sim, chance_below(&sim->chance, 20 * SIM_MS), (struct sim_event){.kind = SIM_CLIENT, .client = i});
	}
}

void clients_probe(struct sim *sim)
{
	for (uint8_t r = 0; r < sim->n; r++) {
		if (!sim->nodes[r].up)
			continue;
		uint32_t index = sim->client_count++;
		struct sim_client *client = &sim->clients[index];
		*client = (struct sim_client){.id = chance_next(&sim->chance) | 1, .region = r, .probes = true};
		client->seen = calloc(sim->keys, sizeof *client->seen);
		if (!client->seen)
			abort();
		sim_push(sim, sim->now_ns, (struct sim_event){.kind = SIM_CLIENT, .client = index});
	}
}

void clients_free(struct sim *sim)
{
	for (uint32_t i = 0; i < sim->client_count; i++) {
		free(sim->clients[i].seen);
		free(sim->clients[i].operations);
	}
	for (uint32_t i = 0; i < sim->operation_count; i++)
		free(sim->operations[i].accesses);
	free(sim->operations);
}

bool clients_have_probed(const struct sim *sim)
{
	for (uint32_t i = 0; i < sim->client_count; i++)
		if (sim->clients[i].probes &&
		    (sim->clients[i].open ||
		        sim->clients[i].probed < (sim->keys < SIM_PROBED_MAX ? sim->keys : SIM_PROBED_MAX)))
			return false;
	return true;
}

bool clients_idle(const struct sim *sim)
{
	if (sim->issued < sim->wanted)
		return false;
	for (uint32_t i = 0; i < sim->client_count; i++)
		if (sim->clients[i].open)
			return false;
	return true;
}
