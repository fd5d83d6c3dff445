/* SPDX-License-Identifier: Apache-2.0
 *
 * F24: the owner of a shared ring or table killed at any instruction. Two ways, both in processes:
 *   kills random N   a busy writer, producer and consumer are each SIGKILLed N times at a random moment, while this process
 *                    reads (or produces) all the time
 *   kills steps      single-steps one write, one push and one consumption, and after every instruction looks at the memory as a
 *                    reader would, and as the successor of a process killed right there */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
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

#define RING_SIZE 1024u
struct shared {
	struct vector_slot slot;
	struct ring_shared ring;
	_Alignas(128) uint8_t ring_bytes[RING_SIZE];
	_Alignas(
	    128) _Atomic uint64_t consumed; /* number of the record that the consumer took last, stored before its release */
	_Atomic uint32_t broken;            /* a child that found something wrong says so here */
};
static struct shared *shared;

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint32_t random_next(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

static void value_of(uint64_t number, struct vector *value)
{
	for (uint32_t i = 0; i < REGIONS_MAX; i++)
		value->sequence[i] = number * 17u + i;
}

/* The number of a whole value; ends the program at a torn one. */
static uint64_t slot_number(const struct vector_slot *slot)
{
	struct vector value;
	vector_slot_read(slot, &value);
	if (value.sequence[1] == 0)
		return 0; /* never written */
	CHECK(value.sequence[0] % 17u == 0, "torn: %llu", (unsigned long long)value.sequence[0]);
	for (uint32_t i = 0; i < REGIONS_MAX; i++)
		CHECK(value.sequence[i] == value.sequence[0] + i, "torn at place %u", i);
	return value.sequence[0] / 17u;
}

static uint32_t record_size(uint64_t number)
{
	return 8u + (uint32_t)(number * 2654435761u % 400u);
}

static int record_push(struct ring *ring, uint64_t number)
{
	uint8_t record[512];
	uint32_t size = record_size(number);
	memcpy(record, &number, sizeof(number));
	memset(record + 8, (int)(number & 0xffu), size - 8);
	return ring_push(ring, 7, record, size);
}

/* 0, or the line where a record was not as it was pushed. */
static int record_check(uint32_t kind, const uint8_t *bytes, uint32_t size, uint64_t *number)
{
	if (kind != 7 || size < 8)
		return __LINE__;
	memcpy(number, bytes, sizeof(*number));
	if (size != record_size(*number))
		return __LINE__;
	for (uint32_t i = 8; i < size; i++)
		if (bytes[i] != (*number & 0xffu))
			return __LINE__;
	return 0;
}

static pid_t child_start(void (*body)(uint64_t start), uint64_t start)
{
	pid_t parent = getpid();
	pid_t child = fork();
	CHECK(child >= 0, "fork: %s", strerror(errno));
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		body(start);
		_exit(1);
	}
	return child;
}

static void child_kill(pid_t child)
{
	int status;
	kill(child, SIGKILL);
	CHECK(waitpid(child, &status, 0) == child, "wait: %s", strerror(errno));
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "the child ended by itself (status %d, line %u)", status,
	    atomic_load(&shared->broken));
}

static void writer_body(uint64_t start)
{
	for (uint64_t number = start;; number++) {
		struct vector value;
		value_of(number, &value);
		vector_slot_write(&shared->slot, &value);
	}
}

static uint32_t torn_left; /* kills that left a copy half written: shows that the test hits what it is for */

static void random_slot(uint32_t kills, uint32_t *random)
{
	uint64_t last = 0, reads = 0;
	for (uint32_t round = 0; round < kills; round++) {
		pid_t child = child_start(writer_body, last + 1);
		uint64_t end = now_ns() + 200000u + random_next(random) % 300000u;
		while (now_ns() < end) {
			uint64_t number = slot_number(&shared->slot);
			CHECK(number >= last, "round %u: went back from %llu to %llu", round, (unsigned long long)last,
			    (unsigned long long)number);
			last = number;
			reads++;
		}
		child_kill(child);
		uint64_t sequences =
		    atomic_load(&shared->slot.copies[0].sequence) | atomic_load(&shared->slot.copies[1].sequence);
		torn_left += (uint32_t)(sequences & 1u);
		uint64_t number = slot_number(&shared->slot);
		CHECK(number >= last, "after kill %u: went back", round);
		last = number;
	}
	CHECK(last > kills && torn_left > 0, "no kill hit a write: %llu values, %u torn", (unsigned long long)last, torn_left);
	printf("vector slot: %u kills, %u of them in the middle of a write, %llu values, %llu reads whole and in order\n",
	    kills, torn_left, (unsigned long long)last, (unsigned long long)reads);
}

