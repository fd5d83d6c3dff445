/* SPDX-License-Identifier: Apache-2.0
 *
 * What the strong commit's machine wants, and what it is told: strong.c with a machine that plays a script, a log that is an
 * array, and rows that are one. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "actors/coordinator/io.h"
#include "base/bytes.h"
#include "runtime/logline.h"

#define MIB     (1ull << 20)
#define SECOND  1000000000ull
#define ENTRIES 64u

/* ---- the world around it ---- */

static struct coordinator_io io;
static uint32_t gates;
static struct counter_block counters;
static struct rows_meta meta;
static struct commit_counts machine_counts;
static struct {
	struct commit_options options;
	uint64_t bound, forgotten, ticket, oldest, newest;
	int new_code;
	bool room;
	uint32_t made, freed, in_doubt;
} machine;

static struct commit_event events[ENTRIES];
static uint32_t event_count;
static struct commit_effects script[4]; /* of the next steps */
static uint32_t script_count, script_at;

static struct {
	enum log_type type;
	uint8_t bytes[256];
	size_t size;
} appended[ENTRIES];
static uint32_t append_count, flushes;
static uint64_t end_lsn, room = UINT64_MAX, log_start;
static int append_code, room_why, failed;

static struct log_entry entries[8];
static uint32_t entry_count, entry_at;
static uint64_t sought[4];
static uint32_t seeks;

static uint32_t views, sent, answered, looks, shows, connects, errors_logged;
static uint64_t wall_ns;
static int get_code, connect_code;
static char order[64];

int commit_new(struct commit **c, const struct commit_options *options, uint64_t bound, uint64_t forgotten)
{
	machine.options = *options;
	machine.bound = bound;
	machine.forgotten = forgotten;
	machine.made++;
	*c = (struct commit *)&machine;
	return machine.new_code;
}

void commit_free(struct commit *c)
{
	machine.freed += c != NULL;
}

void commit_step(struct commit *c, const struct commit_event *event, struct commit_effects *out)
{
	cr_assert(c == (struct commit *)&machine && event_count < ENTRIES);
	events[event_count++] = *event;
	out->count = 0;
	out->more = false;
	out->timer_ns = 0;
	if (script_at == script_count)
		return;
	memcpy(out, &script[script_at], offsetof(struct commit_effects, scratch));
	for (uint32_t i = 0; i < out->count; i++)
		machine.ticket += out->effects[i].type == COMMIT_EFFECT_APPEND;
	script_at++;
}

uint64_t commit_ticket(const struct commit *c)
{
	(void)c;
	return machine.ticket;
}

bool commit_streams_room(const struct commit *c)
{
	(void)c;
	return machine.room;
}

bool commit_replayed(const struct commit *c)
{
	(void)c;
	return true;
}

uint64_t commit_oldest_lsn(const struct commit *c)
{
	(void)c;
	return machine.oldest;
}

uint64_t commit_newest_hlc(const struct commit *c)
{
	(void)c;
	return machine.newest;
}

const struct commit_counts *commit_counts(const struct commit *c)
{
	(void)c;
	return &machine_counts;
}

uint32_t commit_held_keys(const struct commit *c)
{
	(void)c;
	return 0;
}

uint32_t commit_in_doubt(const struct commit *c, struct commit_in_doubt *list, uint32_t capacity)
{
	(void)c;
	cr_assert(!list && !capacity);
	return machine.in_doubt;
}

struct clock_now clock_read(void)
{
	wall_ns += SECOND / 10;
	return (struct clock_now){.monotonic_ns = wall_ns, .wall_ms = 5};
}

int log_append(struct log *log, enum log_type type, const void *bytes, size_t size, uint64_t *end)
{
	(void)log;
	int code = append_code;
	if (append_code == ERR_OVERLOADED && flushes >= 2)
		code = 0; /* the disk has caught up */
	if (code)
		return code;
	cr_assert(append_count < ENTRIES && size <= sizeof appended[0].bytes);
	appended[append_count].type = type;
	appended[append_count].size = size;
	memcpy(appended[append_count++].bytes, bytes, size);
	*end = end_lsn += 100;
	strcat(order, "a");
	return 0;
}

