/* SPDX-License-Identifier: Apache-2.0
 *
 * The supervisor's program itself, with stand-ins for the actors. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shm/layout.h"

#define REGION "us-east-1"

static char top[] = "/tmp/godwit-supervisor-XXXXXX";
static char bin_dir[64], dir[64], region_dir[96];
static struct error_context error;

static uint64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

static void set_up(void)
{
	cr_assert_not_null(mkdtemp(top));
	snprintf(bin_dir, sizeof(bin_dir), "%s/bin", top);
	snprintf(dir, sizeof(dir), "%s/data", top);
	snprintf(region_dir, sizeof(region_dir), "%s/%s", dir, REGION);
	mkdir(bin_dir, 0700);
	for (int i = 0; i < ACTORS; i++) {
		char path[128];
		snprintf(path, sizeof(path), "%s/godwit-%s", bin_dir, actor_name((enum actor)i));
		cr_assert_eq(symlink(FAKE_ACTOR, path), 0);
	}
}

static void tear_down(void)
{
	char command[128];
	snprintf(command, sizeof(command), "rm -rf %s", top);
	cr_assert_eq(system(command), 0);
}

TestSuite(supervisor, .init = set_up, .fini = tear_down, .timeout = 60);

/* The fakes have no event loop that turns. */
static const char *hang_timeout_ms = "3600000";

/* Starts a supervisor with up to four more arguments; its lines go to TOP/errors. */
static pid_t supervisor_start(int *ready_fd, const char *const *more)
{
	int ends[2];
	char ready_text[16], errors[64];
	const char *arguments[24] = {SUPERVISOR, "--dir", dir, "--region", REGION, "--bin-dir", bin_dir, "--ready-fd",
	    ready_text, "--hang-timeout-ms", hang_timeout_ms};
	uint32_t count = 11;
	for (; more != NULL && *more != NULL; more++)
		arguments[count++] = *more;
	cr_assert_eq(pipe(ends), 0);
	snprintf(ready_text, sizeof(ready_text), "%d", ends[1]);
	snprintf(errors, sizeof(errors), "%s/errors", top);
	pid_t child = fork();
	if (child == 0) {
		int fd = open(errors, O_WRONLY | O_CREAT | O_APPEND, 0600);
		dup2(fd, STDOUT_FILENO);
		dup2(fd, STDERR_FILENO);
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nothing running */
		close(fd);
		close(ends[0]);
		execv(SUPERVISOR, (char **)(uintptr_t)arguments);
		_exit(127);
	}
	close(ends[1]);
	*ready_fd = ends[0];
	return child;
}

/* What the ready pipe has said since. */
static char told[4096];

/* True when "ready" came within so many milliseconds, as a line; those before it tell of actors that did not start. */
static bool ready_within(int fd, int wait_ms)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	size_t size = 0;
	told[0] = 0;
	for (uint64_t end = now_ms() + (uint64_t)wait_ms; now_ms() < end && size < sizeof(told) - 1;) {
		if (poll(&poll_fd, 1, (int)(end - now_ms())) != 1)
			continue;
		ssize_t got = read(fd, told + size, sizeof(told) - 1 - size);
		if (got <= 0)
			return false;
		told[size += (size_t)got] = 0;
		if (size >= 6 && strcmp(told + size - 6, "ready\n") == 0)
			return true;
	}
	return false;
}

