/* SPDX-License-Identifier: Apache-2.0
 *
 * The step. Work that may grow (keys to look at, what became durable, timers) is queued and done while there is room among the
 * effects; the rest says `more`. */
#include "commit/commit.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "commit/state.h"

#define SECOND 1000000000ull

static void defaults(struct commit_options *o)
{
	if (!o->transactions)
		o->transactions = 16384;
	if (!o->requests)
		o->requests = 65536;
	if (!o->reads)
		o->reads = 16384;
	if (!o->keys)
		o->keys = 131072;
	if (!o->memory)
		o->memory = 1u << 18;
	if (!o->arena)
		o->arena = 256ull << 20;
	if (!o->resend_ns)
		o->resend_ns = SECOND / 2;
	if (!o->in_doubt_ns)
		o->in_doubt_ns = SECOND;
	if (!o->carry_lsn)
		o->carry_lsn = 32u << 20;
	if (!o->unstreamed_ns)
		o->unstreamed_ns = 5 * SECOND;
}

int commit_new(struct commit **out, const struct commit_options *options, uint64_t stored_bound, uint64_t forgotten_hlc)
{
	assert(options->region < REGIONS_MAX && (options->regions & 1u << options->region) && options->lookup &&
	       options->assigned);
	struct commit *c = calloc(1, sizeof *c);
	if (!c)
		return ERR_NO_MEMORY;
	c->options = *options;
	defaults(&c->options);
	assert(!(c->options.keys & (c->options.keys - 1)) && !(c->options.memory & (c->options.memory - 1)));
	assert(!(c->options.arena & (c->options.arena - 1)));
	c->n = (uint32_t)__builtin_popcount(options->regions);
	if (tables_init(c) < 0) {
		commit_free(c);
		return ERR_NO_MEMORY;
	}
	c->quorum = c->n / 2 + 1;
	c->others = options->regions & ~(1u << options->region);
	c->peers = options->regions;
	c->born = stored_bound;
	c->forgotten_abort_hlc = c->forgotten_commit_hlc = c->newest_hlc = forgotten_hlc;
	c->reply_cache.complete_hlc = forgotten_hlc;
	hlc_init(&c->clock, stored_bound);
	hlc_learn(&c->clock, forgotten_hlc);
	*out = c;
	return 0;
}

void commit_free(struct commit *c)
{
	if (c)
		tables_free(c);
	free(c);
}

uint64_t commit_ticket(const struct commit *c)
{
	return c->ticket;
}

const struct commit_counts *commit_counts(const struct commit *c)
{
	return &c->counts;
}

uint32_t commit_held_keys(const struct commit *c)
{
	return c->held_keys;
}

bool commit_room(const struct commit *c)
{
	return c->action_tail - c->action_head + c->action_reserve + c->action_reserve / 2 <= c->action_capacity &&
	       c->key_count + c->keys_left[CLAIM_NEW] + COMMIT_OPERATIONS_MAX <= c->options.keys;
}

bool commit_streams_room(const struct commit *c)
{
	return actions_have_room(c) && c->key_count + COMMIT_OPERATIONS_MAX <= c->options.keys;
}

bool commit_replayed(const struct commit *c)
{
	return !c->replay_failed;
}

uint64_t commit_oldest_lsn(const struct commit *c)
{
	uint64_t oldest = c->durable_lsn;
	for (uint32_t at = c->transaction_oldest; at != NOBODY; at = c->transactions[at].newer)
		if (c->transactions[at].first_lsn < oldest)
			oldest = c->transactions[at].first_lsn;
	return oldest;
}

uint64_t commit_token(const struct commit *c)
{
	return later_of(later_of(c->newest_hlc, c->clock.last), c->reply_cache.complete_hlc) + 1;
}

uint64_t commit_newest_hlc(const struct commit *c)
{
	return c->newest_hlc;
}

