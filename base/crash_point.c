/* SPDX-License-Identifier: Apache-2.0 */
#include "base/crash_point.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum action { ACTION_KILL, ACTION_STOP, ACTION_GO_ON };

static const char *const names[CRASH_POINTS] = {
#define X(name, programs, way) #name,
    CRASH_POINT_TABLE(X)
#undef X
};

/* Set once, before the first look. */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int selected = -1;
static unsigned long wanted = 1, delay_ms;
static enum action action = ACTION_KILL;
static const char *hit_path;
static atomic_ulong visits;

static const char *program_name(void)
{
	const char *name = program_invocation_short_name;
	return strncmp(name, "godwit-", 7) == 0 ? name + 7 : name;
}

/* A selection that means nothing must not look like a run without a crash. */
static void refuse(const char *text)
{
	dprintf(STDERR_FILENO, "GODWIT_CRASH_POINT: not [ACTOR/]NAME[:COUNT][:delay=MS][:kill|stop]: %s\n", text);
	abort();
}

static void part_take(const char *part, const char *whole)
{
	char *end;
	if (strcmp(part, "kill") == 0) {
		action = ACTION_KILL;
	} else if (strcmp(part, "stop") == 0) {
		action = ACTION_STOP;
	} else if (strncmp(part, "delay=", 6) == 0) {
		action = ACTION_GO_ON;
		delay_ms = strtoul(part + 6, &end, 10);
		if (*end != 0 || part[6] == 0)
			refuse(whole);
	} else {
		wanted = strtoul(part, &end, 10);
		if (*end != 0 || wanted == 0)
			refuse(whole);
	}
}

static void selection_read(void)
{
	static char copy[256];
	const char *whole = getenv("GODWIT_CRASH_POINT");
	if (whole == NULL || whole[0] == 0)
		return;
	if (snprintf(copy, sizeof copy, "%s", whole) >= (int)sizeof copy)
		refuse(whole);
	char *slash = strchr(copy, '/'), *name = slash ? slash + 1 : copy, *rest = NULL;
	if (slash)
		*slash = 0;
	name = strtok_r(name, ":", &rest);
	for (char *part = strtok_r(NULL, ":", &rest); part != NULL; part = strtok_r(NULL, ":", &rest))
		part_take(part, whole);
	int found = -1;
	for (int i = 0; name != NULL && i < CRASH_POINTS; i++)
		if (strcmp(names[i], name) == 0)
			found = i;
	if (found < 0)
		refuse(whole);
	if (slash && strcmp(copy, program_name()) != 0)
		return;
	hit_path = getenv("GODWIT_CRASH_POINT_HIT");
	if (hit_path != NULL && access(hit_path, F_OK) == 0)
		return;
	selected = found;
}

/* Of several processes that come by, one is to fall. */
static bool hit_claim(void)
{
	if (hit_path == NULL)
		return true;
	int fd = open(hit_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return false;
	dprintf(fd, "%s/%s %ld\n", program_name(), names[selected], (long)getpid());
	close(fd);
	return true;
}

bool crash_point_is_due(enum crash_point point)
{
	pthread_once(&once, selection_read);
	return (int)point == selected && atomic_fetch_add(&visits, 1) + 1 == wanted && hit_claim();
}

void crash_point_act(enum crash_point point)
{
	static const char *const actions[] = {[ACTION_KILL] = "kill", [ACTION_STOP] = "stop", [ACTION_GO_ON] = "delay"};
	dprintf(STDERR_FILENO, "crash_point=%s/%s visit=%lu action=%s pid=%ld\n", program_name(), names[point], wanted,
	    actions[action], (long)getpid());
	/* The other threads go on meanwhile. */
	nanosleep(&(struct timespec){.tv_sec = (time_t)(delay_ms / 1000), .tv_nsec = (long)(delay_ms % 1000) * 1000000}, NULL);
	if (action != ACTION_GO_ON)
		raise(action == ACTION_KILL ? SIGKILL : SIGSTOP); /* at this thread, so that it does not go a step further */
}
