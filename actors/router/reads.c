/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/router/reads.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "runtime/logline.h"
#include "runtime/loop.h"
#include "runtime/watch.h"

#define DAMAGE_NAME_MAX 60u /* bytes of a key that are named */

/* Numbers of the fields of Answer in client.proto. */
enum answer_field {
	ANSWER_NUMBER = 1,
	ANSWER_ROWS = 7,
	ANSWER_MORE = 8,
	ANSWER_DIGESTS = 9,
	ANSWER_CONFLICTS = 10,
	ANSWER_REGION = 11,
};

#define VIEW_NONE (READS_QUESTIONS_MAX + 1)
/* The clock is read after so many rows, or so many bytes of them. */
#define ROWS_A_LOOK  16u
#define BYTES_A_LOOK (64u * 1024)

void reads_init(struct reads *reads, const struct topology *topology, const struct region *region, const struct shm_layout *shm,
    const char *region_dir)
{
	*reads = (struct reads){.topology = topology, .region = region, .shm = shm, .current = VIEW_NONE};
	snprintf(reads->rows_dir, sizeof reads->rows_dir, "%s/rows", region_dir);
}

static void view_leave(struct reads *reads, uint32_t index)
{
	struct reads_view *view = &reads->views[index];
	if (!view->is_open || view->questions || index == reads->current)
		return;
	rows_view_end(view->view);
	view->is_open = false;
}

void reads_end(struct reads *reads)
{
	uint32_t current = reads->current;
	reads->current = VIEW_NONE;
	reads->view = NULL;
	if (current != VIEW_NONE)
		view_leave(reads, current);
}

/* What questions have found so far is of rows that are no more: they begin again. */
static void rows_let_go(struct reads *reads)
{
	for (uint32_t i = 0; i < READS_QUESTIONS_MAX; i++)
		if (reads->questions[i].is_used && reads->questions[i].view != VIEW_NONE) {
			reads->views[reads->questions[i].view].questions--;
			reads->questions[i].view = VIEW_NONE;
		}
	reads_end(reads);
	for (uint32_t i = 0; reads->rows && i <= READS_QUESTIONS_MAX; i++) {
		view_leave(reads, i);
		rows_view_free(reads->views[i].view);
		reads->views[i] = (struct reads_view){0};
	}
	if (reads->rows)
		rows_close(reads->rows);
	reads->rows = NULL;
}

void reads_deinit(struct reads *reads)
{
	for (uint32_t i = 0; i < READS_QUESTIONS_MAX; i++) {
		reads_give_up(reads, &reads->questions[i]);
		output_deinit(&reads->questions[i].body);
	}
	rows_let_go(reads);
	output_deinit(&reads->body);
}

static int rows_attach(struct reads *reads)
{
	struct rows_options options = {.dir = reads->rows_dir, .read_only = true, .region = reads->region->id};
	struct error_context error = {0};
	int code = rows_open(&reads->rows, &options, &error);
	if (code)
		reads->rows = NULL;
	for (uint32_t i = 0; !code && i <= READS_QUESTIONS_MAX; i++)
		code = rows_view_new(reads->rows, &reads->views[i].view, &error);
	if (code) {
		logline_distinct(LOG_LEVEL_WARN, "rows_unreadable", 0, "code=%s reason=\"%s\"", error_name(code), error.text);
		rows_let_go(reads);
	}
	return code;
}

static int view_open(struct reads *reads)
{
	struct error_context error = {0};
	uint32_t index = 0;
	while (reads->views[index].is_open)
		index++; /* there are more views than questions that could hold one */
	int code = rows_view_begin(reads->views[index].view, &error);
	if (code) {
		logline_distinct(LOG_LEVEL_ERROR, "read_failed", 0, "code=%s reason=\"%s\"", error_name(code), error.text);
		return code;
	}
	reads->views[index].is_open = true;
	reads->current = index;
	return 0;
}

/* A view of the newest rows; for a question that goes on, the one that it began with. A new coordinator may have put another
 * file in their place. */
