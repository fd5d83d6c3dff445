/* SPDX-License-Identifier: Apache-2.0
 *
 * The monitor's state machine: heartbeats, round trips, clock skew, lag and the state of each peer. Pure: events in, effects
 * out. A peer is judged by answers alone: what it sends of its own accord shows one direction only. */
#ifndef GODWIT_ACTORS_MONITOR_MONITOR_H
#define GODWIT_ACTORS_MONITOR_MONITOR_H
#include <stdbool.h>
#include <stdint.h>

#include "actors/monitor/lag.h"
#include "core/clock_skew.h"
#include "core/vector.h"
#include "shm/layout.h"

#define MONITOR_MS          1000000ull
#define MONITOR_UP_NS       (1000 * MONITOR_MS) /* answered so recently: up */
#define MONITOR_PUBLISH_NS  (100 * MONITOR_MS)
#define MONITOR_OUTSTANDING 16u

enum monitor_event_kind {
	MONITOR_TICK,
	MONITOR_LOCAL,     /* this region's own figures */
	MONITOR_ACKED,     /* what a peer has acknowledged of this region's records */
	MONITOR_HEARTBEAT, /* from a peer, a question or an answer */
	MONITOR_DRAIN,
};

struct monitor_event {
	enum monitor_event_kind kind;
	uint8_t peer;
	uint64_t now_ns; /* monotonic */
	uint64_t now_wall_ms;
	union {
		struct {
			struct vector applied;
			uint64_t hlc, durable_lsn;
			uint32_t load_percent;
		} local;
		struct {
			uint64_t sequence, sent_lsn;
		} acked;
		struct {
			struct vector applied;
			uint64_t number, sent_ns, hlc, wall_ms;
			uint32_t load_percent;
			uint32_t newest; /* version that the peer understands, for the port */
			bool reply;
		} heartbeat;
	};
};

enum monitor_effect_kind {
	MONITOR_SEND,    /* number, sent_ns, reply: the rest is the state's own figures */
	MONITOR_PUBLISH, /* the peer's figures */
	MONITOR_CHANGED, /* its state is another than before */
};
struct monitor_effect {
	enum monitor_effect_kind kind;
	uint8_t peer;
	bool reply;
	uint64_t number, sent_ns;
};
#define MONITOR_EFFECTS_MAX (REGIONS_MAX * 4u)
struct monitor_effects {
	uint32_t count;
	struct monitor_effect items[MONITOR_EFFECTS_MAX];
};

struct monitor_peer {
	enum region_state state;
	uint64_t answered_ns; /* 0: never */
	uint64_t number;
	struct {
		uint64_t number, sent_ns;
	} outstanding[MONITOR_OUTSTANDING];
	uint64_t round_trip_us;
	struct clock_range clock; /* its wall clock less this machine's monotonic one */
	bool measured;
	uint32_t load_percent;
	bool acked_known; /* it has said what it holds; until then there is no lag to tell */
	uint64_t acked, sent_lsn;
	uint64_t before_ns; /* see lag_of */
	struct lag lag;
};

struct monitor {
	uint8_t region;
	uint32_t peers;
	uint64_t interval_ns, down_after_ns, lag_max_ms, drain_ms;
	uint64_t born_ns;             /* of the first event */
	uint64_t beat_ns, publish_ns; /* when next */
	bool draining;
	struct vector applied;
	uint64_t hlc;
	uint32_t load_percent;
	struct monitor_peer peer[REGIONS_MAX];
	struct lag_history history;
};

struct monitor_options {
	uint8_t region;
	uint32_t peers; /* mask, own not included */
	uint64_t interval_ns, down_after_ns, lag_max_ms, drain_ms;
	/* What the process before this one knew: since when each peer has been behind, monotonic; 0: not. */
	uint64_t behind_since_ns[REGIONS_MAX];
};
/* For the above, from the figures that the process before this one left; sampled_ns 0: none. */
uint64_t monitor_behind_since(uint64_t lag_ms, uint64_t sampled_ns);
void monitor_init(struct monitor *m, const struct monitor_options *options);
void monitor_step(struct monitor *m, const struct monitor_event *event, struct monitor_effects *effects);
uint64_t monitor_deadline_ns(const struct monitor *m);

#endif
