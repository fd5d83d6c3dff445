/* SPDX-License-Identifier: Apache-2.0
 *
 * A snapshot's file: the copy of the rows as LMDB writes it, then its checksums.
 *
 *   data | u64 XXH3-64 of each SNAPSHOT_CHUNK of it, seeded with the chunk's number | footer
 *   footer: u64 magic | u32 version | u32 reserved | u64 bytes of data | u64 log position | u64 XXH3-64 of checksums and footer
 * so far Little endian. LMDB does not mind what is behind its pages, so the position can be read of the file as it is. */
#ifndef GODWIT_STORE_SNAPSHOT_FILE_H
#define GODWIT_STORE_SNAPSHOT_FILE_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define SNAPSHOT_CHUNK (4u * 1024 * 1024)

struct snapshot_sums {
	uint64_t size, lsn; /* of the data; the log position that it holds */
	uint64_t count, capacity;
	uint64_t *chunks;
};
void snapshot_sums_free(struct snapshot_sums *sums);

/* Takes all that comes from `from` (a pipe) into `to`, and sums it. ERR_OVERLOADED once *cancelled is true. */
int snapshot_file_take(int from, int to, struct snapshot_sums *sums, const atomic_bool *cancelled, struct error_context *error);
/* Writes the checksums and the footer behind the data. */
int snapshot_file_end(int fd, const struct snapshot_sums *sums, struct error_context *error);
/* Reads footer and checksums. ERR_CORRUPT when there are none, or they do not match each other. */
int snapshot_file_open(int fd, struct snapshot_sums *sums, struct error_context *error);
/* Looks at all data. ERR_CORRUPT. */
int snapshot_file_check(int fd, const struct snapshot_sums *sums, struct error_context *error);

/* Told of what is done of a copy, in bytes. */
struct snapshot_progress {
	void (*tell)(void *user, uint64_t done, uint64_t total);
	void *user;
};
/* Copies the data, chunk by chunk, each checked: what `to` holds already and matches is left as it is. ERR_CORRUPT: the
 * snapshot is damaged; ERR_DISK_FULL, ERR_IO. Synced when it returns 0. progress may be NULL. */
int snapshot_file_restore(
    int from, int to, const struct snapshot_sums *sums, const struct snapshot_progress *progress, struct error_context *error);

#endif
