/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "check/checkers.h"
#include "check/memory.h"
#include "check/transactions.h"

/* One transaction's first read of a list, without what it had itself appended before. */
struct list_read {
	uint32_t key, node, first, count; /* elements in history.list_values */
};
#define DIRECT_MAX 64u

struct lists {
	struct transactions *t;
	struct list_read *reads;
	uint32_t read_count, read_capacity;
	uint32_t *unseen_in; /* per transaction: the last list that it appended to unseen */
	bool *is_seen;       /* per write of keyed: in the longest read of its list */
};

static const struct write *writer_of(const struct lists *l, uint32_t key, uint32_t value)
{
	const struct write *write = keyed_writer(l->t->keyed, key, value);
	return write && !write->failed && l->t->node_of[write->operation] != NO_TRANSACTION ? write : NULL;
}

/* Whether the end of the list is what the transaction appended before step `step`; how many that are. */
static bool own_appends_fit(const struct history *h, const struct operation *o, uint32_t step, uint32_t *own)
{
	const struct access *a = &h->accesses[step];
	*own = 0;
	for (uint32_t i = step; i-- > o->access_first;) {
		const struct access *before = &h->accesses[i];
		if (before->key != a->key || before->kind != OPERATION_APPEND)
			continue;
		if (*own == a->list_count || h->list_values[a->list_first + a->list_count - 1 - *own] != before->value)
			return false;
		++*own;
	}
	return true;
}

static void step_read(struct lists *l, uint32_t node, uint32_t step, bool *is_first)
{
	const struct history *h = l->t->history;
	const struct operation *o = &h->operations[l->t->operations[node]];
	const struct access *a = &h->accesses[step], *earlier = NULL;
	char text[DESCRIPTION_MAX], key[NAME_TEXT_MAX];
	uint32_t own, own_earlier;
	bool fits = own_appends_fit(h, o, step, &own);
	*is_first = true;
	for (uint32_t i = o->access_first; i < step; i++)
		if (h->accesses[i].key == a->key && h->accesses[i].kind == OPERATION_GET)
			earlier = &h->accesses[i];
	if (earlier && fits) {
		*is_first = false;
		own_appends_fit(h, o, (uint32_t)(earlier - h->accesses), &own_earlier);
		uint32_t base = earlier->list_count - own_earlier;
		fits = own_earlier <= earlier->list_count && a->list_count - own == base &&
		       (base == 0 || memcmp(h->list_values + a->list_first, h->list_values + earlier->list_first,
		                         base * sizeof(uint32_t)) == 0);
	}
	if (!fits) {
		*is_first = false;
		check_fails(l->t->check, VERDICT_VIOLATION,
		    "internal: a transaction does not see in list %s what it saw or appended before:\n    %s",
		    key_text(h, a->key, key), operation_describe(h, o, text));
		return;
	}
	if (*is_first) {
		l->reads = memory_room(l->reads, l->read_count, &l->read_capacity, sizeof *l->reads);
		l->reads[l->read_count++] = (struct list_read){a->key, node, a->list_first, a->list_count - own};
	}
}

static void reads_gather(struct lists *l)
{
	const struct history *h = l->t->history;
	for (uint32_t n = 0; n < l->t->count; n++) {
		const struct operation *o = &h->operations[l->t->operations[n]];
		if (o->kind != OPERATION_TRANSACTION || o->outcome != OUTCOME_OK)
			continue;
		for (uint32_t i = o->access_first; i < o->access_first + o->access_count; i++) {
			bool is_first;
			if (h->accesses[i].kind == OPERATION_GET && l->t->keyed->kinds[h->accesses[i].key] == KEY_LIST)
				step_read(l, n, i, &is_first);
		}
	}
}

static int read_compare(const void *left, const void *right)
{
	const struct list_read *a = left, *b = right;
	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	if (a->count != b->count)
		return a->count < b->count ? -1 : 1;
	return a->node < b->node ? -1 : a->node > b->node;
}

/* The append of the same transaction to the same list before (step -1) or after (1) this one; VALUE_ABSENT if there is none. */
static uint32_t own_neighbour(const struct lists *l, const struct write *write, int step)
{
	const struct history *h = l->t->history;
	const struct operation *o = &h->operations[write->operation];
	for (uint32_t i = write->access + (uint32_t)step; i >= o->access_first && i < o->access_first + o->access_count;
	     i += (uint32_t)step)
		if (h->accesses[i].kind == OPERATION_APPEND && h->accesses[i].key == write->key)
			return h->accesses[i].value;
	return VALUE_ABSENT;
}

