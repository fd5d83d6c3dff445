// SPDX-License-Identifier: Apache-2.0
#include "store/snapshot.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
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
	int result = snapshot_restore_if_needed(place.dir, start_lsn, restored, error);
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
