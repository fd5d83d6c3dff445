// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/log_internal.h"
#include "tests/unit/store/support.h"

static struct place place;

static void setup(void)
{
	place_make(&place);
}
static void teardown(void)
{
	place_remove(&place);
}

TestSuite(rows, .init = setup, .fini = teardown);

static struct rows_view *view_start(struct rows *rows)
{
	struct error_context error = {""};
	struct rows_view *view;

	cr_assert_eq(rows_view_new(rows, &view, &error), 0);
	cr_assert_eq(rows_view_begin(view, &error), 0, "%s", error.text);
	return view;
}

static uint64_t append_value(struct log *log, uint64_t sequence, uint16_t keyspace, const char *key, const char *value)
{
	const struct write w = {.sequence = sequence, .keyspace = keyspace, .key = key, .value = value};
	uint64_t end;

	cr_assert_eq(append(log, &w, &end), 0);
	return end;
}

static void count_record(void *user, const struct record *record, enum row_change change)
{
	(void)record, (void)change;
	++*(int *)user;
}

Test(rows, M12_a_log_applied_twice_changes_nothing)
{
	struct log *log = log_start(&place, NULL, NULL);
	struct rows *rows = rows_start(&place, NULL);
	struct digest once[DIGEST_BUCKETS], twice[DIGEST_BUCKETS];
	struct apply_result result;
	struct log_reader *reader;
	char key[32];
	uint64_t end = 0, state = 5;
	int seen = 0;

	for (uint64_t i = 1; i <= 500; i++) {
		snprintf(key, sizeof(key), "k%d", (int)(random_next(&state) % 60));
		end = append_value(log, i, (uint16_t)(i % 3), key, i % 7 == 0 ? NULL : key);
	}
	wait_durable(log, end);
	cr_assert_eq(log_reader_open(&reader, place.log, NULL), 0);
	cr_assert_eq(rows_apply_log(rows, reader, end, 200, 1, count_record, &seen, &result, NULL), 0);
	cr_assert_eq(seen, 200);
	cr_assert_eq(result.records, 200);
	cr_assert_eq(rows_apply_log(rows, reader, end, 1000, 1, count_record, &seen, &result, NULL), 0);
	cr_assert_eq(seen, 500);
	cr_assert_eq(result.applied_lsn, end);
	cr_assert_eq(result.applied.sequence[0], 500);
	digests_take(rows, 1, once);
	/* The same records again, as a stream that starts anew would bring them. */
	for (uint64_t i = 400; i <= 500; i++)
		end = append_value(log, i, (uint16_t)(i % 3), "k1", "other");
	wait_durable(log, end);
	cr_assert_eq(rows_apply_log(rows, reader, end, 1000, 1, count_record, &seen, &result, NULL), 0);
	cr_assert_eq(seen, 500);
	cr_assert_eq(result.records, 0);
	cr_assert_eq(result.applied_lsn, end);
	digests_take(rows, 1, twice);
	cr_assert_eq(memcmp(once, twice, sizeof(once)), 0);
	for (uint16_t keyspace = 0; keyspace < 4; keyspace++)
		digests_check(rows, keyspace);
	const struct rows_meta before = *rows_meta_now(rows);
	rows_close(rows);
	rows = rows_start(&place, NULL);
	cr_assert_eq(memcmp(&before, rows_meta_now(rows), sizeof(before)), 0);
	log_reader_close(reader);
	rows_close(rows);
	log_close(log);
}

