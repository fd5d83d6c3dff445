/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "commit/state.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

/* Eight stamps that one region gives out after each other share a cache line of buckets, since they are met together, too. */
static uint32_t id_hash(struct commit_id id)
{
	uint32_t line = (uint32_t)(((id.hlc >> 3 ^ (uint64_t)id.region << 56) * 0x9e3779b97f4a7c15ull) >> 32);
	return line << 3 | ((uint32_t)(id.hlc ^ hlc_milliseconds(id.hlc)) & 7);
}

/* What nobody but recoveries may take lets a few of the largest transactions in at once, whatever is undecided here; and of the
 * keys, streams have room for two of the largest commits. */
static void tables_reserve(struct commit *c)
{
	uint32_t largest = COMMIT_OPERATIONS_MAX;
	c->keys_left[CLAIM_COMMIT] = 0;
	c->keys_left[CLAIM_RECOVERY] = 2 * largest;
	c->keys_left[CLAIM_NEW] = 2 * largest + (c->options.keys / 8 > 2 * largest ? c->options.keys / 8 : 2 * largest);
}

#define LOOK_SIZE ((sizeof(struct recovery) + COMMIT_OPERATIONS_MAX * sizeof(struct commit_seen) + 63) & ~(size_t)63)

static struct recovery *look_at(const struct commit *c, uint32_t place)
{
	return (struct recovery *)(void *)(c->looks + place * LOOK_SIZE);
}

/* The look that has lasted longest ends, if it had time to be answered: its transaction looks again later. */
static void look_end_oldest(struct commit *c)
{
	if (c->now_ns < c->look_ends_ns)
		return;
	const struct recovery *oldest = look_at(c, 0);
	for (uint32_t i = 1; i < c->look_count; i++)
		if (look_at(c, i)->begun_ns < oldest->begun_ns)
			oldest = look_at(c, i);
	c->look_ends_ns = oldest->begun_ns + c->options.in_doubt_ns;
	if (c->look_ends_ns <= c->now_ns)
		recover_end(c, &c->transactions[oldest->transaction]);
}

/* Whoever had a place comes again when all others could have had one. */
static bool is_turn(const struct commit *c, const struct transaction *t)
{
	uint64_t turns = c->transaction_count / c->look_count + 1;
	return !t->looked_ns || c->now_ns >= t->looked_ns + turns * c->options.in_doubt_ns;
}

struct recovery *look_take(struct commit *c, struct transaction *t)
{
	uint32_t operations = t->operations ? t->body.operation_count : 0;
	size_t size = sizeof(struct recovery) + operations * sizeof(struct commit_seen);
	struct recovery *look = arena_take(&c->arena, size);
	if (!look) {
		if (!is_turn(c, t))
			return NULL;
		if (!c->look_free_count)
			look_end_oldest(c);
		if (!c->look_free_count)
			return NULL;
		look = look_at(c, c->looks_free[--c->look_free_count]);
		t->looked_ns = c->now_ns;
	}
	memset(look, 0, size);
	look->transaction = transaction_index(c, t);
	look->begun_ns = c->now_ns;
	look->seen_count = operations;
	return look;
}

void look_give(struct commit *c, struct recovery *look)
{
	uint8_t *at = (uint8_t *)look;
	if (at >= c->looks && at < c->looks + c->look_count * LOOK_SIZE)
		c->looks_free[c->look_free_count++] = (uint32_t)((size_t)(at - c->looks) / LOOK_SIZE);
	else
		blob_free(c, look);
}

#define TABLES 20u

/* What malloc gave, or would have. */
static void tables_list(const struct commit *c, void *all[static TABLES])
{
	void *const list[] = {c->transactions, c->transaction_buckets, c->requests, c->keys, c->key_buckets, c->reads,
	    c->waiting_reads, c->waiting_read_buckets, c->actions, c->committed.list, c->committed.buckets, c->aborted.list,
	    c->aborted.buckets, c->history, c->history_buckets, c->wakes, c->freed, c->body, c->looks, c->looks_free};
	static_assert(sizeof list == TABLES * sizeof *list, "each table");
	memcpy(all, list, sizeof list);
}

