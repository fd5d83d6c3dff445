/* SPDX-License-Identifier: Apache-2.0
 *
 * What goes to which client: replies.c with a socket that writes down what it is given. */
#include "actors/coordinator/replies.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "proto/client.pb-c.h"
#include "proto/request.h"
#include "shm/counters.h"

#define SENT_MAX 512u

static struct {
	char identity[IDENTITY_SIZE_MAX + 1];
	Godwit__Client__Answers *answers;
	size_t size;
} sent[SENT_MAX];
static uint32_t sent_count;
static int send_code;
static struct counter_block counters;
static struct replies replies;

int socket_send(void *socket, const uint8_t *identity, uint32_t identity_size, const void *bytes, size_t size)
{
	cr_assert_eq(socket, &sent);
	cr_assert_lt(sent_count, SENT_MAX);
	memset(sent[sent_count].identity, 0, sizeof sent[sent_count].identity);
	memcpy(sent[sent_count].identity, identity, identity_size);
	sent[sent_count].answers = godwit__client__answers__unpack(NULL, size, bytes);
	sent[sent_count].size = size;
	cr_assert(sent[sent_count].answers, "it cannot be read");
	cr_assert_eq(sent[sent_count].answers->protocol, PROTOCOL_VERSION);
	sent_count++;
	return send_code;
}

static void sent_forget(void)
{
	while (sent_count)
		godwit__client__answers__free_unpacked(sent[--sent_count].answers, NULL);
}

static void begin(void)
{
	cr_assert_eq(replies_init(&replies, &sent, &counters), 0);
}

static void end(void)
{
	sent_forget();
	replies_deinit(&replies);
}

static uint64_t route(const char *identity)
{
	return replies_route(&replies, (const uint8_t *)identity, (uint32_t)strlen(identity));
}

static void answer(uint64_t to, uint64_t number)
{
	struct coordinator_answer from = {.route = to, .number = number, .hlc = 9 * number};
	replies_add(&replies, &from);
}

TestSuite(replies, .init = begin, .fini = end);

Test(replies, one_message_for_each_client_and_turn)
{
	uint64_t ann = route("ann"), anna = route("anna"), bob = route("bob");
	cr_assert_eq(route("ann"), ann);
	cr_assert(ann != anna && ann != bob && anna != bob);
	answer(ann, 1);
	answer(bob, 2);
	answer(ann, 3);
	cr_assert_eq(sent_count, 0);
	replies_send(&replies);
	cr_assert_eq(sent_count, 2);
	cr_assert_str_eq(sent[0].identity, "ann");
	cr_assert_eq(sent[0].answers->n_answers, 2);
	cr_assert_eq(sent[0].answers->answers[0]->number, 1);
	cr_assert_eq(sent[0].answers->answers[1]->number, 3);
	cr_assert_eq(sent[0].answers->answers[1]->hlc, 27);
	cr_assert_str_eq(sent[1].identity, "bob");
	cr_assert_eq(sent[1].answers->n_answers, 1);
	cr_assert_eq(sent[1].answers->answers[0]->number, 2);
	/* The next turn begins with nothing. */
	replies_send(&replies);
	cr_assert_eq(sent_count, 2);
	answer(anna, 4);
	replies_send(&replies);
	cr_assert_eq(sent_count, 3);
	cr_assert_str_eq(sent[2].identity, "anna");
	cr_assert_eq(sent[2].answers->n_answers, 1);
	cr_assert_eq(counter_get(&counters, COUNTER_queue_refused), 0);
}

