/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/commit/world.h"

#include <assert.h>
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "commit/message.h"

static struct commit_effects effects;

static uint32_t hash_of(const uint8_t *key, uint32_t size)
{
	uint32_t hash = 2166136261u; /* FNV-1a */
	for (uint32_t i = 0; i < size; i++)
		hash = (hash ^ key[i]) * 16777619u;
	return hash;
}

static struct world_row **place_of(const struct world_rows *rows, const uint8_t *key, uint32_t size)
{
	uint32_t at = hash_of(key, size) & (rows->capacity - 1);
	while (rows->places[at] && (rows->places[at]->key_size != size || memcmp(rows->places[at]->key, key, size) != 0))
		at = (at + 1) & (rows->capacity - 1);
	return &rows->places[at];
}

static void rows_grow(struct world_rows *rows)
{
	struct world_rows old = *rows;
	rows->capacity = old.capacity ? old.capacity * 2 : 64;
	rows->places = calloc(rows->capacity, sizeof *rows->places);
	for (uint32_t i = 0; i < old.capacity; i++)
		if (old.places[i])
			*place_of(rows, (const uint8_t *)old.places[i]->key, old.places[i]->key_size) = old.places[i];
	free(old.places);
}

static struct world_row *row_of(struct world_rows *rows, const uint8_t *key, uint32_t size)
{
	if (2 * rows->count >= rows->capacity)
		rows_grow(rows);
	struct world_row **place = place_of(rows, key, size);
	if (!*place) {
		*place = calloc(1, sizeof **place);
		(*place)->key = malloc(size);
		memcpy((*place)->key, key, size);
		(*place)->key_size = size;
		rows->count++;
	}
	return *place;
}

static void rows_free(struct world_rows *rows)
{
	for (uint32_t i = 0; i < rows->capacity; i++) {
		if (rows->places[i])
			free(rows->places[i]->key);
		free(rows->places[i]);
	}
	free(rows->places);
	*rows = (struct world_rows){0};
}

static bool lookup(void *user, uint16_t keyspace, const uint8_t *key, uint32_t size, struct commit_row *out)
{
	(void)keyspace;
	struct world_region *region = user;
	struct world_row *row = row_of(&region->rows, key, size);
	*out = row->row;
	out->value = (const uint8_t *)row->value;
	out->value_size = (uint32_t)strlen(row->value);
	return !row->damaged;
}

static void step(struct world *w, uint8_t index, struct commit_event event);

static void entry_apply(struct world_rows *rows, const struct world_entry *entry)
{
	static struct commit_head head;
	struct commit_body body;
	if (entry->type != COMMIT_ENTRY_COMMIT)
		return;
	assert(commit_entry_open(entry->bytes, entry->size, &head, &body) == 0);
	uint32_t at = body.operations_at;
	for (uint32_t i = 0; i < body.operation_count; i++) {
		struct commit_operation o;
		commit_body_operation(&body, &at, &o);
		struct world_row *row = row_of(rows, o.key, o.key_size);
		struct commit_id before = row->row.version;
		commit_row_apply(&row->row, head.id, head.previous[i], &o);
		if (commit_id_compare(before, row->row.version) != 0) {
			memset(row->value, 0, sizeof row->value);
			memcpy(row->value, o.value, o.value_size < sizeof row->value ? o.value_size : sizeof row->value - 1);
		}
	}
}

static void apply(struct world_region *region)
{
	while (region->applied < region->durable)
		entry_apply(&region->rows, &region->entries[region->applied++]);
}

void world_sync_to(struct world *w, uint8_t index, uint32_t count)
{
	struct world_region *region = &w->regions[index];
	if (!region->up || region->durable >= count)
		return;
	region->durable = count;
	step(w, index,
	    (struct commit_event){
	        .type = COMMIT_EVENT_DURABLE, .durable = {region->durable - region->base, region->cut + region->durable}});
	apply(region);
	step(w, index, (struct commit_event){.type = COMMIT_EVENT_APPLIED, .applied = region->applied - region->base});
}

void world_sync(struct world *w, uint8_t index)
{
	world_sync_to(w, index, w->regions[index].count);
}

