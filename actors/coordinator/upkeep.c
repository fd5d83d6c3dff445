/* SPDX-License-Identifier: Apache-2.0
 *
 * What is done once a second: snapshots, removing log that nobody needs, readers that died, sizes for status. */
#include <string.h>

#include "actors/coordinator/io.h"
#include "runtime/logline.h"

#define READERS_EVERY_NS  10000000000ull
#define SNAPSHOT_RETRY_NS 10000000000ull
/* Of the disk budget: from the first on a snapshot is taken early; from the second on the oldest segments go, needed or not. */
#define BUDGET_SNAPSHOT_PERCENT 75u
#define BUDGET_DROP_PERCENT     90u

static uint64_t disk_budget(const struct coordinator_io *io)
{
	uint64_t mib = io->flags.log_disk_mib ? io->flags.log_disk_mib : io->process.topology.log_disk_mib;
	return mib << 20;
}

/* What every other region has said to be durable there. */
static struct vector acked_by_all(const struct coordinator_io *io)
{
	const struct topology *topology = &io->process.topology;
	const struct rows_meta *meta = rows_meta_now(io->rows);
	struct store_id own;
	struct vector all;
	memcpy(own.bytes, meta->store_id, sizeof own.bytes);
	memset(&all, 0xff, sizeof all);
	for (uint32_t i = 0; i < topology->region_count; i++) {
		uint8_t id = topology->regions[i].id;
		if (id == io->process.region->id)
			continue;
		struct vector acked;
		shm_link_acked(&io->process.shm.layout->links[id], &own, &acked);
		for (uint32_t r = 0; r < REGIONS_MAX; r++)
			all.sequence[r] = acked.sequence[r] < all.sequence[r] ? acked.sequence[r] : all.sequence[r];
	}
	return all;
}

/* The log before this position is held by every region. */
static uint64_t lsn_needed_by_peers(const struct coordinator_io *io)
{
	struct vector acked = acked_by_all(io);
	struct log_reader *reader;
	uint64_t lsn = 0;
	if (log_reader_open(&reader, io->log_dir, NULL) < 0)
		return 0;
	/* NEEDS_RESYNC: somebody is behind already, and needs all that is left. */
	if (log_reader_seek_vector(reader, &acked, io->machine.options.regions, NULL) == 0)
		lsn = log_reader_lsn(reader);
	log_reader_close(reader);
	return lsn;
}

static uint64_t segment_size(const struct coordinator_io *io)
{
	return (uint64_t)io->flags.log_segment_mib << 20;
}

static bool budget_is_used(const struct coordinator_io *io, uint64_t percent)
{
	uint64_t budget = disk_budget(io);
	return budget && log_disk_bytes(io->log) >= budget / 100 * percent;
}

/* Whatever the budget says: what no snapshot holds, and what a start has to read of strong transactions. While there is room,
 * what the older of two snapshots does not hold: the newest may turn out to be damaged. */
static uint64_t kept_from_lsn(const struct coordinator_io *io)
{
	const struct rows_meta *meta = rows_meta_now(io->rows);
	uint64_t held_lsn = budget_is_used(io, BUDGET_SNAPSHOT_PERCENT) ? io->snapshot_lsn : io->snapshot_oldest_lsn;
	bool reread = io->strong.wanted && meta->reread_lsn < held_lsn;
	return reread ? meta->reread_lsn : held_lsn;
}

static void segments_drop(struct coordinator_io *io, uint64_t needed_lsn)
{
	struct counter_block *counters = io->process.counters;
	uint64_t kept_lsn = kept_from_lsn(io);
	uint64_t upto = needed_lsn < kept_lsn ? needed_lsn : kept_lsn;
	counter_add(counters, COUNTER_segments_dropped, log_drop_before(io->log, upto));
	if (!budget_is_used(io, BUDGET_DROP_PERCENT))
		return;
	/* The budget is spent: better one region that must be copied anew than a region that takes no writes. Never silently.
	 */
	uint64_t excess = log_disk_bytes(io->log) - disk_budget(io) / 100 * BUDGET_DROP_PERCENT;
	upto = log_start_lsn(io->log) + (excess / segment_size(io) + 1) * segment_size(io);
	uint32_t dropped = log_drop_before(io->log, upto < kept_lsn ? upto : kept_lsn);
	counter_add(counters, COUNTER_segments_dropped, dropped);
	if (dropped)
		logline(LOG_LEVEL_ERROR, "log_dropped_unacknowledged",
		    "segments=%u start_lsn=%llu reason=\"the log's disk budget is spent; a region that is behind needs a "
		    "resync\"",
		    dropped, (unsigned long long)log_start_lsn(io->log));
}

