/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/ring.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/error.h"

#define SIZE 1024u
static struct ring_shared shared;
static _Alignas(64) uint8_t bytes[SIZE];

static void attach(struct ring *ring)
{
	cr_assert_eq(ring_attach(ring, &shared, bytes, SIZE), 0);
}

static void create(void)
{
	memset(bytes, 0xa5, sizeof(bytes));
	ring_create(&shared, SIZE);
}

TestSuite(ring, .init = create);

Test(ring, records_come_out_as_they_went_in_whatever_their_sizes)
{
	struct ring producer, consumer;
	attach(&producer);
	attach(&consumer);
	uint32_t in = 0, out = 0, random = 1;
	for (uint32_t round = 0; round < 200000; round++) {
		random = random * 1664525u + 1013904223u;
		if (random >> 31 != 0) {
			uint8_t record[500];
			uint32_t size = in * 7919u % 500u;
			memset(record, (int)(in & 0xffu), size);
			int code = ring_push(&producer, in, record, size);
			cr_assert(code == 0 || code == ERR_FULL);
			in += code == 0;
		} else {
			uint32_t kind, size;
			const uint8_t *at;
			int code = ring_peek(&consumer, &kind, &at, &size);
			if (code == ERR_EMPTY) {
				cr_assert_eq(in, out);
				continue;
			}
			cr_assert_eq(code, 0);
			cr_assert_eq(kind, out);
			cr_assert_eq(size, out * 7919u % 500u);
			cr_assert_eq((uintptr_t)at % 8, 0);
			for (uint32_t i = 0; i < size; i++)
				cr_assert_eq(at[i], out & 0xffu);
			ring_release(&consumer);
			out++;
		}
	}
	cr_assert_gt(out, 50000);
}

Test(ring, full_is_refused_and_nothing_is_overwritten)
{
	struct ring producer, consumer;
	uint8_t record[56] = {0};
	attach(&producer);
	attach(&consumer);
	for (uint32_t i = 0; i < SIZE / 64; i++)
		cr_assert_eq(ring_push(&producer, i, record, 56), 0);
	cr_assert_eq(ring_free(&producer), 0);
	cr_assert_eq(ring_push(&producer, 99, record, 0), ERR_FULL);
	uint32_t kind, size;
	const uint8_t *at;
	cr_assert_eq(ring_peek(&consumer, &kind, &at, &size), 0);
	cr_assert_eq(kind, 0);
	cr_assert_eq(ring_push(&producer, 99, record, 0), ERR_FULL, "room was given before the release");
	ring_release(&consumer);
	cr_assert_eq(ring_free(&producer), 64);
	cr_assert_eq(ring_push(&producer, 99, record, 56), 0);
}

Test(ring, the_largest_record_fits_an_empty_ring_wherever_it_stands)
{
	struct ring producer, consumer;
	uint8_t record[SIZE] = {0};
	uint32_t kind, size;
	const uint8_t *at;
	attach(&producer);
	attach(&consumer);
	for (uint32_t i = 0; i < SIZE; i++) {
		cr_assert_eq(ring_push(&producer, 1, record, SIZE / 2 - 8), 0, "at %u", i);
		cr_assert_eq(ring_peek(&consumer, &kind, &at, &size), 0);
		ring_release(&consumer);
		cr_assert_eq(ring_push(&producer, 1, record, 0), 0); /* moves on by 8 */
		cr_assert_eq(ring_peek(&consumer, &kind, &at, &size), 0);
		ring_release(&consumer);
	}
	cr_assert_eq(ring_push(&producer, 1, record, SIZE / 2 - 7), ERR_USAGE);
	cr_assert_eq(ring_push(&producer, 1, record, UINT32_MAX), ERR_USAGE);
}

Test(ring, F24_consumer_killed_before_release_meets_the_record_again)
{
	struct ring producer, consumer;
	uint32_t kind, size;
	const uint8_t *at;
	attach(&producer);
	cr_assert_eq(ring_push(&producer, 5, "abc", 3), 0);
	attach(&consumer);
	cr_assert_eq(ring_peek(&consumer, &kind, &at, &size), 0);
	attach(&consumer);
	cr_assert_eq(ring_peek(&consumer, &kind, &at, &size), 0);
	cr_assert(kind == 5 && size == 3 && memcmp(at, "abc", 3) == 0);
	ring_release(&consumer);
	attach(&consumer);
	cr_assert_eq(ring_peek(&consumer, &kind, &at, &size), ERR_EMPTY);
}