int log_fd(const struct log *log)
{
	(void)log;
	return -1;
}

void log_flush(struct log *log)
{
	(void)log;
	flushes++;
}

uint64_t log_room(const struct log *log, int *why)
{
	(void)log;
	*why = room_why;
	return room;
}

uint64_t log_start_lsn(const struct log *log)
{
	(void)log;
	return log_start;
}

int log_reader_seek(struct log_reader *reader, uint64_t lsn, struct error_context *error)
{
	(void)reader;
	(void)error;
	cr_assert_lt(seeks, 4);
	sought[seeks++] = lsn;
	return 0;
}

int log_reader_next(struct log_reader *reader, uint64_t limit, struct log_entry *entry, struct error_context *error)
{
	(void)reader;
	(void)error;
	cr_assert_eq(limit, io.durable_lsn);
	if (entry_at == entry_count)
		return ERR_EMPTY;
	*entry = entries[entry_at++];
	return 0;
}

const struct rows_meta *rows_meta_now(const struct rows *rows)
{
	(void)rows;
	return &meta;
}

int rows_view_new(struct rows *rows, struct rows_view **view, struct error_context *error)
{
	(void)rows;
	(void)error;
	*view = (struct rows_view *)&views;
	return 0;
}

void rows_view_free(struct rows_view *view)
{
	cr_assert(view == (struct rows_view *)&views && views == 0);
}

int rows_view_begin(struct rows_view *view, struct error_context *error)
{
	(void)error;
	cr_assert_eq(view, (struct rows_view *)&views);
	views++;
	return 0;
}

void rows_view_end(struct rows_view *view)
{
	cr_assert_eq(view, (struct rows_view *)&views);
	views--;
}

int rows_get_committed(struct rows_view *view, uint16_t keyspace, const uint8_t *key, size_t key_size, struct commit_row *row)
{
	cr_assert(view == (struct rows_view *)&views && views == 1 && keyspace == 2 && key_size == 1 && key[0] == 'k');
	row->live = get_code == 0;
	return get_code;
}

struct start starts_last(const struct start_history *history)
{
	return (struct start){.nonce = history->nonces[0]};
}

uint64_t topology_base_fingerprint(const struct topology *topology)
{
	cr_assert_eq(topology, &io.process.topology);
	return 4711;
}

void io_fail(struct coordinator_io *p, int code, const struct error_context *error)
{
	(void)error;
	p->failed = failed = code;
}

void gate_update(struct coordinator_io *p)
{
	cr_assert(p == &io && p->strong.machine);
	gates++;
}

int strong_connect(struct coordinator_io *p, struct error_context *error)
{
	(void)p;
	(void)error;
	connects++;
	return connect_code;
}

void strong_disconnect(struct coordinator_io *p)
{
	(void)p;
}

void strong_send(struct coordinator_io *p, uint32_t to, const struct commit_message *message)
{
	cr_assert(p == &io && to == 6 && message->type == COMMIT_FETCH);
	sent++;
	strcat(order, "s");
}

void strong_answer(struct coordinator_io *p, const struct commit_answer *answer)
{
	cr_assert(p == &io && answer->route == 8);
	answered++;
	strcat(order, "r");
}

void strong_peers_look(struct coordinator_io *p)
{
	(void)p;
	looks++;
}

static uint64_t silent_ns = LOOP_NEVER;
uint64_t strong_peers_deadline_ns(const struct coordinator_io *p)
{
	(void)p;
	return silent_ns;
}

void strong_starts_show(struct coordinator_io *p)
{
	(void)p;
	shows++;
}

void logline(enum log_level level, const char *event, const char *format, ...)
{
	(void)event;
	(void)format;
	errors_logged += level == LOG_LEVEL_ERROR;
}

void logline_distinct(enum log_level level, const char *event, uint64_t subject, const char *format, ...)
{
	(void)event;
	(void)subject;
	(void)format;
	errors_logged += level == LOG_LEVEL_ERROR;
}

