/* SPDX-License-Identifier: Apache-2.0
 *
 * Heartbeats on the wire (proto/peer.proto). Whatever bytes come in, what comes out is checked. */
#ifndef GODWIT_ACTORS_MONITOR_HEARTBEAT_H
#define GODWIT_ACTORS_MONITOR_HEARTBEAT_H
#include <stddef.h>
#include <stdint.h>

#include "actors/monitor/monitor.h"
#include "base/error.h"

struct heartbeat_rules {
	const char *cluster; /* borrowed */
	uint8_t region;
	uint32_t peers;               /* mask */
	uint32_t newest[REGIONS_MAX]; /* version that each peer understands, as its last message told; 0: not told */
};
#define HEARTBEAT_SIZE_MAX 1024u
/* Fills event but for its times. ERR_MALFORMED, ERR_WRONG_VERSION, ERR_CONFIGURATION (another cluster). */
int heartbeat_parse(struct monitor_event *event, const struct heartbeat_rules *rules, const uint8_t *bytes, size_t size,
    struct error_context *error);
size_t heartbeat_pack(const struct heartbeat_rules *rules, const struct monitor *m, const struct monitor_effect *effect,
    uint64_t wall_ms, uint8_t out[static HEARTBEAT_SIZE_MAX]);

#endif