static int exit_code(pid_t child)
{
	int status;
	cr_assert_eq(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static const char *file_text(const char *in, const char *name)
{
	static char text[65536];
	char path[160];
	snprintf(path, sizeof(path), "%s/%s", in, name);
	FILE *file = fopen(path, "r");
	size_t size = file != NULL ? fread(text, 1, sizeof(text) - 1, file) : 0;
	text[size] = 0;
	if (file != NULL)
		fclose(file);
	return text;
}

static int lines_of(const char *wanted)
{
	int count = 0;
	for (const char *at = file_text(region_dir, "events"); (at = strstr(at, wanted)) != NULL; at++)
		count++;
	return count;
}

static bool wait_until(bool (*condition)(void), int wait_ms)
{
	for (uint64_t end = now_ms() + (uint64_t)wait_ms; now_ms() < end; usleep(2000))
		if (condition())
			return true;
	return condition();
}

static struct shm seen;
static bool all_ready(void)
{
	for (int i = 0; i < ACTORS; i++)
		if (atomic_load(&seen.layout->actors[i].state) != ACTOR_READY)
			return false;
	return true;
}

static uint32_t pids[ACTORS];
static bool all_gone(void)
{
	for (int i = 0; i < ACTORS; i++) {
		char path[64], text[512] = "";
		snprintf(path, sizeof(path), "/proc/%u/stat", pids[i]);
		FILE *file = fopen(path, "r");
		if (file == NULL)
			continue;
		size_t size = fread(text, 1, sizeof(text) - 1, file);
		text[size] = 0;
		fclose(file);
		/* "pid (name) state": a zombie is gone, whenever its new parent may get round to it */
		const char *state = strrchr(text, ')');
		if (state != NULL && state[2] != 'Z')
			return false;
	}
	return true;
}

static void pids_read(void)
{
	for (int i = 0; i < ACTORS; i++)
		pids[i] = atomic_load(&seen.layout->actors[i].pid);
}

Test(supervisor, starts_in_order_tells_and_stops_in_order)
{
	int fd;
	pid_t child = supervisor_start(&fd, NULL);
	cr_assert(ready_within(fd, 10000), "%s", file_text(top, "errors"));
	cr_assert_eq(shm_attach(&seen, region_dir, 0, &error), 0);
	cr_assert(all_ready());
	pids_read();
	cr_assert_eq(atoi(file_text(region_dir, "supervisor.pid")), child);
	struct stat status;
	cr_assert_eq(stat(region_dir, &status), 0);
	cr_assert_eq(status.st_mode & 0777u, 0700);
	cr_assert_eq(strncmp(file_text(region_dir, "events"), "coordinator start\ncoordinator ready\n", 36), 0);
	cr_assert_eq(lines_of("has the wrong"), 0);
	kill(child, SIGTERM);
	cr_assert_eq(exit_code(child), 0);
	cr_assert(all_gone());
	const char *events = file_text(region_dir, "events");
	const char *router = strstr(events, "router stop"), *coordinator = strstr(events, "coordinator stop");
	cr_assert(router != NULL && coordinator != NULL);
	for (int i = ACTOR_STREAMER; i < ACTORS; i++) {
		char line[64];
		snprintf(line, sizeof(line), "%s stop", actor_name((enum actor)i));
		const char *at = strstr(events, line);
		cr_assert(at >= router && at < coordinator, "%s", events);
	}
	for (int i = 0; i < ACTORS; i++)
		cr_assert_eq(atomic_load(&seen.layout->actors[i].state), ACTOR_DOWN);
	cr_assert_str_eq(file_text(region_dir, "supervisor.pid"), "");
	close(fd);
}

Test(supervisor, a_killed_actor_is_back_at_once_and_alone)
{
	int fd;
	pid_t child = supervisor_start(&fd, NULL);
	cr_assert(ready_within(fd, 10000));
	cr_assert_eq(shm_attach(&seen, region_dir, 0, &error), 0);
	for (int i = 0; i < ACTORS; i++) {
		pids_read();
		uint64_t start = now_ms();
		kill((pid_t)pids[i], SIGKILL);
		while (atomic_load(&seen.layout->actors[i].pid) == pids[i])
			cr_assert_lt(now_ms(), start + 1000);
		cr_assert(wait_until(all_ready, 1000));
		for (int j = 0; j < ACTORS; j++)
			cr_assert_eq(atomic_load(&seen.layout->actors[j].pid) == pids[j], i != j);
		cr_assert_eq(atomic_load(&seen.layout->actors[i].starts), 2);
	}
	kill(child, SIGINT);
	cr_assert_eq(exit_code(child), 0);
	close(fd);
}

Test(supervisor, an_actor_that_ends_by_itself_is_started_again)
{
	int fd;
	pid_t child = supervisor_start(&fd, NULL);
	cr_assert(ready_within(fd, 10000));
	cr_assert_eq(shm_attach(&seen, region_dir, 0, &error), 0);
	kill((pid_t)atomic_load(&seen.layout->actors[ACTOR_STREAMER].pid), SIGTERM); /* as the admin's stop does: exit code 0 */
	while (atomic_load(&seen.layout->actors[ACTOR_STREAMER].starts) < 2)
		usleep(1000);
	cr_assert(wait_until(all_ready, 2000));
	kill(child, SIGTERM);
	cr_assert_eq(exit_code(child), 0);
	close(fd);
}

Test(supervisor, F24_when_it_is_killed_its_actors_die_and_the_next_one_starts)
{
	int fd;
	for (uint32_t round = 0; round < 5; round++) {
		pid_t child = supervisor_start(&fd, NULL);
		cr_assert(ready_within(fd, 10000), "%s", file_text(top, "errors"));
		close(fd);
		cr_assert_eq(shm_attach(&seen, region_dir, 1, &error), 0, "%s", error.text);
		cr_assert_eq(atomic_load(&seen.layout->coordinator.epoch), 0, "shared memory of an earlier supervisor");
		atomic_store(&seen.layout->coordinator.epoch, 7);
		pids_read();
		kill(child, SIGKILL);
		cr_assert_eq(exit_code(child), -SIGKILL);
		if (round % 2 == 0)
			cr_assert(wait_until(all_gone, 1000));
		shm_detach(&seen);
	}
	pid_t child = supervisor_start(&fd, NULL);
	cr_assert(ready_within(fd, 10000));
	kill(child, SIGTERM);
	cr_assert_eq(exit_code(child), 0);
	close(fd);
}

Test(supervisor, F24_it_waits_for_the_last_actor_of_a_killed_supervisor_to_be_gone)
{
	int fd;
	char path[128];
	mkdir(dir, 0700);
	mkdir(region_dir, 0700);
	snprintf(path, sizeof(path), "%s/supervisor.lock", region_dir);
	int lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	cr_assert_eq(flock(lock_fd, LOCK_EX), 0); /* as an actor holds it that takes its time to die */
	pid_t child = supervisor_start(&fd, NULL);
	cr_assert(!ready_within(fd, 400));
	cr_assert_eq(lines_of("start"), 0);
	close(lock_fd);
	cr_assert(ready_within(fd, 10000), "%s", file_text(top, "errors"));
	kill(child, SIGTERM);
	cr_assert_eq(exit_code(child), 0);
	close(fd);
}

Test(supervisor, T32_killed_anywhere_while_starting_it_can_be_started_again)
{
	int fd;
	uint32_t random = (uint32_t)getpid();
	for (uint32_t round = 0; round < 40; round++) {
		pid_t child = supervisor_start(&fd, NULL);
		random = random * 1664525u + 1013904223u;
		usleep(random >> 17); /* up to 33 ms */
		kill(child, SIGKILL);
		exit_code(child);
		close(fd);
	}
	pid_t child = supervisor_start(&fd, NULL);
	cr_assert(ready_within(fd, 10000), "%s", file_text(top, "errors"));
	kill(child, SIGTERM);
	cr_assert_eq(exit_code(child), 0);
	close(fd);
}

Test(supervisor, a_second_one_is_refused_with_one_line)
{
	int fd, second_fd;
	pid_t child = supervisor_start(&fd, NULL);
	cr_assert(ready_within(fd, 10000));
	char before[4096];
	snprintf(before, sizeof(before), "%s", file_text(top, "errors"));
	pid_t second = supervisor_start(&second_fd, NULL);
	cr_assert_eq(exit_code(second), 3);
	const char *said = file_text(top, "errors") + strlen(before);
	cr_assert_not_null(strstr(said, "another supervisor"));
	cr_assert_eq(strchr(said, '\n'), said + strlen(said) - 1, "one line: %s", said);
	cr_assert_eq(atoi(file_text(region_dir, "supervisor.pid")), child);
	kill(child, SIGTERM);
	cr_assert_eq(exit_code(child), 0);
	close(fd);
	close(second_fd);
}

Test(supervisor, an_actor_that_cannot_start_is_backed_off_and_the_others_run)
{
	int fd;
	pid_t child = supervisor_start(&fd, (const char *[]){"--actor-flag", "router:--fake=exit", NULL});
	cr_assert(!ready_within(fd, 1200));
	cr_assert_eq(shm_attach(&seen, region_dir, 0, &error), 0);
	cr_assert_eq(atomic_load(&seen.layout->actors[ACTOR_COORDINATOR].state), ACTOR_READY);
	cr_assert_eq(atomic_load(&seen.layout->actors[ACTOR_RECONCILER].state), ACTOR_READY);
	uint32_t starts = atomic_load(&seen.layout->actors[ACTOR_ROUTER].starts);
	cr_assert(starts >= 4 && starts <= 6, "%u starts in 1.2 s", starts);
	kill(child, SIGTERM);
	cr_assert_eq(exit_code(child), 0);
	close(fd);
}

static bool all_started_twice(void)
{
	return lines_of(" start") >= 2 * ACTORS;
}

Test(supervisor, f14_an_actor_whose_loop_does_not_turn_is_started_again)
{
	int fd;
	hang_timeout_ms = "1000";
	pid_t child = supervisor_start(&fd, NULL);
	cr_assert(ready_within(fd, 10000), "%s", file_text(top, "errors"));
	usleep(700000);
	cr_assert_eq(lines_of(" start"), ACTORS, "before its time");
	cr_assert(wait_until(all_started_twice, 20000), "%s", file_text(region_dir, "events"));
	cr_assert_not_null(strstr(file_text(top, "errors"), "hangs: its event loop does not turn"));
	kill(child, SIGTERM);
	cr_assert_eq(exit_code(child), 0);
	close(fd);
}

Test(supervisor, f15_why_an_actor_does_not_start_is_told_on_the_ready_pipe)
{
	int fd;
	pid_t child = supervisor_start(&fd, (const char *[]){"--actor-flag", "router:--fake=exit", NULL});
	cr_assert(!ready_within(fd, 1000));
	cr_assert_eq(strncmp(told, "failed router: ", 15), 0, "%s", told);
	cr_assert_geq(strlen(told), 30);
	cr_assert_eq(told[strlen(told) - 1], '\n');
	kill(child, SIGTERM);
	cr_assert_eq(exit_code(child), 0);
	close(fd);
}

Test(supervisor, what_hangs_is_killed)
{
	int fd;
	const char *const flags[] = {"--actor-flag", "monitor:--fake=hang", "--actor-flag=router:--fake=stubborn",
	    "--start-timeout-ms=300", "--stop-timeout-ms", "200", NULL};
	pid_t child = supervisor_start(&fd, flags);
	cr_assert(!ready_within(fd, 700));
	cr_assert_geq(lines_of("monitor start"), 2);
	uint64_t start = now_ms();
	kill(child, SIGTERM);
	cr_assert_eq(exit_code(child), 0);
	cr_assert(now_ms() - start >= 200 && now_ms() - start < 2000);
	cr_assert_eq(lines_of("router stop"), 0);
	cr_assert_eq(lines_of("coordinator stop"), 1);
	close(fd);
}

static bool monitor_started_twice(void)
{
	return lines_of("monitor start") >= 2;
}

/* A start that shows signs of life (a coordinator that copies a snapshot) is not given up, however long it takes. */
Test(supervisor, D8_a_start_that_goes_on_has_no_deadline)
{
	int fd;
	const char *const flags[] = {"--actor-flag", "monitor:--fake=hang", "--start-timeout-ms=2000", NULL};
	pid_t child = supervisor_start(&fd, flags);
	cr_assert(!ready_within(fd, 500));
	cr_assert_eq(shm_attach(&seen, region_dir, 1, &error), 0, "%s", error.text);
	for (int i = 0; i < 120; i++) {
		counter_add(&seen.layout->counters[ACTOR_MONITOR], COUNTER_turned_ms, 1);
		usleep(50000);
	}
	cr_assert_eq(lines_of("monitor start"), 1, "given up while it went on");
	cr_assert(wait_until(monitor_started_twice, 20000), "not given up when it stood still");
	shm_detach(&seen);
	kill(child, SIGTERM);
	cr_assert_eq(exit_code(child), 0);
	close(fd);
}

Test(supervisor, mistakes_are_one_clear_line)
{
	static const struct {
		const char *flags[4];
		int code;
		const char *said;
	} cases[] = {
	    {{"--nonsense"}, 2, "--nonsense"},
	    {{"extra"}, 2, "extra"},
	    {{"--region", "atlantis"}, 2, "atlantis"},
	    {{"--log-level", "loud"}, 2, "loud"},
	    {{"--actor-flag", "rooter:--x=1"}, 2, "rooter"},
	    {{"--actor-flag", "router:x"}, 2, "router:x"},
	    {{"--bin-dir", "/nowhere"}, 2, "/nowhere/godwit-coordinator"},
	    {{"--dir", "/proc/nowhere"}, 5, "/proc/nowhere"},
	    {{"--ready-fd", "999"}, 2, "999"},
	    {{"--topology", "/nowhere.yaml"}, 2, "/nowhere.yaml"},
	};
	for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char path[64];
		int fd;
		snprintf(path, sizeof(path), "%s/errors", top);
		unlink(path);
		pid_t child = supervisor_start(&fd, cases[i].flags);
		cr_expect_eq(exit_code(child), cases[i].code, "%s", cases[i].said);
		const char *said = file_text(top, "errors");
		cr_expect_not_null(strstr(said, cases[i].said), "%s", said);
		/* a topology's mistakes are listed before they are summed up */
		bool one_line = strchr(said, '\n') == said + strlen(said) - 1;
		cr_expect(one_line || strstr(cases[i].flags[0], "--topology") != NULL, "%s", said);
		close(fd);
	}
}
