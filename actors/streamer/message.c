/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/streamer/message.h"

#include <assert.h>
#include <string.h>

#include "proto/peer.pb-c.h"
#include "runtime/socket.h"

#define PEER_STORE_SIZE (1 + STORE_ID_SIZE)
#define PEER_STORES_MAX (REGIONS_MAX * PEER_STORE_SIZE)

static int vector_from(const ProtobufCBinaryData *bytes, struct vector *vector)
{
	long read = vector_decode(vector, bytes->data, bytes->len);
	return read < 0 || (size_t)read != bytes->len ? ERR_MALFORMED : 0;
}

/* Who sends it names its own store among them. */
static int stores_from(const ProtobufCBinaryData *bytes, uint8_t sender, struct store_id stores[REGIONS_MAX])
{
	if (bytes->len % PEER_STORE_SIZE != 0)
		return ERR_MALFORMED;
	int last = -1;
	for (size_t at = 0; at < bytes->len; at += PEER_STORE_SIZE) {
		uint8_t region = bytes->data[at];
		if (region <= last || region >= REGIONS_MAX)
			return ERR_MALFORMED;
		memcpy(&stores[region], bytes->data + at + 1, STORE_ID_SIZE);
		last = region;
	}
	return store_id_is_known(&stores[sender]) ? 0 : ERR_MALFORMED;
}

static ProtobufCBinaryData stores_to(const struct store_id *stores, uint8_t out[PEER_STORES_MAX])
{
	ProtobufCBinaryData bytes = {.data = out};
	for (uint8_t region = 0; stores && region < REGIONS_MAX; region++) {
		if (!store_id_is_known(&stores[region]))
			continue;
		out[bytes.len] = region;
		memcpy(out + bytes.len + 1, &stores[region], STORE_ID_SIZE);
		bytes.len += PEER_STORE_SIZE;
	}
	return bytes;
}

static int parse_receivers(struct peer_message *message, const Godwit__Peer__Envelope *envelope)
{
	struct streamer_event *event = &message->event;
	switch (envelope->body_case) {
	case GODWIT__PEER__ENVELOPE__BODY_SUBSCRIBE: {
		const Godwit__Peer__Subscribe *subscribe = envelope->subscribe;
		event->kind = STREAMER_SUBSCRIBE;
		event->subscribe.epoch = subscribe->epoch;
		event->subscribe.origins = subscribe->origins;
		event->subscribe.credit = subscribe->credit;
		event->subscribe.fingerprint = subscribe->topology;
		event->subscribe.refused = subscribe->refused;
		event->subscribe.keyspaces = UINT64_MAX;
		message->definition = subscribe->definition;
		if (strlen(subscribe->definition) > TOPOLOGY_DEFINITION_MAX)
			return ERR_MALFORMED;
		if (stores_from(&subscribe->stores, event->peer, event->subscribe.stores) != 0)
			return ERR_MALFORMED;
		return vector_from(&subscribe->from, &event->subscribe.from);
	}
	case GODWIT__PEER__ENVELOPE__BODY_ACKNOWLEDGE: {
		const Godwit__Peer__Acknowledge *acknowledge = envelope->acknowledge;
		event->kind = STREAMER_ACKNOWLEDGE;
		event->acknowledge.epoch = acknowledge->epoch;
		event->acknowledge.credit = acknowledge->credit;
		return vector_from(&acknowledge->durable, &event->acknowledge.applied);
	}
	default:
		return ERR_MALFORMED;
	}
}

static int parse_frame(struct peer_message *message, const Godwit__Peer__Frame *frame, struct error_context *error)
{
	if (frame->payload.len > FRAME_RAW_LIMIT)
		return error_set(error, ERR_MALFORMED, "a frame's payload of %zu bytes", frame->payload.len);
	message->event.kind = STREAMER_FRAME;
	message->event.frame.epoch = frame->epoch;
	message->event.frame.number = frame->number;
	message->event.frame.raw_size = frame->raw_size;
	message->frame = (struct frame){.payload = frame->payload.data,
	    .payload_size = (uint32_t)frame->payload.len,
	    .raw_size = frame->raw_size,
	    .checksum = frame->checksum,
	    .compressed = frame->compressed};
	return frame_check(&message->frame, error);
}

