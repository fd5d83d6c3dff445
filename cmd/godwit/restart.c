/* SPDX-License-Identifier: Apache-2.0
 *
 * restart: an actor, by its own supervisor, or a region. */
#include <stdlib.h>
#include <unistd.h>

#include "cmd/godwit/start_stop.h"
#include "runtime/admin.h"
#include "shm/layout.h"

#define PATH_WAIT_MS 2000u

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
	while ((code = admin_ask(endpoint, "stop", "", cli->timeout_ms, &json, &error)) == ERR_UNREACHABLE &&
	       access(endpoint + 6, F_OK) < 0 && cli_now_ns() < started_ns + PATH_WAIT_MS * 1000000ull)
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
	static const struct start_options as_they_are;
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
	return regions_start(cli, &as_they_are, &hosts, one, one);
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
