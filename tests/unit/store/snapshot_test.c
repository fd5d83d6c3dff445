// SPDX-License-Identifier: Apache-2.0
#include "store/snapshot.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/store/support.h"

static struct place place;
static struct log *log_now;
static struct rows *rows_now;
static uint64_t sequence;

static void setup(void)
{
	place_make(&place);
	place_boot(&place, '1');
}
static void teardown(void)
{
	place_remove(&place);
}

TestSuite(snapshot, .init = setup, .fini = teardown);

static uint64_t write_some(int count)
{
	char key[32], value[300];
	uint64_t end = 0;

	memset(value, 'v', sizeof(value) - 1);
	value[sizeof(value) - 1] = 0;
	for (int i = 0; i < count; i++) {
		snprintf(key, sizeof(key), "k%d", (int)(++sequence % 777));
		const struct write w = {.sequence = sequence, .key = key, .value = value};
		cr_assert_eq(append(log_now, &w, &end), 0);
	}
	wait_durable(log_now, end);
	apply_all(rows_now, &place, end);
	return end;
}

/* As a coordinator starts. */
static int start(bool *restored, struct error_context *error)
{
	struct log_options options = log_options_small(&place);
	struct log_recovered found;
	uint64_t start_lsn;

	cr_assert_eq(log_find_start(place.log, &start_lsn, error), 0);
	struct snapshot_restored out;
	int result = snapshot_restore_if_needed(place.dir, start_lsn, NULL, &out, error);
	*restored = out.restored;
	if (result < 0)
		return result;
	cr_assert_eq(snapshot_note_boot(place.dir, error), 0);
	rows_now = rows_start(&place, NULL);
	options.durable_lsn = rows_meta_now(rows_now)->applied_lsn;
	memcpy(options.store_id, rows_meta_now(rows_now)->store_id, 16);
	log_now = log_start(&place, &options, &found);
	apply_all(rows_now, &place, found.end_lsn);
	cr_assert_eq(memcmp(&rows_meta_now(rows_now)->applied, &found.vector, sizeof(found.vector)), 0);
	return 0;
}

static void stop(void)
{
	log_close(log_now);
	rows_close(rows_now);
}

static uint64_t snapshot_take(void)
{
	struct error_context error = {""};
	struct snapshot_job *job;
	uint64_t lsn;
	int result;

	cr_assert_eq(snapshot_start(&job, rows_now, place.dir, &error), 0, "%s", error.text);
	do
		poll(&(struct pollfd){.fd = snapshot_fd(job), .events = POLLIN}, 1, 1000);
	while ((result = snapshot_finish(job, &lsn, &error)) == ERR_EMPTY);
	cr_assert_eq(result, 0, "%s", error.text);
	return lsn;
}

/* What a machine crash may leave of a file that was never synced. */
static void scribble(void)
{
	char path[200], junk[65536];

	memset(junk, 0x77, sizeof(junk));
	snprintf(path, sizeof(path), "%s/rows.mdb", place.rows);
	const int fd = open(path, O_WRONLY);
	cr_assert(fd >= 0);
	for (int i = 2; i < 20; i += 3)
		cr_assert_eq(pwrite(fd, junk, 4096, i * 4096), 4096);
	close(fd);
}

Test(snapshot, after_a_machine_crash_the_snapshot_and_the_log_give_the_same_rows)
{
	struct digest before[DIGEST_BUCKETS], after[DIGEST_BUCKETS];
	struct error_context error = {""};
	char path[512];
	uint64_t newest;
	bool restored;

	cr_assert_eq(start(&restored, &error), 0, "%s", error.text);
	cr_assert_not(restored);
	cr_assert_eq(snapshot_newest(place.dir, &newest, path), ERR_NOT_FOUND);
	write_some(500);
	const uint64_t lsn = snapshot_take();
	cr_assert_eq(lsn, rows_meta_now(rows_now)->applied_lsn);
	const uint64_t end = write_some(900);
	cr_assert_gt(log_drop_before(log_now, lsn), 0);
	digests_take(rows_now, 0, before);
	stop();

	scribble();
	place_boot(&place, '2');
	cr_assert_eq(start(&restored, &error), 0, "%s", error.text);
	cr_assert(restored);
	cr_assert_eq(rows_meta_now(rows_now)->applied_lsn, end);
	digests_take(rows_now, 0, after);
	cr_assert_eq(memcmp(before, after, sizeof(before)), 0);
	digests_check(rows_now, 0);
	write_some(10);
	stop();

	/* Same boot: the map holds, however the process ended. */
	cr_assert_eq(start(&restored, &error), 0);
	cr_assert_not(restored);
	/* In good order: the map holds in another boot, too. */
	cr_assert_eq(snapshot_note_clean(rows_now, place.dir, &error), 0);
	stop();
	place_boot(&place, '3');
	cr_assert_eq(start(&restored, &error), 0);
	cr_assert_not(restored);
	/* And the mark is gone once it is in use again. */
	stop();
	place_boot(&place, '4');
	cr_assert_eq(start(&restored, &error), 0);
	cr_assert(restored);
	digests_check(rows_now, 0);
	stop();
}

