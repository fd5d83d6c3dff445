/* SPDX-License-Identifier: Apache-2.0
 *
 * Fork and exec of one actor, with what it inherits: the five eventfds, the lock, the shared memory, one end of a pipe for its
 * ready line, and a file for its standard error. It dies when the supervisor does. */
#ifndef GODWIT_ACTORS_SUPERVISOR_LAUNCH_H
#define GODWIT_ACTORS_SUPERVISOR_LAUNCH_H
#include <stdint.h>
#include <sys/types.h>

#include "runtime/options.h"
#include "shm/layout.h"

struct launch_options {
	const char *bin_dir, *dir, *region_dir, *region;
	const char *topology; /* NULL: none */
	const char *keys;     /* NULL: keys in dir */
	const char *log_level;
	uint32_t link_base;
	const struct option_list *actor_flags; /* "ACTOR:--name=value", checked by launch_check */
	int lock_fd, shm_fd;
	int bells[ACTORS];
};

/* That the five programs can be executed and that the actor flags name actors. */
int launch_check(const struct launch_options *options, struct error_context *error);
/* *ready_fd: the end of the pipe to read, non-blocking. What exec says when it fails is in the actor's standard error file. */
int launch_actor(
    const struct launch_options *options, enum actor actor, pid_t *pid, int *ready_fd, struct error_context *error);

#endif
