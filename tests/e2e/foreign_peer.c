/* SPDX-License-Identifier: Apache-2.0
 *
 * Plays a hostile or broken neighbour of a running region. Run by foreign_peer.sh.
 *
 *   foreign-peer visit KEYDIR KEYNAME SERVER ENDPOINT WHAT   connects as KEYNAME ("" for a key nobody knows) and sends WHAT
 *   foreign-peer pose KEYDIR REGION ID ENDPOINT WHAT STORE   binds as a region that is down, answers a subscription with WHAT
 * in the name of its store, whose id is in the file STORE foreign-peer keyless ENDPOINT...                         listens
 * there without keys, until it is ended
 *
 * A visitor stays for ten seconds. Exit code 0: what it sent was delivered (whether it did harm is for the script to see); 3:
 * the other side does not talk to it; 4: the other side has closed the connection. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <lz4.h>
#include <sodium.h>
#include <xxhash.h>

#include "base/varint.h"
#include "core/record.h"
#include "core/store_id.h"
#include "proto/client.pb-c.h"
#include "proto/peer.pb-c.h"
#include "runtime/socket.h"

static uint8_t bytes[MESSAGE_SIZE_MAX * 2];
static char cluster[] = "e2e", another[] = "another";

static void stop_with(const char *what, const struct error_context *error)
{
	fprintf(stderr, "foreign-peer: %s: %s\n", what, error ? error->text : "");
	exit(1);
}

static size_t pack_envelope(Godwit__Peer__Envelope *envelope)
{
	return godwit__peer__envelope__pack(envelope, bytes);
}

/* What a visitor sends to a region's streamer (or router). */
static size_t make_visit(const char *what, uint32_t region)
{
	Godwit__Peer__Envelope envelope = GODWIT__PEER__ENVELOPE__INIT;
	Godwit__Peer__Subscribe subscribe = GODWIT__PEER__SUBSCRIBE__INIT;
	struct vector from = {{0}};
	uint8_t from_bytes[VECTOR_ENCODED_MAX];
	size_t size;

	subscribe.epoch = 1;
	subscribe.from.len = vector_encode(&from, from_bytes);
	subscribe.from.data = from_bytes;
	subscribe.origins = 0xffff;
	subscribe.credit = 1 << 20;
	envelope.protocol = PROTOCOL_VERSION;
	envelope.cluster = cluster;
	envelope.region = region;
	envelope.body_case = GODWIT__PEER__ENVELOPE__BODY_SUBSCRIBE;
	envelope.subscribe = &subscribe;
	if (strcmp(what, "garbage") == 0) {
		randombytes_buf(bytes, 1000);
		return 1000;
	}
	if (strcmp(what, "oversized") == 0)
		return sizeof bytes;
	if (strcmp(what, "version") == 0)
		envelope.protocol = PROTOCOL_VERSION + 1;
	if (strcmp(what, "cluster") == 0)
		envelope.cluster = another;
	if (strcmp(what, "region") == 0)
		envelope.region = region == 2 ? 1 : 2; /* not whose key we hold */
	size = pack_envelope(&envelope);
	if (strcmp(what, "truncated") == 0)
		size -= 3;
	return size;
}

