/* SPDX-License-Identifier: Apache-2.0
 *
 * What is done once a second: upkeep.c with a log, rows and snapshots that are a few numbers. */
#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "actors/coordinator/io.h"
#include "runtime/logline.h"

#define MIB     (1ull << 20)
#define SECOND  1000000000ull
#define SEGMENT (4 * MIB)

/* ---- the world around it ---- */

static struct {
	struct vector acked[REGIONS_MAX], sought;
	uint32_t origins;
	int open_code, seek_code, room_code;
	uint64_t reader_lsn;
	bool reader_is_open;
	uint64_t start_lsn, end_lsn, bytes;
	uint64_t drops[16];
	uint32_t drop_count;
	int snapshot_start_code, snapshot_code, deletes_code, cancelled, distrusted, io_failed;
	uint64_t snapshot_lsn, oldest_lsn;
	uint32_t snapshots_begun, readers_checked, refusals_updated, strong_upkeeps, lines;
	uint64_t room_asked;
	struct rows_meta meta;
} fake;
static struct coordinator_io io;
static struct shm_layout *layout;
static struct counter_block counters;

void shm_link_acked(const struct shm_link *link, const struct store_id *own, struct vector *acked)
{
	cr_assert_eq(memcmp(own->bytes, fake.meta.store_id, sizeof own->bytes), 0, "acknowledged of another store");
	*acked = fake.acked[link - layout->links];
}

int log_reader_open(struct log_reader **reader, const char *dir, struct error_context *error)
{
	(void)error;
	cr_assert_str_eq(dir, "the log");
	*reader = (struct log_reader *)&fake;
	fake.reader_is_open = fake.open_code == 0;
	return fake.open_code;
}

void log_reader_close(struct log_reader *reader)
{
	cr_assert(reader == (struct log_reader *)&fake && fake.reader_is_open);
	fake.reader_is_open = false;
}

int log_reader_seek_vector(struct log_reader *reader, const struct vector *from, uint32_t origins, struct error_context *error)
{
	(void)error;
	cr_assert(reader == (struct log_reader *)&fake && fake.reader_is_open);
	fake.sought = *from;
	fake.origins = origins;
	return fake.seek_code;
}

uint64_t log_reader_lsn(const struct log_reader *reader)
{
	cr_assert(reader == (struct log_reader *)&fake && fake.reader_is_open);
	return fake.reader_lsn;
}

uint64_t log_start_lsn(const struct log *log)
{
	(void)log;
	return fake.start_lsn;
}

uint64_t log_end_lsn(const struct log *log)
{
	(void)log;
	return fake.end_lsn;
}

uint64_t log_disk_bytes(const struct log *log)
{
	(void)log;
	return fake.bytes;
}

uint32_t log_drop_before(struct log *log, uint64_t lsn)
{
	(void)log;
	cr_assert_lt(fake.drop_count, 16);
	fake.drops[fake.drop_count++] = lsn;
	return 1;
}

const struct rows_meta *rows_meta_now(const struct rows *rows)
{
	(void)rows;
	return &fake.meta;
}

int rows_room(struct rows *rows, uint64_t waiting, bool deletes, struct error_context *error)
{
	if (deletes)
		return fake.deletes_code;
	(void)rows;
	(void)error;
	fake.room_asked = waiting;
	return fake.room_code;
}

int rows_reader_check(struct rows *rows)
{
	(void)rows;
	fake.readers_checked++;
	return 0;
}

uint64_t rows_map_bytes(const struct rows *rows)
{
	(void)rows;
	return 777;
}

int snapshot_start(struct snapshot_job **job, struct rows *rows, const char *dir, struct error_context *error)
{
	(void)rows;
	(void)dir;
	(void)error;
	fake.snapshots_begun++;
	*job = (struct snapshot_job *)&fake; /* of no use when it fails */
	return fake.snapshot_start_code;
}

void snapshot_cancel(struct snapshot_job *job)
{
	(void)job;
	fake.cancelled++;
}

uint64_t snapshot_oldest_lsn(const char *dir)
{
	(void)dir;
	return fake.oldest_lsn;
}

int snapshot_distrust(const char *dir, struct error_context *error)
{
	(void)dir, (void)error;
	fake.distrusted++;
	return 0;
}

void io_fail(struct coordinator_io *p, int code, const struct error_context *error)
{
	(void)p, (void)error;
	fake.io_failed = code;
}

int snapshot_finish(struct snapshot_job *job, uint64_t *lsn, struct error_context *error)
{
	(void)error;
	cr_assert_eq(job, (struct snapshot_job *)&fake);
	*lsn = fake.snapshot_lsn;
	return fake.snapshot_code;
}

