/* SPDX-License-Identifier: Apache-2.0
 *
 * The memory of answers: what became of each of the last requests, so that a repeat is answered and not applied (B08).
 *
 * Answers leave in the order in which they came, when there is no more room. What a client may still ask about but is gone
 * lies at or below its forgotten mark: such a repeat is neither applied nor called a failure, its outcome is unknown (EXPIRED).
 * Marks are kept for the clients seen last. For all others counts when a request was first sent: before complete_ns its answer
 * may be among those that are gone. That is a time of this machine's monotonic clock, and requests come with their age, so that
 * no wall clock has a say. (Strong requests come with a reading of the clock of strong stamps instead: complete_hlc.)
 * All memory is taken in init. */
#ifndef GODWIT_ACTORS_COORDINATOR_MEMORY_H
#define GODWIT_ACTORS_COORDINATOR_MEMORY_H
#include <stdbool.h>
#include <stdint.h>

#define MEMORY_ANSWERS     (1u << 19)
#define MEMORY_CLIENTS     (1u << 13)
#define MEMORY_CLIENT_WAYS 8u

enum memory_state { MEMORY_PARKED, MEMORY_DONE };

struct memory_answer {
	uint64_t client_id;
	uint64_t number;
	uint64_t sequence; /* PARKED: position in the queue of parked answers; DONE: of the write's dot */
	uint64_t hlc;
	uint64_t added_ns; /* monotonic: the request was first sent before that */
	uint8_t state;
	/* Of a strong refusal: it holds for whatever copies are in other regions. Of a strong commit: every region has it on its disk. */
	bool for_all;
	bool has_version; /* {own region: sequence} is a true version: the write has seen all of its region's before it */
};

struct memory_place {
	uint32_t hash;   /* kept here so that closing a hole touches no answer */
	uint32_t answer; /* index + 1; 0: empty */
};

struct memory_client {
	uint64_t client_id;
	uint64_t mark; /* nothing at or below it is applied any more */
	uint64_t used;
};

struct memory {
	struct memory_answer *answers; /* a ring: added at newest, leaving at oldest; free-running counts */
	struct memory_place *places;
	struct memory_client *clients;
	uint64_t newest, oldest;
	uint64_t use;
	uint64_t now_ns;       /* monotonic; kept up to date by the owner */
	uint64_t complete_ns;  /* monotonic: every request first sent later that was applied here is remembered; 0: all */
	uint64_t complete_hlc; /* every write stamped later is remembered; 0: all */
	uint32_t capacity;    /* power of two */
};

/* capacity: a power of two. 0 or ERR_NO_MEMORY. */
int memory_init(struct memory *m, uint32_t capacity);
void memory_deinit(struct memory *m);
/* NULL when it is not remembered. Stays valid until the next memory_add. */
struct memory_answer *memory_find(struct memory *m, uint64_t client_id, uint64_t number);
/* A new one, all zero but for its names and added_ns. It must not be there already. */
struct memory_answer *memory_add(struct memory *m, uint64_t client_id, uint64_t number);
/* Sent for the first time age_ms ago: may its answer have been here, and be gone? */
bool memory_may_have_forgotten(const struct memory *m, uint64_t age_ms);
/* Raises the client's mark to what it says was answered to it, and tells the mark. */
uint64_t memory_client_mark(struct memory *m, uint64_t client_id, uint64_t settled);
bool memory_client_is_known(struct memory *m, uint64_t client_id);

#endif
