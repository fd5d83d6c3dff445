/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/coordinator/steps.h"

TestSuite(coordinator, .init = steps_setup, .fini = steps_teardown);

Test(coordinator, numbers_without_gaps)
{
	for (uint64_t n = 1; n <= 100; n++) {
		write_one(5, n);
		cr_assert_eq(last_record.dot.sequence, n);
		cr_assert_eq(last_record.dot.region, OWN);
		cr_assert_eq(last_record.context.sequence[OWN], n - 1);
		cr_assert_eq(out.answer_count, 0);
	}
	cr_assert_eq(coordinator_parked_count(&c), 100);
}

Test(coordinator, refused_by_the_log_takes_no_number)
{
	write_one(5, 1);
	uint64_t stamp = last_record.hlc;
	for (int i = 0; i < 2; i++) {
		log_code = i ? ERR_DISK_FULL : ERR_OVERLOADED;
		write_one(5, 2 + (uint64_t)i);
		cr_assert_eq(out.answer_count, 1);
		cr_assert_eq(out.answers[0].code, log_code);
	}
	log_code = 0;
	write_one(5, 4);
	cr_assert_eq(last_record.dot.sequence, 2);
	cr_assert_gt(last_record.hlc, stamp);
	/* Refused only for the time being: a client that sent it twice tries again. */
	write_one(5, 2);
	cr_assert_eq(last_record.dot.sequence, 3);
}

Test(coordinator, M1_answers_only_after_applied_and_in_order)
{
	uint64_t ends[4];
	for (uint64_t n = 0; n < 4; n++) {
		write_one(5, n + 1);
		ends[n] = lsn;
		cr_assert_eq(out.answer_count, 0);
	}
	struct vector v = {0};
	apply(ends[0] - 1, v);
	cr_assert_eq(out.answer_count, 0);
	v.sequence[OWN] = 2;
	apply(ends[1], v);
	cr_assert_eq(out.answer_count, 2);
	cr_assert_eq(out.answers[0].number, 1);
	cr_assert_eq(out.answers[1].number, 2);
	cr_assert_eq(out.answers[0].code, 0);
	cr_assert_eq(version_of(&out.answers[1]).sequence[OWN], 2);
	v.sequence[OWN] = 4;
	apply(ends[3], v);
	cr_assert_eq(out.answer_count, 2);
	cr_assert_eq(out.answers[1].number, 4);
	cr_assert_eq(c.counts.writes, 4);
	cr_assert_eq(c.slots[c.pending.parked.slot].any, 0);
}

Test(coordinator, many_answers_come_in_portions)
{
	for (uint64_t n = 1; n <= 3 * COORDINATOR_ANSWERS_MAX; n++)
		write_one(5, n);
	struct vector v = {.sequence = {[OWN] = 3 * COORDINATOR_ANSWERS_MAX}};
	uint64_t expected = 1;
	do {
		apply(lsn, v);
		for (uint32_t i = 0; i < out.answer_count; i++)
			cr_assert_eq(out.answers[i].number, expected++);
	} while (out.more);
	cr_assert_eq(expected, 3 * COORDINATOR_ANSWERS_MAX + 1);
}

Test(coordinator, parked_queue_is_bounded)
{
	for (uint64_t n = 1; n <= COORDINATOR_PARKED_MAX; n++)
		write_one(5, n);
	cr_assert_eq(out.answer_count, 0);
	write_one(5, COORDINATOR_PARKED_MAX + 1);
	cr_assert_eq(out.answers[0].code, ERR_OVERLOADED);
	cr_assert_eq(c.assigned.sequence[OWN], COORDINATOR_PARKED_MAX);
}

Test(coordinator, B08_repeat_is_answered_and_not_applied)
{
	write_one(5, 1);
	uint64_t end = lsn;
	struct coordinator_event again = put(5, 1, "key");
	again.operation.route = 8;
	run(&again); /* still parked: the answer goes to the newest route, once */
	cr_assert_eq(out.answer_count, 0);
	cr_assert_eq(lsn, end);
	apply(end, (struct vector){.sequence = {[OWN] = 1}});
	cr_assert_eq(out.answer_count, 1);
	cr_assert_eq(out.answers[0].route, 8);
	uint64_t stamp = out.answers[0].hlc;
	run(&again);
	cr_assert_eq(out.answer_count, 1);
	cr_assert_eq(out.answers[0].code, 0);
	cr_assert_eq(out.answers[0].hlc, stamp);
	cr_assert_eq(version_of(&out.answers[0]).sequence[OWN], 1);
	cr_assert_eq(c.assigned.sequence[OWN], 1);
	cr_assert_eq(c.counts.writes_repeated, 2);
	/* The same number of another client is another write. */
	write_one(6, 1);
	cr_assert_eq(c.assigned.sequence[OWN], 2);
}