static void has_record(struct world_region *region, uint32_t record)
{
	if (record >= region->has_count) {
		uint32_t count = 2 * record + 64;
		region->has = realloc(region->has, count * sizeof *region->has);
		memset(region->has + region->has_count, 0, (count - region->has_count) * sizeof *region->has);
		region->has_count = count;
	}
	region->has[record] = true;
}

static void entry_add(struct world_region *region, struct world_entry entry)
{
	if (region->count == region->capacity) {
		region->capacity = region->capacity ? 2 * region->capacity : 64;
		region->entries = realloc(region->entries, region->capacity * sizeof *region->entries);
	}
	region->assigned.sequence[0] += entry.streamed;
	if (entry.streamed)
		has_record(region, entry.record);
	region->entries[region->count++] = entry;
}

static void effect_append(struct world *w, struct world_region *region, const struct commit_effect *e)
{
	struct world_entry entry = {
	    .type = e->append.type, .streamed = e->append.streamed, .size = e->append.head_size + e->append.body_size};
	entry.bytes = malloc(entry.size);
	memcpy(entry.bytes, e->append.head, e->append.head_size);
	if (e->append.body_size)
		memcpy(entry.bytes + e->append.head_size, e->append.body, e->append.body_size);
	if (entry.streamed)
		entry.record = ++w->record_count;
	entry_add(region, entry);
}

void world_inject(struct world *w, uint8_t from, uint8_t to, const struct commit_message *message)
{
	if (w->message_count == w->message_capacity) {
		w->message_capacity = w->message_capacity ? 2 * w->message_capacity : 1024;
		w->messages = realloc(w->messages, w->message_capacity * sizeof *w->messages);
	}
	size_t size = commit_message_size(message);
	struct world_message *m = &w->messages[w->message_count++];
	*m = (struct world_message){.from = from, .to = to, .type = message->type, .size = size, .bytes = malloc(size)};
	assert(commit_message_encode(message, m->bytes, size) == (long)size);
}

static void effect_answer(struct world *w, uint8_t index, const struct commit_answer *answer)
{
	if (w->answer_count == w->answer_capacity) {
		w->answer_capacity = w->answer_capacity ? 2 * w->answer_capacity : 256;
		w->answers = realloc(w->answers, w->answer_capacity * sizeof *w->answers);
	}
	struct world_answer *a = &w->answers[w->answer_count++];
	*a = (struct world_answer){.region = index,
	    .route = answer->route,
	    .arrived_ns = answer->arrived_ns,
	    .code = answer->code,
	    .version = answer->version};
	assert(answer->value_size < sizeof a->value);
	if (answer->value_size)
		memcpy(a->value, answer->value, answer->value_size);
}

static void step(struct world *w, uint8_t index, struct commit_event event)
{
	struct world_region *region = &w->regions[index];
	event.now_ns = w->now_ns;
	event.now_ms = (uint64_t)(1900000000000ll + (int64_t)(w->now_ns / 1000000) + region->clock_ms);
	do {
		commit_step(region->machine, &event, &effects);
		for (uint32_t i = 0; i < effects.count; i++) {
			const struct commit_effect *e = &effects.effects[i];
			if (e->type == COMMIT_EFFECT_APPEND)
				effect_append(w, region, e);
			else if (e->type == COMMIT_EFFECT_ANSWER)
				effect_answer(w, index, &e->answer);
			for (uint8_t to = 0; e->type == COMMIT_EFFECT_SEND && to < w->n; to++)
				if (e->send.to & 1u << to)
					world_inject(w, index, to, &e->send.message);
		}
		event.type = COMMIT_EVENT_CONTINUE;
	} while (effects.more);
	region->timer_ns = effects.timer_ns;
	const struct commit_counts *counts = commit_counts(region->machine);
	assert(counts->work_effects <= COMMIT_WORK_EFFECTS && counts->work_scratch <= COMMIT_WORK_SCRATCH);
	if (!region->slow_disk && region->durable != region->count)
		world_sync(w, index);
}

static void bound_of(const struct world_entry *entry, uint64_t *bound)
{
	uint64_t stored;
	if (entry->type != COMMIT_ENTRY_BOUND)
		return;
	memcpy(&stored, entry->bytes, sizeof stored);
	*bound = stored > *bound ? stored : *bound;
}

