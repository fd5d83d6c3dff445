/* SPDX-License-Identifier: Apache-2.0
 *
 * Clients' requests before and between their transactions. One waits in the queues of all its keys, in order of arrival, and
 * keeps its place when it has to begin again; batch.c takes from their heads. */
#include <assert.h>
#include <string.h>

#include "base/bytes.h"
#include "commit/state.h"

#define RETRY_NS        20000000ull
#define RETRY_DOUBLINGS 6u
/* For so long a repeat may have been under way since its age was told. */
#define AGE_SLACK_MS   3000u
#define TOKEN_AHEAD_MS 3600000u

static const struct commit_id no_version;

static void answer_now(struct commit *c, const struct commit_event *e, int code, const char *reason, struct commit_id version)
{
	struct request r = {
	    .route = e->transaction.route, .number = e->transaction.number, .arrived_ns = e->transaction.arrived_ns};
	answer_later(c, &r, code, reason, version);
}

/* Nothing was done about it, so that no disk has to know. */
static void refuse_now(struct commit *c, const struct commit_event *e, int code)
{
	effect_add(c, COMMIT_EFFECT_ANSWER)->answer = (struct commit_answer){.route = e->transaction.route,
	    .number = e->transaction.number,
	    .arrived_ns = e->transaction.arrived_ns,
	    .code = code};
}

static void request_free(struct commit *c, struct request *r)
{
	uint32_t index = (uint32_t)(r - c->requests);
	assert(r->state != REQUEST_FREE && !r->queued);
	if (c->sweep == SWEEP_REQUESTS && c->timer_place == index)
		c->timer_place = r->newer;
	if (r->older != NOBODY)
		c->requests[r->older].newer = r->newer;
	else
		c->request_oldest = r->newer;
	if (r->newer != NOBODY)
		c->requests[r->newer].older = r->older;
	else
		c->request_newest = r->older;
	for (uint32_t i = 0; i < r->operation_count; i++)
		key_give(c, r->keys[i].key);
	blob_free(c, r->keys);
	r->state = REQUEST_FREE;
	r->newer = c->request_free;
	c->request_free = index;
	c->request_count--;
}

/* A version that the request asks for was replaced by another: that is here, with its requests, and no copy of this one can
 * replace it any more, wherever it is. */
static bool is_replaced(const struct commit *c, const struct request *r)
{
	struct commit_body body = {.bytes = r->operations, .size = r->operations_size};
	uint32_t at = 0;
	if (is_forgotten(c, r->after))
		return false;
	for (uint32_t i = 0; i < r->operation_count; i++) {
		struct commit_operation operation;
		commit_body_operation(&body, &at, &operation);
		if (operation.condition == COMMIT_IF_VERSION &&
		    history_replaced(c, &c->keys[r->keys[i].key], operation.expected))
			return true;
	}
	return false;
}

/* A request may be committed under another name, and an earlier copy of it may be elsewhere: then this one was not applied, and
 * yet the request may be. No refusal is certain before this has looked; what is committed here is a duplicate of itself
 * (requests_learn). */
static int outcome(struct commit *c, const struct request *r, int code, const char **reason, struct commit_id *version)
{
	if (!r->duplicate && !r->uncertain)
		return code;
	if (r->duplicate) {
		*version = r->duplicate_of;
		*reason = NULL;
		return ERR_OK;
	}
	if (code == ERR_CHECK_FAILED && is_replaced(c, r))
		return code;
	if (code != ERR_EXPIRED)
		*reason = code == ERR_CHECK_FAILED ? "a check failed, but an earlier copy of the request may have been applied"
		                                   : "given up, and an earlier copy of the request may have been applied";
	return code == ERR_EXPIRED ? code : ERR_UNKNOWN_OUTCOME;
}

/* Under `ack: all`, committed is not enough for ok: somebody else may have committed it, with a majority. */
static bool is_not_everywhere(const struct commit *c, const struct request *r, int code)
{
	return r->ack_all && code == ERR_OK && r->has != c->options.regions;
}

