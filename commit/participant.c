/* SPDX-License-Identifier: Apache-2.0
 *
 * What a region does with others' transactions: it votes once, for one transaction a key at a time, and waits with its vote
 * while another holds a key. Nothing else is kept of a NO: only a YES binds. */
#include <assert.h>
#include <string.h>

#include "commit/state.h"

void wait_on(struct commit *c, struct transaction *t, uint32_t index)
{
	struct key *key = &c->keys[index];
	assert(t->wait_key == NOBODY);
	key->references++;
	t->wait_key = index;
	uint32_t *link = &key->prepare_first;
	while (*link != NOBODY && goes_first(&c->transactions[*link], t))
		link = &c->transactions[*link].wait_next;
	t->wait_next = *link;
	*link = transaction_index(c, t);
}

/* Without waking those behind it: for whoever goes through them all. The reference stays. */
uint32_t wait_remove(struct commit *c, struct transaction *t)
{
	uint32_t index = t->wait_key, *link = &c->keys[index].prepare_first;
	while (*link != transaction_index(c, t))
		link = &c->transactions[*link].wait_next;
	*link = t->wait_next;
	t->wait_key = t->wait_next = NOBODY;
	return index;
}

void wait_off(struct commit *c, struct transaction *t)
{
	if (t->wait_key == NOBODY)
		return;
	uint32_t index = wait_remove(c, t);
	wake(c, index);
	key_give(c, index);
}

void settle_known(struct commit *c, uint32_t index)
{
	for (uint32_t at = c->keys[index].holders; at != NOBODY;) {
		struct transaction *t = &c->transactions[at >> 8];
		at = t->operations[at & 255].next;
		if (!t->decided_known)
			continue;
		if (!room(c)) {
			leave_for_later(c, t, false);
			continue;
		}
		c->counts.noted++;
		decide(c, t, COMMIT_COMMITTED, false, false);
		at = c->keys[index].holders;
	}
}

bool settle_all(struct commit *c, const struct transaction *t)
{
	bool all = true;
	for (uint32_t i = 0; t->operations && i < t->body.operation_count; i++) {
		settle_known(c, t->operations[i].key);
		uint32_t at = c->keys[t->operations[i].key].holders;
		for (; at != NOBODY; at = c->transactions[at >> 8].operations[at & 255].next)
			all &= !c->transactions[at >> 8].decided_known;
	}
	return all;
}

static bool passed_over(const struct transaction *h, const struct commit_message *m)
{
	if (h->accepted_value == COMMIT_COMMITTED)
		return false;
	for (uint32_t i = 0; m && i < m->hold_count; i++)
		if (commit_id_equal(m->holds[i], h->id))
			return true;
	return false;
}

struct transaction *conflict(
    struct commit *c, struct transaction *t, bool accepting, const struct commit_message *m, uint32_t *key)
{
	for (uint32_t i = 0; i < t->body.operation_count; i++) {
		settle_known(c, t->operations[i].key);
		uint32_t at = c->keys[t->operations[i].key].holders;
		for (; at != NOBODY; at = c->transactions[at >> 8].operations[at & 255].next) {
			struct transaction *h = &c->transactions[at >> 8];
			if (h == t || (accepting && holds_by_promise(h)))
				continue;
			if (accepting && went_on(h, t))
				continue;
			if (accepting && passed_over(h, m))
				continue;
			*key = t->operations[i].key;
			return h;
		}
	}
	return NULL;
}

