/* SPDX-License-Identifier: Apache-2.0
 *
 * A region: what the ports of coordinator and streamer do, around the same state machines, with the simulated disk, shared
 * memory and network. */
#include "tests/sim/sim.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static struct coordinator_effects effects;        /* too large for the stack of every step */
static struct streamer_effects streamer_effects_;
static uint8_t packed[PEER_MESSAGE_MAX];

static const char *name_of(const struct sim_node *node)
{
	return sim_names[node->region];
}

uint64_t node_wall_ms(const struct sim *sim, const struct sim_node *node)
{
	return sim->wall_start_ms + sim->now_ns / SIM_MS + (uint64_t)node->skew_ms;
}

static struct peer_rules rules_of(const struct sim_node *node)
{
	return (struct peer_rules){.cluster = "sim", .region = node->region, .peers = ((1u << SIM_REGIONS) - 1) & ~(1u << node->region)};
}

static void wake(struct sim *sim, struct sim_node *node, struct sim_process *process, enum sim_event_kind kind, uint64_t delay_ns)
{
	uint64_t time_ns = sim->now_ns + delay_ns;
	if (!process->up || process->turn_ns <= time_ns)
		return;
	process->turn_ns = time_ns;
	sim_push(sim, time_ns, (struct sim_event){.kind = kind, .region = node->region, .incarnation = process->incarnation});
}

void node_wake_coordinator(struct sim *sim, struct sim_node *node, uint64_t delay_ns)
{
	wake(sim, node, &node->coordinator_process, SIM_COORDINATOR_TURN, delay_ns);
}

void node_wake_streamer(struct sim *sim, struct sim_node *node, uint64_t delay_ns)
{
	wake(sim, node, &node->streamer_process, SIM_STREAMER_TURN, delay_ns);
}

/* ---- the ring ---- */

static bool ring_put(struct sim_node *node, const uint8_t *bytes, uint32_t size)
{
	if (node->ring.bytes + size > SIM_RING_BYTES)
		return false;
	if (node->ring.count == node->ring.capacity) {
		uint32_t capacity = node->ring.capacity ? node->ring.capacity * 2 : 64;
		uint8_t **records = malloc(capacity * sizeof *records);
		uint32_t *sizes = malloc(capacity * sizeof *sizes);
		if (!records || !sizes)
			abort();
		for (uint32_t i = 0; i < node->ring.count; i++) {
			records[i] = node->ring.records[(node->ring.head + i) % node->ring.capacity];
			sizes[i] = node->ring.sizes[(node->ring.head + i) % node->ring.capacity];
		}
		free(node->ring.records);
		free(node->ring.sizes);
		node->ring.records = records;
		node->ring.sizes = sizes;
		node->ring.head = 0;
		node->ring.capacity = capacity;
	}
	uint32_t place = (node->ring.head + node->ring.count++) % node->ring.capacity;
	node->ring.records[place] = malloc(size);
	if (!node->ring.records[place])
		abort();
	memcpy(node->ring.records[place], bytes, size);
	node->ring.sizes[place] = size;
	node->ring.bytes += size;
	return true;
}

static void ring_take(struct sim_node *node)
{
	free(node->ring.records[node->ring.head]);
	node->ring.bytes -= node->ring.sizes[node->ring.head];
	node->ring.head = (node->ring.head + 1) % node->ring.capacity;
	node->ring.count--;
}

static void ring_empty(struct sim_node *node)
{
	while (node->ring.count)
		ring_take(node);
}

/* ---- coordinator ---- */

