/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows and winners, named after what happened elsewhere (the T numbers are those of the list of failures). */
#include <criterion/criterion.h>

#include "base/error.h"
#include "tests/unit/core/sample.h"

static uint8_t reference[4096], bytes[4096];

/* Merges the writes in every order; each must give the same bytes. Leaves the row of the last order in *row. */
static void every_order(struct row *row, const struct record *writes, uint32_t count)
{
	uint32_t orders = 1;
	long size = 0;
	for (uint32_t i = 2; i <= count; i++)
		orders *= i;
	for (uint32_t n = 0; n < orders; n++) {
		uint32_t order[8];
		sample_order(n, count, order);
		row_init(row);
		for (uint32_t i = 0; i < count; i++)
			sample_merge(row, writes[order[i]]);
		long s = row_encode(row, n ? bytes : reference, sizeof bytes);
		cr_assert(s > 0 && (!n || s == size), "order %u", n);
		cr_assert(!n || !memcmp(bytes, reference, (size_t)s), "order %u", n);
		size = s;
	}
}

static const struct sibling *winner(const struct row *row, enum strategy strategy)
{
	return &row->siblings[row_winner(row, strategy, no_priority)];
}

Test(core_row, T01_equal_hlc_same_winner_everywhere)
{
	struct record writes[] = {
	    sample_write(0, 9, NOTHING, 77, "a"), sample_write(1, 1, NOTHING, 77, "b"), sample_write(1, 2, NOTHING, 77, "c")};
	struct row row;
	every_order(&row, writes, 3);
	cr_assert_eq(row.sibling_count, 3);
	cr_assert_eq(winner(&row, STRATEGY_LWW)->value[0], 'c');
	cr_assert_eq(winner(&row, STRATEGY_FWW)->value[0], 'a');
	cr_assert_eq(winner(&row, STRATEGY_PRIORITY)->value[0], 'c');
}

Test(core_row, T02_two_deletes_in_either_order_leave_the_same_tombstone)
{
	struct record writes[] = {sample_write(0, 1, NOTHING, 10, "value"), sample_write(0, 2, CONTEXT(1), 20, NULL),
	    sample_write(1, 1, CONTEXT(1), 30, NULL)};
	struct row row;
	every_order(&row, writes, 3);
	cr_assert(row_is_deleted(&row));
	cr_assert_eq(winner(&row, STRATEGY_LWW)->dot.region, 1);
	cr_assert_eq(winner(&row, STRATEGY_LWW)->hlc, 30);
}

Test(core_row, T04_versions_decide_never_values)
{
	struct row row;
	row_init(&row);
	sample_merge(&row, sample_write(0, 1, NOTHING, 10, "same"));
	cr_assert_eq(
	    sample_merge(&row, sample_write(1, 1, NOTHING, 11, "same")), ROW_CONFLICT, "equal values, concurrent writes");
	cr_assert_eq(row.sibling_count, 2);
	/* The newer value was replaced by one that looks like the old; an old write with that value does not come back. */
	cr_assert_eq(sample_merge(&row, sample_write(0, 2, CONTEXT(1, 1), 12, "other")), ROW_REPLACED);
	cr_assert_eq(sample_merge(&row, sample_write(0, 3, CONTEXT(2, 1), 13, "same")), ROW_REPLACED);
	cr_assert_eq(sample_merge(&row, sample_write(0, 2, CONTEXT(1, 1), 12, "other")), ROW_UNCHANGED);
	cr_assert(row.sibling_count == 1 && sample_find(&row, 0, 3));
}

Test(core_row, T06_a_received_write_keeps_its_stamp_and_dot)
{
	struct row row, back;
	row_init(&row);
	sample_merge(&row, sample_write(3, 41, CONTEXT(7, 0, 0, 40), 0xabcdef, "v"));
	long n = row_encode(&row, bytes, sizeof bytes);
	cr_assert_eq(row_decode(&back, bytes, (size_t)n), 0);
	const struct sibling *s = sample_find(&back, 3, 41);
	cr_assert(s && s->hlc == 0xabcdef && s->value_size == 1 && s->value[0] == 'v');
}