void world_start(struct world *w, uint8_t index)
{
	world_start_damaged(w, index, NULL);
}

void world_start_damaged(struct world *w, uint8_t index, const char *damaged)
{
	struct world_region *region = &w->regions[index];
	assert(!region->up);
	region->up = true;
	region->durable = region->base = region->count;
	rows_free(&region->rows);
	for (uint32_t i = 0; i < region->trimmed.capacity; i++)
		if (region->trimmed.places[i]) {
			const struct world_row *row = region->trimmed.places[i];
			struct world_row *copy = row_of(&region->rows, (const uint8_t *)row->key, row->key_size);
			memcpy(copy->value, row->value, sizeof row->value);
			copy->row = row->row;
		}
	region->applied = 0;
	apply(region);
	if (damaged)
		row_of(&region->rows, (const uint8_t *)damaged, (uint32_t)strlen(damaged))->damaged = true;
	uint64_t bound = region->cut_bound;
	for (uint32_t i = 0; i < region->count; i++)
		bound_of(&region->entries[i], &bound);
	struct commit_options options = w->options;
	options.region = index;
	options.regions = (1u << w->n) - 1;
	options.incarnation = ++region->starts * 100 + index;
	options.lookup = lookup;
	options.user = region;
	options.assigned = &region->assigned;
	assert(commit_new(&region->machine, &options, bound, region->cut ? region->forgotten_hlc : 0) == 0);
	uint32_t count = region->count;
	for (uint32_t i = 0; i < count; i++)
		step(w, index,
		    (struct commit_event){.type = COMMIT_EVENT_REPLAY,
		        .replay = {region->entries[i].type, region->entries[i].bytes, region->entries[i].size, region->cut + i,
		            region->entries[i].streamed}});
	assert(commit_replayed(region->machine));
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

static uint64_t capacity(uint64_t given, uint64_t otherwise, uint64_t shipped)
{
	return given == shipped ? 0 : given ? given : otherwise;
}

struct world *world_new_with(uint32_t n, const struct commit_options *options)
{
	struct world *w = calloc(1, sizeof *w);
	struct commit_options *o = &w->options;
	*o = *options;
	o->transactions = (uint32_t)capacity(o->transactions, 256, UINT32_MAX);
	o->requests = (uint32_t)capacity(o->requests, 1024, UINT32_MAX);
	o->reads = (uint32_t)capacity(o->reads, 64, UINT32_MAX);
	o->keys = (uint32_t)capacity(o->keys, 8192, UINT32_MAX);
	o->memory = (uint32_t)capacity(o->memory, 4096, UINT32_MAX);
	o->arena = capacity(o->arena, 16u << 20, UINT64_MAX);
	o->resend_ns = capacity(o->resend_ns, WORLD_SECOND / 5, UINT64_MAX);
	o->in_doubt_ns = capacity(o->in_doubt_ns, WORLD_SECOND, UINT64_MAX);
	o->unstreamed_ns = capacity(o->unstreamed_ns, 5 * WORLD_SECOND, UINT64_MAX);
	assert(n <= WORLD_REGIONS);
	w->n = n;
	w->deadline_ns = 2 * WORLD_SECOND;
	w->now_ns = WORLD_SECOND;
	for (uint8_t i = 0; i < n; i++)
		world_start(w, i);
	return w;
}

struct world *world_new(uint32_t n)
{
	return world_new_with(n, &(struct commit_options){0});
}

struct world *world_new_forgetful(uint32_t n)
{
	return world_new_with(n, &(struct commit_options){.memory = 8});
}

void world_free(struct world *w)
{
	for (uint8_t i = 0; i < w->n; i++) {
		world_lose(w, i);
		rows_free(&w->regions[i].rows);
		rows_free(&w->regions[i].trimmed);
		free(w->regions[i].entries);
		free(w->regions[i].has);
	}
	while (w->message_count)
		free(w->messages[--w->message_count].bytes);
	free(w->messages);
	free(w->answers);
	free(w);
}

void world_trim(struct world *w, uint8_t index)
{
	struct world_region *region = &w->regions[index];
	assert(region->durable == region->count);
	region->forgotten_hlc = commit_newest_hlc(region->machine);
	uint32_t count = (uint32_t)(commit_oldest_lsn(region->machine) - region->cut);
	world_kill(w, index);
	for (uint32_t i = 0; i < count; i++) {
		entry_apply(&region->trimmed, &region->entries[i]);
		bound_of(&region->entries[i], &region->cut_bound);
		free(region->entries[i].bytes);
	}
	memmove(region->entries, region->entries + count, (region->count - count) * sizeof *region->entries);
	region->cut += count;
	region->count -= count;
	region->durable = region->count;
	world_start(w, index);
}

void world_peers(struct world *w, uint8_t index, uint32_t mask)
{
	step(w, index, (struct commit_event){.type = COMMIT_EVENT_PEERS, .peers = mask});
}

void world_refuse(struct world *w, uint8_t index, int code)
{
	step(w, index, (struct commit_event){.type = COMMIT_EVENT_REFUSE, .refuse = {.code = code}});
}

void world_refuse_but_deletes(struct world *w, uint8_t index, int code)
{
	step(w, index, (struct commit_event){.type = COMMIT_EVENT_REFUSE, .refuse = {.code = code, .takes_deletes = true}});
}

struct commit_operation world_operation(enum commit_kind kind, const char *key, const char *value)
{
	return (struct commit_operation){.kind = (uint8_t)kind,
	    .key = (const uint8_t *)key,
	    .key_size = (uint32_t)strlen(key),
	    .value = (const uint8_t *)value,
	    .value_size = value ? (uint32_t)strlen(value) : 0};
}

/* What a client of that region had read of its clock when it sent the request first. */
static uint64_t token(const struct world *w, uint8_t region, uint64_t age_ms)
{
	if (w->after)
		return w->after;
	uint64_t now = commit_token(w->regions[region].machine);
	return now > age_ms << 16 ? now - (age_ms << 16) : 1;
}

void world_transaction(struct world *w, uint8_t region, uint64_t route, uint64_t client, uint64_t number, uint32_t count,
    const struct commit_operation *operations)
{
	step(w, region,
	    (struct commit_event){.type = COMMIT_EVENT_TRANSACTION,
	        .transaction = {.route = route,
	            .client_id = client,
	            .number = number,
	            .after = token(w, region, 0),
	            .ack_all = w->ack_all,
	            .deadline_ns = w->now_ns + w->deadline_ns,
	            .arrived_ns = w->arrived_ns,
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
	            .after = token(w, region, age_ms),
	            .moved = w->moved,
	            .ack_all = w->ack_all,
	            .deadline_ns = w->now_ns + w->deadline_ns,
	            .arrived_ns = w->arrived_ns,
	            .count = 1,
	            .operations = operation}});
}

void world_damage(struct world *w, uint8_t region, const char *key)
{
	row_of(&w->regions[region].rows, (const uint8_t *)key, (uint32_t)strlen(key))->damaged = true;
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
	            .deadline_ns = w->now_ns + w->deadline_ns,
	            .key = (const uint8_t *)key,
	            .key_size = (uint32_t)strlen(key)}});
}

