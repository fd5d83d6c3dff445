/* SPDX-License-Identifier: Apache-2.0
 *
 * What is done once a second: snapshots, removing log that nobody needs, readers that died, sizes for status. */
#include <string.h>

#include "actors/coordinator/port.h"
#include "runtime/logline.h"

#define READERS_EVERY_NS  10000000000ull
#define SNAPSHOT_RETRY_NS 10000000000ull
/* Of the disk budget: from the first on a snapshot is taken early; from the second on the oldest segments go, needed or not. */
#define BUDGET_SNAPSHOT_PERCENT 75u
#define BUDGET_DROP_PERCENT     90u

static uint64_t disk_budget(const struct port *port)
{
	uint64_t mib = port->flags.log_disk_mib ? port->flags.log_disk_mib : port->process.topology.log_disk_mib;
	return mib << 20;
}

/* What every other region has said to be durable there. */
static struct vector acked_by_all(const struct port *port)
{
	const struct topology *topology = &port->process.topology;
	const struct rows_meta *meta = rows_meta_now(port->rows);
	struct store_id own;
	struct vector all;
	memcpy(own.bytes, meta->store_id, sizeof own.bytes);
	memset(&all, 0xff, sizeof all);
	for (uint32_t i = 0; i < topology->region_count; i++) {
		uint8_t id = topology->regions[i].id;
		if (id == port->process.region->id)
			continue;
		struct vector acked;
		shm_link_acked(&port->process.shm.layout->links[id], &own, &acked);
		for (uint32_t r = 0; r < REGIONS_MAX; r++)
			all.sequence[r] = acked.sequence[r] < all.sequence[r] ? acked.sequence[r] : all.sequence[r];
	}
	return all;
}

/* The log before this position is held by every region. */
static uint64_t lsn_needed_by_peers(const struct port *port)
{
	struct vector acked = acked_by_all(port);
	struct log_reader *reader;
	uint64_t lsn = 0;
	if (log_reader_open(&reader, port->log_dir, NULL) < 0)
		return 0;
	/* NEEDS_RESYNC: somebody is behind already, and needs all that is left. */
	if (log_reader_seek_vector(reader, &acked, port->machine.options.regions, NULL) == 0)
		lsn = log_reader_lsn(reader);
	log_reader_close(reader);
	return lsn;
}

static uint64_t segment_size(const struct port *port)
{
	return (uint64_t)port->flags.log_segment_mib << 20;
}

static bool budget_is_used(const struct port *port, uint64_t percent)
{
	uint64_t budget = disk_budget(port);
	return budget && log_disk_bytes(port->log) >= budget / 100 * percent;
}

/* Whatever the budget says: what no snapshot holds, and what a start has to read of strong transactions. While there is room, what
 * the older of two snapshots does not hold: the newest may turn out to be damaged. */
static uint64_t kept_from_lsn(const struct port *port)
{
	const struct rows_meta *meta = rows_meta_now(port->rows);
	uint64_t held_lsn = budget_is_used(port, BUDGET_SNAPSHOT_PERCENT) ? port->snapshot_lsn : port->snapshot_oldest_lsn;
	bool reread = port->strong.wanted && meta->reread_lsn < held_lsn;
	return reread ? meta->reread_lsn : held_lsn;
}

static void segments_drop(struct port *port, uint64_t needed_lsn)
{
	struct counter_block *counters = port->process.counters;
	uint64_t kept_lsn = kept_from_lsn(port);
	uint64_t upto = needed_lsn < kept_lsn ? needed_lsn : kept_lsn;
	counter_add(counters, COUNTER_segments_dropped, log_drop_before(port->log, upto));
	if (!budget_is_used(port, BUDGET_DROP_PERCENT))
		return;
	/* The budget is spent: better one region that must be copied anew than a region that takes no writes. Never silently.
	 */
	uint64_t excess = log_disk_bytes(port->log) - disk_budget(port) / 100 * BUDGET_DROP_PERCENT;
	upto = log_start_lsn(port->log) + (excess / segment_size(port) + 1) * segment_size(port);
	uint32_t dropped = log_drop_before(port->log, upto < kept_lsn ? upto : kept_lsn);
	counter_add(counters, COUNTER_segments_dropped, dropped);
	if (dropped)
		logline(LOG_LEVEL_ERROR, "log_dropped_unacknowledged",
		    "segments=%u start_lsn=%llu reason=\"the log's disk budget is spent; a region that is behind needs a "
		    "resync\"",
		    dropped, (unsigned long long)log_start_lsn(port->log));
}

