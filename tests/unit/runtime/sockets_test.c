/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/keys.h"
#include "runtime/logline.h"
#include "runtime/process.h"
#include "runtime/rights.h"
#include "runtime/socket.h"
#include "runtime/watch.h"
#include "tests/unit/runtime/fixture.h"

/* A server of region "here", which lets in "here" and "client", and a context for the others. */
struct place {
	char directory[128], key_dir[140], endpoint[256];
	struct pump pump;
	void *context, *outside, *server, *client;
	struct zap *zap;
	struct key_pair server_keys, client_keys;
	struct message message;
	int code;
	uint64_t refused_before;
	bool allows_clients;
	_Atomic uint32_t refusal;
};
static struct place place;
static struct error_context error;

static uint32_t server_drain(void *self, struct clock_now now, uint32_t limit)
{
	struct place *p = self;
	uint32_t handled = 0;
	(void)now;
	while (handled < limit && p->code == ERR_EMPTY) {
		int code = socket_receive(p->server, &p->message, false);
		if (code == ERR_EMPTY)
			break;
		p->code = code;
		handled++;
	}
	return handled;
}

static void set_up(void)
{
	static const char *const allow[] = {"here", KEY_NAME_CLIENT, NULL};
	struct place *p = &place;
	scratch_make(p->directory);
	snprintf(p->key_dir, sizeof p->key_dir, "%.120s/keys", p->directory);
	cr_assert_eq(keys_make(p->key_dir, "here", &error), 0, "%s", error.text);
	cr_assert_eq(keys_make(p->key_dir, "stranger", &error), 0, "%s", error.text);
	cr_assert_eq(keys_load(p->key_dir, "here", &p->server_keys, &error), 0);
	pump_start(&p->pump);
	p->context = socket_context_new();
	p->outside = socket_context_new();
	cr_assert_eq(
	    zap_start(&p->zap, p->context, p->pump.loop, p->key_dir, allow, p->allows_clients, p->pump.counters, &error), 0,
	    "%s", error.text);
	struct socket_options options = {.own = &p->server_keys, .message_size_max = 1000};
	cr_assert_eq(
	    socket_bind(&p->server, p->context, ZMQ_ROUTER, "tcp://127.0.0.1:*", &options, &error), 0, "%s", error.text);
	socket_endpoint(p->server, p->endpoint);
	cr_assert_eq(loop_add_socket(p->pump.loop, p->server, server_drain, p), 0);
	p->code = ERR_EMPTY;
}
static void tear_down(void)
{
	socket_context_free(place.outside);
	socket_close_all(place.context);
	zap_stop(place.zap);
	pump_stop(&place.pump);
	socket_context_free(place.context);
	scratch_remove(place.directory);
}
TestSuite(sockets, .init = set_up, .fini = tear_down);

static void client_connect(const char *name)
{
	cr_assert_eq(keys_load(place.key_dir, name, &place.client_keys, &error), 0, "%s", error.text);
	struct socket_options options = {.own = &place.client_keys,
	    .server_key = place.server_keys.public_text,
	    .identity_text = "number-5",
	    .probe_identity = true,
	    .reconnect_max_ms = 100};
	cr_assert_eq(
	    socket_connect(&place.client, place.outside, ZMQ_DEALER, place.endpoint, &options, &error), 0, "%s", error.text);
}

struct sending {
	size_t size;
	bool sent;
	uint8_t *bytes;
};
/* Sends as soon as there is a connection; done when something arrived. */
static bool sent_and_arrived(void *self)
{
	struct sending *s = self;
	if (!s->sent)
		s->sent = socket_send(place.client, NULL, 0, s->bytes, s->size) == 0;
	return place.code != ERR_EMPTY;
}
static bool is_refused(void *self)
{
	sent_and_arrived(self);
	return counter_get(place.pump.counters, COUNTER_keys_refused) > place.refused_before;
}
static bool client_has_answer(void *self)
{
	return socket_receive(place.client, self, false) == 0;
}

