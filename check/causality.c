/* SPDX-License-Identifier: Apache-2.0 */
#include "check/causality.h"

#include <assert.h>

#include "check/memory.h"

void causality_deinit(struct causality *c)
{
	free(c->nodes);
	free(c->touches);
	free(c->node_of);
	free(c->session_first);
	free(c->lane_first);
	free(c->lane_nodes);
	free(c->lane_start);
	free(c->lane_columns);
	free(c->lane_unknown);
	free(c->writes.first);
	free(c->writes.entries);
	free(c->reads.first);
	free(c->reads.entries);
	free(c->removals.first);
	free(c->removals.entries);
	free(c->unknown_removal_ns);
	free(c->order);
	free(c->vectors);
	*c = (struct causality){0};
}

/* Marks the operations that take part: what is ok, and the unknown whose value somebody saw. */
static bool *parts_mark(const struct history *h, const struct keyed *keyed)
{
	bool *part = memory_zeroed(h->count, sizeof *part);
	for (uint32_t i = 0; i < keyed->count; i++) {
		const struct register_operation *o = &keyed->operations[i].operation;
		const struct write *seen = NULL;
		if (o->optional || (o->reads == REGISTER_ANY && o->writes == REGISTER_NOTHING))
			continue;
		part[o->source] = true;
		if (o->reads != REGISTER_ANY && o->reads != REGISTER_ABSENT)
			seen = keyed_writer(keyed, keyed->operations[i].key, o->reads);
		if (seen && !seen->failed)
			part[seen->operation] = true;
	}
	return part;
}

static int node_compare(const void *left, const void *right)
{
	const struct node *a = left, *b = right;
	if (a->session != b->session)
		return a->session < b->session ? -1 : 1;
	if (a->start_ns != b->start_ns)
		return a->start_ns < b->start_ns ? -1 : 1;
	if (a->end_ns != b->end_ns)
		return a->end_ns < b->end_ns ? -1 : 1;
	return a->operation < b->operation ? -1 : a->operation > b->operation;
}

static void nodes_build(struct causality *c)
{
	const struct history *h = c->history;
	bool *part = parts_mark(h, c->keyed);
	c->nodes = memory_resize(NULL, h->count, sizeof *c->nodes);
	c->node_of = memory_resize(NULL, h->count, sizeof *c->node_of);
	c->session_first = memory_zeroed((size_t)h->sessions.count + 1, sizeof *c->session_first);
	for (uint32_t i = 0; i < h->count; i++) {
		const struct operation *o = &h->operations[i];
		c->node_of[i] = NO_NODE;
		if (!part[i])
			continue;
		c->nodes[c->node_count++] =
		    (struct node){.operation = i, .session = o->session, .start_ns = o->start_ns, .end_ns = o->end_ns};
		c->session_first[o->session + 1]++;
	}
	free(part);
	qsort(c->nodes, c->node_count, sizeof *c->nodes, node_compare);
	for (uint32_t i = 0; i < c->node_count; i++)
		c->node_of[c->nodes[i].operation] = i;
	for (uint32_t s = 0; s < h->sessions.count; s++)
		c->session_first[s + 1] += c->session_first[s];
}

static void touches_build(struct causality *c)
{
	const struct keyed *keyed = c->keyed;
	uint32_t next = 0;
	c->touches = memory_resize(NULL, keyed->count, sizeof *c->touches);
	for (uint32_t i = 0; i < keyed->count; i++) {
		uint32_t node = c->node_of[keyed->operations[i].operation.source];
		if (node != NO_NODE)
			c->nodes[node].count++;
	}
	for (uint32_t i = 0; i < c->node_count; i++) {
		c->nodes[i].first = next;
		next += c->nodes[i].count;
		c->nodes[i].count = 0;
	}
	for (uint32_t i = 0; i < keyed->count; i++) {
		const struct keyed_operation *k = &keyed->operations[i];
		uint32_t number = c->node_of[k->operation.source];
		if (number == NO_NODE)
			continue;
		struct node *node = &c->nodes[number];
		const struct write *writer = NULL;
		if (k->operation.reads != REGISTER_ANY && k->operation.reads != REGISTER_ABSENT)
			writer = keyed_writer(keyed, k->key, k->operation.reads);
		c->touches[node->first + node->count++] = (struct touch){.key = k->key,
		    .reads = k->operation.reads,
		    .writes = k->operation.writes,
		    .source = writer && !writer->failed ? c->node_of[writer->operation] : NO_NODE};
	}
}

