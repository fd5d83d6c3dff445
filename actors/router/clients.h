/* SPDX-License-Identifier: Apache-2.0
 *
 * The router's clients: whose turn it is, and how many bytes each of them may have waiting, in and out. Pure: no socket, no
 * clock, no allocation after clients_init; bytes and nanoseconds throughout.
 *
 * Turns. Deficit round robin over the clients that have questions, with time for bytes (M. Shreedhar and G. Varghese, 1995) and
 * new clients first (RFC 8290, section 4.2). A client whose turn it is works until its credit is used; then it goes to the end
 * of the round and gets a slice more when it is at the front again. What it used beyond its credit it has to wait out. A slice
 * is ROUND / clients with work (within limits), so that a round lasts about CLIENTS_ROUND_NS however many they are. A client
 * that had nothing to ask comes before the round, once; a few such in a row let one of the round pass, so that nobody starves.
 * So a short question waits for one slice, or for one round if its client was served in that round already.
 *
 * Bytes out. libzmq counts messages, not bytes, and a ROUTER socket tells nothing of its queues. So each message is lent to it
 * with a function that it calls when it is done with the bytes (runtime/lend.h), and what was lent and not given back is what
 * is unsent. It gives a message back when its I/O thread loads it into the connection's encoder, which keeps a
 * (CURVE-encrypted) copy until the next message is loaded: the encoder takes no message while one is in it. A large message
 * therefore counts until the message behind it comes back, and the sender puts an empty message of answers behind each large
 * one; one that has nothing behind it is done with at once. Each message counts for CLIENTS_MESSAGE_COST more than its bytes,
 * or small ones would cost several times what they count for. What has left the encoder is in the kernel's socket buffer, which
 * the kernel bounds. A client with CLIENTS_UNSENT_MAX unsent, or more than a quarter of what is free of CLIENTS_UNSENT_ALL_MAX
 * (a dynamic threshold, A. Choudhury and E. Hahne, 1998), is not answered further: its questions wait. Small answers go as long
 * as there is any room in all. What waits too long is refused OVERLOADED; a connection that takes nothing for 20 s is closed
 * (ZMQ_TCP_MAXRT in socket.c: libzmq 4.3.4 has no call that closes a peer of a ROUTER).
 *
 * Bytes in. Questions that wait are bounded for each client and in all; beyond that clients_admit refuses them. */
#ifndef GODWIT_ACTORS_ROUTER_CLIENTS_H
#define GODWIT_ACTORS_ROUTER_CLIENTS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLIENTS_MAX                 8192u /* connections have fewer: runtime/descriptors.h */
#define CLIENTS_IDENTITY_MAX        32u
#define CLIENTS_ROUND_NS            4000000ull
#define CLIENTS_SLICE_MIN_NS        20000ull
#define CLIENTS_SLICE_MAX_NS        1000000ull
#define CLIENTS_NEW_IN_A_ROW        8u
#define CLIENTS_SMALL               (16u * 1024)                     /* an answer up to this is small */
#define CLIENTS_ANSWER_MAX          (2u * 1024 * 1024 + 128u * 1024) /* one message of answers */
#define CLIENTS_MESSAGE_COST        256u /* of a message in memory, beside its bytes: lent, libzmq's and malloc's own */
#define CLIENTS_UNSENT_MAX          (8u * 1024 * 1024)
#define CLIENTS_UNSENT_MESSAGES_MAX 900u /* below the socket's high-water mark */
#define CLIENTS_UNSENT_ALL_MAX      (128ull * 1024 * 1024)
#define CLIENTS_PASSED_ALL_MAX      (160ull * 1024 * 1024) /* with the coordinator's answers, which cannot wait here */
#define CLIENTS_QUEUED_MAX          (8u * 1024 * 1024)
#define CLIENTS_QUEUED_MESSAGES_MAX 1024u
#define CLIENTS_QUEUED_ALL_MAX      (64ull * 1024 * 1024)
#define CLIENTS_NONE                UINT32_MAX

/* A message of questions; what more belongs to it is the caller's. */
struct clients_work {
	struct clients_work *next;
	size_t size;
};