Test(sockets, curve_round_trip)
{
	struct sending sending = {.bytes = (uint8_t *)"hello", .size = 5};
	struct message answer;
	cr_assert_eq(keys_make(place.key_dir, KEY_NAME_CLIENT, &error), 0);
	client_connect(KEY_NAME_CLIENT);
	cr_assert(pump_run(&place.pump, sent_and_arrived, &sending, 10000));
	cr_assert_eq(place.code, 0);
	cr_assert_eq(place.message.identity_size, 8);
	cr_assert_eq(memcmp(place.message.identity, "number-5", 8), 0);
	cr_assert_eq(message_size(&place.message), 5);
	cr_assert_eq(memcmp(message_bytes(&place.message), "hello", 5), 0);
	cr_assert_str_eq(message_user(&place.message), KEY_NAME_CLIENT);
	/* The body goes back as it came. */
	cr_assert_eq(socket_forward(place.server, place.message.identity, place.message.identity_size, &place.message), 0);
	message_close(&place.message);
	cr_assert(pump_run(&place.pump, client_has_answer, &answer, 10000));
	cr_assert_eq(memcmp(message_bytes(&answer), "hello", 5), 0);
	message_close(&answer);
	cr_assert_eq(socket_send(place.server, (const uint8_t *)"nobody", 6, "x", 1), ERR_UNREACHABLE);
	cr_assert_eq(counter_get(place.pump.counters, COUNTER_keys_refused), 0);
}

/* In the place of libzmq's: the other side has had all the time that it needs before the monitor is there. */
static bool monitor_is_late;
static bool is_counted(void *self)
{
	(void)self;
	return counter_get(place.pump.counters, COUNTER_keys_refused) > 0;
}
int zmq_socket_monitor(void *socket, const char *endpoint, int events)
{
	int (*real)(void *, const char *, int) = (int (*)(void *, const char *, int))dlsym(RTLD_NEXT, "zmq_socket_monitor");
	if (monitor_is_late && endpoint && pump_run(&place.pump, is_counted, NULL, 1000))
		usleep(200000); /* the refusal travels */
	return real(socket, endpoint, events);
}

/* As process_connect is used by the actors. */
static int peer_connect(struct process *process, const char *own, const char *peer)
{
	struct region *regions = process->topology.regions;
	struct socket_options options = {.reconnect_max_ms = 100};
	process->topology.region_count = 2;
	regions[0] = (struct region){.id = 0, .host = "127.0.0.1", .port = 1};
	regions[1] = (struct region){.id = 1, .host = "127.0.0.1"};
	regions[1].port = (uint16_t)(atoi(strrchr(place.endpoint, ':') + 1) - SERVICE_HEALTH);
	snprintf(regions[0].name, sizeof regions[0].name, "%s", own);
	snprintf(regions[1].name, sizeof regions[1].name, "%s", peer);
	process->region = &regions[0];
	process->loop = place.pump.loop;
	process->context = place.outside;
	snprintf(process->key_dir, sizeof process->key_dir, "%s", place.key_dir);
	cr_assert_eq(keys_load(place.key_dir, own, &process->keys, &error), 0, "%s", error.text);
	return process_connect(process, &place.client, &regions[1], SERVICE_HEALTH, &options, &place.refusal, &error);
}

static struct watch *watch_of(const char *own, const char *server_key)
{
	struct watch *watch;
	struct watch_options options = {.loop = place.pump.loop,
	    .context = place.outside,
	    .socket = place.client,
	    .endpoint = place.endpoint,
	    .key_dir = place.key_dir,
	    .own = own,
	    .peer = "here",
	    .own_key = place.client_keys.public_text,
	    .peer_key = server_key,
	    .refusal = &place.refusal};
	cr_assert_eq(watch_start(&watch, &options, &error), 0, "%s", error.text);
	return watch;
}
static bool refusal_is_told(void *self)
{
	is_refused(self);
	return place.refusal != KEY_ACCEPTED;
}

