/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/coordinator/strong.h"

#include <assert.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "actors/coordinator/io.h"
#include "base/bytes.h"
#include "base/crash_point.h"
#include "runtime/logline.h"

#define APPEND_WAIT_NS 5000000000ull
#define APPEND_POLL_MS 20

/* ---- rows ---- */

static bool lookup(void *user, uint16_t keyspace, const uint8_t *key, uint32_t key_size, struct commit_row *row)
{
	struct coordinator_io *io = user;
	struct strong *strong = &io->strong;
	struct error_context error = {0};
	int code = strong->viewing ? 0 : rows_view_begin(strong->view, &error);
	strong->viewing = strong->viewing || !code;
	if (!code)
		code = rows_get_committed(strong->view, keyspace, key, key_size, row);
	if (code == 0 || code == ERR_NOT_FOUND)
		return true;
	if (code == ERR_ROW_DAMAGED) {
		logline_distinct(LOG_LEVEL_ERROR, "row_damaged", row_digest(keyspace, key, key_size, NULL, 0).low,
		    "keyspace=%u key_size=%u reason=\"this region has no say about a strong row; the others answer\"", keyspace,
		    key_size);
		return false;
	}
	/* The machine must not go on with a row that it could not see. */
	if (!error.text[0])
		error_set(&error, code, "rows: a row of keyspace %u cannot be read", keyspace);
	logline(LOG_LEVEL_ERROR, "store_failed", "code=%s reason=\"%s\"", error_name(code), error.text);
	abort();
}

void strong_apply_begin(struct coordinator_io *io)
{
	struct strong *strong = &io->strong;
	if (strong->viewing)
		rows_view_end(strong->view);
	strong->viewing = false;
}

/* ---- what the machine wants ---- */

/* Room was asked for ahead, so this waits only when more was wanted at once than ever before. */
static int append_for_certain(struct coordinator_io *io, enum log_type type, const void *body, size_t size, uint64_t *end_lsn)
{
	struct pollfd wait = {.fd = log_fd(io->log), .events = POLLIN};
	uint64_t give_up_ns = clock_read().monotonic_ns + APPEND_WAIT_NS;
	for (;;) {
		int code = log_append(io->log, type, body, size, end_lsn);
		if (code != ERR_OVERLOADED || clock_read().monotonic_ns > give_up_ns)
			return code;
		log_flush(io->log);
		poll(&wait, 1, APPEND_POLL_MS);
	}
}

/* A decision of this region takes the next number of its stream. */
static int append_to_stream(struct coordinator_io *io, const uint8_t *entry, size_t size, uint64_t *end_lsn)
{
	struct coordinator_event event = {
	    .type = COORDINATOR_COMMIT, .commit = {.entry = entry, .size = size, .hlc = bytes_get_u64(entry)}};
	coordinator_step(&io->machine, &event, &io->effects);
	int code = append_for_certain(io, LOG_RECORD, io->effects.record, io->effects.record_size, end_lsn);
	event = (struct coordinator_event){.type = COORDINATOR_APPENDED, .appended = {.code = code, .end_lsn = *end_lsn}};
	coordinator_step(&io->machine, &event, &io->effects);
	return code;
}

static void append_crash_point(enum commit_entry type, bool streamed)
{
	switch (type) {
	case COMMIT_ENTRY_PREPARE:
		CRASH_POINT(commit_vote_appended);
		break;
	case COMMIT_ENTRY_PROMISE:
		CRASH_POINT(commit_promise_appended);
		break;
	case COMMIT_ENTRY_ACCEPT:
		CRASH_POINT(commit_accept_appended);
		break;
	case COMMIT_ENTRY_COMMIT:
		if (streamed)
			CRASH_POINT(commit_appended);
		else
			CRASH_POINT(commit_noted);
		break;
	case COMMIT_ENTRY_ABORT:
		CRASH_POINT(commit_abort_appended);
		break;
	case COMMIT_ENTRY_BOUND:
		break;
	}
}

static void ticket_take(struct coordinator_io *io, uint64_t end_lsn)
{
	struct strong *strong = &io->strong;
	strong->ticket++;
	assert(strong->ticket - strong->applied_ticket < STRONG_TICKETS);
	strong->ticket_lsn[strong->ticket % STRONG_TICKETS] = end_lsn;
	strong->marked = false;
}

