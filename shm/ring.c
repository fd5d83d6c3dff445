/* SPDX-License-Identifier: Apache-2.0
 *
 * The memory-ordering argument, and what a kill leaves behind.
 *
 * Bytes of the ring are plain memory. Each byte has one owner at a time: [head, tail) belongs to the consumer, the rest to the
 * producer. Ownership passes with two release/acquire pairs and nothing else:
 *   producer: write bytes      -> store tail (release)  =>  consumer: load tail (acquire) -> read bytes
 *   consumer: read bytes       -> store head (release)  =>  producer: load head (acquire) -> write bytes again
 * An index that is cached is older than the true one: the producer sees less room, the consumer fewer records. Never more.
 *
 * Producer killed: before the store of tail, what it wrote (padding included) lies outside [head, tail) and is written over by
 * the next one; after it, the record is whole. Consumer killed: before the store of head, the next one meets the record again
 * (a record is idempotent, see core/record.h); after it, the record is gone. There is no third state: both are one aligned
 * store. */
#include "shm/ring.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "base/crash_point.h"
#include "base/error.h"

#define RECORD_HEADER 8u

struct record_header {
	uint32_t size, kind;
};
_Static_assert(sizeof(struct record_header) == RECORD_HEADER, "the header is the alignment of a record");

static uint64_t record_bytes(uint32_t size)
{
	return RECORD_HEADER + (((uint64_t)size + 7u) & ~7ull);
}

static bool indices_valid(uint64_t head, uint64_t tail, uint64_t capacity)
{
	return (head & 7u) == 0 && (tail & 7u) == 0 && tail - head <= capacity;
}

void ring_create(struct ring_shared *shared, uint64_t capacity)
{
	assert(capacity >= 64 && (capacity & (capacity - 1)) == 0);
	shared->capacity = capacity;
	atomic_store_explicit(&shared->head, 0, memory_order_relaxed);
	atomic_store_explicit(&shared->tail, 0, memory_order_release);
}

int ring_attach(struct ring *ring, struct ring_shared *shared, uint8_t *bytes, uint64_t capacity)
{
	/* The caller's own index stands still, so whichever the other one is, their distance is within bounds. */
	uint64_t head = atomic_load_explicit(&shared->head, memory_order_acquire);
	uint64_t tail = atomic_load_explicit(&shared->tail, memory_order_acquire);
	bool power_of_two = capacity != 0 && (capacity & (capacity - 1)) == 0;
	if (!power_of_two || shared->capacity != capacity || !indices_valid(head, tail, capacity))
		return ERR_CORRUPT;
	*ring = (struct ring){.shared = shared, .bytes = bytes, .capacity = capacity, .head = head, .tail = tail};
	return 0;
}

/* Producer: makes sure that `wanted` bytes are free, looking at the consumer's index only if the cached one does not do. */
static int room_find(struct ring *ring, uint64_t wanted)
{
	if (ring->capacity - (ring->tail - ring->head) >= wanted)
		return 0;
	uint64_t head = atomic_load_explicit(&ring->shared->head, memory_order_acquire);
	if (!indices_valid(head, ring->tail, ring->capacity))
		return ERR_CORRUPT;
	ring->head = head;
	return ring->capacity - (ring->tail - head) >= wanted ? 0 : ERR_FULL;
}

int ring_push(struct ring *ring, uint32_t kind, const void *bytes, uint32_t size)
{
	assert(kind != RING_KIND_PADDING);
	uint64_t need = record_bytes(size);
	if (need > ring->capacity / 2)
		return ERR_USAGE;

	uint64_t position = ring->tail & (ring->capacity - 1);
	uint64_t to_end = ring->capacity - position;
	uint64_t padding = need > to_end ? to_end : 0;
	int code = room_find(ring, padding + need);
	if (code != 0)
		return code;

	if (padding > 0) {
		struct record_header skip = {.size = (uint32_t)(padding - RECORD_HEADER), .kind = RING_KIND_PADDING};
		memcpy(ring->bytes + position, &skip, sizeof(skip));
		position = 0;
	}
	struct record_header header = {.size = size, .kind = kind};
	memcpy(ring->bytes + position, &header, sizeof(header));
	if (size > 0)
		memcpy(ring->bytes + position + RECORD_HEADER, bytes, size);

	ring->tail += padding + need;
	CRASH_POINT(ring_written);
	atomic_store_explicit(&ring->shared->tail, ring->tail, memory_order_release);
	CRASH_POINT(ring_published);
	return 0;
}

uint64_t ring_free(struct ring *ring)
{
	uint64_t head = atomic_load_explicit(&ring->shared->head, memory_order_acquire);
	if (indices_valid(head, ring->tail, ring->capacity))
		ring->head = head;
	return ring->capacity - (ring->tail - ring->head);
}

static void head_advance(struct ring *ring, uint64_t bytes)
{
	ring->head += bytes;
	CRASH_POINT(ring_taken);
	atomic_store_explicit(&ring->shared->head, ring->head, memory_order_release);
}

int ring_peek(struct ring *ring, uint32_t *kind, const uint8_t **bytes, uint32_t *size)
{
	ring->peeked = 0;
	for (;;) {
		if (ring->head == ring->tail) {
			uint64_t tail = atomic_load_explicit(&ring->shared->tail, memory_order_acquire);
			if (!indices_valid(ring->head, tail, ring->capacity))
				return ERR_CORRUPT;
			ring->tail = tail;
			if (ring->head == tail)
				return ERR_EMPTY;
		}
		uint64_t position = ring->head & (ring->capacity - 1);
		struct record_header header; /* read once: what was checked is what is used */
		memcpy(&header, ring->bytes + position, sizeof(header));
		uint64_t whole = record_bytes(header.size);
		if (whole > ring->tail - ring->head || whole > ring->capacity - position)
			return ERR_CORRUPT;
		if (header.kind != RING_KIND_PADDING) {
			*kind = header.kind;
			*size = header.size;
			*bytes = ring->bytes + position + RECORD_HEADER;
			ring->peeked = whole;
			return 0;
		}
		if (whole != ring->capacity - position)
			return ERR_CORRUPT;
		head_advance(ring, whole);
	}
}

void ring_release(struct ring *ring)
{
	assert(ring->peeked > 0 && "ring_release without a ring_peek");
	head_advance(ring, ring->peeked);
	ring->peeked = 0;
}

void ring_discard_all(struct ring *ring)
{
	ring->tail = atomic_load_explicit(&ring->shared->tail, memory_order_acquire);
	ring->peeked = 0;
	ring->head = ring->tail;
	atomic_store_explicit(&ring->shared->head, ring->head, memory_order_release);
}