static void begin(void)
{
	struct topology *t = &io.process.topology;
	struct coordinator_options options = {.region = 1, .regions = 7, .keyspace_count = 1, .reply_cache_answers = 1024};
	struct vector none = {0};
	struct error_context error;
	cr_assert_eq(coordinator_init(&io.machine, &options, &none, &none, 0), 0);
	t->region_count = 3;
	t->keyspace_count = 3;
	t->keyspaces[2].level = LEVEL_STRONG;
	io.process.region = &t->regions[1];
	t->regions[1].id = 1;
	io.process.counters = &counters;
	io.starts.own.nonces[0] = 77;
	io.now = (struct clock_now){.monotonic_ns = 100 * SECOND, .wall_ms = 9};
	io.durable_lsn = io.appended_lsn = io.apply_idle_lsn = end_lsn = 1000;
	io.applied.applied_lsn = 990;
	machine.room = true;
	cr_assert_eq(strong_start(&io, 55, &error), 0);
	cr_assert_eq(connects, 1);
	if (io.strong.machine)
		cr_assert(event_count > 0);
	event_count = 0;
	io.now = (struct clock_now){.monotonic_ns = 100 * SECOND, .wall_ms = 9};
}

static void end(void)
{
	strong_stop(&io);
	cr_assert_eq(views, 0);
	cr_assert_null(io.strong.machine);
	coordinator_deinit(&io.machine);
}

TestSuite(strong_port, .init = begin, .fini = end);

static struct commit_effect append_of(enum commit_entry type, bool streamed, const char *head, const char *body)
{
	return (struct commit_effect){.type = COMMIT_EFFECT_APPEND,
	    .append = {.type = type,
	        .streamed = streamed,
	        .head = (const uint8_t *)head,
	        .head_size = strlen(head),
	        .body = (const uint8_t *)body,
	        .body_size = strlen(body)}};
}

static void play(uint32_t count, const struct commit_effect *effects)
{
	script_count = 1;
	script_at = 0;
	script[0] = (struct commit_effects){.count = count};
	for (uint32_t i = 0; i < count; i++)
		script[0].effects[i] = effects[i];
	strong_step(&io, (struct commit_event){.type = COMMIT_EVENT_TIMER});
}

/* ---- effects ---- */

Test(strong_port, effects_are_carried_out_in_their_order)
{
	struct commit_effect effects[] = {append_of(COMMIT_ENTRY_PREPARE, false, "head", "body"),
	    {.type = COMMIT_EFFECT_SEND, .send = {.to = 6, .message = {.type = COMMIT_FETCH}}},
	    {.type = COMMIT_EFFECT_ANSWER, .answer = {.route = 8}}, append_of(COMMIT_ENTRY_ABORT, false, "other", "")};
	play(4, effects);
	cr_assert_str_eq(order, "asra");
	cr_assert(events[0].now_ns == io.now.monotonic_ns && events[0].now_ms == io.now.wall_ms);
	cr_assert((int)appended[0].type == COMMIT_ENTRY_PREPARE && appended[0].size == 8);
	cr_assert_eq(memcmp(appended[0].bytes, "headbody", 8), 0);
	cr_assert((int)appended[1].type == COMMIT_ENTRY_ABORT && appended[1].size == 5);
	cr_assert_eq(io.appended_lsn, 1200);
	cr_assert_eq(counter_get(&counters, COUNTER_log_bytes_written), 13);
	cr_assert(io.pace.bytes == 13 && io.pace.own);
	cr_assert(io.strong.ticket == 2 && io.strong.ticket_lsn[1] == 1100 && io.strong.ticket_lsn[2] == 1200);
}

