/* SPDX-License-Identifier: Apache-2.0
 *
 * The monitor's state machine. This region is 0, its peers 1 and 2. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "actors/monitor/heartbeat.h"
#include "actors/monitor/monitor.h"
#include "proto/peer.pb-c.h"

static struct monitor m;
static struct monitor_effects out;
static uint64_t now_ns, now_wall_ms;
static const struct heartbeat_rules rules = {.cluster = "demo", .region = 0, .peers = 6};

static void step(struct monitor_event event)
{
	event.now_ns = now_ns;
	event.now_wall_ms = now_wall_ms;
	monitor_step(&m, &event, &out);
}
static void tick(uint64_t after_ms)
{
	now_ns += after_ms * MONITOR_MS;
	now_wall_ms += after_ms;
	step((struct monitor_event){.kind = MONITOR_TICK});
}
static const struct monitor_effect *find(enum monitor_effect_kind kind, uint8_t peer)
{
	for (uint32_t i = 0; i < out.count; i++)
		if (out.items[i].kind == kind && out.items[i].peer == peer)
			return &out.items[i];
	return NULL;
}
static void answer(uint8_t peer, uint64_t number, uint64_t sent_ns, int64_t skew_ms)
{
	struct monitor_event event = {.kind = MONITOR_HEARTBEAT, .peer = peer};
	event.heartbeat.reply = true;
	event.heartbeat.number = number;
	event.heartbeat.sent_ns = sent_ns;
	event.heartbeat.wall_ms = (uint64_t)((int64_t)now_wall_ms + skew_ms);
	event.heartbeat.load_percent = 7;
	step(event);
}
/* One heartbeat, answered after that time. */
static void beat(uint8_t peer, uint64_t after_ms)
{
	tick(250);
	const struct monitor_effect *sent = find(MONITOR_SEND, peer);
	cr_assert(sent);
	uint64_t number = sent->number, sent_ns = sent->sent_ns;
	now_ns += after_ms * MONITOR_MS;
	now_wall_ms += after_ms;
	answer(peer, number, sent_ns, -(int64_t)(after_ms / 2));
}
static int64_t skew_us(uint8_t peer)
{
	return skew_range_middle_us(&m.peer[peer].clock) - skew_offset_us(now_wall_ms, now_ns);
}
static void set_up(void)
{
	now_ns = 50000 * MONITOR_MS;
	now_wall_ms = 1700000000000;
	monitor_init(&m, &(struct monitor_options){.region = 0,
	                     .peers = 6,
	                     .interval_ns = 250 * MONITOR_MS,
	                     .down_after_ns = 3000 * MONITOR_MS,
	                     .lag_max_ms = 5000,
	                     .drain_ms = 10000});
}
TestSuite(monitor, .init = set_up);

Test(monitor, asks_every_peer_each_interval)
{
	tick(0);
	cr_assert(find(MONITOR_SEND, 1) && find(MONITOR_SEND, 2));
	cr_assert_not(find(MONITOR_SEND, 1)->reply);
	tick(100);
	cr_assert_not(find(MONITOR_SEND, 1));
	cr_assert(find(MONITOR_PUBLISH, 1));
	tick(150);
	cr_assert_eq(find(MONITOR_SEND, 1)->number, 2);
}

Test(monitor, answers_with_what_was_asked)
{
	struct monitor_event event = {.kind = MONITOR_HEARTBEAT, .peer = 2};
	event.heartbeat.number = 17;
	event.heartbeat.sent_ns = 4711;
	step(event);
	cr_assert_eq(out.count, 1);
	cr_assert(out.items[0].reply && out.items[0].number == 17 && out.items[0].sent_ns == 4711);
	cr_assert_eq(m.peer[2].state, REGION_UNKNOWN, "a question shows one direction only");
}

