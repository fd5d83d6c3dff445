// SPDX-License-Identifier: Apache-2.0
#define XXH_INLINE_ALL
#include "store/starts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "base/crash_point.h"

/* A slot: u64 version | u64 writes | u64 first | u64 count | u64 nonce... | (u64 number, u64 nonce) a region | zeros | u64
 * XXH3. Little endian. */
#define VERSION   1u
#define SLOT_SIZE 4096u
#define CHECKED   (SLOT_SIZE - 8)
#define NONCES_AT 32u
#define PEERS_AT  (NONCES_AT + 8 * STARTS_KEPT)
_Static_assert(PEERS_AT + 16 * REGIONS_MAX <= CHECKED, "it all fits in a slot");

static int io_error(struct error_context *error)
{
	const bool full = errno == ENOSPC || errno == EDQUOT;
	return error_set(error, full ? ERR_DISK_FULL : ERR_IO, "starts: %s", strerror(errno));
}

static void encode(const struct starts *starts, uint8_t bytes[static SLOT_SIZE])
{
	memset(bytes, 0, SLOT_SIZE);
	bytes_put_u64(bytes, VERSION);
	bytes_put_u64(bytes + 8, starts->writes);
	bytes_put_u64(bytes + 16, starts->own.first);
	bytes_put_u64(bytes + 24, starts->own.count);
	for (uint32_t i = 0; i < starts->own.count; i++)
		bytes_put_u64(bytes + NONCES_AT + 8 * (size_t)i, starts->own.nonces[i]);
	for (uint32_t i = 0; i < REGIONS_MAX; i++) {
		bytes_put_u64(bytes + PEERS_AT + 16 * (size_t)i, starts->peers[i].number);
		bytes_put_u64(bytes + PEERS_AT + 16 * (size_t)i + 8, starts->peers[i].nonce);
	}
	bytes_put_u64(bytes + CHECKED, XXH3_64bits(bytes, CHECKED));
}

/* False: torn, or never written. */
static bool decode(struct starts *starts, const uint8_t bytes[static SLOT_SIZE])
{
	if (bytes_get_u64(bytes + CHECKED) != XXH3_64bits(bytes, CHECKED) || bytes_get_u64(bytes) != VERSION ||
	    bytes_get_u64(bytes + 24) > STARTS_KEPT)
		return false;
	starts->writes = bytes_get_u64(bytes + 8);
	starts->own.first = bytes_get_u64(bytes + 16);
	starts->own.count = (uint32_t)bytes_get_u64(bytes + 24);
	for (uint32_t i = 0; i < starts->own.count; i++)
		starts->own.nonces[i] = bytes_get_u64(bytes + NONCES_AT + 8 * (size_t)i);
	for (uint32_t i = 0; i < REGIONS_MAX; i++)
		starts->peers[i] = (struct start){.number = bytes_get_u64(bytes + PEERS_AT + 16 * (size_t)i),
		    .nonce = bytes_get_u64(bytes + PEERS_AT + 16 * (size_t)i + 8)};
	return true;
}

/* Over the older slot. */
static int write_next(struct starts *starts, struct error_context *error)
{
	uint8_t bytes[SLOT_SIZE];
	starts->writes++;
	encode(starts, bytes);
	const off_t at = (off_t)(starts->writes % 2) * SLOT_SIZE;
	const ssize_t written = pwrite(starts->fd, bytes, SLOT_SIZE, at);
	if (written >= 0 && written != SLOT_SIZE)
		errno = ENOSPC;
	if (written != SLOT_SIZE)
		return io_error(error);
	CRASH_POINT(starts_written);
	return fdatasync(starts->fd) < 0 ? io_error(error) : 0;
}

/* Both slots are there, and full of what holds, before the file has its name. */
static int make(struct starts *starts, int dir_fd, struct error_context *error)
{
	uint8_t bytes[SLOT_SIZE];
	starts->own.first = 1;
	encode(starts, bytes);
	starts->fd = openat(dir_fd, "starts.tmp", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (starts->fd < 0)
		return io_error(error);
	for (off_t at = 0; at <= SLOT_SIZE; at += SLOT_SIZE)
		if (pwrite(starts->fd, bytes, SLOT_SIZE, at) != SLOT_SIZE)
			return io_error(error);
	if (fsync(starts->fd) < 0 || renameat(dir_fd, "starts.tmp", dir_fd, "starts") < 0 || fsync(dir_fd) < 0)
		return io_error(error);
	return 0;
}

static int load(struct starts *starts, struct error_context *error)
{
	uint8_t slots[2 * SLOT_SIZE];
	struct starts other = {0};
	const ssize_t size = pread(starts->fd, slots, sizeof slots, 0);
	if (size < 0)
		return io_error(error);
	memset(slots + size, 0, sizeof slots - (size_t)size);
	const bool first = decode(starts, slots), second = decode(&other, slots + SLOT_SIZE);
	if (!first && !second)
		return error_set(error, ERR_CORRUPT, "starts: neither of its two copies can be read");
	if (!first || (second && other.writes > starts->writes)) {
		other.fd = starts->fd;
		*starts = other;
	}
	return 0;
}

static int begin(struct starts *starts, struct error_context *error)
{
	struct start_history *own = &starts->own;
	uint64_t nonce = 0;
	if (getrandom(&nonce, sizeof nonce, 0) != sizeof nonce)
		return error_set(error, ERR_IO, "starts: no random numbers");
	if (own->count == STARTS_KEPT) {
		memmove(own->nonces, own->nonces + 1, (STARTS_KEPT - 1) * sizeof *own->nonces);
		own->first++;
		own->count--;
	}
	own->nonces[own->count++] = nonce;
	return write_next(starts, error);
}

int starts_open(struct starts *starts, const char *dir, struct error_context *error)
{
	*starts = (struct starts){.fd = -1};
	const int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return io_error(error);
	starts->fd = openat(dir_fd, "starts", O_RDWR | O_CLOEXEC);
	int code = 0;
	if (starts->fd >= 0)
		code = load(starts, error);
	else
		code = errno == ENOENT ? make(starts, dir_fd, error) : io_error(error);
	close(dir_fd);
	if (!code)
		code = begin(starts, error);
	if (code)
		starts_close(starts);
	return code;
}

void starts_close(struct starts *starts)
{
	if (starts->fd >= 0)
		close(starts->fd);
	starts->fd = -1;
}

struct start starts_last(const struct start_history *history)
{
	return (struct start){.number = history->first + history->count - 1, .nonce = history->nonces[history->count - 1]};
}

enum starts_verdict starts_compare(const struct start *known, const struct start_history *history)
{
	const struct start last = starts_last(history);
	if (known->number < history->first)
		return STARTS_LATER; /* none was met, or longer ago than can be told */
	if (known->number > last.number || history->nonces[known->number - history->first] != known->nonce)
		return STARTS_OLDER;
	return known->number == last.number ? STARTS_SAME : STARTS_LATER;
}

int starts_keep(struct starts *starts, uint8_t region, struct start met, struct error_context *error)
{
	starts->peers[region] = met;
	return write_next(starts, error);
}
