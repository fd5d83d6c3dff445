/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/text.h"
#include "runtime/options.h"

struct values {
	const char *name;
	uint32_t port;
	uint64_t bytes;
	bool quiet;
	struct option_list flags;
};
static const struct option table[] = {{"name", 'n', OPTION_TEXT, offsetof(struct values, name), 0, 0, "NAME", "a name"},
    {"port", 'p', OPTION_U32, offsetof(struct values, port), 1, 65535, "PORT", "a port"},
    {"bytes", 0, OPTION_U64, offsetof(struct values, bytes), 0, 0, "N", "bytes"},
    {"quiet", 'q', OPTION_BOOL, offsetof(struct values, quiet), 0, 0, NULL, "say nothing"},
    {"flag", 0, OPTION_LIST, offsetof(struct values, flags), 0, 0, "F", "passed on"}, {0}};

static int parse(struct values *values, struct error_context *error, int *argc, const char **argv)
{
	*argc = 0;
	while (argv[*argc])
		++*argc;
	/* As main has it: the pointers move, the texts stay. */
	return options_parse(table, values, argc, (char **)(uintptr_t)argv, error);
}
#define ARGUMENTS(...) ((const char *[]){"/usr/bin/godwit-router", __VA_ARGS__, NULL})

Test(options, all_shapes_and_rest)
{
	struct values v = {.port = 7400};
	struct error_context error = {0};
	int argc;
	const char **argv = ARGUMENTS("one", "--name=a=b", "-p", "12", "--bytes", "18446744073709551615", "-q", "two", "--flag",
	    "-x", "--flag=y", "-", "--", "--name", "late");
	cr_assert_eq(parse(&v, &error, &argc, argv), 0, "%s", error.text);
	cr_assert_str_eq(v.name, "a=b");
	cr_assert_eq(v.port, 12);
	cr_assert_eq(v.bytes, UINT64_MAX);
	cr_assert(v.quiet);
	cr_assert_eq(v.flags.count, 2);
	cr_assert_str_eq(v.flags.values[0], "-x");
	cr_assert_str_eq(v.flags.values[1], "y");
	cr_assert_eq(argc, 6);
	cr_assert_str_eq(argv[1], "one");
	cr_assert_str_eq(argv[2], "two");
	cr_assert_str_eq(argv[3], "-");
	cr_assert_str_eq(argv[4], "--name");
	cr_assert_str_eq(argv[5], "late");
}

static void refused(const char *expected, const char **argv)
{
	struct values v = {0};
	struct error_context error = {0};
	int argc;
	cr_expect_eq(parse(&v, &error, &argc, argv), ERR_USAGE, "%s", expected);
	cr_expect_str_eq(error.text, expected);
}

Test(options, each_mistake_is_one_clear_line)
{
	refused("godwit-router: --port: 'abc' is not a number from 1 to 65535", ARGUMENTS("--port", "abc"));
	refused("godwit-router: --port: '0' is not a number from 1 to 65535", ARGUMENTS("--port=0"));
	refused("godwit-router: --port: '65536' is not a number from 1 to 65535", ARGUMENTS("--port=65536"));
	refused("godwit-router: --port: '' is not a number from 1 to 65535", ARGUMENTS("--port="));
	refused("godwit-router: --port: '-1' is not a number from 1 to 65535", ARGUMENTS("--port=-1"));
	refused("godwit-router: -p: '0x10' is not a number from 1 to 65535", ARGUMENTS("-p0x10"));
	refused("godwit-router: --bytes: '18446744073709551616' is not a number from 0 to 18446744073709551615",
	    ARGUMENTS("--bytes", "18446744073709551616"));
	refused("godwit-router: --port needs a value: PORT", ARGUMENTS("--port"));
	refused("godwit-router: --quiet takes no value", ARGUMENTS("--quiet=yes"));
	refused("godwit-router: unknown flag --nme; --help lists the known ones", ARGUMENTS("--nme", "x"));
	refused("godwit-router: unknown flag -z; --help lists the known ones", ARGUMENTS("-z"));
	/* A prefix of a flag is not the flag. */
	refused("godwit-router: unknown flag --por; --help lists the known ones", ARGUMENTS("--por", "1"));
}

Test(options, a_list_is_bounded)
{
	struct values v = {0};
	struct error_context error = {0};
	const char *argv[OPTION_LIST_MAX + 3] = {"x"};
	for (uint32_t i = 0; i <= OPTION_LIST_MAX; i++)
		argv[i + 1] = "--flag=a";
	int argc = (int)OPTION_LIST_MAX + 2;
	cr_assert_eq(options_parse(table, &v, &argc, (char **)(uintptr_t)argv, &error), ERR_USAGE);
	cr_assert_eq(v.flags.count, OPTION_LIST_MAX);
}

Test(options, json)
{
	struct values v = {.name = "a\"b", .port = 1, .bytes = 2, .quiet = true, .flags = {2, {"c", "d"}}};
	struct text out = {0};
	options_json(table, &v, &out);
	cr_assert_str_eq(
	    out.bytes, "{\"name\": \"a\\\"b\", \"port\": 1, \"bytes\": 2, \"quiet\": true, \"flag\": [\"c\", \"d\"]}");
	text_deinit(&out);
}
