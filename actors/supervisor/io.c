/* SPDX-License-Identifier: Apache-2.0
 *
 * The supervisor's process: signals, pipes and deadlines become events, effects become processes. It holds no ZeroMQ context
 * (one inherited over fork aborts) and no thread, so that fork is harmless.
 *
 * Killed at any point it leaves nothing that the next one trips over: its children die with it (PDEATHSIG) and hold its lock
 * until then; directories are made so that making them can be repeated, and shared memory ends with its processes. */
#include "actors/supervisor/io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "actors/supervisor/launch.h"
#include "actors/supervisor/place.h"
#include "actors/supervisor/supervisor.h"
#include "base/crash_point.h"
#include "runtime/keyspaces.h"
#include "runtime/logline.h"
#include "runtime/loop.h"
#include "runtime/options.h"
#include "runtime/topology.h"

#define EXIT_REFUSED 3
static const char ready_word[] = "ready\n";
#define READY_SIZE      (sizeof(ready_word) - 1)
#define WATCH_EVERY_NS  500000000ull
#define HANG_TIMEOUT_MS 10000u

struct flags {
	const char *dir, *region, *topology, *keys, *log_level, *bin_dir;
	uint32_t link_base, ready_fd, start_timeout_ms, stop_timeout_ms, hang_timeout_ms;
	struct option_list actor_flags;
};

static const struct option option_table[] = {
    {"dir", 'd', OPTION_TEXT, offsetof(struct flags, dir), 0, 0, "DIR", "data directory of the cluster on this machine"},
    {"region", 'r', OPTION_TEXT, offsetof(struct flags, region), 0, 0, "NAME", "the region to run"},
    {"topology", 't', OPTION_TEXT, offsetof(struct flags, topology), 0, 0, "FILE",
        "topology in YAML; none: three regions on loopback"},
    {"keys", 0, OPTION_TEXT, offsetof(struct flags, keys), 0, 0, "DIR", "directory of the keys; none: keys in --dir"},
    {"log-level", 0, OPTION_TEXT, offsetof(struct flags, log_level), 0, 0, "LEVEL", "debug, info, warn or error"},
    {"bin-dir", 0, OPTION_TEXT, offsetof(struct flags, bin_dir), 0, 0, "DIR",
        "where the actors' programs are; none: beside this one"},
    {"link-base", 0, OPTION_U32, offsetof(struct flags, link_base), 0, 65535, "PORT",
        "first port of the link emulator; 0: none"},
    {"ready-fd", 0, OPTION_U32, offsetof(struct flags, ready_fd), 0, INT32_MAX, "FD", "where to write ready; 0: nowhere"},
    {"actor-flag", 0, OPTION_LIST, offsetof(struct flags, actor_flags), 0, 0, "ACTOR:--name=value", "a flag for one actor"},
    {"start-timeout-ms", 0, OPTION_U32, offsetof(struct flags, start_timeout_ms), 1, 3600000, "MS",
        "an actor not ready by then is killed"},
    {"stop-timeout-ms", 0, OPTION_U32, offsetof(struct flags, stop_timeout_ms), 1, 3600000, "MS",
        "an actor not stopped by then is killed"},
    {"hang-timeout-ms", 0, OPTION_U32, offsetof(struct flags, hang_timeout_ms), 1000, 3600000, "MS",
        "an actor whose event loop has not turned for so long is killed and started again"},
    {0}};

struct process_slot {
	pid_t pid;    /* 0: none */
	int ready_fd; /* -1: none, or told already */
	char word[READY_SIZE];
	uint32_t word_size;
	bool launch_failed; /* to be reported as an end, once the effects at hand are done */
	/* Its last sign of life, and when that was first seen here. */
	uint64_t turned_ms, seen_ns;
};

struct supervisor_io {
	struct flags flags;
	struct supervisor supervisor;
	struct launch_options launch;
	struct process_slot processes[ACTORS];
	struct shm shm;
	char region_dir[PATH_MAX / 2], bin_dir[PATH_MAX / 2];
	int signal_fd;
	uint64_t watched_ns;
	bool finished;
};

/* ---- effects ---- */

static void publish(struct supervisor_io *io)
{
	for (uint32_t i = 0; i < ACTORS; i++) {
		struct shm_actor *shared = &io->shm.layout->actors[i];
		atomic_store_explicit(&shared->pid, (uint32_t)io->processes[i].pid, memory_order_relaxed);
		atomic_store_explicit(
		    &shared->state, supervisor_actor_state(&io->supervisor, (enum actor)i), memory_order_release);
	}
}

