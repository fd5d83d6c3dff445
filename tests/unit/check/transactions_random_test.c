/* SPDX-License-Identifier: Apache-2.0
 *
 * The graph against a checker that tries all orders, and made stores with and without mistakes. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "check/checkers.h"
#include "tests/unit/check/generate.h"

#define SMALL_MAX 7u
#define KEYS_MAX  3u

struct store {
	uint32_t values[KEYS_MAX][32], counts[KEYS_MAX];
};

static void register_write(struct store *store, const struct access *a, bool lists)
{
	if (!lists)
		store->counts[a->key] = 0;
	if (a->kind != OPERATION_DELETE)
		store->values[a->key][store->counts[a->key]++] = a->value;
}

/* Runs one transaction; false when it would not have seen what it saw. */
static bool run(const struct history *h, const struct operation *o, struct store *store, bool lists)
{
	for (uint32_t i = o->access_first; i < o->access_first + o->access_count; i++) {
		const struct access *a = &h->accesses[i];
		uint32_t *values = store->values[a->key], *count = &store->counts[a->key];
		if (a->kind == OPERATION_GET && lists) {
			if (a->list_count != *count ||
			    (*count && memcmp(values, h->list_values + a->list_first, *count * sizeof *values) != 0))
				return false;
		} else if (a->kind == OPERATION_GET) {
			if (a->value != (*count ? values[*count - 1] : VALUE_ABSENT))
				return false;
		} else
			register_write(store, a, lists);
	}
	return true;
}

static bool some_order(const struct history *h, uint32_t done, const struct store *store, bool lists)
{
	bool left = false;
	for (uint32_t i = 0; i < h->count; i++)
		left |= !(done >> i & 1) && h->operations[i].outcome == OUTCOME_OK;
	if (!left)
		return true;
	for (uint32_t i = 0; i < h->count; i++) {
		bool next = !(done >> i & 1);
		for (uint32_t j = 0; j < h->count && next; j++)
			next = (done >> j & 1) || h->operations[j].end_ns >= h->operations[i].start_ns;
		struct store after = *store;
		bool same = h->operations[i].outcome == OUTCOME_OK;
		if (!next)
			continue;
		if (!run(h, &h->operations[i], &after, lists) && same)
			continue;
		if (!same) { /* what an unknown one saw is no promise: its writes alone */
			after = *store;
			for (uint32_t k = h->operations[i].access_first;
			     k < h->operations[i].access_first + h->operations[i].access_count; k++)
				if (h->accesses[k].kind != OPERATION_GET)
					register_write(&after, &h->accesses[k], lists);
		}
		if (some_order(h, done | 1u << i, &after, lists))
			return true;
	}
	return false;
}

/* Small histories of a store with mistakes. What the graph calls a violation is one; and it misses few. */
static void small_compare(bool lists, uint32_t missed_percent_max)
{
	uint32_t good = 0, bad = 0, missed = 0;
	for (uint64_t seed = 0; seed < 6000; seed++) {
		struct transactions_plan plan = {.transactions = SMALL_MAX,
		    .keys = 1 + (uint32_t)seed % KEYS_MAX,
		    .clients = 2 + (uint32_t)seed % 4,
		    .lists = lists,
		    .mistake = (enum transaction_mistake)(seed / 7 % 4),
		    .mistake_percent = 40,
		    .unknown_percent = 15,
		    .delete_percent = !lists && seed % 3 == 0 ? 25 : 0};
		struct history h;
		struct keyed keyed;
		struct error_context error;
		struct report report = {.count = 0};
		const struct store empty = {.counts = {0}};
		history_init(&h, 0);
		generate_transactions(seed, &plan, &h);
		cr_assert_leq(h.keys.count, KEYS_MAX);
		/* Failed ones are no part of any order. */
		uint32_t kept = 0;
		for (uint32_t i = 0; i < h.count; i++)
			if (h.operations[i].outcome != OUTCOME_FAIL)
				h.operations[kept++] = h.operations[i];
		h.count = kept;
		cr_assert_eq(keyed_init(&keyed, &h, NULL, &error), 0, "%s", error.text);
		struct check *check = report_check(&report, "transactions");
		check_transactions(&h, &keyed, true, check);
		bool is_good = some_order(&h, 0, &empty, lists);
		cr_assert(
		    !is_good || check->verdict == VERDICT_FINE, "seed %llu: %s", (unsigned long long)seed, check->texts[0]);
		for (uint32_t i = 0; i < VIOLATIONS_KEPT_MAX && check->texts[i]; i++)
			cr_assert(!strstr(check->texts[i], "cycle of 1 "), "seed %llu: %s", (unsigned long long)seed,
			    check->texts[i]);
		good += is_good;
		bad += !is_good;
		missed += !is_good && check->verdict == VERDICT_FINE;
		report_deinit(&report);
		keyed_deinit(&keyed);
		history_deinit(&h);
	}
	cr_assert(good > 500 && bad > 500, "%u good, %u bad", good, bad);
	cr_assert_leq(missed * 100, bad * missed_percent_max, "%u of %u missed", missed, bad);
}

Test(check_transactions_random, small_lists_as_all_orders_say)
{
	small_compare(true, 1);
}

Test(check_transactions_random, small_registers_as_all_orders_say)
{
	small_compare(false, 30);
}

static uint32_t broken_count(struct transactions_plan plan, uint64_t seeds, const char *check)
{
	uint32_t broken = 0;
	for (uint64_t seed = 0; seed < seeds; seed++) {
		struct judge_options options = JUDGE_OPTIONS_DEFAULT;
		struct history h;
		history_init(&h, 0);
		generate_transactions(seed, &plan, &h);
		enum verdict verdict = judged(&h, &options, check);
		if (check == NULL)
			cr_assert_eq(verdict, VERDICT_FINE, "seed %llu", (unsigned long long)seed);
		broken += verdict == VERDICT_VIOLATION;
		history_deinit(&h);
	}
	return broken;
}

Test(check_transactions_random, stores_with_and_without_mistakes)
{
	for (int lists = 0; lists < 2; lists++) {
		struct transactions_plan plan = {
		    .transactions = 150, .keys = 5, .clients = 6, .lists = lists, .unknown_percent = 5};
		cr_expect_eq(broken_count(plan, 200, NULL), 0);
		plan.delete_percent = lists ? 0 : 15;
		cr_expect_eq(broken_count(plan, 200, NULL), 0);
		plan.delete_percent = 0;
		static const uint32_t percent[] = {0, 10, 100, 20}, shown_min[] = {0, 40, 50, 40};
		for (plan.mistake = TRANSACTION_STALE; plan.mistake <= TRANSACTION_LOST_WRITE; plan.mistake++) {
			plan.mistake_percent = percent[plan.mistake];
			uint32_t broken = broken_count(plan, 60, "transactions");
			cr_expect_gt(broken, shown_min[plan.mistake], "mistake %d shows in %u of 60 (lists: %d)",
			    (int)plan.mistake, broken, lists);
		}
	}
}

/* 10^5 transactions. */
Test(check_transactions_random, many)
{
	const struct transactions_plan plan = {
	    .transactions = 100000, .keys = 20, .clients = 30, .lists = true, .unknown_percent = 2};
	struct judge_options options = JUDGE_OPTIONS_DEFAULT;
	struct history h;
	history_init(&h, 0);
	generate_transactions(1, &plan, &h);
	cr_assert_eq(judged(&h, &options, NULL), VERDICT_FINE);
	history_deinit(&h);
}