static int view_begin(struct reads *reads, const struct reads_question *question, const char **reason)
{
	const struct shm_coordinator *coordinator = &reads->shm->coordinator;
	uint64_t epoch = atomic_load_explicit(&coordinator->epoch, memory_order_acquire);
	bool ready = atomic_load_explicit(&coordinator->ready, memory_order_acquire);
	int code = 0;
	if (reads->current == VIEW_NONE) {
		if (reads->rows && ready && epoch != reads->epoch)
			rows_let_go(reads);
		if (!reads->rows) {
			*reason = "the region is starting";
			code = ready ? rows_attach(reads) : ERR_UNREACHABLE;
			reads->epoch = epoch;
		}
	}
	bool goes_on = question && question->view != VIEW_NONE;
	if (!code && !goes_on && reads->current == VIEW_NONE)
		code = view_open(reads);
	if (!code)
		reads->view = reads->views[goes_on ? question->view : reads->current].view;
	return code;
}

static void answer_add(struct output *out, const struct answer *answer)
{
	output_reserve(out, answer_size_max(answer));
	out->size += answer_encode(answer, out->bytes + out->size);
}

static void refuse(struct output *out, uint64_t number, int code, const char *reason)
{
	struct answer answer = {.number = number, .code = code, .reason = reason ? reason : error_text(code)};
	answer_add(out, &answer);
}

static void body_start(struct reads *reads, uint64_t number)
{
	reads->body.size = 0;
	output_number(&reads->body, ANSWER_NUMBER, number);
}

static void body_end(struct reads *reads, struct output *out)
{
	output_reserve(out, REQUEST_FIELD_OVERHEAD);
	out->size += answer_prefix_encode(reads->body.size, out->bytes + out->size);
	output_bytes(out, reads->body.bytes, reads->body.size);
}

static ProtobufCBinaryData binary(const uint8_t *bytes, size_t size)
{
	/* protobuf-c does not write to what it packs. */
	return (ProtobufCBinaryData){.len = size, .data = (uint8_t *)(uintptr_t)bytes};
}

/* Names the row, for the answer and, once a key, for the log. */
static const char *damage_name(struct reads *reads, uint16_t keyspace, const uint8_t *key, size_t key_size)
{
	struct text name = {0};
	text_add_json_string(&name, key, key_size < DAMAGE_NAME_MAX ? key_size : DAMAGE_NAME_MAX);
	snprintf(reads->damage, sizeof reads->damage, "row %s%s of %s is damaged in %s; ask another region",
	    name.bytes ? name.bytes : "", key_size < DAMAGE_NAME_MAX ? "" : "...", reads->topology->keyspaces[keyspace].name,
	    reads->region->name);
	text_deinit(&name);
	logline_distinct(
	    LOG_LEVEL_ERROR, "row_damaged", row_digest(keyspace, key, key_size, NULL, 0).low, "reason=\"%s\"", reads->damage);
	return reads->damage;
}

static const char *get_reason(struct reads *reads, uint16_t keyspace, const struct request_operation *o, int code)
{
	if (code != ERR_ROW_DAMAGED)
		return error_text(code);
	return damage_name(reads, keyspace, o->key.bytes, o->key.size);
}

static void get(struct reads *reads, uint16_t keyspace, const struct request_operation *o, struct output *out)
{
	struct row row;
	uint8_t version[VECTOR_ENCODED_MAX];
	struct answer answer = {.number = o->number};
	if (reads->topology->keyspaces[keyspace].level == LEVEL_STRONG) {
		struct commit_row committed;
		answer.code = rows_get_committed(reads->view, keyspace, o->key.bytes, o->key.size, &committed);
		if (!answer.code)
			router_answer_committed(&answer, &committed, version);
		if (answer.code)
			answer.reason = get_reason(reads, keyspace, o, answer.code);
		answer_add(out, &answer);
		return;
	}
	answer.code = rows_get(reads->view, keyspace, o->key.bytes, o->key.size, &row);
	if (!answer.code)
		router_answer_row(
		    &answer, &row, reads->topology->keyspaces[keyspace].strategy, reads->topology->priority_by_id, version);
	if (answer.code)
		answer.reason = get_reason(reads, keyspace, o, answer.code);
	answer_add(out, &answer);
}

/* ---- rows in order ---- */

