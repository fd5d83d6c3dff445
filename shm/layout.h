/* SPDX-License-Identifier: Apache-2.0
 *
 * Every byte that the actors of one region share. The supervisor makes it anew, in memory that has no name (memfd), and hands
 * it down to its actors as a descriptor: nobody else can put something in its place, remove it, or cut it short (its size is
 * sealed). Counters live on when actors die, and end with the supervisor. One writer for every word: the column on the right.
 *
 *   0      +--------------------------------------+
 *          | header: magic, ABI, version last     |  supervisor
 *          | actors: pid, state, sleeping word    |  supervisor; `sleeping` each actor its own
 *          | coordinator: epoch, durable LSN,     |  coordinator
 *          |   applied vector, state              |
 *          | streamer: per peer acked vector,     |  streamer
 *          |   link state, sent/received          |
 *          | monitor: per peer state, rtt, lag    |  monitor
 *          | counters and histograms              |  each actor its own block
 *          +--------------------------------------+
 *          | inbound ring: records received       |  head coordinator, tail and bytes streamer
 *          +--------------------------------------+
 *
 * No pointers, no locks, no packing. What is read from here is checked before it is used as an index or a size. */
#ifndef GODWIT_SHM_LAYOUT_H
#define GODWIT_SHM_LAYOUT_H
#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "core/vector.h"
#include "shm/counters.h"
#include "shm/ring.h"
#include "shm/store_slot.h"
#include "shm/vector_slot.h"

#define SHM_MAGIC             0x0031746977646f67ull
#define SHM_VERSION           3u
#define SHM_LOG_TIMES         64u
#define SHM_INBOUND_RING_SIZE (16u * 1024 * 1024) /* power of two; holds at least two of the largest records */

enum actor { ACTOR_COORDINATOR, ACTOR_STREAMER, ACTOR_MONITOR, ACTOR_ROUTER, ACTOR_RECONCILER, ACTORS };
const char *actor_name(enum actor actor); /* "coordinator" */
int actor_parse(const char *name);        /* -1 when there is none of that name */

/* Offsets from a node's port (INTERFACES: "the next ones are its peer ports"). */
enum service { SERVICE_CLIENT, SERVICE_STREAM, SERVICE_HEALTH, SERVICE_COMMIT, SERVICE_DIGEST, SERVICES };

enum actor_state { ACTOR_DOWN, ACTOR_STARTING, ACTOR_READY, ACTOR_BACKING_OFF };

struct shm_header {
	uint64_t magic;
	uint64_t abi;  /* fingerprint of sizes and offsets, see shm_abi() */
	uint64_t size; /* of the whole mapping */
	uint32_t region;
	_Atomic uint32_t version; /* SHM_VERSION, stored last with release */
};

struct shm_actor {
	_Alignas(128) _Atomic uint32_t pid;
	_Atomic uint32_t state; /* enum actor_state */
	_Atomic uint32_t starts;
	_Alignas(128) _Atomic uint32_t sleeping; /* written by the actor itself; see doorbell.h */
};

struct shm_coordinator {
	_Alignas(128) _Atomic uint64_t epoch;  /* +1 each time a coordinator starts: what was in the ring is gone */
	_Atomic uint64_t durable_lsn;          /* the log may be read up to here */
	_Atomic uint64_t applied_lsn;          /* rows hold the log up to here */
	_Atomic uint64_t log_start_lsn;        /* older segments are gone */
	_Atomic uint64_t hlc;                  /* newest stamp seen */
	_Atomic uint64_t log_bytes, map_bytes; /* on disk */
	_Atomic uint32_t refusing;             /* 0, or the error code that every write is refused with */
	_Atomic uint32_t ready;
	/* While it starts: MiB copied or applied, and of how many; 0: nothing that takes long. */
	_Atomic uint32_t start_done_mib, start_total_mib;
	_Atomic int64_t clock_ahead_ms; /* of the majority's; negative: behind */
	_Atomic uint32_t clock_heard;   /* clocks that say so, the own one among them; 0: too few, nothing is known */
	_Atomic uint32_t clock_against; /* region of the median */
	struct vector_slot applied; /* durable and in the rows; stored before applied_lsn, so that it covers what that covers */
	_Atomic uint64_t log_times_tag; /* of the store that the times are of; see shm_store_tag */
	struct {
		_Atomic uint64_t lsn, at_ns; /* the log up to lsn had been written by CLOCK_MONOTONIC at_ns; 0: none */
	} log_times[SHM_LOG_TIMES];          /* ring; kept for the coordinator that comes after this one */
	struct store_table_slot stores;      /* this region's own store, and by peer the one whose records are held; durable */
};