static void ready_fd_close(struct process_slot *process)
{
	if (process->ready_fd >= 0)
		close(process->ready_fd);
	process->ready_fd = -1;
}

static void spawn(struct supervisor_io *io, enum actor actor)
{
	struct process_slot *process = &io->processes[actor];
	struct error_context error;
	ready_fd_close(process);
	process->word_size = 0;
	if (launch_actor(&io->launch, actor, &process->pid, &process->ready_fd, &error) != 0) {
		process->pid = 0;
		process->launch_failed = true;
		logline(LOG_LEVEL_ERROR, "actor_not_started", "actor=%s reason=\"%s\"", actor_name(actor), error.text);
		return;
	}
	atomic_fetch_add_explicit(&io->shm.layout->actors[actor].starts, 1, memory_order_relaxed);
	CRASH_POINT(child_started);
	logline(LOG_LEVEL_DEBUG, "actor_started", "actor=%s pid=%d", actor_name(actor), (int)process->pid);
}

static void tell_ready(struct supervisor_io *io)
{
	logline(LOG_LEVEL_INFO, "ready", "pid=%d", (int)getpid());
	if (io->flags.ready_fd == 0)
		return;
	CRASH_POINT(ready_untold);
	publish(io); /* whoever reads the line may look at once */
	ssize_t written;
	do
		written = write((int)io->flags.ready_fd, ready_word, READY_SIZE);
	while (written < 0 && errno == EINTR);
	if (written < 0)
		logline(LOG_LEVEL_WARN, "ready_untold", "reason=\"%s\"", strerror(errno));
	close((int)io->flags.ready_fd);
}

/* Until the region is ready, whoever started it is told why it is not. The pipe does not block: who reads it may stand still.
 */
static void tell_failed(struct supervisor_io *io, enum actor actor)
{
	char path[PATH_MAX], reason[256], line[320];
	if (io->flags.ready_fd == 0 || io->supervisor.told_ready || io->supervisor.stopping)
		return;
	snprintf(path, sizeof(path), "%s/%s.stderr", io->region_dir, actor_name(actor));
	logline_last(path, 0, reason, sizeof(reason));
	int size =
	    snprintf(line, sizeof(line), "failed %s: %s\n", actor_name(actor), reason[0] ? reason : "it ended without a word");
	if (write((int)io->flags.ready_fd, line, (size_t)size) < 0 && errno != EAGAIN && errno != EPIPE)
		logline(LOG_LEVEL_WARN, "failure_untold", "reason=\"%s\"", strerror(errno));
}

static void effect_apply(struct supervisor_io *io, const struct supervisor_effect *effect)
{
	const char *name = actor_name(effect->actor);
	pid_t pid = io->processes[effect->actor].pid;
	switch (effect->type) {
	case SUPERVISOR_EFFECT_SPAWN:
		spawn(io, effect->actor);
		break;
	case SUPERVISOR_EFFECT_TERMINATE:
		if (pid > 0)
			kill(pid, SIGTERM);
		break;
	case SUPERVISOR_EFFECT_KILL:
		logline(LOG_LEVEL_ERROR, "actor_killed", "actor=%s pid=%d reason=\"%s\"", name, (int)pid,
		    io->processes[effect->actor].seen_ns ? "hangs: its event loop does not turn"
		    : io->supervisor.stopping            ? "did not stop in time"
		                                         : "did not start in time");
		if (pid > 0)
			kill(pid, SIGKILL);
		break;
	case SUPERVISOR_EFFECT_BACK_OFF:
		logline(effect->at_limit ? LOG_LEVEL_ERROR : LOG_LEVEL_WARN, "actor_restart",
		    "actor=%s in_ms=%u see=%s/%s.stderr", name, effect->delay_ms, io->region_dir, name);
		tell_failed(io, effect->actor);
		break;
	case SUPERVISOR_EFFECT_TELL_READY:
		tell_ready(io);
		break;
	case SUPERVISOR_EFFECT_FINISHED:
		io->finished = true;
		break;
	}
}

