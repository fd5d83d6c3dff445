/* SPDX-License-Identifier: Apache-2.0
 *
 * What time brings about: a sweep over transactions, requests and reads, which stops where a step has no room and goes on in
 * the next one. */
#include "commit/state.h"

#define WITHDRAW_ATTEMPTS 8u

/* Undecided for long: all that is durable of it again, so that the log need not be kept for it. */
static void carry_on(struct commit *c, struct transaction *t)
{
	bool locks = t->voted || (t->coordinating && t->body_logged);
	bool with_body = t->body_logged && !locks;
	t->first_lsn = UINT64_MAX;
	if (locks)
		append(c, COMMIT_ENTRY_PREPARE, t, 0, 0, true, false);
	if (t->promised)
		append(c, COMMIT_ENTRY_PROMISE, t, t->promised, 0, with_body, false);
	if (t->accepted_ballot)
		append(c, COMMIT_ENTRY_ACCEPT, t, t->accepted_ballot, t->accepted_value, with_body && !t->promised, false);
}

static void transaction_timer(struct commit *c, struct transaction *t)
{
	const struct commit_options *o = &c->options;
	if (t->committing)
		return;
	if (t->logged && !t->noted && !t->decided_known && t->first_lsn + o->carry_lsn < c->durable_lsn)
		carry_on(c, t);
	if (t->noted) {
		if (c->now_ns >= t->since_ns + o->unstreamed_ns) {
			/* Its coordinator's stream did not bring it: it goes out on this region's. */
			c->counts.rescued++;
			append(c, COMMIT_ENTRY_COMMIT, t, 0, COMMIT_COMMITTED, true, true);
			transaction_free(c, t);
		}
		return;
	}
	if (t->decided_known) {
		if (c->now_ns >= t->touched_ns + o->unstreamed_ns / 4)
			decide(c, t, COMMIT_COMMITTED, false, false);
		return;
	}
	if (t->phase == PHASE_NONE && t->coordinating && !t->promised) {
		bool is_due = c->now_ns >= t->next_ns;
		if (t->sent && (is_due || (!t->withdrawn && coordinator_is_hopeless(c, t)))) {
			bool was_withdrawn = t->withdrawn;
			if (t->requests == NOBODY)
				withdraw(c, t, 0, false); /* from before a restart: nobody waits for it */
			else
				coordinator_try(c, t);
			/* After a NO, when whoever else could vote has let several round trips pass: it is better begun again
			 * than waited for. */
			if (t->no)
				withdraw(c, t, t->reason, t->reason_final);
			if (t->committing || t->withdrawn != was_withdrawn)
				return;
			t->next_ns = c->now_ns + resend_ns(c);
			if (t->withdrawn && ++t->attempts > WITHDRAW_ATTEMPTS)
				recover(c, t); /* somebody cannot say whether it has forgotten a commit */
			else if (t->withdrawn && c->others)
				withdraw_send(c, t);
			else if (!t->withdrawn)
				coordinator_send(c, t);
		}
		return;
	}
	if (t->wait_key != NOBODY)
		wake(c, t->wait_key); /* free by now, or its time of grace is over */
	if (!t->logged && !t->coordinating && c->now_ns >= t->touched_ns + 10 * o->in_doubt_ns) {
		/* Nothing of it is on disk here, and nobody asks any more. */
		wait_off(c, t);
		transaction_free(c, t);
		return;
	}
	/* An echo cannot conclude anything, and would only keep those who can from it; but somebody may know how it ended. */
	if (is_echo(t) && c->others && c->now_ns >= t->next_ns) {
		t->next_ns = c->now_ns + 4 * o->in_doubt_ns;
		message_send(c, c->others, COMMIT_FETCH, t->id);
	}
	if (is_echo(t) || (!t->logged && !t->coordinating && !t->urgent))
		return;
	look_plan(c, t);
	if (c->now_ns >= t->next_ns) {
		look_again(c, t);
		if (BROKEN(M4)) {
			decide(c, t, COMMIT_ABORTED, false, false);
			return;
		}
		recover(c, t);
	}
}

void sweep_drain(struct commit *c)
{
	if (c->sweep == SWEEP_TRANSACTIONS) {
		while (c->timer_place != NOBODY) {
			if (!room(c))
				return;
			struct transaction *t = &c->transactions[c->timer_place];
			uint32_t at = c->timer_place;
			transaction_timer(c, t);
			if (c->timer_place == at)
				c->timer_place = t->newer;
		}
		c->sweep = SWEEP_REQUESTS;
		c->timer_place = c->request_oldest;
	}
	if (c->sweep == SWEEP_REQUESTS) {
		while (c->timer_place != NOBODY) {
			if (!room(c))
				return;
			struct request *r = &c->requests[c->timer_place];
			c->timer_place = r->newer;
			request_timer(c, r);
		}
		c->sweep = SWEEP_READS;
		c->timer_place = c->read_oldest;
	}
	if (c->sweep == SWEEP_READS) {
		while (c->timer_place != NOBODY) {
			if (!room(c))
				return;
			struct read *r = &c->reads[c->timer_place];
			c->timer_place = r->newer;
			read_timer(c, r);
		}
		if (!reads_expire(c))
			return;
		c->sweep = SWEEP_NONE;
	}
}

void timer_pull(struct commit *c, uint64_t at_ns)
{
	if (!c->timer_at_ns || c->timer_at_ns > at_ns)
		c->timer_at_ns = at_ns;
}

void timer_begin(struct commit *c)
{
	if (c->sweep != SWEEP_NONE || (c->timer_at_ns && c->now_ns < c->timer_at_ns))
		return;
	c->timer_at_ns = 0;
	c->sweep = SWEEP_TRANSACTIONS;
	c->timer_place = c->transaction_oldest;
}
