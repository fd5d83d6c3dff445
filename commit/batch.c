/* SPDX-License-Identifier: Apache-2.0
 *
 * Requests that wait for the same keys share a transaction. They are taken in the order in which they came, each is decided
 * against the rows and what those before it write, and the transaction has one operation a key: the condition of whoever met
 * the row itself, the value and the share of whoever wrote last.
 *
 * A request starts, or joins, when it is the first in the queues of all its keys and they are free (or the batch's own). So it
 * is overtaken by nobody who wants one of its keys, and the oldest request of all is never held up by younger ones. */
#include <assert.h>
#include <string.h>

#include "base/bytes.h"
#include "commit/state.h"

#define FOREMOST_HOPS 64u

/* The later ones outweigh the earlier ones when a request has several conditions. */
enum fit {
	FIT_HOLDS,
	FIT_BEHIND,  /* a version that has not come here yet */
	FIT_CONFIRM, /* broken by the row as it is here: a majority is asked */
	FIT_RIDES,   /* broken by what one before it writes: an answer once that is committed */
	FIT_BROKEN,  /* by the row, for good */
	FIT_DAMAGED, /* the row cannot be read: this region has no say about it */
};

static struct batch_key *batch_find(struct commit *c, const struct key *key)
{
	return key->batch == c->batch.serial ? &c->batch.keys[key->batch_place] : NULL;
}

/* ---- who may ---- */

/* Does another region's transaction wait there that has waited longer? */
static bool others_go_first(const struct commit *c, const struct key *key, uint64_t since)
{
	if (contender_goes_first(c, key, since))
		return true;
	return key->prepare_first != NOBODY && c->transactions[key->prepare_first].body.since <= since;
}

/* The batch goes first, or not, as its oldest member does: who joins it holds up others by this one commit, and takes the
 * younger ones of its region out of their way. With each by its own age, three regions an ocean apart that wanted 4 of 10 keys
 * at a time committed 1.8 requests at once. */
static bool may_start(struct commit *c, const struct request *r)
{
	uint64_t since = r->since < c->batch.since ? r->since : c->batch.since;
	uint32_t self = (uint32_t)(r - c->requests);
	if (r->alone != NOBODY)
		return false;
	for (uint32_t i = 0; i < r->operation_count; i++)
		if (c->keys[r->keys[i].key].request_first != (self << 8 | i))
			return false;
	for (uint32_t i = 0; i < r->operation_count; i++) {
		const struct key *key = &c->keys[r->keys[i].key];
		if (batch_find(c, key))
			continue;
		settle_known(c, r->keys[i].key);
		if (key->holders != NOBODY || others_go_first(c, key, since))
			return false;
	}
	return true;
}

/* ---- what becomes of one ---- */

static enum fit fit_of(
    const struct commit *c, const struct commit_operation *o, const struct batch_key *own, const struct key *key)
{
	if (o->condition == COMMIT_ALWAYS)
		return FIT_HOLDS;
	if (own && own->written) {
		/* No client knows the version that is being written here. One that nobody here has seen yet may be newer still.
		 */
		if (o->condition == COMMIT_IF_VERSION)
			return o->expected.hlc > c->clock.last ? FIT_BEHIND : FIT_RIDES;
		return own->operation.kind == COMMIT_PUT ? FIT_RIDES : FIT_HOLDS;
	}
	if (o->condition == COMMIT_IF_ABSENT)
		return key->row.live ? FIT_CONFIRM : FIT_HOLDS;
	int order = commit_id_compare(key->row.version, o->expected);
	if (order > 0 || (order == 0 && key->row.version.share != o->expected.share))
		return FIT_BROKEN;
	return order < 0 ? FIT_BEHIND : FIT_HOLDS;
}

/* What o makes of the operation that the batch has for its key; own is NULL for a key that is new to it. */
static struct commit_operation merged(const struct batch_key *own, const struct commit_operation *o, uint32_t share)
{
	struct commit_operation result = own ? own->operation : *o;
	if (own && o->condition == COMMIT_IF_VERSION) {
		/* It says all that "absent" does: the row has that version. */
		result.condition = o->condition;
		result.expected = o->expected;
	}
	if (o->kind == COMMIT_CHECK)
		return result;
	result.kind = o->kind;
	result.value = o->value;
	result.value_size = o->value_size;
	result.share = (uint16_t)share;
	return result;
}

struct look { /* at a request that may join */
	enum fit fit;
	uint32_t new_keys;
	int64_t growth; /* of the body */
};

