/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/process.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "runtime/address.h"
#include "runtime/descriptors.h"
#include "runtime/keyspaces.h"
#include "runtime/logline.h"
#include "runtime/socket.h"
#include "shm/role_lock.h"

#define SHM_WAIT_MS  2000
#define SHM_RETRY_MS 20
#define LOCK_WAIT_MS 500

static const struct option common_options[] = {{"dir", 'd', OPTION_TEXT, offsetof(struct process_flags, dir), 0, 0, "DIR",
                                                   "data directory of the cluster on this machine"},
    {"region", 'r', OPTION_TEXT, offsetof(struct process_flags, region), 0, 0, "NAME", "the region this process belongs to"},
    {"topology", 't', OPTION_TEXT, offsetof(struct process_flags, topology), 0, 0, "FILE",
        "topology in YAML; none: three regions on loopback"},
    {"keys", 0, OPTION_TEXT, offsetof(struct process_flags, keys), 0, 0, "DIR", "directory of the keys; none: keys in --dir"},
    {"log-level", 0, OPTION_TEXT, offsetof(struct process_flags, log_level), 0, 0, "LEVEL", "debug, info, warn or error"},
    {"bells", 0, OPTION_TEXT, offsetof(struct process_flags, bells), 0, 0, "FDS", "five inherited eventfds, comma-separated"},
    {"shm-fd", 0, OPTION_U32, offsetof(struct process_flags, shm_fd), 0, INT32_MAX, "FD",
        "inherited shared memory of the region; 0: that of its supervisor, which runs"},
    {"ready-fd", 0, OPTION_U32, offsetof(struct process_flags, ready_fd), 0, INT32_MAX, "FD",
        "where to write ready; 0: nowhere"},
    {"link-base", 0, OPTION_U32, offsetof(struct process_flags, link_base), 0, 65535, "PORT",
        "first port of the link emulator; 0: none"},
    {0}};

static void process_close(struct process *p)
{
	admin_stop(p->admin);
	while (p->watch_count)
		watch_stop(p->watches[--p->watch_count]);
	/* Servers before ZAP: without it they would let anybody in. */
	if (p->context)
		socket_close_all(p->context);
	zap_stop(p->zap);
	loop_free(p->loop);
	socket_context_free(p->context);
	if (p->shm.layout) {
		logline_init(p->flags.region, actor_name(p->actor), NULL);
		shm_detach(&p->shm);
	}
	p->admin = NULL;
	p->zap = NULL;
	p->loop = NULL;
	p->context = NULL;
	p->shm.layout = NULL;
	/* Last: while it is held, nobody else takes the sockets. */
	if (p->lock_fd >= 0)
		close(p->lock_fd);
	p->lock_fd = -1;
	explicit_bzero(&p->keys, sizeof p->keys);
}

int process_fail(struct process *p, int code, const struct error_context *error)
{
	const char *text = error && error->text[0] ? error->text : error_text(code);
	logline(LOG_LEVEL_ERROR, "start_failed", "code=%s reason=\"%s\"", error_name(code), text);
	process_close(p);
	int exit_code = error_exit_code(code);
	return exit_code > 0 ? exit_code : 1;
}

static int flags_parse(
    struct process *p, const struct option *own_table, void *own_values, int argc, char **argv, struct error_context *error)
{
	const struct option_set sets[] = {{common_options, &p->flags}, {own_table, own_values}};
	int code = options_parse_sets(sets, own_table ? 2 : 1, &argc, argv, error);
	if (code)
		return code;
	if (argc > 1)
		return error_set(error, ERR_USAGE, "unexpected argument '%.60s'", argv[1]);
	if (!p->flags.dir)
		return error_set(error, ERR_USAGE, "--dir is needed");
	if (!p->flags.region)
		return error_set(error, ERR_USAGE, "--region is needed");
	int level = logline_parse_level(p->flags.log_level);
	if (level < 0)
		return error_set(
		    error, ERR_USAGE, "--log-level: '%.40s' is none of debug, info, warn, error", p->flags.log_level);
	logline_set_level((enum log_level)level);
	return 0;
}

static int region_find(struct process *p, struct error_context *error)
{
	p->region = topology_region(&p->topology, p->flags.region);
	if (p->region)
		return 0;
	char known[200] = "";
	for (uint32_t i = 0; i < p->topology.region_count; i++) {
		size_t size = strlen(known);
		snprintf(known + size, sizeof known - size, "%s%s", i ? ", " : "", p->topology.regions[i].name);
	}
	return error_set(
	    error, ERR_CONFIGURATION, "--region: '%.40s' is not in the topology, which has %s", p->flags.region, known);
}