Test(coordinator, B08_repeat_is_answered_after_a_restart)
{
	write_one(5, 1);
	struct record logged = last_record;
	coordinator_deinit(&c);
	steps_setup();
	coordinator_remember(&c, &logged);
	coordinator_remember(&c, &logged);
	c.assigned.sequence[OWN] = 1;
	write_one(5, 1);
	cr_assert_eq(out.answer_count, 1);
	cr_assert_eq(out.answers[0].code, 0);
	cr_assert_eq(out.answers[0].hlc, logged.hlc);
	cr_assert_eq(c.assigned.sequence[OWN], 1);
}

Test(coordinator, before_the_remembered_part_of_the_log_is_unknown)
{
	for (uint64_t n = 1; n <= 10; n++)
		write_one(5, n);
	struct record logged = last_record;
	coordinator_deinit(&c);
	steps_setup();
	coordinator_remember_part(&c, 1);
	coordinator_remember(&c, &logged);
	c.assigned.sequence[OWN] = 10;
	write_one(5, 9);
	cr_assert_eq(out.answers[0].code, ERR_EXPIRED);
	write_one(5, 10);
	cr_assert_eq(out.answers[0].code, 0);
	write_one(5, 11);
	cr_assert_eq(out.answer_count, 0);
	cr_assert_eq(c.assigned.sequence[OWN], 11);
}

/* By the monotonic clock. The wall clock goes its own ways (C5). */
static void repeat_one(uint64_t client, uint64_t number, uint64_t now_ms, uint64_t age_ms)
{
	static uint64_t wall_ms = NOW;
	struct coordinator_event e = put(client, number, "key");
	e.now_ns = now_ms * 1000000;
	e.now_ms = wall_ms = wall_ms == NOW ? NOW + 365ull * 86400000 : wall_ms == NOW - 86400000 ? NOW : NOW - 86400000;
	e.operation.age_ms = age_ms;
	run(&e);
}

Test(coordinator, B08_repeats_first_sent_before_the_memory_begins_are_unknown)
{
	write_one(5, 1);
	struct record logged = last_record;
	uint64_t began_ms = 50000, slack_ms = COORDINATOR_AGE_SLACK_MS;
	coordinator_deinit(&c);
	steps_setup();
	coordinator_remember_part(&c, began_ms * 1000000);
	coordinator_remember(&c, &logged);
	cr_assert_eq(c.reply_cache.complete_ns, began_ms * 1000000);
	c.assigned.sequence[OWN] = 1;
	/* A client of which no record is left. */
	repeat_one(6, 1, began_ms + 8000, 8000);
	cr_assert_eq(out.answers[0].code, ERR_EXPIRED);
	repeat_one(6, 1, began_ms + 8000, 8000 - slack_ms);
	cr_assert_eq(out.answers[0].code, ERR_EXPIRED);
	repeat_one(6, 1, began_ms + 8000, UINT64_MAX);
	cr_assert_eq(out.answers[0].code, ERR_EXPIRED);
	repeat_one(6, 1, began_ms + 8000, UINT64_MAX - slack_ms);
	cr_assert_eq(out.answers[0].code, ERR_EXPIRED);
	cr_assert_eq(c.assigned.sequence[OWN], 1);
	/* First sent since then, or sent for the first time. */
	repeat_one(6, 1, began_ms + 8000, 8000 - slack_ms - 1);
	cr_assert_eq(out.answer_count, 0);
	repeat_one(7, 1, began_ms + 1, 0);
	cr_assert_eq(out.answer_count, 0);
	cr_assert_eq(c.assigned.sequence[OWN], 3);
	/* What is remembered is answered, however old. */
	repeat_one(5, 1, began_ms + 100000, 100000);
	cr_assert_eq(out.answers[0].code, 0);
}

