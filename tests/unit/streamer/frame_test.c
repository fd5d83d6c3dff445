/* SPDX-License-Identifier: Apache-2.0
 *
 * Frames: what goes in comes out, and nothing that was tampered with does (T36). */
#include <criterion/criterion.h>
#include <lz4.h>
#include <stdlib.h>
#include <xxhash.h>

#include "actors/streamer/frame.h"
#include "actors/streamer/inbox.h"
#include "base/varint.h"
#include "tests/unit/streamer/sample.h"

static uint8_t raw[FRAME_RAW_LIMIT], payload[FRAME_RAW_LIMIT], opened[FRAME_RAW_LIMIT], record_bytes[RECORD_ENCODED_MAX];

static struct frame frame_of(uint32_t count, uint32_t value_size, bool random, bool compress)
{
	struct frame_builder builder;
	struct frame frame;
	frame_builder_init(&builder, raw);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t size = sample_record(1, i + 1, value_size, random ? i + 77 : 0, record_bytes);
		cr_assert_eq(frame_builder_add(&builder, record_bytes, size), 0);
	}
	frame_builder_finish(&builder, compress, payload, &frame);
	return frame;
}

Test(frame, round_trip_compressed)
{
	struct frame frame = frame_of(500, 100, false, true);
	uint32_t records, offset = 0, size, count = 0;
	const uint8_t *bytes;
	cr_assert(frame.compressed);
	cr_assert_lt(frame.payload_size, frame.raw_size / 2);
	cr_assert_eq(frame_check(&frame, NULL), 0);
	cr_assert_eq(frame_open(&frame, 1u << 1, opened, &records, NULL), 0);
	cr_assert_eq(records, 500);
	cr_assert_eq(memcmp(opened, raw, frame.raw_size), 0);
	while (frame_next(opened, frame.raw_size, &offset, &bytes, &size) == 0) {
		struct dot dot;
		cr_assert_eq(record_peek(bytes, size, &dot), 0);
		cr_assert_eq(dot.sequence, ++count);
	}
	cr_assert_eq(count, 500);
}

Test(frame, raw_when_lz4_does_not_shrink)
{
	struct frame frame = frame_of(20, 4000, true, true);
	uint32_t records;
	cr_assert_not(frame.compressed);
	cr_assert_eq(frame.payload_size, frame.raw_size);
	cr_assert_eq(frame_open(&frame, 1u << 1, opened, &records, NULL), 0);
	cr_assert_eq(records, 20);
	frame = frame_of(1, 0, false, false);
	cr_assert_eq(frame_open(&frame, 1u << 1, opened, &records, NULL), 0);
}

Test(frame, one_large_record_goes_alone)
{
	struct frame frame = frame_of(1, VALUE_SIZE_MAX, true, true);
	uint32_t records;
	cr_assert_gt(frame.raw_size, FRAME_RAW_MAX);
	cr_assert_eq(frame_open(&frame, 1u << 1, opened, &records, NULL), 0);
	cr_assert_eq(records, 1);

	struct frame_builder builder;
	frame_builder_init(&builder, raw);
	uint32_t size = sample_record(1, 1, VALUE_SIZE_MAX, 0, record_bytes);
	cr_assert_eq(frame_builder_add(&builder, record_bytes, size), 0);
	cr_assert_eq(frame_builder_add(&builder, record_bytes, 1), ERR_FULL);
	frame_builder_init(&builder, raw);
	size = sample_record(1, 1, 1, 0, record_bytes);
	cr_assert_eq(frame_builder_add(&builder, record_bytes, size), 0);
	size = sample_record(1, 2, FRAME_RAW_MAX, 0, record_bytes);
	cr_assert_eq(frame_builder_add(&builder, record_bytes, size), ERR_FULL);
}

Test(frame, several_records_beyond_the_target_are_refused)
{
	/* Built by hand: the builder would not. */
	uint32_t raw_size = 0, records;
	for (uint32_t i = 0; i < 2; i++) {
		uint32_t size = sample_record(1, i + 1, 200000, 0, record_bytes);
		raw_size += (uint32_t)varint_encode(size, raw + raw_size);
		memcpy(raw + raw_size, record_bytes, size);
		raw_size += size;
	}
	struct frame frame = {.payload = raw, .payload_size = raw_size, .raw_size = raw_size};
	frame.checksum = XXH3_64bits(raw, raw_size);
	cr_assert_eq(frame_open(&frame, 1u << 1, opened, &records, NULL), ERR_MALFORMED);
}

