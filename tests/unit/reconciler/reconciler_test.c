/* SPDX-License-Identifier: Apache-2.0
 *
 * Two stores as sorted arrays; the test plays the wire between them. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/reconciler/reconciler.h"

#define MS 1000000ull

struct model_row {
	char key[16];
	uint32_t key_size;
	uint32_t bucket;
	struct digest digest;
};
struct model {
	struct model_row *rows;
	uint32_t count;
	struct vector applied;
	struct digest buckets[DIGEST_BUCKETS];
};

static void model_add(struct model *m, uint32_t key, uint32_t value)
{
	struct model_row *row = &m->rows[m->count++];
	row->key_size = (uint32_t)snprintf(row->key, sizeof(row->key), "key-%07u", key);
	row->bucket = row_digest_bucket((const uint8_t *)row->key, row->key_size);
	row->digest = row_digest(0, (const uint8_t *)row->key, row->key_size, (const uint8_t *)&value, sizeof(value));
	digest_add(&m->buckets[row->bucket], row->digest);
}

static struct model model_new(uint32_t capacity)
{
	return (struct model){.rows = calloc(capacity ? capacity : 1, sizeof(struct model_row)), .applied = {{5, 7}}};
}

static void model_page(const struct model *m, const struct reconciler_ask *ask, uint32_t limit, struct reconciler_row *rows,
    struct reconciler_page *page)
{
	uint32_t low = 0, high = m->count;
	while (low < high) {
		uint32_t middle = (low + high) / 2;
		const struct model_row *row = &m->rows[middle];
		if (reconciler_key_compare((const uint8_t *)row->key, row->key_size, ask->after, ask->after_size) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	*page = (struct reconciler_page){.rows = rows, .more = m->count - low > limit};
	uint32_t end = page->more ? low + limit : m->count;
	for (uint32_t i = low; i < end; i++) {
		const struct model_row *row = &m->rows[i];
		if (ask->mask[row->bucket / 8] & 1u << row->bucket % 8)
			rows[page->row_count++] =
			    (struct reconciler_row){(const uint8_t *)row->key, row->key_size, row->digest};
	}
	if (page->more) {
		page->end = (const uint8_t *)m->rows[end - 1].key;
		page->end_size = m->rows[end - 1].key_size;
	}
	cr_assert(reconciler_page_is_valid(page, ask->after, ask->after_size));
}

static void start(struct reconciler *r)
{
	struct reconciler_options options = {
	    .self = 0, .peers = 1u << 1, .keyspace_count = 1, .compare_ns = 2000 * MS, .timeout_ns = 5000 * MS, .seed = 100};
	reconciler_init(r, &options);
}

struct outcome {
	uint32_t told, questions;
	char first_key[RECONCILER_KEY_MAX];
};

/* One round: asks at now_ns and answers everything at once, until nothing is asked any more. */
static struct outcome round_run(struct reconciler *r, const struct model *own, const struct model *peer, uint64_t now_ns,
    uint32_t own_limit, uint32_t peer_limit)
{
	struct outcome outcome = {0};
	struct reconciler_effects effects;
	struct reconciler_event tick = {.kind = RECONCILER_TICK, .now_ns = now_ns};
	struct reconciler_row *rows = calloc((size_t)own_limit + peer_limit, sizeof(*rows));
	reconciler_step(r, &tick, &effects);
	while (effects.ask_count) {
		cr_assert_eq(effects.ask_count, 1);
		struct reconciler_ask ask = effects.asks[0];
		struct reconciler_event e = {.kind = ask.bucket == -1 ? RECONCILER_DIGESTS : RECONCILER_ROWS,
		    .now_ns = now_ns,
		    .peer = ask.peer,
		    .number = ask.number,
		    .own_applied = &own->applied,
		    .peer_applied = &peer->applied,
		    .own_buckets = own->buckets,
		    .peer_buckets = peer->buckets};
		if (ask.bucket != -1) {
			model_page(own, &ask, own_limit, rows, &e.own);
			model_page(peer, &ask, peer_limit, rows + own_limit, &e.peer_page);
		}
		outcome.questions++;
		reconciler_step(r, &e, &effects);
		if (effects.told_count && !outcome.told)
			memcpy(outcome.first_key, effects.told[0].key, effects.told[0].key_size);
		outcome.told += effects.told_count;
	}
	free(rows);
	return outcome;
}