Test(coordinator, B08_repeats_older_than_what_was_forgotten_are_unknown)
{
	uint32_t count = (1u << 17) + 10;
	for (uint64_t n = 1; n <= count; n++) {
		struct coordinator_event e = put(5, n, "key");
		e.now_ns = n * 1000000;
		e.now_ms = n < 100 ? NOW + 365ull * 86400000 : NOW;
		run(&e);
		apply(lsn, (struct vector){.sequence = {[OWN] = n}});
	}
	cr_assert_eq(c.reply_cache.complete_ns, 10 * 1000000);
	repeat_one(6, 1, count, count - 10);
	cr_assert_eq(out.answers[0].code, ERR_EXPIRED);
	repeat_one(6, 1, count, count - 11 - COORDINATOR_AGE_SLACK_MS);
	cr_assert_eq(out.answer_count, 0);
}

Test(coordinator, repeat_is_answered_while_new_writes_are_refused)
{
	write_one(5, 1);
	apply(lsn, (struct vector){.sequence = {[OWN] = 1}});
	struct coordinator_event refuse = {.type = COORDINATOR_REFUSE, .refuse = ERR_DRAINING};
	run(&refuse);
	write_one(5, 1);
	cr_assert_eq(out.answers[0].code, 0);
	write_one(5, 2);
	cr_assert_eq(out.answers[0].code, ERR_DRAINING);
	refuse.refuse = ERR_DISK_FULL;
	run(&refuse);
	write_one(5, 3);
	cr_assert_eq(out.answers[0].code, ERR_DISK_FULL);
	refuse.refuse = 0;
	run(&refuse);
	write_one(5, 4);
	cr_assert_eq(out.answer_count, 0);
	cr_assert_eq(last_record.dot.sequence, 2);
}

Test(coordinator, forgotten_repeats_expire)
{
	uint32_t count = (1u << 17) + 10;
	for (uint64_t n = 1; n <= count; n++) {
		write_one(5, n);
		apply(lsn, (struct vector){.sequence = {[OWN] = n}});
	}
	write_one(5, 10);
	cr_assert_eq(out.answers[0].code, ERR_EXPIRED);
	write_one(5, 11);
	cr_assert_eq(out.answers[0].code, 0);
	cr_assert_eq(c.assigned.sequence[OWN], count);
}

Test(coordinator, settled_numbers_are_never_applied)
{
	struct coordinator_event e = put(5, 10, "key");
	e.operation.settled = 9;
	run(&e);
	write_one(5, 9);
	cr_assert_eq(out.answers[0].code, ERR_EXPIRED);
	cr_assert_eq(c.assigned.sequence[OWN], 1);
}

/* One write waits for its group while more are answered than the memory holds: its repeat is not applied, its answer comes. */
Test(coordinator, B08_a_parked_write_outlives_the_memory)
{
	struct coordinator_options options = c.options;
	struct vector empty = {0};
	coordinator_deinit(&c);
	options.reply_cache_answers = 16;
	cr_assert_eq(coordinator_init(&c, &options, &empty, &empty, 0), 0);
	for (uint64_t n = 1; n <= 4; n++)
		write_one(5, n);
	uint64_t end = lsn;
	for (uint64_t n = 5; n <= 200; n++) {
		struct reply_answer *answer = reply_cache_add(&c.reply_cache, 6, n);
		answer->state = REPLY_DONE;
		write_one(5, 1 + n % 4);
		cr_assert_eq(out.answer_count, 0);
		cr_assert_eq(c.assigned.sequence[OWN], 4);
	}
	apply(end, (struct vector){.sequence = {[OWN] = 4}});
	cr_assert_eq(out.answer_count, 4);
	for (uint64_t n = 1; n <= 4; n++) {
		write_one(5, n);
		cr_assert_eq(out.answer_count, 1);
		cr_assert_eq(out.answers[0].code, 0);
		cr_assert_eq(version_of(&out.answers[0]).sequence[OWN], n);
	}
}

