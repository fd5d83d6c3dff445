/* SPDX-License-Identifier: Apache-2.0
 *
 * The input of `godwit txn`. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cmd/godwit/txn_file.h"

static struct txn_file file;
static char *said;
static size_t said_size;

static int parse_bytes(const char *bytes, size_t size, const char *keyspace)
{
	free(said);
	FILE *out = open_memstream(&said, &said_size);
	char *copy = malloc(size ? size : 1); /* so that a byte too far is noticed */
	memcpy(copy, bytes, size);
	int code = txn_file_parse(&file, copy, size, "f", keyspace, out);
	free(copy);
	fclose(out);
	return code;
}

static int parse(const char *text)
{
	return parse_bytes(text, strlen(text), "orders");
}

static void step_is(uint32_t place, enum client_kind kind, const char *keyspace, const char *key, const char *value)
{
	const struct client_operation *o = &file.operations[place];
	cr_assert_eq(o->kind, kind);
	cr_assert_str_eq(o->keyspace, keyspace);
	cr_assert(o->key_size == strlen(key) && memcmp(o->key, key, o->key_size) == 0);
	cr_assert_eq(o->value_size, strlen(value));
	cr_assert_eq(memcmp(o->value_size ? o->value : "", value, o->value_size), 0);
}

Test(txn_file, E13c_a_mark_in_front_is_no_part_of_the_first_word)
{
	cr_assert_eq(parse("\xef\xbb\xbfput a 1\r\ndel b\r\n"), 0, "%s", said);
	step_is(0, CLIENT_PUT, "orders", "a", "1");
	step_is(1, CLIENT_DELETE, "orders", "b", "");
}

Test(txn_file, lines_become_steps)
{
	struct commit_id version;
	cr_assert_eq(parse("# two accounts\n"
	                   "\n"
	                   "put a 1\n"
	                   "  in stock\tput   \"a b\"  \"say \\\"hi\\\" \\\\ \\n.\"\r\n"
	                   "del c\n"
	                   "check d 1764000000000.3@1/2\n"
	                   "check e absent\n"
	                   "put f \"\""),
	    0, "%s", said);
	cr_assert_eq(file.count, 6);
	step_is(0, CLIENT_PUT, "orders", "a", "1");
	step_is(1, CLIENT_PUT, "stock", "a b", "say \"hi\" \\ \n.");
	step_is(2, CLIENT_DELETE, "orders", "c", "");
	step_is(3, CLIENT_CHECK, "orders", "d", "");
	cr_assert(file.operations[3].condition == GW_IF_VERSION && file.operations[3].expected_size == COMMIT_VERSION_SIZE);
	cr_assert_eq(commit_version_decode(&version, file.operations[3].expected, COMMIT_VERSION_SIZE), 0);
	cr_assert(version.hlc == (1764000000000ull << 16 | 3) && version.region == 1 && version.share == 2);
	step_is(4, CLIENT_CHECK, "orders", "e", "");
	cr_assert_eq(file.operations[4].condition, GW_IF_ABSENT);
	step_is(5, CLIENT_PUT, "orders", "f", "");
	cr_assert_eq(file.steps[1].line, 4);
	cr_assert_eq(said_size, 0);
	txn_file_deinit(&file);
}

Test(txn_file, check_and_write_of_a_key_are_one_step)
{
	cr_assert_eq(
	    parse("check a 1.0@0\nput a 1\ndel b\ncheck b absent\nin orders check c absent\nput c 2\nin stock put c 3\n"), 0,
	    "%s", said);
	cr_assert_eq(file.count, 4);
	step_is(0, CLIENT_PUT, "orders", "a", "1");
	cr_assert_eq(file.operations[0].condition, GW_IF_VERSION);
	step_is(1, CLIENT_DELETE, "orders", "b", "");
	cr_assert_eq(file.operations[1].condition, GW_IF_ABSENT);
	step_is(2, CLIENT_PUT, "orders", "c", "2");
	cr_assert_eq(file.operations[2].condition, GW_IF_ABSENT);
	step_is(3, CLIENT_PUT, "stock", "c", "3");
	cr_assert_eq(file.operations[3].condition, GW_ALWAYS);
	txn_file_deinit(&file);
	cr_assert_eq(parse_bytes("put a 1\nin default put a 2\n", 27, NULL), ERR_USAGE, "no keyspace is the default one");
	txn_file_deinit(&file);
}