uint32_t commit_in_doubt(const struct commit *c, struct commit_in_doubt *list, uint32_t capacity)
{
	uint32_t count = 0;
	for (uint32_t at = c->transaction_oldest; at != NOBODY; at = c->transactions[at].newer) {
		const struct transaction *t = &c->transactions[at];
		if (t->noted || t->decided_known || is_echo(t))
			continue;
		if (count < capacity)
			list[count] = (struct commit_in_doubt){.id = t->id,
			    .body = t->operations ? t->body : (struct commit_body){0},
			    .voted = t->voted,
			    .coordinating = t->coordinating,
			    .since_ns = t->since_ns};
		count++;
	}
	return count;
}

/* ---- effects ---- */

static void work_ends(struct commit *c)
{
	if (c->out->count - c->work_effects > c->counts.work_effects)
		c->counts.work_effects = c->out->count - c->work_effects;
	if (c->out->scratch_used - c->work_scratch > c->counts.work_scratch)
		c->counts.work_scratch = c->out->scratch_used - c->work_scratch;
}

bool room(struct commit *c)
{
	if (c->out->count + COMMIT_WORK_EFFECTS > COMMIT_EFFECTS_MAX ||
	    c->out->scratch_used + COMMIT_WORK_SCRATCH > COMMIT_SCRATCH)
		return false;
	work_ends(c);
	c->work_effects = c->out->count;
	c->work_scratch = c->out->scratch_used;
	return true;
}

struct commit_effect *effect_add(struct commit *c, enum commit_effect_type type)
{
	assert(c->out->count < COMMIT_EFFECTS_MAX);
	struct commit_effect *effect = &c->out->effects[c->out->count++];
	effect->type = type;
	return effect;
}

void *scratch_take(struct commit *c, size_t size)
{
	size = (size + 15) & ~(size_t)15;
	assert(c->out->scratch_used + size <= COMMIT_SCRATCH);
	void *memory = c->out->scratch + c->out->scratch_used;
	c->out->scratch_used += (uint32_t)size;
	return memory;
}

struct commit_message *message_send(struct commit *c, uint32_t to, enum commit_message_type type, struct commit_id id)
{
	assert(!(to & ~c->others) && to);
	struct commit_effect *effect = effect_add(c, COMMIT_EFFECT_SEND);
	effect->send.to = to;
	effect->send.message = (struct commit_message){.type = (uint8_t)type, .id = id};
	return &effect->send.message;
}

uint64_t append(struct commit *c, enum commit_entry type, struct transaction *t, uint64_t ballot, uint8_t value, bool with_body,
    bool is_streamed)
{
	struct commit_head *head = &c->head;
	head->id = t->id;
	head->ballot = ballot;
	head->value = value;
	head->own_lock = t->coordinating;
	head->voters = type == COMMIT_ENTRY_ACCEPT && value == COMMIT_COMMITTED ? t->voters : 0;
	head->previous_count = 0;
	with_body = with_body && t->operations;
	bool names = type == COMMIT_ENTRY_PREPARE || type == COMMIT_ENTRY_COMMIT ||
	             (type == COMMIT_ENTRY_ACCEPT && value == COMMIT_COMMITTED);
	if (names && t->operations) {
		head->previous_count = t->body.operation_count;
		for (uint32_t i = 0; i < head->previous_count; i++)
			head->previous[i] = t->operations[i].previous;
	}
	uint8_t *bytes = scratch_take(c, 32 + head->previous_count * 9);
	struct commit_effect *effect = effect_add(c, COMMIT_EFFECT_APPEND);
	effect->append.type = type;
	effect->append.streamed = is_streamed;
	effect->append.head = bytes;
	effect->append.head_size = commit_head_put(bytes, head, with_body);
	effect->append.body = with_body ? t->body.bytes : NULL;
	effect->append.body_size = with_body ? t->body.size : 0;
	if (c->durable_lsn < t->first_lsn)
		t->first_lsn = c->durable_lsn;
	t->logged = true;
	t->body_logged |= with_body;
	return ++c->ticket;
}

struct action *later(struct commit *c, enum action_type type, struct transaction *t, struct commit_id id)
{
	assert(c->action_tail - c->action_head < c->action_capacity);
	struct action *action = &c->actions[c->action_tail++ % c->action_capacity];
	*action = (struct action){.ticket = c->ticket, .type = type, .id = id, .transaction = NOBODY};
	if (t) {
		action->transaction = transaction_index(c, t);
		action->serial = t->serial;
	}
	return action;
}

