/* SPDX-License-Identifier: Apache-2.0
 *
 * What the parts of the streamer's state machine share: streamer.c (streams), identity.c (whose records), relay.c (through
 * whom). */
#ifndef GODWIT_ACTORS_STREAMER_STREAMER_INTERNAL_H
#define GODWIT_ACTORS_STREAMER_STREAMER_INTERNAL_H
#include <assert.h>

#include "actors/streamer/streamer.h"

static inline uint32_t bit(uint32_t region)
{
	return 1u << region;
}
/* Time since, for stamps that may be of this very moment or (after a late tick) a little ahead. */
static inline uint64_t since(uint64_t now_ns, uint64_t then_ns)
{
	return now_ns > then_ns ? now_ns - then_ns : 0;
}
static inline struct streamer_effect *effect_add(struct streamer_effects *effects, enum streamer_effect_kind kind, uint8_t peer)
{
	assert(effects->count < STREAMER_EFFECTS_MAX);
	struct streamer_effect *effect = &effects->items[effects->count++];
	*effect = (struct streamer_effect){.kind = kind, .peer = peer};
	return effect;
}

/* identity.c */
/* Takes note of what a peer says in a message. 0; ERR_REGION_REUSED: it is not the store that this region knows;
 * ERR_UNREACHABLE: none is known yet. */
int identity_check(struct streamer *s, uint8_t p, const struct store_id stores[REGIONS_MAX], struct streamer_effects *effects);
/* Does it hold records of another store of this region? */
bool identity_is_reused(const struct streamer *s, const struct store_id stores[REGIONS_MAX]);
void identity_publish_reused(struct streamer *s, uint8_t p, bool reused, struct streamer_effects *effects);
/* A subscription's claims, as far as identity goes. *of_itself: it is this region that is to blame. */
int identity_check_subscribe(
    struct streamer *s, const struct streamer_event *event, bool *of_itself, struct streamer_effects *effects);

/* relay.c */
void relay_clear(struct streamer *s, uint8_t through);
void relay_tick(struct streamer *s, uint64_t now_ns);

#endif