enum commit_vote check_rows(struct commit *c, struct transaction *t, struct check *check)
{
	enum commit_vote vote = COMMIT_YES;
	uint32_t at = t->body.operations_at;
	*check = (struct check){0};
	for (uint32_t i = 0; i < t->body.operation_count; i++) {
		struct commit_operation operation;
		commit_body_operation(&t->body, &at, &operation);
		const struct commit_row *row = &c->keys[t->operations[i].key].row;
		if (operation.condition == COMMIT_IF_VERSION) {
			int order = commit_id_compare(row->version, operation.expected);
			if (order > 0 || (order == 0 && row->version.share != operation.expected.share)) {
				*check = (struct check){.reason = ERR_CHECK_FAILED, .final = true, .operation = i};
				return COMMIT_NO;
			}
			if (order < 0)
				vote = COMMIT_ABSTAIN;
		} else if (operation.condition == COMMIT_IF_ABSENT && row->live) {
			check->reason = ERR_CHECK_FAILED;
			check->operation = i;
			vote = COMMIT_NO;
		}
		if (vote == COMMIT_YES && commit_id_compare(row->stamp, t->id) >= 0) {
			check->reason = ERR_OVERLOADED; /* too late here; another stamp may do */
			check->stamp = row->stamp;
			vote = COMMIT_NO;
		}
	}
	return vote;
}

static struct commit_answer *refuse(struct commit *c, struct commit_id id, enum commit_vote vote, int16_t reason)
{
	struct action *action = later(c, ACTION_REFUSED, NULL, id);
	action->to = id.region;
	action->vote = (uint8_t)vote;
	action->answer.code = reason;
	return &action->answer;
}

/* The same request may have been committed under another name, from another region. */
struct repeat repeat_find(struct commit *c, const struct transaction *t, bool started)
{
	uint32_t at = t->body.requests_at;
	for (uint32_t i = 0; i < t->body.request_count; i++) {
		struct commit_request_name name;
		commit_body_request(&t->body, &at, &name);
		const struct reply_answer *answer = reply_cache_find(&c->reply_cache, name.client_id, name.number);
		/* It may be waiting here as well, and be done all the same. */
		const struct request *here = answer && answer->state == REPLY_PARKED ? &c->requests[answer->sequence] : NULL;
		if (here && here->duplicate)
			return (struct repeat){.done = true, .request = i, .version = here->duplicate_of};
		if (answer && answer->state == REPLY_DONE)
			return (struct repeat){.done = true,
			    .request = i,
			    .version = {.hlc = answer->hlc,
			        .region = (uint8_t)answer->sequence,
			        .share = (uint16_t)(answer->sequence >> 8)}};
		if (!answer && ((!started && name.number <= reply_cache_client_mark(&c->reply_cache, name.client_id, 0)) ||
		                   is_forgotten(c, name.after)))
			return (struct repeat){.forgotten = true, .request = i};
	}
	return (struct repeat){0};
}

static bool is_repeat(struct commit *c, struct transaction *t)
{
	struct repeat repeat = repeat_find(c, t, false);
	if (!repeat.done && !repeat.forgotten)
		return false;
	struct commit_answer *m = refuse(c, t->id, COMMIT_NO, repeat.done ? ERR_OK : ERR_EXPIRED);
	m->number = repeat.request;
	m->version = repeat.version;
	if (!repeat.done)
		m->version.hlc = c->reply_cache.complete_hlc;
	return true;
}

static bool can_be_withdrawn(const struct transaction *t)
{
	return t->coordinating && !t->promised && !t->accepted_ballot;
}

bool make_way(struct commit *c, struct transaction *h)
{
	if (!can_be_withdrawn(h))
		return false;
	c->counts.wounded += !h->yields;
	if (room(c))
		return withdraw(c, h, 0, false);
	leave_for_later(c, h, true);
	return false;
}

/* The older goes first: what this region coordinates itself gives way, with an ABORT on a majority before the vote. */
static void wound(struct commit *c, struct transaction *t)
{
	for (uint32_t i = 0; i < t->body.operation_count; i++) {
		for (uint32_t at = c->keys[t->operations[i].key].holders; at != NOBODY;) {
			struct transaction *h = &c->transactions[at >> 8];
			at = h->operations[at & 255].next;
			if (!h->coordinating || !goes_first(t, h))
				continue;
			uint64_t due_ns = h->since_ns + grace_ns(c);
			if (c->now_ns < due_ns) {
				timer_pull(c, due_ns);
			} else if (make_way(c, h)) {
				at = c->keys[t->operations[i].key].holders;
			}
		}
	}
}

