/* SPDX-License-Identifier: Apache-2.0
 *
 * Frames: nothing is taken that a frame of ours could not be; what is taken can be packed again and says the same.
 * Input: u8 what to put right (1: size, 2: checksum) and 4: compressed | u32 raw size | u64 checksum | payload. */
#define XXH_INLINE_ALL
#include <lz4.h>
#include <xxhash.h>

#include "actors/streamer/frame.h"
#include "tests/fuzz/fuzz.h"

static uint8_t raw[FRAME_RAW_LIMIT], built[FRAME_RAW_LIMIT], packed[FRAME_RAW_LIMIT], opened[FRAME_RAW_LIMIT];

static void put_right(struct frame *frame, unsigned what)
{
	if (what & 1)
		frame->raw_size = frame->payload_size;
	if (frame->compressed) {
		int size =
		    LZ4_decompress_safe((const char *)frame->payload, (char *)raw, (int)frame->payload_size, (int)sizeof raw);
		if (size > 0 && what & 1)
			frame->raw_size = (uint32_t)size;
		if (size > 0 && what & 2)
			frame->checksum = XXH3_64bits(raw, (size_t)size);
	} else if (what & 2) {
		frame->checksum = XXH3_64bits(frame->payload, frame->payload_size);
	}
}

/* Records that a receiver never checked: wrong, perhaps, but never out of the bytes. */
static void walk(const uint8_t *bytes, uint32_t size)
{
	const uint8_t *record;
	uint32_t offset = 0, record_size;
	while (frame_next(bytes, size, &offset, &record, &record_size) == 0) {
		CHECK(record >= bytes && record + record_size <= bytes + size && offset <= size);
		bytes_touch(record, record_size);
	}
}

static void pack_again(const struct frame *frame, const uint8_t *bytes, uint32_t records)
{
	struct frame_builder builder;
	const uint8_t *record;
	uint32_t offset = 0, size, count = 0, opened_records;
	frame_builder_init(&builder, built);
	while (frame_next(bytes, frame->raw_size, &offset, &record, &size) == 0 && count < records) {
		if (frame_builder_add(&builder, record, size) != 0)
			break;
		count++;
	}
	if (frame->raw_size > FRAME_RAW_MAX && records > 1)
		return;
	CHECK(count == records && builder.raw_size == frame->raw_size && memcmp(built, bytes, frame->raw_size) == 0);
	for (int compress = 0; compress < 2; compress++) {
		struct frame again;
		frame_builder_finish(&builder, compress, packed, &again);
		CHECK(frame_check(&again, NULL) == 0 && frame_open(&again, UINT32_MAX, opened, &opened_records, NULL) == 0);
		CHECK(opened_records == records && memcmp(opened, bytes, frame->raw_size) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct input in = {bytes, bytes + size};
	unsigned what = (unsigned)input_number(&in, 1);
	struct frame frame = {.compressed = what & 4, .raw_size = (uint32_t)input_number(&in, 4)};
	frame.checksum = input_number(&in, 8);
	size_t payload_size;
	uint8_t *payload = input_bytes(&in, input_left(&in), &payload_size);
	frame.payload = payload;
	frame.payload_size = (uint32_t)payload_size;
	put_right(&frame, what);
	walk(payload, frame.payload_size);
	if (frame_check(&frame, NULL) == 0) {
		CHECK(frame.raw_size > 0 && frame.raw_size <= FRAME_RAW_LIMIT);
		uint8_t *out = malloc(frame.raw_size);
		uint32_t records;
		struct error_context error;
		if (out == NULL)
			abort();
		int code = frame_open(&frame, UINT32_MAX, out, &records, &error);
		CHECK(code == 0 || code == ERR_MALFORMED || code == ERR_CORRUPT);
		if (code == 0)
			pack_again(&frame, out, records);
		/* Its origins are of regions 0 to 15: with none asked for, none is taken. */
		CHECK(frame_open(&frame, 0, out, &records, &error) != 0);
		free(out);
	}
	free(payload);
	return 0;
}