/* Bombs are refused by their sizes, before any memory is taken for them. */
Test(frame, T36_bombs_refused_before_memory)
{
	static const uint8_t byte[64] = {0};
	const struct {
		uint32_t raw_size, payload_size;
		bool compressed;
	} bombs[] = {
	    {UINT32_MAX, 64, true},
	    {FRAME_RAW_LIMIT + 1, 5000, true},
	    {FRAME_RAW_LIMIT + 1, FRAME_RAW_LIMIT + 1, false},
	    {FRAME_RAW_LIMIT, 64, true}, /* within the limit, but LZ4 cannot do that */
	    {0, 0, false},
	    {0, 64, true},
	    {64, 64, true},
	    {63, 64, true},
	    {63, 64, false},
	    {65, 64, false},
	};
	for (size_t i = 0; i < sizeof bombs / sizeof bombs[0]; i++) {
		struct frame frame = {.payload = byte,
		    .payload_size = bombs[i].payload_size,
		    .raw_size = bombs[i].raw_size,
		    .compressed = bombs[i].compressed};
		cr_assert_eq(frame_check(&frame, NULL), ERR_MALFORMED, "bomb %zu", i);
	}
	/* A block that holds more than it says must stop at what it says. */
	static uint8_t zeros[200000], block[4096];
	int size = LZ4_compress_default((const char *)zeros, (char *)block, sizeof zeros, sizeof block);
	cr_assert_gt(size, 0);
	struct frame frame = {.payload = block, .payload_size = (uint32_t)size, .raw_size = 100000, .compressed = true};
	uint8_t *exact = malloc(100000); /* under ASan a byte too many is seen */
	uint32_t records;
	cr_assert_eq(frame_open(&frame, 1u << 1, exact, &records, NULL), ERR_MALFORMED);
	free(exact);
}

Test(frame, M13_a_wrong_checksum_is_refused)
{
	struct frame frame = frame_of(10, 100, false, true);
	uint32_t records;
	frame.checksum ^= 1;
	cr_assert_eq(frame_open(&frame, 1u << 1, opened, &records, NULL), ERR_CORRUPT);
}

Test(frame, records_that_were_not_asked_for_are_refused)
{
	struct frame frame = frame_of(10, 100, false, true);
	uint32_t records;
	cr_assert_eq(frame_open(&frame, 1u << 2 | 1u << 0, opened, &records, NULL), ERR_MALFORMED);
}

/* Checksum made right again: the records themselves are then what has to be refused. */
Test(frame, records_are_checked_one_by_one)
{
	uint64_t seed = 4711;
	uint32_t refused = 0;
	struct frame whole = frame_of(20, 30, false, false);
	for (uint32_t i = 0; i < 20000; i++) {
		uint8_t changed[4096];
		uint32_t records, size = whole.raw_size;
		cr_assert_leq(size, sizeof changed);
		memcpy(changed, raw, size);
		if (sample_random(&seed) % 4 == 0)
			size = 1 + (uint32_t)(sample_random(&seed) % size);
		else
			changed[sample_random(&seed) % size] ^= (uint8_t)(1u << sample_random(&seed) % 8);
		struct frame frame = {.payload = changed, .payload_size = size, .raw_size = size};
		frame.checksum = XXH3_64bits(changed, size);
		int code = frame_open(&frame, 1u << 1, opened, &records, NULL);
		cr_assert(code == 0 || code == ERR_MALFORMED);
		refused += code != 0;
	}
	cr_assert_gt(refused, 5000, "%u", refused);
}

/* Whatever single thing is changed in a frame on its way: nothing of it reaches the ring. */
Test(frame, mutations_leave_the_inbox_empty)
{
	static uint8_t changed[FRAME_RAW_LIMIT];
	uint64_t seed = 99;
	for (uint32_t i = 0; i < 20000; i++) {
		struct inbox inbox = {.region = 0};
		struct frame frame = frame_of(10, 40, i & 1, i & 1 ? false : true);
		memcpy(changed, frame.payload, frame.payload_size);
		frame.payload = changed;
		switch (sample_random(&seed) % 5) {
		case 0:
			changed[sample_random(&seed) % frame.payload_size] ^= (uint8_t)(1u << sample_random(&seed) % 8);
			break;
		case 1:
			frame.payload_size = (uint32_t)(sample_random(&seed) % frame.payload_size);
			break;
		case 2:
			frame.raw_size ^= 1u << sample_random(&seed) % 20;
			break;
		case 3:
			frame.checksum ^= 1ull << sample_random(&seed) % 64;
			break;
		default:
			frame.compressed = !frame.compressed;
			break;
		}
		int code = inbox_take(&inbox, 1, &frame, 1u << 1, NULL);
		/* LZ4 blocks have bytes that do not matter; what comes out must then be the very same. */
		if (code == 0)
			cr_assert_eq(memcmp(inbox.queues[1].first->raw, raw, frame.raw_size), 0);
		else
			cr_assert(inbox_is_empty(&inbox) && !inbox.queues[1].first);
		inbox_drop(&inbox, 1);
		cr_assert(inbox_is_empty(&inbox));
	}
}

