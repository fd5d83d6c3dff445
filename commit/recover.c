/* SPDX-License-Identifier: Apache-2.0
 *
 * In doubt: any region decides what a silent coordinator began, by ballots (Lamport, "The Part-Time Parliament", 1998; the
 * coordinator's own commit is the fast path of Gray and Lamport, "Consensus on Transaction Commit", 2006). Each message of a
 * ballot leaves only when its sender's own promise or acceptance is on disk. */
#include <assert.h>
#include <string.h>

#include "commit/state.h"

#define BLANK_ASKS 4u

static void propose(struct commit *c, struct transaction *t);

uint64_t ballot_next(const struct commit *c, uint64_t above)
{
	return (above / REGIONS_MAX + 1) * REGIONS_MAX + c->options.region;
}

void recover_end(struct commit *c, struct transaction *t)
{
	if (t->recovery)
		look_give(c, t->recovery);
	t->recovery = NULL;
	t->phase = PHASE_NONE;
	t->promises = t->accepts = 0;
}

static void yield_own(struct commit *c, struct transaction *t)
{
	for (uint32_t i = 0; i < t->body.operation_count; i++) {
		for (uint32_t at = c->keys[t->operations[i].key].holders; at != NOBODY;) {
			struct transaction *h = &c->transactions[at >> 8];
			at = h->operations[at & 255].next;
			if (h != t && make_way(c, h))
				at = c->keys[t->operations[i].key].holders;
		}
	}
}

/* What this region coordinates on the keys would be in the way of a COMMIT, and can be withdrawn meanwhile. */
static void promise_yields(struct commit *c, struct transaction *t)
{
	if (t->operations && t->id.region != c->options.region && !is_echo(t))
		yield_own(c, t);
}

void recover(struct commit *c, struct transaction *t)
{
	if (!actions_have_room(c))
		return;
	/* Who does not know the body can propose nothing but ABORT, and would keep others from more: it asks them first. */
	if (t->blank && t->attempts <= BLANK_ASKS && c->others) {
		message_send(c, c->others, COMMIT_FETCH, t->id);
		return;
	}
	if (t->phase == PHASE_PROMISING && (t->promises | t->recovery->blanks) == c->options.regions) {
		propose(c, t); /* the streams may have caught up since */
		if (t->phase != PHASE_PROMISING)
			return; /* nor has it a phase if it is gone */
	}
	recover_end(c, t);
	if (!(t->recovery = look_take(c, t))) {
		t->next_ns = c->now_ns + c->options.in_doubt_ns / 8;
		return;
	}
	wait_off(c, t);
	t->ballot = ballot_next(c, t->promised > t->ballot ? t->promised : t->ballot);
	t->promised = t->ballot;
	t->phase = PHASE_PROMISING;
	if (t->operations && !is_echo(t))
		hold(c, t);
	c->counts.recoveries++;
	append(c, COMMIT_ENTRY_PROMISE, t, t->ballot, 0, !t->body_logged, false);
	promise_yields(c, t);
	later(c, ACTION_RECOVER, t, t->id)->ballot = t->ballot;
}

/* The oldest, in their order: when these are decided, the next look tells of others. */
static void hold_add(struct reply *reply, struct commit_id id)
{
	uint32_t place = 0;
	while (place < reply->hold_count && commit_id_compare(reply->holds[place], id) < 0)
		place++;
	if (place == REPLY_HOLDS_MAX || (place < reply->hold_count && commit_id_equal(reply->holds[place], id)))
		return;
	if (reply->hold_count < REPLY_HOLDS_MAX)
		reply->hold_count++;
	memmove(&reply->holds[place + 1], &reply->holds[place], (reply->hold_count - 1 - place) * sizeof *reply->holds);
	reply->holds[place] = id;
}

