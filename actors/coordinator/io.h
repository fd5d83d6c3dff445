/* SPDX-License-Identifier: Apache-2.0
 *
 * The coordinator as a process: store, ring and sockets around the state machines. io.c holds the loop's callbacks, store.c
 * the start and the end, upkeep.c what is done once a second, strong.h all that strong keyspaces need. */
#ifndef GODWIT_ACTORS_COORDINATOR_IO_H
#define GODWIT_ACTORS_COORDINATOR_IO_H
#include <stdbool.h>
#include <stdint.h>

#include "actors/coordinator/coordinator.h"
#include "actors/coordinator/log_times.h"
#include "actors/coordinator/pace.h"
#include "actors/coordinator/replies.h"
#include "actors/coordinator/strong.h"
#include "core/clock_skew.h"
#include "runtime/lend.h"
#include "runtime/process.h"
#include "shm/ring.h"
#include "store/log.h"
#include "store/rows.h"
#include "store/snapshot.h"
#include "store/starts.h"

struct coordinator_flags {
	uint32_t log_segment_mib;
	uint32_t log_disk_mib; /* 0: the topology's */
	uint32_t snapshot_mib;
	uint32_t map_gib;
	bool is_new_cluster; /* writes are taken before a peer was met */
};

struct coordinator_io {
	struct process process;
	struct coordinator_flags flags;
	struct coordinator machine;
	struct coordinator_effects effects;
	struct coordinator_counts published; /* what of the machine's counts is in shared memory already */
	struct replies replies;
	void *socket;
	struct ring inbound;
	struct clock_now now;     /* of this turn */
	bool socket_left;         /* this turn did not take all that was in the socket */
	uint64_t socket_empty_ns; /* nothing that is in the socket now was in it then */

	struct log *log;
	struct log_reader *reader;
	struct rows *rows;
	struct rows_view *view;
	struct starts starts;
	char log_dir[320], rows_dir[320];
	int store_lock_fd;     /* of store.lock: who writes log and rows; held to the end of the process */
	uint64_t commit_floor; /* of the start: no stamp of a strong transaction above it was given out */
	uint64_t appended_lsn, durable_lsn;
	struct pace pace;
	struct apply_result applied; /* of the last apply */
	uint64_t apply_idle_lsn;     /* durable LSN at which there was nothing left to apply */
	uint64_t log_syncs;          /* counted in shared memory already */
	bool changed;                /* since the last publishing */
	bool log_is_full;            /* the log refused: what waits in the ring stays there */
	bool rows_are_full;    /* there is no room ahead: writes are refused and the ring waits; the log is still applied */
	bool apply_was_full;   /* the log could not be applied for want of room, and has not been since */
	bool deletes_taken;    /* for them there is room all the same */
	bool apply_is_blocked; /* not even that, until the next upkeep */
	uint32_t peer_stores_logged; /* bit a region, by this process */
	uint32_t reused_peers;       /* bit a region whose streamer takes this one for a wiped or restored one */
	uint32_t resync_peers;       /* bit a region that no longer has the records that are missing here */
	bool is_founded;             /* the operator has said that there is nobody to be met first */
	bool draining;
	struct clock_judgement clock; /* as of this turn */
	bool clock_is_ahead;          /* by more than the limit */
	char clock_text[192];         /* by how much, and against whom */
	int failed;                   /* the log is broken: nothing more is acknowledged */

	struct strong strong;
	struct lend_budget
	    unsent[REGIONS_MAX]; /* to the coordinator of each peer: outlives the strong commit, as the sockets do */

	uint64_t upkeep_at_ns, readers_checked_ns;
	struct snapshot_job *snapshot;
	uint64_t snapshot_lsn, snapshot_oldest_lsn, snapshot_retry_ns, start_told_ns;
};

int coordinator_main(int argc, char **argv);

/* store.c */
int store_start(struct coordinator_io *io, struct error_context *error);
/* Closes everything in good order, so that the next start trusts the rows; after a failure as if killed. */
void store_stop(struct coordinator_io *io);
/* So many writes were left out, since their row is damaged. */
void store_damage_log(const struct coordinator_io *io, uint64_t writes);

/* io.c */
void io_fail(struct coordinator_io *io, int code, const struct error_context *error);
int io_keyspace(const struct topology *topology, struct request_bytes name); /* id; -1 */
/* A repeat's age is as of its sending: it may have waited here since, when this process stood still. */
uint64_t io_waited_ms(const struct coordinator_io *io);

/* gate.c: why writes are refused */
int gate_start(struct coordinator_io *io, struct error_context *error); /* after store_start */
/* What streams and peers say; cheap, once a turn and before clients are read. */
void gate_look(struct coordinator_io *io);
/* Tells the machines when the reason has changed. */
void gate_update(struct coordinator_io *io);
/* The answer to a refused write, with its reason in full where that is not fixed. */
void gate_reason_put(const struct coordinator_io *io, struct coordinator_answer *answer);
/* True if a peer takes this store for wiped or restored: the region neither votes nor accepts writes. */
bool gate_is_reused(const struct coordinator_io *io);

/* upkeep.c */
void upkeep(struct coordinator_io *io);
/* Is there room for what the log holds and for more? What it finds is in rows_are_full; writes are refused accordingly. */
void upkeep_room_check(struct coordinator_io *io);
int upkeep_snapshot_start(struct coordinator_io *io, struct error_context *error);

#endif
