// SPDX-License-Identifier: Apache-2.0
#include "store/snapshot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crash_point.h"
#include "store/boot.h"
#include "store/rows_internal.h"
#include "store/snapshot_file.h"

#define SNAPSHOTS_KEPT 2u
#define SNAPSHOTS_MAX  16u /* looked at */
#define PATH_SIZE      512
#define MAKING_NAME    "making.tmp"

struct snapshot_job {
	struct rows *rows;
	char dir[PATH_SIZE]; /* snapshots/ itself */
	pthread_t thread;
	int event_fd;
	atomic_bool done, cancelled;
	uint64_t lsn;
	int result;
	struct error_context error;
};

static int path_make(char out[static PATH_SIZE], const char *dir, const char *name, struct error_context *error)
{
	if (snprintf(out, PATH_SIZE, "%s/%s", dir, name) >= PATH_SIZE)
		return error_set(error, ERR_CONFIGURATION, "%s/%s: the path is too long", dir, name);
	return 0;
}

static int sync_path(const char *path, int flags, struct error_context *error)
{
	const int fd = open(path, flags | O_CLOEXEC);
	if (fd < 0)
		return error_set(error, ERR_IO, "%s: %s", path, strerror(errno));
	const int code = fsync(fd) < 0 ? errno : 0;
	close(fd);
	return code == 0 ? 0 : error_set(error, ERR_SYNC_FAILED, "%s: fsync: %s", path, strerror(code));
}

static int directory_sync(const char *path, struct error_context *error)
{
	return sync_path(path, O_RDONLY | O_DIRECTORY, error);
}

/* The log position that a copy of the rows holds. */
static int snapshot_position(const char *path, uint64_t *lsn, struct error_context *error)
{
	struct rows_state state;
	MDB_env *env;
	MDB_txn *txn = NULL;
	MDB_dbi meta;

	int code = mdb_env_create(&env);
	if (code != 0)
		return rows_lmdb_error(code, path, error);
	code = mdb_env_set_maxdbs(env, 8);
	if (code == 0)
		code = mdb_env_open(env, path, MDB_NOSUBDIR | MDB_RDONLY | MDB_NOLOCK | MDB_NOTLS, 0600);
	if (code == 0)
		code = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);
	if (code == 0)
		code = mdb_dbi_open(txn, "meta", 0, &meta);
	int result = code == 0 ? rows_state_load(txn, meta, &state, error) : rows_lmdb_error(code, path, error);
	if (result == 0)
		*lsn = state.meta.applied_lsn;
	if (txn != NULL)
		mdb_txn_abort(txn);
	mdb_env_close(env);
	return result;
}

/* Exactly what a finished snapshot is called. */
static bool name_parse(const char *name, uint64_t *lsn)
{
	char again[64], *end;

	if (strncmp(name, "snapshot-", 9) != 0)
		return false;
	errno = 0;
	*lsn = strtoull(name + 9, &end, 10);
	snprintf(again, sizeof(again), "snapshot-%llu.mdb", (unsigned long long)*lsn);
	return errno == 0 && strcmp(name, again) == 0;
}

/* Positions of the snapshots there, newest first; returns how many. */
static uint32_t snapshots_list(const char *dir, uint64_t lsns[static SNAPSHOTS_MAX])
{
	uint64_t lsn;
	uint32_t count = 0;
	DIR *d = opendir(dir);

	for (const struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
		uint32_t at = 0;
		if (!name_parse(e->d_name, &lsn))
			continue;
		while (at < count && lsns[at] > lsn)
			at++;
		if (at == SNAPSHOTS_MAX)
			continue;
		count += count < SNAPSHOTS_MAX;
		memmove(lsns + at + 1, lsns + at, (count - at - 1) * sizeof(*lsns));
		lsns[at] = lsn;
	}
	if (d != NULL)
		closedir(d);
	return count;
}

static int snapshot_path(const char *dir, uint64_t lsn, char path[static PATH_SIZE])
{
	char name[64];

	snprintf(name, sizeof(name), "snapshot-%llu.mdb", (unsigned long long)lsn);
	return path_make(path, dir, name, NULL);
}

