/* SPDX-License-Identifier: Apache-2.0
 *
 * What peers send: to the streamer in both directions, to the monitor, to the reconciler. Input: u8 to whom | message. */
#include "actors/monitor/heartbeat.h"
#include "actors/reconciler/message.h"
#include "actors/streamer/message.h"
#include "runtime/socket.h"
#include "tests/fuzz/fuzz.h"

static const struct peer_rules streamer_rules = {.cluster = "fuzz", .region = 0, .peers = 6};
static const struct heartbeat_rules monitor_rules = {.cluster = "fuzz", .region = 0, .peers = 6};
static struct topology topology = {.cluster = "fuzz",
    .region_count = 3,
    .regions = {{.name = "us", .id = 0}, {.name = "eu", .id = 1}, {.name = "ap", .id = 2}},
    .keyspace_count = 2};
static struct packer packer;

static void streamer(const uint8_t *bytes, size_t size, bool from_receiver)
{
	struct peer_message message;
	struct error_context error;
	int code = peer_message_parse(&message, &streamer_rules, from_receiver, bytes, size, &error);
	if (code) {
		CHECK(code == ERR_MALFORMED || code == ERR_WRONG_VERSION || code == ERR_CONFIGURATION);
		CHECK(message.envelope == NULL &&
		      (message.event.peer == REGIONS_MAX || message.event.peer == 1 || message.event.peer == 2));
		return;
	}
	CHECK(message.event.peer == 1 || message.event.peer == 2);
	if (message.event.kind == STREAMER_FRAME) {
		CHECK(!from_receiver && frame_check(&message.frame, NULL) == 0);
		bytes_touch(message.frame.payload, message.frame.payload_size);
	}
	if (message.event.kind == STREAMER_REFUSAL)
		bytes_touch(message.reason, strlen(message.reason));
	peer_message_close(&message);
}

static void monitor(const uint8_t *bytes, size_t size)
{
	struct monitor_event event;
	struct error_context error;
	static struct monitor machine;
	uint8_t out[HEARTBEAT_SIZE_MAX];
	if (heartbeat_parse(&event, &monitor_rules, bytes, size, &error) != 0)
		return;
	CHECK(event.kind == MONITOR_HEARTBEAT && (event.peer == 1 || event.peer == 2));
	/* Sent back by that peer, it says the same. */
	struct heartbeat_rules sender = {.cluster = "fuzz", .region = event.peer, .peers = 1};
	machine.applied = event.heartbeat.applied;
	machine.hlc = event.heartbeat.hlc;
	machine.load_percent = event.heartbeat.load_percent;
	struct monitor_effect effect = {
	    .reply = event.heartbeat.reply, .number = event.heartbeat.number, .sent_ns = event.heartbeat.sent_ns};
	struct monitor_event again;
	size_t packed = heartbeat_pack(&sender, &machine, &effect, event.heartbeat.wall_ms, out);
	CHECK(heartbeat_parse(&again, &monitor_rules, out, packed, &error) == 0);
	CHECK(again.heartbeat.number == event.heartbeat.number && again.heartbeat.sent_ns == event.heartbeat.sent_ns &&
	      again.heartbeat.hlc == event.heartbeat.hlc && again.heartbeat.reply == event.heartbeat.reply &&
	      memcmp(&again.heartbeat.applied, &event.heartbeat.applied, sizeof again.heartbeat.applied) == 0);
}

/* A reply is to a question; both are taken from the bytes. */
static void reconciler(const uint8_t *bytes, size_t size, struct input *after)
{
	static struct reconciler_row rows[PAGE_ROWS_MAX];
	static struct digest buckets[DIGEST_BUCKETS];
	struct vector applied;
	struct reconciler_page page;
	uint8_t mask[RECONCILER_MASK_SIZE];
	Godwit__Peer__Envelope *envelope = godwit__peer__envelope__unpack(NULL, size, bytes);
	if (envelope == NULL)
		return;
	if (envelope_check(envelope, &topology, 0, NULL) == 0) {
		CHECK(envelope->region == 1 || envelope->region == 2);
		if (envelope->body_case == GODWIT__PEER__ENVELOPE__BODY_DIGEST_REQUEST &&
		    request_check(envelope->digest_request, &topology, mask) == 0) {
			CHECK(envelope->digest_request->keyspace < topology.keyspace_count);
			packer.topology = &topology;
			pack_digests(&packer, envelope->digest_request, &(struct vector){{1, 2}}, buckets, 7);
			CHECK(packer.size <= RECONCILER_MESSAGE_MAX);
		}
		if (envelope->body_case == GODWIT__PEER__ENVELOPE__BODY_DIGEST_REPLY) {
			size_t after_size;
			uint8_t *key = input_bytes(after, input_left(after), &after_size);
			reply_read_digests(envelope->digest_reply, &applied, buckets);
			if (after_size <= RECONCILER_KEY_MAX &&
			    reply_read_page(envelope->digest_reply, key, (uint32_t)after_size, &applied, rows, &page) == 0) {
				CHECK(page.row_count <= PAGE_ROWS_MAX && page.end_size <= RECONCILER_KEY_MAX);
				for (uint32_t i = 0; i < page.row_count; i++)
					bytes_touch(page.rows[i].key, page.rows[i].key_size);
				bytes_touch(page.end, page.end_size);
			}
			free(key);
		}
	}
	godwit__peer__envelope__free_unpacked(envelope, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct input in = {bytes, bytes + size};
	unsigned to = (unsigned)input_number(&in, 1);
	size_t key_size = to >= 4 ? to - 4 : 0;
	struct input key = {in.at, in.at + (key_size < input_left(&in) ? key_size : input_left(&in))};
	in.at = key.end;
	size_t left = input_left(&in);
	switch (to) {
	case 0:
	case 1:
		streamer(in.at, left, to == 0);
		break;
	case 2:
		monitor(in.at, left);
		break;
	default:
		reconciler(in.at, left, &key);
		break;
	}
	return 0;
}
