/* SPDX-License-Identifier: Apache-2.0
 *
 * A directed graph with several sorts of edges, and its cycles. */
#ifndef GODWIT_CHECK_GRAPH_H
#define GODWIT_CHECK_GRAPH_H
#include <stdbool.h>
#include <stdint.h>

#define NO_EDGE UINT32_MAX

struct edge {
	uint32_t from, to;
	uint32_t sort;  /* one bit */
	uint32_t label; /* the caller's */
};
struct graph {
	struct edge *edges; /* by from, after graph_seal */
	uint32_t edge_count, edge_capacity;
	uint32_t *first; /* per node and one more */
	uint32_t node_count;
};

/* A struct of zeros is an empty graph. */
void graph_deinit(struct graph *graph);
void graph_add(struct graph *graph, uint32_t from, uint32_t to, uint32_t sort, uint32_t label);
/* After the last edge, before everything below. */
void graph_seal(struct graph *graph, uint32_t node_count);
/* Strongly connected components by edges of these sorts (Tarjan, without recursion): the number of each node's goes to
 * component[]. True when there is one of several nodes. */
bool graph_components(const struct graph *graph, uint32_t sorts, uint32_t *component);
/* A shortest way by edges of these sorts inside one component: its edges to way[] (room for node_count), their number
 * back; 0 when there is none. from may be to: then around. */
uint32_t graph_way(
    const struct graph *graph, uint32_t sorts, const uint32_t *component, uint32_t from, uint32_t to, uint32_t *way);

#endif
