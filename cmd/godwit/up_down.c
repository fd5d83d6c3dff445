/* SPDX-License-Identifier: Apache-2.0
 *
 * up, down, restart: the regions of this machine as background programs. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/godwit/cli.h"
#include "cmd/godwit/hosts.h"
#include "cmd/godwit/processes.h"
#include "cmd/godwit/survey.h"
#include "cmd/godwit/up_check.h"
#include "runtime/admin.h"
#include "runtime/keys.h"
#include "runtime/logline.h"
#include "shm/layout.h"

#define READY_WAIT_MS    30000u
#define START_LOOK_MS    1000u
#define STOP_WAIT_MS     20000u
#define PATH_WAIT_MS     2000u
#define MEET_WAIT_MS     10000u
#define TURN_WAIT_MS     120000u /* an `up` that only waits is over by then; one that restores a snapshot can be stopped by Ctrl-C */

struct up_flags {
	struct option_list regions;
	const char *log_level;
	uint32_t link_base;
	bool wan, check, new_cluster;
};
static struct up_flags up_flags;

static const struct option up_options[] = {
    {"region", 'r', OPTION_LIST, offsetof(struct up_flags, regions), 0, 0, "REGION",
        "only this one (default: all of this machine)"},
    {"wan", 0, OPTION_BOOL, offsetof(struct up_flags, wan), 0, 0, NULL,
        "give the links between regions the round trips of continents: 75, 110, 190 ms"},
    {"new-cluster", 0, OPTION_BOOL, offsetof(struct up_flags, new_cluster), 0, 0, NULL,
        "regions without data take writes before they have met another one: only for the very first start"},
    {"check", 0, OPTION_BOOL, offsetof(struct up_flags, check), 0, 0, NULL, "print the effective configuration and all that keeps it from starting, start nothing"},
    {"log-level", 0, OPTION_TEXT, offsetof(struct up_flags, log_level), 0, 0, "LEVEL", "debug, info, warn or error"},
    {"link-base", 0, OPTION_U32, offsetof(struct up_flags, link_base), 1024, 65000, "PORT",
        "first port of the link emulator (default: 7600)"},
    {0},
};

static int regions_pick(struct cli *cli, const struct option_list *names, uint32_t *mask)
{
	struct error_context error = {{0}};
	*mask = 0;
	for (uint32_t i = 0; i < names->count; i++) {
		uint32_t one;
		int code = cli_regions_parse(&cli->topology, names->values[i], &one, &error);
		if (code)
			return cli_fail_error(cli, code, &error);
		*mask |= one;
	}
	return 0;
}

static int dir_make(const char *path, struct error_context *error)
{
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return error_set(error, ERR_IO, "%s: %s", path, strerror(errno));
	return ERR_OK;
}

/* The topology that the regions run with stays beside their data, so that later commands need no --topology. The one before it
 * stays until it is known that this one can be started, and the name itself is never gone: a command that finds no topology there
 * takes the one of three regions on loopback. */
static int topology_keep(struct cli *cli, struct error_context *error)
{
	char kept[300], temporary[310], former[310], buffer[8192];
	snprintf(kept, sizeof kept, "%s/topology.yaml", cli->dir_path);
	snprintf(former, sizeof former, "%s.former", kept);
	/* One that a killed command left is not what this one has to put back. */
	if (unlink(former) < 0 && errno != ENOENT)
		return error_set(error, ERR_IO, "%s: %s", former, strerror(errno));
	if (up_topology_is_kept(cli, kept))
		return ERR_OK;
	int code = up_topology_fits(cli, 0, error);
	if (code)
		return code;
	if (link(kept, former) < 0 && errno != ENOENT)
		return error_set(error, ERR_IO, "%s: %s", kept, strerror(errno));
	snprintf(temporary, sizeof temporary, "%s.new", kept);
	FILE *in = fopen(cli->topology_path, "re"), *out = fopen(temporary, "we");
	size_t size;
	bool good = in && out;
	while (good && (size = fread(buffer, 1, sizeof buffer, in)) > 0)
		good = fwrite(buffer, 1, size, out) == size;
	good = good && !ferror(in);
	if (in)
		fclose(in);
	/* A machine that goes down finds the file whole under its name, or the one before. */
	good = good && fflush(out) == 0 && fsync(fileno(out)) == 0;
	if (out && fclose(out) != 0)
		good = false;
	if (!good || rename(temporary, kept) < 0)
		return error_set(error, ERR_IO, "copying %s to %s: %s", cli->topology_path, kept, strerror(errno));
	return ERR_OK;
}

