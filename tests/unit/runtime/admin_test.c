/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#include "runtime/admin.h"
#include "runtime/logline.h"
#include "runtime/socket.h"
#include "tests/unit/runtime/fixture.h"

struct flags {
	uint32_t port;
};
static const struct option table[] = {{"port", 0, OPTION_U32, offsetof(struct flags, port), 0, 0, "P", "port"}, {0}};

static int own_command(void *self, const char *command, const char *argument, struct text *out, struct error_context *error)
{
	(void)self;
	if (strcmp(command, "drain") == 0)
		return error_set(error, ERR_DRAINING, "already, \"%s\"", argument);
	if (strcmp(command, "echo") != 0)
		return ERR_UNSUPPORTED;
	text_add(out, "{\"echo\": ");
	text_add_json_string(out, argument, strlen(argument));
	text_add(out, "}");
	return 0;
}

/* The actor, in a thread of its own; ended by the admin command "stop". */
struct served {
	char directory[128], endpoint[256];
	struct pump pump;
	void *context;
	struct admin *admin;
	struct flags flags;
	pthread_t thread;
	bool joined;
};
static struct served served;

static bool never(void *self)
{
	(void)self;
	return false;
}
static void *serve(void *self)
{
	struct served *s = self;
	pump_run(&s->pump, never, NULL, 60000);
	admin_stop(s->admin);
	socket_context_free(s->context);
	return NULL;
}
static void set_up(void)
{
	struct served *s = &served;
	struct error_context error = {0};
	scratch_make(s->directory);
	admin_endpoint(s->directory, "router", s->endpoint);
	pump_start(&s->pump);
	s->context = socket_context_new();
	s->flags.port = 7400;
	counter_set(s->pump.counters, COUNTER_reads, 12);
	struct admin_options options = {.endpoint = s->endpoint,
	    .actor = "router",
	    .option_table = table,
	    .option_values = &s->flags,
	    .counters = s->pump.counters,
	    .command = own_command};
	cr_assert_eq(admin_start(&s->admin, s->context, s->pump.loop, &options, &error), 0, "%s", error.text);
	cr_assert_eq(pthread_create(&s->thread, NULL, serve, s), 0);
}
static void tear_down(void)
{
	struct error_context error = {0};
	if (!served.joined) {
		cr_expect_eq(admin_ask(served.endpoint, "stop", NULL, 5000, NULL, &error), 0, "%s", error.text);
		pthread_join(served.thread, NULL);
	}
	pump_stop(&served.pump);
	scratch_remove(served.directory);
}
TestSuite(admin, .init = set_up, .fini = tear_down);

static void answers(const char *command, const char *argument, int code, const char *expected)
{
	struct error_context error = {0};
	char *json = NULL;
	cr_expect_eq(admin_ask(served.endpoint, command, argument, 5000, &json, &error), code, "%s: %s", command, error.text);
	const char *got = code ? error.text : json ? json : "";
	cr_expect(strstr(got, expected) != NULL, "%s: %s", command, got);
	free(json);
}

Test(admin, commands)
{
	answers("ping", NULL, 0, "{\"actor\": \"router\", \"pid\": ");
	answers("stats", "", 0, "\"reads\": 12");
	answers(
	    "stats", "", 0, "\"read_us\": {\"count\": 0, \"mean\": 0.0, \"p50\": 0, \"p99\": 0, \"p999\": 0, \"max\": 0}}}");
	answers("config", "", 0, "{\"flags\": {\"port\": 7400}}");
	answers("echo", "a\"b", 0, "{\"echo\": \"a\\\"b\"}");
	answers("drain", "x", ERR_DRAINING, "already, \"x\"");
	answers("fly", "", ERR_UNSUPPORTED, "router: no such command: 'fly'");
}