static int visit(char **arguments)
{
	const char *key_dir = arguments[0], *name = arguments[1], *server = arguments[2], *endpoint = arguments[3],
	           *what = arguments[4];
	struct error_context error;
	struct key_pair own;
	char server_key[KEY_TEXT_SIZE];
	void *context = zmq_ctx_new(), *socket, *watch;
	struct socket_options options = {.own = &own, .server_key = server_key};
	int events = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
	             ZMQ_EVENT_DISCONNECTED;
	int timeout_ms = 3000, sent;
	zmq_msg_t event;
	uint16_t kind;

	if (*name == 0)
		zmq_curve_keypair(own.public_text, own.secret_text);
	else if (keys_load(key_dir, name, &own, &error) != 0)
		stop_with("key", &error);
	if (keys_load_public(key_dir, server, server_key, &error) != 0)
		stop_with("server key", &error);
	socket = zmq_socket(context, ZMQ_DEALER);
	zmq_close(socket);
	if (socket_connect(&socket, context, ZMQ_DEALER, endpoint, &options, &error) != 0)
		stop_with("connect", &error);
	zmq_socket_monitor(socket, "inproc://watch", events);
	watch = zmq_socket(context, ZMQ_PAIR);
	zmq_setsockopt(watch, ZMQ_RCVTIMEO, &timeout_ms, sizeof timeout_ms);
	zmq_connect(watch, "inproc://watch");
	zmq_msg_init(&event);
	if (zmq_msg_recv(&event, watch, 0) < 0)
		return 3; /* no handshake at all */
	memcpy(&kind, zmq_msg_data(&event), sizeof kind);
	if (kind != ZMQ_EVENT_HANDSHAKE_SUCCEEDED)
		return 3;
	zmq_setsockopt(socket, ZMQ_SNDTIMEO, &timeout_ms, sizeof timeout_ms);
	sent = zmq_send(socket, bytes, make_visit(what, strcmp(name, "us") == 0 ? 0 : strcmp(name, "eu") == 0 ? 1 : 2), 0);
	if (sent < 0)
		return 3;
	zmq_msg_recv(&event, watch, 0); /* the address, which belongs to the event above */
	timeout_ms = 10000;
	zmq_setsockopt(watch, ZMQ_RCVTIMEO, &timeout_ms, sizeof timeout_ms);
	return zmq_msg_recv(&event, watch, 0) < 0 ? 0 : 4;
}

/* A frame with one record that would be a plain write of the posing region, the one that is due, then spoilt in the way asked
 * for: were it taken, it would be applied. `good` is not spoilt. */
