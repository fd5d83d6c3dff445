/* SPDX-License-Identifier: Apache-2.0
 *
 * The coordinator of a transaction votes last: its COMMIT in the log is its vote and the decision. */
#include <assert.h>

#include "actors/coordinator/commit/state.h"

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
		if (c->requests[at].duplicate)
			return true;
	return false;
}

void coordinator_try(struct commit *c, struct transaction *t)
{
	if (!t->coordinating || !t->sent || t->committing || t->withdrawn || is_promised(t))
		return;
	uint32_t yes = BROKEN(M2) ? t->yes_messages : (uint32_t)__builtin_popcount(t->yes);
	if (yes < votes_needed(c, t) || (t->body.ack_all && t->no))
		return;
	if (any_duplicate(c, t)) {
		withdraw(c, t, 0, false);
		return;
	}
	/* What others committed without this region may have come by stream since the start. */
	int16_t reason;
	bool final;
	struct commit_id stamp = {0};
	if (check_rows(c, t, &reason, &final, &stamp) != COMMIT_YES) {
		withdraw(c, t, reason, final);
		return;
	}
	for (uint32_t i = 0; i < t->body.operation_count; i++) {
		struct commit_id own = c->keys[t->operations[i].key].row.stamp;
		if (commit_id_compare(own, t->operations[i].previous) > 0)
			t->operations[i].previous = own;
	}
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
		if (at != NOBODY && m->reason == ERR_OK) {
			c->requests[at].duplicate = true;
			c->requests[at].duplicate_of = m->version;
		} else if (at != NOBODY) {
			c->requests[at].expired = true;
		}
	}
	if (m->reason == ERR_CHECK_FAILED || !t->reason)
		t->reason = m->reason;
	if (hopeless || coordinator_is_hopeless(c, t))
		withdraw(c, t, t->reason, m->is_final);
}

void coordinator_vote(struct commit *c, uint8_t from, const struct commit_message *m)
{
	struct transaction *t = transaction_find(c, m->id);
	if (!t || !t->coordinating || t->committing) {
		if (decided_find(c, m->id))
			later(c, ACTION_DECIDED, NULL, m->id)->to = from;
		return;
	}
	if (m->vote == COMMIT_YES && m->seen_count == t->body.operation_count) {
		uint64_t took_ns = c->now_ns - t->since_ns, *smooth_ns = &c->round_trip_ns[from];
		*smooth_ns = *smooth_ns ? *smooth_ns - *smooth_ns / 8 + took_ns / 8 : took_ns;
		t->yes |= 1u << from;
		t->no &= ~(1u << from);
		t->yes_messages++;
		if (m->read)
			contender_note(c, t, from, m->read);
		for (uint32_t i = 0; i < m->seen_count; i++)
			if (commit_id_compare(m->seen[i].stamp, t->operations[i].previous) > 0)
				t->operations[i].previous = m->seen[i].stamp;
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

/* Would another try be told something else? */
static bool is_for_good(const struct transaction *t)
{
	switch (t->reason) {
	case ERR_OK:         /* nobody said NO: it gave way to another */
	case ERR_EXPIRED:    /* one of those that share it is, which ends by itself */
	case ERR_OVERLOADED: /* no room, or a stamp that came too late */
		return false;
	case ERR_CHECK_FAILED:
		return t->reason_final;
	default:
		return true;
	}
}

static void request_aborted(struct commit *c, struct transaction *t, struct request *r)
{
	struct commit_id none = {0};
	if (r->duplicate)
		request_end(c, r, ERR_OK, NULL, r->duplicate_of);
	else if (r->expired)
		request_end(c, r, ERR_EXPIRED, NULL, none);
	else if (is_for_good(t))
		request_end(c, r, t->reason, NULL, none);
	else if (c->now_ns >= r->deadline_ns)
		request_end(c, r, ERR_NO_QUORUM, "given up within its time, and certainly not applied", none);
	else if (t->reason == ERR_CHECK_FAILED)
		request_confirm(c, r);
	else if (!t->reason || t->reason == ERR_EXPIRED || !r->refusals++)
		request_retry(c, r, 0); /* at once: others come first on its keys; or a younger stamp may do */
	else
		request_retry(c, r, request_pause_ns(r));
}

void coordinator_finish(struct commit *c, struct transaction *t, uint8_t value)
{
	uint16_t share = 0;
	for (uint32_t at = t->requests, next; at != NOBODY; at = next, share++) {
		struct request *r = &c->requests[at];
		next = r->next;
		r->next = NOBODY;
		r->transaction = NOBODY;
		if (value == COMMIT_COMMITTED) {
			struct commit_id version = t->id;
			version.share = share;
			/* A recovery needs a majority only; up to three regions that and the coordinator are all there are. */
			bool by_all = c->n <= 3 || (uint32_t)__builtin_popcount(t->yes) == c->n - 1;
			if (t->body.ack_all && !by_all && !r->answered) {
				answer_later(c, r, ERR_UNKNOWN_OUTCOME, "committed, but not yet known to be in all regions", version);
				r->answered = true;
			}
			request_end(c, r, ERR_OK, NULL, version);
		} else {
			request_aborted(c, t, r);
		}
	}
	t->requests = NOBODY;
}