/* What one transaction appended stands together and is all there. At the end of the list, G1b is looked for elsewhere. */
static bool whole_judge(struct lists *l, const struct list_read *longest, uint32_t index, const struct write *write)
{
	const struct history *h = l->t->history;
	const uint32_t *values = h->list_values + longest->first;
	char text[2][DESCRIPTION_MAX], key[NAME_TEXT_MAX];
	uint32_t before = own_neighbour(l, write, -1), after = own_neighbour(l, write, 1);
	if ((before == VALUE_ABSENT || (index > 0 && values[index - 1] == before)) &&
	    (after == VALUE_ABSENT || index + 1 == longest->count || values[index + 1] == after))
		return true;
	check_fails(l->t->check, VERDICT_VIOLATION,
	    "torn: list %s holds a part of what a transaction appended:\n    %s\n    seen by\n    %s",
	    key_text(h, longest->key, key), operation_describe(h, &h->operations[write->operation], text[0]),
	    operation_describe(h, &h->operations[l->t->operations[longest->node]], text[1]));
	return false;
}

/* Reads of one list, shortest first: each must begin like the longest. */
static bool prefixes_judge(struct lists *l, const struct list_read *reads, uint32_t count)
{
	const struct history *h = l->t->history;
	const struct list_read *longest = &reads[count - 1];
	char text[2][DESCRIPTION_MAX], key[NAME_TEXT_MAX];
	bool good = true;
	for (uint32_t i = 0; i + 1 < count; i++) {
		if (reads[i].count == 0 || memcmp(h->list_values + reads[i].first, h->list_values + longest->first,
		                               reads[i].count * sizeof(uint32_t)) == 0)
			continue;
		good = false;
		check_fails(l->t->check, VERDICT_VIOLATION,
		    "incompatible order: two reads of list %s, neither the beginning of the other:\n    %s\n    %s",
		    key_text(h, longest->key, key),
		    operation_describe(h, &h->operations[l->t->operations[reads[i].node]], text[0]),
		    operation_describe(h, &h->operations[l->t->operations[longest->node]], text[1]));
	}
	for (uint32_t i = 0; i < longest->count; i++) {
		const struct write *write = writer_of(l, longest->key, h->list_values[longest->first + i]);
		if (!write)
			continue; /* the values checker has it */
		if (l->is_seen[write - l->t->keyed->writes]) {
			good = false;
			check_fails(l->t->check, VERDICT_VIOLATION, "list %s holds %s twice:\n    %s",
			    key_text(h, longest->key, key), value_text(h, write->value, text[0]),
			    operation_describe(h, &h->operations[l->t->operations[longest->node]], text[1]));
		}
		l->is_seen[write - l->t->keyed->writes] = true;
		good &= whole_judge(l, longest, i, write);
	}
	return good;
}

static void depend(struct lists *l, uint32_t from, uint32_t to, enum dependency sort, uint32_t key)
{
	if (from != to)
		graph_add(&l->t->graph, from, to, (uint32_t)sort, key);
}

static uint32_t element_node(const struct lists *l, const struct list_read *read, uint32_t index)
{
	const struct write *write = writer_of(l, read->key, l->t->history->list_values[read->first + index]);
	return write ? l->t->node_of[write->operation] : NO_TRANSACTION;
}

/* The order of what was seen, and each read's place in it. */
static void seen_add(struct lists *l, const struct list_read *reads, uint32_t count)
{
	const struct list_read *longest = &reads[count - 1];
	for (uint32_t i = 0; i + 1 < longest->count; i++) {
		uint32_t from = element_node(l, longest, i), to = element_node(l, longest, i + 1);
		if (from != NO_TRANSACTION && to != NO_TRANSACTION)
			depend(l, from, to, DEPENDENCY_WW, longest->key);
	}
	for (uint32_t i = 0; i < count; i++) {
		uint32_t last = reads[i].count ? element_node(l, longest, reads[i].count - 1) : NO_TRANSACTION;
		uint32_t next = reads[i].count < longest->count ? element_node(l, longest, reads[i].count) : NO_TRANSACTION;
		if (last != NO_TRANSACTION)
			depend(l, last, reads[i].node, DEPENDENCY_WR, longest->key);
		if (next != NO_TRANSACTION)
			depend(l, reads[i].node, next, DEPENDENCY_RW, longest->key);
	}
}