static struct look look_at(struct commit *c, const struct request *r)
{
	struct look look = {.growth = COMMIT_REQUEST_NAME_SIZE};
	struct commit_body body = {.bytes = r->operations, .size = r->operations_size};
	uint32_t at = 0;
	for (uint32_t i = 0; i < r->operation_count; i++) {
		struct commit_operation o;
		commit_body_operation(&body, &at, &o);
		const struct key *key = &c->keys[r->keys[i].key];
		const struct batch_key *own = batch_find(c, key);
		enum fit fit = key->damaged ? FIT_DAMAGED : fit_of(c, &o, own, key);
		if (fit > look.fit)
			look.fit = fit;
		struct commit_operation result = merged(own, &o, 0);
		look.growth +=
		    (int64_t)commit_operation_size(&result) - (own ? (int64_t)commit_operation_size(&own->operation) : 0);
		look.new_keys += !own;
	}
	return look;
}

static void join(struct commit *c, struct request *r)
{
	struct batch *b = &c->batch;
	struct commit_body body = {.bytes = r->operations, .size = r->operations_size};
	uint32_t at = 0;
	for (uint32_t i = 0; i < r->operation_count; i++) {
		struct commit_operation o;
		commit_body_operation(&body, &at, &o);
		struct key *key = &c->keys[r->keys[i].key];
		struct batch_key *own = batch_find(c, key);
		struct commit_operation result = merged(own, &o, b->member_count);
		if (!own) {
			key->batch = b->serial;
			key->batch_place = b->key_count;
			own = &b->keys[b->key_count++];
			*own = (struct batch_key){.key = r->keys[i].key};
			if (key->row.stamp.hlc > b->above)
				b->above = key->row.stamp.hlc;
		}
		own->operation = result;
		own->written |= o.kind != COMMIT_CHECK;
	}
	if (r->after > b->above)
		b->above = r->after; /* what commits a request has a later stamp than it */
	if (r->since < b->since)
		b->since = r->since;
	b->members[b->member_count++] = (uint32_t)(r - c->requests);
}

/* False when it does not fit and waits on. */
static bool admit(struct commit *c, struct request *r)
{
	struct batch *b = &c->batch;
	static const struct commit_id none;
	if (r->duplicate) {
		request_end(c, r, ERR_OK, NULL, r->duplicate_of);
		return true;
	}
	struct look look = look_at(c, r);
	if (look.fit == FIT_HOLDS || look.fit == FIT_RIDES) {
		if (b->member_count + b->rider_count == COMMIT_REQUESTS_MAX)
			return false;
		if (look.fit == FIT_HOLDS && (b->key_count + look.new_keys > COMMIT_OPERATIONS_MAX ||
		                                 (int64_t)b->size + look.growth > (int64_t)COMMIT_BODY_MAX))
			return false;
	}
	if (look.fit == FIT_HOLDS) {
		request_unlink(c, r);
		b->size = (size_t)((int64_t)b->size + look.growth);
		join(c, r);
		return true;
	}
	request_unwait(c, r);
	if (look.fit == FIT_RIDES)
		b->riders[b->rider_count++] = (uint32_t)(r - c->requests);
	else if (look.fit == FIT_BROKEN)
		request_end(c, r, ERR_CHECK_FAILED, NULL, none);
	else if (look.fit == FIT_DAMAGED)
		request_end(c, r, ERR_ROW_DAMAGED, NULL, none);
	else if (look.fit == FIT_CONFIRM)
		request_confirm(c, r);
	else
		request_retry(c, r, request_pause_ns(r));
	return true;
}

/* ---- the batch ---- */

/* The oldest of those that wait first for one of its keys; NULL. */
static struct request *next_in_line(struct commit *c)
{
	struct batch *b = &c->batch;
	struct request *oldest = NULL;
	for (uint32_t i = 0; i < b->key_count; i++) {
		uint32_t node = b->keys[i].closed ? NOBODY : c->keys[b->keys[i].key].request_first;
		if (node == NOBODY)
			continue;
		struct request *r = &c->requests[node >> 8];
		if (!oldest || r->order < oldest->order)
			oldest = r;
	}
	return oldest;
}

/* Whoever has to go before r, who does not have to wait for one of the batch's keys. Each step leads to an older request. */
static struct request *foremost(struct commit *c, struct request *r)
{
	for (uint32_t hops = 0, i = 0; r->alone == NOBODY && i < r->operation_count && hops < FOREMOST_HOPS; i++) {
		uint32_t node = c->keys[r->keys[i].key].request_first;
		if (&c->requests[node >> 8] == r)
			continue;
		r = &c->requests[node >> 8];
		hops++;
		i = UINT32_MAX; /* from its first key */
	}
	return r;
}

