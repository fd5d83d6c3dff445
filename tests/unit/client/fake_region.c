/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/client/fake_region.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#include "runtime/keys.h"

static void must(bool condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "fake region: %s: %s\n", what, zmq_strerror(zmq_errno()));
	abort();
}

static void *listen_socket(struct fake_region *fake, void *context)
{
	struct key_pair keys;
	struct error_context error;
	int yes = 1, linger = 0;
	char key_dir[96];
	size_t size = sizeof fake->endpoint;
	snprintf(key_dir, sizeof key_dir, "%s/keys", fake->dir);
	must(keys_load(key_dir, "mars", &keys, &error) == 0, error.text);
	void *socket = zmq_socket(context, ZMQ_ROUTER);
	must(socket != NULL, "socket");
	zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
	zmq_setsockopt(socket, ZMQ_CURVE_SERVER, &yes, sizeof yes);
	must(zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, keys.secret_text, KEY_TEXT_SIZE) == 0, "key");
	int bound = -1;
	for (int attempt = 0; attempt < 200 && bound < 0; attempt++) { /* the port may still be on its way to be free */
		bound = zmq_bind(socket, fake->endpoint[0] ? fake->endpoint : "tcp://127.0.0.1:*");
		if (bound < 0)
			usleep(10000);
	}
	must(bound == 0, "bind");
	must(zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, fake->endpoint, &size) == 0, "endpoint");
	return socket;
}

static void answer_send(void *socket, zmq_msg_t *identity, uint32_t protocol, Godwit__Client__Answer **list, size_t count)
{
	Godwit__Client__Answers answers = GODWIT__CLIENT__ANSWERS__INIT;
	answers.protocol = protocol;
	answers.answers = list;
	answers.n_answers = count;
	size_t size = godwit__client__answers__get_packed_size(&answers);
	uint8_t *bytes = malloc(size);
	godwit__client__answers__pack(&answers, bytes);
	zmq_send(socket, zmq_msg_data(identity), zmq_msg_size(identity), ZMQ_SNDMORE);
	zmq_send(socket, bytes, size, 0);
	free(bytes);
}

static void text_copy(char *out, size_t size, const ProtobufCBinaryData *bytes)
{
	snprintf(out, size, "%.*s", (int)bytes->len, (const char *)bytes->data);
}

/* One page of a scan, in memory of the caller. */
#define PAGE_MAX 64u
struct page {
	Godwit__Client__Row rows[PAGE_MAX], *list[PAGE_MAX];
	char keys[PAGE_MAX][80];
};
static void page_fill(
    const struct fake_region *fake, const struct seen *seen, struct page *page, Godwit__Client__Answer *answer)
{
	answer->rows = page->list;
	for (uint32_t i = 0; i < fake->rows; i++) {
		char *key = page->keys[answer->n_rows];
		snprintf(key, sizeof page->keys[0], "%s%02u", seen->key, i);
		if (strcmp(key, seen->after) <= 0 && !fake->rows_again)
			continue;
		answer->more = answer->n_rows == seen->limit;
		if (answer->more)
			return;
		must(answer->n_rows < PAGE_MAX, "rows");
		Godwit__Client__Row *row = &page->rows[answer->n_rows];
		godwit__client__row__init(row);
		row->key = (ProtobufCBinaryData){strlen(key), (uint8_t *)key};
		row->value = (ProtobufCBinaryData){strlen(key), (uint8_t *)key};
		row->version = answer->version;
		row->hlc = 100 + i;
		row->siblings = 1;
		page->list[answer->n_rows++] = row;
	}
}

static void react(struct fake_region *fake, void *socket, zmq_msg_t *identity, const struct seen *seen)
{
	uint8_t version[] = {1, 0, 7};
	Godwit__Client__Answer answer = GODWIT__CLIENT__ANSWER__INIT, *list[1] = {&answer};
	struct reaction reaction = fake->script(fake, seen);
	struct page page;
	answer.number = seen->number;
	answer.token = fake->token;
	answer.version = (ProtobufCBinaryData){sizeof version, version};
	answer.hlc = seen->number << 16;
	answer.value = (ProtobufCBinaryData){strlen(seen->value), (uint8_t *)(uintptr_t)seen->value};
	switch (reaction.what) {
	case ANSWER_NOTHING:
		return;
	case ANSWER_GARBAGE:
		zmq_send(socket, zmq_msg_data(identity), zmq_msg_size(identity), ZMQ_SNDMORE);
		zmq_send(socket, "\x12\xff\xff\xff\x7fgarbage", 12, 0);
		return;
	case ANSWER_CODE_OF_NONE:
		answer.number = 0;
		__attribute__((fallthrough));
	case ANSWER_CODE:
		answer.code = reaction.code;
		answer.reason = (char *)(uintptr_t) "the script says so";
		break;
	case ANSWER_PROTOCOL:
		answer_send(socket, identity, 99, list, 1);
		return;
	case ANSWER_TWICE:
		answer_send(socket, identity, 1, list, 1);
		break;
	case ANSWER_OK:
		if (seen->kind == GODWIT__CLIENT__KIND__SCAN)
			page_fill(fake, seen, &page, &answer);
		break;
	}
	answer_send(socket, identity, 1, list, 1);
}