enum link_state { LINK_DOWN, LINK_SUBSCRIBED, LINK_REFUSED, LINK_NEEDS_RESYNC };
struct shm_link {                               /* per peer region id */
	_Alignas(128) struct vector_slot acked; /* what that region says is durable there */
	_Atomic uint64_t acked_at_ns;           /* CLOCK_MONOTONIC of the last acknowledgement; 0 never */
	_Atomic uint64_t sent_lsn;              /* this region's log was read for it up to here */
	_Atomic uint32_t outbound;              /* enum link_state: what we send to it */
	_Atomic uint32_t inbound;               /* enum link_state: what we receive from it */
	_Atomic int32_t inbound_code;           /* why, when that is LINK_REFUSED; stored first */
	_Atomic uint32_t reused;                /* 1: that region takes this one for wiped or restored */
	_Atomic uint64_t acked_tag;             /* of this region's store when `acked` was stored; see shm_link_acked */
	struct store_seen_slot seen;            /* that region's store, met before any was known */
	/* Keyspaces by id, as that region's last subscription told its topology (runtime/topology.h); both 0: not told since
	 * the start. */
	_Atomic uint64_t keyspaces_same;  /* as here */
	_Atomic uint64_t keyspaces_other; /* that one of the two has not, or otherwise */
	_Atomic uint32_t outbound_held;   /* 1 + id of the keyspace at whose record the stream to it stands; 0: it does not */
	_Atomic uint32_t inbound_held;    /* mask of origins whose records it holds back from here for such a keyspace */
};

/* The tag of a store, never 0. */
uint64_t shm_store_tag(const struct store_id *own);
/* What is acknowledged of this very store: what an earlier life of the data directory has left counts for nothing. */
void shm_link_acked(const struct shm_link *link, const struct store_id *own, struct vector *acked);

/* LAGGING: further behind than max_lag_ms of the topology; DRAINED: than drain_factor times that. */
enum region_state { REGION_UNKNOWN, REGION_UP, REGION_LAGGING, REGION_DRAINED, REGION_DOWN };
static inline bool region_is_heard(enum region_state state)
{
	return state == REGION_UP || state == REGION_LAGGING || state == REGION_DRAINED;
}
const char *region_state_name(uint32_t state);
const char *link_state_name(uint32_t state);
const char *actor_state_name(uint32_t state);
struct shm_peer { /* per peer region id; single figures, each atomic by itself */
	_Alignas(128) _Atomic uint32_t state;
	_Atomic uint32_t load_percent;
	_Atomic uint64_t round_trip_us; /* smoothed; 0 not yet measured */
	_Atomic uint64_t lag_records;   /* this region's records that are not yet durable there */
	_Atomic uint64_t lag_bytes;
	_Atomic uint64_t lag_ms;         /* 0 when caught up, never negative */
	_Atomic uint64_t sampled_at_ns;  /* CLOCK_MONOTONIC */
	_Atomic uint64_t answered_at_ns; /* the same, of its last answer to a heartbeat; 0: none yet */
	_Atomic int64_t clock_offset_us; /* its wall clock less CLOCK_MONOTONIC of this machine */
	_Atomic uint32_t key_refusal; /* enum key_refusal (runtime/watch.h): does the exchange of keys with it fail, and why */
};

struct shm_layout {
	struct shm_header header;
	struct shm_actor actors[ACTORS];
	struct shm_coordinator coordinator;
	struct shm_link links[REGIONS_MAX];
	struct shm_peer peers[REGIONS_MAX];
	struct counter_block counters[ACTORS];
	struct ring_shared inbound;
	_Alignas(4096) uint8_t inbound_bytes[SHM_INBOUND_RING_SIZE];
};

struct shm {
	struct shm_layout *layout;
	int fd;
	pid_t supervisor; /* whose it is, as shm_attach has found it; 0: made here, or handed down */
};

/* Supervisor: makes it. */
int shm_create(struct shm *shm, uint32_t region, struct error_context *error);
/* Actors: attaches, for writing, to what the supervisor has handed down. Takes `fd` over, whatever the outcome.
 * ERR_CONFIGURATION: that is no shared memory; ERR_WRONG_VERSION: of another build. */
int shm_attach_fd(struct shm *shm, int fd, struct error_context *error);
/* The CLI (read-only) and actors that are started by hand: attaches to what the supervisor of that region has open, which runs
 * and holds the region's lock. ERR_UNREACHABLE: none runs, or it belongs to another user; ERR_WRONG_VERSION: another build. */
int shm_attach(struct shm *shm, const char *region_dir, int writable, struct error_context *error);
/* The supervisor that runs there now; 0: none. */
pid_t shm_supervisor(const char *region_dir);
/* Again is no mistake. */
void shm_detach(struct shm *shm);
uint64_t shm_abi(void);

#endif
