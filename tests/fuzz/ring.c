/* SPDX-License-Identifier: Apache-2.0
 *
 * The ring on shared bytes that somebody else scribbles on: never out of bounds; and, left alone, first in, first out.
 * Input: u8 size, 128: left alone | with scribbling: u64 head, u64 tail | steps. */
#include "shm/ring.h"
#include "base/error.h"
#include "tests/fuzz/fuzz.h"

#define RECORDS_MAX 256u

static struct ring_shared shared;
static struct {
	uint32_t kind, size;
	uint8_t fill;
} queue[RECORDS_MAX];
static uint32_t first, count;

static void push(struct ring *ring, struct input *in, uint64_t capacity, bool alone)
{
	uint32_t size = (uint32_t)input_number(in, 2) % (uint32_t)(capacity + 16), kind = (uint32_t)input_number(in, 1);
	uint8_t fill = (uint8_t)input_number(in, 1), *bytes = malloc(size + 1);
	if (bytes == NULL)
		abort();
	memset(bytes, fill, size);
	uint64_t room = ring_free(ring);
	CHECK(room <= capacity);
	int code = alone && count == RECORDS_MAX ? ERR_FULL : ring_push(ring, kind, bytes, size);
	free(bytes);
	CHECK(code == 0 || code == ERR_FULL || code == ERR_USAGE || (code == ERR_CORRUPT && !alone));
	if (code != 0 || !alone)
		return;
	CHECK(size + 8 <= room);
	queue[(first + count) % RECORDS_MAX].kind = kind;
	queue[(first + count) % RECORDS_MAX].size = size;
	queue[(first + count++) % RECORDS_MAX].fill = fill;
}

static void peek(struct ring *ring, const uint8_t *all, uint64_t capacity, bool alone, bool release)
{
	uint32_t kind, size;
	const uint8_t *bytes;
	int code = ring_peek(ring, &kind, &bytes, &size);
	CHECK(code == 0 || code == ERR_EMPTY || (code == ERR_CORRUPT && !alone));
	CHECK(!alone || (code == ERR_EMPTY) == (count == 0));
	if (code != 0)
		return;
	CHECK(bytes >= all && bytes + size <= all + capacity && (bytes - all) % 8 == 0);
	bytes_touch(bytes, size);
	if (alone) {
		CHECK(kind == queue[first].kind && size == queue[first].size);
		for (uint32_t i = 0; i < size; i++)
			CHECK(bytes[i] == queue[first].fill);
	}
	if (!release)
		return;
	ring_release(ring);
	first = (first + 1) % RECORDS_MAX;
	count -= alone;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct input in = {bytes, bytes + size};
	struct ring producer, consumer;
	unsigned what = (unsigned)input_number(&in, 1);
	bool alone = what & 128;
	uint64_t capacity = 64ull << (what & 7);
	uint8_t *all = malloc(capacity);
	if (all == NULL)
		abort();
	first = count = 0;
	memset(all, 0, capacity);
	ring_create(&shared, capacity);
	if (!alone) {
		shared.head = input_number(&in, 8);
		shared.tail = input_number(&in, 8);
		for (uint64_t i = 0; i < capacity; i++)
			all[i] = (uint8_t)input_number(&in, 1);
	}
	if (ring_attach(&producer, &shared, all, capacity) == 0 && ring_attach(&consumer, &shared, all, capacity) == 0)
		while (input_left(&in)) {
			unsigned step = (unsigned)input_number(&in, 1);
			switch (step & 7) {
			case 0:
			case 1:
				push(&producer, &in, capacity, alone);
				break;
			case 2:
			case 3:
			case 4:
				peek(&consumer, all, capacity, alone, step & 8);
				break;
			case 5:
				if (!alone)
					all[input_number(&in, 2) % capacity] = (uint8_t)input_number(&in, 1);
				else if (ring_attach(&producer, &shared, all, capacity) != 0) /* started again */
					CHECK(false);
				break;
			case 6:
				if (!alone)
					*(step & 8 ? &shared.head : &shared.tail) +=
					    (uint64_t)(int64_t)(int8_t)input_number(&in, 1);
				else if (ring_attach(&consumer, &shared, all, capacity) != 0)
					CHECK(false);
				break;
			default:
				ring_discard_all(&consumer);
				first = count = 0;
			}
		}
	free(all);
	return 0;
}