static int directories_prepare(struct cli *cli, const struct hosts *hosts, uint32_t mask, struct error_context *error)
{
	char dir[320];
	int code = ERR_OK;
	for (uint32_t i = 0; !code && i < cli->topology.region_count; i++) {
		const struct region *region = &cli->topology.regions[i];
		if (!(mask & 1u << i))
			continue;
		cli_region_dir(cli, region, dir);
		code = dir_make(dir, error);
	}
	if (!code)
		code = topology_keep(cli, error);
	return code ? code : hosts_keys_prepare(cli, hosts->local, mask, error);
}

/* The ports of the emulator are noted, so that a restart finds those that the others use. */
static int link_base_find(struct cli *cli, bool *is_noted, struct error_context *error)
{
	char path[320];
	unsigned noted = 0;
	snprintf(path, sizeof path, "%s/link.base", cli->dir_path);
	FILE *file = fopen(path, "re");
	if (file) {
		if (fscanf(file, "%u", &noted) != 1 || noted > 65000)
			noted = 0;
		fclose(file);
	}
	*is_noted = noted && (!up_flags.link_base || up_flags.link_base == noted);
	if (noted && !*is_noted && up_anything_runs(cli, 0))
		return error_set(
		    error, ERR_CONFIGURATION, "the link emulator uses the ports from %u on; `godwit down` first", noted);
	if (!up_flags.link_base)
		up_flags.link_base = noted ? noted : CLI_LINK_BASE_DEFAULT;
	return ERR_OK;
}

static int link_base_note(struct cli *cli, struct error_context *error)
{
	char path[320];
	snprintf(path, sizeof path, "%s/link.base", cli->dir_path);
	FILE *file = fopen(path, "we");
	if (!file || fprintf(file, "%u\n", up_flags.link_base) < 0 || fclose(file) != 0)
		return error_set(error, ERR_IO, "%s: %s", path, strerror(errno));
	return ERR_OK;
}

/* All links of a machine with more than one region go through the emulator, so that `godwit link cut` always works. */
static int link_start(struct cli *cli, uint64_t deadline_ns, const char *topology_file, struct error_context *error)
{
	char errors[320], base[16];
	struct process_spawned spawned;
	const char *arguments[12];
	int count = 0;
	if (processes_running(cli->dir_path, LINK_PROGRAM))
		return ERR_OK;
	snprintf(errors, sizeof errors, "%s/link.stderr", cli->dir_path);
	snprintf(base, sizeof base, "%u", up_flags.link_base);
	arguments[count++] = "--dir";
	arguments[count++] = cli->dir_path;
	arguments[count++] = "--link-base";
	arguments[count++] = base;
	if (topology_file) {
		arguments[count++] = "--topology";
		arguments[count++] = topology_file;
	}
	if (up_flags.wan)
		arguments[count++] = "--wan";
	arguments[count] = NULL;
	int code = processes_spawn(&spawned, "godwit-link", arguments, errors, error);
	return code ? code : processes_wait_ready(&spawned, "the link emulator", deadline_ns, error);
}

static int supervisor_start(struct cli *cli, const struct region *region, bool linked, const char *topology_file,
    struct process_spawned *spawned, struct error_context *error)
{
	char dir[320], errors[360], base[16];
	const char *arguments[18];
	int count = 0;
	cli_region_dir(cli, region, dir);
	snprintf(errors, sizeof errors, "%s/supervisor.stderr", dir);
	snprintf(base, sizeof base, "%u", linked ? up_flags.link_base : 0);
	arguments[count++] = "--dir";
	arguments[count++] = cli->dir_path;
	arguments[count++] = "--region";
	arguments[count++] = region->name;
	arguments[count++] = "--link-base";
	arguments[count++] = base;
	if (cli->keys_path) {
		arguments[count++] = "--keys";
		arguments[count++] = cli->key_dir;
	}
	if (topology_file) {
		arguments[count++] = "--topology";
		arguments[count++] = topology_file;
	}
	if (up_flags.log_level) {
		arguments[count++] = "--log-level";
		arguments[count++] = up_flags.log_level;
	}
	if (up_flags.new_cluster) {
		arguments[count++] = "--actor-flag";
		arguments[count++] = "coordinator:--new-cluster";
	}
	arguments[count] = NULL;
	return processes_spawn(spawned, "godwit-supervisor", arguments, errors, error);
}