Test(coordinator, bad_requests)
{
	static uint8_t large[VALUE_SIZE_MAX + 1];
	struct {
		size_t key_size, value_size;
		int keyspace, code;
	} rows[] = {{0, 1, 0, ERR_KEY_TOO_LARGE}, {1025, 1, 0, ERR_KEY_TOO_LARGE},
	    {1, VALUE_SIZE_MAX + 1, 0, ERR_VALUE_TOO_LARGE}, {1, 1, -1, ERR_UNKNOWN_KEYSPACE}, {1, 1, 3, ERR_UNKNOWN_KEYSPACE},
	    {1, 1, 1, ERR_LEVEL_UNAVAILABLE}, {1, 1, 2, ERR_LEVEL_UNAVAILABLE}};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct coordinator_event e = put(5, i + 1, "k");
		e.operation.key = e.operation.value = large;
		e.operation.key_size = rows[i].key_size;
		e.operation.value_size = rows[i].value_size;
		e.operation.keyspace = rows[i].keyspace;
		run(&e);
		cr_assert_eq(out.answer_count, 1);
		cr_assert_eq(out.answers[0].code, rows[i].code);
	}
	struct coordinator_event e = put(0, 1, "k");
	run(&e);
	cr_assert_eq(out.answers[0].code, ERR_MALFORMED);
	e = put(5, 100, "k");
	e.operation.context = (const uint8_t *)"\377\377";
	e.operation.context_size = 2;
	run(&e);
	cr_assert_eq(out.answers[0].code, ERR_MALFORMED);
	cr_assert_eq(c.assigned.sequence[OWN], 0);
	/* The largest that is allowed. */
	e = put(5, 101, "k");
	e.operation.key = e.operation.value = large;
	e.operation.key_size = KEY_SIZE_MAX;
	e.operation.value_size = VALUE_SIZE_MAX;
	run(&e);
	cr_assert_eq(out.answer_count, 0);
}

/* ---- contexts ---- */

static struct coordinator_event put_with(uint64_t number, struct vector context, const struct row *row)
{
	static uint8_t bytes[VECTOR_ENCODED_MAX];
	struct coordinator_event e = put(5, number, "key");
	e.operation.context_size = vector_encode(&context, bytes);
	e.operation.context = bytes;
	e.operation.row = row;
	return e;
}

/* A row that came here before the writes that its writer had seen: what was read can be written back. */
Test(coordinator, version_of_a_row_ahead_of_this_region_is_a_context)
{
	static struct row row;
	row_init(&row);
	row.context.sequence[2] = 7;
	struct coordinator_event e = put_with(1, row.context, &row);
	run(&e);
	cr_assert_eq(out.answer_count, 0);
	cr_assert_eq(last_record.context.sequence[2], 7);
	e = put_with(2, row.context, NULL);
	run(&e);
	cr_assert_eq(out.answers[0].code, ERR_CONTEXT_AHEAD);
}

Test(coordinator, context_must_be_applied_here)
{
	write_one(5, 1);
	struct vector context = {.sequence = {[OWN] = 1}};
	struct coordinator_event e = put_with(2, context, NULL);
	run(&e);
	cr_assert_eq(out.answers[0].code, ERR_CONTEXT_AHEAD);
	apply(lsn, context);
	e = put_with(3, context, NULL);
	run(&e);
	cr_assert_eq(out.answer_count, 0);
	cr_assert_eq(last_record.context.sequence[OWN], 1);
	cr_assert_eq(last_record.dot.sequence, 2);
	context.sequence[2] = 1;
	e = put_with(4, context, NULL);
	run(&e);
	cr_assert_eq(out.answers[0].code, ERR_CONTEXT_AHEAD);
	/* Nothing is remembered of a refusal: another coordinator would not know of it either, and no client takes the refusal
	 * of one copy for that of another. */
	context.sequence[2] = 0;
	e = put_with(2, context, NULL);
	run(&e);
	cr_assert_eq(out.answer_count, 0);
	cr_assert_eq(c.assigned.sequence[OWN], 3);
}

Test(coordinator, blind_write_replaces_all_that_the_region_holds)
{
	inbound(0, 1, hlc_pack(NOW, 0));
	inbound(2, 1, hlc_pack(NOW, 0));
	inbound(2, 2, hlc_pack(NOW, 1));
	write_one(5, 1);
	cr_assert_eq(last_record.context.sequence[0], 1);
	cr_assert_eq(last_record.context.sequence[2], 2);
	apply(lsn, (struct vector){.sequence = {1, 1, 2}});
	struct vector version = version_of(&out.answers[0]);
	cr_assert_eq(version.sequence[0], 1);
	cr_assert_eq(version.sequence[OWN], 1);
	cr_assert_eq(version.sequence[2], 2);
}

