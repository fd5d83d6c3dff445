/* SPDX-License-Identifier: Apache-2.0
 *
 * E10: messages lent to a socket: each comes back once, with what it was counted as, and none holds more memory than it counts
 * for. */
#include <criterion/criterion.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime/lend.h"
#include "tests/unit/runtime/fixture.h"

#define MESSAGES 500u

static char directory[128];
static void *context, *from, *to, *out, *taker;
static struct lender lender;
static struct error_context error;
static struct {
	uint32_t count, in_order;
	size_t bytes;
} back;

static void pair_open(void **bound, void **connected, const char *name, uint32_t receive_high_water)
{
	char endpoint[200];
	struct socket_options options = {.receive_high_water = receive_high_water};
	snprintf(endpoint, sizeof endpoint, "ipc://%s/%s", directory, name);
	cr_assert_eq(socket_bind(bound, context, ZMQ_DEALER, endpoint, &options, &error), 0, "%s", error.text);
	cr_assert_eq(socket_connect(connected, context, ZMQ_DEALER, endpoint, NULL, &error), 0, "%s", error.text);
}
static void set_up(void)
{
	scratch_make(directory);
	context = socket_context_new();
	pair_open(&to, &from, "in", 0);
	pair_open(&taker, &out, "out", 1); /* which has few messages in buffers of this process, too */
}
static void tear_down(void)
{
	socket_context_free(context);
	lend_collect(&lender, NULL, NULL);
	scratch_remove(directory);
}
TestSuite(lend, .init = set_up, .fini = tear_down);

static void count_back(void *self, uint32_t owner, uint32_t tag, size_t size)
{
	(void)self;
	back.in_order += owner == back.count && tag == owner + 1;
	back.count++;
	back.bytes += size;
}

/* Each alone, so that it is in a buffer of its own. */
static void receive_one(struct message *message, size_t size)
{
	static uint8_t bytes[20000];
	memset(bytes, 'x', size);
	while (socket_send(from, NULL, 0, bytes, size) != 0)
		usleep(1000);
	while (socket_receive(to, message, false) == ERR_EMPTY)
		usleep(20);
	cr_assert_eq(message_size(message), size);
}

static int lend_one(size_t size, uint32_t number)
{
	struct message message;
	int code;
	receive_one(&message, size);
	while ((code = lend_message(&lender, out, NULL, 0, &message, number, number + 1)) == ERR_OVERLOADED && number == 0)
		usleep(1000); /* not yet connected */
	cr_assert(code == 0 || message_size(&message) == size, "taken away, and not sent");
	message_close(&message);
	return code;
}

Test(lend, E10_a_small_message_does_not_hold_the_buffer_that_it_came_in)
{
	cr_assert_eq(lend_one(100, 0), 0);
	size_t before = mallinfo2().uordblks;
	for (uint32_t i = 1; i < MESSAGES; i++)
		cr_assert_eq(lend_one(100, i), 0);
	size_t grown = mallinfo2().uordblks - before;
	cr_assert_leq((int64_t)grown, MESSAGES * 1024, "%zu bytes for %u messages of 100", grown, MESSAGES);
}

/* Sizes on both sides of the one from which on a body is handed over and not copied. */
Test(lend, E10_what_was_lent_comes_back_once_and_in_order)
{
	static const size_t sizes[] = {1, 100, LEND_COPIED_MAX, LEND_COPIED_MAX + 1, 20000};
	size_t bytes = 0;
	uint32_t count = 0;
	for (; count < 50; count++) {
		cr_assert_eq(lend_one(sizes[count % 5], count), 0);
		bytes += sizes[count % 5];
	}
	for (uint32_t taken = 0; taken < 25;) {
		struct message message;
		if (socket_receive(taker, &message, false) != 0)
			continue;
		cr_assert_eq(message_size(&message), sizes[taken++ % 5]);
		cr_assert_eq(message_bytes(&message)[0], 'x');
		message_close(&message);
	}
	/* The rest with the connection, at the latest. */
	socket_close(taker);
	socket_close(out);
	for (int i = 0; i < 5000 && back.count < count; i++) {
		lend_collect(&lender, count_back, NULL);
		usleep(1000);
	}
	cr_assert_eq(back.count, count);
	cr_assert_eq(back.bytes, bytes);
	cr_assert_eq(back.in_order, count);
}

Test(lend, E10_what_was_refused_stays_with_the_caller_and_is_not_told)
{
	uint32_t sent = 0;
	while (sent < 20000 && lend_one(sent % 2 ? 100 : 9000, sent) == 0)
		sent++;
	cr_assert_lt(sent, 20000, "nothing is ever refused");
	socket_close(out);
	socket_close(taker);
	for (int i = 0; i < 5000 && back.count < sent; i++) {
		lend_collect(&lender, count_back, NULL);
		usleep(1000);
	}
	usleep(20000);
	lend_collect(&lender, count_back, NULL);
	cr_assert_eq(back.count, sent);
}

/* Filled, refused beyond it, and open again by as much as was taken. */
Test(lend, E10_a_budget_is_filled_and_no_more)
{
	static struct lend_budget budget = {.bytes_max = 1000000};
	static uint8_t bytes[50000];
	struct message message;
	uint32_t sent = 0, refused = 0, taken = 0;
	while (lend_within(&budget, out, NULL, 0, bytes, 1) != 0)
		usleep(1000); /* not yet connected */
	for (; refused < 1000; usleep(100)) {
		int code = lend_within(&budget, out, NULL, 0, bytes, sizeof bytes);
		cr_assert(code == 0 || code == ERR_OVERLOADED);
		sent += code == 0;
		refused = code ? refused + 1 : 0; /* in a row: the kernel has taken what it takes */
		cr_assert_leq(budget.unsent_bytes, budget.bytes_max);
		cr_assert_lt(sent, 500, "nothing is ever refused");
	}
	cr_assert_gt(budget.unsent_bytes + sizeof bytes, budget.bytes_max, "refused while there was room");
	for (int i = 0; i < 5000 && taken <= sent; i++) {
		if (socket_receive(taker, &message, false) == 0) {
			message_close(&message);
			taken++;
		} else {
			usleep(1000);
		}
	}
	cr_assert_eq(taken, sent + 1);
	cr_assert_eq(lend_within(&budget, out, NULL, 0, bytes, sizeof bytes), 0);
	socket_close(out);
	for (int i = 0; i < 5000 && budget.unsent_bytes; i++, usleep(1000))
		lend_budget_deinit(&budget);
	cr_assert_eq(budget.unsent_bytes, 0);
}
