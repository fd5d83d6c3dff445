/* SPDX-License-Identifier: Apache-2.0
 *
 * The log: an append-only byte sequence cut into segment files. LSN = byte position in it, headers included, so an LSN names
 * a file (the segment that starts at or before it) and an offset. One process appends; any process may read what is durable.
 *
 *   segment file  NNNNNNNNNNNNNNNNNNNN.log, named by its start LSN in decimal, allocated whole before use
 *     u64 magic | u32 version | u32 region | u64 start LSN | 16 bytes store id | vector (16 x u64) of all records before it |
 *     u64 seed | u64 XXH3 of the header so far; padded to LOG_HEADER_SIZE
 *   entry
 *     u32 size of the body | u32 type | u64 LSN of this entry | u64 XXH3-64 of (size, type, LSN, XXH3-64 of body) | body,
 *     padded to 8. Both hashes have the log's seed, a random number of each log that never leaves its disk: a client could
 * write an entry into a value otherwise, and a torn tail in that value would look like a bad entry with a whole one behind it
 * (B4). A size of 0 with type LOG_END says: go on with the next segment, which starts where this file ends. Each group that is
 *   synced starts with a mark (type 3, body = boot id) that readers skip: it is written only after all before it was synced.
 *
 * A torn tail is cut when the writer opens. A bad entry before a position known to be durable, or with whole entries behind
 * it, is ERR_CORRUPT with file and offset. One case is not corruption: a machine that went down while it wrote a group may
 * have stored the group's pages in any order, so whole entries of that last group (no mark behind the bad entry, and marks of
 * another boot) may follow a hole; they were never durable and are cut as well. */
#ifndef GODWIT_STORE_LOG_H
#define GODWIT_STORE_LOG_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "core/record.h"
#include "core/store_id.h"
#include "core/vector.h"

#define LOG_SEGMENT_SIZE_DEFAULT (64ull * 1024 * 1024)
#define LOG_HEADER_SIZE          256u
#define LOG_ENTRY_HEADER_SIZE    24u
#define LOG_BODY_MAX             (RECORD_ENCODED_MAX + 1024u)

enum log_type {
	LOG_END = 0,
	LOG_RECORD = 1,
	LOG_HLC_BOUND = 2,  /* u64 little endian: no stamp of another write above it was given out */
	LOG_PEER_STORE = 4, /* u8 region, 16 bytes store id: from here on records of that region are of that store */
	/* 16 to 20: entries of the strong commit, numbered as in core/commit_entry.h. A COMMIT that travels on a stream is a
	 * LOG_RECORD; one that is noted before its stream has brought it is a LOG_COMMIT. */
	LOG_COMMIT_FIRST = 16,
	LOG_COMMIT = 19,
	LOG_COMMIT_LAST = 20,
	LOG_COMMIT_BOUND = 21, /* u64 little endian: no stamp of a strong transaction above it was given out */
	LOG_COMMIT_MARK =
	    22, /* u64 oldest LSN needed, u64 newest stamp known: where a start may begin to read (store/rows.h) */
};
#define LOG_COMMIT_MARK_SIZE 16u
#define LOG_BOUND_SIZE       8u
#define LOG_PEER_STORE_SIZE  (1u + STORE_ID_SIZE)

/* The calls that write, so that tests can make them fail. */
struct log_io {
	ssize_t (*pwrite)(int fd, const void *bytes, size_t size, off_t offset);
	int (*fdatasync)(int fd);
	int (*fallocate)(int fd, off_t offset, off_t size); /* 0 or an errno number, as posix_fallocate */
};

struct log_options {
	const char *dir; /* borrowed; must exist */
	uint32_t region;
	uint8_t store_id[16];
	uint64_t segment_size;   /* 0: default */
	uint64_t disk_max;       /* bytes of all segments together; the next one beyond is ERR_DISK_FULL */
	uint64_t buffer_max;     /* bytes appended but not yet synced; beyond: ERR_OVERLOADED. 0: 64 MiB */
	uint64_t durable_lsn;    /* known durable (the rows hold it): nothing before it may be bad */
	const struct log_io *io; /* borrowed; NULL: the system's */
};

