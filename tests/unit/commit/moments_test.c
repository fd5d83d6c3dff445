/* SPDX-License-Identifier: Apache-2.0
 *
 * What is done at a moment is done at that very nanosecond, and not before (A20). */
#include <criterion/criterion.h>

#include "commit/state.h"
#include "tests/unit/commit/about.h"
#include "tests/unit/commit/world.h"

enum { ANSWERS = 200, ENTRIES_OF_1, PLACES_OF_1, WAITING_READS_OF_1, ASIDE }; /* what is looked at; below: messages of a type */
struct moment {
	const char *name;
	uint64_t (*begin)(struct world *w); /* returns after how long it happens */
	uint8_t region;
	uint32_t what;
};

static uint64_t put_is_sent_again(struct world *w)
{
	world_put(w, 0, 1, "a", "x");
	world_drop(w, 255, 255, 0);
	return RESEND_NS_MIN;
}

static uint64_t withdrawal_is_sent_again(struct world *w)
{
	static const struct commit_message no = {
	    .type = COMMIT_VOTE, .vote = COMMIT_NO, .reason = ERR_UNSUPPORTED, .is_final = true};
	struct commit_message m = no;
	world_put(w, 0, 1, "a", "x");
	m.id = world_waiting(w, COMMIT_PREPARE).id;
	world_say(w, 1, 0, m);
	cr_assert_eq(world_pending(w, COMMIT_WITHDRAW), 2);
	world_drop(w, 255, 255, 0);
	return RESEND_NS_MIN;
}

static uint64_t question_is_asked_again(struct world *w)
{
	world_get(w, 0, 1, "a");
	world_drop(w, 255, 255, 0);
	return RESEND_NS_MIN;
}

static uint64_t read_is_given_up(struct world *w)
{
	world_get(w, 0, 1, "a");
	return w->deadline_ns;
}

static uint64_t request_is_given_up(struct world *w)
{
	uint64_t deadline_ns = w->deadline_ns;
	w->deadline_ns *= 2;
	world_put(w, 0, 1, "a", "x");
	w->deadline_ns = deadline_ns;
	world_put(w, 0, 2, "a", "x"); /* waits for it */
	return deadline_ns;
}

static uint64_t request_steps_aside(struct world *w)
{
	struct commit_operation o[2] = {world_operation(COMMIT_PUT, "a", "x"), world_operation(COMMIT_PUT, "b", "x")};
	world_put(w, 0, 1, "b", "x");
	world_transaction(w, 0, 2, 7, 1, 2, o);
	return w->options.in_doubt_ns / 2;
}

/* Region 1 has voted for it. */
static struct commit_id voted_for(struct world *w)
{
	struct commit_message m = about(COMMIT_PREPARE, ahead(0, 0), "a");
	world_say(w, 0, 1, m);
	cr_assert_eq(world_pending(w, COMMIT_VOTE), 1);
	return m.id;
}

/* Its coordinator is there, and region 1 comes first in turn. */
static uint64_t vote_is_looked_at(struct world *w)
{
	voted_for(w);
	world_drop(w, 255, 255, 0);
	return 2 * w->options.in_doubt_ns;
}

static void told_of_commit(struct world *w)
{
	static const struct commit_seen seen[1];
	world_say(w, 0, 1,
	    (struct commit_message){
	        .type = COMMIT_DECIDED, .id = voted_for(w), .decision = COMMIT_COMMITTED, .seen = seen, .seen_count = 1});
}

static uint64_t decision_is_noted(struct world *w)
{
	told_of_commit(w);
	cr_assert_eq(commit_counts(w->regions[1].machine)->commits, 0);
	return w->options.unstreamed_ns / 4;
}

static uint64_t note_is_streamed(struct world *w)
{
	world_get(w, 1, 9, "a");
	told_of_commit(w);
	world_get(w, 1, 10, "a"); /* somebody wants to know */
	cr_assert_eq(commit_counts(w->regions[1].machine)->commits, 1);
	return w->options.unstreamed_ns;
}

static uint64_t prepare_waits_in_vain(struct world *w)
{
	voted_for(w);
	world_say(w, 2, 1, about(COMMIT_PREPARE, ahead(1, 2), "a"));
	cr_assert_eq(w->regions[1].machine->transaction_count, 2);
	return 10 * w->options.in_doubt_ns;
}

static uint64_t question_waits_in_vain(struct world *w)
{
	voted_for(w);
	world_get(w, 2, 9, "a");
	world_deliver(w, 6, COMMIT_ASK);
	cr_assert_eq(w->regions[1].machine->waiting_read_count, 1);
	return 4 * w->options.resend_ns;
}

static uint64_t looked_at(const struct world *w, const struct moment *moment)
{
	const struct commit *c = w->regions[1].machine;
	uint64_t aside = 0;
	for (uint32_t at = w->regions[0].machine->request_oldest; at != NOBODY; at = w->regions[0].machine->requests[at].newer)
		aside += w->regions[0].machine->requests[at].alone != NOBODY;
	switch (moment->what) {
	case ANSWERS:
		return w->answer_count;
	case ENTRIES_OF_1:
		return w->regions[1].count;
	case PLACES_OF_1:
		return c->transaction_count;
	case WAITING_READS_OF_1:
		return c->waiting_read_count;
	case ASIDE:
		return aside;
	default:
		return world_pending(w, (uint8_t)moment->what);
	}
}

Test(moments, a20_all_has_its_moment)
{
	static const struct moment moments[] = {{"a PREPARE is sent again", put_is_sent_again, 0, COMMIT_PREPARE},
	    {"a withdrawal is sent again", withdrawal_is_sent_again, 0, COMMIT_WITHDRAW},
	    {"a question is asked again", question_is_asked_again, 0, COMMIT_ASK},
	    {"a read is given up", read_is_given_up, 0, ANSWERS}, {"a request is given up", request_is_given_up, 0, ANSWERS},
	    {"a request steps aside", request_steps_aside, 0, ASIDE},
	    {"a vote is looked at", vote_is_looked_at, 1, COMMIT_RECOVER},
	    {"a decision is noted", decision_is_noted, 1, ENTRIES_OF_1},
	    {"a note is streamed", note_is_streamed, 1, ENTRIES_OF_1},
	    {"a PREPARE has waited in vain", prepare_waits_in_vain, 1, PLACES_OF_1},
	    {"a question has waited in vain", question_waits_in_vain, 1, WAITING_READS_OF_1}};
	for (uint32_t i = 0; i < sizeof moments / sizeof *moments; i++)
		for (uint64_t early = 0; early < 2; early++) {
			struct world *w = world_new(3);
			uint64_t after_ns = moments[i].begin(w), before = looked_at(w, &moments[i]);
			world_tick(w, moments[i].region, after_ns - early);
			cr_expect_eq(looked_at(w, &moments[i]) != before, !early, "%s: %s", moments[i].name,
			    early ? "too early" : "late");
			world_free(w);
		}
}
