/* SPDX-License-Identifier: Apache-2.0
 *
 * The reply cache: what became of each of the last requests, so that a repeat is answered and not applied (B08).
 *
 * Answers leave in the order in which they came, when there is no more room. What a client may still ask about but is gone
 * lies at or below its forgotten mark: such a repeat is neither applied nor called a failure, its outcome is unknown (EXPIRED).
 * Marks are kept for the clients seen last. For all others counts when a request was first sent: before complete_ns its answer
 * may be among those that are gone. That is a time of this machine's monotonic clock, and requests come with their age, so that
 * no wall clock has a say. (Strong requests come with a reading of the clock of strong stamps instead: complete_hlc.)
 * Pure: its storage is its owner's. */
#ifndef GODWIT_CORE_REPLY_CACHE_H
#define GODWIT_CORE_REPLY_CACHE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REPLY_CACHE_ANSWERS (1u << 19)
#define REPLY_CACHE_CLIENTS (1u << 13)
#define REPLY_CACHE_WAYS    8u

enum reply_state { REPLY_PARKED, REPLY_DONE };

struct reply_answer {
	uint64_t client_id;
	uint64_t number;
	uint64_t sequence; /* PARKED: position in the queue of parked answers; DONE: of the write's dot */
	uint64_t hlc;
	uint64_t added_ns; /* monotonic: the request was first sent before that */
	uint8_t state;
	/* Of a strong refusal: it holds for whatever copies are in other regions. Of a strong commit: every region has it on
	 * its disk. */
	bool for_all;
	bool has_version; /* {own region: sequence} is a true version: the write has seen all of its region's before it */
};

struct reply_place {
	uint32_t hash;   /* kept here so that closing a hole touches no answer */
	uint32_t answer; /* index + 1; 0: empty */
};

struct reply_client {
	uint64_t client_id;
	uint64_t mark; /* nothing at or below it is applied any more */
	uint64_t used;
};

struct reply_cache {
	void *storage;
	struct reply_answer *answers; /* a ring: added at newest, leaving at oldest; free-running counts */
	struct reply_place *places;
	struct reply_client *clients;
	uint64_t newest, oldest;
	uint64_t use;
	uint64_t now_ns;       /* monotonic; kept up to date by the owner */
	uint64_t complete_ns;  /* monotonic: every request first sent later that was applied here is remembered; 0: all */
	uint64_t complete_hlc; /* every write stamped later is remembered; 0: all */
	uint32_t capacity;     /* power of two */
};

/* Bytes of storage for so many answers. */
size_t reply_cache_storage(uint32_t capacity);
/* capacity: a power of two. storage: that many bytes, all zero, aligned for any type; the caller's, who frees it. */
void reply_cache_init(struct reply_cache *m, uint32_t capacity, void *storage);
/* NULL when it is not remembered. Stays valid until the next memory_add. */
struct reply_answer *reply_cache_find(struct reply_cache *m, uint64_t client_id, uint64_t number);
/* A new one, all zero but for its names and added_ns. It must not be there already. */
struct reply_answer *reply_cache_add(struct reply_cache *m, uint64_t client_id, uint64_t number);
/* Sent for the first time age_ms ago: may its answer have been here, and be gone? */
bool reply_cache_may_have_forgotten(const struct reply_cache *m, uint64_t age_ms);
/* Raises the client's mark to what it says was answered to it, and tells the mark. */
uint64_t reply_cache_client_mark(struct reply_cache *m, uint64_t client_id, uint64_t settled);
bool reply_cache_client_is_known(struct reply_cache *m, uint64_t client_id);

#endif
