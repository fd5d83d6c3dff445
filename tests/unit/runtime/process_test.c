/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/process.h"
#include "runtime/socket.h"
#include "shm/role_lock.h"
#include "tests/unit/runtime/fixture.h"

static char directory[128];
static struct shm owner;
static struct process process;

static void set_up(void)
{
	struct error_context error = {0};
	char path[256];
	scratch_make(directory);
	snprintf(path, sizeof path, "%s/eu-west-1", directory);
	mkdir(path, 0700);
	cr_assert_eq(shm_create(&owner, 1, &error), 0, "%s", error.text);
	snprintf(path, sizeof path, "%s/keys", directory);
	cr_assert_eq(keys_make(path, "eu-west-1", &error), 0, "%s", error.text);
	int null = open("/dev/null", O_WRONLY);
	dup2(null, STDERR_FILENO);
	close(null);
}
static void tear_down(void)
{
	shm_detach(&owner);
	scratch_remove(directory);
}
TestSuite(process, .init = set_up, .fini = tear_down);

static void stop_at_once(void *self, struct clock_now now)
{
	(void)now;
	loop_stop(((struct process *)self)->loop, 0);
}
static int start(const char *region, const char *extra, const char *extra_value)
{
	struct loop_actor actor = {.self = &process, .tick = stop_at_once};
	char shm_fd[16] = "0";
	if (strcmp(region, "eu-west-1") == 0)
		snprintf(shm_fd, sizeof shm_fd, "%d", fcntl(owner.fd, F_DUPFD, 3)); /* taken over by the process */
	const char *argv[] = {
	    "godwit-router", "--dir", directory, "--region", region, "--shm-fd", shm_fd, extra, extra_value, NULL};
	int argc = extra ? 9 : 7;
	return process_start(&process, ACTOR_ROUTER, NULL, NULL, argc, (char **)(uintptr_t)argv, &actor, NULL);
}

Test(process, starts_serves_tells_and_ends)
{
	struct error_context error = {0};
	int ready[2], fds[ACTORS];
	char bells[64] = "", line[16] = "", endpoint[256];
	for (int i = 0; i < ACTORS; i++) {
		fds[i] = eventfd(0, EFD_NONBLOCK);
		snprintf(bells + strlen(bells), sizeof bells - strlen(bells), "%s%d", i ? "," : "", fds[i]);
	}
	cr_assert_eq(pipe(ready), 0);
	cr_assert_eq(start("eu-west-1", "--bells", bells), 0);
	process.flags.ready_fd = (uint32_t)ready[1];
	cr_assert_eq(process.region->id, 1);
	cr_assert_eq(process.bells[ACTOR_STREAMER].fd, fds[ACTOR_STREAMER]);
	cr_assert_eq(process.bells[ACTOR_STREAMER].sleeping, &process.shm.layout->actors[ACTOR_STREAMER].sleeping);
	cr_assert_eq(process_serve_curve(&process, true, &error), 0, "%s", error.text);
	/* A socket that the actor leaves open must not keep the process from ending. */
	void *socket;
	struct socket_options options = {.own = &process.keys};
	cr_assert_eq(
	    socket_bind(&socket, process.context, ZMQ_ROUTER, "tcp://127.0.0.1:*", &options, &error), 0, "%s", error.text);
	process_ipc(&process, "coordinator.ipc", endpoint);
	cr_assert_eq(socket_bind(&socket, process.context, ZMQ_ROUTER, endpoint, NULL, &error), 0, "%s", error.text);
	process_ready(&process);
	cr_assert_eq(read(ready[0], line, sizeof line - 1), 6);
	cr_assert_str_eq(line, "ready\n");
	alarm(20);
	cr_assert_eq(process_run(&process), 0);
	cr_assert_geq(counter_get(&owner.layout->counters[ACTOR_ROUTER], COUNTER_loop_turns), 1);
}

Test(process, mistakes_give_exit_codes)
{
	cr_expect_eq(start("mars", NULL, NULL), 2);
	cr_expect_eq(start("eu-west-1", "--bells", "1,2,3"), 2);
	cr_expect_eq(start("eu-west-1", "--bells", "1,2,3,4,999"), 2);
	cr_expect_eq(start("eu-west-1", "--log-level", "loud"), 2);
	cr_expect_eq(start("eu-west-1", "--topology", "/nonexistent"), 2);
	cr_expect_eq(start("eu-west-1", "--ready-fd", "x"), 2);
	cr_expect_eq(start("eu-west-1", "--shm-fd", "999"), 2);
	/* Known, but neither its keys nor a supervisor with its shared memory are there. */
	cr_expect_eq(start("us-east-1", NULL, NULL), 5);
}

/* Started twice, an actor would take the first one's admin socket: libzmq's bind takes a path that is alive. */
Test(process, E13a_an_actor_started_twice_is_refused_and_takes_nothing)
{
	struct loop_actor actor = {.self = &process};
	static struct process second;
	char path[256], taken[300], pid[32], shm_fd[16];
	const char *argv[] = {"godwit-router", "--dir", directory, "--region", "eu-west-1", "--shm-fd", shm_fd, NULL};
	struct error_context error = {0};
	struct stat before, after;
	int fd;
	cr_assert_eq(start("eu-west-1", NULL, NULL), 0);
	snprintf(path, sizeof path, "%s/eu-west-1/router.admin", directory);
	cr_assert_eq(stat(path, &before), 0);
	snprintf(shm_fd, sizeof shm_fd, "%d", fcntl(owner.fd, F_DUPFD, 3));
	cr_assert_eq(process_start(&second, ACTOR_ROUTER, NULL, NULL, 7, (char **)(uintptr_t)argv, &actor, NULL), 3);
	cr_assert_eq(stat(path, &after), 0);
	cr_assert_eq(after.st_ino, before.st_ino, "the admin socket is another one");
	/* The holder is named, and another role is free. */
	snprintf(taken, sizeof taken, "%s/eu-west-1/router.lock", directory);
	cr_assert_eq(role_lock_take(taken, "the router of eu-west-1", 0, &fd, &error), ERR_ALREADY_RUNS);
	snprintf(pid, sizeof pid, "process %ld", (long)getpid());
	cr_assert_not_null(strstr(error.text, pid), "%s", error.text);
	snprintf(taken, sizeof taken, "%s/eu-west-1/monitor.lock", directory);
	cr_assert_eq(role_lock_take(taken, "the monitor of eu-west-1", 0, &fd, &error), 0, "%s", error.text);
	close(fd);
	/* When the first one has ended, the role is free. */
	alarm(20);
	cr_assert_eq(process_run(&process), 0);
	cr_assert_eq(start("eu-west-1", NULL, NULL), 0);
	cr_assert_eq(process_run(&process), 0);
}
