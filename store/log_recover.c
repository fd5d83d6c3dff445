// SPDX-License-Identifier: Apache-2.0
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/crash_point.h"
#include "store/log_internal.h"

/* One segment in memory while it is looked through. */
struct scan {
	uint8_t *bytes;
	uint64_t start, size, seed;
	uint64_t offset;       /* behind the last whole entry */
	bool ended;            /* that was a LOG_END */
	uint64_t end_offset;   /* where it stood */
	uint8_t last_boot[16]; /* of the last mark */
	bool has_mark;
	char name[LOG_NAME_SIZE];
};

static int spares_remove(struct log *log, struct error_context *error)
{
	const int fd = openat(log->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (dir == NULL) {
		if (fd >= 0)
			close(fd);
		return error_set(error, ERR_IO, "log directory: %s", strerror(errno));
	}
	for (const struct dirent *e; (e = readdir(dir)) != NULL;)
		if (strncmp(e->d_name, "next-", 5) == 0)
			unlinkat(log->dir_fd, e->d_name, 0);
	closedir(dir);
	return 0;
}

/* Every header is whole and of this store, and no file is missing between two others. */
static int headers_check(struct log *log, struct error_context *error)
{
	for (uint32_t i = 0; i < log->segment_count; i++) {
		struct log_segment *segment = &log->segments[i];
		struct log_header header;
		char name[LOG_NAME_SIZE];
		int fd;

		log_segment_name(segment->start, name);
		const int result = log_segment_open(log->dir_fd, segment->start, O_RDONLY, &header, &fd, &segment->size, error);
		if (result < 0)
			return result == ERR_NOT_FOUND ? ERR_CORRUPT : result;
		close(fd);
		if (header.region != log->region)
			return error_set(error, ERR_CONFIGURATION, "%s: the log belongs to region %u, not %u", name,
			    header.region, log->region);
		if (memcmp(header.store_id, log->store_id, 16) != 0)
			return error_set(error, ERR_REGION_REUSED,
			    "%s: the log belongs to another store than the rows: one was wiped or restored", name);
		if (i > 0 && log->segments[i - 1].start + log->segments[i - 1].size != segment->start)
			return error_set(error, ERR_CORRUPT, "%s: the segment before it is missing", name);
		if (i == 0)
			log->seed = header.seed;
		if (header.seed != log->seed)
			return error_set(error, ERR_CORRUPT,
			    "%s: its checksums have another seed than those of the segment before it", name);
		log->segments_bytes += segment->size;
	}
	return 0;
}

static int entry_take(struct log *log, const struct log_entry_header *entry, const uint8_t *body, uint64_t durable_lsn,
    struct scan *scan, struct log_recovered *found, struct error_context *error)
{
	struct record record;
	uint64_t *bound;

	switch (entry->type) {
	case LOG_RECORD:
		if (record_decode(&record, body, entry->size) != (long)entry->size)
			return error_set(error, ERR_CORRUPT, "%s offset %llu: record that cannot be read", scan->name,
			    (unsigned long long)scan->offset);
		if (record.dot.sequence > log->vector.sequence[record.dot.region])
			log->vector.sequence[record.dot.region] = record.dot.sequence;
		if (entry->lsn >= durable_lsn && record.dot.region == log->region && !(record.flags & RECORD_TRANSACTION) &&
		    record.hlc > found->hlc)
			found->hlc = record.hlc;
		return 0;
	case LOG_HLC_BOUND:
	case LOG_COMMIT_BOUND:
		if (entry->size != LOG_BOUND_SIZE)
			return error_set(
			    error, ERR_CORRUPT, "%s offset %llu: bad HLC bound", scan->name, (unsigned long long)scan->offset);
		bound = entry->type == LOG_HLC_BOUND ? &found->hlc_bound : &found->commit_bound;
		if (entry->lsn >= durable_lsn && bytes_get_u64(body) > *bound)
			*bound = bytes_get_u64(body);
		return 0;
	case LOG_COMMIT_MARK:
		if (entry->size != LOG_COMMIT_MARK_SIZE)
			return error_set(
			    error, ERR_CORRUPT, "%s offset %llu: bad mark", scan->name, (unsigned long long)scan->offset);
		return 0;
	case LOG_PEER_STORE:
		if (entry->size != LOG_PEER_STORE_SIZE || body[0] >= REGIONS_MAX)
			return error_set(error, ERR_CORRUPT, "%s offset %llu: bad store of a peer", scan->name,
			    (unsigned long long)scan->offset);
		return 0;
	case LOG_GROUP:
		if (entry->size == sizeof(scan->last_boot)) {
			memcpy(scan->last_boot, body, sizeof(scan->last_boot));
			scan->has_mark = true;
		}
		return 0;
	default:
		return 0;
	}
}

static bool entry_is_whole(const struct scan *scan, uint64_t offset, struct log_entry_header *entry)
{
	return scan->size - offset >= LOG_ENTRY_HEADER_SIZE &&
	       log_entry_peek(entry, scan->bytes + offset, scan->start + offset, scan->size - offset) == LOG_ENTRY_WHOLE &&
	       log_entry_verify(scan->seed, entry, scan->bytes + offset + LOG_ENTRY_HEADER_SIZE);
}

static int entries_scan(
    struct log *log, struct scan *scan, uint64_t durable_lsn, struct log_recovered *found, struct error_context *error)
{
	struct log_entry_header entry;

	scan->offset = LOG_HEADER_SIZE;
	while (!scan->ended && entry_is_whole(scan, scan->offset, &entry)) {
		const uint8_t *body = scan->bytes + scan->offset + LOG_ENTRY_HEADER_SIZE;
		const int result = entry_take(log, &entry, body, durable_lsn, scan, found, error);
		if (result < 0)
			return result;
		scan->ended = entry.type == LOG_END;
		scan->end_offset = scan->offset;
		scan->offset += log_entry_whole(entry.size);
	}
	return 0;
}

/* Behind it there are zeros only. In blocks, because most of a segment may be empty. */
static uint64_t data_end_find(const struct scan *scan)
{
	static const uint8_t zeros[4096];
	uint64_t end = scan->size;

	while (end - scan->offset >= sizeof(zeros) && memcmp(scan->bytes + end - sizeof(zeros), zeros, sizeof(zeros)) == 0)
		end -= sizeof(zeros);
	while (end > scan->offset && scan->bytes[end - 1] == 0)
		end--;
	return end;
}

/* Is what follows the last whole entry a torn tail? See the top of log.h for the one case where whole entries may follow. */
static int tail_judge(
    const struct log *log, const struct scan *scan, uint64_t data_end, uint64_t durable_lsn, struct error_context *error)
{
	const bool same_boot = scan->has_mark && memcmp(scan->last_boot, log->boot_id, sizeof(log->boot_id)) == 0;
	struct log_entry_header entry;

	if (scan->start + scan->offset < durable_lsn)
		return error_set(error, ERR_CORRUPT, "%s offset %llu: bad entry, and the log is known to be durable up to %llu",
		    scan->name, (unsigned long long)scan->offset, (unsigned long long)durable_lsn);
	for (uint64_t at = scan->offset; at < data_end && at + LOG_ENTRY_HEADER_SIZE <= scan->size; at += 8)
		if (entry_is_whole(scan, at, &entry) && (same_boot || entry.type == LOG_GROUP))
			return error_set(error, ERR_CORRUPT,
			    "%s offset %llu: bad entry with a whole one behind it, at offset %llu", scan->name,
			    (unsigned long long)scan->offset, (unsigned long long)at);
	return 0;
}

/* Zeroes what is behind the last whole entry: a left-over could later stand exactly where a new entry ends, and be read. */
static int tail_cut(
    struct log *log, int fd, const struct scan *scan, uint64_t end, uint64_t *cut_bytes, struct error_context *error)
{
	static const uint8_t zeros[65536];

	*cut_bytes = end - scan->offset;
	for (uint64_t at = scan->offset; at < end;) {
		const size_t size = end - at < sizeof(zeros) ? (size_t)(end - at) : sizeof(zeros);
		if (log_write_all(&log->io, fd, zeros, size, at) < 0)
			return error_set(
			    error, ERR_IO, "%s offset %llu: %s", scan->name, (unsigned long long)at, strerror(errno));
		at += size;
	}
	return 0;
}

static int last_segment_settle(
    struct log *log, int fd, struct scan *scan, uint64_t durable_lsn, struct log_recovered *found, struct error_context *error)
{
	/* The segment that the mark promises never came into being, so what was to follow was never durable. */
	if (scan->ended)
		scan->offset = scan->end_offset;
	const uint64_t data_end = data_end_find(scan);
	int result = 0;
	if (!scan->ended || scan->start + scan->offset < durable_lsn)
		result = tail_judge(log, scan, data_end, durable_lsn, error);
	if (result == 0)
		result = tail_cut(log, fd, scan, data_end, &found->cut_bytes, error);
	if (found->cut_bytes)
		CRASH_POINT(log_tail_cut);
	/* Written anew before it is synced: an fdatasync that failed in an earlier process leaves pages that look clean, are
	 * readable and are not on the disk. */
	uint64_t from = LOG_HEADER_SIZE;
	if (durable_lsn > scan->start + from)
		from = durable_lsn - scan->start;
	if (result == 0 && from < scan->offset &&
	    log_write_all(&log->io, fd, scan->bytes + from, scan->offset - from, from) < 0)
		result = error_set(error, ERR_IO, "%s offset %llu: %s", scan->name, (unsigned long long)from, strerror(errno));
	log->end_lsn = scan->start + scan->offset;
	return result;
}

static int segment_scan(
    struct log *log, uint32_t index, uint64_t durable_lsn, struct log_recovered *found, struct error_context *error)
{
	const bool is_last = index + 1 == log->segment_count;
	struct scan scan = {.start = log->segments[index].start};
	struct log_header header;
	int fd;

	log_segment_name(scan.start, scan.name);
	int result = log_segment_open(log->dir_fd, scan.start, O_RDWR, &header, &fd, &scan.size, error);
	if (result < 0)
		return result;
	log->vector = header.vector;
	scan.seed = header.seed;
	scan.bytes = malloc(scan.size);
	if (scan.bytes == NULL)
		result = error_set(error, ERR_NO_MEMORY, "%s: %llu bytes", scan.name, (unsigned long long)scan.size);
	if (result == 0 && log_read_exact(fd, scan.bytes, scan.size, 0) < 0)
		result = error_set(error, ERR_IO, "%s: reading: %s", scan.name, strerror(errno));
	if (result == 0)
		result = entries_scan(log, &scan, durable_lsn, found, error);
	if (result == 0 && !is_last && !scan.ended)
		result = error_set(error, ERR_CORRUPT, "%s offset %llu: bad entry, and another segment follows", scan.name,
		    (unsigned long long)scan.offset);
	if (result == 0 && is_last)
		result = last_segment_settle(log, fd, &scan, durable_lsn, found, error);
	CRASH_POINT(log_recovered);
	if (result == 0 && log->io.fdatasync(fd) < 0)
		result = error_set(error, ERR_SYNC_FAILED, "%s: fdatasync: %s", scan.name, strerror(errno));
	free(scan.bytes);
	if (result == 0 && is_last) {
		log->fd = fd;
		log->fd_start = scan.start;
	} else {
		close(fd);
	}
	return result;
}

static int first_segment_make(struct log *log, struct error_context *error)
{
	log->segments = malloc(sizeof(*log->segments));
	if (log->segments == NULL)
		return error_set(error, ERR_NO_MEMORY, "log");
	if (log->disk_max != 0 && log->disk_max < log->segment_size)
		return error_set(error, ERR_DISK_FULL, "the disk budget of the log, %llu bytes, is less than one segment",
		    (unsigned long long)log->disk_max);
	if (getrandom(&log->seed, sizeof(log->seed), 0) != sizeof(log->seed))
		return error_set(error, ERR_IO, "log: no random numbers: %s", strerror(errno));
	log->segments[0] = (struct log_segment){.start = 0, .size = log->segment_size};
	log->segment_count = log->segment_capacity = 1;
	log->segments_bytes = log->segment_size;
	log->end_lsn = LOG_HEADER_SIZE;
	const int result = log_spare_make(log, error);
	return result < 0 ? result : log_segment_activate(log, 0, &log->vector, error);
}

int log_recover(struct log *log, uint64_t durable_lsn, struct log_recovered *found, struct error_context *error)
{
	*found = (struct log_recovered){0};
	int result = spares_remove(log, error);
	if (result == 0)
		result = log_segment_list(log->dir_fd, &log->segments, &log->segment_count, error);
	if (result < 0)
		return result;
	log->segment_capacity = log->segment_count;
	if (log->segment_count == 0 && durable_lsn > 0)
		return error_set(
		    error, ERR_CORRUPT, "the log is gone, and was durable up to %llu", (unsigned long long)durable_lsn);
	if (log->segment_count == 0) {
		free(log->segments);
		result = first_segment_make(log, error);
	} else {
		result = headers_check(log, error);
		uint32_t first = 0;
		while (result == 0 && first + 1 < log->segment_count && log->segments[first + 1].start <= durable_lsn)
			first++;
		for (uint32_t i = first; result == 0 && i < log->segment_count; i++)
			result = segment_scan(log, i, durable_lsn, found, error);
		if (result == 0 && fsync(log->dir_fd) < 0)
			result = error_set(error, ERR_SYNC_FAILED, "log directory: fsync: %s", strerror(errno));
	}
	if (result < 0)
		return result;
	log->durable_lsn = log->end_lsn;
	found->vector = log->vector;
	found->start_lsn = log->segments[0].start;
	found->end_lsn = log->end_lsn;
	return 0;
}
