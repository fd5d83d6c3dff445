/* SPDX-License-Identifier: Apache-2.0
 *
 * File descriptors of the process: how many there may be, and how many of them whoever connects from outside can take.
 *
 * A stranger who opens connections and never speaks costs a descriptor each until the handshake's deadline (socket.c). libzmq
 * accepts in its own thread, has no option that limits how many it accepts (ZMQ_MAX_SOCKETS counts sockets, ZMQ_BACKLOG what
 * was not yet accepted), and at EMFILE it goes round and round. So accept() and accept4() are defined here, in the program,
 * where the dynamic linker finds them before those of libc: a connection that was given a descriptor at or above the limit for
 * connections is closed at once, and counted. The kernel gives out the lowest free number, so the number alone tells how many
 * are in use; nothing is counted up and down, and nothing has to be known of who closes when. What is above the limit is for
 * the store and for sockets that this process opens itself; connections take one of those for the moment between being accepted
 * and being closed. Local sockets (ipc: admin, coordinator.ipc) may go half-way into it: while strangers hold all that they can
 * have, an operator still gets an answer.
 *
 * Thread-safe. */
#ifndef GODWIT_RUNTIME_DESCRIPTORS_H
#define GODWIT_RUNTIME_DESCRIPTORS_H
#include <stdint.h>

#include "shm/counters.h"

#define DESCRIPTORS_KEPT_ASIDE      128u  /* for the store and the process's own sockets; at most half of what there is */
#define DESCRIPTORS_CONNECTIONS_MAX 4096u /* no connection has this number or a larger one: a bound on their memory, too */

/* Raises the soft limit to the hard one, and sets the limit for connections from what that gives. Until it is called nothing is
 * refused. May be called again. */
void descriptors_start(void);
/* The number from which on connections are refused; UINT32_MAX before descriptors_start. */
uint32_t descriptors_connections_end(void);
/* Connections refused since the process began. */
uint64_t descriptors_refused(void);
/* Adds what was refused since the last call to the counter and, at the first and then now and then, writes a line. counters may
 * be NULL. From one thread. */
void descriptors_tell(struct counter_block *counters);

#endif