static void answer_outcome(struct commit *c, struct request *r, int code, const char *reason, struct commit_id version)
{
	bool is_open = is_not_everywhere(c, r, code);
	answer_later(c, r, is_open ? ERR_UNKNOWN_OUTCOME : code, is_open ? commit_not_everywhere : reason, version);
}

/* A refusal is remembered: a repeat that is still on its way must not be applied after it. */
void request_end(struct commit *c, struct request *r, int code, const char *reason, struct commit_id version)
{
	code = outcome(c, r, code, &reason, &version);
	struct reply_answer *answer = reply_cache_find(&c->reply_cache, r->client_id, r->number);
	if (answer && answer->state == REPLY_PARKED) {
		answer->state = code ? ANSWER_REFUSED : REPLY_DONE;
		answer->for_all = code ? r->uncertain : !is_not_everywhere(c, r, code);
		answer->hlc = code ? later_of(commit_token(c) - 1, r->after) : version.hlc;
		answer->sequence = code ? (uint64_t)-code : version.region | (uint64_t)version.share << 8;
	}
	if (!r->answered)
		answer_outcome(c, r, code, reason, version);
	request_unwait(c, r);
	request_free(c, r);
}

/* ---- the queues of keys ---- */

static struct request_key *node_at(const struct commit *c, uint32_t node)
{
	return &c->requests[node >> 8].keys[node & 255];
}

static void queue_add(struct commit *c, const struct request *r, uint32_t operation)
{
	struct request_key *self = &r->keys[operation];
	struct key *key = &c->keys[self->key];
	uint32_t node = (uint32_t)(r - c->requests) << 8 | operation, next = NOBODY;
	/* Mostly it is the youngest, or begins again and is among the oldest. */
	if (key->request_last != NOBODY && c->requests[key->request_last >> 8].order > r->order)
		for (next = key->request_first; c->requests[next >> 8].order < r->order;)
			next = node_at(c, next)->next;
	self->next = next;
	self->previous = next == NOBODY ? key->request_last : node_at(c, next)->previous;
	if (next == NOBODY)
		key->request_last = node;
	else
		node_at(c, next)->previous = node;
	if (self->previous == NOBODY)
		key->request_first = node;
	else
		node_at(c, self->previous)->next = node;
	c->queued_keys++;
}

static void queue_remove(struct commit *c, const struct request *r, uint32_t operation)
{
	struct request_key *self = &r->keys[operation];
	struct key *key = &c->keys[self->key];
	if (self->previous == NOBODY)
		key->request_first = self->next;
	else
		node_at(c, self->previous)->next = self->next;
	if (self->next == NOBODY)
		key->request_last = self->previous;
	else
		node_at(c, self->next)->previous = self->previous;
	self->next = self->previous = NOBODY;
	c->queued_keys--;
}

void request_unlink(struct commit *c, struct request *r)
{
	for (uint32_t i = 0; r->queued && i < r->operation_count; i++)
		if (r->alone == NOBODY || r->alone == i)
			queue_remove(c, r, i);
	r->queued = false;
	r->alone = NOBODY;
}

void request_unwait(struct commit *c, struct request *r)
{
	if (!r->queued)
		return;
	request_unlink(c, r);
	for (uint32_t i = 0; i < r->operation_count; i++)
		wake(c, r->keys[i].key);
}

static void request_wait(struct commit *c, struct request *r)
{
	assert(!r->queued && r->alone == NOBODY);
	r->state = REQUEST_WAITING;
	r->queued = true;
	for (uint32_t i = 0; i < r->operation_count; i++)
		queue_add(c, r, i);
}

void request_with_all(struct commit *c, struct request *r)
{
	request_unlink(c, r);
	request_wait(c, r);
}

/* Nothing has been heard for long of a transaction that holds one of r's keys, a dead coordinator's perhaps: nobody waits
 * behind r for its other keys meanwhile. */