#define ROWS 1000000u
Test(reconciler, T13_one_differing_row_of_a_million_is_found_and_none_when_none, .timeout = 60)
{
	static struct reconciler r;
	struct model own = model_new(ROWS), peer = model_new(ROWS);
	for (uint32_t i = 0; i < ROWS; i++) {
		model_add(&own, i, i);
		model_add(&peer, i, i);
	}
	start(&r);
	struct outcome outcome = round_run(&r, &own, &peer, 10, 65536, 65536);
	cr_assert_eq(r.peers[1].comparisons[0].verdict, RECONCILER_EQUAL);
	cr_assert_eq(outcome.questions, 1);
	cr_assert_eq(reconciler_divergent_rows(&r), 0);

	/* The same key with another value: the keys alone would agree. */
	peer.count = 765432;
	digest_subtract(&peer.buckets[peer.rows[765432].bucket], peer.rows[765432].digest);
	model_add(&peer, 765432, 1);
	peer.count = ROWS;
	outcome = round_run(&r, &own, &peer, 3000 * MS, 65536, 65536);
	cr_assert_eq(r.peers[1].comparisons[0].verdict, RECONCILER_DIFFERS);
	cr_assert_eq(outcome.told, 1);
	cr_assert_str_eq(outcome.first_key, "key-0765432");
	cr_assert_eq(reconciler_divergent_rows(&r), 1);

	/* Repaired: the gauge goes back to 0. */
	round_run(&r, &own, &own, 6000 * MS, 65536, 65536);
	cr_assert_eq(reconciler_divergent_rows(&r), 0);
	free(own.rows);
	free(peer.rows);
}

/* With XOR two equal hashes cancel, and a bucket with both looks like a bucket with neither. */
Test(reconciler, T13_equal_hashes_do_not_cancel)
{
	static struct reconciler r;
	struct model own = model_new(1), peer = model_new(1);
	model_add(&own, 1, 1);
	model_add(&peer, 1, 1);
	struct digest extra = row_digest(0, (const uint8_t *)"x", 1, (const uint8_t *)"y", 1);
	digest_add(&peer.buckets[own.rows[0].bucket], extra);
	digest_add(&peer.buckets[own.rows[0].bucket], extra);
	start(&r);
	round_run(&r, &own, &peer, 10, 10, 10);
	cr_assert_eq(r.peers[1].comparisons[0].verdict, RECONCILER_DIFFERS);
	/* No row differs, so the digests are wrong: that must not look like "all equal" either. */
	cr_assert_eq(reconciler_divergent_rows(&r), 1);
	free(own.rows);
	free(peer.rows);
}

Test(reconciler, every_difference_is_found_whatever_the_pages, .timeout = 60)
{
	static struct reconciler r;
	unsigned seed = 20261123;
	for (uint32_t turn = 0; turn < 2000; turn++) {
		struct model own = model_new(300), peer = model_new(300);
		uint32_t different = 0, rate = (uint32_t)rand_r(&seed) % 40;
		for (uint32_t i = 0; i < 300; i++) {
			uint32_t what = (uint32_t)rand_r(&seed) % 100;
			if (what < rate) {
				if (what % 3 != 0)
					model_add(&own, i, what % 3);
				if (what % 3 != 1)
					model_add(&peer, i, what);
				different += what % 3 != 2 || what != 2;
			} else if (what < 90) {
				model_add(&own, i, i);
				model_add(&peer, i, i);
			}
		}
		start(&r);
		round_run(&r, &own, &peer, 10, 1 + (uint32_t)rand_r(&seed) % 100, 1 + (uint32_t)rand_r(&seed) % 100);
		cr_assert_eq(reconciler_divergent_rows(&r), different, "turn %u: %llu of %u", turn,
		    (unsigned long long)reconciler_divergent_rows(&r), different);
		free(own.rows);
		free(peer.rows);
	}
}

