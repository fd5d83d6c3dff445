/* SPDX-License-Identifier: Apache-2.0
 *
 * The streamer's state machine: who is subscribed to whom, from where, with how much credit, and when to begin again. Pure:
 * events in, effects out. Records and frames themselves pass beside it (frame.h); it sees their sizes and numbers only.
 *
 * Inbound (this region receives): one subscription a peer. Anything unexpected - a gap, silence, a stall, a bad frame, a
 * refusal, a new coordinator - leads to the same place: a new subscription from the applied vector, with a new epoch, after a
 * back-off. Outbound (this region sends): one stream a subscriber, within its credit. Relay: a peer's own records are asked of
 * itself; while it does not serve, of another peer that has more of them.
 *
 * Held: a subscriber gets no record of a keyspace that it does not have, or otherwise (runtime/topology.h says what that
 * means). The stream of that origin stands there, since a region applies an origin's records in order; other origins go on. It
 * is no stall and no silence; the next subscription, which a region with another file makes, begins from its applied vector,
 * and looks again.
 *
 * Identity: records of a region are taken, from itself or through another, only from the store that this region knows as that
 * region's. Which that is, the coordinator keeps in the log; the streamer tells it whom it has met, and answers "not ready"
 * until it has. Another store under that id was wiped or restored: its numbers mean other writes. */
#ifndef GODWIT_ACTORS_STREAMER_STREAMER_H
#define GODWIT_ACTORS_STREAMER_STREAMER_H
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "core/store_id.h"
#include "core/vector.h"
#include "shm/layout.h"

#define STREAMER_WINDOW             (4u * 1024 * 1024) /* raw bytes sent by a peer and not yet in the inbound ring */
#define STREAMER_LINGER_BYTES       (64u * 1024)       /* this much waits for nobody */
#define STREAMER_MS                 1000000ull
#define STREAMER_ACKNOWLEDGE_NS     (5 * STREAMER_MS)
#define STREAMER_KEEPALIVE_NS       (500 * STREAMER_MS)
#define STREAMER_STALL_NS           (2000 * STREAMER_MS)
#define STREAMER_RELAY_NS           (3000 * STREAMER_MS)
#define STREAMER_EXPIRE_NS          (10000 * STREAMER_MS) /* a subscriber not heard of for so long is forgotten */
#define STREAMER_RELAY_FORBIDDEN_NS (30000 * STREAMER_MS)
#define STREAMER_BACKOFF_MIN_NS     (100 * STREAMER_MS)
#define STREAMER_BACKOFF_MAX_NS     (2000 * STREAMER_MS)
#define STREAMER_NEVER              UINT64_MAX

enum streamer_event_kind {
	STREAMER_TICK,        /* time has passed */
	STREAMER_LOCAL,       /* what this region's coordinator has published */
	STREAMER_SUBSCRIBE,   /* from a receiver */
	STREAMER_OPENED,      /* the stream that OPEN_STREAM asked for can be read */
	STREAMER_ACKNOWLEDGE, /* from a receiver */
	STREAMER_FRAME,       /* from a sender: its head; sizes already checked */
	STREAMER_ALIVE,       /* from a sender */
	STREAMER_REFUSAL,     /* from a sender */
	STREAMER_FRAME_BAD,   /* the frame just taken was refused when opened */
	STREAMER_DELIVERED,   /* a taken frame is wholly in the inbound ring */
	STREAMER_NOT_SENT,    /* the last SEND_SUBSCRIBE found no connection */
	STREAMER_SENT,        /* a frame went out to a subscriber */
	STREAMER_SEND_FAILED, /* a subscriber's stream cannot go on */
	STREAMER_HELD,        /* a subscriber's stream stands at a record that it must not have */
	STREAMER_DRAIN,
};

struct streamer_event {
	enum streamer_event_kind kind;
	uint8_t peer;
	uint64_t now_ns; /* monotonic */
	union {
		struct {
			struct vector applied;
			uint64_t coordinator_epoch;
			struct store_id stores[REGIONS_MAX]; /* this region's own, and whose records it holds */
			bool ready;
		} local;
		struct {
			struct vector from;
			uint64_t epoch, credit, fingerprint, refused;
			uint32_t origins;
			uint64_t keyspaces; /* whose records it may have, by id here */
			struct store_id stores[REGIONS_MAX];
		} subscribe;
		struct {
			struct vector applied;
			uint64_t epoch, credit;
		} acknowledge;
		struct {
			uint64_t epoch, number;
			uint32_t raw_size;
		} frame;
		struct {
			struct vector applied;
			uint64_t epoch;
			uint32_t held; /* origins that it holds back */
			struct store_id stores[REGIONS_MAX];
		} alive;
		struct {
			uint64_t epoch;
			int code;
			bool of_itself;                      /* the code tells of the sender, not of this region */
			struct store_id stores[REGIONS_MAX]; /* the sender's own zero: it named none */
		} refusal;
		struct {
			uint32_t raw_size;
		} delivered;
		struct {
			uint32_t raw_size;
		} sent;
		struct {
			int code;
		} send_failed;
		struct {
			uint32_t origins, keyspace;
		} held;
	};
};