static void producer_body(uint64_t start)
{
	struct ring ring;
	if (ring_attach(&ring, &shared->ring, shared->ring_bytes, RING_SIZE) != 0)
		_exit(2);
	for (uint64_t number = start;;) {
		int code = record_push(&ring, number);
		if (code == 0)
			number++;
		else if (code != ERR_FULL)
			_exit(3);
	}
}

static void random_producer(uint32_t kills, uint32_t *random)
{
	struct ring ring;
	uint64_t records = 0;
	ring_create(&shared->ring, RING_SIZE);
	CHECK(ring_attach(&ring, &shared->ring, shared->ring_bytes, RING_SIZE) == 0, "attach");
	for (uint64_t round = 1; round <= kills; round++) {
		/* High bits: the producer; low bits: its records from 1, without a gap up to the one that was cut off. */
		pid_t child = child_start(producer_body, round << 32 | 1);
		uint64_t expected = round << 32 | 1;
		/* Each second one after it has written something, however long it takes to start. */
		uint64_t after_ns = 200000u + random_next(random) % 300000u;
		uint64_t end = round % 2 ? now_ns() + after_ns : UINT64_MAX;
		bool killed = false;
		for (;;) {
			if (!killed && now_ns() >= end) {
				child_kill(child);
				killed = true;
			}
			uint32_t kind, size;
			const uint8_t *bytes;
			int code = ring_peek(&ring, &kind, &bytes, &size);
			if (code == ERR_EMPTY && killed)
				break;
			if (code == ERR_EMPTY)
				continue;
			CHECK(code == 0, "round %llu: %d", (unsigned long long)round, code);
			uint64_t number = 0;
			int line = record_check(kind, bytes, size, &number);
			CHECK(line == 0 && number == expected, "round %llu, line %d: got %llx, expected %llx",
			    (unsigned long long)round, line, (unsigned long long)number, (unsigned long long)expected);
			ring_release(&ring);
			expected++;
			records++;
			end = end == UINT64_MAX ? now_ns() + after_ns : end;
		}
	}
	CHECK(records > kills, "only %llu records", (unsigned long long)records);
	printf("ring producer: %u kills, %llu records whole and without a gap\n", kills, (unsigned long long)records);
}

static void consumer_body(uint64_t start)
{
	(void)start;
	struct ring ring;
	if (ring_attach(&ring, &shared->ring, shared->ring_bytes, RING_SIZE) != 0)
		_exit(2);
	for (;;) {
		uint32_t kind, size;
		const uint8_t *bytes;
		int code = ring_peek(&ring, &kind, &bytes, &size);
		if (code == ERR_EMPTY)
			continue;
		uint64_t number = 0;
		int line = code != 0 ? __LINE__ : record_check(kind, bytes, size, &number);
		/* The same again (killed between the two stores) or the next one; nothing else. */
		uint64_t before = atomic_load(&shared->consumed);
		if (line == 0 && number != before && number != before + 1)
			line = __LINE__;
		if (line != 0) {
			atomic_store(&shared->broken, (uint32_t)line);
			_exit(4);
		}
		atomic_store(&shared->consumed, number);
		ring_release(&ring);
	}
}

