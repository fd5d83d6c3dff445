/* SPDX-License-Identifier: Apache-2.0
 *
 * Background programs that `up` starts and `down` stops: a supervisor a region, and the link emulator. NAME.lock is held by
 * flock for as long as the program lives, so a pid file left behind is never believed. */
#ifndef GODWIT_CMD_GODWIT_PROCESSES_H
#define GODWIT_CMD_GODWIT_PROCESSES_H
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/error.h"

/* True while somebody holds DIR/NAME.lock. */
bool processes_running(const char *dir, const char *name);
/* Waits for what a killed supervisor leaves behind: its actors hold its lock, and their ports, a moment longer. */
void processes_settle(const char *dir, const char *name, uint32_t wait_ms);
/* SIGTERM by DIR/NAME.pid, then waits for the lock to come free, at most wait_ms, then SIGKILL. 0, or why not; *killed tells.
 */
int processes_stop(const char *dir, const char *name, uint32_t wait_ms, bool *killed, struct error_context *error);

struct process_spawned {
	pid_t pid;
	int ready_fd;     /* reads "ready\n"; -1 when not started */
	char errors[360]; /* where its standard error goes, from errors_start on */
	off_t errors_start;
};
/* Starts PROGRAM (a sibling of this program's file) in a session of its own, standard error appended to errors_path.
 * arguments: without the program itself, NULL-terminated; "--ready-fd N" is added. */
int processes_spawn(struct process_spawned *spawned, const char *program, const char *const *arguments, const char *errors_path,
    struct error_context *error);
/* Waits until deadline_ns for "ready". Otherwise says what the program's last words were. */
int processes_wait_ready(struct process_spawned *spawned, const char *what, uint64_t deadline_ns, struct error_context *error);

/* An address of this machine, or a name that resolves to one. */
bool host_is_local(const char *host);
/* 0 when HOST:PORT can be listened on; ERR_CONFIGURATION with the reason. */
int port_check(const char *host, uint16_t port, struct error_context *error);

#endif
