/* SPDX-License-Identifier: Apache-2.0
 *
 * Small faults by rule that every other test passed over (A20, tools/mutants). */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "core/dotted.h"
#include "tests/unit/coordinator/steps.h"

TestSuite(faults, .init = steps_setup, .fini = steps_teardown);

/* Effects are used again and again: nothing of an earlier answer is in a later one. */
Test(faults, a20_an_answer_holds_nothing_of_an_earlier_one)
{
	for (int i = 0; i < 2; i++) {
		memset(&out, 0xee, sizeof out);
		struct coordinator_event e = put(5, 1, "key");
		e.operation.key_size = i ? 3 : 0;
		e.operation.arrived_ns = 9;
		run(&e);
		if (i) {
			memset(&out, 0xee, sizeof out);
			apply(lsn, (struct vector){.sequence = {[OWN] = 1}});
		}
		cr_assert_eq(out.answer_count, 1);
		const struct coordinator_answer *a = &out.answers[0];
		cr_assert(a->route == 7 && a->number == 1 && a->arrived_ns == 9 && a->siblings == 0 && !a->reason);
		cr_assert_eq(a->code, i ? 0 : ERR_KEY_TOO_LARGE);
		cr_assert_eq(a->hlc, i ? last_record.hlc : 0);
		cr_assert_eq(a->version_size > 0, i);
		cr_assert(!out.more && out.hlc_bound == 0 && !out.record);
	}
}

Test(faults, a20_refusals_are_counted_by_their_kind)
{
	struct coordinator_event e = put(5, 1, "");
	run(&e);
	cr_assert(c.counts.writes_refused == 1 && c.counts.queue_refused == 0);
	log_code = ERR_OVERLOADED;
	write_one(5, 2);
	cr_assert(c.counts.writes_refused == 2 && c.counts.queue_refused == 1);
	log_code = ERR_DISK_FULL;
	write_one(5, 3);
	cr_assert(c.counts.writes_refused == 3 && c.counts.queue_refused == 1);
	/* Not known any more: nothing is said of it, so it is not refused. */
	log_code = 0;
	e = put(5, 4, "key");
	e.operation.settled = 4;
	run(&e);
	cr_assert_eq(out.answers[0].code, ERR_EXPIRED);
	cr_assert(c.counts.writes_refused == 3 && c.counts.queue_refused == 1);
}

/* What stands behind the last sibling of a row is of another row. */
Test(faults, a20_siblings_are_read_up_to_their_count)
{
	static uint8_t context[DOTTED_ENCODED_MAX];
	static struct row row;
	for (uint64_t n = 1; n <= 20; n++)
		write_one(5, n);
	apply(lsn, (struct vector){.sequence = {[OWN] = 20}});
	row_init(&row);
	row.sibling_count = 1;
	row.siblings[0].dot = (struct dot){.region = OWN, .sequence = 4};
	row.siblings[1].dot = (struct dot){.region = OWN, .sequence = 11};
	struct vector seen = {.sequence = {[OWN] = 5}};
	struct coordinator_event e = put(5, 21, "key");
	e.operation.context = context;
	e.operation.context_size = vector_encode(&seen, context);
	e.operation.row = &row;
	run(&e);
	apply(lsn, (struct vector){.sequence = {[OWN] = 21}});
	cr_assert_eq(version_of(&out.answers[0]).sequence[OWN], 21, "it has seen all that stands there");
	/* Nor does it stand beside what the writer wrote last. */
	struct dotted own = {.seen = seen, .dot = {.region = OWN, .sequence = 13}};
	e = put(5, 22, "key");
	e.operation.context = context;
	e.operation.context_size = dotted_encode(&own, context);
	e.operation.row = &row;
	run(&e);
	cr_assert_eq(out.answer_count, 0, "refused with %d", out.answers[0].code);
}

/* Each refusal that its code alone does not explain has a text. */
Test(faults, a20_a_refusal_says_why)
{
	enum { CLIENT, NUMBER, STRONG, QUORUM, CONDITION, VERSION, CASES };
	for (int which = 0; which < CASES; which++) {
		struct coordinator_event e = put(which == CLIENT ? 0 : 5, which != NUMBER, "key");
		e.operation.keyspace = which == STRONG ? 1 : which == QUORUM ? 2 : 0;
		e.operation.conditional = which == CONDITION;
		if (which == VERSION) {
			e.operation.context = (const uint8_t *)"\377\377";
			e.operation.context_size = 2;
		}
		run(&e);
		cr_assert(out.answer_count == 1 && out.answers[0].code < 0 && out.answers[0].reason, "%d", which);
		cr_assert_gt(strlen(out.answers[0].reason), 20);
	}
}

Test(faults, a20_what_has_ended_holds_nothing)
{
	static const struct coordinator ended;
	struct coordinator machine;
	struct coordinator_options options = c.options;
	struct vector none = {0};
	cr_assert_eq(coordinator_init(&machine, &options, &none, &none, 0), 0);
	coordinator_deinit(&machine);
	cr_assert_eq(memcmp(&machine, &ended, sizeof machine), 0);
}

