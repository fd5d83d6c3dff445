/* SPDX-License-Identifier: Apache-2.0
 *
 * What strong keyspaces have to do with the machine of the others: numbers of the stream, and what is left to them alone. */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/unit/core/commit_sample.h"

#include "tests/unit/coordinator/steps.h" /* last: its names are short */

TestSuite(coordinator_strong, .init = steps_setup, .fini = steps_teardown);

static uint8_t entry[512];
static size_t entry_size;

static void commit_make(uint64_t hlc, uint8_t region)
{
	const struct commit_operation operations[] = {commit_write(1, "a", "1"), commit_write(1, "b", NULL)};
	entry_size = commit_entry_sample(entry, (struct commit_id){.hlc = hlc, .region = region}, NULL, operations, 2);
}

static void commit_one(uint64_t hlc, uint8_t region)
{
	commit_make(hlc, region);
	struct coordinator_event e = {.type = COORDINATOR_COMMIT, .commit = {.entry = entry, .size = entry_size, .hlc = hlc}};
	run(&e);
}

Test(coordinator_strong, commits_take_numbers_between_writes)
{
	uint64_t sequence = 0;
	for (uint64_t n = 1; n <= 50; n++) {
		write_one(5, n);
		cr_assert_eq(last_record.dot.sequence, ++sequence);
		for (uint64_t k = 0; k < n % 3; k++) {
			/* Of another region's clients, finished here; its stamp has nothing to do with this region's clock. */
			commit_one(1000 * n + k, k ? 2 : OWN);
			cr_assert_eq(out.answer_count, 0);
			cr_assert_eq(out.hlc_bound, 0);
			cr_assert_eq(last_record.dot.sequence, ++sequence);
			cr_assert_eq(last_record.dot.region, OWN);
			cr_assert_eq(last_record.flags, RECORD_TRANSACTION);
			cr_assert_eq(last_record.hlc, 1000 * n + k);
			cr_assert(last_record.entry_size == entry_size && !memcmp(last_record.entry, entry, entry_size));
		}
		cr_assert_eq(c.assigned.sequence[OWN], sequence);
	}
	cr_assert_eq(coordinator_parked_count(&c), 50, "nobody waits here for a transaction");
	/* A write has seen the transactions before it: its context and its version cover them. */
	write_one(5, 51);
	cr_assert_eq(last_record.context.sequence[OWN], sequence);
	uint64_t end = lsn;
	commit_one(99, OWN);
	uint64_t answers = 0;
	do {
		apply(end, (struct vector){.sequence = {[OWN] = sequence + 1}});
		answers += out.answer_count;
	} while (out.more);
	cr_assert_eq(answers, 51);
	cr_assert_eq(version_of(&out.answers[out.answer_count - 1]).sequence[OWN], sequence + 1);
	cr_assert_eq(c.counts.writes, 51);
	cr_assert_eq(c.counts.records_received, 0);
}

Test(coordinator_strong, a_commit_that_the_log_refuses_takes_no_number)
{
	write_one(5, 1);
	log_code = ERR_DISK_FULL;
	commit_one(7, OWN);
	cr_assert_eq(out.answer_count, 0);
	log_code = 0;
	write_one(5, 2);
	cr_assert_eq(last_record.dot.sequence, 2);
	commit_one(7, OWN);
	cr_assert_eq(last_record.dot.sequence, 3);
}

static void inbound_commit(uint8_t origin, uint64_t sequence, uint64_t hlc)
{
	static uint8_t bytes[1024];
	commit_make(hlc, 2);
	const struct record r = {.dot = {.region = origin, .sequence = sequence},
	    .hlc = hlc,
	    .flags = RECORD_TRANSACTION,
	    .entry = entry,
	    .entry_size = (uint32_t)entry_size};
	long size = record_encode(&r, bytes, sizeof bytes);
	struct coordinator_event e = {
	    .type = COORDINATOR_INBOUND, .now_ms = NOW, .inbound = {.bytes = bytes, .size = (size_t)size}};
	coordinator_step(&c, &e, &out);
}

static void inbound_appended(int code)
{
	struct coordinator_event e = {.type = COORDINATOR_APPENDED, .appended = {.code = code, .end_lsn = lsn += 100}};
	coordinator_step(&c, &e, &out);
}

