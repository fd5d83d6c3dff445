/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commit/message.h"
#include "tests/sim/commit/sim.h"

/* "k0042", and as much more as a key of that length needs. */
uint32_t key_put(const struct sim *sim, uint32_t key, uint8_t out[KEY_SIZE_MAX])
{
	uint32_t size = sim->shape.key_sizes[key];
	memset(out, 'x', size);
	out[0] = 'k';
	for (uint32_t i = 4, rest = key; i > 0; i--, rest /= 10)
		out[i] = (uint8_t)('0' + rest % 10);
	return size;
}

uint32_t key_of(const uint8_t *key, uint32_t size)
{
	uint32_t number = 0;
	assert(size >= 5 && key[0] == 'k');
	for (uint32_t i = 1; i < 5; i++)
		number = number * 10 + (uint32_t)(key[i] - '0');
	return number;
}

static bool lookup(void *user, uint16_t keyspace, const uint8_t *key, uint32_t size, struct commit_row *row)
{
	struct sim_node *node = user;
	uint32_t index = key_of(key, size);
	assert(index < node->sim->keys && size == node->sim->shape.key_sizes[index] &&
	       keyspace == node->sim->shape.key_all[index]);
	*row = node->rows[index].row;
	struct sim_row *have = &node->rows[index];
	row->value_size = node->sim->shape.value_size;
	if (!have->bytes && !(have->bytes = calloc(1, row->value_size)))
		abort();
	memcpy(have->bytes, &have->value, sizeof have->value);
	row->value = have->bytes;
	return !have->damaged;
}

static void apply_to_rows(struct sim_node *node, const struct sim_entry *entry)
{
	static struct commit_head head;
	struct commit_body body;
	if (entry->type != COMMIT_ENTRY_COMMIT)
		return;
	int code = commit_entry_open(entry->bytes, entry->size, &head, &body);
	assert(code == 0 && body.bytes);
	uint32_t at = body.operations_at;
	for (uint32_t i = 0; i < body.operation_count; i++) {
		struct commit_operation operation;
		commit_body_operation(&body, &at, &operation);
		struct sim_row *row = &node->rows[key_of(operation.key, operation.key_size)];
		struct commit_id before = row->row.version;
		commit_row_apply(&row->row, head.id, head.previous[i], &operation);
		if (commit_id_compare(before, row->row.version) != 0) {
			row->value = 0;
			if (operation.value_size)
				memcpy(&row->value, operation.value, sizeof row->value);
		}
		row->row.value = NULL;
	}
}

/* Where the streams find it; and what it says, once for all. */
static void entry_note(struct sim_node *node, struct sim_entry *entry, uint64_t index)
{
	static struct commit_head head;
	struct commit_body body;
	if (entry->type != COMMIT_ENTRY_BOUND) {
		int code = commit_entry_open(entry->bytes, entry->size, &head, &body);
		assert(code == 0);
		entry->id = head.id;
		entry->gives = entry->type == COMMIT_ENTRY_PREPARE || entry->type == COMMIT_ENTRY_COMMIT ||
		               (entry->type == COMMIT_ENTRY_ACCEPT && head.value == COMMIT_COMMITTED);
	}
	if (!entry->streamed)
		return;
	uint8_t origin = entry->origin;
	node->sequences.sequence[origin] = entry->sequence;
	if (entry->sequence >= node->streamed_capacity[origin]) {
		uint32_t capacity = 2 * (uint32_t)entry->sequence + 64;
		node->streamed[origin] = realloc(node->streamed[origin], capacity * sizeof(uint32_t));
		assert(node->streamed[origin]);
		node->streamed_capacity[origin] = capacity;
	}
	node->streamed[origin][entry->sequence] = (uint32_t)index;
}

static void entry_add(struct sim_node *node, struct sim_entry entry)
{
	if (node->count == node->capacity) {
		node->capacity = node->capacity ? node->capacity * 2 : 256;
		node->entries = realloc(node->entries, node->capacity * sizeof *node->entries);
		assert(node->entries);
	}
	node->entries[node->count] = entry;
	entry_note(node, &node->entries[node->count], node->count);
	node->count++;
}

