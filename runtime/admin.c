/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/admin.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/admin.pb-c.h"
#include "runtime/logline.h"
#include "runtime/socket.h"

#define REQUEST_SIZE_MAX (64 * 1024)
#define HIGH_WATER       4u /* requests that wait, a connection: a command sends one and reads its answer */
/* "stop" is answered by a process that is about to end: its answer gets this long to leave. */
#define LAST_ANSWER_MS 500

struct admin {
	struct admin_options options;
	struct loop *loop;
	void *socket;
};

void admin_endpoint(const char *region_dir, const char *actor, char out[static 256])
{
	snprintf(out, 256, "ipc://%s/%s.admin", region_dir, actor);
}

void stats_json(const struct counter_block *counters, struct text *out)
{
	text_add(out, "{\"counters\": {");
	for (uint32_t i = 0; i < COUNTERS; i++)
		text_add(out, "%s\"%s\": %" PRIu64, i ? ", " : "", counter_name((enum counter)i),
		    counter_get(counters, (enum counter)i));
	text_add(out, "}, \"histograms\": {");
	for (uint32_t i = 0; i < HISTOGRAMS; i++) {
		const struct histogram_block *h = &counters->histograms[i];
		uint64_t count = atomic_load_explicit(&h->count, memory_order_relaxed);
		uint64_t sum = atomic_load_explicit(&h->sum, memory_order_relaxed);
		text_add(out, "%s\"%s\": {\"count\": %" PRIu64 ", \"mean\": %.1f", i ? ", " : "",
		    histogram_name((enum histogram)i), count, count ? (double)sum / (double)count : 0.0);
		text_add(out, ", \"p50\": %" PRIu64 ", \"p99\": %" PRIu64 ", \"p999\": %" PRIu64 ", \"max\": %" PRIu64 "}",
		    histogram_quantile(h, 0.5), histogram_quantile(h, 0.99), histogram_quantile(h, 0.999),
		    atomic_load_explicit(&h->max, memory_order_relaxed));
	}
	text_add(out, "}}");
}

static int command_loglevel(const char *argument, struct text *out, struct error_context *error)
{
	if (*argument) {
		int level = logline_parse_level(argument);
		if (level < 0)
			return error_set(error, ERR_USAGE, "loglevel: '%.40s' is none of debug, info, warn, error", argument);
		logline_set_level((enum log_level)level);
	}
	text_add(out, "{\"level\": \"%s\"}", logline_level_name());
	return 0;
}

static void command_config(const struct admin_options *options, struct text *out)
{
	text_add(out, "{\"flags\": ");
	options_json(options->option_table, options->option_values, out);
	if (options->own_option_table) {
		text_add(out, ", \"own_flags\": ");
		options_json(options->own_option_table, options->own_option_values, out);
	}
	if (options->topology) {
		text_add(out, ", \"topology\": ");
		topology_json(options->topology, out);
	}
	text_add(out, "}");
}

static int admin_command(
    struct admin *admin, const char *command, const char *argument, struct text *out, struct error_context *error)
{
	const struct admin_options *options = &admin->options;
	if (strcmp(command, "ping") == 0) {
		text_add(out, "{\"actor\": \"%s\", \"pid\": %ld}", options->actor, (long)getpid());
		return 0;
	}
	if (strcmp(command, "stats") == 0 && options->counters) {
		stats_json(options->counters, out);
		return 0;
	}
	if (strcmp(command, "config") == 0) {
		command_config(options, out);
		return 0;
	}
	if (strcmp(command, "loglevel") == 0)
		return command_loglevel(argument, out, error);
	if (strcmp(command, "stop") == 0) {
		text_add(out, "{\"stopping\": true}");
		loop_stop(admin->loop, 0);
		return 0;
	}
	int code = options->command ? options->command(options->self, command, argument, out, error) : ERR_UNSUPPORTED;
	if (code == ERR_UNSUPPORTED && (!error->text[0]))
		error_set(error, code, "%s: no such command: '%.40s'", options->actor, command);
	return code;
}

static void admin_answer(struct admin *admin, int code, const char *reason, const char *json)
{
	Godwit__Admin__AdminReply reply = GODWIT__ADMIN__ADMIN_REPLY__INIT;
	/* protobuf-c does not write to them. */
	reply.code = code;
	reply.reason = (char *)(uintptr_t)reason;
	reply.json = (char *)(uintptr_t)json;
	size_t size = godwit__admin__admin_reply__get_packed_size(&reply);
	uint8_t *packed = malloc(size ? size : 1);
	if (packed) {
		godwit__admin__admin_reply__pack(&reply, packed);
		code = socket_send(admin->socket, NULL, 0, packed, size);
		free(packed);
	}
	if (!packed || code)
		logline(LOG_LEVEL_WARN, "admin_unanswered", "code=%s", packed ? error_name(code) : "NO_MEMORY");
}

static void admin_handle(struct admin *admin, const uint8_t *bytes, size_t size)
{
	struct text json = {0};
	struct error_context error = {0};
	int code;
	Godwit__Admin__AdminRequest *request =
	    size <= REQUEST_SIZE_MAX ? godwit__admin__admin_request__unpack(NULL, size, bytes) : NULL;
	if (!request)
		code = error_set(&error, ERR_MALFORMED, "the request cannot be read");
	else if (!version_is_understood(request->protocol, PROTOCOL_VERSION))
		code = error_set(
		    &error, ERR_WRONG_VERSION, "protocol %u here, %u in the request", PROTOCOL_VERSION, request->protocol);
	else
		code = admin_command(admin, request->command, request->argument, &json, &error);
	if (code && !error.text[0])
		error_set(&error, code, "%s", error_text(code));
	admin_answer(admin, code, code ? error.text : "", json.bytes ? json.bytes : "{}");
	if (request)
		godwit__admin__admin_request__free_unpacked(request, NULL);
	text_deinit(&json);
}

