/* SPDX-License-Identifier: Apache-2.0
 *
 * A region: its processes, and what the port of the coordinator does around its state machine, with the simulated disk and
 * shared memory. */
#include "tests/sim/sim.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static struct coordinator_effects effects; /* too large for the stack of every step */

static const char *name_of(const struct sim_node *node)
{
	return sim_names[node->region];
}

uint64_t node_wall_ms(const struct sim *sim, const struct sim_node *node)
{
	return sim->wall_start_ms + sim->now_ns / SIM_MS + (uint64_t)node->skew_ms;
}

void node_wake(struct sim *sim, struct sim_node *node, enum actor actor, uint64_t delay_ns)
{
	struct sim_process *process = &node->processes[actor];
	uint64_t time_ns = sim->now_ns + delay_ns;
	if (!process->up || process->turn_ns <= time_ns)
		return;
	process->turn_ns = time_ns;
	sim_push(sim, time_ns,
	    (struct sim_event){.kind = SIM_TURN, .region = node->region, .actor = actor, .incarnation = process->incarnation});
}

/* ---- coordinator ---- */

static void publish(struct sim *sim, struct sim_node *node)
{
	uint8_t region = node->region;
	uint64_t own = node->wiped ? 0 : node->disk.applied.sequence[region];
	memcpy(node->stores, node->disk.peer_stores, sizeof node->stores);
	node->stores[region] = (struct store_id){{(uint8_t)(region + 1), node->wiped}};
	node->published = node->disk.applied;
	for (; own && !sim->writes[region][own - 1].published_ns; own--)
		sim->writes[region][own - 1].published_ns = sim->now_ns;
}

/* A peer's store that the streamer has met: known once it is durable. */
static void peer_stores_look(struct sim *sim, struct sim_node *node)
{
	for (uint8_t p = 0; p < sim->regions; p++) {
		uint8_t body[1 + STORE_ID_SIZE] = {p};
		if (!store_id_is_known(&node->met[p]) || store_id_is_known(&node->stores[p]))
			continue;
		memcpy(body + 1, &node->met[p], STORE_ID_SIZE);
		disk_append(sim, &node->disk, SIM_PEER_STORE, body, sizeof body);
	}
}

static void coordinator_start(struct sim *sim, struct sim_node *node)
{
	struct sim_disk *disk = &node->disk;
	struct vector assigned;
	struct record record;
	/* Recovery: what the log holds is synced, then applied, and all of it is durable from here on. */
	disk->durable = disk->count;
	disk_apply(sim, node, disk->applied_lsn + (disk->count - disk->applied_lsn) / 2);
	node_point(sim, node, ACTOR_COORDINATOR);
	disk_apply(sim, node, disk->count);
	node_point(sim, node, ACTOR_COORDINATOR);
	assigned = disk->applied;
	struct coordinator_options options = {.region = node->region,
	    .regions = (1u << sim->regions) - 1,
	    .keyspace_count = 1,
	    .keyspaces = {{LEVEL_EVENTUAL, ACKNOWLEDGE_ONE}},
	    .clock_drift_max_ms = SIM_DRIFT_MAX_MS,
	    .started_ns = sim->now_ns,
	    .reply_cache_answers = 1u << 12};
	uint64_t floor = disk->hlc > disk->hlc_bound ? disk->hlc : disk->hlc_bound;
	assert(coordinator_init(&node->coordinator, &options, &assigned, &disk->applied, floor) == 0);
	uint64_t from = disk->start;
	if (sim->forgetful && chance_of(&sim->chance, 500))
		from += chance_below(&sim->chance, disk->count - from + 1);
	if (from)
		coordinator_remember_part(&node->coordinator, disk->entries[from - 1].written_ns);
	for (uint64_t i = from; i < disk->count; i++)
		if (disk->entries[i].kind == SIM_RECORD &&
		    record_decode(&record, disk->entries[i].bytes, disk->entries[i].size) > 0)
			coordinator_remember(&node->coordinator, &record);
	ring_empty(node);
	node->epoch++;
	publish(sim, node);
	node->durable_lsn = disk->durable;
	node->ready = true;
	atomic_store(&node->memory->coordinator.epoch, node->epoch);
	atomic_store(&node->memory->coordinator.ready, true);
	char vector[VECTOR_TEXT_MAX];
	vector_format(&assigned, vector);
	sim_trace(sim, "%s coordinator > starts, log %s", name_of(node), vector);
	node_wake(sim, node, ACTOR_STREAMER, SIM_MS / 10);
	node_wake(sim, node, ACTOR_COORDINATOR, SIM_MS);
}