Test(monitor, unknown_until_first_answer_then_up_then_down)
{
	for (uint32_t i = 0; i < 10; i++)
		tick(250);
	cr_assert_eq(m.peer[1].state, REGION_UNKNOWN);
	beat(1, 10);
	cr_assert_eq(m.peer[1].state, REGION_UP);
	cr_assert(find(MONITOR_CHANGED, 1));
	cr_assert_eq(m.peer[1].load_percent, 7);
	for (uint32_t i = 0; i < 29; i++)
		tick(100);
	cr_assert_eq(m.peer[1].state, REGION_UP);
	tick(100);
	tick(100);
	cr_assert_eq(m.peer[1].state, REGION_DOWN);
	beat(1, 10);
	cr_assert_eq(m.peer[1].state, REGION_UP);
}

Test(monitor, f14_a_peer_never_heard_of_is_down_when_there_was_time_enough)
{
	tick(0);
	for (uint32_t i = 0; i < 30; i++)
		tick(100);
	cr_assert_eq(m.peer[2].state, REGION_UNKNOWN);
	tick(100);
	cr_assert_eq(m.peer[2].state, REGION_DOWN);
	cr_assert(find(MONITOR_CHANGED, 2));
	beat(2, 10);
	cr_assert_eq(m.peer[2].state, REGION_UP);
}

Test(monitor, f14_no_lag_is_told_of_a_peer_that_has_not_said_what_it_holds)
{
	struct monitor_event local = {.kind = MONITOR_LOCAL};
	local.local.applied.sequence[0] = 2500000;
	local.local.durable_lsn = 1 << 30;
	step(local);
	for (uint32_t i = 0; i < 100; i++)
		beat(1, 1);
	cr_assert_eq(m.peer[1].lag.records, 0);
	cr_assert_eq(m.peer[1].state, REGION_UP);
	step((struct monitor_event){.kind = MONITOR_ACKED, .peer = 1, .acked = {.sequence = 2499999}});
	beat(1, 1);
	cr_assert_eq(m.peer[1].lag.records, 1);
}

Test(monitor, c5_round_trips_are_smoothed_and_clocks_narrowed)
{
	beat(1, 80);
	cr_assert_eq(m.peer[1].round_trip_us, 80000);
	cr_assert_leq(llabs(skew_us(1)), 1500);
	for (uint32_t i = 0; i < 60; i++)
		beat(1, 40);
	cr_assert(m.peer[1].round_trip_us >= 40000 && m.peer[1].round_trip_us < 40200, "%llu",
	    (unsigned long long)m.peer[1].round_trip_us);
	tick(250);
	const struct monitor_effect sent = *find(MONITOR_SEND, 1);
	answer(1, sent.number, sent.sent_ns, 8000);
	cr_assert(llabs(skew_us(1) - 8000000) < 1500, "a clock that was set is known at once");
}

Test(monitor, T23_a_clock_far_away_is_a_figure_and_no_overflow)
{
	tick(250);
	const struct monitor_effect sent = *find(MONITOR_SEND, 1);
	struct monitor_event event = {.kind = MONITOR_HEARTBEAT, .peer = 1};
	event.heartbeat.reply = true;
	event.heartbeat.number = sent.number;
	event.heartbeat.sent_ns = sent.sent_ns;
	event.heartbeat.wall_ms = UINT64_MAX;
	step(event);
	cr_assert_gt(skew_us(1), 0);
	cr_assert_eq(m.peer[1].state, REGION_UP);
}

Test(monitor, answers_to_nothing_are_ignored)
{
	tick(0);
	struct monitor_effect sent = *find(MONITOR_SEND, 1);
	answer(1, 0, 0, 0);
	answer(1, sent.number + 1, sent.sent_ns, 0);
	answer(1, sent.number, sent.sent_ns - 1, 0); /* a time of its own making */
	answer(2, sent.number + 16, sent.sent_ns, 0);
	cr_assert_eq(m.peer[1].state, REGION_UNKNOWN);
	cr_assert_eq(m.peer[2].state, REGION_UNKNOWN);
	answer(1, sent.number, sent.sent_ns, 0);
	cr_assert_eq(m.peer[1].state, REGION_UP);
	now_ns += 4000 * MONITOR_MS;
	answer(1, sent.number, sent.sent_ns, 0); /* again, much later */
	cr_assert_neq(m.peer[1].answered_ns, now_ns);
}

