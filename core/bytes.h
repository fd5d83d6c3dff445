/* SPDX-License-Identifier: Apache-2.0
 *
 * Fixed-size numbers in encodings: always little endian. On a little-endian machine each is one load or store. */
#ifndef GODWIT_CORE_BYTES_H
#define GODWIT_CORE_BYTES_H
#include <endian.h>
#include <stdint.h>
#include <string.h>

static inline void bytes_put_u16(uint8_t *out, uint16_t value)
{
	value = htole16(value);
	memcpy(out, &value, sizeof value);
}
static inline void bytes_put_u64(uint8_t *out, uint64_t value)
{
	value = htole64(value);
	memcpy(out, &value, sizeof value);
}
static inline uint16_t bytes_get_u16(const uint8_t *bytes)
{
	uint16_t value;
	memcpy(&value, bytes, sizeof value);
	return le16toh(value);
}
static inline uint64_t bytes_get_u64(const uint8_t *bytes)
{
	uint64_t value;
	memcpy(&value, bytes, sizeof value);
	return le64toh(value);
}

#endif
