// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

TestSuite(log, .init = setup, .fini = teardown);

/* Appends `count` more records of each of the regions 0..regions-1, sequences from *next on; returns the durable end. */
static uint64_t fill(struct log *log, uint64_t next[static REGIONS_MAX], int regions, int count, size_t value_size)
{
	char key[32], *value = malloc(value_size + 1);
	uint64_t end = 0;

	memset(value, 'v', value_size);
	value[value_size] = 0;
	for (int i = 0; i < count; i++)
		for (uint8_t region = 0; region < regions; region++) {
			snprintf(key, sizeof(key), "key-%u-%llu", region, (unsigned long long)next[region]);
			const struct write w = {.region = region, .sequence = next[region]++, .key = key, .value = value};
			const int result = append(log, &w, &end);
			cr_assert_eq(result, 0, "%s", error_name(result));
		}
	free(value);
	return wait_durable(log, end);
}

static struct log_reader *reader_at(uint64_t lsn)
{
	struct error_context error;
	struct log_reader *reader;

	cr_assert_eq(log_reader_open(&reader, place.log, &error), 0);
	cr_assert_eq(log_reader_seek(reader, lsn, &error), 0, "%s", error.text);
	return reader;
}

Test(log, what_is_appended_is_read_back_across_segments)
{
	uint64_t next[REGIONS_MAX] = {1, 1, 1}, seen[REGIONS_MAX] = {0};
	struct log_recovered found;
	struct error_context error = {""};
	struct log_entry entry;
	struct record r;
	int result, records = 0;

	struct log *log = log_start(&place, NULL, &found);
	cr_assert_eq(found.end_lsn, LOG_HEADER_SIZE);
	const uint64_t end = fill(log, next, 3, 1000, 100);
	cr_assert_gt(log_end_lsn(log), 4 * SMALL_SEGMENT);
	cr_assert_eq(log_buffered_bytes(log), 0);
	cr_assert_gt(log_take_sync_us(log), 0);
	cr_assert_eq(log_take_sync_us(log), 0);

	struct log_reader *reader = reader_at(0);
	while ((result = log_reader_next(reader, end, &entry, &error)) == 0) {
		cr_assert_eq(entry.type, LOG_RECORD);
		cr_assert_eq(record_decode(&r, entry.body, entry.size), (long)entry.size);
		cr_assert_eq(r.dot.sequence, ++seen[r.dot.region]);
		records++;
	}
	cr_assert_eq(result, ERR_EMPTY, "%s", error.text);
	cr_assert_eq(records, 3000);
	cr_assert_eq(log_reader_lsn(reader), end);
	log_reader_close(reader);
	log_close(log);

	log = log_start(&place, NULL, &found);
	cr_assert_eq(found.end_lsn, end);
	cr_assert_eq(found.cut_bytes, 0);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(found.vector.sequence[i], 1000);
	log_close(log);
}

Test(log, only_the_durable_part_is_read_and_a_limit_is_kept)
{
	struct log *log = log_start(&place, NULL, NULL);
	uint64_t next[REGIONS_MAX] = {1};
	struct log_entry entry;

	const uint64_t first = fill(log, next, 1, 1, 10);
	const uint64_t second = fill(log, next, 1, 1, 10);
	struct log_reader *reader = reader_at(0);
	cr_assert_eq(log_reader_next(reader, first - 8, &entry, NULL), ERR_EMPTY);
	cr_assert_eq(log_reader_next(reader, first, &entry, NULL), 0);
	cr_assert_eq(entry.end_lsn, first);
	cr_assert_eq(log_reader_next(reader, first, &entry, NULL), ERR_EMPTY);
	cr_assert_eq(log_reader_next(reader, second, &entry, NULL), 0);
	cr_assert_eq(log_reader_next(reader, UINT64_MAX, &entry, NULL), ERR_EMPTY);
	/* Read while nothing was there; must not be remembered. */
	const uint64_t third = fill(log, next, 1, 1, 10);
	cr_assert_eq(log_reader_next(reader, third, &entry, NULL), 0);
	log_reader_close(reader);
	log_close(log);
}

Test(log, the_largest_record_fits)
{
	struct log_options options = log_options_small(&place);
	options.segment_size = 4 * 1024 * 1024;
	options.buffer_max = 64 * 1024;
	struct log *log = log_start(&place, &options, NULL);
	uint64_t next[REGIONS_MAX] = {1};
	struct log_entry entry;
	struct record r;

	const uint64_t end = fill(log, next, 1, 9, VALUE_SIZE_MAX);
	struct log_reader *reader = reader_at(0);
	for (uint64_t i = 1; i <= 9; i++) {
		cr_assert_eq(log_reader_next(reader, end, &entry, NULL), 0);
		cr_assert_gt(record_decode(&r, entry.body, entry.size), 0);
		cr_assert_eq(r.dot.sequence, i);
		cr_assert_eq(r.value_size, VALUE_SIZE_MAX);
	}
	log_reader_close(reader);
	log_close(log);
}