/* Who cannot join stays, and so do all behind it. */
static void close_behind(struct commit *c, const struct request *r)
{
	for (uint32_t i = 0; i < r->operation_count; i++) {
		struct batch_key *own = batch_find(c, &c->keys[r->keys[i].key]);
		if (own)
			own->closed = true;
	}
}

static void clear(struct batch *b)
{
	b->serial++;
	b->key_count = b->member_count = b->rider_count = 0;
	b->above = 0;
	b->since = UINT64_MAX;
	b->size = COMMIT_BODY_BEGIN_SIZE + 2;
}

static void gather(struct commit *c, struct request *first)
{
	c->batch.ack_all = first->ack_all;
	admit(c, first);
	while (room(c)) {
		struct request *next = next_in_line(c);
		if (!next)
			return;
		if (next->alone != NOBODY) {
			request_with_all(c, next); /* what it stepped aside for is over */
			continue;
		}
		struct request *r = foremost(c, next);
		if (r->ack_all != c->batch.ack_all || !may_start(c, r) || !admit(c, r))
			close_behind(c, next);
	}
}

static uint32_t body_build(struct commit *c)
{
	const struct batch *b = &c->batch;
	uint8_t *out = commit_body_begin(c->body, b->ack_all, c->born, b->since, b->member_count);
	for (uint32_t i = 0; i < b->member_count; i++) {
		const struct request *r = &c->requests[b->members[i]];
		struct commit_request_name name = {.client_id = r->client_id, .number = r->number, .after = r->after};
		out = commit_request_name_put(out, &name);
	}
	bytes_put_u16(out, (uint16_t)b->key_count);
	out += 2;
	for (uint32_t i = 0; i < b->key_count; i++)
		out = commit_operation_put(out, &b->keys[i].operation);
	assert((size_t)(out - c->body) == b->size);
	return (uint32_t)b->size;
}

static void transaction_begin(struct commit *c, struct transaction *t)
{
	const struct batch *b = &c->batch;
	t->coordinating = true;
	for (uint32_t i = b->member_count + b->rider_count; i-- > 0;) {
		bool rides = i >= b->member_count;
		uint32_t index = rides ? b->riders[i - b->member_count] : b->members[i];
		struct request *r = &c->requests[index];
		r->state = REQUEST_ACTIVE;
		r->rides = rides;
		r->transaction = transaction_index(c, t);
		r->next = t->requests;
		t->requests = index;
	}
	for (uint32_t i = 0; i < t->body.operation_count; i++)
		t->operations[i].previous = c->keys[t->operations[i].key].row.stamp;
	hold(c, t);
	/* Nobody may hold a vote for what a restart makes this region forget: the lock is on disk before PREPARE says that it
	 * is there (docs/spec, R18). So are the bound above the stamp and the rows named in it, which stand before it in the
	 * log. */
	append(c, COMMIT_ENTRY_PREPARE, t, 0, 0, true, false);
	later(c, ACTION_PREPARED, t, t->id);
}

static void begin(struct commit *c)
{
	const struct batch *b = &c->batch;
	if (!b->member_count)
		return; /* nobody rides on nobody */
	struct transaction *t = NULL;
	if (actions_have_room(c)) {
		uint32_t size = body_build(c);
		struct commit_id id = {.hlc = stamp_take(c, b->above), .region = c->options.region};
		t = transaction_new(c, id, c->body, size, CLAIM_NEW);
	}
	if (t) {
		if (b->member_count + b->rider_count > 1)
			c->counts.shared += b->member_count + b->rider_count;
		transaction_begin(c, t);
		return;
	}
	/* Their keys stay referenced by them: those who waited behind them get their turn. */
	for (uint32_t i = 0; i < b->key_count; i++)
		wake(c, b->keys[i].key);
	for (uint32_t i = b->member_count + b->rider_count; i-- > 0;) {
		struct request *r = &c->requests[i < b->member_count ? b->members[i] : b->riders[i - b->member_count]];
		request_retry(c, r, request_pause_ns(r));
	}
}

/* The key is referenced by the caller. */
void requests_run(struct commit *c, uint32_t index)
{
	while (room(c)) {
		settle_known(c, index);
		struct key *key = &c->keys[index];
		if (key->holders != NOBODY || key->request_first == NOBODY)
			return;
		struct request *r = &c->requests[key->request_first >> 8];
		if (r->alone != NOBODY)
			request_with_all(c, r);
		clear(&c->batch);
		if (may_start(c, r)) {
			gather(c, r);
			begin(c);
		} else if (room(c)) {
			return;
		}
	}
	wake(c, index);
}
