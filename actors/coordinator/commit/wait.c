/* SPDX-License-Identifier: Apache-2.0
 *
 * Clients' requests before and between their transactions. One waits at the first key that it cannot have, in order of arrival;
 * the transactions of other regions that have waited longer go first. Blind writes that wait for one key share a transaction: each has
 * a version of its own, and only the last one's is that of the row. */
#include <assert.h>
#include <string.h>

#include "actors/coordinator/commit/state.h"
#include "core/bytes.h"

#define RETRY_NS        20000000ull
#define RETRY_DOUBLINGS 6u
/* By so much the wall clocks of two regions may differ, and a repeat have been under way, since its age was told. */
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
	effect_add(c, COMMIT_EFFECT_ANSWER)->answer = (struct commit_answer){
	    .route = e->transaction.route, .number = e->transaction.number, .arrived_ns = e->transaction.arrived_ns, .code = code};
}

static void request_free(struct commit *c, struct request *r)
{
	uint32_t index = (uint32_t)(r - c->requests);
	assert(r->state != REQUEST_FREE && r->wait_key == NOBODY);
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
	blob_free(c, r->operations);
	r->state = REQUEST_FREE;
	r->newer = c->request_free;
	c->request_free = index;
	c->request_count--;
}

static uint64_t later_of(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* A version that the request asks for was replaced by another: that is here, with its requests, and no copy of this one can
 * replace it any more, wherever it is. */
static bool is_replaced(struct commit *c, const struct request *r)
{
	struct commit_body body = {.bytes = r->operations, .size = r->operations_size};
	uint32_t at = 0;
	if (is_forgotten(c, r->after))
		return false;
	for (uint32_t i = 0; i < r->operation_count; i++) {
		struct commit_operation operation;
		commit_body_operation(&body, &at, &operation);
		uint32_t index = operation.condition == COMMIT_IF_VERSION
		                     ? key_take(c, operation.keyspace, operation.key, operation.key_size)
		                     : NOBODY;
		if (index == NOBODY)
			continue;
		bool replaced = history_replaced(c, &c->keys[index], operation.expected);
		key_give(c, index);
		if (replaced)
			return true;
	}
	return false;
}

/* A request may be committed under another name, and an earlier copy of it may be elsewhere: then this one was not applied, and
 * yet the request may be. No refusal is certain before this has looked. */
static int outcome(struct commit *c, const struct request *r, int code, const char **reason, struct commit_id *version)
{
	if (code == ERR_OK || (!r->duplicate && !r->uncertain))
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

/* A refusal is remembered: a repeat that is still on its way must not be applied after it. */
void request_end(struct commit *c, struct request *r, int code, const char *reason, struct commit_id version)
{
	code = outcome(c, r, code, &reason, &version);
	struct memory_answer *answer = memory_find(&c->memory, r->client_id, r->number);
	if (answer && answer->state == MEMORY_PARKED) {
		answer->state = code ? ANSWER_REFUSED : MEMORY_DONE;
		answer->for_all = r->uncertain;
		answer->hlc = code ? later_of(commit_token(c) - 1, r->after) : version.hlc;
		answer->sequence = code ? (uint64_t)-code : version.region | (uint64_t)version.share << 8;
	}
	if (!r->answered)
		answer_later(c, r, code, reason, version);
	request_unwait(c, r);
	request_free(c, r);
}

void request_unwait(struct commit *c, struct request *r)
{
	if (r->wait_key == NOBODY)
		return;
	uint32_t index = r->wait_key, self = (uint32_t)(r - c->requests), previous = NOBODY;
	struct key *key = &c->keys[index];
	uint32_t *link = &key->request_first;
	while (*link != self) {
		previous = *link;
		link = &c->requests[*link].next;
	}
	*link = r->next;
	if (key->request_last == self)
		key->request_last = previous;
	r->next = r->wait_key = NOBODY;
	key_give(c, index);
}

static void request_wait(struct commit *c, struct request *r, uint32_t index, bool first)
{
	struct key *key = &c->keys[index];
	assert(r->wait_key == NOBODY);
	uint32_t self = (uint32_t)(r - c->requests);
	key->references++;
	r->state = REQUEST_WAITING;
	r->wait_key = index;
	if (first || key->request_first == NOBODY) {
		r->next = key->request_first;
		key->request_first = self;
		if (key->request_last == NOBODY)
			key->request_last = self;
	} else {
		r->next = NOBODY;
		c->requests[key->request_last].next = self;
		key->request_last = self;
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
	struct commit_body body = {.bytes = r->operations, .size = r->operations_size};
	struct commit_operation operation;
	uint32_t at = 0;
	commit_body_operation(&body, &at, &operation);
	uint32_t key = key_take(c, operation.keyspace, operation.key, operation.key_size);
	if (key == NOBODY) {
		r->state = REQUEST_DELAYED;
		r->not_before_ns = c->now_ns + request_pause_ns(r);
		return;
	}
	request_wait(c, r, key, true);
	wake(c, key);
	key_give(c, key);
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
		if (!read_confirm(c, r, &operation))
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

/* ---- to a transaction ---- */

/* Does another region's transaction wait there that has waited longer? */
static bool others_go_first(const struct commit *c, const struct key *key, const struct request *r)
{
	if (contender_goes_first(c, key, r->since))
		return true;
	return key->prepare_first != NOBODY && c->transactions[key->prepare_first].body.since <= r->since;
}

/* First key that this request cannot have now, with *failed: ever; NOBODY when it can have all. taken[] are references to give back. */
static uint32_t keys_take(struct commit *c, struct request *r, uint32_t *taken, uint32_t *count, bool *failed, uint64_t *above)
{
	struct commit_body body = {.bytes = r->operations, .size = r->operations_size};
	uint32_t at = 0, blocked = NOBODY;
	*count = 0;
	for (uint32_t i = 0; i < r->operation_count; i++) {
		struct commit_operation operation;
		commit_body_operation(&body, &at, &operation);
		uint32_t index = key_take(c, operation.keyspace, operation.key, operation.key_size);
		if (index == NOBODY) {
			*failed = true;
			return NOBODY;
		}
		taken[(*count)++] = index;
		settle_known(c, index);
		struct key *key = &c->keys[index];
		if (key->damaged) {
			*failed = true;
			return index;
		}
		if (key->holders != NOBODY || key->request_first != NOBODY || others_go_first(c, key, r)) {
			blocked = index;
			break;
		}
		if (key->row.stamp.hlc > *above)
			*above = key->row.stamp.hlc;
	}
	return blocked;
}

static uint32_t body_build(struct commit *c, const uint32_t *list, uint32_t count)
{
	const struct request *last = &c->requests[list[count - 1]];
	uint64_t since = UINT64_MAX;
	for (uint32_t i = 0; i < count; i++)
		since = c->requests[list[i]].since < since ? c->requests[list[i]].since : since;
	uint8_t *out = commit_body_begin(c->body, last->ack_all, c->born, since, count);
	for (uint32_t i = 0; i < count; i++) {
		const struct request *r = &c->requests[list[i]];
		struct commit_request_name name = {.client_id = r->client_id, .number = r->number, .after = r->after};
		out = commit_request_name_put(out, &name);
	}
	bytes_put_u16(out, (uint16_t)last->operation_count);
	memcpy(out + 2, last->operations, last->operations_size);
	if (count > 1)
		bytes_put_u16(out + 2 + COMMIT_OPERATION_SHARE_AT, (uint16_t)(count - 1));
	return (uint32_t)(out + 2 + last->operations_size - c->body);
}

static void transaction_begin(struct commit *c, struct transaction *t, const uint32_t *list, uint32_t count)
{
	t->coordinating = true;
	for (uint32_t i = count; i-- > 0;) {
		struct request *r = &c->requests[list[i]];
		r->state = REQUEST_ACTIVE;
		r->transaction = transaction_index(c, t);
		r->next = t->requests;
		t->requests = list[i];
	}
	for (uint32_t i = 0; i < t->body.operation_count; i++)
		t->operations[i].previous = c->keys[t->operations[i].key].row.stamp;
	hold(c, t);
	/* Nobody may hold a vote for what a restart makes this region forget: the lock is on disk before PREPARE says that it is
	 * there (docs/spec, R18). So are the bound above the stamp and the rows named in it, which stand before it in the log. */
	append(c, COMMIT_ENTRY_PREPARE, t, 0, 0, true, false);
	later(c, ACTION_PREPARED, t, t->id);
}

static void begin(struct commit *c, const uint32_t *list, uint32_t count, uint64_t above)
{
	struct request *first = &c->requests[list[0]];
	uint32_t size = body_build(c, list, count);
	for (uint32_t i = 0; i < count; i++)
		above = later_of(above, c->requests[list[i]].after);
	struct commit_id id = {.hlc = stamp_take(c, above), .region = c->options.region};
	struct transaction *t = transaction_new(c, id, c->body, size);
	if (!t) {
		for (uint32_t i = 0; i < count; i++)
			request_retry(c, &c->requests[list[i]], request_pause_ns(&c->requests[list[i]]));
		return;
	}
	int16_t reason;
	bool final;
	struct commit_id stamp;
	enum commit_vote vote = check_rows(c, t, &reason, &final, &stamp);
	if (vote == COMMIT_YES) {
		if (count > 1)
			c->counts.shared += count;
		transaction_begin(c, t, list, count);
		return;
	}
	assert(count == 1); /* blind writes have no condition, and the stamp is above the rows */
	transaction_free(c, t);
	if (vote == COMMIT_NO && final)
		request_end(c, first, ERR_CHECK_FAILED, NULL, no_version);
	else if (vote == COMMIT_NO)
		request_confirm(c, first);
	else
		request_retry(c, first, request_pause_ns(first));
}

/* r is not in any list. */
void request_start(struct commit *c, struct request *r)
{
	uint32_t taken[COMMIT_OPERATIONS_MAX], count, list[COMMIT_REQUESTS_MAX], listed = 0;
	bool failed = false;
	uint64_t above = 0;
	if (r->duplicate) {
		request_end(c, r, ERR_OK, NULL, r->duplicate_of);
		return;
	}
	uint32_t blocked = keys_take(c, r, taken, &count, &failed, &above);
	if (failed && blocked != NOBODY)
		request_end(c, r, ERR_ROW_DAMAGED, NULL, no_version);
	else if (failed)
		request_retry(c, r, request_pause_ns(r));
	else if (blocked != NOBODY)
		request_wait(c, r, blocked, false);
	else {
		list[listed++] = (uint32_t)(r - c->requests);
		begin(c, list, listed, above);
	}
	for (uint32_t i = 0; i < count; i++)
		key_give(c, taken[i]);
}

/* Takes from the key's queue whoever may share one transaction with its first. */
static uint32_t share(struct commit *c, uint32_t index, uint32_t *list)
{
	struct key *key = &c->keys[index];
	uint32_t count = 0;
	while (key->request_first != NOBODY && count < COMMIT_REQUESTS_MAX) {
		struct request *r = &c->requests[key->request_first];
		if (count && (!r->blind || r->duplicate || r->ack_all != c->requests[list[0]].ack_all))
			break;
		request_unwait(c, r);
		list[count++] = (uint32_t)(r - c->requests);
		if (!r->blind || r->duplicate)
			break;
	}
	return count;
}

/* The key is referenced by the caller. */
void requests_run(struct commit *c, uint32_t index)
{
	uint32_t list[COMMIT_REQUESTS_MAX];
	while (room(c)) {
		settle_known(c, index);
		struct key *key = &c->keys[index];
		if (key->holders != NOBODY || key->request_first == NOBODY)
			return;
		struct request *r = &c->requests[key->request_first];
		if (others_go_first(c, key, r))
			return;
		if (r->blind && !r->duplicate) {
			uint32_t count = share(c, index, list);
			begin(c, list, count, key->row.stamp.hlc);
			continue;
		}
		/* Others wait behind it: out of their way while it looks at its keys, then back to the front if it must wait
		 * on. */
		request_unwait(c, r);
		uint32_t first = key->request_first, last = key->request_last;
		key->request_first = key->request_last = NOBODY;
		uint32_t self = (uint32_t)(r - c->requests);
		request_start(c, r);
		key = &c->keys[index];
		if (key->request_first == self) {
			c->requests[self].next = first;
			key->request_last = last == NOBODY ? self : last;
		} else if (key->request_first == NOBODY) {
			key->request_first = first;
			key->request_last = last;
		} else {
			assert(first == NOBODY);
		}
	}
}

/* One that is in no transaction; whoever waits behind it is looked at. */
static void waiting_end(struct commit *c, struct request *r, int code, const char *reason)
{
	uint32_t index = r->wait_key;
	if (index != NOBODY)
		c->keys[index].references++;
	request_end(c, r, code, reason, r->duplicate_of);
	if (index != NOBODY) {
		wake(c, index);
		key_give(c, index);
	}
}

static void active_timer(struct commit *c, struct request *r, bool is_late)
{
	struct transaction *t = &c->transactions[r->transaction];
	if (is_late && !r->answered) {
		struct commit_id version = no_version;
		const char *reason = NULL;
		int code = outcome(c, r, BROKEN(M16) ? ERR_NO_QUORUM : ERR_UNKNOWN_OUTCOME, &reason, &version);
		answer_later(c, r, code, reason, version);
		r->answered = true;
	}
	if (is_late || r->duplicate)
		withdraw(c, t, t->reason, t->reason_final);
}

void request_timer(struct commit *c, struct request *r)
{
	bool is_late = c->now_ns >= r->deadline_ns;
	if (r->state == REQUEST_CONFIRMING)
		return; /* its read has a deadline of its own */
	if (r->state == REQUEST_ACTIVE)
		active_timer(c, r, is_late);
	else if (r->duplicate)
		waiting_end(c, r, ERR_OK, NULL);
	else if (is_late)
		waiting_end(c, r, ERR_NO_QUORUM, "given up within its time, and certainly not applied");
	else if (r->state == REQUEST_WAITING && c->keys[r->wait_key].holders == NOBODY)
		wake(c, r->wait_key); /* keys that wait for each other's queues */
	else if (r->state == REQUEST_DELAYED && c->now_ns >= r->not_before_ns)
		request_start(c, r);
}

/* ---- from the client ---- */

/* Before that it was certainly not sent; 0: it is sent for the first time. */
static uint64_t first_sent_ms(const struct commit *c, const struct commit_event *e)
{
	uint64_t back_ms = e->transaction.age_ms + AGE_SLACK_MS;
	if (!e->transaction.age_ms)
		return 0;
	return back_ms < e->transaction.age_ms || back_ms >= c->now_ms ? 1 : c->now_ms - back_ms;
}

/* A repeat keeps its place. */
static uint64_t since_of(const struct commit *c, uint64_t age_ms)
{
	uint64_t now = stamp_now(c);
	return hlc_milliseconds(now) > age_ms ? now - hlc_pack(age_ms, 0) : 0;
}

static bool is_repeat(struct commit *c, const struct commit_event *e)
{
	uint64_t mark = memory_client_mark(&c->memory, e->transaction.client_id, e->transaction.settled);
	struct memory_answer *known = memory_find(&c->memory, e->transaction.client_id, e->transaction.number);
	if (!known) {
		if (e->transaction.number > mark && !is_forgotten(c, e->transaction.after))
			return false;
		answer_now(c, e, ERR_EXPIRED, NULL, no_version);
		return true;
	}
	if (known->state == MEMORY_PARKED) {
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
	answer_now(c, e, ERR_OK, NULL, version);
	return true;
}

/* A client moves no clock by more than that. What it has seen elsewhere comes here in a moment. */
static bool is_ahead(const struct commit *c, uint64_t after)
{
	return hlc_milliseconds(after) > later_of(hlc_milliseconds(commit_token(c)), c->now_ms) + TOKEN_AHEAD_MS;
}

static int validate(const struct commit_event *e, size_t *size)
{
	const struct commit_operation *o = e->transaction.operations;
	*size = COMMIT_BODY_BEGIN_SIZE + 2 + COMMIT_REQUEST_NAME_SIZE * (size_t)COMMIT_REQUESTS_MAX;
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
	return *size > COMMIT_BODY_MAX ? ERR_VALUE_TOO_LARGE : 0;
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
	if (c->refusing)
		code = c->refusing;
	else if ((uint32_t)__builtin_popcount(c->peers & c->options.regions) < (e->transaction.ack_all ? c->n : c->quorum))
		code = ERR_NO_QUORUM;
	else if (c->request_free == NOBODY || !commit_room(c) || is_ahead(c, e->transaction.after))
		code = ERR_OVERLOADED;
	uint8_t *blob = code ? NULL : arena_take(&c->arena, size - COMMIT_BODY_BEGIN_SIZE - 2 - COMMIT_REQUEST_NAME_SIZE * (size_t)COMMIT_REQUESTS_MAX);
	if (!blob) {
		refuse_now(c, e, code ? code : ERR_OVERLOADED);
		return;
	}
	uint32_t index = c->request_free;
	struct request *r = &c->requests[index];
	c->request_free = r->newer;
	*r = (struct request){.state = REQUEST_DELAYED,
	    .ack_all = e->transaction.ack_all,
	    .route = e->transaction.route,
	    .client_id = e->transaction.client_id,
	    .number = e->transaction.number,
	    .after = e->transaction.after,
	    .uncertain = e->transaction.age_ms && (e->transaction.moved || first_sent_ms(c, e) <= c->started_ms),
	    .since = since_of(c, e->transaction.age_ms),
	    .deadline_ns = e->transaction.deadline_ns,
	    .arrived_ns = e->transaction.arrived_ns,
	    .operations = blob,
	    .operation_count = e->transaction.count,
	    .next = NOBODY,
	    .wait_key = NOBODY,
	    .transaction = NOBODY,
	    .older = c->request_newest,
	    .newer = NOBODY};
	uint8_t *out = blob;
	for (uint32_t i = 0; i < e->transaction.count; i++)
		out = commit_operation_put(out, &e->transaction.operations[i]);
	r->operations_size = (uint32_t)(out - blob);
	r->blind = e->transaction.count == 1 && e->transaction.operations[0].condition == COMMIT_ALWAYS;
	if (r->older != NOBODY)
		c->requests[r->older].newer = index;
	else
		c->request_oldest = index;
	c->request_newest = index;
	c->request_count++;
	struct memory_answer *answer = memory_find(&c->memory, r->client_id, r->number);
	if (!answer)
		answer = memory_add(&c->memory, r->client_id, r->number);
	answer->state = MEMORY_PARKED;
	answer->sequence = index;
	request_start(c, r);
}

/* Each region remembers what became of each request, whichever region took it (B08). */
void requests_learn(struct commit *c, const struct commit_body *body, struct commit_id id)
{
	uint32_t at = body->requests_at;
	for (uint32_t i = 0; i < body->request_count; i++) {
		struct commit_request_name name;
		commit_body_request(body, &at, &name);
		struct memory_answer *answer = memory_find(&c->memory, name.client_id, name.number);
		if (!answer) {
			answer = memory_add(&c->memory, name.client_id, name.number);
		} else if (answer->state == MEMORY_PARKED) {
			/* Here as well: under this name it is done. */
			struct request *r = &c->requests[answer->sequence];
			r->duplicate = true;
			r->duplicate_of = id;
			r->duplicate_of.share = (uint16_t)i;
			continue;
		} else if (answer->state == MEMORY_DONE) {
			continue;
		}
		answer->state = MEMORY_DONE;
		answer->hlc = id.hlc;
		answer->sequence = id.region | (uint64_t)i << 8;
	}
}
