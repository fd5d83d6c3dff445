/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "link/link.h"

#define MS 1000000ull

static struct link_chunk *chunk_new(uint32_t size)
{
	struct link_chunk *chunk = calloc(1, sizeof(*chunk) + size);
	cr_assert(chunk);
	chunk->size = size;
	chunk->end = size == 0;
	return chunk;
}

static void flow_clear(struct link_flow *flow)
{
	while (flow->first)
		free(link_flow_pop(flow));
	cr_assert_eq(flow->queued_bytes, 0);
}

Test(link, a_chunk_waits_for_the_delay)
{
	struct link link;
	struct link_flow flow = {0};
	link_init(&link, 7);
	cr_assert(link_is_direct(&link, &flow));
	link.settings.delay_ms = 40;
	cr_assert_not(link_is_direct(&link, &flow));
	link_flow_push(&link, &flow, chunk_new(10), 5 * MS);
	cr_assert_null(link_flow_due(&link, &flow, 45 * MS - 1));
	cr_assert_not_null(link_flow_due(&link, &flow, 45 * MS));
	cr_assert_eq(link_flow_due_ns(&link, &flow), 45 * MS);
	flow_clear(&flow);
}

Test(link, jitter_stays_in_its_bounds_and_keeps_the_order)
{
	struct link link;
	struct link_flow flow = {0};
	link_init(&link, 7);
	link.settings = (struct link_settings){.delay_ms = 10, .jitter_ms = 50};
	uint64_t last_ns = 0, spread = 0;
	for (uint64_t i = 0; i < 1000; i++) {
		uint64_t now = i * MS;
		link_flow_push(&link, &flow, chunk_new(1), now);
		uint64_t due_ns = flow.last->due_ns;
		cr_assert_geq(due_ns, now + 10 * MS);
		cr_assert_leq(due_ns, now + 60 * MS);
		cr_assert_geq(due_ns, last_ns);
		spread += due_ns != last_ns;
		last_ns = due_ns;
	}
	cr_assert_gt(spread, 10);
	flow_clear(&flow);
}

Test(link, a_shorter_delay_does_not_overtake)
{
	struct link link;
	struct link_flow flow = {0};
	link_init(&link, 7);
	link.settings.delay_ms = 100;
	link_flow_push(&link, &flow, chunk_new(1), 0);
	link.settings.delay_ms = 0;
	cr_assert_not(link_is_direct(&link, &flow));
	link_flow_push(&link, &flow, chunk_new(1), 1 * MS);
	cr_assert_eq(flow.last->due_ns, 100 * MS);
	flow_clear(&flow);
}

Test(link, bandwidth_is_shared_by_flows_and_pushes_back)
{
	struct link link;
	struct link_flow flows[2] = {{0}, {0}};
	uint64_t again_ns;
	link_init(&link, 7);
	link.settings.bandwidth_kib = 1000;
	uint64_t now = 0, taken = 0;
	while (now < 1000 * MS) {
		for (int f = 0; f < 2; f++) {
			uint32_t size = link_read_size(&link, &flows[f], now, &again_ns);
			if (!size) {
				cr_assert_neq(again_ns, LINK_NEVER);
				cr_assert_gt(again_ns, now);
				continue;
			}
			link_flow_push(&link, &flows[f], chunk_new(size), now);
			taken += size;
			while (link_flow_due(&link, &flows[f], now))
				free(link_flow_pop(&flows[f]));
		}
		now += MS;
		for (int f = 0; f < 2; f++)
			while (link_flow_due(&link, &flows[f], now))
				free(link_flow_pop(&flows[f]));
	}
	/* A second's worth, and what the line holds ahead of itself. */
	cr_assert_geq(taken, 1000 * 1024 * 95 / 100, "%llu", (unsigned long long)taken);
	cr_assert_leq(taken, 1000 * 1024 * 115 / 100, "%llu", (unsigned long long)taken);
	flow_clear(&flows[0]);
	flow_clear(&flows[1]);
}

Test(link, a_cut_link_reads_and_delivers_nothing_and_goes_on_when_healed)
{
	struct link link;
	struct link_flow flow = {0};
	uint64_t again_ns;
	link_init(&link, 7);
	link.settings.delay_ms = 1;
	link_flow_push(&link, &flow, chunk_new(3), 0);
	link.settings.cut = true;
	cr_assert_eq(link_read_size(&link, &flow, 10 * MS, &again_ns), 0);
	cr_assert_eq(again_ns, LINK_NEVER);
	cr_assert_null(link_flow_due(&link, &flow, 10 * MS));
	cr_assert_eq(link_flow_due_ns(&link, &flow), LINK_NEVER);
	link.settings.cut = false;
	cr_assert_not_null(link_flow_due(&link, &flow, 10 * MS));
	cr_assert_gt(link_read_size(&link, &flow, 10 * MS, &again_ns), 0);
	flow_clear(&flow);
}

Test(link, memory_is_bounded_whatever_the_settings)
{
	static const struct link_settings settings[] = {{0}, {.delay_ms = 60000},
	    {.delay_ms = 60000, .bandwidth_kib = 1u << 20}, {.delay_ms = 1, .bandwidth_kib = 1}, {.jitter_ms = 1000}};
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		struct link link;
		struct link_flow flow = {0};
		uint64_t again_ns;
		link_init(&link, 7);
		link.settings = settings[i];
		uint32_t size;
		while ((size = link_read_size(&link, &flow, 0, &again_ns)) > 0) {
			link_flow_push(&link, &flow, chunk_new(size > 500 ? size - 400 : size), 0);
			cr_assert_leq(flow.queued_bytes, LINK_QUEUE_MAX);
		}
		cr_assert_leq(flow.queued_bytes, link_queue_max(&link));
		flow_clear(&flow);
	}
}