void answer_later(struct commit *c, struct request *r, int code, const char *reason, struct commit_id version)
{
	struct action *action = later(c, ACTION_ANSWER, NULL, version);
	action->answer = (struct commit_answer){.route = r->route,
	    .number = r->number,
	    .arrived_ns = r->arrived_ns,
	    .code = code,
	    .reason = reason,
	    .version = version};
}

static void bound_append(struct commit *c, uint64_t bound)
{
	uint8_t *bytes = scratch_take(c, 8);
	bytes_put_u64(bytes, bound);
	struct commit_effect *effect = effect_add(c, COMMIT_EFFECT_APPEND);
	effect->append.type = COMMIT_ENTRY_BOUND;
	effect->append.streamed = false;
	effect->append.head = bytes;
	effect->append.head_size = 8;
	effect->append.body = NULL;
	effect->append.body_size = 0;
	c->ticket++;
}

/* Stands in the log before the transaction's own entry, without which nobody hears of it. Raised ahead, so that it is rare. */
uint64_t stamp_take(struct commit *c, uint64_t above)
{
	hlc_learn(&c->clock, above);
	uint64_t store = 0, stamp = hlc_tick(&c->clock, c->now_ms, &store);
	if (!store && hlc_milliseconds(stamp) + HLC_BOUND_STEP_MS / 2 > hlc_milliseconds(c->clock.bound)) {
		c->clock.bound = hlc_pack(hlc_milliseconds(stamp) + HLC_BOUND_STEP_MS, 0);
		store = c->clock.bound;
	}
	if (store)
		bound_append(c, store);
	return stamp;
}

uint64_t stamp_now(const struct commit *c)
{
	uint64_t physical = hlc_pack(c->now_ms < HLC_WALL_MS_MAX ? c->now_ms : HLC_WALL_MS_MAX, 0);
	return later_of(physical, c->clock.last);
}

/* ---- what waited for the disk ---- */

void previous_put(struct commit *c, const struct transaction *t, struct commit_message *m)
{
	struct commit_seen *seen = scratch_take(c, t->body.operation_count * sizeof *seen);
	memset(seen, 0, t->body.operation_count * sizeof *seen);
	for (uint32_t i = 0; i < t->body.operation_count; i++)
		seen[i].stamp = t->operations[i].previous;
	m->seen = seen;
	m->seen_count = t->body.operation_count;
}

/* Since when the oldest request waits here for t's keys; 0: none. */
static uint64_t waits_since(const struct commit *c, const struct transaction *t)
{
	uint64_t since = 0;
	for (uint32_t i = 0; i < t->body.operation_count; i++) {
		uint32_t first = c->keys[t->operations[i].key].request_first;
		if (first != NOBODY)
			since = older_of(since, c->requests[first >> 8].since);
	}
	return since;
}

static void vote_send(struct commit *c, struct transaction *t, uint32_t to)
{
	struct commit_message *m = message_send(c, to, COMMIT_VOTE, t->id);
	m->vote = COMMIT_YES;
	m->ballot = t->waited_ns;
	previous_put(c, t, m);
	m->read = waits_since(c, t);
}

/* Commits are shown in memory when they are appended. What is said of a row to others has to be on disk: they take it as proof
 * (docs/spec/machine.md, machine-base-not-durable). */
bool rows_are_durable(const struct commit *c, const struct transaction *t)
{
	for (uint32_t i = 0; t->operations && i < t->body.operation_count; i++)
		if (c->keys[t->operations[i].key].apply_ticket > c->durable)
			return false;
	return true;
}

/* Waits for what has been appended since. */
static void again(struct commit *c, const struct action *action)
{
	struct action copy = *action;
	copy.ticket = c->ticket;
	assert(c->action_tail - c->action_head < c->action_capacity);
	c->actions[c->action_tail++ % c->action_capacity] = copy;
}

