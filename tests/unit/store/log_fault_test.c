// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/unit/store/support.h"

static struct place place;
static atomic_int sync_calls, sync_fails_from, allocations_left, write_error, short_writes;

static ssize_t faulty_pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
	if (write_error != 0) {
		errno = write_error;
		return -1;
	}
	return pwrite(fd, bytes, short_writes && size > 7 ? 7 : size, offset);
}

/* F04: fails once; whoever tries again is told that all is well, as the kernel would. */
static int faulty_fdatasync(int fd)
{
	if (atomic_fetch_add(&sync_calls, 1) + 1 == sync_fails_from) {
		errno = EIO;
		return -1;
	}
	return fdatasync(fd);
}

static int faulty_fallocate(int fd, off_t offset, off_t size)
{
	if (allocations_left <= 0)
		return ENOSPC;
	allocations_left--;
	return posix_fallocate(fd, offset, size);
}

static const struct log_io faulty = {faulty_pwrite, faulty_fdatasync, faulty_fallocate};

static void setup(void)
{
	place_make(&place);
	sync_fails_from = -1;
	allocations_left = 1000;
}
static void teardown(void)
{
	place_remove(&place);
}

TestSuite(log_fault, .init = setup, .fini = teardown);

static struct log *start_faulty(void)
{
	struct log_options options = log_options_small(&place);

	options.io = &faulty;
	return log_start(&place, &options, NULL);
}

static uint64_t append_one(struct log *log, uint64_t sequence)
{
	const struct write w = {.sequence = sequence, .key = "key", .value = "value"};
	uint64_t end;

	cr_assert_eq(append(log, &w, &end), 0);
	return end;
}

static int wait_failure(struct log *log, uint64_t *durable, struct error_context *error)
{
	int result = 0;

	for (int i = 0; i < 100 && result == 0; i++) {
		poll(&(struct pollfd){.fd = log_fd(log), .events = POLLIN}, 1, 100);
		result = log_completed(log, durable, error);
	}
	return result;
}

/* M15 */
Test(log_fault, F04_a_failed_fdatasync_is_for_ever)
{
	struct error_context error = {""};
	struct log *log = start_faulty();
	uint64_t durable, end;

	const uint64_t good = append_one(log, 1);
	wait_durable(log, good);
	sync_fails_from = sync_calls + 1;
	append_one(log, 2);
	log_flush(log);
	cr_assert_eq(wait_failure(log, &durable, &error), ERR_SYNC_FAILED);
	cr_assert_eq(durable, good);
	cr_assert_not_null(strstr(error.text, "fdatasync"));
	const int calls = sync_calls;
	const struct write w = {.sequence = 3, .key = "key", .value = "value"};
	cr_assert_eq(append(log, &w, &end), ERR_SYNC_FAILED);
	log_flush(log);
	usleep(50000);
	cr_assert_eq(log_completed(log, &durable, &error), ERR_SYNC_FAILED);
	cr_assert_eq(durable, good);
	log_close(log);
	cr_assert_eq(sync_calls, calls, "fdatasync was tried again");
}

/* The failed group is in the page cache, marked clean. A new process must not take what it can read for what is on disk. */
Test(log_fault, F04_what_a_failed_sync_left_is_written_anew)
{
	struct error_context error = {""};
	struct log_options options = log_options_small(&place);
	struct log_recovered found;
	struct log *log = start_faulty();
	uint64_t durable;

	sync_fails_from = sync_calls + 1;
	append_one(log, 1);
	log_flush(log);
	cr_assert_eq(wait_failure(log, &durable, &error), ERR_SYNC_FAILED);
	log_close(log);
	options.io = &faulty;
	write_error = EIO;
	cr_assert_eq(log_open(&log, &options, &found, &error), ERR_IO);
	write_error = 0;
	sync_fails_from = sync_calls + 1;
	cr_assert_eq(log_open(&log, &options, &found, &error), ERR_SYNC_FAILED);
	cr_assert_eq(log_open(&log, &options, &found, &error), 0);
	cr_assert_eq(found.vector.sequence[0], 1);
	log_close(log);
}

Test(log_fault, short_writes_are_continued)
{
	struct log_recovered found;
	uint64_t end = 0;

	short_writes = 1;
	struct log *log = start_faulty();
	for (uint64_t i = 1; i <= 100; i++)
		end = append_one(log, i);
	wait_durable(log, end);
	log_close(log);
	log = log_start(&place, NULL, &found);
	cr_assert_eq(found.end_lsn, end);
	cr_assert_eq(found.vector.sequence[0], 100);
	log_close(log);
}

Test(log_fault, a_failed_write_is_for_ever)
{
	struct error_context error = {""};
	struct log *log = start_faulty();
	uint64_t durable;

	write_error = ENOSPC;
	append_one(log, 1);
	log_flush(log);
	cr_assert_eq(wait_failure(log, &durable, &error), ERR_IO);
	write_error = 0;
	usleep(20000);
	cr_assert_eq(log_completed(log, &durable, &error), ERR_IO);
	log_close(log);
}

