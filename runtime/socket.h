/* SPDX-License-Identifier: Apache-2.0
 *
 * ZeroMQ sockets as Godwit uses them: never blocking, never dropping without saying so (ROUTER_MANDATORY; a full queue is
 * ERR_OVERLOADED), linger 0, bounded high-water marks, IMMEDIATE on DEALER connects (nothing is queued for a peer that is not
 * there; what has arrived unread is lost with the connection), a size limit on what is received (ZMQ_MAXMSGSIZE), CURVE on
 * every TCP endpoint (RFC 26/ZAP RFC 27). */
#ifndef GODWIT_RUNTIME_SOCKET_H
#define GODWIT_RUNTIME_SOCKET_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <zmq.h>

#include "base/error.h"
#include "core/version.h"
#include "runtime/keys.h"

#define PROTOCOL_VERSION  1u /* the oldest understood, of clients, admin and peers: core/version.h says who writes which */
#define MESSAGE_SIZE_MAX  (4u * 1024 * 1024) /* of any one message from a client or a peer */
#define IDENTITY_SIZE_MAX 32u

struct socket_options {
	const struct key_pair *own;  /* CURVE; NULL on ipc and inproc */
	const char *server_key;      /* connect only: the other side's public key, Z85 */
	uint32_t high_water;         /* messages, each direction; 0: 1000 */
	uint32_t receive_high_water; /* of what is received; 0: as above */
	int64_t message_size_max;    /* 0: MESSAGE_SIZE_MAX */
	bool admits_anyone;          /* bind with CURVE but without ZAP: for tests that pose as a server, nowhere else */
	bool probe_identity;         /* connect: give the ROUTER side a fixed identity (identity_text) */
	const char *identity_text;
	uint32_t reconnect_max_ms; /* 0: 1000 */
};
/* zmq_type ZMQ_ROUTER binds; ZMQ_DEALER, ZMQ_REQ connect; ZMQ_REP binds. ERR_CONFIGURATION with a clear line (address in use,
 * ipc path longer than the system takes, ...). */
int socket_bind(void **socket, void *context, int zmq_type, const char *endpoint, const struct socket_options *options,
    struct error_context *error);
int socket_connect(void **socket, void *context, int zmq_type, const char *endpoint, const struct socket_options *options,
    struct error_context *error);
/* The two halves of socket_connect, for whoever watches the connection: what happens to it before a monitor is there (a refusal
 * of the key, after which libzmq tries no more) nobody is told. When socket_dial fails the socket stays open. */
int socket_prepare(void **socket, void *context, int zmq_type, const char *endpoint, const struct socket_options *options,
    struct error_context *error);
int socket_dial(void *socket, const char *endpoint, struct error_context *error);
/* Listens anew on the path of an ipc endpoint that somebody has removed (a clean-up of temporary files, a logout): whoever
 * comes later finds the socket again. By the thread that uses the socket. Nothing happens to other sockets. */
void socket_renew_path(void *socket);
/* NULL, or a socket that was closed already, is no mistake. */
void socket_close(void *socket);
/* Closes every socket of the context that is still open: a context cannot end before. */
void socket_close_all(void *context);
/* A context with one I/O thread; ended by socket_context_free, which closes its sockets first. NULL: out of descriptors. */
void *socket_context_new(void);
void socket_context_free(void *context);
/* Where it is bound, with the port that the system chose for "tcp://127.0.0.1:*". */
void socket_endpoint(void *socket, char out[static 256]);

struct message {
	uint8_t identity[IDENTITY_SIZE_MAX]; /* ROUTER only */
	uint32_t identity_size;
	zmq_msg_t body; /* open between a successful receive and message_close */
};
static inline const uint8_t *message_bytes(struct message *m)
{
	return zmq_msg_data(&m->body);
}
static inline size_t message_size(struct message *m)
{
	return zmq_msg_size(&m->body);
}
/* Frames: ROUTER [identity][body], DEALER and REP [body]; with `forwarded` a DEALER reads [identity][body] as a ROUTER does.
 * Anything else is drained whole and ERR_MALFORMED. ERR_EMPTY when there is nothing. Never blocks. */
int socket_receive(void *socket, struct message *message, bool forwarded);
void message_close(struct message *message);
/* The name of the key pair that the sender has proved to own (set by zap.c); NULL on ipc and inproc. Borrowed from the body. */
const char *message_user(struct message *message);
/* Sends [identity if any][bytes]. ERR_OVERLOADED when the queue is full or, on a DEALER, nobody is connected;
 * ERR_UNREACHABLE when the identity is unknown. */
int socket_send(void *socket, const uint8_t *identity, uint32_t identity_size, const void *bytes, size_t size);
/* As above without a copy: the bytes are the socket's until it calls done(bytes, hint), once, from whatever thread; when the
 * call fails, before it returns. */
int socket_send_lent(void *socket, const uint8_t *identity, uint32_t identity_size, void *bytes, size_t size,
    void (*done)(void *bytes, void *hint), void *hint);
/* As above, taking over the body of a received message unchanged (no copy). When it fails the body stays with the caller. */
int socket_forward(void *socket, const uint8_t *identity, uint32_t identity_size, struct message *message);

#endif