void node_start_coordinator(struct sim *sim, struct sim_node *node)
{
	struct sim_disk *disk = &node->disk;
	struct vector assigned;
	struct record record;
	/* Recovery: what the log holds is synced, then applied, and all of it is durable from here on. */
	disk->durable = disk->count;
	disk_apply(sim, node, disk->count);
	assigned = disk->applied;
	struct coordinator_options options = {.region = node->region, .regions = (1u << SIM_REGIONS) - 1, .keyspace_count = 1,
	    .keyspaces = {{LEVEL_EVENTUAL, ACKNOWLEDGE_ONE}}, .clock_drift_max_ms = SIM_DRIFT_MAX_MS, .memory_answers = 1u << 12};
	uint64_t floor = disk->hlc > disk->hlc_bound ? disk->hlc : disk->hlc_bound;
	assert(coordinator_init(&node->coordinator, &options, &assigned, &disk->applied, floor) == 0);
	uint64_t from = sim->forgetful && chance_of(&sim->chance, 500) ? chance_below(&sim->chance, disk->count + 1) : 0;
	if (from)
		coordinator_remember_part(&node->coordinator);
	for (uint64_t i = from; i < disk->count; i++)
		if (disk->entries[i].kind == SIM_RECORD && record_decode(&record, disk->entries[i].bytes, disk->entries[i].size) > 0)
			coordinator_remember(&node->coordinator, &record);
	ring_empty(node);
	node->epoch++;
	node->published = disk->applied;
	node->durable_lsn = disk->durable;
	node->ready = true;
	node->coordinator_process.up = true;
	node->coordinator_process.incarnation++;
	node->coordinator_process.turn_ns = UINT64_MAX;
	node->coordinator_process.paused_until_ns = 0;
	char vector[VECTOR_TEXT_MAX];
	vector_format(&assigned, vector);
	sim_trace(sim, "%s coordinator up, log %s", name_of(node), vector);
	node_wake_streamer(sim, node, SIM_MS / 10);
	node_wake_coordinator(sim, node, SIM_MS);
}

void node_kill_coordinator(struct sim *sim, struct sim_node *node)
{
	if (!node->coordinator_process.up)
		return;
	sim_trace(sim, "%s coordinator killed", name_of(node));
	coordinator_deinit(&node->coordinator);
	node->coordinator_process.up = false;
	disk_lose_process(sim, &node->disk);
}

static void answers_send(struct sim *sim, struct sim_node *node)
{
	for (uint32_t i = 0; i < effects.answer_count; i++) {
		const struct coordinator_answer *answer = &effects.answers[i];
		if (chance_of(&sim->chance, sim->calm ? 0 : 20))
			continue; /* the router died with it */
		struct coordinator_answer *copy = malloc(sizeof *copy);
		if (!copy)
			abort();
		*copy = *answer;
		sim_push(sim, sim->now_ns + SIM_MS / 10 + chance_below(&sim->chance, SIM_MS),
		    (struct sim_event){.kind = SIM_ANSWER, .region = node->region, .client = (uint32_t)answer->route, .answer = copy});
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
			disk_append(&node->disk, SIM_BOUND, &effects.hlc_bound, sizeof effects.hlc_bound);
		event.appended.end_lsn = disk_append(&node->disk, SIM_RECORD, effects.record, effects.record_size);
	}
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
	struct coordinator_event event = {.type = COORDINATOR_OPERATION, .now_ms = node_wall_ms(sim, node)};
	struct row row;
	event.operation = (struct coordinator_operation){.route = index, .client_id = client->id, .number = number, .settled = client->settled,
	    .age_ms = repeat ? age_told_ms(sim, operation) : 0,
	    .tombstone = operation->tombstone, .key = (const uint8_t *)operation->key, .key_size = strlen(operation->key),
	    .value = (const uint8_t *)operation->value, .value_size = operation->tombstone ? 0 : strlen(operation->value),
	    .context = operation->context, .context_size = operation->context_size, .arrived_ns = sim->now_ns};
	if (operation->context_size) {
		struct sim_row *stored = disk_row(&node->disk, operation->key, false);
		if (stored && stored->bytes && row_decode(&row, stored->bytes, stored->size) == 0)
			event.operation.row = &row;
	}
	coordinator_step(&node->coordinator, &event, &effects);
	answers_send(sim, node);
	sim_trace(sim, "%s coordinator > %s %s = %s from client %u #%llu%s", name_of(node), operation->tombstone ? "DELETE" : "PUT",
	    operation->key, operation->value, index, (unsigned long long)number, effects.record ? "" : " -> answered at once");
	append(sim, node);
	node_wake_coordinator(sim, node, SIM_MS / 20);
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
	    (struct sim_event){.kind = SIM_SYNC_DONE, .region = node->region, .incarnation = node->coordinator_process.incarnation});
}

