/* SPDX-License-Identifier: Apache-2.0
 *
 * E9, E10: the router's clients, with a clock that only the test moves. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "actors/router/clients.h"

#define MANY  256u
#define MS    1000000ull
#define LARGE (1024u * 1024)

static struct clients clients;
static struct clients_work works[MANY * 64];
static uint32_t works_used;

static void set_up(void)
{
	cr_assert_eq(clients_init(&clients), 0);
	works_used = 0;
}
static void tear_down(void)
{
	clients_deinit(&clients);
}
TestSuite(clients, .init = set_up, .fini = tear_down);

static struct client *client_of(uint32_t number)
{
	struct client *client = clients_find(&clients, (const uint8_t *)&number, sizeof number, true);
	cr_assert(client);
	return client;
}

static void ask(struct client *client)
{
	struct clients_work *work = &works[works_used++];
	cr_assert_leq(works_used, sizeof works / sizeof *works);
	work->size = 100;
	cr_assert(clients_admit(&clients, client, work->size));
	clients_push(&clients, client, work);
}

/* 256 clients, each with a question that never ends; one asks for a row (5 us) each millisecond. */
Test(clients, E9_a_short_question_never_waits_longer_than_10_ms_beside_256_long_ones)
{
	struct client *quick = client_of(MANY), *turn;
	uint64_t now_ns = 0, asked_ns = 0, longest_ns = 0, slice_ns, next_ns = 50 * MS, served[MANY] = {0};
	uint32_t answered = 0;
	for (uint32_t i = 0; i < MANY; i++)
		ask(client_of(i));
	while (now_ns < 2000 * MS && answered < 1000) {
		if (!quick->first && now_ns >= next_ns) {
			quick = client_of(MANY);
			ask(quick);
			asked_ns = now_ns;
		}
		turn = clients_next(&clients, &slice_ns);
		cr_assert(turn);
		if (turn == quick) {
			clients_pop(&clients, quick);
			now_ns += 5000;
			clients_charge(&clients, turn, 5000);
			longest_ns = now_ns - asked_ns > longest_ns ? now_ns - asked_ns : longest_ns;
			next_ns = now_ns + MS;
			answered++;
		} else {
			/* A little longer than it may: the clock is not looked at after each row. */
			now_ns += slice_ns + 5000;
			clients_charge(&clients, turn, slice_ns + 5000);
			served[clients_index(&clients, turn) % MANY] += slice_ns;
		}
	}
	cr_assert_gt(answered, 150);
	cr_assert_leq(longest_ns, 10 * MS, "%llu us", (unsigned long long)longest_ns / 1000);
}

/* Whoever pipelines has no more of the time than whoever asks once. */
Test(clients, E9_time_is_shared_by_clients_and_not_by_questions)
{
	struct client *turn;
	uint64_t slice_ns, used[3] = {0};
	for (uint32_t i = 0; i < 64; i++)
		ask(client_of(0));
	ask(client_of(1));
	ask(client_of(2));
	for (uint32_t i = 0; i < 3000; i++) {
		turn = clients_next(&clients, &slice_ns);
		/* The second one's pieces are large: what it takes too much it waits out. */
		uint64_t took_ns = turn == client_of(1) ? slice_ns + 3 * MS : slice_ns;
		used[turn == client_of(0) ? 0 : turn == client_of(1) ? 1 : 2] += took_ns;
		clients_charge(&clients, turn, took_ns);
	}
	for (int i = 1; i < 3; i++)
		cr_assert(used[i] > used[0] / 100 * 98 && used[i] < used[0] / 100 * 102 + 4 * MS,
		    "client %d: %llu us beside %llu us", i, (unsigned long long)used[i] / 1000,
		    (unsigned long long)used[0] / 1000);
}

/* New clients without end, as somebody makes them who connects again for each question, do not stop those in the round. */
Test(clients, E9_new_clients_starve_nobody)
{
	struct client *old = client_of(0), *turn;
	uint64_t slice_ns;
	uint32_t turns = 0;
	ask(old);
	clients_charge(&clients, clients_next(&clients, &slice_ns), CLIENTS_SLICE_MAX_NS);
	for (uint32_t i = 1; i <= 900; i++) {
		ask(client_of(i));
		turn = clients_next(&clients, &slice_ns);
		turns += turn == old;
		if (turn != old)
			clients_pop(&clients, turn);
		clients_charge(&clients, turn, slice_ns);
	}
	cr_assert_geq(turns, 50, "%u turns", turns);
}