static void sync_start(struct sim *sim, struct sim_node *node)
{
	if (node->syncing || node->count == node->durable)
		return;
	node->syncing = node->count;
	uint64_t took =
	    sim->local ? 300000 + chance_below(&sim->chance, 400000) : 100000 + chance_below(&sim->chance, 3 * SIM_MS);
	if (!sim->calm && chance_of(&sim->chance, sim->shape.late_sync))
		took += chance_below(&sim->chance, 400 * SIM_MS);
	uint64_t from_ns = node->disk_until_ns > sim->now_ns ? node->disk_until_ns : sim->now_ns;
	sim_push(sim, from_ns + took,
	    (struct sim_event){.kind = SIM_SYNCED, .region = node->region, .incarnation = node->incarnation});
}

static void effect_append(struct sim *sim, struct sim_node *node, const struct commit_effect *effect)
{
	struct sim_entry entry = {.type = effect->append.type,
	    .streamed = effect->append.streamed,
	    .origin = node->region,
	    .size = (uint32_t)(effect->append.head_size + effect->append.body_size)};
	entry.bytes = malloc(entry.size);
	assert(entry.bytes);
	memcpy(entry.bytes, effect->append.head, effect->append.head_size);
	if (effect->append.body_size)
		memcpy(entry.bytes + effect->append.head_size, effect->append.body, effect->append.body_size);
	if (entry.streamed)
		entry.sequence = node->sequences.sequence[node->region] + 1;
	entry_add(node, entry);
	if (sim->trace && entry.type != COMMIT_ENTRY_BOUND) {
		static const char *const names[] = {"PREPARE", "PROMISE", "ACCEPT", "COMMIT", "ABORT"};
		static struct commit_head head;
		struct commit_body body;
		commit_entry_open(entry.bytes, entry.size, &head, &body);
		sim_trace(sim, "%u appends %s %s ballot %llu value %u%s", node->region,
		    names[entry.type - COMMIT_ENTRY_PREPARE], sim_id(head.id), (unsigned long long)head.ballot, head.value,
		    entry.streamed ? " streamed" : "");
		for (uint32_t i = 0; i < head.previous_count; i++)
			sim_trace(sim, "      replaces %s", sim_id(head.previous[i]));
	}
}

static const char *const message_names[] = {"", "PREPARE", "VOTE", "WITHDRAW", "WITHDRAWN", "DECIDED", "RECOVER", "PROMISED",
    "ACCEPT", "ACCEPTED", "BLOCKED", "FETCH", "KNOWN", "ASK", "TOLD"};

static void effect_send(struct sim *sim, struct sim_node *node, const struct commit_effect *effect)
{
	const struct commit_message *m = &effect->send.message;
	uint8_t *bytes = NULL;
	size_t size = commit_message_size(m);
	bytes = malloc(size);
	assert(bytes && commit_message_encode(m, bytes, size) == (long)size);
	for (uint8_t to = 0; to < sim->n; to++) {
		if (!(effect->send.to & 1u << to))
			continue;
		if (m->type == COMMIT_DECIDED && !sim->calm && chance_of(&sim->chance, sim->shape.lost_decisions))
			continue;
		sim_trace(sim, "%u -> %u %s %s ballot %llu vote %u decision %u", node->region, to, message_names[m->type],
		    sim_id(m->id), (unsigned long long)m->ballot, m->vote, m->decision);
		sim_network(sim, node->region, to,
		    (struct sim_event){
		        .kind = SIM_MESSAGE, .region = to, .peer = node->region, .bytes = bytes, .size = (uint32_t)size});
	}
	free(bytes);
}

static void effect_answer(struct sim *sim, struct sim_node *node, const struct commit_effect *effect)
{
	const struct commit_answer *a = &effect->answer;
	struct sim_event event = {.kind = SIM_ANSWER,
	    .operation = (uint32_t)a->route,
	    .code = a->code,
	    .version = a->version,
	    .moved = a->route >> 32,
	    .after = commit_token(node->machine)};
	if (a->is_read && a->code == ERR_OK && a->value_size)
		memcpy(&event.value, a->value, sizeof event.value);
	sim_trace(sim, "%u answers #%u %s %s value %u", node->region, event.operation, error_name(a->code), sim_id(a->version),
	    event.value);
	if (!a->is_read && a->code == ERR_OK)
		check_acknowledged(sim, event.operation, a->version);
	if (!sim->calm && !sim->hot && chance_of(&sim->chance, 30))
		return;
	sim_push(sim, sim->now_ns + chance_below(&sim->chance, 2 * SIM_MS), event);
	/* The coordinator's disk is thrown away straight after an ok. */
	if (!sim->calm && !a->is_read && a->code == ERR_OK && sim->shape.lose_after_ok && sim->losses_left &&
	    chance_of(&sim->chance, sim->shape.lose_after_ok)) {
		sim_push(sim, sim->now_ns, (struct sim_event){.kind = SIM_FAULT, .region = node->region, .code = 1});
	}
}