static int paths_make(struct process *p, struct error_context *error)
{
	int region_size = snprintf(p->region_dir, sizeof p->region_dir, "%s/%s", p->flags.dir, p->flags.region);
	int key_size = snprintf(
	    p->key_dir, sizeof p->key_dir, "%s%s", p->flags.keys ? p->flags.keys : p->flags.dir, p->flags.keys ? "" : "/keys");
	/* Room for the longest file name below, so that nothing is cut off later. */
	int size_max = (int)sizeof p->region_dir - 48;
	if (region_size < 0 || key_size < 0 || region_size > size_max || key_size > size_max)
		return error_set(error, ERR_CONFIGURATION, "--dir or --keys: the path is too long: %.200s", p->flags.dir);
	return 0;
}

/* By hand, an actor may be started a moment before the supervisor has made shared memory. */
static int shm_attach_patiently(struct process *p, struct error_context *error)
{
	if (p->flags.shm_fd)
		return shm_attach_fd(&p->shm, (int)p->flags.shm_fd, error);
	int code = ERR_UNREACHABLE;
	for (int waited_ms = 0; waited_ms <= SHM_WAIT_MS; waited_ms += SHM_RETRY_MS) {
		code = shm_attach(&p->shm, p->region_dir, 1, error);
		if (code != ERR_UNREACHABLE)
			break;
		nanosleep(&(struct timespec){.tv_nsec = SHM_RETRY_MS * 1000000L}, NULL);
	}
	return code;
}

static int bells_parse(struct process *p, struct error_context *error)
{
	const char *at = p->flags.bells;
	for (int i = 0; i < ACTORS; i++) {
		p->bells[i] = (struct doorbell){.sleeping = &p->shm.layout->actors[i].sleeping, .fd = -1};
		if (!p->flags.bells)
			continue;
		char *end = NULL;
		long fd = *at >= '0' && *at <= '9' ? strtol(at, &end, 10) : -1;
		bool is_last = i == ACTORS - 1;
		if (fd < 0 || fd > INT32_MAX || *end != (is_last ? 0 : ',') || fcntl((int)fd, F_GETFD) < 0)
			return error_set(
			    error, ERR_USAGE, "--bells: '%.60s' is not %d open file descriptors", p->flags.bells, ACTORS);
		p->bells[i].fd = (int)fd;
		at = end + 1;
	}
	return 0;
}

static int role_lock(struct process *p, struct error_context *error)
{
	char path[300], what[100];
	snprintf(path, sizeof path, "%s/%s.lock", p->region_dir, actor_name(p->actor));
	snprintf(what, sizeof what, "the %s of %s", actor_name(p->actor), p->flags.region);
	return role_lock_take(path, what, LOCK_WAIT_MS, &p->lock_fd, error);
}

static int process_open(struct process *p, const struct option *own_table, void *own_values,
    const struct loop_actor *loop_actor,
    int (*command)(void *self, const char *command, const char *argument, struct text *out, struct error_context *error),
    struct error_context *error)
{
	char endpoint[256];
	int code = shm_attach_patiently(p, error);
	/* Before anything is bound: libzmq's ipc bind takes a path over that another process listens on. */
	if (!code)
		code = role_lock(p, error);
	if (code)
		return code;
	p->counters = &p->shm.layout->counters[p->actor];
	logline_init(p->flags.region, actor_name(p->actor), p->counters);
	code = bells_parse(p, error);
	if (!code)
		code = keys_load(p->key_dir, p->flags.region, &p->keys, error);
	if (code)
		return code;
	/* Before ZeroMQ starts its threads: they inherit which signals are blocked. */
	code = loop_new(&p->loop, loop_actor, &p->bells[p->actor], p->counters);
	if (code)
		return error_set(error, code, "cannot make the event loop: %s", strerror(errno));
	p->context = socket_context_new();
	if (!p->context)
		return error_set(error, ERR_IO, "cannot start ZeroMQ: %s", strerror(errno));
	admin_endpoint(p->region_dir, actor_name(p->actor), endpoint);
	const struct admin_options options = {
	    .endpoint = endpoint,
	    .actor = actor_name(p->actor),
	    .option_table = common_options,
	    .option_values = &p->flags,
	    .own_option_table = own_table,
	    .own_option_values = own_values,
	    .topology = &p->topology,
	    .counters = p->counters,
	    .command = command,
	    .self = loop_actor->self,
	};
	return admin_start(&p->admin, p->context, p->loop, &options, error);
}

static void help_print(enum actor actor, const struct option *own_table)
{
	printf("godwit-%s: one actor of a region; godwit-supervisor starts it.\n\n", actor_name(actor));
	options_help(common_options, stdout);
	options_help(own_table, stdout);
	printf("  %-34s %s\n", "    --help", "this");
}

