// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/rows_internal.h"
#include "tests/unit/core/commit_sample.h"
#include "tests/unit/store/support.h"

static struct place place, other_place;
static uint8_t entry[RECORD_ENTRY_MAX];

static void setup(void)
{
	place_make(&place);
	place_make(&other_place);
}
static void teardown(void)
{
	place_remove(&place);
	place_remove(&other_place);
}

TestSuite(commit_rows, .init = setup, .fini = teardown, .timeout = 60);

static struct commit_id name(uint64_t hlc, uint8_t region)
{
	return (struct commit_id){.hlc = hlc, .region = region};
}

static struct rows_view *view_start(struct rows *rows)
{
	struct error_context error = {""};
	struct rows_view *view;

	cr_assert_eq(rows_view_new(rows, &view, &error), 0);
	cr_assert_eq(rows_view_begin(view, &error), 0, "%s", error.text);
	return view;
}

static int fetch(struct rows_view *view, uint16_t keyspace, const char *key, struct commit_row *row)
{
	return rows_get_committed(view, keyspace, (const uint8_t *)key, strlen(key), row);
}

/* text NULL: deleted. */
static void row_check(
    struct rows_view *view, uint16_t keyspace, const char *key, const char *text, uint64_t version, uint64_t stamp)
{
	struct commit_row row;

	cr_assert_eq(fetch(view, keyspace, key, &row), 0, "%s", key);
	cr_assert_eq(row.live, text != NULL, "%s", key);
	cr_assert(text == NULL || (row.value_size == strlen(text) && memcmp(row.value, text, row.value_size) == 0), "%s", key);
	cr_assert_eq(row.version.hlc, version, "version of %s: %llu", key, (unsigned long long)row.version.hlc);
	cr_assert_eq(row.stamp.hlc, stamp, "stamp of %s: %llu", key, (unsigned long long)row.stamp.hlc);
}

static uint64_t live_rows(struct rows *rows, uint16_t keyspace)
{
	struct digest buckets[DIGEST_BUCKETS];
	struct rows_view *view = view_start(rows);
	uint64_t count;

	cr_assert_eq(rows_view_digests(view, keyspace, buckets, &count), 0);
	rows_view_free(view);
	return count;
}

Test(commit_rows, a_transaction_comes_by_its_stream_or_as_a_note)
{
	struct log *log = log_start(&place, NULL, NULL);
	struct rows *rows = rows_start(&place, NULL);
	const struct commit_operation first[] = {
	    commit_write(1, "a", "1"), commit_write(2, "a", "2"), commit_write(1, "b", NULL)};
	const struct commit_operation second[] = {commit_write(1, "b", "back"), commit_write(2, "a", NULL)};

	uint64_t end = append_streamed(log, 2, 1, entry, commit_entry_sample(entry, name(100, 3), NULL, first, 3));
	wait_durable(log, end);
	struct apply_result result = apply_all(rows, &place, end);
	cr_assert_eq(result.records, 1);
	cr_assert_eq(result.applied.sequence[2], 1, "it is of the stream that it travels on");
	cr_assert_eq(rows_meta_now(rows)->hlc, 0, "a strong stamp says nothing of the clock of other writes");
	struct rows_view *view = view_start(rows);
	row_check(view, 1, "a", "1", 100, 100);
	row_check(view, 2, "a", "2", 100, 100);
	row_check(view, 1, "b", NULL, 100, 100);
	rows_view_free(view);
	cr_assert_eq(live_rows(rows, 1), 1);
	cr_assert_eq(live_rows(rows, 2), 1);

	/* A note says the same of rows, and nothing of streams. */
	size_t size = commit_entry_sample(entry, name(200, 0), NULL, second, 2);
	end = append_entry(log, LOG_COMMIT, entry, size);
	wait_durable(log, end);
	result = apply_all(rows, &place, end);
	cr_assert_eq(result.records, 0);
	cr_assert_eq(result.applied_lsn, end);
	cr_assert_eq(result.applied.sequence[0], 0);
	view = view_start(rows);
	row_check(view, 1, "a", "1", 100, 100);
	row_check(view, 2, "a", NULL, 200, 200);
	row_check(view, 1, "b", "back", 200, 200);
	rows_view_free(view);
	cr_assert_eq(live_rows(rows, 1), 2);
	cr_assert_eq(live_rows(rows, 2), 0);
	for (uint16_t keyspace = 0; keyspace < 4; keyspace++)
		digests_check(rows, keyspace);

	/* The stream brings it later, as it must: the sequence is taken, the rows stay. */
	struct digest before[DIGEST_BUCKETS], after[DIGEST_BUCKETS];
	digests_take(rows, 1, before);
	end = append_streamed(log, 0, 1, entry, size);
	wait_durable(log, end);
	result = apply_all(rows, &place, end);
	cr_assert_eq(result.applied.sequence[0], 1);
	digests_take(rows, 1, after);
	cr_assert_eq(memcmp(before, after, sizeof(before)), 0);
	cr_assert_eq(live_rows(rows, 1), 2);
	rows_close(rows);
	log_close(log);
}