static void step(struct sim *sim, struct sim_node *node, struct commit_event event)
{
	struct commit_effects *out = node->effects;
	event.now_ns = sim->now_ns;
	event.now_ms = (uint64_t)((int64_t)(sim->wall_ms + sim->now_ns / SIM_MS) + node->skew_ms);
	for (;;) {
		commit_step(node->machine, &event, out);
		for (uint32_t i = 0; i < out->count; i++) {
			const struct commit_effect *effect = &out->effects[i];
			if (effect->type == COMMIT_EFFECT_APPEND)
				effect_append(sim, node, effect);
			else if (effect->type == COMMIT_EFFECT_SEND)
				effect_send(sim, node, effect);
			else
				effect_answer(sim, node, effect);
		}
		if (commit_counts(node->machine)->contradictions)
			sim_fail(sim, SIM_SAFETY, "region %u was told two outcomes", node->region);
		if (commit_counts(node->machine)->work_effects > COMMIT_WORK_EFFECTS ||
		    commit_counts(node->machine)->work_scratch > COMMIT_WORK_SCRATCH)
			sim_fail(sim, SIM_SAFETY, "a piece of work of region %u was larger than its budget", node->region);
		if (!out->more)
			break;
		event.type = COMMIT_EVENT_CONTINUE;
	}
	assert(commit_ticket(node->machine) == node->count - node->base);
	if (out->timer_ns && (!node->timer_ns || out->timer_ns < node->timer_ns)) {
		node->timer_ns = out->timer_ns;
		sim_push(sim, out->timer_ns,
		    (struct sim_event){.kind = SIM_TIMER, .region = node->region, .incarnation = node->incarnation});
	}
	sync_start(sim, node);
}

void node_message(struct sim *sim, struct sim_node *node, uint8_t from, const uint8_t *bytes, uint32_t size)
{
	static struct commit_seen seen[COMMIT_OPERATIONS_MAX];
	struct commit_message message;
	int code = commit_message_decode(&message, seen, bytes, size);
	if (code != 0)
		sim_fail(sim, SIM_SAFETY, "a message of type %u does not decode", bytes[0]);
	step(sim, node, (struct commit_event){.type = COMMIT_EVENT_MESSAGE, .message = {.from = from, .message = &message}});
}

void node_stream(struct sim *sim, struct sim_node *node, const struct sim_event *event)
{
	if (event->sequence != node->sequences.sequence[event->origin] + 1 || !commit_streams_room(node->machine))
		return;
	struct sim_entry entry = {.type = COMMIT_ENTRY_COMMIT,
	    .streamed = true,
	    .origin = event->origin,
	    .sequence = event->sequence,
	    .size = event->size,
	    .bytes = malloc(event->size)};
	assert(entry.bytes);
	memcpy(entry.bytes, event->bytes, event->size);
	entry_add(node, entry);
	static struct commit_head head;
	struct commit_body body;
	commit_entry_open(entry.bytes, entry.size, &head, &body);
	sim_trace(sim, "%u gets %s by the stream of %u", node->region, sim_id(head.id), entry.origin);
	step(sim, node,
	    (struct commit_event){.type = COMMIT_EVENT_STREAMED, .streamed = {.bytes = entry.bytes, .size = entry.size}});
}

void node_synced(struct sim *sim, struct sim_node *node)
{
	for (uint64_t i = node->durable; i < node->syncing; i++)
		check_entry(sim, node, &node->entries[i]);
	node->durable = node->syncing;
	node->syncing = 0;
	sim_push(sim, sim->now_ns + chance_below(&sim->chance, sim->local ? 100000 : SIM_MS),
	    (struct sim_event){.kind = SIM_APPLY, .region = node->region, .incarnation = node->incarnation});
	node->oldest = commit_oldest_lsn(node->machine);
	if (sim->shape.forgets && node->count == node->durable && chance_of(&sim->chance, 50)) {
		node->mark = node->count;
		node->mark_hlc = commit_newest_hlc(node->machine);
	}
	step(sim, node,
	    (struct commit_event){
	        .type = COMMIT_EVENT_DURABLE, .durable = {.ticket = node->durable - node->base, .lsn = node->durable}});
}

