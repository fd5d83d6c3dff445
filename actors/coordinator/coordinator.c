/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/coordinator/coordinator.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/broken.h"
#include "base/bytes.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

int coordinator_init(struct coordinator *c, const struct coordinator_options *options, const struct vector *assigned,
    const struct vector *applied, uint64_t stamp_floor)
{
	assert(options->region < REGIONS_MAX && options->keyspace_count <= KEYSPACES_MAX);
	memset(c, 0, sizeof *c);
	c->options = *options;
	uint32_t answers = options->reply_cache_answers ? options->reply_cache_answers : REPLY_CACHE_ANSWERS;
	c->parked = calloc(COORDINATOR_PARKED_MAX, sizeof *c->parked);
	c->slots = calloc(COORDINATOR_KEY_SLOTS, sizeof *c->slots);
	c->scratch = malloc(RECORD_ENCODED_MAX);
	void *storage = calloc(1, reply_cache_storage(answers));
	reply_cache_init(&c->reply_cache, answers, storage);
	if (!c->parked || !c->slots || !c->scratch || !storage) {
		coordinator_deinit(c);
		return ERR_NO_MEMORY;
	}
	c->reply_cache.now_ns = options->started_ns;
	c->assigned = *assigned;
	c->applied = *applied;
	hlc_init(&c->clock, BROKEN(M9) ? 0 : stamp_floor);
	return 0;
}

void coordinator_deinit(struct coordinator *c)
{
	free(c->parked);
	free(c->slots);
	free(c->scratch);
	free(c->reply_cache.storage);
	memset(c, 0, sizeof *c);
}

static uint64_t previous_sequence(const struct record *r)
{
	return r->context.sequence[r->dot.region];
}

void coordinator_remember_part(struct coordinator *c, uint64_t complete_ns)
{
	c->is_partial = true;
	c->reply_cache.complete_ns = complete_ns;
}

void coordinator_remember(struct coordinator *c, const struct record *record)
{
	if (record->dot.region != c->options.region || record->dot.sequence <= c->remembered ||
	    (record->flags & RECORD_TRANSACTION))
		return;
	c->remembered = record->dot.sequence;
	if (!record->client_id)
		return;
	bool is_first = c->is_partial && record->request && !reply_cache_client_is_known(&c->reply_cache, record->client_id);
	reply_cache_client_mark(&c->reply_cache, record->client_id, is_first ? record->request - 1 : 0);
	struct reply_answer *answer = reply_cache_add(&c->reply_cache, record->client_id, record->request);
	answer->state = REPLY_DONE;
	answer->sequence = record->dot.sequence;
	answer->hlc = record->hlc;
	answer->has_version = previous_sequence(record) == record->dot.sequence - 1;
}

/* ---- answers ---- */

static struct coordinator_answer *answer_add(
    struct coordinator_effects *out, uint64_t route, uint64_t number, uint64_t arrived_ns)
{
	assert(out->answer_count < COORDINATOR_ANSWERS_MAX);
	struct coordinator_answer *answer = &out->answers[out->answer_count++];
	answer->route = route;
	answer->number = number;
	answer->arrived_ns = arrived_ns;
	answer->hlc = 0;
	answer->code = 0;
	answer->reason = NULL;
	answer->siblings = 0;
	answer->token = 0;
	answer->version_size = 0;
	return answer;
}

static void refuse(struct coordinator *c, const struct coordinator_operation *op, int code, const char *reason,
    struct coordinator_effects *out)
{
	struct coordinator_answer *answer = answer_add(out, op->route, op->number, op->arrived_ns);
	answer->code = code;
	answer->reason = reason;
	if (code != ERR_EXPIRED)
		c->counts.writes_refused++;
	if (code == ERR_OVERLOADED)
		c->counts.queue_refused++;
}

/* A repeat whose first copy may have been applied and forgotten since. */
static bool is_too_old(const struct coordinator *c, const struct coordinator_operation *op)
{
	uint64_t most_ms = UINT64_MAX - COORDINATOR_AGE_SLACK_MS;
	uint64_t back_ms = (op->age_ms < most_ms ? op->age_ms : most_ms) + COORDINATOR_AGE_SLACK_MS;
	return op->age_ms && reply_cache_may_have_forgotten(&c->reply_cache, back_ms);
}

