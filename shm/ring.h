/* SPDX-License-Identifier: Apache-2.0
 *
 * Single-producer single-consumer ring of records of bytes, in shared memory.
 *
 * head and tail are free-running byte counts on lines of their own. A record is u32 size, u32 kind, bytes, padded to 8; one
 * that does not fit before the end is preceded by a padding record. The producer writes bytes first and stores `tail` with
 * release; the consumer loads it with acquire, so it sees whole records only: a producer killed anywhere leaves nothing half
 * visible. The consumer stores `head` with release after it has copied the bytes out; a consumer killed before that meets the
 * same record again. Each side caches the other's index and reloads it only when it seems full or empty.
 * Every size read from shared memory is checked; a bad one is ERR_CORRUPT. */
#ifndef GODWIT_SHM_RING_H
#define GODWIT_SHM_RING_H
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct ring_shared {
	_Alignas(128) _Atomic uint64_t head; /* written by the consumer */
	_Alignas(128) _Atomic uint64_t tail; /* written by the producer */
	_Alignas(128) uint64_t capacity;     /* power of two, set at creation */
};

struct ring { /* one side's private view */
	struct ring_shared *shared;
	uint8_t *bytes;
	uint64_t capacity;
	uint64_t head, tail; /* own index exact, the other's cached */
	uint64_t peeked;     /* consumer: bytes of the record that ring_release gives back; 0 none */
};

#define RING_KIND_PADDING UINT32_MAX /* not to be used as a kind */

void ring_create(struct ring_shared *shared, uint64_t capacity);
/* ERR_CORRUPT when the indices make no sense. Both sides attach with this. */
int ring_attach(struct ring *ring, struct ring_shared *shared, uint8_t *bytes, uint64_t capacity);

/* Producer. ERR_FULL, ERR_USAGE for a record that could never fit (more than half the ring), ERR_CORRUPT. */
int ring_push(struct ring *ring, uint32_t kind, const void *bytes, uint32_t size);
uint64_t ring_free(struct ring *ring); /* bytes, record headers included */

/* Consumer. 0 with the oldest record, in place until ring_release (8-byte aligned); ERR_EMPTY; ERR_CORRUPT. */
int ring_peek(struct ring *ring, uint32_t *kind, const uint8_t **bytes, uint32_t *size);
void ring_release(struct ring *ring);
void ring_discard_all(struct ring *ring); /* consumer start: forgets what an earlier consumer left */

#endif
