/* SPDX-License-Identifier: Apache-2.0
 *
 * Flags: numbers stay within their limits, what is kept is what was given, a mistake is told. Input: arguments, each ended by a
 * zero byte. */
#include "runtime/options.h"
#include "base/text.h"
#include "cmd/godwit/json.h"
#include "tests/fuzz/fuzz.h"

#define ARGUMENTS_MAX 64

struct values {
	const char *text;
	uint32_t narrow;
	uint64_t wide;
	bool yes;
	struct option_list list;
};
static const struct option table[] = {{"text", 't', OPTION_TEXT, offsetof(struct values, text), 0, 0, "TEXT", "a text"},
    {"narrow", 'n', OPTION_U32, offsetof(struct values, narrow), 3, 1000, "N", "a number"},
    {"wide", 'w', OPTION_U64, offsetof(struct values, wide), 0, 0, NULL, NULL},
    {"yes", 'y', OPTION_BOOL, offsetof(struct values, yes), 0, 0, NULL, "a flag"},
    {"list", 'l', OPTION_LIST, offsetof(struct values, list), 0, 0, "X", "repeated"}, {0}};

static bool is_argument(const char *value, const char *begin, const char *end)
{
	return value >= begin && value < end;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	char *all = malloc(size + 2), *argv[ARGUMENTS_MAX + 2] = {(char[]){"x/fuzz"}};
	int argc = 1;
	if (all == NULL)
		abort();
	if (size)
		memcpy(all, bytes, size);
	all[size] = all[size + 1] = 0;
	for (char *at = all; at < all + size && argc <= ARGUMENTS_MAX; at += strlen(at) + 1)
		argv[argc++] = at;
	argv[argc] = NULL;
	struct values values = {.narrow = 5};
	struct error_context error = {0};
	int given = argc, code = options_parse(table, &values, &argc, argv, &error);
	CHECK(code == 0 || (code == ERR_USAGE && strncmp(error.text, "fuzz: ", 6) == 0));
	CHECK(values.narrow >= 3 && values.narrow <= 1000 && values.list.count <= OPTION_LIST_MAX);
	CHECK(values.text == NULL || is_argument(values.text, all, all + size + 2));
	for (uint32_t i = 0; i < values.list.count; i++)
		CHECK(is_argument(values.list.values[i], all, all + size + 2));
	if (code == 0) {
		CHECK(argc >= 1 && argc <= given && argv[argc] == NULL);
		for (int i = 1; i < argc; i++)
			CHECK(is_argument(argv[i], all, all + size + 1));
		struct text json = {0};
		struct json_reader reader;
		static struct json_member member;
		options_json(table, &values, &json);
		json_reader_init(&reader, json.bytes, json.size);
		while (json_next(&reader, &member))
			;
		CHECK(reader.mistake == NULL);
		text_deinit(&json);
	}
	free(all);
	return 0;
}