Test(replies, what_an_answer_says)
{
	uint64_t ann = route("ann");
	struct coordinator_answer from = {.route = ann, .number = 7, .hlc = 8, .siblings = 2, .version_size = 3};
	memcpy(from.version, "ver", 3);
	replies_add_value(&replies, &from, (const uint8_t *)"value", 5);
	from = (struct coordinator_answer){.route = ann, .number = 8, .code = ERR_OVERLOADED};
	replies_add(&replies, &from);
	from.reason = "because";
	replies_add(&replies, &from);
	Godwit__Client__Answer other = GODWIT__CLIENT__ANSWER__INIT;
	other.number = 9;
	other.more = true;
	replies_add_message(&replies, ann, &other);
	replies_send(&replies);
	cr_assert_eq(sent_count, 1);
	cr_assert_eq(sent[0].answers->n_answers, 4);
	Godwit__Client__Answer **a = sent[0].answers->answers;
	cr_assert(a[0]->number == 7 && a[0]->hlc == 8 && a[0]->siblings == 2 && a[0]->code == 0);
	cr_assert(a[0]->version.len == 3 && !memcmp(a[0]->version.data, "ver", 3));
	cr_assert(a[0]->value.len == 5 && !memcmp(a[0]->value.data, "value", 5));
	cr_assert_str_empty(a[0]->reason);
	cr_assert_eq(a[1]->code, ERR_OVERLOADED);
	cr_assert_str_eq(a[1]->reason, error_text(ERR_OVERLOADED));
	cr_assert_str_eq(a[2]->reason, "because");
	cr_assert(a[3]->number == 9 && a[3]->more);
}

/* Identities that share a set of places with the first. */
static void neighbours(char names[][16], uint64_t routes[], uint32_t wanted)
{
	uint64_t set = route("first") % REPLY_ROUTES / REPLY_ROUTE_WAYS;
	uint32_t count = 0;
	strcpy(names[count], "first");
	routes[count++] = route("first");
	for (uint32_t i = 0; count < wanted; i++) {
		char name[16];
		snprintf(name, sizeof name, "client-%u", i);
		uint64_t given = route(name);
		if (given % REPLY_ROUTES / REPLY_ROUTE_WAYS != set)
			continue;
		strcpy(names[count], name);
		routes[count++] = given;
	}
}

/* F24: a place has been given to another client while answers for the earlier one wait in it. */
Test(replies, f24_an_answer_never_goes_to_the_next_owner_of_its_place)
{
	static char names[REPLY_ROUTE_WAYS + 1][16];
	static uint64_t routes[REPLY_ROUTE_WAYS + 1];
	neighbours(names, routes, REPLY_ROUTE_WAYS + 1);
	replies_deinit(&replies);
	cr_assert_eq(replies_init(&replies, &sent, &counters), 0);
	for (uint32_t i = 0; i < REPLY_ROUTE_WAYS; i++)
		routes[i] = route(names[i]);
	cr_assert_eq(route(names[0]), routes[0]); /* used: the second is now the oldest */
	answer(routes[0], 1);
	answer(routes[1], 2);
	routes[REPLY_ROUTE_WAYS] = route(names[REPLY_ROUTE_WAYS]);
	cr_assert_eq(routes[REPLY_ROUTE_WAYS] % REPLY_ROUTES, routes[1] % REPLY_ROUTES, "not the place of the oldest");
	answer(routes[REPLY_ROUTE_WAYS], 3);
	replies_send(&replies);
	cr_assert_eq(sent_count, 3);
	for (uint32_t i = 0; i < 3; i++) {
		cr_assert_eq(sent[i].answers->n_answers, 1);
		cr_assert_eq(sent[i].answers->answers[0]->number, i + 1);
		cr_assert_str_eq(sent[i].identity, names[i < 2 ? i : REPLY_ROUTE_WAYS]);
	}
	/* What is for the one that had to go is dropped and counted: it asks again. */
	answer(routes[1], 4);
	replies_send(&replies);
	cr_assert_eq(sent_count, 3);
	cr_assert_eq(counter_get(&counters, COUNTER_queue_refused), 1);
	cr_assert_eq(route(names[0]), routes[0]);
	cr_assert_neq(route(names[1]), routes[1]);
}

Test(replies, nobody_is_called_0)
{
	route("ann");
	answer(0, 1);
	replies_send(&replies);
	cr_assert_eq(sent_count, 0);
	cr_assert_eq(counter_get(&counters, COUNTER_queue_refused), 1);
}