static void region_print(struct cli *cli, const struct region *region, bool ran, uint64_t took_ms)
{
	if (!cli->json) {
		printf("%-16s %s%s%s  tcp://%s:%u", region->name, cli_green(), ran ? "runs already" : "ready", cli_plain(),
		    region->host, region->port);
		if (!ran)
			printf("  (%llu ms)", (unsigned long long)took_ms);
		printf("\n");
		return;
	}
	struct text json = {0};
	text_add(&json, "{");
	json_add_text(&json, "name", region->name);
	text_add(&json, ",\"endpoint\":\"tcp://%s:%u\",\"ran_already\":%s,\"took_ms\":%llu}", region->host, region->port,
	    ran ? "true" : "false", (unsigned long long)took_ms);
	cli_print_json(&json);
	text_deinit(&json);
}

struct start_seen {
	uint64_t turned_ms, deadline_ns, looked_ns;
	uint32_t told_mib;
};

/* A coordinator that copies a snapshot or applies its log shows signs of life: it has no deadline while it does, and how far it is
 * is told. */
static void start_look(struct cli *cli, const struct region *region, struct start_seen *seen)
{
	char dir[320];
	struct shm shm;
	uint64_t now_ns = cli_now_ns();
	if (now_ns < seen->looked_ns + START_LOOK_MS * 1000000ull)
		return;
	seen->looked_ns = now_ns;
	cli_region_dir(cli, region, dir);
	if (shm_attach(&shm, dir, 0, NULL) < 0)
		return;
	const struct shm_coordinator *coordinator = &shm.layout->coordinator;
	uint64_t turned_ms = counter_get(&shm.layout->counters[ACTOR_COORDINATOR], COUNTER_turned_ms);
	uint32_t done_mib = atomic_load_explicit(&coordinator->start_done_mib, memory_order_relaxed);
	uint32_t total_mib = atomic_load_explicit(&coordinator->start_total_mib, memory_order_relaxed);
	shm_detach(&shm);
	if (!total_mib || turned_ms == seen->turned_ms)
		return;
	/* Not what an earlier start has left: only what is seen to change counts. */
	if (seen->turned_ms)
		seen->deadline_ns = now_ns + READY_WAIT_MS * 1000000ull;
	seen->turned_ms = turned_ms;
	if (!cli->json && done_mib != seen->told_mib)
		fprintf(stderr, "%-16s restoring: %u of %u MiB\n", region->name, done_mib, total_mib);
	seen->told_mib = done_mib;
}

/* Waits for those that were started, all at once; tells each as it is ready. A region that cannot start is stopped and its reason
 * told at once; the others go on. Returns the first failure. */
static int regions_wait(struct cli *cli, uint32_t starting, struct process_spawned *spawned, uint64_t began_ns)
{
	struct error_context first = {{0}};
	struct start_seen seen[REGIONS_MAX] = {{0}};
	int failure = 0;
	for (uint32_t i = 0; i < cli->topology.region_count; i++)
		seen[i].deadline_ns = began_ns + READY_WAIT_MS * 1000000ull;
	while (starting) {
		for (uint32_t i = 0; i < cli->topology.region_count; i++) {
			const struct region *region = &cli->topology.regions[i];
			struct error_context error = {{0}};
			if (!(starting & 1u << i))
				continue;
			int code = processes_poll_ready(&spawned[i], region->name, 10, &error);
			if (code == 1)
				start_look(cli, region, &seen[i]);
			if (code == 1 && cli_now_ns() >= seen[i].deadline_ns)
				code = processes_give_up(&spawned[i], region->name, &error);
			if (code == 1)
				continue;
			starting &= ~(1u << i);
			if (!code) {
				region_print(cli, region, false, (cli_now_ns() - began_ns) / 1000000);
				continue;
			}
			if (spawned[i].pid > 0 && kill(spawned[i].pid, SIGTERM) == 0)
				waitpid(spawned[i].pid, NULL, 0);
			if (failure)
				cli_fail_error(cli, code, &error);
			else
				first = error;
			failure = failure ? failure : code;
		}
	}
	return failure ? cli_fail_error(cli, failure, &first) : 0;
}

