/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/commit/world.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "actors/coordinator/commit/message.h"

static struct commit_effects effects;

static struct world_row *row_of(struct world_region *region, const uint8_t *key, uint32_t size)
{
	for (uint32_t i = 0; i < WORLD_ROWS; i++) {
		struct world_row *row = &region->rows[i];
		if (row->used && strlen(row->key) == size && !memcmp(row->key, key, size))
			return row;
		if (!row->used) {
			assert(size < sizeof row->key);
			row->used = true;
			memcpy(row->key, key, size);
			return row;
		}
	}
	abort();
}

static void lookup(void *user, uint16_t keyspace, const uint8_t *key, uint32_t size, struct commit_row *out)
{
	(void)keyspace;
	struct world_row *row = row_of(user, key, size);
	*out = row->row;
	out->value = (const uint8_t *)row->value;
	out->value_size = (uint32_t)strlen(row->value);
}

static void step(struct world *w, uint8_t index, struct commit_event event);

static void apply(struct world_region *region)
{
	static struct commit_head head;
	for (; region->applied < region->durable; region->applied++) {
		struct world_entry *entry = &region->entries[region->applied];
		struct commit_body body;
		if (entry->type != COMMIT_ENTRY_COMMIT)
			continue;
		assert(commit_entry_open(entry->bytes, entry->size, &head, &body) == 0);
		uint32_t at = body.operations_at;
		for (uint32_t i = 0; i < body.operation_count; i++) {
			struct commit_operation o;
			commit_body_operation(&body, &at, &o);
			struct world_row *row = row_of(region, o.key, o.key_size);
			struct commit_id before = row->row.version;
			commit_row_apply(&row->row, head.id, (uint16_t)(body.request_count - 1), head.previous[i], &o);
			if (commit_id_compare(before, row->row.version) != 0) {
				memset(row->value, 0, sizeof row->value);
				memcpy(row->value, o.value, o.value_size);
			}
		}
	}
}

void world_sync(struct world *w, uint8_t index)
{
	struct world_region *region = &w->regions[index];
	if (!region->up || region->durable == region->count)
		return;
	region->durable = region->count;
	step(w, index,
	    (struct commit_event){.type = COMMIT_EVENT_DURABLE, .durable = {region->durable - region->base, region->durable}});
	apply(region);
	step(w, index, (struct commit_event){.type = COMMIT_EVENT_APPLIED, .applied = region->applied - region->base});
}

static void entry_add(struct world_region *region, enum commit_entry type, bool streamed, const void *head, size_t head_size,
    const void *body, size_t body_size)
{
	region->assigned.sequence[0] += streamed;
	region->entries = realloc(region->entries, (region->count + 1) * sizeof *region->entries);
	struct world_entry *entry = &region->entries[region->count++];
	*entry = (struct world_entry){
	    .type = type, .streamed = streamed, .size = head_size + body_size, .bytes = malloc(head_size + body_size)};
	memcpy(entry->bytes, head, head_size);
	if (body_size)
		memcpy(entry->bytes + head_size, body, body_size);
}

static void message_add(struct world *w, uint8_t from, const struct commit_effect *effect)
{
	for (uint8_t to = 0; to < w->n; to++) {
		if (!(effect->send.to & 1u << to))
			continue;
		assert(w->message_count < WORLD_MESSAGES);
		size_t size = commit_message_size(&effect->send.message);
		struct world_message *m = &w->messages[w->message_count++];
		*m = (struct world_message){
		    .from = from, .to = to, .type = effect->send.message.type, .size = size, .bytes = malloc(size)};
		assert(commit_message_encode(&effect->send.message, m->bytes, size) == (long)size);
	}
}

static void step(struct world *w, uint8_t index, struct commit_event event)
{
	struct world_region *region = &w->regions[index];
	event.now_ns = w->now_ns;
	event.now_ms = 1900000000000ull + w->now_ns / 1000000;
	do {
		commit_step(region->machine, &event, &effects);
		for (uint32_t i = 0; i < effects.count; i++) {
			const struct commit_effect *e = &effects.effects[i];
			if (e->type == COMMIT_EFFECT_APPEND) {
				entry_add(region, e->append.type, e->append.streamed, e->append.head, e->append.head_size,
				    e->append.body, e->append.body_size);
			} else if (e->type == COMMIT_EFFECT_SEND) {
				message_add(w, index, e);
			} else {
				assert(w->answer_count < WORLD_ANSWERS);
				struct world_answer *a = &w->answers[w->answer_count++];
				*a = (struct world_answer){.region = index,
				    .route = e->answer.route,
				    .code = e->answer.code,
				    .version = e->answer.version};
				if (e->answer.value_size)
					memcpy(a->value, e->answer.value, e->answer.value_size);
			}
		}
		event.type = COMMIT_EVENT_CONTINUE;
	} while (effects.more);
	if (!region->slow_disk && region->durable != region->count)
		world_sync(w, index);
}