Test(coordinator_strong, inbound_transactions_give_their_entry)
{
	uint64_t stamp = hlc_pack(NOW + DRIFT, 0);
	inbound_commit(0, 1, stamp);
	cr_assert(out.record && out.inbound_entry && out.inbound_entry_size == entry_size);
	cr_assert_eq(memcmp(out.inbound_entry, entry, entry_size), 0);
	cr_assert(out.inbound_entry > out.record && out.inbound_entry + entry_size == out.record + out.record_size);
	cr_assert_eq(out.inbound_origin, 0);
	inbound_appended(0);
	cr_assert_eq(out.inbound_entry, NULL);
	cr_assert_eq(c.assigned.sequence[0], 1);
	cr_assert_eq(c.counts.records_received, 1);
	/* Strong stamps come from another clock: this one does not learn from it (C5). */
	write_one(5, 1);
	cr_assert_leq(last_record.hlc, hlc_pack(NOW, 1));
	/* Dropped: repeated, out of order, of this region's own stream, damaged. */
	static const struct {
		uint8_t origin;
		uint64_t sequence, ahead_ms;
		int code;
	} dropped[] = {{0, 1, 0, 0}, {0, 3, 0, ERR_NEEDS_RESYNC}, {0, 2, (1ull << 47) - NOW + 1, ERR_MALFORMED},
	    {OWN, 2, 0, ERR_REGION_REUSED}, {9, 1, 0, ERR_MALFORMED}};
	for (size_t i = 0; i < sizeof dropped / sizeof *dropped; i++) {
		inbound_commit(dropped[i].origin, dropped[i].sequence, hlc_pack(NOW + dropped[i].ahead_ms, 0));
		cr_assert(!out.record && !out.inbound_entry && !out.inbound_entry_size, "%zu", i);
		cr_assert_eq(out.inbound, dropped[i].code, "%zu: %d", i, out.inbound);
	}
	/* Refused by the log, it is taken again. */
	inbound_commit(0, 2, stamp);
	inbound_appended(ERR_OVERLOADED);
	cr_assert_eq(c.assigned.sequence[0], 1);
	inbound_commit(0, 2, stamp);
	cr_assert(out.inbound_entry);
	inbound_appended(0);
	cr_assert_eq(c.assigned.sequence[0], 2);
	/* An ordinary record has none. */
	inbound(2, 1, stamp);
	cr_assert_eq(c.assigned.sequence[2], 1);
	uint8_t bytes[256];
	struct record r = {.dot = {.region = 2, .sequence = 2}, .hlc = stamp, .key = (const uint8_t *)"k", .key_size = 1};
	r.context.sequence[2] = 1;
	struct coordinator_event e = {.type = COORDINATOR_INBOUND,
	    .now_ms = NOW,
	    .inbound = {.bytes = bytes, .size = (size_t)record_encode(&r, bytes, sizeof bytes)}};
	coordinator_step(&c, &e, &out);
	cr_assert(out.record && !out.inbound_entry && !out.inbound_entry_size);
	inbound_appended(0);
}

/* Transactions have a memory of their own: in this one they are no record of a client, and do not tell where it begins. */
Test(coordinator_strong, transactions_are_not_remembered_here)
{
	write_one(5, 1);
	struct record logged = last_record;
	static uint8_t kept[512];
	commit_one(77, OWN);
	struct record transaction = last_record;
	memcpy(kept, last_record.entry, last_record.entry_size);
	transaction.entry = kept;
	coordinator_deinit(&c);
	steps_setup();
	coordinator_remember_part(&c, 5000);
	coordinator_remember(&c, &transaction);
	cr_assert_eq(c.reply_cache.newest, 0);
	logged.dot.sequence = 3;
	coordinator_remember(&c, &logged);
	cr_assert_eq(c.reply_cache.complete_ns, 5000);
	cr_assert_eq(c.reply_cache.newest, 1);
}

/* ---- what other keyspaces cannot do ---- */

Test(coordinator_strong, moved_repeats_have_an_unknown_outcome)
{
	struct coordinator_event e = put(5, 1, "key");
	e.operation.moved = true;
	e.operation.age_ms = 1;
	run(&e);
	cr_assert_eq(out.answer_count, 1);
	cr_assert_eq(out.answers[0].code, ERR_EXPIRED);
	cr_assert_eq(c.assigned.sequence[OWN], 0);
	cr_assert_eq(c.counts.writes_refused, 0, "it is no refusal: it may have been applied");
	/* What this region knows of it, it says. */
	write_one(5, 2);
	e.operation.number = 2;
	run(&e);
	cr_assert_eq(out.answer_count, 0);
	apply(lsn, (struct vector){.sequence = {[OWN] = 1}});
	cr_assert_eq(out.answers[0].code, 0);
	run(&e);
	cr_assert_eq(out.answers[0].code, 0);
	cr_assert_eq(c.assigned.sequence[OWN], 1);
}

Test(coordinator_strong, conditional_writes_are_not_supported)
{
	struct coordinator_event e = put(5, 1, "key");
	e.operation.conditional = true;
	run(&e);
	cr_assert_eq(out.answer_count, 1);
	cr_assert_eq(out.answers[0].code, ERR_UNSUPPORTED);
	cr_assert(out.answers[0].reason && strstr(out.answers[0].reason, "strong"));
	cr_assert_eq(c.assigned.sequence[OWN], 0);
	cr_assert_eq(c.counts.writes_refused, 1);
	e.operation.tombstone = true;
	run(&e);
	cr_assert_eq(out.answers[0].code, ERR_UNSUPPORTED);
	/* Nothing is remembered of it. */
	write_one(5, 1);
	cr_assert_eq(out.answer_count, 0);
	cr_assert_eq(c.assigned.sequence[OWN], 1);
}
