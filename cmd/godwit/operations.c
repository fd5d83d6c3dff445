/* SPDX-License-Identifier: Apache-2.0
 *
 * put, get, del: one operation on one key. */
#include <string.h>
#include <unistd.h>

#include "cmd/godwit/cli.h"

struct operation_flags {
	const char *level, *session, *if_version, *context;
};
static struct operation_flags flags;

#define LEVEL_OPTION                                                                                                           \
	{                                                                                                                      \
		"level", 0, OPTION_TEXT, offsetof(struct operation_flags, level), 0, 0, "LEVEL",                               \
		    "eventual (others are not available yet)"                                                                  \
	}
#define SESSION_OPTION                                                                                                         \
	{                                                                                                                      \
		"session", 0, OPTION_TEXT, offsetof(struct operation_flags, session), 0, 0, "FILE",                            \
		    "a session's token (not available yet)"                                                                    \
	}
static const struct option read_options[] = {LEVEL_OPTION, SESSION_OPTION, {0}};
static const struct option write_options[] = {
    LEVEL_OPTION,
    SESSION_OPTION,
    {"if-version", 0, OPTION_TEXT, offsetof(struct operation_flags, if_version), 0, 0, "VERSION",
        "compare and set: only in a strong keyspace"},
    {"context", 0, OPTION_TEXT, offsetof(struct operation_flags, context), 0, 0, "VERSION",
        "the version that was read before (0:12,2:7): what it has not seen stays beside this write"},
    {0},
};

/* What this version cannot do is refused before anything is sent. 0, or the exit code. */
static int flags_check(struct cli *cli)
{
	static const char *const levels[] = {"eventual", "session", "causal", "strong"};
	struct vector version;
	size_t level = 0;
	if (flags.level) {
		while (level < 4 && strcmp(flags.level, levels[level]) != 0)
			level++;
		if (level == 4)
			return cli_fail(
			    cli, ERR_USAGE, "--level '%.40s': use eventual, session, causal or strong", flags.level);
		if (level > 0)
			return cli_fail(cli, ERR_LEVEL_UNAVAILABLE, "level %s is not available in this version", flags.level);
	}
	if (flags.session)
		return cli_fail(cli, ERR_UNSUPPORTED, "sessions are not available in this version; leave --session out");
	if (flags.context && vector_parse(&version, flags.context) < 0)
		return cli_fail(cli, ERR_USAGE, "--context '%.80s' is not a version like 0:12,2:7", flags.context);
	if (!flags.if_version)
		return 0;
	if (vector_parse(&version, flags.if_version) < 0)
		return cli_fail(cli, ERR_USAGE, "--if-version '%.80s' is not a version like 0:12,2:7", flags.if_version);
	int keyspace = topology_keyspace(&cli->topology, cli->keyspace ? cli->keyspace : "");
	if (keyspace < 0)
		return cli_fail(cli, ERR_UNKNOWN_KEYSPACE, "there is no keyspace '%.60s'", cli->keyspace);
	if (cli->topology.keyspaces[keyspace].level == LEVEL_STRONG)
		return cli_fail(cli, ERR_LEVEL_UNAVAILABLE, "level strong is not available in this version");
	return cli_fail(cli, ERR_UNSUPPORTED,
	    "compare and set needs a keyspace of level strong, %s is %s; to write beside what was not seen, use --context",
	    cli->topology.keyspaces[keyspace].name, level_name(cli->topology.keyspaces[keyspace].level));
}

static void result_print_json(const char *key, const struct gw_result *result)
{
	struct text json = {0};
	text_add(&json, "{");
	json_add_bytes(&json, "key", key, strlen(key));
	text_add(&json, ",");
	if (result->kind == GW_GET) {
		json_add_bytes(&json, "value", result->value, result->value_size);
		text_add(&json, ",");
	}
	json_add_version(&json, "version", result->version, result->version_size);
	text_add(&json, ",\"hlc\":\"%llu\"", (unsigned long long)result->hlc);
	if (result->kind == GW_GET)
		text_add(&json, ",\"siblings\":%u", result->siblings);
	text_add(&json, ",\"took_us\":%llu}", (unsigned long long)(result->answered_ns - result->submitted_ns) / 1000);
	cli_print_json(&json);
	text_deinit(&json);
}

static int operation_run(struct cli *cli, struct gw_operation *operation)
{
	struct gw_result result;
	struct vector context;
	uint8_t encoded[VECTOR_ENCODED_MAX];
	int exit_code = flags_check(cli);
	if (exit_code)
		return exit_code;
	operation->key = cli->arguments[0];
	operation->key_size = strlen(cli->arguments[0]);
	operation->keyspace = cli->keyspace;
	if (flags.context && vector_parse(&context, flags.context) >= 0) {
		operation->version = encoded;
		operation->version_size = vector_encode(&context, encoded);
	}
	struct gw_connection *connection = cli_connect_region(cli, &exit_code);
	if (!connection)
		return exit_code;
	if (gw_call(connection, operation, &result) == 0) {
		if (cli->json) {
			result_print_json(cli->arguments[0], &result);
		} else if (operation->kind == GW_GET) {
			fwrite(result.value, 1, result.value_size, stdout);
			if (isatty(STDOUT_FILENO))
				fputc('\n', stdout);
		}
		exit_code = 0;
	} else {
		exit_code = cli_fail_result(cli, &result);
	}
	gw_close(connection);
	return exit_code;
}

static int put_run(struct cli *cli)
{
	static char input[VALUE_SIZE_MAX + 1]; /* one more than allowed, to see that there is more */
	struct gw_operation operation = {.kind = GW_PUT, .value = cli->arguments[1], .value_size = strlen(cli->arguments[1])};
	if (strcmp(cli->arguments[1], "-") == 0) {
		operation.value = input;
		operation.value_size = fread(input, 1, sizeof input, stdin);
		if (ferror(stdin))
			return cli_fail(cli, ERR_IO, "cannot read standard input");
	}
	return operation_run(cli, &operation);
}

static int get_run(struct cli *cli)
{
	return operation_run(cli, &(struct gw_operation){.kind = GW_GET});
}

static int del_run(struct cli *cli)
{
	return operation_run(cli, &(struct gw_operation){.kind = GW_DELETE});
}

const struct command command_put = {.name = "put",
    .arguments = "K V",
    .summary = "write one value; V - reads standard input",
    .options = write_options,
    .option_values = &flags,
    .arguments_min = 2,
    .arguments_max = 2,
    .run = put_run};
const struct command command_get = {.name = "get",
    .arguments = "K",
    .summary = "print one value, as it is",
    .options = read_options,
    .option_values = &flags,
    .arguments_min = 1,
    .arguments_max = 1,
    .run = get_run};
const struct command command_del = {.name = "del",
    .arguments = "K",
    .summary = "delete one key",
    .options = write_options,
    .option_values = &flags,
    .arguments_min = 1,
    .arguments_max = 1,
    .run = del_run};