int tables_init(struct commit *c)
{
	struct commit_options *o = &c->options;
	c->memory_size = o->memory;
	/* What nothing can hold back while the disk stands still: an answer to each request, and each transaction withdrawn and
	 * decided; and what one event adds. Messages, own transactions that begin, ballots and votes come only while that much
	 * is free, clients' requests and streams while half as much again is. */
	c->action_reserve = o->requests + 2 * o->transactions + 4 * COMMIT_OPERATIONS_MAX;
	c->action_capacity = 2 * c->action_reserve + 4096;
	c->transaction_slots = c->n * o->transactions;
	c->transactions = calloc(c->transaction_slots, sizeof *c->transactions);
	c->transaction_buckets = calloc(o->keys, sizeof *c->transaction_buckets);
	c->requests = calloc(o->requests, sizeof *c->requests);
	c->keys = calloc(o->keys, sizeof *c->keys);
	c->long_keys = pages_take((size_t)o->keys * KEY_SIZE_MAX);
	c->key_buckets = calloc(o->keys, sizeof *c->key_buckets);
	c->reads = calloc(o->reads, sizeof *c->reads);
	c->waiting_reads = calloc(o->reads, sizeof *c->waiting_reads);
	for (c->waiting_read_bucket_count = 1; c->waiting_read_bucket_count < o->reads;)
		c->waiting_read_bucket_count *= 2;
	c->waiting_read_buckets = malloc(c->waiting_read_bucket_count * sizeof *c->waiting_read_buckets);
	c->actions = calloc(c->action_capacity, sizeof *c->actions);
	for (int i = 0; i < 2; i++) {
		struct decisions *d = i ? &c->aborted : &c->committed;
		d->list = calloc(c->memory_size, sizeof *d->list);
		d->buckets = calloc(c->memory_size, sizeof *d->buckets);
	}
	c->history = calloc(c->memory_size, sizeof *c->history);
	c->history_buckets = calloc(c->memory_size, sizeof *c->history_buckets);
	c->body = malloc(COMMIT_BODY_MAX);
	c->wakes = calloc(o->keys, sizeof *c->wakes);
	c->freed = calloc((o->arena + o->arena / 8) / ARENA_BLOCK, sizeof *c->freed);
	c->look_count = c->look_free_count = o->transactions / 64 > 8 ? o->transactions / 64 : 8;
	c->looks = malloc(c->look_count * LOOK_SIZE);
	c->looks_free = calloc(c->look_count, sizeof *c->looks_free);
	void *all[TABLES];
	tables_list(c, all);
	for (size_t i = 0; i < TABLES; i++)
		if (!all[i])
			return ERR_NO_MEMORY;
	if (!c->long_keys || arena_init(&c->arena, o->arena) < 0 || arena_init(&c->spare, o->arena / 8) < 0)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < c->look_count; i++)
		c->looks_free[i] = i;
	tables_reserve(c);
	for (uint32_t i = 0; i < o->keys; i++) {
		c->transaction_buckets[i] = c->key_buckets[i] = NOBODY;
		c->keys[i].chain = i + 1 < o->keys ? i + 1 : NOBODY;
	}
	for (uint32_t i = 0; i < o->requests; i++)
		c->requests[i].newer = i + 1 < o->requests ? i + 1 : NOBODY;
	for (uint32_t i = 0; i < o->reads; i++) {
		c->reads[i].newer = i + 1 < o->reads ? i + 1 : NOBODY;
		c->waiting_reads[i].next = i + 1 < o->reads ? i + 1 : NOBODY;
	}
	memset(c->waiting_read_buckets, 0xff, c->waiting_read_bucket_count * sizeof *c->waiting_read_buckets); /* NOBODY */
	c->waiting_read_newest = c->waiting_read_oldest = NOBODY;
	c->transaction_free = c->transaction_newest = c->transaction_oldest = NOBODY;
	c->request_newest = c->request_oldest = c->request_gathering = NOBODY;
	c->read_newest = c->read_oldest = NOBODY;
	c->apply_newest = c->apply_oldest = c->left_newest = c->left_oldest = NOBODY;
	/* What is under way is remembered as well, and never forgotten: there must be room for more than that. */
	uint32_t answers = c->memory_size;
	while (answers < 2 * o->requests)
		answers *= 2;
	void *storage = calloc(1, reply_cache_storage(answers));
	reply_cache_init(&c->reply_cache, answers, storage);
	return storage ? 0 : ERR_NO_MEMORY;
}

