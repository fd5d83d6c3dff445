/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/godwit/hosts.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/keys.h"

void hosts_look_one(const struct cli *cli, const struct region *region, struct host *host)
{
	const char *bind = region->bind[0] ? region->bind : NULL;
	char at_host[ADDRESS_TEXT_SIZE], at_bind[ADDRESS_TEXT_SIZE] = "";
	*host = (struct host){0};
	host->is_known = address_look(region->host, at_host, &host->reason) == 0;
	if (bind && address_look(bind, at_bind, &host->address_reason) != 0)
		at_bind[0] = 0;
	host->is_local =
	    at_host[0] || (at_bind[0] && (!address_is_wildcard(bind) || keys_has_secret(cli->key_dir, region->name)));
	memcpy(host->address, bind ? at_bind : at_host, sizeof host->address);
	if (!host->address[0] && !host->address_reason.text[0])
		error_set(
		    &host->address_reason, ERR_CONFIGURATION, "%s is no address of this machine", bind ? bind : region->host);
}

/* The resolver may take as long as it likes, and cannot be called off: a child asks it. */
static pid_t child_ask(const struct cli *cli, const struct region *region, int *answer_fd)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	pid_t pid = fork();
	if (pid == 0) {
		struct host host;
		hosts_look_one(cli, region, &host);
		_exit(write(ends[1], &host, sizeof host) != sizeof host);
	}
	close(ends[1]);
	*answer_fd = ends[0];
	if (pid < 0)
		close(ends[0]);
	return pid;
}

static void child_answer(pid_t pid, int fd, uint64_t end_ns, const struct region *region, struct host *host)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	uint64_t now_ns = cli_now_ns();
	int left_ms = now_ns < end_ns ? (int)((end_ns - now_ns + 999999) / 1000000) : 0;
	/* Less than a pipe takes at once: there whole or not at all. */
	if (poll(&wait, 1, left_ms) != 1 || read(fd, host, sizeof *host) != sizeof *host) {
		*host = (struct host){0};
		error_set(&host->reason, ERR_CONFIGURATION, "%s: no answer from the resolver within %u s", region->host,
		    HOSTS_WAIT_MS / 1000);
		host->address_reason = host->reason;
	}
	close(fd);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

void hosts_look(const struct cli *cli, struct hosts *hosts)
{
	const struct topology *topology = &cli->topology;
	uint64_t end_ns = cli_now_ns() + HOSTS_WAIT_MS * 1000000ull;
	pid_t pids[REGIONS_MAX];
	int fds[REGIONS_MAX];
	*hosts = (struct hosts){0};
	fflush(NULL);
	for (uint32_t i = 0; i < topology->region_count; i++) {
		const struct region *region = &topology->regions[i];
		bool is_numeric = address_is_numeric(region->host) && (!region->bind[0] || address_is_numeric(region->bind));
		pids[i] = is_numeric ? -1 : child_ask(cli, region, &fds[i]);
		if (pids[i] < 0)
			hosts_look_one(cli, region, &hosts->of[i]);
	}
	for (uint32_t i = 0; i < topology->region_count; i++) {
		if (pids[i] >= 0)
			child_answer(pids[i], fds[i], end_ns, &topology->regions[i], &hosts->of[i]);
		hosts->local |= hosts->of[i].is_local ? 1u << i : 0;
	}
}

/* All regions are of this machine, and nobody has decided that they shall be as on several. */
static bool keys_are_made_here(const struct cli *cli, uint32_t local)
{
	return local == (uint32_t)((1ull << cli->topology.region_count) - 1) && !keys_is_of_one_host(cli->key_dir);
}

/* What is there has to be as a start wants it; what is not is made. */
static int keys_look_made(const struct cli *cli, struct error_context *error)
{
	int code = keys_make_look(cli->key_dir, KEY_NAME_CLIENT, error);
	for (uint32_t i = 0; !code && i < cli->topology.region_count; i++)
		code = keys_make_look(cli->key_dir, cli->topology.regions[i].name, error);
	return code;
}

/* A region needs its own secret and everybody's public key, and `up` that of this host's commands. On one of several hosts
 * nothing is made up: a key that nobody else knows would be a region that starts, and talks to nobody. */
int hosts_keys_look(const struct cli *cli, uint32_t local, uint32_t mask, struct error_context *error)
{
	int code = ERR_OK;
	if (keys_are_made_here(cli, local))
		return keys_look_made(cli, error);
	for (uint32_t i = 0; !code && i < cli->topology.region_count; i++) {
		const struct region *region = &cli->topology.regions[i];
		char key[KEY_TEXT_SIZE];
		struct error_context reason = {{0}};
		if (mask & 1u << i && !keys_has_secret(cli->key_dir, region->name))
			return error_set(error, ERR_CONFIGURATION,
			    "the secret of %s is not in %.150s; `godwit keys init` makes it on its host", region->name,
			    cli->key_dir);
		code = mask & 1u << i ? keys_check_secrets(cli->key_dir, region->name, &reason)
		                      : keys_load_public(cli->key_dir, region->name, key, &reason);
		if (code == ERR_NOT_FOUND)
			return error_set(error, ERR_CONFIGURATION,
			    "the public key of %s is not in %.120s; `godwit keys export` on its host, `godwit keys import` "
			    "here",
			    region->name, cli->key_dir);
		if (code)
			return error_set(error, code, "%s", reason.text);
	}
	if (!keys_has_secret(cli->key_dir, KEY_NAME_CLIENT))
		return error_set(error, ERR_CONFIGURATION,
		    "the secret of this host's commands (client) is not in %.150s; `godwit keys init` makes it", cli->key_dir);
	return keys_check_secrets(cli->key_dir, KEY_NAME_CLIENT, error);
}

int hosts_keys_prepare(struct cli *cli, uint32_t local, uint32_t mask, struct error_context *error)
{
	if (!keys_are_made_here(cli, local))
		return hosts_keys_look(cli, local, mask, error);
	int code = keys_make(cli->key_dir, KEY_NAME_CLIENT, error);
	for (uint32_t i = 0; !code && i < cli->topology.region_count; i++)
		code = keys_make(cli->key_dir, cli->topology.regions[i].name, error);
	return code;
}

/* On one of several hosts, the regions whose secret it has; otherwise all of the machine. */
uint32_t hosts_regions_held(const struct cli *cli, uint32_t local)
{
	uint32_t held = 0;
	if (keys_are_made_here(cli, local))
		return local;
	for (uint32_t i = 0; i < cli->topology.region_count; i++)
		if (local & 1u << i && keys_has_secret(cli->key_dir, cli->topology.regions[i].name))
			held |= 1u << i;
	return held;
}