Test(coordinator, own_siblings_are_capped)
{
	for (uint64_t n = 1; n <= 20; n++)
		write_one(5, n);
	apply(lsn, (struct vector){.sequence = {[OWN] = 20}});
	struct row row;
	row_init(&row);
	row.sibling_count = 4;
	for (uint32_t i = 0; i < 4; i++)
		row.siblings[i].dot = (struct dot){.region = OWN, .sequence = 11 + i};
	struct vector context = {.sequence = {[OWN] = 5}};
	uint64_t number = 100, taken = 0;
	for (; taken < 20; taken++) {
		struct coordinator_event e = put_with(number++, context, &row);
		run(&e);
		if (out.answer_count)
			break;
	}
	cr_assert_eq(out.answers[0].code, ERR_OVERLOADED);
	cr_assert_leq(4 + taken + 1, SIBLINGS_PER_REGION_MAX);
	cr_assert_geq(taken, 2);
	/* A version that covers the siblings replaces them: taken again once the others are applied. */
	apply(lsn, (struct vector){.sequence = {[OWN] = 20 + taken}});
	context.sequence[OWN] = 20;
	for (uint64_t n = 1; n <= 20; n++) {
		struct coordinator_event e = put_with(number++, context, &row);
		run(&e);
		cr_assert_eq(out.answer_count, 0);
		apply(lsn, (struct vector){.sequence = {[OWN] = 20 + taken + n}});
	}
}

Test(coordinator, version_never_claims_what_the_writer_has_not_seen)
{
	for (uint64_t n = 1; n <= 20; n++)
		write_one(5, n);
	apply(lsn, (struct vector){.sequence = {[OWN] = 20}});
	struct row row;
	row_init(&row);
	row.sibling_count = 1;
	row.siblings[0].dot = (struct dot){.region = OWN, .sequence = 11};
	/* Has not seen 11: the version must not cover it. */
	struct coordinator_event e = put_with(50, (struct vector){.sequence = {[OWN] = 5}}, &row);
	run(&e);
	apply(lsn, (struct vector){.sequence = {[OWN] = 21}});
	cr_assert_eq(version_of(&out.answers[0]).sequence[OWN], 5);
	run(&e);
	cr_assert_eq(out.answers[0].code, 0);
	cr_assert_eq(version_of(&out.answers[0]).sequence[OWN], 0, "but for its own dot");
	/* Has seen it: the next write with this version replaces both. */
	e = put_with(51, (struct vector){.sequence = {[OWN] = 11}}, &row);
	run(&e);
	apply(lsn, (struct vector){.sequence = {[OWN] = 22}});
	cr_assert_eq(version_of(&out.answers[0]).sequence[OWN], 22);
	/* One in flight that it cannot have seen. */
	write_one(5, 52);
	e = put_with(53, (struct vector){.sequence = {[OWN] = 22}}, &row);
	run(&e);
	apply(lsn, (struct vector){.sequence = {[OWN] = 24}});
	cr_assert_eq(out.answer_count, 2);
	cr_assert_eq(version_of(&out.answers[1]).sequence[OWN], 22);
}

/* Beside another value of its region that it has not seen: who goes on with the version of the answer replaces its own last
 * value, and is told to look as long as the other one stands. */