Test(core_row, T08_a_region_that_overwrites_its_own_row_meets_no_conflict)
{
	struct row row;
	row_init(&row);
	for (uint64_t i = 1; i <= 1000; i++) {
		struct record r = sample_write(2, i, CONTEXT(0, 0, i - 1), 100 + i, i % 7 ? "v" : NULL);
		cr_assert_eq(sample_merge(&row, r), ROW_REPLACED);
		cr_assert_eq(sample_merge(&row, r), ROW_UNCHANGED, "repeated");
		cr_assert_eq(row.sibling_count, 1);
	}
}

Test(core_row, T10_a_row_is_chosen_whole)
{
	struct record a = sample_write(0, 1, NOTHING, 5, "zz"), b = sample_write(1, 4, NOTHING, 5, "a");
	struct record writes[] = {a, b};
	struct row row;
	every_order(&row, writes, 2);
	const struct sibling *s = winner(&row, STRATEGY_LWW);
	cr_assert(s->dot.region == 1 && s->dot.sequence == 4 && s->hlc == 5 && s->value_size == 1 && s->value[0] == 'a');
	s = winner(&row, STRATEGY_FWW);
	cr_assert(s->dot.region == 0 && s->dot.sequence == 1 && s->value_size == 2 && !memcmp(s->value, "zz", 2));
}

Test(core_row, T18_an_older_delete_after_a_newer_update_changes_nothing)
{
	/* The update has seen the delete: superseded, though it arrives later. */
	struct record seen[] = {sample_write(0, 1, NOTHING, 10, "first"), sample_write(0, 2, CONTEXT(1), 20, NULL),
	    sample_write(1, 1, CONTEXT(2), 30, "update")};
	struct row row;
	every_order(&row, seen, 3);
	cr_assert(row.sibling_count == 1 && sample_find(&row, 1, 1));
	cr_assert_eq(sample_merge(&row, seen[1]), ROW_UNCHANGED);
	/* The update has not: both stay, the newer one wins. */
	struct record unseen[] = {sample_write(0, 1, NOTHING, 10, "first"), sample_write(0, 2, CONTEXT(1), 20, NULL),
	    sample_write(1, 1, CONTEXT(1), 30, "update")};
	every_order(&row, unseen, 3);
	cr_assert_eq(row.sibling_count, 2);
	cr_assert(!row_is_deleted(&row));
	cr_assert_eq(winner(&row, STRATEGY_LWW)->dot.region, 1);
}

Test(core_row, T19_a_tombstone_before_its_insert_keeps_the_row_away)
{
	struct row row;
	row_init(&row);
	cr_assert_eq(sample_merge(&row, sample_write(1, 1, CONTEXT(1), 20, NULL)), ROW_REPLACED);
	cr_assert(row_is_deleted(&row) && row.sibling_count == 1);
	cr_assert_eq(sample_merge(&row, sample_write(0, 1, NOTHING, 10, "late")), ROW_UNCHANGED);
	cr_assert(row_is_deleted(&row) && row.sibling_count == 1 && sample_find(&row, 1, 1));
}

Test(core_row, T21_an_old_tombstone_does_not_kill_what_was_inserted_again)
{
	struct record writes[] = {sample_write(0, 1, NOTHING, 10, "first"), sample_write(0, 2, CONTEXT(1), 20, NULL),
	    sample_write(0, 3, CONTEXT(2), 40, "again"), sample_write(1, 1, CONTEXT(1), 30, NULL)};
	struct row row;
	every_order(&row, writes, 4);
	cr_assert(row.sibling_count == 2 && sample_find(&row, 0, 3) && sample_find(&row, 1, 1));
	cr_assert_eq(winner(&row, STRATEGY_LWW)->dot.sequence, 3);
	/* Collected here (the row is gone), delivered once more: it takes out only what it had seen. */
	struct row fresh;
	row_init(&fresh);
	sample_merge(&fresh, writes[2]);
	sample_merge(&fresh, writes[1]);
	cr_assert(fresh.sibling_count == 1 && sample_find(&fresh, 0, 3));
}

Test(core_row, tombstones_compete_like_values)
{
	struct row row;
	row_init(&row);
	sample_merge(&row, sample_write(0, 1, NOTHING, 10, "v"));
	sample_merge(&row, sample_write(1, 1, NOTHING, 20, NULL));
	cr_assert(winner(&row, STRATEGY_LWW)->flags & RECORD_TOMBSTONE);
	cr_assert(!(winner(&row, STRATEGY_FWW)->flags & RECORD_TOMBSTONE));
}

