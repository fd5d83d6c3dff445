/* SPDX-License-Identifier: Apache-2.0
 *
 * Writes the first inputs of every fuzzer, made with the real encoders: seeds DIR. What they look like is at the top of each.
 */
#include <errno.h>
#include <sys/stat.h>

#include "actors/monitor/heartbeat.h"
#include "actors/reconciler/message.h"
#include "actors/streamer/message.h"
#include "base/bytes.h"
#include "client/wire.h"
#include "commit/message.h"
#include "core/commit_entry.h"
#include "core/row.h"
#include "proto/admin.pb-c.h"
#include "proto/request.h"
#include "runtime/socket.h"
#include "tests/fuzz/fuzz.h"

static const char *root;

/* What stands in front of it, then the bytes. */
static void seed(const char *fuzzer, const char *name, const void *front, size_t front_size, const void *bytes, size_t size)
{
	char path[300];
	snprintf(path, sizeof path, "%s/%s", root, fuzzer);
	CHECK(mkdir(path, 0755) == 0 || errno == EEXIST);
	snprintf(path, sizeof path, "%s/%s/%s", root, fuzzer, name);
	FILE *out = fopen(path, "we");
	CHECK(
	    out && fwrite(front, 1, front_size, out) == front_size && fwrite(bytes, 1, size, out) == size && fclose(out) == 0);
}
#define SEED(fuzzer, name, first, bytes, size) seed(fuzzer, name, (const uint8_t[]){first}, 1, bytes, size)

static const struct vector context = {.sequence = {7, 300, 2}};

static struct record record_sample(uint8_t region, uint64_t sequence, const char *key, const char *value)
{
	struct record r = {.dot = {.region = region, .sequence = sequence},
	    .hlc = 0xf424000000ull + sequence,
	    .context = context,
	    .client_id = 99,
	    .request = sequence,
	    .key = (const uint8_t *)key,
	    .key_size = (uint32_t)strlen(key),
	    .value = (const uint8_t *)value,
	    .value_size = value ? (uint32_t)strlen(value) : 0,
	    .keyspace = 1,
	    .flags = value ? 0 : RECORD_TOMBSTONE};
	r.context.sequence[region] = sequence - 1;
	return r;
}

static const struct commit_id commit_name = {.hlc = 0xf424000007ull, .region = 2};
static const struct commit_id commit_previous = {.hlc = 0xf423000001ull, .region = 1};

/* Of two requests that share it: a put, a delete, a check. */
static size_t body_sample(uint8_t *out)
{
	const struct commit_operation operations[] = {
	    {.kind = COMMIT_PUT, .keyspace = 1, .key = (const uint8_t *)"a key", .key_size = 5},
	    {.kind = COMMIT_DELETE, .condition = COMMIT_IF_ABSENT, .keyspace = 2, .key = (const uint8_t *)"b", .key_size = 1},
	    {.kind = COMMIT_CHECK, .condition = COMMIT_IF_VERSION, .key = (const uint8_t *)"c", .key_size = 1}};
	uint8_t *at = commit_body_begin(out, true, 77, 70, 2);
	for (uint64_t i = 0; i < 2; i++)
		at = commit_request_name_put(at, &(struct commit_request_name){99, 5 + i, 1000 * i});
	bytes_put_u16(at, 3);
	at += 2;
	for (size_t i = 0; i < 3; i++) {
		struct commit_operation o = operations[i];
		o.value = (const uint8_t *)"a value";
		o.value_size = i == 0 ? 7 : 0;
		o.share = i == 0;
		o.expected = i == 2 ? commit_previous : (struct commit_id){0};
		at = commit_operation_put(at, &o);
	}
	return (size_t)(at - out);
}

static size_t entry_sample(uint8_t *out)
{
	static struct commit_head head;
	head = (struct commit_head){.id = commit_name, .value = COMMIT_COMMITTED, .previous_count = 3};
	head.previous[0] = head.previous[2] = commit_previous;
	size_t size = commit_head_put(out, &head, true);
	return size + body_sample(out + size);
}

static struct record transaction_sample(uint8_t region, uint64_t sequence)
{
	static uint8_t entry[512];
	return (struct record){.dot = {.region = region, .sequence = sequence},
	    .hlc = commit_name.hlc,
	    .flags = RECORD_TRANSACTION,
	    .entry_size = (uint32_t)entry_sample(entry),
	    .entry = entry};
}

