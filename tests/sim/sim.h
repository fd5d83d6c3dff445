/* SPDX-License-Identifier: Apache-2.0
 *
 * Whole clusters in one process, on a virtual clock, from one seed. The state machines, the rows' merge, records, frames and
 * messages are the object files that ship; what is simulated stands in for their ports: disk, shared memory, network, clocks,
 * clients, and whoever kills and restarts processes.
 *
 *   main.c      seeds, workers, exit codes             cluster.c   the two phases and the clock's queue of events
 *   disk.c      log and rows of a region, and crashes   node.c      a region: its coordinator, and its processes
 *   stream.c    streamers: frames from the log             ring.c      records received, on their way to the coordinator
 *   restart.c   supervisors                                rows.c      store/rows.h over the simulated disk
 *   digests.c   reconcilers, and rows damaged on purpose    read.c      routers' reads, and what they must show
 *   history.c   the run as a history for godwit-check
 *   health.c    monitors, and what their figures must be
 *   network.c   links with delay, loss, cuts            client.c    clients: repeats, deadlines, outcomes
 *   fault.c     what goes wrong, and when               check.c     what must hold, by an oracle of its own
 */
#ifndef GODWIT_TESTS_SIM_SIM_H
#define GODWIT_TESTS_SIM_SIM_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "actors/coordinator/coordinator.h"
#include "actors/monitor/monitor.h"
#include "actors/reconciler/reconciler.h"
#include "actors/router/reads.h"
#include "actors/streamer/message.h"
#include "actors/streamer/streamer.h"
#include "actors/supervisor/supervisor.h"
#include "core/record.h"
#include "core/row.h"

#define SIM_REGIONS_MAX      5u
#define SIM_CLIENTS          6u
#define SIM_PIPELINE         4u
#define SIM_KEYS             24u
#define SIM_KEY_SIZE         24u
#define SIM_RING_BYTES       (64u * 1024)
#define SIM_DRIFT_MAX_MS     500u
#define SIM_WIPED_OPERATIONS 60u /* after a region came back without its disk */
#define SIM_EVENTS_MAX       50000000u
#define SIM_SEGMENT          32u                  /* entries of the log */
#define SIM_LIVE_NS          (90ull * 1000000000) /* after the faults, by then all must be equal */
#define SIM_MS               1000000ull
#define SIM_FINGERPRINT      42u
#define SIM_HEARTBEAT_NS     (250 * SIM_MS)
#define SIM_DOWN_NS          (3000 * SIM_MS)
#define SIM_LAG_MAX_MS       5000u

enum sim_exit { SIM_GOOD = 0, SIM_USAGE = 2, SIM_CRASH = 10, SIM_SAFETY = 11, SIM_LIVENESS = 12 };

/* ---- chance ---- */
struct chance {
	uint64_t state;
};
uint64_t chance_next(struct chance *c);
static inline uint64_t chance_below(struct chance *c, uint64_t n)
{
	return chance_next(c) % n;
}
static inline bool chance_of(struct chance *c, uint32_t per_mille)
{
	return chance_next(c) % 1000 < per_mille;
}

/* ---- events ---- */
enum sim_event_kind {
	SIM_MESSAGE, /* between two regions, of a service */
	SIM_SYNC_DONE,
	SIM_TURN, /* of an actor */
	SIM_CLIENT_TURN,
	SIM_REQUEST, /* a client's, arriving at a region */
	SIM_READ,    /* one, arriving at a region */
	SIM_ANSWER,  /* arriving at a client */
	SIM_START,   /* a process comes up again; actor ACTORS: the supervisor */
	SIM_READY,   /* and has told its supervisor so */
	SIM_EXITED,  /* the supervisor learns that one has ended */
	SIM_SUPERVISE,
	SIM_FAULT,
	SIM_FLAP, /* of a link, number times more */
};
struct sim_event {
	uint64_t time_ns, order;
	enum sim_event_kind kind;
	uint8_t region, peer;
	enum actor actor;
	enum service service;
	bool from_receiver;
	uint32_t incarnation; /* of the process it belongs to: a later one does not get it */
	uint32_t client;
	uint64_t number;
	bool repeat; /* a request sent before */
	uint32_t size;
	uint8_t *bytes;                    /* owned */
	struct coordinator_answer *answer; /* owned */
};