Test(core_row, priority_first_then_lww)
{
	uint32_t priority[REGIONS_MAX] = {1, 5, 5};
	struct row row;
	row_init(&row);
	sample_merge(&row, sample_write(0, 1, NOTHING, 90, "low"));
	sample_merge(&row, sample_write(1, 1, NOTHING, 30, "high, newer"));
	sample_merge(&row, sample_write(2, 1, NOTHING, 20, "high, older"));
	cr_assert_eq(row.siblings[row_winner(&row, STRATEGY_PRIORITY, priority)].dot.region, 1);
	cr_assert_eq(row.siblings[row_winner(&row, STRATEGY_LWW, priority)].dot.region, 0);
	cr_assert_eq(row.siblings[row_winner(&row, STRATEGY_FWW, priority)].dot.region, 2);
}

Test(core_row, changes_are_told_apart)
{
	struct row row;
	row_init(&row);
	cr_assert(row_is_deleted(&row));
	cr_assert_eq(sample_merge(&row, sample_write(0, 1, NOTHING, 1, "a")), ROW_REPLACED, "first write");
	cr_assert_eq(sample_merge(&row, sample_write(1, 1, NOTHING, 2, "b")), ROW_CONFLICT);
	cr_assert_eq(sample_merge(&row, sample_write(0, 2, CONTEXT(1), 3, "c")), ROW_CONFLICT, "replaces one, another stays");
	cr_assert_eq(sample_merge(&row, sample_write(2, 1, CONTEXT(2, 1), 4, "d")), ROW_REPLACED, "supersedes all");
	/* Superseded before it came, yet its context is learned: the row's bytes change without a change of siblings. */
	uint64_t before = row.context.sequence[3];
	cr_assert_eq(sample_merge(&row, sample_write(1, 1, CONTEXT(0, 0, 0, 5), 2, "b")), ROW_UNCHANGED);
	cr_assert(before == 0 && row.context.sequence[3] == 5);
	/* Superseded itself, but it had seen what is there. */
	cr_assert_eq(sample_merge(&row, sample_write(0, 1, CONTEXT(0, 0, 1), 2, "e")), ROW_REPLACED);
}

/* The origin refuses more; should one not, the newest eight stay and what goes is counted. */
Test(core_row, the_cap_keeps_the_newest_of_each_region)
{
	struct row row, other;
	row_init(&row);
	row_init(&other);
	sample_merge(&row, sample_write(0, 1, NOTHING, 1, "x"));
	sample_merge(&row, sample_write(2, 1, NOTHING, 1, "y"));
	for (uint64_t i = 1; i <= 12; i++) {
		cr_assert_eq(sample_merge(&row, sample_write(1, i, NOTHING, 1, "v")), ROW_CONFLICT);
		sample_merge(&other, sample_write(1, 13 - i, NOTHING, 1, "v"));
	}
	cr_assert(row.sibling_count == SIBLINGS_PER_REGION_MAX + 2 && row.trimmed == 4);
	cr_assert(other.sibling_count == SIBLINGS_PER_REGION_MAX && other.trimmed == 4);
	cr_assert(!sample_find(&row, 1, 4) && sample_find(&row, 1, 5) && sample_find(&row, 1, 12));
	cr_assert(sample_find(&row, 0, 1) && sample_find(&row, 2, 1));
	cr_assert_eq(sample_merge(&row, sample_write(1, 4, NOTHING, 1, "v")), ROW_UNCHANGED);
	cr_assert_eq(row_merge(&other, &row), 0);
	long n = row_encode(&row, bytes, sizeof bytes);
	cr_assert(row_encode(&other, reference, sizeof reference) == n && !memcmp(bytes, reference, (size_t)n));
}

Test(core_row, the_largest_row_is_held)
{
	struct row row;
	row_init(&row);
	for (uint8_t region = 0; region < REGIONS_MAX; region++) {
		for (uint64_t i = 1; i <= 2 * SIBLINGS_PER_REGION_MAX; i++)
			sample_merge(&row, sample_write(region, i, NOTHING, i, "v"));
	}
	cr_assert_eq(row.sibling_count, SIBLINGS_MAX);
	struct row copy = row;
	row_merge(&row, &copy);
	cr_assert_eq(row.sibling_count, SIBLINGS_MAX);
	long n = row_encode(&row, bytes, sizeof bytes);
	cr_assert(n > 0);
	cr_assert_eq(row_decode(&copy, bytes, (size_t)n), 0);
}