/* Refused and counted; the side that connects is told; and once its key is let in, it gets through by itself. */
Test(sockets, G18_unknown_key_is_refused_until_it_is_known)
{
	struct sending sending = {.bytes = (uint8_t *)"hello", .size = 5};
	char from[256], to[256];
	int null = open("/dev/null", O_WRONLY);
	dup2(null, STDERR_FILENO);
	client_connect("stranger");
	struct watch *watch = watch_of("stranger", place.server_keys.public_text);
	cr_assert(pump_run(&place.pump, is_refused, &sending, 10000));
	cr_assert(pump_run(&place.pump, refusal_is_told, &sending, 10000));
	cr_assert_eq(place.refusal, KEY_UNKNOWN_THERE);
	cr_assert(!sending.sent);
	snprintf(from, sizeof from, "%s/stranger.public", place.key_dir);
	snprintf(to, sizeof to, "%s/client.public", place.key_dir);
	cr_assert_eq(rename(from, to), 0);
	cr_assert(pump_run(&place.pump, sent_and_arrived, &sending, 10000));
	cr_assert_eq(place.code, 0);
	cr_assert_str_eq(message_user(&place.message), "client");
	cr_assert_eq(place.refusal, KEY_ACCEPTED);
	message_close(&place.message);
	watch_stop(watch);
	close(null);
}

/* libzmq tells once that a key was refused, and tries no more: whoever is not watching by then has a dead link. */
Test(sockets, G18_a_refusal_that_comes_at_once_is_not_missed)
{
	struct sending sending = {.bytes = (uint8_t *)"hello", .size = 5};
	static struct process process;
	char from[256], to[256];
	dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
	monitor_is_late = true;
	cr_assert_eq(peer_connect(&process, "stranger", "here"), 0, "%s", error.text);
	cr_assert(pump_run(&place.pump, refusal_is_told, &sending, 10000), "the refusal was missed");
	snprintf(from, sizeof from, "%s/stranger.public", place.key_dir);
	snprintf(to, sizeof to, "%s/client.public", place.key_dir);
	cr_assert_eq(rename(from, to), 0);
	cr_assert(pump_run(&place.pump, sent_and_arrived, &sending, 10000), "a dead link");
	message_close(&place.message);
	watch_stop(process.watches[0]);
}

/* Another key than the peer's is told apart from an own key that the peer does not know; the key that is brought later is
 * taken. */
Test(sockets, G18_wrong_key_of_the_peer_is_told_and_mended)
{
	struct sending sending = {.bytes = (uint8_t *)"hello", .size = 5};
	struct key_pair right = place.server_keys, stranger;
	char path[256];
	dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
	cr_assert_eq(keys_make(place.key_dir, KEY_NAME_CLIENT, &error), 0);
	cr_assert_eq(keys_load(place.key_dir, "stranger", &stranger, &error), 0);
	snprintf(path, sizeof path, "%s/here.public", place.key_dir);
	cr_assert_eq(keys_write_file(place.key_dir, "here", "public", stranger.public_text, &error), 0);
	place.server_keys = stranger;
	client_connect(KEY_NAME_CLIENT);
	struct watch *watch = watch_of(KEY_NAME_CLIENT, stranger.public_text);
	cr_assert(pump_run(&place.pump, refusal_is_told, &sending, 10000));
	cr_assert_eq(place.refusal, KEY_OTHER_THERE);
	/* As the next key of a peer that has gone over to it; its present one stays in the file. */
	cr_assert_eq(keys_write_file(place.key_dir, "here", "next.public", right.public_text, &error), 0);
	cr_assert(pump_run(&place.pump, sent_and_arrived, &sending, 10000));
	cr_assert_eq(place.refusal, KEY_ACCEPTED);
	message_close(&place.message);
	watch_stop(watch);
}