/* What this region has to say of t, at this moment, with all settled (settle_all). seen may be NULL. */
static void state_of(
    struct commit *c, struct transaction *t, struct reply *reply, struct commit_seen *seen, struct proof *proof)
{
	*reply = (struct reply){.here = true, .yes = t->voted};
	reply->coordinates = t->id.region == c->options.region;
	reply->withdrawn = t->accepted_ballot == BALLOT_WITHDRAW;
	reply->forgotten = t->forgot_abort || commit_may_be_forgotten(c, t);
	if (t->accepted_ballot >= REGIONS_MAX) {
		reply->accepted_ballot = t->accepted_ballot;
		reply->accepted_value = t->accepted_value;
		reply->voters = t->voters;
	}
	if (reply->forgotten)
		reply->coordinates = false;
	for (uint32_t i = 0; t->operations && i < t->body.operation_count; i++) {
		uint32_t index = t->operations[i].key;
		history_below(c, &c->keys[index], t->id, &seen[i], proof);
		proof->forgotten |= c->keys[index].damaged;
		/* What its own vote or the value accepted here names. */
		if (commit_id_compare(t->operations[i].previous, seen[i].stamp) > 0 &&
		    commit_id_compare(t->operations[i].previous, t->id) < 0)
			seen[i].stamp = t->operations[i].previous;
		for (uint32_t at = c->keys[index].holders; at != NOBODY;
		     at = c->transactions[at >> 8].operations[at & 255].next) {
			const struct transaction *h = &c->transactions[at >> 8];
			if (h == t || holds_by_promise(h))
				continue;
			if (commit_id_equal(h->operations[at & 255].previous, t->id)) {
				proof->committed = true; /* a vote or a value names what is committed, and nothing else */
				continue;
			}
			if (went_on(h, t))
				continue;
			hold_add(reply, h->id);
		}
	}
	/* Committed under another name, and that needed the same keys: t is not, or the other one could not be. */
	if (t->operations) {
		struct repeat repeat = repeat_find(c, t, true);
		proof->dead |= repeat.done && !commit_id_equal(repeat.version, t->id);
		reply->forgotten |= repeat.forgotten;
	}
	reply->dead = proof->dead;
	reply->committed = proof->committed;
	reply->forgotten |= proof->forgotten; /* what is above it may show that it is dead */
}

void recover_asked(struct commit *c, uint8_t from, const struct commit_message *m)
{
	if (m->ballot < REGIONS_MAX || m->ballot % REGIONS_MAX != from)
		return;
	struct transaction *t = transaction_find(c, m->id);
	if (t && t->decided_known)
		decide(c, t, COMMIT_COMMITTED, false, false);
	if (decided_tell(c, from, m->id))
		return;
	if (!t) {
		if (!(t = transaction_new(c, m->id, m->body, m->body_size, CLAIM_RECOVERY)))
			return;
		transaction_met(c, t);
	} else if (m->body) {
		transaction_learn(c, t, m->body, m->body_size, CLAIM_RECOVERY);
	}
	if (m->ballot > t->promised) {
		recover_end(c, t);
		wait_off(c, t);
		t->promised = m->ballot;
		if (t->operations && !is_echo(t))
			hold(c, t);
		append(c, COMMIT_ENTRY_PROMISE, t, m->ballot, 0, !t->body_logged, false);
		promise_yields(c, t);
	} else if (m->ballot < t->promised) {
		return;
	}
	if (!t->coordinating)
		t->next_ns = c->now_ns + c->options.in_doubt_ns;
	struct action *action = later(c, ACTION_PROMISED, t, t->id);
	action->to = from;
	action->ballot = m->ballot;
}

/* It votes no more, and has nothing else to say: not counted among those who reply, but among those who were to be waited for.
 */
static void blank_send(struct commit *c, struct transaction *t, uint8_t to)
{
	struct commit_message *m = message_send(c, 1u << to, COMMIT_PROMISED, t->id);
	m->ballot = t->promised;
	m->blank = m->forgotten = true;
	m->assigned = *c->options.assigned;
}

void recover_promise_send(struct commit *c, struct transaction *t, uint8_t to)
{
	if (t->blank) {
		blank_send(c, t, to);
		return;
	}
	struct reply reply;
	struct proof proof = {0};
	uint32_t count = t->operations ? t->body.operation_count : 0;
	struct commit_seen *seen = count ? scratch_take(c, count * sizeof *seen) : NULL;
	state_of(c, t, &reply, seen, &proof);
	struct commit_message *m = message_send(c, 1u << to, COMMIT_PROMISED, t->id);
	m->ballot = t->promised;
	m->vote = reply.yes ? COMMIT_YES : COMMIT_NONE;
	m->coordinates = reply.coordinates;
	m->withdrawn = reply.withdrawn;
	m->dead = reply.dead;
	m->forgotten = reply.forgotten;
	m->committed = reply.committed;
	m->accepted_ballot = reply.accepted_ballot;
	m->accepted_value = reply.accepted_value;
	m->voters = reply.voters;
	m->hold_count = reply.hold_count;
	memcpy(m->holds, reply.holds, sizeof reply.holds);
	m->seen = seen;
	m->seen_count = count;
	m->body = count ? t->body.bytes : NULL;
	m->body_size = count ? t->body.size : 0;
	m->assigned = *c->options.assigned;
}

