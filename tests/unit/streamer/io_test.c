/* SPDX-License-Identifier: Apache-2.0
 *
 * The streamer's port alone: log, ring and shared memory are the real ones; around it is tests/unit/shell. */
#include "actors/streamer/io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actors/streamer/message.h"
#include "proto/peer.pb-c.h"
#include "shm/ring.h"
#include "tests/unit/shell/ahead.h"
#include "tests/unit/shell/shell.h"
#include "tests/unit/store/support.h"
#include "tests/unit/streamer/sample.h"

static const char *const names[] = {"us", "eu", "ap"};
static const struct store_id ids[REGIONS_MAX] = {{{1}}, {{2}}, {{3}}};
static struct place place;
static struct log *own_log;
static struct shm_layout *layout;
static struct text definition;
static uint8_t bytes[PEER_MESSAGE_MAX];
static struct vector applied;
static uint64_t lsn;

static void publish_local(void)
{
	vector_slot_write(&layout->coordinator.applied, &applied);
	layout->coordinator.applied_lsn = lsn;
}
static void setup(void)
{
	shell_setup();
	place_make(&place);
	snprintf(shell.region_dir, sizeof shell.region_dir, "%s", place.dir);
	own_log = log_start(&place, NULL, NULL);
	layout = shell.shm.layout;
	layout->coordinator.epoch = 1;
	layout->coordinator.ready = 1;
	store_table_write(&layout->coordinator.stores, ids);
	publish_local();
	topology_definition(&shell.topology, &definition);
}
static void teardown(void)
{
	log_close(own_log);
	text_deinit(&definition);
	shell_teardown();
	place_remove(&place);
}
TestSuite(io, .init = setup, .fini = teardown);

static void run(void (*script)(void))
{
	cr_assert_eq(shell_run(streamer_main, "streamer", script), 0);
	cr_assert(shell.opened == 3 && shell.message_size_max == PEER_MESSAGE_MAX);
}
/* Records of this region into its log. */
static void write_records(uint16_t keyspace, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		const struct write w = {.sequence = ++applied.sequence[0], .keyspace = keyspace, .key = "k", .value = "value"};
		cr_assert_eq(append(own_log, &w, &lsn), 0);
	}
	wait_durable(own_log, lsn);
	publish_local();
}

/* ---- messages ---- */

