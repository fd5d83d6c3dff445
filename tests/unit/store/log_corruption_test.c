// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/log_internal.h"
#include "tests/unit/store/support.h"

static struct place place;
static uint8_t saved[SMALL_SEGMENT]; /* the first segment as it was */
static uint64_t entry_end[8];        /* of each record */
static char first_file[200];

static void first_write(const uint8_t bytes[SMALL_SEGMENT])
{
	const int fd = open(first_file, O_WRONLY);
	cr_assert(fd >= 0 && pwrite(fd, bytes, SMALL_SEGMENT, 0) == SMALL_SEGMENT);
	close(fd);
}

/* Six records: groups of three, two and one. */
static void setup(void)
{
	static const int last_of_group[] = {2, 4, 5};
	int group = 0;

	place_make(&place);
	place_boot(&place, '1');
	struct log *log = log_start(&place, NULL, NULL);
	for (uint64_t i = 0; i < 6; i++) {
		const struct write w = {.sequence = i + 1, .key = "some key", .value = "some value"};
		cr_assert_eq(append(log, &w, &entry_end[i]), 0);
		if ((int)i == last_of_group[group]) {
			wait_durable(log, entry_end[i]);
			group++;
		}
	}
	log_close(log);
	snprintf(first_file, sizeof(first_file), "%s/%020d.log", place.log, 0);
	const int fd = open(first_file, O_RDONLY);
	cr_assert(fd >= 0 && pread(fd, saved, SMALL_SEGMENT, 0) == SMALL_SEGMENT);
	close(fd);
}
static void teardown(void)
{
	place_remove(&place);
}

static uint64_t seed_of(const uint8_t *segment)
{
	struct log_header header;

	cr_assert_eq(log_header_decode(&header, segment), 0);
	return header.seed;
}

TestSuite(log_corruption, .init = setup, .fini = teardown);

static int try_open(uint64_t durable_lsn, struct log_recovered *found, struct error_context *error)
{
	struct log_options options = log_options_small(&place);
	struct log *log;

	options.durable_lsn = durable_lsn;
	error->text[0] = 0;
	const int result = log_open(&log, &options, found, error);
	if (result == 0)
		log_close(log);
	return result;
}

static uint32_t last_body_size(void)
{
	uint32_t size;

	memcpy(&size, saved + entry_end[4] + LOG_GROUP_SIZE, 4);
	return size;
}

Test(log_corruption, torn_tail_at_every_byte_is_cut)
{
	struct error_context error;
	struct log_recovered found;
	uint8_t torn[SMALL_SEGMENT];

	for (int garbage = 0; garbage < 2; garbage++)
		for (uint64_t at = entry_end[4]; at < entry_end[5]; at++) {
			uint64_t end;

			memcpy(torn, saved, sizeof(torn));
			memset(torn + at, garbage ? 0xa5 : 0, entry_end[5] - at);
			/* Padding at the end does not count; a byte that was zero may be taken away as well. */
			const uint64_t padding =
			    entry_end[5] - entry_end[4] - LOG_GROUP_SIZE - LOG_ENTRY_HEADER_SIZE - last_body_size();
			const bool whole = at >= entry_end[5] - padding || memcmp(torn, saved, sizeof(torn)) == 0;
			/* The mark of the last group stands between the fifth record and the sixth. */
			const bool has_mark = at >= entry_end[4] + LOG_GROUP_SIZE;
			first_write(torn);
			cr_assert_eq(try_open(entry_end[4], &found, &error), 0, "%s", error.text);
			cr_assert_eq(found.vector.sequence[0], whole ? 6 : 5);
			cr_assert_eq(found.end_lsn, whole ? entry_end[5] : entry_end[4] + (has_mark ? LOG_GROUP_SIZE : 0));

			if (at % 7 != 0)
				continue;
			/* Nothing of it is left, and the log goes on. */
			struct log *log = log_start(&place, NULL, &found);
			cr_assert_eq(found.cut_bytes, 0);
			const struct write w = {.sequence = found.vector.sequence[0] + 1, .key = "k", .value = "v"};
			cr_assert_eq(append(log, &w, &end), 0);
			wait_durable(log, end);
			log_close(log);
			cr_assert_eq(try_open(end, &found, &error), 0);
			cr_assert_eq(found.vector.sequence[0], whole ? 7 : 6);
		}
}