enum client_place {
	CLIENT_FREE,    /* no such client */
	CLIENT_RESTING, /* nothing asked; something unsent */
	CLIENT_NEW,     /* in the list of those who come first */
	CLIENT_OLD,     /* in the round, perhaps without anything to ask any more */
	CLIENT_STALLED, /* too much unsent */
	CLIENT_WAITING, /* for a place among the long questions */
	CLIENT_PLACES
};

/* What a client may be sent. */
enum clients_leave { CLIENTS_LEAVE_NONE, CLIENTS_LEAVE_SMALL, CLIENTS_LEAVE_ANY };

struct client {
	uint8_t identity[CLIENTS_IDENTITY_MAX];
	uint32_t identity_size;
	uint32_t generation; /* another for each client that has this entry */
	enum client_place place;
	enum clients_leave stalled_for; /* what its next answer needs */
	uint32_t before, behind;        /* in the list of its place */
	uint32_t chain;                 /* in its hash bucket; of a free entry: the next free one */
	int64_t credit_ns;
	struct clients_work *first, *last;
	uint64_t queued_bytes, unsent_bytes, encoding_bytes; /* encoding: of unsent, given back but still in the encoder */
	uint32_t queued_messages, unsent_messages;
	uint64_t told_ns;     /* when something was last sent to it */
	uint64_t number_max;  /* of the questions that wait */
	bool has_reservation; /* the next place among the long questions is its own */
};

struct clients_list {
	uint32_t first, last, count;
};

struct clients {
	struct client *entries; /* CLIENTS_MAX */
	uint32_t *buckets;
	uint32_t free, working, reservations, new_in_a_row;
	struct clients_list lists[CLIENT_PLACES];
	uint64_t unsent_bytes, queued_bytes;
};

int clients_init(struct clients *clients); /* 0 or ERR_NO_MEMORY */
void clients_deinit(struct clients *clients);

uint32_t clients_index(const struct clients *clients, const struct client *client);
/* NULL: not known, or with `make` no entry is left. */
struct client *clients_find(struct clients *clients, const uint8_t *identity, uint32_t size, bool make);
/* NULL: the client that had this entry then is gone. */
struct client *clients_at(struct clients *clients, uint32_t index, uint32_t generation);
/* Forgets a client that asks nothing and has nothing unsent; nothing otherwise. Call when a client that was made may have got
 * neither. */
void clients_release(struct clients *clients, struct client *client);
/* Takes a client whose questions were all taken out from the round, with its reservation, and releases it. */
void clients_remove(struct clients *clients, struct client *client);

/* Is there room for questions of that size? */
bool clients_admit(const struct clients *clients, const struct client *client, size_t size);
void clients_push(struct clients *clients, struct client *client, struct clients_work *work);
/* The client's first message, taken out; NULL when there is none. It stays where it is in the round until clients_charge. */
struct clients_work *clients_pop(struct clients *clients, struct client *client);

/* Whose turn it is; NULL when nobody has anything to do. *slice_ns: its credit. */
struct client *clients_next(struct clients *clients, uint64_t *slice_ns);
/* After its turn. */
void clients_charge(struct clients *clients, struct client *client, uint64_t used_ns);
/* Is there a client whose turn it could be? */
bool clients_have_work(const struct clients *clients);
/* Takes the client out of the round until it may be sent what it needs (not NONE). The place that was reserved for it goes to
 * the next one: whoever does not take his answers keeps nobody from theirs. */
void clients_stall(struct clients *clients, struct client *client, enum clients_leave needs);
/* Takes it out until there is a place for its long question. */
void clients_wait(struct clients *clients, struct client *client);
/* A place is free: the client that has waited longest gets it reserved and comes next. */
void clients_place_freed(struct clients *clients);
void clients_reservation_end(struct clients *clients, struct client *client);

/* What the client may be sent now. */
enum clients_leave clients_leave(const struct clients *clients, const struct client *client);
/* May an answer of the coordinator be passed on? */
bool clients_may_pass(const struct clients *clients, const struct client *client, size_t size);
/* size bytes were handed to the socket; and were given back by it. */
void clients_sent(struct clients *clients, struct client *client, size_t size);
void clients_given_back(struct clients *clients, struct client *client, size_t size);
/* Puts those who may be answered again into the round. */
void clients_unstall(struct clients *clients);

#endif
