/* SPDX-License-Identifier: Apache-2.0
 *
 * Segment files with anything in them. What log_open accepts can be read whole up to the end that it found, is found again
 * the next time, and can be appended to. Input: u8 (1: plain bytes behind the header, no structure) | u8 durable position, in
 * units of 64 bytes | steps, see segment_fill. Checksums are right but where a step says otherwise. */
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "core/commit_entry.h"
#include "store/boot.h"
#include "store/log_segment.h"
#include "tests/fuzz/fuzz.h"

#define SEGMENT      LOG_SEGMENT_SIZE_MIN
#define SEGMENTS_MAX 3u

static char dir[64];
static int dir_fd;
static uint8_t file[SEGMENT];
static struct vector vector;

static int sync_not(int fd)
{
	(void)fd;
	return 0;
}

static int allocate_quickly(int fd, off_t offset, off_t size)
{
	(void)offset;
	return ftruncate(fd, size) == 0 ? 0 : 28;
}

static const struct log_io quick_io = {.pwrite = pwrite, .fdatasync = sync_not, .fallocate = allocate_quickly};

static void dir_make(void)
{
	snprintf(dir, sizeof dir, "/dev/shm/godwit-fuzz-%d", (int)getpid());
	CHECK(mkdir(dir, 0700) == 0);
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY);
	CHECK(dir_fd >= 0);
}

static void dir_empty(void)
{
	struct log_segment *segments;
	uint32_t count;
	CHECK(log_segment_list(dir_fd, &segments, &count, NULL) == 0);
	for (uint32_t i = 0; i < count; i++) {
		char name[LOG_NAME_SIZE];
		log_segment_name(segments[i].start, name);
		unlinkat(dir_fd, name, 0);
	}
	free(segments);
}

static void at_exit(void)
{
	dir_empty();
	rmdir(dir);
}

static size_t record_make(struct input *in, uint8_t *out)
{
	struct record record = {
	    .dot.region = (uint8_t)(input_number(in, 1) & 3), .hlc = 5, .key = (const uint8_t *)"key", .key_size = 3};
	record.dot.sequence = ++vector.sequence[record.dot.region];
	record.value_size = (uint32_t)input_number(in, 1);
	record.value = file;
	return (size_t)record_encode(&record, out, 1024);
}

/* One of two puts and a check; as a record of a stream, or its entry alone. */
static size_t transaction_make(struct input *in, bool is_record, uint8_t *out)
{
	const struct commit_operation operations[] = {
	    {.kind = COMMIT_PUT, .key = (const uint8_t *)"a", .key_size = 1, .value = file, .value_size = 9},
	    {.kind = COMMIT_CHECK, .condition = COMMIT_IF_ABSENT, .key = (const uint8_t *)"b", .key_size = 1}};
	static struct commit_head head;
	uint8_t entry[256];
	struct record record = {.dot.region = (uint8_t)(input_number(in, 1) & 3), .hlc = 6, .flags = RECORD_TRANSACTION};
	head = (struct commit_head){.id = {.hlc = 6}, .value = COMMIT_COMMITTED, .previous_count = 2};
	uint8_t *at = entry + commit_head_put(entry, &head, true);
	at = commit_body_begin(at, false, 1, 1, 1);
	at = commit_request_name_put(at, &(struct commit_request_name){.client_id = 5, .number = 1});
	bytes_put_u16(at, 2);
	at = commit_operation_put(commit_operation_put(at + 2, &operations[0]), &operations[1]);
	record.entry = entry;
	record.entry_size = (uint32_t)(at - entry);
	if (is_record) {
		record.dot.sequence = ++vector.sequence[record.dot.region];
		return (size_t)record_encode(&record, out, 1024);
	}
	memcpy(out, entry, record.entry_size);
	return record.entry_size;
}

/* Steps of one u8: the low three bits say what, 8: a wrong position, 16: a wrong checksum, 32: another boot, a bound, an entry
 * of the strong commit that is no record. True when another segment follows. */
static bool segment_fill(struct input *in, uint64_t start, const uint8_t boot[16])
{
	static uint8_t body[1024];
	uint32_t at = LOG_HEADER_SIZE;
	while (input_left(in)) {
		unsigned step = (unsigned)input_number(in, 1), type = LOG_RECORD;
		size_t size = 0;
		bool entry = true;
		switch (step & 7) {
		case 0:
			size = record_make(in, body);
			break;
		case 1:
			type = step & 32 ? LOG_COMMIT : LOG_RECORD;
			size = transaction_make(in, type == LOG_RECORD, body);
			break;
		case 2:
			type = (unsigned)input_number(in, 1) & 31;
			size = (size_t)input_number(in, 1);
			for (size_t i = 0; i < size; i++)
				body[i] = (uint8_t)input_number(in, 1);
			break;
		case 3:
			type = LOG_GROUP;
			size = 16;
			memcpy(body, step & 32 ? (const uint8_t[16]){1} : boot, 16);
			break;
		case 4:
			type = LOG_HLC_BOUND;
			size = 8;
			memset(body, step & 32 ? 1 : 7, 8);
			break;
		case 5:
			entry = false;
			at += 8 * ((uint32_t)input_number(in, 1) + 1);
			break;
		case 6:
			entry = false;
			for (uint32_t place = (uint32_t)input_number(in, 2) % SEGMENT, i = 0; i < 4 && place + i < SEGMENT; i++)
				file[place + i] ^= (uint8_t)input_number(in, 1);
			break;
		default: /* the end, wherever it is */
			if (at + LOG_ENTRY_HEADER_SIZE > SEGMENT)
				return true;
			log_entry_write(0, file + at, LOG_END, start + at, NULL, 0);
			if (step & 16)
				file[at + 17] ^= 1;
			return true;
		}
		if (!entry)
			continue;
		uint32_t whole = (uint32_t)log_entry_whole(size);
		if (at > SEGMENT || SEGMENT - at < whole)
			return false;
		log_entry_write(0, file + at, type, start + at + (step & 8 ? 8 : 0), body, (uint32_t)size);
		if (step & 16)
			file[at + 16] ^= 1;
		at += whole;
	}
	return false;
}