static void transaction_count(void *user, const struct record *record, enum row_change change)
{
	(void)change;
	*(int *)user += (record->flags & RECORD_TRANSACTION) != 0 && record->entry_size > 0;
}

/* Weak writes around it, one entry a call: before the call nothing of it is seen, after it all, and the position is with it. */
Test(commit_rows, T34_all_keys_and_the_position_change_together)
{
	struct log *log = log_start(&place, NULL, NULL);
	struct rows *rows = rows_start(&place, NULL);
	struct commit_operation operations[64];
	char keys[64][24];
	struct apply_result result;
	struct log_reader *reader;
	struct commit_row row;
	uint64_t ends[3], end;
	int transactions = 0;

	for (int i = 0; i < 64; i++) {
		snprintf(keys[i], sizeof(keys[i]), "key %d", i);
		operations[i] = commit_write((uint16_t)(1 + i % 3), keys[i], keys[i]);
	}
	const struct write before = {.sequence = 1, .key = "weak", .value = "1"},
	                   after = {.sequence = 3, .key = "weak", .value = "3"};
	cr_assert_eq(append(log, &before, &ends[0]), 0);
	ends[1] = append_streamed(log, 0, 2, entry, commit_entry_sample(entry, name(1000, 0), NULL, operations, 64));
	cr_assert_eq(append(log, &after, &ends[2]), 0);
	end = wait_durable(log, ends[2]);
	cr_assert_eq(log_reader_open(&reader, place.log, NULL), 0);
	struct rows_view *old = view_start(rows);
	for (int step = 0; step < 3; step++) {
		cr_assert_eq(rows_apply_log(rows, reader, end, 1, 1, transaction_count, &transactions, &result, NULL), 0);
		cr_assert_eq(result.applied_lsn, ends[step]);
		cr_assert_eq(result.applied.sequence[0], (uint64_t)step + 1);
		cr_assert_eq(transactions, step >= 1);
		struct rows_view *view = view_start(rows);
		for (int i = 0; i < 64; i++) {
			cr_assert_eq(fetch(view, (uint16_t)(1 + i % 3), keys[i], &row), step >= 1 ? 0 : ERR_NOT_FOUND);
			cr_assert_eq(fetch(old, (uint16_t)(1 + i % 3), keys[i], &row), ERR_NOT_FOUND);
		}
		rows_view_free(view);
	}
	for (uint16_t keyspace = 0; keyspace < 4; keyspace++)
		digests_check(rows, keyspace);
	rows_view_free(old);
	log_reader_close(reader);
	rows_close(rows);
	log_close(log);
}

static int allocations_left;

static int faulty_fallocate(int fd, off_t offset, off_t size)
{
	return allocations_left-- > 0 ? posix_fallocate(fd, offset, size) : ENOSPC;
}