/* Ready is a region that has met those that run: the first write, and a read of it elsewhere, find each other. */
static int regions_meet(struct cli *cli)
{
	static struct survey survey;
	char who[256] = "";
	bool met = false;
	int exit_code = survey_open(&survey, cli);
	if (exit_code)
		return exit_code;
	for (uint64_t end_ns = cli_now_ns() + MEET_WAIT_MS * 1000000ull; !met && cli_now_ns() < end_ns;) {
		survey_ask(&survey, true, 0, 1000);
		met = survey_has_met(&survey, who);
		if (!met)
			cli_sleep_ms(20);
	}
	survey_close(&survey);
	if (!met)
		fprintf(stderr, "started, but not everybody has met everybody: %s; `godwit status` shows more\n", who);
	return 0;
}

/* When nothing could be started, nothing of the attempt stays. */
static void topology_settle(struct cli *cli, bool is_good)
{
	char kept[300], former[310];
	bool killed;
	if (!is_good && processes_running(cli->dir_path, LINK_PROGRAM))
		processes_stop(cli->dir_path, LINK_PROGRAM, STOP_WAIT_MS, &killed, NULL);
	snprintf(kept, sizeof kept, "%s/topology.yaml", cli->dir_path);
	snprintf(former, sizeof former, "%s.former", kept);
	if (!is_good && rename(former, kept) < 0 && cli->topology_path)
		unlink(kept);
	unlink(former);
}

static int turn_error(const struct cli *cli, struct error_context *error)
{
	return errno == EBUSY ? error_set(error, ERR_OVERLOADED, "another command starts or stops regions of %s, and does not end", cli->dir)
	                      : error_set(error, ERR_IO, "%s: %s", cli->dir, strerror(errno));
}

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

static int region_stop(struct cli *cli, const struct region *region, bool say)
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

/* Those of `starting` that do not run, and the emulator before them. */
static int programs_start(struct cli *cli, bool linked, uint32_t *starting, struct process_spawned spawned[static REGIONS_MAX],
    uint64_t began_ns, struct error_context *error)
{
	char dir[320], kept[300];
	uint32_t mask = *starting;
	snprintf(kept, sizeof kept, "%s/topology.yaml", cli->dir_path);
	const char *topology_file = cli->topology_file[0] ? kept : NULL;
	int code = linked ? link_start(cli, began_ns + READY_WAIT_MS * 1000000ull, topology_file, error) : 0;
	*starting = 0;
	for (uint32_t i = 0; !code && i < cli->topology.region_count; i++) {
		cli_region_dir(cli, &cli->topology.regions[i], dir);
		if (!(mask & 1u << i))
			continue;
		if (processes_running(dir, SUPERVISOR)) {
			region_print(cli, &cli->topology.regions[i], true, 0);
			continue;
		}
		code = supervisor_start(cli, &cli->topology.regions[i], linked, topology_file, &spawned[i], error);
		if (!code)
			*starting |= 1u << i;
	}
	return code;
}

