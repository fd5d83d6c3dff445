/* SPDX-License-Identifier: Apache-2.0
 *
 * What to propose for a transaction in recovery, and over what: of the replies alone. Nothing is changed here but the list of
 * what may be passed over. */
#include "commit/state.h"

enum choice choose(const struct evidence *evidence)
{
	bool dead = false, withdrawn = false, coordinates = false, forgotten = false, committed = false;
	uint32_t votes = 0, unseen = evidence->regions & ~evidence->promises & ~(1u << evidence->coordinator);
	const struct reply *newest = NULL;
	for (uint32_t r = 0; r < REGIONS_MAX; r++) {
		const struct reply *reply = &evidence->replies[r];
		if (!(evidence->promises & 1u << r))
			continue;
		committed |= reply->committed;
		dead |= reply->dead;
		withdrawn |= reply->withdrawn;
		coordinates |= reply->coordinates;
		forgotten |= reply->forgotten;
		votes += reply->yes;
		if (reply->accepted_ballot && (!newest || reply->accepted_ballot > newest->accepted_ballot))
			newest = reply;
	}
	if (committed && evidence->is_known)
		return CHOICE_KNOWN;
	if (dead)
		return CHOICE_ABORT;
	if (forgotten)
		return evidence->is_caught_up ? CHOICE_ABORT : CHOICE_NONE;
	if (newest)
		return newest->accepted_value == COMMIT_COMMITTED ? CHOICE_ACCEPTED : CHOICE_ABORT;
	/* Most YES votes that its coordinator can have or get. */
	if (withdrawn || coordinates || votes + (uint32_t)__builtin_popcount(unseen) < evidence->needed)
		return CHOICE_ABORT;
	if (!evidence->is_known)
		return CHOICE_NONE;
	return evidence->is_broken ? CHOICE_ABORT : CHOICE_COMMIT;
}

/* ---- what is in the way ---- */

static uint32_t yes_seen(const struct transaction *t)
{
	uint32_t count = 0;
	for (uint32_t r = 0; r < REGIONS_MAX; r++)
		count += (t->promises & 1u << r) && t->recovery->replies[r].yes;
	return count;
}

/* Most YES votes that t's coordinator can have or get, with those of `without` left out. */
static uint32_t potential(const struct commit *c, const struct transaction *t, uint32_t without)
{
	uint32_t unseen = c->options.regions & ~t->promises & ~(1u << t->id.region) & ~without;
	return yes_seen(t) + (uint32_t)__builtin_popcount(unseen);
}

/* b cannot commit unless t is aborted first: t's coordinator is needed for it, and holds t until t is decided. */
bool needs_abort_of(const struct commit *c, const struct transaction *b, const struct transaction *t)
{
	uint32_t coordinator = 1u << t->id.region;
	if (b->phase != PHASE_PROMISING || (uint32_t)__builtin_popcount(b->promises) < c->quorum ||
	    (b->promises & coordinator) || (t->promises & coordinator) || b->id.region == t->id.region)
		return false;
	for (uint32_t r = 0; r < REGIONS_MAX; r++)
		if ((b->promises & 1u << r) && (b->recovery->replies[r].accepted_ballot || b->recovery->replies[r].withdrawn))
			return false;
	return potential(c, b, coordinator) < votes_needed(c, b);
}

bool is_over(const struct transaction *t, struct commit_id id)
{
	for (uint32_t i = 0; i < t->over_count; i++)
		if (commit_id_equal(t->over[i], id))
			return true;
	return false;
}

uint16_t voters_of(const struct transaction *t)
{
	uint16_t voters = t->voters;
	for (uint32_t r = 0; r < REGIONS_MAX; r++)
		if (t->promises & 1u << r)
			voters |= (uint16_t)(t->recovery->replies[r].voters | (uint32_t)t->recovery->replies[r].yes << r);
	return voters;
}

/* Of a full list there may be more than it says. */
static bool may_list(const struct reply *reply, struct commit_id id)
{
	if (reply->hold_count == REPLY_HOLDS_MAX)
		return true;
	for (uint32_t i = 0; i < reply->hold_count; i++)
		if (commit_id_equal(reply->holds[i], id))
			return true;
	return false;
}

/* Too few are left that could vote for b before t is decided (docs/spec/README.md, R15): whoever voted for t holds it until
 * then, as do its coordinator and whoever accepted its COMMIT without holding b. So b cannot be committed without t, and t need
 * not wait for it. */
static bool passes_over(const struct commit *c, const struct transaction *t, struct commit_id b)
{
	if (BROKEN(M18))
		return true;
	uint32_t keeps = voters_of(t) | 1u << t->id.region;
	for (uint32_t r = 0; r < REGIONS_MAX; r++) {
		const struct reply *reply = &t->recovery->replies[r];
		if ((t->promises & 1u << r) && reply->accepted_value == COMMIT_COMMITTED && !may_list(reply, b))
			keeps |= 1u << r;
	}
	return (uint32_t)__builtin_popcount(c->options.regions & ~keeps & ~(1u << b.region)) < c->quorum - 1;
}

/* What is in the way and may be passed over. */
void over_take(const struct commit *c, struct transaction *t)
{
	t->over_count = 0;
	for (uint32_t r = 0; r < REGIONS_MAX; r++) {
		const struct reply *reply = &t->recovery->replies[r];
		for (uint32_t i = 0; (t->promises & 1u << r) && i < reply->hold_count; i++)
			if (t->over_count < COMMIT_HOLDS_MAX && !is_over(t, reply->holds[i]) &&
			    passes_over(c, t, reply->holds[i]))
				t->over[t->over_count++] = reply->holds[i];
	}
}

static bool any_hold(const struct transaction *t)
{
	for (uint32_t r = 0; r < REGIONS_MAX; r++)
		if ((t->promises & 1u << r) && t->recovery->replies[r].hold_count)
			return true;
	return false;
}

/* With nothing undecided in the way, a majority knows the row that t would have replaced. */
bool condition_is_broken(const struct transaction *t)
{
	bool all_settled = !any_hold(t);
	uint32_t at = t->body.operations_at;
	for (uint32_t i = 0; i < t->body.operation_count; i++) {
		struct commit_operation operation;
		commit_body_operation(&t->body, &at, &operation);
		const struct commit_seen *seen = &t->recovery->seen[i];
		if (operation.condition == COMMIT_IF_VERSION) {
			int order = commit_id_compare(seen->version, operation.expected);
			if (order > 0 || (order == 0 && seen->version.share != operation.expected.share) ||
			    (order < 0 && all_settled))
				return true;
		}
		if (operation.condition == COMMIT_IF_ABSENT && seen->live && all_settled)
			return true;
	}
	return false;
}
