/* SPDX-License-Identifier: Apache-2.0
 *
 * up: the regions of this machine are started, or looked at (--check). */
#include "cmd/godwit/start_stop.h"
#include "cmd/godwit/up_check.h"
#include "runtime/logline.h"

struct up_flags {
	struct option_list regions;
	struct start_options start;
	bool check;
};
static struct up_flags up_flags;

static const struct option up_options[] = {
    {"region", 'r', OPTION_LIST, offsetof(struct up_flags, regions), 0, 0, "REGION",
        "only this one (default: all of this machine)"},
    {"wan", 0, OPTION_BOOL, offsetof(struct up_flags, start.wan), 0, 0, NULL,
        "give the links between regions the round trips of continents: 75, 110, 190 ms"},
    {"new-cluster", 0, OPTION_BOOL, offsetof(struct up_flags, start.new_cluster), 0, 0, NULL,
        "regions without data take writes before they have met another one: only for the very first start"},
    {"check", 0, OPTION_BOOL, offsetof(struct up_flags, check), 0, 0, NULL,
        "print the effective configuration and all that keeps it from starting, start nothing"},
    {"log-level", 0, OPTION_TEXT, offsetof(struct up_flags, start.log_level), 0, 0, "LEVEL", "debug, info, warn or error"},
    {"link-base", 0, OPTION_U32, offsetof(struct up_flags, start.link_base), 1024, 65000, "PORT",
        "first port of the link emulator (default: 7600)"},
    {0},
};

/* --check: what would be started, and all that would keep it from starting. */
static int up_look(struct cli *cli, const struct hosts *hosts, uint32_t mask)
{
	struct error_context error = {{0}};
	struct text json = {0};
	bool linked = link_is_needed(hosts), is_noted, is_json = cli->json;
	if (is_json) {
		topology_json(&cli->topology, &json);
		cli_print_json(&json);
	} else {
		topology_print(&cli->topology, stdout);
	}
	text_deinit(&json);
	cli->json = false; /* one object is out already */
	int code = linked ? link_base_find(cli, &up_flags.start.link_base, &is_noted, &error) : 0;
	if (code)
		cli_fail_error(cli, code, &error);
	const struct up_plan plan = {
	    .hosts = hosts, .mask = mask, .link_base = linked && !code ? up_flags.start.link_base : 0, .is_check = true};
	return up_check(cli, &plan) || code ? error_exit_code(ERR_CONFIGURATION) : 0;
}

static int up_run(struct cli *cli)
{
	uint32_t mask;
	int exit_code = cli_topology_load(cli);
	if (exit_code)
		return exit_code;
	exit_code = regions_pick(cli, &up_flags.regions, &mask);
	if (exit_code)
		return exit_code;
	if (up_flags.start.log_level && logline_parse_level(up_flags.start.log_level) < 0)
		return cli_fail(cli, ERR_USAGE, "--log-level %.40s: use debug, info, warn or error", up_flags.start.log_level);
	static struct hosts hosts;
	hosts_look(cli, &hosts);
	if (!mask)
		mask = hosts_regions_held(cli, hosts.local);
	if (up_flags.check)
		return up_look(cli, &hosts, mask);
	return regions_start(cli, &up_flags.start, &hosts, mask, 0);
}

const struct command command_up = {.name = "up",
    .arguments = "",
    .summary = "start the regions of this machine; returns when all are ready",
    .detail =
        "Makes the data directory, and if all regions are of this machine the keys, when they are not there. Regions that run\n"
        "are left alone. On one of several machines `godwit keys` makes and brings the keys; started is what has its secret "
        "there.",
    .options = up_options,
    .option_values = &up_flags,
    .flags = COMMAND_OWN_TOPOLOGY | COMMAND_OWN_REGION,
    .run = up_run};