void gate_update(struct coordinator_io *p)
{
	cr_assert_eq(p, &io);
	fake.refusals_updated++;
}

static uint64_t noted_lsn, noted_ns;
void log_times_note(struct shm_coordinator *shm, uint64_t end_lsn, uint64_t now_ns)
{
	cr_assert_not_null(shm);
	noted_lsn = end_lsn;
	noted_ns = now_ns;
}
void strong_upkeep(struct coordinator_io *p)
{
	cr_assert_eq(p, &io);
	fake.strong_upkeeps++;
}

void logline(enum log_level level, const char *event, const char *format, ...)
{
	(void)level;
	(void)event;
	(void)format;
	fake.lines++;
}

static void begin(void)
{
	struct topology *t = &io.process.topology;
	layout = aligned_alloc(4096, (sizeof *layout + 4095) / 4096 * 4096);
	cr_assert(layout);
	memset(layout, 0, offsetof(struct shm_layout, inbound_bytes));
	io.process.shm.layout = layout;
	io.process.counters = &counters;
	t->region_count = 3;
	for (uint8_t i = 0; i < 3; i++)
		t->regions[i].id = (uint8_t)(2 + i); /* 2, 3, 4 */
	io.process.region = &t->regions[1];
	io.machine.options.regions = 7u << 2;
	strcpy(io.log_dir, "the log");
	io.flags = (struct coordinator_flags){.log_segment_mib = 4, .snapshot_mib = 512, .log_disk_mib = 100};
	io.now.monotonic_ns = 100 * SECOND;
	memset(fake.meta.store_id, 7, sizeof fake.meta.store_id);
	fake.reader_lsn = 50 * MIB;
	io.snapshot_lsn = io.snapshot_oldest_lsn = 40 * MIB;
	io.applied.applied_lsn = 60 * MIB;
	fake.end_lsn = 61 * MIB;
	fake.start_lsn = 20 * MIB;
	fake.bytes = 41 * MIB;
}

static void end(void)
{
	free(layout);
}

static uint64_t dropped(void)
{
	return counter_get(&counters, COUNTER_segments_dropped);
}

TestSuite(upkeep, .init = begin, .fini = end);

/* ---- which log is kept ---- */

/* Whoever stands where in the list of regions. */
Test(upkeep, f24_the_log_is_kept_for_every_peer)
{
	memset(&fake.acked[3], 0, sizeof fake.acked[3]); /* its own place: never asked */
	for (int turn = 0; turn < 2; turn++) {
		fake.acked[turn ? 4 : 2] = (struct vector){.sequence = {[2] = 5, [3] = 9, [4] = 3}};
		fake.acked[turn ? 2 : 4] = (struct vector){.sequence = {[2] = 7, [3] = 2, [4] = 8}};
		upkeep(&io);
		cr_assert_eq(fake.origins, 7u << 2);
		cr_assert_eq(fake.sought.sequence[2], 5);
		cr_assert_eq(fake.sought.sequence[3], 2);
		cr_assert_eq(fake.sought.sequence[4], 3);
		cr_assert(!fake.reader_is_open);
	}
}

Test(upkeep, f24_log_that_a_peer_or_a_start_needs_is_kept)
{
	upkeep(&io);
	cr_assert_eq(fake.drop_count, 1);
	cr_assert_eq(fake.drops[0], 40 * MIB, "behind the snapshot");
	cr_assert_eq(dropped(), 1);
	fake.drop_count = 0;
	fake.reader_lsn = 30 * MIB;
	upkeep(&io);
	cr_assert_eq(fake.drops[0], 30 * MIB, "what a peer has not got");
	fake.drop_count = 0;
	fake.seek_code = ERR_NEEDS_RESYNC;
	upkeep(&io);
	cr_assert_eq(fake.drops[0], 0, "a peer is behind the log already");
	fake.drop_count = 0;
	fake.seek_code = 0;
	fake.open_code = ERR_IO;
	upkeep(&io);
	cr_assert_eq(fake.drops[0], 0, "nobody knows");
}

Test(upkeep, f24_log_that_a_strong_start_reads_again_is_kept)
{
	fake.meta.reread_lsn = 25 * MIB;
	upkeep(&io);
	cr_assert_eq(fake.drops[0], 40 * MIB, "no keyspace is strong");
	fake.drop_count = 0;
	io.strong.wanted = true;
	upkeep(&io);
	cr_assert_eq(fake.drops[0], 25 * MIB);
	fake.drop_count = 0;
	fake.meta.reread_lsn = 45 * MIB;
	upkeep(&io);
	cr_assert_eq(fake.drops[0], 40 * MIB, "the snapshot is older");
	/* However full the disk is. */
	fake.drop_count = 0;
	fake.meta.reread_lsn = 21 * MIB;
	fake.bytes = 100 * MIB;
	upkeep(&io);
	cr_assert_eq(fake.drop_count, 2);
	cr_assert_eq(fake.drops[1], 21 * MIB);
}