static void commits(void)
{
	static struct commit_head head;
	uint8_t bytes[512];
	SEED("commit_entry", "commit", 0, bytes, entry_sample(bytes));
	head = (struct commit_head){.id = commit_name, .ballot = 3, .value = COMMIT_ABORTED, .own_lock = true, .voters = 5};
	SEED("commit_entry", "abort", 0, bytes, commit_head_put(bytes, &head, false));
	SEED("commit_entry", "body", 1, bytes, body_sample(bytes));
	struct commit_row row = {.stamp = commit_name,
	    .version = {.hlc = commit_name.hlc, .region = 2, .share = 1},
	    .previous = commit_previous,
	    .live = true,
	    .value = (const uint8_t *)"a value",
	    .value_size = 7};
	commit_row_encode(&row, bytes);
	SEED("commit_entry", "row", 2, bytes, commit_row_size(&row));
	row.live = false;
	commit_row_encode(&row, bytes);
	SEED("commit_entry", "row-deleted", 2, bytes, commit_row_size(&row));
	commit_version_encode(row.version, bytes);
	SEED("commit_entry", "version", 3, bytes, COMMIT_VERSION_SIZE);
	char text[COMMIT_VERSION_TEXT_MAX];
	commit_version_format(row.version, text);
	SEED("commit_entry", "version-text", 3, text, strlen(text));
}

static void commit_messages(void)
{
	static const char *const names[COMMIT_MESSAGE_TYPES] = {[COMMIT_PREPARE] = "prepare",
	    [COMMIT_VOTE] = "vote",
	    [COMMIT_WITHDRAW] = "withdraw",
	    [COMMIT_WITHDRAWN] = "withdrawn",
	    [COMMIT_DECIDED] = "decided",
	    [COMMIT_RECOVER] = "recover",
	    [COMMIT_PROMISED] = "promised",
	    [COMMIT_ACCEPT] = "accept",
	    [COMMIT_ACCEPTED] = "accepted",
	    [COMMIT_BLOCKED] = "blocked",
	    [COMMIT_FETCH] = "fetch",
	    [COMMIT_KNOWN] = "known",
	    [COMMIT_ASK] = "ask",
	    [COMMIT_TOLD] = "told"};
	uint8_t body[512], bytes[2048];
	size_t body_size = body_sample(body);
	const struct commit_seen seen[] = {
	    {commit_previous, commit_previous, true}, {{0}, {0}, false}, {commit_name, commit_previous, false}};
	for (uint8_t type = 1; type < COMMIT_MESSAGE_TYPES; type++) {
		struct commit_message m = {.type = type, .id = commit_name, .ballot = 258};
		bool has_key = type == COMMIT_ASK || type == COMMIT_TOLD;
		if (type == COMMIT_PREPARE || type == COMMIT_KNOWN || type == COMMIT_ACCEPT || type == COMMIT_PROMISED) {
			m.body = body;
			m.body_size = (uint32_t)body_size;
		}
		if (type == COMMIT_VOTE || type == COMMIT_PROMISED || type == COMMIT_BLOCKED || type == COMMIT_ACCEPT) {
			m.vote = COMMIT_NO;
			m.reason = ERR_CHECK_FAILED;
			m.version = commit_previous;
			m.is_final = true;
			m.hold_count = 2;
			m.holds[0] = m.holds[1] = commit_previous;
			m.seen = seen;
			m.seen_count = 3;
			m.assigned = context;
			m.accepted_ballot = 1;
			m.accepted_value = m.decision = COMMIT_COMMITTED;
		}
		m.keyspace = has_key;
		m.key = (const uint8_t *)"a key";
		m.key_size = has_key ? 5 : 0;
		m.value = (const uint8_t *)"a value";
		m.value_size = type == COMMIT_TOLD ? 7 : 0;
		m.live = type == COMMIT_TOLD;
		m.read = has_key ? 12 : 0;
		seed("commit_message", names[type], NULL, 0, bytes, (size_t)commit_message_encode(&m, bytes, sizeof bytes));
	}
}

