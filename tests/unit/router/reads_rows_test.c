/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads from real rows and a region's shared memory, as a client unpacks them. */
#include "actors/router/reads.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/dotted.h"
#include "runtime/watch.h"
#include "tests/unit/store/support.h"

static struct place place, other;
static struct topology topology;
static struct shm_layout *shm;
static struct reads reads;
static struct output out;
static Godwit__Client__Answers *answers;
static struct rows *rows;
static struct log *log_now;
static const uint64_t now_ns = 50000000000u;

static void store_start(const struct place *at)
{
	struct rows_options options = rows_options_default(at);
	rows = rows_start(at, &options);
	struct log_options of_log = log_options_small(at);
	of_log.segment_size = 4u << 20;
	log_now = log_start(at, &of_log, NULL);
}
static void store_stop(void)
{
	log_close(log_now);
	rows_close(rows);
}
static void put(const struct place *at, uint8_t region, uint64_t sequence, const char *key, const char *value)
{
	const struct write w = {.region = region, .sequence = sequence, .key = key, .value = value};
	uint64_t end;
	cr_assert_eq(append(log_now, &w, &end), 0);
	wait_durable(log_now, end);
	apply_all(rows, at, end);
}

static void setup(void)
{
	static const char *const names[] = {"us", "eu", "ap"};
	place_make(&place);
	place_make(&other);
	shm = aligned_alloc(4096, (sizeof *shm + 4095) / 4096 * 4096);
	memset(shm, 0, sizeof *shm);
	topology = (struct topology){.region_count = 3, .keyspace_count = 2};
	for (uint32_t i = 0; i < 3; i++) {
		strcpy(topology.regions[i].name, names[i]);
		topology.regions[i].id = (uint8_t)i;
	}
	strcpy(topology.keyspaces[0].name, "default");
	strcpy(topology.keyspaces[1].name, "empty");
	shm->coordinator.epoch = 1;
	shm->coordinator.ready = 1;
	reads_init(&reads, &topology, &topology.regions[1], shm, place.dir);
}
static void teardown(void)
{
	if (answers)
		godwit__client__answers__free_unpacked(answers, NULL);
	answers = NULL;
	output_deinit(&out);
	reads_deinit(&reads);
	free(shm);
	place_remove(&place);
	place_remove(&other);
}

TestSuite(reads_rows, .init = setup, .fini = teardown);

static const Godwit__Client__Answer *ask(struct request_operation operation)
{
	operation.number = 7;
	out.size = 0;
	output_reserve(&out, ANSWERS_HEADER_SIZE_MAX);
	out.size = answers_header_encode(1, out.bytes);
	struct reads_question *question = NULL;
	cr_assert_eq(reads_answer(&reads, &operation, now_ns, UINT64_MAX, false, &question, &out), READS_ANSWERED);
	if (answers)
		godwit__client__answers__free_unpacked(answers, NULL);
	answers = godwit__client__answers__unpack(NULL, out.size, out.bytes);
	cr_assert(answers && answers->n_answers == 1);
	cr_assert_eq(answers->answers[0]->number, 7);
	return answers->answers[0];
}
static const Godwit__Client__Answer *get(const char *key)
{
	return ask((struct request_operation){.kind = ROUTER_GET, .key = {(const uint8_t *)key, strlen(key)}});
}
static void is_value(const Godwit__Client__Answer *answer, const char *value)
{
	cr_assert_eq(answer->code, 0, "%s: %s", error_name(answer->code), answer->reason);
	cr_assert(answer->value.len == strlen(value) && memcmp(answer->value.data, value, answer->value.len) == 0,
	    "%.*s, not %s", (int)answer->value.len, (char *)answer->value.data, value);
}

static void rows_swap(const char *to_aside, const char *from)
{
	char command[600];
	snprintf(command, sizeof command, "mv '%s' '%s/%s' && { test -z '%s' || mv '%s' '%s'; }", place.rows, place.dir,
	    to_aside, from, from, place.rows);
	cr_assert_eq(system(command), 0);
}

/* F24: what a new coordinator has put in the place of the rows is read as soon as it is ready, and what the old one had is not.
 */
