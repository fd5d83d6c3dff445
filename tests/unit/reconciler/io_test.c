/* SPDX-License-Identifier: Apache-2.0
 *
 * The reconciler's port alone: rows are a real store that another process has written; around it is tests/unit/shell. */
#include "actors/reconciler/io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "actors/reconciler/message.h"
#include "tests/unit/shell/ahead.h"
#include "tests/unit/shell/shell.h"
#include "tests/unit/store/support.h"

#define DIGEST_SIZE 16u /* on the wire */

static struct place place;
static struct packer packer; /* of a peer */

static void row_make(uint32_t number, struct write *out)
{
	static char key[24];
	snprintf(key, sizeof key, "key-%u", number);
	out->key = key;
	out->value = "v";
}
static void write_rows(void)
{
	place_fill(&place, 5, row_make);
}
static void setup(void)
{
	shell_setup();
	place_make(&place);
	snprintf(shell.region_dir, sizeof shell.region_dir, "%s", place.dir);
}
static void teardown(void)
{
	shell_teardown();
	place_remove(&place);
}
TestSuite(io, .init = setup, .fini = teardown);

static void run(void (*script)(void))
{
	cr_assert_eq(shell_run(reconciler_main, "reconciler", script), 0);
	cr_assert(shell.opened == 3 && shell.message_size_max == RECONCILER_MESSAGE_MAX);
}

/* ---- messages ---- */

static Godwit__Peer__Envelope *sent(uint32_t at)
{
	cr_assert_lt(at, shell.sent_count);
	Godwit__Peer__Envelope *envelope = godwit__peer__envelope__unpack(NULL, shell.sent[at].size, shell.sent[at].bytes);
	cr_assert(envelope && envelope->region == 0 && strcmp(envelope->cluster, "demo") == 0);
	return envelope;
}
/* The number of what was asked of that peer last; 0: nothing. */
static struct {
	uint64_t number;
	uint32_t keyspace;
	int32_t bucket;
	uint8_t mask[RECONCILER_MASK_SIZE];
} asked;
static uint64_t asked_of(uint32_t peer)
{
	asked.number = 0;
	for (uint32_t i = 0; i < shell.sent_count; i++) {
		if (shell.sent[i].socket != peer)
			continue;
		Godwit__Peer__Envelope *envelope = sent(i);
		cr_assert(envelope->body_case == GODWIT__PEER__ENVELOPE__BODY_DIGEST_REQUEST && !shell.sent[i].identity);
		asked.number = envelope->digest_request->number;
		asked.keyspace = envelope->digest_request->keyspace;
		asked.bucket = envelope->digest_request->bucket;
		if (envelope->digest_request->mask.len == sizeof asked.mask)
			memcpy(asked.mask, envelope->digest_request->mask.data, sizeof asked.mask);
		godwit__peer__envelope__free_unpacked(envelope, NULL);
	}
	return asked.number;
}
/* A question of a peer, who connects as `user`. */
static void question(uint32_t peer, const char *user, uint16_t keyspace, int32_t bucket, uint64_t number)
{
	const struct reconciler_ask ask = {
	    .number = number, .keyspace = keyspace, .bucket = bucket, .mask = bucket < 0 ? NULL : asked.mask};
	packer.topology = &shell.topology;
	packer.self = peer;
	pack_ask(&packer, &ask);
	shell_arrives(SHELL_SERVER, 0, (char)('0' + peer), user, packer.bytes, packer.size);
}
/* This region's own answer to what it asked that peer, as that peer's answer: two regions with the same rows. `change` may
 * make another of it. */
