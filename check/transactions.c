/* SPDX-License-Identifier: Apache-2.0 */
#include "check/transactions.h"

#include <stdio.h>

#include "check/checkers.h"
#include "check/memory.h"

void transactions_deinit(struct transactions *t)
{
	free(t->operations);
	free(t->node_of);
	graph_deinit(&t->graph);
}

/* Marks who wrote the value, if it may have happened. */
static void writer_mark(struct transactions *t, uint32_t key, uint32_t value)
{
	const struct write *write = value == VALUE_ABSENT ? NULL : keyed_writer(t->keyed, key, value);
	if (write && !write->failed)
		t->node_of[write->operation] = 0;
}

static void seen_mark(struct transactions *t, const struct operation *o)
{
	if (o->kind == OPERATION_GET || (o->kind == OPERATION_CAS && o->applied))
		writer_mark(t, o->key, o->kind == OPERATION_GET ? o->value : o->expect);
	if (o->kind != OPERATION_TRANSACTION)
		return;
	for (uint32_t i = o->access_first; i < o->access_first + o->access_count; i++) {
		const struct access *a = &t->history->accesses[i];
		if (a->kind != OPERATION_GET || t->keyed->kinds[a->key] == KEY_ACCOUNT)
			continue;
		writer_mark(t, a->key, a->value);
		for (uint32_t j = 0; j < a->list_count; j++)
			writer_mark(t, a->key, t->history->list_values[a->list_first + j]);
	}
}

static void nodes_choose(struct transactions *t)
{
	const struct history *h = t->history;
	t->operations = memory_resize(NULL, h->count, sizeof *t->operations);
	t->node_of = memory_resize(NULL, h->count, sizeof *t->node_of);
	for (uint32_t i = 0; i < h->count; i++)
		t->node_of[i] = h->operations[i].outcome == OUTCOME_OK ? 0 : NO_TRANSACTION;
	for (uint32_t i = 0; i < h->count; i++)
		if (h->operations[i].outcome == OUTCOME_OK)
			seen_mark(t, &h->operations[i]);
	for (uint32_t i = 0; i < h->count; i++) {
		if (t->node_of[i] == NO_TRANSACTION)
			continue;
		t->node_of[i] = t->count;
		t->operations[t->count++] = i;
	}
	t->node_count = t->count;
}

struct moment {
	int64_t at_ns;
	uint32_t node;
};

static int moment_compare(const void *left, const void *right)
{
	const struct moment *a = left, *b = right;
	if (a->at_ns != b->at_ns)
		return a->at_ns < b->at_ns ? -1 : 1;
	return a->node < b->node ? -1 : a->node > b->node;
}

/* A helper for each end, in a row; who starts hangs on the last end before. */
static void real_time_add(struct transactions *t)
{
	struct moment *ends = memory_resize(NULL, t->count, sizeof *ends);
	uint32_t ended = 0, row = t->node_count;
	for (uint32_t i = 0; i < t->count; i++)
		if (transaction_end_ns(t, i) != TIME_NEVER)
			ends[ended++] = (struct moment){transaction_end_ns(t, i), i};
	qsort(ends, ended, sizeof *ends, moment_compare);
	for (uint32_t i = 0; i < ended; i++) {
		graph_add(&t->graph, ends[i].node, row + i, DEPENDENCY_RT, NAME_NONE);
		if (i + 1 < ended)
			graph_add(&t->graph, row + i, row + i + 1, DEPENDENCY_PASS, NAME_NONE);
	}
	for (uint32_t i = 0; i < t->count; i++) {
		uint32_t low = 0, high = ended;
		while (low < high) {
			uint32_t middle = (low + high) / 2;
			if (ends[middle].at_ns < transaction_start_ns(t, i))
				low = middle + 1;
			else
				high = middle;
		}
		if (low > 0)
			graph_add(&t->graph, row + low - 1, i, DEPENDENCY_PASS, NAME_NONE);
	}
	t->node_count += ended;
	free(ends);
}

/* What a transaction saw of its own: after a get or a write of a register, a get sees the same. */
static void inside_judge(struct transactions *t, const struct operation *o)
{
	const struct history *h = t->history;
	char text[DESCRIPTION_MAX], key[NAME_TEXT_MAX];
	for (uint32_t i = o->access_first; i < o->access_first + o->access_count; i++) {
		const struct access *a = &h->accesses[i], *before = NULL;
		if (a->kind != OPERATION_GET || t->keyed->kinds[a->key] != KEY_REGISTER)
			continue;
		for (uint32_t j = o->access_first; j < i; j++)
			if (h->accesses[j].key == a->key)
				before = &h->accesses[j];
		if (before && (before->kind == OPERATION_DELETE ? VALUE_ABSENT : before->value) != a->value)
			check_fails(t->check, VERDICT_VIOLATION,
			    "internal: a transaction does not see at %s what it saw or wrote before:\n    %s",
			    key_text(h, a->key, key), operation_describe(h, o, text));
	}
}

/* A value that its own transaction replaced later. */
static void middle_judge(struct transactions *t, uint32_t reader, uint32_t key, uint32_t value)
{
	const struct history *h = t->history;
	char text[2][DESCRIPTION_MAX], name[NAME_TEXT_MAX];
	const struct write *write = value == VALUE_ABSENT ? NULL : keyed_writer(t->keyed, key, value);
	if (!write || write->is_final || write->failed || write->operation == reader)
		return;
	check_fails(t->check, VERDICT_VIOLATION,
	    "G1b at %s: saw what a transaction had only in its middle:\n    %s\n    seen by\n    %s", key_text(h, key, name),
	    operation_describe(h, &h->operations[write->operation], text[0]),
	    operation_describe(h, &h->operations[reader], text[1]));
}

static void values_judge(struct transactions *t)
{
	const struct history *h = t->history;
	for (uint32_t n = 0; n < t->count; n++) {
		const struct operation *o = &h->operations[t->operations[n]];
		if (o->outcome != OUTCOME_OK)
			continue;
		if (o->kind == OPERATION_GET)
			middle_judge(t, t->operations[n], o->key, o->value);
		if (o->kind != OPERATION_TRANSACTION)
			continue;
		inside_judge(t, o);
		for (uint32_t i = o->access_first; i < o->access_first + o->access_count; i++) {
			const struct access *a = &h->accesses[i];
			if (a->kind != OPERATION_GET)
				continue;
			if (!a->is_list)
				middle_judge(t, t->operations[n], a->key, a->value);
			else if (a->list_count)
				middle_judge(t, t->operations[n], a->key, h->list_values[a->list_first + a->list_count - 1]);
		}
	}
}

void transactions_init(
    struct transactions *t, const struct history *history, const struct keyed *keyed, bool is_strict, struct check *check)
{
	*t = (struct transactions){.history = history, .keyed = keyed, .is_strict = is_strict, .check = check};
	nodes_choose(t);
	values_judge(t);
	transactions_add_lists(t);
	transactions_add_registers(t);
	if (is_strict)
		real_time_add(t);
	graph_seal(&t->graph, t->node_count);
}
