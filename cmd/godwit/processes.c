/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/godwit/processes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/godwit/cli.h"
#include "runtime/logline.h"
#include "shm/role_lock.h"

#define ARGUMENTS_MAX 24

static bool lock_held(const char *dir, const char *name)
{
	char path[400];
	snprintf(path, sizeof path, "%s/%s.lock", dir, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	bool held = flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
	close(fd);
	return held;
}

static pid_t pid_read(const char *dir, const char *name)
{
	char path[400];
	long pid = 0;
	snprintf(path, sizeof path, "%s/%s.pid", dir, name);
	FILE *file = fopen(path, "re");
	if (!file)
		return 0;
	if (fscanf(file, "%ld", &pid) != 1 || pid <= 1 || pid > INT_MAX)
		pid = 0;
	fclose(file);
	return (pid_t)pid;
}

/* Did this process take DIR/NAME.lock, and does it hold it? A pid file may be stale, and its number be another process's by
 * now. */
static bool pid_has_lock(pid_t pid, const char *dir, const char *name)
{
	char path[400];
	snprintf(path, sizeof path, "%s/%s.lock", dir, name);
	return role_lock_holder(path) == pid;
}

/* Of a process that is alive, and the holder of that lock; the kernel cuts its name to 15 bytes. */
static bool pid_is(pid_t pid, const char *dir, const char *name)
{
	char path[64], seen[32] = "", wanted[64], state = 'X';
	if (pid <= 0 || !pid_has_lock(pid, dir, name))
		return false;
	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	FILE *file = fopen(path, "re");
	if (!file)
		return false;
	bool read = fscanf(file, "%*d (%31[^)]) %c", seen, &state) == 2;
	fclose(file);
	snprintf(wanted, sizeof wanted, "godwit-%s", name);
	wanted[15] = 0;
	return read && state != 'Z' && state != 'X' && strcmp(seen, wanted) == 0;
}

/* The lock alone does not tell: the actors of a killed supervisor hold it as well until they are gone, a moment later. */
bool processes_running(const char *dir, const char *name)
{
	return lock_held(dir, name) && pid_is(pid_read(dir, name), dir, name);
}

static bool stopped_within(const char *dir, const char *name, uint32_t wait_ms)
{
	for (uint64_t end_ns = cli_now_ns() + wait_ms * 1000000ull; cli_now_ns() < end_ns; cli_sleep_ms(5))
		if (!lock_held(dir, name))
			return true;
	return !lock_held(dir, name);
}

void processes_settle(const char *dir, const char *name, uint32_t wait_ms)
{
	if (!lock_held(dir, name))
		return;
	cli_sleep_ms(20); /* a SIGKILL that was sent just now takes a moment to be seen */
	if (!pid_is(pid_read(dir, name), dir, name))
		stopped_within(dir, name, wait_ms);
}

int processes_stop(const char *dir, const char *name, uint32_t wait_ms, bool *killed, struct error_context *error)
{
	*killed = false;
	pid_t pid = pid_read(dir, name);
	if (!pid_is(pid, dir, name) && stopped_within(dir, name, 3000))
		return ERR_OK;
	if (!pid_is(pid, dir, name))
		return error_set(
		    error, ERR_IO, "%s/%s.lock is held, but %s.pid does not name a running godwit-%s", dir, name, name, name);
	if (kill(pid, SIGTERM) < 0 && errno != ESRCH)
		return error_set(error, ERR_IO, "stopping godwit-%s (pid %d): %s", name, (int)pid, strerror(errno));
	if (stopped_within(dir, name, wait_ms))
		return ERR_OK;
	*killed = true; /* nothing acknowledged is lost by it */
	kill(pid, SIGKILL);
	if (stopped_within(dir, name, 5000))
		return ERR_OK;
	return error_set(error, ERR_IO, "godwit-%s (pid %d) does not end, not even by SIGKILL", name, (int)pid);
}

/* Does PID's command line say that it is one of ours, for this directory? */
static bool pid_serves(pid_t pid, const char *dir)
{
	char path[64], line[4096];
	snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
	FILE *file = fopen(path, "re");
	size_t size = file ? fread(line, 1, sizeof line - 1, file) : 0;
	if (file)
		fclose(file);
	line[size] = 0;
	const char *slash = strrchr(line, '/'), *program = slash ? slash + 1 : line;
	if (strcmp(program, "godwit-supervisor") != 0 && strcmp(program, "godwit-link") != 0)
		return false;
	for (const char *at = line; at < line + size; at += strlen(at) + 1)
		if (strcmp(at, "--dir") == 0 && at + 6 < line + size && strcmp(at + 6, dir) == 0)
			return true;
	return false;
}

static uint32_t all_signal(const char *dir, int signal)
{
	uint32_t count = 0;
	DIR *processes = opendir("/proc");
	for (struct dirent *entry; processes && (entry = readdir(processes));) {
		long pid = strtol(entry->d_name, NULL, 10);
		if (pid <= 1 || !pid_serves((pid_t)pid, dir))
			continue;
		count++;
		if (signal)
			kill((pid_t)pid, signal);
	}
	if (processes)
		closedir(processes);
	return count;
}

static uint32_t all_left(const char *dir, uint32_t wait_ms)
{
	uint64_t end_ns = cli_now_ns() + wait_ms * 1000000ull;
	uint32_t left = all_signal(dir, 0);
	while (left && cli_now_ns() < end_ns) {
		cli_sleep_ms(10);
		left = all_signal(dir, 0);
	}
	return left;
}

uint32_t processes_stop_all(const char *dir, uint32_t wait_ms, uint32_t *left)
{
	uint32_t count = all_signal(dir, SIGTERM);
	*left = count ? all_left(dir, wait_ms) : 0;
	if (*left) {
		all_signal(dir, SIGKILL);
		*left = all_left(dir, 5000);
	}
	return count;
}

int processes_turn(const char *dir, uint32_t wait_ms)
{
	char path[400];
	snprintf(path, sizeof path, "%s/commands.lock", dir);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	uint64_t end_ns = cli_now_ns() + wait_ms * 1000000ull;
	for (bool told = false; fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0; told = true) {
		int reason = errno == EWOULDBLOCK ? EBUSY : errno;
		if (reason != EBUSY || cli_now_ns() >= end_ns) {
			close(fd);
			errno = reason;
			return -1;
		}
		if (!told)
			fprintf(stderr, "waiting for another command that starts or stops regions of %s\n", dir);
		cli_sleep_ms(20);
	}
	return fd;
}

static int program_path(const char *program, char out[static PATH_MAX], struct error_context *error)
{
	ssize_t size = readlink("/proc/self/exe", out, PATH_MAX - 1);
	if (size < 0)
		return error_set(error, ERR_IO, "/proc/self/exe: %s", strerror(errno));
	out[size] = 0;
	char *name = strrchr(out, '/') + 1;
	if (strlen(program) >= (size_t)(out + PATH_MAX - name))
		return error_set(error, ERR_CONFIGURATION, "the path of this program is too long");
	strcpy(name, program);
	if (access(out, X_OK) < 0)
		return error_set(error, ERR_CONFIGURATION, "%.200s: %s; it belongs beside this program", out, strerror(errno));
	return ERR_OK;
}

/* The child: only calls that are safe after fork. */
static void become(const char *path, char **arguments, int errors_fd, int pipe_fd, int kept_fd)
{
	int null_fd = open("/dev/null", O_RDWR);
	setsid();
	if (null_fd < 0 || dup2(null_fd, 0) < 0 || dup2(null_fd, 1) < 0 || dup2(errors_fd, 2) < 0 || dup2(pipe_fd, kept_fd) < 0)
		_exit(127);
	if (null_fd > 2 && null_fd != kept_fd)
		close(null_fd);
	execv(path, arguments);
	_exit(127);
}

int processes_spawn(struct process_spawned *spawned, const char *program, const char *const *arguments, const char *errors_path,
    struct error_context *error)
{
	char path[PATH_MAX], ready[16];
	char *all[ARGUMENTS_MAX + 4];
	int pipe_fds[2], count = 0;
	*spawned = (struct process_spawned){.ready_fd = -1};
	snprintf(spawned->errors, sizeof spawned->errors, "%s", errors_path);
	int code = program_path(program, path, error);
	if (code)
		return code;
	int errors_fd = open(errors_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (errors_fd < 0)
		return error_set(error, ERR_IO, "%s: %s", errors_path, strerror(errno));
	spawned->errors_start = lseek(errors_fd, 0, SEEK_END);
	if (pipe2(pipe_fds, O_CLOEXEC) < 0) {
		close(errors_fd);
		return error_set(error, ERR_IO, "a pipe: %s", strerror(errno));
	}
	/* A number of our own for the child's end: dup2 onto it also clears close-on-exec. */
	int kept_fd = fcntl(pipe_fds[1], F_DUPFD_CLOEXEC, 10);
	snprintf(ready, sizeof ready, "%d", kept_fd);
	all[count++] = path;
	for (; *arguments && count < ARGUMENTS_MAX; arguments++)
		all[count++] = (char *)(uintptr_t)*arguments;
	all[count++] = (char *)(uintptr_t) "--ready-fd";
	all[count++] = ready;
	all[count] = NULL;
	fflush(NULL);
	spawned->pid = kept_fd < 0 ? -1 : fork();
	if (spawned->pid == 0)
		become(path, all, errors_fd, pipe_fds[1], kept_fd);
	if (spawned->pid < 0)
		code = error_set(error, ERR_IO, "starting %s: %s", program, strerror(errno));
	close(errors_fd);
	close(pipe_fds[1]);
	if (kept_fd >= 0)
		close(kept_fd);
	if (code)
		close(pipe_fds[0]);
	else
		spawned->ready_fd = pipe_fds[0];
	return code;
}

/* A line that the program has written to its ready pipe. 1: it says something, 0: ready. */
static int line_take(struct process_spawned *spawned, const char *what, const char *line, struct error_context *error)
{
	if (strcmp(line, "ready") == 0)
		return 0;
	if (strncmp(line, "failed ", 7) != 0)
		return 1;
	/* It is started once more; a reason that is still the same then will not go away by itself in a moment. */
	bool again = strcmp(spawned->reason, line + 7) == 0;
	snprintf(spawned->reason, sizeof spawned->reason, "%s", line + 7);
	return again ? error_set(error, ERR_CONFIGURATION, "%s does not start: %s", what, spawned->reason) : 1;
}

static int lines_take(struct process_spawned *spawned, const char *what, struct error_context *error)
{
	int code = 1;
	char *end;
	while (code == 1 && (end = memchr(spawned->lines, '\n', spawned->lines_size))) {
		*end = 0;
		code = line_take(spawned, what, spawned->lines, error);
		size_t used = (size_t)(end + 1 - spawned->lines);
		spawned->lines_size -= used;
		memmove(spawned->lines, spawned->lines + used, spawned->lines_size);
	}
	if (spawned->lines_size == sizeof spawned->lines)
		spawned->lines_size = 0; /* no line of ours */
	return code;
}

int processes_poll_ready(struct process_spawned *spawned, const char *what, uint32_t wait_ms, struct error_context *error)
{
	char last[300];
	struct pollfd item = {.fd = spawned->ready_fd, .events = POLLIN};
	if (poll(&item, 1, (int)wait_ms) <= 0)
		return 1;
	ssize_t size =
	    read(spawned->ready_fd, spawned->lines + spawned->lines_size, sizeof spawned->lines - spawned->lines_size);
	spawned->lines_size += size > 0 ? (size_t)size : 0;
	int code = size > 0 ? lines_take(spawned, what, error) : ERR_UNREACHABLE;
	if (code == 1)
		return 1;
	close(spawned->ready_fd);
	spawned->ready_fd = -1;
	if (size > 0)
		return code;
	logline_last(spawned->errors, spawned->errors_start, last, sizeof last);
	waitpid(spawned->pid, NULL, 0);
	spawned->pid = 0;
	return error_set(error, ERR_CONFIGURATION, "%s did not start%s%s", what, *last ? ": " : "", last);
}

int processes_wait_ready(struct process_spawned *spawned, const char *what, uint64_t deadline_ns, struct error_context *error)
{
	int code = 1;
	while (code == 1 && cli_now_ns() < deadline_ns)
		code = processes_poll_ready(spawned, what, 100, error);
	return code == 1 ? processes_give_up(spawned, what, error) : code;
}

int processes_give_up(struct process_spawned *spawned, const char *what, struct error_context *error)
{
	char last[300];
	close(spawned->ready_fd);
	spawned->ready_fd = -1;
	logline_last(spawned->errors, spawned->errors_start, last, sizeof last);
	kill(spawned->pid, SIGTERM);
	return error_set(error, ERR_UNREACHABLE, "%s was not ready in time%s%s", what, *last || spawned->reason[0] ? ": " : "",
	    spawned->reason[0] ? spawned->reason : last);
}
