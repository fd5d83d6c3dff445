/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "base/broken.h"
#include "core/row.h"

/* (HLC, region, sequence): total, because no two writes share a dot. Without the dot, equal stamps would leave the choice to
 * the order of arrival, and two regions would differ for ever. */
static bool sibling_later(const struct sibling *a, const struct sibling *b)
{
	if (a->hlc != b->hlc)
		return a->hlc > b->hlc;
	if (BROKEN(M6))
		return false;
	if (a->dot.region != b->dot.region)
		return a->dot.region > b->dot.region;
	return a->dot.sequence > b->dot.sequence;
}

static bool sibling_wins(
    const struct sibling *a, const struct sibling *b, enum strategy strategy, const uint32_t priority[static REGIONS_MAX])
{
	switch (strategy) {
	case STRATEGY_LWW:
		return sibling_later(a, b);
	case STRATEGY_FWW:
		return sibling_later(b, a);
	case STRATEGY_PRIORITY:
		if (priority[a->dot.region] != priority[b->dot.region])
			return priority[a->dot.region] > priority[b->dot.region];
		return sibling_later(a, b);
	}
	assert(strategy <= STRATEGY_PRIORITY);
	return false;
}

uint32_t row_winner(const struct row *row, enum strategy strategy, const uint32_t priority[static REGIONS_MAX])
{
	assert(row->sibling_count);
	uint32_t winner = 0;
	for (uint32_t i = 1; i < row->sibling_count; i++) {
		if (sibling_wins(&row->siblings[i], &row->siblings[winner], strategy, priority))
			winner = i;
	}
	return winner;
}
