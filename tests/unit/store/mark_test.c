// SPDX-License-Identifier: Apache-2.0
//
// Where a start may begin to read, from marks far apart: segments made by hand, sparse and with one mark each.
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "store/log_segment.h"
#include "tests/unit/store/support.h"

#define STEP ROWS_REREAD_STEP
/* Where the only entry of a segment stands. */
#define AT(start) ((start) + LOG_HEADER_SIZE)

static struct place place;

static void setup(void)
{
	place_make(&place);
}
static void teardown(void)
{
	place_remove(&place);
}

TestSuite(mark, .init = setup, .fini = teardown);

struct mark {
	uint64_t start, oldest_lsn, newest_hlc;
	/* What the rows say when it is applied. */
	uint64_t reread_lsn, reread_hlc;
};

/* The segment ends where the next one starts. Returns the end of the mark. */
static uint64_t segment_write(uint64_t start, uint64_t next_start, const void *body, uint32_t size)
{
	const struct log_header header = {.start_lsn = start, .store_id = "test store"};
	uint8_t bytes[LOG_HEADER_SIZE + 256] = {0};
	char file[LOG_NAME_SIZE], path[240];

	log_header_encode(&header, bytes);
	const uint64_t end = LOG_HEADER_SIZE + log_entry_whole(size);
	log_entry_write(0, bytes + LOG_HEADER_SIZE, LOG_COMMIT_MARK, AT(start), body, size);
	log_entry_write(0, bytes + end, LOG_END, start + end, NULL, 0);
	log_segment_name(start, file);
	snprintf(path, sizeof(path), "%s/%s", place.log, file);
	const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, bytes, sizeof(bytes)), (ssize_t)sizeof(bytes));
	cr_assert_eq(ftruncate(fd, (off_t)(next_start - start)), 0);
	close(fd);
	return start + end;
}

static void marks_check(const struct mark *marks, int count)
{
	struct rows *rows = rows_start(&place, NULL);
	struct error_context error = {""};
	struct apply_result result;
	struct log_reader *reader;

	cr_assert_eq(log_reader_open(&reader, place.log, NULL), 0);
	for (int i = 0; i < count; i++) {
		uint8_t body[LOG_COMMIT_MARK_SIZE];
		bytes_put_u64(body, marks[i].oldest_lsn);
		bytes_put_u64(body + 8, marks[i].newest_hlc);
		const uint64_t next_start = i + 1 < count ? marks[i + 1].start : marks[i].start + LOG_SEGMENT_SIZE_MIN;
		const uint64_t end = segment_write(marks[i].start, next_start, body, sizeof(body));
		const int code = rows_apply_log(rows, reader, end, 0, 1, NULL, NULL, &result, &error);
		cr_assert_eq(code, 0, "%s: %s", error_name(code), error.text);
		cr_assert_eq(result.applied_lsn, end);
		for (int again = 0; again < 2; again++) {
			const struct rows_meta *meta = rows_meta_now(rows);
			cr_assert_eq(
			    meta->reread_lsn, marks[i].reread_lsn, "mark %d: %llu", i, (unsigned long long)meta->reread_lsn);
			cr_assert_eq(
			    meta->reread_hlc, marks[i].reread_hlc, "mark %d: %llu", i, (unsigned long long)meta->reread_hlc);
			/* It is the same after a start. */
			if (again == 0) {
				rows_close(rows);
				rows = rows_start(&place, NULL);
			}
		}
	}
	log_reader_close(reader);
	rows_close(rows);
}

/* A little further on. */
#define NEAR LOG_SEGMENT_SIZE_MIN

Test(mark, moves_only_when_two_marks_are_a_step_apart)
{
	static const struct mark marks[] = {
	    {0, UINT64_MAX, 10, 0, 0},
	    {STEP / 2, UINT64_MAX, 20, 0, 0},
	    {STEP - LOG_HEADER_SIZE - 8, UINT64_MAX, 25, 0, 0},
	    {STEP + NEAR, UINT64_MAX, 30, 0, 0}, /* the first that counts: the one before it is the start of the log */
	    {STEP + STEP / 2, UINT64_MAX, 40, 0, 0},
	    {2 * STEP + NEAR - 8, UINT64_MAX, 50, 0, 0},
	    {2 * STEP + 2 * NEAR, UINT64_MAX, 60, AT(STEP + NEAR), 30},
	    {2 * STEP + STEP / 2, UINT64_MAX, 70, AT(STEP + NEAR), 30},
	    {3 * STEP + 2 * NEAR, UINT64_MAX, 80, AT(2 * STEP + 2 * NEAR), 60},
	    {10 * STEP, UINT64_MAX, 90, AT(3 * STEP + 2 * NEAR), 80},
	    {11 * STEP, UINT64_MAX, 95, AT(10 * STEP), 90},
	};

	marks_check(marks, sizeof(marks) / sizeof(*marks));
}

Test(mark, never_moves_past_what_is_undecided)
{
	static const struct mark marks[] = {
	    {0, 300, 10, 0, 0},
	    {STEP, 300, 30, 0, 0},
	    {2 * STEP, 300, 60, 300, 30},
	    {2 * STEP + NEAR, AT(STEP) - 1, 61, AT(STEP) - 1, 30},
	    {2 * STEP + 2 * NEAR, AT(STEP) + 1, 62, AT(STEP), 30},
	    {3 * STEP, AT(STEP) + 8, 80, AT(STEP) + 8, 60},
	    {3 * STEP + NEAR, 3 * STEP, 81, AT(2 * STEP), 60},
	};

	marks_check(marks, sizeof(marks) / sizeof(*marks));
}

Test(mark, of_the_wrong_size_is_corruption)
{
	static const uint8_t body[24];

	for (uint32_t size = 8; size <= 24; size += 8) {
		struct rows *rows = rows_start(&place, NULL);
		struct apply_result result;
		struct log_reader *reader;
		const uint64_t end = segment_write(0, LOG_SEGMENT_SIZE_MIN, body, size);

		cr_assert_eq(log_reader_open(&reader, place.log, NULL), 0);
		const int code = rows_apply_log(rows, reader, end, 0, 1, NULL, NULL, &result, NULL);
		cr_assert_eq(code, size == LOG_COMMIT_MARK_SIZE ? 0 : ERR_CORRUPT);
		log_reader_close(reader);
		rows_close(rows);
		teardown();
		setup();
	}
}

/* As the coordinator writes them, through the log and its recovery. */
Test(mark, is_taken_by_the_log_and_found_again)
{
	uint8_t body[LOG_COMMIT_MARK_SIZE];
	struct log *log = log_start(&place, NULL, NULL);
	struct rows *rows = rows_start(&place, NULL);

	bytes_put_u64(body, 256);
	bytes_put_u64(body + 8, 77);
	const uint64_t end = append_entry(log, LOG_COMMIT_MARK, body, sizeof(body));
	wait_durable(log, end);
	log_close(log);
	struct log_recovered found;
	log = log_start(&place, NULL, &found);
	cr_assert_eq(found.end_lsn, end);
	cr_assert_eq(apply_all(rows, &place, end).applied_lsn, end);
	cr_assert_eq(rows_meta_now(rows)->reread_lsn, 0);
	rows_close(rows);
	log_close(log);
}