Test(reconciler, no_verdict_at_unequal_vectors)
{
	static struct reconciler r;
	struct model own = model_new(2), peer = model_new(2);
	model_add(&own, 1, 1);
	model_add(&peer, 1, 2);
	peer.applied.sequence[1]++;
	start(&r);
	struct outcome outcome = round_run(&r, &own, &peer, 10, 10, 10);
	cr_assert_eq(outcome.questions, 1);
	cr_assert_eq(r.peers[1].comparisons[0].verdict, RECONCILER_WAITING);
	cr_assert_eq(r.peers[1].comparisons[0].waits, 1);
	cr_assert_eq(r.peers[1].comparisons[0].compared_ns, 0);
	cr_assert_eq(reconciler_divergent_rows(&r), 0);
	/* Not before the pause is over, then again. */
	cr_assert_eq(reconciler_deadline_ns(&r), 10 + 2000 * MS);
	cr_assert_eq(round_run(&r, &own, &peer, 1999 * MS, 10, 10).questions, 0);
	own.applied = peer.applied;
	cr_assert_eq(round_run(&r, &own, &peer, 2001 * MS, 10, 10).told, 1);
	free(own.rows);
	free(peer.rows);
}

/* What a message brought is in the rows before a stream moves the vector: that is no fault yet. */
Test(reconciler, strong_rows_have_time)
{
	static struct reconciler r;
	struct model own = model_new(2), peer = model_new(2);
	struct outcome outcome;
	uint64_t now_ns = 0;
	model_add(&own, 1, 1);
	model_add(&peer, 1, 2);
	start(&r);
	r.options.strong[0] = true;
	const struct reconciler_comparison *c = &r.peers[1].comparisons[0];
	for (uint32_t look = 1; look < RECONCILER_LOOKS_STRONG; look++) {
		outcome = round_run(&r, &own, &peer, now_ns += 2001 * MS, 10, 10);
		cr_assert_eq(outcome.questions, 1);
		cr_assert_eq(c->verdict, RECONCILER_WAITING);
		cr_assert_eq(c->waits, look);
	}
	/* A vector moved, of both: all begins anew. So it does after rows that were equal. */
	own.applied.sequence[1]++;
	peer.applied = own.applied;
	for (uint32_t look = 1; look < RECONCILER_LOOKS_STRONG; look++)
		round_run(&r, &own, &peer, now_ns += 2001 * MS, 10, 10);
	cr_assert_eq(c->verdict, RECONCILER_WAITING);
	round_run(&r, &own, &own, now_ns += 2001 * MS, 10, 10);
	cr_assert_eq(c->verdict, RECONCILER_EQUAL);
	for (uint32_t look = 1; look < RECONCILER_LOOKS_STRONG; look++)
		round_run(&r, &own, &peer, now_ns += 2001 * MS, 10, 10);
	cr_assert_eq(c->verdict, RECONCILER_WAITING);
	cr_assert_eq(reconciler_divergent_rows(&r), 0);
	outcome = round_run(&r, &own, &peer, now_ns += 2001 * MS, 10, 10);
	cr_assert_eq(outcome.told, 1);
	cr_assert_eq(c->verdict, RECONCILER_DIFFERS);
	cr_assert_eq(reconciler_divergent_rows(&r), 1);
	free(own.rows);
	free(peer.rows);
}

