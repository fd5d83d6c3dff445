/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "link/control.h"
#include "runtime/admin.h"
#include "runtime/logline.h"
#include "runtime/loop.h"
#include "runtime/options.h"
#include "runtime/socket.h"
#include "shm/role_lock.h"

#define LOCK_WAIT_MS 200 /* `godwit` looks at the lock by taking it for a moment */

struct link_flags {
	const char *topology;
	const char *dir;
	uint32_t link_base;
	uint32_t ready_fd;
	bool wan;
	bool help;
};

static const struct option option_table[] = {
    {"topology", 0, OPTION_TEXT, offsetof(struct link_flags, topology), 0, 0, "FILE", "regions (default: three on loopback)"},
    {"dir", 0, OPTION_TEXT, offsetof(struct link_flags, dir), 0, 0, "DIR", "where link.admin, link.pid and link.lock are"},
    {"link-base", 0, OPTION_U32, offsetof(struct link_flags, link_base), 1, 65535, "PORT", "first port to listen on"},
    {"ready-fd", 0, OPTION_U32, offsetof(struct link_flags, ready_fd), 0, 1u << 20, "FD", "\"ready\" is written there"},
    {"wan", 0, OPTION_BOOL, offsetof(struct link_flags, wan), 0, 0, NULL, "round trips of three continents: 75, 110, 190 ms"},
    {"help", 'h', OPTION_BOOL, offsetof(struct link_flags, help), 0, 0, NULL, "this text"},
    {0},
};

struct program {
	struct link_flags flags;
	struct topology topology;
	struct proxy *proxy;
	struct loop *loop;
	struct admin *admin;
	void *context;
	int lock_fd;
	char pid_path[300];
	char endpoint[256];
};

static struct counter_block program_counters;

static uint32_t program_drain(void *self, struct clock_now now, uint32_t limit)
{
	(void)now;
	(void)limit;
	struct program *p = self;
	proxy_turn(p->proxy); /* does all there is; what it leaves is on its own timer */
	return 1;
}

static int program_command(void *self, const char *command, const char *argument, struct text *out, struct error_context *error)
{
	struct program *p = self;
	return control_command(p->proxy, &p->topology, command, argument, out, error);
}

/* One emulator a directory: the second is told so, and does not take over the first one's pid file. */
static int program_lock(struct program *p, struct error_context *error)
{
	char path[300];
	if (mkdir(p->flags.dir, 0777) < 0 && errno != EEXIST)
		return error_set(error, ERR_IO, "%s: %s", p->flags.dir, strerror(errno));
	snprintf(path, sizeof(path), "%s/link.lock", p->flags.dir);
	int rc = role_lock_take(path, "a link emulator for this directory", LOCK_WAIT_MS, &p->lock_fd, error);
	if (rc != 0)
		return rc;
	snprintf(p->pid_path, sizeof(p->pid_path), "%s/link.pid", p->flags.dir);
	FILE *file = fopen(p->pid_path, "we");
	if (!file || fprintf(file, "%ld\n", (long)getpid()) < 0 || fclose(file) != 0)
		return error_set(error, ERR_IO, "%s: %s", p->pid_path, strerror(errno));
	return 0;
}

static int program_start(struct program *p, struct error_context *error)
{
	int rc = topology_load(&p->topology, p->flags.topology, stderr, error);
	if (rc != 0)
		return rc;
	rc = link_ports_check(&p->topology, p->flags.link_base, error);
	if (rc == 0)
		rc = program_lock(p, error);
	if (rc != 0)
		return rc;
	rc = proxy_new(&p->proxy, &p->topology, (uint16_t)p->flags.link_base, error);
	if (rc != 0)
		return rc;
	if (p->flags.wan)
		control_set_wan(p->proxy, &p->topology);
	p->context = socket_context_new();
	if (!p->context)
		return error_set(error, ERR_NO_MEMORY, "ZeroMQ context");
	struct loop_actor actor = {.self = p};
	rc = loop_new(&p->loop, &actor, NULL, &program_counters);
	if (rc == 0)
		rc = loop_add_fd(p->loop, proxy_fd(p->proxy), program_drain, p);
	if (rc != 0)
		return error_set(error, rc, "event loop: %s", error_text(rc));
	snprintf(p->endpoint, sizeof(p->endpoint), "ipc://%s/link.admin", p->flags.dir);
	struct admin_options options = {.endpoint = p->endpoint,
	    .actor = "link",
	    .option_table = option_table,
	    .option_values = &p->flags,
	    .counters = &program_counters,
	    .command = program_command,
	    .self = p};
	return admin_start(&p->admin, p->context, p->loop, &options, error);
}

static void program_stop(struct program *p)
{
	if (p->admin)
		admin_stop(p->admin);
	if (p->loop)
		loop_free(p->loop);
	if (p->context)
		socket_context_free(p->context);
	if (p->proxy)
		proxy_free(p->proxy);
	if (p->pid_path[0])
		unlink(p->pid_path);
	if (p->lock_fd >= 0)
		close(p->lock_fd);
}

int link_main(int argc, char **argv)
{
	struct program p = {.lock_fd = -1};
	struct error_context error = {0};
	int rc = options_parse(option_table, &p.flags, &argc, argv, &error);
	if (rc != 0) {
		fprintf(stderr, "%s\n", error.text); /* begins with our name */
		return error_exit_code(rc);
	}
	if (p.flags.help) {
		printf("godwit-link: delays, caps and cuts the connections between regions of this machine\n\n");
		options_help(option_table, stdout);
		return 0;
	}
	if (argc > 1 || !p.flags.dir || !p.flags.link_base)
		rc = error_set(
		    &error, ERR_USAGE, argc > 1 ? "no argument is taken besides flags" : "--dir and --link-base are needed");
	if (rc != 0) {
		fprintf(stderr, "godwit-link: %s\n", error.text);
		return error_exit_code(rc);
	}
	logline_init("-", "link", &program_counters);
	rc = program_start(&p, &error);
	if (rc == 0) {
		if (p.flags.ready_fd && write((int)p.flags.ready_fd, "ready\n", 6) == 6)
			close((int)p.flags.ready_fd);
		rc = loop_run(p.loop);
	} else {
		fprintf(stderr, "godwit-link: %s: %s\n", error_name(rc), error.text);
		rc = error_exit_code(rc);
	}
	program_stop(&p);
	return rc;
}
