/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "actors/coordinator/io.h"
#include "core/record.h"
#include "runtime/logline.h"
#include "shm/role_lock.h"
#include "store/log_segment.h"

#define ENTRIES_A_RECOVERY_STEP 65536u
#define STORE_LOCK_WAIT_MS      500u
#define START_TOLD_EVERY_NS     1000000000ull
/* The memory of answers is refilled from this much of the log, so that a start stays short. */
#define REMEMBERED_BYTES_MAX (128ull << 20)

static int directory_make(const char *path, struct error_context *error)
{
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return error_set(error, ERR_IO, "%s: %s", path, strerror(errno));
	return 0;
}

/* A level is for life: rows of strong keyspaces are of another kind. */
static int keyspace_check(struct coordinator_io *io, uint16_t keyspace, struct error_context *error)
{
	const struct keyspace *k = &io->process.topology.keyspaces[keyspace];
	int code = rows_view_begin(io->view, error);
	if (code)
		return code;
	code = rows_kind_differs(io->view, keyspace, k->level == LEVEL_STRONG);
	rows_view_end(io->view);
	if (code > 0)
		return error_set(error, ERR_CONFIGURATION,
		    "keyspace %s holds rows that were %s; a keyspace with rows cannot become %s", k->name,
		    k->level == LEVEL_STRONG ? "not strong" : "strong", level_name(k->level));
	return code;
}

static int rows_start(struct coordinator_io *io, struct error_context *error)
{
	const struct process *p = &io->process;
	struct rows_options options = {.dir = io->rows_dir,
	    .map_size = (uint64_t)io->flags.map_gib << 30,
	    .region = p->region->id,
	    .keyspaces = p->topology.keyspace_count};
	for (uint32_t i = 0; i < p->topology.keyspace_count; i++)
		options.strategy[i] = p->topology.keyspaces[i].strategy;
	memcpy(options.priority, p->topology.priority_by_id, sizeof options.priority);
	int code = rows_open(&io->rows, &options, error);
	if (!code)
		code = rows_view_new(io->rows, &io->view, error);
	const struct rows_meta *meta = code ? NULL : rows_meta_now(io->rows);
	if (meta && meta->region != p->region->id)
		return error_set(error, ERR_REGION_REUSED, "%s holds the rows of region %u; this is region %u", io->rows_dir,
		    meta->region, p->region->id);
	for (uint16_t i = 0; !code && i < p->topology.keyspace_count; i++)
		code = keyspace_check(io, i, error);
	if (!code)
		code = starts_open(&io->starts, io->rows_dir, error);
	return code;
}

