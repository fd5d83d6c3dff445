/* SPDX-License-Identifier: Apache-2.0
 *
 * Frames out of a real log. */
#include <criterion/criterion.h>
#include <ftw.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "actors/streamer/outbox.h"
#include "base/bytes.h"
#include "tests/unit/core/commit_sample.h"
#include "tests/unit/streamer/sample.h"

static char dir[256];
static struct log *store;
static struct outbox outbox;
static uint64_t durable_lsn, end_lsn;
static uint8_t bytes[RECORD_ENCODED_MAX];

static void set_up(void)
{
	struct error_context error;
	struct log_recovered found;
	const char *base = getenv("TMPDIR");
	snprintf(dir, sizeof dir, "%s/godwit-outbox-XXXXXX", base ? base : "/tmp");
	cr_assert(mkdtemp(dir));
	struct log_options options = {.dir = dir, .region = 0, .segment_size = 2u << 20, .disk_max = 1ull << 30};
	cr_assert_eq(log_open(&store, &options, &found, &error), 0, "%s", error.text);
	cr_assert_eq(outbox_init(&outbox, dir, true), 0);
}
static int remove_one(const char *path, const struct stat *status, int flag, struct FTW *at)
{
	(void)status, (void)flag, (void)at;
	return remove(path);
}
static void tear_down(void)
{
	outbox_deinit(&outbox);
	log_close(store);
	nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}
TestSuite(outbox, .init = set_up, .fini = tear_down, .timeout = 60);

static void wait_for_sync(void)
{
	struct error_context error;
	log_flush(store);
	poll(&(struct pollfd){.fd = log_fd(store), .events = POLLIN}, 1, 1000);
	cr_assert_eq(log_completed(store, &durable_lsn, &error), 0);
}
static void append(uint8_t region, uint64_t sequence, uint32_t value_size)
{
	uint32_t size = sample_record(region, sequence, value_size, 0, bytes);
	int code;
	while ((code = log_append(store, LOG_RECORD, bytes, size, &end_lsn)) == ERR_OVERLOADED)
		wait_for_sync(); /* the next segment is not there yet */
	cr_assert_eq(code, 0);
}
static void sync_all(void)
{
	while (durable_lsn < end_lsn)
		wait_for_sync();
}
static void open_for(uint8_t peer, struct vector from, uint32_t origins)
{
	struct error_context error;
	cr_assert_eq(outbox_open(&outbox, peer, &from, origins, UINT64_MAX, &error), 0, "%s", error.text);
}

/* Reads all that there is for the peer; checks that the origin's records come in order from `next`. */
static uint32_t read_all(uint8_t peer, uint8_t origin, uint64_t next)
{
	static uint8_t raw[FRAME_RAW_LIMIT];
	const struct outbox_frame *frame;
	struct error_context error;
	uint32_t frames = 0;
	int code;
	while ((code = outbox_frame(&outbox, peer, durable_lsn, &frame, &error)) == 0) {
		uint32_t records = 0, offset = 0, size;
		const uint8_t *record;
		frames += frame->records > 0;
		if (frame->records)
			cr_assert_eq(frame_open(&frame->frame, outbox.streams[peer].origins, raw, &records, NULL), 0);
		cr_assert_eq(records, frame->records);
		while (records && frame_next(raw, frame->frame.raw_size, &offset, &record, &size) == 0) {
			struct dot dot;
			cr_assert_eq(record_peek(record, size, &dot), 0);
			if (dot.region == origin)
				cr_assert_eq(dot.sequence, next++);
		}
		outbox_advance(&outbox, peer, frame);
	}
	cr_assert_eq(code, ERR_EMPTY, "%s", error.text);
	cr_assert_eq(next, 1001);
	return frames;
}

static void append_thousand(uint32_t value_size)
{
	for (uint64_t i = 1; i <= 1000; i++) {
		append(0, i, i % 100 == 50 ? VALUE_SIZE_MAX / 2 : value_size);
		append(1, i, 10);
		append(2, i, 10);
	}
	sync_all();
}

Test(outbox, all_records_over_segments_and_large_ones)
{
	append_thousand(100);
	open_for(1, (struct vector){0}, 1);
	cr_assert_geq(read_all(1, 0, 1), 20);
	open_for(2, (struct vector){{417, 0, 0}}, 1);
	read_all(2, 0, 418);
	open_for(1, (struct vector){{0, 0, 3}}, 5);
	read_all(1, 2, 4);
}