Test(upkeep, a_spent_budget_drops_the_oldest_log)
{
	fake.reader_lsn = 0; /* a peer needs all of it */
	fake.bytes = 90 * MIB - 1;
	upkeep(&io);
	cr_assert_eq(fake.drop_count, 1, "just below nine tenths");
	fake.drop_count = fake.lines = 0;
	fake.bytes = 90 * MIB;
	upkeep(&io);
	cr_assert_eq(fake.drop_count, 2);
	cr_assert_eq(fake.drops[0], 0);
	cr_assert_eq(fake.drops[1], fake.start_lsn + SEGMENT, "one segment");
	cr_assert_eq(dropped(), 3);
	cr_assert_eq(fake.lines, 1, "never silently");
	fake.drop_count = 0;
	fake.bytes = 99 * MIB;
	upkeep(&io);
	cr_assert_eq(fake.drops[1], fake.start_lsn + 3 * SEGMENT, "nine MiB too many are three segments");
	fake.drop_count = 0;
	fake.bytes = 200 * MIB;
	upkeep(&io);
	cr_assert_eq(fake.drops[1], 40 * MIB, "no more than the snapshot holds");
	/* The topology's budget is the one without a flag; no budget: none is spent. */
	fake.drop_count = 0;
	io.flags.log_disk_mib = 0;
	upkeep(&io);
	cr_assert_eq(fake.drop_count, 1);
	fake.drop_count = 0;
	io.process.topology.log_disk_mib = 100;
	upkeep(&io);
	cr_assert_eq(fake.drop_count, 2);
}

/* ---- snapshots ---- */

Test(upkeep, a_snapshot_after_so_much_log)
{
	io.applied.applied_lsn = io.snapshot_lsn + 512 * MIB - 1;
	upkeep(&io);
	cr_assert_eq(fake.snapshots_begun, 0);
	io.applied.applied_lsn++;
	fake.snapshot_code = ERR_EMPTY; /* under way */
	upkeep(&io);
	cr_assert_eq(fake.snapshots_begun, 1);
	upkeep(&io);
	cr_assert_eq(fake.snapshots_begun, 1, "one at a time");
	cr_assert_eq(io.snapshot_lsn, 40 * MIB);
	struct error_context error;
	cr_assert_eq(upkeep_snapshot_start(&io, &error), ERR_OVERLOADED);
	fake.snapshot_code = 0;
	fake.snapshot_lsn = 551 * MIB;
	upkeep(&io);
	cr_assert_eq(io.snapshot_lsn, 551 * MIB);
	cr_assert_null(io.snapshot);
	cr_assert_eq(counter_get(&counters, COUNTER_snapshots), 1);
	upkeep(&io);
	cr_assert_eq(fake.snapshots_begun, 1);
	cr_assert_eq(upkeep_snapshot_start(&io, &error), 0);
	cr_assert_eq(fake.snapshots_begun, 2);
}

/* A failure is tried again after a while, whether it begins or ends with it. */
Test(upkeep, a_snapshot_that_fails_comes_again)
{
	for (int at_start = 0; at_start < 2; at_start++) {
		io.snapshot_lsn = 40 * MIB;
		io.applied.applied_lsn = io.snapshot_lsn + 512 * MIB;
		fake.snapshots_begun = 0;
		fake.snapshot_start_code = at_start ? ERR_IO : 0;
		fake.snapshot_code = ERR_IO;
		upkeep(&io);
		cr_assert_eq(fake.snapshots_begun, 1);
		cr_assert_eq(io.snapshot == NULL, at_start, "what never began is not waited for");
		upkeep(&io);
		cr_assert_null(io.snapshot);
		cr_assert_eq(io.snapshot_lsn, 40 * MIB);
		io.now.monotonic_ns += 10 * SECOND - 1;
		upkeep(&io);
		cr_assert_eq(fake.snapshots_begun, 1, "too early");
		io.now.monotonic_ns++;
		upkeep(&io);
		cr_assert_eq(fake.snapshots_begun, 2);
		upkeep(&io);
		io.now.monotonic_ns += 20 * SECOND;
	}
}

