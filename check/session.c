/* SPDX-License-Identifier: Apache-2.0
 *
 * The four session guarantees (Terry et al., "Session Guarantees for Weakly Consistent Replicated Data", 1994), each where it
 * shows: in a read. Somebody reads a value of a key although
 *   read your writes      its session had written
 *   monotonic reads       its session had read
 *   monotonic writes      its session had read something whose session had, before, written
 *   writes follow reads   its session had read something whose session had, before that write, read
 * a newer value of the same key. Newer means: after it in causal order, or, where both tell their version, of a higher one (the
 * last writer wins, and a write that replaces another has a higher HLC). */
#include <stdio.h>

#include "check/checkers.h"
#include "check/memory.h"

enum guarantee { READ_YOUR_WRITES, MONOTONIC_READS, MONOTONIC_WRITES, WRITES_FOLLOW_READS, GUARANTEES };
static const char *const guarantee_names[] = {"read your writes", "monotonic reads", "monotonic writes", "writes follow reads"};

/* A value that the session at hand has read: its key, the node that wrote it, the node that read it. */
struct observed {
	uint32_t key, writer, reader;
	uint32_t next; /* of the same key; NO_NODE at the end */
};
struct ending {
	int64_t at_ns;
	uint32_t node;
};
struct guard {
	const struct causality *c;
	struct check *check;
	uint64_t found[GUARANTEES];
	uint32_t *seen_through;   /* per lane: how much of it came before a write that the session at hand has read */
	uint32_t *observed_first; /* per key, in observed; NO_NODE */
	struct observed *observed;
	uint32_t observed_count, observed_capacity;
	struct ending *by_end; /* nodes of the session at hand */
};

static const struct operation *operation_of(const struct causality *c, uint32_t node)
{
	return &c->history->operations[c->nodes[node].operation];
}

/* Whether what the reader saw is older than the write. If it saw nothing: whether that is so of every delete that it may be. */
static bool is_stale(const struct causality *c, uint32_t reader, const struct touch *touch, uint32_t write)
{
	const struct key_entry *first, *removal;
	if (write == reader)
		return false;
	if (touch->reads != REGISTER_ABSENT)
		return causality_newer(c, write, touch->source);
	if (c->unknown_removal_ns[touch->key] <= c->nodes[reader].end_ns)
		return false;
	for (removal = causality_removals(c, touch->key, reader, &first); removal && removal >= first; removal--)
		if (removal->node != reader && !causality_newer(c, write, removal->node))
			return false;
	return true;
}

static bool stale_report(struct guard *g, enum guarantee guarantee, uint32_t reader, const struct touch *touch, uint32_t write)
{
	char text[3][DESCRIPTION_MAX], key[NAME_TEXT_MAX];
	if (write == NO_NODE || !is_stale(g->c, reader, touch, write))
		return false;
	g->found[guarantee]++;
	check_fails(g->check, VERDICT_VIOLATION, "%s at %s:\n    %s\n    saw %s%s\n    which is older than\n    %s",
	    guarantee_names[guarantee], key_text(g->c->history, touch->key, key),
	    operation_describe(g->c->history, operation_of(g->c, reader), text[0]), touch->source == NO_NODE ? "nothing" : "",
	    touch->source == NO_NODE ? "" : operation_describe(g->c->history, operation_of(g->c, touch->source), text[1]),
	    operation_describe(g->c->history, operation_of(g->c, write), text[2]));
	return true;
}

/* What the other sessions whose writes were read had written to, or read from, the key before. */
static bool others_judge(struct guard *g, uint32_t reader, const struct touch *touch, bool of_writes)
{
	const struct key_lists *lists = of_writes ? &g->c->writes : &g->c->reads;
	const struct key_entry *end = lists->entries + lists->first[touch->key + 1], *lane_end;
	for (const struct key_entry *lane = lists->entries + lists->first[touch->key]; lane < end; lane = lane_end) {
		lane_end = key_entry_lane_end(lane, end);
		const struct key_entry *last = key_entry_last(lane, lane_end, g->seen_through[lane->lane]);
		if (!last)
			continue;
		uint32_t write = of_writes ? last->node : g->c->touches[last->touch].source;
		if (stale_report(g, of_writes ? MONOTONIC_WRITES : WRITES_FOLLOW_READS, reader, touch, write))
			return true;
	}
	return false;
}