struct scan {
	struct reads *reads;
	uint16_t keyspace;
	uint32_t count, limit;
	int bucket; /* -1: values of all rows; else digests of the rows of that bucket */
	bool more, corrupt;
	const char *damaged; /* the row that the scan met */
	uint32_t rows;       /* since the clock was read */
	size_t bytes;
	bool cut; /* its time is over: `last` was looked at, and what is behind it was not */
	uint8_t last[KEY_SIZE_MAX];
	size_t last_size;
};

static void scan_row_add(struct scan *scan, Godwit__Client__Row *row)
{
	output_message(&scan->reads->body, ANSWER_ROWS, &row->base);
	scan->count++;
}

/* True when no further row fits; asked only about rows that would be added, so that `more` is true to the word. */
static bool scan_is_full(struct scan *scan, size_t size)
{
	if (scan->count < scan->limit && (!scan->count || scan->reads->body.size + size <= READS_ANSWER_SIZE_MAX))
		return false;
	scan->more = true;
	return true;
}

/* What a reader gets of a row of whatever level. False when there is none, or it cannot be read. */
static bool scan_row(struct scan *scan, const uint8_t *bytes, size_t size, struct answer *answer, uint8_t *version)
{
	const struct topology *topology = scan->reads->topology;
	struct commit_row committed;
	struct row row;
	if (topology->keyspaces[scan->keyspace].level == LEVEL_STRONG) {
		scan->corrupt = commit_row_decode(&committed, bytes, size) < 0;
		if (!scan->corrupt)
			router_answer_committed(answer, &committed, version);
	} else {
		scan->corrupt = row_decode(&row, bytes, size) < 0;
		if (!scan->corrupt)
			router_answer_row(
			    answer, &row, topology->keyspaces[scan->keyspace].strategy, topology->priority_by_id, version);
	}
	return !scan->corrupt && !answer->code;
}

static bool scan_is_damaged(struct scan *scan, const uint8_t *key, size_t key_size, const uint8_t *bytes)
{
	if (!bytes)
		scan->damaged = damage_name(scan->reads, scan->keyspace, key, key_size);
	return !bytes;
}

/* After a row: 1 when the time is over. */
static int scan_look(struct scan *scan, const uint8_t *key, size_t key_size, size_t size)
{
	scan->bytes += size;
	if (++scan->rows < ROWS_A_LOOK && scan->bytes < BYTES_A_LOOK)
		return 0;
	scan->rows = 0;
	scan->bytes = 0;
	if (clock_read().monotonic_ns < scan->reads->until_ns)
		return 0;
	scan->cut = true;
	memcpy(scan->last, key, key_size);
	scan->last_size = key_size;
	return 1;
}

static int scan_visit(void *self, const uint8_t *key, size_t key_size, const uint8_t *bytes, size_t size)
{
	struct scan *scan = self;
	struct answer answer = {0};
	uint8_t version[VECTOR_ENCODED_MAX];
	if (scan_is_damaged(scan, key, key_size, bytes))
		return 1;
	if (!scan_row(scan, bytes, size, &answer, version))
		return scan->corrupt ? 1 : scan_look(scan, key, key_size, size);
	if (scan_is_full(scan, key_size + answer.value.size + VECTOR_ENCODED_MAX + 64))
		return 1;
	Godwit__Client__Row message = GODWIT__CLIENT__ROW__INIT;
	message.key = binary(key, key_size);
	message.value = binary(answer.value.bytes, answer.value.size);
	message.version = binary(answer.version.bytes, answer.version.size);
	message.hlc = answer.hlc;
	message.siblings = answer.siblings;
	scan_row_add(scan, &message);
	return scan_look(scan, key, key_size, size);
}

