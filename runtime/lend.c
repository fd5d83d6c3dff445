/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/lend.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct lent {
	struct lent *next;
	struct lender *lender;
	size_t size;
	uint32_t owner, tag;
	bool is_message; /* in `whole`; else in `bytes` */
	bool failed;     /* never was with the socket */
	zmq_msg_t whole;
	uint8_t bytes[];
};

/* From any thread. A push onto a list of which only ever all is taken: no other thread can see one node twice. */
static void give_back(void *bytes, void *hint)
{
	struct lent *lent = hint;
	_Atomic(struct lent *) *returned = &lent->lender->returned;
	(void)bytes;
	lent->next = atomic_load_explicit(returned, memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(returned, &lent->next, lent, memory_order_release, memory_order_relaxed))
		;
}

static struct lent *lent_new(struct lender *lender, size_t room, size_t size, uint32_t owner, uint32_t tag)
{
	struct lent *lent = malloc(sizeof *lent + room);
	if (lent)
		*lent = (struct lent){.lender = lender, .size = size, .owner = owner, .tag = tag};
	return lent;
}

/* After a failure it is in the list as well, and this thread alone takes from there. */
static int lent_send(struct lent *lent, void *socket, const uint8_t *identity, uint32_t identity_size, void *bytes)
{
	int code = socket_send_lent(socket, identity, identity_size, bytes, lent->size, give_back, lent);
	if (code)
		lent->failed = true;
	return code;
}

int lend_bytes(struct lender *lender, void *socket, const uint8_t *identity, uint32_t identity_size, const void *bytes,
    size_t size, uint32_t owner, uint32_t tag)
{
	struct lent *lent = lent_new(lender, size, size, owner, tag);
	if (!lent)
		return ERR_NO_MEMORY;
	memcpy(lent->bytes, bytes, size);
	return lent_send(lent, socket, identity, identity_size, lent->bytes);
}

int lend_message(struct lender *lender, void *socket, const uint8_t *identity, uint32_t identity_size, struct message *message,
    uint32_t owner, uint32_t tag)
{
	size_t size = message_size(message);
	if (size <= LEND_COPIED_MAX)
		return lend_bytes(lender, socket, identity, identity_size, message_bytes(message), size, owner, tag);
	struct lent *lent = lent_new(lender, 0, size, owner, tag);
	if (!lent)
		return ERR_NO_MEMORY;
	lent->is_message = true;
	zmq_msg_init(&lent->whole);
	zmq_msg_move(&lent->whole, &message->body);
	int code = lent_send(lent, socket, identity, identity_size, zmq_msg_data(&lent->whole));
	if (code)
		zmq_msg_move(&message->body, &lent->whole);
	return code;
}

void lend_collect(struct lender *lender, void (*each)(void *self, uint32_t owner, uint32_t tag, size_t size), void *self)
{
	struct lent *newest = atomic_exchange_explicit(&lender->returned, NULL, memory_order_acquire), *oldest = NULL;
	while (newest) {
		struct lent *next = newest->next;
		newest->next = oldest;
		oldest = newest;
		newest = next;
	}
	while (oldest) {
		struct lent *next = oldest->next;
		if (each && !oldest->failed)
			each(self, oldest->owner, oldest->tag, oldest->size);
		if (oldest->is_message)
			zmq_msg_close(&oldest->whole);
		free(oldest);
		oldest = next;
	}
}

static void budget_given_back(void *self, uint32_t owner, uint32_t tag, size_t size)
{
	struct lend_budget *budget = self;
	(void)owner;
	(void)tag;
	budget->unsent_bytes -= size;
}

int lend_within(
    struct lend_budget *budget, void *socket, const uint8_t *identity, uint32_t identity_size, const void *bytes, size_t size)
{
	lend_collect(&budget->lender, budget_given_back, budget);
	if (budget->unsent_bytes + size > budget->bytes_max)
		return ERR_OVERLOADED;
	int code = lend_bytes(&budget->lender, socket, identity, identity_size, bytes, size, 0, 0);
	if (!code)
		budget->unsent_bytes += size;
	return code;
}

void lend_budget_deinit(struct lend_budget *budget)
{
	lend_collect(&budget->lender, budget_given_back, budget);
}