void node_coordinator_turn(struct sim *sim, struct sim_node *node)
{
	struct coordinator_event event = {.type = COORDINATOR_INBOUND, .now_ms = node_wall_ms(sim, node)};
	node->coordinator_process.turn_ns = UINT64_MAX;
	for (uint32_t i = 0; i < 64 && node->ring.count; i++) {
		event.inbound.bytes = node->ring.records[node->ring.head];
		event.inbound.size = node->ring.sizes[node->ring.head];
		coordinator_step(&node->coordinator, &event, &effects);
		if (effects.inbound)
			sim_trace(sim, "%s coordinator > record of %s -> %s", name_of(node), sim_names[effects.inbound_origin], error_name(effects.inbound));
		if (append(sim, node) < 0) {
			node_wake_coordinator(sim, node, SIM_MS);
			break; /* it stays in the ring */
		}
		ring_take(node);
	}
	if (node->ring.count)
		node_wake_coordinator(sim, node, SIM_MS / 20);
	sync_start(sim, node);
	node_wake_streamer(sim, node, SIM_MS / 20); /* there is room in the ring */
}

void node_sync_done(struct sim *sim, struct sim_node *node)
{
	struct sim_disk *disk = &node->disk;
	if (!sim->calm && chance_of(&sim->chance, sim->sync_fail)) {
		/* Nothing of this group is acknowledged, and nobody tries again: the process dies. */
		sim_trace(sim, "%s fdatasync failed", name_of(node));
		node_kill_coordinator(sim, node);
		sim_push(sim, sim->now_ns + 50 * SIM_MS, (struct sim_event){.kind = SIM_START, .region = node->region});
		return;
	}
	disk->durable = disk->syncing;
	disk->syncing = 0;
	disk_apply(sim, node, disk->durable);
	node->published = disk->applied;
	node->durable_lsn = disk->durable;
	struct coordinator_event event = {.type = COORDINATOR_APPLIED, .applied = {.lsn = disk->durable, .vector = &disk->applied}};
	do {
		coordinator_step(&node->coordinator, &event, &effects);
		answers_send(sim, node);
	} while (effects.more);
	sync_start(sim, node);
	node_wake_streamer(sim, node, SIM_MS / 20);
}

/* ---- streamer ---- */

static void drop_taken(struct sim_node *node, uint8_t peer)
{
	while (node->taken[peer]) {
		struct sim_taken *next = node->taken[peer]->next;
		free(node->taken[peer]);
		node->taken[peer] = next;
	}
}

void node_start_streamer(struct sim *sim, struct sim_node *node)
{
	struct streamer_options options = {.region = node->region, .peers = rules_of(node).peers, .fingerprint = SIM_FINGERPRINT,
	    .epoch_start = node_wall_ms(sim, node) * SIM_MS, .linger_ns = SIM_MS, .now_ns = sim->now_ns};
	streamer_init(&node->streamer, &options);
	node->streamer_process.up = true;
	node->streamer_process.incarnation++;
	node->streamer_process.turn_ns = UINT64_MAX;
	node->streamer_process.paused_until_ns = 0;
	sim_trace(sim, "%s streamer up", name_of(node));
	node_wake_streamer(sim, node, SIM_MS / 10);
}

void node_kill_streamer(struct sim *sim, struct sim_node *node)
{
	if (!node->streamer_process.up)
		return;
	sim_trace(sim, "%s streamer killed", name_of(node));
	node->streamer_process.up = false;
	for (uint8_t p = 0; p < REGIONS_MAX; p++) {
		drop_taken(node, p);
		node->streams[p].open = false;
	}
}

static void step(struct sim *sim, struct sim_node *node, struct streamer_event *event, const struct frame *frame);

static void take_frame(struct sim *sim, struct sim_node *node, uint8_t peer, uint32_t origins, const struct frame *frame)
{
	struct sim_taken *taken = malloc(sizeof *taken + frame->raw_size);
	uint32_t records;
	struct error_context error;
	if (!taken)
		abort();
	*taken = (struct sim_taken){.raw_size = frame->raw_size};
	if (frame_open(frame, origins, taken->raw, &records, &error) != 0) {
		sim_trace(sim, "%s streamer > bad frame from %s: %s", name_of(node), sim_names[peer], error.text);
		free(taken);
		struct streamer_event bad = {.kind = STREAMER_FRAME_BAD, .peer = peer, .now_ns = sim->now_ns};
		step(sim, node, &bad, NULL);
		return;
	}
	sim_trace(sim, "%s streamer > frame of %u records from %s", name_of(node), records, sim_names[peer]);
	struct sim_taken **last = &node->taken[peer];
	while (*last)
		last = &(*last)->next;
	*last = taken;
}