Test(reconciler, a_sweep_ends_when_a_vector_moves)
{
	static struct reconciler r;
	struct model own = model_new(2), peer = model_new(2);
	struct reconciler_effects effects;
	model_add(&own, 1, 1);
	model_add(&peer, 1, 2);
	start(&r);
	reconciler_step(&r, &(struct reconciler_event){.kind = RECONCILER_TICK, .now_ns = 1}, &effects);
	struct reconciler_event digests = {.kind = RECONCILER_DIGESTS,
	    .now_ns = 2,
	    .peer = 1,
	    .number = effects.asks[0].number,
	    .own_applied = &own.applied,
	    .peer_applied = &peer.applied,
	    .own_buckets = own.buckets,
	    .peer_buckets = peer.buckets};
	reconciler_step(&r, &digests, &effects);
	cr_assert_eq(effects.ask_count, 1);
	/* Both moved, and to the same: still not what the buckets stood for. */
	struct vector moved = {{6, 7}};
	struct reconciler_row rows[2] = {{(const uint8_t *)own.rows[0].key, own.rows[0].key_size, own.rows[0].digest},
	    {(const uint8_t *)peer.rows[0].key, peer.rows[0].key_size, peer.rows[0].digest}};
	struct reconciler_event page = {.kind = RECONCILER_ROWS,
	    .now_ns = 3,
	    .peer = 1,
	    .number = effects.asks[0].number,
	    .own_applied = &moved,
	    .peer_applied = &moved,
	    .own = {.rows = &rows[0], .row_count = 1},
	    .peer_page = {.rows = &rows[1], .row_count = 1}};
	reconciler_step(&r, &page, &effects);
	cr_assert_eq(effects.told_count, 0);
	cr_assert_eq(effects.ask_count, 0);
	cr_assert_eq(r.peers[1].comparisons[0].verdict, RECONCILER_DIFFERS);
	cr_assert_eq(reconciler_divergent_rows(&r), 1);
	free(own.rows);
	free(peer.rows);
}

Test(reconciler, an_answer_that_is_late_or_strange_changes_nothing)
{
	static struct reconciler r;
	struct model own = model_new(1);
	struct reconciler_effects effects;
	start(&r);
	reconciler_step(&r, &(struct reconciler_event){.kind = RECONCILER_TICK, .now_ns = 1}, &effects);
	struct reconciler_event answer = {.kind = RECONCILER_DIGESTS,
	    .now_ns = 2,
	    .peer = 1,
	    .number = effects.asks[0].number + 1,
	    .own_applied = &own.applied,
	    .peer_applied = &own.applied,
	    .own_buckets = own.buckets,
	    .peer_buckets = own.buckets};
	reconciler_step(&r, &answer, &effects);
	cr_assert_eq(r.peers[1].comparisons[0].verdict, RECONCILER_UNKNOWN);
	answer.number--;
	answer.kind = RECONCILER_ROWS;
	reconciler_step(&r, &answer, &effects);
	cr_assert_eq(r.peers[1].comparisons[0].verdict, RECONCILER_UNKNOWN);
	reconciler_step(&r, &(struct reconciler_event){.kind = RECONCILER_TICK, .now_ns = 1 + 5000 * MS}, &effects);
	cr_assert_eq(r.peers[1].comparisons[0].verdict, RECONCILER_UNREACHABLE);
	answer.kind = RECONCILER_DIGESTS;
	reconciler_step(&r, &answer, &effects);
	cr_assert_eq(r.peers[1].comparisons[0].verdict, RECONCILER_UNREACHABLE);
	answer.peer = 99;
	reconciler_step(&r, &answer, &effects);
	free(own.rows);
}

/* While rows are asked for: only rows, and only with the number of the question. */
Test(reconciler, F24_what_does_not_answer_the_question_changes_nothing)
{
	static struct reconciler r;
	struct model own = model_new(1), peer = model_new(1);
	struct reconciler_effects effects;
	start(&r);
	model_add(&own, 1, 1);
	model_add(&peer, 1, 2);
	reconciler_step(&r, &(struct reconciler_event){.kind = RECONCILER_TICK, .now_ns = 1}, &effects);
	struct reconciler_event event = {.kind = RECONCILER_NOT_SENT,
	    .now_ns = 2,
	    .peer = 1,
	    .number = effects.asks[0].number + 1,
	    .own_applied = &own.applied,
	    .peer_applied = &peer.applied,
	    .own_buckets = own.buckets,
	    .peer_buckets = peer.buckets};
	reconciler_step(&r, &event, &effects);
	cr_assert(r.peers[1].pending && r.peers[1].comparisons[0].verdict == RECONCILER_UNKNOWN);
	event.kind = RECONCILER_DIGESTS;
	event.number--;
	reconciler_step(&r, &event, &effects);
	cr_assert(effects.ask_count == 1 && effects.comparisons == 1 && r.peers[1].sweeping);
	event.number = effects.asks[0].number;
	reconciler_step(&r, &event, &effects);
	cr_assert(effects.ask_count == 0 && effects.comparisons == 0 && r.peers[1].sweeping && r.peers[1].pending);
	event.kind = RECONCILER_ROWS;
	event.number++;
	reconciler_step(&r, &event, &effects);
	cr_assert(r.peers[1].sweeping && r.peers[1].pending);
	event.kind = RECONCILER_NOT_SENT;
	event.number--;
	reconciler_step(&r, &event, &effects);
	cr_assert(!r.peers[1].pending && r.peers[1].comparisons[0].verdict == RECONCILER_UNREACHABLE);
	free(own.rows);
	free(peer.rows);
}