/* True when the request was seen before: attached to its parked answer, or answered again. */
static bool repeat(
    struct coordinator *c, const struct coordinator_operation *op, uint64_t mark, struct coordinator_effects *out)
{
	struct reply_answer *known = reply_cache_find(&c->reply_cache, op->client_id, op->number);
	if (!known) {
		/* Moved: only the region that had it first knows whether it was applied. */
		if (op->number > mark && !op->moved && !is_too_old(c, op))
			return false;
		refuse(c, op, ERR_EXPIRED, NULL, out);
		return true;
	}
	c->counts.writes_repeated++;
	if (known->state == REPLY_PARKED) {
		/* The client has come back another way: the newest one gets the answer. */
		c->parked[known->sequence % COORDINATOR_PARKED_MAX].route = op->route;
		return true;
	}
	struct coordinator_answer *answer = answer_add(out, op->route, op->number, op->arrived_ns);
	answer->hlc = known->hlc;
	struct dotted version = {.dot = {.region = c->options.region, .sequence = known->sequence}};
	if (known->has_version) {
		version.seen.sequence[c->options.region] = known->sequence;
		version.dot.sequence = 0;
	}
	answer->version_size = (uint32_t)dotted_encode(&version, answer->version);
	return true;
}

/* ---- one write ---- */

/* What is wrong with the request itself, at any time and in any region. */
static int validate(const struct coordinator *c, const struct coordinator_operation *op, const char **reason)
{
	if (!op->client_id || !op->number) {
		*reason = "client id and request number must not be 0";
		return ERR_MALFORMED;
	}
	if (!op->key_size || op->key_size > KEY_SIZE_MAX)
		return ERR_KEY_TOO_LARGE;
	if (op->value_size > VALUE_SIZE_MAX)
		return ERR_VALUE_TOO_LARGE;
	if (op->keyspace < 0 || (uint32_t)op->keyspace >= c->options.keyspace_count)
		return ERR_UNKNOWN_KEYSPACE;
	if (c->options.keyspaces[op->keyspace].level != LEVEL_EVENTUAL) {
		*reason = "only eventual and strong keyspaces take writes in this version";
		return ERR_LEVEL_UNAVAILABLE;
	}
	if (c->options.keyspaces[op->keyspace].acknowledge != ACKNOWLEDGE_ONE) {
		*reason = "only acknowledgement by one region is available in this version";
		return ERR_LEVEL_UNAVAILABLE;
	}
	if (op->conditional) {
		*reason = "compare and set needs a keyspace of level strong";
		return ERR_UNSUPPORTED;
	}
	return 0;
}

/* This region's values on the row that the write will not replace. */
static uint32_t own_siblings_unseen(const struct row *row, const struct vector *context, uint8_t region)
{
	uint32_t count = 0;
	for (uint32_t i = 0; row && i < row->sibling_count; i++)
		count += row->siblings[i].dot.region == region && !vector_covers_dot(context, row->siblings[i].dot);
	return count;
}

/* A value of the dot's region that is older than the dot, and that the vector has not seen. */
static bool stands_below(const struct row *row, const struct vector *seen, struct dot dot)
{
	for (uint32_t i = 0; row && dot.sequence && i < row->sibling_count; i++) {
		struct dot sibling = row->siblings[i].dot;
		if (sibling.region == dot.region && sibling.sequence < dot.sequence && !vector_covers_dot(seen, sibling))
			return true;
	}
	return false;
}

/* The context of a write, and whether context and dot together are what its writer has seen: between them there must be no
 * write of this region to this key that the context leaves out. */
