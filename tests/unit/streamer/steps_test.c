/* SPDX-License-Identifier: Apache-2.0
 *
 * The state machine, step by step. This region is 0, its peers 1 and 2. */
#include <criterion/criterion.h>
#include <string.h>

#include "actors/streamer/streamer.h"

#define SECOND (1000 * STREAMER_MS)
static struct streamer s;
static struct streamer_effects out;
static uint64_t now_ns;
static struct vector applied;
static struct store_id stores[REGIONS_MAX]; /* of the region and its peers */
static struct store_id known[REGIONS_MAX];  /* to this region's coordinator */

static void step(struct streamer_event event)
{
	event.now_ns = now_ns;
	streamer_step(&s, &event, &out);
}
static void local(uint64_t coordinator_epoch)
{
	struct streamer_event event = {
	    .kind = STREAMER_LOCAL, .local = {.applied = applied, .coordinator_epoch = coordinator_epoch, .ready = true}};
	memcpy(event.local.stores, known, sizeof known);
	step(event);
}
static void tick(uint64_t after_ms)
{
	now_ns += after_ms * STREAMER_MS;
	step((struct streamer_event){.kind = STREAMER_TICK});
}
static const struct streamer_effect *find(enum streamer_effect_kind kind, uint8_t peer)
{
	for (uint32_t i = 0; i < out.count; i++)
		if (out.items[i].kind == kind && out.items[i].peer == peer)
			return &out.items[i];
	return NULL;
}
static void alive(uint8_t peer, struct vector of_peer)
{
	struct streamer_event event = {
	    .kind = STREAMER_ALIVE, .peer = peer, .alive = {.epoch = s.inbound[peer].epoch, .applied = of_peer}};
	memcpy(event.alive.stores, stores, sizeof stores);
	step(event);
}
static void frame_from(uint8_t peer, uint64_t epoch, uint64_t number, uint32_t raw_size)
{
	step((struct streamer_event){
	    .kind = STREAMER_FRAME, .peer = peer, .frame = {.epoch = epoch, .number = number, .raw_size = raw_size}});
}
static void refusal(uint8_t peer, int code)
{
	step((struct streamer_event){
	    .kind = STREAMER_REFUSAL, .peer = peer, .refusal = {.epoch = s.inbound[peer].epoch, .code = code}});
}
static struct streamer_effect asked, acked; /* by the last subscription, before the stream was open */
static uint64_t told_refused;
static bool opens = true;
static void subscribe(uint8_t peer, uint64_t epoch, struct vector from, uint64_t credit)
{
	struct streamer_event event = {.kind = STREAMER_SUBSCRIBE,
	    .peer = peer,
	    .subscribe = {.epoch = epoch, .from = from, .origins = 1, .credit = credit, .fingerprint = 42}};
	event.subscribe.refused = told_refused;
	memcpy(event.subscribe.stores, stores, sizeof stores);
	step(event);
	if (find(STREAMER_OPEN_STREAM, peer) && opens) {
		asked = *find(STREAMER_OPEN_STREAM, peer);
		acked = *find(STREAMER_PUBLISH_ACKED, peer);
		step((struct streamer_event){.kind = STREAMER_OPENED, .peer = peer});
	}
}
static void refused(uint8_t peer, int code, bool of_itself)
{
	const struct streamer_effect *effect = find(STREAMER_SEND_REFUSAL, peer);
	cr_assert(effect && !find(STREAMER_SEND_ALIVE, peer) && !find(STREAMER_OPEN_STREAM, peer));
	cr_assert_eq(effect->code, code, "%s", error_name(effect->code));
	cr_assert_eq(effect->of_itself, of_itself);
}

static void set_up(void)
{
	now_ns = 100 * SECOND;
	applied = (struct vector){{50, 20, 30}};
	memset(stores, 0, sizeof stores);
	for (uint8_t r = 0; r < 3; r++)
		stores[r].bytes[0] = (uint8_t)(r + 1);
	memcpy(known, stores, sizeof known);
	told_refused = 0;
	opens = true;
	streamer_init(&s,
	    &(struct streamer_options){
	        .region = 0, .peers = 6, .fingerprint = 42, .epoch_start = 1000, .linger_ns = STREAMER_MS, .now_ns = now_ns});
	local(1);
}
static void set_up_subscribed(void)
{
	set_up();
	tick(0);
	alive(1, applied);
	alive(2, applied);
}
TestSuite(steps, .init = set_up);
TestSuite(inbound, .init = set_up_subscribed);

Test(steps, subscribes_to_each_peer_for_its_own_records)
{
	tick(0);
	for (uint8_t peer = 1; peer <= 2; peer++) {
		const struct streamer_effect *effect = find(STREAMER_SEND_SUBSCRIBE, peer);
		cr_assert(effect);
		cr_assert_eq(effect->origins, 1u << peer);
		cr_assert_eq(effect->credit, STREAMER_WINDOW);
		cr_assert_eq(effect->vector.sequence[peer], applied.sequence[peer]);
		cr_assert_gt(effect->epoch, 1000);
		cr_assert_not(effect->repeated);
	}
	tick(100);
	cr_assert_not(find(STREAMER_SEND_SUBSCRIBE, 1));
}

