/* SPDX-License-Identifier: Apache-2.0
 *
 * Regions of this machine are started: directories, keys, the link emulator, a supervisor each; and waited for. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/godwit/processes.h"
#include "cmd/godwit/start_stop.h"
#include "cmd/godwit/survey.h"
#include "cmd/godwit/up_check.h"
#include "shm/layout.h"

#define START_LOOK_MS 1000u
#define MEET_WAIT_MS  10000u
/* An `up` that only waits is over by then; one that restores a snapshot can be stopped by Ctrl-C. */
#define TURN_WAIT_MS 120000u

int regions_pick(struct cli *cli, const struct option_list *names, uint32_t *mask)
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
 * stays until it is known that this one can be started, and the name itself is never gone: a command that finds no topology
 * there takes the one of three regions on loopback. *is_replaced: it is another one now, for topology_settle. */
static int topology_keep(struct cli *cli, bool *is_replaced, struct error_context *error)
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
	*is_replaced = true;
	return ERR_OK;
}

static int directories_prepare(
    struct cli *cli, const struct hosts *hosts, uint32_t mask, bool *is_replaced, struct error_context *error)
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
		code = topology_keep(cli, is_replaced, error);
	return code ? code : hosts_keys_prepare(cli, hosts->local, mask, error);
}

bool link_is_needed(const struct hosts *hosts)
{
	return (hosts->local & (hosts->local - 1)) != 0;
}

int link_base_find(struct cli *cli, uint32_t *link_base, bool *is_noted, struct error_context *error)
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
	*is_noted = noted && (!*link_base || *link_base == noted);
	if (noted && !*is_noted && up_anything_runs(cli, 0))
		return error_set(
		    error, ERR_CONFIGURATION, "the link emulator uses the ports from %u on; `godwit down` first", noted);
	if (!*link_base)
		*link_base = noted ? noted : CLI_LINK_BASE_DEFAULT;
	return ERR_OK;
}

static int link_base_note(struct cli *cli, uint32_t link_base, struct error_context *error)
{
	char path[320];
	snprintf(path, sizeof path, "%s/link.base", cli->dir_path);
	FILE *file = fopen(path, "we");
	if (!file || fprintf(file, "%u\n", link_base) < 0 || fclose(file) != 0)
		return error_set(error, ERR_IO, "%s: %s", path, strerror(errno));
	return ERR_OK;
}

/* All links of a machine with more than one region go through the emulator, so that `godwit link cut` always works. */
static int link_start(struct cli *cli, const struct start_options *options, uint64_t deadline_ns, const char *topology_file,
    struct error_context *error)
{
	char errors[320], base[16];
	struct process_spawned spawned;
	const char *arguments[12];
	int count = 0;
	if (processes_running(cli->dir_path, LINK_PROGRAM))
		return ERR_OK;
	snprintf(errors, sizeof errors, "%s/link.stderr", cli->dir_path);
	snprintf(base, sizeof base, "%u", options->link_base);
	arguments[count++] = "--dir";
	arguments[count++] = cli->dir_path;
	arguments[count++] = "--link-base";
	arguments[count++] = base;
	if (topology_file) {
		arguments[count++] = "--topology";
		arguments[count++] = topology_file;
	}
	if (options->wan)
		arguments[count++] = "--wan";
	arguments[count] = NULL;
	int code = processes_spawn(&spawned, "godwit-link", arguments, errors, error);
	return code ? code : processes_wait_ready(&spawned, "the link emulator", deadline_ns, error);
}

