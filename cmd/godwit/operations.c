/* SPDX-License-Identifier: Apache-2.0
 *
 * put, get, del: one operation on one key. */
#include <string.h>
#include <unistd.h>

#include "cmd/godwit/cli.h"
#include "core/commit_entry.h"

struct operation_flags {
	const char *level, *session, *if_version, *context;
	bool stale_ok;
};
static struct operation_flags flags;

#define LEVEL_OPTION                                                                                                           \
	{                                                                                                                      \
		"level", 0, OPTION_TEXT, offsetof(struct operation_flags, level), 0, 0, "LEVEL",                               \
		    "eventual, session, causal or strong: of a read that of the keyspace or a weaker one"                      \
	}
#define SESSION_OPTION                                                                                                         \
	{                                                                                                                      \
		"session", 0, OPTION_TEXT, offsetof(struct operation_flags, session), 0, 0, "FILE",                            \
		    "a session's token (not available yet)"                                                                    \
	}
static const struct option read_options[] = {LEVEL_OPTION, SESSION_OPTION,
    {"stale-ok", 0, OPTION_BOOL, offsetof(struct operation_flags, stale_ok), 0, 0, NULL, STALE_HELP}, {0}};
static const struct option write_options[] = {
    LEVEL_OPTION,
    SESSION_OPTION,
    {"if-version", 0, OPTION_TEXT, offsetof(struct operation_flags, if_version), 0, 0, "VERSION|absent",
        "only if the key still has this version, as get --json prints it, or is absent: in a strong keyspace"},
    {"context", 0, OPTION_TEXT, offsetof(struct operation_flags, context), 0, 0, "VERSION",
        "the version that was read before (0:12,2:7): what it has not seen stays beside this write"},
    {0},
};

/* --if-version, into the operation. 0, or the exit code. */
static int condition_take(struct cli *cli, const struct keyspace *keyspace, struct client_operation *operation,
    uint8_t expected[static COMMIT_VERSION_SIZE])
{
	struct commit_id commit;
	struct vector vector;
	bool absent = strcmp(flags.if_version, "absent") == 0;
	bool named = commit_version_parse(&commit, flags.if_version) == 0;
	if (!absent && !named && (keyspace->level == LEVEL_STRONG || vector_parse(&vector, flags.if_version) < 0))
		return cli_fail(cli, ERR_USAGE, "--if-version '%.80s' is neither absent nor a version like 1764000000000.0@1",
		    flags.if_version);
	if (keyspace->level != LEVEL_STRONG)
		return cli_fail(cli, ERR_UNSUPPORTED,
		    "compare and set needs a keyspace of level strong, %s is %s; to write beside what was not seen, use "
		    "--context",
		    keyspace->name, level_name(keyspace->level));
	operation->condition = absent ? GW_IF_ABSENT : GW_IF_VERSION;
	if (!named)
		return 0;
	commit_version_encode(commit, expected);
	operation->expected = expected;
	operation->expected_size = COMMIT_VERSION_SIZE;
	return 0;
}

/* --context, into the operation. 0, or the exit code. */
static int context_take(struct cli *cli, const struct keyspace *keyspace, struct client_operation *operation,
    uint8_t encoded[static DOTTED_ENCODED_MAX])
{
	struct dotted context;
	if (dotted_parse(&context, flags.context) < 0)
		return cli_fail(
		    cli, ERR_USAGE, "--context '%.80s' is not a version like 0:12,2:7 or 0:12,2:7+0:14", flags.context);
	if (keyspace->level == LEVEL_STRONG)
		return cli_fail(cli, ERR_UNSUPPORTED,
		    "in keyspace %s, which is strong, nothing stands side by side; use --if-version", keyspace->name);
	operation->version = encoded;
	operation->version_size = dotted_encode(&context, encoded);
	return 0;
}

struct encodings {
	uint8_t expected[COMMIT_VERSION_SIZE], context[DOTTED_ENCODED_MAX];
};

/* What is known to be refused is refused before anything is sent. 0, or the exit code. */
static int flags_take(struct cli *cli, struct client_operation *operation, struct encodings *encodings)
{
	enum gw_level level = GW_LEVEL_OWN;
	int exit_code = 0;
	if (flags.session)
		return cli_fail(cli, ERR_UNSUPPORTED, "sessions are not available in this version; leave --session out");
	if (operation->kind == CLIENT_GET)
		return cli_read_level(cli, flags.level, flags.stale_ok, &operation->level);
	if (!flags.level && !flags.context && !flags.if_version)
		return 0;
	const struct keyspace *keyspace = cli_keyspace(cli, NULL);
	if (!keyspace)
		return error_exit_code(ERR_UNKNOWN_KEYSPACE);
	if (flags.level)
		exit_code = cli_level_parse(cli, flags.level, &level);
	if (exit_code)
		return exit_code;
	if (level && (int)level - GW_LEVEL_EVENTUAL != (int)keyspace->level)
		return cli_fail(cli, ERR_LEVEL_UNAVAILABLE, "a write has the level of its keyspace: %s is %s", keyspace->name,
		    level_name(keyspace->level));
	if (flags.context)
		exit_code = context_take(cli, keyspace, operation, encodings->context);
	if (!exit_code && flags.if_version)
		exit_code = condition_take(cli, keyspace, operation, encodings->expected);
	return exit_code;
}

static void result_print_json(const char *key, const struct client_result *result)
{
	struct text json = {0};
	text_add(&json, "{");
	json_add_bytes(&json, "key", key, strlen(key));
	text_add(&json, ",");
	if (result->kind == CLIENT_GET) {
		json_add_bytes(&json, "value", result->value, result->value_size);
		text_add(&json, ",");
	}
	json_add_version(&json, "version", result->version, result->version_size);
	text_add(&json, ",\"hlc\":\"%llu\"", (unsigned long long)result->hlc);
	if (result->kind == CLIENT_GET)
		text_add(&json, ",\"siblings\":%u", result->siblings);
	text_add(&json, ",\"took_us\":%llu}", (unsigned long long)(result->answered_ns - result->submitted_ns) / 1000);
	cli_print_json(&json);
	text_deinit(&json);
}

static int operation_run(struct cli *cli, struct client_operation *operation)
{
	struct client_result result;
	struct encodings encodings;
	int exit_code = flags_take(cli, operation, &encodings);
	if (exit_code)
		return exit_code;
	operation->key = cli->arguments[0];
	operation->key_size = strlen(cli->arguments[0]);
	operation->keyspace = cli->keyspace;
	struct gw_connection *connection = cli_connect_region(cli, &exit_code);
	if (!connection)
		return exit_code;
	if (client_call(connection, operation, &result) == 0) {
		if (cli->json) {
			result_print_json(cli->arguments[0], &result);
		} else if (operation->kind == CLIENT_GET) {
			if (result.value_size > 0)
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
	struct client_operation operation = {
	    .kind = CLIENT_PUT, .value = cli->arguments[1], .value_size = strlen(cli->arguments[1])};
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
	return operation_run(cli, &(struct client_operation){.kind = CLIENT_GET});
}

static int del_run(struct cli *cli)
{
	return operation_run(cli, &(struct client_operation){.kind = CLIENT_DELETE});
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
