/* SPDX-License-Identifier: Apache-2.0
 *
 * Records from a file, one at a time, whatever its size: the input of `load`.
 *
 *   tsv     key TAB value; \t \n \r \0 \\ stand for those bytes
 *   jsonl   an object a line. Members key (or key_base64) and value (or value_base64), as `export` prints them; a value that is
 * no string is kept as its JSON text. With --key FIELD: the key is that member, the value the whole line deb822  paragraphs of
 * "Field: value" lines (Debian's control files). The key is Package=Version:Architecture, or with --key FIELD that field; the
 * value is the paragraph */
#ifndef GODWIT_CMD_GODWIT_RECORDS_H
#define GODWIT_CMD_GODWIT_RECORDS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define RECORDS_LINE_SIZE_MAX (8u * 1024 * 1024) /* a value of 1 MiB, escaped as badly as can be */
#define RECORDS_VALUE_SIZE_MAX                                                                                                 \
	(16u * 1024 * 1024) /* a paragraph; larger than what any region takes, so refused with its line */

enum record_format { FORMAT_GUESS, FORMAT_JSONL, FORMAT_TSV, FORMAT_DEB822 };
int record_format_parse(const char *name); /* -1 when there is none of that name */

struct input_record {
	const uint8_t *key, *value; /* until the next call */
	size_t key_size, value_size;
	uint64_t line;  /* where it begins, from 1 */
	uint64_t index; /* from 0 */
};

struct records;
/* fd is not closed. path: for guessing by its ending, and for messages. key_field: NULL, or the field that is the key. */
int records_open(struct records **records, int fd, const char *path, enum record_format format, const char *key_field,
    struct error_context *error);
/* ERR_EMPTY at the end; ERR_MALFORMED with line and reason: nothing behind it is read; ERR_IO. */
int records_next(struct records *records, struct input_record *record, struct error_context *error);
uint64_t records_bytes_read(const struct records *records);
/* The escapes of tsv; false for one that is none. */
struct text;
bool record_unescape(const uint8_t *bytes, size_t size, struct text *out);
void records_close(struct records *records);

#endif
