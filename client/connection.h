/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside libgodwit: the state of one connection, shared by connection.c (one turn and what starts it), exchange.c (what goes
 * over the socket) and link.c (the socket itself). public.c, transaction.c and scan.c turn the calls of include/godwit.h into
 * those of client/admin.h. */
#ifndef GODWIT_CLIENT_CONNECTION_H
#define GODWIT_CLIENT_CONNECTION_H
#include <time.h>
#include <zmq.h>

#include "base/error.h"
#include "client/admin.h"
#include "client/wire.h"
#include "runtime/keys.h"

#define CONNECTION_PIPELINE_MAX     65536u
#define CONNECTION_BYTES_MAX        (64u * 1024 * 1024) /* of encoded operations without an answer */
#define CONNECTION_BATCH_BYTES_MAX  (1024u * 1024)      /* a message takes no further operation beyond this */
#define CONNECTION_SLOT_KEPT_MAX    (64u * 1024)        /* a larger buffer goes back with its answer */
#define CONNECTION_KEYSPACE_MAX     63u
#define CONNECTION_REPEAT_MS        500u
#define CONNECTION_REPEAT_MS_MAX    2000u
#define CONNECTION_SILENCE_MS       2500u /* with repeats unanswered for so long, a new socket */
#define CONNECTION_SILENCE_MS_MAX   10000u
#define CONNECTION_REFUSED_MS       500u /* after the keys were turned down, a new socket with those that the files have then */
#define CONNECTION_CHECK_NS         (50u * 1000000u)
#define CONNECTION_RECONNECT_MS_MAX 250u
#define CONNECTION_RENEWALS_MAX     3u

enum slot_state { SLOT_FREE, SLOT_QUEUED, SLOT_SENT };

struct slot {
	uint64_t number;
	uint64_t submitted_ns, deadline_ns, sent_ns, first_sent_ns;
	uint8_t *encoded;
	uint32_t encoded_size, capacity;
	uint32_t wait_ms; /* sent again after so long */
	uint32_t sends;   /* times handed to a connected socket */
	uint64_t token;   /* the connection's, when it was first sent */
	uint32_t renewed; /* times that its only copy came too late to be told from a repeat, and it was sent as new */
	bool refused;     /* a repeat was refused, which says nothing about the first one */
	bool moved;       /* sent before, to another region */
	uint32_t link;    /* that it was first sent over */
	enum slot_state state;
	enum client_kind kind;
	void *user;
};

struct gw_connection {
	char *endpoint, *region, *key_dir;
	uint32_t timeout_ms, pipeline_max, batch_max;
	struct key_pair keys;
	char server_key[KEY_TEXT_SIZE];
	uint64_t client_id;
	uint64_t token; /* the largest of all answers: no answer to what is sent from now on is forgotten */

	void *socket, *monitor;
	bool context_held;    /* this connection counts in the process's ZeroMQ context */
	bool blocked;         /* the last send found no room */
	bool disconnected;    /* and not yet connected again */
	bool key_refused;     /* the last handshake was turned down */
	uint64_t refused_ns;  /* when, if by the keys; 0: another socket is not needed for that */
	uint32_t connections; /* sockets made */
	uint32_t links;       /* connections that these have had */
	uint64_t opened_ns, heard_ns, silence_ms;

	struct slot *slots;
	uint32_t *free_slots, free_count;
	uint32_t *window, window_size; /* number -> slot + 1 */
	uint32_t *batch;               /* slots picked for one message */
	uint64_t next_number;
	uint64_t lowest;            /* lowest number without a result */
	uint64_t scan_from;         /* no queued number is below */
	uint64_t highest_answer[2]; /* of reads, of writes */
	uint32_t pending, queued;
	size_t pending_bytes;
	uint64_t check_ns; /* deadlines and repeats are looked at then */

	zmq_msg_t held; /* the last message received: results point into it */
	bool held_open;
	struct arena arena;
	char reason[256];
};

struct receiver {
	void (*each)(void *user, const struct client_result *result);
	void *user;
	uint32_t results;
};

static inline bool kind_is_write(enum client_kind kind)
{
	return kind == CLIENT_PUT || kind == CLIENT_DELETE || kind == CLIENT_TRANSACTION;
}
uint64_t connection_now_ns(void);

/* transaction.c: 0 or how they are refused. */
int condition_check(const struct client_operation *operation);
int steps_check(const struct client_operation *steps, size_t count);

/* public.c: client_call, with what an application gets to see of its result, which may be NULL. */
int call_public(struct gw_connection *c, const struct client_operation *operation, struct gw_result *result);

/* link.c */
int connection_open(struct gw_connection *c, struct error_context *error);
void connection_shut(struct gw_connection *c);
/* To c->endpoint and the like, which are new; on failure the old socket is still there, and its names are to be put back. */
int connection_switch(struct gw_connection *c, struct error_context *error);
void connection_watch(struct gw_connection *c); /* takes what the socket's monitor says */

/* exchange.c */
int connection_send(struct gw_connection *c, uint64_t now_ns); /* ERR_OVERLOADED: not connected, or its queue is full */
void connection_receive(struct gw_connection *c, struct receiver *receiver);
void connection_check(struct gw_connection *c, uint64_t now_ns, struct receiver *receiver);
/* Everything that was sent goes out again. */
void connection_requeue(struct gw_connection *c);
/* The same, to another region. */
void connection_requeue_moved(struct gw_connection *c);

#endif