static void append(struct coordinator_io *io, const struct commit_effect *effect)
{
	struct strong *strong = &io->strong;
	size_t head_size = effect->append.head_size, size = head_size + effect->append.body_size;
	enum commit_entry type = effect->append.type;
	const uint8_t *bytes = effect->append.head;
	uint64_t end_lsn = io->appended_lsn;
	assert(size <= RECORD_ENTRY_MAX);
	if (effect->append.body_size) {
		memcpy(strong->scratch, effect->append.head, head_size);
		memcpy(strong->scratch + head_size, effect->append.body, effect->append.body_size);
		bytes = strong->scratch;
	}
	int code = effect->append.streamed ? append_to_stream(io, bytes, size, &end_lsn)
	                                   : append_for_certain(io, (enum log_type)type, bytes, size, &end_lsn);
	if (code) {
		struct error_context error;
		error_set(&error, code, "appending to the log: %s", error_text(code));
		io_fail(io, code, &error);
	}
	io->appended_lsn = end_lsn;
	ticket_take(io, end_lsn);
	counter_add(io->process.counters, COUNTER_log_bytes_written, size);
	pace_gather(&io->pace, size, true);
	append_crash_point(type, effect->append.streamed);
}

static void effects_do(struct coordinator_io *io)
{
	const struct commit_effects *effects = io->strong.effects;
	for (uint32_t i = 0; i < effects->count && !io->failed; i++) {
		const struct commit_effect *effect = &effects->effects[i];
		switch (effect->type) {
		case COMMIT_EFFECT_APPEND:
			append(io, effect);
			break;
		case COMMIT_EFFECT_SEND:
			strong_send(io, effect->send.to, &effect->send.message);
			break;
		case COMMIT_EFFECT_ANSWER:
			strong_answer(io, &effect->answer);
			break;
		}
	}
}

void strong_step(struct coordinator_io *io, struct commit_event event)
{
	struct strong *strong = &io->strong;
	event.now_ns = io->now.monotonic_ns;
	event.now_ms = io->now.wall_ms;
	do {
		commit_step(strong->machine, &event, strong->effects);
		effects_do(io);
		event.type = COMMIT_EVENT_CONTINUE;
	} while (strong->effects->more && !io->failed);
	assert(io->failed || strong->ticket == commit_ticket(strong->machine));
	uint64_t timer_ns = strong->effects->timer_ns;
	if (timer_ns && (!strong->timer_ns || timer_ns < strong->timer_ns))
		strong->timer_ns = timer_ns;
}

int strong_room(const struct coordinator_io *io)
{
	int why = 0;
	const struct strong *strong = &io->strong;
	if (strong->ticket - strong->applied_ticket > STRONG_TICKETS / 2)
		return ERR_OVERLOADED;
	return log_room(io->log, &why) < STRONG_RESERVE ? why : 0;
}

/* ---- what became of it ---- */

static uint64_t tickets_upto(const struct strong *strong, uint64_t ticket, uint64_t lsn)
{
	while (ticket < strong->ticket && strong->ticket_lsn[(ticket + 1) % STRONG_TICKETS] <= lsn)
		ticket++;
	return ticket;
}

uint64_t strong_waiting(const struct coordinator_io *io)
{
	uint64_t waiting = io->strong.ticket - io->strong.durable_ticket;
	return waiting > STRONG_FEW ? waiting : 0;
}

void strong_durable(struct coordinator_io *io)
{
	struct strong *strong = &io->strong;
	if (!strong->machine || io->failed)
		return;
	uint64_t ticket = tickets_upto(strong, strong->durable_ticket, io->durable_lsn);
	if (ticket == strong->durable_ticket)
		return;
	strong->durable_ticket = ticket;
	CRASH_POINT(commit_durable);
	strong_step(
	    io, (struct commit_event){.type = COMMIT_EVENT_DURABLE, .durable = {.ticket = ticket, .lsn = io->durable_lsn}});
}

void strong_applied(struct coordinator_io *io)
{
	struct strong *strong = &io->strong;
	if (!strong->machine || io->failed)
		return;
	uint64_t ticket = tickets_upto(strong, strong->applied_ticket, io->applied.applied_lsn);
	if (ticket == strong->applied_ticket)
		return;
	strong->applied_ticket = ticket;
	strong_step(io, (struct commit_event){.type = COMMIT_EVENT_APPLIED, .applied = ticket});
}

bool strong_takes_streams(const struct coordinator_io *io)
{
	const struct strong *strong = &io->strong;
	return !strong->wanted || (strong->machine && commit_streams_room(strong->machine) && !strong_room(io));
}

void strong_streamed(struct coordinator_io *io, uint64_t end_lsn, const uint8_t *entry, size_t size)
{
	if (!io->strong.machine)
		return;
	ticket_take(io, end_lsn);
	strong_step(io, (struct commit_event){.type = COMMIT_EVENT_STREAMED, .streamed = {.bytes = entry, .size = size}});
}

