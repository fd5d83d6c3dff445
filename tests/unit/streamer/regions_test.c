/* SPDX-License-Identifier: Apache-2.0
 *
 * Three streamers with all that they do but sockets and files, on a virtual clock and a network that loses, repeats, reorders
 * and cuts, from a seed: at the end every region holds every record, each once and in order. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "actors/streamer/inbox.h"
#include "actors/streamer/message.h"
#include "actors/streamer/streamer.h"
#include "tests/unit/streamer/sample.h"

#define NODES         3u
#define RECORDS_MAX   6000u
#define MESSAGES_MAX  60000u
#define RING_SIZE     (512u * 1024)
#define FRAME_RECORDS 40u

struct held {
	uint8_t *bytes;
	uint32_t size;
	struct dot dot;
};
struct stream {
	bool open;
	uint32_t origins, position;
	struct vector from;
};
struct node {
	uint8_t id;
	struct streamer s;
	struct peer_rules rules;
	struct inbox inbox;
	struct ring ring; /* the coordinator's side */
	struct ring_shared *shared;
	uint8_t *ring_bytes;
	uint64_t coordinator_epoch;
	struct vector applied;
	uint32_t count; /* of the log */
	struct held log[RECORDS_MAX];
	struct stream streams[NODES];
	const struct frame *frame;
	uint64_t duplicates, gaps, writes;
	uint32_t pending_count;
	struct streamer_event pending[64];
	bool stepping;
};
struct message {
	uint64_t at_ns;
	uint8_t from, to;
	bool to_sender; /* from a receiver */
	uint8_t *bytes;
	size_t size;
};
struct world {
	uint64_t seed, now_ns;
	struct node nodes[NODES];
	bool cut[NODES][NODES];
	uint32_t loss, repeat, delay_max_ms; /* per thousand */
	uint32_t message_count;
	struct message messages[MESSAGES_MAX];
	uint64_t subscribes, relayed;
};
static struct world w;
static uint8_t buffer[PEER_MESSAGE_MAX], raw[FRAME_RAW_LIMIT], payload[FRAME_RAW_LIMIT];

static bool chance(uint32_t per_thousand)
{
	return sample_random(&w.seed) % 1000 < per_thousand;
}

static void world_post(uint8_t from, uint8_t to, bool to_sender, size_t size)
{
	if (w.cut[from][to] || chance(w.loss))
		return;
	for (uint32_t copies = 1 + chance(w.repeat); copies; copies--) {
		cr_assert_lt(w.message_count, MESSAGES_MAX);
		struct message *m = &w.messages[w.message_count++];
		*m = (struct message){.from = from, .to = to, .to_sender = to_sender, .size = size, .bytes = malloc(size)};
		m->at_ns = w.now_ns + (1 + sample_random(&w.seed) % w.delay_max_ms) * STREAMER_MS;
		memcpy(m->bytes, buffer, size);
	}
}

static void node_feed(struct node *n, struct streamer_event event);

static void node_apply(struct node *n, const struct streamer_effect *e)
{
	struct stream *stream = &n->streams[e->peer];
	switch (e->kind) {
	case STREAMER_SEND_SUBSCRIBE:
		w.subscribes++;
		w.relayed += e->origins != 1u << e->peer;
		__attribute__((fallthrough));
	case STREAMER_SEND_ACKNOWLEDGE:
		world_post(n->id, e->peer, true, peer_message_pack(&n->rules, e, 42, buffer));
		break;
	case STREAMER_SEND_ALIVE:
	case STREAMER_SEND_REFUSAL:
		world_post(n->id, e->peer, false, peer_message_pack(&n->rules, e, 42, buffer));
		break;
	case STREAMER_OPEN_STREAM:
		*stream = (struct stream){.open = true, .origins = e->origins, .from = e->vector};
		node_feed(n, (struct streamer_event){.kind = STREAMER_OPENED, .peer = e->peer});
		break;
	case STREAMER_CLOSE_STREAM:
		stream->open = false;
		break;
	case STREAMER_TAKE_FRAME:
		cr_assert_eq(inbox_take(&n->inbox, e->peer, n->frame, e->origins, NULL), 0);
		break;
	case STREAMER_DROP_FRAMES:
		inbox_drop(&n->inbox, e->peer);
		break;
	case STREAMER_REFUSE_FRAME:
		cr_assert_fail("a sender went beyond its credit");
	default:
		break;
	}
}

