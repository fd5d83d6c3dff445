/* SPDX-License-Identifier: Apache-2.0
 *
 * When it is worth while to look: hints, and nothing but time rests on them. With any other answers of these functions the same
 * is decided, sooner or later (docs/spec, section 3: timing is never a matter of safety). */
#include "commit/state.h"

#define COORDINATOR_PATIENCE 2u /* times in_doubt_ns, of one that is there */
#define BLOCKER_PATIENCE     8u /* part of in_doubt_ns that a coordinator gets which is there and in the way */
#define CONTENDER_SLACK_NS   5000000ull
#define GRACE_PERCENT        150u
#define ROUND_TRIPS_IN_DOUBT 2u

static bool is_there(const struct commit *c, uint8_t region)
{
	return c->peers >> region & 1;
}

/* How many of `regions` come before this one, from the coordinator's next on: not all look at once. */
static uint32_t turn_of(const struct commit *c, const struct transaction *t, uint32_t regions)
{
	uint32_t turn = 0;
	for (uint32_t r = (t->id.region + 1u) % REGIONS_MAX; r != c->options.region; r = (r + 1) % REGIONS_MAX)
		turn += regions >> r & 1;
	return turn;
}

/* For whoever is not there, nobody waits; those behind in turn come when it should have been done. */
static uint64_t turn_ns(const struct commit *c, const struct transaction *t)
{
	return turn_of(c, t, c->options.regions & c->peers) * resend_ns(c);
}

static void look_by(struct commit *c, struct transaction *t, uint64_t at_ns)
{
	if (!t->next_ns || t->next_ns > at_ns)
		t->next_ns = at_ns;
	timer_pull(c, t->next_ns > c->now_ns ? t->next_ns : c->now_ns);
}

void peers_take(struct commit *c, uint32_t peers)
{
	peers |= 1u << c->options.region;
	for (uint32_t r = 0; r < REGIONS_MAX; r++)
		if ((c->peers & ~peers) >> r & 1)
			c->gone_ns[r] = c->now_ns;
	if (c->peers & ~peers)
		timer_pull(c, c->now_ns);
	c->peers = peers;
}

/* Before the first look at t, of which nothing has been heard since touched_ns. */
void look_plan(struct commit *c, struct transaction *t)
{
	const struct commit_options *o = &c->options;
	/* A coordinator that is there waits for others itself: it may take a time of grace and two round trips until the last
	 * vote is there, and whoever looks before ends what was about to be committed. */
	uint64_t patience_ns = is_there(c, t->id.region) ? COORDINATOR_PATIENCE * o->in_doubt_ns : o->in_doubt_ns;
	if (!t->next_ns)
		t->next_ns = t->since_ns + patience_ns + turn_of(c, t, o->regions) * o->in_doubt_ns / 3;
	if (!t->attempts && !t->promised && !is_there(c, t->id.region)) {
		uint64_t gone_ns = c->gone_ns[t->id.region];
		look_by(c, t, later_of(t->touched_ns, gone_ns) + turn_ns(c, t));
	}
}

/* Unless something happens before. Who tries at the same time meets less and less often. */
void look_again(struct commit *c, struct transaction *t)
{
	uint64_t in_doubt_ns = c->options.in_doubt_ns, tries = ++t->attempts < 4 ? t->attempts : 4;
	uint64_t spread = (t->id.hlc * 2654435761u + c->options.region * 40503u + t->attempts * 7919u) % 1000;
	t->next_ns = c->now_ns + in_doubt_ns / 2 + in_doubt_ns * spread / 500 * tries / 2;
}

/* b is in the way of a recovery: it comes first, and at once where its coordinator cannot be heard. */
void look_first(struct commit *c, struct transaction *b)
{
	b->urgent = true;
	if (b->phase == PHASE_NONE)
		look_by(
		    c, b, c->now_ns + (is_there(c, b->id.region) ? c->options.in_doubt_ns / BLOCKER_PATIENCE : turn_ns(c, b)));
}

/* t is decided: whoever was looked at in vain because of it is looked at again. */
void look_behind(struct commit *c, const struct transaction *t)
{
	for (uint32_t i = 0; t->operations && i < t->body.operation_count; i++) {
		for (uint32_t at = c->keys[t->operations[i].key].holders; at != NOBODY;) {
			struct transaction *h = &c->transactions[at >> 8];
			at = h->operations[at & 255].next;
			if (h->attempts && h->phase != PHASE_ACCEPTING && is_promised(h))
				look_by(c, h, c->now_ns + turn_ns(c, h));
		}
	}
}