static struct peer_rules rules_of(uint8_t region)
{
	return (struct peer_rules){.cluster = "demo",
	    .region = region,
	    .peers = 7u & ~(1u << region),
	    .definition = definition.bytes,
	    .keyspaces = shell.topology.keyspaces};
}
static void arrives(uint32_t socket, uint8_t region, const char *user, struct streamer_effect effect)
{
	const struct peer_rules rules = rules_of(region);
	if (!effect.stores)
		effect.stores = ids;
	const size_t size = peer_message_pack(&rules, &effect, topology_base_fingerprint(&shell.topology), bytes);
	shell_arrives(socket, 0, (char)('0' + region), user, bytes, size);
	cr_assert_eq(shell_drain(socket, 8), 1);
}
static void subscribes(uint8_t region, uint64_t epoch)
{
	arrives(SHELL_SERVER, region, names[region],
	    (struct streamer_effect){.kind = STREAMER_SEND_SUBSCRIBE, .epoch = epoch, .origins = 1, .credit = STREAMER_WINDOW});
}
static void is_alive(uint8_t region, uint64_t epoch)
{
	arrives(region, region, NULL, (struct streamer_effect){.kind = STREAMER_SEND_ALIVE, .epoch = epoch});
}
static void frame_arrives(uint8_t region, uint64_t epoch, uint64_t number, uint64_t sequence, uint32_t count, bool good)
{
	static uint8_t raw[FRAME_RAW_LIMIT], payload[FRAME_RAW_LIMIT], record[RECORD_ENCODED_MAX];
	const struct peer_rules rules = rules_of(region);
	struct frame_builder builder;
	struct frame frame;
	frame_builder_init(&builder, raw);
	for (uint32_t i = 0; i < count; i++)
		cr_assert_eq(frame_builder_add(&builder, record, sample_record(region, sequence + i, 50, 0, record)), 0);
	frame_builder_finish(&builder, true, payload, &frame);
	frame.checksum += !good;
	shell_arrives(region, 0, 0, NULL, bytes, peer_message_pack_frame(&rules, 0, epoch, number, &frame, bytes));
	cr_assert_eq(shell_drain(region, 8), 1);
}
/* The last message to a socket (and identity, 0: any) of that kind; its main figures. */
static struct {
	uint32_t count;
	uint64_t epoch, credit, number, sequence;
	uint32_t origins, held, raw_size, version;
	int code;
	bool has_definition;
} got;
static bool get(uint32_t socket, char identity, Godwit__Peer__Envelope__BodyCase kind)
{
	memset(&got, 0, sizeof got);
	for (uint32_t i = 0; i < shell.sent_count; i++) {
		if (shell.sent[i].socket != socket || (identity && shell.sent[i].identity != identity))
			continue;
		Godwit__Peer__Envelope *e = godwit__peer__envelope__unpack(NULL, shell.sent[i].size, shell.sent[i].bytes);
		cr_assert(e && e->region == 0 && strcmp(e->cluster, "demo") == 0);
		if (e->body_case == kind) {
			struct vector vector = {{0}};
			got.count++;
			got.version = e->protocol;
			if (kind == GODWIT__PEER__ENVELOPE__BODY_SUBSCRIBE) {
				got.epoch = e->subscribe->epoch;
				got.credit = e->subscribe->credit;
				got.origins = e->subscribe->origins;
				got.has_definition = strcmp(e->subscribe->definition, definition.bytes) == 0;
				vector_decode(&vector, e->subscribe->from.data, e->subscribe->from.len);
			} else if (kind == GODWIT__PEER__ENVELOPE__BODY_ACKNOWLEDGE) {
				got.epoch = e->acknowledge->epoch;
				got.credit = e->acknowledge->credit;
				vector_decode(&vector, e->acknowledge->durable.data, e->acknowledge->durable.len);
			} else if (kind == GODWIT__PEER__ENVELOPE__BODY_FRAME) {
				got.epoch = e->frame->epoch;
				got.number = e->frame->number;
				got.raw_size = e->frame->raw_size;
			} else if (kind == GODWIT__PEER__ENVELOPE__BODY_STREAM_ALIVE) {
				got.epoch = e->stream_alive->epoch;
				got.held = e->stream_alive->held;
			} else if (kind == GODWIT__PEER__ENVELOPE__BODY_REFUSAL) {
				got.epoch = e->refusal->epoch;
				got.code = e->refusal->code;
			}
			got.sequence = vector.sequence[1];
		}
		godwit__peer__envelope__free_unpacked(e, NULL);
	}
	return got.count > 0;
}
#define SUBSCRIBE   GODWIT__PEER__ENVELOPE__BODY_SUBSCRIBE
#define ACKNOWLEDGE GODWIT__PEER__ENVELOPE__BODY_ACKNOWLEDGE
#define FRAME       GODWIT__PEER__ENVELOPE__BODY_FRAME
#define ALIVE       GODWIT__PEER__ENVELOPE__BODY_STREAM_ALIVE
#define REFUSAL     GODWIT__PEER__ENVELOPE__BODY_REFUSAL

static uint32_t ring_read(uint64_t first)
{
	struct ring ring;
	struct record record;
	uint32_t kind, size, count = 0;
	const uint8_t *at;
	cr_assert_eq(ring_attach(&ring, &layout->inbound, layout->inbound_bytes, SHM_INBOUND_RING_SIZE), 0);
	for (; ring_peek(&ring, &kind, &at, &size) == 0; count++) {
		cr_assert_gt(record_decode(&record, at, size), 0);
		cr_assert_eq(record.dot.sequence, first + count);
		ring_release(&ring);
	}
	return count;
}

/* ---- receiving ---- */

