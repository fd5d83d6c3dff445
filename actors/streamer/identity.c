/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/streamer/streamer_internal.h"
#include "base/broken.h"

/* Also of regions that only others can tell about: a relayed record belongs to a store as well. */
static void identity_learn(
    struct streamer *s, uint8_t p, const struct store_id stores[REGIONS_MAX], struct streamer_effects *effects)
{
	for (uint8_t r = 0; r < REGIONS_MAX; r++) {
		s->told[p][r] = stores[r];
		if (!(s->peers & bit(r)) || !store_id_is_known(&stores[r]) || store_id_is_known(&s->stores[r]) ||
		    store_id_is_known(&s->met[r]))
			continue;
		s->met[r] = stores[r];
		effect_add(effects, STREAMER_PUBLISH_SEEN, r)->store = stores[r];
	}
}

int identity_check(struct streamer *s, uint8_t p, const struct store_id stores[REGIONS_MAX], struct streamer_effects *effects)
{
	bool is_known = store_id_is_known(&s->stores[p]);
	if (is_known && !store_id_is_equal(&s->stores[p], &stores[p]) && !BROKEN(M14))
		return ERR_REGION_REUSED;
	identity_learn(s, p, stores, effects);
	return is_known ? 0 : ERR_UNREACHABLE;
}

bool identity_is_reused(const struct streamer *s, const struct store_id stores[REGIONS_MAX])
{
	return store_id_is_known(&stores[s->region]) && !store_id_is_equal(&stores[s->region], &s->stores[s->region]) &&
	       !BROKEN(M14);
}

void identity_publish_reused(struct streamer *s, uint8_t p, bool reused, struct streamer_effects *effects)
{
	if (s->inbound[p].reused == reused)
		return;
	s->inbound[p].reused = reused;
	effect_add(effects, STREAMER_PUBLISH_REUSED, p)->reused = reused;
}

/* One store, and yet less in it than before: a backup was copied back, there or here. Only what a region has applied leaves it,
 * and it subscribes from what it has applied: once it has had our answer, whatever it asks for cannot be older than that. */
static int contents_check(struct streamer *s, const struct streamer_event *event, bool *of_itself)
{
	uint8_t p = event->peer;
	struct streamer_suspicion *suspicion = &s->suspicions[p];
	uint64_t its_own = event->subscribe.from.sequence[p], our_own = event->subscribe.from.sequence[s->region];
	bool again = suspicion->epoch && event->subscribe.refused == suspicion->epoch;
	if (BROKEN(M14) || (its_own >= s->applied.sequence[p] && our_own <= s->applied.sequence[s->region])) {
		*suspicion = (struct streamer_suspicion){0};
		return 0;
	}
	if (!suspicion->epoch)
		*suspicion = (struct streamer_suspicion){.its_own = s->applied.sequence[p], .our_own = our_own};
	suspicion->epoch = event->subscribe.epoch;
	if (again && its_own < suspicion->its_own)
		return ERR_REGION_REUSED;
	if (!again || s->applied.sequence[s->region] >= suspicion->our_own)
		return ERR_UNREACHABLE;
	*of_itself = true;
	return ERR_REGION_REUSED;
}

int identity_check_subscribe(
    struct streamer *s, const struct streamer_event *event, bool *of_itself, struct streamer_effects *effects)
{
	const struct store_id *stores = event->subscribe.stores;
	int code = identity_check(s, event->peer, stores, effects);
	if (code)
		return code;
	*of_itself = identity_is_reused(s, stores);
	if (*of_itself)
		code = ERR_REGION_REUSED;
	for (uint8_t r = 0; r < REGIONS_MAX && !code; r++)
		if (r != s->region && (event->subscribe.origins & bit(r)) && !store_id_is_equal(&s->stores[r], &stores[r]))
			code = ERR_NEEDS_RESYNC; /* what we hold of that region is of no use to it */
	if (!code)
		code = contents_check(s, event, of_itself);
	if (*of_itself)
		identity_publish_reused(s, event->peer, true, effects);
	return code;
}