void node_apply(struct sim *sim, struct sim_node *node)
{
	while (node->applied < node->durable)
		apply_to_rows(node, &node->entries[node->applied++]);
	step(sim, node, (struct commit_event){.type = COMMIT_EVENT_APPLIED, .applied = node->applied - node->base});
}

void node_timer(struct sim *sim, struct sim_node *node)
{
	node->timer_ns = 0;
	step(sim, node, (struct commit_event){.type = COMMIT_EVENT_TIMER});
}

/* The streams: each region sends what it has on disk of any origin to whoever lacks it. */
void node_pump(struct sim *sim, struct sim_node *node)
{
	for (uint8_t to = 0; to < sim->n; to++) {
		struct sim_node *peer = &sim->nodes[to];
		if (to == node->region || !peer->up)
			continue;
		uint64_t next[REGIONS_MAX];
		memcpy(next, peer->sequences.sequence, sizeof next);
		uint32_t sent = 0;
		for (uint8_t origin = 0; origin < sim->n; origin++) {
			/* Mostly each region sends its own, while it can. */
			if (origin != node->region && sim->nodes[origin].up && chance_of(&sim->chance, 700))
				continue;
			while (sent < 50 && next[origin] < node->sequences.sequence[origin]) {
				uint32_t index = node->streamed[origin][++next[origin]];
				if (index >= node->durable)
					break;
				const struct sim_entry *entry = &node->entries[index];
				sent++;
				sim_network(sim, node->region, to,
				    (struct sim_event){.kind = SIM_STREAM,
				        .region = to,
				        .peer = node->region,
				        .origin = entry->origin,
				        .sequence = entry->sequence,
				        .bytes = entry->bytes,
				        .size = entry->size});
			}
		}
	}
	uint64_t pause_ms = sim->local ? 3 : 10 + chance_below(&sim->chance, 60);
	sim_push(sim, sim->now_ns + pause_ms * SIM_MS,
	    (struct sim_event){.kind = SIM_PUMP, .region = node->region, .incarnation = node->incarnation});
}

void node_request(struct sim *sim, struct sim_node *node, const struct sim_event *event)
{
	static uint8_t keys[SIM_OPS_KEYS][KEY_SIZE_MAX], values[SIM_OPS_KEYS][8192];
	const struct sim_operation *op = &sim->operations[event->operation];
	uint64_t deadline_ns = sim->now_ns + op->timeout_ns;
	if (op->kind == SIM_READ) {
		step(sim, node,
		    (struct commit_event){.type = COMMIT_EVENT_READ,
		        .read = {.route = event->operation,
		            .number = op->number,
		            .deadline_ns = deadline_ns,
		            .keyspace = sim->shape.key_all[op->accesses[0].key],
		            .key = keys[0],
		            .key_size = key_put(sim, op->accesses[0].key, keys[0])}});
		return;
	}
	struct commit_operation operations[SIM_OPS_KEYS];
	for (uint32_t i = 0; i < op->count; i++) {
		const struct sim_access *a = &op->accesses[i];
		operations[i] = (struct commit_operation){.kind = a->kind,
		    .condition = a->condition,
		    .keyspace = sim->shape.key_all[a->key],
		    .key = keys[i],
		    .key_size = key_put(sim, a->key, keys[i]),
		    .expected = a->expected,
		    .value = values[i],
		    .value_size = a->kind == COMMIT_PUT ? sim->shape.value_size : 0};
		memcpy(values[i], &a->value, sizeof a->value);
	}
	/* What it has waited in a region that was paused counts to its age, as with the port. */
	uint64_t waited_ms = (sim->now_ns - event->arrived_ns) / SIM_MS;
	step(sim, node,
	    (struct commit_event){.type = COMMIT_EVENT_TRANSACTION,
	        .transaction = {.route = event->operation | (uint64_t)event->moved << 32,
	            .client_id = sim->clients[op->client].id,
	            .number = op->number,
	            .settled = op->number - 1,
	            .deadline_ns = deadline_ns,
	            .after = op->after,
	            .age_ms = event->age_ms + waited_ms,
	            .moved = event->moved,
	            .ack_all = op->ack_all,
	            .count = op->count,
	            .operations = operations}});
}

void node_refuse(struct sim *sim, struct sim_node *node, int code)
{
	step(sim, node, (struct commit_event){.type = COMMIT_EVENT_REFUSE, .refuse = {.code = code}});
}