void strong_refuse(struct coordinator_io *io, int code, bool takes_deletes)
{
	if (io->strong.machine)
		strong_step(io, (struct commit_event){.type = COMMIT_EVENT_REFUSE, .refuse = {code, takes_deletes}});
}

/* ---- time ---- */

/* Where the next start may begin to read: the log before the last but one such mark is not kept for it. */
static void mark(struct coordinator_io *io)
{
	struct strong *strong = &io->strong;
	uint8_t body[LOG_COMMIT_MARK_SIZE];
	uint64_t end_lsn;
	/* It hears of what is durable only with entries of its own. */
	strong_step(io, (struct commit_event){.type = COMMIT_EVENT_DURABLE,
	                    .durable = {.ticket = strong->durable_ticket, .lsn = io->durable_lsn}});
	bytes_put_u64(body, commit_oldest_lsn(strong->machine));
	bytes_put_u64(body + 8, commit_newest_hlc(strong->machine));
	if (log_append(io->log, LOG_COMMIT_MARK, body, sizeof body, &end_lsn) != 0)
		return; /* the next turn tries again */
	strong->marked = true;
	strong->mark_lsn = io->appended_lsn = end_lsn;
	pace_gather(&io->pace, sizeof body, false);
}

void strong_tick(struct coordinator_io *io)
{
	struct strong *strong = &io->strong;
	if (!strong->machine || io->failed)
		return;
	strong_peers_look(io);
	strong_starts_show(io);
	/* By the log's growth, whoever writes, and not by the clock: with one a second, two marks of a fast writer stood
	 * further apart than a small budget reaches; what they keep could not be dropped, and a full log, which no longer
	 * grows, stayed full. */
	if (io->appended_lsn >= strong->mark_lsn + ROWS_REREAD_STEP / 2)
		mark(io);
	if (!strong->timer_ns || io->now.monotonic_ns < strong->timer_ns)
		return;
	strong->timer_ns = 0;
	if (strong_room(io))
		strong->timer_ns = io->now.monotonic_ns + 100000000;
	else
		strong_step(io, (struct commit_event){.type = COMMIT_EVENT_TIMER});
}

uint64_t strong_deadline_ns(const struct coordinator_io *io)
{
	if (!io->strong.machine || io->failed)
		return LOOP_NEVER;
	uint64_t timer_ns = io->strong.timer_ns ? io->strong.timer_ns : LOOP_NEVER;
	uint64_t silent_ns = strong_peers_deadline_ns(io);
	uint64_t first_ns = timer_ns < silent_ns ? timer_ns : silent_ns;
	return first_ns < io->strong.starts_at_ns ? first_ns : io->strong.starts_at_ns;
}

static void counts_publish(struct coordinator_io *io)
{
	struct strong *strong = &io->strong;
	struct counter_block *counters = io->process.counters;
	const struct commit_counts *now = commit_counts(strong->machine);
	struct commit_counts *then = &strong->published;
	counter_add(counters, COUNTER_commits, now->commits - then->commits);
	counter_add(counters, COUNTER_commit_aborts, now->aborts - then->aborts);
	counter_add(counters, COUNTER_commits_recovered, now->recovered - then->recovered);
	counter_add(counters, COUNTER_commits_requeued, now->requeued - then->requeued);
	counter_add(counters, COUNTER_strong_reads, now->reads - then->reads);
	counter_set(counters, COUNTER_in_doubt, commit_in_doubt(strong->machine, NULL, 0));
	if (now->contradictions != then->contradictions)
		logline_distinct(LOG_LEVEL_ERROR, "commit_contradiction", 0,
		    "reason=\"two regions decided one transaction differently: stop writing and report this\"");
	*then = *now;
}

static int machine_start(struct coordinator_io *io, struct error_context *error);

/* Only the end of a segment may be left of the log: then apply_idle_lsn says so. */
static bool rows_hold_all(const struct coordinator_io *io)
{
	bool are_applied = io->applied.applied_lsn == io->durable_lsn || io->apply_idle_lsn == io->durable_lsn;
	return are_applied && io->durable_lsn == io->appended_lsn;
}

void strong_upkeep(struct coordinator_io *io)
{
	struct strong *strong = &io->strong;
	struct error_context error = {0};
	if (strong->wanted && !strong->machine && rows_hold_all(io)) {
		int code = machine_start(io, &error);
		if (code)
			io_fail(io, code, &error);
		else
			gate_update(io);
	}
	if (!strong->machine || io->failed)
		return;
	counts_publish(io);
	if (!strong->marked)
		mark(io); /* something came since the last one */
}

/* ---- start and end ---- */

