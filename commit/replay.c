/* SPDX-License-Identifier: Apache-2.0
 *
 * The state again from the log. The rows hold all of it already, so a commit only adds to what is remembered. */
#include <string.h>

#include "commit/state.h"

static struct transaction *slot(struct commit *c, const struct commit_body *body)
{
	struct transaction *t = transaction_find(c, c->head.id);
	if (t) {
		if (body->bytes && !transaction_learn(c, t, body->bytes, body->size, CLAIM_REPLAY))
			c->replay_failed = true;
		return t;
	}
	t = transaction_new(c, c->head.id, body->bytes, body->size, CLAIM_REPLAY);
	if (t)
		transaction_met(c, t);
	else
		c->replay_failed = true;
	return t;
}

static void replay_commit(struct commit *c, const struct commit_event *e, const struct commit_body *body)
{
	struct transaction *t = transaction_find(c, c->head.id);
	if (!decided_find(c, c->head.id)) {
		decided_add(c, c->head.id, COMMIT_COMMITTED);
		commit_rows(c, body, c->head.id, c->head.previous, true);
	}
	if (t && e->replay.streamed) {
		unhold(c, t);
		transaction_free(c, t);
	} else if (!e->replay.streamed && (t || (t = slot(c, body)))) {
		unhold(c, t);
		if (!transaction_learn(c, t, body->bytes, body->size, CLAIM_REPLAY))
			c->replay_failed = true;
		t->noted = true;
		t->coordinating = false;
		for (uint32_t i = 0; t->operations && i < t->body.operation_count; i++)
			t->operations[i].previous = c->head.previous[i];
	}
}

static void replay_prepare(struct commit *c, struct transaction *t)
{
	for (uint32_t i = 0; i < t->body.operation_count && i < c->head.previous_count; i++)
		t->operations[i].previous = c->head.previous[i];
	if (c->head.own_lock)
		t->coordinating = t->sent = true;
	else
		t->voted = true;
	t->forgot_abort = t->forgot_commit = false; /* or there would have been no vote */
	hold(c, t);
}

static void replay_accept(struct commit *c, struct transaction *t)
{
	t->accepted_ballot = c->head.ballot;
	t->accepted_value = c->head.value;
	if (c->head.ballot == BALLOT_WITHDRAW) {
		t->forgot_abort = t->forgot_commit = false;
		if (t->id.region == c->options.region)
			t->coordinating = t->sent = t->withdrawn = true;
		return;
	}
	if (c->head.ballot > t->promised)
		t->promised = c->head.ballot;
	t->voters |= c->head.voters;
	if (c->head.value == COMMIT_COMMITTED && t->operations) {
		for (uint32_t i = 0; i < t->body.operation_count && i < c->head.previous_count; i++)
			t->operations[i].previous = c->head.previous[i];
		hold(c, t);
	}
}

void replay(struct commit *c, const struct commit_event *e)
{
	struct commit_body body;
	enum commit_entry type = e->replay.type;
	if (type == COMMIT_ENTRY_BOUND || commit_entry_open(e->replay.bytes, e->replay.size, &c->head, &body) < 0)
		return;
	if (type == COMMIT_ENTRY_COMMIT) {
		replay_commit(c, e, &body);
		return;
	}
	if (type == COMMIT_ENTRY_ABORT) {
		struct transaction *t = transaction_find(c, c->head.id);
		if (!decided_find(c, c->head.id))
			decided_add(c, c->head.id, COMMIT_ABORTED);
		if (t) {
			unhold(c, t);
			transaction_free(c, t);
		}
		return;
	}
	if (decided_find(c, c->head.id))
		return; /* what it was before */
	struct transaction *t = slot(c, &body);
	if (!t)
		return;
	if (e->replay.lsn < t->first_lsn)
		t->first_lsn = e->replay.lsn;
	t->logged = true;
	t->body_logged |= body.bytes != NULL;
	if (type == COMMIT_ENTRY_PREPARE && t->operations)
		replay_prepare(c, t);
	else if (type == COMMIT_ENTRY_PROMISE && c->head.ballot > t->promised) {
		t->promised = c->head.ballot;
		if (t->operations && !is_echo(t))
			hold(c, t);
	} else if (type == COMMIT_ENTRY_ACCEPT)
		replay_accept(c, t);
}

/* What this region coordinated has nobody left to answer to, and no votes: it is withdrawn. */
void start(struct commit *c)
{
	for (uint32_t i = 0; i < c->options.keys; i++)
		if (c->keys[i].used)
			key_load(c, &c->keys[i]);
	c->started = true;
	c->started_ns = c->now_ns;
	for (uint32_t at = c->transaction_oldest, next; at != NOBODY; at = next) {
		struct transaction *t = &c->transactions[at];
		next = t->newer;
		t->since_ns = t->touched_ns = c->now_ns;
		t->next_ns = 0;
		if (is_echo(t))
			unhold(c, t);
		/* withdraw() writes an entry; one turn of the timer later, so that a start has bounded effects. */
		if (t->coordinating && !t->withdrawn)
			t->next_ns = c->now_ns;
	}
}