static uint64_t append_until_full(struct log *log, uint64_t sequence)
{
	static char value[1001];
	uint64_t end = 0;
	int result;

	memset(value, 'v', sizeof(value) - 1);
	for (;; sequence++) {
		const struct write w = {.sequence = sequence, .key = "key", .value = value};
		cr_assert_lt(sequence, 10000);
		if ((result = append(log, &w, &end)) != 0)
			break;
		wait_durable(log, end);
	}
	cr_assert_eq(result, ERR_DISK_FULL, "%s", error_name(result));
	return sequence;
}

static void append_when_possible(struct log *log, uint64_t sequence)
{
	const struct write w = {.sequence = sequence, .key = "key", .value = "value"};
	uint64_t end;
	int result = ERR_DISK_FULL;

	for (int i = 0; i < 100 && result == ERR_DISK_FULL; i++) {
		result = append(log, &w, &end);
		usleep(20000);
	}
	cr_assert_eq(result, 0, "%s", error_name(result));
	wait_durable(log, end);
}

Test(log_fault, F04_a_full_disk_is_a_refusal_and_goes_away)
{
	struct log_recovered found;

	allocations_left = 3;
	struct log *log = start_faulty();
	const uint64_t refused = append_until_full(log, 1);
	cr_assert_leq(log_end_lsn(log), 3 * SMALL_SEGMENT);
	cr_assert_gt(log_end_lsn(log), 3 * SMALL_SEGMENT - 2000);
	/* What is smaller still fits, and nothing was lost by the refusal. */
	allocations_left = 100;
	append_when_possible(log, refused);
	append_when_possible(log, refused + 1);
	log_close(log);
	log = log_start(&place, NULL, &found);
	cr_assert_eq(found.vector.sequence[0], refused + 1);
	log_close(log);
}

Test(log_fault, the_disk_budget_is_kept_and_dropping_makes_room)
{
	struct log_options options = log_options_small(&place);
	options.disk_max = 3 * SMALL_SEGMENT;
	struct log *log = log_start(&place, &options, NULL);

	const uint64_t refused = append_until_full(log, 1);
	cr_assert_eq(log_disk_bytes(log), 3 * SMALL_SEGMENT);
	cr_assert_eq(log_drop_before(log, SMALL_SEGMENT), 1);
	const uint64_t again = append_until_full(log, refused);
	cr_assert_eq(again, refused, "the next segment cannot be there at once, and nothing may wait for it");
	append_when_possible(log, refused);
	cr_assert_leq(log_disk_bytes(log), 3 * SMALL_SEGMENT);
	log_close(log);
}

static int append_once(struct log *log, const struct write *write, uint64_t *end)
{
	uint8_t bytes[4096];

	return log_append(log, LOG_RECORD, bytes, write_encode(write, bytes, sizeof(bytes)), end);
}

/* E11: no descriptor for the next segment, for whoever writes nor for whoever reads. Nobody dies, nothing is lost. */
Test(log_fault, E11_without_descriptors_the_log_refuses_and_goes_on)
{
	struct error_context error = {""};
	struct log_entry entry;
	struct log_reader *reader;
	struct rlimit before, none = {0};
	static char value[1001];
	uint64_t end = 0, sequence = 1, read = 0;
	int result = 0;

	allocations_left = 1000;
	struct log *log = start_faulty();
	cr_assert_eq(log_reader_open(&reader, place.log, &error), 0, "%s", error.text);
	cr_assert_eq(log_reader_seek(reader, log_start_lsn(log), &error), 0, "%s", error.text);
	memset(value, 'v', sizeof(value) - 1);
	/* The reader stands in the first segment, and the writer is in the second: so both need a descriptor to go on, whatever
	 * the sync thread has made ahead. */
	for (; end <= log_start_lsn(log) + SMALL_SEGMENT; sequence++) {
		const struct write w = {.sequence = sequence, .key = "key", .value = value};
		cr_assert_eq(append(log, &w, &end), 0);
		wait_durable(log, end);
	}
	getrlimit(RLIMIT_NOFILE, &before);
	none = (struct rlimit){.rlim_cur = 3, .rlim_max = before.rlim_max};
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	for (int tries = 0; sequence < 10000 && tries < 20; sequence += result == 0) {
		const struct write w = {.sequence = sequence, .key = "key", .value = value};
		result = append_once(log, &w, &end);
		if (result == 0)
			wait_durable(log, end);
		else
			usleep(10000);
		tries = result == 0 ? 0 : tries + 1;
	}
	cr_assert_eq(result, ERR_OVERLOADED, "%s", error_name(result));
	while ((result = log_reader_next(reader, log_end_lsn(log), &entry, &error)) == 0)
		read++;
	cr_assert_eq(result, ERR_OVERLOADED, "%s: %s", error_name(result), error.text);
	cr_assert_eq(log_reader_next(reader, log_end_lsn(log), &entry, &error), ERR_OVERLOADED);
	setrlimit(RLIMIT_NOFILE, &before);
	for (int i = 0; i < 100 && (result = append_once(
	                                log, &(struct write){.sequence = sequence, .key = "key", .value = value}, &end)) != 0;
	     i++)
		usleep(20000);
	cr_assert_eq(result, 0, "%s", error_name(result));
	wait_durable(log, end);
	while ((result = log_reader_next(reader, end, &entry, &error)) == 0)
		read++;
	cr_assert_eq(result, ERR_EMPTY, "%s: %s", error_name(result), error.text);
	cr_assert_eq(read, sequence, "every entry is read");
	log_reader_close(reader);
	log_close(log);
}