void participant_try(struct commit *c, struct transaction *t)
{
	if (is_promised(t) || t->voted || t->decided_known || t->coordinating)
		return;
	uint32_t key;
	if (conflict(c, t, false, NULL, &key)) {
		wound(c, t);
		if (conflict(c, t, false, NULL, &key)) {
			wait_on(c, t, key);
			return;
		}
	}
	struct check check;
	if (is_repeat(c, t)) {
		transaction_free(c, t);
		return;
	}
	enum commit_vote vote = check_rows(c, t, &check);
	if (vote != COMMIT_YES) {
		struct commit_answer *m = refuse(c, t->id, vote, check.reason);
		m->is_read = check.final;
		m->version = check.stamp;
		m->number = check.operation;
		transaction_free(c, t);
		return;
	}
	for (uint32_t i = 0; i < t->body.operation_count; i++)
		previous_raise(t, i, c->keys[t->operations[i].key].row.stamp);
	t->voted = true;
	t->waited_ns = c->now_ns - t->since_ns;
	hold(c, t);
	append(c, COMMIT_ENTRY_PREPARE, t, 0, 0, true, false);
	later(c, ACTION_VOTE, t, t->id)->to = 1u << t->id.region;
}

/* What the coordinator's rows were: a vote names the newer of that and its own. */
static void previous_take(struct transaction *t, const struct commit_message *m)
{
	for (uint32_t i = 0; m->seen_count == t->body.operation_count && i < m->seen_count; i++)
		t->operations[i].previous = m->seen[i].stamp;
}

bool decided_tell(struct commit *c, uint8_t to, struct commit_id id)
{
	if (!decided_find(c, id))
		return false;
	later(c, ACTION_DECIDED, NULL, id)->to = to;
	return true;
}

void participant_prepare(struct commit *c, uint8_t from, const struct commit_message *m)
{
	if (from != m->id.region)
		return;
	if (decided_tell(c, from, m->id))
		return;
	struct transaction *t = transaction_find(c, m->id);
	if (!t) {
		if (m->id.hlc <= c->forgotten_abort_hlc || !commit_room(c)) {
			refuse(c, m->id, COMMIT_NO, ERR_OVERLOADED)->version.hlc = c->forgotten_abort_hlc;
			return;
		}
		if (!(t = transaction_new(c, m->id, m->body, m->body_size, CLAIM_NEW))) {
			refuse(c, m->id, COMMIT_NO, ERR_OVERLOADED);
			return;
		}
		transaction_met(c, t);
		previous_take(t, m);
		participant_try(c, t);
		return;
	}
	t->touched_ns = c->now_ns;
	if (is_promised(t) || t->wait_key != NOBODY || !transaction_learn(c, t, m->body, m->body_size, CLAIM_NEW))
		return;
	if (t->voted) {
		later(c, ACTION_VOTE, t, t->id)->to = 1u << from;
		return;
	}
	previous_take(t, m);
	participant_try(c, t);
}

void participant_withdraw(struct commit *c, uint8_t from, const struct commit_message *m)
{
	if (from != m->id.region)
		return;
	if (decided_tell(c, from, m->id))
		return;
	struct transaction *t = transaction_find(c, m->id);
	if (!t) {
		if (!(t = transaction_new(c, m->id, m->body, m->body_size, CLAIM_RECOVERY)))
			return;
		transaction_met(c, t);
		t->forgot_abort = false; /* ABORT it is */
		if (t->forgot_commit)
			transaction_free(c, t);
	}
	if (!t->serial || commit_may_be_forgotten(c, t))
		return; /* who asks finds out otherwise */
	if (!t->promised && !t->accepted_ballot && !t->decided_known) {
		contender_note(c, t, from, t->body.since);
		wait_off(c, t);
		t->accepted_ballot = BALLOT_WITHDRAW;
		t->accepted_value = COMMIT_ABORTED;
		append(c, COMMIT_ENTRY_ACCEPT, t, BALLOT_WITHDRAW, COMMIT_ABORTED, false, false);
	}
	if (t->accepted_ballot == BALLOT_WITHDRAW && !t->promised)
		later(c, ACTION_WITHDRAWN, t, t->id)->to = from;
}