void world_start(struct world *w, uint8_t index)
{
	struct world_region *region = &w->regions[index];
	uint64_t bound = 0, stored;
	assert(!region->up);
	region->up = true;
	region->durable = region->base = region->count;
	memset(region->rows, 0, sizeof region->rows);
	region->applied = 0;
	apply(region);
	for (uint32_t i = 0; i < region->count; i++) {
		if (region->entries[i].type == COMMIT_ENTRY_BOUND) {
			memcpy(&stored, region->entries[i].bytes, sizeof stored);
			bound = stored > bound ? stored : bound;
		}
	}
	struct commit_options options = {.region = index,
	    .regions = (1u << w->n) - 1,
	    .incarnation = ++region->starts * 100 + index,
	    .transactions = 256,
	    .requests = 1024,
	    .reads = 64,
	    .keys = 8192,
	    .memory = w->memory,
	    .arena = 16u << 20,
	    .lookup = lookup,
	    .user = region,
	    .assigned = &region->assigned,
	    .resend_ns = WORLD_SECOND / 5,
	    .in_doubt_ns = WORLD_SECOND,
	    .unstreamed_ns = 5 * WORLD_SECOND};
	assert(commit_new(&region->machine, &options, bound, 0) == 0);
	uint32_t count = region->count;
	for (uint32_t i = 0; i < count; i++)
		step(w, index,
		    (struct commit_event){.type = COMMIT_EVENT_REPLAY,
		        .replay = {region->entries[i].type, region->entries[i].bytes, region->entries[i].size, i,
		            region->entries[i].streamed}});
	step(w, index, (struct commit_event){.type = COMMIT_EVENT_START});
}

void world_kill(struct world *w, uint8_t index)
{
	struct world_region *region = &w->regions[index];
	commit_free(region->machine);
	region->machine = NULL;
	region->up = false;
	while (region->count > region->durable)
		free(region->entries[--region->count].bytes);
}

void world_lose(struct world *w, uint8_t index)
{
	world_kill(w, index);
	w->regions[index].durable = 0;
	world_kill(w, index);
}

static struct world *world_make(uint32_t n, uint32_t memory)
{
	struct world *w = calloc(1, sizeof *w);
	w->n = n;
	w->memory = memory;
	w->now_ns = WORLD_SECOND;
	for (uint8_t i = 0; i < n; i++)
		world_start(w, i);
	return w;
}

struct world *world_new(uint32_t n)
{
	return world_make(n, 4096);
}

struct world *world_new_forgetful(uint32_t n)
{
	return world_make(n, 8);
}

void world_free(struct world *w)
{
	for (uint8_t i = 0; i < w->n; i++) {
		world_lose(w, i);
		free(w->regions[i].entries);
	}
	while (w->message_count)
		free(w->messages[--w->message_count].bytes);
	free(w);
}

struct commit_operation world_operation(enum commit_kind kind, const char *key, const char *value)
{
	return (struct commit_operation){.kind = (uint8_t)kind,
	    .key = (const uint8_t *)key,
	    .key_size = (uint32_t)strlen(key),
	    .value = (const uint8_t *)value,
	    .value_size = value ? (uint32_t)strlen(value) : 0};
}

void world_transaction(struct world *w, uint8_t region, uint64_t route, uint64_t client, uint64_t number, uint32_t count,
    const struct commit_operation *operations)
{
	step(w, region,
	    (struct commit_event){.type = COMMIT_EVENT_TRANSACTION,
	        .transaction = {.route = route,
	            .client_id = client,
	            .number = number,
	            .deadline_ns = w->now_ns + 2 * WORLD_SECOND,
	            .count = count,
	            .operations = operations}});
}

void world_repeat(struct world *w, uint8_t region, uint64_t route, uint64_t client, uint64_t number, uint64_t age_ms,
    const struct commit_operation *operation)
{
	step(w, region,
	    (struct commit_event){.type = COMMIT_EVENT_TRANSACTION,
	        .transaction = {.route = route,
	            .client_id = client,
	            .number = number,
	            .age_ms = age_ms,
	            .deadline_ns = w->now_ns + 2 * WORLD_SECOND,
	            .count = 1,
	            .operations = operation}});
}

