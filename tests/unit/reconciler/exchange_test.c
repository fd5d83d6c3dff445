/* SPDX-License-Identifier: Apache-2.0
 *
 * Two real stores, and every question and answer packed, unpacked and checked as on the wire. */
#include <criterion/criterion.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "actors/reconciler/message.h"
#include "core/hlc.h"
#include "runtime/socket.h"
#include "store/rows.h"

struct store {
	char dir[128];
	struct log *log;
	struct log_reader *reader;
	struct rows *rows;
	struct rows_view *view;
	uint64_t lsn;
	uint64_t sequence;
};

static void store_open(struct store *s, uint8_t region)
{
	struct error_context error = {0};
	char path[160];
	memset(s, 0, sizeof(*s));
	const char *base = getenv("TMPDIR");
	snprintf(s->dir, sizeof(s->dir), "%.80s/reconciler-XXXXXX", base ? base : "/tmp");
	cr_assert(mkdtemp(s->dir));
	snprintf(path, sizeof(path), "%s/log", s->dir);
	mkdir(path, 0700);
	struct log_recovered found;
	struct log_options log_options = {.dir = path, .region = region, .disk_max = 1u << 30, .segment_size = 16u << 20};
	cr_assert_eq(log_open(&s->log, &log_options, &found, &error), 0, "%s", error.text);
	cr_assert_eq(log_reader_open(&s->reader, path, &error), 0, "%s", error.text);
	snprintf(path, sizeof(path), "%s/rows", s->dir);
	mkdir(path, 0700);
	struct rows_options rows_options = {.dir = path, .map_size = 1u << 28, .region = region, .keyspaces = 1};
	cr_assert_eq(rows_open(&s->rows, &rows_options, &error), 0, "%s", error.text);
	cr_assert_eq(rows_view_new(s->rows, &s->view, &error), 0, "%s", error.text);
}

static int remove_one(const char *path, const struct stat *about, int type, struct FTW *where)
{
	(void)about, (void)type, (void)where;
	return remove(path);
}

