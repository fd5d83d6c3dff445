/* SPDX-License-Identifier: Apache-2.0
 *
 * The shared structures between threads, for ThreadSanitizer (it sees no race between processes). Every part also checks what
 * it reads, so that the program says something without the sanitizer, too.
 *
 *   threads ring|slot|bell|litmus [iterations] */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "shm/doorbell.h"
#include "shm/ring.h"
#include "shm/vector_slot.h"

#define CHECK(condition, ...)                                                                                                  \
	do {                                                                                                                   \
		if (!(condition)) {                                                                                            \
			fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition);                                        \
			fprintf(stderr, __VA_ARGS__);                                                                          \
			fputc('\n', stderr);                                                                                   \
			exit(1);                                                                                               \
		}                                                                                                              \
	} while (0)

#define RING_SIZE 4096u
static struct ring_shared ring_shared;
static _Alignas(4096) uint8_t ring_bytes[RING_SIZE];
static struct vector_slot slot;
/* Each on a line of its own: what shares a line with another hides how late a store is seen. */
#define ALONE _Alignas(128)
static ALONE _Atomic uint32_t sleeping[2];
static struct doorbell bells[2];
static ALONE _Atomic bool finished;
static uint64_t iterations;

static uint32_t random_next(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/* ---- ring: sizes at random, every byte follows from the record's number ---- */

static void *ring_produce(void *unused)
{
	(void)unused;
	struct ring ring;
	uint32_t random = 12345;
	CHECK(ring_attach(&ring, &ring_shared, ring_bytes, RING_SIZE) == 0, "attach");
	for (uint64_t number = 0; number < iterations; number++) {
		uint8_t record[600];
		uint32_t size = random_next(&random) % sizeof(record);
		memset(record, (int)(number * 31u & 0xffu), size);
		int code;
		while ((code = ring_push(&ring, (uint32_t)number, record, size)) == ERR_FULL)
			sched_yield();
		CHECK(code == 0, "%d", code);
	}
	return NULL;
}

static void *ring_consume(void *unused)
{
	(void)unused;
	struct ring ring;
	uint32_t random = 12345;
	CHECK(ring_attach(&ring, &ring_shared, ring_bytes, RING_SIZE) == 0, "attach");
	for (uint64_t number = 0; number < iterations; number++) {
		uint32_t kind, size;
		const uint8_t *bytes;
		int code;
		while ((code = ring_peek(&ring, &kind, &bytes, &size)) == ERR_EMPTY)
			sched_yield();
		CHECK(code == 0, "%d", code);
		CHECK(
		    kind == (uint32_t)number && size == random_next(&random) % 600u, "record %llu", (unsigned long long)number);
		for (uint32_t i = 0; i < size; i++)
			CHECK(bytes[i] == (number * 31u & 0xffu), "record %llu byte %u", (unsigned long long)number, i);
		ring_release(&ring);
	}
	return NULL;
}

/* ---- vector slot: place i of the value n is n + i ---- */

static void *slot_write(void *unused)
{
	(void)unused;
	for (uint64_t number = 1; number <= iterations; number++) {
		struct vector value;
		for (uint32_t i = 0; i < REGIONS_MAX; i++)
			value.sequence[i] = number + i;
		vector_slot_write(&slot, &value);
	}
	atomic_store(&finished, true);
	return NULL;
}

static void *slot_read(void *unused)
{
	(void)unused;
	uint64_t last = 0;
	while (!atomic_load(&finished) || last != iterations) {
		struct vector value;
		vector_slot_read(&slot, &value);
		uint64_t number = value.sequence[0];
		CHECK(number >= last, "went back from %llu to %llu", (unsigned long long)last, (unsigned long long)number);
		for (uint32_t i = 0; number > 0 && i < REGIONS_MAX; i++)
			CHECK(value.sequence[i] == number + i, "torn at place %u", i);
		last = number;
	}
	return NULL;
}

/* ---- doorbell: two sleepers throw one ball to and fro; a lost wake-up is a poll that times out with the ball there ---- */

static ALONE _Atomic uint64_t ball;

static void bell_wait(uint32_t side, uint64_t wanted)
{
	for (;;) {
		doorbell_prepare(&bells[side]);
		bool there = atomic_load_explicit(&ball, memory_order_relaxed) == wanted;
		if (!there) {
			struct pollfd poll_fd = {.fd = bells[side].fd, .events = POLLIN};
			int ready = poll(&poll_fd, 1, 5000);
			CHECK(ready == 1 || (ready < 0 && errno == EINTR), "lost wake-up: side %u, ball %llu, wanted %llu",
			    side, (unsigned long long)atomic_load(&ball), (unsigned long long)wanted);
		}
		doorbell_awake(&bells[side]);
		if (there || atomic_load_explicit(&ball, memory_order_relaxed) == wanted)
			return;
	}
}

static void *bell_player(void *argument)
{
	uint32_t side = *(uint32_t *)argument;
	uint32_t random = 77u + side;
	for (uint64_t turn = side; turn < iterations; turn += 2) {
		bell_wait(side, turn);
		for (uint32_t spin = random_next(&random) % 200u; spin > 0; spin--)
			atomic_load_explicit(&ball, memory_order_relaxed);
		/* relaxed: order must come from the doorbell alone */
		atomic_store_explicit(&ball, turn + 1, memory_order_relaxed);
		doorbell_ring(&bells[1 - side]);
	}
	return NULL;
}

/* ---- doorbell, as a litmus test: both sides start together; that the sleeper misses the ball and the bell stays silent is
 * what may never be. Without ThreadSanitizer, whose bookkeeping hides a store buffer. ---- */

static ALONE _Atomic uint64_t arrived;

static void meet(uint64_t *meetings)
{
	*meetings += 2;
	atomic_fetch_add(&arrived, 1);
	for (uint32_t spins = 0; atomic_load(&arrived) < *meetings; spins++)
		if (spins % 1024 == 1023)
			sched_yield();
}

static void *litmus(void *argument)
{
	uint32_t side = *(uint32_t *)argument;
	uint32_t random = 99u + side;
	uint64_t meetings = 0;
	for (uint64_t turn = 1; turn <= iterations; turn++) {
		bool saw = true;
		/* The sleeper has the ball at hand, and its own word is far away: so its store takes long to be seen, and its
		 * look does not. */
		meet(&meetings);
		if (side == 0)
			saw = atomic_load_explicit(&ball, memory_order_relaxed) < turn;
		else
			atomic_fetch_add(&sleeping[0], 0);
		meet(&meetings);
		for (uint32_t spin = random_next(&random) % 30u; spin > 0; spin--)
			atomic_load_explicit(&finished, memory_order_relaxed);
		if (side == 0) {
			doorbell_prepare(&bells[0]);
			saw = atomic_load_explicit(&ball, memory_order_relaxed) == turn;
		} else {
			atomic_store_explicit(&ball, turn, memory_order_relaxed);
			doorbell_ring(&bells[0]);
		}
		meet(&meetings);
		if (side == 0) {
			struct pollfd poll_fd = {.fd = bells[0].fd, .events = POLLIN};
			CHECK(saw || poll(&poll_fd, 1, 0) == 1, "lost wake-up in turn %llu", (unsigned long long)turn);
			doorbell_awake(&bells[0]);
		}
	}
	return NULL;
}

static void run(uint32_t count, void *(*bodies[])(void *), void *arguments[])
{
	pthread_t threads[4];
	for (uint32_t i = 0; i < count; i++)
		CHECK(pthread_create(&threads[i], NULL, bodies[i], arguments[i]) == 0, "thread");
	for (uint32_t i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	iterations = argc > 2 ? strtoull(argv[2], NULL, 10) : 100000;
	void *none[4] = {0};
	if (strcmp(what, "ring") == 0) {
		ring_create(&ring_shared, RING_SIZE);
		run(2, (void *(*[])(void *)){ring_produce, ring_consume}, none);
	} else if (strcmp(what, "slot") == 0) {
		run(3, (void *(*[])(void *)){slot_write, slot_read, slot_read}, none);
	} else if (strcmp(what, "bell") == 0 || strcmp(what, "litmus") == 0) {
		uint32_t sides[2] = {0, 1};
		for (uint32_t i = 0; i < 2; i++)
			bells[i] = (struct doorbell){.sleeping = &sleeping[i], .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
		void *(*body)(void *) = what[0] == 'b' ? bell_player : litmus;
		run(2, (void *(*[])(void *)){body, body}, (void *[]){&sides[0], &sides[1]});
	} else {
		fprintf(stderr, "usage: threads ring|slot|bell|litmus [iterations]\n");
		return 2;
	}
	return 0;
}
