/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/monitor/monitor.h"

#include <assert.h>

static uint64_t since(uint64_t now_ns, uint64_t then_ns)
{
	return now_ns > then_ns ? now_ns - then_ns : 0;
}

static struct monitor_effect *effect_add(struct monitor_effects *effects, enum monitor_effect_kind kind, uint8_t peer)
{
	assert(effects->count < MONITOR_EFFECTS_MAX);
	struct monitor_effect *effect = &effects->items[effects->count++];
	*effect = (struct monitor_effect){.kind = kind, .peer = peer};
	return effect;
}

uint64_t monitor_behind_since(uint64_t lag_ms, uint64_t sampled_ns)
{
	/* What came between that sample and now came right behind it, for all that is known: a lag is never told too small. */
	return sampled_ns > lag_ms * MONITOR_MS ? sampled_ns - lag_ms * MONITOR_MS : 0;
}

void monitor_init(struct monitor *m, const struct monitor_options *options)
{
	assert(options->region < REGIONS_MAX && !(options->peers >> options->region & 1) &&
	       options->drain_ms >= options->lag_max_ms);
	m->region = options->region;
	m->peers = options->peers;
	m->interval_ns = options->interval_ns;
	m->down_after_ns = options->down_after_ns;
	m->lag_max_ms = options->lag_max_ms;
	m->drain_ms = options->drain_ms;
	m->born_ns = m->beat_ns = m->publish_ns = 0;
	m->draining = false;
	m->applied = (struct vector){0};
	m->hlc = 0;
	m->load_percent = 0;
	for (uint32_t p = 0; p < REGIONS_MAX; p++)
		m->peer[p] = (struct monitor_peer){.before_ns = options->behind_since_ns[p]};
	m->history.count = 0;
	m->history.sequence = m->history.lsn = m->history.pending_ns = 0;
}

static void peer_beat(struct monitor *m, uint8_t p, uint64_t now_ns, struct monitor_effects *effects)
{
	struct monitor_peer *peer = &m->peer[p];
	uint32_t place = ++peer->number % MONITOR_OUTSTANDING;
	peer->outstanding[place].number = peer->number;
	peer->outstanding[place].sent_ns = now_ns;
	struct monitor_effect *effect = effect_add(effects, MONITOR_SEND, p);
	effect->number = peer->number;
	effect->sent_ns = now_ns;
}

static enum region_state state_by_lag(const struct monitor *m, uint64_t lag_ms)
{
	if (lag_ms > m->drain_ms)
		return REGION_DRAINED;
	return lag_ms > m->lag_max_ms ? REGION_LAGGING : REGION_UP;
}

static void peer_judge(struct monitor *m, uint8_t p, uint64_t now_ns, struct monitor_effects *effects)
{
	struct monitor_peer *peer = &m->peer[p];
	enum region_state state = peer->state;
	if (peer->answered_ns) {
		uint64_t silence_ns = since(now_ns, peer->answered_ns);
		if (silence_ns > m->down_after_ns)
			state = REGION_DOWN;
		else if (silence_ns <= MONITOR_UP_NS || region_is_heard(state))
			state = state_by_lag(m, peer->lag.ms);
	} else if (since(now_ns, m->born_ns) > m->down_after_ns) {
		state = REGION_DOWN; /* never heard of, and there was time enough */
	}
	if (state == peer->state)
		return;
	peer->state = state;
	effect_add(effects, MONITOR_CHANGED, p);
}

static void peer_lag(struct monitor *m, uint8_t p, uint64_t now_ns)
{
	struct monitor_peer *peer = &m->peer[p];
	if (!peer->acked_known)
		return;
	peer->lag = lag_of(&m->history, peer->acked, peer->sent_lsn, peer->before_ns, now_ns);
	if (peer->lag.records == 0)
		peer->before_ns = 0;
}

