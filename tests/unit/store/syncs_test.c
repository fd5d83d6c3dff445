/* SPDX-License-Identifier: Apache-2.0
 *
 * F24: no sync is left out. A model of the disk watches the calls of this process: what was written and not synced since, and
 * what was named in a directory that was not synced since, a power cut may take back. Whatever the store calls done must not be
 * among it, and no file has its name before its bytes are on disk. */
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "store/snapshot.h"
#include "store/starts.h"
#include "tests/unit/store/support.h"

#define FILES_MAX 256u

struct file {
	char path[PATH_MAX];
	bool bytes, name, removal; /* not on disk yet */
};
static struct place place;
static struct file files[FILES_MAX];
static uint32_t file_count, syncs, maps_synced;
static bool is_full;     /* no file can be made */
static char early[1024]; /* the first thing that was named too early */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static struct file *file_of(const char *path)
{
	for (uint32_t i = 0; i < file_count; i++)
		if (strcmp(files[i].path, path) == 0)
			return &files[i];
	cr_assert_lt(file_count, FILES_MAX);
	snprintf(files[file_count].path, PATH_MAX, "%s", path);
	files[file_count].bytes = files[file_count].name = files[file_count].removal = false;
	return &files[file_count++];
}

/* Under the test's directory, or "". */
static void path_of(int fd, char out[static PATH_MAX])
{
	char link[64];
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t size = place.dir[0] ? readlink(link, out, PATH_MAX - 1) : 0;
	out[size > 0 ? size : 0] = 0;
	if (strncmp(out, place.dir, strlen(place.dir)) != 0)
		out[0] = 0;
}

static bool is_within(const char *path, const char *dir, size_t size)
{
	return strncmp(path, dir, size) == 0 && path[size] == '/' && !strchr(path + size + 1, '/');
}

/* LMDB's own files are mapped, and count on snapshots. */
static bool is_mapped(const char *path)
{
	const char *name = strrchr(path, '/') + 1;
	return strcmp(name, "rows.mdb") == 0 || strcmp(name, "rows.mdb-lock") == 0;
}

static void written(int fd)
{
	char path[PATH_MAX];
	path_of(fd, path);
	pthread_mutex_lock(&mutex);
	if (path[0])
		file_of(path)->bytes = true;
	pthread_mutex_unlock(&mutex);
}

static void synced(int fd)
{
	char path[PATH_MAX];
	path_of(fd, path);
	pthread_mutex_lock(&mutex);
	syncs++;
	for (uint32_t i = 0; path[0] && i < file_count; i++) {
		if (strcmp(files[i].path, path) == 0)
			files[i].bytes = false;
		if (is_within(files[i].path, path, strlen(path)))
			files[i].name = files[i].removal = false;
	}
	pthread_mutex_unlock(&mutex);
}

