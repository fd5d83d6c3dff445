/* SPDX-License-Identifier: Apache-2.0
 *
 * The region's directory: made, locked, and signed with the supervisor's pid. */
#ifndef GODWIT_ACTORS_SUPERVISOR_PLACE_H
#define GODWIT_ACTORS_SUPERVISOR_PLACE_H
#include <stdbool.h>

#include "base/error.h"

/* Makes DIR, REGION_DIR and what belongs in it (0700), where missing, and syncs their entries. Repeatable. */
int place_make(const char *dir, const char *region_dir, struct error_context *error);
/* Takes REGION_DIR/supervisor.lock. The descriptor is to be inherited by every child: the lock is then free only when the
 * supervisor and all of its children are gone, so no actor of an earlier supervisor ever meets one of the next, nor shared
 * memory that is made anew. After a supervisor was killed its children need a moment to follow: so long is waited. *held:
 * somebody else has it. */
int place_lock(const char *region_dir, int *lock_fd, bool *held, struct error_context *error);
int place_pid_write(const char *region_dir, struct error_context *error);
void place_pid_remove(const char *region_dir);

#endif
