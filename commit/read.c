/* SPDX-License-Identifier: Apache-2.0
 *
 * A strong read: the newest version that a majority has committed. A region answers when all that was prepared on the key at
 * the time of asking is decided there and in its rows; so the asker needs one round, and never sees what may yet be taken back.
 */
#include <assert.h>
#include <string.h>

#include "commit/state.h"

/* A question is asked again as long as somebody waits for the answer, several times within this. */
#define WAITING_RESENDS 4u

/* ---- questions that wait ---- */

static uint32_t *waiting_bucket(struct commit *c, uint8_t from, uint64_t read, uint64_t incarnation)
{
	uint64_t hash = (read ^ incarnation ^ (uint64_t)from << 56) * 0x9e3779b97f4a7c15ull;
	return &c->waiting_read_buckets[(hash >> 32) & (c->waiting_read_bucket_count - 1)];
}

static struct waiting_read *waiting_find(struct commit *c, uint8_t from, uint64_t read, uint64_t incarnation)
{
	uint32_t at = *waiting_bucket(c, from, read, incarnation);
	while (at != NOBODY) {
		struct waiting_read *w = &c->waiting_reads[at];
		if (w->from == from && w->read == read && w->incarnation == incarnation)
			return w;
		at = w->chain;
	}
	return NULL;
}

static void waiting_age_unlink(struct commit *c, struct waiting_read *w)
{
	*(w->older == NOBODY ? &c->waiting_read_oldest : &c->waiting_reads[w->older].newer) = w->newer;
	*(w->newer == NOBODY ? &c->waiting_read_newest : &c->waiting_reads[w->newer].older) = w->older;
}

/* It is the one that was asked last. */
static void waiting_age_link(struct commit *c, struct waiting_read *w)
{
	uint32_t index = (uint32_t)(w - c->waiting_reads);
	w->touched_ns = c->now_ns;
	w->older = c->waiting_read_newest;
	w->newer = NOBODY;
	*(w->older == NOBODY ? &c->waiting_read_oldest : &c->waiting_reads[w->older].newer) = index;
	c->waiting_read_newest = index;
}

/* Behind all that wait for the key, whose reference it takes over. */
static void waiting_add(struct commit *c, uint32_t index, uint8_t from, const struct commit_message *m)
{
	struct key *key = &c->keys[index];
	uint32_t at = c->waiting_read_free, *bucket = waiting_bucket(c, from, m->read, m->ballot);
	struct waiting_read *w = &c->waiting_reads[at];
	c->waiting_read_free = w->next;
	*w = (struct waiting_read){.used = true,
	    .from = from,
	    .read = m->read,
	    .incarnation = m->ballot,
	    .serial = ++c->serial,
	    .key = index,
	    .previous = key->read_last,
	    .next = NOBODY,
	    .chain = *bucket};
	*bucket = at;
	*(w->previous == NOBODY ? &key->read_first : &c->waiting_reads[w->previous].next) = at;
	key->read_last = at;
	waiting_age_link(c, w);
	c->waiting_read_count++;
	c->counts.reads_waited++;
}

/* Gives the key's reference back. */
static void waiting_remove(struct commit *c, struct waiting_read *w)
{
	uint32_t index = (uint32_t)(w - c->waiting_reads), *link = waiting_bucket(c, w->from, w->read, w->incarnation);
	struct key *key = &c->keys[w->key];
	while (*link != index)
		link = &c->waiting_reads[*link].chain;
	*link = w->chain;
	*(w->previous == NOBODY ? &key->read_first : &c->waiting_reads[w->previous].next) = w->next;
	*(w->next == NOBODY ? &key->read_last : &c->waiting_reads[w->next].previous) = w->previous;
	waiting_age_unlink(c, w);
	w->used = false;
	w->next = c->waiting_read_free;
	c->waiting_read_free = index;
	c->waiting_read_count--;
	key_give(c, w->key);
}

/* Nobody asks for these any more: answered by others, or given up. False: there are more, and no room now. */
bool reads_expire(struct commit *c)
{
	while (c->waiting_read_oldest != NOBODY) {
		struct waiting_read *w = &c->waiting_reads[c->waiting_read_oldest];
		if (c->now_ns < w->touched_ns + WAITING_RESENDS * c->options.resend_ns)
			return true;
		if (!room(c))
			return false;
		waiting_remove(c, w);
	}
	return true;
}

/* ---- reads of this region's clients ---- */