void tables_free(struct commit *c)
{
	void *all[TABLES];
	tables_list(c, all);
	for (size_t i = 0; i < TABLES; i++)
		free(all[i]);
	pages_give(c->long_keys, (size_t)c->options.keys * KEY_SIZE_MAX);
	arena_deinit(&c->arena);
	arena_deinit(&c->spare);
	free(c->reply_cache.storage);
}

void blob_give(struct commit *c, void *blob)
{
	uint8_t *at = blob;
	bool is_spare = at >= c->spare.bytes && at < c->spare.bytes + c->spare.size;
	arena_give(is_spare ? &c->spare : &c->arena, blob);
}

void blob_free(struct commit *c, void *blob)
{
	if (!blob)
		return;
	assert(c->freed_count < (c->arena.size + c->spare.size) / ARENA_BLOCK);
	c->freed[c->freed_count++] = blob;
}

/* A region's own next stamp is above all that it knows of and may forget. */
static void stamp_met(struct commit *c, uint64_t hlc)
{
	if (hlc > c->newest_hlc)
		c->newest_hlc = hlc;
	hlc_learn(&c->clock, hlc);
}

/* ---- transactions ---- */

struct transaction *transaction_find(const struct commit *c, struct commit_id id)
{
	uint32_t at = c->transaction_buckets[id_hash(id) & (c->options.keys - 1)];
	while (at != NOBODY && !commit_id_equal(c->transactions[at].id, id))
		at = c->transactions[at].hash_next;
	return at == NOBODY ? NULL : &c->transactions[at];
}

bool transaction_learn(struct commit *c, struct transaction *t, const uint8_t *bytes, uint32_t size, enum claim claim)
{
	if (t->operations)
		return true;
	struct commit_body body;
	if (commit_body_open(&body, bytes, size) < 0)
		return false;
	t->blank = true;
	size_t states = body.operation_count * sizeof *t->operations;
	uint8_t *blob = arena_take(&c->arena, states + size);
	if (!blob && claim != CLAIM_NEW)
		blob = arena_take(&c->spare, states + size);
	if (!blob)
		return false;
	struct operation_state *operations = (struct operation_state *)(void *)blob;
	memcpy(blob + states, bytes, size);
	body.bytes = blob + states;
	uint32_t at = body.operations_at, i;
	bool good = true;
	for (i = 0; i < body.operation_count && good; i++) {
		struct commit_operation operation;
		commit_body_operation(&body, &at, &operation);
		operations[i] = (struct operation_state){.next = NOBODY};
		operations[i].key = key_take(c, operation.keyspace, operation.key, operation.key_size, claim);
		good = operations[i].key != NOBODY;
		if (good && c->keys[operations[i].key].damaged) {
			key_give(c, operations[i].key);
			good = false;
		}
		/* One operation a key: holders are listed by it. */
		for (uint32_t j = 0; j < i && good; j++) {
			if (operations[j].key == operations[i].key) {
				key_give(c, operations[i].key);
				good = false;
			}
		}
	}
	if (!good) {
		for (uint32_t j = 0; j + 1 < i; j++)
			key_give(c, operations[j].key);
		blob_give(c, blob);
		return false;
	}
	t->operations = operations;
	t->body = body;
	t->blank = false;
	if (t->phase == PHASE_PROMISING) {
		recover_end(c, t);
		t->next_ns = c->now_ns;
	}
	return true;
}