static void records(void)
{
	static uint8_t bytes[4096];
	struct record r = record_sample(0, 8, "a key", "a value");
	seed("record", "put", NULL, 0, bytes, (size_t)record_encode(&r, bytes, sizeof bytes));
	r = record_sample(3, 100000, "k", NULL);
	seed("record", "delete", NULL, 0, bytes, (size_t)record_encode(&r, bytes, sizeof bytes));
	r = record_sample(1, 1, "fresh", "");
	r.context = (struct vector){0};
	seed("record", "empty", NULL, 0, bytes, (size_t)record_encode(&r, bytes, sizeof bytes));
	r = transaction_sample(4, 300);
	seed("record", "transaction", NULL, 0, bytes, (size_t)record_encode(&r, bytes, sizeof bytes));
	uint8_t vector[VECTOR_ENCODED_MAX];
	size_t size = vector_encode(&context, vector);
	seed("vector", "three", NULL, 0, vector, size);
	memmove(vector + size, vector, size);
	seed("vector", "two-of-them", NULL, 0, vector, 2 * size);
	seed("vector", "text", NULL, 0, "0:12,2:7", 8);
	seed("vector", "none", NULL, 0, "-", 1);
}

/* Four writes that have seen up to `seen` of the first three regions. */
static size_t row_sample(uint8_t first_region, uint64_t seen, uint8_t *out, size_t capacity)
{
	static struct row row;
	enum row_change change;
	row_init(&row);
	for (uint8_t i = 0; i < 4; i++) {
		struct record r = record_sample((uint8_t)((first_region + i) % 5), seen + 1u + i, "k", i == 2 ? NULL : "value");
		r.context = (struct vector){.sequence = {seen, seen, seen}};
		row_merge_record(&row, &r, &change);
	}
	return (size_t)row_encode(&row, out, capacity);
}

static void rows(void)
{
	uint8_t bytes[2048];
	size_t first = row_sample(0, 1, bytes + 2, 500);
	bytes_put_u16(bytes, (uint16_t)first);
	size_t second = row_sample(3, 2, bytes + 4 + first, 500);
	bytes_put_u16(bytes + 2 + first, (uint16_t)second);
	size_t third = row_sample(2, 400, bytes + 4 + first + second, 500);
	seed("row", "three", NULL, 0, bytes, 4 + first + second + third);
}

static void frames(void)
{
	static uint8_t raw[FRAME_RAW_LIMIT], payload[FRAME_RAW_LIMIT], message[PEER_MESSAGE_MAX], bytes[512];
	struct peer_rules rules = {.cluster = "fuzz", .region = 1, .peers = 1};
	static const char *const names[][2] = {
	    {"plain", "frame"}, {"packed", "frame-packed"}, {"transactions", "frame-transactions"}};
	for (int kind = 0; kind < 3; kind++) {
		bool compress = kind > 0;
		struct frame_builder builder;
		struct frame frame;
		frame_builder_init(&builder, raw);
		for (uint64_t i = 0; i < (compress ? 12u : 2u); i++) {
			struct record r = record_sample(1, 20 + i, "the same key", "the same value, so that it packs well");
			if (kind == 2 && i % 2)
				r = transaction_sample(1, 20 + i);
			frame_builder_add(&builder, bytes, (uint32_t)record_encode(&r, bytes, sizeof bytes));
		}
		frame_builder_finish(&builder, compress, payload, &frame);
		uint8_t front[13] = {frame.compressed ? 7 : 3};
		memcpy(front + 1, &frame.raw_size, 4);
		bytes_put_u64(front + 5, frame.checksum);
		seed("frame", names[kind][0], front, sizeof front, payload, frame.payload_size);
		size_t size = peer_message_pack_frame(&rules, 1, 5, 1, &frame, message);
		SEED("peer", names[kind][1], 1, message, size);
	}
}