static bool refusal_is_old(void *self)
{
	(void)self;
	return place.refusal == KEY_ACCEPTED;
}
/* A peer that refused, and is gone: nothing is known of its keys any more. */
Test(sockets, G18_a_refusal_ends_with_the_peer)
{
	struct sending sending = {.bytes = (uint8_t *)"hello", .size = 5};
	dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
	client_connect("stranger");
	struct watch *watch = watch_of("stranger", place.server_keys.public_text);
	cr_assert(pump_run(&place.pump, refusal_is_told, &sending, 10000));
	loop_remove_socket(place.pump.loop, place.server);
	socket_close(place.server);
	cr_assert(pump_run(&place.pump, refusal_is_old, NULL, 10000));
	watch_stop(watch);
}

/* Nobody is there: that is no refusal of a key. */
Test(sockets, G18_a_peer_that_is_not_there_refuses_nothing)
{
	struct sending sending = {.bytes = (uint8_t *)"hello", .size = 5};
	cr_assert_eq(keys_make(place.key_dir, KEY_NAME_CLIENT, &error), 0);
	socket_close(place.server);
	client_connect(KEY_NAME_CLIENT);
	struct watch *watch = watch_of(KEY_NAME_CLIENT, place.server_keys.public_text);
	cr_assert(!pump_run(&place.pump, refusal_is_told, &sending, 1000));
	watch_stop(watch);
}

static uint32_t lines_of(const char *path)
{
	uint32_t lines = 0;
	FILE *file = fopen(path, "r");
	cr_assert(file);
	for (int c; (c = fgetc(file)) != EOF;)
		lines += c == '\n';
	fclose(file);
	return lines;
}
static bool two_are_told(void *self)
{
	uint32_t lines = 0;
	char line[1024];
	FILE *file = fopen(self, "r");
	cr_assert(file);
	while (fgets(line, sizeof line, file))
		lines += strstr(line, " key_refused_by ") != NULL;
	fclose(file);
	return lines == 2;
}
/* Names that differ only at their ends: one line of the log each. */
Test(sockets, G18_each_peer_that_refuses_is_named)
{
	static struct process processes[2];
	static const char *const peers[] = {"us-east-1", "us-east-2"};
	char path[256];
	snprintf(path, sizeof path, "%s/log", place.directory);
	int log = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600), saved = dup(STDERR_FILENO);
	logline_init("stranger", "monitor", NULL);
	dup2(log, STDERR_FILENO);
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(keys_write_file(place.key_dir, peers[i], "public", place.server_keys.public_text, &error), 0);
		cr_assert_eq(peer_connect(&processes[i], "stranger", peers[i]), 0, "%s", error.text);
	}
	bool told = pump_run(&place.pump, two_are_told, path, 10000);
	dup2(saved, STDERR_FILENO);
	cr_assert(told, "one of two peers is not named");
	watch_stop(processes[0].watches[0]);
	watch_stop(processes[1].watches[0]);
}
static bool zap_has_answered(void *self)
{
	char part[300];
	return zmq_recv(self, part, sizeof part, ZMQ_DONTWAIT) >= 0;
}
/* Whatever number of keys strangers make up, the log gets a few lines, and each is counted. */
Test(sockets, G18_strangers_do_not_fill_the_log)
{
	char path[256];
	snprintf(path, sizeof path, "%s/log", place.directory);
	int log = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600), saved = dup(STDERR_FILENO);
	dup2(log, STDERR_FILENO);
	void *asker;
	cr_assert_eq(socket_connect(&asker, place.context, ZMQ_REQ, ZAP_ENDPOINT, NULL, &error), 0);
	for (uint32_t i = 0; i < 1000; i++) {
		uint8_t key[32];
		int more = 1;
		size_t size = sizeof more;
		for (uint32_t j = 0; j < sizeof key; j++)
			key[j] = (uint8_t)(i * 31 + j * (i + 7));
		zmq_send(asker, "1.0", 3, ZMQ_SNDMORE);
		zmq_send(asker, "7", 1, ZMQ_SNDMORE);
		zmq_send(asker, ZAP_DOMAIN, strlen(ZAP_DOMAIN), ZMQ_SNDMORE);
		zmq_send(asker, "10.0.0.9", 8, ZMQ_SNDMORE);
		zmq_send(asker, "", 0, ZMQ_SNDMORE);
		zmq_send(asker, "CURVE", 5, ZMQ_SNDMORE);
		zmq_send(asker, key, sizeof key, 0);
		cr_assert(pump_run(&place.pump, zap_has_answered, asker, 10000), "%u", i);
		while (zmq_getsockopt(asker, ZMQ_RCVMORE, &more, &size) == 0 && more)
			zap_has_answered(asker);
	}
	dup2(saved, STDERR_FILENO);
	cr_assert_eq(counter_get(place.pump.counters, COUNTER_keys_refused), 1000);
	cr_assert(lines_of(path) >= 1 && lines_of(path) <= 8, "%u lines", lines_of(path));
}