/* So many that some share a hash, whoever is asked for and by which number. */
Test(faults, a20_an_answer_is_found_by_client_and_number)
{
	enum { COUNT = 1u << 18 };
	for (int by_number = 0; by_number < 2; by_number++) {
		struct reply_cache m;
		reply_cache_init(&m, COUNT, calloc(1, reply_cache_storage(COUNT)));
		for (uint64_t i = 1; i <= COUNT; i++)
			reply_cache_add(&m, by_number ? 1 : i, by_number ? i : 1)->sequence = i;
		for (uint64_t i = 1; i <= 2 * COUNT; i++) {
			struct reply_answer *found = reply_cache_find(&m, by_number ? 1 : i, by_number ? i : 1);
			cr_assert_eq(found != NULL, i <= COUNT, "%u", (unsigned)i);
			cr_assert(!found || found->sequence == i, "%u", (unsigned)i);
		}
		free(m.storage);
	}
}

static uint32_t set_of(const struct reply_cache *m, uint64_t client_id)
{
	for (uint32_t i = 0; i < REPLY_CACHE_CLIENTS; i++)
		if (m->clients[i].client_id == client_id)
			return i / REPLY_CACHE_WAYS;
	cr_assert(false, "not there");
	return 0;
}

/* A full set of clients lets the one go that was not heard of for longest, with what it had settled. */
Test(faults, a20_the_client_unheard_for_longest_makes_room)
{
	struct reply_cache m;
	uint64_t ids[REPLY_CACHE_WAYS + 1] = {1};
	uint32_t count = 1;
	reply_cache_init(&m, 64, calloc(1, reply_cache_storage(64)));
	reply_cache_client_mark(&m, 1, 0);
	uint32_t set = set_of(&m, 1);
	for (uint64_t id = 2; count <= REPLY_CACHE_WAYS; id++) {
		reply_cache_client_mark(&m, id, 0);
		if (set_of(&m, id) == set)
			ids[count++] = id;
	}
	free(m.storage);
	reply_cache_init(&m, 64, calloc(1, reply_cache_storage(64)));
	for (uint32_t i = 0; i < REPLY_CACHE_WAYS; i++)
		cr_assert_eq(reply_cache_client_mark(&m, ids[i], 10 + i), 10 + i);
	cr_assert_eq(reply_cache_client_mark(&m, ids[0], 3), 10, "what is settled stays so");
	cr_assert_eq(reply_cache_client_mark(&m, ids[REPLY_CACHE_WAYS], 5), 5);
	for (uint32_t i = 0; i <= REPLY_CACHE_WAYS; i++)
		cr_assert_eq(reply_cache_client_is_known(&m, ids[i]), i != 1, "%u", i);
	cr_assert_eq(reply_cache_client_mark(&m, ids[0], 0), 10);
	cr_assert_eq(reply_cache_client_mark(&m, ids[1], 0), 0, "forgotten");
	free(m.storage);
}

/* What is forgotten of one client is no mark of another that shares its set. */
Test(faults, a20_a_forgotten_answer_marks_its_own_client_only)
{
	struct reply_cache m;
	uint64_t other = 2;
	reply_cache_init(&m, 16, calloc(1, reply_cache_storage(16)));
	reply_cache_client_mark(&m, 1, 0);
	for (reply_cache_client_mark(&m, other, 0); set_of(&m, other) != set_of(&m, 1);)
		reply_cache_client_mark(&m, ++other, 0);
	for (uint64_t n = 1; n <= 20; n++)
		reply_cache_add(&m, 1, n)->state = REPLY_DONE;
	cr_assert_eq(reply_cache_client_mark(&m, 1, 0), 4, "four of twenty are forgotten");
	cr_assert_eq(reply_cache_client_mark(&m, other, 0), 0);
	reply_cache_client_mark(&m, 1, 100);
	reply_cache_add(&m, 1, 21);
	cr_assert_eq(reply_cache_client_mark(&m, 1, 0), 100, "a mark never falls");
	free(m.storage);
}

static struct record own_record(uint64_t sequence, uint64_t seen)
{
	struct record r = {
	    .dot = {.region = OWN, .sequence = sequence}, .hlc = hlc_pack(NOW, 0), .client_id = 5, .request = sequence};
	r.context.sequence[OWN] = seen;
	return r;
}

/* What the log tells again after a start: own writes, each once. */
Test(faults, a20_a_start_remembers_each_own_write_once)
{
	struct record r = own_record(5, 4);
	coordinator_remember(&c, &r);
	coordinator_remember(&c, &r);
	cr_assert_eq(c.reply_cache.newest - c.reply_cache.oldest, 1);
	r.dot = (struct dot){.region = OWN + 1, .sequence = 6};
	r.request = 6;
	coordinator_remember(&c, &r);
	cr_assert_eq(c.reply_cache.newest - c.reply_cache.oldest, 1);
	cr_assert_eq(c.remembered, 5);
}

/* The version of such a write is its own number only if it had seen all before. */
Test(faults, a20_a_remembered_write_has_the_version_that_it_had)
{
	for (uint64_t seen = 2; seen <= 4; seen++) {
		struct record r = own_record(5, seen);
		coordinator_deinit(&c);
		steps_setup();
		coordinator_remember(&c, &r);
		struct coordinator_event e = put(5, 5, "key");
		run(&e);
		cr_assert(out.answer_count == 1 && out.answers[0].code == 0 && out.answers[0].hlc == r.hlc);
		struct dotted version;
		cr_assert_eq(dotted_decode(&version, out.answers[0].version, out.answers[0].version_size), 0);
		cr_assert_eq(version.dot.sequence, seen == 4 ? 0 : 5, "seen %u", (unsigned)seen);
	}
}