static void answer(uint32_t peer, void (*change)(Godwit__Peer__Envelope *))
{
	static const char *const names[] = {"us", "eu", "ap"};
	const uint64_t number = asked_of(peer);
	cr_assert_neq(number, 0);
	const uint32_t before = shell.sent_count;
	question(peer, names[peer], (uint16_t)asked.keyspace, asked.bucket, number);
	shell_drain(SHELL_SERVER, 1);
	cr_assert_eq(shell.sent_count, before + 1);
	Godwit__Peer__Envelope *envelope = sent(before);
	cr_assert_eq(envelope->digest_reply->number, number);
	envelope->region = peer;
	if (change)
		change(envelope);
	const size_t size = godwit__peer__envelope__get_packed_size(envelope);
	uint8_t *bytes = malloc(size);
	godwit__peer__envelope__pack(envelope, bytes);
	godwit__peer__envelope__free_unpacked(envelope, NULL);
	shell_arrives(peer, 0, 0, NULL, bytes, size);
	free(bytes);
	cr_assert_eq(shell_drain(peer, 8), 1);
}
static bool told(const char *what)
{
	struct text text = {0};
	struct error_context error = {0};
	cr_assert_eq(shell.command(shell.actor.self, "digests", "", &text, &error), 0);
	const bool is_there = strstr(text.bytes, what) != NULL;
	if (!is_there)
		fprintf(stderr, "%s\n", text.bytes);
	text_deinit(&text);
	return is_there;
}

/* ---- comparisons ---- */

static void one_less_bucket(Godwit__Peer__Envelope *envelope)
{
	Godwit__Peer__DigestReply *reply = envelope->digest_reply;
	for (size_t i = 0; i < reply->buckets.len; i++)
		if (reply->buckets.data[i]) {
			memset(reply->buckets.data + i / DIGEST_SIZE * DIGEST_SIZE, 0, DIGEST_SIZE);
			return;
		}
}
static void two_rows_less(Godwit__Peer__Envelope *envelope)
{
	cr_assert_eq(envelope->digest_reply->n_rows, 5);
	for (size_t i = 3; i < 5; i++)
		godwit__peer__row_digest__free_unpacked(envelope->digest_reply->rows[i], NULL);
	envelope->digest_reply->n_rows = 3;
}
static void compare(void)
{
	shell_turn(1);
	cr_assert(shell.sent_count == 2 && shell_count(COUNTER_frames_sent) == 2);
	cr_assert_eq(shell_count(COUNTER_bytes_sent), shell.sent[0].size + shell.sent[1].size);
	cr_assert_eq(shell.actor.deadline_ns(shell.actor.self), shell.now.monotonic_ns + 5000 * MS);
	cr_assert(asked_of(1) && asked.keyspace == 0 && asked.bucket == -1);
	answer(1, NULL);
	cr_assert_eq(shell_count(COUNTER_comparisons), 1);
	cr_assert_eq(shell_count(COUNTER_frames_received), 2, "a question and an answer");
	cr_assert(told(
	    "\"rows\":5,\"peers\":[{\"region\":\"eu\",\"state\":\"equal\",\"divergent_rows\":0,\"waits\":0,\"age_ms\":0}"));
	cr_assert(told("{\"region\":\"ap\",\"state\":\"unknown\",\"divergent_rows\":0,\"waits\":0,\"age_ms\":null}"));
	cr_assert(told("},{\"keyspace\":\"ledger\",") && told("{\"keyspaces\":[{\"keyspace\":\"default\","));
	cr_assert(asked_of(1) && asked.keyspace == 1, "the next keyspace");
	/* The other peer lacks rows: it is asked which. */
	answer(2, one_less_bucket);
	shell_turn(1);
	cr_assert(asked_of(2) && asked.keyspace == 0 && asked.bucket >= 0);
	cr_assert(
	    shell_count(COUNTER_divergent_rows) == 1 && told("{\"region\":\"ap\",\"state\":\"differs\",\"divergent_rows\":1,"));
	answer(2, NULL);
	shell_turn(1);
	cr_assert_eq(shell_count(COUNTER_frames_refused), 0);
	cr_assert(shell_logged("row_diverges") == 0 && told("\"state\":\"differs\",\"divergent_rows\":1,"),
	    "the digests are wrong then");
	answer(2, NULL);
	/* After the pause, again. */
	answer(1, NULL);
	const uint64_t next = shell.actor.deadline_ns(shell.actor.self);
	cr_assert_eq(next, shell.now.monotonic_ns + 2000 * MS);
	shell_forget();
	shell_turn(1999);
	cr_assert_eq(shell.sent_count, 0);
	shell_turn(1);
	cr_assert(asked_of(1) && asked_of(2));
}
Test(io, F24_rows_are_compared_with_each_peer_in_turn)
{
	write_rows();
	run(compare);
}

