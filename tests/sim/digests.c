/* SPDX-License-Identifier: Apache-2.0
 *
 * Reconcilers: what their port does, over digests that the simulated store keeps. Regions that hold the same writes hold the
 * same rows, so nothing may ever be named (T13) but a row that was damaged on purpose. */
#include "tests/sim/sim.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "actors/reconciler/message.h"

static struct packer packer;
static struct page_buffer page;
static struct reconciler_row peer_rows[PAGE_ROWS_MAX];
static struct digest own_buckets[DIGEST_BUCKETS], peer_buckets[DIGEST_BUCKETS];

static const char *name_of(const struct sim_node *node)
{
	return sim_names[node->region];
}

static void wake_for(struct sim *sim, struct sim_node *node)
{
	uint64_t deadline_ns = reconciler_deadline_ns(&node->reconciler);
	if (deadline_ns != RECONCILER_NEVER)
		node_wake(sim, node, ACTOR_RECONCILER, deadline_ns > sim->now_ns ? deadline_ns - sim->now_ns : 0);
}

void digests_start(struct sim *sim, struct sim_node *node)
{
	struct reconciler_options options = {.self = node->region,
	    .peers = node->peers,
	    .keyspace_count = 1,
	    .compare_ns = sim->compare_ms * SIM_MS,
	    .timeout_ns = 5000 * SIM_MS,
	    .seed = chance_next(&sim->chance) >> 1};
	reconciler_init(&node->reconciler, &options);
	wake_for(sim, node);
}

static void check_told(struct sim *sim, struct sim_node *node, uint8_t peer, const struct reconciler_effects *effects)
{
	for (uint32_t i = 0; i < effects->told_count; i++) {
		const struct reconciler_row *row = &effects->told[i];
		sim_trace(sim, "%s reconciler > row %.*s differs from that of %s", name_of(node), (int)row->key_size,
		    (const char *)row->key, sim_names[peer]);
		bool concerned = node->region == sim->damaged_region || peer == sim->damaged_region;
		if (!sim->damaged_key[0] || !concerned || strlen(sim->damaged_key) != row->key_size ||
		    memcmp(sim->damaged_key, row->key, row->key_size) != 0)
			sim_fail(sim, SIM_SAFETY, "%s says that row %.*s differs from that of %s, and it does not (T13)",
			    name_of(node), (int)row->key_size, (const char *)row->key, sim_names[peer]);
		sim->damage_told[node->region] |= 1u << peer;
	}
}

static void step(struct sim *sim, struct sim_node *node, const struct reconciler_event *event)
{
	struct reconciler_effects effects;
	reconciler_step(&node->reconciler, event, &effects);
	check_told(sim, node, (uint8_t)event->peer, &effects);
	for (uint32_t p = 0; p < sim->regions; p++)
		if (node->reconciler.peers[p].comparisons[0].verdict == RECONCILER_DIFFERS && !sim->damaged_key[0])
			sim_fail(sim, SIM_SAFETY, "%s says that its rows differ from those of %s, and they do not (T13)",
			    name_of(node), sim_names[p]);
	sim->counts.comparisons += effects.comparisons;
	packer.topology = &sim->topology;
	packer.self = node->region;
	for (uint32_t i = 0; i < effects.ask_count; i++) {
		const struct reconciler_ask *ask = &effects.asks[i];
		pack_ask(&packer, ask);
		if (network_send(sim, node->region, (uint8_t)ask->peer, SERVICE_DIGEST, true, packer.bytes, packer.size))
			continue;
		struct reconciler_event lost = {
		    .kind = RECONCILER_NOT_SENT, .now_ns = sim->now_ns, .peer = ask->peer, .number = ask->number};
		struct reconciler_effects none;
		reconciler_step(&node->reconciler, &lost, &none);
	}
	wake_for(sim, node);
}

void digests_turn(struct sim *sim, struct sim_node *node)
{
	struct reconciler_event event = {.kind = RECONCILER_TICK, .now_ns = sim->now_ns};
	step(sim, node, &event);
}

static int answer(struct sim *sim, struct sim_node *node, uint8_t peer, const Godwit__Peer__DigestRequest *request)
{
	uint8_t mask[RECONCILER_MASK_SIZE];
	int code = request_check(request, &sim->topology, mask);
	if (code)
		return code;
	packer.topology = &sim->topology;
	packer.self = node->region;
	if (request->bucket == -1) {
		pack_digests(&packer, request, &node->disk.applied, node->disk.buckets, node->disk.live_rows);
	} else {
		code = page_read(&page, rows_view_of(node), 0, mask, request->after.data, (uint32_t)request->after.len);
		if (code)
			return code;
		pack_page(&packer, request, &node->disk.applied, &page.page);
	}
	network_send(sim, node->region, peer, SERVICE_DIGEST, false, packer.bytes, packer.size);
	return 0;
}