static size_t make_frame(const char *what, uint32_t region, uint64_t epoch, uint64_t sequence, bool spoil)
{
	static uint8_t raw[RECORD_OVERHEAD_MAX + 4096], packed[65536];
	struct record record = {.dot = {.sequence = sequence, .region = (uint8_t)region},
	    .key = (const uint8_t *)"poison",
	    .key_size = 6,
	    .value = (const uint8_t *)what,
	    .value_size = (uint32_t)strlen(what)};
	Godwit__Peer__Envelope envelope = GODWIT__PEER__ENVELOPE__INIT;
	Godwit__Peer__Frame frame = GODWIT__PEER__FRAME__INIT;
	uint8_t body[RECORD_OVERHEAD_MAX + 4096];
	struct timespec now;
	size_t raw_size;
	long body_size;

	clock_gettime(CLOCK_REALTIME, &now);
	record.hlc = ((uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000) << 16;
	if (strcmp(what, "future") == 0)
		record.hlc += 3600ull * 1000 << 16;
	body_size = record_encode(&record, body, sizeof body);
	if (spoil && strcmp(what, "record") == 0)
		body[1] = 99; /* an origin there cannot be */
	raw_size = varint_encode((uint64_t)body_size, raw);
	memcpy(raw + raw_size, body, (size_t)body_size);
	raw_size += (size_t)body_size;
	frame.epoch = epoch;
	frame.number = 1;
	frame.raw_size = (uint32_t)raw_size;
	frame.payload.data = raw;
	frame.payload.len = raw_size;
	frame.checksum = XXH3_64bits(raw, raw_size);
	if (spoil && strcmp(what, "checksum") == 0)
		frame.checksum ^= 1;
	if (spoil && strcmp(what, "cut") == 0)
		frame.payload.len -= 5;
	if (spoil && strcmp(what, "epoch") == 0)
		frame.epoch = epoch - 1;
	if (spoil && strcmp(what, "bomb") == 0) {
		frame.compressed = true;
		frame.raw_size = 0x7fffffff;
	}
	if (spoil && strcmp(what, "lz4") == 0) {
		frame.compressed = true;
		randombytes_buf(packed, 1000);
		frame.payload.data = packed;
		frame.payload.len = 1000;
	}
	envelope.protocol = spoil && strcmp(what, "version") == 0 ? PROTOCOL_VERSION + 1 : PROTOCOL_VERSION;
	envelope.cluster = cluster;
	envelope.region = region;
	envelope.body_case = GODWIT__PEER__ENVELOPE__BODY_FRAME;
	envelope.frame = &frame;
	return pack_envelope(&envelope);
}

/* The stream is open, and comes from the store whose records the other side holds. */
static size_t make_alive(uint32_t region, uint64_t epoch, const char *store_path)
{
	Godwit__Peer__Envelope envelope = GODWIT__PEER__ENVELOPE__INIT;
	Godwit__Peer__StreamAlive alive = GODWIT__PEER__STREAM_ALIVE__INIT;
	uint8_t applied[VECTOR_ENCODED_MAX], stores[1 + STORE_ID_SIZE] = {(uint8_t)region};
	struct vector nothing = {{0}};
	FILE *file = fopen(store_path, "rb");

	if (!file || fread(stores + 1, 1, STORE_ID_SIZE, file) != STORE_ID_SIZE)
		stop_with(store_path, NULL);
	fclose(file);
	alive.epoch = epoch;
	alive.applied.len = vector_encode(&nothing, applied);
	alive.applied.data = applied;
	alive.stores.len = sizeof stores;
	alive.stores.data = stores;
	envelope.protocol = PROTOCOL_VERSION;
	envelope.cluster = cluster;
	envelope.region = region;
	envelope.body_case = GODWIT__PEER__ENVELOPE__BODY_STREAM_ALIVE;
	envelope.stream_alive = &alive;
	return pack_envelope(&envelope);
}

static int pose(char **arguments)
{
	const char *key_dir = arguments[0], *name = arguments[1], *endpoint = arguments[3], *what = arguments[4];
	uint32_t region = (uint32_t)atoi(arguments[2]);
	struct error_context error;
	struct key_pair own;
	struct socket_options options = {.own = &own, .admits_anyone = true};
	void *context = zmq_ctx_new(), *socket;
	struct message message;
	time_t until = time(NULL) + 10;
	int sent = 0;

	if (keys_load(key_dir, name, &own, &error) != 0)
		stop_with("key", &error);
	if (socket_bind(&socket, context, ZMQ_ROUTER, endpoint, &options, &error) != 0)
		stop_with("bind", &error);
	while (time(NULL) < until && sent < 3) {
		zmq_pollitem_t item = {.socket = socket, .events = ZMQ_POLLIN};
		zmq_poll(&item, 1, 200);
		while (socket_receive(socket, &message, false) == 0) {
			Godwit__Peer__Envelope *envelope =
			    godwit__peer__envelope__unpack(NULL, message_size(&message), message_bytes(&message));
			if (envelope && envelope->body_case == GODWIT__PEER__ENVELOPE__BODY_SUBSCRIBE) {
				size_t size = make_alive(region, envelope->subscribe->epoch, arguments[5]);
				socket_send(socket, message.identity, message.identity_size, bytes, size);
				struct vector from;
				if (vector_decode(&from, envelope->subscribe->from.data, envelope->subscribe->from.len) < 0)
					stop_with("subscription", NULL);
				size = make_frame(what, region, envelope->subscribe->epoch, from.sequence[region] + 1, true);
				if (socket_send(socket, message.identity, message.identity_size, bytes, size) == 0)
					sent++;
			}
			if (envelope)
				godwit__peer__envelope__free_unpacked(envelope, NULL);
			message_close(&message);
		}
	}
	nanosleep(&(struct timespec){0, 300000000}, NULL);
	return sent ? 0 : 3;
}

static int keyless(int count, char **endpoints)
{
	void *context = zmq_ctx_new();
	for (int i = 0; i < count; i++)
		if (zmq_bind(zmq_socket(context, ZMQ_ROUTER), endpoints[i]) < 0)
			stop_with(endpoints[i], NULL);
	pause();
	return 0;
}

int main(int argc, char **argv)
{
	if (sodium_init() < 0)
		return 1;
	if (argc > 2 && strcmp(argv[1], "keyless") == 0)
		return keyless(argc - 2, argv + 2);
	if (argc == 7 && strcmp(argv[1], "visit") == 0)
		return visit(argv + 2);
	if (argc == 8 && strcmp(argv[1], "pose") == 0)
		return pose(argv + 2);
	fprintf(stderr, "foreign-peer: see the comment at the top of its source\n");
	return 2;
}