static void random_consumer(uint32_t kills, uint32_t *random)
{
	struct ring ring;
	uint64_t number = 1;
	ring_create(&shared->ring, RING_SIZE);
	atomic_store(&shared->consumed, 0);
	CHECK(ring_attach(&ring, &shared->ring, shared->ring_bytes, RING_SIZE) == 0, "attach");
	for (uint32_t round = 0; round < kills; round++) {
		pid_t child = child_start(consumer_body, 0);
		/* Each second one after it has taken something, however long it takes to start. */
		uint64_t after_ns = 200000u + random_next(random) % 300000u, before = atomic_load(&shared->consumed);
		uint64_t end = round % 2 ? now_ns() + after_ns : UINT64_MAX;
		while (now_ns() < end) {
			int code = record_push(&ring, number);
			CHECK(code == 0 || code == ERR_FULL, "%d", code);
			number += code == 0;
			if (end == UINT64_MAX && atomic_load(&shared->consumed) > before + 1)
				end = now_ns() + after_ns;
			CHECK(!atomic_load(&shared->broken), "round %u: line %u", round, atomic_load(&shared->broken));
		}
		child_kill(child);
	}
	CHECK(atomic_load(&shared->consumed) > kills, "only %llu records", (unsigned long long)atomic_load(&shared->consumed));
	printf("ring consumer: %u kills, %llu records in order, none lost\n", kills,
	    (unsigned long long)atomic_load(&shared->consumed));
}

/* ---- every instruction ---- */

/* Runs body in a traced child, calling look after each of its instructions. Returns how many; 0: tracing is not allowed here.
 */
static uint64_t step_through(void (*body)(void), void (*look)(void))
{
	pid_t child = fork();
	CHECK(child >= 0, "fork: %s", strerror(errno));
	if (child == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
			_exit(77);
		raise(SIGSTOP);
		body();
		_exit(0);
	}
	int status;
	uint64_t steps = 0;
	CHECK(waitpid(child, &status, 0) == child, "wait");
	while (WIFSTOPPED(status)) {
		CHECK(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) == 0, "step: %s", strerror(errno));
		CHECK(waitpid(child, &status, 0) == child, "wait");
		look();
		steps++;
	}
	CHECK(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 77), "child: status %d", status);
	return WEXITSTATUS(status) == 77 ? 0 : steps;
}

static uint64_t step_seen;
static struct shared *copy; /* what a successor works on, so that the traced child goes on undisturbed */

static void step_write(void)
{
	struct vector value;
	value_of(3, &value);
	vector_slot_write(&shared->slot, &value);
}

static void step_write_look(void)
{
	uint64_t number = slot_number(&shared->slot);
	CHECK((number == 2 || number == 3) && number >= step_seen, "saw %llu", (unsigned long long)number);
	step_seen = number;
	memcpy(copy, shared, sizeof(*copy));
	for (uint64_t next = 4; next < 8; next++) {
		struct vector value;
		value_of(next, &value);
		vector_slot_write(&copy->slot, &value);
		CHECK(slot_number(&copy->slot) == next, "the successor's value %llu", (unsigned long long)next);
	}
}

/* Expects exactly the records first..last in the ring of *copy, with a consumer of its own. */
static void expect_records(uint64_t first, uint64_t last)
{
	struct ring ring;
	CHECK(ring_attach(&ring, &copy->ring, copy->ring_bytes, RING_SIZE) == 0, "attach");
	for (uint64_t expected = first;; expected++) {
		uint32_t kind, size;
		const uint8_t *bytes;
		uint64_t number = 0;
		int code = ring_peek(&ring, &kind, &bytes, &size);
		if (expected > last) {
			CHECK(code == ERR_EMPTY, "%d", code);
			return;
		}
		CHECK(code == 0 && record_check(kind, bytes, size, &number) == 0 && number == expected, "expected %llu",
		    (unsigned long long)expected);
		ring_release(&ring);
	}
}

static void step_push(void)
{
	struct ring ring;
	if (ring_attach(&ring, &shared->ring, shared->ring_bytes, RING_SIZE) != 0 || record_push(&ring, 51) != 0)
		_exit(1);
}

static void step_push_look(void)
{
	struct ring successor;
	memcpy(copy, shared, sizeof(*copy));
	uint64_t last = atomic_load(&copy->ring.tail) == step_seen ? 50 : 51; /* step_seen: the tail before */
	expect_records(50, last);
	memcpy(copy, shared, sizeof(*copy));
	CHECK(ring_attach(&successor, &copy->ring, copy->ring_bytes, RING_SIZE) == 0, "attach");
	CHECK(record_push(&successor, last + 1) == 0, "push");
	expect_records(50, last + 1);
}