static void read_free(struct commit *c, struct read *r)
{
	struct waiting_read *own = waiting_find(c, c->options.region, r->id, c->options.incarnation);
	if (own)
		waiting_remove(c, own);
	uint32_t index = (uint32_t)(r - c->reads);
	if (c->sweep == SWEEP_READS && c->timer_place == index)
		c->timer_place = r->newer;
	if (r->older != NOBODY)
		c->reads[r->older].newer = r->newer;
	else
		c->read_oldest = r->newer;
	if (r->newer != NOBODY)
		c->reads[r->newer].older = r->older;
	else
		c->read_newest = r->older;
	blob_free(c, r->value);
	key_give(c, r->key);
	r->used = false;
	r->newer = c->read_free;
	c->read_free = index;
}

static struct read *read_new(struct commit *c, uint16_t keyspace, const uint8_t *key, uint32_t key_size)
{
	uint32_t index = c->read_free;
	if (index == NOBODY)
		return NULL;
	uint32_t taken = key_take(c, keyspace, key, key_size, CLAIM_NEW);
	if (taken == NOBODY)
		return NULL;
	struct read *r = &c->reads[index];
	c->read_free = r->newer;
	*r = (struct read){.used = true, .key = taken, .request = NOBODY, .older = c->read_newest, .newer = NOBODY};
	r->id = ++c->read_id << 16 | index;
	r->next_ns = c->now_ns + resend_ns(c);
	if (r->older != NOBODY)
		c->reads[r->older].newer = index;
	else
		c->read_oldest = index;
	c->read_newest = index;
	c->counts.reads++;
	return r;
}

static void answer(struct commit *c, const struct read *r, int code)
{
	struct commit_answer *a = &effect_add(c, COMMIT_EFFECT_ANSWER)->answer;
	*a = (struct commit_answer){.route = r->route,
	    .number = r->number,
	    .arrived_ns = r->arrived_ns,
	    .code = code,
	    .version = r->version,
	    .value = r->value,
	    .value_size = r->value_size,
	    .is_read = true};
	if (code == ERR_OK && !r->live)
		a->code = ERR_NOT_FOUND;
}

static void read_end(struct commit *c, struct read *r, int code)
{
	uint32_t request = r->request;
	bool live = r->live;
	if (request == NOBODY)
		answer(c, r, code);
	read_free(c, r);
	if (request == NOBODY)
		return;
	if (code)
		request_end(c, &c->requests[request], ERR_NO_QUORUM, "given up within its time, and certainly not applied",
		    (struct commit_id){0});
	else
		request_confirmed(c, &c->requests[request], live);
}

static void ask(struct commit *c, struct read *r, uint32_t to)
{
	const struct key *key = &c->keys[r->key];
	struct commit_message question = {.type = COMMIT_ASK,
	    .id = {.region = c->options.region},
	    .read = r->id,
	    .ballot = c->options.incarnation,
	    .keyspace = key->keyspace,
	    .key = key->bytes,
	    .key_size = key->size};
	if (to & c->others) {
		struct commit_message *m = message_send(c, to & c->others, COMMIT_ASK, question.id);
		*m = question;
		m->key = memcpy(scratch_take(c, key->size), key->bytes, key->size); /* the slot may change hands in this step */
	}
	if (to & 1u << c->options.region)
		read_asked(c, c->options.region, &question);
}

void read_take(struct commit *c, const struct commit_event *e)
{
	struct read refused = {.route = e->read.route, .number = e->read.number, .arrived_ns = e->read.arrived_ns};
	if (!e->read.key_size || e->read.key_size > KEY_SIZE_MAX) {
		answer(c, &refused, ERR_KEY_TOO_LARGE);
		return;
	}
	if ((uint32_t)__builtin_popcount(c->peers & c->options.regions) < c->quorum) {
		answer(c, &refused, ERR_NO_QUORUM);
		return;
	}
	struct read *r = commit_room(c) ? read_new(c, e->read.keyspace, e->read.key, e->read.key_size) : NULL;
	if (!r) {
		answer(c, &refused, ERR_OVERLOADED);
		return;
	}
	r->route = e->read.route;
	r->number = e->read.number;
	r->deadline_ns = e->read.deadline_ns;
	r->arrived_ns = e->read.arrived_ns;
	ask(c, r, c->options.regions);
}

