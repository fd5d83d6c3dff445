// SPDX-License-Identifier: Apache-2.0
#include "store/snapshot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/crash_point.h"
#include "store/boot.h"
#include "store/rows_internal.h"

#define SNAPSHOTS_KEPT 2
#define PATH_SIZE      512
#define MAKING_NAME    "making.tmp"

struct snapshot_job {
	struct rows *rows;
	char dir[PATH_SIZE]; /* snapshots/ itself */
	pthread_t thread;
	int event_fd;
	atomic_bool done;
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

/* Finds the newest; removes all but the newest `kept` of them when kept is not 0. */
static int snapshots_visit(const char *dir, uint32_t kept, uint64_t *newest)
{
	uint64_t best[SNAPSHOTS_KEPT] = {0}, lsn;
	uint32_t found = 0;
	DIR *d = opendir(dir);

	if (d == NULL)
		return ERR_NOT_FOUND;
	for (const struct dirent *e; (e = readdir(d)) != NULL;) {
		if (!name_parse(e->d_name, &lsn))
			continue;
		for (uint32_t i = 0; i < SNAPSHOTS_KEPT; i++)
			if (i >= found || lsn > best[i]) {
				memmove(best + i + 1, best + i, (SNAPSHOTS_KEPT - 1 - i) * sizeof(*best));
				best[i] = lsn;
				break;
			}
		found += found < SNAPSHOTS_KEPT;
	}
	if (kept > 0 && found == kept) {
		rewinddir(d);
		for (const struct dirent *e; (e = readdir(d)) != NULL;)
			if (name_parse(e->d_name, &lsn) && lsn < best[kept - 1])
				unlinkat(dirfd(d), e->d_name, 0);
	}
	closedir(d);
	*newest = best[0];
	return found > 0 ? 0 : ERR_NOT_FOUND;
}

static int snapshot_make(struct snapshot_job *job, struct error_context *error)
{
	char making[PATH_SIZE], path[PATH_SIZE], name[64];
	uint64_t newest;

	int result = path_make(making, job->dir, MAKING_NAME, error);
	if (result < 0)
		return result;
	if (unlink(making) < 0 && errno != ENOENT)
		return error_set(error, ERR_IO, "%s: %s", making, strerror(errno));
	/* Not compacted: that would walk every page with this process's one other processor. */
	result = rows_lmdb_error(mdb_env_copy2(job->rows->env, making, 0), making, error);
	if (result == 0)
		result = snapshot_position(making, &job->lsn, error);
	CRASH_POINT(snapshot_copied);
	if (result == 0)
		result = sync_path(making, O_RDWR, error);
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
	(void)snapshots_visit(job->dir, SNAPSHOTS_KEPT, &newest);
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

int snapshot_newest(const char *dir, uint64_t *lsn, char path[static 512])
{
	char snapshots[PATH_SIZE], name[64];

	int result = path_make(snapshots, dir, "snapshots", NULL);
	if (result == 0)
		result = snapshots_visit(snapshots, 0, lsn);
	if (result < 0)
		return result;
	snprintf(name, sizeof(name), "snapshot-%llu.mdb", (unsigned long long)*lsn);
	return path_make(path, snapshots, name, NULL);
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

static int file_copy(const char *from, const char *to, struct error_context *error)
{
	const int in = open(from, O_RDONLY | O_CLOEXEC);
	const int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ssize_t n = -1;

	if (in >= 0 && out >= 0) {
		do
			n = copy_file_range(in, NULL, out, NULL, 1u << 30, 0);
		while (n > 0 || (n < 0 && errno == EINTR));
		if (n == 0 && fsync(out) < 0)
			n = -1;
	}
	const int code = errno;
	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);
	if (n < 0)
		return error_set(error, code == ENOSPC || code == EDQUOT ? ERR_DISK_FULL : ERR_IO, "copying %s to %s: %s", from,
		    to, strerror(code));
	return 0;
}

int snapshot_restore_if_needed(const char *dir, uint64_t log_start_lsn, bool *restored, struct error_context *error)
{
	char rows[PATH_SIZE], data[PATH_SIZE], lock[PATH_SIZE], making[PATH_SIZE], snapshot[PATH_SIZE];
	uint64_t lsn = 0;
	bool trusted;

	*restored = false;
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
	const bool has_snapshot = snapshot_newest(dir, &lsn, snapshot) == 0;
	if (!has_snapshot && log_start_lsn == 0 && !exists)
		return 0;
	if (has_snapshot ? lsn < log_start_lsn : log_start_lsn != 0)
		return error_set(error, ERR_CORRUPT,
		    "the machine went down while the rows were in use (or they are gone), and %s: the log starts at %llu",
		    has_snapshot ? "the newest snapshot is too old" : "there is no snapshot",
		    (unsigned long long)log_start_lsn);
	if (has_snapshot)
		result = file_copy(snapshot, making, error);
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
	*restored = result == 0;
	return result;
}