/* Its checksum is right, but the writer left room for the end of the segment: taken, the log would go on beyond its file. */
Test(log_corruption, an_entry_without_room_for_the_end_is_cut)
{
	static uint8_t body[SMALL_SEGMENT], torn[SMALL_SEGMENT];
	const char *value = "some value, so that the segment is full before long";
	struct error_context error;
	struct log_recovered found;

	for (uint32_t left = 0; left <= LOG_ENTRY_HEADER_SIZE; left += 8) {
		const bool fits = left == LOG_ENTRY_HEADER_SIZE;
		const uint32_t size = (uint32_t)(SMALL_SEGMENT - left - entry_end[5] - LOG_ENTRY_HEADER_SIZE);
		uint64_t end = 0;

		teardown();
		setup();
		memcpy(torn, saved, sizeof(torn));
		log_entry_write(seed_of(torn), torn + entry_end[5], LOG_COMMIT_FIRST, entry_end[5], body, size);
		first_write(torn);
		struct log *log = log_start(&place, NULL, &found);
		cr_assert_eq(found.end_lsn, fits ? SMALL_SEGMENT - left : entry_end[5]);
		cr_assert_eq(found.cut_bytes == 0, fits);
		for (uint64_t i = 7; i < 1000; i++) {
			const struct write w = {.sequence = i, .key = "k", .value = value};
			cr_assert_eq(append(log, &w, &end), 0);
		}
		wait_durable(log, end);
		log_close(log);
		cr_assert_eq(try_open(end, &found, &error), 0, "%u left: %s", left, error.text);
		cr_assert_eq(found.vector.sequence[0], 999);
	}
}

/* T36c, M13: each byte of every record but those of the last group, one bit flipped. */
Test(log_corruption, T36c_a_flipped_bit_before_the_end_is_an_error_that_says_where)
{
	struct error_context error;
	struct log_recovered found;
	uint8_t flipped[SMALL_SEGMENT];
	char place_text[64];

	for (uint64_t at = LOG_HEADER_SIZE; at < entry_end[4]; at++) {
		memcpy(flipped, saved, sizeof(flipped));
		flipped[at] ^= (uint8_t)(1u << at % 8);
		first_write(flipped);
		const int result = try_open(0, &found, &error);
		/* Padding is not covered, and not read either. */
		if (result == 0) {
			cr_assert_eq(saved[at], 0);
			cr_assert_eq(found.vector.sequence[0], 6);
			continue;
		}
		cr_assert_eq(result, ERR_CORRUPT, "offset %d: %s", (int)at, error_name(result));
		uint64_t entry = LOG_HEADER_SIZE;
		for (int i = 0; i < 6 && entry_end[i] <= at; i++)
			entry = entry_end[i];
		if (entry == LOG_HEADER_SIZE || entry == entry_end[2] || entry == entry_end[4])
			entry += at >= entry + LOG_GROUP_SIZE ? LOG_GROUP_SIZE : 0;
		snprintf(place_text, sizeof(place_text), "%020d.log offset %d:", 0, (int)entry);
		cr_assert_not_null(strstr(error.text, place_text), "'%s' is not in '%s'", place_text, error.text);
		/* A refusal changes nothing. */
		uint8_t after[SMALL_SEGMENT];
		const int fd = open(first_file, O_RDONLY);
		cr_assert(fd >= 0 && pread(fd, after, sizeof(after), 0) == (ssize_t)sizeof(after));
		close(fd);
		cr_assert_eq(memcmp(after, flipped, sizeof(after)), 0);
	}
}

Test(log_corruption, before_the_durable_position_nothing_is_cut)
{
	struct error_context error;
	struct log_recovered found;
	uint8_t torn[SMALL_SEGMENT];

	memcpy(torn, saved, sizeof(torn));
	torn[entry_end[5] - 20] ^= 1;
	first_write(torn);
	cr_assert_eq(try_open(entry_end[5], &found, &error), ERR_CORRUPT);
	cr_assert_eq(try_open(entry_end[5] + 4096, &found, &error), ERR_CORRUPT);
	cr_assert_eq(try_open(entry_end[4], &found, &error), 0);
	unlink(first_file);
	cr_assert_eq(try_open(entry_end[5], &found, &error), ERR_CORRUPT);
}

/* A machine that goes down stores a group's pages in any order. In the same boot that cannot be, so there it is corruption. */
Test(log_corruption, a_hole_in_the_last_group_is_torn_only_after_another_boot)
{
	struct error_context error;
	struct log_recovered found;
	uint8_t holed[SMALL_SEGMENT];

	memcpy(holed, saved, sizeof(holed));
	memset(holed + entry_end[4] + LOG_GROUP_SIZE, 0, SMALL_SEGMENT - entry_end[4] - LOG_GROUP_SIZE); /* one group less */
	memset(holed + entry_end[4], 0, LOG_GROUP_SIZE);
	memset(holed + entry_end[2] + LOG_GROUP_SIZE, 0, 40); /* hole in the second group, its second record whole */
	first_write(holed);
	cr_assert_eq(try_open(entry_end[2], &found, &error), ERR_CORRUPT);
	place_boot(&place, '2');
	cr_assert_eq(try_open(entry_end[2], &found, &error), 0, "%s", error.text);
	cr_assert_eq(found.vector.sequence[0], 3);
	cr_assert_gt(found.cut_bytes, 0);
	/* With a later group behind it, it was durable: corruption in any boot. */
	memcpy(holed, saved, sizeof(holed));
	memset(holed + entry_end[2] + LOG_GROUP_SIZE, 0, 40);
	first_write(holed);
	cr_assert_eq(try_open(entry_end[2], &found, &error), ERR_CORRUPT);
}

