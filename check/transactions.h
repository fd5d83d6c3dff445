/* SPDX-License-Identifier: Apache-2.0
 *
 * The dependency graph of a history's transactions (Adya, "Weak Consistency", 1999; Kingsbury and Alvaro, "Elle", 2020). A
 * single operation is a transaction of one step. Nodes are the transactions that took place: the ok ones, and the unknown
 * whose writes were seen. Edges:
 *
 *   ww  wrote a version right before the other's      wr  wrote the version that the other read
 *   rw  read a version before the other's             rt  ended before the other started
 *
 * Lists: the longest read gives the order of appends, all other reads are prefixes of it, and what nobody saw comes behind.
 * Registers: values are unique; a transaction that reads a value and writes the key comes right behind; a write that started
 * after the writer of a value had ended comes behind it, so who read that value comes before.
 *
 * Edges to all of many go through helper nodes: their incoming edges are of one of the four sorts, the rest are PASS. */
#ifndef GODWIT_CHECK_TRANSACTIONS_H
#define GODWIT_CHECK_TRANSACTIONS_H
#include "check/graph.h"
#include "check/keyed.h"

enum dependency {
	DEPENDENCY_WW = 1,
	DEPENDENCY_WR = 2,
	DEPENDENCY_RW = 4,
	DEPENDENCY_RT = 8,
	DEPENDENCY_RW_RT = 16, /* an rw that only real time tells */
	DEPENDENCY_PASS = 32
};

struct transactions {
	const struct history *history;
	const struct keyed *keyed;
	struct check *check;        /* for what is wrong within one transaction or one list */
	bool is_strict;             /* real time counts */
	uint32_t *operations;       /* of the history, per transaction */
	uint32_t *node_of;          /* per operation of the history; NO_TRANSACTION */
	uint32_t count, node_count; /* helpers behind the transactions */
	struct graph graph;
};
#define NO_TRANSACTION UINT32_MAX

void transactions_init(
    struct transactions *t, const struct history *history, const struct keyed *keyed, bool is_strict, struct check *check);
void transactions_deinit(struct transactions *t);
/* The edges of lists (transaction_lists.c) and of registers (transaction_registers.c); called by init. */
void transactions_add_lists(struct transactions *t);
void transactions_add_registers(struct transactions *t);
static inline int64_t transaction_end_ns(const struct transactions *t, uint32_t node)
{
	return t->history->operations[t->operations[node]].end_ns;
}
static inline int64_t transaction_start_ns(const struct transactions *t, uint32_t node)
{
	return t->history->operations[t->operations[node]].start_ns;
}

#endif
