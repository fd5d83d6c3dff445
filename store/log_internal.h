/* SPDX-License-Identifier: Apache-2.0
 *
 * The log's writer, shared by its three parts: log_writer.c (the caller's thread), log_sync.c (the thread that touches the
 * disk) and log_recover.c (before there is a thread).
 *
 * Two buffers: the caller gathers a group in one while the thread writes and syncs the other. A group is a list of pieces, one
 * for each segment that it touches. Everything in struct log is under the mutex, except: what is set before the thread starts,
 * the bytes and pieces of the buffer being written, and the fields at the end, which only the thread uses. */
#ifndef GODWIT_STORE_LOG_INTERNAL_H
#define GODWIT_STORE_LOG_INTERNAL_H
#include <pthread.h>

#include "store/log_segment.h"

#define LOG_PIECES_MAX  16u
#define LOG_SPARES_MAX  8u
#define LOG_RETRY_MS    100 /* between tries to allocate the next segment on a full disk */
#define LOG_BUFFER_KEPT (4u * 1024 * 1024)

struct log_piece {
	uint64_t segment_start, file_offset;
	size_t buffer_offset, size;
	bool is_new; /* the segment is made from a spare file first, with this vector in its header */
	struct vector vector;
};

struct log_buffer {
	uint8_t *bytes;
	size_t size;
	struct log_piece pieces[LOG_PIECES_MAX];
	uint32_t piece_count;
	uint64_t end_lsn;
};

struct log_spare {
	int fd;
	char name[LOG_NAME_SIZE];
};

struct log {
	struct log_io io;
	int dir_fd, event_fd;
	uint32_t region;
	uint8_t store_id[16], boot_id[16];
	uint64_t seed; /* of checksums; see store/log.h */
	uint64_t segment_size, disk_max, buffer_max;
	size_t buffer_capacity;
	uint32_t spares_wanted;
	pthread_t thread;
	bool thread_runs;

	pthread_mutex_t mutex;
	pthread_cond_t wake;
	struct log_buffer buffers[2];
	uint32_t gathering; /* index of the buffer that the caller fills */
	uint64_t unsynced_bytes;
	bool flush, stop, dir_changed;
	struct log_segment *segments; /* rising; the last is the one appended to */
	uint32_t segment_count, segment_capacity;
	uint64_t segments_bytes, spares_bytes;
	uint32_t spares_ready; /* made and not yet claimed by a roll-over */
	int spare_error;       /* why there is none: 0 or what log_append answers */
	struct vector vector;  /* of all that was appended */
	uint64_t end_lsn, durable_lsn;
	int error; /* sticky */
	struct error_context error_context;
	uint64_t sync_count, last_sync_us;

	int fd; /* segment written last */
	uint64_t fd_start;
	struct log_spare spares[LOG_SPARES_MAX]; /* in the order of use; claimed ones first */
	uint32_t spare_files;
	uint64_t spare_number;
};

/* log_sync.c */
void *log_sync_main(void *log);
int log_spare_make(struct log *log, struct error_context *error);
int log_segment_activate(struct log *log, uint64_t start, const struct vector *vector, struct error_context *error);

/* log_recover.c: fills segments, vector, end_lsn, fd. Leaves what it opened for log_close on failure. */
int log_recover(struct log *log, uint64_t durable_lsn, struct log_recovered *found, struct error_context *error);

#endif
