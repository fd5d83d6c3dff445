/* SPDX-License-Identifier: Apache-2.0
 *
 * G20: messages between regions of a build that understands one version more than the oldest. */
#define XXH_INLINE_ALL
#include <criterion/criterion.h>
#include <string.h>
#include <xxhash.h>

#include "actors/monitor/heartbeat.h"
#include "actors/reconciler/message.h"
#include "actors/streamer/message.h"
#include "base/bytes.h"
#include "core/commit_entry.h"
#include "core/version.h"
#include "proto/peer.pb-c.h"
#include "runtime/socket.h"
#include "store/log_segment.h"
#include "tests/unit/core/commit_sample.h"
#include "tests/unit/shell/ahead.h"
#include "tests/unit/store/support.h"

#define OLDEST      PROTOCOL_VERSION
#define LOG_CHECKED 176u /* what the checksum of a segment covers, and where it stands */

/* What a peer understands (0: it has not told), and in what it is written to. */
static const uint32_t told[][2] = {
    {0, OLDEST}, {OLDEST, OLDEST}, {OLDEST + 1, OLDEST + 1}, {OLDEST + 2, OLDEST + 1}, {UINT32_MAX, OLDEST + 1}};
#define TOLD (sizeof told / sizeof *told)

static void next_build(void)
{
	ahead = 1;
}
TestSuite(versions, .init = next_build);

Test(versions, G20_the_lower_of_the_two_newest)
{
	for (size_t i = 0; i < TOLD; i++)
		cr_expect_eq(version_agree(OLDEST, told[i][0]), told[i][1], "%zu", i);
	cr_expect_eq(version_agree(5, 3), 5, "a peer from before the range gets the oldest, and refuses it");
	for (uint32_t v = 0; v < 12; v++)
		cr_expect_eq(version_is_understood(v, 6), v == 6 || v == 7, "%u", v);
	cr_expect(!version_is_understood((1ull << 32) + 6, 6));
	ahead = 3;
	for (uint32_t newest = 0; newest < 12; newest++)
		cr_expect_eq(version_agree(6, newest), newest < 6 ? 6 : newest > 9 ? 9 : newest, "%u", newest);
}

static uint32_t version_in(const uint8_t *bytes, size_t size)
{
	Godwit__Peer__Envelope *envelope = godwit__peer__envelope__unpack(NULL, size, bytes);
	cr_assert(envelope);
	uint32_t version = envelope->protocol;
	cr_expect_eq(envelope->newest, OLDEST + 1);
	godwit__peer__envelope__free_unpacked(envelope, NULL);
	return version;
}

Test(versions, G20_streams_speak_what_both_understand_and_open_in_the_oldest)
{
	static uint8_t bytes[PEER_MESSAGE_MAX];
	static const struct store_id stores[REGIONS_MAX] = {{{1}}};
	static const struct {
		enum streamer_effect_kind kind;
		bool is_open;
	} kinds[] = {{STREAMER_SEND_SUBSCRIBE, false}, {STREAMER_SEND_REFUSAL, false}, {STREAMER_SEND_ACKNOWLEDGE, true},
	    {STREAMER_SEND_ALIVE, true}};
	struct peer_rules rules = {.cluster = "c", .region = 0, .peers = 6};
	for (size_t i = 0; i < TOLD; i++) {
		rules.newest[2] = told[i][0];
		rules.newest[1] = UINT32_MAX - told[i][0]; /* of another peer: says nothing */
		for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
			struct streamer_effect effect = {
			    .kind = kinds[k].kind, .peer = 2, .epoch = 1, .stores = stores, .code = ERR_UNREACHABLE};
			size_t size = peer_message_pack(&rules, &effect, 42, bytes);
			cr_expect_eq(version_in(bytes, size), kinds[k].is_open ? told[i][1] : OLDEST, "%zu %zu", i, k);
		}
		struct frame frame = {.payload = (const uint8_t *)"x", .payload_size = 1, .raw_size = 1};
		cr_expect_eq(version_in(bytes, peer_message_pack_frame(&rules, 2, 1, 1, &frame, bytes)), told[i][1], "%zu", i);
	}
}

Test(versions, G20_streams_understand_the_range_and_note_what_the_sender_does)
{
	static uint8_t bytes[PEER_MESSAGE_MAX];
	static const struct store_id stores[REGIONS_MAX] = {{{1}}, {{2}}};
	struct peer_rules from = {.cluster = "c", .region = 1, .peers = 5}, rules = {.cluster = "c", .region = 0, .peers = 6};
	struct streamer_effect effect = {.kind = STREAMER_SEND_ALIVE, .peer = 0, .epoch = 1, .stores = stores};
	for (uint32_t version = OLDEST - 1; version <= OLDEST + 2; version++) {
		struct peer_message message;
		struct error_context error;
		size_t size = peer_message_pack(&from, &effect, 42, bytes);
		Godwit__Peer__Envelope *envelope = godwit__peer__envelope__unpack(NULL, size, bytes);
		envelope->protocol = version;
		envelope->newest = version + 5;
		size = godwit__peer__envelope__pack(envelope, bytes);
		godwit__peer__envelope__free_unpacked(envelope, NULL);
		bool is_good = version == OLDEST || version == OLDEST + 1;
		cr_expect_eq(peer_message_parse(&message, &rules, false, bytes, size, &error), is_good ? 0 : ERR_WRONG_VERSION,
		    "%u", version);
		cr_expect_eq(message.newest, version + 5);
		peer_message_close(&message);
	}
}