void world_put(struct world *w, uint8_t region, uint64_t route, const char *key, const char *value)
{
	struct commit_operation o = world_operation(COMMIT_PUT, key, value);
	world_transaction(w, region, route, 1000 + route, 1, 1, &o);
}

void world_get(struct world *w, uint8_t region, uint64_t route, const char *key)
{
	step(w, region,
	    (struct commit_event){.type = COMMIT_EVENT_READ,
	        .read = {.route = route,
	            .deadline_ns = w->now_ns + 2 * WORLD_SECOND,
	            .key = (const uint8_t *)key,
	            .key_size = (uint32_t)strlen(key)}});
}

static struct world_message message_take(struct world *w, uint32_t place)
{
	struct world_message m = w->messages[place];
	memmove(&w->messages[place], &w->messages[place + 1], (--w->message_count - place) * sizeof m);
	return m;
}

uint32_t world_deliver(struct world *w, uint32_t regions, uint8_t type)
{
	static struct commit_seen seen[COMMIT_OPERATIONS_MAX];
	uint32_t count = 0;
	for (uint32_t i = 0; i < w->message_count;) {
		const struct world_message *at = &w->messages[i];
		bool mine = (regions & 1u << at->from) && (regions & 1u << at->to) && w->regions[at->to].up;
		if (!mine || (type && at->type != type)) {
			i++;
			continue;
		}
		struct world_message m = message_take(w, i);
		struct commit_message message;
		assert(commit_message_decode(&message, seen, m.bytes, m.size) == 0);
		step(w, m.to, (struct commit_event){.type = COMMIT_EVENT_MESSAGE, .message = {m.from, &message}});
		free(m.bytes);
		count++;
		assert(count < 100000);
	}
	return count;
}

uint32_t world_drop(struct world *w, uint8_t from, uint8_t to, uint8_t type)
{
	uint32_t count = 0;
	for (uint32_t i = 0; i < w->message_count;) {
		const struct world_message *at = &w->messages[i];
		if ((from != 255 && at->from != from) || (to != 255 && at->to != to) || (type && at->type != type)) {
			i++;
			continue;
		}
		free(message_take(w, i).bytes);
		count++;
	}
	return count;
}

uint32_t world_pending(const struct world *w, uint8_t type)
{
	uint32_t count = 0;
	for (uint32_t i = 0; i < w->message_count; i++)
		count += w->messages[i].type == type;
	return count;
}

void world_wait(struct world *w, uint32_t regions, uint64_t ns)
{
	for (uint64_t end = w->now_ns + ns; w->now_ns < end;) {
		w->now_ns += WORLD_SECOND / 50;
		for (uint8_t i = 0; i < w->n; i++)
			if (w->regions[i].up)
				step(w, i, (struct commit_event){.type = COMMIT_EVENT_TIMER});
		world_deliver(w, regions, 0);
		for (uint8_t i = 0; i < w->n; i++)
			if (!(regions & 1u << i))
				world_drop(w, 255, i, 0);
	}
}

void world_streams(struct world *w)
{
	for (uint8_t from = 0; from < w->n; from++) {
		uint32_t durable = w->regions[from].durable;
		for (uint32_t i = 0; w->regions[from].up && i < durable; i++) {
			struct world_entry entry = w->regions[from].entries[i];
			for (uint8_t to = 0; entry.streamed && to < w->n; to++) {
				struct world_region *region = &w->regions[to];
				bool has = to == from || !region->up;
				for (uint32_t j = 0; j < region->count && !has; j++)
					has = region->entries[j].streamed && region->entries[j].size == entry.size &&
					      !memcmp(region->entries[j].bytes, entry.bytes, entry.size);
				if (has)
					continue;
				entry_add(region, COMMIT_ENTRY_COMMIT, true, entry.bytes, entry.size, NULL, 0);
				step(w, to,
				    (struct commit_event){
				        .type = COMMIT_EVENT_STREAMED, .streamed = {entry.bytes, entry.size}});
			}
		}
	}
}

const struct world_answer *world_answer(const struct world *w, uint64_t route)
{
	for (uint32_t i = w->answer_count; i-- > 0;)
		if (w->answers[i].route == route)
			return &w->answers[i];
	return NULL;
}

const char *world_value(const struct world *w, uint8_t region, const char *key)
{
	for (uint32_t i = 0; i < WORLD_ROWS; i++) {
		const struct world_row *row = &w->regions[region].rows[i];
		if (row->used && strcmp(row->key, key) == 0 && row->row.live)
			return row->value;
	}
	return NULL;
}

uint32_t world_in_doubt(const struct world *w, uint8_t region)
{
	return commit_in_doubt(w->regions[region].machine, NULL, 0);
}
