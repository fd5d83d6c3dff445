/* SPDX-License-Identifier: Apache-2.0 */
#define XXH_INLINE_ALL
#include "actors/streamer/frame.h"

#include <assert.h>
#include <lz4.h>
#include <string.h>
#include <xxhash.h>

#include "base/broken.h"
#include "base/varint.h"

/* LZ4 cannot expand further than this (each byte of a length adds at most 255), so a claim beyond it is a lie that would only
 * cost us the memory for it. */
#define LZ4_RATIO_MAX 255u

void frame_builder_init(struct frame_builder *builder, uint8_t *raw)
{
	*builder = (struct frame_builder){.raw = raw};
}

int frame_builder_add(struct frame_builder *builder, const uint8_t *record, uint32_t size)
{
	assert(size > 0 && size <= RECORD_ENCODED_MAX);
	uint32_t needed = (uint32_t)varint_size(size) + size;
	if (builder->records && builder->raw_size + needed > FRAME_RAW_MAX)
		return ERR_FULL;
	builder->raw_size += (uint32_t)varint_encode(size, builder->raw + builder->raw_size);
	memcpy(builder->raw + builder->raw_size, record, size);
	builder->raw_size += size;
	builder->records++;
	return 0;
}

void frame_builder_finish(const struct frame_builder *builder, bool compress, uint8_t *payload, struct frame *frame)
{
	assert(builder->records);
	uint32_t raw_size = builder->raw_size;
	*frame = (struct frame){.payload = payload, .raw_size = raw_size, .checksum = XXH3_64bits(builder->raw, raw_size)};
	/* With one byte less room than the input has, LZ4 gives up exactly when it would not shrink it. */
	int packed = 0;
	if (compress && raw_size > 1)
		packed = LZ4_compress_default((const char *)builder->raw, (char *)payload, (int)raw_size, (int)raw_size - 1);
	frame->compressed = packed > 0;
	frame->payload_size = packed > 0 ? (uint32_t)packed : raw_size;
	if (!frame->compressed)
		memcpy(payload, builder->raw, raw_size);
}

int frame_check(const struct frame *frame, struct error_context *error)
{
	if (frame->raw_size == 0 || frame->raw_size > FRAME_RAW_LIMIT)
		return error_set(error, ERR_MALFORMED, "a frame of %u raw bytes; 1 to %u are taken", frame->raw_size,
		    (unsigned)FRAME_RAW_LIMIT);
	if (!frame->compressed && frame->payload_size != frame->raw_size)
		return error_set(
		    error, ERR_MALFORMED, "an uncompressed frame of %u bytes claims %u", frame->payload_size, frame->raw_size);
	if (frame->compressed && frame->payload_size >= frame->raw_size)
		return error_set(error, ERR_MALFORMED, "a compressed frame of %u bytes claims only %u raw ones",
		    frame->payload_size, frame->raw_size);
	if (frame->compressed && frame->raw_size / LZ4_RATIO_MAX > frame->payload_size)
		return error_set(
		    error, ERR_MALFORMED, "%u compressed bytes cannot hold %u", frame->payload_size, frame->raw_size);
	return 0;
}

static int frame_check_records(
    const uint8_t *raw, uint32_t raw_size, uint32_t origins, uint32_t *records, struct error_context *error)
{
	uint32_t offset = 0;
	*records = 0;
	while (offset < raw_size) {
		const uint8_t *bytes;
		uint32_t size, start = offset;
		struct record record;
		if (frame_next(raw, raw_size, &offset, &bytes, &size) != 0)
			return error_set(error, ERR_MALFORMED, "a record's size is wrong at byte %u of the frame", start);
		if (record_decode(&record, bytes, size) != (long)size)
			return error_set(error, ERR_MALFORMED, "a record that cannot be read at byte %u of the frame", start);
		if (!(origins >> record.dot.region & 1))
			return error_set(
			    error, ERR_MALFORMED, "a record of region %u, which was not asked for", record.dot.region);
		++*records;
	}
	if (raw_size > FRAME_RAW_MAX && *records != 1)
		return error_set(error, ERR_MALFORMED, "a frame of %u bytes with %u records", raw_size, *records);
	return 0;
}

int frame_open(const struct frame *frame, uint32_t origins, uint8_t *raw, uint32_t *records, struct error_context *error)
{
	int code = frame_check(frame, error);
	if (code)
		return code;
	if (frame->compressed) {
		int size = LZ4_decompress_safe(
		    (const char *)frame->payload, (char *)raw, (int)frame->payload_size, (int)frame->raw_size);
		if (size != (int)frame->raw_size)
			return error_set(error, ERR_MALFORMED, "an LZ4 block that does not hold what it claims");
	} else {
		memcpy(raw, frame->payload, frame->raw_size);
	}
	if (!BROKEN(M13) && XXH3_64bits(raw, frame->raw_size) != frame->checksum)
		return error_set(error, ERR_CORRUPT, "a frame's checksum differs");
	return frame_check_records(raw, frame->raw_size, origins, records, error);
}

int frame_next(const uint8_t *raw, uint32_t raw_size, uint32_t *offset, const uint8_t **record, uint32_t *size)
{
	if (*offset >= raw_size)
		return ERR_EMPTY;
	uint64_t value;
	long read = varint_decode(raw + *offset, raw_size - *offset, &value);
	if (read < 0 || value == 0 || value > raw_size - *offset - (uint32_t)read)
		return ERR_MALFORMED;
	*record = raw + *offset + read;
	*size = (uint32_t)value;
	*offset += (uint32_t)read + (uint32_t)value;
	return 0;
}