static void snapshots_prune(const char *dir)
{
	uint64_t lsns[SNAPSHOTS_MAX];
	char path[PATH_SIZE];
	const uint32_t count = snapshots_list(dir, lsns);

	for (uint32_t i = SNAPSHOTS_KEPT; i < count; i++)
		if (snapshot_path(dir, lsns[i], path) == 0)
			unlink(path);
}

struct copier {
	MDB_env *env;
	int fd, code;
};

static void *copier_main(void *argument)
{
	struct copier *copier = argument;

	/* Not compacted: that would walk every page with this process's one other processor. */
	copier->code = mdb_env_copyfd2(copier->env, copier->fd, 0);
	close(copier->fd);
	return NULL;
}

/* LMDB writes into a pipe, and this thread sums what comes out of it: each byte is read once, on any file system, and the copy
 * can be given up, which ends its view of the rows. */
static int data_copy(struct snapshot_job *job, int to, struct snapshot_sums *sums, struct error_context *error)
{
	struct copier copier = {.env = job->rows->env};
	pthread_t thread;
	sigset_t pipe_only;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_set(error, ERR_IO, "snapshot: pipe: %s", strerror(errno));
	(void)fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
	copier.fd = ends[1];
	sigemptyset(&pipe_only);
	sigaddset(&pipe_only, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe_only, NULL); /* this thread's, and inherited by the copier */
	const int code = pthread_create(&thread, NULL, copier_main, &copier);
	if (code != 0) {
		close(ends[0]);
		close(ends[1]);
		return error_set(error, ERR_NO_MEMORY, "snapshot thread: %s", strerror(code));
	}
	int result = snapshot_file_take(ends[0], to, sums, &job->cancelled, error);
	close(ends[0]);
	pthread_join(thread, NULL);
	return result == 0 ? rows_lmdb_error(copier.code, "copying", error) : result;
}

/* Written, synced, and read again from the disk as far as the system lets that be told: only then does it count. */
static int file_make(struct snapshot_job *job, const char *making, struct error_context *error)
{
	struct snapshot_sums sums = {0};
	const int fd = open(making, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return error_set(
		    error, errno == ENOSPC || errno == EDQUOT ? ERR_DISK_FULL : ERR_IO, "%s: %s", making, strerror(errno));
	int result = data_copy(job, fd, &sums, error);
	if (result == 0)
		result = snapshot_position(making, &job->lsn, error);
	sums.lsn = job->lsn;
	if (result == 0)
		result = snapshot_file_end(fd, &sums, error);
	CRASH_POINT(snapshot_copied);
	if (result == 0 && fsync(fd) < 0)
		result = error_set(error, ERR_SYNC_FAILED, "%s: fsync: %s", making, strerror(errno));
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	if (result == 0)
		result = snapshot_file_check(fd, &sums, error);
	/* What the kernel could not write of the map it may read from the disk again, older than it was: such rows, and a copy
	 * of them, are not to be trusted, and log must not be dropped for it. */
	if (result == 0 && job->rows->options.written_back(job->rows->data_fd) < 0)
		result = error_set(error, ERR_SYNC_FAILED, "rows: writing back: %s", strerror(errno));
	close(fd);
	snapshot_sums_free(&sums);
	return result;
}

static int snapshot_make(struct snapshot_job *job, struct error_context *error)
{
	char making[PATH_SIZE], path[PATH_SIZE], name[64];

	int result = path_make(making, job->dir, MAKING_NAME, error);
	if (result < 0)
		return result;
	if (unlink(making) < 0 && errno != ENOENT)
		return error_set(error, ERR_IO, "%s: %s", making, strerror(errno));
	result = file_make(job, making, error);
	snprintf(name, sizeof(name), "snapshot-%llu.mdb", (unsigned long long)job->lsn);
	if (result == 0)
		result = path_make(path, job->dir, name, error);
	CRASH_POINT(snapshot_synced);
	if (result == 0 && rename(making, path) < 0)
		result = error_set(error, ERR_IO, "%s: %s", path, strerror(errno));
	CRASH_POINT(snapshot_named);
	if (result == 0)
		result = directory_sync(job->dir, error);
	if (result < 0) {
		unlink(making);
		return result;
	}
	snapshots_prune(job->dir);
	return 0;
}

static void *snapshot_main(void *argument)
{
	struct snapshot_job *job = argument;
	const uint64_t one = 1;

	job->result = snapshot_make(job, &job->error);
	atomic_store_explicit(&job->done, true, memory_order_release);
	if (write(job->event_fd, &one, sizeof(one)) < 0)
		return NULL;
	return NULL;
}

int snapshot_start(struct snapshot_job **out, struct rows *rows, const char *dir, struct error_context *error)
{
	struct snapshot_job *job = calloc(1, sizeof(*job));

	if (job == NULL)
		return error_set(error, ERR_NO_MEMORY, "snapshot");
	job->rows = rows;
	int result = path_make(job->dir, dir, "snapshots", error);
	if (result == 0 && mkdir(job->dir, 0700) < 0 && errno != EEXIST)
		result = error_set(error, errno == ENOSPC ? ERR_DISK_FULL : ERR_IO, "%s: %s", job->dir, strerror(errno));
	job->event_fd = result == 0 ? eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) : -1;
	if (result == 0 && job->event_fd < 0)
		result = error_set(error, ERR_IO, "eventfd: %s", strerror(errno));
	if (result == 0) {
		const int code = pthread_create(&job->thread, NULL, snapshot_main, job);
		if (code != 0)
			result = error_set(error, ERR_NO_MEMORY, "snapshot thread: %s", strerror(code));
	}
	if (result < 0) {
		if (job->event_fd >= 0)
			close(job->event_fd);
		free(job);
		return result;
	}
	*out = job;
	return 0;
}