static void set_up_clients(void)
{
	place.allows_clients = true;
	set_up();
}
/* A client's key is let in by its rights, under its name; what is taken away is gone a second later. */
Test(sockets, G18_clients_are_let_in_by_their_rights, .init = set_up_clients)
{
	struct sending sending = {.bytes = (uint8_t *)"hello", .size = 5};
	uint64_t now_ns = clock_read().monotonic_ns;
	dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
	cr_assert_null(zap_rights(place.zap, "stranger", now_ns));
	cr_assert_null(zap_rights(place.zap, "here", now_ns), "a region is no client");
	cr_assert_eq(keys_write_file(place.key_dir, "stranger", "rights", "read,write\norders", &error), 0);
	client_connect("stranger");
	cr_assert(pump_run(&place.pump, sent_and_arrived, &sending, 10000));
	cr_assert_str_eq(message_user(&place.message), "stranger");
	message_close(&place.message);
	const struct rights *rights = zap_rights(place.zap, "stranger", now_ns += 1000000000);
	cr_assert(rights && rights->read && rights->write && !rights->admin);
	cr_assert(rights_has_keyspace(rights, "orders", 6) && !rights_has_keyspace(rights, "", 0));
	char path[256];
	snprintf(path, sizeof path, "%s/stranger.rights", place.key_dir);
	unlink(path);
	cr_assert_null(zap_rights(place.zap, "stranger", now_ns + 2000000000));
	rights = zap_rights(place.zap, KEY_NAME_CLIENT, now_ns);
	cr_assert(rights && rights->admin && rights_has_keyspace(rights, "anything", 8));
}

static bool log_tells(const char *path, const char *what)
{
	char line[1024];
	bool found = false;
	FILE *file = fopen(path, "r");
	cr_assert(file);
	while (fgets(line, sizeof line, file))
		found |= strstr(line, what) != NULL;
	fclose(file);
	return found;
}
/* No descriptor is left for the files of the keys: that takes nobody's key away. */
Test(sockets, E11_keys_that_cannot_be_read_stay_as_they_are_known, .init = set_up_clients)
{
	static const char *const told[] = {" keys_unreadable ", " key_unreadable ", " rights_unreadable "};
	struct rlimit limit;
	char path[256], rights_path[256];
	int held[256], count = 0;
	uint64_t now_ns = clock_read().monotonic_ns;
	snprintf(path, sizeof path, "%s/log", place.directory);
	snprintf(rights_path, sizeof rights_path, "%s/stranger.rights", place.key_dir);
	dup2(open(path, O_WRONLY | O_CREAT | O_APPEND, 0600), STDERR_FILENO);
	cr_assert_eq(keys_write_file(place.key_dir, "stranger", "rights", "read\norders", &error), 0);
	cr_assert(zap_rights(place.zap, "stranger", now_ns += 2000000000));
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = 200;
	setrlimit(RLIMIT_NOFILE, &limit);
	while (count < 256 && (held[count] = open("/dev/null", O_RDONLY)) >= 0)
		count++;
	const struct rights *rights = zap_rights(place.zap, "stranger", now_ns += 2000000000);
	const struct rights *own = zap_rights(place.zap, KEY_NAME_CLIENT, now_ns);
	for (int i = 0; i < count; i++)
		close(held[i]);
	cr_assert(rights && rights->read && !rights->write, "a client lost its rights");
	cr_assert(own && own->admin);
	for (size_t i = 0; i < sizeof told / sizeof told[0]; i++)
		cr_assert(log_tells(path, told[i]), "%s", told[i]);
	/* Whatever is removed, or is no rights, counts as before. */
	cr_assert_eq(keys_write_file(place.key_dir, "stranger", "rights", "nonsense\norders", &error), 0);
	cr_assert_null(zap_rights(place.zap, "stranger", now_ns += 2000000000));
	cr_assert_eq(keys_write_file(place.key_dir, "stranger", "rights", "write\norders", &error), 0);
	cr_assert(zap_rights(place.zap, "stranger", now_ns += 2000000000)->write);
	unlink(rights_path);
	cr_assert_null(zap_rights(place.zap, "stranger", now_ns += 2000000000));
}

