/* SPDX-License-Identifier: Apache-2.0
 *
 * F24: programs that are started in the background: what they say until they are ready, and how they end. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/godwit/cli.h"
#include "cmd/godwit/processes.h"
#include "shm/role_lock.h"
#include "tests/unit/cmd/command.h"

static struct error_context error;
static struct process_spawned spawned;
static pid_t holder;

static void tear_down(void)
{
	if (spawned.pid > 0)
		kill(spawned.pid, SIGKILL);
	if (holder > 0)
		kill(holder, SIGKILL);
	command_tear_down();
}
TestSuite(processes, .init = command_set_up, .fini = tear_down);

/* A program of these lines; in $ready the descriptor that it was told. */
static int start(const char *lines)
{
	static const char *const arguments[] = {"--one", "two words", NULL};
	char program[300];
	put_file(
	    "program", "#!/bin/bash\nready=${@: -1}\n[ \"$1-$2-$3\" = '--one-two words---ready-fd' ] || exit 1\n%s\n", lines);
	cr_assert_eq(chmod("program", 0700), 0);
	snprintf(program, sizeof program, "../../../../../../../../../../../..%s/program", command_dir);
	return processes_spawn(&spawned, program, arguments, "errors", &error);
}

static uint64_t in_ms(uint32_t ms)
{
	return cli_now_ns() + ms * 1000000ull;
}

Test(processes, F24_ready_when_it_says_so)
{
	cr_assert_eq(start("echo nonsense >&$ready; echo 'failed once' >&$ready; echo ready >&$ready; exec sleep 60"), 0, "%s",
	    error.text);
	cr_assert_eq(processes_wait_ready(&spawned, "it", in_ms(20000), &error), 0, "%s", error.text);
	cr_assert_eq(spawned.ready_fd, -1);
	cr_assert_str_eq(spawned.reason, "once");
	cr_assert_eq(kill(spawned.pid, 0), 0);
}

Test(processes, F24_one_reason_twice_is_a_failure_and_two_reasons_are_not)
{
	cr_assert_eq(
	    start("echo 'failed one' >&$ready; echo 'failed two' >&$ready; echo 'failed two' >&$ready; exec sleep 60"), 0);
	cr_assert_eq(processes_wait_ready(&spawned, "it", in_ms(20000), &error), ERR_CONFIGURATION);
	cr_assert_str_eq(error.text, "it does not start: two");
}

Test(processes, F24_one_that_ends_is_told_with_its_last_line)
{
	put_file("errors", "an earlier start\n");
	cr_assert_eq(start("echo first >&2; echo 'no such thing' >&2; exit 3"), 0);
	cr_assert_eq(processes_wait_ready(&spawned, "it", in_ms(20000), &error), ERR_CONFIGURATION);
	cr_assert_str_eq(error.text, "it did not start: no such thing");
	cr_assert_eq(spawned.pid, 0);
	cr_assert_str_eq(file_text("errors"), "an earlier start\nfirst\nno such thing\n");
	/* Not what an earlier one has said. */
	cr_assert_eq(start("exit 3"), 0);
	cr_assert_eq(processes_wait_ready(&spawned, "it", in_ms(20000), &error), ERR_CONFIGURATION);
	cr_assert_str_eq(error.text, "it did not start");
}

Test(processes, F24_one_that_gets_nowhere_is_given_up)
{
	int status;
	cr_assert_eq(start("echo slow >&2; echo waiting >&$ready; exec sleep 60"), 0);
	while (!file_text("errors") || !strstr(file_text("errors"), "slow"))
		usleep(1000);
	cr_assert_eq(processes_wait_ready(&spawned, "it", in_ms(150), &error), ERR_UNREACHABLE);
	cr_assert_str_eq(error.text, "it was not ready in time: slow");
	cr_assert_eq(waitpid(spawned.pid, &status, 0), spawned.pid);
	cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	cr_assert_eq(start("echo slow >&2; echo 'failed why' >&$ready; exec sleep 60"), 0);
	while (!spawned.reason[0])
		cr_assert_eq(processes_poll_ready(&spawned, "it", 100, &error), 1);
	cr_assert_eq(processes_give_up(&spawned, "it", &error), ERR_UNREACHABLE);
	cr_assert_str_eq(error.text, "it was not ready in time: why");
	cr_assert_eq(spawned.ready_fd, -1);
}