Test(reads_rows, F24_rows_that_were_replaced_are_let_go)
{
	shm->coordinator.ready = 0;
	cr_assert_eq(get("k")->code, ERR_UNREACHABLE, "nothing has been started");
	store_start(&place);
	put(&place, 1, 1, "k", "old");
	store_stop();
	store_start(&other);
	put(&other, 1, 1, "k", "new");
	store_stop();
	cr_assert_eq(get("k")->code, ERR_UNREACHABLE, "not ready yet");
	cr_assert_str_eq(get("k")->reason, "the region is starting");
	shm->coordinator.ready = 1;
	is_value(get("k"), "old");
	reads_end(&reads);
	rows_swap("aside", other.rows);
	is_value(get("k"), "old");
	reads_end(&reads);
	shm->coordinator.ready = 0;
	shm->coordinator.epoch = 2;
	is_value(get("k"), "old");
	reads_end(&reads);
	shm->coordinator.ready = 1;
	is_value(get("k"), "new");
	reads_end(&reads);
	/* Of the same coordinator they are not opened again. */
	rows_swap("aside2", "");
	is_value(get("k"), "new");
	reads_end(&reads);
	shm->coordinator.epoch = 3;
	cr_assert_eq(get("k")->code, ERR_UNREACHABLE, "no rows are there");
}

/* F24: one view for a batch, a new one for the next. */
Test(reads_rows, F24_a_batch_has_one_view_and_the_next_another)
{
	store_start(&place);
	put(&place, 1, 1, "k", "one");
	is_value(get("k"), "one");
	put(&place, 1, 2, "k", "two");
	is_value(get("k"), "one");
	reads_end(&reads);
	is_value(get("k"), "two");
	reads_end(&reads);
	store_stop();
}

static const Godwit__Client__Answer *scan(uint32_t limit, const char *prefix, const char *after)
{
	return ask((struct request_operation){.kind = ROUTER_SCAN,
	    .limit = limit,
	    .key = {(const uint8_t *)prefix, strlen(prefix)},
	    .after = {(const uint8_t *)after, strlen(after)}});
}
static void has_rows(const Godwit__Client__Answer *answer, const char *keys, bool more)
{
	char found[200] = "";
	for (size_t i = 0; i < answer->n_rows; i++)
		snprintf(found + strlen(found), sizeof found - strlen(found), "%s%.*s=%.*s", i ? " " : "",
		    (int)answer->rows[i]->key.len, (char *)answer->rows[i]->key.data, (int)answer->rows[i]->value.len,
		    (char *)answer->rows[i]->value.data);
	cr_assert_eq(answer->code, 0);
	cr_assert_str_eq(found, keys);
	cr_assert_eq(answer->more, more);
}

Test(reads_rows, F24_scans_say_whether_there_is_more)
{
	store_start(&place);
	put(&place, 1, 1, "a1", "x");
	put(&place, 1, 2, "b1", "y");
	put(&place, 1, 3, "b2", "z");
	put(&place, 1, 4, "b3", "w");
	put(&place, 1, 5, "b2", NULL);
	has_rows(scan(0, "", ""), "a1=x b1=y b3=w", false);
	has_rows(scan(3, "", ""), "a1=x b1=y b3=w", false);
	has_rows(scan(2, "", ""), "a1=x b1=y", true);
	has_rows(scan(2, "", "b1"), "b3=w", false);
	has_rows(scan(1, "b", ""), "b1=y", true);
	const Godwit__Client__Answer *answer = scan(0, "b", "b1");
	has_rows(answer, "b3=w", false);
	const Godwit__Client__Row *row = answer->rows[0];
	struct vector seen;
	cr_assert_eq(vector_decode(&seen, row->version.data, row->version.len), (long)row->version.len);
	cr_assert(seen.sequence[1] == 4 && row->hlc == 4u << 16 && row->siblings == 1);
	has_rows(ask((struct request_operation){.kind = ROUTER_SCAN, .keyspace = {(const uint8_t *)"empty", 5}}), "", false);

	/* An answer is bounded in bytes. */
	char *large = malloc(600001);
	memset(large, 'v', 600000);
	large[600000] = 0;
	put(&place, 1, 6, "c1", large);
	put(&place, 1, 7, "c2", large);
	reads_end(&reads);
	answer = scan(0, "c", "");
	cr_assert(answer->n_rows == 1 && answer->more && answer->rows[0]->value.len == 600000);
	answer = scan(0, "c", "c1");
	cr_assert(answer->n_rows == 1 && !answer->more);
	free(large);
	reads_end(&reads);
	store_stop();
}