Test(clients, E9_long_questions_take_places_in_the_order_in_which_they_came)
{
	struct client *turn;
	uint64_t slice_ns;
	for (uint32_t i = 0; i < 4; i++)
		ask(client_of(i));
	for (uint32_t i = 0; i < 4; i++) {
		turn = clients_next(&clients, &slice_ns);
		clients_wait(&clients, turn);
		clients_charge(&clients, turn, 1000);
	}
	cr_assert_null(clients_next(&clients, &slice_ns));
	cr_assert_not(clients_have_work(&clients));
	for (uint32_t i = 0; i < 4; i++) {
		clients_place_freed(&clients);
		turn = clients_next(&clients, &slice_ns);
		cr_assert_eq(turn, client_of(i));
		cr_assert(turn->has_reservation && clients.reservations == 1);
		clients_pop(&clients, turn);
		clients_remove(&clients, turn);
		cr_assert_eq(clients.reservations, 0);
	}
}

Test(clients, E9_questions_that_wait_are_bounded_in_bytes_for_each_and_in_all)
{
	static struct clients_work large[CLIENTS_QUEUED_ALL_MAX / LARGE + 1];
	uint32_t count = 0, clients_used = 0;
	for (; clients_used < 100; clients_used++) {
		struct client *client = client_of(clients_used);
		uint64_t before = clients.queued_bytes;
		while (clients_admit(&clients, client, LARGE)) {
			large[count].size = LARGE;
			clients_push(&clients, client, &large[count++]);
		}
		cr_assert_leq(client->queued_bytes, CLIENTS_QUEUED_MAX);
		if (clients.queued_bytes == before)
			break;
	}
	cr_assert_eq(clients.queued_bytes, CLIENTS_QUEUED_ALL_MAX);
	cr_assert_eq(clients_used, CLIENTS_QUEUED_ALL_MAX / CLIENTS_QUEUED_MAX);
	/* What was taken out makes room. */
	cr_assert(clients_pop(&clients, client_of(0)));
	cr_assert(clients_admit(&clients, client_of(0), LARGE));
}

/* 256 clients that ask for values of 1 MiB and take nothing. */
Test(clients, E10_unsent_bytes_are_bounded_for_each_and_in_all)
{
	for (uint32_t round = 0; round < 20; round++)
		for (uint32_t i = 0; i < MANY; i++) {
			struct client *client = client_of(i);
			if (clients_leave(&clients, client) == CLIENTS_LEAVE_ANY)
				clients_sent(&clients, client, LARGE + 1000);
			cr_assert_leq(client->unsent_bytes, CLIENTS_UNSENT_MAX + CLIENTS_ANSWER_MAX);
			cr_assert_leq(clients.unsent_bytes, CLIENTS_UNSENT_ALL_MAX);
		}
	/* Somebody who takes what he gets is answered beside them all. */
	cr_assert_neq(clients_leave(&clients, client_of(MANY)), CLIENTS_LEAVE_NONE);
	/* The coordinator's answers have room of their own, with an end. */
	uint32_t passed = 0;
	while (clients_may_pass(&clients, client_of(passed % MANY), LARGE)) {
		clients_sent(&clients, client_of(passed++ % MANY), LARGE);
		cr_assert_leq(clients.unsent_bytes, CLIENTS_PASSED_ALL_MAX);
	}
	cr_assert_gt(passed, 20);
}

Test(clients, E10_one_hoarder_alone_has_its_share_and_goes_on_when_it_takes)
{
	struct client *hoarder = client_of(1);
	uint64_t slice_ns;
	uint32_t sent = 0;
	ask(hoarder);
	for (; clients_leave(&clients, hoarder) != CLIENTS_LEAVE_NONE; sent++)
		clients_sent(&clients, hoarder, LARGE);
	cr_assert_eq(sent, CLIENTS_UNSENT_MAX / LARGE);
	cr_assert_eq(clients_next(&clients, &slice_ns), hoarder);
	clients_stall(&clients, hoarder, CLIENTS_LEAVE_SMALL);
	cr_assert_not(clients_have_work(&clients), "the loop would not sleep");
	clients_unstall(&clients);
	cr_assert_null(clients_next(&clients, &slice_ns));
	/* The first to come back is still in the encoder; with the second one the first is gone. */
	clients_given_back(&clients, hoarder, LARGE);
	cr_assert_eq(hoarder->unsent_bytes, sent * (LARGE + CLIENTS_MESSAGE_COST));
	clients_given_back(&clients, hoarder, LARGE);
	cr_assert_eq(hoarder->unsent_bytes, (sent - 1) * (LARGE + CLIENTS_MESSAGE_COST));
	clients_unstall(&clients);
	cr_assert_eq(clients_next(&clients, &slice_ns), hoarder);
}

