// SPDX-License-Identifier: Apache-2.0
#define XXH_INLINE_ALL
#include "store/log_segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "core/version.h"

#define LOG_MAGIC            0x00676f6c74776467ull
#define LOG_VERSION          3u   /* the oldest understood, and written: core/version.h */
#define LOG_HEADER_BYTES_OLD 168u /* in versions 1 and 2 */
#define LOG_HEADER_BYTES     176u /* what the checksum covers */

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are copied to disk as they lie in memory");

static int system_fallocate(int fd, off_t offset, off_t size)
{
	return posix_fallocate(fd, offset, size);
}

const struct log_io log_io_system = {.pwrite = pwrite, .fdatasync = fdatasync, .fallocate = system_fallocate};

int log_errno_code(int number)
{
	switch (number) {
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return ERR_DISK_FULL;
	case EMFILE:
	case ENFILE:
		return ERR_OVERLOADED;
	default:
		return ERR_IO;
	}
}

void log_segment_name(uint64_t start, char out[static LOG_NAME_SIZE])
{
	snprintf(out, LOG_NAME_SIZE, "%020llu.log", (unsigned long long)start);
}

void log_header_encode(const struct log_header *header, uint8_t out[static LOG_HEADER_SIZE])
{
	const uint64_t magic = LOG_MAGIC;
	const uint32_t version = LOG_VERSION;

	memset(out, 0, LOG_HEADER_SIZE);
	memcpy(out, &magic, 8);
	memcpy(out + 8, &version, 4);
	memcpy(out + 12, &header->region, 4);
	memcpy(out + 16, &header->start_lsn, 8);
	memcpy(out + 24, header->store_id, 16);
	memcpy(out + 40, header->vector.sequence, sizeof(header->vector.sequence));
	memcpy(out + 168, &header->seed, 8);
	const uint64_t checksum = XXH3_64bits(out, LOG_HEADER_BYTES);
	memcpy(out + LOG_HEADER_BYTES, &checksum, 8);
}

int log_header_decode(struct log_header *header, const uint8_t bytes[static LOG_HEADER_SIZE])
{
	uint64_t magic, checksum, old_checksum;
	uint32_t version;

	memcpy(&magic, bytes, 8);
	memcpy(&version, bytes + 8, 4);
	memcpy(&checksum, bytes + LOG_HEADER_BYTES, 8);
	memcpy(&old_checksum, bytes + LOG_HEADER_BYTES_OLD, 8);
	if (magic == LOG_MAGIC && version < LOG_VERSION && old_checksum == XXH3_64bits(bytes, LOG_HEADER_BYTES_OLD))
		return ERR_WRONG_VERSION;
	if (magic != LOG_MAGIC || checksum != XXH3_64bits(bytes, LOG_HEADER_BYTES))
		return ERR_CORRUPT;
	if (!version_is_understood(version, LOG_VERSION))
		return ERR_WRONG_VERSION;
	memcpy(&header->region, bytes + 12, 4);
	memcpy(&header->start_lsn, bytes + 16, 8);
	memcpy(header->store_id, bytes + 24, 16);
	memcpy(header->vector.sequence, bytes + 40, sizeof(header->vector.sequence));
	memcpy(&header->seed, bytes + 168, 8);
	return 0;
}

static int compare_segments(const void *a, const void *b)
{
	const struct log_segment *x = a, *y = b;
	return (x->start > y->start) - (x->start < y->start);
}

/* A name is taken only if it is exactly what log_segment_name would write. */
static bool parse_name(const char *name, uint64_t *start)
{
	char again[LOG_NAME_SIZE], *end;

	errno = 0;
	*start = strtoull(name, &end, 10);
	if (errno != 0 || strcmp(end, ".log") != 0)
		return false;
	log_segment_name(*start, again);
	return strcmp(name, again) == 0;
}

int log_segment_list(int dir_fd, struct log_segment **list, uint32_t *count, struct error_context *error)
{
	struct log_segment *segments = NULL;
	uint32_t used = 0, capacity = 0;
	int result = 0;

	const int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (dir == NULL) {
		const int why = errno;
		if (fd >= 0)
			close(fd);
		errno = why;
		return error_set(error, log_errno_code(errno), "log directory: %s", strerror(errno));
	}
	for (const struct dirent *e; (e = readdir(dir)) != NULL;) {
		struct stat st;
		uint64_t start;

		/* One that vanishes in between was dropped by the writer. */
		if (!parse_name(e->d_name, &start) || fstatat(dir_fd, e->d_name, &st, 0) < 0)
			continue;
		if (used == capacity) {
			capacity = capacity == 0 ? 64 : 2 * capacity;
			struct log_segment *larger = realloc(segments, capacity * sizeof(*segments));
			if (larger == NULL) {
				result = error_set(error, ERR_NO_MEMORY, "list of %u log segments", used);
				break;
			}
			segments = larger;
		}
		segments[used++] = (struct log_segment){.start = start, .size = (uint64_t)st.st_size};
	}
	closedir(dir);
	if (result < 0) {
		free(segments);
		return result;
	}
	if (used > 0)
		qsort(segments, used, sizeof(*segments), compare_segments);
	*list = segments;
	*count = used;
	return 0;
}