static int bucket_visit(void *self, const uint8_t *key, size_t key_size, const uint8_t *bytes, size_t size)
{
	struct scan *scan = self;
	if (row_digest_bucket(key, key_size) != (uint32_t)scan->bucket)
		return scan_look(scan, key, key_size, size);
	if (scan_is_damaged(scan, key, key_size, bytes))
		return 1;
	int deleted = row_bytes_are_deleted(bytes, size);
	scan->corrupt = deleted < 0;
	if (deleted)
		return scan->corrupt ? 1 : scan_look(scan, key, key_size, size);
	if (scan_is_full(scan, key_size + 32))
		return 1;
	struct digest digest = row_digest(scan->keyspace, key, key_size, bytes, size);
	Godwit__Client__Row message = GODWIT__CLIENT__ROW__INIT;
	message.key = binary(key, key_size);
	message.value = binary((const uint8_t *)&digest, sizeof digest);
	scan_row_add(scan, &message);
	return scan_look(scan, key, key_size, size);
}

void reads_give_up(struct reads *reads, struct reads_question *question)
{
	if (!question || !question->is_used)
		return;
	uint32_t view = question->view;
	question->is_used = false;
	question->body.size = 0;
	reads->question_count--;
	if (view == VIEW_NONE)
		return;
	reads->views[view].questions--;
	view_leave(reads, view);
}

static struct reads_question *question_new(struct reads *reads)
{
	struct reads_question *question = reads->questions;
	while (question->is_used)
		question++; /* the caller has looked whether there is one */
	question->is_used = true;
	question->view = VIEW_NONE;
	question->began_ns = reads->now_ns;
	reads->question_count++;
	return question;
}

static void bodies_swap(struct output *a, struct output *b)
{
	struct output kept = *a;
	*a = *b;
	*b = kept;
}

/* Keeps how far it came. */
static enum reads_outcome scan_cut(struct scan *scan, struct reads_question **held, bool may_hold)
{
	struct reads *reads = scan->reads;
	struct reads_question *question = *held;
	if (!question && (!may_hold || reads->question_count == READS_QUESTIONS_MAX))
		return READS_NO_PLACE;
	if (!question)
		question = *held = question_new(reads);
	if (question->view == VIEW_NONE) {
		question->view = reads->current;
		reads->views[question->view].questions++;
	}
	bodies_swap(&question->body, &reads->body);
	memcpy(question->after, scan->last, scan->last_size);
	question->after_size = scan->last_size;
	question->count = scan->count;
	return READS_CUT;
}

static enum reads_outcome scan(struct reads *reads, uint16_t keyspace, const struct request_operation *o, bool may_hold,
    struct reads_question **held, struct output *out)
{
	bool is_bucket = o->kind == ROUTER_BUCKET;
	struct reads_question *question = *held;
	struct scan scan = {.reads = reads,
	    .keyspace = keyspace,
	    .limit = is_bucket || !o->limit ? UINT32_MAX : o->limit,
	    .bucket = is_bucket ? (int)o->limit : -1};
	struct request_bytes after = o->after;
	if (question && question->view != VIEW_NONE) {
		bodies_swap(&question->body, &reads->body);
		after = (struct request_bytes){question->after, question->after_size};
		scan.count = question->count;
	} else {
		body_start(reads, o->number);
	}
	int code = rows_scan(reads->view, keyspace, is_bucket ? NULL : o->key.bytes, is_bucket ? 0 : o->key.size,
	    after.size ? after.bytes : NULL, after.size, is_bucket ? bucket_visit : scan_visit, &scan);
	if (code >= 0 && scan.cut && question && reads->now_ns > question->began_ns + READS_QUESTION_NS) {
		refuse(out, o->number, ERR_OVERLOADED, "too many rows to look at in one answer; ask for fewer");
		scan.cut = false;
	} else if (code >= 0 && scan.cut) {
		return scan_cut(&scan, held, may_hold);
	} else if (code < 0 || scan.corrupt || scan.damaged) {
		refuse(out, o->number, code < 0 ? code : scan.damaged ? ERR_ROW_DAMAGED : ERR_CORRUPT, scan.damaged);
	} else {
		output_number(&reads->body, ANSWER_MORE, scan.more);
		body_end(reads, out);
	}
	reads_give_up(reads, question);
	*held = NULL;
	return READS_ANSWERED;
}