Test(strong_port, a_decision_takes_the_next_number_of_the_stream)
{
	char head[9] = "12345678";
	struct commit_effect effect = append_of(COMMIT_ENTRY_COMMIT, true, head, "body");
	play(1, &effect);
	cr_assert_eq(append_count, 1);
	cr_assert_eq(appended[0].type, LOG_RECORD);
	cr_assert(appended[0].bytes[0] == RECORD_TRANSACTION && appended[0].bytes[1] == 1);
	cr_assert_eq(memcmp(appended[0].bytes + appended[0].size - 12, "12345678body", 12), 0);
	cr_assert_eq(io.machine.assigned.sequence[1], 1);
	cr_assert_eq(io.appended_lsn, 1100);
	effect = append_of(COMMIT_ENTRY_COMMIT, false, head, "body");
	play(1, &effect);
	cr_assert_eq((int)appended[1].type, COMMIT_ENTRY_COMMIT);
	cr_assert_eq(io.machine.assigned.sequence[1], 1);
}

Test(strong_port, F04_what_the_log_does_not_take_ends_the_process)
{
	struct commit_effect effects[] = {append_of(COMMIT_ENTRY_PREPARE, false, "head", ""),
	    {.type = COMMIT_EFFECT_SEND, .send = {.to = 6, .message = {.type = COMMIT_FETCH}}}};
	/* It waits for a log that is only behind. */
	append_code = ERR_OVERLOADED;
	play(1, effects);
	cr_assert(failed == 0 && append_count == 1 && flushes == 2);
	append_code = ERR_DISK_FULL;
	script[1] = (struct commit_effects){.count = 0};
	play(2, effects);
	cr_assert_eq(failed, ERR_DISK_FULL);
	cr_assert_eq(sent, 0, "sent what depends on an entry that is nowhere");
	uint32_t before = event_count;
	strong_durable(&io);
	strong_applied(&io);
	strong_tick(&io);
	strong_upkeep(&io);
	cr_assert_eq(event_count, before, "a process that has failed goes on");
}

Test(strong_port, more_is_asked_for_at_once)
{
	script_count = 3;
	script[0] = (struct commit_effects){.more = true};
	script[1] = (struct commit_effects){.more = true};
	script[2] = (struct commit_effects){.timer_ns = 7};
	strong_step(&io, (struct commit_event){.type = COMMIT_EVENT_PEERS});
	cr_assert_eq(event_count, 3);
	cr_assert(events[0].type == COMMIT_EVENT_PEERS && events[1].type == COMMIT_EVENT_CONTINUE &&
	          events[2].type == COMMIT_EVENT_CONTINUE);
	cr_assert_eq(io.strong.timer_ns, 7);
}

/* ---- time ---- */

static void timer(uint64_t ns)
{
	script_count = 1;
	script_at = 0;
	script[0] = (struct commit_effects){.timer_ns = ns};
	strong_step(&io, (struct commit_event){.type = COMMIT_EVENT_PEERS});
}

Test(strong_port, the_earliest_timer_counts)
{
	io.strong.starts_at_ns = LOOP_NEVER;
	cr_assert_eq(strong_deadline_ns(&io), LOOP_NEVER);
	timer(200 * SECOND);
	timer(0);
	cr_assert_eq(strong_deadline_ns(&io), 200 * SECOND);
	timer(150 * SECOND);
	timer(180 * SECOND);
	cr_assert_eq(strong_deadline_ns(&io), 150 * SECOND);
	io.strong.starts_at_ns = 120 * SECOND;
	cr_assert_eq(strong_deadline_ns(&io), 120 * SECOND);
	silent_ns = 110 * SECOND; /* A14: without a timer nobody would look before the next second */
	cr_assert_eq(strong_deadline_ns(&io), 110 * SECOND);
	silent_ns = LOOP_NEVER;
	io.failed = ERR_IO; /* nobody looks any more: no reason to wake */
	cr_assert_eq(strong_deadline_ns(&io), LOOP_NEVER);
	event_count = 0;
	uint32_t looked = looks, shown = shows;
	strong_tick(&io);
	cr_assert(event_count == 0 && looks == looked && shows == shown, "nor to do anything");
	io.failed = 0;
	io.now.monotonic_ns = 150 * SECOND - 1;
	strong_tick(&io);
	cr_assert(event_count == 0 && looks == 1 && shows == 1);
	io.now.monotonic_ns++;
	room = STRONG_RESERVE - 1;
	room_why = ERR_DISK_FULL;
	strong_tick(&io);
	cr_assert_eq(event_count, 0, "without room nothing may be wanted");
	cr_assert_eq(io.strong.timer_ns, 150 * SECOND + SECOND / 10);
	room = STRONG_RESERVE;
	io.now.monotonic_ns += SECOND / 10;
	strong_tick(&io);
	cr_assert(event_count == 1 && events[0].type == COMMIT_EVENT_TIMER);
	cr_assert_eq(io.strong.timer_ns, 0);
	strong_tick(&io);
	cr_assert_eq(event_count, 1);
}