/* Left from before a restart, and now a row under it cannot be read: no help to COMMIT, which stands on what it replaces. */
static bool has_no_say(const struct commit *c, const struct transaction *t, enum action_type type)
{
	bool damaged = false;
	for (uint32_t i = 0; t && t->operations && i < t->body.operation_count; i++)
		damaged |= c->keys[t->operations[i].key].damaged;
	return damaged && (type == ACTION_VOTE || (type == ACTION_ACCEPTED && t->accepted_value == COMMIT_COMMITTED));
}

static void action_do(struct commit *c, const struct action *action)
{
	struct transaction *t = action->transaction == NOBODY ? NULL : &c->transactions[action->transaction];
	if (t && t->serial != action->serial)
		t = NULL;
	if (has_no_say(c, t, action->type))
		return;
	switch (action->type) {
	case ACTION_VOTE:
		if (t && !is_promised(t))
			vote_send(c, t, action->to);
		return;
	case ACTION_PROMISED:
		if (decided_find(c, action->id))
			later(c, ACTION_DECIDED, NULL, action->id)->to = action->to; /* since then, and not on disk perhaps */
		else if (t && (!settle_all(c, t) || !rows_are_durable(c, t)))
			again(c, action);
		else if (t && t->promised == action->ballot)
			recover_promise_send(c, t, (uint8_t)action->to);
		return;
	case ACTION_RECOVER:
		if (!t || t->ballot != action->ballot || t->phase != PHASE_PROMISING)
			return;
		if (settle_all(c, t))
			recover_own(c, t);
		else
			again(c, action);
		return;
	case ACTION_ACCEPTED:
		if (decided_find(c, action->id)) {
			later(c, ACTION_DECIDED, NULL, action->id)->to = action->to;
		} else if (t && (!settle_all(c, t) || !rows_are_durable(c, t))) {
			again(c, action);
		} else if (t && t->accepted_ballot == action->ballot) {
			struct commit_message *m = message_send(c, 1u << action->to, COMMIT_ACCEPTED, t->id);
			m->ballot = action->ballot;
			struct commit_seen *seen = scratch_take(c, t->body.operation_count * sizeof *seen);
			struct proof proof = {0};
			for (uint32_t i = 0; i < t->body.operation_count; i++)
				history_below(c, &c->keys[t->operations[i].key], t->id, &seen[i], &proof);
			m->seen = seen;
			m->seen_count = t->body.operation_count;
		}
		return;
	case ACTION_REFUSED: {
		struct commit_message *m = message_send(c, 1u << action->to, COMMIT_VOTE, action->id);
		m->vote = action->vote;
		m->reason = (int16_t)action->answer.code;
		m->version = action->answer.version;
		m->read = action->answer.number;
		m->is_final = action->answer.is_read;
		return;
	}
	case ACTION_OWN_ACCEPTED:
		if (t && t->ballot == action->ballot && t->phase == PHASE_ACCEPTING)
			recover_accept_own(c, t);
		return;
	case ACTION_WITHDRAWN:
		if (t && t->accepted_ballot == BALLOT_WITHDRAW && !t->promised)
			message_send(c, 1u << action->to, COMMIT_WITHDRAWN, t->id);
		return;
	case ACTION_OWN_WITHDRAWN:
		coordinator_withdrawn(c, c->options.region, &(struct commit_message){.id = action->id});
		return;
	case ACTION_COMMITTED:
		/* The slot was kept for this: what was replaced has to be told with it. */
		if (t) {
			if (c->others) {
				struct commit_message *m = message_send(c, c->others, COMMIT_DECIDED, t->id);
				m->decision = COMMIT_COMMITTED;
				m->read = older_of(t->behind, waits_since(c, t));
				previous_put(c, t, m);
			}
			transaction_free(c, t);
		}
		return;
	case ACTION_ABORTED:
		if (c->others)
			message_send(c, c->others, COMMIT_DECIDED, action->id)->decision = COMMIT_ABORTED;
		return;
	case ACTION_DECIDED:
		tell_decided(c, (uint8_t)action->to, action->id);
		return;
	case ACTION_ANSWER:
		effect_add(c, COMMIT_EFFECT_ANSWER)->answer = action->answer;
		return;
	case ACTION_PREPARED:
		if (t && t->coordinating)
			coordinator_send(c, t);
		return;
	}
}