static int digests(struct reads *reads, uint16_t keyspace, const struct request_operation *o, struct output *out)
{
	_Static_assert(sizeof(struct digest) == 16, "buckets travel as they lie in memory");
	struct digest buckets[DIGEST_BUCKETS];
	struct rows_meta meta;
	uint8_t applied[VECTOR_ENCODED_MAX];
	Godwit__Client__Digests message = GODWIT__CLIENT__DIGESTS__INIT;
	int code = rows_view_digests(reads->view, keyspace, buckets, &message.live_rows);
	if (!code)
		code = rows_view_meta(reads->view, &meta);
	if (code)
		return code;
	message.buckets = binary((const uint8_t *)buckets, sizeof buckets);
	message.applied = binary(applied, vector_encode(&meta.applied, applied));
	body_start(reads, o->number);
	output_message(&reads->body, ANSWER_DIGESTS, &message.base);
	body_end(reads, out);
	return 0;
}

/* ---- the history of conflicts ---- */

static void side_fill(Godwit__Client__Side *message, const struct conflict_side *side, bool with_value)
{
	godwit__client__side__init(message);
	message->region = side->dot.region;
	message->sequence = side->dot.sequence;
	message->hlc = side->hlc;
	message->tombstone = side->tombstone;
	message->value_cut = side->value_size < side->value_size_whole;
	if (with_value)
		message->value = binary(side->value, side->value_size);
}

static void conflict_add(struct reads *reads, const struct conflict *conflict, bool with_values)
{
	const struct topology *topology = reads->topology;
	Godwit__Client__Conflict message = GODWIT__CLIENT__CONFLICT__INIT;
	Godwit__Client__Side arrived, held[CONFLICT_SIDES_MAX], *held_list[CONFLICT_SIDES_MAX];
	uint8_t arrived_context[VECTOR_ENCODED_MAX], held_context[VECTOR_ENCODED_MAX];
	bool known =
	    conflict->keyspace < topology->keyspace_count && keyspace_is_there(&topology->keyspaces[conflict->keyspace]);
	message.id = conflict->id;
	message.keyspace = (char *)(uintptr_t)(known ? topology->keyspaces[conflict->keyspace].name : "?");
	message.key = binary(conflict->key, conflict->key_size);
	message.strategy = (char *)(uintptr_t)strategy_name(conflict->strategy);
	message.recorded_ms = conflict->recorded_ms;
	side_fill(&arrived, &conflict->arrived, with_values);
	message.arrived = &arrived;
	uint32_t count = conflict->held_count < CONFLICT_SIDES_MAX ? conflict->held_count : CONFLICT_SIDES_MAX;
	for (uint32_t i = 0; i < count; i++) {
		side_fill(&held[i], &conflict->held[i], with_values);
		held_list[i] = &held[i];
	}
	message.held = held_list;
	message.n_held = count;
	message.arrived_context = binary(arrived_context, vector_encode(&conflict->arrived_context, arrived_context));
	message.held_context = binary(held_context, vector_encode(&conflict->held_context, held_context));
	message.winner_region = conflict->winner.region;
	message.winner_sequence = conflict->winner.sequence;
	output_message(&reads->body, ANSWER_CONFLICTS, &message.base);
}

struct conflict_list {
	struct reads *reads;
	uint32_t count, limit;
	bool more;
};

static int conflict_visit(void *self, const struct conflict *conflict)
{
	struct conflict_list *list = self;
	if (list->count == list->limit || list->reads->body.size >= READS_ANSWER_SIZE_MAX) {
		list->more = true;
		return 1;
	}
	conflict_add(list->reads, conflict, false);
	list->count++;
	return 0;
}

static int conflicts(struct reads *reads, const struct request_operation *o, struct output *out)
{
	struct conflict_list list = {
	    .reads = reads, .limit = o->limit && o->limit < READS_CONFLICTS_MAX ? o->limit : READS_CONFLICTS_MAX};
	body_start(reads, o->number);
	int code = rows_conflicts(reads->view, o->limit_id, conflict_visit, &list);
	if (code < 0)
		return code;
	output_number(&reads->body, ANSWER_MORE, list.more);
	body_end(reads, out);
	return 0;
}

static int conflict(struct reads *reads, const struct request_operation *o, struct output *out)
{
	struct conflict found;
	int code = rows_conflict(reads->view, o->limit_id, &found);
	if (code)
		return code;
	body_start(reads, o->number);
	conflict_add(reads, &found, true);
	body_end(reads, out);
	return 0;
}