static void receives(void)
{
	cr_assert_leq(shell.actor.deadline_ns(shell.actor.self), shell.now.monotonic_ns, "it subscribes at once");
	shell_turn(0);
	for (uint8_t peer = 1; peer < 3; peer++) {
		cr_assert(get(peer, 0, SUBSCRIBE) && got.count == 1 && got.credit == STREAMER_WINDOW && got.has_definition);
		cr_assert_eq(got.origins, 1u << peer);
		cr_assert_eq(layout->links[peer].inbound, LINK_DOWN);
	}
	get(1, 0, SUBSCRIBE);
	const uint64_t epoch = got.epoch;
	is_alive(1, epoch);
	cr_assert(layout->links[1].inbound == LINK_SUBSCRIBED && layout->links[2].inbound == LINK_DOWN);
	cr_assert_eq(shell_logged("inbound_stream"), 1);
	frame_arrives(1, epoch, 1, 1, 5, true);
	cr_assert(shell_count(COUNTER_frames_received) == 1 && shell_count(COUNTER_bytes_received) > 20);
	cr_assert_eq(shell_count(COUNTER_records_received), 0);
	cr_assert(shell.actor.has_work(shell.actor.self) && shell.actor.deadline_ns(shell.actor.self) == 0);
	shell_turn(0);
	cr_assert_not(shell.actor.has_work(shell.actor.self));
	cr_assert(shell_count(COUNTER_records_received) == 5 && shell_count(COUNTER_memory_bytes) == 0 && ring_read(1) == 5);
	applied.sequence[1] = 5;
	publish_local();
	shell_turn(5);
	cr_assert(get(1, 0, ACKNOWLEDGE) && got.sequence == 5 && got.epoch == epoch && got.credit > STREAMER_WINDOW);
	/* Some that are applied already. */
	frame_arrives(1, epoch, 2, 4, 4, true);
	shell_turn(1);
	cr_assert(
	    shell_count(COUNTER_records_received) == 7 && shell_count(COUNTER_records_duplicate) == 2 && ring_read(6) == 2);
	/* A bad one ends it; it begins anew. */
	cr_assert_eq(shell_count(COUNTER_resubscribes), 0);
	frame_arrives(1, epoch, 3, 8, 1, false);
	cr_assert(shell_count(COUNTER_frames_refused) == 1 && shell_logged("frame_refused") == 1);
	cr_assert_eq(shell_count(COUNTER_frames_received), 2);
	shell_turn(100);
	cr_assert(get(1, 0, SUBSCRIBE) && got.count == 2 && got.epoch > epoch && got.sequence == 5);
	cr_assert(shell_count(COUNTER_resubscribes) == 1 && shell_logged("resubscribed") == 1);
	cr_assert_str_eq(shell_log_text("resubscribed"), "peer=eu reason=\"bad frame\"");
}
Test(io, F24_what_a_peer_sends_is_in_the_ring_once)
{
	run(receives);
}

/* What it acknowledges to peers of which one understands a version more; it subscribes in the oldest. */
static void versions(void)
{
	uint64_t epochs[3];
	shell_turn(0);
	for (uint8_t peer = 1; peer < 3; peer++) {
		cr_assert(get(peer, 0, SUBSCRIBE) && got.version == PROTOCOL_VERSION);
		epochs[peer] = got.epoch;
		ahead = peer == 1;
		is_alive(peer, epochs[peer]);
		frame_arrives(peer, epochs[peer], 1, 1, 5, true);
	}
	ahead = 1;
	for (uint8_t peer = 1; peer < 3; peer++) {
		applied.sequence[peer] = 5;
		publish_local();
	}
	for (uint32_t i = 0; i < 20; i++)
		shell_turn(10);
	cr_assert(get(1, 0, ACKNOWLEDGE) && got.version == PROTOCOL_VERSION + 1, "%u", got.version);
	cr_assert(get(2, 0, ACKNOWLEDGE) && got.version == PROTOCOL_VERSION, "%u", got.version);
}
Test(io, G20_a_peer_is_written_to_in_what_it_understands)
{
	run(versions);
}

