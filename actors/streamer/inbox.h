/* SPDX-License-Identifier: Apache-2.0
 *
 * Frames that were received and checked, and are on their way into the inbound ring. Bounded by the credit that the peers got:
 * STREAMER_WINDOW a peer. */
#ifndef GODWIT_ACTORS_STREAMER_INBOX_H
#define GODWIT_ACTORS_STREAMER_INBOX_H
#include <stdbool.h>
#include <stdint.h>

#include "actors/streamer/frame.h"
#include "core/vector.h"
#include "shm/counters.h"
#include "shm/ring.h"

#define INBOX_RECORD 1u /* kind, in the ring */

struct inbox_frame {
	struct inbox_frame *next;
	uint32_t raw_size, offset;
	uint8_t raw[];
};
struct inbox {
	struct ring ring;
	uint8_t region;
	uint64_t bytes; /* raw, of all frames held */
	uint8_t turn;   /* which peer is served next */
	struct {
		struct inbox_frame *first, *last;
	} queues[REGIONS_MAX];
};

/* Opens the frame and keeps its records. ERR_MALFORMED, ERR_CORRUPT: nothing kept; ERR_NO_MEMORY. */
int inbox_take(struct inbox *inbox, uint8_t peer, const struct frame *frame, uint32_t origins, struct error_context *error);
void inbox_drop(struct inbox *inbox, uint8_t peer);
static inline bool inbox_is_empty(const struct inbox *inbox)
{
	return inbox->bytes == 0;
}

struct inbox_delivery {
	uint32_t pushed;                 /* records now in the ring */
	uint32_t skipped;                /* already applied, or this region's own */
	uint64_t delivered[REGIONS_MAX]; /* raw bytes of frames done with, by peer */
};
/* Moves at most records_max records. ERR_FULL: the ring is full; 0; ERR_CORRUPT: the ring is. */
int inbox_deliver(struct inbox *inbox, const struct vector *applied, uint32_t records_max, struct inbox_delivery *delivery);

#endif