/* Those that were taken have no bytes any more. */
static void messages_close_up(struct world *w)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < w->message_count; i++)
		if (w->messages[i].bytes)
			w->messages[kept++] = w->messages[i];
	w->message_count = kept;
}

uint32_t world_deliver(struct world *w, uint32_t regions, uint8_t type)
{
	static struct commit_seen seen[COMMIT_OPERATIONS_MAX];
	uint32_t count = 0;
	for (uint32_t i = 0; i < w->message_count; i++) {
		struct world_message m = w->messages[i];
		bool mine = (regions & 1u << m.from) && (regions & 1u << m.to) && w->regions[m.to].up;
		if (!mine || (type && m.type != type))
			continue;
		w->messages[i].bytes = NULL;
		struct commit_message message;
		assert(commit_message_decode(&message, seen, m.bytes, m.size) == 0);
		step(w, m.to, (struct commit_event){.type = COMMIT_EVENT_MESSAGE, .message = {m.from, &message}});
		free(m.bytes);
		count++;
		assert(count < 10000000);
	}
	messages_close_up(w);
	return count;
}

struct commit_message world_waiting(const struct world *w, uint8_t type)
{
	static struct commit_seen seen[COMMIT_OPERATIONS_MAX];
	struct commit_message m = {0};
	for (uint32_t i = w->message_count; i-- > 0;)
		if (w->messages[i].type == type) {
			assert(commit_message_decode(&m, seen, w->messages[i].bytes, w->messages[i].size) == 0);
			return m;
		}
	return m;
}