Test(monitor, T55_lagging_and_back)
{
	struct monitor_event local = {.kind = MONITOR_LOCAL};
	local.local.applied.sequence[0] = 10;
	local.local.durable_lsn = 1000;
	beat(1, 1);
	step(local);
	step((struct monitor_event){.kind = MONITOR_ACKED, .peer = 1});
	for (uint32_t i = 0; i < 19; i++) {
		cr_assert_eq(m.peer[1].state, REGION_UP, "after %u", i);
		beat(1, 1);
		step(local);
	}
	beat(1, 1);
	beat(1, 1);
	cr_assert_eq(m.peer[1].state, REGION_LAGGING);
	cr_assert_eq(m.peer[1].lag.records, 10);
	while (m.peer[1].lag.ms <= 10000) {
		cr_assert_eq(m.peer[1].state, REGION_LAGGING, "after %llu ms", (unsigned long long)m.peer[1].lag.ms);
		beat(1, 1);
	}
	cr_assert_eq(m.peer[1].state, REGION_DRAINED);
	/* Silent for so long that a region which was down would not be up, it still goes by its lag. */
	while (now_ns - m.peer[1].answered_ns <= MONITOR_UP_NS)
		tick(250);
	cr_assert_eq(m.peer[1].state, REGION_DRAINED);
	step((struct monitor_event){.kind = MONITOR_ACKED, .peer = 1, .acked = {.sequence = 10, .sent_lsn = 1000}});
	tick(250);
	cr_assert(now_ns - m.peer[1].answered_ns < m.down_after_ns && m.peer[1].state == REGION_UP);
	beat(1, 1);
	cr_assert_eq(m.peer[1].state, REGION_UP);
	cr_assert(m.peer[1].lag.records == 0 && m.peer[1].lag.ms == 0);
}

Test(monitor, T55_an_unreachable_peer_lags_more_and_more)
{
	struct monitor_event local = {.kind = MONITOR_LOCAL};
	uint64_t last_ms = 0;
	beat(1, 1);
	step((struct monitor_event){.kind = MONITOR_ACKED, .peer = 1});
	for (uint32_t second = 1; second < 600; second++) {
		local.local.applied.sequence[0] += 100;
		local.local.durable_lsn += 10000;
		step(local);
		tick(1000);
		cr_assert_gt(m.peer[1].lag.ms, last_ms);
		last_ms = m.peer[1].lag.ms;
		cr_assert(last_ms >= second * 1000 - 1000 && last_ms <= second * 1000 + 1000);
	}
	cr_assert_eq(m.peer[1].state, REGION_DOWN);
}

Test(heartbeat, there_and_back)
{
	uint8_t bytes[HEARTBEAT_SIZE_MAX];
	struct monitor_event event;
	set_up();
	for (uint32_t i = 0; i < REGIONS_MAX; i++)
		m.applied.sequence[i] = UINT64_MAX - i;
	m.hlc = UINT64_MAX;
	m.load_percent = 100;
	struct monitor_effect effect = {.kind = MONITOR_SEND, .number = UINT64_MAX, .sent_ns = UINT64_MAX, .reply = true};
	size_t size = heartbeat_pack(&rules, &m, &effect, UINT64_MAX, bytes);
	struct heartbeat_rules other = {.cluster = "demo", .region = 1, .peers = 5};
	cr_assert_eq(heartbeat_parse(&event, &other, bytes, size, NULL), 0);
	cr_assert_eq(event.peer, 0);
	cr_assert_eq(event.heartbeat.number, UINT64_MAX);
	cr_assert_eq(vector_compare(&event.heartbeat.applied, &m.applied), VECTOR_EQUAL);
	cr_assert(event.heartbeat.reply);
	cr_assert_eq(heartbeat_parse(&event, &rules, bytes, size, NULL), ERR_MALFORMED, "from itself");
	other.cluster = "prod";
	cr_assert_eq(heartbeat_parse(&event, &other, bytes, size, NULL), ERR_CONFIGURATION);
	for (size_t cut = 0; cut < size; cut++)
		heartbeat_parse(&event, &rules, bytes, cut, NULL); /* under ASan */
	cr_assert_eq(heartbeat_parse(&event, &rules, bytes, 0, NULL), ERR_WRONG_VERSION);
}