static uint32_t version_of_answer(void)
{
	shell_drain(SHELL_SERVER, 1);
	Godwit__Peer__Envelope *envelope = sent(shell.sent_count - 1);
	const uint32_t version = envelope->protocol;
	cr_assert_eq(envelope->body_case, GODWIT__PEER__ENVELOPE__BODY_DIGEST_REPLY);
	godwit__peer__envelope__free_unpacked(envelope, NULL);
	return version;
}
static void versions(void)
{
	shell_turn(1);
	for (uint32_t understood = 0; understood < 2; understood++) {
		ahead = understood;
		question(1, "eu", 0, -1, 5);
		ahead = 1;
		cr_assert_eq(version_of_answer(), PROTOCOL_VERSION + understood);
	}
	ahead = 0;
	question(2, "ap", 0, -1, 5);
	ahead = 1;
	cr_assert_eq(version_of_answer(), PROTOCOL_VERSION);
}
Test(io, G20_a_peer_is_answered_in_what_it_understands)
{
	write_rows();
	run(versions);
}

static void all_buckets_differ(Godwit__Peer__Envelope *envelope)
{
	memset(envelope->digest_reply->buckets.data, 9, envelope->digest_reply->buckets.len);
}
static void differ(void)
{
	shell_turn(1);
	answer(1, all_buckets_differ);
	shell_turn(1);
	cr_assert_eq(shell_count(COUNTER_divergent_rows), DIGEST_BUCKETS);
	cr_assert(asked_of(1) && asked.bucket == 0);
	answer(1, two_rows_less);
	shell_turn(1);
	cr_assert_eq(shell_count(COUNTER_divergent_rows), 2);
	cr_assert_eq(shell_logged("row_diverges"), 2);
	cr_assert_str_eq(shell_log_text("row_diverges"), "keyspace=default key=\"key-4\" peer=eu");
	cr_assert(asked_of(1) && asked.keyspace == 1 && asked.bucket == -1);
}
Test(io, F24_rows_that_differ_are_counted_and_named)
{
	write_rows();
	run(differ);
}

static void unreachable(void)
{
	shell.send_code[1] = ERR_OVERLOADED;
	shell_turn(1);
	cr_assert(asked_of(2) && !asked_of(1) && shell_count(COUNTER_frames_sent) == 1);
	cr_assert(told("{\"region\":\"eu\",\"state\":\"unreachable\"") && told("{\"region\":\"ap\",\"state\":\"unknown\""));
	cr_assert_eq(shell.actor.deadline_ns(shell.actor.self), shell.now.monotonic_ns + 2000 * MS);
	shell.send_code[1] = 0;
	shell_turn(2000);
	cr_assert_neq(asked_of(1), 0);
	/* No answer. */
	const uint64_t number = asked_of(2);
	shell_turn(2999);
	cr_assert(told("{\"region\":\"ap\",\"state\":\"unknown\""));
	shell_turn(1);
	cr_assert(told("{\"region\":\"ap\",\"state\":\"unreachable\"") && asked_of(2) == number);
	/* One that comes too late says nothing, and is no fault. */
	answer(2, NULL);
	cr_assert(shell_count(COUNTER_comparisons) == 0 && shell_count(COUNTER_frames_refused) == 0);
	cr_assert(told("{\"region\":\"ap\",\"state\":\"unreachable\""));
}
Test(io, F24_a_peer_that_does_not_answer_is_told)
{
	write_rows();
	run(unreachable);
}

static void no_store(void)
{
	shell_turn(1);
	cr_assert(shell.sent_count == 0 && shell_logged("rows_not_opened") == 0);
	const uint64_t again = shell.actor.deadline_ns(shell.actor.self);
	cr_assert_eq(again, shell.now.monotonic_ns + 500 * MS);
	question(1, "eu", 0, -1, 5);
	cr_assert_eq(shell_drain(SHELL_SERVER, 8), 0);
	cr_assert(
	    shell.sent_count == 0 && shell_count(COUNTER_frames_received) == 1 && shell_count(COUNTER_frames_refused) == 0);
	cr_assert(told("\"rows\":0"));
	write_rows();
	shell_turn(499);
	cr_assert_eq(shell.sent_count, 0, "it does not look all the time");
	shell_turn(1);
	cr_assert(asked_of(1) && asked_of(2) && told("\"rows\":5"));
}
Test(io, F24_without_a_store_nothing_is_asked_or_answered)
{
	run(no_store);
}

