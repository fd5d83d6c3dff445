/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "actors/coordinator/io.h"
#include "base/crash_point.h"
#include "proto/client.pb-c.h"

#define TIMEOUT_MS_DEFAULT 5000u
#define TIMEOUT_MS_MAX     600000u
#define IN_DOUBT_MAX       1024u /* in one answer */
#define IN_DOUBT_KEYS_MAX  8u    /* of one transaction */

/* ---- answers ---- */

void strong_answer(struct coordinator_io *io, const struct commit_answer *from)
{
	uint8_t version[COMMIT_VERSION_SIZE];
	struct coordinator_answer answer = {.route = from->route,
	    .number = from->number,
	    .arrived_ns = from->arrived_ns,
	    .code = from->code,
	    .reason = from->reason,
	    .siblings = from->is_read && from->code == ERR_OK,
	    .hlc = from->version.hlc,
	    .token = commit_token(io->strong.machine)};
	if (from->version.hlc) {
		commit_version_encode(from->version, version);
		answer.version_size = COMMIT_VERSION_SIZE;
		memcpy(answer.version, version, sizeof version);
	}
	struct counter_block *counters = io->process.counters;
	uint64_t took_us = (io->now.monotonic_ns - from->arrived_ns) / 1000;
	if (from->is_read) {
		histogram_add(&counters->histograms[HISTOGRAM_strong_read_us], took_us);
		counter_add(counters, COUNTER_reads, 1);
	} else if (from->code == ERR_OK) {
		histogram_add(&counters->histograms[HISTOGRAM_strong_write_us], took_us);
		counter_add(counters, COUNTER_writes, 1);
		CRASH_POINT(commit_unanswered);
	} else if (error_exit_code(from->code) == 3 || error_exit_code(from->code) == 1) {
		counter_add(counters, COUNTER_writes_refused, 1);
	}
	gate_reason_put(io, &answer);
	replies_add_value(&io->replies, &answer, from->value, from->value_size);
}

static void refuse(struct coordinator_io *io, uint64_t route, uint64_t number, int code, const char *reason)
{
	struct coordinator_answer answer = {.route = route, .number = number, .code = code, .reason = reason};
	counter_add(io->process.counters, COUNTER_writes_refused, 1);
	replies_add(&io->replies, &answer);
}

/* ---- in doubt ---- */

static void doubt_fill(struct coordinator_io *io, const struct commit_in_doubt *doubt, Godwit__Client__InDoubt *message,
    uint8_t version[static COMMIT_VERSION_SIZE], Godwit__Client__Row keys[static IN_DOUBT_KEYS_MAX],
    Godwit__Client__Row *list[static IN_DOUBT_KEYS_MAX])
{
	uint32_t at = doubt->body.operations_at;
	godwit__client__in_doubt__init(message);
	commit_version_encode(doubt->id, version);
	message->transaction = (ProtobufCBinaryData){.len = COMMIT_VERSION_SIZE, .data = version};
	message->voted = doubt->voted;
	message->coordinating = doubt->coordinating;
	message->age_ms = (io->now.monotonic_ns - doubt->since_ns) / 1000000;
	message->keys = list;
	while (doubt->body.bytes && message->n_keys < doubt->body.operation_count && message->n_keys < IN_DOUBT_KEYS_MAX) {
		struct commit_operation operation;
		Godwit__Client__Row *key = list[message->n_keys] = &keys[message->n_keys];
		commit_body_operation(&doubt->body, &at, &operation);
		godwit__client__row__init(key);
		key->key = (ProtobufCBinaryData){.len = operation.key_size, .data = (uint8_t *)(uintptr_t)operation.key};
		message->n_keys++;
	}
}

static void in_doubt_answer(struct coordinator_io *io, uint64_t route, uint64_t number)
{
	static struct commit_in_doubt doubts[IN_DOUBT_MAX];
	static Godwit__Client__InDoubt messages[IN_DOUBT_MAX], *list[IN_DOUBT_MAX];
	static uint8_t versions[IN_DOUBT_MAX][COMMIT_VERSION_SIZE];
	static Godwit__Client__Row keys[IN_DOUBT_MAX][IN_DOUBT_KEYS_MAX], *key_lists[IN_DOUBT_MAX][IN_DOUBT_KEYS_MAX];
	Godwit__Client__Answer answer = GODWIT__CLIENT__ANSWER__INIT;
	uint32_t count = io->strong.machine ? commit_in_doubt(io->strong.machine, doubts, IN_DOUBT_MAX) : 0;
	answer.number = number;
	answer.more = count > IN_DOUBT_MAX;
	answer.n_in_doubt = count < IN_DOUBT_MAX ? count : IN_DOUBT_MAX;
	answer.in_doubt = list;
	for (uint32_t i = 0; i < answer.n_in_doubt; i++) {
		doubt_fill(io, &doubts[i], &messages[i], versions[i], keys[i], key_lists[i]);
		list[i] = &messages[i];
	}
	replies_add_message(&io->replies, route, &answer);
}

