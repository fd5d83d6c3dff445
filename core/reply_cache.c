/* SPDX-License-Identifier: Apache-2.0 */
#include "core/reply_cache.h"

#include <assert.h>
#include <stddef.h>

/* Four requests of a client that follow each other share half a cache line of places, since they come and go together; with
 * eight, probes that meet others' lines take back what that saves. */
static uint32_t request_hash(uint64_t client_id, uint64_t number)
{
	uint64_t x = (client_id ^ (number >> 2) * 0x9e3779b97f4a7c15ull) * 0xbf58476d1ce4e5b9ull;
	return (uint32_t)((x ^ x >> 29) * 0x94d049bb133111ebull >> 32) << 2 | (number & 3);
}

/* Twice as many places as answers: probes stay short. */
static uint32_t place_mask(const struct reply_cache *m)
{
	return 2 * m->capacity - 1;
}

size_t reply_cache_storage(uint32_t capacity)
{
	return capacity * (sizeof(struct reply_answer) + 2 * sizeof(struct reply_place)) +
	       REPLY_CACHE_CLIENTS * sizeof(struct reply_client);
}

void reply_cache_init(struct reply_cache *m, uint32_t capacity, void *storage)
{
	assert(capacity && !(capacity & (capacity - 1)));
	*m = (struct reply_cache){.capacity = capacity, .storage = storage};
	m->answers = storage;
	m->clients = (struct reply_client *)(m->answers + capacity);
	m->places = (struct reply_place *)(m->clients + REPLY_CACHE_CLIENTS);
}

struct reply_answer *reply_cache_find(struct reply_cache *m, uint64_t client_id, uint64_t number)
{
	uint32_t hash = request_hash(client_id, number), mask = place_mask(m);
	for (uint32_t at = hash & mask; m->places[at].answer; at = (at + 1) & mask) {
		if (m->places[at].hash != hash)
			continue;
		struct reply_answer *answer = &m->answers[m->places[at].answer - 1];
		if (answer->client_id == client_id && answer->number == number)
			return answer;
	}
	return NULL;
}

static void place_remove(struct reply_cache *m, uint32_t hash, uint32_t answer)
{
	uint32_t mask = place_mask(m), hole = hash & mask;
	while (m->places[hole].answer != answer) {
		assert(m->places[hole].answer);
		hole = (hole + 1) & mask;
	}
	/* Moves back whoever would no longer be found behind the hole. */
	for (uint32_t at = (hole + 1) & mask; m->places[at].answer; at = (at + 1) & mask) {
		uint32_t home = m->places[at].hash & mask;
		if (((at - home) & mask) < ((at - hole) & mask))
			continue;
		m->places[hole] = m->places[at];
		hole = at;
	}
	m->places[hole] = (struct reply_place){0};
}

static struct reply_client *client_set(struct reply_cache *m, uint64_t client_id)
{
	uint64_t set = (client_id * 0x9e3779b97f4a7c15ull >> 32) % (REPLY_CACHE_CLIENTS / REPLY_CACHE_WAYS);
	return &m->clients[set * REPLY_CACHE_WAYS];
}

/* May be called again by memory_add: until one is forgotten for good there is no room. */
static void oldest_forget(struct reply_cache *m)
{
	uint32_t index = (uint32_t)(m->oldest++ & (m->capacity - 1));
	const struct reply_answer *answer = &m->answers[index];
	if (answer->state == REPLY_PARKED) {
		/* Not answered yet, and so the newest again. There are fewer of these than there is room. */
		struct reply_answer parked = *answer;
		place_remove(m, request_hash(parked.client_id, parked.number), index + 1);
		*reply_cache_add(m, parked.client_id, parked.number) = parked;
		return;
	}
	place_remove(m, request_hash(answer->client_id, answer->number), index + 1);
	if (m->complete_hlc < answer->hlc)
		m->complete_hlc = answer->hlc;
	if (m->complete_ns < answer->added_ns)
		m->complete_ns = answer->added_ns;
	struct reply_client *set = client_set(m, answer->client_id);
	for (uint32_t i = 0; i < REPLY_CACHE_WAYS; i++) {
		if (set[i].client_id == answer->client_id && set[i].mark < answer->number)
			set[i].mark = answer->number;
	}
}

struct reply_answer *reply_cache_add(struct reply_cache *m, uint64_t client_id, uint64_t number)
{
	while (m->newest - m->oldest == m->capacity)
		oldest_forget(m);
	uint32_t index = (uint32_t)(m->newest++ & (m->capacity - 1));
	uint32_t hash = request_hash(client_id, number), mask = place_mask(m), at = hash & mask;
	while (m->places[at].answer)
		at = (at + 1) & mask;
	m->places[at] = (struct reply_place){.hash = hash, .answer = index + 1};
	m->answers[index] = (struct reply_answer){.client_id = client_id, .number = number, .added_ns = m->now_ns};
	return &m->answers[index];
}

bool reply_cache_may_have_forgotten(const struct reply_cache *m, uint64_t age_ms)
{
	uint64_t first_ns = age_ms < m->now_ns / 1000000 ? m->now_ns - age_ms * 1000000 : 0;
	return m->complete_ns && first_ns <= m->complete_ns;
}

uint64_t reply_cache_client_mark(struct reply_cache *m, uint64_t client_id, uint64_t settled)
{
	struct reply_client *set = client_set(m, client_id), *client = set;
	for (uint32_t i = 0; i < REPLY_CACHE_WAYS; i++) {
		if (set[i].client_id == client_id) {
			client = &set[i];
			break;
		}
		if (set[i].used < client->used)
			client = &set[i];
	}
	if (client->client_id != client_id)
		*client = (struct reply_client){.client_id = client_id};
	client->used = ++m->use;
	if (settled > client->mark)
		client->mark = settled;
	return client->mark;
}

bool reply_cache_client_is_known(struct reply_cache *m, uint64_t client_id)
{
	const struct reply_client *set = client_set(m, client_id);
	bool known = false;
	for (uint32_t i = 0; i < REPLY_CACHE_WAYS; i++)
		known |= set[i].client_id == client_id;
	return known;
}
