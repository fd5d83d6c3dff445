// SPDX-License-Identifier: Apache-2.0
#define XXH_INLINE_ALL
#include "store/snapshot_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/bytes.h"

#define MAGIC       0x0070616e73776467ull
#define VERSION     1u
#define FOOTER_SIZE (8u + 4 + 4 + 8 + 8 + 8)

void snapshot_sums_free(struct snapshot_sums *sums)
{
	free(sums->chunks);
	*sums = (struct snapshot_sums){0};
}

static int failed(int code, const char *what, struct error_context *error)
{
	return error_set(error, code == ENOSPC || code == EDQUOT || code == EFBIG ? ERR_DISK_FULL : ERR_IO, "snapshot: %s: %s",
	    what, strerror(code));
}

static int sum_add(struct snapshot_sums *sums, const uint8_t *chunk, size_t size, struct error_context *error)
{
	if (sums->count == sums->capacity) {
		const uint64_t capacity = 2 * sums->capacity + 64;
		uint64_t *larger = realloc(sums->chunks, capacity * sizeof(*larger));
		if (larger == NULL)
			return error_set(error, ERR_NO_MEMORY, "snapshot: checksums");
		sums->chunks = larger;
		sums->capacity = capacity;
	}
	sums->chunks[sums->count] = XXH3_64bits_withSeed(chunk, size, sums->count);
	sums->count++;
	sums->size += size;
	return 0;
}

