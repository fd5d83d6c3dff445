/* SPDX-License-Identifier: Apache-2.0
 *
 * When the log is handed to the disk. A group costs a sync, a transaction on the rows and a message to each peer, however many
 * records are in it; so under load groups are let grow for PACE_GAP_NS, from the start of the one before. Nobody is made to
 * wait in vain: when as many writes wait as have waited together lately, all writers stand still until they are answered, and
 * no other can be expected; so a lone write goes at once, and so do those of clients that all wait for their answers. */
#ifndef GODWIT_ACTORS_COORDINATOR_PACE_H
#define GODWIT_ACTORS_COORDINATOR_PACE_H
#include <stdbool.h>
#include <stdint.h>

#define PACE_GAP_NS    2000000ull
#define PACE_BYTES_MAX (256u * 1024) /* enough for a group at any time */

struct pace {
	uint64_t flushed_ns; /* when the last group was handed over */
	uint64_t most;       /* writes that waited together lately, in 1/256; sinks by a sixteenth a group */
	uint64_t bytes;      /* gathered since */
	bool own;            /* among them writes of this region, whose clients wait */
};

static inline void pace_gather(struct pace *pace, uint64_t bytes, bool own)
{
	pace->bytes += bytes;
	pace->own |= own;
}

/* waiting: this region's writes without an answer, in whatever group. */
static inline bool pace_is_due(const struct pace *pace, uint64_t waiting, uint64_t now_ns)
{
	if (!pace->bytes)
		return false;
	return pace->bytes >= PACE_BYTES_MAX || now_ns >= pace->flushed_ns + PACE_GAP_NS ||
	       (pace->own && waiting * 256 >= pace->most);
}

/* UINT64_MAX: nothing is gathered. */
static inline uint64_t pace_deadline_ns(const struct pace *pace)
{
	return pace->bytes ? pace->flushed_ns + PACE_GAP_NS : UINT64_MAX;
}

static inline void pace_flushed(struct pace *pace, uint64_t waiting, uint64_t now_ns)
{
	pace->most -= pace->most / 16;
	if (pace->most < waiting * 256)
		pace->most = waiting * 256;
	pace->flushed_ns = now_ns;
	pace->bytes = 0;
	pace->own = false;
}

#endif