static void node_feed(struct node *n, struct streamer_event event)
{
	struct streamer_effects effects;
	event.now_ns = w.now_ns;
	streamer_step(&n->s, &event, &effects);
	for (uint32_t i = 0; i < effects.count; i++)
		node_apply(n, &effects.items[i]);
}

static void node_append(struct node *n, const uint8_t *bytes, uint32_t size)
{
	struct held *held = &n->log[n->count++];
	cr_assert_leq(n->count, RECORDS_MAX);
	held->bytes = malloc(size);
	held->size = size;
	memcpy(held->bytes, bytes, size);
	cr_assert_eq(record_peek(bytes, size, &held->dot), 0);
	/* The coordinator's part: in sequence, once. */
	cr_assert_eq(held->dot.sequence, n->applied.sequence[held->dot.region] + 1);
	n->applied.sequence[held->dot.region]++;
}

static void node_write(struct node *n)
{
	static uint8_t bytes[RECORD_ENCODED_MAX];
	uint32_t value_size = chance(20) ? 60000 : 20;
	node_append(n, bytes, sample_record(n->id, n->applied.sequence[n->id] + 1, value_size, 0, bytes));
	n->writes++;
}

static void node_coordinate(struct node *n)
{
	const uint8_t *bytes;
	uint32_t kind, size;
	while (ring_peek(&n->ring, &kind, &bytes, &size) == 0) {
		struct record record;
		cr_assert_eq(record_decode(&record, bytes, size), (long)size);
		uint64_t expected = n->applied.sequence[record.dot.region] + 1;
		cr_assert_neq(record.dot.region, n->id);
		if (record.dot.sequence == expected)
			node_append(n, bytes, size);
		else if (record.dot.sequence < expected)
			n->duplicates++;
		else
			n->gaps++;
		ring_release(&n->ring);
	}
}

static void node_deliver(struct node *n)
{
	struct inbox_delivery delivery;
	cr_assert_leq(n->inbox.bytes, (NODES - 1) * STREAMER_WINDOW);
	int code = inbox_deliver(&n->inbox, &n->s.applied, 1000, &delivery);
	cr_assert(code == 0 || code == ERR_FULL);
	for (uint8_t p = 0; p < NODES; p++)
		if (delivery.delivered[p])
			node_feed(n,
			    (struct streamer_event){
			        .kind = STREAMER_DELIVERED, .peer = p, .delivered.raw_size = (uint32_t)delivery.delivered[p]});
}

static bool node_send_frame(struct node *n, uint8_t p)
{
	struct stream *stream = &n->streams[p];
	uint64_t backlog = stream->open ? (n->count - stream->position) * 100ull : 0;
	uint32_t allowance = streamer_allowance(&n->s, p, w.now_ns, backlog);
	struct frame_builder builder;
	uint32_t position = stream->position;
	frame_builder_init(&builder, raw);
	for (; position < n->count && builder.records < FRAME_RECORDS && allowance; position++) {
		const struct held *held = &n->log[position];
		if (!(stream->origins >> held->dot.region & 1) || vector_covers_dot(&stream->from, held->dot))
			continue;
		if (builder.raw_size + held->size + 16 > allowance)
			break;
		if (frame_builder_add(&builder, held->bytes, held->size) != 0)
			break;
	}
	bool moved = position != stream->position;
	stream->position = position;
	if (!builder.records)
		return moved;
	struct frame frame;
	frame_builder_finish(&builder, chance(500), payload, &frame);
	const struct streamer_outbound *outbound = &n->s.outbound[p];
	world_post(
	    n->id, p, false, peer_message_pack_frame(&n->rules, p, outbound->epoch, outbound->number + 1, &frame, buffer));
	node_feed(n, (struct streamer_event){.kind = STREAMER_SENT, .peer = p, .sent = {.raw_size = frame.raw_size}});
	return true;
}