static void seen_join(struct transaction *t, const struct commit_seen *seen, uint32_t count)
{
	for (uint32_t i = 0; count == t->recovery->seen_count && i < count; i++) {
		struct commit_seen *into = &t->recovery->seen[i];
		into->stamp = newer_of(into->stamp, seen[i].stamp);
		if (commit_id_compare(seen[i].version, into->version) > 0) {
			into->version = seen[i].version;
			into->live = seen[i].live;
		}
	}
}

/* ---- what may have happened ---- */

/* True when t may pass over all that holds its keys; otherwise they are recovered first. */
static bool blockers_pass(struct commit *c, struct transaction *t)
{
	bool pass = true;
	for (uint32_t r = 0; r < REGIONS_MAX; r++) {
		const struct reply *reply = &t->recovery->replies[r];
		bool is_full = reply->hold_count == REPLY_HOLDS_MAX; /* there may be more: these first, whatever they are */
		for (uint32_t i = 0; (t->promises & 1u << r) && i < reply->hold_count; i++) {
			struct commit_id id = reply->holds[i];
			if (is_over(t, id) && !is_full)
				continue;
			if (decided_find(c, id)) {
				pass = false; /* since then: ask again */
				continue;
			}
			struct transaction *b = transaction_find(c, id);
			if (!b) {
				if (r != c->options.region && room(c))
					message_send(c, 1u << r, COMMIT_FETCH, id);
				pass = false;
				continue;
			}
			bool may = !is_full && c->n > 3 && needs_abort_of(c, b, t) &&
			           (commit_id_compare(t->id, b->id) > 0 || !needs_abort_of(c, t, b));
			if (may && t->over_count < COMMIT_HOLDS_MAX) {
				t->over[t->over_count++] = id;
				continue;
			}
			pass = false;
			look_first(c, b);
		}
	}
	return pass;
}

/* Somebody may have decided t and forgotten it. Had that been COMMIT, the record would be in a log of those who replied, and
 * in this one by now, where it would have ended t. So all regions have to have replied, this one must know of itself that it
 * has not forgotten such a COMMIT, and its log must hold all that theirs held. Then nobody has committed t, nor can: all have
 * promised. A promise is enough for that, whatever else its sender knows. */
static bool is_caught_up(const struct commit *c, struct transaction *t)
{
	return (t->promises | t->recovery->blanks) == c->options.regions && !commit_may_be_forgotten(c, t) &&
	       vector_covers(c->options.assigned, &t->recovery->assigned);
}

static void evidence_of(struct commit *c, struct transaction *t, struct evidence *evidence)
{
	*evidence = (struct evidence){.regions = c->options.regions,
	    .promises = t->promises,
	    .coordinator = t->id.region,
	    .needed = t->operations ? votes_needed(c, t) : c->quorum - 1,
	    .is_known = t->operations != NULL,
	    .is_caught_up = is_caught_up(c, t),
	    .is_broken = t->operations && condition_is_broken(t),
	    .replies = t->recovery->replies};
}

/* ---- accepting ---- */

/* False when it must not be accepted now; *blocker says because of whom, or stays NULL. */
static bool may_accept(
    struct commit *c, struct transaction *t, uint8_t value, const struct commit_message *m, struct transaction **blocker)
{
	*blocker = NULL;
	if (value != COMMIT_COMMITTED)
		return true;
	if (!t->operations || t->forgot_abort || commit_may_be_forgotten(c, t))
		return false;
	uint32_t key;
	struct repeat repeat = repeat_find(c, t, true);
	if ((repeat.done && !commit_id_equal(repeat.version, t->id)) || repeat.forgotten)
		return false;
	yield_own(c, t);
	if ((*blocker = conflict(c, t, true, m, &key)))
		return false;
	uint32_t at = t->body.operations_at;
	for (uint32_t i = 0; i < t->body.operation_count; i++) {
		struct commit_operation operation;
		struct commit_seen seen;
		struct proof proof = {0};
		commit_body_operation(&t->body, &at, &operation);
		history_below(c, &c->keys[t->operations[i].key], t->id, &seen, &proof);
		if (proof.dead || proof.forgotten)
			return false;
		int order = commit_id_compare(seen.version, operation.expected);
		if (operation.condition == COMMIT_IF_VERSION &&
		    (order > 0 || (order == 0 && seen.version.share != operation.expected.share)))
			return false;
	}
	return true;
}

static void previous_join(struct transaction *t, const struct commit_seen *seen, uint32_t count)
{
	for (uint32_t i = 0; t->operations && count == t->body.operation_count && i < count; i++)
		previous_raise(t, i, seen[i].stamp);
}

