/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/role_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RETRY_MS 10

static int refuse(int fd, const char *path, const char *what, struct error_context *error)
{
	char text[24] = "";
	const ssize_t size = pread(fd, text, sizeof text - 1, 0);
	const long pid = size > 0 ? strtol(text, NULL, 10) : 0;
	if (pid > 0)
		return error_set(error, ERR_ALREADY_RUNS, "%s: %s runs already: process %ld", path, what, pid);
	return error_set(error, ERR_ALREADY_RUNS, "%s: %s runs already", path, what);
}

static int pid_note(int fd, const char *path, struct error_context *error)
{
	char text[24];
	const int size = snprintf(text, sizeof text, "%ld\n", (long)getpid());
	/* On a full disk the lock holds all the same; who is refused then is not told the pid. */
	if (ftruncate(fd, 0) < 0 || (pwrite(fd, text, (size_t)size, 0) != size && errno != ENOSPC && errno != EDQUOT))
		return error_set(error, ERR_IO, "%s: %s", path, strerror(errno));
	return 0;
}

/* Who holds a lock on a file of that inode, by the kernel's list: `wanted` if it does, else any. 0: nobody who can be seen from
 * here. The list's device numbers are not those of stat on every file system, so another file may be meant. */
static pid_t listed_holder(ino_t wanted_inode, pid_t wanted)
{
	char line[256];
	pid_t found = 0;
	FILE *locks = fopen("/proc/locks", "re");
	while (locks && (!found || found != wanted) && fgets(line, sizeof line, locks)) {
		int holder = 0;
		unsigned long inode = 0;
		if (sscanf(line, "%*d: FLOCK %*s %*s %d %*x:%*x:%lu", &holder, &inode) == 2 && holder > 0 &&
		    inode == (unsigned long)wanted_inode && (!found || holder == wanted))
			found = (pid_t)holder;
	}
	if (locks)
		fclose(locks);
	return found;
}

/* Takes it for a moment, if it is free: whoever wants it then tries again. */
static bool is_held(int fd)
{
	return flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

pid_t role_lock_holder(const char *path)
{
	char text[24] = "";
	struct stat status;
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	long named = pread(fd, text, sizeof text - 1, 0) > 0 ? strtol(text, NULL, 10) : 0;
	named = named > 1 && named <= INT32_MAX ? named : 0;
	pid_t holder = fstat(fd, &status) == 0 ? listed_holder(status.st_ino, (pid_t)named) : 0;
	/* The file does not say who (it was written on a full disk, or is being written): the lock itself says whether. */
	if (!named || (holder && holder != named))
		holder = is_held(fd) ? holder ? holder : ROLE_LOCK_UNSEEN : 0;
	close(fd);
	return holder;
}

int role_lock_take(const char *path, const char *what, uint32_t wait_ms, int *out, struct error_context *error)
{
	*out = -1;
	const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set(error, ERR_IO, "cannot open %s: %s", path, strerror(errno));
	int code = 0;
	for (uint32_t waited_ms = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; waited_ms += RETRY_MS) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			code = error_set(error, ERR_IO, "%s: %s", path, strerror(errno));
		else if (waited_ms >= wait_ms)
			code = refuse(fd, path, what, error);
		if (code)
			break;
		nanosleep(&(struct timespec){.tv_nsec = RETRY_MS * 1000000L}, NULL);
	}
	if (!code)
		code = pid_note(fd, path, error);
	if (code) {
		close(fd);
		return code;
	}
	*out = fd;
	return 0;
}
