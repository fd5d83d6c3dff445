/* SPDX-License-Identifier: Apache-2.0 */
#include "check/graph.h"

#include "check/memory.h"

void graph_deinit(struct graph *g)
{
	free(g->edges);
	free(g->first);
	*g = (struct graph){0};
}

void graph_add(struct graph *g, uint32_t from, uint32_t to, uint32_t sort, uint32_t label)
{
	g->edges = memory_room(g->edges, g->edge_count, &g->edge_capacity, sizeof *g->edges);
	g->edges[g->edge_count++] = (struct edge){from, to, sort, label};
}

/* By counting, so that edges of a node keep the order in which they were added. */
void graph_seal(struct graph *g, uint32_t node_count)
{
	struct edge *sorted = memory_resize(NULL, g->edge_count, sizeof *sorted);
	uint32_t total = 0;
	g->node_count = node_count;
	g->first = memory_zeroed((size_t)node_count + 2, sizeof *g->first);
	for (uint32_t i = 0; i < g->edge_count; i++)
		g->first[g->edges[i].from + 2]++;
	for (uint32_t i = 0; i < node_count + 2; i++)
		g->first[i] = total += g->first[i];
	for (uint32_t i = 0; i < g->edge_count; i++)
		sorted[g->first[g->edges[i].from + 1]++] = g->edges[i];
	free(g->edges);
	g->edges = sorted;
	g->edge_capacity = g->edge_count;
}

struct tarjan {
	const struct graph *g;
	uint32_t sorts;
	uint32_t *number, *low, *next_edge; /* number from 1; 0: not visited */
	uint32_t *path, *open;              /* stacks */
	uint32_t path_count, open_count, visited, component_count;
	uint32_t *component;
	bool any_large;
};

static void visit(struct tarjan *t, uint32_t node)
{
	t->number[node] = t->low[node] = ++t->visited;
	t->next_edge[node] = t->g->first[node];
	t->path[t->path_count++] = node;
	t->open[t->open_count++] = node;
}

static void close_component(struct tarjan *t, uint32_t root)
{
	uint32_t member, size = 0;
	do {
		member = t->open[--t->open_count];
		t->component[member] = t->component_count;
		size++;
	} while (member != root);
	t->component_count++;
	t->any_large |= size > 1;
}

static void explore(struct tarjan *t, uint32_t root)
{
	visit(t, root);
	while (t->path_count > 0) {
		uint32_t node = t->path[t->path_count - 1];
		if (t->next_edge[node] < t->g->first[node + 1]) {
			const struct edge *edge = &t->g->edges[t->next_edge[node]++];
			if (!(edge->sort & t->sorts))
				continue;
			if (t->number[edge->to] == 0)
				visit(t, edge->to);
			else if (t->component[edge->to] == UINT32_MAX && t->number[edge->to] < t->low[node])
				t->low[node] = t->number[edge->to];
			continue;
		}
		t->path_count--;
		if (t->low[node] == t->number[node])
			close_component(t, node);
		else if (t->low[node] < t->low[t->path[t->path_count - 1]])
			t->low[t->path[t->path_count - 1]] = t->low[node];
	}
}

bool graph_components(const struct graph *g, uint32_t sorts, uint32_t *component)
{
	size_t n = g->node_count;
	uint32_t *all = memory_zeroed(5 * n, sizeof *all);
	struct tarjan t = {.g = g,
	    .sorts = sorts,
	    .number = all,
	    .low = all + n,
	    .next_edge = all + 2 * n,
	    .path = all + 3 * n,
	    .open = all + 4 * n,
	    .component = component};
	for (uint32_t i = 0; i < g->node_count; i++)
		component[i] = UINT32_MAX;
	for (uint32_t i = 0; i < g->node_count; i++)
		if (t.number[i] == 0)
			explore(&t, i);
	free(all);
	return t.any_large;
}

uint32_t graph_way(const struct graph *g, uint32_t sorts, const uint32_t *component, uint32_t from, uint32_t to, uint32_t *way)
{
	uint32_t *queue = memory_resize(NULL, g->node_count, sizeof *queue),
	         *by = memory_resize(NULL, g->node_count, sizeof *by);
	uint32_t head = 0, tail = 0, length = 0;
	memset(by, 0xff, g->node_count * sizeof *by); /* NO_EDGE */
	queue[tail++] = from;
	while (head < tail && by[to] == NO_EDGE) {
		uint32_t node = queue[head++];
		for (uint32_t i = g->first[node]; i < g->first[node + 1]; i++) {
			const struct edge *edge = &g->edges[i];
			if (!(edge->sort & sorts) || component[edge->to] != component[from] || by[edge->to] != NO_EDGE)
				continue;
			by[edge->to] = i;
			if (edge->to != from)
				queue[tail++] = edge->to;
		}
	}
	for (uint32_t at = to; by[to] != NO_EDGE && (length == 0 || at != from); at = g->edges[by[at]].from)
		way[length++] = by[at];
	for (uint32_t i = 0; i < length / 2; i++) {
		uint32_t other = way[i];
		way[i] = way[length - 1 - i];
		way[length - 1 - i] = other;
	}
	free(queue);
	free(by);
	return length;
}
