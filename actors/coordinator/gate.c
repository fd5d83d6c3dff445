/* SPDX-License-Identifier: Apache-2.0
 *
 * Why this region refuses writes. One reason at a time is told, the gravest; the router refuses weak reads for those that make
 * the rows here known to be incomplete. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "actors/coordinator/io.h"
#include "base/bytes.h"
#include "runtime/logline.h"

#define FOUNDED_NAME   "founded"
#define REFUSED_NAME   "refused"
#define CLOCK_HEARD_NS 3000000000ull /* a clock counts that was told so recently */

bool gate_is_reused(const struct coordinator_io *io)
{
	return io->reused_peers || io->strong.older_for;
}

/* A store that has never met a peer may be what is left of one that was wiped: what it acknowledged alone would be lost when
 * its peers refuse it. */
static bool has_met(const struct coordinator_io *io)
{
	const struct rows_meta *meta = rows_meta_now(io->rows);
	bool met = io->is_founded || io->process.topology.region_count == 1;
	for (uint32_t id = 0; id < REGIONS_MAX && !met; id++)
		met = store_id_is_known(&meta->peer_stores[id]);
	return met;
}

/* After a start on a full disk the strong commit, and with it other regions' records, waits for a moment in which the rows hold
 * all of the log. Writes would put that moment off. */
static bool strong_is_to_start(const struct coordinator_io *io)
{
	return io->strong.wanted && !io->strong.machine;
}

void gate_update(struct coordinator_io *io)
{
	/* A full disk comes last, since it takes deletes: by a clock that is ahead they are not to be stamped. */
	bool is_full = io->rows_are_full || strong_is_to_start(io);
	int refuse = gate_is_reused(io)   ? ERR_REGION_REUSED
	             : io->resync_peers   ? ERR_NEEDS_RESYNC
	             : !has_met(io)       ? ERR_NOT_MET
	             : io->draining       ? ERR_DRAINING
	             : io->clock_is_ahead ? ERR_CLOCK_AHEAD
	             : is_full            ? ERR_DISK_FULL
	                                  : 0;
	bool deletes = refuse == ERR_DISK_FULL && io->deletes_taken;
	if (refuse == io->machine.refusing && deletes == io->machine.takes_deletes)
		return;
	struct coordinator_event event = {.type = COORDINATOR_REFUSE, .refuse = refuse, .takes_deletes = deletes};
	coordinator_step(&io->machine, &event, &io->effects);
	strong_refuse(io, refuse, deletes);
	io->changed = true;
	if (refuse)
		logline(LOG_LEVEL_WARN, "writes_refused", "code=%s reason=\"%s\"", error_name(refuse),
		    refuse == ERR_CLOCK_AHEAD ? io->clock_text : error_text(refuse));
	else
		logline(LOG_LEVEL_INFO, "writes_accepted", "reason=\"cause cleared\"");
}

void gate_reason_put(const struct coordinator_io *io, struct coordinator_answer *answer)
{
	if (answer->code == ERR_CLOCK_AHEAD && !answer->reason)
		answer->reason = io->clock_text;
}

/* Others' clocks are known by this machine's monotonic clock, so a step of the own wall clock shows in the very turn that
 * would stamp by it. */
static void clock_look(struct coordinator_io *io)
{
	const struct topology *topology = &io->process.topology;
	const struct shm_peer *peers = io->process.shm.layout->peers;
	int64_t offset_us[REGIONS_MAX] = {0};
	uint32_t heard = 0;
	uint8_t own = io->process.region->id;
	for (uint32_t i = 0; i < topology->region_count; i++) {
		uint8_t id = topology->regions[i].id;
		uint64_t answered_ns = atomic_load_explicit(&peers[id].answered_at_ns, memory_order_acquire);
		if (!answered_ns || io->now.monotonic_ns > answered_ns + CLOCK_HEARD_NS)
			continue;
		heard |= 1u << id;
		offset_us[id] = atomic_load_explicit(&peers[id].clock_offset_us, memory_order_relaxed);
	}
	offset_us[own] = skew_offset_us(io->now.wall_ms, io->now.monotonic_ns);
	io->clock = skew_judge(offset_us, heard, own, topology->region_count);
	int64_t ahead_ms = io->clock.ahead_us / 1000;
	struct shm_coordinator *shm = &io->process.shm.layout->coordinator;
	atomic_store_explicit(&shm->clock_ahead_ms, ahead_ms, memory_order_relaxed);
	atomic_store_explicit(&shm->clock_against, io->clock.against, memory_order_relaxed);
	atomic_store_explicit(&shm->clock_heard, io->clock.heard, memory_order_relaxed);
	bool is_ahead = ahead_ms > (int64_t)topology->max_clock_drift_ms;
	if (is_ahead) {
		const struct region *against = topology_region_by_id(topology, io->clock.against);
		snprintf(io->clock_text, sizeof io->clock_text,
		    "this region's clock is %lld ms ahead of the majority's (%s is the median of %u clocks); the limit is %u "
		    "ms",
		    (long long)ahead_ms, against ? against->name : "?", io->clock.heard, topology->max_clock_drift_ms);
	}
	if (is_ahead == io->clock_is_ahead)
		return;
	io->clock_is_ahead = is_ahead;
	gate_update(io);
}

/* ---- what outlives the process ---- */