enum streamer_effect_kind {
	STREAMER_SEND_SUBSCRIBE,   /* epoch, vector (from), origins, credit */
	STREAMER_SEND_ACKNOWLEDGE, /* epoch, vector (applied), credit */
	STREAMER_SEND_ALIVE,       /* epoch, vector (applied), origins (held), keyspace */
	STREAMER_SEND_REFUSAL,     /* epoch, code; to whoever sent the message being handled, or to the subscriber */
	STREAMER_OPEN_STREAM,      /* vector (from), origins, keyspaces: read the log for this subscriber from there */
	STREAMER_CLOSE_STREAM,
	STREAMER_TAKE_FRAME,       /* open the frame being handled, keep its records for the ring; origins */
	STREAMER_REFUSE_FRAME,     /* count it */
	STREAMER_DROP_FRAMES,      /* forget this peer's frames that are not in the ring yet */
	STREAMER_PUBLISH_INBOUND,  /* state, code */
	STREAMER_PUBLISH_OUTBOUND, /* state, code */
	STREAMER_PUBLISH_ACKED,    /* vector */
	STREAMER_PUBLISH_REUSED,   /* reused: the peer takes this region for wiped or restored */
	STREAMER_PUBLISH_SEEN,     /* store: of region `peer`, and none is known yet */
	STREAMER_PUBLISH_HELD_IN,  /* origins that the peer holds back; 0: none any more */
	STREAMER_PUBLISH_HELD_OUT, /* origins (0: none any more), keyspace */
};

struct streamer_effect {
	enum streamer_effect_kind kind;
	uint8_t peer;
	bool repeated;   /* SEND_SUBSCRIBE: this peer has served before */
	const char *why; /* SEND_SUBSCRIBE: what ended a subscription that was served; NULL: none was */
	int code;
	enum link_state state;
	uint32_t origins, keyspace;
	uint64_t epoch, credit, refused, keyspaces;
	struct vector vector;
	bool reused, of_itself;
	struct store_id store;
	const struct store_id *stores; /* SEND_*: the machine's, by region; NULL: none are named */
};

#define STREAMER_EFFECTS_MAX (REGIONS_MAX * 9u) /* no step asks more than nine things of a peer */
struct streamer_effects {
	uint32_t count;
	struct streamer_effect items[STREAMER_EFFECTS_MAX];
};

struct streamer_inbound {
	enum link_state state;
	int code; /* why refused */
	bool served_before;
	bool open;        /* the sender said so, and is the store that is known */
	bool reused;      /* it takes this region for another store */
	uint64_t refused; /* epoch of the last subscription that it is known to have refused */
	const char *why;  /* what ended the last subscription */
	uint64_t epoch;   /* 0: no subscription stands; the next is made at retry_ns */
	uint64_t retry_ns, backoff_ns;
	uint32_t origins;
	uint32_t held;   /* of these, what the peer holds back */
	uint64_t number; /* of the last frame taken */
	uint64_t received_bytes, delivered_bytes, credit;
	uint64_t subscribed_ns, served_ns, acknowledged_ns;
	uint64_t relay_forbidden_ns; /* until then nobody else's records are asked of it */
	struct vector acknowledged;
};

/* A subscriber of the right store that seems to hold less than it has held: perhaps a backup was copied back, perhaps its
 * message was overtaken. The second look is at a subscription that was made after the first was refused. */
struct streamer_suspicion {
	uint64_t epoch;            /* of the last subscription refused for it; 0: none */
	uint64_t its_own, our_own; /* at the first: what we held of its records; what it held of ours */
};

struct streamer_outbound {
	enum link_state state;
	int code;
	bool opening;
	uint64_t epoch, number, credit, sent_bytes;
	uint32_t held, held_keyspace; /* origins that stand, and at whose record the last of them came to */
	uint64_t heard_ns, alive_ns, frame_ns;
	struct vector acked;
};

struct streamer {
	uint8_t region;
	uint32_t peers; /* mask, without this region */
	uint64_t fingerprint, linger_ns;
	uint64_t epoch; /* the last one given out */
	bool local_known, ready, draining;
	uint64_t coordinator_epoch;
	struct vector applied;
	struct store_id stores[REGIONS_MAX];            /* as published by the coordinator */
	struct store_id met[REGIONS_MAX];               /* told to the coordinator, which has not answered yet */
	struct store_id told[REGIONS_MAX][REGIONS_MAX]; /* whose records each peer holds, as it says */
	struct streamer_suspicion suspicions[REGIONS_MAX];
	uint64_t progress_ns[REGIONS_MAX]; /* when applied last rose, by origin */
	struct vector known[REGIONS_MAX];  /* what each peer has said it has applied */
	uint8_t relay[REGIONS_MAX];        /* who is asked for this origin instead of itself; REGIONS_MAX: nobody */
	struct streamer_inbound inbound[REGIONS_MAX];
	struct streamer_outbound outbound[REGIONS_MAX];
};

struct streamer_options {
	uint8_t region;
	uint32_t peers;
	uint64_t fingerprint; /* topology_base_fingerprint */
	uint64_t epoch_start; /* must rise from one process to the next: wall clock, ns */
	uint64_t linger_ns;
	uint64_t now_ns;
};
void streamer_init(struct streamer *s, const struct streamer_options *options);
void streamer_step(struct streamer *s, const struct streamer_event *event, struct streamer_effects *effects);
/* Raw bytes that the next frame to this subscriber may have, 0: none now. backlog: bytes of log not yet read for it. */
uint32_t streamer_allowance(const struct streamer *s, uint8_t peer, uint64_t now_ns, uint64_t backlog);
/* When a frame that only waits for company may leave. */
uint64_t streamer_linger_until(const struct streamer *s, uint8_t peer);
/* When the next STREAMER_TICK is due. */
uint64_t streamer_deadline_ns(const struct streamer *s);

#endif