int snapshot_fd(const struct snapshot_job *job)
{
	return job->event_fd;
}

int snapshot_finish(struct snapshot_job *job, uint64_t *lsn, struct error_context *error)
{
	if (!atomic_load_explicit(&job->done, memory_order_acquire))
		return ERR_EMPTY;
	pthread_join(job->thread, NULL);
	const int result = job->result;
	*lsn = job->lsn;
	if (result < 0 && error != NULL)
		*error = job->error;
	close(job->event_fd);
	free(job);
	return result;
}

void snapshot_cancel(struct snapshot_job *job)
{
	atomic_store_explicit(&job->cancelled, true, memory_order_relaxed);
}

int snapshot_newest(const char *dir, uint64_t *lsn, char path[static 512])
{
	char snapshots[PATH_SIZE];
	uint64_t lsns[SNAPSHOTS_MAX];

	const int result = path_make(snapshots, dir, "snapshots", NULL);
	if (result < 0)
		return result;
	if (snapshots_list(snapshots, lsns) == 0)
		return ERR_NOT_FOUND;
	*lsn = lsns[0];
	return snapshot_path(snapshots, lsns[0], path);
}

uint64_t snapshot_oldest_lsn(const char *dir)
{
	char snapshots[PATH_SIZE];
	uint64_t lsns[SNAPSHOTS_MAX];

	const uint32_t count = path_make(snapshots, dir, "snapshots", NULL) == 0 ? snapshots_list(snapshots, lsns) : 0;
	return count > 0 ? lsns[count < SNAPSHOTS_KEPT ? count - 1 : SNAPSHOTS_KEPT - 1] : 0;
}

/* The note beside the rows: 16 bytes boot id, 1 byte: 1 when they were synced and closed in good order. */
#define NOTE_SIZE 17