static void accept(struct commit *c, struct transaction *t, uint64_t ballot, uint8_t value)
{
	wait_off(c, t);
	t->promised = ballot;
	t->accepted_ballot = ballot;
	t->accepted_value = value;
	if (value == COMMIT_COMMITTED)
		hold(c, t);
	else if (is_echo(t))
		unhold(c, t);
	append(c, COMMIT_ENTRY_ACCEPT, t, ballot, value, !t->body_logged, false);
}

static void propose(struct commit *c, struct transaction *t)
{
	struct evidence evidence;
	evidence_of(c, t, &evidence);
	enum choice choice = choose(&evidence);
	if (choice == CHOICE_KNOWN) {
		/* Nothing is left to decide. What it replaced is not known for certain: it names itself. */
		for (uint32_t i = 0; i < t->body.operation_count; i++)
			t->operations[i].previous = t->id;
		c->counts.recovered++;
		decide(c, t, COMMIT_COMMITTED, true, false);
		return;
	}
	over_take(c, t);
	if (choice == CHOICE_NONE || (choice == CHOICE_COMMIT && !blockers_pass(c, t)))
		return;
	uint8_t value = choice == CHOICE_ABORT ? COMMIT_ABORTED : COMMIT_COMMITTED;
	struct transaction *blocker;
	struct commit_message passing = {.hold_count = t->over_count};
	memcpy(passing.holds, t->over, sizeof t->over);
	if (!may_accept(c, t, value, &passing, &blocker)) {
		if (blocker)
			look_first(c, blocker);
		return; /* with the next ballot */
	}
	if (value == COMMIT_COMMITTED) {
		previous_join(t, t->recovery->seen, t->body.operation_count);
		t->voters = voters_of(t);
	}
	t->proposed = value;
	t->phase = PHASE_ACCEPTING;
	t->accepts = 0;
	accept(c, t, t->ballot, value);
	later(c, ACTION_OWN_ACCEPTED, t, t->id)->ballot = t->ballot;
}

static void promise_count(struct commit *c, struct transaction *t)
{
	if (t->phase == PHASE_PROMISING && (uint32_t)__builtin_popcount(t->promises) >= c->quorum)
		propose(c, t);
}

void recover_own(struct commit *c, struct transaction *t)
{
	struct proof proof = {0};
	struct reply reply;
	uint32_t self = c->options.region, count = t->operations ? t->body.operation_count : 0;
	struct commit_seen *seen = count ? scratch_take(c, count * sizeof *seen) : NULL;
	uint64_t serial = t->serial;
	state_of(c, t, &reply, seen, &proof);
	assert(t->serial == serial);
	t->recovery->replies[self] = reply;
	seen_join(t, seen, count);
	t->promises |= 1u << self;
	if (c->others) {
		struct commit_message *m = message_send(c, c->others, COMMIT_RECOVER, t->id);
		m->ballot = t->ballot;
		m->body = count ? t->body.bytes : NULL;
		m->body_size = count ? t->body.size : 0;
	}
	promise_count(c, t);
}

void recover_promised(struct commit *c, uint8_t from, const struct commit_message *m)
{
	struct transaction *t = transaction_find(c, m->id);
	if (!t || t->phase != PHASE_PROMISING || m->ballot != t->ballot)
		return;
	if (!t->operations && m->body && transaction_learn(c, t, m->body, m->body_size, CLAIM_RECOVERY))
		return; /* what this is about: from the start */
	vector_join(&t->recovery->assigned, &m->assigned);
	if (m->blank) {
		t->recovery->blanks |= 1u << from;
		promise_count(c, t);
		return;
	}
	struct reply *reply = &t->recovery->replies[from];
	*reply = (struct reply){.here = true,
	    .yes = m->vote == COMMIT_YES,
	    .coordinates = m->coordinates && from == t->id.region,
	    .withdrawn = m->withdrawn,
	    .dead = m->dead,
	    .forgotten = m->forgotten,
	    .committed = m->committed,
	    .accepted_value = m->accepted_value,
	    .accepted_ballot = m->accepted_ballot,
	    .voters = m->voters,
	    .hold_count = m->hold_count};
	memcpy(reply->holds, m->holds, sizeof reply->holds);
	seen_join(t, m->seen, m->seen_count);
	t->promises |= 1u << from;
	promise_count(c, t);
}

static void accept_count(struct commit *c, struct transaction *t)
{
	if ((uint32_t)__builtin_popcount(t->accepts) < c->quorum)
		return;
	uint8_t value = t->proposed;
	c->counts.recovered++;
	for (uint32_t i = 0; value == COMMIT_COMMITTED && i < t->body.operation_count; i++) {
		struct commit_seen seen;
		struct proof proof = {0};
		history_below(c, &c->keys[t->operations[i].key], t->id, &seen, &proof);
		previous_raise(t, i, newer_of(t->recovery->seen[i].stamp, seen.stamp));
	}
	decide(c, t, value, true, false);
}