static void step_tick(struct monitor *m, uint64_t now_ns, struct monitor_effects *effects)
{
	bool beat = now_ns >= m->beat_ns, publish = now_ns >= m->publish_ns;
	for (uint8_t p = 0; p < REGIONS_MAX; p++) {
		if (!(m->peers >> p & 1))
			continue;
		if (beat)
			peer_beat(m, p, now_ns, effects);
		if (!publish)
			continue;
		peer_lag(m, p, now_ns);
		peer_judge(m, p, now_ns, effects);
		effect_add(effects, MONITOR_PUBLISH, p);
	}
	if (beat)
		m->beat_ns = now_ns + m->interval_ns;
	if (publish)
		m->publish_ns = now_ns + MONITOR_PUBLISH_NS;
}

/* Jacobson's smoothing, an eighth of each new sample. */
static int64_t smoothed(int64_t old, int64_t sample)
{
	return old + (sample - old) / 8;
}

static void step_answer(struct monitor *m, const struct monitor_event *event, struct monitor_effects *effects)
{
	struct monitor_peer *peer = &m->peer[event->peer];
	uint32_t place = event->heartbeat.number % MONITOR_OUTSTANDING;
	/* Only an answer to what was asked, once: the time in it comes from outside. */
	if (peer->outstanding[place].number != event->heartbeat.number || event->heartbeat.number == 0 ||
	    peer->outstanding[place].sent_ns != event->heartbeat.sent_ns)
		return;
	peer->outstanding[place].number = 0;
	uint64_t round_trip_us = since(event->now_ns, event->heartbeat.sent_ns) / 1000;
	peer->round_trip_us =
	    peer->measured ? (uint64_t)smoothed((int64_t)peer->round_trip_us, (int64_t)round_trip_us) : round_trip_us;
	/* The time that the peer shows lies between question and answer. The own wall clock has no part in it: it may be set.
	 */
	peer->clock = skew_range_of(
	    peer->measured ? &peer->clock : NULL, event->heartbeat.wall_ms, event->heartbeat.sent_ns, event->now_ns);
	peer->measured = true;
	peer->answered_ns = event->now_ns;
	peer->load_percent = event->heartbeat.load_percent;
	peer_judge(m, event->peer, event->now_ns, effects);
	effect_add(effects, MONITOR_PUBLISH, event->peer);
}

void monitor_step(struct monitor *m, const struct monitor_event *event, struct monitor_effects *effects)
{
	effects->count = 0;
	if (!m->born_ns)
		m->born_ns = event->now_ns;
	switch (event->kind) {
	case MONITOR_TICK:
		step_tick(m, event->now_ns, effects);
		break;
	case MONITOR_LOCAL:
		m->applied = event->local.applied;
		m->hlc = event->local.hlc;
		m->load_percent = m->draining ? 100 : event->local.load_percent;
		lag_note(&m->history, m->applied.sequence[m->region], event->local.durable_lsn, event->now_ns);
		break;
	case MONITOR_ACKED:
		assert(m->peers >> event->peer & 1);
		m->peer[event->peer].acked_known = true;
		m->peer[event->peer].acked = event->acked.sequence;
		m->peer[event->peer].sent_lsn = event->acked.sent_lsn;
		break;
	case MONITOR_HEARTBEAT:
		assert(m->peers >> event->peer & 1);
		if (event->heartbeat.reply) {
			step_answer(m, event, effects);
		} else {
			struct monitor_effect *effect = effect_add(effects, MONITOR_SEND, event->peer);
			effect->reply = true;
			effect->number = event->heartbeat.number;
			effect->sent_ns = event->heartbeat.sent_ns;
		}
		break;
	case MONITOR_DRAIN:
		/* Others shall send their readers elsewhere; to fall silent would look like a dead region. */
		m->draining = true;
		m->load_percent = 100;
		break;
	}
}

uint64_t monitor_deadline_ns(const struct monitor *m)
{
	return m->beat_ns < m->publish_ns ? m->beat_ns : m->publish_ns;
}
