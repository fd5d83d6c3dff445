// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

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

TestSuite(rows_damage, .init = setup, .fini = teardown);

static uint64_t put(struct log *log, uint64_t sequence, const char *key, const char *value)
{
	const struct write w = {.sequence = sequence, .key = key, .value = value};
	uint64_t end;

	cr_assert_eq(append(log, &w, &end), 0);
	return end;
}

static uint8_t *file_map(size_t *size)
{
	char path[200];
	struct stat status;

	snprintf(path, sizeof(path), "%s/rows.mdb", place.rows);
	const int fd = open(path, O_RDWR);
	cr_assert(fd >= 0 && fstat(fd, &status) == 0);
	*size = (size_t)status.st_size;
	uint8_t *bytes = mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	cr_assert_neq(bytes, MAP_FAILED);
	close(fd);
	return bytes;
}

/* All copies of `from` in the file become `to`, of the same size. */
static void file_alter(const char *from, const char *to)
{
	const size_t length = strlen(from);
	size_t size, count = 0;
	uint8_t *bytes = file_map(&size), *at = bytes;

	while ((at = memmem(at, size - (size_t)(at - bytes), from, length)) != NULL) {
		memcpy(at, to, length);
		count++;
	}
	cr_assert_gt(count, 0);
	munmap(bytes, size);
}

static int get(struct rows *rows, const char *key, char value[static 64])
{
	struct rows_view *view;
	struct row row;

	cr_assert_eq(rows_view_new(rows, &view, NULL), 0);
	cr_assert_eq(rows_view_begin(view, NULL), 0);
	const int result = rows_get(view, 0, (const uint8_t *)key, strlen(key), &row);
	if (result == 0)
		snprintf(value, 64, "%.*s", (int)row.siblings[0].value_size, (const char *)row.siblings[0].value);
	rows_view_free(view);
	return result;
}

struct seen {
	int whole, damaged;
	char name[64];
};

static int see(void *user, const uint8_t *key, size_t key_size, const uint8_t *row, size_t row_size)
{
	struct seen *seen = user;

	(void)row_size;
	seen->whole += row != NULL;
	seen->damaged += row == NULL;
	if (row == NULL)
		snprintf(seen->name, sizeof(seen->name), "%.*s", (int)key_size, (const char *)key);
	return 0;
}

static struct seen scan(struct rows *rows)
{
	struct seen seen = {0};
	struct rows_view *view;

	cr_assert_eq(rows_view_new(rows, &view, NULL), 0);
	cr_assert_eq(rows_view_begin(view, NULL), 0);
	cr_assert_eq(rows_scan(view, 0, NULL, 0, NULL, 0, see, &seen), 0);
	rows_view_free(view);
	return seen;
}

Test(rows_damage, B2_an_altered_value_is_an_error_and_never_the_altered_value)
{
	struct log *log = log_start(&place, NULL, NULL);
	struct rows *rows = rows_start(&place, NULL);
	char value[64];

	put(log, 1, "first", "value of the first");
	put(log, 2, "other", "value of the other");
	uint64_t end = put(log, 3, "third", "value of the third");
	wait_durable(log, end);
	apply_all(rows, &place, end);
	file_alter("value of the other", "value of the 0ther");
	cr_assert_eq(get(rows, "first", value), 0);
	cr_assert_str_eq(value, "value of the first");
	cr_assert_eq(get(rows, "other", value), ERR_ROW_DAMAGED);
	struct seen seen = scan(rows);
	cr_assert(seen.whole == 2 && seen.damaged == 1);
	cr_assert_str_eq(seen.name, "other");
	rows_close(rows);
	rows = rows_start(&place, NULL);
	cr_assert_eq(get(rows, "other", value), ERR_ROW_DAMAGED);
	rows_close(rows);
	log_close(log);
}

