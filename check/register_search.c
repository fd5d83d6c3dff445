/* SPDX-License-Identifier: Apache-2.0
 *
 * The walk. A state is the set of operations done and the value that is there. What is done next:
 *
 *  1. Whatever only looks, is satisfied by the value that is there and may come next by real time, comes next: looking early
 *     harms nobody.
 *  2. A value that somebody has still to see must stay; if a cas replaced it, that cas comes next.
 *  3. A block (register_blocks.h) may begin only if all of it may come before whatever else is left: it cannot be interrupted.
 *  4. Of several blocks that may begin and leave a value, the one with the first deadline, and no other choice is tried. For
 *     take any order that works from here, and move the block to its front: that is in accord with real time by 3; what stood
 *     before it loses nothing, since nobody has still to see the value that is there, or sees the key absent before the next
 *     removal (1); what stood behind it began with a write. Blocks that need the key absent go first while it is; before them
 *     those that also leave it absent, which change nothing.
 *  5. If no such block may begin, a removal: a delete, or a block that ends with one, whichever has the first end. Two of them
 *     may change places. One that has to happen does nothing while the key is absent.
 *
 * So without operations that were refused because of the value ("differs"), the walk never turns back and its time is linear
 * in the number of operations, times the concurrency. 4 fails for a refusal of value e that stood right behind the moved block
 * with e right before it. e's block then started before the moved block's deadline; where there is such an e, all choices
 * are tried, and states are remembered (by 128-bit sums of random numbers, one for each operation done). All choices are also
 * tried where an optional cas may remove the key. */
#include <assert.h>

#include "check/memory.h"
#include "check/register_blocks.h"

#define REMEMBERED_MAX (1u << 24)

struct link {
	uint32_t before, after;
};
struct state_sum {
	uint64_t low, high;
};
struct frame {
	uint32_t trail_count; /* how much had been done */
	uint32_t value;
	uint32_t choice_first, choice_count, choice_next;
};
struct search {
	const struct register_blocks *b;
	struct link *by_start, *by_end;         /* rings of what is not done; element `count` is the head */
	uint32_t *readers_left, *refusals_left; /* per value */
	bool *value_over;                       /* was there and is gone for good; never of REGISTER_ABSENT */
	uint32_t *targets; /* values that refusals differ from and that a block ends with, by the block's latest start */
	uint32_t target_count;
	uint32_t required_left, all_refusals_left;
	uint32_t value;
	struct state_sum sum; /* of what is done */
	uint32_t *trail, trail_count;
	struct frame *frames;
	uint32_t frame_count;
	uint32_t *choices, choice_count, choice_capacity;
	struct state_sum *remembered;
	uint32_t remembered_count, remembered_slots;
	uint64_t effort_left;
	uint32_t deepest;
	struct register_fault *fault;
};