Test(admin, loglevel)
{
	answers("loglevel", "", 0, "{\"level\": \"info\"}");
	answers("loglevel", "debug", 0, "{\"level\": \"debug\"}");
	cr_assert_str_eq(logline_level_name(), "debug");
	answers("loglevel", "loud", ERR_USAGE, "'loud' is none of");
}

/* Whatever comes in, an answer comes out, and the next one is served. */
Test(admin, malformed)
{
	void *context = socket_context_new(), *socket;
	uint8_t answer[256];
	int timeout = 5000;
	cr_assert_eq(socket_connect(&socket, context, ZMQ_REQ, served.endpoint, NULL, NULL), 0);
	zmq_setsockopt(socket, ZMQ_RCVTIMEO, &timeout, sizeof timeout);
	cr_assert_eq(zmq_send(socket, "\xff\xff\xff", 3, 0), 3);
	cr_assert_gt(zmq_recv(socket, answer, sizeof answer, 0), 0);
	cr_assert_eq(answer[1], 2 * -ERR_MALFORMED - 1); /* field 1, zigzag */
	cr_assert_eq(zmq_send(socket, "a", 1, ZMQ_SNDMORE), 1);
	cr_assert_eq(zmq_send(socket, "b", 1, 0), 1);
	cr_assert_gt(zmq_recv(socket, answer, sizeof answer, 0), 0);
	cr_assert_eq(answer[1], 2 * -ERR_MALFORMED - 1);
	cr_assert_eq(zmq_send(socket, "", 0, 0), 0); /* an empty request: protocol 0 */
	cr_assert_gt(zmq_recv(socket, answer, sizeof answer, 0), 0);
	cr_assert_eq(answer[1], 2 * -ERR_WRONG_VERSION - 1);
	socket_context_free(context);
	answers("ping", NULL, 0, "router");
}

Test(admin, stop_answers_and_then_nobody_is_there)
{
	struct error_context error = {0};
	answers("stop", NULL, 0, "{\"stopping\": true}");
	pthread_join(served.thread, NULL);
	served.joined = true;
	uint64_t start = clock_read().monotonic_ns;
	cr_assert_eq(admin_ask(served.endpoint, "ping", NULL, 5000, NULL, &error), ERR_UNREACHABLE);
	cr_assert_lt(clock_read().monotonic_ns - start, 2000000000u); /* at once, not after the time limit */
}

/* Requests that are sent and sent while the actor is busy wait with the sender. */
Test(admin_queue, E10_waiting_requests_are_bounded_in_bytes)
{
	static uint8_t request[60000];
	struct error_context error = {0};
	struct pump pump;
	struct admin *admin;
	char directory[128], endpoint[256];
	void *dealer, *context = socket_context_new();
	scratch_make(directory);
	pump_start(&pump);
	admin_endpoint(directory, "idle", endpoint);
	const struct admin_options options = {
	    .endpoint = endpoint, .actor = "idle", .option_table = table, .option_values = &served.flags};
	cr_assert_eq(admin_start(&admin, context, pump.loop, &options, &error), 0, "%s", error.text);
	const struct socket_options sender = {.high_water = 1};
	cr_assert_eq(socket_connect(&dealer, context, ZMQ_DEALER, endpoint, &sender, &error), 0, "%s", error.text);
	while (zmq_send(dealer, "", 0, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0)
		usleep(1000); /* not yet connected */
	size_t bytes = 0;
	for (int refused = 0; refused < 300;) {
		bool is_sent = zmq_send(dealer, request, sizeof request, ZMQ_DONTWAIT) >= 0;
		bytes += is_sent ? sizeof request : 0;
		refused = is_sent ? 0 : refused + 1;
		cr_assert_leq(bytes, 2000000, "a connection may queue any number of requests");
		while (refused < 300 && zmq_send(dealer, "", 0, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0) {
			refused++;
			usleep(1000);
		}
	}
	cr_assert_gt(bytes, 2 * sizeof request);
	admin_stop(admin);
	socket_context_free(context);
	pump_stop(&pump);
	scratch_remove(directory);
}