/* As many bytes as there are, up to size; negative errno. */
static ssize_t read_full(int fd, uint8_t *out, size_t size, int64_t offset)
{
	size_t got = 0;

	while (got < size) {
		const ssize_t n = offset < 0 ? read(fd, out + got, size - got)
		                             : pread(fd, out + got, size - got, (off_t)(offset + (int64_t)got));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

static int write_full(int fd, const uint8_t *bytes, size_t size, uint64_t offset)
{
	while (size > 0) {
		const ssize_t n = pwrite(fd, bytes, size, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? errno : ENOSPC;
		bytes += n;
		offset += (uint64_t)n;
		size -= (size_t)n;
	}
	return 0;
}

int snapshot_file_take(int from, int to, struct snapshot_sums *sums, const atomic_bool *cancelled, struct error_context *error)
{
	uint8_t *chunk = malloc(SNAPSHOT_CHUNK);
	int result = chunk == NULL ? error_set(error, ERR_NO_MEMORY, "snapshot: a chunk") : 0;

	while (result == 0) {
		const ssize_t size = read_full(from, chunk, SNAPSHOT_CHUNK, -1);
		if (size == 0)
			break;
		if (atomic_load_explicit(cancelled, memory_order_relaxed)) {
			result =
			    error_set(error, ERR_OVERLOADED, "snapshot: given up, since it kept room from being used again");
		} else if (size < 0) {
			result = failed((int)-size, "reading the rows", error);
		} else {
			const int code = write_full(to, chunk, (size_t)size, sums->size);
			result = code != 0 ? failed(code, "writing", error) : sum_add(sums, chunk, (size_t)size, error);
		}
	}
	free(chunk);
	return result;
}

static size_t end_encode(const struct snapshot_sums *sums, uint8_t *out)
{
	uint8_t *at = out;

	for (uint64_t i = 0; i < sums->count; i++, at += 8)
		bytes_put_u64(at, sums->chunks[i]);
	bytes_put_u64(at, MAGIC);
	bytes_put_u64(at + 8, VERSION);
	bytes_put_u64(at + 16, sums->size);
	bytes_put_u64(at + 24, sums->lsn);
	bytes_put_u64(at + 32, XXH3_64bits(out, (size_t)(at + 32 - out)));
	return (size_t)(at + FOOTER_SIZE - out);
}

int snapshot_file_end(int fd, const struct snapshot_sums *sums, struct error_context *error)
{
	uint8_t *bytes = malloc(sums->count * 8 + FOOTER_SIZE);

	if (bytes == NULL)
		return error_set(error, ERR_NO_MEMORY, "snapshot: checksums");
	const int code = write_full(fd, bytes, end_encode(sums, bytes), sums->size);
	free(bytes);
	return code != 0 ? failed(code, "writing checksums", error) : 0;
}

int snapshot_file_open(int fd, struct snapshot_sums *sums, struct error_context *error)
{
	uint8_t footer[FOOTER_SIZE], *bytes;
	struct stat status;

	*sums = (struct snapshot_sums){0};
	if (fstat(fd, &status) < 0)
		return failed(errno, "looking at the file", error);
	const uint64_t whole = (uint64_t)status.st_size;
	if (whole < FOOTER_SIZE || read_full(fd, footer, FOOTER_SIZE, (int64_t)(whole - FOOTER_SIZE)) != FOOTER_SIZE ||
	    bytes_get_u64(footer) != MAGIC || bytes_get_u64(footer + 8) != VERSION)
		return error_set(error, ERR_CORRUPT, "snapshot: it does not end with its checksums");
	sums->size = bytes_get_u64(footer + 16);
	sums->lsn = bytes_get_u64(footer + 24);
	sums->count = sums->capacity = sums->size / SNAPSHOT_CHUNK + (sums->size % SNAPSHOT_CHUNK != 0);
	if (sums->size > whole || sums->size + sums->count * 8 + FOOTER_SIZE != whole)
		return error_set(error, ERR_CORRUPT, "snapshot: its size is not what its end says");
	const size_t size = (size_t)(sums->count * 8 + FOOTER_SIZE);
	bytes = malloc(size);
	sums->chunks = malloc(sums->count * 8 + 1);
	int result = bytes == NULL || sums->chunks == NULL ? error_set(error, ERR_NO_MEMORY, "snapshot: checksums") : 0;
	if (result == 0 && read_full(fd, bytes, size, (int64_t)sums->size) != (ssize_t)size)
		result = error_set(error, ERR_CORRUPT, "snapshot: its checksums cannot be read");
	if (result == 0 && bytes_get_u64(bytes + size - 8) != XXH3_64bits(bytes, size - 8))
		result = error_set(error, ERR_CORRUPT, "snapshot: its checksums do not match theirs");
	for (uint64_t i = 0; result == 0 && i < sums->count; i++)
		sums->chunks[i] = bytes_get_u64(bytes + 8 * i);
	free(bytes);
	if (result < 0)
		snapshot_sums_free(sums);
	return result;
}

static size_t chunk_size(const struct snapshot_sums *sums, uint64_t i)
{
	const uint64_t left = sums->size - i * SNAPSHOT_CHUNK;
	return left < SNAPSHOT_CHUNK ? (size_t)left : SNAPSHOT_CHUNK;
}

static bool chunk_matches(int fd, const struct snapshot_sums *sums, uint64_t i, uint8_t *chunk)
{
	const size_t size = chunk_size(sums, i);
	return read_full(fd, chunk, size, (int64_t)(i * SNAPSHOT_CHUNK)) == (ssize_t)size &&
	       XXH3_64bits_withSeed(chunk, size, i) == sums->chunks[i];
}

static int damaged(uint64_t i, struct error_context *error)
{
	return error_set(error, ERR_CORRUPT, "snapshot: what it holds at %llu does not match its checksum",
	    (unsigned long long)(i * SNAPSHOT_CHUNK));
}

int snapshot_file_check(int fd, const struct snapshot_sums *sums, struct error_context *error)
{
	uint8_t *chunk = malloc(SNAPSHOT_CHUNK);
	int result = chunk == NULL ? error_set(error, ERR_NO_MEMORY, "snapshot: a chunk") : 0;

	for (uint64_t i = 0; result == 0 && i < sums->count; i++)
		if (!chunk_matches(fd, sums, i, chunk))
			result = damaged(i, error);
	free(chunk);
	return result;
}

int snapshot_file_restore(
    int from, int to, const struct snapshot_sums *sums, const struct snapshot_progress *progress, struct error_context *error)
{
	uint8_t *chunk = malloc(SNAPSHOT_CHUNK);
	int result = chunk == NULL ? error_set(error, ERR_NO_MEMORY, "snapshot: a chunk") : 0;

	for (uint64_t i = 0; result == 0 && i < sums->count; i++) {
		if (!chunk_matches(to, sums, i, chunk)) {
			const int code = chunk_matches(from, sums, i, chunk)
			                     ? write_full(to, chunk, chunk_size(sums, i), i * SNAPSHOT_CHUNK)
			                     : -1;
			result = code < 0 ? damaged(i, error) : code > 0 ? failed(code, "copying", error) : 0;
		}
		if (result == 0 && progress != NULL)
			progress->tell(progress->user, i * SNAPSHOT_CHUNK + chunk_size(sums, i), sums->size);
	}
	free(chunk);
	if (result == 0 && (ftruncate(to, (off_t)sums->size) < 0 || fsync(to) < 0))
		result = failed(errno, "syncing", error);
	return result;
}