static void apart(void)
{
	shell.shm.layout->links[1].keyspaces_other = 1; /* of its last subscription */
	shell_turn(1);
	cr_assert(asked_of(1) && asked.keyspace == 1);
	cr_assert(asked_of(2) && asked.keyspace == 0);
}
Test(io, F24_keyspaces_that_a_peer_has_otherwise_are_not_compared)
{
	write_rows();
	run(apart);
}

static void draining(void)
{
	struct text text = {0};
	struct error_context error = {0};
	cr_assert_eq(shell.command(shell.actor.self, "undrain", "", &text, &error), ERR_UNSUPPORTED);
	shell_turn(1);
	cr_assert_eq(shell.command(shell.actor.self, "drain", "", &text, &error), 0);
	cr_assert_str_eq(text.bytes, "{\"draining\":true}");
	text_deinit(&text);
	answer(1, NULL);
	cr_assert_eq(shell_count(COUNTER_comparisons), 1, "what was asked is answered");
	shell_forget();
	shell_turn(20000);
	shell_turn(20000);
	cr_assert_eq(shell.sent_count, 0);
	cr_assert_eq(shell.actor.deadline_ns(shell.actor.self), RECONCILER_NEVER);
}
Test(io, F24_a_drained_region_asks_no_more)
{
	write_rows();
	run(draining);
}

/* ---- questions, and what is refused ---- */

static void questions(void)
{
	memset(asked.mask, 0xff, sizeof asked.mask);
	for (uint32_t i = 0; i < 5; i++)
		question(1, "eu", 0, i % 2 ? 3 : -1, 10 + i);
	cr_assert_eq(shell_drain(SHELL_SERVER, 8), 8, "four a turn, and there are more");
	cr_assert(shell.sent_count == 4 && shell_waiting(SHELL_SERVER) == 1);
	for (uint32_t i = 0; i < 4; i++) {
		Godwit__Peer__Envelope *envelope = sent(i);
		cr_assert(shell.sent[i].socket == SHELL_SERVER && shell.sent[i].identity == '1');
		cr_assert(envelope->body_case == GODWIT__PEER__ENVELOPE__BODY_DIGEST_REPLY &&
		          envelope->digest_reply->number == 10 + i);
		cr_assert_eq(envelope->digest_reply->n_rows, i % 2 ? 5 : 0);
		cr_assert_eq(envelope->digest_reply->live_rows, i % 2 ? 0 : 5);
		godwit__peer__envelope__free_unpacked(envelope, NULL);
	}
	cr_assert_eq(shell_drain(SHELL_SERVER, 8), 0);
	cr_assert(shell.sent_count == 5 && shell_count(COUNTER_frames_sent) == 5 && shell_count(COUNTER_frames_received) == 5);
	question(1, "eu", 0, -1, 20);
	question(1, "eu", 0, -1, 21);
	cr_assert_eq(shell_drain(SHELL_SERVER, 1), 1);
	cr_assert_eq(shell.sent_count, 6);
	shell_drain(SHELL_SERVER, 1);
	uint64_t bytes = 0;
	for (uint32_t i = 0; i < shell.sent_count; i++)
		bytes += shell.sent[i].size;
	cr_assert(shell_count(COUNTER_bytes_sent) == bytes && shell_count(COUNTER_bytes_received) > 7 * 10);
}
Test(io, F24_questions_are_answered_to_who_asks)
{
	write_rows();
	run(questions);
}