/* ---- disk ---- */
struct sim_entry {
	enum log_kind { SIM_RECORD, SIM_BOUND, SIM_PEER_STORE } kind;
	uint32_t size;
	uint64_t written_ns;
	uint8_t *bytes;
};
struct sim_disk {
	struct sim_entry *entries; /* LSN = index; an entry ends at index + 1 */
	uint64_t count, capacity;
	uint64_t durable;          /* survives the machine */
	uint64_t syncing;          /* handed to the disk by the sync under way; 0 none */
	uint64_t start;            /* entries before it are gone */
	struct vector before;      /* records before the start */
	struct sim_disk *snapshot; /* its rows only; NULL: none */
	/* Rows: what the last transaction left; survive the process, not the machine. */
	struct sim_row *rows;
	uint32_t row_count, row_capacity;
	uint64_t applied_lsn;
	struct vector applied;
	struct store_id peer_stores[REGIONS_MAX];
	struct vector kept; /* applied at any time: durable, so the machine's end does not change it */
	uint64_t hlc, hlc_bound, conflicts, live_rows;
	struct digest buckets[DIGEST_BUCKETS];
};
struct sim_row {
	char key[SIM_KEY_SIZE];
	uint32_t size;
	uint8_t *bytes;
};

/* ---- a region ---- */
struct sim_taken { /* a frame on its way into the ring */
	struct sim_taken *next;
	uint32_t raw_size, offset;
	uint8_t raw[];
};
struct sim_process {
	bool up;
	uint32_t incarnation;
	uint64_t changed_ns; /* when it came up or went down, or was last held still */
	uint64_t paused_until_ns;
	uint64_t turn_ns; /* of the turn that is due; UINT64_MAX none */
};
struct sim_stream {
	bool open;
	uint32_t origins;
	struct vector from;
	uint64_t lsn;
};
struct sim_node {
	uint8_t region;
	int64_t skew_ms;
	bool wiped;
	struct sim_disk disk;
	uint32_t peers; /* mask */
	struct sim_process processes[ACTORS];
	struct coordinator coordinator;
	struct streamer streamer;
	struct monitor monitor;
	struct reconciler reconciler;
	struct reads reads;
	struct shm_layout *memory; /* for what is read from it by code that ships; the rest of it is here: */
	bool supervised, supervisor_up;
	uint32_t generation; /* of the supervisor */
	uint64_t supervise_ns;
	uint64_t spawns[ACTORS];
	struct supervisor supervisor;
	/* Shared memory: lives through the death of any. */
	struct vector published, acked[REGIONS_MAX];
	uint64_t sent_lsn[REGIONS_MAX];
	uint64_t
	    acked_most[REGIONS_MAX]; /* of its own: what the monitor has seen acknowledged; an old message may say less again */
	struct {
		uint64_t lag_records, lag_ms, sampled_ns;
		enum region_state state;
	} health[REGIONS_MAX];
	uint64_t upkeep_ns;
	uint64_t memory_ns; /* since when it has been this memory */
	struct store_id stores[REGIONS_MAX], met[REGIONS_MAX];
	uint64_t durable_lsn, epoch;
	bool ready;
	struct {
		uint8_t **records;
		uint32_t *sizes;
		uint32_t head, count, capacity, bytes;
	} ring;
	struct sim_taken *taken[REGIONS_MAX];
	struct sim_stream streams[REGIONS_MAX];
};

struct sim_link {
	bool cut;
	uint64_t changed_ns;
	uint32_t loss, duplicate, reorder, corrupt; /* per mille */
	uint64_t delay_ns, jitter_ns, last_ns[SERVICES];
};

/* ---- clients ---- */
enum sim_outcome { SIM_OPEN, SIM_OK, SIM_FAILED, SIM_UNKNOWN };
struct sim_operation {
	uint64_t number;
	enum sim_outcome outcome;
	char key[SIM_KEY_SIZE];
	char value[48];
	bool tombstone;
	uint8_t context[VECTOR_ENCODED_MAX];
	uint32_t context_size, copies;
	uint64_t deadline_ns, retry_ns, first_sent_ns;
	struct dot dot; /* of an ok one: what its version says */
	uint64_t hlc;
};
struct sim_client {
	uint64_t id;
	uint8_t region;
	uint64_t newest, settled;
	struct sim_operation *operations; /* [number - 1] */
	uint32_t capacity;
};