/* ---- queues ---- */

static bool action_is_due(const struct commit *c)
{
	return c->action_head != c->action_tail && c->actions[c->action_head % c->action_capacity].ticket <= c->durable;
}

static void actions_drain(struct commit *c)
{
	while (action_is_due(c) && room(c)) {
		struct action copy = c->actions[c->action_head++ % c->action_capacity];
		action_do(c, &copy);
	}
}

static void applied_drain(struct commit *c)
{
	while (c->apply_oldest != NOBODY && c->keys[c->apply_oldest].apply_ticket <= c->applied) {
		uint32_t index = c->apply_oldest;
		apply_remove(c, index);
		wake(c, index);
		key_give(c, index);
	}
}

void leave_for_later(struct commit *c, struct transaction *t, bool yields)
{
	t->yields |= yields;
	if (t->left)
		return;
	t->left = true;
	t->left_older = c->left_newest;
	t->left_newer = NOBODY;
	if (t->left_older != NOBODY)
		c->transactions[t->left_older].left_newer = transaction_index(c, t);
	else
		c->left_oldest = transaction_index(c, t);
	c->left_newest = transaction_index(c, t);
}

void left_remove(struct commit *c, struct transaction *t)
{
	if (!t->left)
		return;
	t->left = false;
	if (t->left_older != NOBODY)
		c->transactions[t->left_older].left_newer = t->left_newer;
	else
		c->left_oldest = t->left_newer;
	if (t->left_newer != NOBODY)
		c->transactions[t->left_newer].left_older = t->left_older;
	else
		c->left_newest = t->left_older;
}

static void left_drain(struct commit *c)
{
	while (c->left_oldest != NOBODY && room(c)) {
		struct transaction *t = &c->transactions[c->left_oldest];
		left_remove(c, t);
		if (t->decided_known) {
			c->counts.noted++;
			decide(c, t, COMMIT_COMMITTED, false, false);
		} else if (t->yields) {
			t->yields = false;
			withdraw(c, t, 0, false);
		}
	}
}

static void prepares_run(struct commit *c, uint32_t key)
{
	while (c->keys[key].prepare_first != NOBODY && actions_have_room(c) && room(c)) {
		struct transaction *t = &c->transactions[c->keys[key].prepare_first];
		uint64_t serial = t->serial;
		key_give(c, wait_remove(c, t));
		participant_try(c, t);
		if (t->serial == serial && t->wait_key == key)
			return;
	}
}

static void wakes_drain(struct commit *c)
{
	while (c->wake_head != c->wake_tail && room(c)) {
		uint32_t index = c->wakes[c->wake_head++ % c->options.keys];
		c->keys[index].waking = false;
		reads_run(c, index);
		requests_run(c, index); /* if they have waited longer */
		prepares_run(c, index);
		requests_run(c, index);
		if (!room(c))
			wake(c, index);
		key_give(c, index);
	}
}

/* ---- the work of a step ---- */

static void drain(struct commit *c)
{
	if (c->started) {
		actions_drain(c);
		applied_drain(c);
		left_drain(c);
		wakes_drain(c);
		sweep_drain(c);
		wakes_drain(c);
		left_drain(c);
	}
	c->out->more = c->started &&
	               (action_is_due(c) || c->left_oldest != NOBODY || c->wake_head != c->wake_tail || c->sweep != SWEEP_NONE);
	bool alive = c->transaction_count || c->request_oldest != NOBODY || c->read_oldest != NOBODY || c->waiting_read_count;
	if (alive && !c->timer_at_ns)
		c->timer_at_ns = c->now_ns + c->options.resend_ns / 8;
	c->out->timer_ns = alive ? c->timer_at_ns : 0;
}

/* ---- the step ---- */

/* The clock of strong stamps is logical: it learns every stamp that it meets, orders, and refuses nothing for the time that one
 * shows. Only damage is that large (core/hlc.h), and it is dropped before anything is made, logged or remembered of it. */