static bool node_writes(const struct causality *c, const struct node *node)
{
	for (uint32_t i = 0; i < node->count; i++)
		if (c->touches[node->first + i].writes != REGISTER_NOTHING)
			return true;
	return false;
}

/* Lanes of a session: each operation goes on the first lane whose last one has ended. */
static void lanes_build(struct causality *c)
{
	uint32_t sessions = c->history->sessions.count;
	uint32_t *counts = memory_resize(NULL, c->node_count, sizeof *counts);
	int64_t *ends = memory_resize(NULL, c->node_count, sizeof *ends);
	c->lane_columns = memory_resize(NULL, c->node_count, sizeof *c->lane_columns);
	c->lane_unknown = memory_zeroed(c->node_count, sizeof *c->lane_unknown);
	c->lane_first = memory_zeroed((size_t)sessions + 1, sizeof *c->lane_first);
	for (uint32_t s = 0; s < sessions; s++) {
		uint32_t first = c->lane_count;
		c->lane_first[s] = first;
		for (uint32_t i = c->session_first[s]; i < c->session_first[s + 1]; i++) {
			struct node *node = &c->nodes[i];
			bool is_unknown = node->end_ns == TIME_NEVER;
			uint32_t lane = is_unknown ? c->lane_count : first;
			while (lane < c->lane_count && ends[lane] > node->start_ns)
				lane++;
			if (lane == c->lane_count) {
				c->lane_columns[c->lane_count] = NO_LANE;
				counts[c->lane_count++] = 0;
			}
			ends[lane] = node->end_ns;
			c->lane_unknown[lane] = is_unknown;
			node->lane = lane;
			node->index = ++counts[lane];
			if (c->lane_columns[lane] == NO_LANE && node_writes(c, node))
				c->lane_columns[lane] = c->column_count++;
		}
	}
	c->lane_first[sessions] = c->lane_count;
	c->lane_start = memory_zeroed((size_t)c->lane_count + 1, sizeof *c->lane_start);
	c->lane_nodes = memory_resize(NULL, c->node_count, sizeof *c->lane_nodes);
	for (uint32_t lane = 0; lane < c->lane_count; lane++)
		c->lane_start[lane + 1] = c->lane_start[lane] + counts[lane];
	for (uint32_t i = 0; i < c->node_count; i++)
		c->lane_nodes[c->lane_start[c->nodes[i].lane] + c->nodes[i].index - 1] = i;
	for (uint32_t i = 0; i < c->node_count; i++)
		c->nodes[i].column = c->lane_columns[c->nodes[i].lane];
	free(counts);
	free(ends);
}

static int entry_compare(const void *left, const void *right)
{
	const struct key_entry *a = left, *b = right;
	if (a->lane != b->lane)
		return a->lane < b->lane ? -1 : 1;
	return a->index < b->index ? -1 : a->index > b->index;
}

static bool is_listed(const struct touch *touch, bool of_writes)
{
	return of_writes ? touch->writes != REGISTER_NOTHING : touch->reads != REGISTER_ANY && touch->source != NO_NODE;
}

static void lists_build(const struct causality *c, bool of_writes, struct key_lists *lists)
{
	uint32_t keys = c->history->keys.count, total = 0;
	lists->first = memory_zeroed((size_t)keys + 2, sizeof *lists->first);
	for (uint32_t i = 0; i < c->node_count; i++)
		for (uint32_t t = c->nodes[i].first; t < c->nodes[i].first + c->nodes[i].count; t++)
			lists->first[c->touches[t].key + 2] += is_listed(&c->touches[t], of_writes);
	for (uint32_t k = 0; k < keys + 2; k++)
		lists->first[k] = total += lists->first[k];
	lists->entries = memory_resize(NULL, total, sizeof *lists->entries);
	for (uint32_t i = 0; i < c->node_count; i++) {
		const struct node *node = &c->nodes[i];
		for (uint32_t t = node->first; t < node->first + node->count; t++)
			if (is_listed(&c->touches[t], of_writes))
				lists->entries[lists->first[c->touches[t].key + 1]++] =
				    (struct key_entry){node->lane, node->index, i, t};
	}
	for (uint32_t k = 0; k < keys; k++)
		qsort(lists->entries + lists->first[k], lists->first[k + 1] - lists->first[k], sizeof *lists->entries,
		    entry_compare);
}