Test(steps, waits_for_the_coordinator)
{
	s.ready = false;
	tick(0);
	cr_assert_eq(out.count, 0);
	subscribe(1, 5, applied, 1000);
	cr_assert_eq(find(STREAMER_SEND_REFUSAL, 1)->code, ERR_UNREACHABLE);
}

Test(steps, not_connected_is_tried_again_with_back_off)
{
	tick(0);
	uint64_t waited_ms = 0, tries = 0;
	step((struct streamer_event){.kind = STREAMER_NOT_SENT, .peer = 1});
	for (; waited_ms < 10000; waited_ms += 10) {
		tick(10);
		if (!find(STREAMER_SEND_SUBSCRIBE, 1))
			continue;
		tries++;
		step((struct streamer_event){.kind = STREAMER_NOT_SENT, .peer = 1});
	}
	cr_assert(tries >= 7 && tries <= 10, "%llu", (unsigned long long)tries);
}

Test(inbound, frames_in_order_are_taken)
{
	uint64_t epoch = s.inbound[1].epoch;
	frame_from(1, epoch, 1, 1000);
	cr_assert(find(STREAMER_TAKE_FRAME, 1));
	cr_assert_eq(find(STREAMER_TAKE_FRAME, 1)->origins, 2);
	frame_from(1, epoch, 1, 1000);
	cr_assert_eq(out.count, 0); /* twice */
	frame_from(1, epoch, 2, 1000);
	cr_assert(find(STREAMER_TAKE_FRAME, 1));
}

Test(inbound, a_gap_makes_a_new_subscription)
{
	uint64_t epoch = s.inbound[1].epoch;
	frame_from(1, epoch, 1, 1000);
	frame_from(1, epoch, 3, 1000);
	cr_assert_not(find(STREAMER_TAKE_FRAME, 1));
	frame_from(1, epoch, 2, 1000); /* too late now */
	cr_assert_eq(out.count, 0);
	tick(100);
	const struct streamer_effect *effect = find(STREAMER_SEND_SUBSCRIBE, 1);
	cr_assert(effect && effect->epoch > epoch && effect->repeated);
	cr_assert(find(STREAMER_DROP_FRAMES, 1));
	alive(1, applied);
	/* Of an old epoch, on a stream that is open: 1 is the number that is due. */
	for (uint64_t number = 1; number <= 4; number++) {
		frame_from(1, epoch, number, 1000);
		cr_assert_eq(out.count, 0);
	}
	frame_from(1, s.inbound[1].epoch, 1, 1000);
	cr_assert(find(STREAMER_TAKE_FRAME, 1));
}

/* H23: what belongs to the subscription before says nothing of this one, whatever it is, and however far this one is. */
Test(inbound, H23_messages_of_another_epoch_mean_nothing)
{
	const uint64_t before = s.inbound[1].epoch;
	frame_from(1, before, 2, 1000); /* a gap: it subscribes again */
	tick(100);
	const uint64_t epoch = s.inbound[1].epoch;
	cr_assert_gt(epoch, before);
	for (int opened = 0; opened < 2; opened++) {
		for (int64_t off = -1; off <= 1; off += 2) {
			const uint64_t other = off < 0 ? before : epoch + 1;
			struct streamer_event event = {
			    .kind = STREAMER_ALIVE, .peer = 1, .alive = {.epoch = other, .applied = applied}};
			event.alive.applied.sequence[1] += 1000;
			memcpy(event.alive.stores, stores, sizeof stores);
			step(event);
			cr_assert_eq(out.count, 0);
			cr_assert_eq(s.inbound[1].open, opened, "opened by a word of another subscription");
			cr_assert_eq(s.known[1].sequence[1], applied.sequence[1]);
			frame_from(1, other, 1, 1000);
			cr_assert_eq(out.count, 0);
			cr_assert_eq(s.inbound[1].number, 0);
			step((struct streamer_event){
			    .kind = STREAMER_REFUSAL, .peer = 1, .refusal = {.epoch = other, .code = ERR_NEEDS_RESYNC}});
			cr_assert_eq(out.count, 0);
			cr_assert_eq(s.inbound[1].epoch, epoch, "ended by a refusal of another subscription");
		}
		if (!opened)
			alive(1, applied);
	}
	frame_from(1, epoch, 1, 1000);
	cr_assert(find(STREAMER_TAKE_FRAME, 1));
	refusal(1, ERR_NEEDS_RESYNC);
	cr_assert_neq(s.inbound[1].epoch, epoch);
}

Test(inbound, beyond_its_credit_is_refused)
{
	uint64_t epoch = s.inbound[1].epoch;
	for (uint32_t i = 1; i <= 16; i++) {
		frame_from(1, epoch, i, STREAMER_WINDOW / 16);
		cr_assert(find(STREAMER_TAKE_FRAME, 1));
	}
	frame_from(1, epoch, 17, 1);
	cr_assert(find(STREAMER_REFUSE_FRAME, 1));
	cr_assert_not(find(STREAMER_TAKE_FRAME, 1));
}

