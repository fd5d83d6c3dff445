/* SPDX-License-Identifier: Apache-2.0
 *
 * keyspace: the named sets of rows, as the topology has them. */
#include <string.h>

#include "cmd/godwit/cli.h"

/* Of create and drop, which are promised: with all their flags they shall meet one clear line. */
struct create_flags {
	const char *level, *strategy, *ack;
};
static struct create_flags flags;
static const struct option keyspace_options[] = {
    {"level", 0, OPTION_TEXT, offsetof(struct create_flags, level), 0, 0, "LEVEL", "create: not available yet"},
    {"strategy", 0, OPTION_TEXT, offsetof(struct create_flags, strategy), 0, 0, "STRATEGY", "create: not available yet"},
    {"ack", 0, OPTION_TEXT, offsetof(struct create_flags, ack), 0, 0, "ACK", "create: not available yet"},
    {0},
};

static void keyspace_print(const struct cli *cli, const struct keyspace *keyspace)
{
	struct text json = {0};
	if (!cli->json) {
		printf("%-24s %-10s %-10s %s\n", keyspace->name, level_name(keyspace->level), strategy_name(keyspace->strategy),
		    acknowledge_name(keyspace->acknowledge));
		return;
	}
	text_add(&json, "{");
	json_add_text(&json, "name", keyspace->name);
	text_add(&json, ",");
	json_add_text(&json, "level", level_name(keyspace->level));
	text_add(&json, ",");
	json_add_text(&json, "strategy", strategy_name(keyspace->strategy));
	text_add(&json, ",");
	json_add_text(&json, "ack", acknowledge_name(keyspace->acknowledge));
	text_add(&json, "}");
	cli_print_json(&json);
	text_deinit(&json);
}

static int keyspace_run(struct cli *cli)
{
	const char *what = cli->argument_count ? cli->arguments[0] : "list";
	if (strcmp(what, "create") == 0 || strcmp(what, "drop") == 0)
		return cli_fail(cli, ERR_UNSUPPORTED,
		    "keyspaces are named in the topology file in this version; change it there and start the regions again");
	if (strcmp(what, "list") != 0)
		return cli_fail(cli, ERR_USAGE, "keyspace '%.40s': use list", what);
	if (cli->argument_count > 1 || flags.level || flags.strategy || flags.ack)
		return cli_fail(cli, ERR_USAGE, "usage: godwit keyspace list");
	if (!cli->json)
		printf("%s%-24s %-10s %-10s %s%s\n", cli_bold(), "KEYSPACE", "LEVEL", "STRATEGY", "ACK", cli_plain());
	for (uint32_t i = 0; i < cli->topology.keyspace_count; i++)
		if (keyspace_is_there(&cli->topology.keyspaces[i]))
			keyspace_print(cli, &cli->topology.keyspaces[i]);
	return 0;
}

const struct command command_keyspace = {.name = "keyspace",
    .arguments = "[list]",
    .summary = "keyspaces: level, strategy, acknowledgement",
    .detail = "As the topology file names them; create and drop are not available in this version.",
    .options = keyspace_options,
    .option_values = &flags,
    .arguments_max = 16,
    .flags = COMMAND_OWN_REGION,
    .run = keyspace_run};