Test(coordinator, C5a_the_version_of_an_answer_covers_what_it_answers)
{
	static struct row row;
	uint8_t version[2][DOTTED_ENCODED_MAX];
	uint32_t size[2];
	write_one(5, 1);
	write_one(6, 1); /* which client 5 has not seen */
	apply(lsn, (struct vector){.sequence = {[OWN] = 2}});
	row_init(&row);
	enum row_change change;
	row_merge_record(&row, &last_record, &change);
	struct coordinator_event e = put_with(2, (struct vector){.sequence = {[OWN] = 1}}, &row);
	for (uint32_t again = 0; again < 2; again++) {
		run(&e);
		if (!again) {
			row_merge_record(&row, &last_record, &change);
			apply(lsn, (struct vector){.sequence = {[OWN] = 3}});
		}
		size[again] = out.answers[0].version_size;
		memcpy(version[again], out.answers[0].version, size[again]);
		struct dotted d;
		cr_assert_eq(dotted_decode(&d, version[again], size[again]), 0);
		cr_assert(d.dot.region == OWN && d.dot.sequence == 3 && d.seen.sequence[OWN] == !again);
	}
	cr_assert_eq(row.sibling_count, 2);
	for (uint32_t again = 0; again < 2; again++) {
		e.operation.number = 3 + again;
		e.operation.context = version[again];
		e.operation.context_size = size[again];
		run(&e);
		cr_assert_eq(out.answers[0].code, ERR_CHECK_FAILED, "%s", error_name(out.answers[0].code));
	}
	/* Somebody has settled it: nothing below the dot stands, so that going on makes no second value. */
	row.siblings[0] = row.siblings[1];
	row.sibling_count = 1;
	e.operation.number = 5;
	e.operation.context = version[0];
	e.operation.context_size = size[0];
	run(&e);
	row_merge_record(&row, &last_record, &change);
	cr_assert_eq(row.sibling_count, 1);
	cr_assert_eq(last_record.context.sequence[OWN], 3);
	apply(lsn, (struct vector){.sequence = {[OWN] = 4}});
	cr_assert_eq(version_of(&out.answers[0]).sequence[OWN], 4);
	/* Not applied here yet. */
	struct dotted ahead = {.seen = {.sequence = {[OWN] = 4}}, .dot = {.region = 2, .sequence = 9}};
	e.operation.number = 6;
	e.operation.context = version[0];
	e.operation.context_size = dotted_encode(&ahead, version[0]);
	run(&e);
	cr_assert_eq(out.answers[0].code, ERR_CONTEXT_AHEAD);
}