static int replay(struct coordinator_io *io, uint64_t upto_lsn, uint64_t *entries, struct error_context *error)
{
	struct log_entry entry;
	const struct rows_meta *meta = rows_meta_now(io->rows);
	uint64_t start_lsn = log_start_lsn(io->log);
	int code = log_reader_seek(io->reader, meta->reread_lsn > start_lsn ? meta->reread_lsn : start_lsn, error);
	while (!code && !(code = log_reader_next(io->reader, upto_lsn, &entry, error))) {
		struct record record;
		struct commit_event event = {.type = COMMIT_EVENT_REPLAY,
		    .replay = {
		        .type = (enum commit_entry)entry.type, .bytes = entry.body, .size = entry.size, .lsn = entry.lsn}};
		if (entry.type == LOG_RECORD) {
			if (entry.body[0] != RECORD_TRANSACTION)
				continue;
			if (record_decode(&record, entry.body, entry.size) < 0)
				return error_set(error, ERR_CORRUPT, "log position %llu: a transaction that cannot be read",
				    (unsigned long long)entry.lsn);
			event.replay.type = COMMIT_ENTRY_COMMIT;
			event.replay.bytes = record.entry;
			event.replay.size = record.entry_size;
			event.replay.streamed = true;
		} else if (entry.type < LOG_COMMIT_FIRST || entry.type > LOG_COMMIT_LAST) {
			continue;
		}
		++*entries;
		strong_step(io, event);
	}
	return code == ERR_EMPTY ? 0 : code;
}

static int machine_start(struct coordinator_io *io, struct error_context *error)
{
	struct strong *strong = &io->strong;
	const struct rows_meta *meta = rows_meta_now(io->rows);
	uint64_t started_ns = clock_read().monotonic_ns, entries = 0;
	struct commit_options options = {.region = io->process.region->id,
	    .regions = io->machine.options.regions,
	    .lookup = lookup,
	    .user = io,
	    .incarnation = starts_last(&io->starts.own).nonce,
	    .assigned = &io->machine.assigned};
	io->now = clock_read();
	int code = commit_new(&strong->machine, &options, strong->floor, meta->reread_lsn ? meta->reread_hlc : 0);
	if (code)
		return error_set(error, code, "memory for strong transactions");
	code = replay(io, io->durable_lsn, &entries, error);
	if (!code && !commit_replayed(strong->machine))
		code =
		    error_set(error, ERR_NO_MEMORY, "the log holds more undecided strong transactions than there is room for");
	/* The reader stood where the rows are. */
	if (!code)
		code = log_reader_seek(io->reader, io->applied.applied_lsn, error);
	if (code)
		return code;
	strong_step(io, (struct commit_event){.type = COMMIT_EVENT_START});
	strong->starts_at_ns = 0;
	strong_refuse(io, io->machine.refusing, io->machine.takes_deletes);
	logline(LOG_LEVEL_INFO, "strong_started", "entries=%llu in_doubt=%u held_keys=%u took_ms=%llu",
	    (unsigned long long)entries, commit_in_doubt(strong->machine, NULL, 0), commit_held_keys(strong->machine),
	    (unsigned long long)(clock_read().monotonic_ns - started_ns) / 1000000);
	return 0;
}

int strong_start(struct coordinator_io *io, uint64_t floor, struct error_context *error)
{
	struct strong *strong = &io->strong;
	const struct topology *topology = &io->process.topology;
	strong->starts_at_ns = LOOP_NEVER;
	for (uint32_t i = 0; i < topology->keyspace_count; i++)
		strong->wanted |= topology->keyspaces[i].level == LEVEL_STRONG;
	if (!strong->wanted)
		return 0;
	strong->floor = floor;
	strong->fingerprint = topology_base_fingerprint(topology);
	strong->reachable = io->machine.options.regions;
	strong->effects = calloc(1, sizeof *strong->effects);
	strong->ticket_lsn = calloc(STRONG_TICKETS, sizeof *strong->ticket_lsn);
	strong->scratch = malloc(RECORD_ENTRY_MAX);
	if (!strong->effects || !strong->ticket_lsn || !strong->scratch)
		return error_set(error, ERR_NO_MEMORY, "memory for strong transactions");
	int code = rows_view_new(io->rows, &strong->view, error);
	if (!code)
		code = strong_connect(io, error);
	if (!code && rows_hold_all(io))
		code = machine_start(io, error);
	return code;
}

void strong_stop(struct coordinator_io *io)
{
	struct strong *strong = &io->strong;
	strong_apply_begin(io);
	if (strong->view)
		rows_view_free(strong->view);
	commit_free(strong->machine);
	strong_disconnect(io);
	free(strong->effects);
	free(strong->ticket_lsn);
	free(strong->scratch);
	*strong = (struct strong){0};
}