uint32_t world_drop(struct world *w, uint8_t from, uint8_t to, uint8_t type)
{
	uint32_t before = w->message_count;
	for (uint32_t i = 0; i < w->message_count; i++) {
		struct world_message *m = &w->messages[i];
		if ((from != 255 && m->from != from) || (to != 255 && m->to != to) || (type && m->type != type))
			continue;
		free(m->bytes);
		m->bytes = NULL;
	}
	messages_close_up(w);
	return before - w->message_count;
}

uint32_t world_pending(const struct world *w, uint8_t type)
{
	uint32_t count = 0;
	for (uint32_t i = 0; i < w->message_count; i++)
		count += w->messages[i].type == type;
	return count;
}

void world_timer(struct world *w, uint8_t region)
{
	step(w, region, (struct commit_event){.type = COMMIT_EVENT_TIMER});
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

void world_tick(struct world *w, uint8_t index, uint64_t ns)
{
	w->now_ns += ns;
	step(w, index, (struct commit_event){.type = COMMIT_EVENT_TIMER});
}

void world_streams(struct world *w)
{
	for (uint8_t from = 0; from < w->n; from++) {
		uint32_t durable = w->regions[from].durable;
		for (uint32_t i = 0; w->regions[from].up && i < durable; i++) {
			struct world_entry entry = w->regions[from].entries[i];
			for (uint8_t to = 0; entry.streamed && to < w->n; to++) {
				struct world_region *region = &w->regions[to];
				if (to == from || !region->up || !commit_room(region->machine) ||
				    (entry.record < region->has_count && region->has[entry.record]))
					continue;
				struct world_entry copy = entry;
				copy.bytes = malloc(entry.size);
				memcpy(copy.bytes, entry.bytes, entry.size);
				entry_add(region, copy);
				step(w, to,
				    (struct commit_event){.type = COMMIT_EVENT_STREAMED, .streamed = {copy.bytes, copy.size}});
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

struct world_row *world_row(const struct world *w, uint8_t region, const char *key)
{
	const struct world_rows *rows = &w->regions[region].rows;
	return rows->capacity ? *place_of(rows, (const uint8_t *)key, (uint32_t)strlen(key)) : NULL;
}

const char *world_value(const struct world *w, uint8_t region, const char *key)
{
	const struct world_row *row = world_row(w, region, key);
	return row && row->row.live ? row->value : NULL;
}

uint32_t world_in_doubt(const struct world *w, uint8_t region)
{
	return commit_in_doubt(w->regions[region].machine, NULL, 0);
}

int world_code(const struct world *w, uint64_t route)
{
	const struct world_answer *answer = world_answer(w, route);
	return answer ? answer->code : 1;
}

void world_say(struct world *w, uint8_t from, uint8_t to, struct commit_message message)
{
	world_inject(w, from, to, &message);
	world_deliver(w, 1u << from | 1u << to, message.type);
}

uint64_t world_ballot(uint64_t round, uint8_t region)
{
	return round * REGIONS_MAX + region;
}

void world_put_without_0(struct world *w, uint64_t route, const char *key)
{
	world_put(w, 1, route, key, "theirs");
	world_deliver(w, 6, COMMIT_PREPARE);
	world_deliver(w, 6, COMMIT_VOTE);
	cr_assert_eq(world_code(w, route), ERR_OK);
	world_drop(w, 255, 255, 0);
}

void world_expect_quiet(struct world *w, uint32_t regions)
{
	world_streams(w);
	for (uint8_t r = 0; r < w->n; r++) {
		if (!(regions & 1u << r))
			continue;
		cr_assert_eq(world_in_doubt(w, r), 0, "region %u has something in doubt", r);
		cr_assert_eq(commit_held_keys(w->regions[r].machine), 0, "region %u holds keys", r);
	}
}