/* Early when the disk fills, and only if that lets log go. */
Test(upkeep, a_snapshot_before_its_time)
{
	struct {
		uint64_t bytes, snapshot, needed, applied, start;
		uint32_t begun;
	} rows[] = {
	    {75, 40, 60, 60, 20, 1},
	    {74, 40, 60, 60, 20, 0},
	    {75, 40, 44, 60, 20, 1},
	    {75, 40, 43, 60, 20, 0}, /* a peer needs what it would free */
	    {75, 40, 60, 44, 20, 1},
	    {75, 40, 60, 43, 20, 0}, /* not in the rows yet */
	    {75, 40, 0, 60, 40, 0},
	    {90, 40, 0, 60, 40, 1}, /* the oldest goes, needed or not: a snapshot has to hold it */
	    {89, 40, 0, 60, 40, 0},
	    {90, 40, 0, 60, 37, 1},
	    {90, 40, 0, 60, 36, 0}, /* one segment can go as it is */
	    {90, 40, 0, 43, 40, 0},
	    {90, 40, 0, 44, 40, 1},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		fake.snapshots_begun = fake.drop_count = 0;
		fake.bytes = rows[i].bytes * MIB;
		io.snapshot = NULL;
		io.snapshot_lsn = rows[i].snapshot * MIB;
		fake.reader_lsn = rows[i].needed * MIB;
		io.applied.applied_lsn = rows[i].applied * MIB;
		fake.start_lsn = rows[i].start * MIB;
		upkeep(&io);
		cr_assert_eq(fake.snapshots_begun, rows[i].begun, "row %zu", i);
	}
}

/* ---- room, and what is told ---- */

Test(upkeep, F04_no_room_is_refused_and_told_once)
{
	fake.room_code = ERR_DISK_FULL;
	upkeep_room_check(&io);
	cr_assert(io.rows_are_full);
	cr_assert_eq(fake.room_asked, 1 * MIB, "what is in the log and not in the rows");
	cr_assert_eq(fake.refusals_updated, 1);
	cr_assert_eq(fake.lines, 1);
	upkeep_room_check(&io);
	cr_assert_eq(fake.lines, 1);
	fake.room_code = 0;
	upkeep_room_check(&io);
	cr_assert(!io.rows_are_full);
	cr_assert_eq(fake.refusals_updated, 3);
	upkeep(&io);
	cr_assert_eq(fake.refusals_updated, 4);
}

Test(upkeep, what_is_published_and_looked_after)
{
	upkeep(&io);
	cr_assert_eq(fake.strong_upkeeps, 1);
	cr_assert_eq(fake.readers_checked, 1);
	cr_assert_eq(atomic_load(&layout->coordinator.log_start_lsn), 20 * MIB);
	cr_assert_eq(atomic_load(&layout->coordinator.log_bytes), 41 * MIB);
	cr_assert_eq(atomic_load(&layout->coordinator.map_bytes), 777);
	cr_assert(noted_lsn == io.appended_lsn && noted_ns == io.now.monotonic_ns, "c5: when the log grew");
	io.now.monotonic_ns += 10 * SECOND - 1;
	upkeep(&io);
	cr_assert_eq(fake.readers_checked, 1);
	io.now.monotonic_ns++;
	upkeep(&io);
	cr_assert_eq(fake.readers_checked, 2);
	upkeep(&io);
	cr_assert_eq(fake.readers_checked, 2);
}

Test(upkeep, E13b_deletes_are_taken_and_a_snapshot_is_given_up_when_there_is_no_room)
{
	io.snapshot = (struct snapshot_job *)&fake;
	fake.room_code = ERR_DISK_FULL;
	upkeep_room_check(&io);
	cr_assert(io.rows_are_full && io.deletes_taken);
	cr_assert_eq(fake.cancelled, 1);
	fake.deletes_code = ERR_DISK_FULL;
	upkeep_room_check(&io);
	cr_assert(io.rows_are_full && !io.deletes_taken);
	/* After the log could not be applied, free pages are no reason to take more. */
	fake.room_code = fake.deletes_code = 0;
	io.apply_was_full = true;
	upkeep_room_check(&io);
	cr_assert(io.rows_are_full && !io.deletes_taken);
	io.apply_was_full = false;
	upkeep_room_check(&io);
	cr_assert_not(io.rows_are_full);
}

Test(upkeep, D8_rows_that_were_not_written_back_are_not_trusted_again)
{
	io.snapshot = (struct snapshot_job *)&fake;
	fake.snapshot_code = ERR_SYNC_FAILED;
	upkeep(&io);
	cr_assert_eq(fake.distrusted, 1);
	cr_assert_eq(fake.io_failed, ERR_SYNC_FAILED);
}
