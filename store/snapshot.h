/* SPDX-License-Identifier: Apache-2.0
 *
 * Snapshots: a copy of the rows that was synced to disk, so that a machine that lost its page cache has something to replay
 * the log onto. File snapshot-LSN.mdb (store/snapshot_file.h: with checksums), made under another name, synced, read again and
 * checked, renamed, directory synced. The newest two are kept, and the log from the older one on if its budget allows that:
 * should the newest be damaged, the older one is taken. A damaged one is renamed damaged-LSN.mdb. `dir` is the region's
 * directory everywhere here: it holds rows/ (with rows.mdb, and the boot id noted beside it) and snapshots/ (made when
 * missing). Order at start: log_find_start, snapshot_restore_if_needed, snapshot_note_boot, rows_open, log_open with the rows'
 * applied LSN as durable_lsn, rows_apply_log. At the end: snapshot_note_clean, rows_close. Other actors must not open the rows
 * before the coordinator is ready: a restore puts another file in their place. */
#ifndef GODWIT_STORE_SNAPSHOT_H
#define GODWIT_STORE_SNAPSHOT_H
#include <stdbool.h>
#include <stdint.h>

#include "store/rows.h"
#include "store/snapshot_file.h"

/* Copies in threads of its own; fd becomes readable when done. One at a time. */
struct snapshot_job;
int snapshot_start(struct snapshot_job **job, struct rows *rows, const char *dir, struct error_context *error);
int snapshot_fd(const struct snapshot_job *job);
/* ERR_EMPTY while it runs; 0 with the log position that the snapshot holds, or why it failed. Frees the job unless EMPTY. */
int snapshot_finish(struct snapshot_job *job, uint64_t *lsn, struct error_context *error);
/* It ends soon, with ERR_OVERLOADED: for when its view keeps pages from being used again. */
void snapshot_cancel(struct snapshot_job *job);
/* Position of the older of the two that are kept; of the only one; 0: there is none. */
uint64_t snapshot_oldest_lsn(const char *dir);
/* Position of the newest complete snapshot; ERR_NOT_FOUND. */
int snapshot_newest(const char *dir, uint64_t *lsn, char path[static 512]);

struct snapshot_restored {
	bool restored, too_old; /* too_old: the log no longer follows the next one */
	uint32_t damaged;       /* newer snapshots that were not whole; reason: of the last one */
	char reason[320];
};
/* Called by the writer before rows_open. If the machine went down since the rows were last in use (boot id differs from the
 * one noted beside them, and no clean-shutdown mark), the map is not trusted: it is replaced by the newest whole snapshot, or
 * by an empty store when there is none and the log still starts at 0; ERR_CORRUPT when neither is possible. What an earlier
 * call has copied before it was killed is checked and kept. progress may be NULL. */
int snapshot_restore_if_needed(const char *dir, uint64_t log_start_lsn, const struct snapshot_progress *progress,
    struct snapshot_restored *out, struct error_context *error);
/* The next start takes the map for as bad as after a machine's end: it could not be written back. */
int snapshot_distrust(const char *dir, struct error_context *error);
/* Notes the boot id (at start), and that the rows were synced and closed in good order (at the end, after mdb_env_sync). */
int snapshot_note_boot(const char *dir, struct error_context *error);
int snapshot_note_clean(struct rows *rows, const char *dir, struct error_context *error);

#endif