void tell_decided(struct commit *c, uint8_t to, struct commit_id id)
{
	uint8_t value = decided_find(c, id);
	if (!value)
		return;
	struct commit_message *m = message_send(c, 1u << to, COMMIT_DECIDED, id);
	m->decision = value;
	struct transaction *t = transaction_find(c, id);
	if (t && t->operations && value == COMMIT_COMMITTED) {
		previous_put(c, t, m);
		m->body = t->body.bytes;
		m->body_size = t->body.size;
	}
}

void participant_decided(struct commit *c, uint8_t from, const struct commit_message *m)
{
	uint8_t known = decided_find(c, m->id);
	if (known) {
		if (known != m->decision)
			c->counts.contradictions++;
		else if (known == COMMIT_COMMITTED)
			requests_gathered(c, from, m->id);
		return;
	}
	struct transaction *t = transaction_find(c, m->id);
	if (m->decision == COMMIT_ABORTED) {
		if (t && t->decided_known)
			c->counts.contradictions++;
		else if (t)
			decide(c, t, COMMIT_ABORTED, false, false);
		else
			decided_add(c, m->id, COMMIT_ABORTED); /* a PREPARE that comes late finds it */
		return;
	}
	if (m->decision != COMMIT_COMMITTED || !t || t->decided_known)
		return;
	if (is_echo(t)) {
		/* It was applied here and forgotten, or the stream has yet to bring it. */
		wait_off(c, t);
		unhold(c, t);
		transaction_free(c, t);
		return;
	}
	if (!t->operations && (!m->body || !transaction_learn(c, t, m->body, m->body_size, CLAIM_RECOVERY)))
		return; /* the stream brings it */
	for (uint32_t i = 0; i < t->body.operation_count; i++)
		t->operations[i].previous = m->seen_count == t->body.operation_count ? m->seen[i].stamp : t->id;
	next_note(c, t, m->read);
	if (t->coordinating) {
		decide(c, t, COMMIT_COMMITTED, false, false);
		return;
	}
	/* The record comes by stream in a moment; it is noted before only if somebody waits for it. */
	wait_off(c, t);
	recover_end(c, t);
	t->decided_known = true;
	t->touched_ns = c->now_ns;
	look_behind(c, t);
	for (uint32_t i = 0; i < t->body.operation_count; i++) {
		const struct key *key = &c->keys[t->operations[i].key];
		if (key->prepare_first != NOBODY || key->request_first != NOBODY || key->read_first != NOBODY) {
			c->counts.noted++;
			decide(c, t, COMMIT_COMMITTED, false, false);
			return;
		}
	}
}

void commit_rows(
    struct commit *c, const struct commit_body *body, struct commit_id id, const struct commit_id *previous, bool applied)
{
	uint32_t at = body->operations_at;
	for (uint32_t i = 0; i < body->operation_count; i++) {
		struct commit_operation operation;
		commit_body_operation(body, &at, &operation);
		uint64_t hash = key_hash(c, operation.keyspace, operation.key, operation.key_size);
		struct commit_id version = id;
		version.share = operation.share;
		history_add(c, hash, version, previous[i], operation.kind != COMMIT_CHECK, operation.kind == COMMIT_PUT);
		if (applied)
			continue; /* START loads the rows of keys that are in use */
		uint32_t index = key_take(c, operation.keyspace, operation.key, operation.key_size, CLAIM_COMMIT);
		assert(index != NOBODY); /* a transaction that is known has its keys; else commit_streams_room() was asked */
		struct key *key = &c->keys[index];
		commit_row_apply(&key->row, id, previous[i], &operation);
		key->row.value = NULL;
		struct contender *contender = &c->contenders[key->hash % CONTENDERS];
		if (contender->key_hash == key->hash && contender->since == body->since)
			contender->until_ns = 0; /* it was this one */
		if (!apply_add(c, index))
			key_give(c, index); /* it is in the list, with a reference of its own */
	}
	requests_learn(c, body, id);
}

