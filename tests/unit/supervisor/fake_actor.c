/* SPDX-License-Identifier: Apache-2.0
 *
 * Stands in for any actor: named godwit-ROLE by a symbolic link. It notes what happens to it in DIR/REGION/events, one line
 * each, and behaves as --fake says: exit (at once), hang (never ready), stubborn (ignores SIGTERM). */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *role;
static int events_fd;

static void note(const char *what)
{
	char line[128];
	int size = snprintf(line, sizeof(line), "%s %s\n", role, what);
	if (write(events_fd, line, (size_t)size) != size)
		abort();
}

static const char *flag(int argc, char **argv, const char *name)
{
	size_t size = strlen(name);
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], name) == 0 && i + 1 < argc)
			return argv[i + 1];
		if (strncmp(argv[i], name, size) == 0 && argv[i][size] == '=')
			return argv[i] + size + 1;
	}
	return "";
}

/* What an actor inherits beyond descriptors: no signal blocked or ignored. */
static void signals_check(void)
{
	sigset_t blocked;
	struct sigaction action;
	sigprocmask(SIG_SETMASK, NULL, &blocked);
	sigaction(SIGPIPE, NULL, &action);
	if (sigismember(&blocked, SIGINT) || sigismember(&blocked, SIGCHLD) || action.sa_handler != SIG_DFL)
		note("has the wrong signals");
}

/* Five eventfds, the lock, the shared memory, and nothing else above standard error but the pipe. */
static void descriptors_check(int argc, char **argv)
{
	int bells = 0, locks = 0, memory = 0, others = 0, ready_fd = atoi(flag(argc, argv, "--ready-fd"));
	for (int fd = 3; fd < 100; fd++) {
		char path[64], target[256] = "";
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		if (fd == events_fd || readlink(path, target, sizeof(target) - 1) < 0)
			continue;
		if (strcmp(target, "anon_inode:[eventfd]") == 0)
			bells++;
		else if (strstr(target, "supervisor.lock") != NULL)
			locks++;
		else if (strncmp(target, "/memfd:", 7) == 0 && fd == atoi(flag(argc, argv, "--shm-fd")))
			memory++;
		else if (fd != ready_fd)
			others++;
	}
	int listed[5];
	int count =
	    sscanf(flag(argc, argv, "--bells"), "%d,%d,%d,%d,%d", &listed[0], &listed[1], &listed[2], &listed[3], &listed[4]);
	if (bells != 5 || locks != 1 || memory != 1 || others != 0 || count != 5)
		note("has the wrong descriptors");
}

int main(int argc, char **argv)
{
	char path[4096];
	const char *slash = strrchr(argv[0], '/');
	role = (slash != NULL ? slash + 1 : argv[0]) + strlen("godwit-");
	snprintf(path, sizeof(path), "%s/%s/events", flag(argc, argv, "--dir"), flag(argc, argv, "--region"));
	events_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (events_fd < 0)
		return 1;
	note("start");
	signals_check();
	descriptors_check(argc, argv);
	sigset_t handled;
	int signal_number, ready_fd = atoi(flag(argc, argv, "--ready-fd"));
	const char *fake = flag(argc, argv, "--fake");
	sigemptyset(&handled);
	sigaddset(&handled, SIGTERM);
	sigprocmask(SIG_BLOCK, &handled, NULL);
	if (strcmp(fake, "exit") == 0)
		return 7;
	if (strcmp(fake, "hang") != 0) {
		usleep(5000);
		note("ready");
		/* in two parts, as a pipe may deliver it */
		if (write(ready_fd, "rea", 3) != 3 || write(ready_fd, "dy\n", 3) != 3)
			return 1;
		close(ready_fd);
	}
	do
		sigwait(&handled, &signal_number);
	while (strcmp(fake, "stubborn") == 0);
	usleep(5000);
	note("stop");
	return 0;
}