Test(versions, G20_heartbeats)
{
	uint8_t bytes[HEARTBEAT_SIZE_MAX];
	struct heartbeat_rules from = {.cluster = "c", .region = 1, .peers = 5},
	                       rules = {.cluster = "c", .region = 0, .peers = 6};
	static struct monitor m;
	struct monitor_effect effect = {.peer = 2};
	for (size_t i = 0; i < TOLD; i++) {
		struct monitor_event event;
		from.newest[2] = told[i][0];
		size_t size = heartbeat_pack(&from, &m, &effect, 1, bytes);
		cr_expect_eq(version_in(bytes, size), told[i][1], "%zu", i);
		cr_expect_eq(heartbeat_parse(&event, &rules, bytes, size, NULL), 0);
		cr_expect_eq(event.heartbeat.newest, OLDEST + 1);
	}
}

Test(versions, G20_digests)
{
	static struct packer packer;
	static struct topology topology = {
	    .cluster = "c", .region_count = 2, .regions = {{.name = "a"}, {.name = "b", .id = 2}}};
	static const struct digest buckets[DIGEST_BUCKETS];
	Godwit__Peer__DigestRequest request = GODWIT__PEER__DIGEST_REQUEST__INIT;
	packer.topology = &topology;
	for (size_t i = 0; i < TOLD; i++) {
		packer.newest[2] = told[i][0];
		pack_ask(&packer, &(struct reconciler_ask){.peer = 2});
		cr_expect_eq(version_in(packer.bytes, packer.size), told[i][1], "%zu", i);
		packer.to = 1;
		pack_digests(&packer, &request, &(struct vector){0}, buckets, 0);
		cr_expect_eq(version_in(packer.bytes, packer.size), OLDEST, "another peer");
		packer.to = 2;
		pack_digests(&packer, &request, &(struct vector){0}, buckets, 0);
		cr_expect_eq(version_in(packer.bytes, packer.size), told[i][1], "%zu", i);
	}
	for (uint32_t version = OLDEST - 1; version <= OLDEST + 2; version++) {
		Godwit__Peer__Envelope envelope = GODWIT__PEER__ENVELOPE__INIT;
		envelope.protocol = version;
		envelope.region = 2;
		envelope.cluster = topology.cluster;
		bool is_good = version == OLDEST || version == OLDEST + 1;
		cr_expect_eq(envelope_check(&envelope, &topology, 0, "b"), is_good ? 0 : ERR_WRONG_VERSION, "%u", version);
	}
}

/* What nobody can agree on is written in the oldest, and read in the next as well. */
Test(versions, G20_log_segments_and_bodies)
{
	uint8_t bytes[LOG_HEADER_SIZE], sample[512];
	struct log_header header = {.region = 1}, again;
	log_header_encode(&header, bytes);
	uint32_t written;
	memcpy(&written, bytes + 8, 4);
	for (uint32_t version = written - 1; version <= written + 2; version++) {
		memcpy(bytes + 8, &version, 4);
		uint64_t checksum = XXH3_64bits(bytes, LOG_CHECKED);
		memcpy(bytes + LOG_CHECKED, &checksum, 8);
		bool is_good = version == written || version == written + 1;
		cr_expect_eq(log_header_decode(&again, bytes), is_good ? 0 : ERR_WRONG_VERSION, "%u", version);
	}
	const struct commit_operation operation = commit_write(1, "k", "v");
	size_t size = commit_body_sample(sample, NULL, 0, &operation, 1);
	for (int difference = -1; difference <= 2; difference++) {
		struct commit_body body;
		uint8_t other[sizeof sample];
		memcpy(other, sample, size);
		other[0] = (uint8_t)(other[0] + difference);
		cr_expect_eq(commit_body_open(&body, other, size), difference == 0 || difference == 1 ? 0 : ERR_MALFORMED, "%d",
		    difference);
	}
}

Test(versions, G20_rows_of_the_next_version_are_read)
{
	struct place place;
	place_make(&place);
	rows_close(rows_start(&place, NULL));
	rows_version_set(&place, 5);
	rows_close(rows_start(&place, NULL));
	rows_version_set(&place, 6);
	struct rows_options options = rows_options_default(&place);
	struct rows *rows;
	struct error_context error;
	cr_assert_eq(rows_open(&rows, &options, &error), ERR_WRONG_VERSION);
	cr_assert(strstr(error.text, "format 6, this one understands 4 to 5"), "%s", error.text);
	place_remove(&place);
}