Test(snapshot, without_one_the_whole_log_is_replayed_or_it_is_an_error)
{
	struct digest before[DIGEST_BUCKETS], after[DIGEST_BUCKETS];
	struct error_context error = {""};
	bool restored;

	cr_assert_eq(start(&restored, &error), 0);
	const uint64_t end = write_some(500);
	digests_take(rows_now, 0, before);
	stop();
	scribble();
	place_boot(&place, '2');
	cr_assert_eq(start(&restored, &error), 0, "%s", error.text);
	cr_assert(restored);
	digests_take(rows_now, 0, after);
	cr_assert_eq(memcmp(before, after, sizeof(before)), 0);
	cr_assert_gt(log_drop_before(log_now, end), 0);
	stop();
	place_boot(&place, '3');
	cr_assert_eq(start(&restored, &error), ERR_CORRUPT);
}

Test(snapshot, M14_rows_wiped_under_an_old_log_are_refused)
{
	struct log_options options = log_options_small(&place);
	struct error_context error = {""};
	struct log_recovered found;
	char path[200];
	bool restored;

	cr_assert_eq(start(&restored, &error), 0);
	write_some(10);
	stop();
	const char *files[] = {"rows.mdb", "rows.mdb-lock", "store.id", "boot"};
	for (int i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "%s/%s", place.rows, files[i]);
		cr_assert_eq(unlink(path), 0, "%s", path);
	}
	rows_now = rows_start(&place, NULL);
	memcpy(options.store_id, rows_meta_now(rows_now)->store_id, 16);
	cr_assert_eq(log_open(&log_now, &options, &found, &error), ERR_REGION_REUSED, "%s", error.text);
	rows_close(rows_now);
}

Test(snapshot, the_newest_two_are_kept_and_writing_goes_on_meanwhile)
{
	struct error_context error = {""};
	struct snapshot_job *job;
	uint64_t newest, lsn;
	char path[512];
	bool restored;
	int result;

	cr_assert_eq(start(&restored, &error), 0);
	uint64_t taken[4];
	for (int i = 0; i < 4; i++) {
		write_some(50);
		taken[i] = snapshot_take();
		cr_assert_eq(snapshot_newest(place.dir, &newest, path), 0);
		cr_assert_eq(newest, taken[i]);
		cr_assert_eq(access(path, R_OK), 0);
	}
	for (int i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "%s/snapshots/snapshot-%llu.mdb", place.dir, (unsigned long long)taken[i]);
		cr_assert_eq(access(path, R_OK) == 0, i >= 2);
	}
	cr_assert_eq(snapshot_start(&job, rows_now, place.dir, &error), 0);
	write_some(300);
	while ((result = snapshot_finish(job, &lsn, &error)) == ERR_EMPTY)
		write_some(1);
	cr_assert_eq(result, 0, "%s", error.text);
	cr_assert_leq(lsn, rows_meta_now(rows_now)->applied_lsn);
	stop();
	scribble();
	place_boot(&place, '2');
	cr_assert_eq(start(&restored, &error), 0, "%s", error.text);
	cr_assert(restored);
	digests_check(rows_now, 0);
	stop();
}

static void snapshot_path_of(uint64_t lsn, char path[static 256])
{
	snprintf(path, 256, "%s/snapshots/snapshot-%llu.mdb", place.dir, (unsigned long long)lsn);
}

Test(snapshot, D8_a_damaged_newest_one_is_set_aside_and_the_older_one_taken)
{
	struct digest before[DIGEST_BUCKETS], after[DIGEST_BUCKETS];
	struct error_context error = {""};
	char path[256];
	struct stat status;
	bool restored;
	uint64_t taken[2];

	cr_assert_eq(start(&restored, &error), 0, "%s", error.text);
	for (int i = 0; i < 2; i++) {
		write_some(500);
		taken[i] = snapshot_take();
		snapshot_path_of(taken[i], path);
		cr_assert(stat(path, &status) == 0 && (status.st_mode & 0777) == 0600, "13: mode %o", status.st_mode & 0777);
	}
	const uint64_t end = write_some(300);
	cr_assert_eq(snapshot_oldest_lsn(place.dir), taken[0]);
	log_drop_before(log_now, taken[0]);
	digests_take(rows_now, 0, before);
	stop();
	scribble();
	const int fd = open(path, O_RDWR);
	cr_assert_eq(pwrite(fd, "damage", 6, 9000), 6);
	close(fd);
	place_boot(&place, '2');
	cr_assert_eq(start(&restored, &error), 0, "%s", error.text);
	cr_assert(restored);
	cr_assert_eq(rows_meta_now(rows_now)->applied_lsn, end);
	digests_take(rows_now, 0, after);
	cr_assert_eq(memcmp(before, after, sizeof(before)), 0);
	digests_check(rows_now, 0);
	cr_assert_neq(access(path, F_OK), 0, "the damaged one still counts");
	stop();
	/* With neither whole, and a log that does not begin at 0, there is nothing to trust. */
	snapshot_path_of(taken[0], path);
	cr_assert_eq(truncate(path, 20000), 0);
	place_boot(&place, '3');
	cr_assert_eq(start(&restored, &error), ERR_CORRUPT);
	cr_assert_not_null(strstr(error.text, "no snapshot is whole"), "%s", error.text);
}