static int region_file_open(const struct coordinator_io *io, const char *name, int flags)
{
	char path[320];
	snprintf(path, sizeof path, "%s/%s", io->process.region_dir, name);
	return open(path, flags | O_CLOEXEC, 0600);
}

static int region_file_failed(const struct coordinator_io *io, const char *name, struct error_context *error)
{
	return error_set(error, ERR_IO, "%s/%s: %s", io->process.region_dir, name, strerror(errno));
}

/* REGION_DIR/refused: the store's id, then who refuses it as one that lost records, then who lacks log for it (u64 each, by
 * region). A start that meets nobody must not take writes that those will refuse. */
#define REFUSED_SIZE (STORE_ID_SIZE + 16u)

/* Not kept, it still holds for as long as this process lives. */
static void refused_keep(const struct coordinator_io *io)
{
	uint8_t bytes[REFUSED_SIZE];
	memcpy(bytes, rows_meta_now(io->rows)->store_id, STORE_ID_SIZE);
	bytes_put_u64(bytes + STORE_ID_SIZE, io->reused_peers);
	bytes_put_u64(bytes + STORE_ID_SIZE + 8, io->resync_peers);
	int dir = open(io->process.region_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fd = region_file_open(io, REFUSED_NAME, O_WRONLY | O_CREAT);
	bool kept = fd >= 0 && dir >= 0 && pwrite(fd, bytes, sizeof bytes, 0) == (ssize_t)sizeof bytes && fsync(fd) == 0 &&
	            fsync(dir) == 0;
	if (!kept)
		logline_distinct(LOG_LEVEL_ERROR, "refusal_not_kept", 0, "reason=\"%s\"", strerror(errno));
	if (fd >= 0)
		close(fd);
	if (dir >= 0)
		close(dir);
}

/* Of another store in the same directory it says nothing. */
static int refused_read(struct coordinator_io *io, struct error_context *error)
{
	uint8_t bytes[REFUSED_SIZE];
	int fd = region_file_open(io, REFUSED_NAME, O_RDONLY);
	if (fd < 0)
		return errno == ENOENT ? 0 : region_file_failed(io, REFUSED_NAME, error);
	ssize_t size = pread(fd, bytes, sizeof bytes, 0);
	close(fd);
	if (size != (ssize_t)sizeof bytes || memcmp(bytes, rows_meta_now(io->rows)->store_id, STORE_ID_SIZE) != 0)
		return 0;
	io->reused_peers = (uint32_t)bytes_get_u64(bytes + STORE_ID_SIZE) & io->machine.options.regions;
	io->resync_peers = (uint32_t)bytes_get_u64(bytes + STORE_ID_SIZE + 8) & io->machine.options.regions;
	return 0;
}

/* A peer that holds more of this region's records than this region does takes nothing more from it: what would be acknowledged
 * here could never reach anybody. Remembered until that very peer serves this region again, however often the link goes down.
 * So is a peer whose log no longer has its own records that are missing here: they come by no stream any more. */
void gate_look(struct coordinator_io *io)
{
	struct shm_link *links = io->process.shm.layout->links;
	uint32_t reused = io->reused_peers, resync = io->resync_peers;
	clock_look(io);
	for (uint32_t id = 0; id < REGIONS_MAX; id++) {
		if (!(io->machine.options.regions & 1u << id) || id == io->machine.options.region)
			continue;
		uint32_t inbound = atomic_load_explicit(&links[id].inbound, memory_order_acquire);
		if (atomic_load_explicit(&links[id].reused, memory_order_acquire))
			reused |= 1u << id;
		else if (inbound == LINK_SUBSCRIBED)
			reused &= ~(1u << id);
		if (inbound == LINK_NEEDS_RESYNC)
			resync |= 1u << id;
		else if (inbound == LINK_SUBSCRIBED)
			resync &= ~(1u << id);
	}
	bool changed = reused != io->reused_peers || resync != io->resync_peers;
	if (!changed && io->machine.refusing != ERR_NOT_MET)
		return;
	io->reused_peers = reused;
	io->resync_peers = resync;
	if (changed)
		refused_keep(io);
	gate_update(io);
}

/* REGION_DIR/founded holds the id of the store that was declared to be the first of its cluster, so that it says nothing of
 * another store that comes in its place. */
int gate_start(struct coordinator_io *io, struct error_context *error)
{
	const struct rows_meta *meta = rows_meta_now(io->rows);
	uint8_t id[sizeof meta->store_id];
	int code = refused_read(io, error);
	if (code)
		return code;
	int fd = region_file_open(io, FOUNDED_NAME, io->flags.is_new_cluster ? O_RDWR | O_CREAT : O_RDONLY);
	if (fd < 0 && errno == ENOENT) {
		gate_update(io);
		return 0;
	}
	if (fd < 0)
		return region_file_failed(io, FOUNDED_NAME, error);
	io->is_founded = pread(fd, id, sizeof id, 0) == (ssize_t)sizeof id && memcmp(id, meta->store_id, sizeof id) == 0;
	if (!io->is_founded && io->flags.is_new_cluster) {
		if (pwrite(fd, meta->store_id, sizeof id, 0) != (ssize_t)sizeof id || fsync(fd) < 0)
			code = region_file_failed(io, FOUNDED_NAME, error);
		io->is_founded = !code;
	}
	close(fd);
	if (!code)
		gate_update(io);
	return code;
}