Test(outbox, subscribers_at_one_place_share_frames)
{
	const struct outbox_frame *first, *second;
	append_thousand(100);
	open_for(1, (struct vector){0}, 1);
	open_for(2, (struct vector){0}, 1);
	uint32_t shared = 0;
	while (outbox_frame(&outbox, 1, durable_lsn, &first, NULL) == 0) {
		cr_assert_eq(outbox_frame(&outbox, 2, durable_lsn, &second, NULL), 0);
		cr_assert_eq(first, second);
		outbox_advance(&outbox, 1, first);
		outbox_advance(&outbox, 2, second);
		shared++;
	}
	cr_assert_gt(shared, 10);
	cr_assert_neq(log_reader_lsn(outbox.streams[2].reader), outbox.streams[2].lsn, "it read for itself");
	/* Left alone, the second reads on from the right place. */
	for (uint64_t i = 1001; i <= 1010; i++)
		append(0, i, 10);
	sync_all();
	cr_assert_eq(outbox_frame(&outbox, 2, durable_lsn, &second, NULL), 0);
	cr_assert_eq(second->records, 10);
	cr_assert_eq(second->first.sequence[0], 1001);
}

Test(outbox, frames_are_not_shared_with_one_that_needs_others)
{
	const struct outbox_frame *first, *second;
	append_thousand(100);
	open_for(1, (struct vector){0}, 1);
	open_for(2, (struct vector){{5, 0, 0}}, 1);
	cr_assert_eq(outbox_frame(&outbox, 1, durable_lsn, &first, NULL), 0);
	cr_assert_eq(outbox_frame(&outbox, 2, durable_lsn, &second, NULL), 0);
	cr_assert_neq(first, second);
	cr_assert_eq(second->first.sequence[0], 6);
	for (uint32_t i = 0; i < OUTBOX_FRAMES; i++) /* nor the other way round: those left out would be missing */
		outbox.frames[i].used = outbox.frames[i].peer == 2;
	open_for(1, (struct vector){0}, 1);
	cr_assert_eq(outbox_frame(&outbox, 1, durable_lsn, &first, NULL), 0);
	cr_assert_eq(first->first.sequence[0], 1);
	open_for(2, (struct vector){0}, 2);
	cr_assert_eq(outbox_frame(&outbox, 2, durable_lsn, &second, NULL), 0);
	cr_assert_eq(second->first.sequence[1], 1);
	cr_assert_eq(second->first.sequence[0], 0);
}

Test(outbox, a_frame_not_sent_is_there_again)
{
	const struct outbox_frame *first, *again;
	append_thousand(100);
	open_for(1, (struct vector){{5, 0, 0}}, 1);
	cr_assert_eq(outbox_frame(&outbox, 1, durable_lsn, &first, NULL), 0);
	cr_assert_eq(outbox_frame(&outbox, 1, durable_lsn, &again, NULL), 0);
	cr_assert_eq(first, again);
	for (uint32_t i = 0; i < OUTBOX_FRAMES; i++)
		outbox.frames[i].used = false; /* others took its place */
	cr_assert_eq(outbox_frame(&outbox, 1, durable_lsn, &again, NULL), 0);
	cr_assert_eq(again->first.sequence[0], 6);
}

Test(outbox, nothing_beyond_the_durable_position)
{
	const struct outbox_frame *frame;
	append(0, 1, 10);
	sync_all();
	uint64_t limit = durable_lsn;
	append(0, 2, 10);
	sync_all();
	open_for(1, (struct vector){0}, 1);
	cr_assert_eq(outbox_frame(&outbox, 1, limit, &frame, NULL), 0);
	cr_assert_eq(frame->records, 1);
	outbox_advance(&outbox, 1, frame);
	cr_assert_eq(outbox_frame(&outbox, 1, limit, &frame, NULL), ERR_EMPTY);
}

Test(outbox, T22_records_that_were_dropped_need_a_resync)
{
	struct vector from = {0};
	append_thousand(10000);
	cr_assert_gt(log_drop_before(store, durable_lsn), 0);
	cr_assert_eq(outbox_open(&outbox, 1, &from, 1, UINT64_MAX, NULL), ERR_NEEDS_RESYNC);
	cr_assert_not(outbox.streams[1].open);
	from.sequence[0] = 999;
	cr_assert_eq(outbox_open(&outbox, 1, &from, 1, UINT64_MAX, NULL), 0);
}

/* ---- G20: keyspaces that the subscriber does not have, or otherwise ---- */

