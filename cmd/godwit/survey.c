/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/godwit/survey.h"

#include <stdlib.h>
#include <string.h>

#define INTERRUPTED_WAIT_NS 500000000ull

int survey_open(struct survey *survey, struct cli *cli)
{
	struct error_context error = {{0}};
	*survey = (struct survey){.cli = cli, .region_count = cli->topology.region_count};
	for (uint32_t i = 0; i < survey->region_count; i++) {
		struct survey_region *r = &survey->regions[i];
		r->region = &cli->topology.regions[i];
		r->keyspaces = calloc(cli->topology.keyspace_count, sizeof *r->keyspaces);
		if (!r->keyspaces)
			return cli_fail(cli, ERR_NO_MEMORY, "no memory for digests");
		if (!cli_region_may_answer(cli, r->region)) {
			snprintf(r->reason, sizeof r->reason, "not running");
			continue;
		}
		int code = cli_connect(cli, r->region, 0, &r->connection, &error);
		if (code)
			return cli_fail_error(cli, code, &error);
	}
	return 0;
}

void survey_close(struct survey *survey)
{
	for (uint32_t i = 0; i < survey->region_count; i++) {
		gw_close(survey->regions[i].connection);
		free(survey->regions[i].keyspaces);
	}
	*survey = (struct survey){0};
}

static void about_take(struct survey_region *r, const Godwit__Client__Region *about)
{
	r->answered = vector_decode(&r->applied, about->applied.data, about->applied.len) >= 0;
	r->live_rows = about->live_rows;
	r->conflicts = about->conflicts;
	r->conflicts_dropped = about->conflicts_dropped;
	r->map_bytes = about->map_bytes;
	r->log_bytes = about->log_bytes;
	r->raw_bytes_sent = about->raw_bytes_sent;
	r->wire_bytes_sent = about->wire_bytes_sent;
	r->in_doubt = about->in_doubt;
	snprintf(r->refusing, sizeof r->refusing, "%s", about->refusing);
	snprintf(r->coordinator_state, sizeof r->coordinator_state, "%.15s", about->coordinator_state);
	r->coordinator_silent_ms = about->coordinator_silent_ms;
	r->clock_ahead_ms = about->clock_ahead_ms;
	r->clock_heard = about->clock_heard;
	r->clock_against = about->clock_against;
	r->records_ahead = about->records_ahead;
	r->records_ahead_ms = about->records_ahead_ms;
	r->peer_count = 0;
	for (size_t i = 0; i < about->n_peers && r->peer_count < REGIONS_MAX; i++) {
		const Godwit__Client__Peer *p = about->peers[i];
		struct survey_peer *peer = &r->peers[r->peer_count++];
		*peer = (struct survey_peer){.id = p->id,
		    .round_trip_us = p->round_trip_us,
		    .lag_records = p->lag_records,
		    .lag_bytes = p->lag_bytes,
		    .lag_ms = p->lag_ms,
		    .age_ms = p->age_ms,
		    .lag_known = p->lag_known,
		    .silent_ms = p->silent_ms,
		    .inbound_held = p->inbound_held};
		snprintf(peer->outbound_held, sizeof peer->outbound_held, "%.63s", p->outbound_held);
		snprintf(peer->state, sizeof peer->state, "%.15s", p->state);
		snprintf(peer->outbound, sizeof peer->outbound, "%.15s", p->outbound);
		snprintf(peer->inbound, sizeof peer->inbound, "%.15s", p->inbound);
		snprintf(peer->inbound_reason, sizeof peer->inbound_reason, "%.31s", p->inbound_reason);
		snprintf(peer->key_refusal, sizeof peer->key_refusal, "%.15s", p->key_refusal);
	}
}

static uint64_t load64(const uint8_t *bytes)
{
	uint64_t value = 0;
	for (unsigned i = 0; i < 8; i++)
		value |= (uint64_t)bytes[i] << (8 * i);
	return value;
}

static void digests_take(struct survey_keyspace *keyspace, const Godwit__Client__Digests *digests)
{
	*keyspace = (struct survey_keyspace){.live_rows = digests->live_rows};
	if (digests->buckets.len != DIGEST_BUCKETS * 16)
		return;
	for (size_t i = 0; i < DIGEST_BUCKETS; i++) {
		keyspace->buckets[i].low = load64(digests->buckets.data + i * 16);
		keyspace->buckets[i].high = load64(digests->buckets.data + i * 16 + 8);
		digest_add(&keyspace->sum, keyspace->buckets[i]);
	}
	keyspace->answered = vector_decode(&keyspace->applied, digests->applied.data, digests->applied.len) >= 0;
}