void recover_accept_own(struct commit *c, struct transaction *t)
{
	t->accepts |= 1u << c->options.region;
	if (c->others) {
		struct commit_message *m = message_send(c, c->others, COMMIT_ACCEPT, t->id);
		m->ballot = t->ballot;
		m->decision = t->proposed;
		m->body = t->operations ? t->body.bytes : NULL;
		m->body_size = t->operations ? t->body.size : 0;
		m->voters = t->voters;
		m->hold_count = t->over_count;
		memcpy(m->holds, t->over, sizeof t->over);
		if (t->proposed == COMMIT_COMMITTED)
			previous_put(c, t, m);
	}
	accept_count(c, t);
}

void recover_accept(struct commit *c, uint8_t from, const struct commit_message *m)
{
	if (m->ballot < REGIONS_MAX || m->ballot % REGIONS_MAX != from || !m->decision)
		return;
	struct transaction *t = transaction_find(c, m->id);
	if (t && t->decided_known)
		decide(c, t, COMMIT_COMMITTED, false, false);
	if (decided_tell(c, from, m->id))
		return;
	if (!t) {
		if (!(t = transaction_new(c, m->id, m->body, m->body_size, CLAIM_RECOVERY)))
			return;
		transaction_met(c, t);
		if (is_echo(t)) {
			transaction_free(c, t); /* whoever proposes asks first */
			return;
		}
	}
	if (m->body)
		transaction_learn(c, t, m->body, m->body_size, CLAIM_RECOVERY);
	if (m->ballot < t->promised && !BROKEN(M5))
		return;
	if (t->accepted_ballot != m->ballot) {
		struct transaction *blocker;
		if (!may_accept(c, t, m->decision, m, &blocker)) {
			if (blocker) {
				struct commit_message *blocked = message_send(c, 1u << from, COMMIT_BLOCKED, t->id);
				blocked->ballot = m->ballot;
				blocked->hold_count = 1;
				blocked->holds[0] = blocker->id;
				look_first(c, blocker);
			}
			return;
		}
		recover_end(c, t);
		if (m->decision == COMMIT_COMMITTED) {
			previous_join(t, m->seen, m->seen_count);
			t->voters |= m->voters;
		}
		accept(c, t, m->ballot, m->decision);
	}
	t->next_ns = c->now_ns + c->options.in_doubt_ns;
	struct action *action = later(c, ACTION_ACCEPTED, t, t->id);
	action->to = from;
	action->ballot = m->ballot;
}

void recover_accepted(struct commit *c, uint8_t from, const struct commit_message *m)
{
	struct transaction *t = transaction_find(c, m->id);
	if (!t || m->ballot != t->ballot || !(t->accepts & 1u << c->options.region))
		return;
	t->accepts |= 1u << from;
	seen_join(t, m->seen, m->seen_count);
	accept_count(c, t);
}

/* ---- whoever is in the way ---- */

void recover_blocked(struct commit *c, uint8_t from, const struct commit_message *m)
{
	struct transaction *t = transaction_find(c, m->id);
	if (!t || t->phase != PHASE_ACCEPTING || m->ballot != t->ballot)
		return;
	for (uint32_t i = 0; i < m->hold_count; i++) {
		struct transaction *b = transaction_find(c, m->holds[i]);
		if (b) {
			look_first(c, b);
		} else if (!decided_find(c, m->holds[i]) && room(c)) {
			message_send(c, 1u << from, COMMIT_FETCH, m->holds[i]);
		}
	}
}

void recover_fetch(struct commit *c, uint8_t from, const struct commit_message *m)
{
	if (decided_tell(c, from, m->id))
		return;
	struct transaction *t = transaction_find(c, m->id);
	if (!t || !t->operations)
		return;
	struct commit_message *known = message_send(c, 1u << from, COMMIT_KNOWN, t->id);
	known->body = t->body.bytes;
	known->body_size = t->body.size;
}

void recover_known(struct commit *c, uint8_t from, const struct commit_message *m)
{
	(void)from;
	if (decided_find(c, m->id) || transaction_find(c, m->id))
		return;
	struct transaction *t = transaction_new(c, m->id, m->body, m->body_size, CLAIM_RECOVERY);
	if (!t)
		return;
	if (t->blank) {
		transaction_free(c, t);
		return;
	}
	transaction_met(c, t);
	look_first(c, t);
}