Test(rows_damage, B2_a_row_under_another_key_is_damaged)
{
	struct log *log = log_start(&place, NULL, NULL);
	struct rows *rows = rows_start(&place, NULL);
	char value[64];

	put(log, 1, "first", "value one");
	const uint64_t end = put(log, 2, "other", "value two");
	wait_durable(log, end);
	apply_all(rows, &place, end);
	/* Whole and with its checksum, but under a key that is not its own; the order of keys stays. */
	file_alter("first", "firsu");
	cr_assert_eq(get(rows, "firsu", value), ERR_ROW_DAMAGED);
	cr_assert_eq(get(rows, "other", value), 0);
	rows_close(rows);
	log_close(log);
}

Test(rows_damage, B2_what_comes_for_a_damaged_row_is_left_out_and_the_rest_goes_on)
{
	struct log *log = log_start(&place, NULL, NULL);
	struct rows *rows = rows_start(&place, NULL);
	struct error_context error = {""};
	struct apply_result result;
	struct log_reader *reader;
	char value[64];

	uint64_t end = put(log, 1, "other", "value of the other");
	wait_durable(log, end);
	apply_all(rows, &place, end);
	file_alter("value of the other", "value of the 0ther");
	put(log, 2, "other", "a later value");
	end = put(log, 3, "third", "value of the third");
	wait_durable(log, end);
	cr_assert_eq(log_reader_open(&reader, place.log, NULL), 0);
	cr_assert_eq(rows_apply_log(rows, reader, end, 0, 1, NULL, NULL, &result, &error), 0, "%s", error.text);
	cr_assert_eq(result.damaged, 1);
	cr_assert_eq(memcmp(rows_damage_last(rows)->key, "other", 5), 0);
	cr_assert_eq(result.applied.sequence[0], 3);
	cr_assert_eq(get(rows, "other", value), ERR_ROW_DAMAGED);
	cr_assert_eq(get(rows, "third", value), 0);
	log_reader_close(reader);
	rows_close(rows);
	log_close(log);
}

struct page {
	char keys[8][1025];
	int count, most;
};

static int page_row(void *user, const uint8_t *key, size_t key_size, const uint8_t *row, size_t row_size)
{
	struct page *page = user;

	(void)row_size;
	cr_assert_not_null(row);
	memcpy(page->keys[page->count], key, key_size);
	page->keys[page->count][key_size] = 0;
	return ++page->count == page->most;
}

/* Sizes around each edge of a node, and many keys that differ only late. */
static void key_make(char out[static 1025], int number)
{
	static const size_t sizes[] = {479, 480, 481, 700, 959, 960, 961, 1000, 1024};
	const size_t size = sizes[number % 9];

	memset(out, 'a' + number % 2, size);
	if (number % 9 > 0)
		snprintf(out + size - 4, 5, "%03d", number % 1000);
	out[size - 1] = 'x';
	out[size] = 0;
}

Test(rows_damage, B3_a_scan_goes_on_in_another_store_with_nothing_missing_and_in_order_of_keys)
{
	static struct page page;
	static char key[1025], last[1025];
	struct place places[2];
	struct rows_view *views[2];
	struct rows *rows[2];
	struct log *log;
	const int count = 450;

	for (int s = 0; s < 2; s++) {
		uint64_t end = 0;
		places[s] = place;
		if (s == 1)
			place_make(&places[s]);
		log = log_start(&places[s], NULL, NULL);
		rows[s] = rows_start(&places[s], NULL);
		/* The other way round in the second one. */
		for (int i = 0; i < count; i++) {
			key_make(key, s == 0 ? i : count - 1 - i);
			end = put(log, (uint64_t)i + 1, key, "v");
		}
		wait_durable(log, end);
		apply_all(rows[s], &places[s], end);
		digests_check(rows[s], 0);
		log_close(log);
		cr_assert_eq(rows_view_new(rows[s], &views[s], NULL), 0);
		cr_assert_eq(rows_view_begin(views[s], NULL), 0);
	}
	int seen = 0;
	struct tally {
		uint64_t live;
		struct digest buckets[DIGEST_BUCKETS];
	} tally;
	cr_assert_eq(rows_view_digests(views[0], 0, tally.buckets, &tally.live), 0);
	for (int turn = 0;; turn++) {
		page.count = 0;
		page.most = 1 + turn % 7;
		cr_assert_eq(
		    rows_scan(views[turn % 2], 0, NULL, 0, seen == 0 ? NULL : (uint8_t *)last, strlen(last), page_row, &page),
		    0);
		for (int i = 0; i < page.count; i++, seen++) {
			cr_assert_lt(strcmp(last, page.keys[i]), 0, "not in the order of keys");
			strcpy(last, page.keys[i]);
		}
		if (page.count < page.most)
			break;
	}
	cr_assert_eq((uint64_t)seen, tally.live);
	/* Behind a key that is not there, and below a prefix that is longer than a node. */
	memset(key, 'a', 1024);
	key[1024] = 0;
	page.count = 0;
	page.most = 1;
	cr_assert_eq(rows_scan(views[0], 0, (uint8_t *)key, 500, (uint8_t *)key, 1024, page_row, &page), 0);
	cr_assert(page.count == 0 || strcmp(page.keys[0], key) > 0);
	page.count = 0;
	cr_assert_eq(rows_scan(views[1], 0, (uint8_t *)key, 900, NULL, 0, page_row, &page), 0);
	cr_assert_eq(page.count, 1);
	cr_assert_eq(memcmp(page.keys[0], key, 900), 0);
	for (int s = 0; s < 2; s++) {
		rows_view_free(views[s]);
		rows_close(rows[s]);
	}
	place_remove(&places[1]);
}