static void request_take(struct fake_region *fake, void *socket)
{
	zmq_msg_t identity, body;
	zmq_msg_init(&identity);
	zmq_msg_init(&body);
	must(zmq_msg_recv(&identity, socket, 0) >= 0 && zmq_msg_more(&identity), "identity");
	must(zmq_msg_recv(&body, socket, 0) >= 0 && !zmq_msg_more(&body), "body");
	Godwit__Client__Request *request = godwit__client__request__unpack(NULL, zmq_msg_size(&body), zmq_msg_data(&body));
	must(request && request->protocol == 1 && request->client_id, "a request that the generated code reads");
	if (request->n_operations > fake->operations_most)
		fake->operations_most = (uint32_t)request->n_operations;
	for (size_t i = 0; i < request->n_operations; i++) {
		const Godwit__Client__Operation *o = request->operations[i];
		uint32_t place = fake->seen_count;
		must(place < SEEN_MAX, "too many requests");
		struct seen *seen = &fake->seen[place];
		*seen = (struct seen){.number = o->number,
		    .settled = o->settled,
		    .age_ms = o->age_ms,
		    .token = o->token,
		    .client_id = request->client_id,
		    .kind = (uint32_t)o->kind,
		    .timeout_ms = o->timeout_ms,
		    .condition = o->condition,
		    .level = o->level,
		    .limit = o->limit,
		    .steps = (uint32_t)o->n_steps,
		    .moved = o->moved,
		    .copy = fake_copies(fake, o->number) + 1};
		text_copy(seen->key, sizeof seen->key, &o->key);
		text_copy(seen->value, sizeof seen->value, &o->value);
		text_copy(seen->after, sizeof seen->after, &o->after);
		text_copy(seen->context, sizeof seen->context, &o->context);
		text_copy(seen->expected, sizeof seen->expected, &o->expected);
		snprintf(seen->keyspace, sizeof seen->keyspace, "%s", o->keyspace);
		fake->seen_count = place + 1;
		react(fake, socket, &identity, seen);
	}
	godwit__client__request__free_unpacked(request, NULL);
	zmq_msg_close(&identity);
	zmq_msg_close(&body);
}

static void *fake_run(void *argument)
{
	struct fake_region *fake = argument;
	void *context = zmq_ctx_new();
	void *socket = listen_socket(fake, context);
	uint32_t rebound = 0;
	fake->phase = 1;
	while (!fake->stop) {
		if (fake->rebind != rebound) {
			/* The context goes too: only then are all its connections gone. */
			zmq_close(socket);
			zmq_ctx_term(context);
			context = zmq_ctx_new();
			socket = listen_socket(fake, context);
			rebound = fake->rebind;
		}
		zmq_pollitem_t item = {.socket = socket, .events = ZMQ_POLLIN};
		if (zmq_poll(&item, 1, 5) > 0)
			request_take(fake, socket);
	}
	zmq_close(socket);
	zmq_ctx_term(context);
	return NULL;
}

void fake_start(struct fake_region *fake, struct reaction (*script)(struct fake_region *, const struct seen *))
{
	struct error_context error;
	char key_dir[96];
	const char *tmp = getenv("TMPDIR");
	memset(fake, 0, sizeof *fake);
	fake->script = script;
	snprintf(fake->dir, sizeof fake->dir, "%.30s/godwit-client.XXXXXX", tmp ? tmp : "/tmp");
	must(mkdtemp(fake->dir) != NULL, "mkdtemp");
	snprintf(key_dir, sizeof key_dir, "%s/keys", fake->dir);
	must(keys_make(key_dir, "client", &error) == 0 && keys_make(key_dir, "mars", &error) == 0, "keys");
	must(pthread_create(&fake->thread, NULL, fake_run, fake) == 0, "thread");
	while (fake->phase == 0)
		usleep(500);
}

void fake_drop_connections(struct fake_region *fake)
{
	fake->rebind++;
}

void fake_stop(struct fake_region *fake)
{
	char command[160];
	fake->stop = true;
	pthread_join(fake->thread, NULL);
	snprintf(command, sizeof command, "rm -rf '%s'", fake->dir);
	must(system(command) == 0, "rm");
}

struct gw_connection *fake_connect(struct fake_region *fake, uint32_t timeout_ms, uint32_t pipeline_max, uint32_t batch_max)
{
	char key_dir[96], error[320];
	struct gw_connection *connection;
	snprintf(key_dir, sizeof key_dir, "%s/keys", fake->dir);
	struct gw_options options = {.endpoint = fake->endpoint,
	    .key_dir = key_dir,
	    .region = "mars",
	    .timeout_ms = timeout_ms,
	    .pipeline_max = pipeline_max,
	    .batch_max = batch_max};
	if (gw_connect(&connection, &options, error) != 0)
		must(false, error);
	return connection;
}

void fake_know(struct fake_region *fake, const struct fake_region *other, const char *name)
{
	char command[256];
	snprintf(command, sizeof command, "cp '%s/keys/mars.public' '%s/keys/%s.public'", other->dir, fake->dir, name);
	must(system(command) == 0, "cp");
}

uint32_t fake_copies(struct fake_region *fake, uint64_t number)
{
	uint32_t copies = 0;
	for (uint32_t i = 0; i < fake->seen_count; i++)
		copies += fake->seen[i].number == number;
	return copies;
}