static void peers(void)
{
	static uint8_t message[PEER_MESSAGE_MAX];
	struct peer_rules rules = {.cluster = "fuzz", .region = 1, .peers = 1};
	static const struct {
		const char *name;
		uint8_t to;
		struct streamer_effect effect;
	} messages[] = {
	    {"subscribe", 0, {.kind = STREAMER_SEND_SUBSCRIBE, .epoch = 5, .origins = 6, .credit = 1 << 20}},
	    {"acknowledge", 0, {.kind = STREAMER_SEND_ACKNOWLEDGE, .epoch = 5, .credit = 1 << 21}},
	    {"alive", 1, {.kind = STREAMER_SEND_ALIVE, .epoch = 5}},
	    {"refusal", 1, {.kind = STREAMER_SEND_REFUSAL, .epoch = 5, .code = ERR_REGION_REUSED}},
	};
	for (size_t i = 0; i < sizeof messages / sizeof *messages; i++) {
		struct streamer_effect effect = messages[i].effect;
		effect.vector = context;
		size_t size = peer_message_pack(&rules, &effect, 77, message);
		SEED("peer", messages[i].name, messages[i].to, message, size);
	}
	static struct monitor machine;
	struct heartbeat_rules beat_rules = {.cluster = "fuzz", .region = 2, .peers = 1};
	struct monitor_effect beat = {.number = 9, .sent_ns = 1234567, .reply = true};
	machine.applied = context;
	machine.hlc = 55;
	SEED("peer", "heartbeat", 2, message, heartbeat_pack(&beat_rules, &machine, &beat, 1000000, message));
}

static void reconcilers(void)
{
	static struct packer packer;
	static struct topology topology = {.cluster = "fuzz"};
	static struct digest buckets[DIGEST_BUCKETS];
	uint8_t mask[RECONCILER_MASK_SIZE] = {1, 2};
	packer.topology = &topology;
	packer.self = 1;
	struct reconciler_ask ask = {.number = 3, .keyspace = 1, .bucket = -1};
	pack_ask(&packer, &ask);
	SEED("peer", "ask-digests", 3, packer.bytes, packer.size);
	ask.bucket = 4;
	ask.mask = mask;
	ask.after = (const uint8_t *)"key";
	ask.after_size = 3;
	pack_ask(&packer, &ask);
	SEED("peer", "ask-rows", 3, packer.bytes, packer.size);
	Godwit__Peer__DigestRequest request = GODWIT__PEER__DIGEST_REQUEST__INIT;
	request.bucket = -1;
	pack_digests(&packer, &request, &context, buckets, 12);
	SEED("peer", "digests", 3, packer.bytes, packer.size);
	struct reconciler_row found[] = {
	    {.key = (const uint8_t *)"b", .key_size = 1}, {.key = (const uint8_t *)"cd", .key_size = 2}};
	struct reconciler_page page = {
	    .rows = found, .row_count = 2, .more = true, .end = (const uint8_t *)"cd", .end_size = 2};
	request.bucket = 4;
	pack_page(&packer, &request, &context, &page);
	seed("peer", "rows", "\5a", 2, packer.bytes, packer.size);
}

static size_t request_sample(uint8_t *out, bool read)
{
	uint8_t vector[VECTOR_ENCODED_MAX], encoded[512], *at = out + WIRE_REQUEST_HEADER_SIZE;
	size_t vector_size = vector_encode(&context, vector);
	wire_request_header(PROTOCOL_VERSION, 0x1122334455667788ull, out);
	for (uint64_t i = 1; i < 4; i++) {
		struct client_operation o = {.kind = read     ? (i == 2 ? CLIENT_SCAN : CLIENT_GET)
		                                     : i == 2 ? CLIENT_DELETE
		                                              : CLIENT_PUT,
		    .keyspace = i == 3 ? "k" : NULL,
		    .key = "a key",
		    .key_size = 5,
		    .value = "a value",
		    .value_size = read || i == 2 ? 0 : 7,
		    .version = vector,
		    .version_size = i == 3 ? vector_size : 0,
		    .limit = read ? 10 : 0};
		size_t size = wire_operation_encode(&o, i, encoded);
		struct wire_tail tail = {.settled = i - 1, .age_ms = i == 3 ? 40 : 0};
		at = wire_request_operation(at, encoded, size, &tail);
	}
	return (size_t)(at - out);
}