Test(coordinator, C5a_dotted_versions_are_read_back)
{
	struct dotted d = {.seen = {.sequence = {[0] = 12, [2] = 7}}, .dot = {.region = 2, .sequence = 9}}, back;
	uint8_t bytes[DOTTED_ENCODED_MAX];
	char text[DOTTED_TEXT_MAX];
	size_t size = dotted_encode(&d, bytes);
	cr_assert(dotted_decode(&back, bytes, size) == 0 && !memcmp(&back, &d, sizeof d));
	for (size_t i = 0; i < size; i++)
		cr_assert_eq(dotted_decode(&back, bytes, i), ERR_MALFORMED);
	dotted_format(&d, text);
	cr_assert_str_eq(text, "0:12,2:7+2:9");
	cr_assert(dotted_parse(&back, text) == 0 && !memcmp(&back.seen, &d.seen, sizeof d.seen) && back.dot.sequence == 9);
	d.dot.sequence = 8; /* no exception: the next one */
	dotted_format(&d, text);
	cr_assert_str_eq(text, "0:12,2:8");
	cr_assert(dotted_decode(&back, bytes, dotted_encode(&d, bytes)) == 0 && !back.dot.sequence);
	static const char *const bad[] = {"", "+", "0:1+", "0:1+-", "0:1+0:5,1:5", "0:1+0:5+0:7", "+0:5"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		cr_assert_eq(dotted_parse(&back, bad[i]), ERR_MALFORMED, "'%s'", bad[i]);
}

/* ---- records of other regions ---- */

Test(coordinator, M12_inbound_in_sequence_only)
{
	uint64_t stamp = hlc_pack(NOW, 0);
	inbound(2, 1, stamp);
	cr_assert_eq(c.assigned.sequence[2], 1);
	uint64_t at = lsn;
	inbound(2, 1, stamp);
	cr_assert_eq(out.inbound, 0);
	cr_assert_eq(c.counts.records_duplicate, 1);
	inbound(2, 3, stamp);
	cr_assert_eq(out.inbound, ERR_NEEDS_RESYNC);
	cr_assert_eq(c.counts.records_out_of_order, 1);
	cr_assert_eq(lsn, at);
	inbound(2, 2, stamp);
	inbound(2, 3, stamp);
	cr_assert_eq(c.assigned.sequence[2], 3);
	cr_assert_eq(c.counts.records_received, 3);
}

Test(coordinator, T30_inbound_refused_by_the_log_is_taken_again)
{
	log_code = ERR_OVERLOADED;
	inbound(2, 1, hlc_pack(NOW, 0));
	cr_assert_eq(c.assigned.sequence[2], 0);
	log_code = 0;
	inbound(2, 1, hlc_pack(NOW, 0));
	cr_assert_eq(c.assigned.sequence[2], 1);
}

/* Nothing that was acknowledged is held back: a stamp from the future is applied, counted, and not learned. */
Test(coordinator, c5_T23_a_stamp_from_the_future_is_taken_and_not_learned)
{
	static const uint64_t ahead_ms[] = {DRIFT + 1, 86400000, 365ull * 86400000, DRIFT + 2};
	for (uint64_t i = 0; i < 4; i++) {
		inbound(2, i + 1, hlc_pack(NOW + ahead_ms[i], 7));
		cr_assert_eq(c.assigned.sequence[2], i + 1);
		cr_assert_eq(c.counts.records_ahead, i + 1);
	}
	cr_assert_eq(c.counts.records_ahead_ms, 365ull * 86400000);
	inbound(0, 1, hlc_pack(NOW, 0));
	write_one(5, 1);
	cr_assert_lt(hlc_milliseconds(last_record.hlc), NOW + DRIFT);
	inbound(2, 5, hlc_pack(NOW + DRIFT, 0));
	cr_assert_eq(c.assigned.sequence[2], 5);
	cr_assert_eq(c.counts.records_ahead, 4);
	write_one(5, 2);
	cr_assert_gt(last_record.hlc, hlc_pack(NOW + DRIFT, 0));
	/* Refused by the log and taken again, it counts once. */
	log_code = ERR_OVERLOADED;
	inbound(2, 6, hlc_pack(NOW + 86400000, 0));
	log_code = 0;
	inbound(2, 6, hlc_pack(NOW + 86400000, 0));
	cr_assert_eq(c.counts.records_ahead, 5);
}

Test(coordinator, inbound_that_cannot_be)
{
	inbound(5, 1, hlc_pack(NOW, 0)); /* no region of this topology */
	cr_assert_eq(out.inbound, ERR_MALFORMED);
	inbound(OWN, 1, hlc_pack(NOW, 0)); /* a number that this region never gave out */
	cr_assert_eq(out.inbound, ERR_REGION_REUSED);
	struct coordinator_event e = {
	    .type = COORDINATOR_INBOUND, .now_ms = NOW, .inbound = {.bytes = (const uint8_t *)"\0\2\0\0", .size = 4}};
	run(&e);
	cr_assert_eq(out.inbound, ERR_MALFORMED);
	cr_assert_eq(lsn, 256);
}

Test(coordinator, T24_M9_bound_is_appended_before_the_stamp)
{
	struct coordinator_event e = put(5, 1, "key");
	coordinator_step(&c, &e, &out);
	cr_assert_neq(out.hlc_bound, 0);
	uint64_t bound = out.hlc_bound;
	struct coordinator_event refused = {.type = COORDINATOR_APPENDED, .appended = {.code = ERR_OVERLOADED}};
	coordinator_step(&c, &refused, &out);
	/* It may not be in the log: asked for again. */
	e = put(5, 2, "key");
	coordinator_step(&c, &e, &out);
	cr_assert_eq(out.hlc_bound, bound);
	cr_assert_leq(c.pending.parked.hlc, bound);
	struct coordinator_event appended = {.type = COORDINATOR_APPENDED, .appended = {.end_lsn = 400}};
	coordinator_step(&c, &appended, &out);
	e = put(5, 3, "key");
	coordinator_step(&c, &e, &out);
	cr_assert_eq(out.hlc_bound, 0);
	appended.appended.end_lsn = 500;
	coordinator_step(&c, &appended, &out);

	/* Restarted with the clock an hour back. */
	struct coordinator_options options = c.options;
	struct vector assigned = c.assigned, applied = c.applied;
	uint64_t newest = c.clock.last;
	coordinator_deinit(&c);
	cr_assert_eq(coordinator_init(&c, &options, &assigned, &applied, bound), 0);
	e = put(6, 1, "key");
	e.now_ms = NOW - 3600000;
	run(&e);
	cr_assert_gt(last_record.hlc, newest);
}
