// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/crash_point.h"
#include "store/log_internal.h"

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

int log_spare_make(struct log *log, struct error_context *error)
{
	struct log_spare *spare = &log->spares[log->spare_files];

	snprintf(spare->name, sizeof(spare->name), "next-%llu.tmp", (unsigned long long)log->spare_number++);
	spare->fd = openat(log->dir_fd, spare->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (spare->fd < 0)
		return error_set(error, log_errno_code(errno), "%s: %s", spare->name, strerror(errno));
	const int code = log->io.fallocate(spare->fd, 0, (off_t)log->segment_size);
	if (code != 0) {
		close(spare->fd);
		unlinkat(log->dir_fd, spare->name, 0);
		return error_set(error, log_errno_code(code), "%s: allocating %llu bytes: %s", spare->name,
		    (unsigned long long)log->segment_size, strerror(code));
	}
	log->spare_files++;
	CRASH_POINT(log_spare_made);
	return 0;
}

/* The oldest spare file becomes the segment: whole and synced before it gets its name, so that a name means a whole header. */
int log_segment_activate(struct log *log, uint64_t start, const struct vector *vector, struct error_context *error)
{
	struct log_header header = {.region = log->region, .start_lsn = start, .vector = *vector, .seed = log->seed};
	const struct log_spare spare = log->spares[0];
	uint8_t bytes[LOG_HEADER_SIZE];
	char name[LOG_NAME_SIZE];

	memcpy(header.store_id, log->store_id, 16);
	log_header_encode(&header, bytes);
	log_segment_name(start, name);
	if (log_write_all(&log->io, spare.fd, bytes, sizeof(bytes), 0) < 0)
		return error_set(error, ERR_IO, "%s: writing the header: %s", name, strerror(errno));
	CRASH_POINT(log_segment_headed);
	if (log->io.fdatasync(spare.fd) < 0)
		return error_set(error, ERR_SYNC_FAILED, "%s: fdatasync: %s", name, strerror(errno));
	CRASH_POINT(log_segment_unnamed);
	if (renameat(log->dir_fd, spare.name, log->dir_fd, name) < 0)
		return error_set(error, ERR_IO, "%s: rename: %s", name, strerror(errno));
	CRASH_POINT(log_segment_named);
	if (fsync(log->dir_fd) < 0)
		return error_set(error, ERR_SYNC_FAILED, "log directory: fsync: %s", strerror(errno));
	if (log->fd >= 0)
		close(log->fd);
	log->fd = spare.fd;
	log->fd_start = start;
	log->spare_files--;
	memmove(log->spares, log->spares + 1, log->spare_files * sizeof(*log->spares));
	return 0;
}

/* Writes and syncs one group. Each segment is synced before the next one comes into being: recovery counts on it. */
static int group_write(struct log *log, const struct log_buffer *b, struct error_context *error)
{
	for (uint32_t i = 0; i < b->piece_count; i++) {
		const struct log_piece *piece = &b->pieces[i];
		char name[LOG_NAME_SIZE];

		log_segment_name(piece->segment_start, name);
		if (piece->is_new) {
			const int result = log_segment_activate(log, piece->segment_start, &piece->vector, error);
			if (result < 0)
				return result;
		}
		CRASH_POINT_WITH(log_partly_written,
		    log_write_all(&log->io, log->fd, b->bytes + piece->buffer_offset, piece->size - 20, piece->file_offset));
		if (log_write_all(&log->io, log->fd, b->bytes + piece->buffer_offset, piece->size, piece->file_offset) < 0)
			return error_set(
			    error, ERR_IO, "%s offset %llu: %s", name, (unsigned long long)piece->file_offset, strerror(errno));
		CRASH_POINT(log_written);
		if (log->io.fdatasync(log->fd) < 0)
			return error_set(error, ERR_SYNC_FAILED, "%s: fdatasync: %s", name, strerror(errno));
	}
	return 0;
}

static void completion_ring(struct log *log)
{
	const uint64_t one = 1;

	/* Cannot fail but when the counter is at its limit, and then it is readable anyway. */
	if (write(log->event_fd, &one, sizeof(one)) < 0)
		return;
}

/* Under the mutex: hands the gathered buffer to this thread and gives the caller the other one. */
static struct log_buffer *group_take(struct log *log)
{
	struct log_buffer *taken = &log->buffers[log->gathering];
	const struct log_segment *last = &log->segments[log->segment_count - 1];

	log->gathering ^= 1;
	log->flush = false;
	struct log_buffer *fresh = &log->buffers[log->gathering];
	fresh->size = 0;
	fresh->piece_count = 1;
	fresh->pieces[0] = (struct log_piece){.segment_start = last->start, .file_offset = log->end_lsn - last->start};
	return taken;
}

static void group_sync(struct log *log)
{
	struct error_context context;
	struct log_buffer *b = group_take(log);

	pthread_mutex_unlock(&log->mutex);
	CRASH_POINT(log_group_taken);
	const uint64_t before = now_us();
	const int result = group_write(log, b, &context);
	CRASH_POINT(log_synced);
	const uint64_t took = now_us() - before;
	/* After a burst the memory goes back. */
	if (b->size > LOG_BUFFER_KEPT)
		madvise(b->bytes + LOG_BUFFER_KEPT, log->buffer_capacity - LOG_BUFFER_KEPT, MADV_DONTNEED);
	pthread_mutex_lock(&log->mutex);
	if (result < 0) {
		/* For ever: what a failed fdatasync left unwritten, the kernel may call clean; a second one would succeed and
		 * lie. */
		log->error = result;
		log->error_context = context;
	} else {
		log->durable_lsn = b->end_lsn;
		log->unsynced_bytes -= b->size;
		log->sync_count++;
		log->last_sync_us = took > 0 ? took : 1;
	}
	completion_ring(log);
}

static bool spare_is_wanted(const struct log *log)
{
	return log->spares_ready < log->spares_wanted && log->spare_files < LOG_SPARES_MAX;
}

static void spare_add(struct log *log)
{
	int result = ERR_DISK_FULL;

	if (log->disk_max == 0 || log->segments_bytes + log->spares_bytes + log->segment_size <= log->disk_max) {
		pthread_mutex_unlock(&log->mutex);
		result = log_spare_make(log, NULL);
		pthread_mutex_lock(&log->mutex);
	}
	log->spare_error = result;
	if (result == 0) {
		log->spares_ready++;
		log->spares_bytes += log->segment_size;
	}
}

static void wait_for_work(struct log *log, bool retry)
{
	struct timespec until;

	if (!retry) {
		pthread_cond_wait(&log->wake, &log->mutex);
		return;
	}
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += LOG_RETRY_MS * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_cond_timedwait(&log->wake, &log->mutex, &until);
}

void *log_sync_main(void *argument)
{
	struct log *log = argument;
	uint64_t retry_us = 0;

	pthread_mutex_lock(&log->mutex);
	for (;;) {
		if (log->dir_changed) {
			log->dir_changed = false;
			retry_us = 0;
			pthread_mutex_unlock(&log->mutex);
			/* Should it not reach the disk, segments come back that nobody needs. */
			(void)fsync(log->dir_fd);
			pthread_mutex_lock(&log->mutex);
		} else if (log->error == 0 && !log->stop && spare_is_wanted(log) && now_us() >= retry_us) {
			spare_add(log);
			retry_us = log->spare_error != 0 ? now_us() + LOG_RETRY_MS * 1000 : 0;
		} else if (log->error == 0 && (log->flush || log->stop) && log->buffers[log->gathering].size > 0) {
			group_sync(log);
		} else if (log->stop) {
			break;
		} else {
			wait_for_work(log, log->error == 0 && spare_is_wanted(log));
		}
	}
	pthread_mutex_unlock(&log->mutex);
	return NULL;
}