static int context_of(const struct coordinator *c, const struct coordinator_operation *op, const struct coordinator_slot *slot,
    struct vector *context, bool *has_version, const char **reason)
{
	if (!op->context_size) {
		*context = c->assigned;
		*has_version = true;
		return 0;
	}
	struct dotted given;
	if (dotted_decode(&given, op->context, op->context_size) < 0) {
		*reason = "the version given cannot be read";
		return ERR_MALFORMED;
	}
	*context = given.seen;
	/* A row names in its context what its writer had seen, of which some may not have come here yet: it has superseded that
	 * on this key already, so whoever has read the row may say so. */
	struct vector known = c->applied;
	if (op->row)
		vector_join(&known, &op->row->context);
	if (!vector_covers(&known, context) || (given.dot.sequence && !vector_covers_dot(&c->applied, given.dot)))
		return ERR_CONTEXT_AHEAD;
	/* What a record replaces is a vector. It may cover what lies below the dot as long as nothing of that stands any more:
	 * it was applied here before the dot was. Otherwise somebody has to look, or it would be lost unseen. */
	if (stands_below(op->row, context, given.dot)) {
		*reason = "another value stands beside the one written last; read, then write with that version";
		return ERR_CHECK_FAILED;
	}
	if (given.dot.sequence)
		context->sequence[given.dot.region] = given.dot.sequence;
	uint32_t unseen = own_siblings_unseen(op->row, context, c->options.region);
	/* One place is kept for a blind write in flight: it leaves exactly one. */
	if (unseen + slot->with_context + 1 >= SIBLINGS_PER_REGION_MAX) {
		*reason = "too many values stand side by side on this key; read it, then write with its version";
		return ERR_OVERLOADED;
	}
	*has_version = !unseen && !slot->any;
	return 0;
}

static void operation_pend(struct coordinator *c, const struct coordinator_operation *op, uint64_t now_ms, uint16_t slot,
    const struct vector *context, bool has_version, struct coordinator_effects *out)
{
	uint8_t region = c->options.region;
	c->pending.what = PENDING_OPERATION;
	c->pending.clock_before = c->clock;
	c->pending.client_id = op->client_id;
	struct record record = {
	    .dot = {.sequence = c->assigned.sequence[region] + 1, .region = region},
	    .hlc = hlc_tick(&c->clock, now_ms, &out->hlc_bound),
	    .context = *context,
	    .client_id = op->client_id,
	    .request = op->number,
	    .key = op->key,
	    .key_size = (uint32_t)op->key_size,
	    .value = op->value,
	    .value_size = op->tombstone ? 0 : (uint32_t)op->value_size,
	    .keyspace = (uint16_t)op->keyspace,
	    .flags = op->tombstone ? RECORD_TOMBSTONE : 0,
	};
	long size = record_encode(&record, c->scratch, RECORD_ENCODED_MAX);
	assert(size > 0);
	out->record = c->scratch;
	out->record_size = (size_t)size;
	c->pending.dot = record.dot;

	struct coordinator_parked *parked = &c->pending.parked;
	parked->route = op->route;
	parked->number = op->number;
	parked->sequence = record.dot.sequence;
	parked->hlc = record.hlc;
	parked->arrived_ns = op->arrived_ns;
	parked->slot = slot;
	parked->has_context = op->context_size > 0;
	parked->has_version = has_version;
	struct dotted version = {.seen = *context, .dot = record.dot};
	if (has_version) {
		version.seen.sequence[region] = record.dot.sequence;
		version.dot.sequence = 0;
	}
	parked->version_size = (uint8_t)dotted_encode(&version, parked->version);
}

static void step_operation(
    struct coordinator *c, const struct coordinator_operation *op, uint64_t now_ms, struct coordinator_effects *out)
{
	const char *reason = NULL;
	int code = validate(c, op, &reason);
	if (code < 0) {
		refuse(c, op, code, reason, out);
		return;
	}
	uint64_t mark = reply_cache_client_mark(&c->reply_cache, op->client_id, op->settled);
	if (repeat(c, op, mark, out))
		return;
	uint16_t slot = (uint16_t)(XXH3_64bits_withSeed(op->key, op->key_size, (uint64_t)op->keyspace) % COORDINATOR_KEY_SLOTS);
	struct vector context;
	bool has_version = false;
	if (c->refusing && !(c->takes_deletes && op->tombstone)) {
		code = c->refusing;
	} else if (coordinator_parked_count(c) == COORDINATOR_PARKED_MAX) {
		code = ERR_OVERLOADED;
	} else {
		code = context_of(c, op, &c->slots[slot], &context, &has_version, &reason);
	}
	if (code < 0) {
		refuse(c, op, code, reason, out);
		return;
	}
	operation_pend(c, op, now_ms, slot, &context, has_version, out);
}