static int parse_senders(struct peer_message *message, const Godwit__Peer__Envelope *envelope, struct error_context *error)
{
	struct streamer_event *event = &message->event;
	switch (envelope->body_case) {
	case GODWIT__PEER__ENVELOPE__BODY_FRAME:
		return parse_frame(message, envelope->frame, error);
	case GODWIT__PEER__ENVELOPE__BODY_STREAM_ALIVE:
		event->kind = STREAMER_ALIVE;
		event->alive.epoch = envelope->stream_alive->epoch;
		event->alive.held = envelope->stream_alive->held;
		message->held_name = envelope->stream_alive->held_name;
		if (stores_from(&envelope->stream_alive->stores, event->peer, event->alive.stores) != 0)
			return ERR_MALFORMED;
		return vector_from(&envelope->stream_alive->applied, &event->alive.applied);
	case GODWIT__PEER__ENVELOPE__BODY_REFUSAL:
		event->kind = STREAMER_REFUSAL;
		event->refusal.epoch = envelope->refusal->epoch;
		event->refusal.code = envelope->refusal->code;
		event->refusal.of_itself = envelope->refusal->of_itself;
		message->reason = envelope->refusal->reason;
		/* One that could not read the message, or does not know its own store yet, names none. */
		if (envelope->refusal->stores.len &&
		    stores_from(&envelope->refusal->stores, event->peer, event->refusal.stores) != 0)
			return ERR_MALFORMED;
		/* A number outside the table, or "OK", is no reason. */
		return event->refusal.code < 0 && strcmp(error_name(event->refusal.code), "INVALID_CODE") != 0 ? 0
		                                                                                               : ERR_MALFORMED;
	default:
		return ERR_MALFORMED;
	}
}

static int parse_checked(struct peer_message *message, const struct peer_rules *rules, bool from_receiver,
    const Godwit__Peer__Envelope *envelope, struct error_context *error)
{
	if (envelope->region < REGIONS_MAX && (rules->peers >> envelope->region & 1))
		message->event.peer = (uint8_t)envelope->region;
	message->newest = envelope->newest;
	if (!version_is_understood(envelope->protocol, PROTOCOL_VERSION))
		return error_set(error, ERR_WRONG_VERSION, "protocol version %u, this build understands %u to %u",
		    envelope->protocol, PROTOCOL_VERSION, PROTOCOL_VERSION + version_ahead());
	if (strcmp(envelope->cluster, rules->cluster) != 0)
		return error_set(error, ERR_CONFIGURATION, "it belongs to another cluster");
	if (message->event.peer == REGIONS_MAX)
		return error_set(error, ERR_MALFORMED, "region id %u is no peer of this one", envelope->region);
	error_set(
	    error, ERR_MALFORMED, "a message that does not belong on this connection, or with a vector or code that cannot be");
	return from_receiver ? parse_receivers(message, envelope) : parse_senders(message, envelope, error);
}

int peer_message_parse(struct peer_message *message, const struct peer_rules *rules, bool from_receiver, const uint8_t *bytes,
    size_t size, struct error_context *error)
{
	*message = (struct peer_message){.event.peer = REGIONS_MAX};
	Godwit__Peer__Envelope *envelope = godwit__peer__envelope__unpack(NULL, size, bytes);
	if (!envelope)
		return error_set(error, ERR_MALFORMED, "%zu bytes that are no message", size);
	int code = parse_checked(message, rules, from_receiver, envelope, error);
	if (code) {
		godwit__peer__envelope__free_unpacked(envelope, NULL);
		return code;
	}
	message->envelope = envelope;
	return 0;
}

void peer_message_close(struct peer_message *message)
{
	if (message->envelope)
		godwit__peer__envelope__free_unpacked(message->envelope, NULL);
	message->envelope = NULL;
}

static size_t pack(const struct peer_rules *rules, uint32_t version, Godwit__Peer__Envelope *envelope, uint8_t *out)
{
	envelope->protocol = version;
	envelope->newest = PROTOCOL_VERSION + version_ahead();
	envelope->cluster = (char *)(uintptr_t)rules->cluster; /* packing only reads it */
	envelope->region = rules->region;
	size_t size = godwit__peer__envelope__pack(envelope, out);
	assert(size <= PEER_MESSAGE_MAX);
	return size;
}

