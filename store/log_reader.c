// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/log_segment.h"

#define READER_BUFFER_SIZE (256u * 1024)

struct log_reader {
	int dir_fd;
	int fd; /* -1: nowhere. Stays readable when the writer removes the file */
	struct log_segment segment;
	uint64_t seed; /* of the segment's checksums */
	uint64_t lsn;
	uint8_t *buffer;
	size_t capacity;
	uint64_t buffer_lsn; /* of buffer[0] */
	size_t buffer_size;  /* bytes in it: only such as were below the limit when they were read, so they cannot be stale */
};

int log_reader_open(struct log_reader **out, const char *dir, struct error_context *error)
{
	struct log_reader *reader = calloc(1, sizeof(*reader));

	if (reader == NULL)
		return error_set(error, ERR_NO_MEMORY, "log reader");
	reader->fd = -1;
	reader->capacity = READER_BUFFER_SIZE;
	reader->buffer = malloc(reader->capacity);
	if (reader->buffer == NULL) {
		free(reader);
		return error_set(error, ERR_NO_MEMORY, "log reader");
	}
	reader->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (reader->dir_fd < 0) {
		const int code = errno;
		free(reader->buffer);
		free(reader);
		return error_set(error, code == ENOENT ? ERR_UNREACHABLE : log_errno_code(code), "%s: %s", dir, strerror(code));
	}
	*out = reader;
	return 0;
}

void log_reader_close(struct log_reader *reader)
{
	if (reader->fd >= 0)
		close(reader->fd);
	close(reader->dir_fd);
	free(reader->buffer);
	free(reader);
}

uint64_t log_reader_lsn(const struct log_reader *reader)
{
	return reader->lsn;
}

static int reader_enter(struct log_reader *reader, uint64_t start, uint64_t lsn, struct error_context *error)
{
	struct log_header header;
	uint64_t size;
	int fd;

	const int result = log_segment_open(reader->dir_fd, start, O_RDONLY, &header, &fd, &size, error);
	if (result < 0)
		return result;
	if (reader->fd >= 0)
		close(reader->fd);
	reader->fd = fd;
	reader->segment = (struct log_segment){.start = start, .size = size};
	reader->seed = header.seed;
	reader->lsn = lsn < start + LOG_HEADER_SIZE ? start + LOG_HEADER_SIZE : lsn;
	reader->buffer_size = 0;
	return 0;
}

int log_reader_seek(struct log_reader *reader, uint64_t lsn, struct error_context *error)
{
	struct log_segment *segments;
	uint32_t count, at;

	if (reader->fd >= 0 && lsn >= reader->segment.start + LOG_HEADER_SIZE &&
	    lsn - reader->segment.start < reader->segment.size) {
		reader->lsn = lsn;
		return 0;
	}
	int result = log_segment_list(reader->dir_fd, &segments, &count, error);
	if (result < 0)
		return result;
	for (at = count; at > 0 && segments[at - 1].start > lsn; at--)
		;
	if (count == 0)
		result = error_set(error, ERR_UNREACHABLE, "there is no log yet");
	else if (at == 0)
		result = error_set(error, ERR_NEEDS_RESYNC, "position %llu is no longer in the log, which starts at %llu",
		    (unsigned long long)lsn, (unsigned long long)segments[0].start);
	else if (lsn - segments[at - 1].start >= segments[at - 1].size)
		result = error_set(error, ERR_CORRUPT, "position %llu is not in the log", (unsigned long long)lsn);
	else
		result = reader_enter(reader, segments[at - 1].start, lsn, error);
	/* Removed between the listing and the opening. */
	if (result == ERR_NOT_FOUND)
		result = error_set(error, ERR_NEEDS_RESYNC, "position %llu is no longer in the log", (unsigned long long)lsn);
	free(segments);
	return result;
}

static bool vector_is_past(const struct vector *vector, const struct vector *from, uint32_t origins)
{
	for (uint32_t i = 0; i < REGIONS_MAX; i++)
		if ((origins >> i & 1) != 0 && vector->sequence[i] > from->sequence[i])
			return true;
	return false;
}

int log_reader_seek_vector(struct log_reader *reader, const struct vector *from, uint32_t origins, struct error_context *error)
{
	struct log_segment *segments;
	struct log_header header;
	uint64_t size;
	uint32_t count;
	int fd;

	int result = log_segment_list(reader->dir_fd, &segments, &count, error);
	if (result < 0)
		return result;
	if (count == 0) {
		free(segments);
		return error_set(error, ERR_UNREACHABLE, "there is no log yet");
	}
	/* Vectors only grow along the log: the newest segment that is not past `from` is the place. */
	uint32_t low = 0, high = count;
	while (low < high) {
		const uint32_t middle = low + (high - low) / 2;
		result = log_segment_open(reader->dir_fd, segments[middle].start, O_RDONLY, &header, &fd, &size, error);
		if (result == 0)
			close(fd);
		if (result < 0 && result != ERR_NOT_FOUND)
			break;
		/* One that was removed meanwhile is too old to be the place. */
		if (result == ERR_NOT_FOUND || !vector_is_past(&header.vector, from, origins))
			low = middle + 1;
		else
			high = middle;
		result = 0;
	}
	if (result == 0 && low > 0)
		result = reader_enter(reader, segments[low - 1].start, segments[low - 1].start, error);
	if (result == ERR_NOT_FOUND || (result == 0 && low == 0)) {
		char text[VECTOR_TEXT_MAX];
		vector_format(from, text);
		result = error_set(error, ERR_NEEDS_RESYNC, "the log no longer holds what follows %.200s", text);
	}
	free(segments);
	return result;
}