Test(inbound, credit_follows_delivery)
{
	uint64_t epoch = s.inbound[1].epoch;
	for (uint32_t i = 1; i <= 8; i++)
		frame_from(1, epoch, i, STREAMER_WINDOW / 8);
	step((struct streamer_event){.kind = STREAMER_DELIVERED, .peer = 1, .delivered.raw_size = STREAMER_WINDOW / 8});
	cr_assert_eq(out.count, 0); /* not worth a message yet */
	step((struct streamer_event){.kind = STREAMER_DELIVERED, .peer = 1, .delivered.raw_size = STREAMER_WINDOW / 8});
	cr_assert_eq(find(STREAMER_SEND_ACKNOWLEDGE, 1)->credit, STREAMER_WINDOW + STREAMER_WINDOW / 4);
}

Test(inbound, draining_grants_nothing_more)
{
	uint64_t epoch = s.inbound[1].epoch;
	step((struct streamer_event){.kind = STREAMER_DRAIN});
	frame_from(1, epoch, 1, STREAMER_WINDOW / 2);
	step((struct streamer_event){.kind = STREAMER_DELIVERED, .peer = 1, .delivered.raw_size = STREAMER_WINDOW / 2});
	tick(500);
	cr_assert_eq(find(STREAMER_SEND_ACKNOWLEDGE, 1)->credit, STREAMER_WINDOW);
}

Test(inbound, acknowledges_what_is_applied_at_most_every_5_ms)
{
	tick(5);
	cr_assert_not(find(STREAMER_SEND_ACKNOWLEDGE, 1));
	applied.sequence[1]++;
	local(1);
	tick(0);
	cr_assert_eq(find(STREAMER_SEND_ACKNOWLEDGE, 1)->vector.sequence[1], applied.sequence[1]);
	cr_assert_not(find(STREAMER_SEND_ACKNOWLEDGE, 2)); /* it serves something else */
	applied.sequence[1]++;
	local(1);
	tick(4);
	cr_assert_not(find(STREAMER_SEND_ACKNOWLEDGE, 1));
	cr_assert_leq(streamer_deadline_ns(&s), now_ns + STREAMER_MS);
	tick(1);
	cr_assert(find(STREAMER_SEND_ACKNOWLEDGE, 1));
	tick(499);
	cr_assert_not(find(STREAMER_SEND_ACKNOWLEDGE, 1));
	tick(1);
	cr_assert(find(STREAMER_SEND_ACKNOWLEDGE, 1)); /* keep-alive */
}

Test(inbound, silence_of_two_seconds)
{
	tick(2000);
	cr_assert_not(find(STREAMER_SEND_SUBSCRIBE, 1));
	tick(1);
	cr_assert_eq(find(STREAMER_PUBLISH_INBOUND, 1)->state, LINK_DOWN);
	tick(2000);
	cr_assert(find(STREAMER_SEND_SUBSCRIBE, 1) || s.inbound[1].epoch);
}

Test(inbound, a_stall_behind_an_announced_vector)
{
	struct vector ahead = applied;
	ahead.sequence[1] += 5;
	uint64_t epoch = s.inbound[1].epoch;
	for (uint32_t i = 0; i < 5; i++) {
		tick(500);
		alive(1, ahead);
		alive(2, applied);
	}
	cr_assert_gt(s.inbound[1].epoch, epoch);
	cr_assert_eq(s.inbound[2].epoch, 1000 + 2, "the other stream is left alone");
	/* With progress there is none. */
	epoch = s.inbound[1].epoch;
	for (uint32_t i = 0; i < 10; i++) {
		applied.sequence[1]++;
		ahead.sequence[1]++;
		local(1);
		tick(500);
		alive(1, ahead);
		alive(2, applied);
	}
	cr_assert_eq(s.inbound[1].epoch, epoch);
}

Test(inbound, a_full_ring_is_no_stall)
{
	struct vector ahead = applied;
	ahead.sequence[1] += 5;
	uint64_t epoch = s.inbound[1].epoch;
	frame_from(1, epoch, 1, 1000);
	for (uint32_t i = 0; i < 20; i++) {
		tick(500);
		alive(1, ahead);
	}
	cr_assert_eq(s.inbound[1].epoch, epoch);
}

Test(inbound, a_new_coordinator_starts_every_stream_again)
{
	uint64_t epoch = s.inbound[2].epoch;
	frame_from(1, s.inbound[1].epoch, 1, 1000);
	local(2);
	cr_assert(find(STREAMER_DROP_FRAMES, 1) && find(STREAMER_DROP_FRAMES, 2));
	tick(0);
	cr_assert(find(STREAMER_SEND_SUBSCRIBE, 1) && find(STREAMER_SEND_SUBSCRIBE, 2));
	cr_assert_gt(s.inbound[2].epoch, epoch);
}

