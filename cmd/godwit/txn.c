/* SPDX-License-Identifier: Apache-2.0
 *
 * txn: a global transaction from a file. Nothing is sent unless every line of it is right. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/godwit/cli.h"
#include "cmd/godwit/txn_file.h"

static uint32_t timeout_secs = 30;
static const struct option txn_options[] = {
    {"timeout-secs", 0, OPTION_U32, 0, 1, 3600, "N", "how long to wait for the outcome (default: 30); --timeout has no effect"},
    {0},
};

/* Lines are right; are their keyspaces? */
static void keyspaces_check(struct cli *cli, struct txn_file *file, const char *name, FILE *out)
{
	for (uint32_t i = 0; i < file->count; i++) {
		const char *keyspace = file->operations[i].keyspace;
		int place = topology_keyspace(&cli->topology, keyspace ? keyspace : "");
		const struct keyspace *found = place < 0 ? NULL : &cli->topology.keyspaces[place];
		if (found && found->level == LEVEL_STRONG)
			continue;
		if (found)
			txn_file_mistake(file, name, file->steps[i].line, out,
			    "transactions need keyspaces of level strong, %s is %s", found->name, level_name(found->level));
		else
			txn_file_mistake(file, name, file->steps[i].line, out, "there is no keyspace '%.60s'", keyspace);
	}
}

static int input_read(struct cli *cli, const char *path, const char *name, struct text *input)
{
	char bytes[16384];
	size_t got;
	FILE *stream = path ? fopen(path, "re") : stdin;
	if (!stream)
		return cli_fail(cli, ERR_USAGE, "%.200s: %s", name, strerror(errno));
	while ((got = fread(bytes, 1, sizeof bytes, stream)) > 0 && input->size <= TXN_FILE_SIZE_MAX)
		text_add_bytes(input, bytes, got);
	int failed = ferror(stream) ? errno : 0;
	if (path)
		fclose(stream);
	if (failed)
		return cli_fail(cli, ERR_USAGE, "%.200s: %s", name, strerror(failed));
	if (input->size > TXN_FILE_SIZE_MAX)
		return cli_fail(cli, ERR_USAGE, "%.200s: longer than %u bytes", name, TXN_FILE_SIZE_MAX);
	return 0;
}

static int transaction_send(struct cli *cli, const struct txn_file *file)
{
	struct client_result result;
	struct text json = {0};
	char version[DOTTED_TEXT_MAX];
	int exit_code;
	struct gw_connection *connection = cli_connect_region(cli, &exit_code);
	if (!connection)
		return exit_code;
	struct client_operation operation = {.kind = CLIENT_TRANSACTION,
	    .steps = file->operations,
	    .step_count = file->count,
	    .timeout_ms = timeout_secs * 1000};
	exit_code = 0;
	if (client_call(connection, &operation, &result) != 0) {
		exit_code = cli_fail_result(cli, &result);
	} else if (cli->json) {
		text_add(&json, "{");
		json_add_version(&json, "version", result.version, result.version_size);
		text_add(&json, ",\"hlc\":\"%llu\",\"keys\":%u,\"took_us\":%llu}", (unsigned long long)result.hlc, file->count,
		    (unsigned long long)(result.answered_ns - result.submitted_ns) / 1000);
		cli_print_json(&json);
	} else {
		version_format(result.version, result.version_size, version);
		printf("%s\n", version);
	}
	text_deinit(&json);
	gw_close(connection);
	return exit_code;
}

static int txn_run(struct cli *cli)
{
	static struct txn_file file;
	const char *path = cli->argument_count && strcmp(cli->arguments[0], "-") != 0 ? cli->arguments[0] : NULL;
	const char *name = path ? path : "standard input";
	struct text input = {0};
	int exit_code = input_read(cli, path, name, &input);
	if (exit_code) {
		text_deinit(&input);
		return exit_code;
	}
	int code = txn_file_parse(&file, input.bytes ? input.bytes : "", input.size, name, cli->keyspace, stderr);
	text_deinit(&input);
	if (code == ERR_OK || code == ERR_USAGE)
		keyspaces_check(cli, &file, name, stderr);
	if (file.mistakes)
		exit_code = cli_fail(cli, ERR_USAGE, "%llu mistake%s in %.200s: nothing was sent",
		    (unsigned long long)file.mistakes, file.mistakes > 1 ? "s" : "", name);
	else
		exit_code = code ? cli_fail(cli, code, "out of memory") : transaction_send(cli, &file);
	txn_file_deinit(&file);
	return exit_code;
}

const struct command command_txn = {.name = "txn",
    .arguments = "[FILE]",
    .summary = "a transaction: lines put K V, del K, check K VERSION",
    .detail = "All of it is done or nothing, in whatever keyspaces of level strong. Reads standard input without FILE.\n"
              "  put K V                   del K\n"
              "  check K VERSION|absent    only if the key has that version, as get --json and txn print it, or none\n"
              "  in KEYSPACE ...           before any of these: not in --keyspace\n"
              "K and V with blanks stand in double quotes, where \\\" \\\\ \\n mean those bytes. Blank lines and lines that "
              "begin\n"
              "with # are skipped. Prints the version of what was written.",
    .options = txn_options,
    .option_values = &timeout_secs,
    .arguments_max = 1,
    .run = txn_run};