/* ---- the region itself ---- */

static uint64_t since_ms(const struct reads *reads, uint64_t then_ns)
{
	return then_ns && then_ns < reads->now_ns ? (reads->now_ns - then_ns) / 1000000 : 0;
}

static void peer_fill(const struct reads *reads, uint8_t id, Godwit__Client__Peer *message)
{
	const struct shm_peer *peer = &reads->shm->peers[id];
	godwit__client__peer__init(message);
	uint64_t sampled_ns = atomic_load_explicit(&peer->sampled_at_ns, memory_order_relaxed);
	message->id = id;
	message->state = (char *)(uintptr_t)region_state_name(atomic_load_explicit(&peer->state, memory_order_relaxed));
	message->round_trip_us = atomic_load_explicit(&peer->round_trip_us, memory_order_relaxed);
	message->lag_records = atomic_load_explicit(&peer->lag_records, memory_order_relaxed);
	message->lag_bytes = atomic_load_explicit(&peer->lag_bytes, memory_order_relaxed);
	message->lag_ms = atomic_load_explicit(&peer->lag_ms, memory_order_relaxed);
	message->age_ms = since_ms(reads, sampled_ns);
	const struct shm_link *link = &reads->shm->links[id];
	uint32_t inbound = atomic_load_explicit(&link->inbound, memory_order_acquire);
	message->outbound = (char *)(uintptr_t)link_state_name(atomic_load_explicit(&link->outbound, memory_order_acquire));
	message->inbound = (char *)(uintptr_t)link_state_name(inbound);
	if (inbound == LINK_REFUSED)
		message->inbound_reason =
		    (char *)(uintptr_t)error_name(atomic_load_explicit(&link->inbound_code, memory_order_relaxed));
	uint32_t held = atomic_load_explicit(&link->outbound_held, memory_order_relaxed);
	if (held && held <= reads->topology->keyspace_count)
		message->outbound_held = (char *)(uintptr_t)reads->topology->keyspaces[held - 1].name;
	message->inbound_held = atomic_load_explicit(&link->inbound_held, memory_order_relaxed) != 0;
	static const char *const refusals[] = {
	    [KEY_ACCEPTED] = "", [KEY_UNKNOWN_THERE] = "unknown", [KEY_OTHER_THERE] = "differs"};
	uint32_t refusal = atomic_load_explicit(&peer->key_refusal, memory_order_relaxed);
	if (refusal < sizeof refusals / sizeof refusals[0])
		message->key_refusal = (char *)(uintptr_t)refusals[refusal];
	message->lag_known = atomic_load_explicit(&link->acked_at_ns, memory_order_relaxed) != 0;
	message->silent_ms = since_ms(reads, atomic_load_explicit(&peer->answered_at_ns, memory_order_relaxed));
}