Test(inbound, a_bad_frame_starts_again)
{
	uint64_t epoch = s.inbound[1].epoch;
	frame_from(1, epoch, 1, 1000);
	step((struct streamer_event){.kind = STREAMER_FRAME_BAD, .peer = 1});
	cr_assert(find(STREAMER_DROP_FRAMES, 1));
	tick(100);
	cr_assert(find(STREAMER_SEND_SUBSCRIBE, 1));
}

Test(inbound, refusals_are_published_and_tried_again)
{
	refusal(1, ERR_CONFIGURATION);
	cr_assert_eq(find(STREAMER_PUBLISH_INBOUND, 1)->state, LINK_REFUSED);
	tick(100);
	refusal(1, ERR_NEEDS_RESYNC);
	cr_assert_eq(find(STREAMER_PUBLISH_INBOUND, 1)->state, LINK_NEEDS_RESYNC);
	uint64_t tries = 0;
	for (uint32_t i = 0; i < 1000; i++) {
		tick(10);
		alive(2, applied);
		if (!find(STREAMER_SEND_SUBSCRIBE, 1) && s.inbound[1].epoch == 0)
			continue;
		if (s.inbound[1].epoch) {
			tries++;
			refusal(1, ERR_NEEDS_RESYNC);
		}
	}
	cr_assert(tries >= 5 && tries <= 8, "%llu", (unsigned long long)tries);
}

Test(inbound, relay_of_a_silent_origin_and_back)
{
	struct vector ahead = applied;
	ahead.sequence[1] += 5;
	for (uint32_t i = 0; i < 5; i++) {
		tick(500);
		alive(2, ahead);
		cr_assert_eq(s.relay[1], REGIONS_MAX); /* silent for 2.5 s only */
	}
	tick(499);
	cr_assert_eq(s.relay[1], REGIONS_MAX);
	alive(2, ahead);
	tick(10);
	cr_assert_eq(s.relay[1], 2);
	const struct streamer_effect *effect = find(STREAMER_SEND_SUBSCRIBE, 2);
	cr_assert_eq(effect->origins, 1u << 2 | 1u << 1);
	/* It comes back: each serves its own again. */
	while (!s.inbound[1].epoch) {
		tick(100);
		alive(2, ahead);
	}
	alive(1, ahead);
	tick(1);
	cr_assert_eq(s.relay[1], REGIONS_MAX);
	effect = find(STREAMER_SEND_SUBSCRIBE, 2);
	cr_assert_eq(effect->origins, 1u << 2);
}

Test(inbound, no_relay_through_one_that_has_no_more)
{
	for (uint32_t i = 0; i < 20; i++) {
		tick(500);
		alive(2, applied);
	}
	cr_assert_eq(s.relay[1], REGIONS_MAX);
}

Test(inbound, a_relay_that_has_dropped_the_records_keeps_serving_its_own)
{
	struct vector ahead = applied;
	ahead.sequence[1] += 5;
	for (uint32_t i = 0; i < 8; i++) {
		tick(500);
		alive(2, ahead);
	}
	cr_assert_eq(s.relay[1], 2);
	refusal(2, ERR_NEEDS_RESYNC);
	cr_assert_neq(s.inbound[2].state, LINK_NEEDS_RESYNC);
	for (uint32_t i = 0; i < 20; i++) {
		tick(500);
		if (s.inbound[2].epoch)
			alive(2, ahead);
	}
	cr_assert_eq(s.inbound[2].origins, 1u << 2);
	cr_assert_eq(s.inbound[2].state, LINK_SUBSCRIBED);
}

/* The one that was chosen has given all it has, and another has more (C of A's five, B of A's ten). */
Test(inbound, a_relay_is_left_for_one_that_has_more)
{
	struct vector some = applied, more = applied;
	some.sequence[3] = 5;
	more.sequence[3] = 10;
	s.peers = 14;
	stores[3].bytes[0] = known[3].bytes[0] = 4;
	local(1);
	for (uint32_t i = 0; i < 8; i++) {
		tick(500);
		alive(1, some);
		alive(2, applied);
	}
	cr_assert_eq(s.relay[3], 1);
	alive(2, more);
	tick(1);
	cr_assert_eq(s.relay[3], 1, "not in the middle");
	applied.sequence[3] = 5;
	local(1);
	alive(1, some);
	alive(2, more);
	tick(1);
	cr_assert_eq(s.relay[3], 2);
	cr_assert_eq(find(STREAMER_SEND_SUBSCRIBE, 2)->origins, 1u << 2 | 1u << 3);
}

Test(inbound, an_origin_that_needs_a_resync_is_relayed)
{
	struct vector ahead = applied;
	uint64_t changes = 0;
	ahead.sequence[1] += 5;
	for (uint32_t i = 0; i < 40; i++) {
		tick(100);
		alive(2, ahead);
		if (s.inbound[1].epoch) {
			refusal(1, ERR_NEEDS_RESYNC);
			changes += find(STREAMER_PUBLISH_INBOUND, 1) != NULL;
		}
		cr_assert(i < 5 || s.relay[1] == 2, "at once, not when it counts as silent");
	}
	cr_assert_eq(s.relay[1], 2);
	cr_assert_eq(changes, 1);
}