Test(replies, more_clients_than_messages_in_a_turn)
{
	static uint64_t routes[2 * REPLY_MESSAGES + 1];
	for (uint32_t i = 0; i <= 2 * REPLY_MESSAGES; i++) {
		char name[16];
		snprintf(name, sizeof name, "c%u", i);
		routes[i] = route(name);
	}
	for (uint32_t i = 0; i < REPLY_MESSAGES; i++)
		answer(routes[i], i);
	cr_assert_eq(sent_count, 0);
	answer(routes[0], 1000); /* has a message already */
	cr_assert_eq(sent_count, 0);
	for (uint32_t i = REPLY_MESSAGES; i <= 2 * REPLY_MESSAGES; i++)
		answer(routes[i], i);
	replies_send(&replies);
	cr_assert_eq(sent_count, 2 * REPLY_MESSAGES + 1);
	for (uint32_t i = 0; i < sent_count; i++) {
		char name[16];
		snprintf(name, sizeof name, "c%u", i);
		cr_assert_str_eq(sent[i].identity, name);
		cr_assert_eq(sent[i].answers->answers[0]->number, i);
		cr_assert_eq(sent[i].answers->n_answers, i == 0 ? 2 : 1);
	}
}

Test(replies, a_message_is_bounded_and_an_answer_may_be_larger)
{
	static uint8_t value[3 * REPLY_SIZE_MAX];
	uint64_t ann = route("ann");
	struct coordinator_answer from = {.route = ann};
	for (from.number = 0; from.number < 100; from.number++)
		replies_add_value(&replies, &from, value, 4000);
	replies_add_value(&replies, &from, value, sizeof value);
	replies_send(&replies);
	uint64_t number = 0;
	for (uint32_t i = 0; i < sent_count; i++) {
		cr_assert(
		    sent[i].size <= REPLY_SIZE_MAX + ANSWERS_HEADER_SIZE_MAX || i + 1 == sent_count, "%zu bytes", sent[i].size);
		for (size_t k = 0; k < sent[i].answers->n_answers; k++)
			cr_assert_eq(sent[i].answers->answers[k]->number, number++);
	}
	cr_assert_eq(number, 101);
	cr_assert_eq(sent_count, 5, "%u messages", sent_count); /* 32 of 4,000 bytes go into 128 KiB */
	cr_assert_eq(sent[0].answers->n_answers, 32);
	cr_assert_eq(sent[4].answers->answers[0]->value.len, sizeof value);
}

/* Exactly full is not too much. */
Test(replies, a_message_may_be_filled_to_its_last_byte)
{
	static uint8_t value[REPLY_SIZE_MAX];
	uint64_t ann = route("ann");
	struct coordinator_answer from = {.route = ann, .number = 1};
	struct answer second = {.number = 1};
	replies_add(&replies, &from);
	size_t used = replies.messages[0].size;
	second.value.size = REPLY_SIZE_MAX - used - answer_size_max(&second);
	second.value.bytes = value;
	cr_assert_eq(used + answer_size_max(&second), REPLY_SIZE_MAX);
	replies_add_value(&replies, &from, value, second.value.size);
	cr_assert_eq(sent_count, 0);
	replies_add(&replies, &from);
	cr_assert_eq(sent_count, 1);
	cr_assert_eq(sent[0].answers->n_answers, 2);
}

/* No identity is none of a place that nobody has. */
Test(replies, an_empty_identity_is_a_client)
{
	uint64_t nobody = route("");
	cr_assert_neq(nobody, 0);
	cr_assert_eq(route(""), nobody);
	answer(nobody, 1);
	replies_send(&replies);
	cr_assert_eq(sent_count, 1);
	cr_assert_str_eq(sent[0].identity, "");
}

/* The router is not there: nothing is kept for it. */
Test(replies, what_cannot_be_sent_is_counted)
{
	uint64_t ann = route("ann");
	send_code = ERR_OVERLOADED;
	answer(ann, 1);
	replies_send(&replies);
	cr_assert_eq(counter_get(&counters, COUNTER_queue_refused), 1);
	send_code = 0;
	answer(ann, 2);
	replies_send(&replies);
	cr_assert_eq(sent_count, 2);
	cr_assert_eq(sent[1].answers->n_answers, 1);
	cr_assert_eq(sent[1].answers->answers[0]->number, 2);
	cr_assert_eq(counter_get(&counters, COUNTER_queue_refused), 1);
}
