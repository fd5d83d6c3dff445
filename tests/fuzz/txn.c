/* SPDX-License-Identifier: Apache-2.0
 *
 * What `txn` reads: steps are within the limits and name each key once, each mistake is one line, and steps written down again
 * are read as the same. Input: the file. */
#include "cmd/godwit/txn_file.h"

#include "base/error.h"
#include "base/text.h"
#include "tests/fuzz/fuzz.h"

static void quoted(struct text *out, const void *bytes, size_t size)
{
	text_add(out, " \"");
	for (const char *at = bytes, *end = at + size; at < end; at++) {
		if (*at == '"' || *at == '\\')
			text_add(out, "\\");
		if (*at == '\n')
			text_add(out, "\\n");
		else
			text_add_bytes(out, at, 1);
	}
	text_add(out, "\"");
}

static void line_begin(struct text *out, const struct client_operation *o, const char *word)
{
	if (o->keyspace) {
		text_add(out, "in");
		quoted(out, o->keyspace, strlen(o->keyspace));
		text_add(out, " ");
	}
	text_add(out, "%s", word);
	quoted(out, o->key, o->key_size);
}

static void step_write(struct text *out, const struct client_operation *o)
{
	struct commit_id id;
	char version[COMMIT_VERSION_TEXT_MAX] = "absent";
	if (o->condition) {
		if (o->condition == GW_IF_VERSION) {
			CHECK(commit_version_decode(&id, o->expected, o->expected_size) == 0);
			commit_version_format(id, version);
		}
		line_begin(out, o, "check");
		text_add(out, " %s\n", version);
	}
	if (o->kind == CLIENT_PUT) {
		line_begin(out, o, "put");
		quoted(out, o->value, o->value_size);
		text_add(out, "\n");
	} else if (o->kind == CLIENT_DELETE) {
		line_begin(out, o, "del");
		text_add(out, "\n");
	}
}

static void check_step(const struct txn_file *file, uint32_t place)
{
	const struct client_operation *o = &file->operations[place];
	CHECK(o->kind == CLIENT_PUT || o->kind == CLIENT_DELETE || (o->kind == CLIENT_CHECK && o->condition));
	CHECK(o->key_size && o->key_size <= KEY_SIZE_MAX && o->value_size <= VALUE_SIZE_MAX);
	CHECK((o->condition == GW_IF_VERSION) == (o->expected_size == COMMIT_VERSION_SIZE) && file->steps[place].line);
	bytes_touch(o->key, o->key_size);
	bytes_touch(o->value, o->value_size);
	for (uint32_t i = 0; i < place; i++) {
		const struct client_operation *other = &file->operations[i];
		CHECK(o->key_size != other->key_size || memcmp(o->key, other->key, o->key_size) != 0 ||
		      strcmp(o->keyspace ? o->keyspace : "default", other->keyspace ? other->keyspace : "default") != 0);
	}
}

static bool bytes_same(const void *a, size_t a_size, const void *b, size_t b_size)
{
	return a_size == b_size && (a_size == 0 || memcmp(a, b, a_size) == 0);
}

static void again(const struct txn_file *file)
{
	static struct txn_file copy;
	struct text text = {0};
	for (uint32_t i = 0; i < file->count; i++)
		step_write(&text, &file->operations[i]);
	CHECK(txn_file_parse(&copy, text.bytes, text.size, "again", NULL, stderr) == 0 && copy.count == file->count);
	for (uint32_t i = 0; i < file->count; i++) {
		const struct client_operation *a = &file->operations[i], *b = &copy.operations[i];
		CHECK(a->kind == b->kind && a->condition == b->condition);
		CHECK(bytes_same(a->key, a->key_size, b->key, b->key_size));
		CHECK(bytes_same(a->value, a->value_size, b->value, b->value_size));
		CHECK(bytes_same(a->expected, a->expected_size, b->expected, b->expected_size));
	}
	txn_file_deinit(&copy);
	text_deinit(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct txn_file file;
	struct input in = {bytes, bytes + size};
	char *said = NULL;
	size_t said_size = 0, taken;
	uint8_t *copy = input_bytes(&in, size, &taken);
	FILE *out = open_memstream(&said, &said_size);
	CHECK(out != NULL);
	int code = txn_file_parse(&file, (char *)copy, taken, "file", NULL, out);
	fclose(out);
	free(copy);
	CHECK((code == 0) == (file.mistakes == 0) && (code == 0 || code == ERR_USAGE) && file.count <= GW_OPERATIONS_MAX);
	uint64_t lines = 0;
	for (const char *at = said; *at; at = strchr(at, '\n') + 1, lines++)
		CHECK(strncmp(at, "file:", 5) == 0 && strchr(at, '\n') != NULL);
	CHECK(lines == file.mistakes && (code == 0) == (said_size == 0));
	if (code == 0) {
		CHECK(file.count > 0);
		for (uint32_t i = 0; i < file.count; i++)
			check_step(&file, i);
		again(&file);
	}
	txn_file_deinit(&file);
	free(said);
	return 0;
}