/* user of an operation: 0 about the region, else the place of the keyspace + 1. */
static void survey_take(void *context, const struct client_result *result)
{
	struct survey_region *r = context;
	uintptr_t what = (uintptr_t)result->user;
	const Godwit__Client__Answer *answer = result->answer;
	if (result->code)
		snprintf(r->reason, sizeof r->reason, "%s: %s", gw_error_name(result->code),
		    *result->reason ? result->reason : gw_error_text(result->code));
	else if (what == 0 && answer->region)
		about_take(r, answer->region);
	else if (what && answer->digests)
		digests_take(&r->keyspaces[what - 1], answer->digests);
}

void survey_ask(struct survey *survey, bool about, uint64_t keyspaces, uint32_t timeout_ms)
{
	const struct topology *topology = &survey->cli->topology;
	for (uint32_t i = 0; i < survey->region_count; i++) {
		struct survey_region *r = &survey->regions[i];
		if (!r->connection)
			continue;
		r->reason[0] = 0;
		struct client_operation operation = {.kind = CLIENT_REGION, .timeout_ms = timeout_ms};
		if (about) {
			r->answered = false;
			client_submit(r->connection, &operation);
		}
		for (uint32_t k = 0; k < topology->keyspace_count; k++) {
			if (!(keyspaces & 1ull << k))
				continue;
			r->keyspaces[k].answered = false;
			operation = (struct client_operation){.kind = CLIENT_DIGESTS,
			    .keyspace = topology->keyspaces[k].name,
			    .timeout_ms = timeout_ms,
			    .user = (void *)((uintptr_t)k + 1)};
			client_submit(r->connection, &operation);
		}
		gw_flush(r->connection);
	}
	uint64_t interrupted_ns = 0;
	for (bool waiting = true; waiting;) {
		waiting = false;
		/* What is on its way is part of what is known. */
		if (cli_interrupted() && !interrupted_ns)
			interrupted_ns = cli_now_ns();
		if (interrupted_ns && cli_now_ns() >= interrupted_ns + INTERRUPTED_WAIT_NS)
			break;
		for (uint32_t i = 0; i < survey->region_count; i++) {
			struct survey_region *r = &survey->regions[i];
			if (!r->connection || !gw_pending(r->connection))
				continue;
			waiting = true;
			client_poll(r->connection, 2, survey_take, r);
		}
	}
}

uint64_t survey_keyspaces_served(const struct topology *topology)
{
	uint64_t mask = 0;
	for (uint32_t k = 0; k < topology->keyspace_count; k++) {
		const struct keyspace *keyspace = &topology->keyspaces[k];
		if (!keyspace_is_there(keyspace))
			continue;
		if (keyspace->level == LEVEL_STRONG ||
		    (keyspace->level == LEVEL_EVENTUAL && keyspace->acknowledge == ACKNOWLEDGE_ONE))
			mask |= 1ull << k;
	}
	return mask;
}

struct digest survey_digest_sum(const struct survey_region *region, uint64_t keyspaces)
{
	struct digest sum = {0};
	for (uint32_t k = 0; k < KEYSPACES_MAX; k++)
		if (keyspaces & 1ull << k)
			digest_add(&sum, region->keyspaces[k].sum);
	return sum;
}

void digest_format(struct digest digest, char out[static 40])
{
	snprintf(out, 40, "%016llx%016llx", (unsigned long long)digest.high, (unsigned long long)digest.low);
}

/* ---- what all of it comes to ---- */

#define COORDINATOR_SILENT_MS 3000u

const char *survey_region_name(const struct survey *survey, uint32_t id)
{
	const struct region *region = topology_region_by_id(&survey->cli->topology, id);
	return region ? region->name : "?";
}

const char *survey_region_state(const struct survey *survey, const struct survey_region *r, char reason[static 256])
{
	reason[0] = 0;
	if (!r->answered) {
		snprintf(reason, 256, "%s", r->reason);
		return r->connection ? "silent" : "down";
	}
	if (strcmp(r->coordinator_state, "ready") != 0) {
		snprintf(reason, 256, "its coordinator is %s: no writes, no strong reads",
		    strcmp(r->coordinator_state, "backing_off") == 0 ? "started again and again" : r->coordinator_state);
		return "impaired";
	}
	if (r->coordinator_silent_ms >= COORDINATOR_SILENT_MS) {
		snprintf(reason, 256, "its coordinator has not moved for %.1f s", (double)r->coordinator_silent_ms / 1000);
		return "hanging";
	}
	if (r->refusing[0]) {
		snprintf(reason, 256, "refuses all writes: %s", r->refusing);
		return "refusing";
	}
	for (uint32_t i = 0; i < r->peer_count; i++) {
		const struct survey_peer *p = &r->peers[i];
		if (strcmp(p->inbound, "refused") == 0) {
			snprintf(
			    reason, 256, "%s refuses it its stream: %s", survey_region_name(survey, p->id), p->inbound_reason);
			return "refused";
		}
		if (strcmp(p->inbound, "needs_resync") == 0) {
			snprintf(reason, 256, "%s no longer has the records that are missing here",
			    survey_region_name(survey, p->id));
			return "needs_resync";
		}
	}
	return "up";
}

