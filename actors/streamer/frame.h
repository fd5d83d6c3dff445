/* SPDX-License-Identifier: Apache-2.0
 *
 * A frame: a run of records on its way to another region. Pure: bytes in, bytes out, no allocation.
 *
 *   raw bytes     LEB128 size | record (core/record.h) | LEB128 size | record | ...
 *   payload       one LZ4 block of the raw bytes, or the raw bytes themselves where LZ4 does not make them fewer
 *   checksum      XXH3-64 of the raw bytes
 *
 * A receiver calls frame_check before it takes memory, and frame_open before it believes a byte. */
#ifndef GODWIT_ACTORS_STREAMER_FRAME_H
#define GODWIT_ACTORS_STREAMER_FRAME_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "core/record.h"

#define FRAME_RAW_MAX   (256u * 1024)              /* of a frame that holds more than one record */
#define FRAME_RAW_LIMIT (RECORD_ENCODED_MAX + 16u) /* of any frame: one record of the largest size */

struct frame {
	const uint8_t *payload; /* borrowed */
	uint32_t payload_size;
	uint32_t raw_size;
	uint64_t checksum;
	bool compressed;
};

struct frame_builder {
	uint8_t *raw; /* FRAME_RAW_LIMIT bytes, the caller's */
	uint32_t raw_size;
	uint32_t records;
};
void frame_builder_init(struct frame_builder *builder, uint8_t *raw);
/* ERR_FULL when the frame would grow past FRAME_RAW_MAX; a first record always fits. */
int frame_builder_add(struct frame_builder *builder, const uint8_t *record, uint32_t size);
/* payload: FRAME_RAW_LIMIT bytes, the caller's. At least one record was added. */
void frame_builder_finish(const struct frame_builder *builder, bool compress, uint8_t *payload, struct frame *frame);

/* Sizes alone, to be called before memory of raw_size bytes is taken. ERR_MALFORMED. */
int frame_check(const struct frame *frame, struct error_context *error);
/* Unpacks into raw (raw_size bytes) and checks the checksum and every record: its encoding, and that its origin is in the mask.
 * ERR_MALFORMED or ERR_CORRUPT; nothing of such a frame may be used. */
int frame_open(const struct frame *frame, uint32_t origins, uint8_t *raw, uint32_t *records, struct error_context *error);
/* The next record of raw bytes that frame_open accepted; *offset starts at 0. ERR_EMPTY behind the last. */
int frame_next(const uint8_t *raw, uint32_t raw_size, uint32_t *offset, const uint8_t **record, uint32_t *size);

#endif