static int region(struct reads *reads, const struct request_operation *o, struct output *out)
{
	const struct topology *topology = reads->topology;
	const struct counter_block *streamer = &reads->shm->counters[ACTOR_STREAMER];
	Godwit__Client__Region message = GODWIT__CLIENT__REGION__INIT;
	Godwit__Client__Peer peers[REGIONS_MAX], *peer_list[REGIONS_MAX];
	struct rows_meta meta;
	uint8_t applied[VECTOR_ENCODED_MAX];
	int code = rows_view_meta(reads->view, &meta);
	for (uint32_t i = 0; !code && i < topology->keyspace_count; i++) {
		struct digest buckets[DIGEST_BUCKETS];
		uint64_t live_rows = 0;
		code = rows_view_digests(reads->view, (uint16_t)i, buckets, &live_rows);
		message.live_rows += live_rows;
	}
	if (code)
		return code;
	message.name = (char *)(uintptr_t)reads->region->name;
	message.id = reads->region->id;
	message.applied = binary(applied, vector_encode(&meta.applied, applied));
	message.conflicts = meta.conflicts;
	message.conflicts_dropped = meta.conflicts_dropped;
	message.map_bytes = atomic_load_explicit(&reads->shm->coordinator.map_bytes, memory_order_relaxed);
	message.log_bytes = atomic_load_explicit(&reads->shm->coordinator.log_bytes, memory_order_relaxed);
	message.raw_bytes_sent = counter_get(streamer, COUNTER_bytes_raw);
	message.wire_bytes_sent = counter_get(streamer, COUNTER_bytes_sent);
	message.in_doubt = counter_get(&reads->shm->counters[ACTOR_COORDINATOR], COUNTER_in_doubt);
	const struct shm_coordinator *coordinator = &reads->shm->coordinator;
	message.clock_ahead_ms = atomic_load_explicit(&coordinator->clock_ahead_ms, memory_order_relaxed);
	message.clock_heard = atomic_load_explicit(&coordinator->clock_heard, memory_order_relaxed);
	message.clock_against = atomic_load_explicit(&coordinator->clock_against, memory_order_relaxed);
	message.records_ahead = counter_get(&reads->shm->counters[ACTOR_COORDINATOR], COUNTER_records_ahead);
	message.records_ahead_ms = counter_get(&reads->shm->counters[ACTOR_COORDINATOR], COUNTER_records_ahead_ms);
	int refusing = (int)atomic_load_explicit(&reads->shm->coordinator.refusing, memory_order_relaxed);
	message.refusing = refusing ? (char *)(uintptr_t)error_name(refusing) : (char *)(uintptr_t) "";
	message.coordinator_state = (char *)(uintptr_t)actor_state_name(
	    atomic_load_explicit(&reads->shm->actors[ACTOR_COORDINATOR].state, memory_order_acquire));
	message.coordinator_silent_ms =
	    since_ms(reads, counter_get(&reads->shm->counters[ACTOR_COORDINATOR], COUNTER_turned_ms) * 1000000);
	for (uint32_t i = 0; i < topology->region_count; i++) {
		if (topology->regions[i].id == reads->region->id)
			continue;
		peer_list[message.n_peers] = &peers[message.n_peers];
		peer_fill(reads, topology->regions[i].id, peer_list[message.n_peers++]);
	}
	message.peers = peer_list;
	body_start(reads, o->number);
	output_message(&reads->body, ANSWER_REGION, &message.base);
	body_end(reads, out);
	return 0;
}

/* Rows that are known to be incomplete answer nobody who has not asked for them as they are. */
static int completeness_check(const struct reads *reads, const struct request_operation *operation)
{
	int refusing = (int)atomic_load_explicit(&reads->shm->coordinator.refusing, memory_order_acquire);
	bool is_read = operation->kind == ROUTER_GET || operation->kind == ROUTER_SCAN;
	if (!is_read || operation->level == ROUTER_STALE)
		return 0;
	return refusing == ERR_REGION_REUSED || refusing == ERR_NEEDS_RESYNC || refusing == ERR_NOT_MET ? refusing : 0;
}

enum reads_outcome reads_answer(struct reads *reads, const struct request_operation *operation, uint64_t now_ns,
    uint64_t until_ns, bool may_hold, struct reads_question **question, struct output *out)
{
	uint16_t keyspace;
	const char *reason;
	int code = router_check(reads->topology, operation, &keyspace, &reason);
	reads->now_ns = now_ns;
	reads->until_ns = until_ns;
	if (!code)
		code = completeness_check(reads, operation);
	if (!code)
		code = view_begin(reads, *question, &reason);
	if (!code) {
		switch (operation->kind) {
		case ROUTER_GET:
			get(reads, keyspace, operation, out);
			break;
		case ROUTER_SCAN:
		case ROUTER_BUCKET:
			return scan(reads, keyspace, operation, may_hold, question, out);
		case ROUTER_DIGESTS:
			code = digests(reads, keyspace, operation, out);
			break;
		case ROUTER_CONFLICTS:
			code = conflicts(reads, operation, out);
			break;
		case ROUTER_CONFLICT:
			code = conflict(reads, operation, out);
			break;
		case ROUTER_REGION:
			code = region(reads, operation, out);
			break;
		}
	}
	if (code)
		refuse(out, operation->number, code, reason);
	reads_give_up(reads, *question); /* of a question that is refused now, since the region has changed */
	*question = NULL;
	return READS_ANSWERED;
}