static void append_in(uint16_t keyspace, uint8_t region, uint64_t sequence)
{
	uint32_t size = sample_record(region, sequence, 10, 0, bytes);
	bytes_put_u16(bytes + 2, keyspace);
	cr_assert_eq(log_append(store, LOG_RECORD, bytes, size, &end_lsn), 0);
}
static void append_transaction(uint16_t first, uint16_t second, uint8_t region, uint64_t sequence)
{
	uint8_t entry[512];
	const struct commit_operation operations[] = {commit_write(first, "a", "x"), commit_write(second, "b", "y")};
	const struct commit_head head = {.id = {.hlc = 77, .region = region}, .value = COMMIT_COMMITTED, .previous_count = 2};
	size_t size = commit_head_put(entry, &head, true);
	size += commit_body_sample(entry + size, NULL, 0, operations, 2);
	struct record record = {.dot = {.sequence = sequence, .region = region},
	    .hlc = 77,
	    .flags = RECORD_TRANSACTION,
	    .entry = entry,
	    .entry_size = (uint32_t)size};
	long encoded = record_encode(&record, bytes, sizeof bytes);
	cr_assert_gt(encoded, 0);
	cr_assert_eq(log_append(store, LOG_RECORD, bytes, (size_t)encoded, &end_lsn), 0);
}
static void open_with(uint8_t peer, uint32_t origins, uint64_t keyspaces)
{
	cr_assert_eq(outbox_open(&outbox, peer, &(struct vector){0}, origins, keyspaces, NULL), 0);
}

Test(outbox, G20_an_origin_stands_at_the_first_record_that_is_not_for_the_subscriber)
{
	const struct outbox_frame *frame;
	append_in(0, 0, 1);
	append_in(3, 1, 1);
	append_in(3, 0, 2); /* here region 0 stops */
	append_in(0, 0, 3);
	append_in(0, 1, 2);
	sync_all();
	open_with(1, 3, ~(1ull << 3));
	cr_assert_eq(outbox_frame(&outbox, 1, durable_lsn, &frame, NULL), 0);
	cr_assert_eq(frame->records, 1, "%u", frame->records); /* region 1 stops at its first */
	cr_assert(frame->held == 3 && frame->held_keyspace == 3 && frame->last.sequence[0] == 1 && !frame->last.sequence[1]);
	/* Not sent yet, it is the same frame again: what comes before the stop is not lost. */
	const struct outbox_frame *again;
	cr_assert_eq(outbox_frame(&outbox, 1, durable_lsn, &again, NULL), 0);
	cr_assert(again == frame && again->records == 1);
	outbox_advance(&outbox, 1, frame);
	append_in(0, 0, 4);
	append_in(0, 2, 1);
	sync_all();
	cr_assert_eq(outbox_frame(&outbox, 1, durable_lsn, &frame, NULL), 0);
	cr_assert_eq(frame->records, 0, "nothing follows of an origin that stands");
	/* Whoever has the keyspace gets all of it, and shares no frame with whoever has not. */
	open_with(2, 3, UINT64_MAX);
	cr_assert_eq(outbox_frame(&outbox, 2, durable_lsn, &frame, NULL), 0);
	cr_assert(frame->records == 6 && !frame->held, "%u", frame->records);
}

Test(outbox, G20_one_origin_stands_and_another_goes_on)
{
	const struct outbox_frame *frame;
	append_in(5, 0, 1);
	append_in(0, 1, 1);
	append_in(0, 0, 2);
	append_in(1, 1, 2);
	sync_all();
	open_with(2, 3, ~(1ull << 5));
	cr_assert_eq(outbox_frame(&outbox, 2, durable_lsn, &frame, NULL), 0);
	cr_assert(frame->records == 2 && frame->held == 1 && frame->held_keyspace == 5);
	cr_assert(frame->last.sequence[1] == 2 && !frame->last.sequence[0]);
}

Test(outbox, G20_a_transaction_stands_by_any_of_its_keyspaces)
{
	const struct outbox_frame *frame;
	append_transaction(2, 7, 0, 1);
	sync_all();
	static const struct {
		uint64_t keyspaces;
		uint32_t held;
	} cases[] = {{UINT64_MAX, 0}, {~(1ull << 3), 0}, {~(1ull << 2), 1}, {~(1ull << 7), 1}, {~(1ull << 0), 0}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		open_with(1, 1, cases[i].keyspaces);
		cr_assert_eq(outbox_frame(&outbox, 1, durable_lsn, &frame, NULL), 0);
		cr_expect(frame->held == cases[i].held && frame->records == !cases[i].held, "%zu", i);
	}
}

/* What stands comes behind others of its frame, and behind others of its own origin. */
Test(outbox, G20_what_comes_before_a_stop_goes_out)
{
	const struct outbox_frame *frame;
	for (uint64_t i = 1; i <= 5; i++)
		append_in(0, 0, i);
	append_in(3, 0, 6);
	append_in(0, 0, 7);
	sync_all();
	open_with(1, 1, ~(1ull << 3));
	cr_assert_eq(outbox_frame(&outbox, 1, durable_lsn, &frame, NULL), 0);
	cr_assert(frame->records == 5 && frame->held == 1 && frame->last.sequence[0] == 5, "%u", frame->records);
}
