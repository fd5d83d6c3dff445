/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/streamer/streamer.h"

#include <string.h>

#include "actors/streamer/frame.h"
#include "actors/streamer/streamer_internal.h"

static uint64_t later_of(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}
static uint64_t earlier_of(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

void streamer_init(struct streamer *s, const struct streamer_options *options)
{
	assert(options->region < REGIONS_MAX && !(options->peers & bit(options->region)) && options->peers < bit(REGIONS_MAX));
	*s = (struct streamer){.region = options->region,
	    .peers = options->peers,
	    .fingerprint = options->fingerprint,
	    .linger_ns = options->linger_ns,
	    .epoch = options->epoch_start};
	for (uint32_t p = 0; p < REGIONS_MAX; p++) {
		s->relay[p] = REGIONS_MAX;
		s->inbound[p].backoff_ns = STREAMER_BACKOFF_MIN_NS;
		s->inbound[p].served_ns = options->now_ns; /* nobody counts as silent before it had its time */
	}
}

/* ---- inbound -------------------------------------------------------------------------------------------------------- */

static void inbound_hold(struct streamer *s, uint8_t p, uint32_t origins, struct streamer_effects *effects)
{
	if (s->inbound[p].held == origins)
		return;
	s->inbound[p].held = origins;
	effect_add(effects, STREAMER_PUBLISH_HELD_IN, p)->origins = origins;
}

static void inbound_publish(struct streamer *s, uint8_t p, enum link_state state, int code, struct streamer_effects *effects)
{
	struct streamer_inbound *in = &s->inbound[p];
	if (state != LINK_SUBSCRIBED)
		inbound_hold(s, p, 0, effects);
	if (in->state == state && in->code == code)
		return;
	in->state = state;
	in->code = code;
	struct streamer_effect *effect = effect_add(effects, STREAMER_PUBLISH_INBOUND, p);
	effect->state = state;
	effect->code = code;
}

static uint32_t origins_wanted(const struct streamer *s, uint8_t p)
{
	uint32_t origins = bit(p);
	for (uint32_t origin = 0; origin < REGIONS_MAX; origin++)
		if (s->relay[origin] == p)
			origins |= bit(origin);
	return origins;
}

/* Ends the subscription; messages of its epoch mean nothing from here on. */
static void inbound_restart(struct streamer *s, uint8_t p, uint64_t now_ns, bool back_off, const char *why)
{
	struct streamer_inbound *in = &s->inbound[p];
	if (in->epoch == 0 && back_off)
		return;
	in->epoch = 0;
	in->why = why;
	in->retry_ns = now_ns;
	if (back_off) {
		in->retry_ns = later_of(now_ns, in->subscribed_ns + in->backoff_ns);
		in->backoff_ns = earlier_of(in->backoff_ns * 2, STREAMER_BACKOFF_MAX_NS);
	}
}

static void inbound_subscribe(struct streamer *s, uint8_t p, uint64_t now_ns, struct streamer_effects *effects)
{
	struct streamer_inbound *in = &s->inbound[p];
	in->epoch = ++s->epoch;
	in->origins = origins_wanted(s, p);
	in->open = false;
	in->number = in->received_bytes = in->delivered_bytes = 0;
	in->credit = s->draining ? 0 : STREAMER_WINDOW;
	in->subscribed_ns = in->acknowledged_ns = now_ns;
	in->acknowledged = s->applied;
	/* What is queued would come again: forgetting it keeps one window a peer the bound on memory. */
	effect_add(effects, STREAMER_DROP_FRAMES, p);
	struct streamer_effect *effect = effect_add(effects, STREAMER_SEND_SUBSCRIBE, p);
	effect->repeated = in->served_before;
	effect->why = in->state == LINK_SUBSCRIBED ? in->why : NULL;
	effect->epoch = in->epoch;
	effect->origins = in->origins;
	effect->credit = in->credit;
	effect->vector = s->applied;
	effect->stores = s->stores;
	effect->refused = in->refused;
}

static void inbound_acknowledge(struct streamer *s, uint8_t p, uint64_t now_ns, struct streamer_effects *effects)
{
	struct streamer_inbound *in = &s->inbound[p];
	if (!s->draining)
		in->credit = in->delivered_bytes + STREAMER_WINDOW;
	in->acknowledged = s->applied;
	in->acknowledged_ns = now_ns;
	struct streamer_effect *effect = effect_add(effects, STREAMER_SEND_ACKNOWLEDGE, p);
	effect->epoch = in->epoch;
	effect->credit = in->credit;
	effect->vector = s->applied;
}

static void inbound_served(struct streamer *s, uint8_t p, uint64_t now_ns, struct streamer_effects *effects)
{
	s->inbound[p].served_ns = now_ns;
	s->inbound[p].served_before = true;
	inbound_publish(s, p, LINK_SUBSCRIBED, 0, effects);
}

/* The peer says that it holds more of what we asked for, yet nothing of it arrives. What still waits for the ring is no stall
 * of the peer's. */
static const char *inbound_stalled(const struct streamer *s, uint8_t p, uint64_t now_ns)
{
	const struct streamer_inbound *in = &s->inbound[p];
	if (since(now_ns, later_of(in->subscribed_ns, in->served_ns)) > STREAMER_STALL_NS)
		return "silence";
	if (!s->ready || in->received_bytes != in->delivered_bytes || s->draining)
		return NULL;
	for (uint32_t origin = 0; origin < REGIONS_MAX; origin++)
		if ((in->origins & ~in->held & bit(origin)) && s->known[p].sequence[origin] > s->applied.sequence[origin] &&
		    since(now_ns, later_of(in->subscribed_ns, s->progress_ns[origin])) > STREAMER_STALL_NS)
			return "stall";
	return NULL;
}

static bool acknowledge_due(const struct streamer *s, uint8_t p, uint64_t now_ns)
{
	const struct streamer_inbound *in = &s->inbound[p];
	uint64_t age = since(now_ns, in->acknowledged_ns);
	if (age >= STREAMER_KEEPALIVE_NS)
		return true;
	if (age < STREAMER_ACKNOWLEDGE_NS)
		return false;
	/* Only the origins that this peer serves matter to it at once; the others reach it with the keep-alive. */
	for (uint32_t origin = 0; origin < REGIONS_MAX; origin++)
		if ((in->origins & bit(origin)) && s->applied.sequence[origin] > in->acknowledged.sequence[origin])
			return true;
	return false;
}

static void inbound_tick(struct streamer *s, uint8_t p, uint64_t now_ns, struct streamer_effects *effects)
{
	struct streamer_inbound *in = &s->inbound[p];
	const char *stalled = in->epoch ? inbound_stalled(s, p, now_ns) : NULL;
	if (stalled) {
		if (since(now_ns, in->served_ns) > STREAMER_STALL_NS)
			inbound_publish(s, p, LINK_DOWN, ERR_UNREACHABLE, effects);
		inbound_restart(s, p, now_ns, true, stalled);
	}
	if (in->epoch && in->origins != origins_wanted(s, p))
		inbound_restart(s, p, now_ns, false, "other origins");
	if (!in->epoch && s->ready && now_ns >= in->retry_ns)
		inbound_subscribe(s, p, now_ns, effects);
	else if (in->epoch && acknowledge_due(s, p, now_ns))
		inbound_acknowledge(s, p, now_ns, effects);
}

static void step_frame(struct streamer *s, const struct streamer_event *event, struct streamer_effects *effects)
{
	struct streamer_inbound *in = &s->inbound[event->peer];
	if (!in->epoch || event->frame.epoch != in->epoch || !in->open)
		return;
	if (event->frame.number <= in->number)
		return; /* this very frame again */
	if (event->frame.number != in->number + 1) {
		inbound_restart(s, event->peer, event->now_ns, true, "gap");
		return;
	}
	if (in->received_bytes + event->frame.raw_size > in->credit) {
		effect_add(effects, STREAMER_REFUSE_FRAME, event->peer)->code = ERR_OVERLOADED;
		inbound_restart(s, event->peer, event->now_ns, true, "beyond credit");
		return;
	}
	inbound_served(s, event->peer, event->now_ns, effects);
	in->number++;
	in->received_bytes += event->frame.raw_size;
	effect_add(effects, STREAMER_TAKE_FRAME, event->peer)->origins = in->origins;
}

/* False: the peer is, or holds records of, another store, and its subscription has ended. */
static bool identity_is_good(struct streamer *s, const struct streamer_event *event, const struct store_id stores[REGIONS_MAX],
    struct streamer_effects *effects)
{
	uint8_t p = event->peer;
	bool is_other = identity_check(s, p, stores, effects) == ERR_REGION_REUSED;
	bool is_reused = !is_other && identity_is_reused(s, stores);
	if (!is_other && !is_reused)
		return true;
	if (is_reused)
		identity_publish_reused(s, p, true, effects);
	inbound_publish(s, p, LINK_REFUSED, ERR_REGION_REUSED, effects);
	inbound_restart(s, p, event->now_ns, true, "another store");
	return false;
}

static void step_alive(struct streamer *s, const struct streamer_event *event, struct streamer_effects *effects)
{
	struct streamer_inbound *in = &s->inbound[event->peer];
	if (!in->epoch || event->alive.epoch != in->epoch || !identity_is_good(s, event, event->alive.stores, effects))
		return;
	if (!store_id_is_known(&s->stores[event->peer])) {
		inbound_restart(s, event->peer, event->now_ns, true, "not known yet");
		return;
	}
	in->open = true;
	identity_publish_reused(s, event->peer, false, effects);
	inbound_served(s, event->peer, event->now_ns, effects);
	vector_join(&s->known[event->peer], &event->alive.applied);
	inbound_hold(s, event->peer, event->alive.held & in->origins, effects);
	if (since(event->now_ns, in->subscribed_ns) > STREAMER_STALL_NS)
		in->backoff_ns = STREAMER_BACKOFF_MIN_NS;
}

static void step_refusal(struct streamer *s, const struct streamer_event *event, struct streamer_effects *effects)
{
	struct streamer_inbound *in = &s->inbound[event->peer];
	if (!in->epoch || event->refusal.epoch != in->epoch)
		return;
	int code = event->refusal.code;
	in->refused = in->epoch;
	if (store_id_is_known(&event->refusal.stores[event->peer]) &&
	    !identity_is_good(s, event, event->refusal.stores, effects))
		return;
	if (code == ERR_REGION_REUSED && !event->refusal.of_itself)
		identity_publish_reused(s, event->peer, true, effects);
	if (code == ERR_NEEDS_RESYNC && in->origins != bit(event->peer)) {
		/* Perhaps only the records of others are gone from its log; its own are not given up for them. */
		relay_clear(s, event->peer);
		in->relay_forbidden_ns = event->now_ns + STREAMER_RELAY_FORBIDDEN_NS;
	} else if (code == ERR_NEEDS_RESYNC) {
		inbound_publish(s, event->peer, LINK_NEEDS_RESYNC, code, effects);
	} else if (code == ERR_UNREACHABLE) {
		inbound_publish(s, event->peer, LINK_DOWN, code, effects); /* it is still starting */
	} else {
		inbound_publish(s, event->peer, LINK_REFUSED, code, effects);
	}
	inbound_restart(s, event->peer, event->now_ns, true, "refused");
}

static void step_delivered(struct streamer *s, const struct streamer_event *event, struct streamer_effects *effects)
{
	struct streamer_inbound *in = &s->inbound[event->peer];
	in->delivered_bytes += event->delivered.raw_size;
	assert(in->delivered_bytes <= in->received_bytes);
	if (in->epoch && !s->draining && in->delivered_bytes + STREAMER_WINDOW - in->credit >= STREAMER_WINDOW / 4)
		inbound_acknowledge(s, event->peer, event->now_ns, effects);
}

/* ---- outbound ------------------------------------------------------------------------------------------------------- */

static void outbound_publish(struct streamer *s, uint8_t p, enum link_state state, int code, struct streamer_effects *effects)
{
	struct streamer_outbound *out = &s->outbound[p];
	if (out->state == state && out->code == code)
		return;
	out->state = state;
	out->code = code;
	struct streamer_effect *effect = effect_add(effects, STREAMER_PUBLISH_OUTBOUND, p);
	effect->state = state;
	effect->code = code;
}

static void outbound_alive(struct streamer *s, uint8_t p, uint64_t now_ns, struct streamer_effects *effects)
{
	s->outbound[p].alive_ns = now_ns;
	struct streamer_effect *effect = effect_add(effects, STREAMER_SEND_ALIVE, p);
	effect->epoch = s->outbound[p].epoch;
	effect->vector = s->applied;
	effect->stores = s->stores;
	effect->origins = s->outbound[p].held;
	effect->keyspace = s->outbound[p].held_keyspace;
}

static void outbound_hold(struct streamer *s, uint8_t p, uint32_t origins, uint32_t keyspace, struct streamer_effects *effects)
{
	if (s->outbound[p].held == origins)
		return;
	s->outbound[p].held = origins;
	s->outbound[p].held_keyspace = keyspace;
	struct streamer_effect *effect = effect_add(effects, STREAMER_PUBLISH_HELD_OUT, p);
	effect->origins = origins;
	effect->keyspace = keyspace;
}

static struct streamer_effect *outbound_refuse(
    const struct streamer *s, uint8_t p, uint64_t epoch, int code, struct streamer_effects *effects)
{
	struct streamer_effect *effect = effect_add(effects, STREAMER_SEND_REFUSAL, p);
	effect->epoch = epoch;
	effect->code = code;
	effect->stores = s->ready ? s->stores : NULL;
	return effect;
}

static void outbound_end(struct streamer *s, uint8_t p, enum link_state state, int code, struct streamer_effects *effects)
{
	if (s->outbound[p].state == LINK_SUBSCRIBED)
		effect_add(effects, STREAMER_CLOSE_STREAM, p);
	outbound_hold(s, p, 0, 0, effects);
	outbound_publish(s, p, state, code, effects);
}

static int subscribe_check(
    struct streamer *s, const struct streamer_event *event, bool *of_itself, struct streamer_effects *effects)
{
	uint32_t origins = event->subscribe.origins;
	if (event->subscribe.fingerprint != s->fingerprint)
		return ERR_CONFIGURATION;
	if (!event->subscribe.epoch || !origins || (origins & bit(event->peer)) || (origins & ~(s->peers | bit(s->region))))
		return ERR_MALFORMED;
	if (!s->ready)
		return ERR_UNREACHABLE;
	return identity_check_subscribe(s, event, of_itself, effects);
}

static void step_subscribe(struct streamer *s, const struct streamer_event *event, struct streamer_effects *effects)
{
	uint8_t p = event->peer;
	struct streamer_outbound *out = &s->outbound[p];
	bool of_itself = false;
	/* A late one from before: the present one is alive. Otherwise a lower epoch is a receiver whose clock was set back. */
	if (out->state == LINK_SUBSCRIBED && event->subscribe.epoch <= out->epoch &&
	    since(event->now_ns, out->heard_ns) < STREAMER_EXPIRE_NS / 2)
		return;
	int code = subscribe_check(s, event, &of_itself, effects);
	if (code) {
		outbound_refuse(s, p, event->subscribe.epoch, code, effects)->of_itself = of_itself;
		outbound_end(s, p, code == ERR_UNREACHABLE ? LINK_DOWN : LINK_REFUSED, code, effects);
		return;
	}
	outbound_hold(s, p, 0, 0, effects);
	*out = (struct streamer_outbound){.state = out->state,
	    .code = out->code,
	    .opening = true,
	    .epoch = event->subscribe.epoch,
	    .credit = event->subscribe.credit,
	    .heard_ns = event->now_ns,
	    .acked = event->subscribe.from};
	vector_join(&s->known[p], &event->subscribe.from);
	struct streamer_effect *effect = effect_add(effects, STREAMER_OPEN_STREAM, p);
	effect->vector = event->subscribe.from;
	effect->origins = event->subscribe.origins;
	effect->keyspaces = event->subscribe.keyspaces;
	effect_add(effects, STREAMER_PUBLISH_ACKED, p)->vector = out->acked;
}

/* Nothing is said before: a stream that cannot be opened is no service. */
static void step_opened(struct streamer *s, const struct streamer_event *event, struct streamer_effects *effects)
{
	struct streamer_outbound *out = &s->outbound[event->peer];
	assert(out->opening);
	out->opening = false;
	outbound_publish(s, event->peer, LINK_SUBSCRIBED, 0, effects);
	outbound_alive(s, event->peer, event->now_ns, effects); /* so that the receiver knows at once that it is served */
}

static void step_acknowledge(struct streamer *s, const struct streamer_event *event, struct streamer_effects *effects)
{
	struct streamer_outbound *out = &s->outbound[event->peer];
	if (out->state != LINK_SUBSCRIBED) {
		/* It believes in a stream of the process before this one: told so, it need not find out by our silence. */
		outbound_refuse(s, event->peer, event->acknowledge.epoch, ERR_UNREACHABLE, effects);
		return;
	}
	if (event->acknowledge.epoch != out->epoch)
		return;
	out->heard_ns = event->now_ns;
	out->credit = later_of(out->credit, event->acknowledge.credit);
	vector_join(&out->acked, &event->acknowledge.applied);
	vector_join(&s->known[event->peer], &event->acknowledge.applied);
	effect_add(effects, STREAMER_PUBLISH_ACKED, event->peer)->vector = out->acked;
}

static void step_sent(struct streamer *s, const struct streamer_event *event)
{
	struct streamer_outbound *out = &s->outbound[event->peer];
	assert(out->state == LINK_SUBSCRIBED);
	out->number++;
	out->sent_bytes += event->sent.raw_size;
	out->frame_ns = event->now_ns;
	assert(out->sent_bytes <= out->credit);
}

/* Told at once: the receiver would take it for a stall. */
static void step_held(struct streamer *s, const struct streamer_event *event, struct streamer_effects *effects)
{
	struct streamer_outbound *out = &s->outbound[event->peer];
	assert(out->state == LINK_SUBSCRIBED);
	outbound_hold(s, event->peer, out->held | event->held.origins, event->held.keyspace, effects);
	outbound_alive(s, event->peer, event->now_ns, effects);
}

static void step_send_failed(struct streamer *s, const struct streamer_event *event, struct streamer_effects *effects)
{
	struct streamer_outbound *out = &s->outbound[event->peer];
	int code = event->send_failed.code;
	if (out->state != LINK_SUBSCRIBED && !out->opening)
		return;
	out->opening = false;
	if (code == ERR_UNREACHABLE) {
		outbound_end(s, event->peer, LINK_DOWN, code, effects);
		return;
	}
	outbound_refuse(s, event->peer, out->epoch, code, effects);
	outbound_end(s, event->peer, code == ERR_NEEDS_RESYNC ? LINK_NEEDS_RESYNC : LINK_REFUSED, code, effects);
}

static void outbound_tick(struct streamer *s, uint8_t p, uint64_t now_ns, struct streamer_effects *effects)
{
	struct streamer_outbound *out = &s->outbound[p];
	if (out->state != LINK_SUBSCRIBED)
		return;
	if (since(now_ns, out->heard_ns) >= STREAMER_EXPIRE_NS)
		outbound_end(s, p, LINK_DOWN, ERR_UNREACHABLE, effects);
	else if (since(now_ns, out->alive_ns) >= STREAMER_KEEPALIVE_NS)
		outbound_alive(s, p, now_ns, effects);
}

uint32_t streamer_allowance(const struct streamer *s, uint8_t peer, uint64_t now_ns, uint64_t backlog)
{
	const struct streamer_outbound *out = &s->outbound[peer];
	if (out->state != LINK_SUBSCRIBED || backlog == 0 || out->sent_bytes >= out->credit)
		return 0;
	if (backlog < STREAMER_LINGER_BYTES && now_ns < streamer_linger_until(s, peer))
		return 0;
	uint64_t left = out->credit - out->sent_bytes;
	/* Rather wait for more credit than cut small frames at the end of the present one: the window is many frames wide, so
	 * the receiver grants more well before it has run dry. */
	if (left < earlier_of(backlog, FRAME_RAW_MAX))
		return 0;
	return (uint32_t)earlier_of(left, FRAME_RAW_LIMIT);
}

uint64_t streamer_linger_until(const struct streamer *s, uint8_t peer)
{
	uint64_t frame_ns = s->outbound[peer].frame_ns;
	return frame_ns ? frame_ns + s->linger_ns : 0;
}

/* ---- all ------------------------------------------------------------------------------------------------------------ */

static void local_identity(struct streamer *s, const struct streamer_event *event, struct streamer_effects *effects)
{
	const struct store_id *stores = event->local.stores;
	bool other_store =
	    store_id_is_known(&s->stores[s->region]) && !store_id_is_equal(&s->stores[s->region], &stores[s->region]);
	memcpy(s->stores, stores, sizeof s->stores);
	for (uint8_t r = 0; r < REGIONS_MAX; r++)
		if (other_store || store_id_is_known(&stores[r]))
			s->met[r] = (struct store_id){{0}};
	/* The data directory was wiped under our feet: nothing that was said of the other one holds. */
	for (uint8_t p = 0; p < REGIONS_MAX && other_store; p++) {
		if (!(s->peers & bit(p)))
			continue;
		s->suspicions[p] = (struct streamer_suspicion){0};
		outbound_end(s, p, LINK_DOWN, ERR_UNREACHABLE, effects);
	}
}

static void step_local(struct streamer *s, const struct streamer_event *event, struct streamer_effects *effects)
{
	for (uint32_t origin = 0; origin < REGIONS_MAX; origin++)
		if (event->local.applied.sequence[origin] > s->applied.sequence[origin])
			s->progress_ns[origin] = event->now_ns;
	s->applied = event->local.applied;
	s->ready = event->local.ready;
	bool new_coordinator = s->local_known && s->coordinator_epoch != event->local.coordinator_epoch;
	s->coordinator_epoch = event->local.coordinator_epoch;
	s->local_known = true;
	if (s->ready)
		local_identity(s, event, effects);
	if (!new_coordinator)
		return;
	/* It emptied the ring: what was in it is gone, and what is queued behind it would leave a gap. */
	for (uint8_t p = 0; p < REGIONS_MAX; p++) {
		if (!(s->peers & bit(p)))
			continue;
		effect_add(effects, STREAMER_DROP_FRAMES, p);
		s->inbound[p].delivered_bytes = s->inbound[p].received_bytes;
		inbound_restart(s, p, event->now_ns, false, "new coordinator");
	}
}

static void step_tick(struct streamer *s, uint64_t now_ns, struct streamer_effects *effects)
{
	relay_tick(s, now_ns);
	for (uint8_t p = 0; p < REGIONS_MAX; p++) {
		if (!(s->peers & bit(p)))
			continue;
		inbound_tick(s, p, now_ns, effects);
		outbound_tick(s, p, now_ns, effects);
	}
}

void streamer_step(struct streamer *s, const struct streamer_event *event, struct streamer_effects *effects)
{
	bool of_peer = event->kind != STREAMER_TICK && event->kind != STREAMER_LOCAL && event->kind != STREAMER_DRAIN;
	assert(!of_peer || (event->peer < REGIONS_MAX && (s->peers & bit(event->peer))));
	effects->count = 0;
	switch (event->kind) {
	case STREAMER_TICK:
		step_tick(s, event->now_ns, effects);
		break;
	case STREAMER_LOCAL:
		step_local(s, event, effects);
		break;
	case STREAMER_SUBSCRIBE:
		step_subscribe(s, event, effects);
		break;
	case STREAMER_OPENED:
		step_opened(s, event, effects);
		break;
	case STREAMER_ACKNOWLEDGE:
		step_acknowledge(s, event, effects);
		break;
	case STREAMER_FRAME:
		step_frame(s, event, effects);
		break;
	case STREAMER_ALIVE:
		step_alive(s, event, effects);
		break;
	case STREAMER_REFUSAL:
		step_refusal(s, event, effects);
		break;
	case STREAMER_FRAME_BAD:
		/* It was counted when taken, and will not be delivered. */
		s->inbound[event->peer].received_bytes = s->inbound[event->peer].delivered_bytes;
		effect_add(effects, STREAMER_DROP_FRAMES, event->peer);
		inbound_restart(s, event->peer, event->now_ns, true, "bad frame");
		break;
	case STREAMER_DELIVERED:
		step_delivered(s, event, effects);
		break;
	case STREAMER_NOT_SENT:
		inbound_restart(s, event->peer, event->now_ns, true, "not connected");
		break;
	case STREAMER_SENT:
		step_sent(s, event);
		break;
	case STREAMER_SEND_FAILED:
		step_send_failed(s, event, effects);
		break;
	case STREAMER_HELD:
		step_held(s, event, effects);
		break;
	case STREAMER_DRAIN:
		s->draining = true;
		break;
	}
}

uint64_t streamer_deadline_ns(const struct streamer *s)
{
	uint64_t deadline = STREAMER_NEVER;
	for (uint8_t p = 0; p < REGIONS_MAX; p++) {
		if (!(s->peers & bit(p)))
			continue;
		const struct streamer_inbound *in = &s->inbound[p];
		const struct streamer_outbound *out = &s->outbound[p];
		if (!in->epoch && s->ready)
			deadline = earlier_of(deadline, in->retry_ns);
		if (in->epoch) {
			bool fresh = acknowledge_due(s, p, in->acknowledged_ns + STREAMER_ACKNOWLEDGE_NS);
			uint64_t wait_ns = fresh ? STREAMER_ACKNOWLEDGE_NS : STREAMER_KEEPALIVE_NS;
			deadline = earlier_of(deadline, in->acknowledged_ns + wait_ns); /* also finds silence and stalls */
		}
		if (out->state == LINK_SUBSCRIBED)
			deadline = earlier_of(deadline, out->alive_ns + STREAMER_KEEPALIVE_NS);
	}
	return deadline;
}
