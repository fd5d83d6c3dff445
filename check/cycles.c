/* SPDX-License-Identifier: Apache-2.0
 *
 * Cycles of dependencies, each under the name of the strongest thing that it breaks (Adya): G0 of writes alone; G1c of writes
 * and reads of what was written; G-single with one read that was overtaken (lost updates, read skew); G2 with several (write
 * skew). With real time in it, the history is serializable but not strictly so. */
#include <stdio.h>

#include "check/checkers.h"
#include "check/memory.h"
#include "check/transactions.h"

#define RW_ANY ((uint32_t)(DEPENDENCY_RW | DEPENDENCY_RW_RT))

struct class
{
	const char *name;
	uint32_t sorts;
	bool has_reads; /* rw among them */
};
static const struct class classes[] = {
    {"G0", DEPENDENCY_WW, false},
    {"G1c", DEPENDENCY_WW | DEPENDENCY_WR, false},
    {"G2", DEPENDENCY_WW | DEPENDENCY_WR | DEPENDENCY_RW, true},
    {"G0-realtime", DEPENDENCY_WW | DEPENDENCY_RT, false},
    {"G1c-realtime", DEPENDENCY_WW | DEPENDENCY_WR | DEPENDENCY_RT, false},
    {"G2-realtime", DEPENDENCY_WW | DEPENDENCY_WR | RW_ANY | DEPENDENCY_RT, true},
};
#define CYCLES_MAX 64u

struct cycles {
	const struct transactions *t;
	struct check *check;
	uint32_t *component, *way;
	bool *is_reported; /* per transaction: part of a cycle that was reported */
};

static const char *reason(const struct transactions *t, const struct edge *edge, char out[static 160])
{
	char key[NAME_TEXT_MAX];
	if (edge->sort == DEPENDENCY_RT)
		snprintf(out, 160, "rt: ended before the next started");
	else
		snprintf(out, 160, "%s at %s: %s",
		    edge->sort == DEPENDENCY_WW   ? "ww"
		    : edge->sort == DEPENDENCY_WR ? "wr"
		                                  : "rw",
		    key_text(t->history, edge->label, key),
		    edge->sort == DEPENDENCY_WW   ? "wrote before the next did"
		    : edge->sort == DEPENDENCY_WR ? "wrote what the next read"
		                                  : "read what was there before the next wrote");
	return out;
}

static void cycle_report(struct cycles *c, const char *name, uint32_t length)
{
	char text[VIOLATION_TEXT_MAX], line[DESCRIPTION_MAX], why[160];
	const struct graph *g = &c->t->graph;
	uint32_t transactions = 0;
	size_t size = 0;
	for (uint32_t i = 0; i < length; i++)
		transactions += g->edges[c->way[i]].from < c->t->count;
	size += (size_t)snprintf(text, sizeof text, "%s: a cycle of %u transactions:", name, transactions);
	for (uint32_t i = 0; i < length && size < sizeof text - DESCRIPTION_MAX - 200; i++) {
		const struct edge *edge = &g->edges[c->way[i]];
		if (edge->from >= c->t->count)
			continue;
		c->is_reported[edge->from] = true;
		operation_describe(c->t->history, &c->t->history->operations[c->t->operations[edge->from]], line);
		size +=
		    (size_t)snprintf(text + size, sizeof text - size, "\n    %s\n        %s", line, reason(c->t, edge, why));
	}
	check_fails(c->check, VERDICT_VIOLATION, "%s", text);
}

/* A cycle with exactly one rw in this component: from the far end of one, back without another. */
static uint32_t single_find(struct cycles *c, uint32_t sorts, uint32_t component)
{
	const struct graph *g = &c->t->graph;
	for (uint32_t i = 0, tried = 0; i < g->edge_count && tried < 1000; i++) {
		const struct edge *edge = &g->edges[i];
		if (!(edge->sort & sorts & RW_ANY) || c->component[edge->from] != component ||
		    c->component[edge->to] != component)
			continue;
		tried++;
		uint32_t length = graph_way(g, sorts & ~RW_ANY, c->component, edge->to, edge->from, c->way);
		if (length) {
			c->way[length++] = i;
			return length;
		}
	}
	return 0;
}

static void component_judge(struct cycles *c, const struct class *class, uint32_t member)
{
	uint32_t sorts = class->sorts | DEPENDENCY_PASS;
	char name[32];
	uint32_t length = class->has_reads ? single_find(c, sorts, c->component[member]) : 0;
	bool single = length > 0;
	if (!length)
		length = graph_way(&c->t->graph, sorts, c->component, member, member, c->way);
	snprintf(name, sizeof name, "%s%s", single ? "G-single" : class->name,
	    single && (class->sorts & DEPENDENCY_RT) ? "-realtime" : "");
	cycle_report(c, name, length);
}

/* One cycle of each component in which none was reported. */
static void class_judge(struct cycles *c, const struct class *class)
{
	const struct transactions *t = c->t;
	if (!graph_components(&t->graph, class->sorts | DEPENDENCY_PASS, c->component))
		return;
	uint32_t *sizes = memory_zeroed(t->node_count, sizeof *sizes);
	bool *is_done = memory_zeroed(t->node_count, sizeof *is_done);
	for (uint32_t i = 0; i < t->count; i++) {
		sizes[c->component[i]]++;
		is_done[c->component[i]] |= c->is_reported[i];
	}
	for (uint32_t i = 0, found = 0; i < t->count && found < CYCLES_MAX; i++) {
		if (sizes[c->component[i]] < 2 || is_done[c->component[i]])
			continue;
		is_done[c->component[i]] = true;
		component_judge(c, class, i);
		found++;
	}
	free(sizes);
	free(is_done);
}

void check_transactions(const struct history *history, const struct keyed *keyed, bool is_strict, struct check *check)
{
	struct transactions t;
	transactions_init(&t, history, keyed, is_strict, check);
	struct cycles c = {.t = &t, .check = check};
	c.component = memory_resize(NULL, t.node_count, sizeof *c.component);
	c.way = memory_resize(NULL, (size_t)t.node_count + 1, sizeof *c.way);
	c.is_reported = memory_zeroed(t.count, sizeof *c.is_reported);
	/* Mostly there is none at all, and one look says so. */
	if (graph_components(&t.graph, UINT32_MAX, c.component))
		for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
			class_judge(&c, &classes[i]);
	check_counts(check, "%u transactions, %u dependencies%s", t.count, t.graph.edge_count, is_strict ? ", strict" : "");
	free(c.component);
	free(c.way);
	free(c.is_reported);
	transactions_deinit(&t);
}