static void disconnected(void)
{
	shell.send_code[1] = ERR_OVERLOADED;
	shell_turn(0);
	cr_assert(!get(1, 0, SUBSCRIBE) && get(2, 0, SUBSCRIBE));
	cr_assert_eq(shell.actor.deadline_ns(shell.actor.self), shell.now.monotonic_ns + 100 * MS);
	shell.send_code[1] = 0;
	shell_turn(99);
	cr_assert_not(get(1, 0, SUBSCRIBE));
	shell_turn(1);
	cr_assert(get(1, 0, SUBSCRIBE) && shell_count(COUNTER_resubscribes) == 0);
	/* A coordinator that begins again wants all anew. */
	const uint64_t epoch = got.epoch;
	layout->coordinator.epoch = 2;
	cr_assert(shell.actor.has_work(shell.actor.self));
	shell_turn(1);
	cr_assert_not(shell.actor.has_work(shell.actor.self));
	cr_assert(get(1, 0, SUBSCRIBE) && got.count == 2 && got.epoch > epoch);
}
Test(io, F24_a_peer_that_is_not_connected_is_asked_again)
{
	run(disconnected);
}

static void refused_by(void)
{
	shell_turn(0);
	get(1, 0, SUBSCRIBE);
	arrives(
	    1, 1, NULL, (struct streamer_effect){.kind = STREAMER_SEND_REFUSAL, .epoch = got.epoch, .code = ERR_CONFIGURATION});
	cr_assert(layout->links[1].inbound == LINK_REFUSED && layout->links[1].inbound_code == ERR_CONFIGURATION);
	/* One of another version, and one of another cluster, say as much. */
	Godwit__Peer__Envelope envelope = GODWIT__PEER__ENVELOPE__INIT;
	for (int i = 0; i < 2; i++) {
		envelope.protocol = PROTOCOL_VERSION + 1 - (uint32_t)i;
		envelope.cluster = (char *)(uintptr_t) "other";
		envelope.region = 1;
		shell_turn(3000);
		shell_arrives(1, 0, 0, NULL, bytes, godwit__peer__envelope__pack(&envelope, bytes));
		cr_assert_eq(shell_drain(1, 8), 1);
		cr_assert_eq(layout->links[1].inbound, LINK_REFUSED);
		cr_assert_eq(layout->links[1].inbound_code, i ? ERR_CONFIGURATION : ERR_WRONG_VERSION);
	}
	cr_assert_eq(shell_count(COUNTER_frames_refused), 2);
	/* Another's name, what belongs to the other direction, and what is no message. */
	const uint32_t state = layout->links[1].inbound;
	arrives(1, 2, NULL, (struct streamer_effect){.kind = STREAMER_SEND_ALIVE, .epoch = 1});
	arrives(1, 1, NULL, (struct streamer_effect){.kind = STREAMER_SEND_SUBSCRIBE, .epoch = 1, .origins = 1});
	shell_arrives(1, ERR_MALFORMED, 0, NULL, NULL, 0);
	shell_arrives(1, 0, 0, NULL, "\x1a\x05", 2);
	cr_assert_eq(shell_drain(1, 8), 2);
	cr_assert(shell_count(COUNTER_frames_refused) == 6 && shell_logged("message_refused") == 6);
	cr_assert_eq(layout->links[1].inbound, state);
}
Test(io, F24_a_refusal_is_told_with_its_reason)
{
	run(refused_by);
}

static void meets(void)
{
	struct store_id met;
	shell_turn(0);
	get(1, 0, SUBSCRIBE);
	cr_assert_not(store_seen_read(&layout->links[1].seen, &ids[0], &met));
	is_alive(1, got.epoch);
	cr_assert(store_seen_read(&layout->links[1].seen, &ids[0], &met) && store_id_is_equal(&met, &ids[1]));
	cr_assert_neq(layout->links[1].inbound, LINK_SUBSCRIBED, "not before the coordinator knows it");
	/* The directory is wiped under it: the new store's coordinator has been told nothing yet. */
	static struct store_id others[REGIONS_MAX] = {{{8}}};
	store_table_write(&layout->coordinator.stores, others);
	shell_turn(3000);
	get(1, 0, SUBSCRIBE);
	memcpy(&others[1], &ids[1], sizeof others[1]);
	arrives(1, 1, NULL, (struct streamer_effect){.kind = STREAMER_SEND_ALIVE, .epoch = got.epoch, .stores = others});
	cr_assert(store_seen_read(&layout->links[1].seen, &others[0], &met) && store_id_is_equal(&met, &ids[1]));
}
Test(io, F24_a_store_that_is_met_is_told_to_the_coordinator)
{
	static struct store_id some[REGIONS_MAX];
	some[0] = ids[0];
	store_table_write(&layout->coordinator.stores, some);
	run(meets);
}

