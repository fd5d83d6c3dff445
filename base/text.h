/* SPDX-License-Identifier: Apache-2.0
 *
 * Growing text, and JSON onto it. Allocation failure ends the process (nobody can answer without memory for the answer). */
#ifndef GODWIT_BASE_TEXT_H
#define GODWIT_BASE_TEXT_H
#include <stddef.h>
#include <stdint.h>

struct text {
	char *bytes; /* zero-terminated; NULL while empty */
	size_t size, capacity;
};
void text_deinit(struct text *t);
void text_clear(struct text *t);
void text_add(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_add_bytes(struct text *t, const void *bytes, size_t size);
/* With quotes and escapes. Bytes that are not UTF-8 are written as \u00XX of each byte: readable, and said so in the docs. */
void text_add_json_string(struct text *t, const void *bytes, size_t size);
/* Size of the well-formed UTF-8 sequence that begins at bytes (size > 0), or 0. */
size_t text_utf8_size(const uint8_t *bytes, size_t size);

#endif