/* Reads from the newest segment that starts far enough before the rows' position; what follows that comes by applying. */
static int memory_refill(struct coordinator_io *io, uint64_t upto_lsn, struct error_context *error)
{
	const struct shm_coordinator *shm = &io->process.shm.layout->coordinator;
	struct log_segment *segments = NULL;
	uint32_t count = 0;
	int fd = open(io->log_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_set(error, ERR_IO, "%s: %s", io->log_dir, strerror(errno));
	int code = log_segment_list(fd, &segments, &count, error);
	close(fd);
	if (code)
		return code;
	uint64_t start_lsn = count ? segments[0].start : 0;
	for (uint32_t i = 1; i < count && segments[i].start + REMEMBERED_BYTES_MAX <= upto_lsn; i++)
		start_lsn = segments[i].start;
	bool any = count && segments[0].start < upto_lsn;
	free(segments);
	if (start_lsn > 0)
		coordinator_remember_part(&io->machine, log_times_find(shm, start_lsn, clock_read().monotonic_ns));
	if (!any || (code = log_reader_seek(io->reader, start_lsn, error)))
		return code;
	struct log_entry entry;
	while (!(code = log_reader_next(io->reader, upto_lsn, &entry, error))) {
		struct record record;
		struct dot dot;
		if (entry.type != LOG_RECORD || record_peek(entry.body, entry.size, &dot) < 0 ||
		    dot.region != io->machine.options.region || entry.body[0] == RECORD_TRANSACTION)
			continue;
		if (record_decode(&record, entry.body, entry.size) > 0)
			coordinator_remember(&io->machine, &record);
	}
	return code == ERR_EMPTY ? 0 : code;
}

static void record_recovered(void *self, const struct record *record, enum row_change change)
{
	struct coordinator_io *io = self;
	(void)change;
	coordinator_remember(&io->machine, record);
}

static int machine_start(struct coordinator_io *io, const struct log_recovered *found, struct error_context *error)
{
	const struct topology *topology = &io->process.topology;
	const struct rows_meta *meta = rows_meta_now(io->rows);
	struct coordinator_options options = {.region = io->process.region->id,
	    .keyspace_count = topology->keyspace_count,
	    .clock_drift_max_ms = topology->max_clock_drift_ms,
	    .started_ns = clock_read().monotonic_ns};
	for (uint32_t i = 0; i < topology->region_count; i++)
		options.regions |= 1u << topology->regions[i].id;
	for (uint32_t i = 0; i < topology->keyspace_count; i++)
		options.keyspaces[i] =
		    (struct coordinator_keyspace){topology->keyspaces[i].level, topology->keyspaces[i].acknowledge};
	const uint64_t stamps[] = {meta->hlc, meta->hlc_bound, found->hlc, found->hlc_bound};
	uint64_t floor = 0;
	for (size_t i = 0; i < sizeof stamps / sizeof *stamps; i++)
		floor = stamps[i] > floor ? stamps[i] : floor;
	/* No strong stamp was ever given out: then the next ones begin above the eventual ones, which tell the time as well. */
	io->commit_floor = meta->commit_bound > found->commit_bound ? meta->commit_bound : found->commit_bound;
	if (!io->commit_floor)
		io->commit_floor = floor;
	struct vector assigned = found->vector;
	vector_join(&assigned, &meta->applied);
	if (coordinator_init(&io->machine, &options, &assigned, &meta->applied, floor) < 0)
		return error_set(error, ERR_NO_MEMORY, "memory for the coordinator's state");
	return 0;
}

/* Signs of life for the supervisor, which gives up on a start that shows none; and how far it is. */
static void start_told(struct coordinator_io *io, const char *what, uint64_t done, uint64_t total)
{
	struct clock_now now = clock_read();
	struct shm_coordinator *shm = &io->process.shm.layout->coordinator;
	counter_set(io->process.counters, COUNTER_turned_ms, now.monotonic_ns / 1000000);
	atomic_store_explicit(&shm->start_done_mib, (uint32_t)(done >> 20), memory_order_relaxed);
	atomic_store_explicit(&shm->start_total_mib, (uint32_t)(total >> 20), memory_order_relaxed);
	if (now.monotonic_ns < io->start_told_ns + START_TOLD_EVERY_NS)
		return;
	io->start_told_ns = now.monotonic_ns;
	logline(LOG_LEVEL_INFO, "starting", "doing=\"%s\" done_mib=%llu of_mib=%llu", what, (unsigned long long)(done >> 20),
	    (unsigned long long)(total >> 20));
}

static void restore_told(void *user, uint64_t done, uint64_t total)
{
	start_told(user, "copying a snapshot", done, total);
}

static int log_apply_rest(struct coordinator_io *io, uint64_t end_lsn, struct error_context *error)
{
	const struct rows_meta *meta = rows_meta_now(io->rows);
	io->applied = (struct apply_result){.applied_lsn = meta->applied_lsn, .applied = meta->applied};
	while (io->applied.applied_lsn < end_lsn) {
		uint64_t before = io->applied.applied_lsn;
		int code = rows_apply_log(io->rows, io->reader, end_lsn, ENTRIES_A_RECOVERY_STEP, clock_read().wall_ms,
		    record_recovered, io, &io->applied, error);
		if (code == ERR_DISK_FULL) {
			/* It starts all the same: what is durable can be read and streamed, and the rest is applied once there
			 * is room. */
			logline(LOG_LEVEL_ERROR, "rows_full", "reason=\"%s\"", error ? error->text : "");
			io->rows_are_full = io->apply_is_blocked = io->apply_was_full = true;
			break;
		}
		if (code)
			return code;
		start_told(io, "applying the log", io->applied.applied_lsn, end_lsn);
		if (io->applied.applied_lsn == before)
			break; /* only the end of a segment is left */
	}
	struct coordinator_event event = {
	    .type = COORDINATOR_APPLIED, .applied = {.lsn = io->applied.applied_lsn, .vector = &io->applied.applied}};
	coordinator_step(&io->machine, &event, &io->effects);
	return 0;
}

/* Named by a hash of the key for distinct lines; the key itself cut to what a line takes. */
void store_damage_log(const struct coordinator_io *io, uint64_t writes)
{
	const struct rows_damage *damage = rows_damage_last(io->rows);
	struct text name = {0};
	text_add_json_string(&name, damage->key, damage->key_size < 100 ? damage->key_size : 100);
	logline_distinct(LOG_LEVEL_ERROR, "row_damaged",
	    row_digest(damage->keyspace, damage->key, damage->key_size, NULL, 0).low,
	    "keyspace=%u key=%s writes=%llu reason=\"what came for it is left out; another region has the row\"",
	    damage->keyspace, name.bytes ? name.bytes : "", (unsigned long long)writes);
	text_deinit(&name);
}

static int log_start(struct coordinator_io *io, struct log_recovered *found, struct error_context *error)
{
	const struct rows_meta *meta = rows_meta_now(io->rows);
	uint64_t disk_mib = io->flags.log_disk_mib ? io->flags.log_disk_mib : io->process.topology.log_disk_mib;
	struct log_options options = {.dir = io->log_dir,
	    .region = io->process.region->id,
	    .segment_size = (uint64_t)io->flags.log_segment_mib << 20,
	    .disk_max = disk_mib << 20,
	    .durable_lsn = meta->applied_lsn};
	memcpy(options.store_id, meta->store_id, sizeof options.store_id);
	int code = log_open(&io->log, &options, found, error);
	return code ? code : log_reader_open(&io->reader, io->log_dir, error);
}

static void log_times_begin(struct coordinator_io *io, uint64_t end_lsn)
{
	struct store_id own;
	memcpy(own.bytes, rows_meta_now(io->rows)->store_id, sizeof own.bytes);
	log_times_start(&io->process.shm.layout->coordinator, &own, end_lsn);
}

static uint64_t elapsed_ms(uint64_t *since_ns)
{
	uint64_t now_ns = clock_read().monotonic_ns, before_ns = *since_ns;
	*since_ns = now_ns;
	return (now_ns - before_ns) / 1000000;
}

int store_start(struct coordinator_io *io, struct error_context *error)
{
	const char *dir = io->process.region_dir;
	struct log_recovered found;
	uint64_t log_start_found, started_ns = clock_read().monotonic_ns, phase_ns = started_ns;
	uint64_t rows_ms, log_ms, memory_ms;
	struct snapshot_restored restored = {0};
	struct snapshot_progress progress = {.tell = restore_told, .user = io};
	char path[512];
	snprintf(io->log_dir, sizeof io->log_dir, "%s/log", dir);
	snprintf(io->rows_dir, sizeof io->rows_dir, "%s/rows", dir);
	snprintf(path, sizeof path, "%s/store.lock", dir);
	int code = role_lock_take(path, "a writer of this store", STORE_LOCK_WAIT_MS, &io->store_lock_fd, error);
	if (!code)
		code = directory_make(io->log_dir, error);
	if (!code)
		code = directory_make(io->rows_dir, error);
	if (!code)
		code = log_find_start(io->log_dir, &log_start_found, error);
	if (!code)
		code = snapshot_restore_if_needed(dir, log_start_found, &progress, &restored, error);
	if (restored.damaged)
		logline(LOG_LEVEL_ERROR, "snapshot_damaged", "count=%u reason=\"%s\"", restored.damaged, restored.reason);
	if (!code)
		code = snapshot_note_boot(dir, error);
	if (!code)
		code = rows_start(io, error);
	rows_ms = elapsed_ms(&phase_ns);
	if (!code)
		code = log_start(io, &found, error);
	if (!code)
		log_times_begin(io, found.end_lsn);
	log_ms = elapsed_ms(&phase_ns);
	if (!code)
		code = machine_start(io, &found, error);
	if (!code)
		code = memory_refill(io, rows_meta_now(io->rows)->applied_lsn, error);
	memory_ms = elapsed_ms(&phase_ns);
	uint64_t rows_lsn = code ? 0 : rows_meta_now(io->rows)->applied_lsn;
	if (!code)
		code = log_apply_rest(io, found.end_lsn, error);
	if (code)
		return code;
	atomic_store_explicit(&io->process.shm.layout->coordinator.start_total_mib, 0, memory_order_relaxed);
	io->durable_lsn = io->appended_lsn = found.end_lsn;
	io->apply_idle_lsn = io->rows_are_full ? 0 : found.end_lsn;
	if (snapshot_newest(dir, &io->snapshot_lsn, path) < 0)
		io->snapshot_lsn = 0;
	io->snapshot_oldest_lsn = snapshot_oldest_lsn(dir);
	char vector[VECTOR_TEXT_MAX];
	vector_format(&io->applied.applied, vector);
	logline(LOG_LEVEL_INFO, "recovered",
	    "restored=%d rows_lsn=%llu end_lsn=%llu cut_bytes=%llu vector=%s answers=%llu rows_ms=%llu log_ms=%llu "
	    "memory_ms=%llu took_ms=%llu",
	    restored.restored, (unsigned long long)rows_lsn, (unsigned long long)found.end_lsn,
	    (unsigned long long)found.cut_bytes, vector,
	    (unsigned long long)(io->machine.reply_cache.newest - io->machine.reply_cache.oldest), (unsigned long long)rows_ms,
	    (unsigned long long)log_ms, (unsigned long long)memory_ms, (unsigned long long)elapsed_ms(&started_ns));
	return 0;
}

void store_stop(struct coordinator_io *io)
{
	struct error_context error = {0};
	uint64_t lsn;
	/* After a failed write nothing more is tried on the log: the next start finds what the disk really holds. */
	if (io->failed)
		return;
	while (io->snapshot && snapshot_finish(io->snapshot, &lsn, NULL) == ERR_EMPTY)
		usleep(10000);
	log_reader_close(io->reader);
	log_close(io->log);
	rows_view_free(io->view);
	int code = snapshot_note_clean(io->rows, io->process.region_dir, &error);
	if (code)
		logline(LOG_LEVEL_WARN, "not_clean", "code=%s reason=\"%s\"", error_name(code), error.text);
	starts_close(&io->starts);
	rows_close(io->rows);
}
