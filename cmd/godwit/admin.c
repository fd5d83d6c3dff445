/* SPDX-License-Identifier: Apache-2.0
 *
 * admin and link: raw requests to actors and to the link emulator of this machine. */
#include "runtime/admin.h"

#include <stdlib.h>
#include <string.h>

#include "cmd/godwit/cli.h"
#include "cmd/godwit/json.h"
#include "cmd/godwit/processes.h"
#include "shm/layout.h"

/* Arguments from `first` on, with a blank between. */
static void arguments_join(const struct cli *cli, int first, struct text *out)
{
	text_add(out, "%s", "");
	for (int i = first; i < cli->argument_count; i++)
		text_add(out, "%s%s", i > first ? " " : "", cli->arguments[i]);
}

static int admin_run(struct cli *cli)
{
	char dir[320], endpoint[256], *json = NULL;
	struct error_context error = {{0}};
	struct text argument = {0};
	const char *actor = cli->arguments[0];
	if (actor_parse(actor) < 0)
		return cli_fail(
		    cli, ERR_USAGE, "'%.40s' is no actor; there are coordinator, streamer, monitor, router, reconciler", actor);
	const struct region *region = cli_region(cli, cli->region);
	if (!region)
		return error_exit_code(ERR_USAGE);
	cli_region_dir(cli, region, dir);
	admin_endpoint(dir, actor, endpoint);
	arguments_join(cli, 2, &argument);
	int code = admin_ask(endpoint, cli->arguments[1], argument.bytes, cli->timeout_ms, &json, &error);
	text_deinit(&argument);
	if (!code)
		printf("%s\n", json && *json ? json : "{}");
	free(json);
	return code ? cli_fail_error(cli, code, &error) : 0;
}

const struct command command_admin = {.name = "admin",
    .arguments = "ACTOR COMMAND [ARGUMENT]",
    .summary = "ask an actor: ping, stats, config, loglevel L, drain, stop",
    .detail = "Answers are JSON. The actor must run on this machine.",
    .arguments_min = 2,
    .arguments_max = 16,
    .run = admin_run};

struct link_line {
	char from[NAME_SIZE_MAX], to[NAME_SIZE_MAX], delay[24], jitter[24], bandwidth[24], connections[24];
	bool cut;
};

static void member_copy(char *out, size_t size, const struct json_member *member)
{
	snprintf(out, size, "%s", member->value.bytes ? member->value.bytes : "");
}

static void link_line_print(const uint8_t *item, size_t size)
{
	struct json_reader reader;
	struct json_member member = {0};
	struct link_line line = {.delay = "0", .jitter = "0", .bandwidth = "0"};
	json_reader_init(&reader, item, size);
	while (json_next(&reader, &member)) {
		const char *name = member.name.bytes;
		if (strcmp(name, "from") == 0)
			member_copy(line.from, sizeof line.from, &member);
		else if (strcmp(name, "to") == 0)
			member_copy(line.to, sizeof line.to, &member);
		else if (strncmp(name, "delay", 5) == 0)
			member_copy(line.delay, sizeof line.delay, &member);
		else if (strncmp(name, "jitter", 6) == 0)
			member_copy(line.jitter, sizeof line.jitter, &member);
		else if (strncmp(name, "bandwidth", 9) == 0)
			member_copy(line.bandwidth, sizeof line.bandwidth, &member);
		else if (strcmp(name, "cut") == 0)
			line.cut = strcmp(member.value.bytes, "true") == 0;
	}
	json_member_deinit(&member);
	printf("%-16s %-16s %10s %10s %12s  %s%s%s\n", line.from, line.to, line.delay, line.jitter,
	    strcmp(line.bandwidth, "0") == 0 ? "unlimited" : line.bandwidth, line.cut ? cli_red() : cli_green(),
	    line.cut ? "cut" : "open", cli_plain());
}

static void links_print(const struct cli *cli, const char *json)
{
	struct json_reader reader;
	const uint8_t *item;
	size_t size;
	json_reader_init(&reader, json, strlen(json));
	if (!cli->json)
		printf("%s%-16s %-16s %10s %10s %12s  %s%s\n", cli_bold(), "FROM", "TO", "DELAY MS", "JITTER MS", "KIB/S",
		    "STATE", cli_plain());
	while (json_list_next(&reader, &item, &size)) {
		if (cli->json)
			printf("%.*s\n", (int)size, (const char *)item);
		else
			link_line_print(item, size);
	}
}

static int link_run(struct cli *cli)
{
	char endpoint[256], *json = NULL;
	struct error_context error = {{0}};
	struct text argument = {0};
	const char *command = cli->argument_count ? cli->arguments[0] : "list";
	static const char *const known[] = {"list", "delay", "jitter", "bandwidth", "cut", "heal", "ping", "stats"};
	size_t at = 0;
	while (at < sizeof known / sizeof known[0] && strcmp(command, known[at]) != 0)
		at++;
	if (at == sizeof known / sizeof known[0])
		return cli_fail(cli, ERR_USAGE, "link '%.40s': use list, delay, jitter, bandwidth, cut or heal", command);
	if (!processes_running(cli->dir_path, "link"))
		return cli_fail(
		    cli, ERR_UNREACHABLE, "the link emulator does not run (it does where a machine has more than one region)");
	admin_endpoint(cli->dir_path, "link", endpoint);
	if (cli->argument_count == 2 && strcmp(command, "heal") == 0 && strcmp(cli->arguments[1], "all") == 0)
		text_add(&argument, "* *");
	else
		arguments_join(cli, 1, &argument);
	int code = admin_ask(endpoint, command, argument.bytes, cli->timeout_ms, &json, &error);
	text_deinit(&argument);
	if (!code && json && json[0] == '[')
		links_print(cli, json);
	else if (!code)
		printf("%s\n", json && *json ? json : "{}");
	free(json);
	return code ? cli_fail_error(cli, code, &error) : 0;
}

const struct command command_link = {.name = "link",
    .arguments = "[list|COMMAND A B [N]]",
    .summary = "the link emulator: delay, jitter, bandwidth, cut, heal",
    .detail = "list | delay A B MS | jitter A B MS | bandwidth A B KIB | cut A B | heal A B | heal all\n"
              "A and B are regions, or '*' for any; what is set is the direction from A to B. Bandwidth 0 is unlimited.",
    .arguments_max = 4,
    .run = link_run};
