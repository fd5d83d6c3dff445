/* SPDX-License-Identifier: Apache-2.0
 *
 * How bytes travel over an emulated link, without sockets and clocks: when a chunk is due, and how much may be read now.
 *
 * A link is directed (from one region to another) and shared by all connections between the two; a flow is one direction of
 * one connection, a queue of chunks in the order in which they were read:
 *
 *   read ──> [line: bandwidth, one chunk behind the other] ──> [delay + jitter] ──> due ──> written
 *
 * The order within a flow is kept whatever the jitter. A cut link delivers and reads nothing; what is queued stays queued, and
 * goes on when the link is healed. A flow holds at most link_queue_max() bytes: nothing is read beyond it, so TCP pushes back.
 */
#ifndef GODWIT_LINK_LINK_H
#define GODWIT_LINK_LINK_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINK_NEVER     UINT64_MAX
#define LINK_READ_MAX  (256u * 1024)
#define LINK_QUEUE_MIN (1024u * 1024)
#define LINK_QUEUE_MAX (8u * 1024 * 1024)
#define LINK_BACKLOG_MS                                                                                                        \
	100u /* a line with less bandwidth than is offered queues this much ahead of itself, then pushes back                  \
	      */
#define LINK_DELAY_MAX_MS      60000u
#define LINK_BANDWIDTH_MAX_KIB (64u * 1024 * 1024)

struct link_settings {
	uint32_t delay_ms, jitter_ms; /* one way; each chunk waits delay + 0..jitter */
	uint32_t bandwidth_kib;       /* KiB a second; 0: unlimited */
	bool cut;
};

struct link {
	struct link_settings settings;
	uint64_t line_free_ns; /* when the last byte taken in leaves the line */
	uint64_t random;       /* state of the jitter; never 0 */
	uint64_t bytes;        /* delivered ever */
};

struct link_chunk { /* allocated by the caller; belongs to the flow between push and pop */
	struct link_chunk *next;
	uint64_t due_ns;
	uint32_t size, sent;
	bool end; /* no bytes: the sender has closed this direction */
	uint8_t bytes[];
};

struct link_flow {
	struct link_chunk *first, *last;
	uint64_t queued_bytes; /* chunk heads included: many small chunks are memory too */
	uint64_t last_due_ns;
};

void link_init(struct link *link, uint64_t seed);
/* True when bytes may be handed on without being queued: nothing delays them. */
bool link_is_direct(const struct link *link, const struct link_flow *flow);
uint64_t link_queue_max(const struct link *link);
/* Bytes that may be read now. 0: not before *again_ns, or, with LINK_NEVER, not before a chunk was popped or settings changed.
 */
uint32_t link_read_size(const struct link *link, const struct link_flow *flow, uint64_t now_ns, uint64_t *again_ns);
/* Gives the chunk, read at now_ns, its time and takes it over. */
void link_flow_push(struct link *link, struct link_flow *flow, struct link_chunk *chunk, uint64_t now_ns);
/* The oldest chunk if it is due, still the flow's; NULL if none is. */
struct link_chunk *link_flow_due(const struct link *link, const struct link_flow *flow, uint64_t now_ns);
/* When the oldest chunk is due; LINK_NEVER when there is none or the link is cut. */
uint64_t link_flow_due_ns(const struct link *link, const struct link_flow *flow);
/* Takes the oldest chunk out; it is the caller's again. */
struct link_chunk *link_flow_pop(struct link_flow *flow);

#endif