Test(sockets, oversized_message_is_refused)
{
	static uint8_t bytes[5000];
	struct sending fits = {.bytes = bytes, .size = 1000}, too_large = {.bytes = bytes, .size = sizeof bytes};
	cr_assert_eq(keys_make(place.key_dir, KEY_NAME_CLIENT, &error), 0);
	client_connect(KEY_NAME_CLIENT);
	cr_assert(pump_run(&place.pump, sent_and_arrived, &fits, 10000));
	cr_assert_eq(message_size(&place.message), 1000);
	message_close(&place.message);
	place.code = ERR_EMPTY;
	cr_assert(!pump_run(&place.pump, sent_and_arrived, &too_large, 500));
	cr_assert(too_large.sent);
	/* The connection was given up, and comes back. */
	struct sending after = {.bytes = bytes, .size = 10};
	cr_assert(pump_run(&place.pump, sent_and_arrived, &after, 10000));
	cr_assert_eq(message_size(&place.message), 10);
	message_close(&place.message);
}

Test(sockets, tcp_only_with_keys_and_zap)
{
	void *socket;
	struct socket_options options = {.own = &place.server_keys};
	cr_assert_eq(socket_bind(&socket, place.context, ZMQ_ROUTER, "tcp://127.0.0.1:*", NULL, &error), ERR_USAGE);
	cr_assert_eq(socket_connect(&socket, place.context, ZMQ_DEALER, "tcp://127.0.0.1:1", &options, &error), ERR_USAGE);
	cr_assert_eq(socket_bind(&socket, place.outside, ZMQ_ROUTER, "tcp://127.0.0.1:*", &options, &error), ERR_USAGE);
	cr_assert(strstr(error.text, "start ZAP before"), "%s", error.text);
}

Test(sockets, clear_lines_for_bad_endpoints)
{
	void *socket;
	char path[300] = "ipc://";
	struct socket_options options = {.own = &place.server_keys};
	cr_assert_eq(socket_bind(&socket, place.context, ZMQ_ROUTER, place.endpoint, &options, &error), ERR_CONFIGURATION);
	cr_assert(strstr(error.text, "in use by another process"), "%s", error.text);
	memset(path + 6, 'x', 120);
	cr_assert_eq(socket_bind(&socket, place.context, ZMQ_REP, path, NULL, &error), ERR_CONFIGURATION);
	cr_assert(strstr(error.text, "has 120 bytes, more than the 107"), "%s", error.text);
	cr_assert_null(socket);
}