static void named(const char *from, const char *to)
{
	if (!place.dir[0] || strncmp(to, place.dir, strlen(place.dir)) != 0)
		return;
	pthread_mutex_lock(&mutex);
	struct file *file = file_of(from), *old = file_of(to);
	if (file->bytes && !early[0])
		snprintf(early, sizeof early, "%.400s has its name before its bytes are on disk", to);
	/* Each file of the log before the next one has its name: recovery counts on it. */
	for (uint32_t i = 0; i < file_count; i++)
		if (files[i].bytes && !early[0] && strstr(to, "/log/") && !strstr(files[i].path, ".tmp") &&
		    is_within(files[i].path, place.log, strlen(place.log)))
			snprintf(early, sizeof early, "%.400s comes before all of %.400s is on disk", to, files[i].path);
	old->bytes = file->bytes;
	old->name = true;
	file->bytes = file->name = false;
	pthread_mutex_unlock(&mutex);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at)
{
	written(fd);
	return REAL(pwrite)(fd, bytes, size, at);
}
ssize_t write(int fd, const void *bytes, size_t size)
{
	written(fd);
	return REAL(write)(fd, bytes, size);
}
int ftruncate(int fd, off_t size)
{
	written(fd);
	return REAL(ftruncate)(fd, size);
}
int fsync(int fd)
{
	int code = REAL(fsync)(fd);
	synced(fd);
	return code;
}
int fdatasync(int fd)
{
	int code = REAL(fdatasync)(fd);
	synced(fd);
	return code;
}
int msync(void *at, size_t size, int flags)
{
	maps_synced++;
	return REAL(msync)(at, size, flags);
}
int unlink(const char *path)
{
	int code = REAL(unlink)(path);
	pthread_mutex_lock(&mutex);
	if (code == 0 && place.dir[0] && strncmp(path, place.dir, strlen(place.dir)) == 0)
		file_of(path)->removal = true;
	pthread_mutex_unlock(&mutex);
	return code;
}
int open(const char *path, int flags, ...)
{
	va_list arguments;
	va_start(arguments, flags);
	const mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
	va_end(arguments);
	if (is_full && flags & O_CREAT && place.dir[0] && strncmp(path, place.dir, strlen(place.dir)) == 0) {
		errno = ENOSPC;
		return -1;
	}
	return REAL(open)(path, flags, mode);
}
int rename(const char *from, const char *to)
{
	int code = REAL(rename)(from, to);
	if (code == 0)
		named(from, to);
	return code;
}
int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	char from_path[2 * PATH_MAX], to_path[2 * PATH_MAX];
	path_of(from_fd, from_path);
	path_of(to_fd, to_path);
	snprintf(from_path + strlen(from_path), PATH_MAX, "/%s", from);
	snprintf(to_path + strlen(to_path), PATH_MAX, "/%s", to);
	int code = REAL(renameat)(from_fd, from, to_fd, to);
	if (code == 0)
		named(from_path, to_path);
	return code;
}

/* What the store has called done is on disk. */
static void durable(const char *what)
{
	char found[2048] = "";
	pthread_mutex_lock(&mutex);
	size_t used = (size_t)snprintf(found, sizeof found, "%s", early);
	for (uint32_t i = 0; i < file_count && used < sizeof found / 2; i++) {
		const struct file *f = &files[i];
		const char *name = strrchr(f->path, '/');
		if (f->removal && (strcmp(name, "/boot") == 0 || strcmp(name, "/rows.mdb") == 0))
			used += (size_t)snprintf(found + used, 600, " %.400s may come back;", f->path);
		if (access(f->path, F_OK) < 0)
			continue; /* a name of before */
		if (f->bytes && !is_mapped(f->path) && !strstr(f->path, ".tmp"))
			used += (size_t)snprintf(found + used, 600, " bytes of %.400s are not on disk;", f->path);
		if (f->name)
			used += (size_t)snprintf(found + used, 600, " the name of %.400s is not on disk;", f->path);
	}
	const uint32_t synced_since = syncs;
	syncs = 0;
	pthread_mutex_unlock(&mutex);
	/* Not under the mutex: a report is written, too. */
	cr_assert_str_eq(found, "", "%s: %s", what, found);
	cr_assert_gt(synced_since, 0, "%s: nothing was synced", what);
}

static void setup(void)
{
	place_make(&place);
	place_boot(&place, '1');
	pthread_mutex_lock(&mutex);
	file_count = syncs = maps_synced = 0;
	is_full = false;
	early[0] = 0;
	pthread_mutex_unlock(&mutex);
}
static void teardown(void)
{
	place_remove(&place);
	place.dir[0] = 0;
}

TestSuite(syncs, .init = setup, .fini = teardown);

Test(syncs, F24_a_start_is_on_disk_before_anybody_is_told)
{
	struct starts starts;
	struct error_context error = {""};
	cr_assert_eq(starts_open(&starts, place.rows, &error), 0, "%s", error.text);
	durable("the first start");
	starts_close(&starts);
	cr_assert_eq(starts_open(&starts, place.rows, &error), 0, "%s", error.text);
	durable("the next start");
	cr_assert_eq(starts_keep(&starts, 2, (struct start){.number = 7, .nonce = 77}, &error), 0);
	durable("a start that was met");
	starts_close(&starts);
}

