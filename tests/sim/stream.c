/* SPDX-License-Identifier: Apache-2.0
 *
 * What the port of the streamer does, around its state machine: frames from the log, records into the ring. */
#include "tests/sim/sim.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static struct streamer_effects streamer_effects_; /* too large for the stack of every step */
static uint8_t packed[PEER_MESSAGE_MAX];

static const char *name_of(const struct sim_node *node)
{
	return sim_names[node->region];
}

static struct peer_rules rules_of(const struct sim_node *node)
{
	return (struct peer_rules){.cluster = "sim", .region = node->region, .peers = node->peers};
}

static void drop_taken(struct sim_node *node, uint8_t peer)
{
	while (node->taken[peer]) {
		struct sim_taken *next = node->taken[peer]->next;
		free(node->taken[peer]);
		node->taken[peer] = next;
	}
}

void stream_start(struct sim *sim, struct sim_node *node)
{
	struct streamer_options options = {.region = node->region,
	    .peers = node->peers,
	    .fingerprint = SIM_FINGERPRINT,
	    .epoch_start = node_wall_ms(sim, node) * SIM_MS,
	    .linger_ns = SIM_MS,
	    .now_ns = sim->now_ns};
	streamer_init(&node->streamer, &options);
	node_wake(sim, node, ACTOR_STREAMER, SIM_MS / 10);
}

void stream_kill(struct sim_node *node)
{
	for (uint8_t p = 0; p < REGIONS_MAX; p++) {
		drop_taken(node, p);
		node->streams[p].open = false;
	}
}

static void step(struct sim *sim, struct sim_node *node, struct streamer_event *event, const struct frame *frame);

static void take_frame(struct sim *sim, struct sim_node *node, uint8_t peer, uint32_t origins, const struct frame *frame)
{
	const struct streamer_inbound *in = &node->streamer.inbound[peer];
	if (in->received_bytes - in->delivered_bytes > STREAMER_WINDOW)
		sim_fail(sim, SIM_SAFETY, "%s takes more from %s than its window", name_of(node), sim_names[peer]);
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

static bool log_reaches(const struct sim_node *node, const struct sim_stream *stream)
{
	for (uint32_t origin = 0; origin < REGIONS_MAX; origin++)
		if ((stream->origins >> origin & 1) && node->disk.before.sequence[origin] > stream->from.sequence[origin])
			return false;
	return true;
}

static void needs_resync(struct sim *sim, struct sim_node *node, uint8_t peer)
{
	struct streamer_event event = {
	    .kind = STREAMER_SEND_FAILED, .peer = peer, .now_ns = sim->now_ns, .send_failed = {ERR_NEEDS_RESYNC}};
	sim_trace(sim, "%s streamer > its log no longer has what %s needs", name_of(node), sim_names[peer]);
	step(sim, node, &event, NULL);
}

static void apply_effect(
    struct sim *sim, struct sim_node *node, const struct streamer_effect *effect, const struct frame *frame)
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
	case STREAMER_OPEN_STREAM: {
		struct streamer_event opened = {.kind = STREAMER_OPENED, .peer = effect->peer, .now_ns = sim->now_ns};
		*stream = (struct sim_stream){.origins = effect->origins, .from = effect->vector, .lsn = node->disk.start};
		stream->open = log_reaches(node, stream);
		if (!stream->open)
			needs_resync(sim, node, effect->peer);
		else
			step(sim, node, &opened, NULL);
		return;
	}
	case STREAMER_PUBLISH_SEEN:
		node->met[effect->peer] = effect->store;
		node_wake(sim, node, ACTOR_COORDINATOR, SIM_MS / 20);
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
	case STREAMER_PUBLISH_ACKED:
		node->acked[effect->peer] = effect->vector;
		return;
	default:
		return; /* figures for people */
	}
	size = peer_message_pack(&rules, effect, SIM_FINGERPRINT, packed);
	bool sent = network_send(sim, node->region, effect->peer, SERVICE_STREAM, to_sender, packed, size);
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
	for (uint32_t i = 0; i < out.count; i++) {
		node_point(sim, node, ACTOR_STREAMER);
		apply_effect(sim, node, &out.items[i], frame);
	}
}