/* ---- requests ---- */

static uint64_t deadline_ns(const struct coordinator_io *io, uint32_t timeout_ms)
{
	const struct topology *topology = &io->process.topology;
	if (!timeout_ms)
		timeout_ms = TIMEOUT_MS_DEFAULT;
	if (timeout_ms > TIMEOUT_MS_MAX)
		timeout_ms = TIMEOUT_MS_MAX;
	if (topology->cross_region_timeout_ms && timeout_ms > topology->cross_region_timeout_ms)
		timeout_ms = topology->cross_region_timeout_ms;
	/* A little before the client gives up, so that it is told. */
	uint32_t margin_ms = timeout_ms / 8 < 100 ? timeout_ms / 8 : 100;
	return io->now.monotonic_ns + (uint64_t)(timeout_ms - margin_ms) * 1000000;
}

/* Regions whose topology defines the keyspace otherwise, or not at all, as far as this one knows: a mask of places. */
static uint32_t regions_apart(const struct coordinator_io *io, uint32_t keyspace)
{
	const struct topology *topology = &io->process.topology;
	const struct shm_link *links = io->process.shm.layout->links;
	uint32_t apart = 0;
	for (uint32_t i = 0; i < topology->region_count; i++) {
		uint64_t other = atomic_load_explicit(&links[topology->regions[i].id].keyspaces_other, memory_order_relaxed);
		apart |= (uint32_t)(other >> keyspace & 1) << i;
	}
	return apart;
}

/* Regions apart do not vote on the keyspace. Refused before it is begun, it is refused for certain. */
static int keyspace_agreed(const struct coordinator_io *io, uint32_t keyspace, bool by_all, const char **reason)
{
	static char text[160]; /* until the answer is put together; a list of many long names is cut off */
	const struct topology *topology = &io->process.topology;
	uint32_t apart = regions_apart(io, keyspace), needed = by_all ? topology->region_count : topology->region_count / 2 + 1;
	if (topology->region_count - (uint32_t)__builtin_popcount(apart) >= needed)
		return 0;
	size_t size = (size_t)snprintf(text, sizeof text, "the topology defines this keyspace otherwise, or not at all, in");
	for (uint32_t i = 0; i < topology->region_count && size < sizeof text; i++)
		if (apart >> i & 1)
			size += (size_t)snprintf(text + size, sizeof text - size, " %s", topology->regions[i].name);
	*reason = text;
	return ERR_NO_QUORUM;
}

static int condition_take(struct commit_operation *out, uint32_t condition, struct request_bytes expected, const char **reason)
{
	out->condition = (uint8_t)condition;
	if (condition > COMMIT_IF_VERSION) {
		*reason = "no such condition";
		return ERR_MALFORMED;
	}
	if (condition == COMMIT_IF_VERSION && commit_version_decode(&out->expected, expected.bytes, expected.size) < 0) {
		*reason = "the version expected is not one of a strong keyspace";
		return ERR_MALFORMED;
	}
	return 0;
}

static int step_take(struct coordinator_io *io, const struct request_step *step, struct commit_operation *out, bool *ack_all,
    const char **reason)
{
	static const uint8_t kinds[] = {[GODWIT__CLIENT__KIND__PUT] = COMMIT_PUT,
	    [GODWIT__CLIENT__KIND__DELETE] = COMMIT_DELETE,
	    [GODWIT__CLIENT__KIND__CHECK] = COMMIT_CHECK};
	const struct topology *topology = &io->process.topology;
	int keyspace = io_keyspace(topology, step->keyspace);
	if (keyspace < 0)
		return ERR_UNKNOWN_KEYSPACE;
	if (topology->keyspaces[keyspace].level != LEVEL_STRONG) {
		*reason = "a transaction takes keys of strong keyspaces only";
		return ERR_LEVEL_UNAVAILABLE;
	}
	if (step->kind >= sizeof kinds || !kinds[step->kind]) {
		*reason = "a transaction takes puts, deletes and checks";
		return ERR_MALFORMED;
	}
	*ack_all |= topology->keyspaces[keyspace].acknowledge == ACKNOWLEDGE_ALL;
	*out = (struct commit_operation){.kind = kinds[step->kind],
	    .keyspace = (uint16_t)keyspace,
	    .key = step->key.bytes,
	    .key_size = (uint32_t)step->key.size,
	    .value = step->value.bytes,
	    .value_size = (uint32_t)step->value.size};
	if (step->key.size > KEY_SIZE_MAX)
		return ERR_KEY_TOO_LARGE;
	if (step->value.size > VALUE_SIZE_MAX)
		return ERR_VALUE_TOO_LARGE;
	int code = condition_take(out, step->condition, step->expected, reason);
	return code ? code
	            : keyspace_agreed(
	                  io, (uint32_t)keyspace, topology->keyspaces[keyspace].acknowledge == ACKNOWLEDGE_ALL, reason);
}