/* Each region has at most `transactions` undecided of its own, and keeps them. So there is a place for whatever is undecided
 * anywhere, and a promise is not refused for want of one; nor does what others ask about keep this region from beginning. */
static bool place_is_left(const struct commit *c, enum claim claim)
{
	uint32_t others = c->transaction_count - c->begun_count;
	if (c->transaction_count >= c->transaction_slots)
		return false;
	if (claim == CLAIM_NEW)
		return c->begun_count < c->options.transactions;
	return claim == CLAIM_REPLAY || others < c->transaction_slots - c->options.transactions;
}

struct transaction *transaction_new(
    struct commit *c, struct commit_id id, const uint8_t *bytes, uint32_t size, enum claim claim)
{
	if (!place_is_left(c, claim))
		return NULL;
	bool fresh = c->transaction_free == NOBODY;
	uint32_t index = fresh ? c->transaction_touched : c->transaction_free;
	struct transaction *t = &c->transactions[index];
	uint32_t next_free = fresh ? NOBODY : t->newer;
	memset(t, 0, sizeof *t);
	t->id = id;
	if (bytes && !transaction_learn(c, t, bytes, size, claim) && claim != CLAIM_RECOVERY) {
		t->newer = next_free;
		return NULL;
	}
	stamp_met(c, id.hlc);
	c->transaction_free = next_free;
	c->transaction_touched += fresh;
	t->begun = claim == CLAIM_NEW;
	c->begun_count += t->begun;
	t->serial = ++c->serial;
	t->wait_key = t->wait_next = t->requests = NOBODY;
	t->since_ns = t->touched_ns = c->now_ns;
	t->first_lsn = UINT64_MAX;
	t->older = c->transaction_newest;
	t->newer = NOBODY;
	if (t->older != NOBODY)
		c->transactions[t->older].newer = index;
	else
		c->transaction_oldest = index;
	c->transaction_newest = index;
	uint32_t *bucket = &c->transaction_buckets[id_hash(id) & (c->options.keys - 1)];
	t->hash_next = *bucket;
	*bucket = index;
	c->transaction_count++;
	return t;
}

void transaction_free(struct commit *c, struct transaction *t)
{
	uint32_t index = transaction_index(c, t);
	assert(t->serial && !t->holding && t->wait_key == NOBODY && t->requests == NOBODY);
	recover_end(c, t);
	left_remove(c, t);
	for (uint32_t i = 0; t->operations && i < t->body.operation_count; i++)
		key_give(c, t->operations[i].key);
	blob_free(c, t->operations);
	t->operations = NULL;
	uint32_t *link = &c->transaction_buckets[id_hash(t->id) & (c->options.keys - 1)];
	while (*link != index)
		link = &c->transactions[*link].hash_next;
	*link = t->hash_next;
	if (c->sweep == SWEEP_TRANSACTIONS && c->timer_place == index)
		c->timer_place = t->newer;
	if (t->older != NOBODY)
		c->transactions[t->older].newer = t->newer;
	else
		c->transaction_oldest = t->newer;
	if (t->newer != NOBODY)
		c->transactions[t->newer].older = t->older;
	else
		c->transaction_newest = t->older;
	t->serial = 0;
	t->newer = c->transaction_free;
	c->transaction_free = index;
	c->transaction_count--;
	c->begun_count -= t->begun;
}

/* ---- keys ---- */