Test(rows, T39_the_first_store_met_of_a_region_stands)
{
	struct log *log = log_start(&place, NULL, NULL);
	struct rows *rows = rows_start(&place, NULL);
	struct apply_result result;
	struct log_reader *reader;
	uint8_t body[LOG_PEER_STORE_SIZE] = {2, 11, 12};
	uint64_t end = 0;

	cr_assert_not(store_id_is_known(&rows_meta_now(rows)->peer_stores[2]));
	cr_assert_eq(log_append(log, LOG_PEER_STORE, body, sizeof(body), &end), 0);
	body[1] = 77;
	cr_assert_eq(log_append(log, LOG_PEER_STORE, body, sizeof(body), &end), 0);
	wait_durable(log, end);
	cr_assert_eq(log_reader_open(&reader, place.log, NULL), 0);
	cr_assert_eq(rows_apply_log(rows, reader, end, 0, 1, NULL, NULL, &result, NULL), 0);
	cr_assert_eq(result.applied_lsn, end);
	log_reader_close(reader);
	rows_close(rows);
	log_close(log);
	log = log_start(&place, NULL, NULL); /* it is no damage to recovery */
	rows = rows_start(&place, NULL);
	const struct store_id expected = {{11, 12}};
	cr_assert(store_id_is_equal(&rows_meta_now(rows)->peer_stores[2], &expected));
	cr_assert_not(store_id_is_known(&rows_meta_now(rows)->peer_stores[1]));
	rows_close(rows);
	log_close(log);
}

Test(rows, a_gap_in_the_log_is_corruption)
{
	struct log *log = log_start(&place, NULL, NULL);
	struct rows *rows = rows_start(&place, NULL);
	struct error_context error = {""};
	struct apply_result result;
	struct log_reader *reader;

	append_value(log, 1, 0, "a", "1");
	pthread_mutex_lock(&log->mutex);
	log->vector.sequence[0] = 2; /* as a broken writer would */
	pthread_mutex_unlock(&log->mutex);
	const uint64_t end = append_value(log, 3, 0, "a", "3");
	wait_durable(log, end);
	cr_assert_eq(log_reader_open(&reader, place.log, NULL), 0);
	cr_assert_eq(rows_apply_log(rows, reader, end, 100, 1, NULL, NULL, &result, &error), ERR_CORRUPT);
	cr_assert_eq(rows_meta_now(rows)->applied.sequence[0], 0);
	digests_check(rows, 0);
	log_reader_close(reader);
	rows_close(rows);
	log_close(log);
}

/* A key of that size: a common start, then a number that differs late. */
static size_t long_key(char out[static 1025], int number, size_t size)
{
	memset(out, 'x', size);
	snprintf(out + size - 5, 6, "%05d", number);
	return size;
}

struct walk {
	char keys[64][1025];
	int count, most;
};

static int walk_row(void *user, const uint8_t *key, size_t key_size, const uint8_t *row, size_t row_size)
{
	struct walk *walk = user;

	(void)row, (void)row_size;
	memcpy(walk->keys[walk->count], key, key_size);
	walk->keys[walk->count][key_size] = 0;
	return ++walk->count == walk->most;
}

Test(rows, long_keys_are_found_scanned_and_paged)
{
	static const size_t sizes[] = {10, 470, 479, 480, 481, 496, 498, 511, 512, 600, 1024};
	const int count = (int)(sizeof(sizes) / sizeof(*sizes)) * 3;
	struct log *log = log_start(&place, NULL, NULL);
	struct rows *rows = rows_start(&place, NULL);
	static struct walk all, page;
	static char key[1025];
	uint64_t end = 0, sequence = 0;
	struct row row;

	for (size_t s = 0; s < sizeof(sizes) / sizeof(*sizes); s++)
		for (int i = 0; i < 3; i++) {
			long_key(key, i, sizes[s]);
			end = append_value(log, ++sequence, 0, key, key + sizes[s] - 5);
		}
	/* Once more: an old row is found under a long key. */
	long_key(key, 1, 1024);
	end = append_value(log, ++sequence, 0, key, "again");
	end = append_value(log, ++sequence, 1, key, "another keyspace");
	wait_durable(log, end);
	apply_all(rows, &place, end);
	digests_check(rows, 0);

	struct rows_view *view = view_start(rows);
	for (size_t s = 0; s < sizeof(sizes) / sizeof(*sizes); s++)
		for (int i = 0; i < 3; i++) {
			const size_t size = long_key(key, i, sizes[s]);
			cr_assert_eq(rows_get(view, 0, (uint8_t *)key, size, &row), 0);
			cr_assert_eq(
			    memcmp(row.siblings[0].value, sizes[s] == 1024 && i == 1 ? "again" : key + size - 5, 5), 0);
			key[0] = 'y';
			cr_assert_eq(rows_get(view, 0, (uint8_t *)key, size, &row), ERR_NOT_FOUND);
		}
	cr_assert_eq(rows_scan(view, 0, NULL, 0, NULL, 0, walk_row, &all), 0);
	cr_assert_eq(all.count, count);
	/* Shorter than 480: in order of the key. */
	for (int i = 1; i < 9; i++)
		cr_assert_lt(strcmp(all.keys[i - 1], all.keys[i]), 0);
	/* Page by page of two, each behind the last key of the one before, gives the same. */
	int seen = 0;
	for (page.most = 2;;) {
		const char *after = seen == 0 ? NULL : all.keys[seen - 1];
		page.count = 0;
		cr_assert_eq(
		    rows_scan(view, 0, NULL, 0, (const uint8_t *)after, after == NULL ? 0 : strlen(after), walk_row, &page), 0);
		for (int i = 0; i < page.count; i++)
			cr_assert_str_eq(page.keys[i], all.keys[seen++]);
		if (page.count < 2)
			break;
	}
	cr_assert_eq(seen, count);
	/* A prefix longer than what stored keys keep. */
	page.most = 0;
	page.count = 0;
	const size_t size = long_key(key, 0, 512);
	cr_assert_eq(rows_scan(view, 0, (uint8_t *)key, size - 1, NULL, 0, walk_row, &page), 0);
	cr_assert_eq(page.count, 3);
	rows_view_free(view);
	rows_close(rows);
	log_close(log);
}