/* A single put or delete is a transaction of one step. Returns how many operations, or the refusal. */
static int operations_take(struct coordinator_io *io, const struct request_operation *o,
    struct commit_operation operations[static COMMIT_OPERATIONS_MAX], bool *ack_all, const char **reason)
{
	const uint8_t *at = NULL;
	struct request_step step = {.kind = o->kind,
	    .condition = o->condition,
	    .keyspace = o->keyspace,
	    .key = o->key,
	    .value = o->value,
	    .expected = o->expected};
	int count = 0, code = 0;
	if (o->kind != GODWIT__CLIENT__KIND__TRANSACTION) {
		code = step_take(io, &step, &operations[0], ack_all, reason);
		return code ? code : 1;
	}
	if (!o->step_count || o->step_count > COMMIT_OPERATIONS_MAX) {
		*reason = "a transaction has 1 to 256 steps";
		return ERR_MALFORMED;
	}
	while (!code && !(code = request_step_next(o, &at, &step)))
		code = step_take(io, &step, &operations[count++], ack_all, reason);
	return code == ERR_EMPTY ? count : code;
}

static void transaction_take(struct coordinator_io *io, uint64_t route, uint64_t client_id, const struct request_operation *o)
{
	struct commit_operation operations[COMMIT_OPERATIONS_MAX];
	const char *reason = NULL;
	bool ack_all = false;
	int count = operations_take(io, o, operations, &ack_all, &reason);
	if (count >= 0 && o->context.size) {
		reason = "a strong keyspace has no values side by side; use the version as a condition";
		count = ERR_UNSUPPORTED;
	}
	int code = count < 0 ? count : strong_room(io);
	if (code) {
		refuse(io, route, o->number, code, reason);
		return;
	}
	strong_step(io, (struct commit_event){.type = COMMIT_EVENT_TRANSACTION,
	                    .transaction = {.route = route,
	                        .client_id = client_id,
	                        .number = o->number,
	                        .settled = o->settled,
	                        .age_ms = o->age_ms ? o->age_ms + io_waited_ms(io) : 0,
	                        .after = o->token,
	                        .moved = o->moved,
	                        .deadline_ns = deadline_ns(io, o->timeout_ms),
	                        .arrived_ns = io->now.monotonic_ns,
	                        .ack_all = ack_all,
	                        .count = (uint32_t)count,
	                        .operations = operations}});
}

static void read_take(struct coordinator_io *io, uint64_t route, int keyspace, const struct request_operation *o)
{
	const char *reason = NULL;
	int code = o->key.size > KEY_SIZE_MAX ? ERR_KEY_TOO_LARGE : strong_room(io);
	if (!code)
		code = keyspace_agreed(io, (uint32_t)keyspace, false, &reason);
	if (code) {
		refuse(io, route, o->number, code, reason);
		return;
	}
	strong_step(io, (struct commit_event){.type = COMMIT_EVENT_READ,
	                    .read = {.route = route,
	                        .number = o->number,
	                        .deadline_ns = deadline_ns(io, o->timeout_ms),
	                        .arrived_ns = io->now.monotonic_ns,
	                        .keyspace = (uint16_t)keyspace,
	                        .key = o->key.bytes,
	                        .key_size = (uint32_t)o->key.size}});
}

bool strong_operation(struct coordinator_io *io, uint64_t route, uint64_t client_id, const struct request_operation *o)
{
	const struct topology *topology = &io->process.topology;
	int keyspace = io_keyspace(topology, o->keyspace);
	bool is_strong = keyspace >= 0 && topology->keyspaces[keyspace].level == LEVEL_STRONG;
	if (o->kind == GODWIT__CLIENT__KIND__IN_DOUBT) {
		in_doubt_answer(io, route, o->number);
		return true;
	}
	if (o->kind != GODWIT__CLIENT__KIND__TRANSACTION && !is_strong)
		return false;
	if (!io->strong.wanted)
		refuse(io, route, o->number, ERR_LEVEL_UNAVAILABLE, "there is no strong keyspace");
	else if (!io->strong.machine)
		refuse(io, route, o->number, ERR_DISK_FULL, "the rows are behind the log for lack of room");
	else if (gate_is_reused(io))
		refuse(io, route, o->number, ERR_REGION_REUSED, NULL);
	else if (o->kind == GODWIT__CLIENT__KIND__GET)
		read_take(io, route, keyspace, o);
	else if (o->kind == GODWIT__CLIENT__KIND__PUT || o->kind == GODWIT__CLIENT__KIND__DELETE ||
	         o->kind == GODWIT__CLIENT__KIND__TRANSACTION)
		transaction_take(io, route, client_id, o);
	else
		return false;
	return true;
}
