/* SPDX-License-Identifier: Apache-2.0
 *
 * godwit: the command line. Commands are in cmd/godwit/, one file for each group. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/godwit/cli.h"
#include "runtime/topology_option.h"

static const struct command *const commands[] = {&command_up, &command_down, &command_restart, &command_put, &command_get,
    &command_del, &command_load, &command_scan, &command_export, &command_txn, &command_indoubt, &command_keyspace,
    &command_keys, &command_status, &command_top, &command_verify, &command_conflicts, &command_admin, &command_link, NULL};

static const struct option common_options[] = {
    {"dir", 0, OPTION_TEXT, offsetof(struct cli, dir), 0, 0, "DIR",
        "data directory (default: $GODWIT_DIR, or " CLI_DIR_DEFAULT ")"},
    {"topology", 0, OPTION_TEXT, offsetof(struct cli, topology_path), 0, 0, "FILE",
        "regions and keyspaces (default: DIR/topology.yaml if it is there, or three regions on loopback)"},
    {"keys", 0, OPTION_TEXT, offsetof(struct cli, keys_path), 0, 0, "DIR",
        "directory of the keys (default: $GODWIT_KEYS, or DIR/keys)"},
    {"timeout", 0, OPTION_U32, offsetof(struct cli, timeout_ms), 1, 3600000, "MS",
        "how long to wait for an answer (default: 5000)"},
    {"json", 0, OPTION_BOOL, offsetof(struct cli, json), 0, 0, NULL, "print JSON: one object, or one a line"},
    {"help", 'h', OPTION_BOOL, offsetof(struct cli, help), 0, 0, NULL, "this text"},
    {0},
};
static const struct option region_options[] = {
    {"region", 'r', OPTION_TEXT, offsetof(struct cli, region), 0, 0, "REGION",
        "which region (default: one that runs here, or any; the primary before others)"},
    {"keyspace", 'k', OPTION_TEXT, offsetof(struct cli, keyspace), 0, 0, "KEYSPACE", "which keyspace (default: default)"},
    {0},
};

static void help_all(FILE *out)
{
	fprintf(out, "godwit: write to any region, read from any region\n\nusage: godwit COMMAND [ARGUMENT]... [FLAG]...\n\n");
	for (const struct command *const *c = commands; *c; c++) {
		char left[64];
		snprintf(left, sizeof left, "%s %s", (*c)->name, (*c)->arguments);
		fprintf(out, "  %-34s %s\n", left, (*c)->summary);
	}
	fprintf(out, "\nflags of every command\n");
	options_help(common_options, out);
	fprintf(out, "\n`godwit COMMAND --help` lists the flags of one, `godwit help topology` what a topology may say. Exit "
	             "codes: 0 done, 1 not found or a check failed, 2 "
	             "wrong use,\n"
	             "3 refused (certainly not applied), 4 outcome unknown, 5 not reachable.\n");
}

static void help_one(const struct command *command, FILE *out)
{
	fprintf(out, "usage: godwit %s %s [FLAG]...\n\n%s\n", command->name, command->arguments, command->summary);
	if (command->detail)
		fprintf(out, "\n%s\n", command->detail);
	fprintf(out, "\nflags\n");
	if (command->options)
		options_help(command->options, out);
	if (!(command->flags & COMMAND_OWN_REGION))
		options_help(region_options, out);
	options_help(common_options, out);
}

static const struct command *command_find(const char *name)
{
	for (const struct command *const *c = commands; *c; c++)
		if (strcmp((*c)->name, name) == 0)
			return *c;
	return NULL;
}

static int command_run(struct cli *cli, int argc, char **argv)
{
	const struct command *command = cli->command;
	struct error_context error = {{0}};
	struct option_set sets[3] = {{common_options, cli}};
	uint32_t count = 1;
	if (!(command->flags & COMMAND_OWN_REGION))
		sets[count++] = (struct option_set){region_options, cli};
	if (command->options)
		sets[count++] = (struct option_set){command->options, command->option_values};
	int code = options_parse_sets(sets, count, &argc, argv, &error);
	if (code)
		return cli_fail(cli, code, "%s", error.text);
	if (cli->help) {
		help_one(command, stdout);
		return 0;
	}
	cli->argument_count = argc - 1;
	cli->arguments = argv + 1;
	if (cli->argument_count < command->arguments_min || cli->argument_count > command->arguments_max)
		return cli_fail(cli, ERR_USAGE, "%s; usage: godwit %s %s",
		    cli->argument_count < command->arguments_min ? "missing argument" : "too many arguments", command->name,
		    command->arguments);
	code = cli_dir_resolve(cli, &error);
	if (code)
		return cli_fail_error(cli, code, &error);
	if (!(command->flags & COMMAND_OWN_TOPOLOGY)) {
		if (access(cli->key_dir, F_OK) < 0)
			return cli_fail(cli, ERR_UNREACHABLE, "nothing was ever started in %s", cli->dir);
		int exit_code = cli_topology_load(cli);
		if (exit_code)
			return exit_code;
	}
	return command->run(cli);
}

static int output_end(struct cli *cli, int exit_code)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return exit_code;
	cli->json = false;
	return cli_fail(cli, ERR_IO, "writing the output: %s", strerror(errno));
}

int main(int argc, char **argv)
{
	struct cli cli = {.dir = getenv("GODWIT_DIR"), .timeout_ms = 5000, .keys_path = getenv("GODWIT_KEYS")};
	if (cli.keys_path && !*cli.keys_path)
		cli.keys_path = NULL;
	if (!cli.dir || !*cli.dir)
		cli.dir = CLI_DIR_DEFAULT;
	if (argc < 2) {
		help_all(stderr);
		return error_exit_code(ERR_USAGE);
	}
	const char *name = argv[1];
	if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
		if (argc > 2 && strcmp(argv[2], "topology") == 0) {
			topology_options_print(stdout);
			return output_end(&cli, 0);
		}
		cli.command = argc > 2 ? command_find(argv[2]) : NULL;
		if (argc > 2 && !cli.command)
			return cli_fail(&cli, ERR_USAGE, "unknown command '%.60s'; `godwit help` lists them", argv[2]);
		if (cli.command)
			help_one(cli.command, stdout);
		else
			help_all(stdout);
		return output_end(&cli, 0);
	}
	if (strcmp(name, "--version") == 0) {
		printf("godwit %s\n", GODWIT_VERSION);
		return output_end(&cli, 0);
	}
	cli.command = command_find(name);
	if (!cli.command)
		return cli_fail(&cli, ERR_USAGE, "unknown command '%.60s'; `godwit help` lists them", name);
	return output_end(&cli, command_run(&cli, argc - 1, argv + 1));
}