static bool own_judge(struct guard *g, uint32_t reader, const struct touch *touch)
{
	const struct causality *c = g->c;
	const struct key_entry *end = c->writes.entries + c->writes.first[touch->key + 1];
	uint32_t session = c->nodes[reader].session;
	/* Entries of a session's lanes stand together, too. */
	size_t low = 0, high = (size_t)(end - (c->writes.entries + c->writes.first[touch->key]));
	const struct key_entry *lane = c->writes.entries + c->writes.first[touch->key], *lane_end;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (lane[middle].lane < c->lane_first[session])
			low = middle + 1;
		else
			high = middle;
	}
	for (lane += low; lane < end && lane->lane < c->lane_first[session + 1]; lane = lane_end) {
		lane_end = key_entry_lane_end(lane, end);
		const struct key_entry *last = key_entry_last(lane, lane_end, causality_session_known(c, reader, lane->lane));
		if (last && stale_report(g, READ_YOUR_WRITES, reader, touch, last->node))
			return true;
	}
	for (uint32_t i = g->observed_first[touch->key]; i != NO_NODE; i = g->observed[i].next)
		if (stale_report(g, MONOTONIC_READS, reader, touch, g->observed[i].writer))
			return true;
	return false;
}

/* The session now knows what a node of it has read. */
static void node_learn(struct guard *g, uint32_t number)
{
	const struct causality *c = g->c;
	const struct node *node = &c->nodes[number];
	for (uint32_t t = node->first; t < node->first + node->count; t++) {
		const struct touch *touch = &c->touches[t];
		uint32_t source = touch->source, *link = &g->observed_first[touch->key];
		if (source == NO_NODE || source == number)
			continue;
		uint32_t other = c->nodes[source].session;
		for (uint32_t lane = c->lane_first[other]; lane < c->lane_first[other + 1]; lane++) {
			uint32_t known = causality_session_known(c, source, lane);
			if (known > g->seen_through[lane])
				g->seen_through[lane] = known;
		}
		/* What is older than the new one needs no place any more. */
		while (*link != NO_NODE && source != NO_NODE) {
			if (g->observed[*link].writer == source)
				source = NO_NODE;
			else if (causality_newer(c, touch->source, g->observed[*link].writer))
				*link = g->observed[*link].next;
			else
				link = &g->observed[*link].next;
		}
		if (source == NO_NODE)
			continue;
		g->observed = memory_room(g->observed, g->observed_count, &g->observed_capacity, sizeof *g->observed);
		g->observed[g->observed_count] = (struct observed){touch->key, source, number, g->observed_first[touch->key]};
		g->observed_first[touch->key] = g->observed_count++;
	}
}

static int ending_compare(const void *left, const void *right)
{
	const struct ending *a = left, *b = right;
	if (a->at_ns != b->at_ns)
		return a->at_ns < b->at_ns ? -1 : 1;
	return a->node < b->node ? -1 : a->node > b->node;
}

static void session_judge(struct guard *g, uint32_t session)
{
	const struct causality *c = g->c;
	uint32_t first = c->session_first[session], count = c->session_first[session + 1] - first, learned = 0;
	for (uint32_t i = 0; i < count; i++)
		g->by_end[i] = (struct ending){c->nodes[first + i].end_ns, first + i};
	qsort(g->by_end, count, sizeof *g->by_end, ending_compare);
	memset(g->seen_through, 0, c->lane_count * sizeof *g->seen_through);
	for (uint32_t i = first; i < first + count; i++) {
		const struct node *node = &c->nodes[i];
		while (learned < count && g->by_end[learned].node != i && g->by_end[learned].at_ns <= node->start_ns)
			node_learn(g, g->by_end[learned++].node);
		for (uint32_t t = node->first; t < node->first + node->count; t++) {
			const struct touch *touch = &c->touches[t];
			if (touch->reads == REGISTER_ANY || (touch->reads != REGISTER_ABSENT && touch->source == NO_NODE))
				continue;
			if (!own_judge(g, i, touch) && !others_judge(g, i, touch, true))
				others_judge(g, i, touch, false);
		}
	}
	for (uint32_t i = 0; i < g->observed_count; i++)
		g->observed_first[g->observed[i].key] = NO_NODE;
	g->observed_count = 0;
}

void check_session(const struct causality *c, struct check *check)
{
	uint32_t keys = c->history->keys.count, sessions = c->history->sessions.count;
	struct guard g = {.c = c, .check = check};
	g.seen_through = memory_resize(NULL, c->lane_count, sizeof *g.seen_through);
	g.observed_first = memory_resize(NULL, keys, sizeof *g.observed_first);
	g.by_end = memory_resize(NULL, c->node_count, sizeof *g.by_end);
	for (uint32_t k = 0; k < keys; k++)
		g.observed_first[k] = NO_NODE;
	for (uint32_t s = 0; s < sessions; s++)
		session_judge(&g, s);
	check_counts(check,
	    "%u sessions, %u operations; broken: %llu read your writes, %llu monotonic reads, %llu monotonic writes, %llu "
	    "writes follow reads",
	    sessions, c->node_count, (unsigned long long)g.found[0], (unsigned long long)g.found[1],
	    (unsigned long long)g.found[2], (unsigned long long)g.found[3]);
	free(g.seen_through);
	free(g.observed_first);
	free(g.observed);
	free(g.by_end);
}