static void reused(void)
{
	static struct store_id others[REGIONS_MAX];
	memcpy(others, ids, sizeof others);
	others[0].bytes[5] = 9;
	shell_turn(0);
	get(1, 0, SUBSCRIBE);
	arrives(1, 1, NULL, (struct streamer_effect){.kind = STREAMER_SEND_ALIVE, .epoch = got.epoch, .stores = others});
	cr_assert(
	    layout->links[1].reused == 1 && shell_logged("region_reused") == 1 && layout->links[1].inbound == LINK_REFUSED);
	shell_turn(3000);
	get(1, 0, SUBSCRIBE);
	is_alive(1, got.epoch);
	cr_assert(
	    layout->links[1].reused == 0 && layout->links[1].inbound == LINK_SUBSCRIBED && shell_logged("region_reused") == 1);
}
Test(io, F24_who_takes_this_region_for_another_is_told)
{
	run(reused);
}

static void ring_broken(void)
{
	shell_turn(0);
	get(1, 0, SUBSCRIBE);
	const uint64_t epoch = got.epoch;
	is_alive(1, epoch);
	frame_arrives(1, epoch, 1, 1, 5, true);
	layout->inbound.head = 1ull << 62; /* looked at when the ring seems full */
	for (uint64_t number = 1; number < 2000 && !shell.stopped; number++) {
		shell_turn(0);
		frame_arrives(1, epoch, number + 1, 6 + 1000 * number, 1000, true);
		if (shell.sent_count > 800)
			shell_forget();
	}
	cr_assert(shell.stopped == 1 && shell_logged("ring_broken") == 1);
}
Test(io, F24_a_broken_ring_ends_the_process)
{
	cr_assert_neq(shell_run(streamer_main, "streamer", ring_broken), 0);
}

static void ring_full(void)
{
	shell_turn(0);
	get(1, 0, SUBSCRIBE);
	const uint64_t epoch = got.epoch;
	is_alive(1, epoch);
	uint64_t number = 0;
	while (layout->inbound.tail < SHM_INBOUND_RING_SIZE - 1024 * 1024 || shell_count(COUNTER_memory_bytes) == 0) {
		frame_arrives(1, epoch, number + 1, 1 + 1000 * number, 1000, true);
		number++;
		cr_assert_lt(number, 2000);
		shell_turn(0);
		if (shell.sent_count > 800)
			shell_forget();
	}
	cr_assert_not(shell.actor.has_work(shell.actor.self), "it does not spin");
	cr_assert_leq(shell.actor.deadline_ns(shell.actor.self), shell.now.monotonic_ns + MS);
	const uint64_t received = shell_count(COUNTER_records_received);
	cr_assert_eq(ring_read(1), received);
	shell_turn(0);
	cr_assert_eq(shell_count(COUNTER_records_received), received, "not before its time");
	shell_turn(1);
	cr_assert(shell_count(COUNTER_records_received) == 1000 * number && shell_count(COUNTER_memory_bytes) == 0);
	cr_assert_eq(ring_read(received + 1), 1000 * number - received);
}
Test(io, F24_a_full_ring_loses_nothing)
{
	run(ring_full);
}

/* ---- sending ---- */