static void removals_build(struct causality *c)
{
	uint32_t keys = c->history->keys.count, total = 0;
	c->removals.first = memory_resize(NULL, (size_t)keys + 1, sizeof *c->removals.first);
	c->removals.entries = memory_resize(NULL, c->keyed->count, sizeof *c->removals.entries);
	c->unknown_removal_ns = memory_resize(NULL, keys, sizeof *c->unknown_removal_ns);
	for (uint32_t k = 0, at = 0; k < keys; k++) {
		c->unknown_removal_ns[k] = INT64_MAX;
		c->removals.first[k] = total;
		/* The operations of a key come by start. */
		for (; at < c->keyed->count && c->keyed->operations[at].key == k; at++) {
			const struct register_operation *o = &c->keyed->operations[at].operation;
			uint32_t node = c->node_of[o->source];
			if (o->writes != REGISTER_ABSENT)
				continue;
			if (node != NO_NODE)
				c->removals.entries[total++] = (struct key_entry){.node = node};
			else if (o->start_ns < c->unknown_removal_ns[k])
				c->unknown_removal_ns[k] = o->start_ns;
		}
	}
	c->removals.first[keys] = total;
}

const struct key_entry *causality_removals(
    const struct causality *c, uint32_t key, uint32_t reader, const struct key_entry **first)
{
	size_t low = 0, high = c->removals.first[key + 1] - c->removals.first[key];
	*first = c->removals.entries + c->removals.first[key];
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (c->nodes[(*first)[middle].node].start_ns <= c->nodes[reader].end_ns)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? *first + low - 1 : NULL;
}