static int supervisor_start(struct cli *cli, const struct start_options *options, const struct region *region, bool linked,
    const char *topology_file, struct process_spawned *spawned, struct error_context *error)
{
	char dir[320], errors[360], base[16];
	const char *arguments[18];
	int count = 0;
	cli_region_dir(cli, region, dir);
	snprintf(errors, sizeof errors, "%s/supervisor.stderr", dir);
	snprintf(base, sizeof base, "%u", linked ? options->link_base : 0);
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
	if (options->log_level) {
		arguments[count++] = "--log-level";
		arguments[count++] = options->log_level;
	}
	if (options->new_cluster) {
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

/* A coordinator that copies a snapshot or applies its log shows signs of life: it has no deadline while it does, and how far it
 * is is told. */
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

/* Waits for those that were started, all at once; tells each as it is ready. A region that cannot start is stopped and its
 * reason told at once; the others go on. Returns the first failure. */
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
static void topology_settle(struct cli *cli, bool is_good, bool is_replaced)
{
	char kept[300], former[310];
	bool killed;
	if (!is_good && processes_running(cli->dir_path, LINK_PROGRAM))
		processes_stop(cli->dir_path, LINK_PROGRAM, STOP_WAIT_MS, &killed, NULL);
	snprintf(kept, sizeof kept, "%s/topology.yaml", cli->dir_path);
	snprintf(former, sizeof former, "%s.former", kept);
	if (!is_good && is_replaced && rename(former, kept) < 0)
		unlink(kept);
	unlink(former);
}

/* Those of `starting` that do not run, and the emulator before them. */
static int programs_start(struct cli *cli, const struct start_options *options, bool linked, uint32_t *starting,
    struct process_spawned spawned[static REGIONS_MAX], uint64_t began_ns, struct error_context *error)
{
	char dir[320], kept[300];
	uint32_t mask = *starting;
	snprintf(kept, sizeof kept, "%s/topology.yaml", cli->dir_path);
	const char *topology_file = cli->topology_file[0] ? kept : NULL;
	int code = linked ? link_start(cli, options, began_ns + READY_WAIT_MS * 1000000ull, topology_file, error) : 0;
	*starting = 0;
	for (uint32_t i = 0; !code && i < cli->topology.region_count; i++) {
		cli_region_dir(cli, &cli->topology.regions[i], dir);
		if (!(mask & 1u << i))
			continue;
		if (processes_running(dir, SUPERVISOR)) {
			region_print(cli, &cli->topology.regions[i], true, 0);
			continue;
		}
		code = supervisor_start(cli, options, &cli->topology.regions[i], linked, topology_file, &spawned[i], error);
		if (!code)
			*starting |= 1u << i;
	}
	return code;
}

/* With the turn taken. All that can be known is looked at before any of `leaving` is stopped. */
static int start_in_turn(
    struct cli *cli, struct start_options options, const struct hosts *hosts, uint32_t mask, uint32_t leaving)
{
	static struct process_spawned spawned[REGIONS_MAX];
	struct error_context error = {{0}};
	uint32_t starting = mask;
	bool ran = false, base_is_noted = true, is_replaced = false, linked = link_is_needed(hosts);
	uint64_t began_ns = cli_now_ns();
	for (uint32_t i = 0; i < cli->topology.region_count; i++) {
		char dir[320];
		cli_region_dir(cli, &cli->topology.regions[i], dir);
		if (mask & 1u << i)
			processes_settle(dir, SUPERVISOR, 3000);
		ran |= !(leaving & 1u << i) && processes_running(dir, SUPERVISOR);
	}
	int code = linked ? link_base_find(cli, &options.link_base, &base_is_noted, &error) : 0;
	if (code)
		return cli_fail_error(cli, code, &error);
	const struct up_plan plan = {
	    .hosts = hosts, .mask = mask, .leaving = leaving, .link_base = linked ? options.link_base : 0};
	if (up_check(cli, &plan))
		return error_exit_code(ERR_CONFIGURATION);
	for (uint32_t i = 0; i < cli->topology.region_count; i++) {
		int exit_code = leaving & 1u << i ? region_stop(cli, &cli->topology.regions[i], false) : 0;
		if (exit_code)
			return exit_code;
	}
	code = directories_prepare(cli, hosts, mask, &is_replaced, &error);
	if (!code && !base_is_noted)
		code = link_base_note(cli, options.link_base, &error);
	if (code)
		starting = 0;
	else
		code = programs_start(cli, &options, linked, &starting, spawned, began_ns, &error);
	/* Those that were started are waited for even when another one failed: they go on running. */
	int exit_code = regions_wait(cli, starting, spawned, began_ns);
	if (code)
		exit_code = cli_fail_error(cli, code, &error);
	if (!exit_code)
		exit_code = regions_meet(cli);
	topology_settle(cli, !exit_code || ran || up_regions_run(cli, 0), is_replaced);
	return exit_code;
}

int turn_take(struct cli *cli, int *code, struct error_context *error)
{
	int turn = processes_turn(cli->dir_path, TURN_WAIT_MS);
	*code = 0;
	if (turn < 0 && errno == EBUSY)
		*code = error_set(
		    error, ERR_OVERLOADED, "another command starts or stops regions of %s, and does not end", cli->dir);
	else if (turn < 0 && errno != ENOENT)
		*code = error_set(error, ERR_IO, "%s: %s", cli->dir, strerror(errno));
	return turn;
}

int regions_start(
    struct cli *cli, const struct start_options *options, const struct hosts *hosts, uint32_t mask, uint32_t leaving)
{
	struct error_context error = {{0}};
	/* Nothing can be started: not even a directory is made. */
	const struct up_plan plan = {.hosts = hosts, .mask = mask, .leaving = leaving};
	if ((!mask || mask & ~hosts->local) && up_check(cli, &plan))
		return error_exit_code(ERR_CONFIGURATION);
	int turn = -1, code = dir_make(cli->dir, &error);
	if (!code)
		code = cli_dir_resolve(cli, &error);
	if (!code)
		turn = turn_take(cli, &code, &error);
	if (!code && turn < 0)
		code = error_set(&error, ERR_IO, "%s: %s", cli->dir, strerror(ENOENT));
	if (code)
		return cli_fail_error(cli, code, &error);
	int exit_code = start_in_turn(cli, *options, hosts, mask, leaving);
	close(turn);
	return exit_code;
}