Test(inbound, nothing_is_relayed_of_another_store)
{
	struct vector ahead = applied;
	ahead.sequence[1] += 5;
	stores[1].bytes[5] = 77; /* what region 2 holds of region 1 */
	for (uint32_t i = 0; i < 20; i++) {
		tick(500);
		alive(2, ahead);
	}
	cr_assert_eq(s.relay[1], REGIONS_MAX);
	/* The same, asked of us. */
	struct streamer_event event = {.kind = STREAMER_SUBSCRIBE,
	    .peer = 2,
	    .subscribe = {.epoch = 5, .from = applied, .origins = 3, .credit = 1000, .fingerprint = 42}};
	memcpy(event.subscribe.stores, stores, sizeof stores);
	step(event);
	refused(2, ERR_NEEDS_RESYNC, false);
}

/* Of a region that was never met, a peer tells whose records it holds. */
Test(steps, a_store_is_learnt_through_another)
{
	struct vector ahead = applied;
	ahead.sequence[1] += 5;
	known[1] = (struct store_id){{0}};
	local(1);
	tick(0);
	alive(2, ahead);
	cr_assert(store_id_is_equal(&find(STREAMER_PUBLISH_SEEN, 1)->store, &stores[1]));
	for (uint32_t i = 0; i < 8; i++) {
		tick(500);
		alive(2, ahead);
	}
	cr_assert_eq(s.relay[1], REGIONS_MAX, "not durable yet");
	memcpy(known, stores, sizeof known);
	local(1);
	tick(1);
	cr_assert_eq(s.relay[1], 2);
}

/* ---- as a sender ---------------------------------------------------------------------------------------------------- */

Test(steps, accepts_a_subscription)
{
	struct vector from = {{10, 20, 30}};
	subscribe(1, 7, from, 1000);
	cr_assert_eq(asked.vector.sequence[0], 10);
	cr_assert_eq(find(STREAMER_SEND_ALIVE, 1)->epoch, 7);
	cr_assert_eq(find(STREAMER_PUBLISH_OUTBOUND, 1)->state, LINK_SUBSCRIBED);
	cr_assert_eq(acked.vector.sequence[0], 10);
	subscribe(1, 6, from, 1000); /* late */
	cr_assert_eq(out.count, 0);
	subscribe(1, 8, from, 1000);
	cr_assert_eq(find(STREAMER_SEND_ALIVE, 1)->epoch, 8);
	/* A receiver whose clock was set back is taken once the old one is silent. */
	now_ns += STREAMER_EXPIRE_NS / 2;
	subscribe(1, 3, from, 1000);
	cr_assert_eq(find(STREAMER_SEND_ALIVE, 1)->epoch, 3);
}

/* Whatever it has written meanwhile: its numbers mean other writes. */
Test(steps, M14_T39_a_region_that_was_wiped_is_refused_also_when_it_has_outgrown_its_old_numbers)
{
	struct vector from = {{0, 10, 0}};
	stores[1].bytes[5] = 77;
	subscribe(1, 7, from, 1000);
	refused(1, ERR_REGION_REUSED, false);
	cr_assert_eq(find(STREAMER_PUBLISH_OUTBOUND, 1)->state, LINK_REFUSED);
	from.sequence[1] = 1000;
	subscribe(1, 8, from, 1000);
	refused(1, ERR_REGION_REUSED, false);
}

Test(inbound, M14_T39_nothing_is_taken_from_a_region_that_was_wiped)
{
	tick(0);
	refusal(1, ERR_UNREACHABLE);
	tick(100);
	stores[1].bytes[5] = 77;
	frame_from(1, s.inbound[1].epoch, 1, 100);
	cr_assert_eq(out.count, 0, "it has not said yet who it is");
	uint64_t epoch = s.inbound[1].epoch;
	alive(1, applied);
	cr_assert_eq(find(STREAMER_PUBLISH_INBOUND, 1)->code, ERR_REGION_REUSED);
	cr_assert_not(find(STREAMER_PUBLISH_REUSED, 1), "it is not us");
	frame_from(1, epoch, 1, 100);
	cr_assert_not(find(STREAMER_TAKE_FRAME, 1));
}

Test(inbound, T39_this_region_was_wiped)
{
	/* A peer refuses us. */
	refusal(1, ERR_REGION_REUSED);
	cr_assert(find(STREAMER_PUBLISH_REUSED, 1)->reused);
	cr_assert_eq(find(STREAMER_PUBLISH_INBOUND, 1)->state, LINK_REFUSED);
	/* Another holds records of the store that was here before: it is not to blame. */
	stores[0].bytes[5] = 77;
	subscribe(2, 7, applied, 1000);
	refused(2, ERR_REGION_REUSED, true);
	cr_assert(find(STREAMER_PUBLISH_REUSED, 2)->reused);
	/* The right data was put back. */
	memcpy(known, stores, sizeof known);
	local(2);
	tick(100);
	alive(1, applied);
	cr_assert_not(find(STREAMER_PUBLISH_REUSED, 1)->reused);
}