/* What went before is kept, the transaction is refused whole, and comes whole when there is room. */
Test(commit_rows, F04_no_room_for_all_of_it_is_nothing_of_it)
{
	struct rows_options options = rows_options_default(&place);
	options.fallocate = faulty_fallocate;
	allocations_left = 1;
	struct log_options log_options = log_options_small(&place);
	log_options.segment_size = 16 * 1024 * 1024;
	struct log *log = log_start(&place, &log_options, NULL);
	struct rows *rows = rows_start(&place, &options);
	struct error_context error = {""};
	static struct commit_operation operations[200];
	static char keys[200][24], value[5001];
	struct apply_result result;
	struct log_reader *reader;
	struct commit_row row;
	uint64_t end = 0;
	int code;

	memset(value, 'v', sizeof(value) - 1);
	cr_assert_eq(log_reader_open(&reader, place.log, NULL), 0);
	uint64_t hlc = 0;
	for (int i = 0; i < 200; i++)
		operations[i] = commit_write(1, keys[i], value);
	do {
		cr_assert_lt(++hlc, 1000);
		for (int i = 0; i < 200; i++)
			operations[i].key_size =
			    (uint32_t)snprintf(keys[i], sizeof(keys[i]), "%d of %llu", i, (unsigned long long)hlc);
		end = append_streamed(log, 0, hlc, entry, commit_entry_sample(entry, name(hlc, 0), NULL, operations, 200));
		wait_durable(log, end);
	} while ((code = rows_apply_log(rows, reader, end, 0, 1, NULL, NULL, &result, &error)) == 0);
	cr_assert_eq(code, ERR_DISK_FULL, "%s: %s", error_name(code), error.text);
	cr_assert_eq(rows_meta_now(rows)->applied.sequence[0], hlc - 1);
	cr_assert_gt(hlc, 10);
	cr_assert_eq(live_rows(rows, 1), 200 * (hlc - 1));
	digests_check(rows, 1);
	struct rows_view *view = view_start(rows);
	for (int i = 0; i < 200; i++)
		cr_assert_eq(fetch(view, 1, keys[i], &row), ERR_NOT_FOUND);
	rows_view_free(view);

	/* A little room, in two calls: the small one behind it waits for it. */
	const struct write behind = {.sequence = hlc + 1, .key = "small", .value = "1"};
	cr_assert_eq(append(log, &behind, &end), 0);
	wait_durable(log, end);
	cr_assert_eq(rows_apply_log(rows, reader, end, 0, 1, NULL, NULL, &result, &error), ERR_DISK_FULL);
	cr_assert_eq(rows_meta_now(rows)->applied.sequence[0], hlc - 1);
	allocations_left = 1000;
	apply_all(rows, &place, end);
	cr_assert_eq(rows_meta_now(rows)->applied.sequence[0], hlc + 1);
	cr_assert_eq(live_rows(rows, 1), 200 * hlc);
	digests_check(rows, 1);
	log_reader_close(reader);
	rows_close(rows);
	log_close(log);
}

Test(commit_rows, checks_raise_the_stamp_and_keep_the_value)
{
	struct log *log = log_start(&place, NULL, NULL);
	struct rows *rows = rows_start(&place, NULL);
	const struct commit_operation writes[] = {commit_write(1, "live", "value"), commit_write(1, "gone", NULL)};
	const struct commit_operation checks[] = {
	    commit_check(1, "live", name(10, 1)), commit_check(1, "gone", name(10, 1)), commit_check(1, "never", name(0, 0))};
	const struct commit_id previous[] = {name(10, 1), name(10, 1), name(0, 0)};
	const struct commit_operation late[] = {commit_write(1, "never", "late")};
	struct commit_row row;

	append_entry(log, LOG_COMMIT, entry, commit_entry_sample(entry, name(10, 1), NULL, writes, 2));
	uint64_t end = append_entry(log, LOG_COMMIT, entry, commit_entry_sample(entry, name(20, 2), previous, checks, 3));
	wait_durable(log, end);
	apply_all(rows, &place, end);
	struct rows_view *view = view_start(rows);
	row_check(view, 1, "live", "value", 10, 20);
	row_check(view, 1, "gone", NULL, 10, 20);
	row_check(view, 1, "never", NULL, 0, 20);
	cr_assert_eq(fetch(view, 1, "live", &row), 0);
	cr_assert(row.previous.hlc == 10 && row.previous.region == 1 && row.version.region == 1 && row.stamp.region == 2);
	rows_view_free(view);
	cr_assert_eq(live_rows(rows, 1), 1);
	digests_check(rows, 1);
	/* Older than the check, and still the newest write. */
	end = append_entry(log, LOG_COMMIT, entry, commit_entry_sample(entry, name(15, 0), NULL, late, 1));
	wait_durable(log, end);
	apply_all(rows, &place, end);
	view = view_start(rows);
	row_check(view, 1, "never", "late", 15, 20);
	rows_view_free(view);
	cr_assert_eq(live_rows(rows, 1), 2);
	digests_check(rows, 1);
	rows_close(rows);
	log_close(log);
}

/* ---- two stores, two orders ---- */

#define COMMITS 80
#define KEYS    12

struct commit {
	struct commit_id id;
	uint32_t count;
	struct commit_operation operations[4];
	char values[4][32];
};

/* Some longer than what LMDB takes, and alike for longer. */
static char keys[KEYS][1025];