/* Appends that nobody saw come behind everything that was: behind the last that was seen, and behind who read up to it. */
static void unseen_add(
    struct lists *l, uint32_t key, const struct list_read *reads, uint32_t count, const uint32_t *unseen, uint32_t unseen_count)
{
	uint32_t longest = count ? reads[count - 1].count : 0, helper = l->t->node_count++;
	uint32_t last = longest ? element_node(l, &reads[count - 1], longest - 1) : NO_TRANSACTION;
	for (uint32_t i = 0; i < unseen_count; i++) {
		graph_add(&l->t->graph, helper, unseen[i], DEPENDENCY_PASS, key);
		l->unseen_in[unseen[i]] = key;
	}
	if (last != NO_TRANSACTION && l->unseen_in[last] != key)
		graph_add(&l->t->graph, last, helper, DEPENDENCY_WW, key);
	for (uint32_t i = count; i-- > 0 && reads[i].count == longest;) {
		if (l->unseen_in[reads[i].node] != key)
			graph_add(&l->t->graph, reads[i].node, helper, DEPENDENCY_RW, key);
		else /* a helper would lead back to itself */
			for (uint32_t j = 0; j < unseen_count && j < DIRECT_MAX; j++)
				depend(l, reads[i].node, unseen[j], DEPENDENCY_RW, key);
	}
}

static int write_compare(const void *left, const void *right)
{
	const struct write *a = *(const struct write *const *)left, *b = *(const struct write *const *)right;
	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	return a < b ? -1 : a > b;
}

/* Per list, the nodes whose appends nobody saw. */
static void unseen_all_add(struct lists *l)
{
	const struct keyed *keyed = l->t->keyed;
	const struct write **writes = memory_resize(NULL, keyed->write_count, sizeof *writes);
	uint32_t *nodes = memory_resize(NULL, keyed->write_count, sizeof *nodes), count = 0, read = 0;
	for (uint32_t i = 0; i < keyed->write_count; i++) {
		const struct write *write = &keyed->writes[i];
		if (keyed->kinds[write->key] == KEY_LIST && !write->failed && !l->is_seen[i] && write->is_final &&
		    l->t->node_of[write->operation] != NO_TRANSACTION)
			writes[count++] = write;
	}
	qsort(writes, count, sizeof(struct write *), write_compare);
	for (uint32_t first = 0, last; first < count; first = last) {
		uint32_t key = writes[first]->key, found = 0, reads = 0;
		for (last = first; last < count && writes[last]->key == key; last++)
			nodes[found++] = l->t->node_of[writes[last]->operation];
		while (read < l->read_count && l->reads[read].key < key)
			read++;
		while (read + reads < l->read_count && l->reads[read + reads].key == key)
			reads++;
		unseen_add(l, key, l->reads + read, reads, nodes, found);
	}
	free(nodes);
	free(writes);
}

void transactions_add_lists(struct transactions *t)
{
	struct lists l = {.t = t, .is_seen = memory_zeroed(t->keyed->write_count, sizeof *l.is_seen)};
	bool all_good = true;
	l.unseen_in = memory_resize(NULL, t->count, sizeof *l.unseen_in);
	for (uint32_t i = 0; i < t->count; i++)
		l.unseen_in[i] = NAME_NONE;
	reads_gather(&l);
	if (l.read_count)
		qsort(l.reads, l.read_count, sizeof *l.reads, read_compare);
	for (uint32_t first = 0, last; first < l.read_count; first = last) {
		for (last = first; last < l.read_count && l.reads[last].key == l.reads[first].key;)
			last++;
		/* Without one order there is nothing to say about what depends on what. */
		bool good = prefixes_judge(&l, l.reads + first, last - first);
		if (good)
			seen_add(&l, l.reads + first, last - first);
		all_good &= good;
	}
	if (all_good)
		unseen_all_add(&l);
	free(l.reads);
	free(l.unseen_in);
	free(l.is_seen);
}
