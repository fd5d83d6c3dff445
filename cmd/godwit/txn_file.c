/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/godwit/txn_file.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "runtime/topology.h"

#define WORDS_MAX 6u /* one more than any line has: in KEYSPACE put K V */

struct word {
	const char *bytes; /* with a zero behind it */
	size_t size;
};
struct parser {
	struct txn_file *file;
	const char *name, *keyspace;
	uint64_t line;
	char *next_word; /* room for what is left of the input, and a zero a word */
	size_t size;     /* of the transaction, as a region stores it */
	bool full;       /* said once */
	FILE *out;
};

void txn_file_mistake(struct txn_file *file, const char *name, uint64_t line, FILE *out, const char *format, ...)
{
	char text[160];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	for (char *at = text; *at; at++)
		if ((unsigned char)*at < 0x20 || *at == 0x7f)
			*at = '?';
	fprintf(out, "%s:%llu: %s\n", name, (unsigned long long)line, text);
	file->mistakes++;
}

#define mistake(p, ...) txn_file_mistake((p)->file, (p)->name, (p)->line, (p)->out, __VA_ARGS__)

static bool is_blank(char byte)
{
	return byte == ' ' || byte == '\t';
}

static bool is_word(const struct word *word, const char *text)
{
	return word->size == strlen(text) && memcmp(word->bytes, text, word->size) == 0;
}

/* From behind the opening quote to behind the closing one; NULL: a mistake, told. */
static const char *quoted_take(struct parser *p, const char *at, const char *end)
{
	for (; at < end && *at != '"'; at++) {
		char byte = *at;
		if (byte == '\\') {
			if (++at == end)
				break;
			if (*at != '"' && *at != '\\' && *at != 'n') {
				mistake(p, "a backslash between quotes stands before \", \\ or n only");
				return NULL;
			}
			byte = *at == 'n' ? '\n' : *at;
		}
		*p->next_word++ = byte;
	}
	if (at == end) {
		mistake(p, "a quote is not closed");
		return NULL;
	}
	if (++at < end && !is_blank(*at)) {
		mistake(p, "no blank behind the closing quote");
		return NULL;
	}
	return at;
}

static const char *bare_take(struct parser *p, const char *at, const char *end)
{
	for (; at < end && !is_blank(*at); at++) {
		if (*at == '"') {
			mistake(p, "a quote inside a word: quote the whole word, with \\\" for this one");
			return NULL;
		}
		*p->next_word++ = *at;
	}
	return at;
}

/* The words of a line, copied without quotes. False: a mistake, told. */
static bool words_take(struct parser *p, const char *at, const char *end, struct word words[static WORDS_MAX], uint32_t *count)
{
	for (*count = 0;;) {
		while (at < end && is_blank(*at))
			at++;
		if (at == end || (*count == 0 && *at == '#'))
			return true;
		if (*count == WORDS_MAX) {
			mistake(p, "too many words; a value with blanks stands in double quotes");
			return false;
		}
		struct word *word = &words[(*count)++];
		word->bytes = p->next_word;
		at = *at == '"' ? quoted_take(p, at + 1, end) : bare_take(p, at, end);
		if (!at)
			return false;
		word->size = (size_t)(p->next_word - word->bytes);
		*p->next_word++ = 0;
	}
}

static const char *keyspace_name(const char *keyspace)
{
	return keyspace && *keyspace ? keyspace : "default";
}

/* The step of that key, a new one at the end if there is none yet. NULL: no room, told. */
static struct client_operation *step_of(struct parser *p, const char *keyspace, const struct word *key)
{
	struct txn_file *file = p->file;
	for (uint32_t i = 0; i < file->count; i++) {
		struct client_operation *o = &file->operations[i];
		if (o->key_size == key->size && memcmp(o->key, key->bytes, key->size) == 0 &&
		    strcmp(keyspace_name(o->keyspace), keyspace_name(keyspace)) == 0)
			return o;
	}
	if (file->count == GW_OPERATIONS_MAX) {
		if (!p->full)
			mistake(p, "more than %u keys in one transaction", GW_OPERATIONS_MAX);
		p->full = true;
		return NULL;
	}
	struct client_operation *o = &file->operations[file->count];
	file->steps[file->count++] = (struct txn_step){.line = p->line};
	*o = (struct client_operation){.keyspace = keyspace, .key = key->bytes, .key_size = key->size};
	p->size += commit_operation_size(&(struct commit_operation){.key_size = (uint32_t)key->size});
	return o;
}