static void step_consume(void)
{
	struct ring ring;
	uint32_t kind, size;
	const uint8_t *bytes;
	if (ring_attach(&ring, &shared->ring, shared->ring_bytes, RING_SIZE) != 0)
		_exit(1);
	for (uint64_t number = 50; number <= 51; number++) {
		if (ring_peek(&ring, &kind, &bytes, &size) != 0)
			_exit(1);
		ring_release(&ring);
	}
}

static uint64_t first_left;
static void step_consume_look(void)
{
	struct ring ring;
	uint32_t kind, size;
	const uint8_t *bytes;
	uint64_t number = 52;
	memcpy(copy, shared, sizeof(*copy));
	CHECK(ring_attach(&ring, &copy->ring, copy->ring_bytes, RING_SIZE) == 0, "attach");
	int code = ring_peek(&ring, &kind, &bytes, &size);
	CHECK(code == ERR_EMPTY || (code == 0 && record_check(kind, bytes, size, &number) == 0), "%d", code);
	CHECK(number == first_left || number == first_left + 1, "from %llu to %llu", (unsigned long long)first_left,
	    (unsigned long long)number);
	first_left = number;
	memcpy(copy, shared, sizeof(*copy));
	expect_records(number, 51);
}

static int steps(void)
{
	struct vector value;
	memset(shared, 0, sizeof(*shared));
	for (uint64_t number = 1; number <= 2; number++) {
		value_of(number, &value);
		vector_slot_write(&shared->slot, &value);
	}
	uint64_t count = step_through(step_write, step_write_look);
	if (count == 0) {
		fprintf(stderr, "ptrace is not permitted here\n");
		return 77;
	}
	CHECK(step_seen == 3, "the write was never seen");
	printf("vector slot: killed after each of %llu instructions\n", (unsigned long long)count);

	/* Record 50 in front, so near the end that record 51 has to come behind padding. */
	struct ring producer, consumer;
	uint32_t kind, size;
	const uint8_t *bytes;
	ring_create(&shared->ring, RING_SIZE);
	CHECK(ring_attach(&producer, &shared->ring, shared->ring_bytes, RING_SIZE) == 0, "attach");
	CHECK(ring_attach(&consumer, &shared->ring, shared->ring_bytes, RING_SIZE) == 0, "attach");
	while (RING_SIZE - (producer.tail & (RING_SIZE - 1)) > record_size(50) + 24u) {
		CHECK(ring_push(&producer, 7, "", 0) == 0 && ring_peek(&consumer, &kind, &bytes, &size) == 0, "fill");
		ring_release(&consumer);
	}
	CHECK(record_push(&producer, 50) == 0, "push");
	step_seen = atomic_load(&shared->ring.tail);
	count = step_through(step_push, step_push_look);
	CHECK(atomic_load(&shared->ring.tail) / RING_SIZE == 1, "the record did not go round the end");
	printf("ring producer: killed after each of %llu instructions\n", (unsigned long long)count);

	first_left = 50;
	count = step_through(step_consume, step_consume_look);
	CHECK(first_left == 52, "left at %llu", (unsigned long long)first_left);
	printf("ring consumer: killed after each of %llu instructions\n", (unsigned long long)count);
	return 0;
}

int main(int argc, char **argv)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(shared != MAP_FAILED, "mmap");
	copy = aligned_alloc(128, sizeof(*copy));
	CHECK(copy != NULL, "memory");
	if (argc == 3 && strcmp(argv[1], "random") == 0) {
		uint32_t random = (uint32_t)now_ns() | 1u;
		uint32_t kills = (uint32_t)strtoul(argv[2], NULL, 10);
		printf("seed %u\n", random);
		random_slot(kills, &random);
		random_producer(kills, &random);
		random_consumer(kills, &random);
		return 0;
	}
	if (argc == 2 && strcmp(argv[1], "steps") == 0)
		return steps();
	fprintf(stderr, "usage: kills random N | steps\n");
	return 2;
}
