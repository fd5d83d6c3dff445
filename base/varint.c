/* SPDX-License-Identifier: Apache-2.0 */
#include "base/varint.h"

#include "base/error.h"

size_t varint_encode_long(uint64_t value, uint8_t *out)
{
	size_t n = 0;
	while (value >= 0x80) {
		out[n++] = (uint8_t)(value | 0x80);
		value >>= 7;
	}
	out[n++] = (uint8_t)value;
	return n;
}

long varint_decode_long(const uint8_t *bytes, size_t size, uint64_t *value)
{
	uint64_t v = 0;
	size_t limit = size < VARINT_SIZE_MAX ? size : VARINT_SIZE_MAX;
	for (size_t i = 0; i < limit; i++) {
		uint8_t byte = bytes[i];
		v |= (uint64_t)(byte & 0x7f) << (7 * i);
		if (byte & 0x80)
			continue;
		if (byte == 0 && i > 0)
			return ERR_MALFORMED; /* longer than needed */
		if (i == VARINT_SIZE_MAX - 1 && byte > 1)
			return ERR_MALFORMED; /* more than 64 bits */
		*value = v;
		return (long)i + 1;
	}
	return ERR_MALFORMED;
}
