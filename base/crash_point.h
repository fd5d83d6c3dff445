/* SPDX-License-Identifier: Apache-2.0
 *
 * Named places where a process can be made to die, stop or stand still, to see that what it leaves behind is enough. Only in a
 * build with the meson option crash_points; in any other build a point is nothing, not even a test of a flag.
 *
 * GODWIT_CRASH_POINT="[ACTOR/]NAME[:COUNT][:delay=MS][:kill|stop]" selects one for a process, read when it comes to its first
 * point: at the COUNTth visit (1) it is killed. With a delay that thread stands still first, while the others go on; with
 * nothing behind the delay it goes on then. ACTOR is the name of the program without "godwit-". GODWIT_CRASH_POINT_HIT names a
 * file that is made then; when it is there already, nothing happens, so that whoever is started again lives.
 *
 * In this folder because it is the lowest of those that may know of processes and files. tests/crash visits every point of the
 * list; a new one is a line here and a line where it is. */
#ifndef GODWIT_BASE_CRASH_POINT_H
#define GODWIT_BASE_CRASH_POINT_H
#include <stdbool.h>

/* Columns: name; programs that come by; what brings one there, for tests/crash/crash.sh: writes (load), so many that the log
 * goes on in another file (roll) or loses its first (drop), a snapshot, any start (restart), a start after a machine crash
 * (restore), with a torn tail (torn), the first of all (first), a stop, and `godwit up` making keys (keys). */
