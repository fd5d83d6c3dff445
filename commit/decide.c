/* SPDX-License-Identifier: Apache-2.0
 *
 * The coordinator of a transaction votes last: its COMMIT in the log is its vote and the decision. */
#include <assert.h>

#include "commit/state.h"

uint32_t votes_needed(const struct commit *c, const struct transaction *t)
{
	return t->body.ack_all ? c->n - 1 : c->quorum - 1;
}

void coordinator_send(struct commit *c, struct transaction *t)
{
	t->sent = true;
	t->next_ns = c->now_ns + resend_ns(c);
	uint32_t to = c->others & ~t->yes & ~t->no;
	if (to) {
		struct commit_message *m = message_send(c, to, COMMIT_PREPARE, t->id);
		m->body = t->body.bytes;
		m->body_size = t->body.size;
		previous_put(c, t, m);
	}
	if (!c->others)
		coordinator_try(c, t);
}

static bool any_duplicate(const struct commit *c, const struct transaction *t)
{
	for (uint32_t at = t->requests; at != NOBODY; at = c->requests[at].next)
		if (c->requests[at].duplicate && !c->requests[at].rides)
			return true;
	return false;
}

void coordinator_try(struct commit *c, struct transaction *t)
{
	if (!t->sent || is_promised(t))
		return; /* its own withdrawal is such a promise */
	uint32_t yes = BROKEN(M2) ? t->yes_messages : (uint32_t)__builtin_popcount(t->yes);
	if (yes < votes_needed(c, t) || (t->body.ack_all && t->no))
		return;
	if (any_duplicate(c, t)) {
		withdraw(c, t, 0, false);
		return;
	}
	/* What others committed without this region may have come by stream since the start. */
	struct check check;
	if (check_rows(c, t, &check) != COMMIT_YES) {
		t->blamed = check.operation;
		withdraw(c, t, check.reason, check.final);
		return;
	}
	for (uint32_t i = 0; i < t->body.operation_count; i++)
		previous_raise(t, i, c->keys[t->operations[i].key].row.stamp);
	decide(c, t, COMMIT_COMMITTED, true, false);
}

/* Too few can still vote YES. A NO of this name is for good; whether those who have not voted are there is a hint, and no more
 * is needed: a coordinator may withdraw at any time. */
bool coordinator_is_hopeless(const struct commit *c, const struct transaction *t)
{
	if (!t->no)
		return false;
	uint32_t may_vote = t->yes | (c->others & c->peers & ~t->no);
	return t->body.ack_all || (uint32_t)__builtin_popcount(may_vote) < votes_needed(c, t);
}

static void voted_no(struct commit *c, struct transaction *t, uint8_t from, const struct commit_message *m)
{
	t->no |= 1u << from;
	bool hopeless = m->is_final;
	if (m->reason == ERR_OK || m->reason == ERR_EXPIRED) {
		hopeless = true;
		uint32_t at = t->requests;
		for (uint64_t i = 0; i < m->read && at != NOBODY; i++)
			at = c->requests[at].next;
		if (at == NOBODY || c->requests[at].rides)
			return; /* it has no such request */
		if (m->reason == ERR_OK) {
			c->requests[at].duplicate = true;
			c->requests[at].duplicate_of = m->version;
		} else {
			c->requests[at].expired = true;
		}
	}
	if (m->reason == ERR_CHECK_FAILED && m->read < t->body.operation_count)
		t->blamed = (uint32_t)m->read;
	if (m->reason == ERR_CHECK_FAILED || !t->reason)
		t->reason = m->reason;
	if (hopeless || coordinator_is_hopeless(c, t))
		withdraw(c, t, t->reason, m->is_final);
}

void coordinator_vote(struct commit *c, uint8_t from, const struct commit_message *m)
{
	struct transaction *t = transaction_find(c, m->id);
	if (!t || !t->coordinating) {
		decided_tell(c, from, m->id);
		return;
	}
	if (m->vote == COMMIT_YES && m->seen_count == t->body.operation_count) {
		round_trip_note(c, from, c->now_ns - t->since_ns, m->ballot);
		t->yes |= 1u << from;
		t->no &= ~(1u << from);
		t->yes_messages++;
		if (m->read) {
			contender_note(c, t, from, m->read);
			t->behind = older_of(t->behind, m->read);
		}
		for (uint32_t i = 0; i < m->seen_count; i++)
			previous_raise(t, i, m->seen[i].stamp);
		coordinator_try(c, t);
	} else if (m->vote == COMMIT_NO && !(t->yes & 1u << from)) {
		voted_no(c, t, from, m);
	}
}

void coordinator_withdrawn(struct commit *c, uint8_t from, const struct commit_message *m)
{
	struct transaction *t = transaction_find(c, m->id);
	if (!t || !t->withdrawn || !t->coordinating)
		return;
	t->withdrawn_by |= 1u << from;
	if ((uint32_t)__builtin_popcount(t->withdrawn_by) >= c->quorum)
		decide(c, t, COMMIT_ABORTED, true, false);
}

/* Does the condition that is to blame come from this member? written: by an earlier one, so that the row itself does not matter
 * to it; kept up to date from member to member. */