void node_peers(struct sim *sim, struct sim_node *node, uint32_t mask)
{
	step(sim, node, (struct commit_event){.type = COMMIT_EVENT_PEERS, .peers = mask});
}

void node_start(struct sim *sim, struct sim_node *node)
{
	if (node->up || node->lost)
		return;
	node->up = true;
	node->incarnation++;
	node->durable = node->applied = node->base = node->count;
	node->syncing = node->timer_ns = 0;
	node->sim = sim;
	if (!node->rows && !(node->rows = calloc(sim->keys, sizeof *node->rows)))
		abort();
	for (uint32_t k = 0; k < sim->keys; k++)
		node->rows[k] = (struct sim_row){.bytes = node->rows[k].bytes,
		    .damaged = sim->shape.wide & SIM_WIDE_DAMAGE && !sim->calm && chance_of(&sim->chance, 150)};
	node->sequences = (struct vector){0};
	uint64_t bound = 0;
	for (uint64_t i = 0; i < node->count; i++) {
		const struct sim_entry *entry = &node->entries[i];
		check_entry(sim, node, entry);
		apply_to_rows(node, entry);
		if (entry->streamed)
			node->sequences.sequence[entry->origin] = entry->sequence;
		if (entry->type == COMMIT_ENTRY_BOUND) {
			uint64_t stored;
			memcpy(&stored, entry->bytes, sizeof stored);
			bound = stored > bound ? stored : bound;
		}
	}
	struct commit_options options = {.region = node->region,
	    .regions = (1u << sim->n) - 1,
	    .incarnation = chance_next(&sim->chance),
	    .transactions = sim->shape.transactions,
	    .requests = sim->shape.requests,
	    .reads = sim->shape.reads,
	    .keys = sim->shape.table_keys,
	    .memory = sim->shape.memory,
	    .arena = sim->shape.arena,
	    .lookup = lookup,
	    .user = node,
	    .assigned = &node->sequences,
	    .carry_lsn = sim->shape.forgets ? 20 : 0,
	    .resend_ns = sim->shape.resend_ms * SIM_MS,
	    .in_doubt_ns = sim->shape.in_doubt_ms * SIM_MS,
	    .unstreamed_ns = 2000 * SIM_MS};
	/* Part of the log may be gone. */
	uint64_t from = node->mark < node->oldest ? node->mark : node->oldest;
	int code = commit_new(&node->machine, &options, bound, from ? node->mark_hlc : 0);
	assert(code == 0);
	sim_trace(sim, "%u starts", node->region);
	uint64_t count = node->count;
	for (uint64_t i = from; i < count; i++)
		step(sim, node,
		    (struct commit_event){.type = COMMIT_EVENT_REPLAY,
		        .replay = {.type = node->entries[i].type,
		            .bytes = node->entries[i].bytes,
		            .size = node->entries[i].size,
		            .lsn = i,
		            .streamed = node->entries[i].streamed}});
	assert(commit_replayed(node->machine));
	step(sim, node, (struct commit_event){.type = COMMIT_EVENT_START});
	sim_push(
	    sim, sim->now_ns, (struct sim_event){.kind = SIM_PUMP, .region = node->region, .incarnation = node->incarnation});
}

void node_kill(struct sim *sim, struct sim_node *node, bool machine)
{
	if (!node->up)
		return;
	node->up = false;
	commit_free(node->machine);
	node->machine = NULL;
	uint64_t keep = node->durable;
	if (!machine && node->syncing > keep)
		keep += chance_below(&sim->chance, node->syncing - keep + 1);
	while (node->count > keep)
		free(node->entries[--node->count].bytes);
	node->paused_until_ns = node->disk_until_ns = 0;
	sim_trace(sim, "%u dies%s", node->region, machine ? " with its machine" : "");
}

void node_lose(struct sim *sim, struct sim_node *node)
{
	node_kill(sim, node, true); /* the entries stay, for the judge alone: what was on it when it was lost */
	node->lost = true;
	sim_trace(sim, "%u has lost its disk", node->region);
}

void node_free(struct sim_node *node)
{
	commit_free(node->machine);
	free(node->effects);
	while (node->count)
		free(node->entries[--node->count].bytes);
	free(node->entries);
	for (uint32_t k = 0; node->rows && k < node->sim->keys; k++)
		free(node->rows[k].bytes);
	free(node->rows);
	for (uint32_t r = 0; r < SIM_REGIONS_MAX; r++)
		free(node->streamed[r]);
}