static void commits_make(struct commit commits[static COMMITS], uint64_t *seed)
{
	for (int i = 0; i < KEYS; i++) {
		memset(keys[i], 'k', sizeof(keys[i]) - 1);
		snprintf(keys[i] + (i % 3 == 0 ? 1018 : i % 3 == 1 ? 481 : 3), 7, "%d", i);
	}
	for (int i = 0; i < COMMITS; i++) {
		struct commit *c = &commits[i];
		c->id = name(1000 + (uint64_t)i / 3, (uint8_t)(i % 3));
		c->count = 1 + (uint32_t)(random_next(seed) % 4);
		const uint64_t first = random_next(seed);
		for (uint32_t k = 0; k < c->count; k++) {
			const char *key = keys[(first + k) % KEYS];
			const uint16_t keyspace = (uint16_t)(1 + (first + k) % 2);
			snprintf(c->values[k], sizeof(c->values[k]), "%d.%u", i, k);
			switch (random_next(seed) % 5) {
			case 0:
				c->operations[k] = commit_write(keyspace, key, NULL);
				break;
			case 1:
				c->operations[k] = commit_check(keyspace, key, name(random_next(seed) % 3, 1));
				break;
			default:
				c->operations[k] = commit_write(keyspace, key, c->values[k]);
			}
		}
	}
}

/* In this order, by the stream of the coordinator or as notes, each now and then twice; what they replaced is made up. */
static struct rows *commits_apply(
    const struct place *at, const struct commit commits[static COMMITS], uint64_t *seed, bool shuffle)
{
	struct log *log = log_start(at, NULL, NULL);
	struct rows *rows = rows_start(at, NULL);
	uint64_t sequence[REGIONS_MAX] = {0}, end = 0;
	int order[COMMITS];

	for (int i = 0; i < COMMITS; i++) {
		const int j = shuffle ? (int)(random_next(seed) % (uint64_t)(i + 1)) : i;
		order[i] = order[j];
		order[j] = i;
	}
	for (int i = 0; i < COMMITS; i++) {
		const struct commit *c = &commits[order[i]];
		struct commit_id previous[4];
		for (uint32_t k = 0; k < 4; k++)
			previous[k] = name(random_next(seed) % 2000, (uint8_t)(random_next(seed) % REGIONS_MAX));
		const size_t size = commit_entry_sample(entry, c->id, previous, c->operations, c->count);
		const uint64_t way = random_next(seed) % 4;
		if (way != 0)
			end = append_streamed(log, c->id.region, ++sequence[c->id.region], entry, size);
		if (way < 2)
			end = append_entry(log, LOG_COMMIT, entry, size);
		if (random_next(seed) % 8 == 0) {
			wait_durable(log, end);
			apply_all(rows, at, end);
		}
	}
	wait_durable(log, end);
	apply_all(rows, at, end);
	log_close(log);
	return rows;
}

Test(commit_rows, T12_rows_do_not_care_about_the_order_of_commits)
{
	uint64_t seed = 77;

	for (int round = 0; round < 10; round++) {
		static struct commit commits[COMMITS];
		struct digest here[DIGEST_BUCKETS], there[DIGEST_BUCKETS];
		struct commit_row a, b;

		commits_make(commits, &seed);
		struct rows *one = commits_apply(&place, commits, &seed, false);
		struct rows *two = commits_apply(&other_place, commits, &seed, true);
		struct rows_view *views[] = {view_start(one), view_start(two)};
		for (uint16_t keyspace = 1; keyspace < 3; keyspace++) {
			digests_check(one, keyspace);
			digests_check(two, keyspace);
			digests_take(one, keyspace, here);
			digests_take(two, keyspace, there);
			cr_assert_eq(memcmp(here, there, sizeof(here)), 0, "round %d keyspace %u", round, keyspace);
			cr_assert_eq(live_rows(one, keyspace), live_rows(two, keyspace));
			for (int i = 0; i < KEYS; i++) {
				const int found = fetch(views[0], keyspace, keys[i], &a);
				cr_assert_eq(fetch(views[1], keyspace, keys[i], &b), found);
				cr_assert(found == 0 || found == ERR_NOT_FOUND);
				if (found != 0)
					continue;
				cr_assert(commit_id_equal(a.stamp, b.stamp) && commit_id_equal(a.version, b.version) &&
				          a.live == b.live && a.value_size == b.value_size);
				cr_assert(!a.live || memcmp(a.value, b.value, a.value_size) == 0);
			}
		}
		rows_view_free(views[0]);
		rows_view_free(views[1]);
		rows_close(one);
		rows_close(two);
		teardown();
		setup();
	}
}

