/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/godwit/records.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/text.h"
#include "cmd/godwit/json.h"

#define READ_SIZE (256u * 1024)

struct records {
	int fd;
	const char *path, *key_field;
	enum record_format format;
	uint64_t bytes_read, line, index;
	/* bytes read and not yet given out as lines */
	uint8_t *buffer;
	size_t capacity, start, end, searched;
	bool at_end;
	struct text key, value, version, architecture;
	struct json_member member;
};

int record_format_parse(const char *name)
{
	static const char *const names[] = {[FORMAT_JSONL] = "jsonl", [FORMAT_TSV] = "tsv", [FORMAT_DEB822] = "deb822"};
	for (int i = FORMAT_JSONL; i <= FORMAT_DEB822; i++)
		if (strcmp(name, names[i]) == 0)
			return i;
	return -1;
}

uint64_t records_bytes_read(const struct records *records)
{
	return records->bytes_read - (records->end - records->start);
}

static int buffer_fill(struct records *r, struct error_context *error)
{
	if (r->start > 0) {
		memmove(r->buffer, r->buffer + r->start, r->end - r->start);
		r->end -= r->start;
		r->searched -= r->start;
		r->start = 0;
	}
	if (r->end == r->capacity) {
		if (r->capacity > RECORDS_LINE_SIZE_MAX)
			return error_set(error, ERR_MALFORMED, "%s:%llu: a line longer than %u bytes", r->path,
			    (unsigned long long)r->line + 1, RECORDS_LINE_SIZE_MAX);
		uint8_t *larger = realloc(r->buffer, r->capacity * 2);
		if (!larger)
			return error_set(error, ERR_NO_MEMORY, "no memory for a line of %zu bytes", r->capacity * 2);
		r->buffer = larger;
		r->capacity *= 2;
	}
	ssize_t got;
	do
		got = read(r->fd, r->buffer + r->end, r->capacity - r->end);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return error_set(error, ERR_IO, "reading %s: %s", r->path, strerror(errno));
	r->at_end = got == 0;
	r->end += (size_t)got;
	r->bytes_read += (uint64_t)got;
	return ERR_OK;
}

/* The next line without its newline (and without a carriage return before that); ERR_EMPTY at the end. */
static int line_next(struct records *r, const uint8_t **line, size_t *size, struct error_context *error)
{
	for (;;) {
		uint8_t *newline = memchr(r->buffer + r->searched, '\n', r->end - r->searched);
		if (newline || (r->at_end && r->end > r->start)) {
			*line = r->buffer + r->start;
			*size = newline ? (size_t)(newline - *line) : r->end - r->start;
			r->start += *size + (newline ? 1 : 0);
			r->searched = r->start;
			r->line++;
			if (*size && (*line)[*size - 1] == '\r')
				--*size;
			return ERR_OK;
		}
		r->searched = r->end;
		if (r->at_end)
			return ERR_EMPTY;
		int code = buffer_fill(r, error);
		if (code)
			return code;
	}
}

static int malformed(const struct records *r, const char *what, struct error_context *error)
{
	return error_set(error, ERR_MALFORMED, "%s:%llu: %s", r->path, (unsigned long long)r->line, what);
}

static bool line_is_blank(const uint8_t *line, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (line[i] != ' ' && line[i] != '\t')
			return false;
	return true;
}

bool record_unescape(const uint8_t *bytes, size_t size, struct text *out)
{
	text_clear(out);
	for (size_t at = 0; at < size;) {
		const uint8_t *backslash = memchr(bytes + at, '\\', size - at);
		size_t plain = backslash ? (size_t)(backslash - bytes) - at : size - at;
		text_add_bytes(out, bytes + at, plain);
		at += plain;
		if (at == size)
			break;
		if (at + 1 == size)
			return false;
		char letter = (char)bytes[at + 1];
		char byte = letter == 't' ? '\t' : letter == 'n' ? '\n' : letter == 'r' ? '\r' : letter == '0' ? 0 : '\\';
		if (byte == '\\' && letter != '\\')
			return false;
		text_add_bytes(out, &byte, 1);
		at += 2;
	}
	return true;
}

static int tsv_next(struct records *r, struct error_context *error)
{
	const uint8_t *line, *tab;
	size_t size;
	int code = line_next(r, &line, &size, error);
	if (code)
		return code;
	tab = memchr(line, '\t', size);
	if (!tab)
		return malformed(r, "no tab between key and value", error);
	size_t key_size = (size_t)(tab - line);
	if (memchr(tab + 1, '\t', size - key_size - 1))
		return malformed(r, "more than one tab (write \\t for a tab in a value)", error);
	if (!record_unescape(line, key_size, &r->key) || !record_unescape(tab + 1, size - key_size - 1, &r->value))
		return malformed(r, "a backslash that stands for nothing (write \\\\ for a backslash)", error);
	return ERR_OK;
}

