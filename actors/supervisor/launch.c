/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/supervisor/launch.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crash_point.h"

#define ARGUMENTS_MAX    (26u + OPTION_LIST_MAX)
#define STDERR_BYTES_MAX (16 * 1024 * 1024) /* beyond, the file becomes ACTOR.stderr.1 when the actor is next started */

struct arguments {
	char *list[ARGUMENTS_MAX + 1];
	uint32_t count;
	char path[PATH_MAX], bells[ACTORS * 12], ready_fd[12], link_base[12], shm_fd[12];
};

static void argument_add(struct arguments *arguments, const char *text)
{
	assert(arguments->count < ARGUMENTS_MAX);
	arguments->list[arguments->count++] = (char *)(uintptr_t)text; /* execv takes char * and leaves it alone */
}

static void argument_add_pair(struct arguments *arguments, const char *name, const char *value)
{
	argument_add(arguments, name);
	argument_add(arguments, value);
}

static void program_path(const struct launch_options *options, enum actor actor, char path[static PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/godwit-%s", options->bin_dir, actor_name(actor));
}

/* The flag behind "ACTOR:", or NULL when it is meant for another actor. */
static const char *flag_for(const char *flag, enum actor actor)
{
	size_t size = strlen(actor_name(actor));
	return strncmp(flag, actor_name(actor), size) == 0 && flag[size] == ':' ? flag + size + 1 : NULL;
}

int launch_check(const struct launch_options *options, struct error_context *error)
{
	char path[PATH_MAX];
	for (uint32_t i = 0; i < ACTORS; i++) {
		program_path(options, (enum actor)i, path);
		if (access(path, X_OK) != 0)
			return error_set(error, ERR_CONFIGURATION, "cannot execute %s: %s", path, strerror(errno));
	}
	for (uint32_t i = 0; i < options->actor_flags->count; i++) {
		const char *flag = options->actor_flags->values[i];
		bool known = false;
		for (uint32_t actor = 0; actor < ACTORS; actor++)
			known =
			    known || (flag_for(flag, (enum actor)actor) != NULL && flag_for(flag, (enum actor)actor)[0] == '-');
		if (!known)
			return error_set(error, ERR_USAGE, "--actor-flag: '%.100s' is not ACTOR:--name=value", flag);
	}
	return 0;
}

static void arguments_make(const struct launch_options *options, enum actor actor, int ready_fd, struct arguments *out)
{
	out->count = 0;
	program_path(options, actor, out->path);
	argument_add(out, out->path);
	argument_add_pair(out, "--dir", options->dir);
	argument_add_pair(out, "--region", options->region);
	if (options->topology != NULL)
		argument_add_pair(out, "--topology", options->topology);
	if (options->keys != NULL)
		argument_add_pair(out, "--keys", options->keys);
	argument_add_pair(out, "--log-level", options->log_level);
	snprintf(out->link_base, sizeof(out->link_base), "%u", options->link_base);
	argument_add_pair(out, "--link-base", out->link_base);
	snprintf(out->shm_fd, sizeof(out->shm_fd), "%d", options->shm_fd);
	argument_add_pair(out, "--shm-fd", out->shm_fd);
	size_t size = 0;
	for (uint32_t i = 0; i < ACTORS; i++)
		size +=
		    (size_t)snprintf(out->bells + size, sizeof(out->bells) - size, i == 0 ? "%d" : ",%d", options->bells[i]);
	argument_add_pair(out, "--bells", out->bells);
	snprintf(out->ready_fd, sizeof(out->ready_fd), "%d", ready_fd);
	argument_add_pair(out, "--ready-fd", out->ready_fd);
	for (uint32_t i = 0; i < options->actor_flags->count; i++) {
		const char *flag = flag_for(options->actor_flags->values[i], actor);
		if (flag != NULL)
			argument_add(out, flag);
	}
	out->list[out->count] = NULL;
}

static int stderr_open(const struct launch_options *options, enum actor actor, struct error_context *error)
{
	char path[PATH_MAX], old_path[PATH_MAX];
	struct stat status;
	snprintf(path, sizeof(path), "%s/%s.stderr", options->region_dir, actor_name(actor));
	snprintf(old_path, sizeof(old_path), "%s/%s.stderr.1", options->region_dir, actor_name(actor));
	if (stat(path, &status) == 0 && status.st_size > STDERR_BYTES_MAX)
		rename(path, old_path); /* if that fails, the file just goes on growing */
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	return fd >= 0 ? fd : error_set(error, ERR_IO, "cannot open %s: %s", path, strerror(errno));
}

/* In the child. Everything else that is open closes itself on exec. */
static void become(
    const struct launch_options *options, const struct arguments *arguments, pid_t supervisor, int ready_fd, int stderr_fd)
{
	sigset_t none;
	sigemptyset(&none);
	/* Before the look at the parent: if that died in between, no signal would come any more. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	CRASH_POINT(child_forked);
	if (getppid() != supervisor)
		_exit(126);
	setpgid(0, 0); /* an interrupt from the terminal is the supervisor's business, which stops its children in order */
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);

	int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	bool failed = null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 || dup2(stderr_fd, STDOUT_FILENO) < 0 ||
	              dup2(stderr_fd, STDERR_FILENO) < 0 || fcntl(ready_fd, F_SETFD, 0) != 0 ||
	              fcntl(options->lock_fd, F_SETFD, 0) != 0 || fcntl(options->shm_fd, F_SETFD, 0) != 0;
	for (uint32_t i = 0; i < ACTORS; i++)
		failed = failed || fcntl(options->bells[i], F_SETFD, 0) != 0;
	if (!failed)
		execv(arguments->path, arguments->list);
	dprintf(STDERR_FILENO, "cannot execute %s: %s\n", arguments->path, strerror(errno));
	_exit(127);
}

int launch_actor(const struct launch_options *options, enum actor actor, pid_t *pid, int *ready_fd, struct error_context *error)
{
	static struct arguments arguments; /* large, and used up by the time of exec */
	int ends[2];
	int stderr_fd = stderr_open(options, actor, error);
	if (stderr_fd < 0)
		return stderr_fd;
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
		int code = error_set(error, ERR_IO, "cannot make a pipe: %s", strerror(errno));
		close(stderr_fd);
		return code;
	}
	arguments_make(options, actor, ends[1], &arguments);
	pid_t supervisor = getpid();
	*pid = fork();
	if (*pid == 0)
		become(options, &arguments, supervisor, ends[1], stderr_fd);
	int reason = errno;
	close(ends[1]);
	close(stderr_fd);
	if (*pid < 0) {
		close(ends[0]);
		return error_set(error, ERR_IO, "cannot fork: %s", strerror(reason));
	}
	*ready_fd = ends[0];
	return 0;
}