Test(strong_port, room_is_asked_for_ahead)
{
	room_why = ERR_OVERLOADED;
	cr_assert_eq(strong_room(&io), 0);
	room = STRONG_RESERVE - 1;
	cr_assert_eq(strong_room(&io), ERR_OVERLOADED);
	cr_assert(!strong_takes_streams(&io));
	room = STRONG_RESERVE;
	cr_assert_eq(strong_room(&io), 0);
	cr_assert(strong_takes_streams(&io));
	machine.room = false;
	cr_assert(!strong_takes_streams(&io));
	machine.room = true;
	io.strong.ticket = machine.ticket = STRONG_TICKETS / 2;
	cr_assert_eq(strong_room(&io), 0);
	io.strong.ticket++;
	cr_assert_eq(strong_room(&io), ERR_OVERLOADED);
	io.strong.applied_ticket++;
	cr_assert_eq(strong_room(&io), 0);
	io.strong.ticket = io.strong.applied_ticket = machine.ticket = 0;
	struct commit *then = io.strong.machine;
	io.strong.machine = NULL;
	cr_assert(!strong_takes_streams(&io), "it waits for the machine");
	io.strong.wanted = false;
	cr_assert(strong_takes_streams(&io), "nobody needs one");
	io.strong.wanted = true;
	io.strong.machine = then;
}

/* ---- what became of it ---- */

Test(strong_port, M1_the_machine_hears_what_is_durable_and_what_is_applied)
{
	struct commit_effect effects[3];
	for (int i = 0; i < 3; i++)
		effects[i] = append_of(COMMIT_ENTRY_PREPARE, false, "head", ""); /* end at 1100, 1200, 1300 */
	play(3, effects);
	event_count = 0;
	io.durable_lsn = 1099;
	strong_durable(&io);
	cr_assert_eq(event_count, 0);
	io.durable_lsn = 1200;
	strong_durable(&io);
	cr_assert_eq(event_count, 1);
	cr_assert(events[0].type == COMMIT_EVENT_DURABLE && events[0].durable.ticket == 2 && events[0].durable.lsn == 1200);
	strong_durable(&io);
	cr_assert_eq(event_count, 1);
	io.applied.applied_lsn = 1100;
	strong_applied(&io);
	cr_assert(event_count == 2 && events[1].type == COMMIT_EVENT_APPLIED && events[1].applied == 1);
	strong_applied(&io);
	cr_assert_eq(event_count, 2);
	io.durable_lsn = 5000;
	strong_durable(&io);
	cr_assert(event_count == 3 && events[2].durable.ticket == 3);
}

/* Many that wait are worth a wait for more, a handful is not; what is durable waits no more. */
Test(strong_port, groups_grow_when_many_wait)
{
	for (uint32_t i = 1; i <= STRONG_FEW + 2; i++) {
		struct commit_effect effect = append_of(COMMIT_ENTRY_PREPARE, false, "h", "body");
		play(1, &effect);
		cr_assert_eq(strong_waiting(&io), i <= STRONG_FEW ? 0 : i);
	}
	io.durable_lsn = io.strong.ticket_lsn[1];
	strong_durable(&io);
	cr_assert_eq(strong_waiting(&io), STRONG_FEW + 1);
	io.durable_lsn = io.strong.ticket_lsn[2];
	strong_durable(&io);
	cr_assert_eq(strong_waiting(&io), 0);
}