Test(log, the_buffer_is_bounded)
{
	struct log_options options = log_options_small(&place);
	options.buffer_max = 4096;
	struct log *log = log_start(&place, &options, NULL);
	uint8_t bytes[512];
	uint64_t end = 0, sequence = 1;
	int result = 0;

	while (sequence < 1000) {
		const struct write w = {.sequence = sequence, .key = "k", .value = "0123456789"};
		result = log_append(log, LOG_RECORD, bytes, write_encode(&w, bytes, sizeof(bytes)), &end);
		if (result != 0)
			break;
		sequence++;
	}
	cr_assert_eq(result, ERR_OVERLOADED);
	cr_assert_leq(log_buffered_bytes(log), 4096);
	wait_durable(log, end);
	const struct write w = {.sequence = sequence, .key = "k", .value = "0123456789"};
	cr_assert_eq(append(log, &w, &end), 0);
	log_close(log);
}

/* Entries of these sizes, as many as were promised; a flush each so many entries, or none (0). */
static void room_fill(struct log *log, size_t smallest, size_t largest, int flush_each, uint64_t *seed)
{
	static uint8_t body[LOG_BODY_MAX];
	uint64_t end;
	int why = 0, count = 0;

	for (uint64_t room = log_room(log, &why);;) {
		const size_t size = smallest + random_next(seed) % (largest - smallest + 1);
		if (log_entry_whole(size) > room)
			break;
		room -= log_entry_whole(size);
		const int result = log_append(log, LOG_COMMIT, body, size, &end);
		cr_assert_eq(result, 0, "entry %d of %d bytes, %llu more were promised: %s", count, (int)size,
		    (unsigned long long)room, error_name(result));
		count++;
		if (flush_each > 0 && count % flush_each == 0)
			log_flush(log);
	}
}

/* Whoever cannot do without an answer asks first: what is promised is kept, with all sizes and however the segments lie. */
Test(log, the_room_that_is_promised_is_there, .timeout = 60)
{
	static const struct {
		size_t smallest, largest;
	} sizes[] = {{1, 100}, {1000, 5000}, {1, LOG_BODY_MAX}, {LOG_BODY_MAX - 7, LOG_BODY_MAX}, {700000, 900000}};
	static const struct {
		uint64_t segment_size, buffer_max, disk_max;
	} logs[] = {{4 << 20, 20 << 20, 0}, {3 << 20, 9 << 20, 40 << 20}, {8 << 20, 6 << 20, 0}, {3 << 20, 64 << 20, 0}};
	uint64_t seed = 99;

	for (size_t l = 0; l < sizeof(logs) / sizeof(*logs); l++) {
		struct log_options options = log_options_small(&place);
		options.segment_size = logs[l].segment_size;
		options.buffer_max = logs[l].buffer_max;
		options.disk_max = logs[l].disk_max;
		struct log *log = log_start(&place, &options, NULL);
		uint64_t most = 0, promised = 0;
		for (int round = 0; round < 30; round++) {
			int why = 0;
			const size_t s = (size_t)round % (sizeof(sizes) / sizeof(*sizes));
			const uint64_t room = log_room(log, &why);
			most = room > most ? room : most;
			promised += room;
			cr_assert(room > 0 || why == ERR_OVERLOADED || why == ERR_DISK_FULL, "%s", error_name(why));
			room_fill(log, sizes[s].smallest, sizes[s].largest, round % 4 == 0 ? 0 : 10, &seed);
			if (round % 3 == 0)
				log_drop_before(log, wait_durable(log, log_end_lsn(log)));
			log_flush(log);
			usleep(1000);
		}
		cr_assert_gt(most, 2 * LOG_BODY_MAX, "log %d never has room", (int)l);
		cr_assert_gt(promised, 4 * most, "log %d gets no room again", (int)l);
		log_close(log);
		teardown();
		setup();
	}
}

/* With segments and a buffer that the largest entry hardly fits into nothing is promised, and the reason is that of an append.
 */