Test(ring, discard_forgets_what_is_there_and_only_that)
{
	struct ring producer, consumer;
	uint32_t kind, size;
	const uint8_t *at;
	attach(&producer);
	attach(&consumer);
	for (uint32_t i = 0; i < 3; i++)
		cr_assert_eq(ring_push(&producer, i, "x", 1), 0);
	ring_discard_all(&consumer);
	cr_assert_eq(ring_peek(&consumer, &kind, &at, &size), ERR_EMPTY);
	cr_assert_eq(ring_free(&producer), SIZE);
	cr_assert_eq(ring_push(&producer, 9, "y", 1), 0);
	cr_assert_eq(ring_peek(&consumer, &kind, &at, &size), 0);
	cr_assert_eq(kind, 9);
}

Test(ring, what_makes_no_sense_is_refused_not_followed)
{
	struct ring producer, consumer;
	uint32_t kind, size;
	const uint8_t *at;
	const uint32_t sizes[] = {4, 16, SIZE, 0x7fffffff, UINT32_MAX - 8, UINT32_MAX};
	attach(&producer);
	cr_assert_eq(ring_push(&producer, 1, "x", 1), 0);
	for (uint32_t i = 1; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		memcpy(bytes, &sizes[i], 4);
		attach(&consumer);
		cr_assert_eq(ring_peek(&consumer, &kind, &at, &size), ERR_CORRUPT, "size %u", sizes[i]);
	}
	/* padding that does not reach the end */
	const uint32_t padding[2] = {1, RING_KIND_PADDING};
	memcpy(bytes, padding, sizeof(padding));
	attach(&consumer);
	cr_assert_eq(ring_peek(&consumer, &kind, &at, &size), ERR_CORRUPT);

	/* a record over the end */
	create();
	attach(&producer);
	attach(&consumer);
	uint8_t record[SIZE / 2] = {0};
	for (uint32_t i = 0; i < 2; i++)
		cr_assert_eq(ring_push(&producer, 1, record, SIZE / 2 - 8), 0);
	cr_assert_eq(ring_peek(&consumer, &kind, &at, &size), 0);
	ring_release(&consumer);
	cr_assert_eq(ring_push(&producer, 1, record, SIZE / 4), 0);
	const uint32_t over = SIZE / 2;
	memcpy(bytes + SIZE / 2, &over, 4);
	attach(&consumer);
	cr_assert_eq(ring_peek(&consumer, &kind, &at, &size), ERR_CORRUPT);

	struct ring ring;
	const uint64_t tails[] = {SIZE + 8, 12, UINT64_MAX - 7};
	for (uint32_t i = 0; i < 3; i++) {
		create();
		attach(&consumer);
		atomic_store(&shared.tail, tails[i]);
		cr_assert_eq(ring_peek(&consumer, &kind, &at, &size), ERR_CORRUPT);
		cr_assert_eq(ring_attach(&ring, &shared, bytes, SIZE), ERR_CORRUPT);
	}
	create();
	attach(&producer);
	atomic_store(&shared.head, 8);
	for (uint32_t i = 0; i < SIZE / 8; i++)
		ring_push(&producer, 1, "", 0);
	create();
	cr_assert_eq(ring_attach(&ring, &shared, bytes, SIZE / 2), ERR_CORRUPT, "another capacity");
	cr_assert_eq(ring_attach(&ring, &shared, bytes, 0), ERR_CORRUPT);
}

Test(ring, producer_does_not_believe_a_head_ahead_of_its_tail)
{
	struct ring producer;
	uint8_t record[56] = {0};
	attach(&producer);
	for (uint32_t i = 0; i < SIZE / 64; i++)
		cr_assert_eq(ring_push(&producer, i, record, 56), 0);
	atomic_store(&shared.head, SIZE * 2);
	cr_assert_eq(ring_push(&producer, 1, record, 56), ERR_CORRUPT);
	cr_assert_eq(ring_free(&producer), 0);
}