static void write_take(struct parser *p, struct client_operation *o, const struct word *value)
{
	const struct txn_step *step = &p->file->steps[o - p->file->operations];
	if (o->kind && o->kind != CLIENT_CHECK) {
		mistake(p, "writes the key of line %llu again", (unsigned long long)step->line);
		return;
	}
	o->kind = value ? CLIENT_PUT : CLIENT_DELETE;
	if (value) {
		o->value = value->bytes;
		o->value_size = value->size;
		p->size += value->size;
	}
}

static void check_take(struct parser *p, struct client_operation *o, const struct word *version)
{
	struct txn_step *step = &p->file->steps[o - p->file->operations];
	struct commit_id commit;
	bool absent = is_word(version, "absent");
	if (step->checked) {
		mistake(p, "checks the key of line %llu again", (unsigned long long)step->line);
		return;
	}
	step->checked = true;
	if (!o->kind)
		o->kind = CLIENT_CHECK;
	o->condition = absent ? GW_IF_ABSENT : GW_IF_VERSION;
	if (absent)
		return;
	if (strlen(version->bytes) != version->size || commit_version_parse(&commit, version->bytes) < 0) {
		mistake(p, "neither absent nor a version like 1764000000000.0@1");
		return;
	}
	commit_version_encode(commit, step->expected);
	o->expected = step->expected;
	o->expected_size = COMMIT_VERSION_SIZE;
	p->size += commit_operation_size(&(struct commit_operation){.condition = COMMIT_IF_VERSION}) -
	           commit_operation_size(&(struct commit_operation){.condition = COMMIT_ALWAYS});
}

static void line_take(struct parser *p, const char *at, const char *end)
{
	struct word words[WORDS_MAX], *word = words;
	uint32_t count;
	const char *keyspace = p->keyspace;
	if (!words_take(p, at, end, words, &count) || count == 0)
		return;
	if (is_word(word, "in")) {
		if (count < 3 || word[1].size == 0 || strlen(word[1].bytes) != word[1].size || word[1].size >= NAME_SIZE_MAX) {
			mistake(p, "in is followed by the name of a keyspace and an operation");
			return;
		}
		keyspace = word[1].bytes;
		word += 2;
		count -= 2;
	}
	bool put = is_word(word, "put"), del = is_word(word, "del"), check = is_word(word, "check");
	if (!put && !del && !check) {
		mistake(p, "'%.40s' is none of put, del, check", word->bytes);
		return;
	}
	if (count != (del ? 2 : 3)) {
		mistake(p, "%s",
		    put   ? "put takes a key and a value; one with blanks stands in double quotes"
		    : del ? "del takes a key"
		          : "check takes a key and a version, or absent");
		return;
	}
	if (word[1].size == 0 || word[1].size > KEY_SIZE_MAX) {
		mistake(p, "keys have 1 to %u bytes", KEY_SIZE_MAX);
		return;
	}
	if (put && word[2].size > VALUE_SIZE_MAX) {
		mistake(p, "the value is longer than 1 MiB");
		return;
	}
	struct client_operation *step = step_of(p, keyspace, &word[1]);
	if (step && check)
		check_take(p, step, &word[2]);
	else if (step)
		write_take(p, step, put ? &word[2] : NULL);
}

int txn_file_parse(struct txn_file *file, const char *bytes, size_t size, const char *name, const char *keyspace, FILE *out)
{
	const char *at = bytes + bytes_mark_size(bytes, size), *end = bytes + size;
	*file = (struct txn_file){0};
	/* Each word ends before a blank, a newline or the end, so its zero has room as well. */
	file->words = malloc(size + 1);
	if (!file->words)
		return ERR_NO_MEMORY;
	struct parser p = {.file = file,
	    .name = name,
	    .keyspace = keyspace,
	    .next_word = file->words,
	    .size = COMMIT_BODY_BEGIN_SIZE + COMMIT_REQUEST_NAME_SIZE + 2,
	    .out = out};
	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at)), *line_end = newline ? newline : end;
		const char *behind = newline ? newline + 1 : end;
		bool fitted = p.size <= COMMIT_BODY_MAX;
		p.line++;
		if (newline && line_end > at && line_end[-1] == '\r')
			line_end--;
		line_take(&p, at, line_end);
		if (fitted && p.size > COMMIT_BODY_MAX)
			mistake(&p, "with this line the transaction is larger than a region takes, about 1 MiB");
		at = behind;
	}
	if (file->count == 0 && !file->mistakes) {
		p.line = p.line ? p.line : 1;
		mistake(&p, "no operation in it");
	}
	return file->mistakes ? ERR_USAGE : ERR_OK;
}

void txn_file_deinit(struct txn_file *file)
{
	free(file->words);
	file->words = NULL;
}
