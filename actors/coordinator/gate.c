/* SPDX-License-Identifier: Apache-2.0
 *
 * Why this region refuses writes. One reason at a time is told, the gravest; the router refuses weak reads for those that make the rows
 * here known to be incomplete. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "actors/coordinator/port.h"
#include "core/bytes.h"
#include "runtime/logline.h"

#define FOUNDED_NAME   "founded"
#define REFUSED_NAME   "refused"
#define CLOCK_HEARD_NS 3000000000ull /* a clock counts that was told so recently */

bool gate_is_reused(const struct port *port)
{
	return port->reused_peers || port->strong.older_for;
}

/* A store that has never met a peer may be what is left of one that was wiped: what it acknowledged alone would be lost when its peers
 * refuse it. */
static bool has_met(const struct port *port)
{
	const struct rows_meta *meta = rows_meta_now(port->rows);
	bool met = port->is_founded || port->process.topology.region_count == 1;
	for (uint32_t id = 0; id < REGIONS_MAX && !met; id++)
		met = store_id_is_known(&meta->peer_stores[id]);
	return met;
}

/* After a start on a full disk the strong commit, and with it other regions' records, waits for a moment in which the rows hold
 * all of the log. Writes would put that moment off. */
static bool strong_is_to_start(const struct port *port)
{
	return port->strong.wanted && !port->strong.machine;
}

void gate_update(struct port *port)
{
	/* A full disk comes last, since it takes deletes: by a clock that is ahead they are not to be stamped. */
	bool is_full = port->rows_are_full || strong_is_to_start(port);
	int refuse = gate_is_reused(port)   ? ERR_REGION_REUSED
	             : port->resync_peers   ? ERR_NEEDS_RESYNC
	             : !has_met(port)       ? ERR_NOT_MET
	             : port->draining       ? ERR_DRAINING
	             : port->clock_is_ahead ? ERR_CLOCK_AHEAD
	             : is_full              ? ERR_DISK_FULL
	                                    : 0;
	bool deletes = refuse == ERR_DISK_FULL && port->deletes_taken;
	if (refuse == port->machine.refusing && deletes == port->machine.takes_deletes)
		return;
	struct coordinator_event event = {.type = COORDINATOR_REFUSE, .refuse = refuse, .takes_deletes = deletes};
	coordinator_step(&port->machine, &event, &port->effects);
	strong_refuse(port, refuse, deletes);
	port->changed = true;
	if (refuse)
		logline(LOG_LEVEL_WARN, "writes_refused", "code=%s reason=\"%s\"", error_name(refuse),
		    refuse == ERR_CLOCK_AHEAD ? port->clock_text : error_text(refuse));
	else
		logline(LOG_LEVEL_INFO, "writes_accepted", "reason=\"cause cleared\"");
}

void gate_reason_put(const struct port *port, struct coordinator_answer *answer)
{
	if (answer->code == ERR_CLOCK_AHEAD && !answer->reason)
		answer->reason = port->clock_text;
}

/* Others' clocks are known by this machine's monotonic clock, so a step of the own wall clock shows in the very turn that
 * would stamp by it. */
static void clock_look(struct port *port)
{
	const struct topology *topology = &port->process.topology;
	const struct shm_peer *peers = port->process.shm.layout->peers;
	int64_t offset_us[REGIONS_MAX] = {0};
	uint32_t heard = 0;
	uint8_t own = port->process.region->id;
	for (uint32_t i = 0; i < topology->region_count; i++) {
		uint8_t id = topology->regions[i].id;
		uint64_t answered_ns = atomic_load_explicit(&peers[id].answered_at_ns, memory_order_acquire);
		if (!answered_ns || port->now.monotonic_ns > answered_ns + CLOCK_HEARD_NS)
			continue;
		heard |= 1u << id;
		offset_us[id] = atomic_load_explicit(&peers[id].clock_offset_us, memory_order_relaxed);
	}
	offset_us[own] = skew_offset_us(port->now.wall_ms, port->now.monotonic_ns);
	port->clock = skew_judge(offset_us, heard, own, topology->region_count);
	int64_t ahead_ms = port->clock.ahead_us / 1000;
	struct shm_coordinator *shm = &port->process.shm.layout->coordinator;
	atomic_store_explicit(&shm->clock_ahead_ms, ahead_ms, memory_order_relaxed);
	atomic_store_explicit(&shm->clock_against, port->clock.against, memory_order_relaxed);
	atomic_store_explicit(&shm->clock_heard, port->clock.heard, memory_order_relaxed);
	bool is_ahead = ahead_ms > (int64_t)topology->max_clock_drift_ms;
	if (is_ahead) {
		const struct region *against = topology_region_by_id(topology, port->clock.against);
		snprintf(port->clock_text, sizeof port->clock_text,
		    "this region's clock is %lld ms ahead of the majority's (%s is the median of %u clocks); the limit is %u "
		    "ms",
		    (long long)ahead_ms, against ? against->name : "?", port->clock.heard, topology->max_clock_drift_ms);
	}
	if (is_ahead == port->clock_is_ahead)
		return;
	port->clock_is_ahead = is_ahead;
	gate_update(port);
}