Test(log, no_room_is_promised_where_none_is_certain)
{
	struct log_options options = log_options_small(&place);
	int why = 0;
	struct log *log = log_start(&place, &options, NULL);

	cr_assert_eq(log_room(log, &why), 0);
	cr_assert_eq(why, ERR_OVERLOADED);
	log_close(log);
	teardown();
	setup();
	options.segment_size = 8 << 20;
	options.disk_max = 8 << 20; /* no second segment */
	log = log_start(&place, &options, NULL);
	for (int i = 0; i < 1000 && log_room(log, &why) > 0; i++) {
		static uint8_t body[1 << 20];
		uint64_t end = append_entry(log, LOG_COMMIT, body, sizeof(body));
		wait_durable(log, end);
	}
	for (int i = 0; i < 1000 && why != ERR_DISK_FULL; i++) {
		usleep(1000);
		cr_assert_eq(log_room(log, &why), 0);
	}
	cr_assert_eq(why, ERR_DISK_FULL, "%s", error_name(why));
	log_close(log);
}

Test(log, a_gap_or_an_entry_that_cannot_be_is_refused)
{
	struct log *log = log_start(&place, NULL, NULL);
	static uint8_t bytes[SMALL_SEGMENT];
	uint64_t end;

	const struct write gap = {.sequence = 2, .key = "k", .value = "v"};
	cr_assert_eq(append(log, &gap, &end), ERR_USAGE);
	cr_assert_eq(log_append(log, LOG_RECORD, "x", 1, &end), ERR_MALFORMED);
	cr_assert_eq(log_append(log, LOG_RECORD, bytes, sizeof(bytes), &end), ERR_VALUE_TOO_LARGE);
	cr_assert_eq(log_end_lsn(log), LOG_HEADER_SIZE);
	log_close(log);
}

Test(log, hlc_bounds_and_stamps_are_found_again)
{
	struct log *log = log_start(&place, NULL, NULL);
	struct log_recovered found;
	uint64_t end, bound = 77;

	cr_assert_eq(log_append(log, LOG_HLC_BOUND, &bound, 8, &end), 0);
	bound = 99;
	cr_assert_eq(log_append(log, LOG_HLC_BOUND, &bound, 8, &end), 0);
	const struct write w = {.sequence = 1, .key = "k", .value = "v", .hlc = 1234};
	cr_assert_eq(append(log, &w, &end), 0);
	log_close(log);
	log = log_start(&place, NULL, &found);
	cr_assert_eq(found.hlc_bound, 99);
	cr_assert_eq(found.hlc, 1234);
	log_close(log);
}

/* The clock of a region's own eventual writes starts again above its own stamps, whatever stamps of others and of strong
 * transactions are in its log and rows. */
Test(log, c5_stamps_of_others_move_no_clock_across_a_restart)
{
	struct log *log = log_start(&place, NULL, NULL);
	struct rows *rows = rows_start(&place, NULL);
	struct log_recovered found;
	uint64_t end, own_bound = 1300, strong_bound = 1ull << 60;

	const struct write own = {.sequence = 1, .key = "k", .value = "v", .hlc = 1234};
	const struct write future = {.region = 1, .sequence = 1, .key = "k", .value = "v", .hlc = 1ull << 61};
	cr_assert_eq(log_append(log, LOG_HLC_BOUND, &own_bound, 8, &end), 0);
	cr_assert_eq(append(log, &own, &end), 0);
	cr_assert_eq(append(log, &future, &end), 0);
	cr_assert_eq(log_append(log, LOG_COMMIT_BOUND, &strong_bound, 8, &end), 0);
	wait_durable(log, end);
	apply_all(rows, &place, end);
	const struct rows_meta *meta = rows_meta_now(rows);
	cr_assert(meta->hlc == 1234 && meta->hlc_bound == 1300 && meta->commit_bound == strong_bound);
	rows_close(rows);
	rows = rows_start(&place, NULL);
	meta = rows_meta_now(rows);
	cr_assert(meta->hlc == 1234 && meta->hlc_bound == 1300 && meta->commit_bound == strong_bound);
	rows_close(rows);
	log_close(log);
	log = log_start(&place, NULL, &found);
	cr_assert(found.hlc == 1234 && found.hlc_bound == 1300 && found.commit_bound == strong_bound);
	log_close(log);
}

Test(log, another_store_or_region_is_refused)
{
	struct log_options options = log_options_small(&place);
	struct error_context error;
	struct log_recovered found;
	struct log *log = log_start(&place, &options, NULL);

	log_close(log);
	options.store_id[0]++;
	cr_assert_eq(log_open(&log, &options, &found, &error), ERR_REGION_REUSED);
	options.store_id[0]--;
	options.region = 1;
	cr_assert_eq(log_open(&log, &options, &found, &error), ERR_CONFIGURATION);
}