/* Overwrites `rows` rows of 1,000 bytes over and over until there is no room, or `most` times. */
static int overwrite(struct log *log, struct rows *rows, uint64_t *sequence, uint64_t most)
{
	static char value[1001];
	char key[32];
	int result = 0;

	memset(value, 'v', sizeof(value) - 1);
	for (uint64_t i = 0; i < most && (result = rows_room(rows, 0, false, NULL)) == 0; i++) {
		uint64_t end = 0;
		for (int n = 0; n < 500; n++) {
			snprintf(key, sizeof(key), "k%d", (int)(++*sequence % 1000));
			end = put(log, *sequence, key, value);
		}
		wait_durable(log, end);
		apply_all(rows, &place, end);
	}
	return result;
}

Test(rows_damage, E13b_what_no_reader_sees_any_more_is_room)
{
	struct rows_options options = rows_options_default(&place);
	struct log_options log_options = log_options_small(&place);
	struct rows_view *view;
	uint64_t sequence = 0;

	options.map_size = 16 << 20;
	log_options.segment_size = 16 << 20;
	struct log *log = log_start(&place, &log_options, NULL);
	struct rows *rows = rows_start(&place, &options);
	cr_assert_eq(overwrite(log, rows, &sequence, 4), 0);
	/* A reader is held: everything that is replaced stays. */
	cr_assert_eq(rows_view_new(rows, &view, NULL), 0);
	cr_assert_eq(rows_view_begin(view, NULL), 0);
	cr_assert_eq(overwrite(log, rows, &sequence, 200), ERR_DISK_FULL);
	/* Part of the room is kept for deletes. */
	cr_assert_eq(rows_room(rows, 0, true, NULL), 0);
	rows_view_end(view);
	cr_assert_eq(rows_room(rows, 0, false, NULL), 0, "the reader is gone, and there is no room");
	cr_assert_eq(overwrite(log, rows, &sequence, 60), 0);
	digests_check(rows, 0);
	rows_view_free(view);
	rows_close(rows);
	rows = rows_start(&place, &options);
	cr_assert_eq(rows_room(rows, 0, false, NULL), 0);
	rows_close(rows);
	log_close(log);
}

Test(rows_damage, E13_a_limit_on_file_sizes_is_told)
{
	struct rows_options options = rows_options_default(&place);
	const struct rlimit limit = {.rlim_cur = 64 << 20, .rlim_max = RLIM_INFINITY};
	struct error_context error = {""};
	struct rows *rows;

	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	cr_assert_eq(rows_open(&rows, &options, &error), ERR_CONFIGURATION);
	cr_assert_not_null(strstr(error.text, "ulimit -f"), "%s", error.text);
}