static void snapshot_collect(struct port *port)
{
	struct error_context error = {0};
	uint64_t lsn = 0;
	int code = snapshot_finish(port->snapshot, &lsn, &error);
	if (code == ERR_EMPTY)
		return;
	port->snapshot = NULL;
	if (code == ERR_SYNC_FAILED) {
		/* The next start takes the last good snapshot, and the log. */
		(void)snapshot_distrust(port->process.region_dir, NULL);
		port_fail(port, code, &error);
	}
	if (code) {
		port->snapshot_retry_ns = port->now.monotonic_ns + SNAPSHOT_RETRY_NS;
		logline(LOG_LEVEL_ERROR, "snapshot_failed", "code=%s reason=\"%s\"", error_name(code), error.text);
		return;
	}
	port->snapshot_lsn = lsn;
	port->snapshot_oldest_lsn = snapshot_oldest_lsn(port->process.region_dir);
	counter_add(port->process.counters, COUNTER_snapshots, 1);
	logline(LOG_LEVEL_INFO, "snapshot", "lsn=%llu", (unsigned long long)lsn);
}

int upkeep_snapshot_start(struct port *port, struct error_context *error)
{
	if (port->snapshot)
		return error_set(error, ERR_OVERLOADED, "a snapshot is being taken already");
	return snapshot_start(&port->snapshot, port->rows, port->process.region_dir, error);
}

/* Early only when log could then be removed that now could not: a peer that is behind is no reason for one copy after another.
 */
static bool snapshot_is_due(const struct port *port, uint64_t needed_lsn)
{
	uint64_t applied_lsn = port->applied.applied_lsn;
	if (applied_lsn - port->snapshot_lsn >= (uint64_t)port->flags.snapshot_mib << 20)
		return true;
	uint64_t removable_lsn = needed_lsn < applied_lsn ? needed_lsn : applied_lsn;
	if (budget_is_used(port, BUDGET_SNAPSHOT_PERCENT) && removable_lsn >= port->snapshot_lsn + segment_size(port))
		return true;
	return budget_is_used(port, BUDGET_DROP_PERCENT) &&
	       port->snapshot_lsn < log_start_lsn(port->log) + segment_size(port) &&
	       applied_lsn >= log_start_lsn(port->log) + segment_size(port);
}

static void snapshot_consider(struct port *port, uint64_t needed_lsn)
{
	if (port->snapshot || port->now.monotonic_ns < port->snapshot_retry_ns || !snapshot_is_due(port, needed_lsn))
		return;
	struct error_context error = {0};
	int code = upkeep_snapshot_start(port, &error);
	if (code) {
		port->snapshot = NULL;
		port->snapshot_retry_ns = port->now.monotonic_ns + SNAPSHOT_RETRY_NS;
		logline(LOG_LEVEL_ERROR, "snapshot_failed", "code=%s reason=\"%s\"", error_name(code), error.text);
	}
}

/* Refuses writes while the log can still be applied from what was allocated ahead (F04). */
void upkeep_room_check(struct port *port)
{
	struct error_context error = {0};
	uint64_t waiting = log_end_lsn(port->log) - port->applied.applied_lsn;
	bool full = rows_room(port->rows, waiting, false, &error) == ERR_DISK_FULL;
	/* Pages that are free may not lie together as a large value needs them: then the log is not applied, and nothing more goes
	 * into it before it was. */
	full |= port->apply_was_full;
	port->deletes_taken = full && !port->apply_was_full && rows_room(port->rows, waiting, true, NULL) == 0;
	if (full && port->snapshot)
		snapshot_cancel(port->snapshot); /* a long reader: what was replaced since it began cannot be used again */
	if (full && !port->rows_are_full)
		logline(LOG_LEVEL_ERROR, "rows_full", "reason=\"%s\"", error.text);
	port->rows_are_full = full;
	gate_update(port);
}

void upkeep(struct port *port)
{
	struct shm_coordinator *shm = &port->process.shm.layout->coordinator;
	if (port->snapshot)
		snapshot_collect(port);
	uint64_t needed_lsn = lsn_needed_by_peers(port);
	snapshot_consider(port, needed_lsn);
	segments_drop(port, needed_lsn);
	upkeep_room_check(port);
	strong_upkeep(port);
	log_times_note(shm, port->appended_lsn, port->now.monotonic_ns);
	if (port->now.monotonic_ns - port->readers_checked_ns >= READERS_EVERY_NS) {
		port->readers_checked_ns = port->now.monotonic_ns;
		rows_reader_check(port->rows);
	}
	atomic_store_explicit(&shm->log_start_lsn, log_start_lsn(port->log), memory_order_relaxed);
	atomic_store_explicit(&shm->log_bytes, log_disk_bytes(port->log), memory_order_relaxed);
	atomic_store_explicit(&shm->map_bytes, rows_map_bytes(port->rows), memory_order_relaxed);
}