static void step(struct supervisor_io *io, enum supervisor_event_type type, enum actor actor)
{
	struct supervisor_effects effects = {0};
	struct supervisor_event event = {.type = type, .actor = actor, .now_ns = clock_read().monotonic_ns};
	supervisor_step(&io->supervisor, &event, &effects);
	for (uint32_t i = 0; i < effects.count; i++)
		effect_apply(io, &effects.list[i]);
	publish(io);
	/* This ends: the second failure in a row is backed off. */
	for (uint32_t i = 0; i < ACTORS; i++) {
		if (!io->processes[i].launch_failed)
			continue;
		io->processes[i].launch_failed = false;
		step(io, SUPERVISOR_EVENT_EXITED, (enum actor)i);
	}
}

/* ---- events ---- */

static void ready_read(struct supervisor_io *io, enum actor actor)
{
	struct process_slot *process = &io->processes[actor];
	if (process->ready_fd < 0)
		return;
	ssize_t got = read(process->ready_fd, process->word + process->word_size, READY_SIZE - process->word_size);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	process->word_size += got > 0 ? (uint32_t)got : 0;
	bool wrong = memcmp(process->word, ready_word, process->word_size) != 0;
	if (got > 0 && !wrong && process->word_size < READY_SIZE)
		return;
	ready_fd_close(process);
	if (!wrong && process->word_size == READY_SIZE)
		step(io, SUPERVISOR_EVENT_READY, actor);
	/* Else it has closed the pipe or written something else: it will end, or be killed when its time is up. */
}

