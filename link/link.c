/* SPDX-License-Identifier: Apache-2.0 */
#include "link/link.h"

#include <assert.h>

#define NS_PER_MS 1000000ull
#define NS_PER_S  1000000000ull

void link_init(struct link *link, uint64_t seed)
{
	*link = (struct link){.random = seed ? seed : 1};
}

static uint64_t link_random(struct link *link)
{
	uint64_t x = link->random; /* xorshift64: Marsaglia, "Xorshift RNGs", 2003 */
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	link->random = x;
	return x;
}

bool link_is_direct(const struct link *link, const struct link_flow *flow)
{
	const struct link_settings *s = &link->settings;
	return !s->cut && !s->delay_ms && !s->jitter_ms && !s->bandwidth_kib && !flow->first;
}

/* Room for what is under way on a long line (twice the bandwidth-delay product), or the delay itself would cap throughput. */
uint64_t link_queue_max(const struct link *link)
{
	const struct link_settings *s = &link->settings;
	uint64_t way_ms = (uint64_t)s->delay_ms + s->jitter_ms;
	if (!way_ms)
		return LINK_QUEUE_MIN;
	if (!s->bandwidth_kib)
		return LINK_QUEUE_MAX;
	uint64_t bytes = 2 * (uint64_t)s->bandwidth_kib * 1024 * way_ms / 1000;
	return bytes < LINK_QUEUE_MIN ? LINK_QUEUE_MIN : bytes > LINK_QUEUE_MAX ? LINK_QUEUE_MAX : bytes;
}

uint32_t link_read_size(const struct link *link, const struct link_flow *flow, uint64_t now_ns, uint64_t *again_ns)
{
	const struct link_settings *s = &link->settings;
	uint64_t queue_max = link_queue_max(link);
	*again_ns = LINK_NEVER;
	if (s->cut || flow->queued_bytes + sizeof(struct link_chunk) >= queue_max)
		return 0;
	uint64_t size = queue_max - flow->queued_bytes - sizeof(struct link_chunk);
	if (s->bandwidth_kib) {
		uint64_t backlog_ns = link->line_free_ns > now_ns ? link->line_free_ns - now_ns : 0;
		if (backlog_ns >= LINK_BACKLOG_MS * NS_PER_MS) {
			/* Half of it drained: not a wake-up for each byte that leaves. */
			*again_ns = link->line_free_ns - LINK_BACKLOG_MS * NS_PER_MS / 2;
			return 0;
		}
		/* A tenth of the backlog at a time, so that flows that share the line take turns. */
		uint64_t share = (uint64_t)s->bandwidth_kib * 1024 * LINK_BACKLOG_MS / 10 / 1000;
		size = size < share + 1 ? size : share + 1;
	}
	return size < LINK_READ_MAX ? (uint32_t)size : LINK_READ_MAX;
}

void link_flow_push(struct link *link, struct link_flow *flow, struct link_chunk *chunk, uint64_t now_ns)
{
	const struct link_settings *s = &link->settings;
	assert(chunk->end == (chunk->size == 0));
	uint64_t left_ns = now_ns;
	if (s->bandwidth_kib) {
		left_ns = link->line_free_ns > now_ns ? link->line_free_ns : now_ns;
		left_ns += chunk->size * NS_PER_S / ((uint64_t)s->bandwidth_kib * 1024);
		link->line_free_ns = left_ns;
	}
	uint64_t jitter_ns = s->jitter_ms ? link_random(link) % (s->jitter_ms * NS_PER_MS + 1) : 0;
	chunk->due_ns = left_ns + s->delay_ms * NS_PER_MS + jitter_ns;
	if (chunk->due_ns < flow->last_due_ns)
		chunk->due_ns = flow->last_due_ns;
	flow->last_due_ns = chunk->due_ns;
	flow->queued_bytes += sizeof(*chunk) + chunk->size;
	chunk->next = NULL;
	if (flow->last)
		flow->last->next = chunk;
	else
		flow->first = chunk;
	flow->last = chunk;
}

uint64_t link_flow_due_ns(const struct link *link, const struct link_flow *flow)
{
	return flow->first && !link->settings.cut ? flow->first->due_ns : LINK_NEVER;
}

struct link_chunk *link_flow_due(const struct link *link, const struct link_flow *flow, uint64_t now_ns)
{
	return link_flow_due_ns(link, flow) <= now_ns ? flow->first : NULL;
}

struct link_chunk *link_flow_pop(struct link_flow *flow)
{
	struct link_chunk *chunk = flow->first;
	assert(chunk);
	flow->first = chunk->next;
	if (!flow->first)
		flow->last = NULL;
	flow->queued_bytes -= sizeof(*chunk) + chunk->size;
	return chunk;
}
