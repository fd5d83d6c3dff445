/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/supervisor/place.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crash_point.h"
#include "shm/role_lock.h"

#define LOCK_WAIT_MS 3000

/* The parent is synced even if the directory was there: an earlier start may have been killed between the two. */
static int directory_make(const char *path, struct error_context *error)
{
	struct stat status;
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return error_set(error, ERR_IO, "cannot make directory %s: %s", path, strerror(errno));
	if (stat(path, &status) != 0)
		return error_set(error, ERR_IO, "%s: %s", path, strerror(errno));
	if (!S_ISDIR(status.st_mode))
		return error_set(error, ERR_CONFIGURATION, "%s is no directory", path);

	char parent[PATH_MAX];
	snprintf(parent, sizeof(parent), "%s/..", path);
	int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int reason = fd < 0 || fsync(fd) != 0 ? errno : 0;
	if (fd >= 0)
		close(fd);
	/* Some file systems cannot sync a directory (EINVAL), some parents cannot be opened by us: neither is ours to mend. */
	if (reason != 0 && reason != EINVAL && reason != EACCES)
		return error_set(error, ERR_IO, "cannot sync %s: %s", parent, strerror(reason));
	return 0;
}

int place_make(const char *dir, const char *region_dir, struct error_context *error)
{
	static const char *const parts[] = {"log", "rows", "snapshots"};
	int code = directory_make(dir, error);
	if (code == 0)
		code = directory_make(region_dir, error);
	for (unsigned i = 0; code == 0 && i < sizeof(parts) / sizeof(parts[0]); i++) {
		char path[PATH_MAX];
		snprintf(path, sizeof(path), "%s/%s", region_dir, parts[i]);
		code = directory_make(path, error);
	}
	return code;
}

int place_lock(const char *region_dir, int *lock_fd, bool *held, struct error_context *error)
{
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s/supervisor.lock", region_dir);
	/* A killed one's actors hold it until they are gone as well. */
	int code = role_lock_take(path, "another supervisor of this region", LOCK_WAIT_MS, lock_fd, error);
	*held = code == ERR_ALREADY_RUNS;
	return code;
}

int place_pid_write(const char *region_dir, struct error_context *error)
{
	char path[PATH_MAX], new_path[PATH_MAX];
	snprintf(path, sizeof(path), "%s/supervisor.pid", region_dir);
	snprintf(new_path, sizeof(new_path), "%s/supervisor.pid.new", region_dir);
	FILE *file = fopen(new_path, "we");
	bool failed = file == NULL || fprintf(file, "%d\n", (int)getpid()) < 0;
	if (file != NULL && fclose(file) != 0)
		failed = true;
	CRASH_POINT(pid_unnamed);
	/* Renamed, so that nobody reads half a number. */
	if (failed || rename(new_path, path) != 0)
		return error_set(error, ERR_IO, "cannot write %s: %s", path, strerror(errno));
	return 0;
}

void place_pid_remove(const char *region_dir)
{
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s/supervisor.pid", region_dir);
	unlink(path);
}