/* With the turn taken. All that can be known is looked at before any of `leaving` is stopped. */
static int regions_start_in_turn(struct cli *cli, const struct hosts *hosts, uint32_t mask, uint32_t leaving)
{
	static struct process_spawned spawned[REGIONS_MAX];
	struct error_context error = {{0}};
	uint32_t starting = mask;
	bool ran = false, base_is_noted = true, linked = (hosts->local & (hosts->local - 1)) != 0;
	uint64_t began_ns = cli_now_ns();
	for (uint32_t i = 0; i < cli->topology.region_count; i++) {
		char dir[320];
		cli_region_dir(cli, &cli->topology.regions[i], dir);
		if (mask & 1u << i)
			processes_settle(dir, SUPERVISOR, 3000);
		ran |= !(leaving & 1u << i) && processes_running(dir, SUPERVISOR);
	}
	int code = linked ? link_base_find(cli, &base_is_noted, &error) : 0;
	if (code)
		return cli_fail_error(cli, code, &error);
	const struct up_plan plan = {
	    .hosts = hosts, .mask = mask, .leaving = leaving, .link_base = linked ? up_flags.link_base : 0};
	if (up_check(cli, &plan))
		return error_exit_code(ERR_CONFIGURATION);
	for (uint32_t i = 0; i < cli->topology.region_count; i++) {
		int exit_code = leaving & 1u << i ? region_stop(cli, &cli->topology.regions[i], false) : 0;
		if (exit_code)
			return exit_code;
	}
	code = directories_prepare(cli, hosts, mask, &error);
	if (!code && !base_is_noted)
		code = link_base_note(cli, &error);
	if (code)
		starting = 0;
	else
		code = programs_start(cli, linked, &starting, spawned, began_ns, &error);
	/* Those that were started are waited for even when another one failed: they go on running. */
	int exit_code = regions_wait(cli, starting, spawned, began_ns);
	if (code)
		exit_code = cli_fail_error(cli, code, &error);
	if (!exit_code)
		exit_code = regions_meet(cli);
	topology_settle(cli, !exit_code || ran || up_regions_run(cli, 0));
	return exit_code;
}

/* Regions of the mask; those of `leaving` are stopped first. One command at a time: from the first look to the end. */
static int regions_start(struct cli *cli, const struct hosts *hosts, uint32_t mask, uint32_t leaving)
{
	struct error_context error = {{0}};
	/* Nothing can be started: not even a directory is made. */
	const struct up_plan plan = {.hosts = hosts, .mask = mask, .leaving = leaving};
	if ((!mask || mask & ~hosts->local) && up_check(cli, &plan))
		return error_exit_code(ERR_CONFIGURATION);
	int turn = -1, code = dir_make(cli->dir, &error);
	if (!code)
		code = cli_dir_resolve(cli, &error);
	if (!code && (turn = processes_turn(cli->dir_path, TURN_WAIT_MS)) < 0)
		code = turn_error(cli, &error);
	if (code)
		return cli_fail_error(cli, code, &error);
	int exit_code = regions_start_in_turn(cli, hosts, mask, leaving);
	close(turn);
	return exit_code;
}

