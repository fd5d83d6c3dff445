/* SPDX-License-Identifier: Apache-2.0
 *
 * Making the shared memory can be killed at any point and done again:
 *   open         -> an empty file: too small, thrown away next time
 *   ftruncate,
 *   fallocate    -> version 0: thrown away
 *   header, ring -> version 0: thrown away
 *   version      -> complete
 * The same for attaching: what the supervisor resets, it resets again next time. Only the supervisor makes it, under the lock
 * of its region directory, and no actor of an earlier supervisor lives then (see actors/supervisor/port.c).
 *
 * Pages are allocated whole before anybody maps them: touching a hole of a full /dev/shm would be SIGBUS. Hence the version is
 * first looked at with pread, which reads a hole as zeros, and mapped only if it says that allocation is behind us. */
#include "shm/layout.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "core/record.h"
#include "shm/crash_point.h"

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2, "a lock inside an atomic would not survive a kill");
_Static_assert(sizeof(_Atomic uint64_t) == 8 && sizeof(_Atomic uint32_t) == 4, "atomics are plain words");
_Static_assert((SHM_INBOUND_RING_SIZE & (SHM_INBOUND_RING_SIZE - 1)) == 0, "power of two");
_Static_assert(SHM_INBOUND_RING_SIZE / 2 >= RECORD_ENCODED_MAX + 64, "two of the largest records fit");
_Static_assert(offsetof(struct shm_layout, inbound_bytes) % 4096 == 0, "ring bytes start a page");
_Static_assert(offsetof(struct shm_layout, counters) % 128 == 0 && sizeof(struct counter_block) % 128 == 0,
    "no line is shared by two writers");
_Static_assert(sizeof(struct shm_actor) == 256 && sizeof(struct shm_link) % 128 == 0 && sizeof(struct shm_peer) == 128,
    "no line is shared by two writers");

const char *actor_name(enum actor actor)
{
	static const char *const names[ACTORS] = {"coordinator", "streamer", "monitor", "router", "reconciler"};
	assert((unsigned)actor < ACTORS);
	return names[actor];
}

int actor_parse(const char *name)
{
	for (int i = 0; i < ACTORS; i++)
		if (strcmp(actor_name((enum actor)i), name) == 0)
			return i;
	return -1;
}

const char *region_state_name(uint32_t state)
{
	static const char *const names[] = {"unknown", "up", "lagging", "down"};
	return state <= REGION_DOWN ? names[state] : "invalid"; /* read from shared memory: may be anything */
}

const char *link_state_name(uint32_t state)
{
	static const char *const names[] = {"down", "subscribed", "refused", "needs_resync"};
	return state <= LINK_NEEDS_RESYNC ? names[state] : "invalid";
}

const char *actor_state_name(uint32_t state)
{
	static const char *const names[] = {"down", "starting", "ready", "backing_off"};
	return state <= ACTOR_BACKING_OFF ? names[state] : "invalid";
}

void shm_name(const char *region_dir, char out[64])
{
	char *real = realpath(region_dir, NULL);
	/* A directory that is not there has no shared memory either: any name that nobody uses will do. */
	const char *path = real != NULL ? real : region_dir;
	snprintf(out, 64, "/godwit-%016llx", (unsigned long long)XXH3_64bits(path, strlen(path)));
	free(real);
}

uint64_t shm_store_tag(const struct store_id *own)
{
	return XXH3_64bits(own, sizeof *own) | 1;
}

void shm_link_acked(const struct shm_link *link, const struct store_id *own, struct vector *acked)
{
	/* The writer stores the vector first: behind this tag there is one of this store, or a later one of it. */
	bool current = atomic_load_explicit(&link->acked_tag, memory_order_acquire) == shm_store_tag(own);
	*acked = (struct vector){{0}};
	if (current)
		vector_slot_read(&link->acked, acked);
}