static void apply_effect(struct sim *sim, struct sim_node *node, const struct streamer_effect *effect, const struct frame *frame)
{
	struct peer_rules rules = rules_of(node);
	struct sim_stream *stream = &node->streams[effect->peer];
	size_t size;
	bool to_sender = false;
	switch (effect->kind) {
	case STREAMER_SEND_SUBSCRIBE:
		sim_trace(sim, "%s streamer: SUBSCRIBE to %s, epoch %llu%s", name_of(node), sim_names[effect->peer],
		    (unsigned long long)effect->epoch, effect->origins != 1u << effect->peer ? ", relayed origins too" : "");
		to_sender = true;
		break;
	case STREAMER_SEND_ACKNOWLEDGE:
		to_sender = true;
		break;
	case STREAMER_SEND_ALIVE:
	case STREAMER_SEND_REFUSAL:
		break;
	case STREAMER_OPEN_STREAM:
		*stream = (struct sim_stream){.open = true, .origins = effect->origins, .from = effect->vector};
		return;
	case STREAMER_CLOSE_STREAM:
		stream->open = false;
		return;
	case STREAMER_TAKE_FRAME:
		take_frame(sim, node, effect->peer, effect->origins, frame);
		return;
	case STREAMER_DROP_FRAMES:
		drop_taken(node, effect->peer);
		return;
	default:
		return; /* figures for people */
	}
	size = peer_message_pack(&rules, effect, SIM_FINGERPRINT, packed);
	bool sent = network_send(sim, node->region, effect->peer, to_sender, packed, size);
	if (!sent && effect->kind == STREAMER_SEND_SUBSCRIBE) {
		struct streamer_event event = {.kind = STREAMER_NOT_SENT, .peer = effect->peer, .now_ns = sim->now_ns};
		step(sim, node, &event, NULL);
	}
}

static void step(struct sim *sim, struct sim_node *node, struct streamer_event *event, const struct frame *frame)
{
	struct streamer_effects out;
	streamer_step(&node->streamer, event, &streamer_effects_);
	out.count = streamer_effects_.count;
	memcpy(out.items, streamer_effects_.items, out.count * sizeof out.items[0]);
	for (uint32_t i = 0; i < out.count; i++)
		apply_effect(sim, node, &out.items[i], frame);
}

void node_message(struct sim *sim, struct sim_node *node, uint8_t peer, bool from_receiver, const uint8_t *bytes, uint32_t size)
{
	struct peer_rules rules = rules_of(node);
	struct peer_message message;
	struct error_context error;
	(void)peer;
	if (peer_message_parse(&message, &rules, from_receiver, bytes, size, &error) != 0)
		return;
	message.event.now_ns = sim->now_ns;
	step(sim, node, &message.event, &message.frame);
	peer_message_close(&message);
	node_wake_streamer(sim, node, SIM_MS / 20);
}

static void fill_ring(struct sim *sim, struct sim_node *node, uint8_t peer)
{
	while (node->taken[peer]) {
		struct sim_taken *taken = node->taken[peer];
		const uint8_t *record;
		uint32_t size, offset = taken->offset;
		while (frame_next(taken->raw, taken->raw_size, &offset, &record, &size) == 0) {
			if (!ring_put(node, record, size)) {
				node_wake_coordinator(sim, node, SIM_MS / 20);
				return;
			}
			taken->offset = offset;
		}
		struct streamer_event event = {.kind = STREAMER_DELIVERED, .peer = peer, .now_ns = sim->now_ns, .delivered = {taken->raw_size}};
		node->taken[peer] = taken->next;
		free(taken);
		step(sim, node, &event, NULL);
		node_wake_coordinator(sim, node, SIM_MS / 20);
	}
}