Test(rows, scans_keep_to_prefix_and_keyspace)
{
	static const char *keys[] = {"a", "ab", "abc", "abd", "b", "ba"};
	struct log *log = log_start(&place, NULL, NULL);
	struct rows *rows = rows_start(&place, NULL);
	static struct walk walk;
	uint64_t end = 0;

	for (uint64_t i = 0; i < 12; i++)
		end = append_value(log, i + 1, (uint16_t)(1 + i / 6), keys[i % 6], "v");
	wait_durable(log, end);
	apply_all(rows, &place, end);
	struct rows_view *view = view_start(rows);
	const struct {
		const char *prefix, *after;
		int count;
		const char *first;
	} cases[] = {{"", NULL, 6, "a"}, {"ab", NULL, 3, "ab"}, {"ab", "ab", 2, "abc"}, {"ab", "a", 3, "ab"},
	    {"abc", "a", 1, "abc"}, {"ab", "abc", 1, "abd"}, {"ab", "abd", 0, ""}, {"b", "a", 2, "b"}, {"", "ba", 0, ""},
	    {"a", "zz", 0, ""}, {"abx", NULL, 0, ""}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		walk.count = 0;
		cr_assert_eq(
		    rows_scan(view, 1, (const uint8_t *)cases[i].prefix, strlen(cases[i].prefix),
		        (const uint8_t *)cases[i].after, cases[i].after == NULL ? 0 : strlen(cases[i].after), walk_row, &walk),
		    0);
		cr_assert_eq(walk.count, cases[i].count, "case %d: %d", (int)i, walk.count);
		if (walk.count > 0)
			cr_assert_str_eq(walk.keys[0], cases[i].first);
	}
	rows_view_free(view);
	rows_close(rows);
	log_close(log);
}