/* T13: and the digest sees each thing that two stores may not differ in. */
Test(commit_rows, T13_digests_tell_rows_apart)
{
	const struct commit_row base = {.stamp = name(9, 1),
	    .version = {.hlc = 8, .region = 2, .share = 1},
	    .previous = name(7, 3),
	    .live = true,
	    .value = (const uint8_t *)"value",
	    .value_size = 5};
	struct commit_row rows[8];
	struct digest digests[8];

	for (int i = 0; i < 8; i++)
		rows[i] = base;
	rows[0].previous = name(1, 1);
	rows[2].stamp.hlc++;
	rows[3].stamp.region++;
	rows[4].version.hlc++;
	rows[5].version.region++;
	rows[6].version.share++;
	rows[7].value = (const uint8_t *)"other";
	for (int i = 0; i < 8; i++) {
		uint8_t bytes[64];
		commit_row_encode(&rows[i], bytes);
		digests[i] = row_digest(1, (const uint8_t *)"key", 3, bytes, commit_row_size(&rows[i]));
	}
	for (int a = 0; a < 8; a++)
		for (int b = 0; b < a; b++)
			cr_assert_eq(
			    memcmp(&digests[a], &digests[b], sizeof(*digests)) == 0, a == 1 && b == 0, "%d and %d", a, b);
}

/* ---- long keys, kinds, damage ---- */

static int count_row(void *user, const uint8_t *key, size_t key_size, const uint8_t *row, size_t row_size)
{
	(void)key, (void)key_size;
	*(int *)user += commit_row_is(row, row_size);
	return 0;
}

Test(commit_rows, long_keys_are_kept_apart)
{
	static const size_t sizes[] = {479, 480, 481, 496, 498, 511, 512, 1024};
	static char long_keys[16][1025];
	struct commit_operation operations[16];
	struct log *log = log_start(&place, NULL, NULL);
	struct rows *rows = rows_start(&place, NULL);
	struct commit_row row;
	int count = 0;

	for (int i = 0; i < 16; i++) {
		memset(long_keys[i], 'x', sizes[i / 2]);
		long_keys[i][sizes[i / 2] - 1] = (char)('a' + i % 2);
		operations[i] = commit_write(1, long_keys[i], long_keys[i] + sizes[i / 2] - 3);
	}
	append_entry(log, LOG_COMMIT, entry, commit_entry_sample(entry, name(5, 0), NULL, operations, 16));
	for (int i = 0; i < 16; i += 2) {
		operations[i / 2] = i % 4 == 0 ? commit_write(1, long_keys[i], NULL) : commit_write(1, long_keys[i], "again");
		operations[8 + i / 2] = commit_check(1, long_keys[i + 1], name(5, 0));
	}
	uint64_t end = append_entry(log, LOG_COMMIT, entry, commit_entry_sample(entry, name(6, 0), NULL, operations, 16));
	wait_durable(log, end);
	apply_all(rows, &place, end);
	struct rows_view *view = view_start(rows);
	for (int i = 0; i < 16; i++) {
		const char *expected = i % 2 == 1 ? long_keys[i] + sizes[i / 2] - 3 : i % 4 == 0 ? NULL : "again";
		row_check(view, 1, long_keys[i], expected, i % 2 == 1 ? 5 : 6, 6);
		long_keys[i][0] = 'y';
		cr_assert_eq(fetch(view, 1, long_keys[i], &row), ERR_NOT_FOUND);
	}
	cr_assert_eq(rows_scan(view, 1, NULL, 0, NULL, 0, count_row, &count), 0);
	cr_assert_eq(count, 16);
	rows_view_free(view);
	cr_assert_eq(live_rows(rows, 1), 12);
	digests_check(rows, 1);
	rows_close(rows);
	log_close(log);
}

