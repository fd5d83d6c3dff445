/* SPDX-License-Identifier: Apache-2.0
 *
 * A lock that a process holds for as long as it lives: one process a role (a region's supervisor, each of its actors, the
 * writer of its store, the link emulator). flock, so that it is gone with its process whatever that dies of; the file holds the
 * pid of who took it last, as a decimal line, which means something only while the lock is held, and which is missing if the
 * disk was full. Never removed: a second file of that name would be a second lock. */
#ifndef GODWIT_SHM_ROLE_LOCK_H
#define GODWIT_SHM_ROLE_LOCK_H
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* Takes the lock of that file (made when missing; its directory must be there), trying again for up to wait_ms: what was killed
 * a moment ago may still be on its way out. 0 with *fd, which holds the lock until it and all that was inherited of it are
 * closed (close-on-exec). ERR_ALREADY_RUNS, the text names `what` and the pid of the holder; ERR_IO. *fd is -1 then. */
int role_lock_take(const char *path, const char *what, uint32_t wait_ms, int *fd, struct error_context *error);
#define ROLE_LOCK_UNSEEN ((pid_t)-1)
/* Who took the lock of that file and holds it: the process that the file names, if the kernel says the same of it; with a file
 * that names none, or another, whoever the kernel says, or ROLE_LOCK_UNSEEN. 0: nobody does. */
pid_t role_lock_holder(const char *path);

#endif
