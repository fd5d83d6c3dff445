// SPDX-License-Identifier: Apache-2.0
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/crash_point.h"
#include "store/boot.h"
#include "store/log_internal.h"

#define BUFFER_MAX_DEFAULT (64ull * 1024 * 1024)

static int buffers_map(struct log *log, struct error_context *error)
{
	/* Room for one more of the largest entries: with nothing waiting, an entry is always taken. Untouched pages cost
	 * nothing. */
	log->buffer_capacity = log->buffer_max + log_entry_whole(LOG_BODY_MAX) + LOG_GROUP_SIZE + 2 * LOG_ENTRY_HEADER_SIZE;
	for (int i = 0; i < 2; i++) {
		void *bytes = mmap(
		    NULL, log->buffer_capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (bytes == MAP_FAILED)
			return error_set(error, ERR_NO_MEMORY, "log buffer of %zu bytes", log->buffer_capacity);
		log->buffers[i].bytes = bytes;
	}
	return 0;
}

/* The piece that the next bytes go to: more of the one at hand, or the first of an empty buffer. */
static void piece_start(struct log_buffer *b, uint64_t segment_start, uint64_t file_offset)
{
	assert(b->piece_count < LOG_PIECES_MAX);
	b->pieces[b->piece_count++] =
	    (struct log_piece){.segment_start = segment_start, .file_offset = file_offset, .buffer_offset = b->size};
}

static void destroy(struct log *log)
{
	if (log->fd >= 0)
		close(log->fd);
	for (uint32_t i = 0; i < log->spare_files; i++) {
		close(log->spares[i].fd);
		unlinkat(log->dir_fd, log->spares[i].name, 0);
	}
	for (int i = 0; i < 2; i++)
		if (log->buffers[i].bytes != NULL)
			munmap(log->buffers[i].bytes, log->buffer_capacity);
	if (log->event_fd >= 0)
		close(log->event_fd);
	if (log->dir_fd >= 0)
		close(log->dir_fd);
	pthread_cond_destroy(&log->wake);
	pthread_mutex_destroy(&log->mutex);
	free(log->segments);
	free(log);
}

int log_open(struct log **out, const struct log_options *options, struct log_recovered *found, struct error_context *error)
{
	pthread_condattr_t attributes;
	struct log *log = calloc(1, sizeof(*log));

	if (log == NULL)
		return error_set(error, ERR_NO_MEMORY, "log");
	log->io = options->io != NULL ? *options->io : log_io_system;
	log->region = options->region;
	memcpy(log->store_id, options->store_id, 16);
	log->segment_size = options->segment_size != 0 ? options->segment_size : LOG_SEGMENT_SIZE_DEFAULT;
	assert(log->segment_size >= LOG_SEGMENT_SIZE_MIN && log->segment_size <= LOG_SEGMENT_SIZE_MAX &&
	       log->segment_size % 8 == 0);
	log->disk_max = options->disk_max;
	log->buffer_max = options->buffer_max != 0 ? options->buffer_max : BUFFER_MAX_DEFAULT;
	/* Small segments are used up while one sync lasts, so more of them are kept ready. */
	const uint64_t buffer_segments = log->buffer_max / log->segment_size;
	log->spares_wanted = buffer_segments < 1 ? 1 : buffer_segments > 4 ? 4 : (uint32_t)buffer_segments;
	log->fd = log->event_fd = -1;
	pthread_mutex_init(&log->mutex, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&log->wake, &attributes);
	pthread_condattr_destroy(&attributes);

	int result = 0;
	log->dir_fd = open(options->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (log->dir_fd < 0)
		result = error_set(error, ERR_IO, "%s: %s", options->dir, strerror(errno));
	if (result == 0 && (log->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) < 0)
		result = error_set(error, ERR_IO, "eventfd: %s", strerror(errno));
	if (result == 0)
		result = boot_id_read(log->boot_id, error);
	if (result == 0)
		result = buffers_map(log, error);
	if (result == 0)
		result = log_recover(log, options->durable_lsn, found, error);
	if (result == 0) {
		const struct log_segment *last = &log->segments[log->segment_count - 1];
		piece_start(&log->buffers[0], last->start, log->end_lsn - last->start);
		const int code = pthread_create(&log->thread, NULL, log_sync_main, log);
		if (code != 0)
			result = error_set(error, ERR_NO_MEMORY, "log thread: %s", strerror(code));
	}
	if (result < 0) {
		destroy(log);
		return result;
	}
	log->thread_runs = true;
	*out = log;
	return 0;
}

void log_close(struct log *log)
{
	pthread_mutex_lock(&log->mutex);
	log->stop = true;
	pthread_cond_signal(&log->wake);
	pthread_mutex_unlock(&log->mutex);
	pthread_join(log->thread, NULL);
	destroy(log);
}

static uint8_t *buffer_take(struct log *log, struct log_buffer *b, size_t size)
{
	uint8_t *at = b->bytes + b->size;

	b->size += size;
	b->pieces[b->piece_count - 1].size += size;
	log->end_lsn += size;
	log->unsynced_bytes += size;
	return at;
}

/* Ends the segment and goes on in the next one, for which a spare file stands ready. Only in memory: the thread does the rest.
 */
static int segment_roll(struct log *log, struct log_buffer *b)
{
	if (log->segment_count == log->segment_capacity) {
		const uint32_t capacity = 2 * log->segment_capacity + 16;
		struct log_segment *larger = realloc(log->segments, capacity * sizeof(*larger));
		if (larger == NULL)
			return ERR_NO_MEMORY;
		log->segments = larger;
		log->segment_capacity = capacity;
	}
	const uint64_t end_mark = log->end_lsn;
	log_entry_write(log->seed, buffer_take(log, b, LOG_ENTRY_HEADER_SIZE), LOG_END, end_mark, NULL, 0);

	const struct log_segment *last = &log->segments[log->segment_count - 1];
	const uint64_t start = last->start + last->size;
	log->segments[log->segment_count++] = (struct log_segment){.start = start, .size = log->segment_size};
	log->segments_bytes += log->segment_size;
	log->spares_ready--;
	log->spares_bytes -= log->segment_size;
	log->end_lsn = start + LOG_HEADER_SIZE;
	piece_start(b, start, LOG_HEADER_SIZE);
	b->pieces[b->piece_count - 1].is_new = true;
	b->pieces[b->piece_count - 1].vector = log->vector;
	CRASH_POINT(log_rolled);
	return 0;
}

/* Room for the entry and, behind it, for the mark that ends a segment. */
static int make_room(struct log *log, struct log_buffer *b, uint64_t need)
{
	const struct log_segment *last = &log->segments[log->segment_count - 1];

	if (log->error != 0)
		return log->error;
	if (log->unsynced_bytes > 0 && log->unsynced_bytes + need + LOG_ENTRY_HEADER_SIZE > log->buffer_max)
		return ERR_OVERLOADED;
	if (log->end_lsn + need + LOG_ENTRY_HEADER_SIZE <= last->start + last->size)
		return 0;
	if (b->piece_count == LOG_PIECES_MAX)
		return ERR_OVERLOADED;
	if (log->spares_ready == 0) {
		/* None ready: because of a full disk, or only because the thread has not come to it yet. */
		pthread_cond_signal(&log->wake);
		return log->spare_error != 0 ? log->spare_error : ERR_OVERLOADED;
	}
	const int result = segment_roll(log, b);
	pthread_cond_signal(&log->wake);
	return result;
}

int log_append(struct log *log, enum log_type type, const void *body, size_t size, uint64_t *end_lsn)
{
	const uint64_t whole = log_entry_whole(size);
	struct dot dot = {0};

	assert(type == LOG_RECORD || ((type == LOG_HLC_BOUND || type == LOG_COMMIT_BOUND) && size == LOG_BOUND_SIZE) ||
	       (type == LOG_PEER_STORE && size == LOG_PEER_STORE_SIZE) ||
	       (type == LOG_COMMIT_MARK && size == LOG_COMMIT_MARK_SIZE) ||
	       (type >= LOG_COMMIT_FIRST && type <= LOG_COMMIT_LAST));
	if (size > LOG_BODY_MAX || LOG_HEADER_SIZE + LOG_GROUP_SIZE + whole + LOG_ENTRY_HEADER_SIZE > log->segment_size)
		return ERR_VALUE_TOO_LARGE;
	if (type == LOG_RECORD && record_peek(body, size, &dot) < 0)
		return ERR_MALFORMED;

	pthread_mutex_lock(&log->mutex);
	struct log_buffer *b = &log->buffers[log->gathering];
	/* A gap could never be applied, and the log never be opened for good again. A repeat does no harm. */
	int result = type == LOG_RECORD && dot.sequence > log->vector.sequence[dot.region] + 1 ? ERR_USAGE : 0;
	const bool first = b->size == 0;
	if (result == 0)
		result = make_room(log, b, whole + (first ? LOG_GROUP_SIZE : 0));
	if (result == 0) {
		if (first) {
			const uint64_t lsn = log->end_lsn;
			log_entry_write(
			    log->seed, buffer_take(log, b, LOG_GROUP_SIZE), LOG_GROUP, lsn, log->boot_id, sizeof(log->boot_id));
		}
		const uint64_t lsn = log->end_lsn;
		log_entry_write(log->seed, buffer_take(log, b, whole), type, lsn, body, (uint32_t)size);
		if (type == LOG_RECORD && dot.sequence > log->vector.sequence[dot.region])
			log->vector.sequence[dot.region] = dot.sequence;
		b->end_lsn = log->end_lsn;
		*end_lsn = log->end_lsn;
		CRASH_POINT(log_entry_buffered);
	}
	pthread_mutex_unlock(&log->mutex);
	return result;
}

void log_flush(struct log *log)
{
	pthread_mutex_lock(&log->mutex);
	if (log->buffers[log->gathering].size > 0 && !log->flush) {
		log->flush = true;
		pthread_cond_signal(&log->wake);
	}
	pthread_mutex_unlock(&log->mutex);
}

int log_fd(const struct log *log)
{
	return log->event_fd;
}

int log_completed(struct log *log, uint64_t *durable_lsn, struct error_context *error)
{
	uint64_t rung;

	/* Emptied before looking, so that what completes in between rings again. */
	if (read(log->event_fd, &rung, sizeof(rung)) < 0)
		rung = 0;
	pthread_mutex_lock(&log->mutex);
	*durable_lsn = log->durable_lsn;
	const int result = log->error;
	if (result < 0 && error != NULL)
		*error = log->error_context;
	pthread_mutex_unlock(&log->mutex);
	return result;
}

static uint64_t read_locked(const struct log *log, const uint64_t *value)
{
	pthread_mutex_t *mutex = (pthread_mutex_t *)(uintptr_t)&log->mutex;

	pthread_mutex_lock(mutex);
	const uint64_t result = *value;
	pthread_mutex_unlock(mutex);
	return result;
}

uint64_t log_room(const struct log *log, int *why)
{
	pthread_mutex_t *mutex = (pthread_mutex_t *)(uintptr_t)&log->mutex;
	const struct log_segment *last = &log->segments[log->segment_count - 1];

	pthread_mutex_lock(mutex);
	*why = log->error != 0 ? log->error : log->spare_error != 0 ? log->spare_error : ERR_OVERLOADED;
	const uint32_t pieces = LOG_PIECES_MAX - log->buffers[log->gathering].piece_count;
	const uint32_t segments = log->spares_ready < pieces ? log->spares_ready : pieces;
	/* The end of a segment that the next entry does not fit into is lost. */
	const uint64_t whole = log_entry_whole(LOG_BODY_MAX) + LOG_GROUP_SIZE + 2 * LOG_ENTRY_HEADER_SIZE;
	const uint64_t left = last->start + last->size - log->end_lsn;
	uint64_t room = left > whole ? left - whole : 0;
	if (log->segment_size > LOG_HEADER_SIZE + 2 * whole)
		room += segments * (log->segment_size - LOG_HEADER_SIZE - 2 * whole);
	const uint64_t buffer =
	    log->buffer_max > log->unsynced_bytes + whole ? log->buffer_max - log->unsynced_bytes - whole : 0;
	const bool good = log->error == 0;
	pthread_mutex_unlock(mutex);
	return !good ? 0 : room < buffer ? room : buffer;
}

uint64_t log_start_lsn(const struct log *log)
{
	/* Only the caller's own thread changes the list. */
	return log->segments[0].start;
}

uint64_t log_end_lsn(const struct log *log)
{
	return read_locked(log, &log->end_lsn);
}
uint64_t log_disk_bytes(const struct log *log)
{
	return read_locked(log, &log->segments_bytes) + read_locked(log, &log->spares_bytes);
}
uint64_t log_buffered_bytes(const struct log *log)
{
	return read_locked(log, &log->unsynced_bytes);
}
uint64_t log_sync_count(const struct log *log)
{
	return read_locked(log, &log->sync_count);
}

uint64_t log_take_sync_us(struct log *log)
{
	pthread_mutex_lock(&log->mutex);
	const uint64_t result = log->last_sync_us;
	log->last_sync_us = 0;
	pthread_mutex_unlock(&log->mutex);
	return result;
}

uint32_t log_drop_before(struct log *log, uint64_t lsn)
{
	const uint64_t durable_lsn = read_locked(log, &log->durable_lsn);
	uint32_t dropped = 0;

	if (lsn > durable_lsn)
		lsn = durable_lsn;
	/* Oldest first, so that what is left is always without gaps. */
	while (dropped + 1 < log->segment_count && log->segments[dropped].start + log->segments[dropped].size <= lsn) {
		char name[LOG_NAME_SIZE];

		log_segment_name(log->segments[dropped].start, name);
		if (unlinkat(log->dir_fd, name, 0) < 0 && errno != ENOENT)
			break;
		dropped++;
		CRASH_POINT(log_segment_removed);
	}
	if (dropped == 0)
		return 0;
	pthread_mutex_lock(&log->mutex);
	for (uint32_t i = 0; i < dropped; i++)
		log->segments_bytes -= log->segments[i].size;
	log->segment_count -= dropped;
	memmove(log->segments, log->segments + dropped, log->segment_count * sizeof(*log->segments));
	log->dir_changed = true;
	pthread_cond_signal(&log->wake);
	pthread_mutex_unlock(&log->mutex);
	return dropped;
}

int log_find_start(const char *dir, uint64_t *start_lsn, struct error_context *error)
{
	struct log_segment *segments;
	uint32_t count;

	const int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_set(error, ERR_IO, "%s: %s", dir, strerror(errno));
	const int result = log_segment_list(fd, &segments, &count, error);
	close(fd);
	if (result < 0)
		return result;
	*start_lsn = count > 0 ? segments[0].start : 0;
	free(segments);
	return 0;
}
