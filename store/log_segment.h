/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside the log: segment files and entries as they lie on disk. Used by the writer, its recovery and the reader. */
#ifndef GODWIT_STORE_LOG_SEGMENT_H
#define GODWIT_STORE_LOG_SEGMENT_H
#include "store/log.h"

#define LOG_GROUP            3u /* first entry of a group; body: boot id. See the top of log.h */
#define LOG_GROUP_SIZE       (LOG_ENTRY_HEADER_SIZE + 16u)
#define LOG_SEGMENT_SIZE_MIN (16u * 1024)
#define LOG_SEGMENT_SIZE_MAX (1024ull * 1024 * 1024)
#define LOG_NAME_SIZE        32

struct log_header {
	uint32_t region;
	uint64_t start_lsn;
	uint8_t store_id[16];
	struct vector vector; /* of all records before this segment */
	uint64_t seed;        /* of the entries' checksums, the same in all segments of a log */
};

struct log_segment {
	uint64_t start, size;
};

extern const struct log_io log_io_system;

/* What an errno of an open or an allocation is to the caller. Out of room: ERR_DISK_FULL; out of descriptors: ERR_OVERLOADED;
 * both go away by themselves and are refusals. Anything else: ERR_IO. */
int log_errno_code(int number);
void log_segment_name(uint64_t start, char out[static LOG_NAME_SIZE]);
void log_header_encode(const struct log_header *header, uint8_t out[static LOG_HEADER_SIZE]);
int log_header_decode(struct log_header *header, const uint8_t bytes[static LOG_HEADER_SIZE]);

/* Segments in the directory in rising order, sizes from the file system. *list is the caller's to free. */
int log_segment_list(int dir_fd, struct log_segment **list, uint32_t *count, struct error_context *error);
/* Opens one and checks its header. ERR_NOT_FOUND when there is no such file, ERR_CORRUPT. */
int log_segment_open(
    int dir_fd, uint64_t start, int flags, struct log_header *header, int *fd, uint64_t *size, struct error_context *error);

static inline uint64_t log_entry_whole(uint64_t body_size)
{
	return LOG_ENTRY_HEADER_SIZE + ((body_size + 7) & ~7ull);
}
/* Writes header, body and padding. */
void log_entry_write(uint64_t seed, uint8_t *out, uint32_t type, uint64_t lsn, const void *body, uint32_t size);

enum log_entry_state { LOG_ENTRY_WHOLE, LOG_ENTRY_ZERO, LOG_ENTRY_BAD };
struct log_entry_header {
	uint32_t size, type;
	uint64_t lsn, checksum;
};
/* Looks at the header alone. room: bytes from here to the end of the segment. */
enum log_entry_state log_entry_peek(struct log_entry_header *header, const uint8_t *bytes, uint64_t lsn, uint64_t room);
bool log_entry_verify(uint64_t seed, const struct log_entry_header *header, const uint8_t *body);

/* pread of exactly size bytes. ERR_CORRUPT at an early end of the file. */
int log_read_exact(int fd, void *out, size_t size, uint64_t offset);
/* pwrite of all, going on after short writes. */
int log_write_all(const struct log_io *io, int fd, const void *bytes, size_t size, uint64_t offset);

#endif