static void step_aside(struct commit *c, struct request *r)
{
	for (uint32_t i = 0; i < r->operation_count; i++) {
		uint32_t holder = c->keys[r->keys[i].key].holders;
		if (holder == NOBODY || c->now_ns < c->transactions[holder >> 8].touched_ns + c->options.in_doubt_ns / 2)
			continue;
		request_unwait(c, r);
		r->queued = true;
		r->alone = i;
		queue_add(c, r, i);
		return;
	}
}

/* Doubled with each refusal, up to a second or so; by how much depends on who asks, so that those who met do not meet again. */
uint64_t request_pause_ns(struct request *r)
{
	uint32_t doublings = r->refusals < RETRY_DOUBLINGS ? r->refusals : RETRY_DOUBLINGS;
	uint64_t longest_ns = RETRY_NS << doublings;
	uint64_t spread = (r->client_id ^ r->number * 0x9e3779b97f4a7c15ull ^ ++r->refusals) * 0xbf58476d1ce4e5b9ull;
	return longest_ns / 2 + (spread >> 32) * (longest_ns / 2) / UINT32_MAX;
}

void request_retry(struct commit *c, struct request *r, uint64_t delay_ns)
{
	c->counts.requeued++;
	r->attempts++;
	r->transaction = NOBODY;
	if (delay_ns) {
		r->state = REQUEST_DELAYED;
		r->not_before_ns = c->now_ns + delay_ns;
		return;
	}
	request_wait(c, r);
	wake(c, r->keys[0].key);
}

/* ---- conditions that seem broken: only a majority knows ---- */

void request_confirm(struct commit *c, struct request *r)
{
	struct commit_body body = {.bytes = r->operations, .size = r->operations_size};
	uint32_t at = 0;
	for (uint32_t i = 0; i < r->operation_count; i++) {
		struct commit_operation operation;
		commit_body_operation(&body, &at, &operation);
		if (i < r->confirm_at || operation.condition != COMMIT_IF_ABSENT)
			continue;
		r->confirm_at = i;
		r->state = REQUEST_CONFIRMING;
		if (!room(c) || !read_confirm(c, r, &operation))
			request_retry(c, r, request_pause_ns(r));
		return;
	}
	r->confirm_at = 0;
	request_retry(c, r, request_pause_ns(r)); /* this region was behind, or the others were */
}

void request_confirmed(struct commit *c, struct request *r, bool live)
{
	if (live) {
		request_end(c, r, ERR_CHECK_FAILED, NULL, no_version);
		return;
	}
	r->confirm_at++;
	request_confirm(c, r);
}

/* ---- its time ---- */

static const char given_up[] = "given up within its time, and certainly not applied";

static void transaction_leave(struct commit *c, struct transaction *t, struct request *r)
{
	uint32_t *link = &t->requests;
	while (*link != (uint32_t)(r - c->requests))
		link = &c->requests[*link].next;
	*link = r->next;
	r->next = r->transaction = NOBODY;
}

static bool somebody_waits(const struct commit *c, const struct transaction *t)
{
	for (uint32_t at = t->requests; at != NOBODY; at = c->requests[at].next)
		if (!c->requests[at].rides && c->now_ns < c->requests[at].deadline_ns)
			return true;
	return false;
}

static void active_timer(struct commit *c, struct request *r, bool is_late)
{
	struct transaction *t = &c->transactions[r->transaction];
	if (r->rides) {
		/* It is not in the body: certainly not applied. */
		transaction_leave(c, t, r);
		request_end(c, r, ERR_NO_QUORUM, given_up, no_version);
		return;
	}
	if (is_late && !r->answered) {
		struct commit_id version = no_version;
		const char *reason = NULL;
		int code = outcome(c, r, BROKEN(M16) ? ERR_NO_QUORUM : ERR_UNKNOWN_OUTCOME, &reason, &version);
		answer_outcome(c, r, code, reason, version);
		r->answered = true;
	}
	/* One that is impatient does not stop the others (A7). */
	if (r->duplicate || !somebody_waits(c, t))
		withdraw(c, t, t->reason, t->reason_final);
}