static void answers_send(struct sim *sim, struct sim_node *node)
{
	for (uint32_t i = 0; i < effects.answer_count; i++) {
		const struct coordinator_answer *answer = &effects.answers[i];
		node_point(sim, node, ACTOR_COORDINATOR);
		if (!node->processes[ACTOR_ROUTER].up || chance_of(&sim->chance, sim->calm ? 0 : 20))
			continue; /* the router died with it */
		struct coordinator_answer *copy = malloc(sizeof *copy);
		if (!copy)
			abort();
		*copy = *answer;
		sim_push(sim, sim->now_ns + SIM_MS / 10 + chance_below(&sim->chance, SIM_MS),
		    (struct sim_event){
		        .kind = SIM_ANSWER, .region = node->region, .client = (uint32_t)answer->route, .answer = copy});
	}
}

/* Persists what a step asked for and reports it back. */
static int append(struct sim *sim, struct sim_node *node)
{
	struct coordinator_event event = {.type = COORDINATOR_APPENDED};
	if (!effects.record)
		return 0;
	if (!sim->calm && chance_of(&sim->chance, sim->append_refuse)) {
		event.appended.code = chance_of(&sim->chance, 500) ? ERR_OVERLOADED : ERR_DISK_FULL;
	} else {
		if (effects.hlc_bound)
			disk_append(sim, &node->disk, SIM_BOUND, &effects.hlc_bound, sizeof effects.hlc_bound);
		node_point(sim, node, ACTOR_COORDINATOR);
		event.appended.end_lsn = disk_append(sim, &node->disk, SIM_RECORD, effects.record, effects.record_size);
	}
	node_point(sim, node, ACTOR_COORDINATOR);
	coordinator_step(&node->coordinator, &event, &effects);
	answers_send(sim, node);
	return event.appended.code;
}

/* As the client told it when it sent this copy, up to two seconds ago. */
static uint64_t age_told_ms(struct sim *sim, const struct sim_operation *operation)
{
	uint64_t age_ms = (sim->now_ns - operation->first_sent_ns) / SIM_MS, way_ms = chance_below(&sim->chance, 2000);
	return age_ms > way_ms ? age_ms - way_ms : 1;
}

void node_request(struct sim *sim, struct sim_node *node, uint32_t index, uint64_t number, bool repeat)
{
	struct sim_client *client = &sim->clients[index];
	struct sim_operation *operation = &client->operations[number - 1];
	struct coordinator_event event = {
	    .type = COORDINATOR_OPERATION, .now_ms = node_wall_ms(sim, node), .now_ns = sim->now_ns};
	struct row row;
	event.operation = (struct coordinator_operation){.route = index,
	    .client_id = client->id,
	    .number = number,
	    .settled = client->settled,
	    .age_ms = repeat ? age_told_ms(sim, operation) : 0,
	    .tombstone = operation->tombstone,
	    .key = (const uint8_t *)operation->key,
	    .key_size = strlen(operation->key),
	    .value = (const uint8_t *)operation->value,
	    .value_size = operation->tombstone ? 0 : strlen(operation->value),
	    .context = operation->context,
	    .context_size = operation->context_size,
	    .arrived_ns = sim->now_ns};
	if (operation->context_size) {
		struct sim_row *stored = disk_row(&node->disk, operation->key, false);
		if (stored && stored->bytes && row_decode(&row, stored->bytes, stored->size) == 0)
			event.operation.row = &row;
	}
	coordinator_step(&node->coordinator, &event, &effects);
	answers_send(sim, node);
	sim_trace(sim, "%s coordinator > %s %s = %s from client %u #%llu%s", name_of(node),
	    operation->tombstone ? "DELETE" : "PUT", operation->key, operation->value, index, (unsigned long long)number,
	    effects.record ? "" : " -> answered at once");
	append(sim, node);
	node_wake(sim, node, ACTOR_COORDINATOR, SIM_MS / 20);
}

