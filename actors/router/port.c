/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/router/port.h"

#include <stdio.h>
#include <string.h>

#include "actors/router/output.h"
#include "actors/router/reads.h"
#include "actors/router/router.h"
#include "runtime/logline.h"
#include "runtime/process.h"
#include "runtime/socket.h"
#include "shm/crash_point.h"

/* An Answers message is sent once it has this size, so that none comes near what a client receives at most. */
#define ANSWERS_SIZE_SENT (1024u * 1024)

struct port {
	struct process process;
	struct reads reads;
	void *clients;
	void *coordinator;
	struct output out; /* the message of Answers being written */
	struct output repacked;
	bool draining;
	const struct rights *rights; /* of the sender of the message that is being taken; NULL: none */
};

static void answers_start(struct port *port)
{
	port->out.size = 0;
	output_reserve(&port->out, ANSWERS_HEADER_SIZE_MAX);
	port->out.size = answers_header_encode(PROTOCOL_VERSION, port->out.bytes);
}

static void answers_send(struct port *port, const struct message *to)
{
	struct counter_block *counters = port->process.counters;
	/* Full or gone: the client asks again. */
	if (socket_send(port->clients, to->identity, to->identity_size, port->out.bytes, port->out.size) < 0)
		counter_add(counters, COUNTER_queue_refused, 1);
	else
		counter_add(counters, COUNTER_bytes_sent, port->out.size);
}

/* Sends what there is once it is large, and goes on with an empty message. */
static void answers_send_when_large(struct port *port, const struct message *to)
{
	if (port->out.size < ANSWERS_SIZE_SENT)
		return;
	answers_send(port, to);
	answers_start(port);
}

static void answer_add(struct port *port, uint64_t number, int code, const char *reason)
{
	struct answer answer = {.number = number, .code = code, .reason = reason ? reason : error_text(code)};
	output_reserve(&port->out, answer_size_max(&answer));
	port->out.size += answer_encode(&answer, port->out.bytes + port->out.size);
}

static void message_refuse(struct port *port, const struct message *message, int code)
{
	counter_add(port->process.counters, COUNTER_frames_refused, 1);
	logline_distinct(LOG_LEVEL_WARN, "request_refused", (uint64_t)-code, "code=%s", error_name(code));
	answers_start(port);
	answer_add(port, 0, code, NULL);
	answers_send(port, message);
}

/* Certain refusals: nothing of this copy was sent on. */
static void forwarded_refuse(
    struct port *port, const struct message *message, struct request request, int code, const char *reason)
{
	struct request_operation operation;
	answers_start(port);
	while (request_next(&request, &operation) == 0) {
		if (!router_is_forwarded(&port->process.topology, &operation) || !router_is_permitted(port->rights, &operation))
			continue;
		answer_add(port, operation.number, code, reason);
		answers_send_when_large(port, message);
		counter_add(port->process.counters, COUNTER_writes_refused, 1);
	}
	answers_send(port, message);
}

static void operations_forward(struct port *port, struct message *message, const struct router_plan *plan)
{
	int code;
	if (port->draining) {
		forwarded_refuse(port, message, plan->request, ERR_DRAINING, NULL);
		return;
	}
	if (!plan->others && !plan->unpermitted) {
		code = socket_forward(port->coordinator, message->identity, message->identity_size, message);
	} else {
		struct request request = plan->request;
		struct request_operation operation;
		struct output *out = &port->repacked;
		out->size = 0;
		output_reserve(out, REQUEST_HEADER_SIZE_MAX);
		out->size = request_header_encode(PROTOCOL_VERSION, request.client_id, out->bytes);
		while (request_next(&request, &operation) == 0) {
			if (!router_is_forwarded(&port->process.topology, &operation) ||
			    !router_is_permitted(port->rights, &operation))
				continue;
			output_reserve(out, operation.whole.size + REQUEST_FIELD_OVERHEAD);
			out->size += request_operation_encode(&operation, out->bytes + out->size);
		}
		code = socket_send(port->coordinator, message->identity, message->identity_size, out->bytes, out->size);
	}
	if (code) {
		counter_add(port->process.counters, COUNTER_queue_refused, 1);
		forwarded_refuse(port, message, plan->request, ERR_OVERLOADED,
		    "the coordinator takes no more at the moment: its queue is full or it is being restarted");
	}
}

static void reads_take(struct port *port, const struct message *message, const struct router_plan *plan)
{
	struct counter_block *counters = port->process.counters;
	struct request request = plan->request;
	struct request_operation operation;
	uint64_t before_ns = clock_read().monotonic_ns;
	answers_start(port);
	while (request_next(&request, &operation) == 0) {
		if (router_is_forwarded(&port->process.topology, &operation) || !router_is_permitted(port->rights, &operation))
			continue;
		reads_answer(&port->reads, &operation, before_ns, &port->out);
		answers_send_when_large(port, message);
		uint64_t after_ns = clock_read().monotonic_ns;
		histogram_add(&counters->histograms[HISTOGRAM_read_us], (after_ns - before_ns) / 1000);
		before_ns = after_ns;
	}
	counter_add(counters, COUNTER_reads, plan->others);
	answers_send(port, message);
}