void request_timer(struct commit *c, struct request *r)
{
	bool is_late = c->now_ns >= r->deadline_ns;
	if (r->state == REQUEST_CONFIRMING)
		return; /* its read has a deadline of its own */
	if (r->state == REQUEST_ACTIVE) {
		if (is_late || r->duplicate)
			active_timer(c, r, is_late);
	} else if (r->state == REQUEST_GATHERING) {
		gathering_timer(c, r, is_late);
	} else if (r->duplicate) {
		request_end(c, r, ERR_OK, NULL, r->duplicate_of);
	} else if (is_late) {
		request_end(c, r, ERR_NO_QUORUM, given_up, no_version);
	} else if (r->state == REQUEST_WAITING) {
		if (r->alone == NOBODY && r->operation_count > 1)
			step_aside(c, r);
		/* Whoever is to come first may have stayed away. */
		uint32_t index = r->keys[r->alone == NOBODY ? 0 : r->alone].key;
		if (c->keys[index].holders == NOBODY && c->keys[index].request_first >> 8 == (uint32_t)(r - c->requests))
			wake(c, index);
	} else if (r->state == REQUEST_DELAYED && c->now_ns >= r->not_before_ns) {
		request_wait(c, r);
		wake(c, r->keys[0].key);
	}
}

/* ---- from the client ---- */

/* A repeat that may have been sent first before this start. By the monotonic clock: the wall clock may have been set. */
static bool is_from_before(const struct commit *c, const struct commit_event *e)
{
	uint64_t up_ms = (c->now_ns - c->started_ns) / 1000000, age_ms = e->transaction.age_ms;
	return age_ms >= up_ms || age_ms + AGE_SLACK_MS >= up_ms; /* the sum may run over */
}

/* A repeat keeps its place. */
static uint64_t since_of(const struct commit *c, uint64_t age_ms)
{
	uint64_t now = stamp_now(c);
	return hlc_milliseconds(now) > age_ms ? now - hlc_pack(age_ms, 0) : 0;
}

static bool is_repeat(struct commit *c, const struct commit_event *e)
{
	uint64_t mark = reply_cache_client_mark(&c->reply_cache, e->transaction.client_id, e->transaction.settled);
	struct reply_answer *known = reply_cache_find(&c->reply_cache, e->transaction.client_id, e->transaction.number);
	if (!known) {
		if (e->transaction.number > mark && !is_forgotten(c, e->transaction.after))
			return false;
		answer_now(c, e, ERR_EXPIRED, NULL, no_version);
		return true;
	}
	if (known->state == REPLY_PARKED) {
		struct request *r = &c->requests[known->sequence];
		r->route = e->transaction.route; /* the newest way back */
		r->arrived_ns = e->transaction.arrived_ns;
		r->answered = false;
		r->uncertain |= e->transaction.moved;
		if (e->transaction.deadline_ns > r->deadline_ns)
			r->deadline_ns = e->transaction.deadline_ns;
		return true;
	}
	/* An earlier sending of it was too old to be taken, and its client, which knows that there was no other, begins again.
	 */
	if (known->state == ANSWER_REFUSED && -(int)known->sequence == ERR_EXPIRED && !e->transaction.age_ms &&
	    !e->transaction.moved && e->transaction.after > known->hlc)
		return false;
	if (known->state == ANSWER_REFUSED) {
		/* There was another copy after that, elsewhere. */
		bool is_open = e->transaction.moved && !known->for_all && -(int)known->sequence != ERR_EXPIRED;
		answer_now(c, e, is_open ? ERR_UNKNOWN_OUTCOME : -(int)known->sequence, NULL, no_version);
		return true;
	}
	struct commit_id version = {
	    .hlc = known->hlc, .region = (uint8_t)known->sequence, .share = (uint16_t)(known->sequence >> 8)};
	bool is_open = e->transaction.ack_all && !known->for_all;
	answer_now(c, e, is_open ? ERR_UNKNOWN_OUTCOME : ERR_OK, is_open ? commit_not_everywhere : NULL, version);
	return true;
}

