/* SPDX-License-Identifier: Apache-2.0
 *
 * Causal consistency by the bad patterns of Bouajjani et al.: a cycle in co (CyclicCO); a value from nowhere (ThinAirRead,
 * found by the values checker); a read of a value although a write that came after it, in co, comes before the read
 * (WriteCORead); a read that saw nothing although a write comes before it (WriteCOInitRead). Deletes write as well, and what
 * saw the key absent may have seen any of them: it is a violation only if that holds for every delete that could be the one. */
#include <stdio.h>

#include "check/checkers.h"
#include "check/memory.h"

static const char *node_text(const struct causality *c, uint32_t node, char out[static DESCRIPTION_MAX])
{
	return operation_describe(c->history, &c->history->operations[c->nodes[node].operation], out);
}

static void pattern_report(const struct causality *c, const char *pattern, uint32_t reader, uint32_t key, uint32_t old,
    uint32_t newer, struct check *check)
{
	char text[3][DESCRIPTION_MAX], name[NAME_TEXT_MAX];
	check_fails(check, VERDICT_VIOLATION,
	    "%s at %s: what was seen\n    %s\n    had been replaced by\n    %s\n    which comes, in causal "
	    "order, before\n    %s",
	    pattern, key_text(c->history, key, name), old == NO_NODE ? "nothing" : node_text(c, old, text[0]),
	    node_text(c, newer, text[1]), node_text(c, reader, text[2]));
}

/* A write that is newer than `old` (NO_NODE: any) and before the reader; NO_NODE if there is none. Of each lane it is enough to
 * look at the last one before the reader. */
static uint32_t newer_write(const struct causality *c, uint32_t key, uint32_t old, uint32_t reader)
{
	const struct key_entry *end = c->writes.entries + c->writes.first[key + 1], *lane_end;
	for (const struct key_entry *lane = c->writes.entries + c->writes.first[key]; lane < end; lane = lane_end) {
		lane_end = key_entry_lane_end(lane, end);
		const struct key_entry *last = key_entry_last(lane, lane_end, causality_known(c, reader, lane->lane));
		if (last && (old == NO_NODE || causality_newer(c, last->node, old)))
			return last->node;
	}
	return NO_NODE;
}

static void absence_judge(const struct causality *c, uint32_t key, uint32_t reader, struct check *check)
{
	const struct key_entry *first, *removal = causality_removals(c, key, reader, &first);
	uint32_t newer = newer_write(c, key, NO_NODE, reader);
	if (newer == NO_NODE || c->unknown_removal_ns[key] <= c->nodes[reader].end_ns)
		return;
	/* The latest first: it mostly is the one. */
	for (; removal && removal >= first; removal--) {
		uint32_t node = removal->node;
		if (node != reader && newer_write(c, key, node, reader) == NO_NODE)
			return;
	}
	pattern_report(c, "WriteCOInitRead", reader, key, NO_NODE, newer, check);
}

static void node_judge(const struct causality *c, uint32_t number, struct check *check)
{
	const struct node *node = &c->nodes[number];
	for (uint32_t t = node->first; t < node->first + node->count; t++) {
		const struct touch *touch = &c->touches[t];
		if (touch->reads == REGISTER_ABSENT)
			absence_judge(c, touch->key, number, check);
		else if (touch->reads != REGISTER_ANY && touch->source != NO_NODE) {
			uint32_t newer = newer_write(c, touch->key, touch->source, number);
			if (newer != NO_NODE)
				pattern_report(c, "WriteCORead", number, touch->key, touch->source, newer, check);
		}
	}
}

/* What is left over by the order is in a cycle or behind one: whoever goes from one to one before it that is left, too, comes
 * around. */
static void cycle_report(const struct causality *c, struct check *check)
{
	char text[VIOLATION_TEXT_MAX], line[DESCRIPTION_MAX];
	bool *done = memory_zeroed(c->node_count, sizeof *done), *passed = memory_zeroed(c->node_count, sizeof *passed);
	uint32_t at = 0, shown = 0;
	for (uint32_t i = 0; i < c->ordered_count; i++)
		done[c->order[i]] = true;
	while (done[at])
		at++;
	while (!passed[at]) {
		passed[at] = true;
		at = causality_left_before(c, at, done);
	}
	size_t size = (size_t)snprintf(text, sizeof text, "CyclicCO: each of these comes after the next one, in causal order:");
	memset(passed, 0, c->node_count * sizeof *passed);
	for (; !passed[at]; at = causality_left_before(c, at, done), shown++) {
		passed[at] = true;
		if (shown < 12)
			size += (size_t)snprintf(text + size, sizeof text - size, "\n    %s", node_text(c, at, line));
	}
	if (shown > 12)
		snprintf(text + size, sizeof text - size, "\n    and %u more", shown - 12);
	check_fails(check, VERDICT_VIOLATION, "%s", text);
	free(done);
	free(passed);
}

void check_causal(const struct causality *c, struct check *check)
{
	uint32_t reads = 0;
	check_counts(check, "%u operations, %u lanes of sessions", c->node_count, c->lane_count);
	if (c->ordered_count < c->node_count)
		cycle_report(c, check);
	for (uint32_t i = 0; i < c->ordered_count; i++)
		node_judge(c, c->order[i], check);
	for (uint32_t i = 0; i < c->node_count; i++)
		for (uint32_t t = 0; t < c->nodes[i].count; t++)
			reads += c->touches[c->nodes[i].first + t].reads != REGISTER_ANY;
	check_counts(check, "%u operations, %u reads of a key, %u lanes of sessions", c->node_count, reads, c->lane_count);
}