Test(inbound, a_refusal_of_itself_is_nothing_against_this_region)
{
	step((struct streamer_event){.kind = STREAMER_REFUSAL,
	    .peer = 1,
	    .refusal = {.epoch = s.inbound[1].epoch, .code = ERR_REGION_REUSED, .of_itself = true}});
	cr_assert_not(find(STREAMER_PUBLISH_REUSED, 1));
	cr_assert_eq(find(STREAMER_PUBLISH_INBOUND, 1)->code, ERR_REGION_REUSED);
}

Test(steps, a_store_not_met_before_is_told_to_the_coordinator_first)
{
	known[1] = (struct store_id){{0}};
	local(1);
	subscribe(1, 7, applied, 1000);
	refused(1, ERR_UNREACHABLE, false);
	cr_assert(store_id_is_equal(&find(STREAMER_PUBLISH_SEEN, 1)->store, &stores[1]));
	subscribe(1, 8, applied, 1000);
	refused(1, ERR_UNREACHABLE, false);
	cr_assert_not(find(STREAMER_PUBLISH_SEEN, 1), "once is enough");
	tick(0);
	alive(1, applied);
	cr_assert_not(find(STREAMER_PUBLISH_INBOUND, 1));
	frame_from(1, s.inbound[1].epoch, 1, 100);
	cr_assert_eq(out.count, 0);
	memcpy(known, stores, sizeof known);
	local(1);
	subscribe(1, 9, applied, 1000);
	cr_assert(find(STREAMER_SEND_ALIVE, 1));
	tick(100);
	alive(1, applied);
	frame_from(1, s.inbound[1].epoch, 1, 100);
	cr_assert(find(STREAMER_TAKE_FRAME, 1));
}

/* Frames of the other connection have overtaken it. */
Test(steps, a_late_subscription_is_tried_again)
{
	struct vector from = {{50, 12, 30}};
	subscribe(1, 7, from, 1000);
	refused(1, ERR_UNREACHABLE, false);
	subscribe(1, 8, from, 1000); /* was under way with it */
	refused(1, ERR_UNREACHABLE, false);
	subscribe(1, 9, from, 1000);
	refused(1, ERR_UNREACHABLE, false);
	applied.sequence[1] = 40;
	local(1);
	told_refused = 9;
	from.sequence[1] = 25; /* less than now, no less than at the first look */
	subscribe(1, 10, from, 1000);
	refused(1, ERR_UNREACHABLE, false);
	told_refused = 10;
	from.sequence[1] = 40;
	subscribe(1, 11, from, 1000);
	cr_assert(find(STREAMER_SEND_ALIVE, 1));
}

Test(steps, T39_a_backup_copied_back_there)
{
	struct vector from = {{50, 12, 30}};
	subscribe(1, 7, from, 1000);
	refused(1, ERR_UNREACHABLE, false);
	told_refused = 7;
	subscribe(1, 8, from, 1000);
	refused(1, ERR_REGION_REUSED, false);
	told_refused = 8;
	from.sequence[1]++;
	subscribe(1, 9, from, 1000);
	refused(1, ERR_REGION_REUSED, false);
}

Test(steps, T39_a_backup_copied_back_here)
{
	struct vector from = {{55, 20, 30}};
	subscribe(1, 7, from, 1000);
	refused(1, ERR_UNREACHABLE, false);
	told_refused = 7;
	applied.sequence[0] = 54;
	local(1);
	subscribe(1, 8, from, 1000);
	refused(1, ERR_REGION_REUSED, true);
	cr_assert(find(STREAMER_PUBLISH_REUSED, 1)->reused);
}

Test(inbound, what_a_peer_has_refused_is_told_with_the_next_subscription)
{
	uint64_t epoch = s.inbound[1].epoch;
	refusal(1, ERR_UNREACHABLE);
	tick(100);
	cr_assert_eq(find(STREAMER_SEND_SUBSCRIBE, 1)->refused, epoch);
}

Test(steps, refuses_other_topologies_and_masks)
{
	static const uint32_t masks[] = {0, 2, 8, 1u << 31};
	step((struct streamer_event){.kind = STREAMER_SUBSCRIBE,
	    .peer = 1,
	    .subscribe = {.epoch = 1, .from = applied, .origins = 1, .credit = 1, .fingerprint = 43}});
	cr_assert_eq(find(STREAMER_SEND_REFUSAL, 1)->code, ERR_CONFIGURATION);
	for (uint32_t i = 0; i < 4; i++) {
		step((struct streamer_event){.kind = STREAMER_SUBSCRIBE,
		    .peer = 1,
		    .subscribe = {.epoch = 1, .from = applied, .origins = masks[i], .credit = 1, .fingerprint = 42}});
		cr_assert_eq(find(STREAMER_SEND_REFUSAL, 1)->code, ERR_MALFORMED);
	}
}

