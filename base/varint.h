/* SPDX-License-Identifier: Apache-2.0
 *
 * LEB128: seven bits a byte, lowest first, the top bit says that more follow. One number has one encoding: what is longer than
 * needed, or more than 64 bits, is refused, so that equal rows have equal bytes. */
#ifndef GODWIT_BASE_VARINT_H
#define GODWIT_BASE_VARINT_H
#include <stddef.h>
#include <stdint.h>

#define VARINT_SIZE_MAX 10u

static inline size_t varint_size(uint64_t value)
{
	return (size_t)(70 - __builtin_clzll(value | 1)) / 7;
}
size_t varint_encode_long(uint64_t value, uint8_t *out);
long varint_decode_long(const uint8_t *bytes, size_t size, uint64_t *value);

/* Writes 1 to VARINT_SIZE_MAX bytes and returns how many. */
static inline size_t varint_encode(uint64_t value, uint8_t *out)
{
	if (value < 0x80) {
		out[0] = (uint8_t)value;
		return 1;
	}
	return varint_encode_long(value, out);
}

/* Bytes read, or ERR_MALFORMED. */
static inline long varint_decode(const uint8_t *bytes, size_t size, uint64_t *value)
{
	if (size && bytes[0] < 0x80) {
		*value = bytes[0];
		return 1;
	}
	return varint_decode_long(bytes, size, value);
}

#endif