static int reply(struct sim *sim, struct sim_node *node, uint8_t peer, const Godwit__Peer__DigestReply *message)
{
	const struct reconciler_peer *open = reconciler_open(&node->reconciler, peer, message->number);
	struct vector peer_applied;
	if (!open)
		return 0;
	struct reconciler_event event = {.kind = open->sweeping ? RECONCILER_ROWS : RECONCILER_DIGESTS,
	    .now_ns = sim->now_ns,
	    .peer = peer,
	    .number = message->number,
	    .own_applied = &node->disk.applied,
	    .peer_applied = &peer_applied,
	    .own_buckets = own_buckets,
	    .peer_buckets = peer_buckets};
	int code = open->sweeping
	               ? reply_read_page(message, open->after, open->after_size, &peer_applied, peer_rows, &event.peer_page)
	               : reply_read_digests(message, &peer_applied, peer_buckets);
	if (!code && open->sweeping)
		code = page_read(&page, rows_view_of(node), 0, open->mask, open->after, open->after_size);
	if (code)
		return code;
	memcpy(own_buckets, node->disk.buckets, sizeof own_buckets);
	event.own = page.page;
	step(sim, node, &event);
	return 0;
}

void digests_message(struct sim *sim, struct sim_node *node, const struct sim_event *event)
{
	Godwit__Peer__Envelope *envelope = godwit__peer__envelope__unpack(NULL, event->size, event->bytes);
	assert(envelope);
	int code = envelope_check(envelope, &sim->topology, node->region, sim_names[event->peer]);
	if (!code)
		code = event->from_receiver ? answer(sim, node, event->peer, envelope->digest_request)
		                            : reply(sim, node, event->peer, envelope->digest_reply);
	godwit__peer__envelope__free_unpacked(envelope, NULL);
	if (code)
		sim_fail(sim, SIM_SAFETY, "%s refuses a message of the reconciler of %s: %s", name_of(node),
		    sim_names[event->peer], error_name(code));
}

static bool holds_the_same(const struct sim *sim, uint32_t r, uint32_t p)
{
	return vector_compare(&sim->nodes[r].disk.applied, &sim->nodes[p].disk.applied) == VECTOR_EQUAL;
}

bool digests_settled(struct sim *sim)
{
	for (uint32_t r = 0; r < sim->regions; r++)
		for (uint32_t p = 0; p < sim->regions; p++) {
			const struct reconciler_comparison *c = &sim->nodes[r].reconciler.peers[p].comparisons[0];
			if (p == r || !holds_the_same(sim, r, p))
				continue;
			if (c->verdict != RECONCILER_EQUAL || c->compared_ns < sim->calm_ns)
				return false;
		}
	return true;
}

/* As if one region had applied a write to one row wrongly. */
void digests_damage(struct sim *sim)
{
	struct sim_node *node = &sim->nodes[chance_below(&sim->chance, sim->regions)];
	struct sim_disk *disk = &node->disk;
	struct row row;
	uint32_t from = (uint32_t)chance_below(&sim->chance, disk->row_capacity);
	for (uint32_t i = 0; i < disk->row_capacity; i++) {
		struct sim_row *stored = &disk->rows[(from + i) % disk->row_capacity];
		if (!stored->bytes || row_decode(&row, stored->bytes, stored->size) != 0 || row_is_deleted(&row))
			continue;
		struct digest *bucket = &disk->buckets[row_digest_bucket((const uint8_t *)stored->key, strlen(stored->key))];
		digest_subtract(
		    bucket, row_digest(0, (const uint8_t *)stored->key, strlen(stored->key), stored->bytes, stored->size));
		if (chance_of(&sim->chance, 500)) {
			free(stored->bytes);
			stored->bytes = NULL;
			disk->live_rows--;
		} else {
			stored->bytes[stored->size - 1] ^= 1; /* of a value */
			digest_add(bucket,
			    row_digest(0, (const uint8_t *)stored->key, strlen(stored->key), stored->bytes, stored->size));
		}
		sim->damaged_region = node->region;
		strcpy(sim->damaged_key, stored->key);
		sim_trace(sim, "---- row %s of %s is %s", stored->key, name_of(node), stored->bytes ? "changed" : "taken away");
		return;
	}
}

bool digests_damage_told(struct sim *sim)
{
	uint32_t damaged = sim->damaged_region;
	for (uint32_t r = 0; r < sim->regions; r++)
		if (r != damaged && holds_the_same(sim, r, damaged) &&
		    !(sim->damage_told[r] >> damaged & sim->damage_told[damaged] >> r & 1))
			return false;
	return true;
}