/* Three steps, and a write with a condition that was first sent elsewhere. */
static size_t transaction_request(uint8_t *out)
{
	uint8_t version[COMMIT_VERSION_SIZE], encoded[1024], *at = out + WIRE_REQUEST_HEADER_SIZE;
	commit_version_encode(commit_previous, version);
	const struct client_operation steps[] = {
	    {.kind = CLIENT_PUT, .keyspace = "k", .key = "a", .key_size = 1, .value = "a value", .value_size = 7},
	    {.kind = CLIENT_DELETE, .keyspace = "k", .key = "b", .key_size = 1, .condition = GW_IF_ABSENT},
	    {.kind = CLIENT_CHECK,
	        .key = "c",
	        .key_size = 1,
	        .condition = GW_IF_VERSION,
	        .expected = version,
	        .expected_size = sizeof version}};
	const struct client_operation operations[] = {
	    {.kind = CLIENT_TRANSACTION, .steps = steps, .step_count = 3, .timeout_ms = 700},
	    {.kind = CLIENT_PUT,
	        .keyspace = "k",
	        .key = "d",
	        .key_size = 1,
	        .condition = GW_IF_VERSION,
	        .expected = version,
	        .expected_size = sizeof version},
	    {.kind = CLIENT_GET, .keyspace = "k", .key = "d", .key_size = 1, .level = GW_LEVEL_EVENTUAL},
	    {.kind = CLIENT_IN_DOUBT}};
	wire_request_header(PROTOCOL_VERSION, 0x1122334455667788ull, out);
	for (uint64_t i = 0; i < 4; i++) {
		size_t size = wire_operation_encode(&operations[i], i + 1, encoded);
		struct wire_tail tail = {.age_ms = i == 1 ? 40 : 0, .moved = i == 1};
		at = wire_request_operation(at, encoded, size, &tail);
	}
	return (size_t)(at - out);
}

static void clients(void)
{
	uint8_t bytes[2048], vector[VECTOR_ENCODED_MAX];
	size_t size = request_sample(bytes, false);
	seed("request", "writes", NULL, 0, bytes, size);
	CHECK(size < 256);
	struct record r = record_sample(1, 1, "k", "received");
	r.context = (struct vector){0};
	r.hlc = 1000000ull << 16;
	uint8_t steps[2048] = {0, (uint8_t)size};
	memcpy(steps + 2, bytes, size);
	size_t at = 2 + size, record_size = (size_t)record_encode(&r, bytes, sizeof bytes);
	steps[at++] = 1;
	steps[at++] = (uint8_t)record_size;
	memcpy(steps + at, bytes, record_size);
	at += record_size;
	steps[at++] = 2;
	steps[at++] = 0;
	seed("coordinator", "writes", NULL, 0, steps, at);
	/* Behind them a commit of another region's stream, and two that go out on this one's. */
	for (uint8_t i = 0; i < 3; i++) {
		r = transaction_sample(1, 2);
		r.hlc = 1000001ull << 16;
		bytes_put_u64((uint8_t *)(uintptr_t)r.entry, r.hlc);
		record_size = i == 0 ? (size_t)record_encode(&r, bytes, sizeof bytes) : r.entry_size;
		CHECK(record_size < 256);
		steps[at++] = i == 0 ? 1 | 16 : (uint8_t)(3 | 8 | i << 4);
		steps[at++] = (uint8_t)record_size;
		memcpy(steps + at, i == 0 ? bytes : r.entry, record_size);
		at += record_size;
	}
	seed("coordinator", "commits", NULL, 0, steps, at);
	seed("request", "reads", NULL, 0, bytes, request_sample(bytes, true));
	/* `moved` of 2^64, once taken for not set. */
	static const uint8_t wide[] = {0x1a, 12, 0x80, 1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2};
	seed("request", "wide-flag", NULL, 0, wide, sizeof wide);
	seed("request", "transaction", NULL, 0, bytes, transaction_request(bytes));

	size = answers_header_encode(PROTOCOL_VERSION, bytes);
	struct answer answer = {.number = 4,
	    .hlc = 77,
	    .siblings = 2,
	    .value = {(const uint8_t *)"value", 5},
	    .version = {vector, vector_encode(&context, vector)}};
	size += answer_encode(&answer, bytes + size);
	answer = (struct answer){.number = 5, .code = ERR_DISK_FULL, .reason = "full"};
	size += answer_encode(&answer, bytes + size);
	seed("answers", "two", NULL, 0, bytes, size);
	Godwit__Client__Answers answers = GODWIT__CLIENT__ANSWERS__INIT;
	Godwit__Client__Answer one = GODWIT__CLIENT__ANSWER__INIT, *list = &one;
	Godwit__Client__Row row = GODWIT__CLIENT__ROW__INIT, *rows_list[] = {&row, &row};
	Godwit__Client__Digests digests = GODWIT__CLIENT__DIGESTS__INIT;
	row.key = (ProtobufCBinaryData){3, (uint8_t *)"key"};
	one.number = 6;
	one.n_rows = 2;
	one.rows = rows_list;
	one.more = 1;
	one.digests = &digests;
	answers.protocol = PROTOCOL_VERSION;
	answers.n_answers = 1;
	answers.answers = &list;
	seed("answers", "lists", NULL, 0, bytes, godwit__client__answers__pack(&answers, bytes));
}