Test(processes, F24_a_program_that_is_not_there)
{
	static const char *const none[] = {NULL};
	cr_assert_eq(processes_spawn(&spawned, "no-such-program", none, "errors", &error), ERR_CONFIGURATION);
	cr_assert(
	    strstr(error.text, "no-such-program: No such file or directory; it belongs beside this program"), "%s", error.text);
	cr_assert_eq(start("exit 0") || processes_wait_ready(&spawned, "it", in_ms(20000), &error), 1);
}

/* Holds place/NAME.lock, called as the kernel shows a program of that name; `end`: at SIGTERM. */
static void hold(const char *name, const char *called, bool end)
{
	int told[2], fd;
	char yes, path[64];
	snprintf(path, sizeof path, "place/%s.lock", name);
	mkdir("place", 0700);
	cr_assert_eq(pipe(told), 0);
	holder = fork();
	if (holder == 0) {
		prctl(PR_SET_NAME, called);
		signal(SIGTERM, end ? SIG_DFL : SIG_IGN);
		bool good = role_lock_take(path, name, 0, &fd, &error) == 0 && write(told[1], "y", 1) == 1;
		while (good)
			pause();
		_exit(1);
	}
	close(told[1]);
	cr_assert_eq(read(told[0], &yes, 1), 1);
	close(told[0]);
}
static void pid_put(const char *name, int pid)
{
	char path[64];
	snprintf(path, sizeof path, "place/%s.pid", name);
	put_file(path, "%d\n", pid);
}

Test(processes, F16_running_is_who_holds_the_lock_under_its_name)
{
	bool killed = true;
	cr_assert(!processes_running("place", "link"));
	cr_assert_eq(processes_stop("place", "link", 1000, &killed, &error), 0);
	cr_assert(!killed);
	hold("link", "godwit-link", true);
	cr_assert(!processes_running("place", "link"), "no pid file");
	pid_put("link", (int)getpid());
	cr_assert(!processes_running("place", "link"), "another's pid");
	pid_put("link", (int)holder);
	cr_assert(processes_running("place", "link"));
	processes_settle("place", "link", 60000); /* returns at once: it runs */
	cr_assert_eq(processes_stop("place", "link", 10000, &killed, &error), 0, "%s", error.text);
	cr_assert(!killed && !processes_running("place", "link"));
	waitpid(holder, NULL, 0);
	hold("link", "another", true);
	pid_put("link", (int)holder);
	cr_assert(!processes_running("place", "link"), "another program");
	cr_assert_eq(processes_stop("place", "link", 10, &killed, &error), ERR_IO);
	cr_assert(
	    strstr(error.text, "place/link.lock is held, but link.pid does not name a running godwit-link"), "%s", error.text);
	cr_assert_eq(waitpid(holder, NULL, WNOHANG), 0, "stopped");
}

Test(processes, F16_one_that_does_not_end_is_killed)
{
	bool killed = false;
	hold("supervisor", "godwit-supervisor", false);
	pid_put("supervisor", (int)holder);
	cr_assert(processes_running("place", "supervisor"));
	cr_assert_eq(processes_stop("place", "supervisor", 200, &killed, &error), 0, "%s", error.text);
	cr_assert(killed && !processes_running("place", "supervisor"));
}

Test(processes, F16_one_command_at_a_time)
{
	cr_assert(processes_turn("place", 0) < 0, "no such directory");
	cr_assert_eq(mkdir("place", 0700), 0);
	int turn = processes_turn("place", 0);
	cr_assert(turn >= 0);
	cr_assert(processes_turn("place", 100) < 0);
	close(turn);
	turn = processes_turn("place", 0);
	cr_assert(turn >= 0);
	close(turn);
}