/* Certain refusals, and a line in the log that names the key. */
static void unpermitted_refuse(struct port *port, const struct message *message, struct request request, const char *user)
{
	struct request_operation operation;
	char reason[200];
	uint32_t count = 0;
	snprintf(reason, sizeof reason, "the key '%.40s' does not have the right to do this in %.60s", user,
	    port->process.region->name);
	answers_start(port);
	while (request_next(&request, &operation) == 0) {
		if (router_is_permitted(port->rights, &operation))
			continue;
		answer_add(port, operation.number, ERR_NOT_PERMITTED, reason);
		answers_send_when_large(port, message);
		count++;
	}
	answers_send(port, message);
	counter_add(port->process.counters, COUNTER_frames_refused, count);
	uint64_t subject = 0;
	memcpy(&subject, user, strnlen(user, sizeof subject));
	logline_distinct(LOG_LEVEL_WARN, "not_permitted", subject, "name=%s operations=%u", user, count);
}

static void message_take(struct port *port, struct message *message, struct clock_now now)
{
	struct router_plan plan;
	const char *user = message_user(message);
	/* Of now, not of the time when the connection was made: a right that was taken away is gone. */
	port->rights = zap_rights(port->process.zap, user, now.monotonic_ns);
	router_plan(
	    &plan, &port->process.topology, port->rights, message_bytes(message), message_size(message), PROTOCOL_VERSION);
	if (plan.code) {
		message_refuse(port, message, plan.code);
		return;
	}
	if (plan.unpermitted)
		unpermitted_refuse(port, message, plan.request, user ? user : "");
	/* Reads first: forwarding gives the message away. */
	if (plan.others)
		reads_take(port, message, &plan);
	if (plan.forwarded) {
		operations_forward(port, message, &plan);
		CRASH_POINT(write_forwarded);
	}
}

static uint32_t clients_drain(void *self, struct clock_now now, uint32_t limit)
{
	struct port *port = self;
	struct counter_block *counters = port->process.counters;
	uint32_t handled = 0;
	for (; handled < limit; handled++) {
		struct message message;
		int code = socket_receive(port->clients, &message, false);
		if (code == ERR_MALFORMED) {
			counter_add(counters, COUNTER_frames_refused, 1);
			logline_distinct(LOG_LEVEL_WARN, "request_refused", 0, "code=MALFORMED reason=\"not one frame\"");
			continue;
		}
		if (code)
			break;
		counter_add(counters, COUNTER_bytes_received, message_size(&message));
		message_take(port, &message, now);
		message_close(&message);
	}
	reads_end(&port->reads);
	return handled;
}

static uint32_t coordinator_drain(void *self, struct clock_now now, uint32_t limit)
{
	struct port *port = self;
	struct counter_block *counters = port->process.counters;
	uint32_t handled = 0;
	(void)now;
	for (; handled < limit; handled++) {
		struct message message;
		int code = socket_receive(port->coordinator, &message, true);
		if (code == ERR_MALFORMED)
			continue;
		if (code)
			break;
		size_t size = message_size(&message);
		CRASH_POINT(answer_unsent);
		if (socket_forward(port->clients, message.identity, message.identity_size, &message) < 0)
			counter_add(counters, COUNTER_queue_refused, 1);
		else
			counter_add(counters, COUNTER_bytes_sent, size);
		message_close(&message);
	}
	return handled;
}

static int port_command(void *self, const char *command, const char *argument, struct text *out, struct error_context *error)
{
	struct port *port = self;
	(void)argument;
	(void)error;
	if (strcmp(command, "drain") && strcmp(command, "undrain"))
		return ERR_UNSUPPORTED;
	port->draining = command[0] == 'd';
	text_add(out, "{\"draining\": %s}", port->draining ? "true" : "false");
	return 0;
}

static int port_start(struct port *port, struct error_context *error)
{
	struct process *p = &port->process;
	char endpoint[256];
	struct socket_options options = {.own = &p->keys};
	reads_init(&port->reads, &p->topology, p->region, p->shm.layout, p->region_dir);
	int code = process_serve_curve(p, true, error);
	if (code)
		return code;
	process_ipc(p, "coordinator.ipc", endpoint);
	struct socket_options local = {.reconnect_max_ms = 100};
	code = socket_connect(&port->coordinator, p->context, ZMQ_DEALER, endpoint, &local, error);
	if (code)
		return code;
	code = process_listens(p, SERVICE_CLIENT, endpoint, error);
	if (code)
		return code;
	code = socket_bind(&port->clients, p->context, ZMQ_ROUTER, endpoint, &options, error);
	/* Answers before requests: what is done leaves before more is taken in. */
	if (!code)
		code = loop_add_socket(p->loop, port->coordinator, coordinator_drain, port);
	if (!code)
		code = loop_add_socket(p->loop, port->clients, clients_drain, port);
	if (code && !error->text[0])
		error_set(error, code, "starting the router's loop");
	return code;
}

int router_main(int argc, char **argv)
{
	static struct port port;
	const struct loop_actor actor = {.self = &port};
	int exit_code = process_start(&port.process, ACTOR_ROUTER, NULL, NULL, argc, argv, &actor, port_command);
	if (exit_code)
		return exit_code < 0 ? 0 : exit_code;
	struct error_context error = {0};
	int code = port_start(&port, &error);
	if (code)
		return process_fail(&port.process, code, &error);
	process_ready(&port.process);
	exit_code = process_run(&port.process);
	reads_deinit(&port.reads);
	output_deinit(&port.out);
	output_deinit(&port.repacked);
	return exit_code;
}