Test(strong_port, a_streamed_transaction_takes_a_ticket)
{
	machine.ticket = 1;
	strong_streamed(&io, 1100, (const uint8_t *)"entry", 5);
	cr_assert_eq(event_count, 1);
	cr_assert(
	    events[0].type == COMMIT_EVENT_STREAMED && events[0].streamed.size == 5 && events[0].streamed.bytes[0] == 'e');
	cr_assert(io.strong.ticket == 1 && io.strong.ticket_lsn[1] == 1100);
	strong_refuse(&io, ERR_DRAINING, false);
	cr_assert(event_count == 2 && events[1].type == COMMIT_EVENT_REFUSE && events[1].refuse.code == ERR_DRAINING);
	cr_assert_not(events[1].refuse.takes_deletes);
	strong_refuse(&io, ERR_DISK_FULL, true);
	cr_assert(event_count == 3 && events[2].refuse.code == ERR_DISK_FULL && events[2].refuse.takes_deletes);
}

/* The machine sees the rows of one moment until the next is applied. */
Test(strong_port, rows_stand_still_between_two_applies)
{
	struct commit_row found;
	commit_lookup *lookup = machine.options.lookup;
	for (int i = 0; i < 2; i++) {
		get_code = i ? ERR_NOT_FOUND : 0;
		lookup(machine.options.user, 2, (const uint8_t *)"k", 1, &found);
		cr_assert_eq(found.live, !i);
		cr_assert_eq(views, 1);
	}
	strong_apply_begin(&io);
	cr_assert_eq(views, 0);
	strong_apply_begin(&io);
	cr_assert_eq(views, 0);
}

Test(strong_port, a_row_that_cannot_be_read_stops_it, .signal = SIGABRT)
{
	struct commit_row found;
	get_code = ERR_CORRUPT;
	machine.options.lookup(machine.options.user, 2, (const uint8_t *)"k", 1, &found);
}

/* ---- once a second ---- */

Test(strong_port, a_mark_says_where_a_start_may_begin)
{
	machine.oldest = 700;
	machine.newest = 900;
	io.strong.durable_ticket = 0;
	strong_upkeep(&io);
	cr_assert_eq(append_count, 1);
	cr_assert(appended[0].type == LOG_COMMIT_MARK && appended[0].size == LOG_COMMIT_MARK_SIZE);
	cr_assert(bytes_get_u64(appended[0].bytes) == 700 && bytes_get_u64(appended[0].bytes + 8) == 900);
	cr_assert(event_count == 1 && events[0].type == COMMIT_EVENT_DURABLE && events[0].durable.lsn == io.durable_lsn);
	cr_assert_eq(io.appended_lsn, 1100);
	cr_assert(!io.pace.own && io.pace.bytes == LOG_COMMIT_MARK_SIZE);
	strong_upkeep(&io);
	cr_assert_eq(append_count, 1, "nothing came since");
	struct commit_effect effect = append_of(COMMIT_ENTRY_PREPARE, false, "head", "");
	play(1, &effect);
	strong_upkeep(&io);
	cr_assert_eq(append_count, 3);
	strong_tick(&io);
	strong_upkeep(&io);
	cr_assert_eq(append_count, 3);
}

/* D7: with one a second, the marks of a fast writer stand further apart than a small budget reaches, and a full log stays full.
 */
Test(strong_port, D7_marks_follow_the_growth_of_the_log_and_not_the_clock)
{
	strong_upkeep(&io);
	cr_assert_eq(append_count, 1);
	io.appended_lsn += ROWS_REREAD_STEP / 2 - 1;
	strong_tick(&io);
	strong_upkeep(&io);
	cr_assert_eq(append_count, 1);
	io.appended_lsn++;
	append_code = ERR_DISK_FULL;
	strong_tick(&io);
	cr_assert(failed == 0 && append_count == 1, "the next turn will do");
	append_code = 0;
	strong_tick(&io);
	cr_assert(append_count == 2 && appended[1].type == LOG_COMMIT_MARK, "by other writes, in the very turn");
	strong_tick(&io);
	cr_assert_eq(append_count, 2);
}