static int reader_corrupt(struct log_reader *reader, uint64_t lsn, const char *what, struct error_context *error)
{
	char name[LOG_NAME_SIZE];

	reader->buffer_size = 0;
	log_segment_name(reader->segment.start, name);
	return error_set(
	    error, ERR_CORRUPT, "%s offset %llu: %s", name, (unsigned long long)(lsn - reader->segment.start), what);
}

/* Makes at least `need` bytes at the current position available, and more as far as `upto`. */
static int reader_fill(struct log_reader *reader, size_t need, uint64_t upto, struct error_context *error)
{
	if (reader->buffer_size > 0 && reader->lsn >= reader->buffer_lsn &&
	    reader->lsn + need <= reader->buffer_lsn + reader->buffer_size)
		return 0;
	if (need > reader->capacity) {
		uint8_t *larger = realloc(reader->buffer, need);
		if (larger == NULL)
			return error_set(error, ERR_NO_MEMORY, "log entry of %zu bytes", need);
		reader->buffer = larger;
		reader->capacity = need;
	}
	size_t size = reader->capacity;
	if (upto - reader->lsn < size)
		size = (size_t)(upto - reader->lsn);
	if (size < need)
		size = need;
	reader->buffer_size = 0;
	const int result = log_read_exact(reader->fd, reader->buffer, size, reader->lsn - reader->segment.start);
	if (result < 0)
		return reader_corrupt(reader, reader->lsn, result == ERR_IO ? strerror(errno) : "the file is too short", error);
	reader->buffer_lsn = reader->lsn;
	reader->buffer_size = size;
	return 0;
}

/* The entry at the current position, verified; not yet consumed. */
static int reader_entry(struct log_reader *reader, uint64_t limit_lsn, struct log_entry_header *header, const uint8_t **body,
    struct error_context *error)
{
	const uint64_t segment_end = reader->segment.start + reader->segment.size;
	const uint64_t upto = limit_lsn < segment_end ? limit_lsn : segment_end;

	if (limit_lsn < reader->lsn || limit_lsn - reader->lsn < LOG_ENTRY_HEADER_SIZE)
		return ERR_EMPTY;
	if (segment_end - reader->lsn < LOG_ENTRY_HEADER_SIZE)
		return reader_corrupt(reader, reader->lsn, "the segment ends without a mark", error);
	int result = reader_fill(reader, LOG_ENTRY_HEADER_SIZE, upto, error);
	if (result < 0)
		return result;
	switch (log_entry_peek(
	    header, reader->buffer + (reader->lsn - reader->buffer_lsn), reader->lsn, segment_end - reader->lsn)) {
	case LOG_ENTRY_ZERO:
		/* Without a limit (tools) nobody knows where the log ends, so zeroes are the end. Below a limit they are a
		 * hole. */
		if (limit_lsn != UINT64_MAX)
			return reader_corrupt(reader, reader->lsn, "nothing there", error);
		reader->buffer_size = 0;
		return ERR_EMPTY;
	case LOG_ENTRY_BAD:
		return reader_corrupt(reader, reader->lsn, "bad entry header", error);
	case LOG_ENTRY_WHOLE:
		break;
	}
	const uint64_t whole = log_entry_whole(header->size);
	result = reader_fill(reader, (size_t)whole, upto, error);
	if (result < 0)
		return result;
	*body = reader->buffer + (reader->lsn - reader->buffer_lsn) + LOG_ENTRY_HEADER_SIZE;
	/* Before the limit is looked at: a damaged size must not look like an entry that is not complete yet. */
	if (!log_entry_verify(reader->seed, header, *body))
		return reader_corrupt(reader, reader->lsn, "the checksum differs", error);
	return reader->lsn + whole > limit_lsn ? ERR_EMPTY : 0;
}

int log_reader_next(struct log_reader *reader, uint64_t limit_lsn, struct log_entry *entry, struct error_context *error)
{
	struct log_entry_header header;
	const uint8_t *body = NULL;

	if (reader->fd < 0)
		return error_set(error, ERR_USAGE, "the log reader stands nowhere");
	for (;;) {
		int result = reader_entry(reader, limit_lsn, &header, &body, error);
		if (result < 0)
			return result;
		const uint64_t end_lsn = reader->lsn + log_entry_whole(header.size);
		if (header.type == LOG_END) {
			const uint64_t next = reader->segment.start + reader->segment.size;
			if (limit_lsn < next + LOG_HEADER_SIZE + LOG_ENTRY_HEADER_SIZE)
				return ERR_EMPTY;
			result = reader_enter(reader, next, next, error);
			if (result == ERR_NOT_FOUND && limit_lsn == UINT64_MAX)
				return ERR_EMPTY;
			if (result == ERR_NOT_FOUND)
				return error_set(
				    error, ERR_NEEDS_RESYNC, "the log segment at %llu was removed", (unsigned long long)next);
			if (result < 0)
				return result;
			continue;
		}
		if (header.type == LOG_GROUP) {
			reader->lsn = end_lsn;
			continue;
		}
		*entry = (struct log_entry){.lsn = reader->lsn,
		    .end_lsn = end_lsn,
		    .type = (enum log_type)header.type,
		    .body = body,
		    .size = header.size};
		reader->lsn = end_lsn;
		return 0;
	}
}