void key_load(struct commit *c, struct key *key)
{
	key->row = (struct commit_row){0};
	key->damaged = !c->options.lookup(c->options.user, key->keyspace, key->bytes, key->size, &key->row);
	if (key->damaged)
		key->row = (struct commit_row){0};
	key->row.value = NULL;
	key->row.value_size = 0;
}

uint64_t key_hash(const struct commit *c, uint16_t keyspace, const uint8_t *bytes, uint32_t size)
{
	/* The history tells keys apart by this alone, and clients choose the keys: nobody can know the seed, another at each
	 * start. */
	return XXH3_64bits_withSeed(bytes, size, c->options.incarnation ^ (uint64_t)keyspace << 48);
}

uint32_t key_take(struct commit *c, uint16_t keyspace, const uint8_t *bytes, uint32_t size, enum claim claim)
{
	uint64_t hash = key_hash(c, keyspace, bytes, size);
	uint32_t *bucket = &c->key_buckets[hash & (c->options.keys - 1)];
	for (uint32_t at = *bucket; at != NOBODY; at = c->keys[at].chain) {
		struct key *key = &c->keys[at];
		if (key->hash == hash && key->keyspace == keyspace && key->size == size && !memcmp(key->bytes, bytes, size)) {
			key->references++;
			return at;
		}
	}
	if (c->key_count + c->keys_left[claim] >= c->options.keys)
		return NOBODY;
	uint32_t index = c->key_free;
	struct key *key = &c->keys[index];
	uint32_t next_free = key->chain;
	memset(key, 0, sizeof *key);
	key->chain = next_free;
	key->bytes = size > KEY_INLINE ? c->long_keys + (size_t)index * KEY_SIZE_MAX : key->inline_bytes;
	c->key_free = next_free;
	memcpy(key->bytes, bytes, size);
	key->hash = hash;
	key->keyspace = keyspace;
	key->size = (uint16_t)size;
	key->used = true;
	key->references = 1;
	key->holders = key->prepare_first = key->request_first = key->request_last = key->read_first = NOBODY;
	key->read_last = NOBODY;
	key->chain = *bucket;
	*bucket = index;
	c->key_count++;
	if (c->started)
		key_load(c, key); /* at a start only those that are still wanted in the end */
	return index;
}

void key_give(struct commit *c, uint32_t index)
{
	struct key *key = &c->keys[index];
	assert(key->used && key->references);
	if (--key->references)
		return;
	assert(key->holders == NOBODY && key->prepare_first == NOBODY && key->request_first == NOBODY &&
	       key->read_first == NOBODY);
	uint32_t *link = &c->key_buckets[key->hash & (c->options.keys - 1)];
	while (*link != index)
		link = &c->keys[*link].chain;
	*link = key->chain;
	key->used = false;
	key->chain = c->key_free;
	c->key_free = index;
	c->key_count--;
}

void hold(struct commit *c, struct transaction *t)
{
	if (t->holding)
		return;
	t->holding = true;
	t->hold_serial = ++c->serial;
	for (uint32_t i = 0; i < t->body.operation_count; i++) {
		struct key *key = &c->keys[t->operations[i].key];
		if (key->holders == NOBODY)
			c->held_keys++;
		t->operations[i].next = key->holders;
		key->holders = transaction_index(c, t) << 8 | i;
	}
}

void unhold(struct commit *c, struct transaction *t)
{
	if (!t->holding)
		return;
	t->holding = false;
	for (uint32_t i = 0; i < t->body.operation_count; i++) {
		uint32_t index = t->operations[i].key, self = transaction_index(c, t) << 8 | i;
		struct key *key = &c->keys[index];
		uint32_t *link = &key->holders;
		while (*link != self)
			link = &c->transactions[*link >> 8].operations[*link & 255].next;
		*link = t->operations[i].next;
		if (key->holders == NOBODY)
			c->held_keys--;
		wake(c, index);
	}
}