/* ---- how far away the others are ---- */

/* From PREPARE to vote, disks included, without what it waited for keys: a time of grace in it would lengthen the next, and
 * that the one after it. What was slow for a while (a pause, a message that was lost) is forgotten sooner than it was learnt,
 * and counts only so far that what waits for it is over before anybody takes a coordinator for silent: else two that wait for
 * each other are both ended, again and again. */
void round_trip_note(struct commit *c, uint8_t from, uint64_t took_ns, uint64_t waited_ns)
{
	uint64_t *smooth_ns = &c->round_trip_ns[from];
	uint64_t most_ns = c->options.in_doubt_ns / ROUND_TRIPS_IN_DOUBT;
	took_ns -= waited_ns < took_ns ? waited_ns : took_ns;
	took_ns = took_ns < most_ns ? took_ns : most_ns;
	if (!*smooth_ns)
		*smooth_ns = took_ns;
	else if (took_ns < *smooth_ns / 2)
		*smooth_ns /= 2;
	else
		*smooth_ns = *smooth_ns - *smooth_ns / 8 + took_ns / 8;
}

/* ---- who comes first where two meet ---- */

/* What is begun here on these keys before it comes, would have to be withdrawn for it: own requests wait a little, if they are
 * younger. */
void contender_note(struct commit *c, const struct transaction *t, uint8_t region, uint64_t since)
{
	for (uint32_t i = 0; t->operations && i < t->body.operation_count; i++) {
		const struct key *key = &c->keys[t->operations[i].key];
		if (c->contenders[key->hash % CONTENDERS].since == t->body.since || !contender_goes_first(c, key, since))
			c->contenders[key->hash % CONTENDERS] = (struct contender){.key_hash = key->hash,
			    .since = since,
			    .until_ns = c->now_ns + 2 * c->round_trip_ns[region] + CONTENDER_SLACK_NS};
	}
}

/* t is committed, and somewhere a request has waited for its keys since then, the oldest that its coordinator knows of: with
 * more regions than three, whoever begins at once meets others that do, none of them gets a majority, and all but the oldest
 * have to be withdrawn first. Then only the oldest begins, which hears of it in half a round trip, and its PREPARE comes in
 * another; nobody is farther away than the farthest. Of three, one vote besides its own is enough: there both begin, which is
 * sooner (sim-commit --hot: 113 ms a commit, 127 in turn; of five 276 to 374, and 169 in turn). */
void next_note(struct commit *c, const struct transaction *t, uint64_t since)
{
	uint8_t farthest = c->options.region;
	for (uint8_t r = 0; r < REGIONS_MAX; r++)
		if (is_there(c, r) && c->round_trip_ns[r] > c->round_trip_ns[farthest])
			farthest = r;
	if (since && c->quorum > 2)
		contender_note(c, t, farthest, since);
}

bool contender_goes_first(const struct commit *c, const struct key *key, uint64_t since)
{
	const struct contender *contender = &c->contenders[key->hash % CONTENDERS];
	return contender->key_hash == key->hash && c->now_ns < contender->until_ns && contender->since < since;
}

/* As far away as the farthest of the nearest majority: with whom it can be decided. Of those that are not there nobody waits
 * for a vote; with too few that are, for the farthest. */
static uint64_t majority_ns(const struct commit *c)
{
	uint64_t nearest_ns[REGIONS_MAX];
	uint32_t count = 0;
	for (uint32_t r = 0; r < REGIONS_MAX; r++) {
		uint64_t ns = c->round_trip_ns[r];
		if (!ns || !is_there(c, (uint8_t)r))
			continue;
		uint32_t at = count++;
		for (; at && nearest_ns[at - 1] > ns; at--)
			nearest_ns[at] = nearest_ns[at - 1];
		nearest_ns[at] = ns;
	}
	uint32_t others = c->quorum - 1;
	return count ? nearest_ns[(others < count ? others : count) - 1] : 0;
}

/* Mostly the other regions' votes settle which of two it is to be, before anybody has to withdraw: whose votes do not come is
 * known after a round trip or two. Without this time of grace, one key from three regions an ocean apart took 161 ms a commit
 * in place of 115 (sim-commit --hot; 206 when wounded requests also began again as the youngest). */
uint64_t grace_ns(const struct commit *c)
{
	return majority_ns(c) * GRACE_PERCENT / 100;
}
