/* SPDX-License-Identifier: Apache-2.0
 *
 * The supervisor makes shared memory before it starts an actor, and it has no name: nobody attaches to half of it but a reader
 * that looks into a supervisor that begins, and that one sees version 0. It ends with the last process that has it open or
 * mapped, so a kill at any point leaves nothing behind.
 *
 * Pages are allocated whole before anybody maps them: touching a hole when memory is short would be SIGBUS. For the same reason
 * the size is sealed before anybody else gets it, and whoever attaches looks at the seals. */
#include "shm/layout.h"

#include <assert.h>
#include <dirent.h>
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

#include "base/crash_point.h"
#include "core/record.h"
#include "shm/role_lock.h"

#define MEMORY_NAME "godwit-shm"
#define MEMORY_LINK "/memfd:" MEMORY_NAME " " /* as the kernel shows it among open files; " (deleted)" follows */
#define SIZE_SEALS  (F_SEAL_SHRINK | F_SEAL_GROW)
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008u /* Linux 6.3 */
#endif

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
	static const char *const names[] = {"unknown", "up", "lagging", "drained", "down"};
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
	    offsetof(struct shm_coordinator, ready), offsetof(struct shm_coordinator, start_total_mib),
	    offsetof(struct shm_link, acked_at_ns), offsetof(struct shm_link, inbound), offsetof(struct shm_link, inbound_code),
	    offsetof(struct shm_link, seen), offsetof(struct shm_coordinator, stores),
	    offsetof(struct shm_peer, clock_offset_us), ACTORS, COUNTERS, HISTOGRAMS, HISTOGRAM_BUCKETS, REGIONS_MAX};
	uint64_t abi = XXH3_64bits(figures, sizeof(figures));
	/* Two builds may have as many counters, but others. */
	for (uint32_t i = 0; i < COUNTERS; i++)
		abi = XXH3_64bits_withSeed(counter_name((enum counter)i), strlen(counter_name((enum counter)i)), abi);
	for (uint32_t i = 0; i < HISTOGRAMS; i++)
		abi = XXH3_64bits_withSeed(histogram_name((enum histogram)i), strlen(histogram_name((enum histogram)i)), abi);
	return abi;
}

static int map(struct shm *shm, bool writable, struct error_context *error)
{
	void *at = mmap(NULL, sizeof(struct shm_layout), writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, shm->fd, 0);
	if (at == MAP_FAILED)
		return error_set(error, ERR_IO, "cannot map shared memory: %s", strerror(errno));
	shm->layout = at;
	return 0;
}

/* Maps an open file if it is complete and of this build. ERR_UNREACHABLE: not complete yet. */
static int map_if_valid(struct shm *shm, bool writable, struct error_context *error)
{
	struct stat status;
	uint32_t version = 0;
	int seals = fcntl(shm->fd, F_GET_SEALS);
	if (seals < 0 || fstat(shm->fd, &status) != 0)
		return error_set(error, ERR_CONFIGURATION, "descriptor %d is no shared memory: %s", shm->fd, strerror(errno));
	if ((seals & SIZE_SEALS) != SIZE_SEALS)
		return error_set(error, ERR_UNREACHABLE, "shared memory is not complete yet");
	ssize_t got = pread(shm->fd, &version, sizeof(version), offsetof(struct shm_header, version));
	if (got != (ssize_t)sizeof(version) || version == 0)
		return error_set(error, ERR_UNREACHABLE, "shared memory is not complete yet");
	if (version != SHM_VERSION || status.st_size != (off_t)sizeof(struct shm_layout))
		return error_set(error, ERR_WRONG_VERSION, "shared memory was made by another build: version %u, %lld bytes",
		    version, (long long)status.st_size);

	int code = map(shm, writable, error);
	if (code != 0)
		return code;
	const struct shm_header *header = &shm->layout->header;
	/* The version is the last thing stored: with acquire, the rest of the header is there. */
	if (atomic_load_explicit(&header->version, memory_order_acquire) == SHM_VERSION && header->magic == SHM_MAGIC &&
	    header->abi == shm_abi() && header->size == sizeof(struct shm_layout))
		return 0;
	return error_set(error, ERR_WRONG_VERSION, "shared memory was made by another build");
}

