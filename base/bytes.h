/* SPDX-License-Identifier: Apache-2.0
 *
 * Fixed-size numbers in encodings: always little endian. On a little-endian machine each is one load or store. And what stands
 * in front of a text. */
#ifndef GODWIT_BASE_BYTES_H
#define GODWIT_BASE_BYTES_H
#include <endian.h>
#include <stdbool.h>
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
/* How many bytes of a text are a byte order mark (3: UTF-8), which editors put in front of files and nobody sees: 0 or 3. */
static inline size_t bytes_mark_size(const void *bytes, size_t size)
{
	return size >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
}
/* A text that begins so is UTF-16, which no reader here takes. */
static inline bool bytes_are_utf16(const void *bytes, size_t size)
{
	return size >= 2 && (memcmp(bytes, "\xff\xfe", 2) == 0 || memcmp(bytes, "\xfe\xff", 2) == 0);
}

#endif