/* As tick, and a peer is judged whenever the last time was. */
static void judge_after(uint64_t after_ms)
{
	m.publish_ns = 0;
	tick(after_ms);
}

Test(monitor, F24_a_limit_itself_is_not_beyond_it)
{
	struct monitor_event local = {.kind = MONITOR_LOCAL};
	tick(0);
	judge_after(3000);
	cr_assert_eq(m.peer[2].state, REGION_UNKNOWN);
	judge_after(1);
	cr_assert_eq(m.peer[2].state, REGION_DOWN);
	beat(1, 1);
	local.local.applied.sequence[0] = 10;
	step(local);
	step((struct monitor_event){.kind = MONITOR_ACKED, .peer = 1});
	const uint64_t written_ns = now_ns;
	for (uint64_t limit_ms = 5000; limit_ms <= 10000; limit_ms += 5000) {
		while (now_ns + 600 * MONITOR_MS < written_ns + limit_ms * MONITOR_MS)
			beat(1, 1);
		judge_after(limit_ms - (now_ns - written_ns) / MONITOR_MS);
		cr_assert_eq(m.peer[1].lag.ms, limit_ms);
		cr_assert_eq(m.peer[1].state, limit_ms == 5000 ? REGION_UP : REGION_LAGGING);
		judge_after(1);
		cr_assert_eq(m.peer[1].state, limit_ms == 5000 ? REGION_LAGGING : REGION_DRAINED);
	}
	beat(1, 1);
	judge_after(3000);
	cr_assert_neq(m.peer[1].state, REGION_DOWN);
	judge_after(1);
	cr_assert_eq(m.peer[1].state, REGION_DOWN);
}

Test(heartbeat, F24_every_field_arrives_and_a_vector_is_all_there_is)
{
	uint8_t bytes[HEARTBEAT_SIZE_MAX], vector[VECTOR_ENCODED_MAX + 1] = {0};
	struct monitor_event event;
	struct error_context error;
	const struct heartbeat_rules other = {.cluster = "demo", .region = 1, .peers = 5};
	set_up();
	m.hlc = 11;
	m.load_percent = 12;
	struct monitor_effect effect = {.kind = MONITOR_SEND, .number = 13, .sent_ns = 14};
	size_t size = heartbeat_pack(&rules, &m, &effect, 15, bytes);
	cr_assert_eq(heartbeat_parse(&event, &other, bytes, size, &error), 0);
	cr_assert(event.kind == MONITOR_HEARTBEAT && event.heartbeat.hlc == 11 && event.heartbeat.load_percent == 12);
	cr_assert(event.heartbeat.number == 13 && event.heartbeat.sent_ns == 14 && event.heartbeat.wall_ms == 15);
	cr_assert_not(event.heartbeat.reply);
	Godwit__Peer__Envelope *envelope = godwit__peer__envelope__unpack(NULL, size, bytes);
	const ProtobufCBinaryData whole = envelope->heartbeat->applied;
	const size_t encoded = vector_encode(&m.applied, vector);
	for (int more = -1; more <= 1; more++) { /* one byte less, all, one more */
		envelope->heartbeat->applied = (ProtobufCBinaryData){.data = vector, .len = encoded + (size_t)more};
		size = godwit__peer__envelope__pack(envelope, bytes);
		cr_assert_eq(heartbeat_parse(&event, &other, bytes, size, &error), more ? ERR_MALFORMED : 0, "%d", more);
	}
	envelope->heartbeat->applied = whole;
	godwit__peer__envelope__free_unpacked(envelope, NULL);
}