/* F04: a full map refuses, changes nothing, and reads go on. */
Test(rows, F04_a_full_map_is_a_refusal)
{
	struct rows_options options = rows_options_default(&place);
	options.map_size = 2 * 1024 * 1024;
	struct log_options log_options = log_options_small(&place);
	log_options.segment_size = 16 * 1024 * 1024;
	struct log *log = log_start(&place, &log_options, NULL);
	struct rows *rows = rows_start(&place, &options);
	struct error_context error = {""};
	struct apply_result result;
	struct log_reader *reader;
	static char value[2001];
	char key[32];
	uint64_t end = 0;
	int code;

	cr_assert_eq(rows_room(rows, 0, false, &error), 0, "%s", error.text);
	memset(value, 'v', sizeof(value) - 1);
	for (uint64_t i = 1; i <= 2000; i++) {
		snprintf(key, sizeof(key), "k%d", (int)i);
		end = append_value(log, i, 0, key, value);
	}
	wait_durable(log, end);
	cr_assert_eq(log_reader_open(&reader, place.log, NULL), 0);
	while ((code = rows_apply_log(rows, reader, end, 50, 1, NULL, NULL, &result, &error)) == 0)
		cr_assert_lt(result.applied_lsn, end);
	cr_assert_eq(code, ERR_DISK_FULL, "%s", error.text);
	cr_assert_eq(rows_room(rows, 0, false, &error), ERR_DISK_FULL);
	const struct rows_meta before = *rows_meta_now(rows);
	cr_assert_gt(before.applied.sequence[0], 100);
	cr_assert_eq(result.applied_lsn, before.applied_lsn);
	cr_assert_eq(rows_apply_log(rows, reader, end, 50, 1, NULL, NULL, &result, &error), ERR_DISK_FULL);
	cr_assert_eq(memcmp(&before, rows_meta_now(rows), sizeof(before)), 0);
	digests_check(rows, 0);
	/* One by one: what was taken back in memory is right as well. */
	while (rows_apply_log(rows, reader, end, 1, 1, NULL, NULL, &result, &error) == 0)
		;
	digests_check(rows, 0);
	rows_close(rows);
	options.map_size = 1ull << 30;
	rows = rows_start(&place, &options);
	apply_all(rows, &place, end);
	cr_assert_eq(rows_meta_now(rows)->applied.sequence[0], 2000);
	digests_check(rows, 0);
	log_reader_close(reader);
	rows_close(rows);
	log_close(log);
}

static int allocations_left;

static int faulty_fallocate(int fd, off_t offset, off_t size)
{
	return allocations_left-- > 0 ? posix_fallocate(fd, offset, size) : ENOSPC;
}

Test(rows, F04_a_full_disk_is_a_refusal_before_the_map_is_touched)
{
	struct rows_options options = rows_options_default(&place);
	options.fallocate = faulty_fallocate;
	struct log_options log_options = log_options_small(&place);
	log_options.segment_size = 16 * 1024 * 1024;
	struct log *log = log_start(&place, &log_options, NULL);
	struct error_context error = {""};
	struct apply_result result;
	struct log_reader *reader;
	struct rows *rows;
	static char value[300001];
	char key[32];
	uint64_t end = 0;
	int code;

	cr_assert_eq(rows_open(&rows, &options, &error), ERR_DISK_FULL);
	allocations_left = 1;
	rows = rows_start(&place, &options);
	memset(value, 'v', sizeof(value) - 1);
	for (uint64_t i = 1; i <= 400; i++) {
		snprintf(key, sizeof(key), "k%d", (int)i);
		end = append_value(log, i, 0, key, value);
	}
	wait_durable(log, end);
	cr_assert_eq(log_reader_open(&reader, place.log, NULL), 0);
	while ((code = rows_apply_log(rows, reader, end, 1000, 1, NULL, NULL, &result, &error)) == 0)
		cr_assert_gt(result.records, 0);
	cr_assert_eq(code, ERR_DISK_FULL, "%s: %s", error_name(code), error.text);
	cr_assert_not_null(strstr(error.text, "allocating"), "%s", error.text);
	cr_assert_eq(rows_room(rows, 0, false, &error), ERR_DISK_FULL);
	const uint64_t reached = rows_meta_now(rows)->applied.sequence[0];
	cr_assert(reached > 150 && reached < 300, "%d", (int)reached);
	digests_check(rows, 0);
	allocations_left = 1000;
	cr_assert_eq(rows_room(rows, 0, false, &error), 0);
	apply_all(rows, &place, end);
	cr_assert_eq(rows_meta_now(rows)->applied.sequence[0], 400);
	digests_check(rows, 0);
	log_reader_close(reader);
	rows_close(rows);
	log_close(log);
}