/* Of a lane of the node's own session, how many had ended when it started. In a lane, ends rise. */
uint32_t causality_session_known(const struct causality *c, uint32_t number, uint32_t lane)
{
	const struct node *node = &c->nodes[number];
	const uint32_t *nodes = c->lane_nodes + c->lane_start[lane];
	uint32_t low = 0, high = c->lane_start[lane + 1] - c->lane_start[lane];
	if (lane == node->lane)
		return node->index - 1;
	while (low < high) {
		uint32_t middle = (low + high) / 2;
		if (c->nodes[nodes[middle]].end_ns <= node->start_ns)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct edges {
	uint32_t *first, *to; /* per node and one more */
	uint32_t *waiting;    /* per node: how many come directly before it and are not ordered yet */
};

/* The last node of each lane of the session that had ended, and who wrote what it read. */
static uint32_t nodes_before(const struct causality *c, uint32_t number, uint32_t *before)
{
	const struct node *node = &c->nodes[number];
	uint32_t count = 0;
	for (uint32_t lane = c->lane_first[node->session]; lane < c->lane_first[node->session + 1]; lane++) {
		uint32_t known = c->lane_unknown[lane] ? 0 : causality_session_known(c, number, lane);
		if (known > 0)
			before[count++] = c->lane_nodes[c->lane_start[lane] + known - 1];
	}
	for (uint32_t t = node->first; t < node->first + node->count; t++)
		if (c->touches[t].source != NO_NODE && c->touches[t].source != number)
			before[count++] = c->touches[t].source;
	return count;
}

uint32_t causality_left_before(const struct causality *c, uint32_t number, const bool *done)
{
	const struct node *node = &c->nodes[number];
	uint32_t lanes = c->lane_first[node->session + 1] - c->lane_first[node->session], left = NO_NODE;
	uint32_t *before = memory_resize(NULL, (size_t)lanes + node->count, sizeof *before);
	uint32_t count = nodes_before(c, number, before);
	for (uint32_t i = 0; i < count; i++)
		if (!done[before[i]])
			left = before[i];
	free(before);
	assert(left != NO_NODE);
	return left;
}

static void vector_raise(struct causality *c, uint32_t *vector, uint32_t before)
{
	const uint32_t *other = c->vectors + (size_t)before * c->column_count;
	for (uint32_t i = 0; i < c->column_count; i++)
		if (other[i] > vector[i])
			vector[i] = other[i];
	uint32_t column = c->nodes[before].column;
	if (column != NO_LANE && c->nodes[before].index > vector[column])
		vector[column] = c->nodes[before].index;
}

/* Kahn's order; a node's vector is raised as soon as what is directly before it is done. */
static void order_build(struct causality *c)
{
	uint32_t lanes_max = 0, edge_count = 0;
	for (uint32_t s = 0; s < c->history->sessions.count; s++)
		if (c->lane_first[s + 1] - c->lane_first[s] > lanes_max)
			lanes_max = c->lane_first[s + 1] - c->lane_first[s];
	uint32_t *before = memory_resize(NULL, (size_t)lanes_max + c->keyed->count, sizeof *before);
	struct edges e = {.first = memory_zeroed((size_t)c->node_count + 2, sizeof *e.first),
	    .waiting = memory_zeroed(c->node_count, sizeof *e.waiting)};
	for (uint32_t i = 0; i < c->node_count; i++) {
		e.waiting[i] = nodes_before(c, i, before);
		for (uint32_t j = 0; j < e.waiting[i]; j++)
			e.first[before[j] + 2]++;
	}
	for (uint32_t i = 0; i < c->node_count + 2; i++)
		e.first[i] = edge_count += e.first[i];
	e.to = memory_resize(NULL, edge_count, sizeof *e.to);
	for (uint32_t i = 0; i < c->node_count; i++) {
		uint32_t count = nodes_before(c, i, before);
		for (uint32_t j = 0; j < count; j++)
			e.to[e.first[before[j] + 1]++] = i;
	}
	c->order = memory_resize(NULL, c->node_count, sizeof *c->order);
	for (uint32_t i = 0; i < c->node_count; i++)
		if (e.waiting[i] == 0)
			c->order[c->ordered_count++] = i;
	for (uint32_t done = 0; done < c->ordered_count; done++) {
		uint32_t from = c->order[done];
		for (uint32_t j = e.first[from]; j < e.first[from + 1]; j++) {
			vector_raise(c, c->vectors + (size_t)e.to[j] * c->column_count, from);
			if (--e.waiting[e.to[j]] == 0)
				c->order[c->ordered_count++] = e.to[j];
		}
	}
	free(before);
	free(e.first);
	free(e.to);
	free(e.waiting);
}

enum verdict causality_init(struct causality *c, const struct history *history, const struct keyed *keyed)
{
	*c = (struct causality){.history = history, .keyed = keyed};
	nodes_build(c);
	touches_build(c);
	lanes_build(c);
	if ((unsigned __int128)c->node_count * c->column_count * sizeof *c->vectors > CAUSALITY_BYTES_MAX)
		return VERDICT_TOO_HARD;
	c->vectors = memory_zeroed((size_t)c->node_count * c->column_count, sizeof *c->vectors);
	lists_build(c, true, &c->writes);
	lists_build(c, false, &c->reads);
	removals_build(c);
	order_build(c);
	return VERDICT_FINE;
}

uint32_t causality_known(const struct causality *c, uint32_t node, uint32_t lane)
{
	return c->vectors[(size_t)node * c->column_count + c->lane_columns[lane]];
}

bool causality_before(const struct causality *c, uint32_t a, uint32_t b)
{
	return c->vectors[(size_t)b * c->column_count + c->nodes[a].column] >= c->nodes[a].index;
}

bool causality_newer(const struct causality *c, uint32_t newer, uint32_t old)
{
	const struct operation *a = &c->history->operations[c->nodes[newer].operation];
	const struct operation *b = &c->history->operations[c->nodes[old].operation];
	if (newer == old)
		return false;
	if (!a->has_version || !b->has_version)
		return causality_before(c, old, newer);
	if (a->hlc != b->hlc)
		return a->hlc > b->hlc;
	return a->region_id != b->region_id ? a->region_id > b->region_id : a->sequence > b->sequence;
}

const struct key_entry *key_entry_lane_end(const struct key_entry *first, const struct key_entry *end)
{
	const struct key_entry *at = first;
	size_t left = (size_t)(end - first);
	while (left > 0) {
		size_t half = left / 2;
		if (at[half].lane == first->lane) {
			at += half + 1;
			left -= half + 1;
		} else
			left = half;
	}
	return at;
}

const struct key_entry *key_entry_last(const struct key_entry *first, const struct key_entry *end, uint32_t index)
{
	size_t low = 0, high = (size_t)(end - first);
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (first[middle].index <= index)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? &first[low - 1] : NULL;
}
