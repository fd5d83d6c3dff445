/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void text_reserve(struct text *t, size_t more)
{
	if (more >= SIZE_MAX / 2 - t->size)
		abort();
	size_t needed = t->size + more + 1;
	if (needed <= t->capacity)
		return;
	size_t capacity = t->capacity * 2 > needed ? t->capacity * 2 : needed;
	if (capacity < 128)
		capacity = 128;
	char *bytes = realloc(t->bytes, capacity);
	if (!bytes) {
		fputs("out of memory\n", stderr);
		abort();
	}
	t->bytes = bytes;
	t->capacity = capacity;
}

void text_deinit(struct text *t)
{
	free(t->bytes);
	*t = (struct text){0};
}

void text_clear(struct text *t)
{
	t->size = 0;
	if (t->bytes)
		t->bytes[0] = 0;
}

void text_add(struct text *t, const char *format, ...)
{
	va_list arguments, again;
	va_start(arguments, format);
	va_copy(again, arguments);
	int size = vsnprintf(NULL, 0, format, arguments);
	va_end(arguments);
	assert(size >= 0);
	text_reserve(t, (size_t)size);
	vsnprintf(t->bytes + t->size, (size_t)size + 1, format, again);
	va_end(again);
	t->size += (size_t)size;
}

void text_add_bytes(struct text *t, const void *bytes, size_t size)
{
	text_reserve(t, size);
	if (size)
		memcpy(t->bytes + t->size, bytes, size);
	t->size += size;
	t->bytes[t->size] = 0;
}

/* Length of the well-formed UTF-8 sequence at bytes (Unicode 15, table 3-7), or 0. */
size_t text_utf8_size(const uint8_t *bytes, size_t size)
{
	uint8_t first = bytes[0];
	if (first < 0x80)
		return 1;
	size_t length = first >= 0xc2 && first <= 0xdf   ? 2
	                : (first & 0xf0) == 0xe0         ? 3
	                : first >= 0xf0 && first <= 0xf4 ? 4
	                                                 : 0;
	if (length == 0 || length > size)
		return 0;
	uint8_t low = 0x80, high = 0xbf;
	if (first == 0xe0)
		low = 0xa0;
	else if (first == 0xed)
		high = 0x9f;
	else if (first == 0xf0)
		low = 0x90;
	else if (first == 0xf4)
		high = 0x8f;
	if (bytes[1] < low || bytes[1] > high)
		return 0;
	for (size_t i = 2; i < length; i++)
		if ((bytes[i] & 0xc0) != 0x80)
			return 0;
	return length;
}

void text_add_json_string(struct text *t, const void *bytes, size_t size)
{
	const uint8_t *at = bytes, *end = size ? at + size : at;
	text_add_bytes(t, "\"", 1);
	while (at < end) {
		const uint8_t *plain = at;
		size_t length = 0;
		while (at < end && *at >= 0x20 && *at != '"' && *at != '\\' && *at != 0x7f &&
		       (length = text_utf8_size(at, (size_t)(end - at))) > 0)
			at += length;
		text_add_bytes(t, plain, (size_t)(at - plain));
		if (at == end)
			break;
		if (*at == '"' || *at == '\\')
			text_add(t, "\\%c", *at);
		else if (*at == '\n')
			text_add_bytes(t, "\\n", 2);
		else if (*at == '\t')
			text_add_bytes(t, "\\t", 2);
		else
			text_add(t, "\\u%04x", *at);
		at++;
	}
	text_add_bytes(t, "\"", 1);
}
