// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/store/support.h"

static struct place place;

static void setup(void)
{
	place_make(&place);
}
static void teardown(void)
{
	place_remove(&place);
}

TestSuite(conflicts, .init = setup, .fini = teardown);

/* Two regions write the key without knowing of each other. */
static uint64_t collide(struct log *log, uint64_t next[2], const char *key)
{
	const struct vector knows_0 = {{next[0] - 1, 0}}, knows_1 = {{0, next[1] - 1}};
	const struct write a = {
	    .region = 0, .sequence = next[0]++, .key = key, .value = "from 0", .context = &knows_0, .hlc = 100};
	const struct write b = {
	    .region = 1, .sequence = next[1]++, .key = key, .value = "from 1", .context = &knows_1, .hlc = 200};
	uint64_t end;

	cr_assert_eq(append(log, &a, &end), 0);
	cr_assert_eq(append(log, &b, &end), 0);
	return end;
}

struct listed {
	int count, most;
	uint64_t ids[64];
};

static int list_conflict(void *user, const struct conflict *conflict)
{
	struct listed *listed = user;

	listed->ids[listed->count++] = conflict->id;
	return listed->count == listed->most;
}

Test(conflicts, T26_each_is_recorded_with_both_sides)
{
	struct log *log = log_start(&place, NULL, NULL);
	struct rows_options options = rows_options_default(&place);
	options.strategy[0] = STRATEGY_FWW;
	struct rows *rows = rows_start(&place, &options);
	uint64_t next[2] = {1, 1};
	static struct conflict c;
	struct rows_view *view;

	uint64_t end = collide(log, next, "first");
	end = collide(log, next, "second");
	/* T08: one region that writes on and on is no conflict; nor is a write that has seen both. */
	const struct vector both = {{2, 2}};
	const struct write merged = {.region = 0, .sequence = 3, .key = "second", .value = "seen both", .context = &both};
	const struct write on = {.region = 0, .sequence = 4, .key = "second", .value = "and on"};
	cr_assert_eq(append(log, &merged, &end), 0);
	cr_assert_eq(append(log, &on, &end), 0);
	wait_durable(log, end);
	const struct apply_result result = apply_all(rows, &place, end);
	cr_assert_eq(result.conflicts, 2);
	cr_assert_eq(rows_meta_now(rows)->conflicts, 2);

	cr_assert_eq(rows_view_new(rows, &view, NULL), 0);
	cr_assert_eq(rows_view_begin(view, NULL), 0);
	cr_assert_eq(rows_conflict(view, 1, &c), 0);
	cr_assert_eq(c.id, 1);
	cr_assert_eq(c.recorded_ms, 1000);
	cr_assert_eq(c.strategy, STRATEGY_FWW);
	cr_assert(c.key_size == 5 && memcmp(c.key, "first", 5) == 0);
	cr_assert(c.arrived.dot.region == 1 && c.arrived.dot.sequence == 1 && c.arrived.hlc == 200);
	cr_assert(c.arrived.value_size == 6 && memcmp(c.arrived.value, "from 1", 6) == 0);
	cr_assert_eq(c.held_count, 1);
	cr_assert(c.held[0].dot.region == 0 && c.held[0].hlc == 100 && memcmp(c.held[0].value, "from 0", 6) == 0);
	cr_assert(c.winner.region == 0 && c.winner.sequence == 1, "first writer wins");
	cr_assert_eq(rows_conflict(view, 2, &c), 0);
	cr_assert_eq(c.arrived_context.sequence[1], 1);
	cr_assert_eq(c.held_context.sequence[0], 1);
	cr_assert_eq(rows_conflict(view, 3, &c), ERR_NOT_FOUND);
	struct listed listed = {0};
	cr_assert_eq(rows_conflicts(view, 0, list_conflict, &listed), 0);
	cr_assert(listed.count == 2 && listed.ids[0] == 2 && listed.ids[1] == 1);
	listed = (struct listed){0};
	cr_assert_eq(rows_conflicts(view, 2, list_conflict, &listed), 0);
	cr_assert(listed.count == 1 && listed.ids[0] == 1);
	rows_view_free(view);
	rows_close(rows);
	log_close(log);
}