size_t peer_message_pack(
    const struct peer_rules *rules, const struct streamer_effect *effect, uint64_t fingerprint, uint8_t *out)
{
	Godwit__Peer__Envelope envelope = GODWIT__PEER__ENVELOPE__INIT;
	Godwit__Peer__Subscribe subscribe = GODWIT__PEER__SUBSCRIBE__INIT;
	Godwit__Peer__Acknowledge acknowledge = GODWIT__PEER__ACKNOWLEDGE__INIT;
	Godwit__Peer__StreamAlive alive = GODWIT__PEER__STREAM_ALIVE__INIT;
	Godwit__Peer__Refusal refusal = GODWIT__PEER__REFUSAL__INIT;
	uint8_t vector[VECTOR_ENCODED_MAX], stores_bytes[PEER_STORES_MAX];
	ProtobufCBinaryData encoded = {.data = vector, .len = vector_encode(&effect->vector, vector)};
	ProtobufCBinaryData stores = stores_to(effect->stores, stores_bytes);

	switch (effect->kind) {
	case STREAMER_SEND_SUBSCRIBE:
		subscribe.epoch = effect->epoch;
		subscribe.from = encoded;
		subscribe.origins = effect->origins;
		subscribe.credit = effect->credit;
		subscribe.topology = fingerprint;
		if (rules->definition)
			subscribe.definition = (char *)(uintptr_t)rules->definition; /* packing only reads it */
		subscribe.stores = stores;
		subscribe.refused = effect->refused;
		envelope.body_case = GODWIT__PEER__ENVELOPE__BODY_SUBSCRIBE;
		envelope.subscribe = &subscribe;
		break;
	case STREAMER_SEND_ACKNOWLEDGE:
		acknowledge.epoch = effect->epoch;
		acknowledge.durable = encoded;
		acknowledge.credit = effect->credit;
		envelope.body_case = GODWIT__PEER__ENVELOPE__BODY_ACKNOWLEDGE;
		envelope.acknowledge = &acknowledge;
		break;
	case STREAMER_SEND_ALIVE:
		alive.epoch = effect->epoch;
		alive.applied = encoded;
		alive.stores = stores;
		alive.held = effect->origins;
		alive.held_keyspace = effect->keyspace;
		if (effect->origins && rules->keyspaces)
			alive.held_name =
			    (char *)(uintptr_t)rules->keyspaces[effect->keyspace].name; /* packing only reads it */
		envelope.body_case = GODWIT__PEER__ENVELOPE__BODY_STREAM_ALIVE;
		envelope.stream_alive = &alive;
		break;
	default:
		assert(effect->kind == STREAMER_SEND_REFUSAL);
		refusal.epoch = effect->epoch;
		refusal.code = effect->code;
		refusal.stores = stores;
		refusal.of_itself = effect->of_itself;
		refusal.reason = (char *)(uintptr_t)error_text(effect->code);
		envelope.body_case = GODWIT__PEER__ENVELOPE__BODY_REFUSAL;
		envelope.refusal = &refusal;
		break;
	}
	/* What opens a subscription, or refuses it, can be read by whoever is there now. */
	bool is_open = effect->kind == STREAMER_SEND_ACKNOWLEDGE || effect->kind == STREAMER_SEND_ALIVE;
	return pack(rules, version_agree(PROTOCOL_VERSION, is_open ? rules->newest[effect->peer] : 0), &envelope, out);
}

size_t peer_message_pack_frame(
    const struct peer_rules *rules, uint8_t peer, uint64_t epoch, uint64_t number, const struct frame *frame, uint8_t *out)
{
	Godwit__Peer__Envelope envelope = GODWIT__PEER__ENVELOPE__INIT;
	Godwit__Peer__Frame body = GODWIT__PEER__FRAME__INIT;
	body.epoch = epoch;
	body.number = number;
	body.raw_size = frame->raw_size;
	body.compressed = frame->compressed;
	body.payload = (ProtobufCBinaryData){.data = (uint8_t *)(uintptr_t)frame->payload, .len = frame->payload_size};
	body.checksum = frame->checksum;
	envelope.body_case = GODWIT__PEER__ENVELOPE__BODY_FRAME;
	envelope.frame = &body;
	return pack(rules, version_agree(PROTOCOL_VERSION, rules->newest[peer]), &envelope, out);
}