static int jsonl_member_take(struct records *r, bool *has_key, bool *has_value, struct error_context *error)
{
	const struct json_member *m = &r->member;
	const char *name = m->name.bytes ? m->name.bytes : "";
	bool name_is_whole = strlen(name) == m->name.size;
	const char *wanted = r->key_field ? r->key_field : "key";
	bool is_key = name_is_whole && strcmp(name, wanted) == 0;
	bool is_value = name_is_whole && !r->key_field && strcmp(name, "value") == 0;
	bool is_key64 = name_is_whole && !r->key_field && strcmp(name, "key_base64") == 0;
	bool is_value64 = name_is_whole && !r->key_field && strcmp(name, "value_base64") == 0;
	if ((is_key || is_key64) && *has_key)
		return malformed(r, "two keys", error);
	if ((is_value || is_value64) && *has_value)
		return malformed(r, "two values", error);
	struct text *into = is_key || is_key64 ? &r->key : &r->value;
	if (is_key64 || is_value64) {
		if (!m->is_string || !base64_decode(m->value.bytes ? m->value.bytes : "", m->value.size, into))
			return malformed(r, "not base64", error);
	} else if (is_key || is_value) {
		bool container = m->value.size && (m->value.bytes[0] == '{' || m->value.bytes[0] == '[');
		if (is_key && !m->is_string && (container || strcmp(m->value.bytes, "null") == 0))
			return malformed(r, "a key that is neither text nor number", error);
		text_clear(into);
		text_add_bytes(into, m->value.bytes, m->value.size);
	}
	*has_key |= is_key || is_key64;
	*has_value |= is_value || is_value64;
	return ERR_OK;
}

static int jsonl_next(struct records *r, struct error_context *error)
{
	const uint8_t *line;
	size_t size;
	struct json_reader reader;
	bool has_key = false, has_value = false;
	int code;
	do {
		code = line_next(r, &line, &size, error);
		if (code)
			return code;
	} while (line_is_blank(line, size));
	json_reader_init(&reader, line, size);
	while (json_next(&reader, &r->member)) {
		code = jsonl_member_take(r, &has_key, &has_value, error);
		if (code)
			return code;
	}
	if (reader.mistake)
		return malformed(r, reader.mistake, error);
	if (r->key_field) {
		text_clear(&r->value);
		text_add_bytes(&r->value, line, size);
		has_value = true;
	}
	if (!has_key || !has_value) {
		char what[128];
		snprintf(what, sizeof what, "no member \"%.60s\"", !has_key ? r->key_field ? r->key_field : "key" : "value");
		return malformed(r, what, error);
	}
	return ERR_OK;
}

/* Names of fields are compared without regard to case, as Debian does. */
static bool field_is(const uint8_t *name, size_t size, const char *wanted)
{
	return wanted && strlen(wanted) == size && strncasecmp((const char *)name, wanted, size) == 0;
}

static void blanks_trim(const uint8_t **bytes, size_t *size)
{
	while (*size && ((*bytes)[0] == ' ' || (*bytes)[0] == '\t')) {
		++*bytes;
		--*size;
	}
	while (*size && ((*bytes)[*size - 1] == ' ' || (*bytes)[*size - 1] == '\t'))
		--*size;
}

static int deb822_field_take(struct records *r, const uint8_t *line, size_t size, struct error_context *error)
{
	const uint8_t *colon = memchr(line, ':', size);
	if (!colon || colon == line)
		return malformed(r, "not \"Field: value\"", error);
	size_t name_size = (size_t)(colon - line);
	const uint8_t *value = colon + 1;
	size_t value_size = size - name_size - 1;
	struct text *into = NULL;
	if (memchr(line, ' ', name_size) || memchr(line, '\t', name_size))
		return malformed(r, "a blank in the name of a field", error);
	blanks_trim(&value, &value_size);
	if (field_is(line, name_size, r->key_field ? r->key_field : "Package"))
		into = &r->key;
	else if (!r->key_field && field_is(line, name_size, "Version"))
		into = &r->version;
	else if (!r->key_field && field_is(line, name_size, "Architecture"))
		into = &r->architecture;
	if (!into)
		return ERR_OK;
	if (into->size)
		return malformed(r, "a field of the key, twice in one paragraph", error);
	text_add_bytes(into, value, value_size);
	return ERR_OK;
}

static int deb822_key_make(struct records *r, uint64_t first_line, struct error_context *error)
{
	const char *missing = NULL;
	if (r->key.size == 0)
		missing = r->key_field ? r->key_field : "Package";
	else if (!r->key_field && r->version.size == 0)
		missing = "Version";
	else if (!r->key_field && r->architecture.size == 0)
		missing = "Architecture";
	if (missing)
		return error_set(error, ERR_MALFORMED, "%s:%llu: a paragraph without the field %.60s", r->path,
		    (unsigned long long)first_line, missing);
	if (r->key_field)
		return ERR_OK;
	text_add_bytes(&r->key, "=", 1);
	text_add_bytes(&r->key, r->version.bytes, r->version.size);
	text_add_bytes(&r->key, ":", 1);
	text_add_bytes(&r->key, r->architecture.bytes, r->architecture.size);
	return ERR_OK;
}

