/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/godwit/up_check.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/godwit/processes.h"
#include "cmd/godwit/survey.h"
#include "runtime/descriptors.h"
#include "runtime/keyspaces.h"
#include "shm/layout.h"
#include "store/rows.h"

#define IPC_PATH_MAX     107u
#define IPC_NAME_LONGEST "coordinator.admin"
#define PORTS_MAX        (REGIONS_MAX * SERVICES + REGIONS_MAX * REGIONS_MAX * SERVICES)

/* A port that is found free stays taken until all have been looked at, so that two uses of one port are found, whatever its
 * host is called. */
struct held {
	int fd;
	uint16_t port;
	char owner[NAME_SIZE_MAX];
};
struct check {
	struct cli *cli;
	const struct up_plan *plan;
	uint32_t mask;          /* of the plan, or for want of one all regions of this machine */
	bool is_other_topology; /* than what runs */
	uint32_t mistakes, held_count;
	struct held held[PORTS_MAX];
};

static void mistake(struct check *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void mistake(struct check *c, const char *format, ...)
{
	char text[400];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	cli_fail(c->cli, ERR_CONFIGURATION, "%s", text);
	c->mistakes++;
}

static void levels_check(struct check *c)
{
	const struct topology *topology = &c->cli->topology;
	uint64_t served = survey_keyspaces_served(topology);
	for (uint32_t k = 0; k < topology->keyspace_count; k++) {
		const struct keyspace *keyspace = &topology->keyspaces[k];
		if (!keyspace_is_there(keyspace) || served & 1ull << k)
			continue;
		if (c->plan->is_check)
			mistake(c,
			    "keyspace %s: level %s with ack %s is not there in this version, it would refuse reads and writes",
			    keyspace->name, level_name(keyspace->level), acknowledge_name(keyspace->acknowledge));
		else
			fprintf(stderr,
			    "keyspace %s refuses reads and writes: level %s with ack %s is not there in this version\n",
			    keyspace->name, level_name(keyspace->level), acknowledge_name(keyspace->acknowledge));
	}
}

static void hosts_check(struct check *c)
{
	for (uint32_t i = 0; i < c->cli->topology.region_count; i++) {
		const struct region *region = &c->cli->topology.regions[i];
		const struct host *host = &c->plan->hosts->of[i];
		if (c->mask & 1u << i && !host->is_local)
			mistake(c, "%s belongs to %s, which is not this machine", region->name, region->host);
		else if (host->is_local || host->is_known)
			continue;
		else if (c->plan->is_check)
			mistake(c, "%s: %s", region->name, host->reason.text);
		else /* the name may be known by the time that it is connected to */
			fprintf(stderr, "%s cannot be reached for now: %s\n", region->name, host->reason.text);
	}
	if (!c->plan->hosts->local)
		mistake(c, "no region of the topology has an address of this machine");
}

/* address: numeric, of `host`, which is what an operator knows. */
static void port_look(struct check *c, const char *address, const char *host, uint32_t port, const char *owner)
{
	struct error_context reason = {{0}};
	int fd = -1, code = address_port_open(address, (uint16_t)port, &fd, &reason);
	if (!code) {
		struct held *held = &c->held[c->held_count++];
		*held = (struct held){.fd = fd, .port = (uint16_t)port};
		snprintf(held->owner, sizeof held->owner, "%s", owner);
		return;
	}
	for (uint32_t i = 0; code == ERR_ALREADY_RUNS && i < c->held_count; i++) {
		if (c->held[i].port != port)
			continue;
		mistake(c, "port %u of %s is wanted twice: by %s and by %s", port, host, c->held[i].owner, owner);
		return;
	}
	if (code == ERR_ALREADY_RUNS)
		mistake(c, "%s: port %u of %s is taken by another program", owner, port, host);
	else
		mistake(c, "%s: %s", owner, reason.text);
}

/* The region would not start again: its coordinator looks at the same (a level is for life, runtime/topology.h). */
static void kinds_check(struct check *c, const struct topology *resolved, const struct region *region, const char *dir)
{
	char path[340];
	struct rows *rows = NULL;
	struct rows_view *view = NULL;
	struct rows_options options = {.dir = path, .read_only = true, .region = region->id};
	snprintf(path, sizeof path, "%s/rows", dir);
	if (rows_open(&rows, &options, NULL) != 0)
		return; /* none yet; or whatever it is, the start tells it */
	if (rows_view_new(rows, &view, NULL) == 0 && rows_view_begin(view, NULL) == 0) {
		for (uint16_t id = 0; id < resolved->keyspace_count; id++) {
			const struct keyspace *k = &resolved->keyspaces[id];
			bool is_strong = k->level == LEVEL_STRONG;
			if (keyspace_is_there(k) && rows_kind_differs(view, id, is_strong) > 0)
				mistake(c, "%s: keyspace %s holds rows that are %s; a keyspace with rows cannot become %s",
				    region->name, k->name, is_strong ? "not strong" : "strong", level_name(k->level));
		}
		rows_view_end(view);
	}
	if (view)
		rows_view_free(view);
	rows_close(rows);
}

static void regions_check(struct check *c)
{
	struct cli *cli = c->cli;
	char dir[320];
	for (uint32_t i = 0; i < cli->topology.region_count; i++) {
		const struct region *region = &cli->topology.regions[i];
		static struct topology resolved;
		struct error_context reason = {{0}};
		const struct host *host = &c->plan->hosts->of[i];
		if (!(c->mask & 1u << i) || !host->is_local)
			continue;
		cli_region_dir(cli, region, dir);
		if (strlen(dir) + 1 + strlen(IPC_NAME_LONGEST) > IPC_PATH_MAX)
			mistake(c,
			    "the path of the data directory is too long for local sockets (%zu bytes at most for this region); "
			    "choose a shorter --dir",
			    IPC_PATH_MAX - strlen(IPC_NAME_LONGEST) - 1 - strlen(region->name) - 1);
		bool runs = processes_running(dir, SUPERVISOR);
		/* Of what runs, too: it may be about to be stopped. That it runs with another topology is told once. */
		resolved = cli->topology;
		if (!(runs && c->is_other_topology) && access(dir, F_OK) == 0) {
			if (keyspaces_resolve(&resolved, dir, false, &reason) != 0)
				mistake(c, "%s: %s", region->name, reason.text);
			else
				kinds_check(c, &resolved, region, dir);
		}
		if (runs)
			continue;
		if (!host->address[0])
			mistake(c, "%s: %s", region->name, host->address_reason.text);
		for (uint32_t service = 0; host->address[0] && service < SERVICES; service++)
			port_look(c, host->address, region->bind[0] ? region->bind : region->host, region->port + service,
			    region->name);
	}
}

static void link_check(struct check *c)
{
	const struct topology *topology = &c->cli->topology;
	struct error_context reason = {{0}};
	if (!c->plan->link_base || processes_running(c->cli->dir_path, LINK_PROGRAM))
		return;
	if (link_ports_check(topology, c->plan->link_base, &reason) != 0) {
		mistake(c, "%s", reason.text);
		return;
	}
	for (uint32_t from = 0; from < topology->region_count; from++)
		for (uint32_t to = 0; to < topology->region_count; to++)
			for (uint32_t service = SERVICE_CLIENT + 1; from != to && service < SERVICES; service++)
				port_look(c, "127.0.0.1", "127.0.0.1",
				    link_port(topology, topology->regions[from].id, topology->regions[to].id, service,
				        (uint16_t)c->plan->link_base),
				    "the link emulator (--link-base)");
}

static void keys_check(struct check *c)
{
	struct error_context reason = {{0}};
	uint32_t local = c->plan->hosts->local;
	if (local && !c->plan->mask)
		mistake(c, "no secret of a region of this machine is in %s; `godwit keys init` makes it", c->cli->key_dir);
	else if (c->plan->mask & local && hosts_keys_look(c->cli, local, c->plan->mask & local, &reason) != 0)
		mistake(c, "%s", reason.text);
}

uint32_t up_check(struct cli *cli, const struct up_plan *plan)
{
	static struct check check;
	struct error_context reason = {{0}};
	struct stat status;
	check = (struct check){.cli = cli, .plan = plan, .mask = plan->mask ? plan->mask : plan->hosts->local};
	descriptors_start(); /* all ports are held at once */
	if (stat(cli->dir_path, &status) == 0 && (!S_ISDIR(status.st_mode) || access(cli->dir_path, W_OK | X_OK) < 0))
		mistake(&check, "%s: %s", cli->dir_path, S_ISDIR(status.st_mode) ? strerror(errno) : "is no directory");
	check.is_other_topology = up_topology_fits(cli, plan->leaving, &reason) != 0;
	if (check.is_other_topology)
		mistake(&check, "%s", reason.text);
	keys_check(&check);
	levels_check(&check);
	hosts_check(&check);
	regions_check(&check);
	link_check(&check);
	for (uint32_t i = 0; i < check.held_count; i++)
		close(check.held[i].fd);
	return check.mistakes;
}

bool up_regions_run(struct cli *cli, uint32_t without)
{
	char dir[320];
	for (uint32_t i = 0; i < cli->topology.region_count; i++) {
		cli_region_dir(cli, &cli->topology.regions[i], dir);
		if (!(without & 1u << i) && processes_running(dir, SUPERVISOR))
			return true;
	}
	return false;
}

bool up_anything_runs(struct cli *cli, uint32_t without)
{
	return up_regions_run(cli, without) || (!without && processes_running(cli->dir_path, LINK_PROGRAM));
}

bool up_topology_is_kept(struct cli *cli, char kept[static 300])
{
	char from[PATH_MAX], to[PATH_MAX];
	snprintf(kept, 300, "%s/topology.yaml", cli->dir_path);
	return !cli->topology_path || (realpath(cli->topology_path, from) && realpath(kept, to) && strcmp(from, to) == 0);
}

int up_topology_fits(struct cli *cli, uint32_t leaving, struct error_context *error)
{
	static struct topology running;
	struct topology_agreement agreement;
	char kept[300];
	struct text here = {0}, there = {0};
	if (up_topology_is_kept(cli, kept) || topology_load(&running, kept, NULL, NULL) != 0 ||
	    !up_anything_runs(cli, leaving) || topology_fingerprint(&running) == topology_fingerprint(&cli->topology))
		return ERR_OK;
	/* The link emulator knows no keyspaces. */
	if (!up_regions_run(cli, leaving) && topology_base_fingerprint(&running) == topology_base_fingerprint(&cli->topology))
		return ERR_OK;
	topology_definition(&running, &here);
	topology_definition(&cli->topology, &there);
	topology_agree(here.bytes, there.bytes, &agreement);
	text_deinit(&here);
	text_deinit(&there);
	return error_set(error, ERR_CONFIGURATION, "regions run with another topology: %.150s; `godwit down` first (%.100s)",
	    agreement.what, kept);
}