bool read_confirm(struct commit *c, struct request *request, const struct commit_operation *operation)
{
	struct read *r = read_new(c, operation->keyspace, operation->key, operation->key_size);
	if (!r)
		return false;
	r->request = (uint32_t)(request - c->requests);
	r->deadline_ns = request->deadline_ns;
	ask(c, r, c->options.regions);
	return true;
}

/* ---- for whoever asks ---- */

static void tell(struct commit *c, uint32_t index, uint8_t to, uint64_t read, uint64_t incarnation)
{
	struct key *key = &c->keys[index];
	struct commit_row row = {0};
	if (!c->options.lookup(c->options.user, key->keyspace, key->bytes, key->size, &row))
		return; /* the other regions answer */
	assert(commit_id_compare(row.version, key->row.version) >= 0);
	struct commit_message reply = {.type = COMMIT_TOLD,
	    .id = {.region = c->options.region},
	    .read = read,
	    .ballot = incarnation,
	    .version = row.version,
	    .live = row.live,
	    .value = row.live ? row.value : NULL,
	    .value_size = row.live ? row.value_size : 0};
	if (to == c->options.region)
		read_told(c, to, &reply);
	else
		*message_send(c, 1u << to, COMMIT_TOLD, reply.id) = reply;
}

/* All that was prepared on the key before `serial` is decided, and in the rows. Holders came one after the other, and so did
 * those who wait: who may be answered is at the front. */
static bool is_ready(const struct commit *c, const struct key *key, uint64_t serial)
{
	if (key->apply_ticket > c->applied)
		return false;
	for (uint32_t at = key->holders; at != NOBODY; at = c->transactions[at >> 8].operations[at & 255].next)
		if (c->transactions[at >> 8].hold_serial < serial)
			return false;
	return true;
}

void read_asked(struct commit *c, uint8_t from, const struct commit_message *m)
{
	struct waiting_read *again = waiting_find(c, from, m->read, m->ballot);
	if (again) {
		waiting_age_unlink(c, again);
		waiting_age_link(c, again);
		return;
	}
	uint32_t index = key_take(c, m->keyspace, m->key, m->key_size, CLAIM_NEW);
	if (index == NOBODY)
		return;
	settle_known(c, index);
	bool ready = is_ready(c, &c->keys[index], UINT64_MAX);
	if (!ready && c->waiting_read_free != NOBODY) {
		waiting_add(c, index, from, m);
		return;
	}
	if (ready)
		tell(c, index, from, m->read, m->ballot);
	key_give(c, index); /* without a place it is asked again */
}

/* The key is referenced by the caller. */
void reads_run(struct commit *c, uint32_t index)
{
	while (c->keys[index].read_first != NOBODY && room(c)) {
		struct waiting_read *w = &c->waiting_reads[c->keys[index].read_first];
		if (!is_ready(c, &c->keys[index], w->serial))
			return;
		uint8_t from = w->from;
		uint64_t read = w->read, incarnation = w->incarnation;
		waiting_remove(c, w);
		tell(c, index, from, read, incarnation);
	}
}

void read_told(struct commit *c, uint8_t from, const struct commit_message *m)
{
	uint32_t index = (uint32_t)(m->read & 0xffff);
	if (m->ballot != c->options.incarnation || index >= c->options.reads || !c->reads[index].used ||
	    c->reads[index].id != m->read)
		return;
	struct read *r = &c->reads[index];
	if (r->replies & 1u << from)
		return;
	int order = commit_id_compare(m->version, r->version);
	if (!r->have || order > 0 || (order == 0 && m->version.share > r->version.share)) {
		uint8_t *value = NULL;
		if (m->live && m->value_size && !(value = arena_take(&c->arena, m->value_size)))
			return;
		blob_free(c, r->value);
		if (value)
			memcpy(value, m->value, m->value_size);
		r->value = value;
		r->value_size = m->live ? m->value_size : 0;
		r->version = m->version;
		r->live = m->live;
		r->have = true;
	}
	r->replies |= 1u << from;
	if ((uint32_t)__builtin_popcount(r->replies) >= (BROKEN(M3) ? 1 : c->quorum))
		read_end(c, r, ERR_OK);
}

void read_timer(struct commit *c, struct read *r)
{
	if (c->now_ns >= r->deadline_ns) {
		read_end(c, r, ERR_NO_QUORUM);
		return;
	}
	if (c->now_ns >= r->next_ns) {
		r->next_ns = c->now_ns + resend_ns(c);
		ask(c, r, c->options.regions & ~r->replies);
	}
}
