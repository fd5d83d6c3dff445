/* SPDX-License-Identifier: Apache-2.0
 *
 * down: the regions of this machine are stopped. */
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/godwit/processes.h"
#include "cmd/godwit/start_stop.h"
#include "cmd/godwit/up_check.h"

static void stopped_print(struct cli *cli, const char *name, bool ran, bool killed, uint64_t took_ms)
{
	if (cli->json) {
		struct text json = {0};
		text_add(&json, "{");
		json_add_text(&json, "name", name);
		text_add(&json, ",\"ran\":%s,\"killed\":%s,\"took_ms\":%llu}", ran ? "true" : "false",
		    killed ? "true" : "false", (unsigned long long)took_ms);
		cli_print_json(&json);
		text_deinit(&json);
	} else if (!ran) {
		printf("%-16s was not running\n", name);
	} else {
		printf("%-16s %s  (%llu ms)\n", name, killed ? "did not end in time and was killed" : "stopped",
		    (unsigned long long)took_ms);
	}
}

int region_stop(struct cli *cli, const struct region *region, bool say)
{
	char dir[320];
	bool killed = false;
	struct error_context error = {{0}};
	uint64_t started_ns = cli_now_ns();
	cli_region_dir(cli, region, dir);
	bool ran = processes_running(dir, SUPERVISOR);
	int code = processes_stop(dir, SUPERVISOR, STOP_WAIT_MS, &killed, &error);
	if (code)
		return cli_fail_error(cli, code, &error);
	if (say)
		stopped_print(cli, region->name, ran, killed, (cli_now_ns() - started_ns) / 1000000);
	return 0;
}

static struct option_list down_regions;
static const struct option down_options[] = {
    {"region", 'r', OPTION_LIST, 0, 0, 0, "REGION", "only this one (default: all of this machine, and the link emulator)"},
    {0},
};

/* What the directory no longer tells of: it was deleted, or its topology names other regions. */
static int strays_stop(struct cli *cli, uint32_t *stopped)
{
	char path[PATH_MAX] = "";
	uint32_t left;
	if (cli->dir_path[0] == '/')
		snprintf(path, sizeof path, "%s", cli->dir_path);
	else if (getcwd(path, sizeof path - sizeof cli->dir_path - 1))
		snprintf(path + strlen(path), sizeof cli->dir_path + 1, "/%s", cli->dir_path);
	uint32_t count = processes_stop_all(path, STOP_WAIT_MS, &left);
	if (left)
		return cli_fail(cli, ERR_IO, "%u processes of %s do not end", left, cli->dir);
	if (count && !cli->json)
		printf("%u processes of %s that its files do not name were stopped\n", count, cli->dir);
	*stopped += count;
	return 0;
}

static int down_run(struct cli *cli)
{
	uint32_t mask, stopped = 0;
	struct stat status;
	bool killed;
	struct error_context error = {{0}};
	int worst = 0, exit_code = cli_topology_load(cli);
	if (exit_code)
		return exit_code;
	exit_code = regions_pick(cli, &down_regions, &mask);
	if (exit_code)
		return exit_code;
	int code = 0, turn = turn_take(cli, &code, &error);
	if (code)
		return cli_fail_error(cli, code, &error);
	for (uint32_t i = 0; i < cli->topology.region_count; i++) {
		char dir[320];
		cli_region_dir(cli, &cli->topology.regions[i], dir);
		bool asked = mask & 1u << i, here = stat(dir, &status) == 0;
		if (!asked && (mask || !here))
			continue;
		exit_code = region_stop(cli, &cli->topology.regions[i], true);
		worst = exit_code ? exit_code : worst;
		stopped++;
	}
	if (!mask && processes_running(cli->dir_path, LINK_PROGRAM)) {
		code = processes_stop(cli->dir_path, LINK_PROGRAM, STOP_WAIT_MS, &killed, &error);
		if (code)
			worst = cli_fail_error(cli, code, &error);
	}
	if (!mask && (exit_code = strays_stop(cli, &stopped)))
		worst = exit_code;
	if (!stopped && !cli->json)
		printf("no region was ever started in %s\n", cli->dir);
	if (turn >= 0)
		close(turn);
	return worst;
}

const struct command command_down = {.name = "down",
    .arguments = "",
    .summary = "stop the regions of this machine",
    .options = down_options,
    .option_values = &down_regions,
    .flags = COMMAND_OWN_TOPOLOGY | COMMAND_OWN_REGION,
    .run = down_run};
