/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/router/output.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/varint.h"

void output_deinit(struct output *output)
{
	free(output->bytes);
	*output = (struct output){0};
}

uint8_t *output_reserve(struct output *output, size_t size)
{
	if (output->capacity - output->size < size) {
		size_t capacity = output->capacity ? output->capacity : 64 * 1024;
		while (capacity - output->size < size)
			capacity *= 2;
		output->bytes = realloc(output->bytes, capacity);
		assert(output->bytes);
		output->capacity = capacity;
	}
	return output->bytes + output->size;
}

void output_bytes(struct output *output, const void *bytes, size_t size)
{
	if (size)
		memcpy(output_reserve(output, size), bytes, size);
	output->size += size;
}

static void varint_write(struct output *output, uint64_t value)
{
	output->size += varint_encode(value, output_reserve(output, VARINT_SIZE_MAX));
}

void output_number(struct output *output, uint32_t field, uint64_t value)
{
	if (!value)
		return;
	varint_write(output, (uint64_t)field << 3);
	varint_write(output, value);
}

void output_message(struct output *output, uint32_t field, const ProtobufCMessage *message)
{
	size_t size = protobuf_c_message_get_packed_size(message);
	varint_write(output, (uint64_t)field << 3 | 2);
	varint_write(output, size);
	output->size += protobuf_c_message_pack(message, output_reserve(output, size));
}