static uint32_t admin_drain(void *self, struct clock_now now, uint32_t limit)
{
	struct admin *admin = self;
	uint32_t handled = 0;
	(void)now;
	while (handled < limit) {
		struct message message;
		int code = socket_receive(admin->socket, &message, false);
		if (code == ERR_MALFORMED)
			admin_answer(admin, code, "a request is one frame", "{}");
		else if (code)
			break;
		else {
			admin_handle(admin, message_bytes(&message), message_size(&message));
			message_close(&message);
		}
		handled++;
	}
	return handled;
}

int admin_start(
    struct admin **out, void *context, struct loop *loop, const struct admin_options *options, struct error_context *error)
{
	struct admin *admin = calloc(1, sizeof *admin);
	if (!admin)
		return error_set(error, ERR_NO_MEMORY, "out of memory");
	admin->options = *options;
	admin->loop = loop;
	struct socket_options socket_options = {.message_size_max = REQUEST_SIZE_MAX, .high_water = HIGH_WATER};
	int code = socket_bind(&admin->socket, context, ZMQ_REP, options->endpoint, &socket_options, error);
	if (!code)
		code = loop_add_socket(loop, admin->socket, admin_drain, admin);
	if (code) {
		socket_close(admin->socket);
		free(admin);
		return code;
	}
	*out = admin;
	return 0;
}

void admin_stop(struct admin *admin)
{
	if (!admin)
		return;
	int linger = LAST_ANSWER_MS;
	loop_remove_socket(admin->loop, admin->socket);
	zmq_setsockopt(admin->socket, ZMQ_LINGER, &linger, sizeof linger);
	socket_close(admin->socket);
	free(admin);
}

/* Spares the caller the time limit when nobody listens: ZeroMQ itself would go on trying. */
static bool somebody_listens(const char *endpoint)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	if (strncmp(endpoint, "ipc://", 6) != 0 || strlen(endpoint + 6) >= sizeof address.sun_path)
		return true;
	memcpy(address.sun_path, endpoint + 6, strlen(endpoint + 6) + 1);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return true;
	bool listens =
	    connect(fd, (struct sockaddr *)&address, sizeof address) == 0 || (errno != ENOENT && errno != ECONNREFUSED);
	close(fd);
	return listens;
}

static int admin_read_reply(const uint8_t *bytes, size_t size, char **json, struct error_context *error)
{
	Godwit__Admin__AdminReply *reply = godwit__admin__admin_reply__unpack(NULL, size, bytes);
	if (!reply)
		return error_set(error, ERR_MALFORMED, "the answer cannot be read");
	int code = reply->code;
	if (code)
		error_set(error, code, "%.250s", reply->reason);
	else if (json && !(*json = strdup(reply->json)))
		code = error_set(error, ERR_NO_MEMORY, "out of memory");
	godwit__admin__admin_reply__free_unpacked(reply, NULL);
	return code;
}

static int admin_exchange(
    void *socket, const char *endpoint, const char *command, const char *argument, char **json, struct error_context *error)
{
	Godwit__Admin__AdminRequest request = GODWIT__ADMIN__ADMIN_REQUEST__INIT;
	request.protocol = PROTOCOL_VERSION;
	request.command = (char *)(uintptr_t)command;
	request.argument = (char *)(uintptr_t)(argument ? argument : "");
	size_t size = godwit__admin__admin_request__get_packed_size(&request);
	uint8_t *packed = size <= REQUEST_SIZE_MAX ? malloc(size) : NULL;
	if (!packed)
		return error_set(error, ERR_USAGE, "the command is too long");
	godwit__admin__admin_request__pack(&request, packed);
	int sent = zmq_send(socket, packed, size, 0);
	free(packed);
	zmq_msg_t message;
	zmq_msg_init(&message);
	int code;
	if (sent < 0 || zmq_msg_recv(&message, socket, 0) < 0)
		code = error_set(error, ERR_UNREACHABLE, "%s: no answer", endpoint);
	else
		code = admin_read_reply(zmq_msg_data(&message), zmq_msg_size(&message), json, error);
	zmq_msg_close(&message);
	return code;
}

int admin_ask(const char *endpoint, const char *command, const char *argument, uint32_t timeout_ms, char **json,
    struct error_context *error)
{
	if (json)
		*json = NULL;
	if (!somebody_listens(endpoint))
		return error_set(error, ERR_UNREACHABLE, "%s: nobody listens there", endpoint);
	void *context = socket_context_new(), *socket = NULL;
	if (!context)
		return error_set(error, ERR_IO, "%s: %s", endpoint, strerror(errno));
	int code = socket_connect(&socket, context, ZMQ_REQ, endpoint, NULL, error);
	if (!code) {
		int timeout = timeout_ms > INT32_MAX ? INT32_MAX : (int)timeout_ms;
		zmq_setsockopt(socket, ZMQ_SNDTIMEO, &timeout, sizeof timeout);
		zmq_setsockopt(socket, ZMQ_RCVTIMEO, &timeout, sizeof timeout);
		code = admin_exchange(socket, endpoint, command, argument, json, error);
	}
	socket_context_free(context);
	return code;
}