bool survey_peer_is_heard(const struct survey_peer *p)
{
	return strcmp(p->state, "up") == 0 || strcmp(p->state, "lagging") == 0 || strcmp(p->state, "drained") == 0;
}

const char *survey_peer_state(const struct survey_peer *p, char reason[static 256])
{
	reason[0] = 0;
	if (!survey_peer_is_heard(p) && p->key_refusal[0]) {
		snprintf(reason, 256, "%s",
		    strcmp(p->key_refusal, "unknown") == 0
		        ? "its host does not let in this region's key; `godwit keys import` it there"
		        : "it has another key than the one known for it here; `godwit keys import` its own here");
		return "key refused";
	}
	if (strcmp(p->state, "down") == 0 && p->silent_ms)
		snprintf(reason, 256, "silent for %.1f s", (double)p->silent_ms / 1000);
	else if (strcmp(p->state, "down") == 0)
		snprintf(reason, 256, "never heard of since this region started");
	else if (strcmp(p->outbound, "needs_resync") == 0)
		snprintf(reason, 256, "it needs records that this region no longer has");
	else if (strcmp(p->outbound, "refused") == 0)
		snprintf(reason, 256, "the stream to it is refused");
	else if (strcmp(p->inbound, "refused") == 0)
		snprintf(reason, 256, "it refuses its stream: %s", p->inbound_reason);
	else if (strcmp(p->outbound, "down") == 0)
		snprintf(reason, 256, "it does not take this region's stream");
	else if (strcmp(p->inbound, "down") == 0)
		snprintf(reason, 256, "its stream does not come");
	else if (p->outbound_held[0])
		snprintf(reason, 256,
		    "the topologies differ in keyspace %s: what was written from its first record on waits here",
		    p->outbound_held);
	else if (p->inbound_held)
		snprintf(
		    reason, 256, "the topologies differ in a keyspace: what was written from its first record on waits there");
	else if ((strcmp(p->state, "lagging") == 0 || strcmp(p->state, "drained") == 0) && p->lag_known)
		snprintf(reason, 256, "the oldest record that it is missing is %.1f s old", (double)p->lag_ms / 1000);
	if (strcmp(p->outbound, "needs_resync") == 0 && strcmp(p->state, "down") != 0)
		return "needs_resync";
	bool is_streamed = strcmp(p->outbound, "subscribed") == 0 && strcmp(p->inbound, "subscribed") == 0;
	if (survey_peer_is_heard(p) && is_streamed && (p->outbound_held[0] || p->inbound_held))
		return "held";
	if (strcmp(p->state, "up") == 0 && reason[0])
		return strcmp(p->outbound, "refused") == 0 || strcmp(p->inbound, "refused") == 0 ? "refused" : "unstreamed";
	return p->state;
}

bool survey_has_met(const struct survey *survey, char who[static 256])
{
	uint32_t answered = 0;
	for (uint32_t i = 0; i < survey->region_count; i++)
		answered += survey->regions[i].answered;
	for (uint32_t i = 0; i < survey->region_count; i++) {
		const struct survey_region *r = &survey->regions[i];
		/* Its streams are there a moment before that is on its disk. */
		if (r->answered && answered > 1 && strcmp(r->refusing, error_name(ERR_NOT_MET)) == 0) {
			snprintf(who, 256, "%s has met nobody yet", r->region->name);
			return false;
		}
		for (uint32_t j = 0; r->answered && j < r->peer_count; j++) {
			const struct survey_peer *p = &r->peers[j];
			int place = topology_region_index(&survey->cli->topology, p->id);
			bool is_good = survey_peer_is_heard(p) && strcmp(p->outbound, "subscribed") == 0 &&
			               strcmp(p->inbound, "subscribed") == 0;
			if (place < 0 || (!survey->regions[place].answered && !p->key_refusal[0]) || is_good)
				continue;
			char reason[256];
			const char *state = survey_peer_state(p, reason);
			snprintf(who, 256, "%s to %s: %s%s%.100s", r->region->name, survey_region_name(survey, p->id), state,
			    reason[0] ? ", " : "", reason);
			return false;
		}
	}
	return true;
}