Test(reconciler, draining_asks_nothing_more)
{
	static struct reconciler r;
	struct reconciler_effects effects;
	start(&r);
	reconciler_step(&r, &(struct reconciler_event){.kind = RECONCILER_DRAIN, .now_ns = 1}, &effects);
	reconciler_step(&r, &(struct reconciler_event){.kind = RECONCILER_TICK, .now_ns = 2}, &effects);
	cr_assert_eq(effects.ask_count, 0);
	cr_assert_eq(reconciler_deadline_ns(&r), RECONCILER_NEVER);
}

/* What breaks an honest comparison: rows out of order, twice, outside the question; an end that does not move on. */
Test(reconciler, pages_that_no_honest_peer_sends_are_refused)
{
	const uint8_t *k = (const uint8_t *)"abc";
	struct reconciler_row rows[2] = {{k, 1, {0}}, {k + 1, 1, {0}}};
	struct reconciler_page page = {.rows = rows, .row_count = 2};
	cr_assert(reconciler_page_is_valid(&page, NULL, 0));
	cr_assert_not(reconciler_page_is_valid(&page, k, 1), "behind after");
	page.more = true;
	cr_assert_not(reconciler_page_is_valid(&page, NULL, 0), "no end");
	page.end = k;
	page.end_size = 1;
	cr_assert_not(reconciler_page_is_valid(&page, NULL, 0), "end before its last row");
	page.end = k + 1;
	cr_assert(reconciler_page_is_valid(&page, NULL, 0));
	page.row_count = 0;
	cr_assert_not(reconciler_page_is_valid(&page, k + 1, 1), "end does not move on");
	page.row_count = 2;
	rows[1] = rows[0];
	cr_assert_not(reconciler_page_is_valid(&page, NULL, 0), "twice");
	rows[0].key_size = 0;
	cr_assert_not(reconciler_page_is_valid(&page, NULL, 0), "empty key");
	rows[0].key_size = RECONCILER_KEY_MAX + 1;
	cr_assert_not(reconciler_page_is_valid(&page, NULL, 0), "key too long");
}

/* G20: an id that stands for something else there is not compared, and what comes behind it is. */
Test(reconciler, G20_a_keyspace_that_the_peer_has_otherwise_is_not_compared)
{
	static struct reconciler r;
	struct reconciler_effects effects;
	struct digest buckets[DIGEST_BUCKETS] = {{0}};
	struct vector applied = {{1}};
	struct reconciler_options options = {
	    .self = 0, .peers = 1u << 1, .keyspace_count = 5, .compare_ns = 2000 * MS, .timeout_ns = 5000 * MS, .seed = 100};
	for (uint64_t apart = 0; apart < 32; apart++) {
		uint64_t asked = 0;
		reconciler_init(&r, &options);
		r.peers[1].apart = apart;
		reconciler_step(&r, &(struct reconciler_event){.kind = RECONCILER_TICK, .now_ns = 10}, &effects);
		while (effects.ask_count) {
			asked |= 1ull << effects.asks[0].keyspace;
			struct reconciler_event e = {.kind = RECONCILER_DIGESTS,
			    .now_ns = 10,
			    .peer = 1,
			    .number = effects.asks[0].number,
			    .own_applied = &applied,
			    .peer_applied = &applied,
			    .own_buckets = buckets,
			    .peer_buckets = buckets};
			reconciler_step(&r, &e, &effects);
		}
		cr_assert_eq(asked, ~apart & 31);
		cr_assert_eq(reconciler_deadline_ns(&r), 10 + 2000 * MS, "a pause follows");
	}
}