struct copied {
	uint64_t done, total;
	int told;
};

static void count_told(void *user, uint64_t done, uint64_t total)
{
	struct copied *copied = user;

	copied->done = done;
	copied->total = total;
	copied->told++;
}

/* Killed in the middle, a restore goes on from what it has: chunks that are there and whole are not written again. */
Test(snapshot, D8_a_restore_is_resumed_and_tells_how_far_it_is)
{
	const struct snapshot_progress progress = {.tell = count_told, .user = &(struct copied){0}};
	struct copied *copied = progress.user;
	struct error_context error = {""};
	struct snapshot_sums sums;
	char path[256], part[256];
	static uint8_t mine[64];
	bool restored;

	cr_assert_eq(start(&restored, &error), 0, "%s", error.text);
	write_some(3000);
	snapshot_path_of(snapshot_take(), path);
	stop();
	const int from = open(path, O_RDONLY);
	snprintf(part, sizeof(part), "%s/rows.mdb.tmp", place.rows);
	const int to = open(part, O_RDWR | O_CREAT, 0600);
	cr_assert_eq(snapshot_file_open(from, &sums, &error), 0, "%s", error.text);
	cr_assert_eq(snapshot_file_restore(from, to, &sums, &progress, &error), 0, "%s", error.text);
	cr_assert_eq(copied->done, copied->total);
	cr_assert_eq(copied->total, sums.size);
	cr_assert_eq((uint64_t)copied->told, sums.count);
	uint8_t first[64];
	struct stat status;
	cr_assert_eq(pread(to, first, 64, 4096), 64);
	/* One chunk damaged: that one alone is copied again. */
	cr_assert_eq(pwrite(to, mine, 64, 4096), 64);
	cr_assert_eq(snapshot_file_restore(from, to, &sums, NULL, &error), 0, "%s", error.text);
	cr_assert_eq(pread(to, mine, 64, 4096), 64);
	cr_assert_eq(memcmp(mine, first, 64), 0);
	cr_assert_eq(fstat(to, &status), 0);
	cr_assert_eq((uint64_t)status.st_size, sums.size);
	cr_assert_eq(snapshot_file_check(to, &sums, &error), 0);
	/* What is there is not read from the snapshot again. */
	close(from);
	const int gone = open("/dev/null", O_RDONLY);
	cr_assert_eq(snapshot_file_restore(gone, to, &sums, NULL, &error), 0, "%s", error.text);
	close(gone);
	snapshot_sums_free(&sums);
	close(to);
}

static int fails_to_write_back(int fd)
{
	(void)fd;
	errno = EIO;
	return -1;
}

static int snapshot_try(struct error_context *error)
{
	struct snapshot_job *job;
	uint64_t lsn;
	int result;

	cr_assert_eq(snapshot_start(&job, rows_now, place.dir, error), 0);
	do
		poll(&(struct pollfd){.fd = snapshot_fd(job), .events = POLLIN}, 1, 1000);
	while ((result = snapshot_finish(job, &lsn, error)) == ERR_EMPTY);
	return result;
}

Test(snapshot, D8_what_could_not_be_written_back_makes_no_snapshot_and_is_not_trusted_again)
{
	struct error_context error = {""};
	struct rows_options options = rows_options_default(&place);
	char path[512];
	uint64_t lsn;
	bool restored;

	cr_assert_eq(start(&restored, &error), 0, "%s", error.text);
	write_some(50);
	rows_close(rows_now);
	options.written_back = fails_to_write_back;
	rows_now = rows_start(&place, &options);
	cr_assert_eq(snapshot_try(&error), ERR_SYNC_FAILED, "%s", error.text);
	cr_assert_eq(snapshot_newest(place.dir, &lsn, path), ERR_NOT_FOUND);
	cr_assert_eq(snapshot_distrust(place.dir, &error), 0);
	stop();
	/* Same boot, and rows made anew all the same. */
	cr_assert_eq(start(&restored, &error), 0, "%s", error.text);
	cr_assert(restored);
	digests_check(rows_now, 0);
	stop();
}

Test(snapshot, E13b_a_snapshot_can_be_given_up)
{
	struct snapshot_sums sums = {0};
	struct error_context error = {""};
	atomic_bool cancelled = true;
	char path[256];
	int ends[2];

	snprintf(path, sizeof(path), "%s/copy", place.dir);
	const int to = open(path, O_RDWR | O_CREAT, 0600);
	cr_assert_eq(pipe(ends), 0);
	cr_assert_eq(write(ends[1], "some rows", 9), 9);
	close(ends[1]);
	cr_assert_eq(snapshot_file_take(ends[0], to, &sums, &cancelled, &error), ERR_OVERLOADED);
	cr_assert_eq(sums.count, 0);
	close(ends[0]);
	close(to);
}