/* --check: what would be started, and all that would keep it from starting. */
static int up_look(struct cli *cli, const struct hosts *hosts, uint32_t mask)
{
	const uint32_t local = hosts->local;
	struct error_context error = {{0}};
	struct text json = {0};
	bool linked = (local & (local - 1)) != 0, is_noted, is_json = cli->json;
	if (is_json) {
		topology_json(&cli->topology, &json);
		cli_print_json(&json);
	} else {
		topology_print(&cli->topology, stdout);
	}
	text_deinit(&json);
	cli->json = false; /* one object is out already */
	int code = linked ? link_base_find(cli, &is_noted, &error) : 0;
	if (code)
		cli_fail_error(cli, code, &error);
	const struct up_plan plan = {
	    .hosts = hosts, .mask = mask, .link_base = linked && !code ? up_flags.link_base : 0, .is_check = true};
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
	if (up_flags.log_level && logline_parse_level(up_flags.log_level) < 0)
		return cli_fail(cli, ERR_USAGE, "--log-level %.40s: use debug, info, warn or error", up_flags.log_level);
	static struct hosts hosts;
	hosts_look(cli, &hosts);
	if (!mask)
		mask = hosts_regions_held(cli, hosts.local);
	if (up_flags.check)
		return up_look(cli, &hosts, mask);
	return regions_start(cli, &hosts, mask, 0);
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
	int turn = processes_turn(cli->dir_path, TURN_WAIT_MS);
	if (turn < 0 && errno != ENOENT)
		return cli_fail_error(cli, turn_error(cli, &error), &error);
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
		int code = processes_stop(cli->dir_path, LINK_PROGRAM, STOP_WAIT_MS, &killed, &error);
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

/* Stops one actor by its own admin socket and waits until the supervisor's next one is ready. */
static int actor_restart(struct cli *cli, const struct region *region, enum actor actor)
{
	char dir[320], endpoint[256], *json = NULL;
	struct error_context error = {{0}};
	struct shm shm;
	cli_region_dir(cli, region, dir);
	int code = shm_attach(&shm, dir, 0, &error);
	if (code)
		return cli_fail_error(cli, code, &error);
	struct shm_actor *seen = &shm.layout->actors[actor];
	uint32_t starts = atomic_load(&seen->starts);
	uint64_t started_ns = cli_now_ns(), deadline_ns = started_ns + READY_WAIT_MS * 1000000ull;
	admin_endpoint(dir, actor_name(actor), endpoint);
	/* Its path may have been removed: then the actor makes it anew in a moment. */
	while ((code = admin_ask(endpoint, "stop", "", cli->timeout_ms, &json, &error)) == ERR_UNREACHABLE && access(endpoint + 6, F_OK) < 0 &&
	       cli_now_ns() < started_ns + PATH_WAIT_MS * 1000000ull)
		cli_sleep_ms(20);
	free(json);
	while (!code && (atomic_load(&seen->starts) == starts || atomic_load(&seen->state) != ACTOR_READY)) {
		if (cli_now_ns() > deadline_ns)
			code = error_set(&error, ERR_UNREACHABLE, "%s of %s is not ready again after %u s; see %s/%s.stderr",
			    actor_name(actor), region->name, READY_WAIT_MS / 1000, dir, actor_name(actor));
		cli_sleep_ms(2);
	}
	shm_detach(&shm);
	if (code)
		return cli_fail_error(cli, code, &error);
	unsigned long long took_ms = (cli_now_ns() - started_ns) / 1000000;
	if (cli->json)
		printf("{\"region\":\"%s\",\"actor\":\"%s\",\"took_ms\":%llu}\n", region->name, actor_name(actor), took_ms);
	else
		printf("%-16s %s is ready again  (%llu ms)\n", region->name, actor_name(actor), took_ms);
	return 0;
}

static struct option_list restart_regions;
static const struct option restart_options[] = {
    {"region", 'r', OPTION_LIST, 0, 0, 0, "REGION", "in which region an actor is restarted (default: all of this machine)"},
    {0},
};

static int actors_restart(struct cli *cli, enum actor actor, uint32_t mask, const struct hosts *hosts)
{
	struct error_context error = {{0}};
	uint32_t local = hosts->local, asked = mask ? mask : local;
	/* An actor reads its keys anew. Those of a region whose secret is elsewhere are not for us to judge. */
	uint32_t held = asked & hosts_regions_held(cli, local);
	int exit_code = 0, code = held ? hosts_keys_look(cli, local, held, &error) : 0;
	if (code)
		return cli_fail_error(cli, code, &error);
	for (uint32_t i = 0; !exit_code && i < cli->topology.region_count; i++)
		if (asked & 1u << i)
			exit_code = actor_restart(cli, &cli->topology.regions[i], actor);
	return exit_code;
}

static int restart_run(struct cli *cli)
{
	static struct hosts hosts;
	uint32_t mask;
	const char *what = cli->arguments[0];
	int exit_code = cli_topology_load(cli), actor = actor_parse(what);
	if (exit_code)
		return exit_code;
	exit_code = regions_pick(cli, &restart_regions, &mask);
	if (exit_code)
		return exit_code;
	const struct region *region = topology_region(&cli->topology, what);
	if (actor < 0 && !region)
		return cli_fail(cli, ERR_USAGE,
		    "'%.60s' is neither an actor (coordinator, streamer, monitor, router, reconciler) nor a region", what);
	hosts_look(cli, &hosts);
	if (actor >= 0)
		return actors_restart(cli, (enum actor)actor, mask, &hosts);
	uint32_t one = 1u << topology_region_index(&cli->topology, region->id);
	return regions_start(cli, &hosts, one, one);
}

const struct command command_restart = {.name = "restart",
    .arguments = "ACTOR|REGION",
    .summary = "stop and start an actor or a region, and say how long it took",
    .options = restart_options,
    .option_values = &restart_regions,
    .arguments_min = 1,
    .arguments_max = 1,
    .flags = COMMAND_OWN_TOPOLOGY | COMMAND_OWN_REGION,
    .run = restart_run};