static void node_turn(struct node *n)
{
	struct streamer_event local = {
	    .kind = STREAMER_LOCAL, .local = {.applied = n->applied, .coordinator_epoch = n->coordinator_epoch, .ready = true}};
	for (uint8_t r = 0; r < NODES; r++)
		local.local.stores[r].bytes[0] = (uint8_t)(r + 1);
	node_feed(n, local);
	node_feed(n, (struct streamer_event){.kind = STREAMER_TICK});
	node_deliver(n);
	for (uint8_t p = 0; p < NODES; p++)
		for (uint32_t i = 0; i < 4 && p != n->id && node_send_frame(n, p); i++)
			;
}

static void node_start_streamer(struct node *n)
{
	for (uint8_t p = 0; p < NODES; p++) {
		inbox_drop(&n->inbox, p);
		n->streams[p].open = false;
	}
	streamer_init(&n->s, &(struct streamer_options){.region = n->id,
	                         .peers = (1u << NODES) - 1 - (1u << n->id),
	                         .fingerprint = 42,
	                         .epoch_start = w.now_ns,
	                         .linger_ns = STREAMER_MS,
	                         .now_ns = w.now_ns});
	cr_assert_eq(ring_attach(&n->inbox.ring, n->shared, n->ring_bytes, RING_SIZE), 0);
	n->inbox.region = n->id;
}

static void node_start_coordinator(struct node *n)
{
	n->coordinator_epoch++;
	cr_assert_eq(ring_attach(&n->ring, n->shared, n->ring_bytes, RING_SIZE), 0);
	ring_discard_all(&n->ring);
}

static void message_handle(struct message *m)
{
	struct node *n = &w.nodes[m->to];
	struct peer_message parsed;
	cr_assert_eq(peer_message_parse(&parsed, &n->rules, m->to_sender, m->bytes, m->size, NULL), 0);
	cr_assert_eq(parsed.event.peer, m->from);
	n->frame = &parsed.frame;
	node_feed(n, parsed.event);
	n->frame = NULL;
	peer_message_close(&parsed);
}

static void world_deliver(void)
{
	static struct message due[MESSAGES_MAX];
	uint32_t due_count = 0, kept = 0;
	for (uint32_t i = 0; i < w.message_count; i++)
		if (w.messages[i].at_ns <= w.now_ns)
			due[due_count++] = w.messages[i];
		else
			w.messages[kept++] = w.messages[i];
	w.message_count = kept;
	for (uint32_t i = 0; i < due_count; i++) {
		if (!w.cut[due[i].from][due[i].to])
			message_handle(&due[i]);
		free(due[i].bytes);
	}
}

static void world_start(uint64_t seed)
{
	w.seed = seed;
	w.now_ns = 1000000 * STREAMER_MS;
	w.delay_max_ms = 1;
	for (uint8_t i = 0; i < NODES; i++) {
		struct node *n = &w.nodes[i];
		n->id = i;
		n->rules = (struct peer_rules){.cluster = "test", .region = i, .peers = (1u << NODES) - 1 - (1u << i)};
		n->shared = aligned_alloc(128, sizeof *n->shared);
		n->ring_bytes = malloc(RING_SIZE);
		ring_create(n->shared, RING_SIZE);
		node_start_coordinator(n);
		node_start_streamer(n);
	}
}

static void world_run(uint32_t milliseconds, bool faults, uint32_t writes_per_thousand)
{
	for (uint32_t ms = 0; ms < milliseconds; ms++) {
		w.now_ns += STREAMER_MS;
		world_deliver();
		for (uint32_t i = 0; i < NODES; i++) {
			struct node *n = &w.nodes[i];
			if (chance(writes_per_thousand) && n->writes < RECORDS_MAX / NODES)
				node_write(n);
			if (faults && chance(1) && chance(500))
				node_start_streamer(n);
			if (faults && chance(1) && chance(500))
				node_start_coordinator(n);
			if (faults && chance(2)) {
				uint32_t other = (i + 1 + (uint32_t)(sample_random(&w.seed) % (NODES - 1))) % NODES;
				w.cut[i][other] = !w.cut[i][other];
			}
			if (!chance(50)) /* now and then it is not scheduled */
				node_turn(n);
			if (!faults || chance(300))
				node_coordinate(n);
		}
	}
}