static void operation_appended(struct coordinator *c, int code, uint64_t end_lsn, struct coordinator_effects *out)
{
	struct coordinator_parked *parked = &c->pending.parked;
	if (code < 0) {
		/* Neither number nor stamp was used; the bound may not be in the log. */
		c->clock = c->pending.clock_before;
		struct coordinator_operation op = {
		    .route = parked->route, .number = parked->number, .arrived_ns = parked->arrived_ns};
		refuse(c, &op, code, NULL, out);
		return;
	}
	c->assigned.sequence[c->options.region] = c->pending.dot.sequence;
	if (BROKEN(M1))
		answer_add(out, parked->route, parked->number, parked->arrived_ns)->hlc = parked->hlc;
	assert(c->parked_tail == c->parked_head || c->parked[(c->parked_tail - 1) % COORDINATOR_PARKED_MAX].end_lsn < end_lsn);
	struct reply_answer *answer = reply_cache_add(&c->reply_cache, c->pending.client_id, parked->number);
	answer->state = REPLY_PARKED;
	answer->sequence = c->parked_tail;
	answer->hlc = parked->hlc;
	parked->answer = (uint32_t)(answer - c->reply_cache.answers);
	parked->end_lsn = end_lsn;
	c->slots[parked->slot].any++;
	c->slots[parked->slot].with_context += parked->has_context;
	/* Only the part of the version that is used: the whole queue passes through the processor's cache. */
	memcpy(&c->parked[c->parked_tail++ % COORDINATOR_PARKED_MAX], parked,
	    offsetof(struct coordinator_parked, version) + parked->version_size);
}

static void step_applied(struct coordinator *c, uint64_t lsn, const struct vector *vector, struct coordinator_effects *out)
{
	c->applied = *vector;
	while (c->parked_head != c->parked_tail) {
		struct coordinator_parked *parked = &c->parked[c->parked_head % COORDINATOR_PARKED_MAX];
		if (parked->end_lsn > lsn)
			break;
		if (out->answer_count == COORDINATOR_ANSWERS_MAX) {
			out->more = true;
			break;
		}
		c->parked_head++;
		struct coordinator_answer *answer = answer_add(out, parked->route, parked->number, parked->arrived_ns);
		answer->hlc = parked->hlc;
		answer->version_size = parked->version_size;
		memcpy(answer->version, parked->version, parked->version_size);
		struct reply_answer *memory = &c->reply_cache.answers[parked->answer];
		memory->state = REPLY_DONE;
		memory->sequence = parked->sequence;
		memory->has_version = parked->has_version;
		assert(c->slots[parked->slot].any);
		c->slots[parked->slot].any--;
		c->slots[parked->slot].with_context -= parked->has_context;
		c->counts.writes++;
	}
}

/* ---- records of other regions ---- */

static int inbound_check(struct coordinator *c, const struct record *record)
{
	uint8_t origin = record->dot.region;
	uint64_t assigned = c->assigned.sequence[origin];
	if (record->dot.sequence <= assigned) {
		if (BROKEN(M12))
			return 1;
		c->counts.records_duplicate++;
		return 0;
	}
	if (origin == c->options.region)
		return ERR_REGION_REUSED;
	if (record->dot.sequence != assigned + 1) {
		c->counts.records_out_of_order++;
		return ERR_NEEDS_RESYNC;
	}
	return 1;
}

/* Whatever time it shows: what a region has acknowledged reaches all others. A stamp from the future moves no clock, and
 * matters against rows that are truly concurrent only. Strong stamps come from a clock of their own. */
static uint64_t inbound_ahead_ms(struct coordinator *c, const struct record *record, uint64_t now_ms)
{
	if (record->entry || !hlc_observe(&c->clock, record->hlc, now_ms, c->options.clock_drift_max_ms))
		return 0;
	return hlc_milliseconds(record->hlc) - now_ms;
}