static int memory_open(void)
{
	/* A machine may refuse memory that could be executed; a kernel older than 6.3 does not know the flag that says it never
	 * is. */
	int fd = memfd_create(MEMORY_NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(MEMORY_NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return fd;
}

static int make(struct shm *shm, uint32_t region, struct error_context *error)
{
	shm->fd = memory_open();
	if (shm->fd < 0)
		return error_set(error, ERR_IO, "cannot make shared memory: %s", strerror(errno));
	CRASH_POINT(shm_made);
	int reason = fchmod(shm->fd, 0600) != 0 || ftruncate(shm->fd, sizeof(struct shm_layout)) != 0 ? errno : 0;
	while (reason == 0 || reason == EINTR) {
		reason = posix_fallocate(shm->fd, 0, sizeof(struct shm_layout));
		if (reason == 0)
			break;
	}
	if (reason == 0 && fcntl(shm->fd, F_ADD_SEALS, SIZE_SEALS | F_SEAL_SEAL) != 0)
		reason = errno;
	if (reason != 0)
		return error_set(error, reason == ENOSPC || reason == ENOMEM ? ERR_FULL : ERR_IO,
		    "cannot allocate %zu bytes of shared memory: %s", sizeof(struct shm_layout), strerror(reason));
	CRASH_POINT(shm_allocated);
	int code = map(shm, true, error);
	if (code != 0)
		return code;
	struct shm_header *header = &shm->layout->header; /* new pages are zero: so is all that is not set here */
	header->magic = SHM_MAGIC;
	header->abi = shm_abi();
	header->size = sizeof(struct shm_layout);
	header->region = region;
	ring_create(&shm->layout->inbound, SHM_INBOUND_RING_SIZE);
	CRASH_POINT(shm_half_made);
	atomic_store_explicit(&header->version, SHM_VERSION, memory_order_release);
	return 0;
}

int shm_create(struct shm *shm, uint32_t region, struct error_context *error)
{
	*shm = (struct shm){.fd = -1};
	int code = make(shm, region, error);
	if (code != 0)
		shm_detach(shm);
	return code;
}

int shm_attach_fd(struct shm *shm, int fd, struct error_context *error)
{
	*shm = (struct shm){.fd = fd};
	int code = fcntl(fd, F_SETFD, FD_CLOEXEC) == 0
	               ? map_if_valid(shm, true, error)
	               : error_set(error, ERR_CONFIGURATION, "descriptor %d is no shared memory: %s", fd, strerror(errno));
	if (code != 0)
		shm_detach(shm);
	return code;
}

pid_t shm_supervisor(const char *region_dir)
{
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s/supervisor.lock", region_dir);
	return role_lock_holder(path);
}

/* Of that process, by what the kernel says of its open files: no name in a file system is trusted. Another user's process whose
 * lock this seems to be is none of ours: memory belongs to who made it. */
static int memory_find(pid_t supervisor, const char *region_dir, bool writable)
{
	char path[PATH_MAX], target[64];
	struct stat status, owner;
	int found = -1;
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)supervisor);
	DIR *open_files = stat(region_dir, &owner) == 0 ? opendir(path) : NULL;
	for (struct dirent *entry; found < 0 && open_files != NULL && (entry = readdir(open_files)) != NULL;) {
		ssize_t size = readlinkat(dirfd(open_files), entry->d_name, target, sizeof(target) - 1);
		target[size > 0 ? size : 0] = 0;
		if (strncmp(target, MEMORY_LINK, sizeof(MEMORY_LINK) - 1) != 0)
			continue;
		found = openat(dirfd(open_files), entry->d_name, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
		if (found >= 0 && (fstat(found, &status) != 0 ||
		                      (status.st_uid != owner.st_uid && status.st_uid != geteuid() && status.st_uid != 0))) {
			close(found);
			found = -1;
		}
	}
	if (open_files != NULL)
		closedir(open_files);
	return found;
}

int shm_attach(struct shm *shm, const char *region_dir, int writable, struct error_context *error)
{
	*shm = (struct shm){.fd = -1, .supervisor = shm_supervisor(region_dir)};
	if (shm->supervisor == 0)
		return error_set(error, ERR_UNREACHABLE, "no supervisor runs in %s", region_dir);
	if (shm->supervisor == ROLE_LOCK_UNSEEN)
		return error_set(error, ERR_UNREACHABLE, "the supervisor of %s runs, and cannot be seen from here", region_dir);
	shm->fd = memory_find(shm->supervisor, region_dir, writable != 0);
	if (shm->fd < 0)
		return error_set(error, ERR_UNREACHABLE,
		    "the supervisor of %s (process %d) has no shared memory that this user may open", region_dir,
		    (int)shm->supervisor);
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