Test(reads_rows, F24_buckets_and_digests_are_of_the_same_rows)
{
	char key[16];
	uint64_t live = 0, tombstones = 0;
	store_start(&place);
	for (uint64_t i = 1; i <= 300; i++) {
		snprintf(key, sizeof key, "k%llu", (unsigned long long)i);
		put(&place, 1, i, key, i % 10 ? "v" : NULL);
		tombstones += i % 10 == 0;
	}
	const Godwit__Client__Answer *answer = ask((struct request_operation){.kind = ROUTER_DIGESTS});
	struct digest buckets[DIGEST_BUCKETS];
	struct vector applied;
	cr_assert(answer->code == 0 && answer->digests && answer->digests->buckets.len == sizeof buckets);
	cr_assert_eq(answer->digests->live_rows, 300 - tombstones);
	memcpy(buckets, answer->digests->buckets.data, sizeof buckets);
	cr_assert_gt(vector_decode(&applied, answer->digests->applied.data, answer->digests->applied.len), 0);
	cr_assert_eq(applied.sequence[1], 300);
	for (uint32_t b = 0; b < DIGEST_BUCKETS; b++) {
		struct digest sum = {0}, one;
		answer = ask((struct request_operation){.kind = ROUTER_BUCKET, .limit = b});
		cr_assert(answer->code == 0 && !answer->more);
		for (size_t i = 0; i < answer->n_rows; i++) {
			cr_assert_eq(answer->rows[i]->value.len, sizeof one);
			cr_assert_eq(row_digest_bucket(answer->rows[i]->key.data, answer->rows[i]->key.len), b);
			memcpy(&one, answer->rows[i]->value.data, sizeof one);
			digest_add(&sum, one);
			live++;
		}
		cr_assert_eq(memcmp(&sum, &buckets[b], sizeof sum), 0, "bucket %u", b);
	}
	cr_assert_eq(live, 300 - tombstones);
	reads_end(&reads);
	store_stop();
}

/* Two regions that have not seen each other write one key. */
Test(reads_rows, F24_conflicts_are_told_with_both_sides)
{
	static const struct vector none;
	char big[CONFLICT_VALUE_MAX + 11];
	memset(big, 'b', sizeof big - 1);
	big[sizeof big - 1] = 0;
	store_start(&place);
	for (uint64_t i = 1; i <= 3; i++) {
		char key[8];
		snprintf(key, sizeof key, "k%llu", (unsigned long long)i);
		put(&place, 1, i, key, "mine");
		const struct write w = {.region = 2,
		    .sequence = i,
		    .key = key,
		    .value = i == 3   ? big
		             : i == 2 ? NULL
		                      : "theirs",
		    .context = &none,
		    .hlc = (100 + i) << 16};
		uint64_t end;
		cr_assert_eq(append(log_now, &w, &end), 0);
		wait_durable(log_now, end);
		apply_all(rows, &place, end);
	}
	const Godwit__Client__Answer *answer = ask((struct request_operation){.kind = ROUTER_CONFLICTS});
	cr_assert(answer->code == 0 && answer->n_conflicts == 3 && !answer->more);
	uint64_t second = answer->conflicts[1]->id;
	const Godwit__Client__Conflict *c = answer->conflicts[0];
	cr_assert_str_eq(c->keyspace, "default");
	cr_assert_str_eq(c->strategy, strategy_name(STRATEGY_LWW));
	cr_assert(c->n_held == 1 && c->held[0]->region == 1 && c->held[0]->sequence == (c->key.data[1] - (uint64_t)'0'));
	cr_assert(c->arrived->region == 2 && c->winner_region == 2 && c->winner_sequence == c->arrived->sequence);
	cr_assert(c->arrived->value.len == 0, "values are told of one conflict only");
	answer = ask((struct request_operation){.kind = ROUTER_CONFLICTS, .limit = 2});
	cr_assert(answer->n_conflicts == 2 && answer->more);
	answer = ask((struct request_operation){.kind = ROUTER_CONFLICTS, .limit = 3});
	cr_assert(answer->n_conflicts == 3 && !answer->more);
	for (uint64_t sequence = 1; sequence <= 3; sequence++) {
		bool found = false;
		for (uint64_t id = second - 1; id <= second + 1; id++) {
			answer = ask((struct request_operation){.kind = ROUTER_CONFLICT, .limit_id = id});
			cr_assert(answer->code == 0 && answer->n_conflicts == 1 && answer->conflicts[0]->id == id);
			c = answer->conflicts[0];
			if (c->arrived->sequence != sequence)
				continue;
			found = true;
			cr_assert_eq(c->arrived->hlc, (100 + sequence) << 16);
			cr_assert(c->held[0]->value.len == 4 && memcmp(c->held[0]->value.data, "mine", 4) == 0 &&
			          !c->held[0]->tombstone);
			cr_assert_eq(c->arrived->tombstone, sequence == 2);
			cr_assert_eq(c->arrived->value_cut, sequence == 3);
			cr_assert_eq(c->arrived->value.len, sequence == 1 ? 6 : sequence == 2 ? 0 : CONFLICT_VALUE_MAX);
		}
		cr_assert(found);
	}
	cr_assert_eq(ask((struct request_operation){.kind = ROUTER_CONFLICT, .limit_id = second + 99})->code, ERR_NOT_FOUND);
	reads_end(&reads);
	store_stop();
}