Test(steps, needs_resync_is_told_and_published)
{
	subscribe(1, 7, applied, 1000);
	step((struct streamer_event){.kind = STREAMER_SEND_FAILED, .peer = 1, .send_failed.code = ERR_NEEDS_RESYNC});
	cr_assert_eq(find(STREAMER_SEND_REFUSAL, 1)->code, ERR_NEEDS_RESYNC);
	cr_assert_eq(find(STREAMER_SEND_REFUSAL, 1)->epoch, 7);
	cr_assert(find(STREAMER_CLOSE_STREAM, 1));
	cr_assert_eq(find(STREAMER_PUBLISH_OUTBOUND, 1)->state, LINK_NEEDS_RESYNC);
	cr_assert_eq(streamer_allowance(&s, 1, now_ns, 1000), 0);
}

Test(steps, a_stream_that_cannot_be_opened_is_no_service)
{
	opens = false;
	subscribe(1, 7, applied, 1000);
	cr_assert(find(STREAMER_OPEN_STREAM, 1));
	cr_assert_not(find(STREAMER_SEND_ALIVE, 1));
	cr_assert_not(find(STREAMER_PUBLISH_OUTBOUND, 1));
	step((struct streamer_event){.kind = STREAMER_SEND_FAILED, .peer = 1, .send_failed.code = ERR_NEEDS_RESYNC});
	cr_assert_eq(find(STREAMER_SEND_REFUSAL, 1)->code, ERR_NEEDS_RESYNC);
	cr_assert_eq(find(STREAMER_PUBLISH_OUTBOUND, 1)->state, LINK_NEEDS_RESYNC);
	/* Nor does the state flap when it is tried again. */
	subscribe(1, 8, applied, 1000);
	step((struct streamer_event){.kind = STREAMER_SEND_FAILED, .peer = 1, .send_failed.code = ERR_NEEDS_RESYNC});
	cr_assert_not(find(STREAMER_PUBLISH_OUTBOUND, 1));
}

Test(steps, credit_is_respected)
{
	subscribe(1, 7, applied, 1000);
	cr_assert_eq(streamer_allowance(&s, 1, now_ns, 1 << 20), 0, "rather than a crumb");
	cr_assert_eq(streamer_allowance(&s, 1, now_ns, 900), 1000);
	step((struct streamer_event){.kind = STREAMER_SENT, .peer = 1, .sent.raw_size = 1000});
	now_ns += SECOND;
	cr_assert_eq(streamer_allowance(&s, 1, now_ns, 10), 0);
	step((struct streamer_event){.kind = STREAMER_ACKNOWLEDGE, .peer = 1, .acknowledge = {.epoch = 6, .credit = 5000}});
	cr_assert_eq(streamer_allowance(&s, 1, now_ns, 10), 0, "of another epoch");
	step((struct streamer_event){.kind = STREAMER_ACKNOWLEDGE, .peer = 1, .acknowledge = {.epoch = 7, .credit = 5000}});
	cr_assert_eq(streamer_allowance(&s, 1, now_ns, 10), 4000);
	step((struct streamer_event){.kind = STREAMER_ACKNOWLEDGE, .peer = 1, .acknowledge = {.epoch = 7, .credit = 2000}});
	cr_assert_eq(streamer_allowance(&s, 1, now_ns, 10), 4000, "credit is never taken back");
}

Test(steps, a_lonely_record_leaves_at_once_and_many_wait_for_company)
{
	subscribe(1, 7, applied, STREAMER_WINDOW);
	cr_assert_gt(streamer_allowance(&s, 1, now_ns, 100), 0);
	step((struct streamer_event){.kind = STREAMER_SENT, .peer = 1, .sent.raw_size = 100});
	now_ns += STREAMER_MS / 2;
	cr_assert_eq(streamer_allowance(&s, 1, now_ns, 100), 0);
	cr_assert_eq(streamer_linger_until(&s, 1), now_ns + STREAMER_MS / 2);
	cr_assert_gt(streamer_allowance(&s, 1, now_ns, STREAMER_LINGER_BYTES), 0);
	now_ns += STREAMER_MS / 2;
	cr_assert_gt(streamer_allowance(&s, 1, now_ns, 100), 0);
}

Test(steps, acknowledgements_are_published_and_never_go_back)
{
	struct vector from = {{10, 20, 30}};
	subscribe(1, 7, from, 1000);
	struct streamer_event event = {.kind = STREAMER_ACKNOWLEDGE, .peer = 1, .acknowledge = {.epoch = 7, .credit = 1000}};
	event.acknowledge.applied = (struct vector){{15, 21, 30}};
	step(event);
	cr_assert_eq(find(STREAMER_PUBLISH_ACKED, 1)->vector.sequence[0], 15);
	event.acknowledge.applied = (struct vector){{12, 22, 30}};
	step(event);
	cr_assert_eq(find(STREAMER_PUBLISH_ACKED, 1)->vector.sequence[0], 15);
	event.acknowledge.epoch = 6;
	step(event);
	cr_assert_eq(out.count, 0);
}

Test(steps, a_silent_subscriber_is_forgotten)
{
	subscribe(1, 7, applied, 1000);
	tick(500);
	cr_assert_eq(find(STREAMER_SEND_ALIVE, 1)->epoch, 7);
	tick(9500);
	cr_assert(find(STREAMER_CLOSE_STREAM, 1));
	cr_assert_eq(find(STREAMER_PUBLISH_OUTBOUND, 1)->state, LINK_DOWN);
	tick(500);
	cr_assert_not(find(STREAMER_SEND_ALIVE, 1));
}