Test(clients, E10_all_bytes_are_accounted_for_when_the_last_message_is_small)
{
	struct client *client = client_of(1);
	for (int i = 0; i < 5; i++) {
		clients_sent(&clients, client, LARGE);
		clients_sent(&clients, client, 2);
	}
	for (int i = 0; i < 5; i++) {
		clients_given_back(&clients, client, LARGE);
		clients_given_back(&clients, client, 2);
	}
	cr_assert(client->unsent_bytes == 0 && client->unsent_messages == 0 && clients.unsent_bytes == 0);
	uint32_t index = clients_index(&clients, client), generation = client->generation;
	cr_assert_eq(clients_at(&clients, index, generation), client);
	clients_release(&clients, client);
	cr_assert_null(clients_at(&clients, index, generation));
	cr_assert_neq(client_of(2)->generation, generation, "the next owner of the place is somebody else");
}

Test(clients, E10_a_full_table_gives_its_places_back)
{
	for (uint32_t round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < CLIENTS_MAX; i++)
			clients_sent(&clients, client_of(round * CLIENTS_MAX + i), 1);
		uint32_t more = UINT32_MAX;
		cr_assert_null(clients_find(&clients, (const uint8_t *)&more, sizeof more, true));
		for (uint32_t i = 0; i < CLIENTS_MAX; i++) {
			struct client *client = client_of(round * CLIENTS_MAX + i);
			clients_given_back(&clients, client, 1);
			clients_release(&clients, client);
		}
	}
	cr_assert_eq(clients.unsent_bytes, 0);
}

/* The socket took a large message, and had no room for the empty one behind it. */
Test(clients, E10_a_large_message_with_nothing_behind_it_is_not_counted_for_ever)
{
	struct client *client = client_of(1);
	uint32_t index = clients_index(&clients, client), generation = client->generation;
	clients_sent(&clients, client, LARGE);
	clients_sent(&clients, client, LARGE);
	clients_given_back(&clients, client, LARGE);
	cr_assert_eq(client->unsent_bytes, 2 * (LARGE + CLIENTS_MESSAGE_COST), "the first is in the encoder");
	clients_given_back(&clients, client, LARGE);
	cr_assert_eq(clients.unsent_bytes, 0);
	clients_release(&clients, client);
	cr_assert_null(clients_at(&clients, index, generation), "the place of a client that is gone is never free again");
}

/* Answers of a few bytes cost much more than those. */
Test(clients, E10_small_messages_count_for_what_they_cost)
{
	uint32_t count = 0;
	for (uint32_t i = 0; clients_leave(&clients, client_of(i)) != CLIENTS_LEAVE_NONE; i++)
		while (clients_leave(&clients, client_of(i)) != CLIENTS_LEAVE_NONE) {
			clients_sent(&clients, client_of(i), 20);
			count++;
		}
	cr_assert_leq((uint64_t)count * (CLIENTS_MESSAGE_COST + 20), CLIENTS_UNSENT_ALL_MAX + 1000);
	cr_assert_gt(count, 400000);
}

/* Eight who take nothing must not have the places of all long questions reserved for them. */
Test(clients, E9_who_is_stalled_gives_its_place_to_the_next)
{
	uint64_t slice_ns;
	for (uint32_t i = 0; i < 2; i++) {
		ask(client_of(i));
		clients_wait(&clients, clients_next(&clients, &slice_ns));
	}
	clients_place_freed(&clients);
	struct client *first = clients_next(&clients, &slice_ns);
	cr_assert(first == client_of(0) && first->has_reservation);
	clients_stall(&clients, first, CLIENTS_LEAVE_ANY);
	cr_assert(!first->has_reservation && clients.reservations == 1);
	struct client *second = clients_next(&clients, &slice_ns);
	cr_assert(second == client_of(1) && second->has_reservation);
}

/* A long answer needs more room than a short one: until then the loop sleeps. */
Test(clients, E10_who_is_stalled_for_a_long_answer_does_not_keep_the_loop_busy)
{
	struct client *asker = client_of(1000);
	uint64_t slice_ns;
	uint32_t i = 0;
	ask(asker);
	while (clients_leave(&clients, asker) == CLIENTS_LEAVE_ANY)
		clients_sent(&clients, client_of(i++ % 400), LARGE / 4);
	cr_assert_eq(clients_leave(&clients, asker), CLIENTS_LEAVE_SMALL);
	clients_stall(&clients, clients_next(&clients, &slice_ns), CLIENTS_LEAVE_ANY);
	clients_unstall(&clients);
	cr_assert_not(clients_have_work(&clients), "it would be stalled again at once, and again");
	for (uint32_t j = 300; j < 320; j++) /* who have one message each */
		clients_given_back(&clients, client_of(j), LARGE / 4);
	clients_unstall(&clients);
	cr_assert_eq(clients_next(&clients, &slice_ns), asker);
}