static void sends(void)
{
	write_records(0, 3);
	shell_turn(0);
	subscribes(1, 77);
	cr_assert(get(SHELL_SERVER, '1', ALIVE) && got.epoch == 77);
	cr_assert(layout->links[1].outbound == LINK_SUBSCRIBED && layout->links[1].acked_at_ns == shell.now.monotonic_ns);
	cr_assert_eq(layout->links[1].acked_tag, shm_store_tag(&ids[0]));
	cr_assert(
	    layout->links[1].keyspaces_same == 3 && layout->links[1].keyspaces_other == 0 && !shell_logged("topology_differs"));
	shell_turn(0);
	cr_assert(get(SHELL_SERVER, '1', FRAME) && got.count == 1 && got.epoch == 77 && got.number == 1);
	cr_assert(shell_count(COUNTER_frames_sent) == 1 && shell_count(COUNTER_bytes_raw) == got.raw_size);
	cr_assert(shell_count(COUNTER_bytes_sent) > 0 && layout->links[1].sent_lsn == lsn && layout->links[2].sent_lsn == 0);
	/* Acknowledged. */
	struct vector acked;
	arrives(SHELL_SERVER, 1, "eu",
	    (struct streamer_effect){
	        .kind = STREAMER_SEND_ACKNOWLEDGE, .epoch = 77, .vector = {{3}}, .credit = 2 * STREAMER_WINDOW});
	vector_slot_read(&layout->links[1].acked, &acked);
	cr_assert_eq(acked.sequence[0], 3);
	/* A small frame right after another waits for company. */
	write_records(0, 1);
	cr_assert(shell.actor.has_work(shell.actor.self));
	const uint64_t sent_ns = shell.now.monotonic_ns;
	shell_turn(0);
	cr_assert(get(SHELL_SERVER, '1', FRAME) && got.count == 1);
	cr_assert_eq(shell.actor.deadline_ns(shell.actor.self), sent_ns + MS);
	shell_turn(1);
	cr_assert(get(SHELL_SERVER, '1', FRAME) && got.count == 2 && got.number == 2);
	/* Its socket is full for a moment. */
	write_records(0, 1);
	shell.send_code[SHELL_SERVER] = ERR_OVERLOADED;
	shell_turn(1);
	cr_assert_eq(shell.actor.deadline_ns(shell.actor.self), shell.now.monotonic_ns + MS);
	shell.send_code[SHELL_SERVER] = 0;
	shell_turn(0);
	cr_assert(get(SHELL_SERVER, '1', FRAME) && got.count == 2);
	cr_assert_eq(shell.actor.deadline_ns(shell.actor.self), shell.now.monotonic_ns + MS);
	shell_turn(1);
	cr_assert(get(SHELL_SERVER, '1', FRAME) && got.count == 3 && layout->links[1].outbound == LINK_SUBSCRIBED);
	/* It is gone. */
	write_records(0, 1);
	shell.send_code[SHELL_SERVER] = ERR_UNREACHABLE;
	shell_turn(1);
	cr_assert(layout->links[1].outbound == LINK_DOWN && shell_count(COUNTER_frames_sent) == 3);
	shell.send_code[SHELL_SERVER] = 0;
	shell_turn(2);
	cr_assert(get(SHELL_SERVER, '1', FRAME) && got.count == 3);
	/* Gone, found out by a keep-alive. */
	subscribes(2, 5);
	cr_assert_eq(layout->links[2].outbound, LINK_SUBSCRIBED);
	shell.send_code[SHELL_SERVER] = ERR_UNREACHABLE;
	shell_turn(500);
	cr_assert_eq(layout->links[2].outbound, LINK_DOWN);
}
Test(io, F24_a_subscriber_gets_what_is_applied)
{
	shell.topology.compression = true;
	run(sends);
}