Test(steps, an_acknowledgement_of_no_stream_is_told_so)
{
	step((struct streamer_event){.kind = STREAMER_ACKNOWLEDGE, .peer = 1, .acknowledge = {.epoch = 77, .credit = 1000}});
	cr_assert_eq(find(STREAMER_SEND_REFUSAL, 1)->epoch, 77);
	cr_assert_eq(find(STREAMER_SEND_REFUSAL, 1)->code, ERR_UNREACHABLE);
	cr_assert_eq(out.count, 1);
}

Test(inbound, a_sender_that_restarted_is_subscribed_to_at_once)
{
	tick(1000);
	refusal(1, ERR_UNREACHABLE);
	cr_assert_eq(find(STREAMER_PUBLISH_INBOUND, 1)->state, LINK_DOWN);
	tick(0);
	cr_assert(find(STREAMER_SEND_SUBSCRIBE, 1));
}

/* ---- G20: the stream of an origin stands at a keyspace that the receiver has not, or otherwise ---- */

static void alive_holding(uint8_t peer, struct vector of_peer, uint32_t held)
{
	struct streamer_event event = {
	    .kind = STREAMER_ALIVE, .peer = peer, .alive = {.epoch = s.inbound[peer].epoch, .applied = of_peer, .held = held}};
	memcpy(event.alive.stores, stores, sizeof stores);
	step(event);
}

Test(inbound, G20_what_is_held_is_no_stall_and_is_told_once)
{
	struct vector more = applied;
	more.sequence[1] += 5;
	alive_holding(1, more, 2);
	cr_assert_eq(find(STREAMER_PUBLISH_HELD_IN, 1)->origins, 2);
	for (uint32_t i = 0; i < 20; i++) {
		alive_holding(1, more, 2);
		cr_assert_not(find(STREAMER_PUBLISH_HELD_IN, 1));
		alive(2, applied);
		tick(500);
		cr_assert_not(find(STREAMER_SEND_SUBSCRIBE, 1), "after %u", i);
		cr_assert_eq(s.inbound[1].state, LINK_SUBSCRIBED);
	}
	/* Not held any more, what does not come is a stall again. */
	alive_holding(1, more, 0);
	cr_assert_eq(find(STREAMER_PUBLISH_HELD_IN, 1)->origins, 0);
	bool again = false;
	for (uint32_t i = 0; i < 6 && !again; i++) {
		alive(1, more);
		tick(500);
		again = find(STREAMER_SEND_SUBSCRIBE, 1) != NULL;
	}
	cr_assert(again);
}

Test(inbound, G20_a_peer_holds_only_what_was_asked_of_it_and_only_while_it_is_there)
{
	alive_holding(1, applied, 1u << 5 | 1u << 2);
	cr_assert_not(find(STREAMER_PUBLISH_HELD_IN, 1));
	alive_holding(1, applied, 2);
	cr_assert_eq(find(STREAMER_PUBLISH_HELD_IN, 1)->origins, 2);
	tick(2500);
	cr_assert_eq(find(STREAMER_PUBLISH_INBOUND, 1)->state, LINK_DOWN);
	cr_assert_eq(find(STREAMER_PUBLISH_HELD_IN, 1)->origins, 0);
}

Test(steps, G20_a_held_origin_is_told_at_once_and_with_every_sign_of_life)
{
	subscribe(1, 7, applied, 1000);
	step((struct streamer_event){.kind = STREAMER_HELD, .peer = 1, .held = {1, 9}});
	cr_assert(find(STREAMER_SEND_ALIVE, 1)->origins == 1 && find(STREAMER_SEND_ALIVE, 1)->keyspace == 9);
	cr_assert(find(STREAMER_PUBLISH_HELD_OUT, 1)->origins == 1 && find(STREAMER_PUBLISH_HELD_OUT, 1)->keyspace == 9);
	tick(500);
	cr_assert(find(STREAMER_SEND_ALIVE, 1)->origins == 1 && find(STREAMER_SEND_ALIVE, 1)->keyspace == 9);
	cr_assert_not(find(STREAMER_PUBLISH_HELD_OUT, 1));
	/* A new subscription looks again. */
	struct streamer_event event = {.kind = STREAMER_SUBSCRIBE,
	    .peer = 1,
	    .subscribe = {.epoch = 8, .from = applied, .origins = 1, .credit = 1000, .fingerprint = 42, .keyspaces = 5}};
	memcpy(event.subscribe.stores, stores, sizeof stores);
	step(event);
	cr_assert_eq(find(STREAMER_PUBLISH_HELD_OUT, 1)->origins, 0);
	cr_assert_eq(find(STREAMER_OPEN_STREAM, 1)->keyspaces, 5);
	step((struct streamer_event){.kind = STREAMER_OPENED, .peer = 1});
	cr_assert_eq(find(STREAMER_SEND_ALIVE, 1)->origins, 0);
}