static void admins(void)
{
	static const char *const commands[][2] = {{"ping", ""}, {"stats", ""}, {"config", ""}, {"loglevel", "debug"},
	    {"loglevel", "loud"}, {"stop", ""}, {"echo", "a \"b\" \xff"}, {"none", "x"}};
	uint8_t bytes[512];
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
		Godwit__Admin__AdminRequest request = GODWIT__ADMIN__ADMIN_REQUEST__INIT;
		char name[40];
		request.protocol = PROTOCOL_VERSION;
		request.command = (char *)(uintptr_t)commands[i][0];
		request.argument = (char *)(uintptr_t)commands[i][1];
		snprintf(name, sizeof name, "%s-%zu", commands[i][0], i);
		SEED("admin", name, 0, bytes, godwit__admin__admin_request__pack(&request, bytes));
	}
	Godwit__Admin__AdminReply reply = GODWIT__ADMIN__ADMIN_REPLY__INIT;
	reply.code = ERR_USAGE;
	reply.reason = (char *)(uintptr_t) "no";
	reply.json = (char *)(uintptr_t) "{}";
	SEED("admin", "reply", 1, bytes, godwit__admin__admin_reply__pack(&reply, bytes));
}

static void stores(void)
{
	/* Steps: see log.c. */
	static const uint8_t plain[] = {0, 0, 3, 0, 0, 5, 0, 2, 90, 4, 0, 1, 9};
	static const uint8_t transactions[] = {0, 0, 3, 0, 0, 5, 1, 0, 1, 1, 1 | 32, 0, 2, 16, 3, 1, 2, 3, 2, 22, 16, 1, 2, 3,
	    4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 1, 0, 0, 0, 9};
	static const uint8_t two_segments[] = {0, 8, 3, 0, 0, 5, 7, 3, 0, 1, 6, 4, 0, 0, 0};
	static const uint8_t torn[] = {0, 0, 3, 0, 0, 5, 16, 1, 7, 0, 2, 8};
	static const uint8_t hole[] = {0, 0, 3 | 32, 0, 0, 5, 5, 3, 0, 1, 6};
	static const uint8_t flipped[] = {0, 4, 3, 0, 0, 200, 0, 1, 100, 6, 60, 1, 255, 1, 1, 1, 0, 2, 3};
	seed("log", "plain", NULL, 0, plain, sizeof plain);
	seed("log", "transactions", NULL, 0, transactions, sizeof transactions);
	seed("log", "two-segments", NULL, 0, two_segments, sizeof two_segments);
	seed("log", "torn", NULL, 0, torn, sizeof torn);
	seed("log", "hole", NULL, 0, hole, sizeof hole);
	seed("log", "flipped", NULL, 0, flipped, sizeof flipped);
	static const uint8_t alone[] = {
	    128 | 2, 0, 20, 0, 1, 7, 1, 100, 0, 2, 9, 10, 2, 10, 0, 60, 0, 3, 1, 12, 5, 6, 10, 7, 0, 9, 0, 4, 4};
	static const uint8_t scribbled[100] = {
	    1, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 24, 0, 0, 0, 1, 0, 0, 0, 1, 2, 3};
	/* A record from 96 on that is longer than what is left of the 128 bytes. */
	static const uint8_t crossing[1 + 16 + 128 + 2] = {
	    1, 96, 0, 0, 0, 0, 0, 0, 0, 224, [17 + 96] = 100, [17 + 128] = 2, 10};
	seed("ring", "crossing", NULL, 0, crossing, sizeof crossing);
	seed("ring", "alone", NULL, 0, alone, sizeof alone);
	seed("ring", "scribbled", NULL, 0, scribbled, sizeof scribbled);
	/* A conflict between two writes, as store/conflicts.c lays it down. */
	uint8_t bytes[512] = {0}, *at = bytes;
	bytes_put_u64(at, 1000000);
	bytes_put_u16(at + 8, 1);
	at[10] = 2;
	at[11] = 1;
	at[12] = 1;
	bytes_put_u64(at + 13, 9);
	bytes_put_u16(at + 21, 3);
	at += 23 + 2 * 8 * REGIONS_MAX;
	memcpy(at, "key", 3);
	at += 3;
	for (uint8_t side = 0; side < 2; side++) {
		at[0] = side;
		bytes_put_u64(at + 2, 9);
		at[18] = at[22] = 5;
		memcpy(at + 26, "value", 5);
		at += 31;
	}
	seed("conflict", "two-sides", NULL, 0, bytes, (size_t)(at - bytes));
	bytes[10] = 3; /* once taken */
	seed("conflict", "no-such-strategy", NULL, 0, bytes, (size_t)(at - bytes));
}