static void store_close(struct store *s)
{
	rows_view_free(s->view);
	rows_close(s->rows);
	log_reader_close(s->reader);
	log_close(s->log);
	nftw(s->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void store_apply(struct store *s)
{
	struct error_context error = {0};
	uint64_t durable = 0;
	log_flush(s->log);
	while (durable < s->lsn) {
		struct pollfd item = {.fd = log_fd(s->log), .events = POLLIN};
		poll(&item, 1, 1000);
		cr_assert_eq(log_completed(s->log, &durable, &error), 0, "%s", error.text);
	}
	struct apply_result result = {0};
	while (result.applied_lsn < durable)
		cr_assert_eq(
		    rows_apply_log(s->rows, s->reader, durable, 4096, 1, NULL, NULL, &result, &error), 0, "%s", error.text);
}

static void store_put(struct store *s, const void *key, size_t key_size, const char *value, bool deleted)
{
	static uint8_t bytes[RECORD_ENCODED_MAX];
	struct record r = {.dot = {.region = 0, .sequence = ++s->sequence},
	    .hlc = hlc_pack(1000 + s->sequence, 0),
	    .key = key,
	    .key_size = (uint32_t)key_size,
	    .value = (const uint8_t *)value,
	    .value_size = deleted ? 0 : (uint32_t)strlen(value),
	    .flags = deleted ? RECORD_TOMBSTONE : 0};
	r.context.sequence[0] = s->sequence - 1;
	long size = record_encode(&r, bytes, sizeof(bytes));
	cr_assert_gt(size, 0);
	cr_assert_eq(log_append(s->log, LOG_RECORD, bytes, (size_t)size, &s->lsn), 0);
	if (s->sequence % 8192 == 0)
		store_apply(s);
}

static struct topology topology = {.cluster = "test",
    .region_count = 2,
    .regions = {{.name = "here", .id = 0}, {.name = "there", .id = 1}},
    .keyspace_count = 1,
    .keyspaces = {{.name = "default"}}};
static struct packer packer;
static struct page_buffer own_page, peer_page;
static struct reconciler_row peer_rows[PAGE_ROWS_MAX];
static struct reconciler machine;

static struct vector view_vector(struct store *s)
{
	struct rows_meta meta;
	cr_assert_eq(rows_view_begin(s->view, NULL), 0);
	cr_assert_eq(rows_view_meta(s->view, &meta), 0);
	return meta.applied;
}

static Godwit__Peer__Envelope *unpack(void)
{
	Godwit__Peer__Envelope *envelope = godwit__peer__envelope__unpack(NULL, packer.size, packer.bytes);
	cr_assert(envelope);
	cr_assert_leq(packer.size, RECONCILER_MESSAGE_MAX);
	return envelope;
}

/* The peer's side of one question; leaves its answer packed. */
static void answer(struct store *peer)
{
	uint8_t mask[RECONCILER_MASK_SIZE];
	static struct digest buckets[DIGEST_BUCKETS];
	uint64_t live_rows;
	Godwit__Peer__Envelope *question = unpack();
	packer.self = 1;
	cr_assert_eq(envelope_check(question, &topology, 1, "here"), 0);
	const Godwit__Peer__DigestRequest *request = question->digest_request;
	cr_assert_eq(request_check(request, &topology, mask), 0);
	struct vector applied = view_vector(peer);
	if (request->bucket == -1) {
		cr_assert_eq(rows_view_digests(peer->view, 0, buckets, &live_rows), 0);
		pack_digests(&packer, request, &applied, buckets, live_rows);
	} else {
		cr_assert_eq(page_read(&peer_page, peer->view, 0, mask, request->after.data, (uint32_t)request->after.len), 0);
		pack_page(&packer, request, &applied, &peer_page.page);
	}
	rows_view_end(peer->view);
	packer.self = 0;
	godwit__peer__envelope__free_unpacked(question, NULL);
}

/* One round between the two; returns the questions asked, and the keys told in `told`. */
static uint32_t compare(struct store *own, struct store *peer, char told[4][600], uint32_t *told_count)
{
	static struct digest own_buckets[DIGEST_BUCKETS], peer_buckets[DIGEST_BUCKETS];
	struct reconciler_options options = {
	    .self = 0, .peers = 2, .keyspace_count = 1, .compare_ns = 1000000000, .timeout_ns = 1000000000};
	struct reconciler_effects effects;
	uint32_t questions = 0;
	*told_count = 0;
	packer.topology = &topology;
	reconciler_init(&machine, &options);
	reconciler_step(&machine, &(struct reconciler_event){.kind = RECONCILER_TICK, .now_ns = 1}, &effects);
	while (effects.ask_count) {
		struct reconciler_ask ask = effects.asks[0];
		const struct reconciler_peer *open = reconciler_open(&machine, 1, ask.number);
		cr_assert(open);
		pack_ask(&packer, &ask);
		answer(peer);
		questions++;
		Godwit__Peer__Envelope *envelope = unpack();
		cr_assert_eq(envelope_check(envelope, &topology, 0, "there"), 0);
		struct vector own_applied = view_vector(own), peer_applied;
		struct reconciler_event e = {.kind = ask.bucket == -1 ? RECONCILER_DIGESTS : RECONCILER_ROWS,
		    .now_ns = 2,
		    .peer = 1,
		    .number = ask.number,
		    .own_applied = &own_applied,
		    .peer_applied = &peer_applied,
		    .own_buckets = own_buckets,
		    .peer_buckets = peer_buckets};
		uint64_t live_rows;
		if (ask.bucket == -1) {
			cr_assert_eq(reply_read_digests(envelope->digest_reply, &peer_applied, peer_buckets), 0);
			cr_assert_eq(rows_view_digests(own->view, 0, own_buckets, &live_rows), 0);
		} else {
			cr_assert_eq(reply_read_page(envelope->digest_reply, open->after, open->after_size, &peer_applied,
			                 peer_rows, &e.peer_page),
			    0);
			cr_assert_eq(page_read(&own_page, own->view, 0, open->mask, open->after, open->after_size), 0);
			e.own = own_page.page;
		}
		reconciler_step(&machine, &e, &effects);
		for (uint32_t i = 0; i < effects.told_count && *told_count < 4; i++, ++*told_count)
			snprintf(
			    told[*told_count], 600, "%.*s", (int)effects.told[i].key_size, (const char *)effects.told[i].key);
		rows_view_end(own->view);
		godwit__peer__envelope__free_unpacked(envelope, NULL);
	}
	return questions;
}

/* More rows than one page looks at, keys too long to be stored whole that share what is, and tombstones, which count nowhere.
 */
struct odd {
	uint32_t row, every; /* short rows with another value: this one, and every so many */
	bool long_row;
	char gone; /* names the rows that were deleted */
};

static void fill(struct store *s, uint32_t rows, struct odd odd)
{
	char key[700];
	for (uint32_t i = 0; i < rows; i++) {
		bool is_odd = (odd.row && i == odd.row) || (odd.every && i % odd.every == 0);
		int size = snprintf(key, sizeof(key), "key-%06u", i);
		store_put(s, key, (size_t)size, is_odd ? "another value" : "value", false);
	}
	for (uint32_t i = 0; i < 2000; i++) {
		int size = snprintf(key, sizeof(key), "z-gone-%c-%06u", odd.gone, i);
		store_put(s, key, (size_t)size, "", true);
	}
	memset(key, 'x', sizeof(key));
	for (uint32_t i = 0; i < 50; i++) {
		snprintf(key + 600, 100, "%04u", i);
		key[604] = 'x';
		store_put(s, key, 610, odd.long_row && i == 33 ? "another value" : "value", false);
	}
	store_apply(s);
}

Test(exchange, T13_equal_stores_are_equal_and_one_row_is_found, .timeout = 100)
{
	struct store own, same, other;
	char told[4][600];
	uint32_t told_count;
	store_open(&own, 0);
	store_open(&same, 1);
	store_open(&other, 1);
	fill(&own, 70000, (struct odd){.gone = 'a'});
	fill(&same, 70000, (struct odd){.gone = 'b'});
	fill(&other, 70000, (struct odd){.row = 68123, .gone = 'b'});
	cr_assert_eq(compare(&own, &same, told, &told_count), 1);
	cr_assert_eq(machine.peers[1].comparisons[0].verdict, RECONCILER_EQUAL);
	cr_assert_eq(told_count, 0);
	cr_assert_geq(compare(&own, &other, told, &told_count), 3, "digests and two pages");
	cr_assert_eq(machine.peers[1].comparisons[0].verdict, RECONCILER_DIFFERS);
	cr_assert_eq(reconciler_divergent_rows(&machine), 1);
	cr_assert_eq(told_count, 1);
	cr_assert_str_eq(told[0], "key-068123");
	/* Behind by one write: no verdict. */
	store_put(&other, "more", 4, "value", false);
	store_apply(&other);
	compare(&own, &other, told, &told_count);
	cr_assert_eq(machine.peers[1].comparisons[0].verdict, RECONCILER_WAITING);
	store_close(&own);
	store_close(&same);
	store_close(&other);
}

/* One short of the end of a page, whichever of its limits ends it. */
#define ROWS_TO_PAGE_END (8 * PAGE_ROWS_MAX - 1)
_Static_assert(8 * PAGE_ROWS_MAX == PAGE_EXAMINED_MAX, "or the next test does not test what it says");
/* Each store hashes long keys with a seed of its own, so it orders them in its own way. */
Test(exchange, long_keys_that_share_their_beginning_are_compared_together, .timeout = 60)
{
	struct store own, other, page_end;
	char told[4][600];
	uint32_t told_count;
	store_open(&own, 0);
	store_open(&other, 1);
	store_open(&page_end, 1);
	fill(&own, ROWS_TO_PAGE_END, (struct odd){.gone = 'a'});
	fill(&other, ROWS_TO_PAGE_END, (struct odd){.gone = 'a', .long_row = true});
	compare(&own, &other, told, &told_count);
	cr_assert_eq(reconciler_divergent_rows(&machine), 1);
	cr_assert_eq(told_count, 1);
	cr_assert_eq(strlen(told[0]), RECONCILER_KEY_MAX);
	/* A sweep of all buckets whose page limit falls among them: they are equal, and must be found so. */
	fill(&page_end, ROWS_TO_PAGE_END, (struct odd){.gone = 'a', .every = 50});
	compare(&own, &page_end, told, &told_count);
	cr_assert_eq(reconciler_divergent_rows(&machine), (ROWS_TO_PAGE_END + 49) / 50);
	store_close(&own);
	store_close(&other);
	store_close(&page_end);
}

Test(exchange, what_does_not_fit_is_refused)
{
	uint8_t mask[RECONCILER_MASK_SIZE];
	struct vector applied;
	struct digest buckets[DIGEST_BUCKETS];
	struct reconciler_page page;
	Godwit__Peer__Envelope envelope = GODWIT__PEER__ENVELOPE__INIT;
	envelope.protocol = PROTOCOL_VERSION;
	envelope.cluster = (char *)"test";
	envelope.region = 1;
	cr_assert_eq(envelope_check(&envelope, &topology, 0, "there"), 0);
	cr_assert_eq(envelope_check(&envelope, &topology, 0, "here"), ERR_CONFIGURATION, "another region's key");
	cr_assert_eq(envelope_check(&envelope, &topology, 1, "there"), ERR_CONFIGURATION, "oneself");
	envelope.region = 7;
	cr_assert_eq(envelope_check(&envelope, &topology, 0, "there"), ERR_CONFIGURATION);
	envelope.region = 1;
	envelope.cluster = (char *)"other";
	cr_assert_eq(envelope_check(&envelope, &topology, 0, "there"), ERR_CONFIGURATION);
	envelope.protocol++;
	cr_assert_eq(envelope_check(&envelope, &topology, 0, "there"), ERR_WRONG_VERSION);

	Godwit__Peer__DigestRequest request = GODWIT__PEER__DIGEST_REQUEST__INIT;
	request.bucket = 256;
	cr_assert_eq(request_check(&request, &topology, mask), ERR_MALFORMED);
	request.bucket = -2;
	cr_assert_eq(request_check(&request, &topology, mask), ERR_MALFORMED);
	request.bucket = 9;
	cr_assert_eq(request_check(&request, &topology, mask), 0);
	cr_assert_eq(mask[1], 2);
	request.mask.len = 31;
	cr_assert_eq(request_check(&request, &topology, mask), ERR_MALFORMED);
	request.mask.len = 0;
	request.keyspace = 1;
	cr_assert_eq(request_check(&request, &topology, mask), ERR_UNKNOWN_KEYSPACE);

	Godwit__Peer__DigestReply reply = GODWIT__PEER__DIGEST_REPLY__INIT;
	reply.bucket = -1;
	cr_assert_eq(reply_read_digests(&reply, &applied, buckets), ERR_MALFORMED, "no buckets");
	reply.bucket = 3;
	cr_assert_eq(reply_read_page(&reply, NULL, 0, &applied, peer_rows, &page), ERR_MALFORMED, "no vector");
	uint8_t none = 0;
	reply.applied = (ProtobufCBinaryData){.len = 1, .data = &none};
	cr_assert_eq(reply_read_page(&reply, NULL, 0, &applied, peer_rows, &page), 0);
	Godwit__Peer__RowDigest row = GODWIT__PEER__ROW_DIGEST__INIT, *rows[1] = {&row};
	row.key = (ProtobufCBinaryData){.len = 1, .data = &none};
	row.digest = (ProtobufCBinaryData){.len = 15, .data = (uint8_t *)"0123456789abcdef"};
	reply.n_rows = 1;
	reply.rows = rows;
	cr_assert_eq(reply_read_page(&reply, NULL, 0, &applied, peer_rows, &page), ERR_MALFORMED, "a digest of 15 bytes");
	row.digest.len = 16;
	cr_assert_eq(reply_read_page(&reply, NULL, 0, &applied, peer_rows, &page), 0);
	reply.more = true;
	cr_assert_eq(
	    reply_read_page(&reply, NULL, 0, &applied, peer_rows, &page), ERR_MALFORMED, "more, and no place to go on");
}