static void step_inbound(
    struct coordinator *c, const uint8_t *bytes, size_t size, uint64_t now_ms, struct coordinator_effects *out)
{
	struct record record;
	if (record_decode(&record, bytes, size) != (long)size || !(c->options.regions & 1u << record.dot.region) ||
	    (record.entry && bytes_get_u64(record.entry) > HLC_STAMP_MAX)) {
		c->counts.malformed++;
		out->inbound = ERR_MALFORMED;
		return;
	}
	out->inbound_origin = record.dot.region;
	int check = inbound_check(c, &record);
	if (check <= 0) {
		out->inbound = check;
		return;
	}
	c->pending.what = PENDING_INBOUND;
	c->pending.dot = record.dot;
	c->pending.ahead_ms = out->inbound_ahead_ms = inbound_ahead_ms(c, &record, now_ms);
	out->record = bytes;
	out->record_size = size;
	out->inbound_entry = record.entry;
	out->inbound_entry_size = record.entry_size;
	if (BROKEN(M7) && !record.entry) {
		record.hlc = hlc_tick(&c->clock, now_ms, &out->hlc_bound);
		out->record = c->scratch;
		out->record_size = (size_t)record_encode(&record, c->scratch, RECORD_ENCODED_MAX);
	}
}

static void step_commit(struct coordinator *c, const uint8_t *entry, size_t size, uint64_t hlc, struct coordinator_effects *out)
{
	const struct record record = {
	    .dot = {.sequence = c->assigned.sequence[c->options.region] + 1, .region = c->options.region},
	    .hlc = hlc,
	    .flags = RECORD_TRANSACTION,
	    .entry = entry,
	    .entry_size = (uint32_t)size};
	long encoded = record_encode(&record, c->scratch, RECORD_ENCODED_MAX);
	assert(encoded > 0);
	c->pending.what = PENDING_COMMIT;
	c->pending.dot = record.dot;
	out->record = c->scratch;
	out->record_size = (size_t)encoded;
}

static void inbound_counted(struct coordinator *c)
{
	c->counts.records_received++;
	c->counts.records_ahead += c->pending.ahead_ms > 0;
	if (c->pending.ahead_ms > c->counts.records_ahead_ms)
		c->counts.records_ahead_ms = c->pending.ahead_ms;
}

static void step_appended(struct coordinator *c, int code, uint64_t end_lsn, struct coordinator_effects *out)
{
	assert(c->pending.what != PENDING_NOTHING);
	if (c->pending.what == PENDING_OPERATION) {
		operation_appended(c, code, end_lsn, out);
	} else if (code == 0) {
		assert(BROKEN(M12) || c->assigned.sequence[c->pending.dot.region] + 1 == c->pending.dot.sequence);
		c->assigned.sequence[c->pending.dot.region] = c->pending.dot.sequence;
		if (c->pending.what == PENDING_INBOUND)
			inbound_counted(c);
	}
	c->pending.what = PENDING_NOTHING;
}

void coordinator_step(struct coordinator *c, const struct coordinator_event *event, struct coordinator_effects *out)
{
	out->hlc_bound = 0;
	out->record = NULL;
	out->record_size = 0;
	out->inbound = 0;
	out->inbound_ahead_ms = 0;
	out->inbound_entry = NULL;
	out->inbound_entry_size = 0;
	out->more = false;
	out->answer_count = 0;
	assert((c->pending.what != PENDING_NOTHING) == (event->type == COORDINATOR_APPENDED));
	if (event->now_ns > c->reply_cache.now_ns)
		c->reply_cache.now_ns = event->now_ns;
	switch (event->type) {
	case COORDINATOR_OPERATION:
		step_operation(c, &event->operation, event->now_ms, out);
		return;
	case COORDINATOR_INBOUND:
		step_inbound(c, event->inbound.bytes, event->inbound.size, event->now_ms, out);
		return;
	case COORDINATOR_APPENDED:
		step_appended(c, event->appended.code, event->appended.end_lsn, out);
		return;
	case COORDINATOR_APPLIED:
		step_applied(c, event->applied.lsn, event->applied.vector, out);
		return;
	case COORDINATOR_REFUSE:
		c->refusing = event->refuse;
		c->takes_deletes = event->takes_deletes;
		return;
	case COORDINATOR_COMMIT:
		step_commit(c, event->commit.entry, event->commit.size, event->commit.hlc, out);
		return;
	}
	assert(false); /* an event of no known type */
}