static void snapshot_collect(struct coordinator_io *io)
{
	struct error_context error = {0};
	uint64_t lsn = 0;
	int code = snapshot_finish(io->snapshot, &lsn, &error);
	if (code == ERR_EMPTY)
		return;
	io->snapshot = NULL;
	if (code == ERR_SYNC_FAILED) {
		/* The next start takes the last good snapshot, and the log. */
		(void)snapshot_distrust(io->process.region_dir, NULL);
		io_fail(io, code, &error);
	}
	if (code) {
		io->snapshot_retry_ns = io->now.monotonic_ns + SNAPSHOT_RETRY_NS;
		logline(LOG_LEVEL_ERROR, "snapshot_failed", "code=%s reason=\"%s\"", error_name(code), error.text);
		return;
	}
	io->snapshot_lsn = lsn;
	io->snapshot_oldest_lsn = snapshot_oldest_lsn(io->process.region_dir);
	counter_add(io->process.counters, COUNTER_snapshots, 1);
	logline(LOG_LEVEL_INFO, "snapshot", "lsn=%llu", (unsigned long long)lsn);
}

int upkeep_snapshot_start(struct coordinator_io *io, struct error_context *error)
{
	if (io->snapshot)
		return error_set(error, ERR_OVERLOADED, "a snapshot is being taken already");
	return snapshot_start(&io->snapshot, io->rows, io->process.region_dir, error);
}

/* Early only when log could then be removed that now could not: a peer that is behind is no reason for one copy after another.
 */
static bool snapshot_is_due(const struct coordinator_io *io, uint64_t needed_lsn)
{
	uint64_t applied_lsn = io->applied.applied_lsn;
	if (applied_lsn - io->snapshot_lsn >= (uint64_t)io->flags.snapshot_mib << 20)
		return true;
	uint64_t removable_lsn = needed_lsn < applied_lsn ? needed_lsn : applied_lsn;
	if (budget_is_used(io, BUDGET_SNAPSHOT_PERCENT) && removable_lsn >= io->snapshot_lsn + segment_size(io))
		return true;
	return budget_is_used(io, BUDGET_DROP_PERCENT) && io->snapshot_lsn < log_start_lsn(io->log) + segment_size(io) &&
	       applied_lsn >= log_start_lsn(io->log) + segment_size(io);
}

static void snapshot_consider(struct coordinator_io *io, uint64_t needed_lsn)
{
	if (io->snapshot || io->now.monotonic_ns < io->snapshot_retry_ns || !snapshot_is_due(io, needed_lsn))
		return;
	struct error_context error = {0};
	int code = upkeep_snapshot_start(io, &error);
	if (code) {
		io->snapshot = NULL;
		io->snapshot_retry_ns = io->now.monotonic_ns + SNAPSHOT_RETRY_NS;
		logline(LOG_LEVEL_ERROR, "snapshot_failed", "code=%s reason=\"%s\"", error_name(code), error.text);
	}
}

/* Refuses writes while the log can still be applied from what was allocated ahead (F04). */
void upkeep_room_check(struct coordinator_io *io)
{
	struct error_context error = {0};
	uint64_t waiting = log_end_lsn(io->log) - io->applied.applied_lsn;
	bool full = rows_room(io->rows, waiting, false, &error) == ERR_DISK_FULL;
	/* Pages that are free may not lie together as a large value needs them: then the log is not applied, and nothing more
	 * goes into it before it was. */
	full |= io->apply_was_full;
	io->deletes_taken = full && !io->apply_was_full && rows_room(io->rows, waiting, true, NULL) == 0;
	if (full && io->snapshot)
		snapshot_cancel(io->snapshot); /* a long reader: what was replaced since it began cannot be used again */
	if (full && !io->rows_are_full)
		logline(LOG_LEVEL_ERROR, "rows_full", "reason=\"%s\"", error.text);
	io->rows_are_full = full;
	gate_update(io);
}

void upkeep(struct coordinator_io *io)
{
	struct shm_coordinator *shm = &io->process.shm.layout->coordinator;
	if (io->snapshot)
		snapshot_collect(io);
	uint64_t needed_lsn = lsn_needed_by_peers(io);
	snapshot_consider(io, needed_lsn);
	segments_drop(io, needed_lsn);
	upkeep_room_check(io);
	strong_upkeep(io);
	log_times_note(shm, io->appended_lsn, io->now.monotonic_ns);
	if (io->now.monotonic_ns - io->readers_checked_ns >= READERS_EVERY_NS) {
		io->readers_checked_ns = io->now.monotonic_ns;
		rows_reader_check(io->rows);
	}
	atomic_store_explicit(&shm->log_start_lsn, log_start_lsn(io->log), memory_order_relaxed);
	atomic_store_explicit(&shm->log_bytes, log_disk_bytes(io->log), memory_order_relaxed);
	atomic_store_explicit(&shm->map_bytes, rows_map_bytes(io->rows), memory_order_relaxed);
}