static struct peer_message message; /* being handled */

void stream_escape(void)
{
	if (message.envelope)
		peer_message_close(&message);
	message.envelope = NULL;
}

void stream_message(struct sim *sim, struct sim_node *node, bool from_receiver, const uint8_t *bytes, uint32_t size)
{
	struct peer_rules rules = rules_of(node);
	struct error_context error;
	if (peer_message_parse(&message, &rules, from_receiver, bytes, size, &error) != 0)
		return;
	message.event.now_ns = sim->now_ns;
	step(sim, node, &message.event, &message.frame);
	stream_escape();
	node_wake(sim, node, ACTOR_STREAMER, SIM_MS / 20);
}

static void fill_ring(struct sim *sim, struct sim_node *node, uint8_t peer)
{
	while (node->taken[peer]) {
		struct sim_taken *taken = node->taken[peer];
		const uint8_t *record;
		uint32_t size, offset = taken->offset;
		while (frame_next(taken->raw, taken->raw_size, &offset, &record, &size) == 0) {
			node_point(sim, node, ACTOR_STREAMER);
			if (!ring_put(node, record, size)) {
				node_wake(sim, node, ACTOR_COORDINATOR, SIM_MS / 20);
				return;
			}
			taken->offset = offset;
		}
		struct streamer_event event = {
		    .kind = STREAMER_DELIVERED, .peer = peer, .now_ns = sim->now_ns, .delivered = {taken->raw_size}};
		node->taken[peer] = taken->next;
		free(taken);
		step(sim, node, &event, NULL);
		node_wake(sim, node, ACTOR_COORDINATOR, SIM_MS / 20);
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
	if (lsn < node->disk.start) {
		stream->open = false;
		needs_resync(sim, node, peer);
		return false;
	}
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
		if (entry->kind != SIM_RECORD || record_peek(entry->bytes, entry->size, &dot) != 0 ||
		    !(stream->origins & 1u << dot.region) || vector_covers_dot(&stream->from, dot))
			continue;
		if (builder.raw_size + entry->size + 5 > allowance ||
		    frame_builder_add(&builder, entry->bytes, entry->size) != 0)
			break;
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
	size_t size = peer_message_pack_frame(&rules, peer, out->epoch, out->number + 1, &frame, packed);
	if (!network_send(sim, node->region, peer, SERVICE_STREAM, false, packed, size)) {
		struct streamer_event failed = {
		    .kind = STREAMER_SEND_FAILED, .peer = peer, .now_ns = sim->now_ns, .send_failed = {ERR_UNREACHABLE}};
		step(sim, node, &failed, NULL);
		return false;
	}
	node_point(sim, node, ACTOR_STREAMER);
	stream->lsn = node->sent_lsn[peer] = lsn;
	sent.sent.raw_size = builder.raw_size;
	step(sim, node, &sent, NULL);
	return true;
}

void stream_turn(struct sim *sim, struct sim_node *node)
{
	struct streamer_event local = {.kind = STREAMER_LOCAL,
	    .now_ns = sim->now_ns,
	    .local = {.applied = node->published, .coordinator_epoch = node->epoch, .ready = node->ready}};
	memcpy(local.local.stores, node->stores, sizeof local.local.stores);
	step(sim, node, &local, NULL);
	struct streamer_event tick = {.kind = STREAMER_TICK, .now_ns = sim->now_ns};
	step(sim, node, &tick, NULL);
	uint64_t next_ns = streamer_deadline_ns(&node->streamer);
	for (uint8_t p = 0; p < sim->regions; p++) {
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
		node_wake(sim, node, ACTOR_STREAMER, next_ns > sim->now_ns ? next_ns - sim->now_ns : SIM_MS / 2);
	node_wake(sim, node, ACTOR_STREAMER, 50 * SIM_MS);
}