static uint64_t scramble(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u; /* splitmix64 */
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

static void sum_change(struct state_sum *sum, uint64_t number)
{
	sum->low ^= scramble(number * 2);
	sum->high ^= scramble(number * 2 + 1);
}

struct order {
	int64_t at;
	uint32_t number;
};

static int order_compare(const void *left, const void *right)
{
	const struct order *a = left, *b = right;
	if (a->at != b->at)
		return a->at < b->at ? -1 : 1;
	return a->number < b->number ? -1 : a->number > b->number;
}

static struct link *ring_build(const struct register_blocks *b, bool by_end)
{
	struct order *order = memory_resize(NULL, b->count, sizeof *order);
	struct link *ring = memory_resize(NULL, (size_t)b->count + 1, sizeof *ring);
	uint32_t last = b->count;
	for (uint32_t i = 0; i < b->count; i++)
		order[i] = (struct order){by_end ? b->operations[i].end_ns : b->operations[i].start_ns, i};
	qsort(order, b->count, sizeof *order, order_compare);
	for (uint32_t i = 0; i < b->count; i++) {
		ring[last].after = order[i].number;
		ring[order[i].number].before = last;
		last = order[i].number;
	}
	ring[last].after = b->count;
	ring[b->count].before = last;
	free(order);
	return ring;
}

static void ring_remove(struct link *ring, uint32_t i)
{
	ring[ring[i].before].after = ring[i].after;
	ring[ring[i].after].before = ring[i].before;
}

static void ring_restore(struct link *ring, uint32_t i)
{
	ring[ring[i].before].after = i;
	ring[ring[i].after].before = i;
}

static void targets_build(struct search *s)
{
	struct order *order = memory_resize(NULL, s->b->value_count, sizeof *order);
	for (uint32_t v = 0; v < s->b->value_count; v++) {
		const struct register_value *value = &s->b->values[v];
		if (value->refusals && value->block != NO_BLOCK && value->next == NO_OPERATION)
			order[s->target_count++] = (struct order){s->b->blocks[value->block].latest_start_ns, v};
	}
	qsort(order, s->target_count, sizeof *order, order_compare);
	s->targets = memory_resize(NULL, s->target_count, sizeof *s->targets);
	for (uint32_t i = 0; i < s->target_count; i++)
		s->targets[i] = order[i].number;
	free(order);
}

static void search_init(struct search *s, const struct register_blocks *b, uint64_t effort, struct register_fault *fault)
{
	*s = (struct search){.b = b, .effort_left = effort, .fault = fault, .value = REGISTER_ABSENT};
	s->by_start = ring_build(b, false);
	s->by_end = ring_build(b, true);
	s->readers_left = memory_resize(NULL, b->value_count, sizeof *s->readers_left);
	s->refusals_left = memory_resize(NULL, b->value_count, sizeof *s->refusals_left);
	s->value_over = memory_zeroed(b->value_count, sizeof *s->value_over);
	s->trail = memory_resize(NULL, b->count, sizeof *s->trail);
	s->frames = memory_resize(NULL, (size_t)b->count + 1, sizeof *s->frames);
	for (uint32_t v = 0; v < b->value_count; v++) {
		s->readers_left[v] = b->values[v].readers;
		s->all_refusals_left += s->refusals_left[v] = b->values[v].refusals;
	}
	for (uint32_t i = 0; i < b->count; i++)
		s->required_left += !b->operations[i].optional;
	targets_build(s);
}

static void search_deinit(struct search *s)
{
	free(s->by_start);
	free(s->by_end);
	free(s->readers_left);
	free(s->refusals_left);
	free(s->value_over);
	free(s->targets);
	free(s->trail);
	free(s->frames);
	free(s->choices);
	free(s->remembered);
}

static int64_t first_end(const struct search *s)
{
	uint32_t first = s->by_end[s->b->count].after;
	return first == s->b->count ? INT64_MAX : s->b->operations[first].end_ns;
}

static void take(struct search *s, uint32_t i)
{
	const struct register_operation *o = &s->b->operations[i];
	ring_remove(s->by_start, i);
	ring_remove(s->by_end, i);
	s->trail[s->trail_count++] = i;
	sum_change(&s->sum, i);
	s->required_left -= !o->optional;
	if (o->reads != REGISTER_ANY && o->writes == REGISTER_NOTHING)
		s->readers_left[o->reads]--;
	if (o->differs != REGISTER_ANY) {
		s->refusals_left[o->differs]--;
		s->all_refusals_left--;
	}
	if (o->writes != REGISTER_NOTHING) {
		if (s->value != REGISTER_ABSENT)
			s->value_over[s->value] = true;
		s->value = o->writes;
	}
}

static void untake_to(struct search *s, uint32_t trail_count, uint32_t value)
{
	while (s->trail_count > trail_count) {
		uint32_t i = s->trail[--s->trail_count];
		const struct register_operation *o = &s->b->operations[i];
		ring_restore(s->by_end, i);
		ring_restore(s->by_start, i);
		sum_change(&s->sum, i);
		s->required_left += !o->optional;
		if (o->reads != REGISTER_ANY && o->writes == REGISTER_NOTHING)
			s->readers_left[o->reads]++;
		if (o->differs != REGISTER_ANY) {
			s->refusals_left[o->differs]++;
			s->all_refusals_left++;
		}
		if (o->writes != REGISTER_NOTHING)
			s->value_over[o->writes] = false;
	}
	s->value = value;
	s->value_over[value] = false;
}

/* Rule 1, until nothing more can be taken. */
static void looks_take(struct search *s)
{
	uint32_t head = s->b->count;
	bool again = true;
	while (again && s->effort_left > 0) {
		int64_t limit = first_end(s);
		again = false;
		for (uint32_t i = s->by_start[head].after; i != head; i = s->by_start[i].after) {
			const struct register_operation *o = &s->b->operations[i];
			if (o->start_ns > limit)
				break;
			s->effort_left -= s->effort_left > 0;
			if (o->writes != REGISTER_NOTHING)
				continue;
			if (o->reads != REGISTER_ANY ? o->reads == s->value : o->differs != s->value) {
				take(s, i);
				again |= first_end(s) != limit;
			}
		}
	}
}

/* Rule 3. What differs may come in the middle of a block. */
static bool block_may_begin(struct search *s, uint32_t number)
{
	int64_t start = s->b->blocks[number].latest_start_ns;
	uint32_t head = s->b->count;
	for (uint32_t i = s->by_end[head].after; i != head; i = s->by_end[i].after) {
		const struct register_operation *o = &s->b->operations[i];
		if (start <= o->end_ns)
			return true;
		s->effort_left -= s->effort_left > 0;
		if (s->b->block_of[i] != number && o->differs == REGISTER_ANY)
			return false;
	}
	return true;
}

/* Whether there is an e as the comment at the top describes. */
static bool shortcut_forbidden(const struct search *s, int64_t deadline)
{
	if (s->b->has_optional_removals || s->refusals_left[REGISTER_ABSENT])
		return true;
	for (uint32_t i = 0; i < s->target_count; i++) {
		uint32_t value = s->targets[i];
		if (s->b->blocks[s->b->values[value].block].latest_start_ns > deadline)
			return false;
		if (s->refusals_left[value] && !s->value_over[value])
			return true;
	}
	return false;
}

static void choice_add(struct search *s, uint32_t i)
{
	s->choices = memory_room(s->choices, s->choice_count, &s->choice_capacity, sizeof *s->choices);
	s->choices[s->choice_count++] = i;
}

/* Those that find and leave the key absent, those that need it absent, all others, those that remove it: in this order. */
enum block_sort { BLOCK_NEUTRAL, BLOCK_NEEDS_ABSENT, BLOCK_PLAIN, BLOCK_REMOVES };

static enum block_sort block_sort(const struct register_blocks *b, uint32_t number)
{
	bool needs_absent = b->operations[b->blocks[number].first].reads == REGISTER_ABSENT;
	if (b->blocks[number].last_value == REGISTER_ABSENT)
		return needs_absent ? BLOCK_NEUTRAL : BLOCK_REMOVES;
	return needs_absent ? BLOCK_NEEDS_ABSENT : BLOCK_PLAIN;
}

static bool block_choice_before(const struct register_blocks *b, uint32_t left, uint32_t right)
{
	enum block_sort left_sort = block_sort(b, b->block_of[left]), right_sort = block_sort(b, b->block_of[right]);
	if (left_sort != right_sort)
		return left_sort < right_sort;
	return b->blocks[b->block_of[left]].deadline_ns < b->blocks[b->block_of[right]].deadline_ns;
}

struct candidates {
	uint32_t removal; /* that has to happen, with the first end */
	uint32_t optional_removal, optional_write;
};

/* Adds the blocks that may begin; the rest comes back. */
static struct candidates candidates_find(struct search *s)
{
	struct candidates found = {NO_OPERATION, NO_OPERATION, NO_OPERATION};
	int64_t limit = first_end(s);
	uint32_t head = s->b->count;
	for (uint32_t i = s->by_start[head].after; i != head; i = s->by_start[i].after) {
		const struct register_operation *o = &s->b->operations[i];
		if (o->start_ns > limit)
			break;
		s->effort_left -= s->effort_left > 0;
		if (o->writes == REGISTER_NOTHING || (o->reads != REGISTER_ANY && o->reads != s->value))
			continue;
		if (s->b->block_of[i] != NO_BLOCK) {
			if (s->b->blocks[s->b->block_of[i]].first == i && block_may_begin(s, s->b->block_of[i]))
				choice_add(s, i);
		} else if (o->reads != REGISTER_ANY)
			choice_add(s, i); /* an optional cas */
		else if (o->optional) {
			/* One unseen write, or one removal, is as good as another. */
			if (o->writes == REGISTER_ABSENT)
				found.optional_removal = i;
			else if (s->b->has_optional_removals)
				choice_add(s, i); /* unless an unseen cas removes it */
			else
				found.optional_write = i;
		} else if (found.removal == NO_OPERATION || o->end_ns < s->b->operations[found.removal].end_ns)
			found.removal = i;
	}
	return found;
}

static void choices_sort(struct search *s, uint32_t first)
{
	for (uint32_t i = first + 1; i < s->choice_count; i++) {
		uint32_t moving = s->choices[i], at = i;
		bool is_block = s->b->block_of[moving] != NO_BLOCK;
		for (; at > first && is_block; at--) {
			uint32_t other = s->choices[at - 1];
			if (s->b->block_of[other] != NO_BLOCK && !block_choice_before(s->b, moving, other))
				break;
			s->choices[at] = other;
		}
		s->choices[at] = moving;
	}
}

/* Rules 4 and 5: leaves only the best choice, if no other needs to be tried. Choices are sorted. */
static bool shortcut_take(struct search *s, uint32_t first, const struct candidates *found)
{
	if (s->choice_count == first || s->b->block_of[s->choices[first]] == NO_BLOCK)
		return false;
	uint32_t block = s->b->block_of[s->choices[first]];
	int64_t deadline = s->b->blocks[block].deadline_ns;
	bool removes = block_sort(s->b, block) == BLOCK_REMOVES;
	if (removes ? s->all_refusals_left > 0 || s->b->has_optional_removals : shortcut_forbidden(s, deadline))
		return false;
	if (removes && found->removal != NO_OPERATION && s->b->operations[found->removal].end_ns < deadline)
		s->choices[first] = found->removal;
	s->choice_count = first + 1;
	return true;
}

/* Rules 2 to 5: what may come next, best first. */
static void choices_find(struct search *s, uint32_t first)
{
	uint32_t next = s->value == REGISTER_ABSENT ? NO_OPERATION : s->b->values[s->value].next;
	if (s->value != REGISTER_ABSENT && s->readers_left[s->value])
		return;
	if (next != NO_OPERATION) {
		if (s->b->operations[next].start_ns <= first_end(s))
			choice_add(s, next);
		return;
	}
	struct candidates found = candidates_find(s);
	choices_sort(s, first);
	if (shortcut_take(s, first, &found))
		return;
	if (found.removal != NO_OPERATION)
		choice_add(s, found.removal);
	else if (found.optional_removal != NO_OPERATION && s->value != REGISTER_ABSENT)
		choice_add(s, found.optional_removal);
	if (found.optional_write != NO_OPERATION)
		choice_add(s, found.optional_write);
}

static bool remembered_add(struct search *s, struct state_sum sum)
{
	uint32_t at = (uint32_t)sum.low & (s->remembered_slots - 1);
	while (s->remembered[at].low | s->remembered[at].high) {
		if (s->remembered[at].low == sum.low && s->remembered[at].high == sum.high)
			return false;
		at = (at + 1) & (s->remembered_slots - 1);
	}
	s->remembered[at] = sum;
	s->remembered_count++;
	return true;
}

/* Whether this state was there before. Values that nobody looks for any more are all one. */
static bool state_known(struct search *s)
{
	uint32_t value = s->value;
	if (value != REGISTER_ABSENT && !s->readers_left[value] && !s->refusals_left[value] && !s->b->has_optional_removals &&
	    s->b->values[value].next == NO_OPERATION)
		value = UINT32_MAX;
	struct state_sum sum = s->sum;
	sum_change(&sum, 1ull << 40 | value);
	if (s->remembered_count >= s->remembered_slots / 2) {
		struct state_sum *old = s->remembered;
		uint32_t old_slots = s->remembered_slots;
		if (s->remembered_count >= REMEMBERED_MAX) {
			s->effort_left = 0;
			return true;
		}
		s->remembered_slots = old_slots ? old_slots * 2 : 1024;
		s->remembered = memory_zeroed(s->remembered_slots, sizeof *s->remembered);
		s->remembered_count = 0;
		for (uint32_t i = 0; i < old_slots; i++)
			if (old[i].low | old[i].high)
				remembered_add(s, old[i]);
		free(old);
	}
	return !remembered_add(s, sum);
}

/* The deepest state that leads nowhere says most about the reason. */
static void fault_note(struct search *s)
{
	uint32_t first = s->by_end[s->b->count].after, writer = s->b->values[s->value].writer;
	if (s->trail_count < s->deepest || first == s->b->count)
		return;
	s->deepest = s->trail_count;
	*s->fault = (struct register_fault){
	    .reason = "no order explains what was seen", .involved = {s->b->number[first]}, .involved_count = 1};
	if (s->value != REGISTER_ABSENT && writer != NO_OPERATION && writer != first)
		s->fault->involved[s->fault->involved_count++] = s->b->number[writer];
}

static void frame_push(struct search *s)
{
	struct frame *frame = &s->frames[s->frame_count++];
	*frame = (struct frame){.trail_count = s->trail_count, .value = s->value, .choice_first = s->choice_count};
	choices_find(s, frame->choice_first);
	frame->choice_count = s->choice_count - frame->choice_first;
	frame->choice_next = 0;
	if (frame->choice_count == 0)
		fault_note(s);
	else if (frame->choice_count > 1 && state_known(s))
		frame->choice_count = 0;
}

static enum verdict search_run(struct search *s)
{
	looks_take(s);
	frame_push(s);
	while (s->required_left > 0) {
		struct frame *frame = &s->frames[s->frame_count - 1];
		if (s->effort_left == 0)
			return VERDICT_TOO_HARD;
		untake_to(s, frame->trail_count, frame->value);
		if (frame->choice_next == frame->choice_count) {
			s->choice_count = frame->choice_first;
			if (--s->frame_count == 0)
				return VERDICT_VIOLATION;
			continue;
		}
		take(s, s->choices[frame->choice_first + frame->choice_next++]);
		looks_take(s);
		if (s->required_left > 0)
			frame_push(s);
	}
	return VERDICT_FINE;
}

static enum verdict blocks_search(const struct register_blocks *b, uint64_t effort, struct register_fault *fault)
{
	struct search search;
	search_init(&search, b, effort, fault);
	enum verdict verdict = search_run(&search);
	search_deinit(&search);
	return verdict;
}

enum verdict register_check(
    const struct register_operation *operations, uint32_t count, uint64_t effort, struct register_fault *fault)
{
	struct register_operation *relaxed = memory_zeroed(count, sizeof *relaxed);
	struct register_blocks blocks;
	bool any_refused = false;
	/* Without refusals it is less to explain and easy: a violation of that is one of the whole. */
	if (count)
		memcpy(relaxed, operations, count * sizeof *operations);
	for (uint32_t i = 0; i < count; i++) {
		if (operations[i].differs == REGISTER_ANY)
			continue;
		relaxed[i].optional = any_refused = true;
		relaxed[i].differs = REGISTER_ANY;
	}
	enum verdict verdict = register_blocks_init(&blocks, relaxed, count, fault);
	if (verdict == VERDICT_FINE)
		verdict = blocks_search(&blocks, effort, fault);
	register_blocks_deinit(&blocks);
	free(relaxed);
	if (verdict != VERDICT_FINE || !any_refused)
		return verdict;
	verdict = register_blocks_init(&blocks, operations, count, fault);
	if (verdict == VERDICT_FINE)
		verdict = blocks_search(&blocks, effort, fault);
	register_blocks_deinit(&blocks);
	return verdict;
}