/* A client moves no clock by more than that. What it has seen elsewhere comes here in a moment. */
static bool is_ahead(const struct commit *c, uint64_t after)
{
	return hlc_milliseconds(after) > later_of(hlc_milliseconds(commit_token(c)), c->now_ms) + TOKEN_AHEAD_MS;
}

/* size: of the operations, encoded. */
static int validate(const struct commit_event *e, size_t *size)
{
	const struct commit_operation *o = e->transaction.operations;
	*size = 0;
	if (!e->transaction.client_id || !e->transaction.number || !e->transaction.count ||
	    e->transaction.count > COMMIT_OPERATIONS_MAX)
		return ERR_MALFORMED;
	for (uint32_t i = 0; i < e->transaction.count; i++) {
		if (!o[i].key_size || o[i].key_size > KEY_SIZE_MAX)
			return ERR_KEY_TOO_LARGE;
		if (o[i].value_size > VALUE_SIZE_MAX)
			return ERR_VALUE_TOO_LARGE;
		if (o[i].kind < COMMIT_PUT || o[i].kind > COMMIT_CHECK || o[i].condition > COMMIT_IF_VERSION ||
		    (o[i].kind == COMMIT_CHECK && o[i].condition == COMMIT_ALWAYS) ||
		    (o[i].kind != COMMIT_PUT && o[i].value_size))
			return ERR_MALFORMED;
		for (uint32_t j = 0; j < i; j++)
			if (o[j].keyspace == o[i].keyspace && o[j].key_size == o[i].key_size &&
			    !memcmp(o[j].key, o[i].key, o[i].key_size))
				return ERR_MALFORMED;
		*size += commit_operation_size(&o[i]);
	}
	size_t with_names = *size + COMMIT_BODY_BEGIN_SIZE + 2 + COMMIT_REQUEST_NAME_SIZE * (size_t)COMMIT_REQUESTS_MAX;
	return with_names > COMMIT_BODY_MAX ? ERR_VALUE_TOO_LARGE : 0;
}

/* References to all keys of a new request; false when there is no room for them, or for as many more to wait for. */
static bool keys_take(struct commit *c, const struct commit_event *e, struct request_key *keys)
{
	bool waits = false;
	uint32_t count = e->transaction.count, taken = 0;
	for (; taken < count; taken++) {
		const struct commit_operation *o = &e->transaction.operations[taken];
		uint32_t index = key_take(c, o->keyspace, o->key, o->key_size, CLAIM_NEW);
		if (index == NOBODY)
			break;
		keys[taken] = (struct request_key){.key = index, .next = NOBODY, .previous = NOBODY};
		waits |= c->keys[index].holders != NOBODY || c->keys[index].request_first != NOBODY;
	}
	/* Those who wait leave half of the keys to those who do not, and to the streams. */
	if (taken == count && (!waits || c->queued_keys + count <= c->options.keys / 2))
		return true;
	while (taken)
		key_give(c, keys[--taken].key);
	return false;
}