static void holds(void)
{
	shell_turn(0);
	memcpy(strstr(definition.bytes, "ledger"), "legder", 6);
	subscribes(1, 77);
	cr_assert(layout->links[1].keyspaces_other == 2 && layout->links[1].keyspaces_same == 1);
	cr_assert_eq(shell_logged("topology_differs"), 1);
	write_records(0, 1);
	shell_turn(2);
	cr_assert(get(SHELL_SERVER, '1', FRAME) && layout->links[1].outbound_held == 0);
	write_records(1, 1);
	shell_turn(2);
	cr_assert(layout->links[1].outbound_held == 2 && shell_logged("stream_held") == 1);
	cr_assert_not_null(strstr(shell_log_text("stream_held"), "to=eu keyspace=ledger origins=1 "));
	cr_assert(get(SHELL_SERVER, '1', ALIVE) && got.held == 1);
	get(2, 0, SUBSCRIBE);
	arrives(
	    2, 2, NULL, (struct streamer_effect){.kind = STREAMER_SEND_ALIVE, .epoch = got.epoch, .origins = 4, .keyspace = 1});
	cr_assert(layout->links[2].inbound_held == 4 && shell_logged("stream_held") == 2);
	cr_assert_not_null(strstr(shell_log_text("stream_held"), "from=ap keyspace=\"ledger\" origins=4 "));
	is_alive(2, got.epoch);
	cr_assert(layout->links[2].inbound_held == 0 && shell_logged("stream_goes_on") == 1);
}
Test(io, F24_what_stands_for_a_keyspace_is_told)
{
	run(holds);
}

static void refuses(void)
{
	shell_turn(0);
	arrives(SHELL_SERVER, 1, "ap",
	    (struct streamer_effect){.kind = STREAMER_SEND_SUBSCRIBE, .epoch = 5, .origins = 1, .credit = STREAMER_WINDOW});
	arrives(SHELL_SERVER, 1, NULL,
	    (struct streamer_effect){.kind = STREAMER_SEND_SUBSCRIBE, .epoch = 5, .origins = 1, .credit = STREAMER_WINDOW});
	cr_assert(shell_count(COUNTER_frames_refused) == 2 && layout->links[1].outbound == LINK_DOWN);
	cr_assert(!get(SHELL_SERVER, 0, ALIVE) && !get(SHELL_SERVER, 0, REFUSAL));
	cr_assert_not_null(strstr(shell_log_text("message_refused"), "the key of nobody is used in the name of eu"));
	/* Of another version or cluster: it is told. */
	Godwit__Peer__Envelope envelope = GODWIT__PEER__ENVELOPE__INIT;
	for (int i = 0; i < 2; i++) {
		envelope.protocol = PROTOCOL_VERSION + 1 - (uint32_t)i;
		envelope.cluster = (char *)(uintptr_t) "other";
		envelope.region = 1;
		shell_arrives(SHELL_SERVER, 0, 'x', "eu", bytes, godwit__peer__envelope__pack(&envelope, bytes));
		cr_assert_eq(shell_drain(SHELL_SERVER, 8), 1);
		cr_assert(get(SHELL_SERVER, 'x', REFUSAL) && got.count == (uint32_t)i + 1);
		cr_assert_eq(got.code, i ? ERR_CONFIGURATION : ERR_WRONG_VERSION);
	}
	shell_arrives(SHELL_SERVER, ERR_MALFORMED, 0, NULL, NULL, 0);
	shell_arrives(SHELL_SERVER, 0, 'y', "eu", "\x1a\x05", 2);
	cr_assert_eq(shell_drain(SHELL_SERVER, 1), 1);
	cr_assert_eq(shell_drain(SHELL_SERVER, 8), 1);
	cr_assert(shell_count(COUNTER_frames_refused) == 6 && !get(SHELL_SERVER, 'y', REFUSAL));
	/* Who believes in a stream that there is not is told, where the message came from. */
	arrives(SHELL_SERVER, 2, "ap", (struct streamer_effect){.kind = STREAMER_SEND_ACKNOWLEDGE, .epoch = 9});
	cr_assert(get(SHELL_SERVER, '2', REFUSAL) && got.epoch == 9 && got.code == ERR_UNREACHABLE);
	/* A log that cannot be read. */
	char away[200];
	snprintf(away, sizeof away, "%s.away", place.log);
	cr_assert_eq(rename(place.log, away), 0);
	subscribes(1, 6);
	cr_assert_eq(rename(away, place.log), 0);
	cr_assert(shell_logged("stream_not_opened") == 1 && layout->links[1].outbound != LINK_SUBSCRIBED);
	cr_assert_not(get(SHELL_SERVER, '1', ALIVE));
	subscribes(1, 7);
	cr_assert(layout->links[1].outbound == LINK_SUBSCRIBED && get(SHELL_SERVER, '1', ALIVE));
}
Test(io, F24_who_must_not_is_sent_nothing)
{
	run(refuses);
}