int log_segment_open(
    int dir_fd, uint64_t start, int flags, struct log_header *header, int *fd, uint64_t *size, struct error_context *error)
{
	char name[LOG_NAME_SIZE];
	uint8_t bytes[LOG_HEADER_SIZE];
	struct stat st;

	log_segment_name(start, name);
	const int opened = openat(dir_fd, name, flags | O_CLOEXEC);
	if (opened < 0)
		return error_set(
		    error, errno == ENOENT ? ERR_NOT_FOUND : log_errno_code(errno), "%s: %s", name, strerror(errno));
	int result = fstat(opened, &st) < 0 ? ERR_IO : 0;
	if (result == 0)
		result = log_read_exact(opened, bytes, sizeof(bytes), 0);
	if (result == 0)
		result = log_header_decode(header, bytes);
	if (result == 0 && (header->start_lsn != start || (uint64_t)st.st_size < LOG_SEGMENT_SIZE_MIN ||
	                       (uint64_t)st.st_size > LOG_SEGMENT_SIZE_MAX || st.st_size % 8 != 0))
		result = ERR_CORRUPT;
	if (result < 0) {
		close(opened);
		if (result == ERR_WRONG_VERSION)
			return error_set(error, result,
			    "%s: the log was written by another version of Godwit (this one has format %u)", name, LOG_VERSION);
		return error_set(error, result, "%s offset 0: bad segment header", name);
	}
	*fd = opened;
	*size = (uint64_t)st.st_size;
	return 0;
}

static uint64_t entry_checksum(uint64_t seed, uint32_t size, uint32_t type, uint64_t lsn, const uint8_t *body)
{
	struct {
		uint32_t size, type;
		uint64_t lsn, body;
	} covered = {size, type, lsn, XXH3_64bits_withSeed(body, size, seed)};
	return XXH3_64bits_withSeed(&covered, sizeof(covered), seed);
}

void log_entry_write(uint64_t seed, uint8_t *out, uint32_t type, uint64_t lsn, const void *body, uint32_t size)
{
	const struct log_entry_header header = {size, type, lsn, entry_checksum(seed, size, type, lsn, body)};

	memcpy(out, &header, LOG_ENTRY_HEADER_SIZE);
	if (size > 0)
		memcpy(out + LOG_ENTRY_HEADER_SIZE, body, size);
	memset(out + LOG_ENTRY_HEADER_SIZE + size, 0, log_entry_whole(size) - LOG_ENTRY_HEADER_SIZE - size);
}

enum log_entry_state log_entry_peek(struct log_entry_header *header, const uint8_t *bytes, uint64_t lsn, uint64_t room)
{
	memcpy(header, bytes, LOG_ENTRY_HEADER_SIZE);
	if (header->size == 0 && header->type == 0 && header->lsn == 0 && header->checksum == 0)
		return LOG_ENTRY_ZERO;
	/* Behind every other entry there is room for the end: without it the log could not go on from there. */
	const uint64_t end = header->type != LOG_END ? LOG_ENTRY_HEADER_SIZE : 0;
	if (header->lsn != lsn || header->size > LOG_BODY_MAX || header->type > LOG_COMMIT_MARK ||
	    log_entry_whole(header->size) + end > room)
		return LOG_ENTRY_BAD;
	return LOG_ENTRY_WHOLE;
}

bool log_entry_verify(uint64_t seed, const struct log_entry_header *header, const uint8_t *body)
{
	return header->checksum == entry_checksum(seed, header->size, header->type, header->lsn, body);
}

int log_read_exact(int fd, void *out, size_t size, uint64_t offset)
{
	uint8_t *at = out;

	while (size > 0) {
		const ssize_t n = pread(fd, at, size, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ERR_IO;
		if (n == 0)
			return ERR_CORRUPT;
		at += n;
		offset += (uint64_t)n;
		size -= (size_t)n;
	}
	return 0;
}

int log_write_all(const struct log_io *io, int fd, const void *bytes, size_t size, uint64_t offset)
{
	const uint8_t *at = bytes;

	while (size > 0) {
		const ssize_t n = io->pwrite(fd, at, size, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return ERR_IO;
		at += n;
		offset += (uint64_t)n;
		size -= (size_t)n;
	}
	return 0;
}
