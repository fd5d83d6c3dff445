/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/streamer/streamer_internal.h"

void relay_clear(struct streamer *s, uint8_t through)
{
	for (uint32_t origin = 0; origin < REGIONS_MAX; origin++)
		if (s->relay[origin] == through)
			s->relay[origin] = REGIONS_MAX;
}

static bool serving(const struct streamer *s, uint8_t p, uint64_t now_ns)
{
	const struct streamer_inbound *in = &s->inbound[p];
	return in->state != LINK_REFUSED && in->state != LINK_NEEDS_RESYNC && since(now_ns, in->served_ns) <= STREAMER_RELAY_NS;
}

static bool has_more(const struct streamer *s, uint8_t p, uint8_t origin)
{
	return s->known[p].sequence[origin] > s->applied.sequence[origin];
}

static uint8_t relay_choose(const struct streamer *s, uint8_t origin, uint64_t now_ns)
{
	uint8_t best = REGIONS_MAX;
	if (!store_id_is_known(&s->stores[origin]))
		return best;
	for (uint8_t p = 0; p < REGIONS_MAX; p++) {
		if (!(s->peers & bit(p)) || p == origin || !serving(s, p, now_ns) ||
		    now_ns < s->inbound[p].relay_forbidden_ns || !store_id_is_equal(&s->told[p][origin], &s->stores[origin]) ||
		    !has_more(s, p, origin))
			continue;
		if (best == REGIONS_MAX || s->known[p].sequence[origin] > s->known[best].sequence[origin])
			best = p;
	}
	return best;
}

void relay_tick(struct streamer *s, uint64_t now_ns)
{
	for (uint8_t origin = 0; origin < REGIONS_MAX; origin++) {
		if (!(s->peers & bit(origin)))
			continue;
		uint8_t through = s->relay[origin];
		if (serving(s, origin, now_ns)) {
			s->relay[origin] = REGIONS_MAX;
		} else if (through == REGIONS_MAX || !serving(s, through, now_ns)) {
			s->relay[origin] = relay_choose(s, origin, now_ns);
		} else if (!has_more(s, through, origin)) {
			/* It has given all that it has; perhaps another has more. */
			uint8_t better = relay_choose(s, origin, now_ns);
			s->relay[origin] = better != REGIONS_MAX ? better : through;
		}
	}
}