uint64_t shm_abi(void)
{
	const uint64_t figures[] = {sizeof(struct shm_layout), sizeof(struct shm_actor), sizeof(struct shm_coordinator),
	    sizeof(struct shm_link), sizeof(struct shm_peer), sizeof(struct counter_block), sizeof(struct histogram_block),
	    sizeof(struct vector_slot), sizeof(struct ring_shared), offsetof(struct shm_layout, actors),
	    offsetof(struct shm_layout, coordinator), offsetof(struct shm_layout, links), offsetof(struct shm_layout, peers),
	    offsetof(struct shm_layout, counters), offsetof(struct shm_layout, inbound),
	    offsetof(struct shm_layout, inbound_bytes), offsetof(struct shm_coordinator, applied),
	    offsetof(struct shm_coordinator, ready), offsetof(struct shm_coordinator, start_total_mib), offsetof(struct shm_link, acked_at_ns), offsetof(struct shm_link, inbound),
	    offsetof(struct shm_link, inbound_code), offsetof(struct shm_link, seen), offsetof(struct shm_coordinator, stores),
	    offsetof(struct shm_peer, clock_offset_us), ACTORS, COUNTERS, HISTOGRAMS, HISTOGRAM_BUCKETS, REGIONS_MAX};
	uint64_t abi = XXH3_64bits(figures, sizeof(figures));
	/* Two builds may have as many counters, but others. */
	for (uint32_t i = 0; i < COUNTERS; i++)
		abi = XXH3_64bits_withSeed(counter_name((enum counter)i), strlen(counter_name((enum counter)i)), abi);
	for (uint32_t i = 0; i < HISTOGRAMS; i++)
		abi = XXH3_64bits_withSeed(histogram_name((enum histogram)i), strlen(histogram_name((enum histogram)i)), abi);
	return abi;
}

static int boot_id_read(uint8_t id[16], struct error_context *error)
{
	const char *path = "/proc/sys/kernel/random/boot_id";
	char text[64];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	int reason = errno;
	if (fd >= 0)
		close(fd);
	if (got < 0)
		return error_set(error, ERR_IO, "%s: %s", path, strerror(reason));
	text[got] = 0;
	uint32_t digits = 0;
	memset(id, 0, 16);
	for (const char *c = text; *c != 0 && digits < 32; c++) {
		if (*c == '-')
			continue;
		int value = *c >= '0' && *c <= '9' ? *c - '0' : *c >= 'a' && *c <= 'f' ? *c - 'a' + 10 : -1;
		if (value < 0)
			break;
		id[digits / 2] = (uint8_t)(id[digits / 2] << 4 | value);
		digits++;
	}
	return digits == 32 ? 0 : error_set(error, ERR_IO, "%s: not a boot id", path);
}

static int map(struct shm *shm, bool writable, struct error_context *error)
{
	void *at = mmap(NULL, sizeof(struct shm_layout), writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, shm->fd, 0);
	if (at == MAP_FAILED)
		return error_set(error, ERR_IO, "cannot map shared memory %s: %s", shm->name, strerror(errno));
	shm->layout = at;
	return 0;
}

/* Maps an open file if it is complete and of this build. ERR_UNREACHABLE: not complete; ERR_WRONG_VERSION. */
static int map_if_valid(struct shm *shm, bool writable, struct error_context *error)
{
	struct stat status;
	uint32_t version = 0;
	if (fstat(shm->fd, &status) != 0)
		return error_set(error, ERR_IO, "shared memory %s: %s", shm->name, strerror(errno));
	ssize_t got = pread(shm->fd, &version, sizeof(version), offsetof(struct shm_header, version));
	if (got < 0)
		return error_set(error, ERR_IO, "shared memory %s: %s", shm->name, strerror(errno));
	if (got != (ssize_t)sizeof(version) || version == 0)
		return error_set(error, ERR_UNREACHABLE, "shared memory %s is not complete yet", shm->name);
	if (version != SHM_VERSION || status.st_size != (off_t)sizeof(struct shm_layout))
		return error_set(error, ERR_WRONG_VERSION, "shared memory %s was made by another build: version %u, %lld bytes",
		    shm->name, version, (long long)status.st_size);

	int code = map(shm, writable, error);
	if (code != 0)
		return code;
	const struct shm_header *header = &shm->layout->header;
	/* The version is the last thing stored: with acquire, the rest of the header is there. */
	if (atomic_load_explicit(&header->version, memory_order_acquire) == SHM_VERSION && header->magic == SHM_MAGIC &&
	    header->abi == shm_abi() && header->size == sizeof(struct shm_layout))
		return 0;
	munmap(shm->layout, sizeof(struct shm_layout));
	shm->layout = NULL;
	return error_set(error, ERR_WRONG_VERSION, "shared memory %s was made by another build", shm->name);
}