static void segment_write(uint64_t start)
{
	char name[LOG_NAME_SIZE];
	log_segment_name(start, name);
	int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	CHECK(fd >= 0 && write(fd, file, SEGMENT) == SEGMENT);
	close(fd);
}

static void segments_make(struct input *in, bool plain, const uint8_t boot[16])
{
	vector = (struct vector){0};
	bool more = true;
	for (uint32_t i = 0; i < SEGMENTS_MAX && more; i++) {
		struct log_header header = {.start_lsn = i * SEGMENT, .store_id = "fuzz", .vector = vector};
		memset(file, 0, sizeof file);
		log_header_encode(&header, file);
		more = false;
		if (plain) {
			size_t size = input_left(in) < SEGMENT - LOG_HEADER_SIZE ? input_left(in) : SEGMENT - LOG_HEADER_SIZE;
			memcpy(file + LOG_HEADER_SIZE, in->at, size);
			in->at += size;
		} else {
			more = segment_fill(in, i * SEGMENT, boot);
		}
		segment_write(i * SEGMENT);
	}
}

/* Every entry up to the limit, without an error; tells how many. */
static uint64_t read_all(uint64_t from, uint64_t limit, bool must)
{
	struct log_reader *reader;
	struct log_entry entry;
	struct error_context error = {0};
	uint64_t count = 0, end = from;
	CHECK(log_reader_open(&reader, dir, &error) == 0);
	int code = log_reader_seek(reader, from, &error);
	while (code == 0 && (code = log_reader_next(reader, limit, &entry, &error)) == 0) {
		CHECK(entry.lsn >= end && entry.end_lsn > entry.lsn && entry.end_lsn <= limit);
		bytes_touch(entry.body, entry.size);
		end = entry.end_lsn;
		count++;
	}
	if (must && code != ERR_EMPTY)
		fprintf(stderr, "%s: %s\n", error_name(code), error.text);
	CHECK(!must || code == ERR_EMPTY);
	log_reader_close(reader);
	return count;
}

static void log_use(uint64_t durable_lsn)
{
	struct log_options options = {.dir = dir,
	    .store_id = "fuzz",
	    .segment_size = SEGMENT,
	    .buffer_max = SEGMENT,
	    .durable_lsn = durable_lsn,
	    .io = &quick_io};
	struct log_recovered found, again;
	struct error_context error = {0};
	struct log *log;
	uint64_t end_lsn, durable, bound = UINT64_MAX;
	if (log_open(&log, &options, &found, &error) != 0) {
		CHECK(error.text[0]);
		return;
	}
	CHECK(found.end_lsn >= durable_lsn && found.start_lsn == 0 && found.end_lsn == log_end_lsn(log));
	uint64_t count = read_all(0, found.end_lsn, true);
	int appended = log_append(log, LOG_HLC_BOUND, &bound, sizeof bound, &end_lsn);
	CHECK(appended == 0 || appended == ERR_OVERLOADED);
	log_close(log); /* syncs */
	CHECK(log_open(&log, &options, &again, &error) == 0 && again.cut_bytes == 0);
	CHECK(again.end_lsn == (appended == 0 ? end_lsn : found.end_lsn));
	CHECK(appended != 0 || again.hlc_bound == UINT64_MAX);
	CHECK(memcmp(&again.vector, &found.vector, sizeof again.vector) == 0);
	CHECK(log_completed(log, &durable, &error) == 0 && durable == again.end_lsn);
	CHECK(read_all(0, again.end_lsn, true) == count + (appended == 0));
	log_close(log);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct input in = {bytes, bytes + size};
	static uint8_t boot[16];
	if (dir[0] == 0) {
		dir_make();
		atexit(at_exit);
		CHECK(boot_id_read(boot, NULL) == 0);
	}
	bool plain = input_number(&in, 1) & 1;
	uint64_t durable_lsn = input_number(&in, 1) * 64;
	segments_make(&in, plain, boot);
	/* As a tool would, before anybody has looked at it. */
	read_all(0, UINT64_MAX, false);
	log_use(durable_lsn);
	dir_empty();
	return 0;
}