Test(sockets, frames_that_are_no_message)
{
	void *router, *dealer;
	struct message message;
	cr_assert_eq(socket_bind(&router, place.context, ZMQ_ROUTER, "inproc://frames", NULL, &error), 0);
	cr_assert_eq(socket_connect(&dealer, place.context, ZMQ_DEALER, "inproc://frames", NULL, &error), 0);
	cr_assert_eq(socket_receive(router, &message, false), ERR_EMPTY);
	zmq_send(dealer, "a", 1, ZMQ_SNDMORE);
	zmq_send(dealer, "b", 1, ZMQ_SNDMORE);
	zmq_send(dealer, "c", 1, 0);
	zmq_send(dealer, "good", 4, 0);
	cr_assert_eq(socket_receive(router, &message, false), ERR_MALFORMED);
	cr_assert_eq(socket_receive(router, &message, false), 0);
	cr_assert_eq(message_size(&message), 4);
	/* [identity][body] to a DEALER that reads what a ROUTER has forwarded. */
	uint8_t forwarded[] = {'w', 'h', 'o'};
	zmq_send(router, message.identity, message.identity_size, ZMQ_SNDMORE);
	zmq_send(router, forwarded, sizeof forwarded, ZMQ_SNDMORE);
	zmq_send(router, "body", 4, 0);
	cr_assert_eq(socket_send(router, message.identity, message.identity_size, "alone", 5), 0);
	message_close(&message);
	cr_assert_eq(socket_receive(dealer, &message, true), 0);
	cr_assert_eq(message.identity_size, 3);
	cr_assert_eq(memcmp(message_bytes(&message), "body", 4), 0);
	message_close(&message);
	cr_assert_eq(socket_receive(dealer, &message, true), ERR_MALFORMED);
	cr_assert_eq(socket_receive(dealer, &message, true), ERR_EMPTY);
}

Test(sockets, a_full_queue_says_so)
{
	void *router, *dealer;
	struct socket_options options = {.high_water = 10};
	cr_assert_eq(socket_bind(&router, place.context, ZMQ_ROUTER, "inproc://full", &options, &error), 0);
	cr_assert_eq(socket_connect(&dealer, place.context, ZMQ_DEALER, "inproc://full", &options, &error), 0);
	int code = 0, sent = 0;
	while (sent < 1000 && (code = socket_send(dealer, (const uint8_t *)"id", 2, "x", 1)) == 0)
		sent++;
	cr_assert_eq(code, ERR_OVERLOADED);
	cr_assert_leq(sent, 30);
}

static int receive_within(void *socket, struct message *message, int wait_ms)
{
	int code = ERR_EMPTY;
	for (int i = 0; i < wait_ms && (code = socket_receive(socket, message, false)) == ERR_EMPTY; i++)
		usleep(1000);
	return code;
}

/* Whether a connection that was there has lost a message: of those sent, numbered within their round, the first to arrive is
 * not number 0. */
static bool loses_one(void *from, void *to, int round)
{
	struct message message;
	char text[32] = "";
	int arrived = -1;
	for (int number = 0; arrived < 0 && number < 100; number++) {
		snprintf(text, sizeof text, "still %d %d", round, number);
		for (int i = 0; i < 2000 && socket_send(from, NULL, 0, text, (uint32_t)strlen(text)) != 0; i++)
			usleep(1000);
		while (arrived < 0 && receive_within(to, &message, 200) == 0) {
			int of_round = -1, found = -1;
			snprintf(text, sizeof text, "%.*s", (int)message_size(&message), (const char *)message_bytes(&message));
			if (sscanf(text, "still %d %d", &of_round, &found) == 2 && of_round == round)
				arrived = found;
			message_close(&message);
		}
	}
	cr_assert_geq(arrived, 0, "the connection does not come back");
	return arrived > 0;
}