Test(log_corruption, a_missing_or_damaged_segment_in_the_middle_is_an_error)
{
	struct error_context error;
	struct log_recovered found;
	char key[32], path[200], value[1000];
	uint64_t end = 0;

	memset(value, 'x', sizeof(value) - 1);
	value[sizeof(value) - 1] = 0;
	struct log *log = log_start(&place, NULL, NULL);
	for (uint64_t i = 7; i < 400; i++) {
		snprintf(key, sizeof(key), "k%d", (int)i);
		const struct write w = {.sequence = i, .key = key, .value = value};
		cr_assert_eq(append(log, &w, &end), 0);
	}
	log_close(log);
	cr_assert_gt(end, 3 * SMALL_SEGMENT);

	snprintf(path, sizeof(path), "%s/%020d.log", place.log, (int)SMALL_SEGMENT);
	uint8_t byte;
	const int fd = open(path, O_RDWR);
	cr_assert_eq(pread(fd, &byte, 1, SMALL_SEGMENT / 2), 1);
	byte ^= 4;
	cr_assert_eq(pwrite(fd, &byte, 1, SMALL_SEGMENT / 2), 1);
	cr_assert_eq(try_open(0, &found, &error), ERR_CORRUPT);
	cr_assert_not_null(strstr(error.text, strrchr(path, '/') + 1));

	/* A reader says so as well, even where the damage makes an entry look longer than the limit. */
	struct log_reader *reader;
	struct log_entry entry;
	int result;
	cr_assert_eq(log_reader_open(&reader, place.log, &error), 0);
	cr_assert_eq(log_reader_seek(reader, 0, &error), 0);
	while ((result = log_reader_next(reader, end, &entry, &error)) == 0)
		;
	cr_assert_eq(result, ERR_CORRUPT);
	cr_assert_not_null(strstr(error.text, strrchr(path, '/') + 1));
	log_reader_close(reader);

	close(fd);
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(try_open(0, &found, &error), ERR_CORRUPT);
}

Test(log_corruption, a_damaged_size_does_not_look_like_the_end)
{
	uint8_t damaged[SMALL_SEGMENT];
	struct error_context error;
	struct log_reader *reader;
	struct log_entry entry;
	int result;

	memcpy(damaged, saved, sizeof(damaged));
	damaged[entry_end[4] + LOG_GROUP_SIZE + 1] = 2; /* size of the last record + 512 */
	first_write(damaged);
	cr_assert_eq(log_reader_open(&reader, place.log, &error), 0);
	cr_assert_eq(log_reader_seek(reader, 0, &error), 0);
	while ((result = log_reader_next(reader, entry_end[5], &entry, &error)) == 0)
		;
	cr_assert_eq(result, ERR_CORRUPT);
	cr_assert_eq(log_reader_lsn(reader), entry_end[4] + LOG_GROUP_SIZE);
	log_reader_close(reader);
}

/* A value holds what looks like an entry, just where it will lie in the log, and the write of that value is torn. Whoever made
 * it knows all but the log's seed. */
Test(log_corruption, B4_a_forged_entry_in_a_value_is_no_whole_entry)
{
	static uint8_t value[4096], torn[SMALL_SEGMENT];
	char path[200];

	for (int knows_seed = 0; knows_seed < 2; knows_seed++) {
		struct error_context error = {""};
		struct log_recovered found;
		uint64_t end = 0;

		teardown();
		setup();
		struct log *log = log_start(&place, NULL, &found);
		const uint64_t start = log->end_lsn + LOG_GROUP_SIZE, seed = knows_seed ? log->seed : 0;
		/* One at each place that it could have: which one fits is a matter of the key's size. */
		memset(value, 'v', sizeof(value) - 1);
		struct write w = {.sequence = 7, .key = "k", .value = (const char *)value};
		uint8_t bytes[8192];
		const size_t size = write_encode(&w, bytes, sizeof(bytes));
		uint8_t *at = bytes + 1024;
		while ((start + LOG_ENTRY_HEADER_SIZE + (uint64_t)(at - bytes)) % 8 != 0)
			at++;
		log_entry_write(
		    seed, at, LOG_GROUP, start + LOG_ENTRY_HEADER_SIZE + (uint64_t)(at - bytes), "sixteen bytes !!", 16);
		cr_assert_eq(log_append(log, LOG_RECORD, bytes, size, &end), 0);
		wait_durable(log, end);
		log_close(log);
		snprintf(path, sizeof(path), "%s/00000000000000000000.log", place.log);
		const int fd = open(path, O_RDWR);
		cr_assert_eq(pread(fd, torn, sizeof(torn), 0), (ssize_t)sizeof(torn));
		torn[start + 16] ^= 1; /* the checksum of the entry that the value is in */
		cr_assert_eq(pwrite(fd, torn, sizeof(torn), 0), (ssize_t)sizeof(torn));
		close(fd);
		struct log_options options = log_options_small(&place);
		const int result = log_open(&log, &options, &found, &error);
		cr_assert_eq(result, knows_seed ? ERR_CORRUPT : 0, "%d: %s", knows_seed, error.text);
		if (result == 0) {
			cr_assert_eq(found.end_lsn, start);
			log_close(log);
		}
	}
}