Test(conflicts, values_are_cut_and_tombstones_said)
{
	struct log *log = log_start(&place, NULL, NULL);
	struct rows *rows = rows_start(&place, NULL);
	static char large[10001];
	static struct conflict c;
	struct rows_view *view;
	struct vector none = {0};
	uint64_t end;

	memset(large, 'L', sizeof(large) - 1);
	for (uint8_t region = 0; region < 16; region++) {
		const struct write w = {
		    .region = region, .sequence = 1, .key = "k", .value = region == 15 ? NULL : large, .context = &none};
		cr_assert_eq(append(log, &w, &end), 0);
	}
	wait_durable(log, end);
	cr_assert_eq(apply_all(rows, &place, end).conflicts, 15);
	cr_assert_eq(rows_view_new(rows, &view, NULL), 0);
	cr_assert_eq(rows_view_begin(view, NULL), 0);
	cr_assert_eq(rows_conflict(view, 15, &c), 0);
	cr_assert(c.arrived.tombstone && c.arrived.value_size == 0);
	cr_assert_eq(c.held_count, 15);
	cr_assert(!c.held[14].tombstone && c.held[14].value_size == CONFLICT_VALUE_MAX && c.held[14].value_size_whole == 10000);
	rows_view_free(view);
	digests_check(rows, 0);
	rows_close(rows);
	log_close(log);
}

Test(conflicts, the_history_is_bounded_and_counts_what_it_lets_go)
{
	struct log *log = log_start(&place, NULL, NULL);
	struct rows_options options = rows_options_default(&place);
	options.conflicts_max = 10;
	struct rows *rows = rows_start(&place, &options);
	uint64_t next[2] = {1, 1}, end = 0;
	struct rows_view *view;
	char key[32];

	for (int i = 0; i < 35; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		end = collide(log, next, key);
	}
	wait_durable(log, end);
	cr_assert_eq(apply_all(rows, &place, end).conflicts, 35);
	cr_assert_eq(rows_meta_now(rows)->conflicts, 35);
	cr_assert_eq(rows_meta_now(rows)->conflicts_dropped, 25);
	cr_assert_eq(rows_view_new(rows, &view, NULL), 0);
	cr_assert_eq(rows_view_begin(view, NULL), 0);
	struct listed listed = {0};
	cr_assert_eq(rows_conflicts(view, 0, list_conflict, &listed), 0);
	cr_assert(listed.count == 10 && listed.ids[0] == 35 && listed.ids[9] == 26);
	rows_view_free(view);
	rows_close(rows);

	/* By age: all of them were recorded at 1000 ms. */
	options.conflicts_max = 100;
	options.conflicts_age_ms = 500;
	rows = rows_start(&place, &options);
	struct log_reader *reader;
	struct apply_result result;
	end = collide(log, next, "later");
	wait_durable(log, end);
	cr_assert_eq(log_reader_open(&reader, place.log, NULL), 0);
	cr_assert_eq(rows_apply_log(rows, reader, end, 100, 1501, NULL, NULL, &result, NULL), 0);
	cr_assert_eq(rows_meta_now(rows)->conflicts, 36);
	cr_assert_eq(rows_meta_now(rows)->conflicts_dropped, 35);
	log_reader_close(reader);
	rows_close(rows);
	log_close(log);
}

Test(conflicts, E13_the_history_is_bounded_in_bytes)
{
	static char value[3001];
	struct rows_options options = rows_options_default(&place);
	struct vector none = {0};
	uint64_t end = 0;

	options.conflicts_bytes = 100000;
	memset(value, 'v', sizeof(value) - 1);
	struct log *log = log_start(&place, NULL, NULL);
	struct rows *rows = rows_start(&place, &options);
	for (uint64_t i = 1; i <= 200; i++) {
		char key[16];
		snprintf(key, sizeof(key), "k%d", (int)i);
		for (uint8_t region = 0; region < 2; region++) {
			const struct write w = {.region = region, .sequence = i, .key = key, .value = value, .context = &none};
			cr_assert_eq(append(log, &w, &end), 0);
		}
	}
	wait_durable(log, end);
	apply_all(rows, &place, end);
	const struct rows_meta *meta = rows_meta_now(rows);
	cr_assert_eq(meta->conflicts, 200);
	const uint64_t kept = meta->conflicts - meta->conflicts_dropped;
	cr_assert(kept > 5 && kept * 6000 <= 100000, "%d kept", (int)kept);
	rows_close(rows);
	log_close(log);
}