Test(rows, F09_readers_in_other_processes_read_and_dead_ones_are_cleared)
{
	struct log *log = log_start(&place, NULL, NULL);
	struct rows_options options = rows_options_default(&place);
	struct rows *rows;
	int ready[2], status;
	char byte;

	options.read_only = true;
	cr_assert_eq(rows_open(&rows, &options, NULL), ERR_UNREACHABLE);
	rows = rows_start(&place, NULL);
	const uint64_t end = append_value(log, 1, 0, "key", "value");
	wait_durable(log, end);
	apply_all(rows, &place, end);
	cr_assert_eq(pipe(ready), 0);
	rows_close(rows); /* LMDB's environment does not survive a fork */
	const pid_t child = fork();
	if (child == 0) {
		struct rows *reading = rows_start(&place, &options);
		struct rows_view *view = view_start(reading);
		struct row row;
		bool good = true;
		for (int i = 0; i < 3; i++) {
			good =
			    good && rows_get(view, 0, (const uint8_t *)"key", 3, &row) == 0 && row.siblings[0].value_size == 5;
			rows_view_end(view);
			good = good && rows_view_begin(view, NULL) == 0;
		}
		if (write(ready[1], good ? "y" : "n", 1) != 1)
			_exit(1);
		pause();
	}
	cr_assert_eq(read(ready[0], &byte, 1), 1);
	cr_assert_eq(byte, 'y');
	rows = rows_start(&place, NULL);
	cr_assert_eq(rows_reader_check(rows), 0);
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	cr_assert_eq(rows_reader_check(rows), 1);
	rows_close(rows);
	log_close(log);
}

Test(rows, own_siblings_and_tombstones)
{
	struct log *log = log_start(&place, NULL, NULL);
	struct rows *rows = rows_start(&place, NULL);
	struct vector none = {0};
	uint64_t end = 0, live_rows;
	struct digest buckets[DIGEST_BUCKETS];
	struct row row;

	for (uint64_t i = 1; i <= 3; i++) {
		const struct write w = {.sequence = i, .key = "key", .value = "v", .context = &none};
		cr_assert_eq(append(log, &w, &end), 0);
	}
	end = append_value(log, 4, 0, "gone", NULL);
	wait_durable(log, end);
	apply_all(rows, &place, end);
	struct rows_view *view = view_start(rows);
	cr_assert_eq(rows_own_siblings(view, 0, (const uint8_t *)"key", 3, 0), 3);
	cr_assert_eq(rows_own_siblings(view, 0, (const uint8_t *)"key", 3, 1), 0);
	cr_assert_eq(rows_own_siblings(view, 0, (const uint8_t *)"none", 4, 0), 0);
	/* T19: a tombstone for a key never seen is stored, and is no live row. */
	cr_assert_eq(rows_get(view, 0, (const uint8_t *)"gone", 4, &row), 0);
	cr_assert(row_is_deleted(&row));
	cr_assert_eq(rows_view_digests(view, 0, buckets, &live_rows), 0);
	cr_assert_eq(live_rows, 1);
	rows_view_free(view);
	digests_check(rows, 0);
	rows_close(rows);
	log_close(log);
}

/* A scribbled file is an error, not a crash. */
Test(rows, a_file_that_is_no_store_is_refused)
{
	struct rows_options options = rows_options_default(&place);
	struct error_context error;
	struct rows *rows;
	char path[200], junk[8192];

	snprintf(path, sizeof(path), "%s/rows.mdb", place.rows);
	memset(junk, 0x5a, sizeof(junk));
	FILE *f = fopen(path, "w");
	cr_assert_eq(fwrite(junk, 1, sizeof(junk), f), sizeof(junk));
	fclose(f);
	cr_assert_eq(rows_open(&rows, &options, &error), ERR_CORRUPT);
}

Test(rows, G20_rows_of_another_version_are_refused_with_both_numbers)
{
	static const uint64_t others[] = {0, 3, 5, UINT64_MAX};
	rows_close(rows_start(&place, NULL));
	struct rows_options options = rows_options_default(&place);
	for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
		struct rows *rows;
		struct error_context error;
		char wanted[64];
		rows_version_set(&place, others[i]);
		cr_assert_eq(rows_open(&rows, &options, &error), ERR_WRONG_VERSION);
		snprintf(wanted, sizeof wanted, "(format %llu, this one understands 4 to 4)", (unsigned long long)others[i]);
		cr_assert(strstr(error.text, wanted), "%s", error.text);
	}
	rows_version_set(&place, 4);
	rows_close(rows_start(&place, NULL));
}