void wake(struct commit *c, uint32_t index)
{
	struct key *key = &c->keys[index];
	if (key->waking || (key->prepare_first == NOBODY && key->request_first == NOBODY && key->read_first == NOBODY))
		return;
	key->waking = true;
	key->references++;
	c->wakes[c->wake_tail++ % c->options.keys] = index;
}

/* ---- keys whose newest commit is not in the rows yet ---- */

void apply_remove(struct commit *c, uint32_t index)
{
	struct key *key = &c->keys[index];
	if (key->apply_older != NOBODY)
		c->keys[key->apply_older].apply_newer = key->apply_newer;
	else
		c->apply_oldest = key->apply_newer;
	if (key->apply_newer != NOBODY)
		c->keys[key->apply_newer].apply_older = key->apply_older;
	else
		c->apply_newest = key->apply_older;
	key->applying = false;
}

bool apply_add(struct commit *c, uint32_t index)
{
	struct key *key = &c->keys[index];
	bool added = !key->applying;
	if (!added)
		apply_remove(c, index);
	key->applying = true;
	key->apply_ticket = c->ticket;
	key->apply_older = c->apply_newest;
	key->apply_newer = NOBODY;
	if (key->apply_older != NOBODY)
		c->keys[key->apply_older].apply_newer = index;
	else
		c->apply_oldest = index;
	c->apply_newest = index;
	return added;
}

/* ---- what was decided ---- */

static bool kept(const struct commit *c, uint64_t count, uint64_t place)
{
	return place && place + c->memory_size > count;
}

static bool decisions_have(const struct commit *c, const struct decisions *decisions, struct commit_id id)
{
	uint64_t place = decisions->buckets[id_hash(id) & (c->memory_size - 1)];
	while (kept(c, decisions->count, place)) {
		const struct decided *d = &decisions->list[place & (c->memory_size - 1)];
		if (commit_id_equal(d->id, id))
			return true;
		place = d->next;
	}
	return false;
}

/* Asked of nearly every message, and nearly always of something new: no table is looked at for what is later than all that was
 * decided of its region, nor for what is under way here (that is decided only while it is `noted` or `committing`). */
uint8_t decided_find(const struct commit *c, struct commit_id id)
{
	if (id.hlc > c->decided_hlc[id.region])
		return COMMIT_UNDECIDED;
	const struct transaction *t = transaction_find(c, id);
	if (t)
		return t->noted || t->committing ? COMMIT_COMMITTED : COMMIT_UNDECIDED;
	if (decisions_have(c, &c->committed, id))
		return COMMIT_COMMITTED;
	if (decisions_have(c, &c->aborted, id))
		return COMMIT_ABORTED;
	return COMMIT_UNDECIDED;
}

void decided_add(struct commit *c, struct commit_id id, uint8_t value)
{
	bool commits = value == COMMIT_COMMITTED;
	struct decisions *decisions = commits ? &c->committed : &c->aborted;
	uint64_t *forgotten = commits ? &c->forgotten_commit_hlc : &c->forgotten_abort_hlc;
	uint64_t place = ++decisions->count;
	struct decided *d = &decisions->list[place & (c->memory_size - 1)];
	if (d->id.hlc > *forgotten)
		*forgotten = d->id.hlc;
	if (id.hlc > c->decided_hlc[id.region])
		c->decided_hlc[id.region] = id.hlc;
	stamp_met(c, id.hlc);
	uint64_t *bucket = &decisions->buckets[id_hash(id) & (c->memory_size - 1)];
	*d = (struct decided){.id = id, .next = *bucket};
	*bucket = place;
}

void history_add(struct commit *c, uint64_t hash, struct commit_id id, struct commit_id previous, bool writes, bool live)
{
	uint64_t *bucket = &c->history_buckets[hash & (c->memory_size - 1)];
	uint64_t place = ++c->history_count;
	struct history *h = &c->history[place & (c->memory_size - 1)];
	*h =
	    (struct history){.key_hash = hash, .next = *bucket, .id = id, .previous = previous, .writes = writes, .live = live};
	*bucket = place;
}