/* Sends one frame; false when there is nothing to send now. */
static bool send_frame(struct sim *sim, struct sim_node *node, uint8_t peer)
{
	static uint8_t raw[FRAME_RAW_LIMIT], payload[FRAME_RAW_LIMIT];
	struct sim_stream *stream = &node->streams[peer];
	struct frame_builder builder;
	struct frame frame;
	struct streamer_event sent = {.kind = STREAMER_SENT, .peer = peer, .now_ns = sim->now_ns};
	uint64_t backlog = 0, lsn = stream->lsn;
	for (uint64_t i = lsn; i < node->durable_lsn && backlog < FRAME_RAW_MAX; i++)
		backlog += node->disk.entries[i].size + 8;
	uint32_t allowance = streamer_allowance(&node->streamer, peer, sim->now_ns, backlog);
	if (!allowance)
		return false;
	uint32_t most = 1 + (uint32_t)chance_below(&sim->chance, 40);
	frame_builder_init(&builder, raw);
	for (; lsn < node->durable_lsn && builder.records < most; lsn++) {
		const struct sim_entry *entry = &node->disk.entries[lsn];
		struct dot dot;
		if (entry->kind != SIM_RECORD || record_peek(entry->bytes, entry->size, &dot) != 0 || !(stream->origins & 1u << dot.region) ||
		    vector_covers_dot(&stream->from, dot))
			continue;
		if (builder.raw_size + entry->size + 5 > allowance || frame_builder_add(&builder, entry->bytes, entry->size) != 0)
			break;
		if (dot.region == node->region)
			sent.sent.own_sequence = dot.sequence;
	}
	if (builder.records == 0) {
		stream->lsn = lsn;
		return false;
	}
	frame_builder_finish(&builder, true, payload, &frame);
	if (!sim->calm && chance_of(&sim->chance, sim->links[node->region][peer].corrupt)) {
		if (frame.payload != payload)
			memcpy(payload, frame.payload, frame.payload_size);
		payload[chance_below(&sim->chance, frame.payload_size)] ^= (uint8_t)(1u << chance_below(&sim->chance, 8));
		frame.payload = payload;
	}
	const struct streamer_outbound *out = &node->streamer.outbound[peer];
	struct peer_rules rules = rules_of(node);
	size_t size = peer_message_pack_frame(&rules, out->epoch, out->number + 1, &frame, packed);
	if (!network_send(sim, node->region, peer, false, packed, size)) {
		struct streamer_event failed = {.kind = STREAMER_SEND_FAILED, .peer = peer, .now_ns = sim->now_ns, .send_failed = {ERR_UNREACHABLE}};
		step(sim, node, &failed, NULL);
		return false;
	}
	stream->lsn = lsn;
	sent.sent.raw_size = builder.raw_size;
	step(sim, node, &sent, NULL);
	return true;
}

void node_streamer_turn(struct sim *sim, struct sim_node *node)
{
	node->streamer_process.turn_ns = UINT64_MAX;
	struct streamer_event local = {.kind = STREAMER_LOCAL, .now_ns = sim->now_ns,
	    .local = {.applied = node->published, .coordinator_epoch = node->epoch, .ready = node->ready}};
	step(sim, node, &local, NULL);
	struct streamer_event tick = {.kind = STREAMER_TICK, .now_ns = sim->now_ns};
	step(sim, node, &tick, NULL);
	uint64_t next_ns = streamer_deadline_ns(&node->streamer);
	for (uint8_t p = 0; p < SIM_REGIONS; p++) {
		if (p == node->region)
			continue;
		fill_ring(sim, node, p);
		while (node->streams[p].open && send_frame(sim, node, p)) {
		}
		if (node->streams[p].open && node->streams[p].lsn < node->durable_lsn) {
			uint64_t linger_ns = streamer_linger_until(&node->streamer, p);
			if (linger_ns > sim->now_ns && linger_ns < next_ns)
				next_ns = linger_ns;
		}
	}
	if (next_ns != STREAMER_NEVER)
		node_wake_streamer(sim, node, next_ns > sim->now_ns ? next_ns - sim->now_ns : SIM_MS / 2);
	node_wake_streamer(sim, node, 50 * SIM_MS);
}

void node_release(struct sim_node *node)
{
	if (node->coordinator_process.up)
		coordinator_deinit(&node->coordinator);
	for (uint8_t p = 0; p < REGIONS_MAX; p++)
		drop_taken(node, p);
	ring_empty(node);
	free(node->ring.records);
	free(node->ring.sizes);
	disk_release(&node->disk);
}