static void world_check(uint64_t seed)
{
	for (uint32_t i = 0; i < NODES; i++)
		for (uint32_t origin = 0; origin < NODES; origin++)
			cr_assert_eq(w.nodes[i].applied.sequence[origin], w.nodes[origin].writes,
			    "seed %llu: region %u has %llu of %llu records of region %u", (unsigned long long)seed, i,
			    (unsigned long long)w.nodes[i].applied.sequence[origin], (unsigned long long)w.nodes[origin].writes,
			    origin);
}

static void world_end(void)
{
	for (uint32_t i = 0; i < w.message_count; i++)
		free(w.messages[i].bytes);
	for (uint32_t i = 0; i < NODES; i++) {
		struct node *n = &w.nodes[i];
		for (uint8_t p = 0; p < NODES; p++)
			inbox_drop(&n->inbox, p);
		for (uint32_t r = 0; r < n->count; r++)
			free(n->log[r].bytes);
		free(n->shared);
		free(n->ring_bytes);
	}
	memset(&w, 0, sizeof w);
}

Test(regions, calm_network_has_no_repeats)
{
	world_start(1);
	world_run(3000, false, 500);
	world_run(200, false, 0);
	world_check(1);
	cr_assert_eq(w.subscribes, 6);
	for (uint32_t i = 0; i < NODES; i++)
		cr_assert_eq(w.nodes[i].duplicates + w.nodes[i].gaps, 0);
	world_end();
}

Test(regions, every_record_once_in_order_whatever_the_network_does, .timeout = 100)
{
	for (uint64_t seed = 1; seed <= 12; seed++) {
		world_start(seed);
		w.loss = (uint32_t)(seed % 3) * 30;
		w.repeat = (uint32_t)(seed % 4) * 20;
		w.delay_max_ms = seed % 2 ? 1 : 20;
		world_run(15000, true, 100);
		memset(w.cut, 0, sizeof w.cut);
		w.loss = w.repeat = 0;
		w.delay_max_ms = 1; /* in order, as a connection is */
		world_run(15000, false, 0);
		world_check(seed);
		world_end();
	}
}

Test(regions, cut_pair_is_served_through_the_third)
{
	world_start(5);
	w.cut[0][1] = w.cut[1][0] = true;
	world_run(6000, false, 100);
	world_run(5000, false, 0);
	world_check(5);
	cr_assert_gt(w.relayed, 0);
	/* Healed: everybody serves his own again. */
	memset(w.cut, 0, sizeof w.cut);
	world_run(5000, false, 100);
	world_run(1000, false, 0);
	world_check(5);
	for (uint32_t i = 0; i < NODES; i++)
		for (uint32_t p = 0; p < NODES; p++)
			cr_assert(i == p || w.nodes[i].s.inbound[p].origins == 1u << p);
	world_end();
}

Test(regions, record_survives_when_its_origin_is_gone_after_one_delivery)
{
	world_start(6);
	world_run(1000, false, 0);
	w.cut[0][1] = true; /* one way is enough: region 1 hears nothing of region 0 */
	node_write(&w.nodes[0]);
	world_run(100, false, 0);
	for (uint32_t p = 1; p < NODES; p++)
		w.cut[0][p] = w.cut[p][0] = true;
	cr_assert_eq(w.nodes[1].applied.sequence[0], 0);
	world_run(6000, false, 0);
	cr_assert_eq(w.nodes[1].applied.sequence[0], 1);
	world_end();
}

Test(regions, catching_up_stays_within_the_window)
{
	world_start(7);
	world_run(500, false, 0);
	w.cut[0][1] = w.cut[1][0] = w.cut[1][2] = w.cut[2][1] = true;
	world_run(15000, false, 200);
	memset(w.cut, 0, sizeof w.cut);
	world_run(5000, false, 100);
	world_run(2000, false, 0);
	world_check(7);
	world_end();
}