/* From wherever a subscription starts, every record that it lacks must still come. */
Test(log, seek_vector_misses_nothing)
{
	uint64_t next[REGIONS_MAX] = {1, 1, 1}, state = 42;
	struct log *log = log_start(&place, NULL, NULL);
	struct error_context error = {""};
	struct log_entry entry;
	uint64_t end = 0;

	for (int i = 0; i < 40; i++)
		end = fill(log, next, 1 + (int)(random_next(&state) % 3), 1 + (int)(random_next(&state) % 60), 200);
	cr_assert_gt(end, 8 * SMALL_SEGMENT);
	struct log_reader *reader = reader_at(0);
	for (int i = 0; i < 200; i++) {
		const uint32_t origins = 1 + (uint32_t)(random_next(&state) % 7);
		struct vector from = {0};
		uint64_t seen[3];
		struct dot dot;

		for (int o = 0; o < 3; o++)
			seen[o] = from.sequence[o] = random_next(&state) % next[o];
		cr_assert_eq(log_reader_seek_vector(reader, &from, origins, &error), 0, "%s", error.text);
		while (log_reader_next(reader, end, &entry, &error) == 0) {
			cr_assert_eq(record_peek(entry.body, entry.size, &dot), 0);
			if ((origins >> dot.region & 1) != 0 && dot.sequence > seen[dot.region])
				cr_assert_eq(dot.sequence, ++seen[dot.region]);
		}
		for (uint8_t o = 0; o < 3; o++)
			cr_assert(seen[o] == next[o] - 1 || (origins >> o & 1) == 0);
	}
	/* All known: only what is new comes. */
	struct vector all = {{next[0] - 1, next[1] - 1, next[2] - 1}};
	cr_assert_eq(log_reader_seek_vector(reader, &all, 7, &error), 0);
	cr_assert_gt(log_reader_lsn(reader), end - SMALL_SEGMENT);

	/* T22: what was dropped is said to be missing, and only to those who need it. */
	struct vector nothing = {0};
	cr_assert_gt(log_drop_before(log, end - 2 * SMALL_SEGMENT), 2);
	cr_assert_eq(log_reader_seek_vector(reader, &nothing, 7, &error), ERR_NEEDS_RESYNC);
	cr_assert_eq(log_reader_seek_vector(reader, &nothing, 1u << 9, &error), 0);
	cr_assert_eq(log_reader_seek_vector(reader, &all, 7, &error), 0);
	cr_assert_eq(log_reader_seek(reader, 0, &error), ERR_NEEDS_RESYNC);
	cr_assert_gt(log_start_lsn(log), 0);
	uint64_t start;
	cr_assert_eq(log_find_start(place.log, &start, &error), 0);
	cr_assert_eq(start, log_start_lsn(log));
	log_reader_close(reader);
	log_close(log);
}

Test(log, dropping_under_an_open_reader)
{
	uint64_t next[REGIONS_MAX] = {1};
	struct log *log = log_start(&place, NULL, NULL);
	struct error_context error = {""};
	struct log_entry entry;
	int result, records = 0;

	const uint64_t end = fill(log, next, 1, 2000, 100);
	struct log_reader *reader = reader_at(0);
	cr_assert_eq(log_reader_next(reader, end, &entry, &error), 0);
	const uint64_t before = log_disk_bytes(log);
	const uint32_t dropped = log_drop_before(log, 2 * SMALL_SEGMENT);
	cr_assert_eq(dropped, 2);
	cr_assert_eq(log_drop_before(log, 2 * SMALL_SEGMENT), 0);
	cr_assert_lt(log_disk_bytes(log), before);
	/* The rest of its own segment is still there; the next is not, and it says so instead of going on behind the hole. */
	while ((result = log_reader_next(reader, end, &entry, &error)) == 0)
		records++;
	cr_assert_eq(result, ERR_NEEDS_RESYNC);
	cr_assert_gt(records, 100);
	/* The current segment stays whatever is asked for. */
	log_drop_before(log, UINT64_MAX);
	cr_assert_eq(log_reader_seek(reader, end, &error), 0);
	log_reader_close(reader);
	log_close(log);
	log = log_start(&place, NULL, NULL);
	log_close(log);
}

Test(log, closing_leaves_segments_only)
{
	log_close(log_start(&place, NULL, NULL));
	DIR *dir = opendir(place.log);
	for (const struct dirent *e; (e = readdir(dir)) != NULL;)
		cr_assert(e->d_name[0] == '.' || strstr(e->d_name, ".log") != NULL, "%s", e->d_name);
	closedir(dir);
}