static uint64_t log_fill(struct log *log, uint64_t from, uint64_t to)
{
	static char value[4000];
	uint64_t end = 0;
	memset(value, 'v', sizeof value - 1);
	for (uint64_t sequence = from; sequence <= to; sequence++) {
		const struct write w = {.sequence = sequence, .key = "key", .value = value};
		cr_assert_eq(append(log, &w, &end), 0);
	}
	return end;
}

Test(syncs, F24_what_the_log_calls_durable_is_on_disk)
{
	struct log *log = log_start(&place, NULL, NULL);
	wait_durable(log, log_fill(log, 1, 1));
	durable("the first entry");
	wait_durable(log, log_fill(log, 2, 100)); /* several segments */
	durable("entries across segments");
	log_close(log);

	/* The process before may have ended anywhere: what it left counts as not on disk, names too, until recovery has synced
	 * it. */
	struct log_recovered found;
	for (uint32_t i = 0; i < file_count; i++)
		files[i].bytes = files[i].name = access(files[i].path, F_OK) == 0;
	log = log_start(&place, NULL, &found);
	durable("recovery");
	cr_assert_eq(found.vector.sequence[0], 100);
	wait_durable(log, log_fill(log, 101, 101));
	durable("an entry after recovery");
	log_close(log);
}

static struct log *log_now;
static struct rows *rows_now;

/* As a coordinator starts. */
static bool start(void)
{
	struct error_context error = {""};
	struct log_options options = log_options_small(&place);
	struct log_recovered found;
	struct snapshot_restored out;
	uint64_t start_lsn;
	cr_assert_eq(log_find_start(place.log, &start_lsn, &error), 0);
	cr_assert_eq(snapshot_restore_if_needed(place.dir, start_lsn, NULL, &out, &error), 0, "%s", error.text);
	if (out.restored)
		durable("a restored snapshot");
	cr_assert_eq(snapshot_note_boot(place.dir, &error), 0);
	durable("the note of the boot");
	rows_now = rows_start(&place, NULL);
	options.durable_lsn = rows_meta_now(rows_now)->applied_lsn;
	memcpy(options.store_id, rows_meta_now(rows_now)->store_id, 16);
	log_now = log_start(&place, &options, &found);
	apply_all(rows_now, &place, found.end_lsn);
	return out.restored;
}

Test(syncs, F24_a_snapshot_counts_when_it_is_on_disk)
{
	struct error_context error = {""};
	struct snapshot_job *job;
	uint64_t lsn;
	int code;
	cr_assert_not(start());
	durable("rows and their store's id");
	const uint64_t end = log_fill(log_now, 1, 50);
	wait_durable(log_now, end);
	apply_all(rows_now, &place, end);
	cr_assert_eq(snapshot_start(&job, rows_now, place.dir, &error), 0, "%s", error.text);
	do
		poll(&(struct pollfd){.fd = snapshot_fd(job), .events = POLLIN}, 1, 1000);
	while ((code = snapshot_finish(job, &lsn, &error)) == ERR_EMPTY);
	cr_assert_eq(code, 0, "%s", error.text);
	durable("a snapshot");
	log_close(log_now);
	rows_close(rows_now);

	/* After a power cut the rows come from it. */
	place_boot(&place, '2');
	cr_assert(start());
	cr_assert_eq(rows_meta_now(rows_now)->applied.sequence[0], 50);
	log_close(log_now);
	rows_close(rows_now);

	/* Distrusted, they come from it in this boot, too. */
	cr_assert_eq(snapshot_distrust(place.dir, &error), 0);
	durable("distrust");
	cr_assert(start());
	maps_synced = 0;
	cr_assert_eq(snapshot_note_clean(rows_now, place.dir, &error), 0);
	cr_assert_gt(maps_synced, 0, "rows are called clean that were never synced");
	durable("the note of a clean end");
	log_close(log_now);
	rows_close(rows_now);

	/* On a full disk the note is written over the one that is there. */
	is_full = true;
	cr_assert_eq(snapshot_note_boot(place.dir, &error), 0, "%s", error.text);
	durable("a note on a full disk");
}