static void texts(void)
{
	seed("topology", "default", NULL, 0, topology_default_yaml, strlen(topology_default_yaml));
	static const char keyspaces[] = "cluster: fuzz\nregions:\n  - name: us\n    id: 3\n    nodes: [\"10.0.0.1:7000\"]\n"
	                                "    is_primary: true\nkeyspaces:\n  - { name: orders, level: strong, ack: quorum }\n"
	                                "  - { name: prices, level: eventual, strategy: priority }\n";
	static const char wrong[] = "cluster: [1]\nregions:\n  - { name: us, name: us, id: 99, x: &a 1, y: *a }\nlimits: 7\n";
	seed("topology", "keyspaces", NULL, 0, keyspaces, sizeof keyspaces - 1);
	seed("topology", "wrong", NULL, 0, wrong, sizeof wrong - 1);
	static const char flags[] = "--text\0value\0-n\0"
	                            "7\0--wide=18446744073709551615\0-y\0-l\0a\0--list=b\0rest\0--\0--text";
	static const char bad[] = "--narrow\0"
	                          "1001\0-q";
	seed("options", "all", NULL, 0, flags, sizeof flags);
	seed("options", "bad", NULL, 0, bad, sizeof bad);
	static const char tsv[] = "a\tb\\tc\nkey\\\\\tvalue\\0\r\n";
	static const char jsonl[] =
	    "{\"key\": \"a\\u00e9\\ud83d\\ude00\", \"value\": {\"x\": [1, -2.5e3, null]}}\n"
	    "{\"key_base64\": \"AP8=\", \"value_base64\": \"aGk=\"}\n\n{\"id\": 7, \"key\": 1, \"value\": true}\n";
	static const char deb[] =
	    "Package: x\nVersion: 1.0\nArchitecture: all\nDescription: one\n more\n .\n\n# note\nPackage: y\n"
	    "version: 2\nArchitecture: any\nid: 4\n";
	SEED("load", "tsv", 2, tsv, sizeof tsv - 1);
	SEED("load", "jsonl", 1, jsonl, sizeof jsonl - 1);
	SEED("load", "deb822", 3, deb, sizeof deb - 1);
	SEED("load", "guess", 0, deb, sizeof deb - 1);
	SEED("load", "field", 9, jsonl, sizeof jsonl - 1);
	static const char steps[] =
	    "# two accounts\n\ncheck account/1 1764000000000.3@1/2\nput account/1 \"90 \\\"x\\\" \\\\ \\n\"\r\n"
	    "in stock put account/2 \"\"\ncheck account/2 absent\ndel \"a b\"\n\tin k check e 1.0@0\n";
	static const char mistakes[] =
	    "frob\nput a\nput a \"b\nput a \"b\\t\"\nput a b\"c\nin\nin x\ndel a\ncheck a x\ncheck a absent\nput a 1\n"
	    "put \"\" 1\nput a b c d e f g\n";
	seed("txn", "steps", NULL, 0, steps, sizeof steps - 1);
	seed("txn", "mistakes", NULL, 0, mistakes, sizeof mistakes - 1);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "seeds DIR\n");
		return 2;
	}
	root = argv[1];
	records();
	commits();
	commit_messages();
	rows();
	frames();
	peers();
	reconcilers();
	clients();
	admins();
	stores();
	texts();
	return 0;
}
