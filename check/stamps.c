/* SPDX-License-Identifier: Apache-2.0
 *
 * A write's HLC is above that of every write before it in causal order, or the older of two could win. */
#include "check/checkers.h"
#include "check/memory.h"

static const struct operation *operation_of(const struct causality *c, uint32_t node)
{
	return &c->history->operations[c->nodes[node].operation];
}

static bool has_stamp(const struct causality *c, uint32_t node)
{
	return c->nodes[node].column != NO_LANE && operation_of(c, node)->has_version;
}

/* For each place in lane_nodes: the node with the highest stamp of its lane up to there. */
static uint32_t *highest_build(const struct causality *c)
{
	uint32_t *highest = memory_resize(NULL, c->node_count, sizeof *highest);
	for (uint32_t at = 0; at < c->node_count; at++) {
		uint32_t node = c->lane_nodes[at], before = c->nodes[node].index > 1 ? highest[at - 1] : NO_NODE;
		bool is_higher =
		    has_stamp(c, node) && (before == NO_NODE || operation_of(c, node)->hlc > operation_of(c, before)->hlc);
		highest[at] = is_higher ? node : before;
	}
	return highest;
}

void check_stamps(const struct causality *c, struct check *check)
{
	uint32_t *highest = highest_build(c), stamps = 0;
	char text[2][DESCRIPTION_MAX];
	for (uint32_t i = 0; i < c->node_count; i++) {
		const struct operation *o = operation_of(c, i);
		if (!has_stamp(c, i))
			continue;
		stamps++;
		for (uint32_t l = 0; l < c->lane_count; l++) {
			uint32_t known = c->lane_columns[l] == NO_LANE ? 0 : causality_known(c, i, l);
			uint32_t before = known ? highest[c->lane_start[l] + known - 1] : NO_NODE;
			if (before == NO_NODE || before == i || operation_of(c, before)->hlc < o->hlc)
				continue;
			check_fails(check, VERDICT_VIOLATION,
			    "the stamp %llu is not above %llu, of a write before it:\n    %s\n    %s",
			    (unsigned long long)o->hlc, (unsigned long long)operation_of(c, before)->hlc,
			    operation_describe(c->history, operation_of(c, before), text[0]),
			    operation_describe(c->history, o, text[1]));
			break;
		}
	}
	check_counts(check, "%u writes with a version", stamps);
	free(highest);
}