static void sync_start(struct sim *sim, struct sim_node *node)
{
	struct sim_disk *disk = &node->disk;
	if (disk->syncing || disk->count == disk->durable)
		return;
	disk->syncing = disk->count;
	uint64_t takes_ns = SIM_MS / 5 + chance_below(&sim->chance, 4 * SIM_MS);
	if (!sim->calm && chance_of(&sim->chance, 5))
		takes_ns += chance_below(&sim->chance, 2000 * SIM_MS);
	sim_push(sim, sim->now_ns + takes_ns,
	    (struct sim_event){
	        .kind = SIM_SYNC_DONE, .region = node->region, .incarnation = node->processes[ACTOR_COORDINATOR].incarnation});
}

/* Once a second: a snapshot when one is due, and log that nobody needs, or beyond the budget that anybody needs, goes. */
static void upkeep(struct sim *sim, struct sim_node *node)
{
	struct sim_disk *disk = &node->disk;
	struct vector acked;
	if (!sim->snapshot_entries || sim->now_ns < node->upkeep_ns)
		return;
	node->upkeep_ns = sim->now_ns + 1000 * SIM_MS;
	memset(&acked, 0xff, sizeof acked);
	for (uint32_t p = 0; p < sim->regions; p++)
		for (uint32_t r = 0; r < REGIONS_MAX; r++)
			if (p != node->region && node->acked[p].sequence[r] < acked.sequence[r])
				acked.sequence[r] = node->acked[p].sequence[r];
	uint64_t snapshot = disk->snapshot ? disk->snapshot->applied_lsn : 0, used = disk->count - disk->start;
	bool spent = sim->budget_entries && used >= sim->budget_entries;
	bool due = disk->applied_lsn - snapshot >= sim->snapshot_entries || (spent && snapshot < disk->start + SIM_SEGMENT);
	if (due && chance_of(&sim->chance, 800)) { /* else it fails, and the one before stays */
		disk_snapshot(disk);
		snapshot = disk->applied_lsn;
		sim->counts.snapshots++;
	}
	node_point(sim, node, ACTOR_COORDINATOR);
	uint64_t upto = disk_needed(disk, &acked), excess = spent ? (used - sim->budget_entries) / SIM_SEGMENT + 1 : 0;
	if (disk->start + excess * SIM_SEGMENT > upto && excess)
		upto = disk->start + excess * SIM_SEGMENT;
	upto = (upto < snapshot ? upto : snapshot) / SIM_SEGMENT * SIM_SEGMENT;
	if (upto <= disk->start)
		return;
	sim_trace(sim, "%s coordinator > log before %llu goes%s", name_of(node), (unsigned long long)upto,
	    excess ? ", whether it is needed or not" : "");
	sim->counts.segments += (upto - disk->start) / SIM_SEGMENT;
	disk_drop(disk, upto);
}

void node_coordinator_turn(struct sim *sim, struct sim_node *node)
{
	struct coordinator_event event = {.type = COORDINATOR_INBOUND, .now_ms = node_wall_ms(sim, node)};
	for (uint32_t i = 0; i < 64 && node->ring.count; i++) {
		event.inbound.bytes = node->ring.records[node->ring.head];
		event.inbound.size = node->ring.sizes[node->ring.head];
		coordinator_step(&node->coordinator, &event, &effects);
		if (effects.inbound)
			sim_trace(sim, "%s coordinator > record of %s -> %s", name_of(node), sim_names[effects.inbound_origin],
			    error_name(effects.inbound));
		if (append(sim, node) < 0) {
			node_wake(sim, node, ACTOR_COORDINATOR, SIM_MS);
			break; /* it stays in the ring */
		}
		node_point(sim, node, ACTOR_COORDINATOR);
		ring_take(node);
	}
	if (node->ring.count)
		node_wake(sim, node, ACTOR_COORDINATOR, SIM_MS / 20);
	peer_stores_look(sim, node);
	sync_start(sim, node);
	upkeep(sim, node);
	node_wake(sim, node, ACTOR_STREAMER, SIM_MS / 20); /* there is room in the ring */
}