/* ---- oracle ---- */
struct sim_write { /* one dot, as first seen applied anywhere */
	uint32_t size;
	uint8_t *bytes;
	uint64_t published_ns; /* by its origin; 0 not yet */
	uint64_t seen_ns;      /* by its origin's monitor; 0 not yet */
};

struct sim {
	uint64_t seed;
	bool trace, calm, over;
	struct chance chance;
	uint64_t now_ns, order, wall_start_ms;
	struct sim_event *queue; /* binary heap by time, then order */
	uint32_t queue_count, queue_capacity;
	uint32_t operations_wanted, operations_issued;
	uint32_t regions;
	struct topology topology;
	FILE *history;
	uint64_t calm_ns;
	struct sim_node nodes[SIM_REGIONS_MAX];
	struct sim_link links[SIM_REGIONS_MAX][SIM_REGIONS_MAX];
	struct sim_client clients[SIM_CLIENTS];
	struct sim_write *writes[SIM_REGIONS_MAX];
	uint64_t write_counts[SIM_REGIONS_MAX], write_capacities[SIM_REGIONS_MAX];
	struct {
		uint64_t acknowledged; /* own sequence of the region */
		struct vector seen;
	} reads[SIM_REGIONS_MAX][SIM_KEYS];
	bool damage;
	char damaged_key[SIM_KEY_SIZE];
	uint8_t damaged_region;
	uint32_t damage_told[SIM_REGIONS_MAX]; /* by whom, of whom */
	uint32_t wipe_region;                  /* SIM_REGIONS_MAX: none in this run */
	/* How hard this seed is. */
	uint32_t compare_ms, fault_gap_ms, sync_fail, append_refuse;
	uint32_t snapshot_entries,
	    budget_entries;  /* log between two snapshots; log kept whatever is acknowledged; 0: no limit */
	uint8_t leap_region; /* whose clock jumps by an hour or a year; SIM_REGIONS_MAX: none */
	bool leapt;
	struct { /* a process that is to die between two of its effects */
		bool armed;
		uint8_t region;
		enum actor actor;
		uint32_t points;
	} doom;
	bool forgetful; /* a coordinator that starts remembers only the end of its log */
	struct {
		uint64_t crashes, machine_crashes, cuts, pauses, clock_jumps, messages, ok, failed, unknown, repeats, conflicts,
		    reads, comparisons, damages, cut_short, leaps, flaps, snapshots, segments, resyncs, hangs;
	} counts;
};