int process_start(struct process *p, enum actor actor, const struct option *own_table, void *own_values, int argc, char **argv,
    const struct loop_actor *loop_actor,
    int (*command)(void *self, const char *command, const char *argument, struct text *out, struct error_context *error))
{
	struct error_context error = {0};
	char name[16];
	*p = (struct process){.actor = actor, .flags = {.log_level = "info"}, .shm = {.fd = -1}, .lock_fd = -1};
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0) {
			help_print(actor, own_table);
			return -1;
		}
	}
	signal(SIGXFSZ, SIG_IGN); /* beyond ulimit -f: an error with a reason, not a signal without one */
	descriptors_start();
	snprintf(name, sizeof name, "gw-%s", actor_name(actor));
	prctl(PR_SET_NAME, name);
	logline_init("-", actor_name(actor), NULL);
	int code = flags_parse(p, own_table, own_values, argc, argv, &error);
	if (!code) {
		logline_init(p->flags.region, actor_name(actor), NULL);
		code = topology_load(&p->topology, p->flags.topology, stderr, &error);
	}
	if (!code)
		code = region_find(p, &error);
	if (!code)
		code = link_ports_check(&p->topology, p->flags.link_base, &error);
	if (!code)
		code = paths_make(p, &error);
	if (!code)
		code = keyspaces_resolve(&p->topology, p->region_dir, actor == ACTOR_COORDINATOR, &error);
	if (!code)
		code = process_open(p, own_table, own_values, loop_actor, command, &error);
	return code ? process_fail(p, code, &error) : 0;
}

int process_serve_curve(struct process *p, bool clients, struct error_context *error)
{
	const char *allow[REGIONS_MAX + 2] = {0};
	uint32_t count = 0;
	for (; !clients && count < p->topology.region_count; count++)
		allow[count] = p->topology.regions[count].name;
	if (clients)
		allow[count] = KEY_NAME_CLIENT;
	return zap_start(&p->zap, p->context, p->loop, p->key_dir, allow, clients, p->counters, error);
}

int process_connect(struct process *p, void **socket, const struct region *region, enum service service,
    const struct socket_options *given, _Atomic uint32_t *refusal, struct error_context *error)
{
	struct socket_options options = *given;
	char endpoint[128], server_key[KEY_TEXT_SIZE];
	int code = keys_load_public(p->key_dir, region->name, server_key, error);
	if (code)
		return code;
	topology_endpoint(&p->topology, p->region->id, region->id, service, (uint16_t)p->flags.link_base, endpoint);
	options.own = &p->keys;
	options.server_key = server_key;
	code = socket_prepare(socket, p->context, ZMQ_DEALER, endpoint, &options, error);
	if (code)
		return code;
	assert(p->watch_count < REGIONS_MAX);
	const struct watch_options watched = {.loop = p->loop,
	    .context = p->context,
	    .socket = *socket,
	    .endpoint = endpoint,
	    .key_dir = p->key_dir,
	    .own = p->region->name,
	    .peer = region->name,
	    .own_key = p->keys.public_text,
	    .peer_key = server_key,
	    .refusal = refusal};
	code = watch_start(&p->watches[p->watch_count], &watched, error);
	if (code)
		return code;
	p->watch_count++;
	return socket_dial(*socket, endpoint, error);
}

void process_ready(struct process *p)
{
	logline(LOG_LEVEL_INFO, "ready", "pid=%ld", (long)getpid());
	if (!p->flags.ready_fd)
		return;
	static const char word[] = "ready\n";
	ssize_t written;
	do
		written = write((int)p->flags.ready_fd, word, sizeof word - 1);
	while (written < 0 && errno == EINTR);
	close((int)p->flags.ready_fd);
	if (written < 0)
		logline(LOG_LEVEL_WARN, "ready_untold", "reason=\"%s\"", strerror(errno));
}

int process_run(struct process *p)
{
	int code = loop_run(p->loop);
	logline(LOG_LEVEL_INFO, "stopped", "code=%d", code);
	process_close(p);
	return code < 0 ? error_exit_code(code) : code;
}

int process_listens(const struct process *p, enum service service, char out[static 128], struct error_context *error)
{
	char address[ADDRESS_TEXT_SIZE];
	int code = address_local_text(p->region->bind[0] ? p->region->bind : p->region->host, address, error);
	if (!code)
		snprintf(out, 128, "tcp://%s:%u", address, p->region->port + service);
	return code;
}

void process_ipc(const struct process *p, const char *name, char out[static 256])
{
	int size = snprintf(out, 256, "ipc://%s/%s", p->region_dir, name);
	assert(size > 0 && size < 256); /* paths_make has left room */
}