static int deb822_next(struct records *r, uint64_t *first_line, struct error_context *error)
{
	const uint8_t *line;
	size_t size;
	int code;
	bool begun = false;
	text_clear(&r->key);
	text_clear(&r->value);
	text_clear(&r->version);
	text_clear(&r->architecture);
	while ((code = line_next(r, &line, &size, error)) == ERR_OK) {
		if (line_is_blank(line, size)) {
			if (begun)
				break;
			continue;
		}
		if (line[0] == '#')
			continue;
		if (!begun)
			*first_line = r->line;
		if (line[0] == ' ' || line[0] == '\t')
			code = begun ? ERR_OK : malformed(r, "a continuation of nothing", error);
		else
			code = deb822_field_take(r, line, size, error);
		if (code)
			return code;
		begun = true;
		if (r->value.size + size > RECORDS_VALUE_SIZE_MAX)
			return malformed(r, "a paragraph larger than 16 MiB", error);
		text_add_bytes(&r->value, line, size);
		text_add_bytes(&r->value, "\n", 1);
	}
	if (code && !(code == ERR_EMPTY && begun))
		return code;
	return deb822_key_make(r, *first_line, error);
}

static bool path_ends(const char *path, const char *end)
{
	size_t size = strlen(path), end_size = strlen(end);
	return size > end_size && strcmp(path + size - end_size, end) == 0;
}

/* What an editor puts in front of a text is no part of the first key. */
static int mark_skip(struct records *r, struct error_context *error)
{
	while (!r->at_end && r->end - r->start < 3) {
		int code = buffer_fill(r, error);
		if (code)
			return code;
	}
	if (bytes_are_utf16(r->buffer + r->start, r->end - r->start))
		return error_set(
		    error, ERR_MALFORMED, "%s:1: the file is UTF-16; records are read as UTF-8, or as plain bytes", r->path);
	r->start += bytes_mark_size(r->buffer + r->start, r->end - r->start);
	r->searched = r->start;
	return ERR_OK;
}

/* By the name of the file, else by its first line. */
static int format_guess(struct records *r, struct error_context *error)
{
	if (path_ends(r->path, ".jsonl") || path_ends(r->path, ".json") || path_ends(r->path, ".ndjson"))
		r->format = FORMAT_JSONL;
	else if (path_ends(r->path, ".tsv"))
		r->format = FORMAT_TSV;
	if (r->format != FORMAT_GUESS)
		return ERR_OK;
	while (!r->at_end && !memchr(r->buffer + r->start, '\n', r->end - r->start)) {
		int code = buffer_fill(r, error);
		if (code)
			return code;
	}
	const uint8_t *line = r->buffer + r->start;
	const uint8_t *newline = memchr(line, '\n', r->end - r->start);
	size_t size = newline ? (size_t)(newline - line) : r->end - r->start;
	if (size == 0 || line[0] == '{')
		r->format = FORMAT_JSONL;
	else if (memchr(line, '\t', size))
		r->format = FORMAT_TSV;
	else if (memchr(line, ':', size))
		r->format = FORMAT_DEB822;
	else
		return error_set(error, ERR_USAGE, "%s: the format cannot be told from its first line; give --format", r->path);
	return ERR_OK;
}

int records_open(struct records **records, int fd, const char *path, enum record_format format, const char *key_field,
    struct error_context *error)
{
	struct records *r = calloc(1, sizeof *r);
	*records = r;
	if (r)
		r->buffer = malloc(READ_SIZE);
	if (!r || !r->buffer) {
		free(r);
		*records = NULL;
		return error_set(error, ERR_NO_MEMORY, "no memory to read %s", path);
	}
	r->fd = fd;
	r->path = path;
	r->format = format;
	r->key_field = key_field;
	r->capacity = READ_SIZE;
	int code = mark_skip(r, error);
	if (!code && format == FORMAT_GUESS)
		code = format_guess(r, error);
	if (!code && r->format == FORMAT_TSV && key_field)
		code = error_set(error, ERR_USAGE, "--key: the key of a tsv file is its first column");
	if (code) {
		records_close(r);
		*records = NULL;
	}
	return code;
}

int records_next(struct records *r, struct input_record *record, struct error_context *error)
{
	uint64_t first_line = 0;
	int code;
	switch (r->format) {
	case FORMAT_JSONL:
		code = jsonl_next(r, error);
		break;
	case FORMAT_TSV:
		code = tsv_next(r, error);
		break;
	default:
		code = deb822_next(r, &first_line, error);
		break;
	}
	if (code)
		return code;
	*record = (struct input_record){.key = (uint8_t *)r->key.bytes,
	    .value = (uint8_t *)r->value.bytes,
	    .key_size = r->key.size,
	    .value_size = r->value.size,
	    .line = first_line ? first_line : r->line,
	    .index = r->index++};
	return ERR_OK;
}

void records_close(struct records *r)
{
	if (!r)
		return;
	text_deinit(&r->key);
	text_deinit(&r->value);
	text_deinit(&r->version);
	text_deinit(&r->architecture);
	json_member_deinit(&r->member);
	free(r->buffer);
	free(r);
}