Test(sockets, E12_a_local_socket_whose_path_was_removed_is_found_again)
{
	void *server, *early, *late;
	char endpoint[160];
	struct message message;
	snprintf(endpoint, sizeof endpoint, "ipc://%s/path", place.directory);
	cr_assert_eq(socket_bind(&server, place.context, ZMQ_DEALER, endpoint, NULL, &error), 0, "%s", error.text);
	cr_assert_eq(socket_connect(&early, place.outside, ZMQ_DEALER, endpoint, NULL, &error), 0, "%s", error.text);
	for (int i = 0; i < 2000 && socket_send(early, NULL, 0, "first", 5) != 0; i++)
		usleep(1000);
	cr_assert_eq(receive_within(server, &message, 2000), 0);
	message_close(&message);
	ino_t before = 0;
	uint32_t cuts = 0;
	for (int round = 0; round < 40; round++) {
		struct stat status;
		socket_renew_path(server); /* nothing to do */
		cr_assert_eq(stat(endpoint + 6, &status), 0);
		cr_assert(before == 0 || status.st_ino == before, "bound anew without a reason");
		cr_assert_eq(unlink(endpoint + 6), 0);
		socket_renew_path(server);
		cr_assert_eq(stat(endpoint + 6, &status), 0, "nobody made it anew");
		before = status.st_ino;
		/* Whoever comes later gets in, and whoever was there before stays. */
		cr_assert_eq(socket_connect(&late, place.outside, ZMQ_DEALER, endpoint, NULL, &error), 0, "%s", error.text);
		cr_assert(!loses_one(late, server, -round - 1), "somebody who has just come is cut off");
		socket_close(late);
		/* But for those whose listener is ended because there are too many: they come back by themselves. */
		cuts += loses_one(early, server, round);
	}
	cr_assert_leq(cuts, 3, "%u of 40 removals have cut a connection", cuts);
	int used = open("/dev/null", O_RDONLY | O_CLOEXEC);
	cr_assert_lt(used, 100, "listeners pile up: descriptor %d", used);
	close(used);
	usleep(50000);
	cr_assert_eq(access(endpoint + 6, F_OK), 0, "the end of an earlier listener has removed it");
}

Test(sockets, forgotten_and_doubly_closed_sockets)
{
	void *context = socket_context_new(), *one, *two;
	cr_assert_eq(socket_bind(&one, context, ZMQ_ROUTER, "inproc://one", NULL, &error), 0);
	cr_assert_eq(socket_bind(&two, context, ZMQ_ROUTER, "inproc://two", NULL, &error), 0);
	socket_close(one);
	socket_close(one);
	socket_close(NULL);
	alarm(20); /* zmq_ctx_term would wait for `two` for ever */
	socket_context_free(context);
	socket_close(two);
}

/* ZMQ_IPV6 is set for names as for IPv6 addresses. */
Test(sockets, G19_a_name_with_addresses_of_either_kind)
{
	char endpoint[256];
	int is_v6 = 0;
	size_t size = sizeof is_v6;
	cr_assert_eq(keys_make(place.key_dir, KEY_NAME_CLIENT, &error), 0);
	/* The server of set_up is at 127.0.0.1, which the name has, too. */
	snprintf(endpoint, sizeof endpoint, "tcp://localhost%s", strrchr(place.endpoint, ':'));
	strcpy(place.endpoint, endpoint);
	client_connect(KEY_NAME_CLIENT);
	cr_assert_eq(zmq_getsockopt(place.client, ZMQ_IPV6, &is_v6, &size), 0);
	cr_assert_eq(is_v6, 1);
}

Test(sockets, G19_an_ipv6_address)
{
	struct sending sending = {.bytes = (uint8_t *)"hello", .size = 5};
	struct socket_options options = {.own = &place.server_keys};
	struct sockaddr_in6 loopback = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int probe = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool is_here = probe >= 0 && bind(probe, (struct sockaddr *)&loopback, sizeof loopback) == 0;
	if (probe >= 0)
		close(probe);
	if (!is_here)
		cr_skip_test("no IPv6 here");
	cr_assert_eq(keys_make(place.key_dir, KEY_NAME_CLIENT, &error), 0);
	loop_remove_socket(place.pump.loop, place.server);
	socket_close(place.server);
	cr_assert_eq(
	    socket_bind(&place.server, place.context, ZMQ_ROUTER, "tcp://[::1]:*", &options, &error), 0, "%s", error.text);
	cr_assert_eq(loop_add_socket(place.pump.loop, place.server, server_drain, &place), 0);
	socket_endpoint(place.server, place.endpoint);
	client_connect(KEY_NAME_CLIENT);
	cr_assert(pump_run(&place.pump, sent_and_arrived, &sending, 10000));
	message_close(&place.message);
}