void node_sync_done(struct sim *sim, struct sim_node *node)
{
	struct sim_disk *disk = &node->disk;
	if (!sim->calm && chance_of(&sim->chance, sim->sync_fail)) {
		/* Nothing of this group is acknowledged, and nobody tries again: the process dies. */
		sim_trace(sim, "%s fdatasync failed", name_of(node));
		node_kill(sim, node, ACTOR_COORDINATOR);
		restart_exited(sim, node, ACTOR_COORDINATOR);
		return;
	}
	disk->durable = disk->syncing;
	disk->syncing = 0;
	node_point(sim, node, ACTOR_COORDINATOR);
	disk_apply(sim, node, disk->applied_lsn + chance_below(&sim->chance, disk->durable - disk->applied_lsn + 1));
	node_point(sim, node, ACTOR_COORDINATOR);
	disk_apply(sim, node, disk->durable);
	node_point(sim, node, ACTOR_COORDINATOR);
	publish(sim, node);
	node_point(sim, node, ACTOR_COORDINATOR);
	node->durable_lsn = disk->durable;
	node_point(sim, node, ACTOR_COORDINATOR);
	struct coordinator_event event = {
	    .type = COORDINATOR_APPLIED, .applied = {.lsn = disk->durable, .vector = &disk->applied}};
	do {
		coordinator_step(&node->coordinator, &event, &effects);
		answers_send(sim, node);
	} while (effects.more);
	sync_start(sim, node);
	node_wake(sim, node, ACTOR_STREAMER, SIM_MS / 20);
}

/* ---- processes ---- */

void node_start(struct sim *sim, struct sim_node *node, enum actor actor)
{
	struct sim_process *process = &node->processes[actor];
	assert(!process->up);
	process->up = true;
	process->incarnation++;
	process->changed_ns = sim->now_ns;
	process->turn_ns = UINT64_MAX;
	process->paused_until_ns = 0;
	sim_trace(sim, "%s %s up", name_of(node), actor_name(actor));
	switch (actor) {
	case ACTOR_COORDINATOR:
		coordinator_start(sim, node);
		break;
	case ACTOR_STREAMER:
		stream_start(sim, node);
		break;
	case ACTOR_MONITOR:
		health_start(sim, node);
		break;
	case ACTOR_ROUTER:
		reads_init(&node->reads, &sim->topology, &sim->topology.regions[node->region], node->memory, "");
		break;
	case ACTOR_RECONCILER:
		digests_start(sim, node);
		break;
	default:
		break;
	}
}

void node_point(struct sim *sim, struct sim_node *node, enum actor actor)
{
	if (!sim->doom.armed || sim->doom.region != node->region || sim->doom.actor != actor || sim->doom.points--)
		return;
	sim->doom.armed = false;
	sim->counts.crashes++;
	sim->counts.cut_short++;
	sim_trace(sim, "%s %s > dies between two effects", name_of(node), actor_name(actor));
	node_kill(sim, node, actor);
	restart_exited(sim, node, actor);
	sim_escape();
}

void node_kill(struct sim *sim, struct sim_node *node, enum actor actor)
{
	struct sim_process *process = &node->processes[actor];
	if (!process->up)
		return;
	sim_trace(sim, "%s %s killed", name_of(node), actor_name(actor));
	process->up = false;
	process->changed_ns = sim->now_ns;
	if (actor == ACTOR_COORDINATOR) {
		coordinator_deinit(&node->coordinator);
		disk_lose_process(sim, &node->disk);
	} else if (actor == ACTOR_STREAMER) {
		stream_kill(node);
	} else if (actor == ACTOR_ROUTER) {
		reads_deinit(&node->reads);
	}
}

/* Epochs go on only because nobody may see one twice. */
void node_lose_memory(struct sim *sim, struct sim_node *node)
{
	node->ready = false;
	atomic_store(&node->memory->coordinator.ready, false);
	node->published = (struct vector){{0}};
	node->durable_lsn = 0;
	memset(node->stores, 0, sizeof node->stores);
	memset(node->met, 0, sizeof node->met);
	memset(node->acked, 0, sizeof node->acked);
	memset(node->acked_most, 0, sizeof node->acked_most);
	memset(node->sent_lsn, 0, sizeof node->sent_lsn);
	memset(node->health, 0, sizeof node->health);
	node->memory_ns = sim->now_ns;
}

void node_release(struct sim_node *node)
{
	if (node->processes[ACTOR_COORDINATOR].up)
		coordinator_deinit(&node->coordinator);
	if (node->processes[ACTOR_ROUTER].up)
		reads_deinit(&node->reads);
	munmap(node->memory, sizeof *node->memory);
	stream_kill(node);
	ring_empty(node);
	free(node->ring.records);
	free(node->ring.sizes);
	disk_release(&node->disk);
}