Test(strong_port, a20_without_strong_keyspaces_nothing_starts)
{
	struct commit *started = io.strong.machine;
	uint32_t made = machine.made;
	io.strong.machine = NULL;
	io.strong.wanted = false;
	strong_upkeep(&io);
	cr_assert(machine.made == made && !io.strong.machine && !append_count && !gates);
	io.strong.wanted = true;
	strong_upkeep(&io);
	cr_assert(machine.made == made + 1 && io.strong.machine == started && gates == 1);
}

Test(strong_port, counts_are_published_once)
{
	machine_counts = (struct commit_counts){.commits = 1, .aborts = 2, .recovered = 3, .requeued = 4, .reads = 5};
	machine.in_doubt = 6;
	for (uint64_t turn = 1; turn <= 2; turn++) {
		strong_upkeep(&io);
		strong_upkeep(&io);
		cr_assert_eq(counter_get(&counters, COUNTER_commits), turn);
		cr_assert_eq(counter_get(&counters, COUNTER_commit_aborts), 2);
		cr_assert_eq(counter_get(&counters, COUNTER_commits_recovered), 3);
		cr_assert_eq(counter_get(&counters, COUNTER_commits_requeued), 4);
		cr_assert_eq(counter_get(&counters, COUNTER_strong_reads), 5);
		cr_assert_eq(counter_get(&counters, COUNTER_in_doubt), 6);
		machine_counts.commits++;
	}
	cr_assert_eq(errors_logged, 0);
	machine_counts.contradictions++;
	strong_upkeep(&io);
	strong_upkeep(&io);
	cr_assert_eq(errors_logged, 1);
}

/* ---- start ---- */

static int again(void)
{
	struct error_context error;
	strong_stop(&io);
	event_count = entry_at = seeks = machine.made = 0;
	return strong_start(&io, 55, &error);
}

Test(strong_port, a_start_replays_what_is_strong)
{
	static uint8_t plain[] = {0, 1, 0, 0, 1}, transaction[256], mark[8];
	static struct commit_head head = {.id = {.hlc = 99, .region = 1}, .previous_count = 1};
	struct commit_request_name name = {.client_id = 9, .number = 3};
	struct commit_operation o = {.kind = COMMIT_PUT, .key = (const uint8_t *)"k", .key_size = 1};
	uint8_t entry[200], *out = entry + commit_head_put(entry, &head, true);
	out = commit_request_name_put(commit_body_begin(out, false, 1, 2, 1), &name);
	*out++ = 1;
	*out++ = 0;
	size_t entry_size = (size_t)(commit_operation_put(out, &o) - entry);
	struct record r = {.dot = {.region = 1, .sequence = 1},
	    .hlc = 99,
	    .flags = RECORD_TRANSACTION,
	    .entry = entry,
	    .entry_size = (uint32_t)entry_size};
	long size = record_encode(&r, transaction, sizeof transaction);
	cr_assert_gt(size, 0);
	const struct log_entry log[] = {{.lsn = 1, .type = LOG_COMMIT_FIRST, .body = mark, .size = 8},
	    {.lsn = 2, .type = LOG_RECORD, .body = plain, .size = sizeof plain},
	    {.lsn = 3, .type = LOG_RECORD, .body = transaction, .size = (uint32_t)size},
	    {.lsn = 4, .type = LOG_PEER_STORE, .body = mark, .size = 8},
	    {.lsn = 5, .type = LOG_COMMIT_LAST, .body = mark, .size = 8},
	    {.lsn = 6, .type = LOG_COMMIT_MARK, .body = mark, .size = 8}};
	memcpy(entries, log, sizeof log);
	entry_count = sizeof log / sizeof *log;
	meta.reread_lsn = 40;
	meta.reread_hlc = 44;
	log_start = 30;
	io.machine.refusing = ERR_DRAINING;
	cr_assert_eq(again(), 0);
	cr_assert(machine.made == 1 && machine.bound == 55 && machine.forgotten == 44);
	const struct commit_options *given = &machine.options;
	cr_assert(given->region == 1 && given->regions == 7 && given->incarnation == 77);
	cr_assert_eq(given->assigned, &io.machine.assigned);
	cr_assert_eq(event_count, 5);
	cr_assert(events[0].type == COMMIT_EVENT_REPLAY && events[0].replay.lsn == 1 && !events[0].replay.streamed);
	cr_assert(
	    (int)events[0].replay.type == LOG_COMMIT_FIRST && events[0].replay.bytes == mark && events[0].replay.size == 8);
	cr_assert(events[1].replay.lsn == 3 && events[1].replay.streamed && events[1].replay.type == COMMIT_ENTRY_COMMIT);
	cr_assert(events[1].replay.size == entry_size);
	cr_assert_eq(events[2].replay.lsn, 5);
	cr_assert_eq(events[3].type, COMMIT_EVENT_START);
	cr_assert(events[4].type == COMMIT_EVENT_REFUSE && events[4].refuse.code == ERR_DRAINING);
	cr_assert(seeks == 2 && sought[0] == 40 && sought[1] == 990, "then the reader goes on where the rows are");
	cr_assert(io.strong.fingerprint == 4711 && io.strong.reachable == 7 && io.strong.starts_at_ns == 0);
	/* What the log no longer holds was not dropped for nothing; without a mark nothing is forgotten. */
	log_start = 50;
	meta.reread_lsn = 0;
	cr_assert_eq(again(), 0);
	cr_assert(sought[0] == 50 && machine.forgotten == 0);
	transaction[0] = 200;
	entries[2].body = plain;
	plain[0] = RECORD_TRANSACTION;
	cr_assert_eq(again(), ERR_CORRUPT);
}