/* ---- start, commands ---- */

static void left_behind(void)
{
	struct vector acked;
	for (uint32_t peer = 1; peer < 3; peer++) {
		const struct shm_link *link = &layout->links[peer];
		cr_assert(link->inbound == LINK_DOWN && link->outbound == LINK_DOWN && !link->reused && !link->outbound_held &&
		          !link->inbound_held);
	}
	vector_slot_read(&layout->links[1].acked, &acked);
	cr_assert(acked.sequence[0] == 5 && layout->links[1].acked_at_ns == 8, "of this store");
	vector_slot_read(&layout->links[2].acked, &acked);
	cr_assert(acked.sequence[0] == 0 && layout->links[2].acked_at_ns == 0, "of a store that was here before");
	cr_assert_eq(layout->links[2].acked_tag, shm_store_tag(&ids[0]));
	struct text text = {0};
	struct error_context error = {0};
	cr_assert_eq(shell.command(shell.actor.self, "undrain", "", &text, &error), ERR_UNSUPPORTED);
	cr_assert_not_null(strstr(error.text, "undrain"));
	shell_turn(0);
	subscribes(1, 77);
	cr_assert_eq(shell.command(shell.actor.self, "streams", "", &text, &error), 0);
	cr_assert_not_null(strstr(text.bytes, "{\"draining\":false,\"streams\":[{\"peer\":\"eu\","));
	cr_assert_not_null(strstr(text.bytes, ",\"inbound\":{\"state\":\"down\""));
	cr_assert_not_null(
	    strstr(text.bytes, "\"outbound\":{\"state\":\"subscribed\",\"code\":\"OK\",\"epoch\":77,\"origins\":1,"));
	cr_assert_not_null(strstr(text.bytes, ",{\"peer\":\"ap\""));
	cr_assert_null(strstr(text.bytes, "\"us\""));
	text_clear(&text);
	cr_assert_eq(shell.command(shell.actor.self, "drain", "", &text, &error), 0);
	cr_assert_str_eq(text.bytes, "{\"draining\":true}");
	text_clear(&text);
	cr_assert_eq(shell.command(shell.actor.self, "streams", "", &text, &error), 0);
	cr_assert_not_null(strstr(text.bytes, "{\"draining\":true,"));
	text_deinit(&text);
	shell_turn(3000);
	cr_assert(get(1, 0, SUBSCRIBE) && got.count == 2 && got.credit == 0, "no more is taken in");
}
Test(io, F24_what_the_process_before_left_says_nothing)
{
	const struct vector acked = {{5}};
	for (uint32_t peer = 1; peer < 3; peer++) {
		struct shm_link *link = &layout->links[peer];
		link->inbound = link->outbound = LINK_SUBSCRIBED;
		link->reused = link->outbound_held = link->inbound_held = 1;
		link->acked_at_ns = 8;
		link->acked_tag = peer == 1 ? shm_store_tag(&ids[0]) : 4711;
		vector_slot_write(&link->acked, &acked);
	}
	run(left_behind);
}

Test(io, F24_a_streamer_that_cannot_start_says_why)
{
	layout->inbound.capacity = 12;
	cr_assert_neq(shell_run(streamer_main, "streamer", NULL), 0);
	cr_assert(shell.failed == 1 && shell.fail_code == ERR_CORRUPT && shell.ready == 0);
}
Test(io, F24_a_streamer_without_connections_says_why)
{
	shell.connect_code = ERR_CONFIGURATION;
	cr_assert_neq(shell_run(streamer_main, "streamer", NULL), 0);
	cr_assert(shell.failed == 1 && shell.fail_code == ERR_CONFIGURATION && shell.ready == 0);
}
