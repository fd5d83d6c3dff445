/* SPDX-License-Identifier: Apache-2.0
 *
 * Background programs that `up` starts and `down` stops: a supervisor a region, and the link emulator. NAME.lock is held by
 * flock for as long as the program lives, so a pid file left behind is never believed. */
#ifndef GODWIT_CMD_GODWIT_PROCESSES_H
#define GODWIT_CMD_GODWIT_PROCESSES_H
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* True while somebody holds DIR/NAME.lock. */
bool processes_running(const char *dir, const char *name);
/* Waits for what a killed supervisor leaves behind: its actors hold its lock, and their ports, a moment longer. */
void processes_settle(const char *dir, const char *name, uint32_t wait_ms);
/* SIGTERM by DIR/NAME.pid, then waits for the lock to come free, at most wait_ms, then SIGKILL. 0, or why not; *killed tells.
 */
int processes_stop(const char *dir, const char *name, uint32_t wait_ms, bool *killed, struct error_context *error);

/* Supervisors and link emulators that were started with --dir DIR (absolute) and run, whatever became of the directory:
 * SIGTERM, and SIGKILL after wait_ms. Returns how many there were; *left: that did not end. */
uint32_t processes_stop_all(const char *dir, uint32_t wait_ms, uint32_t *left);
/* Taken by whoever starts or stops programs of DIR, until the descriptor is closed; waits for another at most wait_ms, and says
 * so. -1 with errno: no such directory, not ours to lock, or EBUSY, still taken. */
int processes_turn(const char *dir, uint32_t wait_ms);

struct process_spawned {
	pid_t pid;
	int ready_fd;     /* reads "ready\n"; -1 when not started */
	char errors[360]; /* where its standard error goes, from errors_start on */
	off_t errors_start;
	char reason[300]; /* why an actor of it ended before it was ready; empty: none did */
	char lines[512];  /* read of ready_fd, not yet taken */
	size_t lines_size;
};
/* Starts PROGRAM (a sibling of this program's file) in a session of its own, standard error appended to errors_path.
 * arguments: without the program itself, NULL-terminated; "--ready-fd N" is added. */
int processes_spawn(struct process_spawned *spawned, const char *program, const char *const *arguments, const char *errors_path,
    struct error_context *error);
/* Reads what the program says on its ready pipe, lines: "ready", or "failed REASON" each time a part of it ended before. 0:
 * ready, 1: not yet; else it did not start, and the reason is told: it ended, or failed twice for the same reason (it may run
 * on; stop it). */
int processes_poll_ready(struct process_spawned *spawned, const char *what, uint32_t wait_ms, struct error_context *error);
/* Stops it (SIGTERM) and says why it seems not to get ready. */
int processes_give_up(struct process_spawned *spawned, const char *what, struct error_context *error);
/* The two above until deadline_ns. */
int processes_wait_ready(struct process_spawned *spawned, const char *what, uint64_t deadline_ns, struct error_context *error);

#endif