static void unread_answers(void)
{
	shell.keeps_lent = true;
	uint32_t answered = 0;
	while (shell_count(COUNTER_queue_refused) == 0) {
		cr_assert_lt(answered, 1000);
		question(1, "eu", 0, -1, 10 + answered);
		shell_drain(SHELL_SERVER, 1);
		answered = shell.sent_count;
	}
	const size_t one = shell.sent[0].size;
	cr_assert(answered * one <= 2u * RECONCILER_MESSAGE_MAX && (answered + 1) * one > 2u * RECONCILER_MESSAGE_MAX - 64);
	cr_assert_eq(shell_count(COUNTER_frames_sent), answered);
	question(2, "ap", 0, -1, 5);
	shell_drain(SHELL_SERVER, 1);
	cr_assert(shell.sent_count == answered + 1 && shell.sent[answered].identity == '2', "another has room");
	shell_give_back();
	question(1, "eu", 0, -1, 900);
	shell_drain(SHELL_SERVER, 1);
	cr_assert(shell.sent_count == answered + 2 && shell_count(COUNTER_queue_refused) == 1);
	/* Gone: neither sent nor refused. */
	shell.send_code[SHELL_SERVER] = ERR_UNREACHABLE;
	question(1, "eu", 0, -1, 901);
	shell_drain(SHELL_SERVER, 1);
	cr_assert(shell_count(COUNTER_frames_sent) == answered + 2 && shell_count(COUNTER_queue_refused) == 1);
	cr_assert_eq(shell_count(COUNTER_frames_refused), 0);
}
Test(io, F24_answers_that_a_peer_does_not_take_are_bounded)
{
	write_rows();
	run(unread_answers);
}

static void other_keyspace(Godwit__Peer__Envelope *envelope)
{
	envelope->digest_reply->keyspace++;
}
static void no_buckets(Godwit__Peer__Envelope *envelope)
{
	envelope->digest_reply->buckets.len -= DIGEST_SIZE;
}
static void other_version(Godwit__Peer__Envelope *envelope)
{
	envelope->protocol++;
}
static void refused(void)
{
	uint64_t count = 0;
	question(1, "ap", 0, -1, 5); /* another's name */
	question(0, "us", 0, -1, 5); /* this region's own */
	question(9, "eu", 0, -1, 5);
	question(1, "eu", 7, -1, 5); /* a keyspace that is not there */
	for (; count < 4; count++) {
		shell_drain(SHELL_SERVER, 1);
		cr_assert_eq(shell_count(COUNTER_frames_refused), count + 1);
	}
	shell_arrives(SHELL_SERVER, 0, '1', "eu", "\x1a\x05", 2);
	shell_arrives(SHELL_SERVER, ERR_MALFORMED, '1', "eu", NULL, 0);
	question(1, "eu", 0, -1, 6);
	shell_drain(SHELL_SERVER, 8);
	cr_assert(shell_count(COUNTER_frames_refused) == 6 && shell.sent_count == 1, "and goes on");
	cr_assert_eq(shell_logged("peer_message_refused"), 6);
	/* An answer where questions come, a question where answers come. */
	shell_arrives(SHELL_SERVER, 0, '1', "eu", shell.sent[0].bytes, shell.sent[0].size);
	question(1, "eu", 0, -1, 7);
	shell_arrives(1, 0, 0, NULL, packer.bytes, packer.size);
	shell_drain(SHELL_SERVER, 2);
	cr_assert_eq(shell_drain(1, 8), 1);
	cr_assert_eq(shell_count(COUNTER_frames_refused), 8);
	cr_assert_str_eq(shell_log_text("peer_message_refused"), "from=eu code=MALFORMED");
	/* Answers that cannot be. */
	shell_turn(1);
	answer(1, other_version);
	answer(1, other_keyspace);
	answer(1, no_buckets);
	cr_assert_eq(shell_count(COUNTER_frames_refused), 11);
	cr_assert_eq(shell_count(COUNTER_comparisons), 0);
	answer(1, NULL);
	cr_assert(shell_count(COUNTER_comparisons) == 1 && shell_count(COUNTER_frames_refused) == 11);
}
Test(io, F24_messages_of_others_are_refused_and_counted)
{
	write_rows();
	run(refused);
}

Test(io, F24_a_reconciler_that_cannot_start_says_why)
{
	shell.connect_code = ERR_CONFIGURATION;
	cr_assert_neq(shell_run(reconciler_main, "reconciler", NULL), 0);
	cr_assert(shell.failed == 1 && shell.fail_code == ERR_CONFIGURATION && shell.ready == 0);
}
Test(io, F24_a_reconciler_without_keys_says_why)
{
	shell.serve_code = ERR_CONFIGURATION;
	cr_assert_neq(shell_run(reconciler_main, "reconciler", NULL), 0);
	cr_assert(shell.failed == 1 && shell.fail_code == ERR_CONFIGURATION && shell.ready == 0 && shell.opened == 0);
}