static struct request *request_new(struct commit *c, const struct commit_event *e, struct request_key *keys)
{
	uint32_t index = c->request_free;
	struct request *r = &c->requests[index];
	c->request_free = r->newer;
	*r = (struct request){.state = REQUEST_DELAYED,
	    .ack_all = e->transaction.ack_all,
	    .route = e->transaction.route,
	    .client_id = e->transaction.client_id,
	    .number = e->transaction.number,
	    .after = e->transaction.after,
	    .uncertain = e->transaction.age_ms && (e->transaction.moved || is_from_before(c, e)),
	    .since = since_of(c, e->transaction.age_ms),
	    .deadline_ns = e->transaction.deadline_ns,
	    .arrived_ns = e->transaction.arrived_ns,
	    .keys = keys,
	    .operations = (uint8_t *)(keys + e->transaction.count),
	    .operation_count = e->transaction.count,
	    .order = ++c->request_order,
	    .next = NOBODY,
	    .alone = NOBODY,
	    .transaction = NOBODY,
	    .older = c->request_newest,
	    .newer = NOBODY};
	uint8_t *out = r->operations;
	for (uint32_t i = 0; i < e->transaction.count; i++)
		out = commit_operation_put(out, &e->transaction.operations[i]);
	r->operations_size = (uint32_t)(out - r->operations);
	if (r->older != NOBODY)
		c->requests[r->older].newer = index;
	else
		c->request_oldest = index;
	c->request_newest = index;
	c->request_count++;
	return r;
}

/* No value in it: what it leaves needs less room than what it replaces. */
static bool only_deletes(const struct commit_event *e)
{
	bool deletes = false;
	for (uint32_t i = 0; i < e->transaction.count; i++) {
		if (e->transaction.operations[i].kind == COMMIT_PUT)
			return false;
		deletes |= e->transaction.operations[i].kind == COMMIT_DELETE;
	}
	return deletes;
}

void request_take(struct commit *c, const struct commit_event *e)
{
	size_t size;
	int code = validate(e, &size);
	if (code < 0) {
		refuse_now(c, e, code);
		return;
	}
	if (!actions_have_room(c)) {
		refuse_now(c, e, ERR_OVERLOADED);
		return;
	}
	if (is_repeat(c, e))
		return;
	if (c->refusing && !(c->takes_deletes && only_deletes(e)))
		code = c->refusing;
	else if ((uint32_t)__builtin_popcount(c->peers & c->options.regions) < (e->transaction.ack_all ? c->n : c->quorum))
		code = ERR_NO_QUORUM;
	else if (c->request_free == NOBODY || !commit_room(c) || is_ahead(c, e->transaction.after))
		code = ERR_OVERLOADED;
	struct request_key *keys = code ? NULL : arena_take(&c->arena, e->transaction.count * sizeof *keys + size);
	if (keys && !keys_take(c, e, keys)) {
		blob_free(c, keys);
		keys = NULL;
	}
	if (!keys) {
		refuse_now(c, e, code ? code : ERR_OVERLOADED);
		return;
	}
	struct request *r = request_new(c, e, keys);
	struct reply_answer *answer = reply_cache_find(&c->reply_cache, r->client_id, r->number);
	if (!answer)
		answer = reply_cache_add(&c->reply_cache, r->client_id, r->number);
	answer->state = REPLY_PARKED;
	answer->sequence = (uint32_t)(r - c->requests);
	uint32_t first = r->keys[0].key;
	request_wait(c, r);
	if (c->keys[first].request_first != (uint32_t)(r - c->requests) << 8)
		return;
	c->keys[first].references++;
	requests_run(c, first);
	key_give(c, first);
}

/* Each region remembers what became of each request, whichever region took it (B08). */
void requests_learn(struct commit *c, const struct commit_body *body, struct commit_id id)
{
	uint32_t at = body->requests_at;
	for (uint32_t i = 0; i < body->request_count; i++) {
		struct commit_request_name name;
		commit_body_request(body, &at, &name);
		struct reply_answer *answer = reply_cache_find(&c->reply_cache, name.client_id, name.number);
		if (!answer) {
			answer = reply_cache_add(&c->reply_cache, name.client_id, name.number);
		} else if (answer->state == REPLY_PARKED) {
			/* Here as well: under this name it is done. */
			struct request *r = &c->requests[answer->sequence];
			r->duplicate = true;
			r->duplicate_of = id;
			r->duplicate_of.share = (uint16_t)i;
			continue;
		}
		answer->state = REPLY_DONE;
		answer->hlc = id.hlc;
		answer->sequence = id.region | (uint64_t)i << 8;
	}
}