#define CRASH_POINT_TABLE(X)                                                                                                   \
	/* The log. */                                                                                                         \
	X(log_entry_buffered, "coordinator", "load")  /* in memory, the disk has nothing */                                    \
	X(log_group_taken, "coordinator", "load")     /* by the thread that syncs */                                           \
	X(log_partly_written, "coordinator", "load")  /* a torn tail */                                                        \
	X(log_written, "coordinator", "load")         /* not synced */                                                         \
	X(log_synced, "coordinator", "load")          /* nobody was told */                                                    \
	X(log_spare_made, "coordinator", "roll")      /* not yet known to be there */                                          \
	X(log_rolled, "coordinator", "roll")          /* in memory only */                                                     \
	X(log_segment_headed, "coordinator", "roll")  /* header written, not synced */                                         \
	X(log_segment_unnamed, "coordinator", "roll") /* synced, not renamed */                                                \
	X(log_segment_named, "coordinator", "roll")   /* renamed, the directory not synced */                                  \
	X(log_segment_removed, "coordinator", "drop") /* the oldest, others to follow */                                       \
	X(log_tail_cut, "coordinator", "torn")        /* while it recovers: not yet synced */                                  \
	X(log_recovered, "coordinator", "restart")    /* written anew, not synced */                                           \
	/* The rows. */                                                                                                        \
	X(rows_half_applied, "coordinator", "load") /* in the middle of a transaction */                                       \
	X(rows_uncommitted, "coordinator", "load")                                                                             \
	X(rows_committed, "coordinator", "load")    /* nobody was told */                                                      \
	X(boot_noted, "coordinator", "restart")     /* synced, not renamed */                                                  \
	X(clean_noted, "coordinator", "stop")       /* the same at the end */                                                  \
	X(starts_written, "coordinator", "restart") /* not synced */                                                           \
	/* Snapshots. */                                                                                                       \
	X(snapshot_copied, "coordinator", "snapshot") /* not synced */                                                         \
	X(snapshot_synced, "coordinator", "snapshot") /* not renamed */                                                        \
	X(snapshot_named, "coordinator", "snapshot")  /* the directory not synced, old ones there */                           \
	X(restore_copied, "coordinator", "restore")   /* not in its place */                                                   \
	X(restore_unlocked, "coordinator", "restore") /* readers' slots gone, the old rows there */                            \
	X(restore_replaced, "coordinator", "restore") /* the directory not synced */                                           \
	/* Shared memory. */                                                                                                   \
	X(ring_written, "streamer", "load")   /* tail not stored */                                                            \
	X(ring_published, "streamer", "load") /* nobody rung */                                                                \
	X(ring_taken, "coordinator", "load")  /* head not stored */                                                            \
	X(vector_half_written, "coordinator,streamer", "load")                                                                 \
	X(vector_written, "coordinator,streamer", "load") /* one copy newer, the other older */                                \
	X(shm_made, "supervisor", "restart")              /* no size */                                                        \
	X(shm_allocated, "supervisor", "restart")         /* no header */                                                      \
	X(shm_half_made, "supervisor", "restart")         /* header but for the version */                                     \
	/* Streams. */                                                                                                         \
	X(stream_opened, "streamer", "load")                                                                                   \
	X(frame_built, "streamer", "load")          /* not sent */                                                             \
	X(frame_sent, "streamer", "load")           /* not noted */                                                            \
	X(frame_taken, "streamer", "load")          /* received, not in the ring */                                            \
	X(frame_half_delivered, "streamer", "load") /* some of its records in the ring */                                      \
	X(acknowledge_unsent, "streamer", "load")                                                                              \
	X(acknowledge_sent, "streamer", "load")                                                                                \
	/* The coordinator. */                                                                                                 \
	X(bound_appended, "coordinator", "load")   /* the record that needs it is not */                                       \
	X(record_appended, "coordinator", "load")  /* its number not yet taken */                                              \
	X(inbound_appended, "coordinator", "load") /* still in the ring */                                                     \
	X(durable_unapplied, "coordinator", "load")                                                                            \
	X(applied_unpublished, "coordinator", "load")                                                                          \
	X(applied_unanswered, "coordinator", "load")                                                                           \
	X(ring_discarded, "coordinator", "restart") /* the epoch not raised */                                                 \
	X(epoch_raised, "coordinator", "restart")   /* not ready */                                                            \
	/* Strong transactions (tests/crash/strong.sh): where they are begun (commit), voted for (vote), both (both), in a     \
	 * region that recovers those of a dead one (recover). */                                                              \
	X(commit_sent, "coordinator", "both")          /* a turn's messages to all; at first PREPARE */                        \
	X(commit_part_sent, "coordinator", "both")     /* to one region, not to the other */                                   \
	X(commit_appended, "coordinator", "commit")    /* votes in, the decision in memory only */                             \
	X(commit_durable, "coordinator", "both")       /* vote or decision durable, nobody told */                             \
	X(commit_unanswered, "coordinator", "commit")  /* the client's answer not sent */                                      \
	X(commit_vote_appended, "coordinator", "vote") /* in memory only */                                                    \
	X(commit_noted, "coordinator", "recover")      /* told of a COMMIT before its stream has brought it */                 \
	X(commit_promise_appended, "coordinator", "recover")                                                                   \
	X(commit_accept_appended, "coordinator", "recover")                                                                    \
	X(commit_abort_appended, "coordinator", "recover")                                                                     \
	X(commit_streamed, "coordinator", "vote") /* its record appended, the machine not told */                              \
	/* The router. */                                                                                                      \
	X(write_forwarded, "router", "load")                                                                                   \
	X(answer_unsent, "router", "load") /* written, durable, applied, not told */                                           \
	/* The supervisor, and what comes before it. */                                                                        \
	X(pid_unnamed, "supervisor", "restart")   /* written, not renamed */                                                   \
	X(child_forked, "supervisor", "restart")  /* the child; not yet another program */                                     \
	X(child_started, "supervisor", "restart") /* not ready */                                                              \
	X(ready_untold, "supervisor", "restart")                                                                               \
	X(key_unnamed, "godwit", "keys")   /* written under another name */                                                    \
	X(key_half_made, "godwit", "keys") /* the secret without the public key */

#ifdef GODWIT_CRASH_POINTS

enum crash_point {
#define X(name, programs, way) CRASH_POINT_##name,
	CRASH_POINT_TABLE(X)
#undef X
	    CRASH_POINTS
};
bool crash_point_is_due(enum crash_point point);
void crash_point_act(enum crash_point point);
/* `first` is done only if it is to happen here: half of what would have been done whole. */
#define CRASH_POINT_WITH(name, first)                                                                                          \
	do {                                                                                                                   \
		if (crash_point_is_due(CRASH_POINT_##name)) {                                                                  \
			first;                                                                                                 \
			crash_point_act(CRASH_POINT_##name);                                                                   \
		}                                                                                                              \
	} while (0)

#else
#define CRASH_POINT_WITH(name, first) ((void)0)
#endif
#define CRASH_POINT(name) CRASH_POINT_WITH(name, (void)0)

#endif