Test(txn_file, each_mistake_is_told_with_its_line)
{
	static const struct {
		const char *line, *what;
	} mistakes[] = {
	    {"frob a", "'frob' is none of"},
	    {"put a", "put takes"},
	    {"put a b c", "put takes"},
	    {"put a b # c", "put takes"},
	    {"del", "del takes"},
	    {"del a b", "del takes"},
	    {"check a", "check takes"},
	    {"check a 0:12", "neither absent nor"},
	    {"check a \"absent\\n\"", "neither absent nor"},
	    {"in stock", "in is followed"},
	    {"in \"\" put a b", "in is followed"},
	    {"in in put a b", ""}, /* a keyspace may be named so */
	    {"in aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa put a b", "in is followed"},
	    {"put \"\" b", "keys have"},
	    {"put \"a b", "not closed"},
	    {"put a \"b\\\"", "not closed"},
	    {"put a \"b\\", "not closed"},
	    {"put a \"b\\t\"", "backslash"},
	    {"put a \"b\"c", "behind the closing quote"},
	    {"put a b\"c", "inside a word"},
	    {"in k put a b c d e", "too many words"},
	    {"\"a\nput\"", "not closed"},
	    {"\"a\\n\x1b\" x", "'a?"
	                       "?' is none of"},
	};
	for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
		char text[200], wanted[100];
		snprintf(text, sizeof text, "# first\nput ok ok\n%s\n", mistakes[i].line);
		snprintf(wanted, sizeof wanted, "f:3: %s", mistakes[i].what);
		int code = parse(text);
		cr_assert_eq(code, *mistakes[i].what ? ERR_USAGE : 0, "%s", mistakes[i].line);
		cr_assert(!*mistakes[i].what || strstr(said, mistakes[i].what), "%s: %s", mistakes[i].line, said);
		cr_assert(!*mistakes[i].what || strncmp(said, "f:3: ", 5) == 0, "%s: %s", mistakes[i].line, said);
		txn_file_deinit(&file);
	}
}

Test(txn_file, all_mistakes_are_told)
{
	cr_assert_eq(parse("frob\nput a 1\ndel a\ncheck a absent\ncheck a absent\nput \"\n"), ERR_USAGE);
	cr_assert_eq(file.mistakes, 4);
	cr_assert_str_eq(said, "f:1: 'frob' is none of put, del, check\n"
	                       "f:3: writes the key of line 2 again\n"
	                       "f:5: checks the key of line 2 again\n"
	                       "f:6: a quote is not closed\n");
	txn_file_deinit(&file);
	cr_assert_eq(parse_bytes("check a 1.0@0\0x", 15, NULL), ERR_USAGE, "a zero in a version");
	txn_file_deinit(&file);
	cr_assert_eq(parse("# nothing\n\n"), ERR_USAGE);
	cr_assert_str_eq(said, "f:2: no operation in it\n");
	txn_file_deinit(&file);
}

Test(txn_file, size_is_bounded)
{
	size_t size = 0;
	char *text = malloc(3 * 1024 * 1024);
	for (uint32_t i = 0; i < GW_OPERATIONS_MAX + 2; i++)
		size += (size_t)sprintf(text + size, "del %u\n", i);
	cr_assert_eq(parse(text), ERR_USAGE);
	cr_assert_str_eq(said, "f:257: more than 256 keys in one transaction\n");
	txn_file_deinit(&file);

	/* Two values that fit alone and not together. */
	size = 0;
	for (char key = 'a'; key < 'c'; key++) {
		size += (size_t)sprintf(text + size, "put %c ", key);
		memset(text + size, 'v', VALUE_SIZE_MAX);
		size += VALUE_SIZE_MAX;
		size += (size_t)sprintf(text + size, "\n");
	}
	cr_assert_eq(parse(text), ERR_USAGE);
	cr_assert(strncmp(said, "f:2: ", 5) == 0 && strstr(said, "larger than a region takes"), "%s", said);
	txn_file_deinit(&file);
	memcpy(text, "put a v", 7);
	text[7 + VALUE_SIZE_MAX] = 0; /* one byte more than a value */
	memset(text + 7, 'v', VALUE_SIZE_MAX);
	cr_assert_eq(parse(text), ERR_USAGE);
	cr_assert_str_eq(said, "f:1: the value is longer than 1 MiB\n");
	txn_file_deinit(&file);
	free(text);
}