static bool is_blamed(const struct transaction *t, const struct request *r, bool *written, bool *final)
{
	struct commit_body body = {.bytes = r->operations, .size = r->operations_size};
	uint32_t at = 0, key = t->operations[t->blamed].key;
	for (uint32_t i = 0; i < r->operation_count; i++) {
		struct commit_operation operation;
		commit_body_operation(&body, &at, &operation);
		if (r->keys[i].key != key)
			continue;
		bool blamed = !*written && operation.condition != COMMIT_ALWAYS;
		*final = t->reason_final && operation.condition == COMMIT_IF_VERSION;
		*written |= operation.kind != COMMIT_CHECK;
		return blamed;
	}
	return false;
}

/* One of an aborted transaction. What was said of another request or of its condition is nothing to it. */
static void request_aborted(struct commit *c, struct transaction *t, struct request *r, bool blamed, bool final)
{
	struct commit_id none = {0};
	if (r->duplicate)
		request_end(c, r, ERR_OK, NULL, r->duplicate_of);
	else if (r->expired)
		request_end(c, r, ERR_EXPIRED, NULL, none);
	else if (blamed && final)
		request_end(c, r, ERR_CHECK_FAILED, NULL, none);
	else if (c->now_ns >= r->deadline_ns)
		request_end(c, r, ERR_NO_QUORUM, "given up within its time, and certainly not applied", none);
	else if (blamed)
		request_confirm(c, r);
	else if (t->reason == ERR_OK || t->reason == ERR_CHECK_FAILED || t->reason == ERR_EXPIRED || r->rides)
		request_retry(c, r, 0); /* at once: it gave way to another, or others of this transaction are to blame */
	else if (t->reason != ERR_OVERLOADED)
		request_end(c, r, t->reason, NULL, none); /* another try would be told the same */
	else
		request_retry(c, r, r->refusals++ ? request_pause_ns(r) : 0); /* a younger stamp may do */
}

/* ---- committed, and to be in all regions ---- */

static void request_gather(struct commit *c, struct request *r, struct commit_id version, uint32_t has)
{
	r->state = REQUEST_GATHERING;
	r->version = version;
	r->has = has;
	r->not_before_ns = c->now_ns;
	r->next = c->request_gathering;
	c->request_gathering = (uint32_t)(r - c->requests);
	timer_pull(c, c->now_ns);
}

static void gathering_end(struct commit *c, uint32_t *link)
{
	struct request *r = &c->requests[*link];
	*link = r->next;
	r->next = NOBODY;
	request_end(c, r, ERR_OK, NULL, r->version);
}

/* `region` says that it has the decision, which it says of what is on its disk only. */
void requests_gathered(struct commit *c, uint8_t region, struct commit_id id)
{
	for (uint32_t *link = &c->request_gathering; *link != NOBODY;) {
		struct request *r = &c->requests[*link];
		if (commit_id_equal(r->version, id))
			r->has |= 1u << region;
		if (r->has == c->options.regions)
			gathering_end(c, link);
		else
			link = &r->next;
	}
}

void gathering_timer(struct commit *c, struct request *r, bool is_late)
{
	if (is_late) {
		if (!r->answered)
			answer_later(c, r, ERR_UNKNOWN_OUTCOME, commit_not_everywhere, r->version);
		r->answered = true;
		uint32_t *link = &c->request_gathering;
		while (*link != (uint32_t)(r - c->requests))
			link = &c->requests[*link].next;
		gathering_end(c, link);
		return;
	}
	if (c->now_ns < r->not_before_ns)
		return;
	struct commit_id id = r->version;
	id.share = 0;
	message_send(c, c->options.regions & ~r->has, COMMIT_FETCH, id);
	for (uint32_t at = c->request_gathering; at != NOBODY; at = c->requests[at].next)
		if (commit_id_equal(c->requests[at].version, id))
			c->requests[at].not_before_ns = c->now_ns + resend_ns(c);
}

static void request_committed(struct commit *c, const struct transaction *t, struct request *r, uint16_t share)
{
	struct commit_id version = t->id;
	if (r->rides) {
		request_end(c, r, ERR_CHECK_FAILED, NULL, (struct commit_id){0});
		return;
	}
	version.share = share;
	/* A recovery needs a majority only; up to three regions that and the coordinator are all there are. */
	bool by_all = c->n <= 3 || t->yes == c->others;
	if (t->body.ack_all && !by_all && !r->answered)
		request_gather(c, r, version, t->yes | 1u << c->options.region);
	else {
		if (by_all)
			r->has = c->options.regions;
		request_end(c, r, ERR_OK, NULL, version);
	}
}

void coordinator_finish(struct commit *c, struct transaction *t, uint8_t value)
{
	struct request *list[COMMIT_REQUESTS_MAX];
	bool blamed[COMMIT_REQUESTS_MAX] = {false}, final[COMMIT_REQUESTS_MAX] = {false}, written = false;
	uint32_t count = 0;
	for (uint32_t at = t->requests, next; at != NOBODY; at = next) {
		struct request *r = list[count] = &c->requests[at];
		next = r->next;
		r->next = r->transaction = NOBODY;
		if (value != COMMIT_COMMITTED && t->reason == ERR_CHECK_FAILED && !r->rides)
			blamed[count] = is_blamed(t, r, &written, &final[count]);
		count++;
	}
	t->requests = NOBODY;
	/* The youngest goes back first, so that each finds its place at the front of a queue. */
	for (uint32_t i = 0; i < count; i++) {
		uint32_t from_end = count - 1 - i;
		if (value == COMMIT_COMMITTED)
			request_committed(c, t, list[i], (uint16_t)i);
		else
			request_aborted(c, t, list[from_end], blamed[from_end], final[from_end]);
	}
}
