/* SPDX-License-Identifier: Apache-2.0
 *
 * Which start of a store is which (T39). A copy of a disk that is put back keeps its store id, and where nothing was written
 * meanwhile its sequences too: what it lacks are the promises and votes that it gave since. So each start of a store gets a
 * number and a nonce, durable before anybody hears of it; peers keep the last start that they met, durable before they listen
 * to it; and a region shows them its last starts. A store that was really there at that start can name it. An older copy that
 * started anew gives it another nonce, or has not come so far.
 *
 * Not noticed: a copy put back that meets only peers who never met what came after it, and one that was started more than
 * STARTS_KEPT times before it met anybody.
 *
 * The file "starts" next to the rows: two slots of one block, written in turn and in place, so that a full disk does not keep a
 * region from starting, and the older one holds when a write is torn. A start whose slot was torn was told to nobody. */
#ifndef GODWIT_STORE_STARTS_H
#define GODWIT_STORE_STARTS_H
#include <stdint.h>

#include "base/error.h"
#include "core/vector.h"

#define STARTS_KEPT 128u

struct start {
	uint64_t number; /* from 1; 0: none */
	uint64_t nonce;  /* random */
};
/* The last starts of one store: first, first + 1, ... */
struct start_history {
	uint64_t first;
	uint32_t count; /* 1..STARTS_KEPT */
	uint64_t nonces[STARTS_KEPT];
};
struct starts {
	int fd;
	uint64_t writes; /* of which the slots are numbered */
	struct start_history own;
	struct start peers[REGIONS_MAX]; /* the last that was met, by region */
};

/* Begins a start: it is durable when this returns 0. ERR_IO, ERR_DISK_FULL (the first of all only), ERR_CORRUPT. */
int starts_open(struct starts *starts, const char *dir, struct error_context *error);
void starts_close(struct starts *starts);
/* The start that is now. */
struct start starts_last(const struct start_history *history);

enum starts_verdict {
	STARTS_SAME,  /* the one that was met last */
	STARTS_LATER, /* to be kept before anything of it counts */
	STARTS_OLDER  /* an older copy of that store, started anew: it has no vote */
};
/* Pure. known: of the store that shows its history. */
enum starts_verdict starts_compare(const struct start *known, const struct start_history *history);
/* Durable when it returns 0. */
int starts_keep(struct starts *starts, uint8_t region, struct start met, struct error_context *error);

#endif