/* Sizes of records that are lies, behind a right checksum. */
Test(frame, golden_bad_record_sizes)
{
	static const struct {
		uint8_t bytes[12];
		uint32_t size;
	} bad[] = {
	    {{0}, 1},                                                           /* a record of no bytes */
	    {{5, 1, 2}, 3},                                                     /* longer than what is there */
	    {{0xff, 0xff, 0xff, 0xff, 0x0f, 0}, 6},                             /* 4 GiB */
	    {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, 10}, /* 2^64 - 1: must not wrap around */
	    {{0x80}, 1},                                                        /* a number that does not end */
	    {{0x80, 0x00, 1}, 3},                                               /* one that is longer than it needs to be */
	    {{1, 0}, 2},                                                        /* a record that is no record */
	};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct frame frame = {.payload = bad[i].bytes, .payload_size = bad[i].size, .raw_size = bad[i].size};
		uint32_t records;
		frame.checksum = XXH3_64bits(bad[i].bytes, bad[i].size);
		cr_assert_eq(frame_open(&frame, UINT32_MAX, opened, &records, NULL), ERR_MALFORMED, "case %zu", i);
	}
}

static struct ring_shared shared;
static uint8_t ring_bytes[64 * 1024];

Test(inbox, full_ring_holds_back_and_goes_on)
{
	struct inbox inbox = {.region = 0};
	struct ring reader;
	struct inbox_delivery delivery;
	struct vector applied = {0};
	ring_create(&shared, sizeof ring_bytes);
	cr_assert_eq(ring_attach(&inbox.ring, &shared, ring_bytes, sizeof ring_bytes), 0);
	cr_assert_eq(ring_attach(&reader, &shared, ring_bytes, sizeof ring_bytes), 0);
	struct frame frame = frame_of(1000, 100, false, true);
	cr_assert_eq(inbox_take(&inbox, 1, &frame, 1u << 1, NULL), 0);
	uint64_t expected = 1, delivered = 0;
	bool was_full = false;
	for (uint32_t turn = 0; turn < 1000 && expected <= 1000; turn++) {
		int code = inbox_deliver(&inbox, &applied, 64, &delivery);
		cr_assert(code == 0 || code == ERR_FULL);
		was_full |= code == ERR_FULL;
		delivered += delivery.delivered[1];
		const uint8_t *bytes;
		uint32_t kind, size;
		while ((code == ERR_FULL || inbox_is_empty(&inbox)) && ring_peek(&reader, &kind, &bytes, &size) == 0) {
			struct dot dot;
			cr_assert_eq(kind, INBOX_RECORD);
			cr_assert_eq(record_peek(bytes, size, &dot), 0);
			cr_assert_eq(dot.sequence, expected++);
			ring_release(&reader);
		}
	}
	cr_assert(was_full);
	cr_assert_eq(expected, 1001);
	cr_assert_eq(delivered, frame.raw_size);
}

Test(inbox, own_and_applied_records_are_skipped)
{
	struct inbox inbox = {.region = 1};
	struct inbox_delivery delivery;
	struct vector applied = {0};
	ring_create(&shared, sizeof ring_bytes);
	cr_assert_eq(ring_attach(&inbox.ring, &shared, ring_bytes, sizeof ring_bytes), 0);
	struct frame frame = frame_of(10, 10, false, true);
	cr_assert_eq(inbox_take(&inbox, 2, &frame, 1u << 2, NULL), 0);
	cr_assert_eq(inbox_deliver(&inbox, &applied, 1000, &delivery), 0);
	cr_assert_eq(delivery.pushed, 0);
	cr_assert_eq(delivery.skipped, 10);
	inbox.region = 0;
	applied.sequence[1] = 7;
	cr_assert_eq(inbox_take(&inbox, 2, &frame, 1u << 1, NULL), 0);
	cr_assert_eq(inbox_deliver(&inbox, &applied, 1000, &delivery), 0);
	cr_assert_eq(delivery.pushed, 3);
	cr_assert_eq(delivery.skipped, 7);
	cr_assert_eq(delivery.delivered[2], frame.raw_size);
}
