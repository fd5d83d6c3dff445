/* SPDX-License-Identifier: Apache-2.0
 *
 * The ring of records received: streamer in, coordinator out. */
#include "tests/sim/sim.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

bool ring_put(struct sim_node *node, const uint8_t *bytes, uint32_t size)
{
	assert(node->ring.bytes <= SIM_RING_BYTES);
	if (node->ring.bytes + size > SIM_RING_BYTES)
		return false;
	if (node->ring.count == node->ring.capacity) {
		uint32_t capacity = node->ring.capacity ? node->ring.capacity * 2 : 64;
		uint8_t **records = malloc(capacity * sizeof *records);
		uint32_t *sizes = malloc(capacity * sizeof *sizes);
		if (!records || !sizes)
			abort();
		for (uint32_t i = 0; i < node->ring.count; i++) {
			records[i] = node->ring.records[(node->ring.head + i) % node->ring.capacity];
			sizes[i] = node->ring.sizes[(node->ring.head + i) % node->ring.capacity];
		}
		free(node->ring.records);
		free(node->ring.sizes);
		node->ring.records = records;
		node->ring.sizes = sizes;
		node->ring.head = 0;
		node->ring.capacity = capacity;
	}
	uint32_t place = (node->ring.head + node->ring.count++) % node->ring.capacity;
	node->ring.records[place] = malloc(size);
	if (!node->ring.records[place])
		abort();
	memcpy(node->ring.records[place], bytes, size);
	node->ring.sizes[place] = size;
	node->ring.bytes += size;
	return true;
}

void ring_take(struct sim_node *node)
{
	free(node->ring.records[node->ring.head]);
	node->ring.bytes -= node->ring.sizes[node->ring.head];
	node->ring.head = (node->ring.head + 1) % node->ring.capacity;
	node->ring.count--;
}

void ring_empty(struct sim_node *node)
{
	while (node->ring.count)
		ring_take(node);
}