/* main.c */
void sim_trace(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A violation: prints seed, time and what, and ends this process with the code. */
_Noreturn void sim_fail(struct sim *sim, enum sim_exit code, const char *format, ...) __attribute__((format(printf, 3, 4)));
extern const char *const sim_names[SIM_REGIONS_MAX];

/* cluster.c */
_Noreturn void sim_escape(void); /* from a process that has just died, back to the queue of events */
void sim_run(struct sim *sim, uint64_t seed, uint32_t operations, bool trace);
void sim_push(struct sim *sim, uint64_t time_ns, struct sim_event event);
void sim_release(struct sim *sim);

/* disk.c */
uint64_t disk_append(struct sim *sim, struct sim_disk *disk, enum log_kind kind, const void *bytes, size_t size);
void disk_lose_process(struct sim *sim, struct sim_disk *disk);
void disk_lose_machine(struct sim *sim, struct sim_disk *disk);
void disk_snapshot(struct sim_disk *disk);
void disk_drop(struct sim_disk *disk, uint64_t upto);
/* The newest segment's start before which every record is within the vector; 0 when there is none. */
uint64_t disk_needed(const struct sim_disk *disk, const struct vector *acked);
void disk_wipe(struct sim_disk *disk);
void disk_apply(struct sim *sim, struct sim_node *node, uint64_t lsn);
struct sim_row *disk_row(struct sim_disk *disk, const char *key, bool make);
void disk_release(struct sim_disk *disk);

/* node.c */
void node_start(struct sim *sim, struct sim_node *node, enum actor actor);
void node_kill(struct sim *sim, struct sim_node *node, enum actor actor);
void node_request(struct sim *sim, struct sim_node *node, uint32_t client, uint64_t number, bool repeat);
void node_coordinator_turn(struct sim *sim, struct sim_node *node);
void node_sync_done(struct sim *sim, struct sim_node *node);
void node_wake(struct sim *sim, struct sim_node *node, enum actor actor, uint64_t delay_ns);
/* Between two effects of an actor: it may die here, and then this does not return. */
void node_point(struct sim *sim, struct sim_node *node, enum actor actor);
void node_lose_memory(struct sim *sim, struct sim_node *node); /* the shared one */
void node_release(struct sim_node *node);
uint64_t node_wall_ms(const struct sim *sim, const struct sim_node *node);

/* ring.c */
bool ring_put(struct sim_node *node, const uint8_t *bytes, uint32_t size);
void ring_take(struct sim_node *node);
void ring_empty(struct sim_node *node);

/* stream.c */
void stream_start(struct sim *sim, struct sim_node *node);
void stream_kill(struct sim_node *node);
void stream_escape(void);
void stream_turn(struct sim *sim, struct sim_node *node);
void stream_message(struct sim *sim, struct sim_node *node, bool from_receiver, const uint8_t *bytes, uint32_t size);

/* restart.c */
void restart_begin(struct sim *sim, struct sim_node *node); /* the region's processes that are down, or its supervisor */
void restart_exited(struct sim *sim, struct sim_node *node, enum actor actor);
void restart_all(struct sim *sim, struct sim_node *node); /* kills all, and sees to it that they come back */
void restart_event(struct sim *sim, struct sim_node *node, const struct sim_event *event);

/* health.c */
void health_start(struct sim *sim, struct sim_node *node);
void health_turn(struct sim *sim, struct sim_node *node);
void health_message(struct sim *sim, struct sim_node *node, bool question, const uint8_t *bytes, uint32_t size);
bool health_settled(struct sim *sim); /* everybody is seen up and caught up by everybody */

/* digests.c */
void digests_start(struct sim *sim, struct sim_node *node);
void digests_turn(struct sim *sim, struct sim_node *node);
void digests_message(struct sim *sim, struct sim_node *node, const struct sim_event *event);
bool digests_settled(struct sim *sim); /* all have compared since the faults ended, and found the same */
void digests_damage(struct sim *sim);
bool digests_damage_told(struct sim *sim);

/* rows.c */
void rows_show(struct sim *sim); /* whose rows store/rows.h is about */
struct rows_view *rows_view_of(struct sim_node *node);

/* read.c */
void read_ask(struct sim *sim, uint32_t client);
void read_answer(struct sim *sim, struct sim_node *node, const struct sim_event *event);
void read_acknowledged(struct sim *sim, const struct sim_client *client, const struct sim_operation *operation);

/* history.c */
void history_write(struct sim *sim, uint32_t client, const struct sim_operation *operation);
void history_read(
    struct sim *sim, uint32_t client, const char *key, uint64_t start_ns, bool found, const uint8_t *value, size_t size);

/* network.c: from_receiver: of a stream, what a receiver sends; else whether it is a question */
bool network_send(
    struct sim *sim, uint8_t from, uint8_t to, enum service service, bool from_receiver, const uint8_t *bytes, size_t size);
void network_cut(struct sim *sim, uint32_t from, uint32_t to, bool cut);

/* client.c */
void client_turn(struct sim *sim, uint32_t index);
void client_answer(struct sim *sim, uint32_t index, const struct coordinator_answer *answer);
bool clients_idle(const struct sim *sim);

/* fault.c */
void fault_draw(struct sim *sim); /* how hard this seed is */
void fault_next(struct sim *sim);
void fault_flap(struct sim *sim, const struct sim_event *event);
void fault_end(struct sim *sim); /* from here on nothing goes wrong, and everybody is up */

/* check.c */
void check_applied(struct sim *sim, struct sim_node *node, const struct record *record, const uint8_t *bytes, uint32_t size);
/* Must all that `origin` wrote reach `region`? */
bool check_expects(const struct sim *sim, uint32_t region, uint8_t origin);
bool check_converged(struct sim *sim);
void check_read(struct sim *sim, struct sim_node *node, const char *key, bool found, const uint8_t *value, size_t size);
void check_end(struct sim *sim);
void check_wiped(struct sim *sim);

#endif