static int note_write(const char *dir, bool clean, struct error_context *error)
{
	char rows[PATH_SIZE], path[PATH_SIZE], making[PATH_SIZE];
	uint8_t note[NOTE_SIZE];

	note[16] = clean;
	int result = boot_id_read(note, error);
	if (result == 0)
		result = path_make(rows, dir, "rows", error);
	if (result == 0)
		result = path_make(path, rows, "boot", error);
	if (result == 0)
		result = path_make(making, rows, "boot.tmp", error);
	if (result < 0)
		return result;
	const int fd = open(making, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set(error, errno == ENOSPC ? ERR_DISK_FULL : ERR_IO, "%s: %s", making, strerror(errno));
	const bool good = write(fd, note, sizeof(note)) == (ssize_t)sizeof(note) && fsync(fd) == 0;
	const int code = errno;
	close(fd);
	if (!good)
		return error_set(error, code == ENOSPC ? ERR_DISK_FULL : ERR_IO, "%s: %s", making, strerror(code));
	if (clean)
		CRASH_POINT(clean_noted);
	else
		CRASH_POINT(boot_noted);
	if (rename(making, path) < 0)
		return error_set(error, ERR_IO, "%s: %s", path, strerror(errno));
	return directory_sync(rows, error);
}

/* On a full disk: in the place of the note that is there, which takes no room. 17 bytes are not torn. */
static int note_overwrite(const char *path, const uint8_t note[static NOTE_SIZE], struct error_context *error)
{
	const int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return error_set(error, ERR_IO, "%s: %s", path, strerror(errno));
	const bool good = pwrite(fd, note, NOTE_SIZE, 0) == NOTE_SIZE && fdatasync(fd) == 0;
	const int code = errno;
	close(fd);
	return good ? 0 : error_set(error, ERR_IO, "%s: %s", path, strerror(code));
}

int snapshot_note_boot(const char *dir, struct error_context *error)
{
	char path[PATH_SIZE];
	uint8_t note[NOTE_SIZE] = {0};

	int result = note_write(dir, false, error);
	if (result != ERR_DISK_FULL)
		return result;
	result = path_make(path, dir, "rows/boot", error);
	if (result == 0)
		result = boot_id_read(note, error);
	return result == 0 ? note_overwrite(path, note, error) : result;
}

int snapshot_note_clean(struct rows *rows, const char *dir, struct error_context *error)
{
	const int code = mdb_env_sync(rows->env, 1);

	return code != 0 ? error_set(error, ERR_SYNC_FAILED, "rows: sync: %s", mdb_strerror(code))
	                 : note_write(dir, true, error);
}

/* Can what the rows' file says be believed: written in this boot, or synced whole at the end of an earlier one? */
static int rows_are_trusted(const char *rows_dir, bool *trusted, struct error_context *error)
{
	char path[PATH_SIZE];
	uint8_t note[NOTE_SIZE], boot[16];

	*trusted = false;
	int result = path_make(path, rows_dir, "boot", error);
	if (result == 0)
		result = boot_id_read(boot, error);
	if (result < 0)
		return result;
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : error_set(error, ERR_IO, "%s: %s", path, strerror(errno));
	const ssize_t n = read(fd, note, sizeof(note));
	close(fd);
	*trusted = n == (ssize_t)sizeof(note) && (note[16] == 1 || memcmp(note, boot, sizeof(boot)) == 0);
	return 0;
}

/* One snapshot into `making`; ERR_CORRUPT when it is damaged. */
static int snapshot_take(
    const char *snapshot, const char *making, const struct snapshot_progress *progress, struct error_context *error)
{
	struct snapshot_sums sums = {0};
	const int from = open(snapshot, O_RDONLY | O_CLOEXEC);
	/* Not truncated: what an earlier start has copied of it is not copied again. */
	const int to = open(making, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	int result = from < 0 || to < 0 ? error_set(error, errno == ENOSPC || errno == EDQUOT ? ERR_DISK_FULL : ERR_IO,
	                                      "copying %s to %s: %s", snapshot, making, strerror(errno))
	                                : snapshot_file_open(from, &sums, error);
	if (result == 0)
		result = snapshot_file_restore(from, to, &sums, progress, error);
	snapshot_sums_free(&sums);
	if (from >= 0)
		close(from);
	if (to >= 0)
		close(to);
	return result;
}

/* A damaged one is kept under another name, for whoever wants to know, and counts no more. */
static void set_aside(const char *snapshot, uint64_t lsn, const char *dir)
{
	char name[64], aside[PATH_SIZE];

	snprintf(name, sizeof(name), "damaged-%llu.mdb", (unsigned long long)lsn);
	if (path_make(aside, dir, name, NULL) == 0)
		(void)rename(snapshot, aside);
}

/* The newest whole snapshot that the log still follows, into `making`. ERR_NOT_FOUND: there is none. */
static int newest_take(const char *dir, uint64_t log_start_lsn, const char *making, const struct snapshot_progress *progress,
    struct snapshot_restored *out, struct error_context *error)
{
	char snapshots[PATH_SIZE], snapshot[PATH_SIZE];
	uint64_t lsns[SNAPSHOTS_MAX];
	struct error_context reason = {""};

	int result = path_make(snapshots, dir, "snapshots", error);
	if (result < 0)
		return result;
	const uint32_t count = snapshots_list(snapshots, lsns);
	for (uint32_t i = 0; i < count; i++) {
		out->too_old = lsns[i] < log_start_lsn;
		if (out->too_old)
			break;
		result = snapshot_path(snapshots, lsns[i], snapshot);
		if (result == 0)
			result = snapshot_take(snapshot, making, progress, &reason);
		if (result != ERR_CORRUPT)
			return result < 0 ? error_set(error, result, "%s", reason.text) : 0;
		set_aside(snapshot, lsns[i], snapshots);
		out->damaged++;
		snprintf(out->reason, sizeof(out->reason), "%s", reason.text);
	}
	return ERR_NOT_FOUND;
}

int snapshot_restore_if_needed(const char *dir, uint64_t log_start_lsn, const struct snapshot_progress *progress,
    struct snapshot_restored *out, struct error_context *error)
{
	char rows[PATH_SIZE], data[PATH_SIZE], lock[PATH_SIZE], making[PATH_SIZE];
	bool trusted;

	*out = (struct snapshot_restored){0};
	int result = path_make(rows, dir, "rows", error);
	if (result == 0)
		result = path_make(data, rows, "rows.mdb", error);
	if (result == 0)
		result = path_make(lock, rows, "rows.mdb-lock", error);
	if (result == 0)
		result = path_make(making, rows, "rows.mdb.tmp", error);
	if (result < 0)
		return result;
	const bool exists = access(data, F_OK) == 0;
	if (exists) {
		result = rows_are_trusted(rows, &trusted, error);
		if (result < 0 || trusted)
			return result;
	}
	result = newest_take(dir, log_start_lsn, making, progress, out, error);
	if (result < 0 && result != ERR_NOT_FOUND)
		return result;
	const bool has_snapshot = result == 0;
	result = 0;
	if (!has_snapshot && log_start_lsn == 0 && !exists)
		return 0;
	if (!has_snapshot && log_start_lsn != 0)
		return error_set(error, ERR_CORRUPT,
		    "the machine went down while the rows were in use (or they are gone), and %s: the log starts at "
		    "%llu%s%.200s",
		    out->too_old   ? "the newest snapshot is too old"
		    : out->damaged ? "no snapshot is whole"
		                   : "there is no snapshot",
		    (unsigned long long)log_start_lsn, out->reason[0] ? "; " : "", out->reason);
	CRASH_POINT(restore_copied);
	/* Readers' slots belong to the file that goes. */
	if (result == 0 && unlink(lock) < 0 && errno != ENOENT)
		result = error_set(error, ERR_IO, "%s: %s", lock, strerror(errno));
	CRASH_POINT(restore_unlocked);
	if (result == 0 && (has_snapshot ? rename(making, data) : unlink(data)) < 0 && errno != ENOENT)
		result = error_set(error, ERR_IO, "%s: %s", data, strerror(errno));
	CRASH_POINT(restore_replaced);
	if (result == 0)
		result = directory_sync(rows, error);
	out->restored = result == 0;
	return result;
}

int snapshot_distrust(const char *dir, struct error_context *error)
{
	char rows[PATH_SIZE], path[PATH_SIZE];

	int result = path_make(rows, dir, "rows", error);
	if (result == 0)
		result = path_make(path, rows, "boot", error);
	if (result == 0 && unlink(path) < 0 && errno != ENOENT)
		result = error_set(error, ERR_IO, "%s: %s", path, strerror(errno));
	return result == 0 ? directory_sync(rows, error) : result;
}