struct log_recovered {
	struct vector vector; /* of all whole records in the log */
	uint64_t start_lsn, end_lsn, cut_bytes;
	/* Found from durable_lsn on; 0 none. The largest LOG_HLC_BOUND and LOG_COMMIT_BOUND, and the largest stamp of this
	 * region's own records that are no transactions. */
	uint64_t hlc_bound, commit_bound, hlc;
};

/* Start LSN of the oldest segment, 0 when there is none: for snapshot_restore_if_needed, which comes before log_open. */
int log_find_start(const char *dir, uint64_t *start_lsn, struct error_context *error);

struct log;
/* Opens for appending: finds the end, cuts a torn tail, and syncs what is there before it calls it durable (a killed process
 * leaves written bytes that never saw an fdatasync). ERR_REGION_REUSED: the log is of another store id. Starts the sync thread.
 * Repeatable after a crash at any point. */
int log_open(struct log **log, const struct log_options *options, struct log_recovered *found, struct error_context *error);
void log_close(struct log *log); /* syncs what is appended, then stops the thread */

/* Copies the entry into the current buffer. *end_lsn: durable once the durable LSN reaches it. ERR_OVERLOADED, ERR_DISK_FULL
 * (nothing appended; goes away by itself when there is room). ERR_USAGE: a record that leaves a gap in its origin's sequence.
 * Never blocks on the disk. */
int log_append(struct log *log, enum log_type type, const void *body, size_t size, uint64_t *end_lsn);
/* So many bytes of entries, each with LOG_ENTRY_HEADER_SIZE and padding, are certainly taken from now on; 0 when that is not
 * known, and *why then says what log_append would. For whoever cannot do without an answer. */
uint64_t log_room(const struct log *log, int *why);
/* Lets the sync thread take what has been appended (if it is busy, it takes it as soon as it is done). Call once a turn. */
void log_flush(struct log *log);
int log_fd(const struct log *log); /* eventfd: readable when something became durable, or failed */
/* Takes completions. 0 with the durable LSN; ERR_SYNC_FAILED or ERR_IO once write or fdatasync failed: the caller must die
 * without acknowledging anything above the last durable LSN, and must not try again. */
int log_completed(struct log *log, uint64_t *durable_lsn, struct error_context *error);
uint64_t log_start_lsn(const struct log *log);
uint64_t log_end_lsn(const struct log *log);
uint64_t log_disk_bytes(const struct log *log);
uint64_t log_buffered_bytes(const struct log *log);
uint64_t log_sync_count(const struct log *log);
/* Duration of the last sync group in microseconds, for the histogram; 0 when none since the last call. */
uint64_t log_take_sync_us(struct log *log);
/* Removes whole segments that end at or before lsn (never the current one). Returns how many. */
uint32_t log_drop_before(struct log *log, uint64_t lsn);

struct log_entry {
	uint64_t lsn, end_lsn;
	enum log_type type;
	const uint8_t *body; /* borrowed until the next call on the reader */
	uint32_t size;
};
struct log_reader;
/* Any process. ERR_UNREACHABLE when there is no log yet, ERR_OVERLOADED when there is no descriptor for it (from the other
 * calls, too). */
int log_reader_open(struct log_reader **reader, const char *dir, struct error_context *error);
void log_reader_close(struct log_reader *reader);
/* ERR_NEEDS_RESYNC when that position is gone. */
int log_reader_seek(struct log_reader *reader, uint64_t lsn, struct error_context *error);
/* To a position from which every record not covered by `from`, of the origins in the mask, is still to come. Reads segment
 * headers only. ERR_NEEDS_RESYNC when the oldest segment's vector is already past `from` in one of those origins. */
int log_reader_seek_vector(struct log_reader *reader, const struct vector *from, uint32_t origins, struct error_context *error);
/* Next entry that ends at or before limit_lsn. ERR_EMPTY at the limit, ERR_CORRUPT with file and offset, ERR_NEEDS_RESYNC if
 * the segment was removed under the reader, ERR_OVERLOADED when there is no descriptor for the next segment: then, as with
 * ERR_EMPTY, the reader stands where it stood. */
int log_reader_next(struct log_reader *reader, uint64_t limit_lsn, struct log_entry *entry, struct error_context *error);
uint64_t log_reader_lsn(const struct log_reader *reader);

#endif
