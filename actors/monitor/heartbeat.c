/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/monitor/heartbeat.h"

#include <assert.h>
#include <string.h>

#include "proto/peer.pb-c.h"
#include "runtime/socket.h"

static int parse_checked(struct monitor_event *event, const struct heartbeat_rules *rules,
    const Godwit__Peer__Envelope *envelope, struct error_context *error)
{
	if (!version_is_understood(envelope->protocol, PROTOCOL_VERSION))
		return error_set(error, ERR_WRONG_VERSION, "protocol version %u, this build understands %u to %u",
		    envelope->protocol, PROTOCOL_VERSION, PROTOCOL_VERSION + version_ahead());
	if (strcmp(envelope->cluster, rules->cluster) != 0)
		return error_set(error, ERR_CONFIGURATION, "it belongs to another cluster");
	if (envelope->region >= REGIONS_MAX || !(rules->peers >> envelope->region & 1))
		return error_set(error, ERR_MALFORMED, "region id %u is no peer of this one", envelope->region);
	if (envelope->body_case != GODWIT__PEER__ENVELOPE__BODY_HEARTBEAT)
		return error_set(error, ERR_MALFORMED, "a message that is no heartbeat");
	const Godwit__Peer__Heartbeat *heartbeat = envelope->heartbeat;
	*event = (struct monitor_event){.kind = MONITOR_HEARTBEAT, .peer = (uint8_t)envelope->region};
	event->heartbeat.number = heartbeat->number;
	event->heartbeat.sent_ns = heartbeat->sent_ns;
	event->heartbeat.newest = envelope->newest;
	event->heartbeat.reply = heartbeat->reply;
	event->heartbeat.hlc = heartbeat->hlc;
	event->heartbeat.load_percent = heartbeat->load_percent;
	event->heartbeat.wall_ms = heartbeat->wall_ms;
	long read = vector_decode(&event->heartbeat.applied, heartbeat->applied.data, heartbeat->applied.len);
	if (read < 0 || (size_t)read != heartbeat->applied.len)
		return error_set(error, ERR_MALFORMED, "a heartbeat with a vector that cannot be read");
	return 0;
}

int heartbeat_parse(struct monitor_event *event, const struct heartbeat_rules *rules, const uint8_t *bytes, size_t size,
    struct error_context *error)
{
	if (size > HEARTBEAT_SIZE_MAX)
		return error_set(error, ERR_MALFORMED, "%zu bytes are too long for a heartbeat", size);
	Godwit__Peer__Envelope *envelope = godwit__peer__envelope__unpack(NULL, size, bytes);
	if (!envelope)
		return error_set(error, ERR_MALFORMED, "%zu bytes that are no message", size);
	int code = parse_checked(event, rules, envelope, error);
	godwit__peer__envelope__free_unpacked(envelope, NULL);
	return code;
}

size_t heartbeat_pack(const struct heartbeat_rules *rules, const struct monitor *m, const struct monitor_effect *effect,
    uint64_t wall_ms, uint8_t out[static HEARTBEAT_SIZE_MAX])
{
	Godwit__Peer__Envelope envelope = GODWIT__PEER__ENVELOPE__INIT;
	Godwit__Peer__Heartbeat heartbeat = GODWIT__PEER__HEARTBEAT__INIT;
	uint8_t vector[VECTOR_ENCODED_MAX];
	heartbeat.number = effect->number;
	heartbeat.sent_ns = effect->sent_ns;
	heartbeat.reply = effect->reply;
	heartbeat.hlc = m->hlc;
	heartbeat.applied = (ProtobufCBinaryData){.data = vector, .len = vector_encode(&m->applied, vector)};
	heartbeat.load_percent = m->load_percent;
	heartbeat.wall_ms = wall_ms;
	envelope.protocol = version_agree(PROTOCOL_VERSION, rules->newest[effect->peer]);
	envelope.newest = PROTOCOL_VERSION + version_ahead();
	envelope.cluster = (char *)(uintptr_t)rules->cluster; /* packing only reads it */
	envelope.region = rules->region;
	envelope.body_case = GODWIT__PEER__ENVELOPE__BODY_HEARTBEAT;
	envelope.heartbeat = &heartbeat;
	size_t size = godwit__peer__envelope__get_packed_size(&envelope);
	assert(size <= HEARTBEAT_SIZE_MAX);
	return godwit__peer__envelope__pack(&envelope, out);
}
