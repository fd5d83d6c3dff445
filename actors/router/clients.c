/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/router/clients.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define BUCKETS 16384u /* a power of two */

int clients_init(struct clients *clients)
{
	*clients = (struct clients){
	    .entries = calloc(CLIENTS_MAX, sizeof(struct client)), .buckets = malloc(BUCKETS * sizeof(uint32_t))};
	if (!clients->entries || !clients->buckets) {
		clients_deinit(clients);
		return ERR_NO_MEMORY;
	}
	memset(clients->buckets, 0xff, BUCKETS * sizeof(uint32_t));
	for (uint32_t i = 0; i < CLIENTS_MAX; i++)
		clients->entries[i].chain = i + 1 < CLIENTS_MAX ? i + 1 : CLIENTS_NONE;
	for (uint32_t i = 0; i < CLIENT_PLACES; i++)
		clients->lists[i] = (struct clients_list){.first = CLIENTS_NONE, .last = CLIENTS_NONE};
	return 0;
}

void clients_deinit(struct clients *clients)
{
	free(clients->entries);
	free(clients->buckets);
	*clients = (struct clients){0};
}

uint32_t clients_index(const struct clients *clients, const struct client *client)
{
	return (uint32_t)(client - clients->entries);
}

/* ---- lists ---- */

static bool is_listed(enum client_place place)
{
	return place >= CLIENT_NEW;
}

static void list_remove(struct clients *clients, struct client *client)
{
	if (!is_listed(client->place))
		return;
	struct clients_list *list = &clients->lists[client->place];
	*(client->before == CLIENTS_NONE ? &list->first : &clients->entries[client->before].behind) = client->behind;
	*(client->behind == CLIENTS_NONE ? &list->last : &clients->entries[client->behind].before) = client->before;
	list->count--;
	client->place = CLIENT_RESTING;
}

static void list_append(struct clients *clients, struct client *client, enum client_place place)
{
	list_remove(clients, client);
	client->place = place;
	if (!is_listed(place))
		return;
	struct clients_list *list = &clients->lists[place];
	uint32_t index = clients_index(clients, client);
	client->before = list->last;
	client->behind = CLIENTS_NONE;
	*(list->last == CLIENTS_NONE ? &list->first : &clients->entries[list->last].behind) = index;
	list->last = index;
	list->count++;
}

static struct client *list_first(const struct clients *clients, enum client_place place)
{
	uint32_t first = clients->lists[place].first;
	return first == CLIENTS_NONE ? NULL : &clients->entries[first];
}

/* ---- who is known ---- */

static uint32_t *bucket_of(const struct clients *clients, const uint8_t *identity, uint32_t size)
{
	uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a; libzmq draws identities, whoever chooses his own slows his own bucket */
	for (uint32_t i = 0; i < size; i++)
		hash = (hash ^ identity[i]) * 0x100000001b3u;
	return &clients->buckets[(hash ^ hash >> 32) & (BUCKETS - 1)];
}

struct client *clients_find(struct clients *clients, const uint8_t *identity, uint32_t size, bool make)
{
	assert(size && size <= CLIENTS_IDENTITY_MAX);
	uint32_t *bucket = bucket_of(clients, identity, size);
	for (uint32_t i = *bucket; i != CLIENTS_NONE; i = clients->entries[i].chain)
		if (clients->entries[i].identity_size == size && !memcmp(clients->entries[i].identity, identity, size))
			return &clients->entries[i];
	if (!make || clients->free == CLIENTS_NONE)
		return NULL;
	struct client *client = &clients->entries[clients->free];
	clients->free = client->chain;
	*client = (struct client){
	    .identity_size = size, .generation = client->generation + 1, .place = CLIENT_RESTING, .chain = *bucket};
	memcpy(client->identity, identity, size);
	*bucket = clients_index(clients, client);
	return client;
}

struct client *clients_at(struct clients *clients, uint32_t index, uint32_t generation)
{
	struct client *client = &clients->entries[index];
	return client->place != CLIENT_FREE && client->generation == generation ? client : NULL;
}

void clients_release(struct clients *clients, struct client *client)
{
	if (client->first || client->unsent_bytes || client->unsent_messages || is_listed(client->place))
		return;
	clients_reservation_end(clients, client);
	uint32_t index = clients_index(clients, client);
	uint32_t *at = bucket_of(clients, client->identity, client->identity_size);
	while (*at != index)
		at = &clients->entries[*at].chain;
	*at = client->chain;
	client->place = CLIENT_FREE;
	client->chain = clients->free;
	clients->free = index;
}

void clients_remove(struct clients *clients, struct client *client)
{
	assert(!client->first);
	clients_reservation_end(clients, client);
	list_remove(clients, client);
	clients_release(clients, client);
}

/* ---- questions ---- */

bool clients_admit(const struct clients *clients, const struct client *client, size_t size)
{
	return client->queued_messages < CLIENTS_QUEUED_MESSAGES_MAX && client->queued_bytes + size <= CLIENTS_QUEUED_MAX &&
	       clients->queued_bytes + size <= CLIENTS_QUEUED_ALL_MAX;
}

static uint64_t slice_ns(const struct clients *clients)
{
	uint64_t slice = CLIENTS_ROUND_NS / (clients->working ? clients->working : 1);
	return slice < CLIENTS_SLICE_MIN_NS   ? CLIENTS_SLICE_MIN_NS
	       : slice > CLIENTS_SLICE_MAX_NS ? CLIENTS_SLICE_MAX_NS
	                                      : slice;
}

