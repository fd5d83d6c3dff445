/* SPDX-License-Identifier: Apache-2.0
 *
 * Messages between streamers (proto/peer.proto) as events of the state machine, and back. Pure but for protobuf's memory;
 * whatever bytes come in, what comes out is checked. */
#ifndef GODWIT_ACTORS_STREAMER_MESSAGE_H
#define GODWIT_ACTORS_STREAMER_MESSAGE_H
#include <stdint.h>

#include "actors/streamer/frame.h"
#include "actors/streamer/streamer.h"
#include "runtime/topology.h"

struct peer_rules {
	const char *cluster; /* borrowed */
	uint8_t region;
	uint32_t peers;                   /* mask */
	const char *definition;           /* of the topology, borrowed; NULL: none is sent */
	uint32_t newest[REGIONS_MAX];     /* version that each peer understands, as its last message told; 0: not told */
	const struct keyspace *keyspaces; /* by id, borrowed; NULL: no names are sent */
};

struct peer_message {
	struct streamer_event event; /* without now_ns */
	uint32_t newest;             /* that the sender understands; also of a message of the wrong version */
	struct frame frame;          /* STREAMER_FRAME: borrowed from the envelope, frame_check passed */
	const char *reason;          /* STREAMER_REFUSAL: of the other side; from outside, to be escaped */
	const char *definition;      /* STREAMER_SUBSCRIBE: of its topology; from outside, at most TOPOLOGY_DEFINITION_MAX */
	const char *held_name; /* STREAMER_ALIVE: of the keyspace at which origins are held; from outside, to be escaped */
	void *envelope;
};
/* from_receiver: only what a receiver sends is taken (Subscribe, Acknowledge), else only what a sender sends. 0, or
 * ERR_MALFORMED, ERR_WRONG_VERSION, ERR_CONFIGURATION (another cluster) with nothing held; event.peer is then REGIONS_MAX
 * unless the message named a known peer. */
int peer_message_parse(struct peer_message *message, const struct peer_rules *rules, bool from_receiver, const uint8_t *bytes,
    size_t size, struct error_context *error);
void peer_message_close(struct peer_message *message);

#define PEER_MESSAGE_MAX (FRAME_RAW_LIMIT + 4096u + TOPOLOGY_DEFINITION_MAX)
/* Each writes an Envelope to out (PEER_MESSAGE_MAX bytes) and returns its size. */
size_t peer_message_pack(
    const struct peer_rules *rules, const struct streamer_effect *effect, uint64_t fingerprint, uint8_t *out);
size_t peer_message_pack_frame(
    const struct peer_rules *rules, uint8_t peer, uint64_t epoch, uint64_t number, const struct frame *frame, uint8_t *out);

#endif