/* ---- what outlives the process ---- */

static int region_file_open(const struct port *port, const char *name, int flags)
{
	char path[320];
	snprintf(path, sizeof path, "%s/%s", port->process.region_dir, name);
	return open(path, flags | O_CLOEXEC, 0600);
}

static int region_file_failed(const struct port *port, const char *name, struct error_context *error)
{
	return error_set(error, ERR_IO, "%s/%s: %s", port->process.region_dir, name, strerror(errno));
}

/* REGION_DIR/refused: the store's id, then who refuses it as one that lost records, then who lacks log for it (u64 each, by
 * region). A start that meets nobody must not take writes that those will refuse. */
#define REFUSED_SIZE (STORE_ID_SIZE + 16u)

/* Not kept, it still holds for as long as this process lives. */
static void refused_keep(const struct port *port)
{
	uint8_t bytes[REFUSED_SIZE];
	memcpy(bytes, rows_meta_now(port->rows)->store_id, STORE_ID_SIZE);
	bytes_put_u64(bytes + STORE_ID_SIZE, port->reused_peers);
	bytes_put_u64(bytes + STORE_ID_SIZE + 8, port->resync_peers);
	int dir = open(port->process.region_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fd = region_file_open(port, REFUSED_NAME, O_WRONLY | O_CREAT);
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
static int refused_read(struct port *port, struct error_context *error)
{
	uint8_t bytes[REFUSED_SIZE];
	int fd = region_file_open(port, REFUSED_NAME, O_RDONLY);
	if (fd < 0)
		return errno == ENOENT ? 0 : region_file_failed(port, REFUSED_NAME, error);
	ssize_t size = pread(fd, bytes, sizeof bytes, 0);
	close(fd);
	if (size != (ssize_t)sizeof bytes || memcmp(bytes, rows_meta_now(port->rows)->store_id, STORE_ID_SIZE) != 0)
		return 0;
	port->reused_peers = (uint32_t)bytes_get_u64(bytes + STORE_ID_SIZE) & port->machine.options.regions;
	port->resync_peers = (uint32_t)bytes_get_u64(bytes + STORE_ID_SIZE + 8) & port->machine.options.regions;
	return 0;
}

/* A peer that holds more of this region's records than this region does takes nothing more from it: what would be acknowledged
 * here could never reach anybody. Remembered until that very peer serves this region again, however often the link goes down. So is
 * a peer whose log no longer has its own records that are missing here: they come by no stream any more. */
void gate_look(struct port *port)
{
	struct shm_link *links = port->process.shm.layout->links;
	uint32_t reused = port->reused_peers, resync = port->resync_peers;
	clock_look(port);
	for (uint32_t id = 0; id < REGIONS_MAX; id++) {
		if (!(port->machine.options.regions & 1u << id) || id == port->machine.options.region)
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
	bool changed = reused != port->reused_peers || resync != port->resync_peers;
	if (!changed && port->machine.refusing != ERR_NOT_MET)
		return;
	port->reused_peers = reused;
	port->resync_peers = resync;
	if (changed)
		refused_keep(port);
	gate_update(port);
}

/* REGION_DIR/founded holds the id of the store that was declared to be the first of its cluster, so that it says nothing of another
 * store that comes in its place. */
int gate_start(struct port *port, struct error_context *error)
{
	const struct rows_meta *meta = rows_meta_now(port->rows);
	uint8_t id[sizeof meta->store_id];
	int code = refused_read(port, error);
	if (code)
		return code;
	int fd = region_file_open(port, FOUNDED_NAME, port->flags.is_new_cluster ? O_RDWR | O_CREAT : O_RDONLY);
	if (fd < 0 && errno == ENOENT) {
		gate_update(port);
		return 0;
	}
	if (fd < 0)
		return region_file_failed(port, FOUNDED_NAME, error);
	port->is_founded = pread(fd, id, sizeof id, 0) == (ssize_t)sizeof id && memcmp(id, meta->store_id, sizeof id) == 0;
	if (!port->is_founded && port->flags.is_new_cluster) {
		if (pwrite(fd, meta->store_id, sizeof id, 0) != (ssize_t)sizeof id || fsync(fd) < 0)
			code = region_file_failed(port, FOUNDED_NAME, error);
		port->is_founded = !code;
	}
	close(fd);
	if (!code)
		gate_update(port);
	return code;
}