static bool stamps_learn(struct commit *c, const struct commit_message *m)
{
	uint64_t newest = later_of(m->id.hlc, m->version.hlc);
	for (uint32_t i = 0; i < m->seen_count; i++)
		newest = later_of(newest, later_of(m->seen[i].stamp.hlc, m->seen[i].version.hlc));
	for (uint32_t i = 0; i < m->hold_count; i++)
		newest = later_of(newest, m->holds[i].hlc);
	if (newest > HLC_STAMP_MAX)
		return false;
	hlc_learn(&c->clock, newest);
	return true;
}

static void step_message(struct commit *c, uint8_t from, const struct commit_message *m)
{
	if (!(c->others & 1u << from) || !(c->options.regions & 1u << m->id.region))
		return;
	if (!stamps_learn(c, m))
		return;
	/* The disk stands still: as good as lost on the way, and asked again. */
	if (!actions_have_room(c))
		return;
	switch ((enum commit_message_type)m->type) {
	case COMMIT_PREPARE:
		participant_prepare(c, from, m);
		return;
	case COMMIT_VOTE:
		coordinator_vote(c, from, m);
		return;
	case COMMIT_WITHDRAW:
		participant_withdraw(c, from, m);
		return;
	case COMMIT_WITHDRAWN:
		coordinator_withdrawn(c, from, m);
		return;
	case COMMIT_DECIDED:
		participant_decided(c, from, m);
		return;
	case COMMIT_RECOVER:
		recover_asked(c, from, m);
		return;
	case COMMIT_PROMISED:
		recover_promised(c, from, m);
		return;
	case COMMIT_ACCEPT:
		recover_accept(c, from, m);
		return;
	case COMMIT_ACCEPTED:
		recover_accepted(c, from, m);
		return;
	case COMMIT_BLOCKED:
		recover_blocked(c, from, m);
		return;
	case COMMIT_FETCH:
		recover_fetch(c, from, m);
		return;
	case COMMIT_KNOWN:
		recover_known(c, from, m);
		return;
	case COMMIT_ASK:
		read_asked(c, from, m);
		return;
	case COMMIT_TOLD:
		read_told(c, from, m);
		return;
	case COMMIT_MESSAGE_TYPES:
		return;
	}
}

void commit_step(struct commit *c, const struct commit_event *e, struct commit_effects *out)
{
	out->more = false;
	out->timer_ns = 0;
	out->count = out->scratch_used = 0;
	c->out = out;
	c->work_effects = c->work_scratch = 0;
	if (e->now_ns > c->now_ns)
		c->now_ns = e->now_ns;
	if (e->now_ms)
		c->now_ms = e->now_ms;
	while (c->freed_count)
		blob_give(c, c->freed[--c->freed_count]);
	switch (e->type) {
	case COMMIT_EVENT_TRANSACTION:
		request_take(c, e);
		break;
	case COMMIT_EVENT_READ:
		read_take(c, e);
		break;
	case COMMIT_EVENT_MESSAGE:
		step_message(c, e->message.from, e->message.message);
		break;
	case COMMIT_EVENT_DURABLE:
		assert(e->durable.ticket <= c->ticket);
		if (e->durable.ticket > c->durable)
			c->durable = e->durable.ticket;
		if (e->durable.lsn > c->durable_lsn)
			c->durable_lsn = e->durable.lsn;
		break;
	case COMMIT_EVENT_APPLIED:
		if (e->applied > c->applied)
			c->applied = e->applied;
		break;
	case COMMIT_EVENT_TIMER:
		timer_begin(c);
		break;
	case COMMIT_EVENT_PEERS:
		peers_take(c, e->peers);
		break;
	case COMMIT_EVENT_STREAMED:
		streamed(c, e->streamed.bytes, e->streamed.size);
		break;
	case COMMIT_EVENT_REPLAY:
		replay(c, e);
		break;
	case COMMIT_EVENT_START:
		start(c);
		break;
	case COMMIT_EVENT_REFUSE:
		c->refusing = e->refuse.code;
		c->takes_deletes = e->refuse.takes_deletes;
		break;
	case COMMIT_EVENT_CONTINUE:
		break;
	}
	drain(c);
	work_ends(c);
	c->out = NULL;
}