void decide(struct commit *c, struct transaction *t, uint8_t value, bool ours, bool in_log)
{
	assert(!t->noted && !t->committing);
	wait_off(c, t);
	recover_end(c, t);
	decided_add(c, t->id, value);
	t->decided_known = false;
	if (value == COMMIT_COMMITTED) {
		c->counts.commits++;
		if (!in_log)
			append(c, COMMIT_ENTRY_COMMIT, t, 0, COMMIT_COMMITTED, true, ours);
		/* What each replaced, as the entry has it, which is in the log already or since a moment. */
		commit_rows(c, &t->body, t->id, c->head.previous, false);
	} else {
		c->counts.aborts++;
		if (t->logged)
			append(c, COMMIT_ENTRY_ABORT, t, 0, COMMIT_ABORTED, false, false);
	}
	unhold(c, t);
	look_behind(c, t);
	if (t->coordinating)
		coordinator_finish(c, t, value);
	t->coordinating = false;
	if (value == COMMIT_COMMITTED && ours) {
		t->committing = true;
		later(c, ACTION_COMMITTED, t, t->id);
	} else if (value == COMMIT_COMMITTED && !in_log) {
		t->noted = true;
		t->since_ns = c->now_ns;
	} else {
		if (ours)
			later(c, ACTION_ABORTED, NULL, t->id);
		transaction_free(c, t);
	}
}

void streamed(struct commit *c, const uint8_t *bytes, size_t size)
{
	struct commit_body body;
	c->ticket++;
	if (commit_entry_open(bytes, size, &c->head, &body) < 0 || !body.bytes)
		return;
	struct commit_id id = c->head.id;
	uint8_t known = decided_find(c, id);
	struct transaction *t = transaction_find(c, id);
	if (known) {
		if (known != COMMIT_COMMITTED)
			c->counts.contradictions++;
		else if (t && t->noted)
			transaction_free(c, t);
		return;
	}
	if (t && t->operations) {
		for (uint32_t i = 0; i < t->body.operation_count; i++)
			t->operations[i].previous = c->head.previous[i];
		decide(c, t, COMMIT_COMMITTED, false, true);
		return;
	}
	decided_add(c, id, COMMIT_COMMITTED);
	c->counts.commits++;
	commit_rows(c, &body, id, c->head.previous, false);
	if (t) {
		wait_off(c, t);
		transaction_free(c, t);
	}
}

bool withdraw(struct commit *c, struct transaction *t, int16_t reason, bool final)
{
	if (!can_be_withdrawn(t))
		return false;
	c->counts.withdrawn++;
	t->withdrawn = true;
	t->reason = reason;
	t->reason_final = final;
	if (!t->sent) {
		decide(c, t, COMMIT_ABORTED, false, false);
		return true;
	}
	t->accepted_ballot = BALLOT_WITHDRAW;
	t->accepted_value = COMMIT_ABORTED;
	t->next_ns = c->now_ns + resend_ns(c);
	append(c, COMMIT_ENTRY_ACCEPT, t, BALLOT_WITHDRAW, COMMIT_ABORTED, false, false);
	later(c, ACTION_OWN_WITHDRAWN, t, t->id);
	if (c->others)
		withdraw_send(c, t);
	return true;
}

/* With the body, so that who has forgotten much can look at the rows. */
void withdraw_send(struct commit *c, const struct transaction *t)
{
	struct commit_message *m = message_send(c, c->others, COMMIT_WITHDRAW, t->id);
	m->body = t->operations ? t->body.bytes : NULL;
	m->body_size = t->operations ? t->body.size : 0;
}