static void reap(struct supervisor_io *io)
{
	for (uint32_t i = 0; i < ACTORS; i++) {
		struct process_slot *process = &io->processes[i];
		int status;
		if (process->pid == 0 || waitpid(process->pid, &status, WNOHANG) != process->pid)
			continue;
		ready_read(io, (enum actor)i); /* it may have been ready before it ended */
		bool stopping = io->supervisor.children[i].state == CHILD_STOPPING;
		bool clean = WIFEXITED(status) && WEXITSTATUS(status) == 0;
		logline(clean || stopping ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, "actor_ended", "actor=%s pid=%d %s=%d",
		    actor_name((enum actor)i), (int)process->pid, WIFSIGNALED(status) ? "signal" : "code",
		    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
		process->pid = 0;
		ready_fd_close(process);
		step(io, SUPERVISOR_EVENT_EXITED, (enum actor)i);
	}
}

static void signals_read(struct supervisor_io *io)
{
	struct signalfd_siginfo info;
	bool ended = false;
	while (read(io->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGCHLD) {
			ended = true;
			continue;
		}
		logline(LOG_LEVEL_INFO, "stopping", "signal=%u", info.ssi_signo);
		step(io, SUPERVISOR_EVENT_STOP, ACTOR_COORDINATOR);
	}
	if (ended)
		reap(io);
}

/* Each actor's loop tells in shared memory that it turns. Told by what is seen to change here, so that no clock is compared;
 * and after this process itself stood still (a paused machine), everybody's time begins anew. */
static void watch(struct supervisor_io *io)
{
	uint64_t now_ns = clock_read().monotonic_ns, limit_ns = io->flags.hang_timeout_ms * 1000000ull;
	if (now_ns < io->watched_ns + WATCH_EVERY_NS)
		return;
	bool was_asleep = now_ns > io->watched_ns + 4 * WATCH_EVERY_NS;
	io->watched_ns = now_ns;
	for (uint32_t i = 0; i < ACTORS; i++) {
		struct process_slot *process = &io->processes[i];
		uint64_t turned_ms = counter_get(&io->shm.layout->counters[i], COUNTER_turned_ms);
		bool is_ready = io->supervisor.children[i].state == CHILD_READY;
		/* A start that goes on has no deadline (D8). */
		if (io->supervisor.children[i].state == CHILD_STARTING && turned_ms != process->turned_ms)
			io->supervisor.children[i].deadline_ns = now_ns + io->flags.start_timeout_ms * 1000000ull;
		if (!is_ready || was_asleep || !process->seen_ns || turned_ms != process->turned_ms) {
			process->turned_ms = turned_ms;
			process->seen_ns = is_ready ? now_ns : 0;
		} else if (now_ns - process->seen_ns >= limit_ns) {
			step(io, SUPERVISOR_EVENT_HANGS, (enum actor)i);
			process->seen_ns = 0;
		}
	}
}

static int poll_timeout_ms(uint64_t deadline_ns)
{
	uint64_t now_ns = clock_read().monotonic_ns, left_ns = WATCH_EVERY_NS;
	if (deadline_ns <= now_ns)
		return 0;
	if (deadline_ns - now_ns < left_ns)
		left_ns = deadline_ns - now_ns;
	return (int)((left_ns + 999999u) / 1000000u);
}

static void run(struct supervisor_io *io)
{
	step(io, SUPERVISOR_EVENT_START, ACTOR_COORDINATOR);
	while (!io->finished) {
		struct pollfd fds[1 + ACTORS];
		fds[ACTORS] = (struct pollfd){.fd = io->signal_fd, .events = POLLIN};
		for (uint32_t i = 0; i < ACTORS; i++)
			fds[i] = (struct pollfd){.fd = io->processes[i].ready_fd, .events = POLLIN}; /* -1 is passed over */
		if (poll(fds, 1 + ACTORS, poll_timeout_ms(supervisor_deadline_ns(&io->supervisor))) < 0)
			continue; /* EINTR: a signal that is not ours to handle */
		for (uint32_t i = 0; i < ACTORS; i++)
			if (fds[i].revents != 0)
				ready_read(io, (enum actor)i);
		if (fds[ACTORS].revents != 0)
			signals_read(io);
		watch(io);
		if (clock_read().monotonic_ns >= supervisor_deadline_ns(&io->supervisor))
			step(io, SUPERVISOR_EVENT_TIME, ACTOR_COORDINATOR);
	}
	publish(io);
}

/* ---- start ---- */

static int flags_parse(struct supervisor_io *io, int argc, char **argv, struct error_context *error)
{
	struct flags *flags = &io->flags;
	int code = options_parse(option_table, flags, &argc, argv, error);
	if (code != 0)
		return code;
	if (argc > 1)
		return error_set(error, ERR_USAGE, "unexpected argument '%.60s'", argv[1]);
	if (flags->dir == NULL || flags->dir[0] == 0)
		return error_set(error, ERR_USAGE, "--dir is needed");
	if (flags->region == NULL)
		return error_set(error, ERR_USAGE, "--region is needed");
	int level = logline_parse_level(flags->log_level);
	if (level < 0)
		return error_set(
		    error, ERR_USAGE, "--log-level: '%.40s' is none of debug, info, warn, error", flags->log_level);
	logline_set_level((enum log_level)level);
	if (flags->ready_fd != 0 &&
	    (fcntl((int)flags->ready_fd, F_SETFD, FD_CLOEXEC) != 0 || fcntl((int)flags->ready_fd, F_SETFL, O_NONBLOCK) != 0))
		return error_set(error, ERR_USAGE, "--ready-fd: %u is not open", flags->ready_fd);
	return 0;
}

/* The region's number, from the topology, which is loaded for nothing else. */
static int region_id(const struct flags *flags, struct topology *topology, uint32_t *id, struct error_context *error)
{
	int code = topology_load(topology, flags->topology, stderr, error);
	if (code == 0)
		code = link_ports_check(topology, flags->link_base, error);
	if (code != 0)
		return code;
	const struct region *region = topology_region(topology, flags->region);
	if (region == NULL)
		return error_set(error, ERR_CONFIGURATION, "--region: '%.40s' is not in the topology", flags->region);
	*id = region->id;
	return 0;
}

static int paths_make(struct supervisor_io *io, struct error_context *error)
{
	if (strlen(io->flags.dir) + NAME_SIZE_MAX + 2 > sizeof(io->region_dir))
		return error_set(error, ERR_CONFIGURATION, "--dir: the path is too long");
	snprintf(io->region_dir, sizeof(io->region_dir), "%s/%s", io->flags.dir, io->flags.region);
	if (io->flags.bin_dir != NULL) {
		if (strlen(io->flags.bin_dir) >= sizeof(io->bin_dir))
			return error_set(error, ERR_CONFIGURATION, "--bin-dir: the path is too long");
		snprintf(io->bin_dir, sizeof(io->bin_dir), "%s", io->flags.bin_dir);
		return 0;
	}
	ssize_t size = readlink("/proc/self/exe", io->bin_dir, sizeof(io->bin_dir));
	if (size < 0 || size >= (ssize_t)sizeof(io->bin_dir))
		return error_set(
		    error, ERR_IO, "cannot tell where this program is: %s", size < 0 ? strerror(errno) : "path too long");
	io->bin_dir[size] = 0;
	*strrchr(io->bin_dir, '/') = 0; /* an absolute path */
	return 0;
}

static int descriptors_make(struct supervisor_io *io, struct error_context *error)
{
	sigset_t handled;
	sigemptyset(&handled);
	sigaddset(&handled, SIGCHLD);
	sigaddset(&handled, SIGTERM);
	sigaddset(&handled, SIGINT);
	sigaddset(&handled, SIGHUP);
	sigprocmask(SIG_BLOCK, &handled, NULL);
	signal(SIGPIPE, SIG_IGN); /* who waits for our ready line may be gone */
	io->signal_fd = signalfd(-1, &handled, SFD_NONBLOCK | SFD_CLOEXEC);
	if (io->signal_fd < 0)
		return error_set(error, ERR_IO, "signalfd: %s", strerror(errno));
	for (uint32_t i = 0; i < ACTORS; i++) {
		io->launch.bells[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (io->launch.bells[i] < 0)
			return error_set(error, ERR_IO, "eventfd: %s", strerror(errno));
	}
	return 0;
}

static int start(struct supervisor_io *io, int argc, char **argv, struct error_context *error)
{
	static struct topology topology; /* large */
	uint32_t id = 0;
	bool held = false;
	int code = flags_parse(io, argc, argv, error);
	if (code == 0)
		code = region_id(&io->flags, &topology, &id, error);
	if (code == 0)
		code = paths_make(io, error);
	if (code != 0)
		return error_exit_code(code);
	logline_init(io->flags.region, "supervisor", NULL);
	io->launch = (struct launch_options){.bin_dir = io->bin_dir,
	    .dir = io->flags.dir,
	    .keys = io->flags.keys,
	    .region_dir = io->region_dir,
	    .region = io->flags.region,
	    .topology = io->flags.topology,
	    .log_level = io->flags.log_level,
	    .link_base = io->flags.link_base,
	    .actor_flags = &io->flags.actor_flags,
	    .lock_fd = -1};
	code = launch_check(&io->launch, error);
	if (code == 0)
		code = place_make(io->flags.dir, io->region_dir, error);
	if (code == 0)
		code = place_lock(io->region_dir, &io->launch.lock_fd, &held, error);
	if (code == 0)
		code = place_pid_write(io->region_dir, error);
	if (code == 0)
		code = keyspaces_resolve(&topology, io->region_dir, true, error);
	if (code == 0)
		code = shm_create(&io->shm, id, error);
	io->launch.shm_fd = io->shm.fd;
	if (code == 0)
		code = descriptors_make(io, error);
	if (code != 0)
		return held ? EXIT_REFUSED : error_exit_code(code);
	logline(LOG_LEVEL_INFO, "starting", "pid=%d", (int)getpid());
	return 0;
}

static void help_print(void)
{
	printf("godwit-supervisor: runs the five actors of a region; `godwit up` starts it.\n\n");
	options_help(option_table, stdout);
	printf("  %-34s %s\n", "    --help", "this");
}

int supervisor_main(int argc, char **argv)
{
	static struct supervisor_io io = {.shm = {.fd = -1}, .signal_fd = -1};
	struct error_context error = {0};
	io.flags = (struct flags){.log_level = "info",
	    .start_timeout_ms = SUPERVISOR_START_TIMEOUT_MS,
	    .stop_timeout_ms = SUPERVISOR_STOP_TIMEOUT_MS,
	    .hang_timeout_ms = HANG_TIMEOUT_MS};
	for (uint32_t i = 0; i < ACTORS; i++)
		io.processes[i].ready_fd = -1;
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0) {
			help_print();
			return 0;
		}
	}
	/* Whoever started us may have left more open than it knows; nothing of it is the actors' business. */
	close_range(3, UINT_MAX, CLOSE_RANGE_CLOEXEC);
	logline_init("-", "supervisor", NULL);
	int exit_code = start(&io, argc, argv, &error);
	if (exit_code != 0) {
		logline(LOG_LEVEL_ERROR, "start_failed", "reason=\"%s\"", error.text);
		shm_detach(&io.shm);
		return exit_code;
	}
	supervisor_init(&io.supervisor, io.flags.start_timeout_ms, io.flags.stop_timeout_ms);
	run(&io);
	logline(LOG_LEVEL_INFO, "stopped", "pid=%d", (int)getpid());
	place_pid_remove(io.region_dir);
	shm_detach(&io.shm);
	return 0; /* the lock goes last, with the process */
}