Test(strong_port, the_machine_starts_when_the_rows_hold_the_log)
{
	uint64_t *behind[] = {&io.apply_idle_lsn, &io.durable_lsn};
	for (int i = 0; i < 2; i++) {
		*behind[i] -= 10;
		cr_assert_eq(again(), 0);
		cr_assert(!io.strong.machine && machine.made == 0);
		strong_upkeep(&io);
		cr_assert_null(io.strong.machine);
		strong_streamed(&io, 1, NULL, 0);
		strong_refuse(&io, ERR_DRAINING, false);
		strong_durable(&io);
		strong_applied(&io);
		strong_tick(&io);
		cr_assert_eq(event_count, 0);
		*behind[i] += 10;
		if (i == 0)
			strong_upkeep(&io);
	}
	io.appended_lsn = io.durable_lsn;
	machine.new_code = ERR_NO_MEMORY;
	strong_upkeep(&io);
	cr_assert_eq(failed, ERR_NO_MEMORY);
	machine.new_code = 0;
	io.failed = 0;
}

/* A start on a full disk leaves the log unapplied. Once there is room it is applied to its last entry, where nothing says that
 * the reader found an end. */
Test(strong_port, F05_the_machine_starts_when_rows_that_were_full_hold_the_log)
{
	io.apply_idle_lsn = 0;
	cr_assert_eq(again(), 0);
	cr_assert_null(io.strong.machine);
	strong_upkeep(&io);
	cr_assert(!io.strong.machine && !strong_takes_streams(&io));
	io.applied.applied_lsn = io.durable_lsn;
	io.appended_lsn++;
	strong_upkeep(&io);
	cr_assert_null(io.strong.machine);
	io.appended_lsn--;
	cr_assert_eq(gates, 0);
	strong_upkeep(&io);
	cr_assert(io.strong.machine && strong_takes_streams(&io));
	cr_assert_eq(gates, 1, "nobody tells that writes are taken");
	cr_assert_eq(failed, 0);
}

Test(strong_port, without_a_strong_keyspace_there_is_none)
{
	io.process.topology.keyspaces[2].level = LEVEL_EVENTUAL;
	cr_assert_eq(again(), 0);
	cr_assert(!io.strong.machine && connects == 1 && strong_deadline_ns(&io) == LOOP_NEVER);
	io.process.topology.keyspaces[2].level = LEVEL_STRONG;
	connect_code = ERR_CONFIGURATION;
	cr_assert_eq(again(), ERR_CONFIGURATION);
	cr_assert_eq(machine.made, 0);
}