void clients_push(struct clients *clients, struct client *client, struct clients_work *work)
{
	work->next = NULL;
	*(client->last ? &client->last->next : &client->first) = work;
	client->last = work;
	client->queued_bytes += work->size;
	client->queued_messages++;
	clients->queued_bytes += work->size;
	if (client->queued_messages > 1)
		return;
	clients->working++;
	if (client->place != CLIENT_RESTING)
		return; /* still in the round, with what credit it has */
	client->credit_ns = (int64_t)slice_ns(clients);
	list_append(clients, client, CLIENT_NEW);
}

struct clients_work *clients_pop(struct clients *clients, struct client *client)
{
	struct clients_work *work = client->first;
	if (!work)
		return NULL;
	client->first = work->next;
	client->queued_bytes -= work->size;
	client->queued_messages--;
	clients->queued_bytes -= work->size;
	if (client->first)
		return work;
	client->last = NULL;
	client->number_max = 0;
	clients->working--;
	return work;
}

/* ---- turns ---- */

struct client *clients_next(struct clients *clients, uint64_t *slice)
{
	for (;;) {
		struct client *fresh = list_first(clients, CLIENT_NEW), *old = list_first(clients, CLIENT_OLD);
		bool is_new = fresh && (!old || clients->new_in_a_row < CLIENTS_NEW_IN_A_ROW);
		struct client *client = is_new ? fresh : old;
		if (!client)
			return NULL;
		if (!client->first) {
			list_remove(clients, client);
			clients_release(clients, client);
		} else if (client->credit_ns <= 0) {
			client->credit_ns += (int64_t)slice_ns(clients);
			list_append(clients, client, CLIENT_OLD);
		} else {
			clients->new_in_a_row = is_new ? clients->new_in_a_row + 1 : 0;
			*slice = (uint64_t)client->credit_ns;
			return client;
		}
	}
}

void clients_charge(struct clients *clients, struct client *client, uint64_t used_ns)
{
	client->credit_ns -= (int64_t)used_ns;
	/* Who is done stays in the round until it is over: coming first is for those who were not in it. */
	if (client->place == CLIENT_NEW && (!client->first || client->credit_ns <= 0))
		list_append(clients, client, CLIENT_OLD);
}

bool clients_have_work(const struct clients *clients)
{
	return clients->lists[CLIENT_NEW].count || clients->lists[CLIENT_OLD].count;
}

void clients_stall(struct clients *clients, struct client *client, enum clients_leave needs)
{
	bool held = client->has_reservation;
	client->stalled_for = needs;
	list_append(clients, client, CLIENT_STALLED);
	clients_reservation_end(clients, client);
	if (held)
		clients_place_freed(clients);
}

void clients_wait(struct clients *clients, struct client *client)
{
	list_append(clients, client, CLIENT_WAITING);
}

void clients_place_freed(struct clients *clients)
{
	struct client *client = list_first(clients, CLIENT_WAITING);
	if (!client)
		return;
	client->has_reservation = true;
	clients->reservations++;
	list_append(clients, client, CLIENT_NEW);
	if (client->credit_ns <= 0)
		client->credit_ns = (int64_t)CLIENTS_SLICE_MIN_NS;
}

void clients_reservation_end(struct clients *clients, struct client *client)
{
	clients->reservations -= client->has_reservation;
	client->has_reservation = false;
}

/* ---- bytes ---- */

enum clients_leave clients_leave(const struct clients *clients, const struct client *client)
{
	if (client->unsent_bytes >= CLIENTS_UNSENT_MAX || client->unsent_messages >= CLIENTS_UNSENT_MESSAGES_MAX ||
	    clients->unsent_bytes >= CLIENTS_UNSENT_ALL_MAX)
		return CLIENTS_LEAVE_NONE;
	uint64_t room = CLIENTS_UNSENT_ALL_MAX - clients->unsent_bytes;
	if (client->unsent_bytes > room / 4)
		return CLIENTS_LEAVE_NONE;
	return room < CLIENTS_ANSWER_MAX ? CLIENTS_LEAVE_SMALL : CLIENTS_LEAVE_ANY;
}

bool clients_may_pass(const struct clients *clients, const struct client *client, size_t size)
{
	return client->unsent_bytes + size <= 2 * CLIENTS_UNSENT_MAX && clients->unsent_bytes + size <= CLIENTS_PASSED_ALL_MAX;
}

void clients_sent(struct clients *clients, struct client *client, size_t size)
{
	client->unsent_bytes += size + CLIENTS_MESSAGE_COST;
	client->unsent_messages++;
	clients->unsent_bytes += size + CLIENTS_MESSAGE_COST;
}

void clients_given_back(struct clients *clients, struct client *client, size_t size)
{
	uint64_t done = client->encoding_bytes, own = size + CLIENTS_MESSAGE_COST;
	assert(client->unsent_messages);
	client->unsent_messages--;
	/* With nothing behind it, nothing would tell when it has left. */
	client->encoding_bytes = size > CLIENTS_SMALL && client->unsent_messages ? own : 0;
	if (!client->encoding_bytes)
		done += own;
	assert(done <= client->unsent_bytes);
	client->unsent_bytes -= done;
	clients->unsent_bytes -= done;
}

void clients_unstall(struct clients *clients)
{
	for (uint32_t i = clients->lists[CLIENT_STALLED].first; i != CLIENTS_NONE;) {
		struct client *client = &clients->entries[i];
		i = client->behind;
		if (clients_leave(clients, client) >= client->stalled_for)
			list_append(clients, client, CLIENT_OLD);
	}
}