Test(reads_rows, F24_a_region_tells_what_shared_memory_says)
{
	store_start(&place);
	put(&place, 1, 1, "a", "x");
	put(&place, 1, 2, "b", "y");
	shm->coordinator.refusing = (uint32_t)ERR_DISK_FULL;
	shm->coordinator.map_bytes = 11;
	shm->coordinator.log_bytes = 12;
	shm->coordinator.clock_ahead_ms = -13;
	shm->coordinator.clock_heard = 3;
	shm->coordinator.clock_against = 2;
	shm->actors[ACTOR_COORDINATOR].state = ACTOR_READY;
	counter_set(&shm->counters[ACTOR_STREAMER], COUNTER_bytes_raw, 14);
	counter_set(&shm->counters[ACTOR_STREAMER], COUNTER_bytes_sent, 15);
	counter_set(&shm->counters[ACTOR_COORDINATOR], COUNTER_in_doubt, 16);
	counter_set(&shm->counters[ACTOR_COORDINATOR], COUNTER_records_ahead, 17);
	counter_set(&shm->counters[ACTOR_COORDINATOR], COUNTER_records_ahead_ms, 18);
	counter_set(&shm->counters[ACTOR_COORDINATOR], COUNTER_turned_ms, now_ns / 1000000 - 19);
	shm->peers[0].state = REGION_LAGGING;
	shm->peers[0].round_trip_us = 20;
	shm->peers[0].lag_records = 21;
	shm->peers[0].lag_bytes = 22;
	shm->peers[0].lag_ms = 23;
	shm->peers[0].sampled_at_ns = now_ns - 24000000;
	shm->peers[0].answered_at_ns = now_ns - 25000000;
	shm->links[0].outbound = LINK_SUBSCRIBED;
	shm->links[0].inbound = LINK_REFUSED;
	shm->links[0].inbound_code = ERR_CONFIGURATION;
	shm->links[0].acked_at_ns = 1;
	shm->peers[2].sampled_at_ns = now_ns + 1;
	shm->links[2].inbound_code = ERR_CONFIGURATION; /* of before */
	const Godwit__Client__Answer *answer = ask((struct request_operation){.kind = ROUTER_REGION});
	const Godwit__Client__Region *r = answer->region;
	cr_assert(answer->code == 0 && r && r->id == 1 && r->live_rows == 2 && r->map_bytes == 11 && r->log_bytes == 12);
	cr_assert_str_eq(r->name, "eu");
	struct vector applied;
	cr_assert(vector_decode(&applied, r->applied.data, r->applied.len) > 0 && applied.sequence[1] == 2);
	cr_assert(r->clock_ahead_ms == -13 && r->clock_heard == 3 && r->clock_against == 2);
	cr_assert(r->raw_bytes_sent == 14 && r->wire_bytes_sent == 15 && r->in_doubt == 16);
	cr_assert(r->records_ahead == 17 && r->records_ahead_ms == 18 && r->coordinator_silent_ms == 19);
	cr_assert_str_eq(r->refusing, "DISK_FULL");
	cr_assert_str_eq(r->coordinator_state, actor_state_name(ACTOR_READY));
	cr_assert(r->n_peers == 2 && r->peers[0]->id == 0 && r->peers[1]->id == 2);
	const Godwit__Client__Peer *p = r->peers[0];
	cr_assert_str_eq(p->state, region_state_name(REGION_LAGGING));
	cr_assert(p->round_trip_us == 20 && p->lag_records == 21 && p->lag_bytes == 22 && p->lag_ms == 23 && p->age_ms == 24 &&
	          p->silent_ms == 25 && p->lag_known);
	cr_assert_str_eq(p->outbound, link_state_name(LINK_SUBSCRIBED));
	cr_assert_str_eq(p->inbound, link_state_name(LINK_REFUSED));
	cr_assert_str_eq(p->inbound_reason, "CONFIGURATION");
	p = r->peers[1];
	cr_assert(p->age_ms == 0 && p->silent_ms == 0 && !p->lag_known && !*p->inbound_reason);
	reads_end(&reads);

	/* Why no keys are exchanged, and at whose record a stream stands; what no build has written is nothing. */
	static const struct {
		uint32_t refusal, held;
		const char *tells, *holds;
	} kept[] = {{KEY_ACCEPTED, 0, "", ""}, {KEY_UNKNOWN_THERE, 1, "unknown", "default"},
	    {KEY_OTHER_THERE, 2, "differs", "empty"}, {KEY_OTHER_THERE + 1, 1000, "", ""}};
	for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
		shm->peers[2].key_refusal = kept[i].refusal;
		shm->links[2].outbound_held = kept[i].held;
		shm->links[2].inbound_held = i & 1;
		p = ask((struct request_operation){.kind = ROUTER_REGION})->region->peers[1];
		cr_assert_str_eq(p->key_refusal, kept[i].tells);
		cr_assert_str_eq(p->outbound_held, kept[i].holds);
		cr_assert_eq(p->inbound_held, (i & 1) != 0);
		reads_end(&reads);
	}

	/* Rows that are known to be incomplete are for those who ask for them as they are. */
	static const int incomplete[] = {ERR_REGION_REUSED, ERR_NEEDS_RESYNC, ERR_NOT_MET};
	is_value(get("a"), "x");
	for (uint32_t i = 0; i < 3; i++) {
		shm->coordinator.refusing = (uint32_t)incomplete[i];
		cr_assert_eq(get("a")->code, incomplete[i]);
		cr_assert_eq(scan(0, "", "")->code, incomplete[i]);
		is_value(ask((struct request_operation){
		             .kind = ROUTER_GET, .level = ROUTER_STALE, .key = {(const uint8_t *)"a", 1}}),
		    "x");
		cr_assert_eq(ask((struct request_operation){.kind = ROUTER_DIGESTS})->code, 0);
	}
	reads_end(&reads);
	store_stop();
}

Test(reads_rows, F24_strong_rows_are_read_and_scanned)
{
	topology.keyspaces[0].level = LEVEL_STRONG;
	store_start(&place);
	put(&place, 1, 1, "a", "x");
	cr_assert_eq(
	    ask((struct request_operation){.kind = ROUTER_GET, .level = ROUTER_EVENTUAL, .key = {(const uint8_t *)"b", 1}})
	        ->code,
	    ERR_NOT_FOUND);
	/* A row of the other kind is an error, never a value. */
	cr_assert_eq(
	    ask((struct request_operation){.kind = ROUTER_GET, .level = ROUTER_EVENTUAL, .key = {(const uint8_t *)"a", 1}})
	        ->code,
	    ERR_CORRUPT);
	cr_assert_eq(ask((struct request_operation){.kind = ROUTER_SCAN, .level = ROUTER_EVENTUAL})->code, ERR_CORRUPT);
	reads_end(&reads);
	store_stop();
}
