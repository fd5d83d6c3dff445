/* SPDX-License-Identifier: Apache-2.0
 *
 * Messages lent to a socket: sent without a copy, and known to be done with. libzmq bounds its queues in messages and tells
 * nobody how many bytes are in them; it does call back when it needs a message's bytes no more (zmq_msg_init_data), from its
 * I/O thread, also when the connection goes. With encryption or over ipc that is when the message is loaded into the
 * connection's encoder: at most one message a connection is then still in memory elsewhere. So whoever lends knows what is
 * queued, exactly, and can bound it (T43).
 *
 * One thread lends and collects; what comes back waits in a list that needs no lock, and is freed by lend_collect. */
#ifndef GODWIT_RUNTIME_LEND_H
#define GODWIT_RUNTIME_LEND_H
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/socket.h"

struct lent;
struct lender {
	_Atomic(struct lent *) returned; /* newest first */
};

/* [identity if any][bytes], copied once. owner and tag: the caller's names for whom it counts, told when it comes back. Codes
 * as of socket_send; ERR_NO_MEMORY. Only what was sent (0) comes back. */
int lend_bytes(struct lender *lender, void *socket, const uint8_t *identity, uint32_t identity_size, const void *bytes,
    size_t size, uint32_t owner, uint32_t tag);
#define LEND_COPIED_MAX 8192u
/* The body of a received message, without any copy if it is larger than LEND_COPIED_MAX: libzmq receives smaller ones into one
 * buffer of that size (18 KB with what it keeps of each), which stays as long as any of them does. The caller closes the
 * message, whatever comes of it; when it fails the body is there as before. */
int lend_message(struct lender *lender, void *socket, const uint8_t *identity, uint32_t identity_size, struct message *message,
    uint32_t owner, uint32_t tag);
/* Frees what has come back, in the order in which it came; calls `each` (or not: NULL) for it. */
void lend_collect(struct lender *lender, void (*each)(void *self, uint32_t owner, uint32_t tag, size_t size), void *self);

/* What one receiver may have unsent, in bytes: for whoever sends whole messages and can do without one that finds no room.
 * Zeroed but for bytes_max; where it is, it stays until its socket is closed. */
struct lend_budget {
	struct lender lender;
	uint64_t unsent_bytes, bytes_max;
};
/* As lend_bytes, within the budget: ERR_OVERLOADED beyond it. */
int lend_within(
    struct lend_budget *budget, void *socket, const uint8_t *identity, uint32_t identity_size, const void *bytes, size_t size);
/* After the socket was closed. */
void lend_budget_deinit(struct lend_budget *budget);

#endif