static int make(struct shm *shm, uint32_t region, const uint8_t boot_id[16], struct error_context *error)
{
	if (shm_unlink(shm->name) != 0 && errno != ENOENT)
		return error_set(error, ERR_IO, "cannot remove shared memory %s: %s", shm->name, strerror(errno));
	shm->fd = shm_open(shm->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (shm->fd < 0)
		return error_set(error, ERR_IO, "cannot make shared memory %s: %s", shm->name, strerror(errno));
	CRASH_POINT(shm_made);
	int reason = ftruncate(shm->fd, sizeof(struct shm_layout)) != 0 ? errno : 0;
	while (reason == 0 || reason == EINTR) {
		reason = posix_fallocate(shm->fd, 0, sizeof(struct shm_layout));
		if (reason == 0)
			break;
	}
	if (reason != 0) {
		shm_unlink(shm->name); /* gives back what was allocated */
		return error_set(error, reason == ENOSPC ? ERR_FULL : ERR_IO,
		    "cannot allocate %zu bytes of shared memory %s: %s", sizeof(struct shm_layout), shm->name,
		    strerror(reason));
	}
	CRASH_POINT(shm_allocated);
	int code = map(shm, true, error);
	if (code != 0)
		return code;
	struct shm_header *header = &shm->layout->header; /* new pages are zero: so is all that is not set here */
	header->magic = SHM_MAGIC;
	header->abi = shm_abi();
	header->size = sizeof(struct shm_layout);
	header->region = region;
	memcpy(header->boot_id, boot_id, 16);
	ring_create(&shm->layout->inbound, SHM_INBOUND_RING_SIZE);
	atomic_store_explicit(&header->generation, 1, memory_order_relaxed);
	CRASH_POINT(shm_half_made);
	atomic_store_explicit(&header->version, SHM_VERSION, memory_order_release);
	return 0;
}

static bool fits(const struct shm *shm, uint32_t region, const uint8_t boot_id[16])
{
	const struct shm_header *header = &shm->layout->header;
	struct ring ring;
	return header->region == region && memcmp(header->boot_id, boot_id, 16) == 0 &&
	       ring_attach(&ring, &shm->layout->inbound, shm->layout->inbound_bytes, SHM_INBOUND_RING_SIZE) == 0;
}

/* What said something about processes that no longer live. Counters, vectors, epochs and the ring stay. */
static void forget_processes(struct shm_layout *layout)
{
	for (uint32_t i = 0; i < ACTORS; i++) {
		atomic_store_explicit(&layout->actors[i].pid, 0, memory_order_relaxed);
		atomic_store_explicit(&layout->actors[i].state, ACTOR_DOWN, memory_order_relaxed);
		atomic_store_explicit(&layout->actors[i].sleeping, 0, memory_order_relaxed);
	}
	atomic_store_explicit(&layout->coordinator.ready, 0, memory_order_relaxed);
	atomic_store_explicit(&layout->header.generation,
	    atomic_load_explicit(&layout->header.generation, memory_order_relaxed) + 1, memory_order_release);
}

int shm_create(struct shm *shm, const char *region_dir, uint32_t region, int *fresh, struct error_context *error)
{
	*shm = (struct shm){.fd = -1};
	*fresh = 0;
	uint8_t boot_id[16];
	int code = boot_id_read(boot_id, error);
	if (code != 0)
		return code;
	shm_name(region_dir, shm->name);
	shm->fd = shm_open(shm->name, O_RDWR | O_CLOEXEC, 0);
	if (shm->fd < 0 && errno != ENOENT)
		return error_set(error, ERR_IO, "cannot open shared memory %s: %s", shm->name, strerror(errno));
	if (shm->fd >= 0) {
		struct error_context ignored; /* why it does not fit: it is made anew whatever the reason */
		if (map_if_valid(shm, true, &ignored) == 0 && fits(shm, region, boot_id)) {
			forget_processes(shm->layout);
			return 0;
		}
		shm_detach(shm);
	}
	*fresh = 1;
	code = make(shm, region, boot_id, error);
	if (code != 0)
		shm_detach(shm);
	return code;
}

int shm_attach(struct shm *shm, const char *region_dir, int writable, struct error_context *error)
{
	*shm = (struct shm){.fd = -1};
	shm_name(region_dir, shm->name);
	shm->fd = shm_open(shm->name, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC, 0);
	if (shm->fd < 0)
		return error_set(error, errno == ENOENT ? ERR_UNREACHABLE : ERR_IO, "no shared memory of %s (%s): %s",
		    region_dir, shm->name, errno == ENOENT ? "no supervisor has run there" : strerror(errno));
	int code = map_if_valid(shm, writable != 0, error);
	if (code != 0)
		shm_detach(shm);
	return code;
}

void shm_detach(struct shm *shm)
{
	if (shm->layout != NULL)
		munmap(shm->layout, sizeof(struct shm_layout));
	if (shm->fd >= 0)
		close(shm->fd);
	shm->layout = NULL;
	shm->fd = -1;
}

int shm_remove(const char *region_dir)
{
	char name[64];
	shm_name(region_dir, name);
	return shm_unlink(name) == 0 || errno == ENOENT ? 0 : ERR_IO;
}