static void replaced(struct commit_id id, struct commit_id newer, struct commit_id older, struct commit_seen *seen,
    struct proof *proof, bool *above_known)
{
	if (commit_id_compare(newer, id) > 0) {
		if (commit_id_compare(older, id) < 0)
			proof->dead = true;
		if (commit_id_compare(older, id) <= 0)
			*above_known = true; /* what lies directly above: id itself was replaced, or something below it */
	} else if (commit_id_equal(newer, id)) {
		proof->committed = true;
	} else if (commit_id_compare(newer, seen->stamp) > 0) {
		seen->stamp = newer;
	}
	if (commit_id_equal(older, id) && !commit_id_equal(newer, id))
		proof->committed = true;
	if (commit_id_compare(older, id) < 0 && commit_id_compare(older, seen->stamp) > 0)
		seen->stamp = older;
}

void history_below(
    const struct commit *c, const struct key *key, struct commit_id id, struct commit_seen *seen, struct proof *proof)
{
	*seen = (struct commit_seen){0};
	bool above_known = false;
	const struct commit_row *row = &key->row;
	replaced(id, row->stamp, row->previous, seen, proof, &above_known);
	if (commit_id_compare(row->version, id) < 0) {
		seen->version = row->version;
		seen->live = row->live;
	}
	uint64_t place = c->history_buckets[key->hash & (c->memory_size - 1)];
	for (; kept(c, c->history_count, place); place = c->history[place & (c->memory_size - 1)].next) {
		const struct history *h = &c->history[place & (c->memory_size - 1)];
		if (h->key_hash != key->hash)
			continue;
		replaced(id, h->id, h->previous, seen, proof, &above_known);
		if (h->writes && commit_id_compare(h->id, id) < 0 && commit_id_compare(h->id, seen->version) > 0) {
			seen->version = h->id;
			seen->live = h->live;
		}
	}
	if (commit_id_compare(row->stamp, id) > 0 && !above_known)
		proof->forgotten = true;
}

bool history_replaced(const struct commit *c, const struct key *key, struct commit_id version)
{
	struct commit_id at = version;
	for (bool found = true; found;) {
		const struct commit_row *row = &key->row;
		found = commit_id_equal(row->previous, at) && !commit_id_equal(row->stamp, at);
		struct commit_id above = row->stamp;
		bool writes = commit_id_equal(row->version, row->stamp);
		uint64_t place = c->history_buckets[key->hash & (c->memory_size - 1)];
		for (; !found && kept(c, c->history_count, place); place = c->history[place & (c->memory_size - 1)].next) {
			const struct history *h = &c->history[place & (c->memory_size - 1)];
			if (h->key_hash != key->hash || !commit_id_equal(h->previous, at) || commit_id_equal(h->id, at))
				continue;
			found = true;
			above = h->id;
			writes = h->writes;
		}
		if (found && writes)
			return true;
		at = above;
	}
	return false;
}

bool commit_may_be_forgotten(const struct commit *c, struct transaction *t)
{
	if (!t->forgot_commit)
		return false;
	for (uint32_t i = 0; t->operations && i < t->body.operation_count; i++) {
		const struct key *key = &c->keys[t->operations[i].key];
		struct commit_seen seen;
		struct proof proof = {0};
		if (commit_id_compare(key->row.stamp, t->id) >= 0)
			history_below(c, key, t->id, &seen, &proof);
		if (!proof.forgotten && !proof.committed && !key->damaged)
			t->forgot_commit = false;
	}
	return t->forgot_commit;
}

void transaction_met(const struct commit *c, struct transaction *t)
{
	t->forgot_abort = t->id.hlc <= c->forgotten_abort_hlc;
	t->forgot_commit = t->id.hlc <= c->forgotten_commit_hlc;
	if (c->started)
		commit_may_be_forgotten(c, t);
}