Test(commit_rows, the_kind_of_a_keyspace_is_told)
{
	struct log *log = log_start(&place, NULL, NULL);
	struct rows *rows = rows_start(&place, NULL);
	const struct commit_operation strong[] = {commit_write(1, "k", "v"), commit_write(3, "gone", NULL)};
	const struct write weak = {.sequence = 1, .keyspace = 2, .key = "k", .value = "v"};
	static const int differs[5][2] = {{0, 0}, {1, 0}, {0, 1}, {1, 0}, {0, 0}};
	static struct row row;
	struct commit_row committed;
	uint64_t end;

	append_entry(log, LOG_COMMIT, entry, commit_entry_sample(entry, name(5, 0), NULL, strong, 2));
	cr_assert_eq(append(log, &weak, &end), 0);
	wait_durable(log, end);
	apply_all(rows, &place, end);
	struct rows_view *view = view_start(rows);
	for (uint16_t keyspace = 0; keyspace < 5; keyspace++)
		for (int is_strong = 0; is_strong < 2; is_strong++)
			cr_assert_eq(rows_kind_differs(view, keyspace, is_strong), differs[keyspace][is_strong],
			    "keyspace %u, strong %d", keyspace, is_strong);
	cr_assert_eq(rows_get(view, 1, (const uint8_t *)"k", 1, &row), ERR_CORRUPT);
	cr_assert_eq(rows_get_committed(view, 2, (const uint8_t *)"k", 1, &committed), ERR_CORRUPT);
	rows_view_free(view);
	rows_close(rows);
	log_close(log);
}

/* One kind's write onto the other kind's row stops the actor; it is no row to be replaced. */
Test(commit_rows, rows_of_the_other_kind_are_corruption)
{
	struct log *log = log_start(&place, NULL, NULL);
	struct rows *rows = rows_start(&place, NULL);
	const struct commit_operation strong[] = {commit_write(0, "new", "v"), commit_write(0, "k", "v")};
	const struct write weak = {.sequence = 1, .key = "k", .value = "v"};
	struct error_context error = {""};
	struct apply_result result;
	struct log_reader *reader;
	struct commit_row row;
	uint64_t end;

	cr_assert_eq(append(log, &weak, &end), 0);
	wait_durable(log, end);
	apply_all(rows, &place, end);
	const struct rows_meta before = *rows_meta_now(rows);
	end = append_entry(log, LOG_COMMIT, entry, commit_entry_sample(entry, name(5, 0), NULL, strong, 2));
	wait_durable(log, end);
	cr_assert_eq(log_reader_open(&reader, place.log, NULL), 0);
	cr_assert_eq(rows_apply_log(rows, reader, end, 0, 1, NULL, NULL, &result, &error), ERR_CORRUPT);
	cr_assert_eq(memcmp(&before, rows_meta_now(rows), sizeof(before)), 0);
	struct rows_view *view = view_start(rows);
	cr_assert_eq(fetch(view, 0, "new", &row), ERR_NOT_FOUND);
	rows_view_free(view);
	digests_check(rows, 0);
	log_reader_close(reader);
	rows_close(rows);
	log_close(log);
}

Test(commit_rows, a_note_that_cannot_be_read_is_corruption)
{
	const struct commit_operation operations[] = {commit_write(1, "a", "1"), commit_write(1, "b", "2")};
	static struct commit_head head = {.id = {.hlc = 5}, .value = COMMIT_COMMITTED};

	for (int kind = 0; kind < 4; kind++) {
		struct log *log = log_start(&place, NULL, NULL);
		struct rows *rows = rows_start(&place, NULL);
		struct error_context error = {""};
		struct apply_result result;
		struct log_reader *reader;
		size_t size = commit_entry_sample(entry, name(5, 0), NULL, operations, 2);

		if (kind == 1)
			size--;
		if (kind == 2) /* no word of what it replaced */
			size = commit_head_put(entry, &head, true) +
			       commit_body_sample(entry + commit_head_put(entry, &head, true), NULL, 0, operations, 2);
		if (kind == 3) /* no operations */
			size = commit_head_put(entry, &head, false);
		const uint64_t end = append_entry(log, LOG_COMMIT, entry, size);
		wait_durable(log, end);
		cr_assert_eq(log_reader_open(&reader, place.log, NULL), 0);
		cr_assert_eq(rows_apply_log(rows, reader, end, 0, 1, NULL, NULL, &result, &error), kind == 0 ? 0 : ERR_CORRUPT);
		cr_assert(kind == 0 || strstr(error.text, "commit"), "%s", error.text);
		cr_assert_eq(rows_meta_now(rows)->applied_lsn, kind == 0 ? end : 0);
		cr_assert_eq(live_rows(rows, 1), kind == 0 ? 2 : 0);
		log_reader_close(reader);
		rows_close(rows);
		log_close(log);
		teardown();
		setup();
	}
}
