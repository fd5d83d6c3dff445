/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/coordinator/memory.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/error.h"

/* Four requests of a client that follow each other share half a cache line of places, since they come and go together; with eight,
 * probes that meet others' lines take back what that saves. */
static uint32_t request_hash(uint64_t client_id, uint64_t number)
{
	uint64_t x = (client_id ^ (number >> 2) * 0x9e3779b97f4a7c15ull) * 0xbf58476d1ce4e5b9ull;
	return (uint32_t)((x ^ x >> 29) * 0x94d049bb133111ebull >> 32) << 2 | (number & 3);
}

/* Twice as many places as answers: probes stay short. */
static uint32_t place_mask(const struct memory *m)
{
	return 2 * m->capacity - 1;
}

int memory_init(struct memory *m, uint32_t capacity)
{
	assert(capacity && !(capacity & (capacity - 1)));
	*m = (struct memory){.capacity = capacity};
	m->answers = calloc(capacity, sizeof *m->answers);
	m->places = calloc(2 * (size_t)capacity, sizeof *m->places);
	m->clients = calloc(MEMORY_CLIENTS, sizeof *m->clients);
	if (m->answers && m->places && m->clients)
		return 0;
	memory_deinit(m);
	return ERR_NO_MEMORY;
}

void memory_deinit(struct memory *m)
{
	free(m->answers);
	free(m->places);
	free(m->clients);
	*m = (struct memory){0};
}

struct memory_answer *memory_find(struct memory *m, uint64_t client_id, uint64_t number)
{
	uint32_t hash = request_hash(client_id, number), mask = place_mask(m);
	for (uint32_t at = hash & mask; m->places[at].answer; at = (at + 1) & mask) {
		if (m->places[at].hash != hash)
			continue;
		struct memory_answer *answer = &m->answers[m->places[at].answer - 1];
		if (answer->client_id == client_id && answer->number == number)
			return answer;
	}
	return NULL;
}

static void place_remove(struct memory *m, uint32_t hash, uint32_t answer)
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
	m->places[hole] = (struct memory_place){0};
}

static struct memory_client *client_set(struct memory *m, uint64_t client_id)
{
	uint64_t set = (client_id * 0x9e3779b97f4a7c15ull >> 32) % (MEMORY_CLIENTS / MEMORY_CLIENT_WAYS);
	return &m->clients[set * MEMORY_CLIENT_WAYS];
}

/* May be called again by memory_add: until one is forgotten for good there is no room. */
static void oldest_forget(struct memory *m)
{
	uint32_t index = (uint32_t)(m->oldest++ & (m->capacity - 1));
	const struct memory_answer *answer = &m->answers[index];
	if (answer->state == MEMORY_PARKED) {
		/* Not answered yet, and so the newest again. There are fewer of these than there is room. */
		struct memory_answer parked = *answer;
		place_remove(m, request_hash(parked.client_id, parked.number), index + 1);
		*memory_add(m, parked.client_id, parked.number) = parked;
		return;
	}
	place_remove(m, request_hash(answer->client_id, answer->number), index + 1);
	if (m->complete_hlc < answer->hlc)
		m->complete_hlc = answer->hlc;
	if (m->complete_ns < answer->added_ns)
		m->complete_ns = answer->added_ns;
	struct memory_client *set = client_set(m, answer->client_id);
	for (uint32_t i = 0; i < MEMORY_CLIENT_WAYS; i++) {
		if (set[i].client_id == answer->client_id && set[i].mark < answer->number)
			set[i].mark = answer->number;
	}
}

struct memory_answer *memory_add(struct memory *m, uint64_t client_id, uint64_t number)
{
	while (m->newest - m->oldest == m->capacity)
		oldest_forget(m);
	uint32_t index = (uint32_t)(m->newest++ & (m->capacity - 1));
	uint32_t hash = request_hash(client_id, number), mask = place_mask(m), at = hash & mask;
	while (m->places[at].answer)
		at = (at + 1) & mask;
	m->places[at] = (struct memory_place){.hash = hash, .answer = index + 1};
	m->answers[index] = (struct memory_answer){.client_id = client_id, .number = number, .added_ns = m->now_ns};
	return &m->answers[index];
}

bool memory_may_have_forgotten(const struct memory *m, uint64_t age_ms)
{
	uint64_t first_ns = age_ms < m->now_ns / 1000000 ? m->now_ns - age_ms * 1000000 : 0;
	return m->complete_ns && first_ns <= m->complete_ns;
}

uint64_t memory_client_mark(struct memory *m, uint64_t client_id, uint64_t settled)
{
	struct memory_client *set = client_set(m, client_id), *client = set;
	for (uint32_t i = 0; i < MEMORY_CLIENT_WAYS; i++) {
		if (set[i].client_id == client_id) {
			client = &set[i];
			break;
		}
		if (set[i].used < client->used)
			client = &set[i];
	}
	if (client->client_id != client_id)
		*client = (struct memory_client){.client_id = client_id};
	client->used = ++m->use;
	if (settled > client->mark)
		client->mark = settled;
	return client->mark;
}

bool memory_client_is_known(struct memory *m, uint64_t client_id)
{
	const struct memory_client *set = client_set(m, client_id);
	bool known = false;
	for (uint32_t i = 0; i < MEMORY_CLIENT_WAYS; i++)
		known |= set[i].client_id == client_id;
	return known;
}
