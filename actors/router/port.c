/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/router/port.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/router/clients.h"
#include "actors/router/output.h"
#include "actors/router/reads.h"
#include "actors/router/router.h"
#include "runtime/lend.h"
#include "runtime/logline.h"
#include "runtime/process.h"
#include "runtime/socket.h"
#include "shm/crash_point.h"

/* An Answers message is sent once it has this size, so that none comes near what a client receives at most. */
#define ANSWERS_SIZE_SENT (1024u * 1024)
_Static_assert(ANSWERS_SIZE_SENT + READS_ANSWER_SIZE_MAX <= CLIENTS_ANSWER_MAX, "but for one large row");
/* Questions are worked on for so long before the sockets are looked at again. */
#define TURN_NS 2000000ull
/* A client that waits for a long answer hears so often that it is being worked on, so that it does not ask again (libgodwit
 * does after 500 ms of silence); and whoever is gone is found out. */
#define TELL_EVERY_NS 200000000ull
#define TELL_AFTER_NS 300000000ull
/* libzmq does not say that a message has left the queue: who is stalled is looked at so often. */
#define STALL_LOOK_NS 5000000ull
/* Requests on their way to the coordinator. */
#define FORWARDED_MAX      (64u * 1024 * 1024)
#define RECEIVE_HIGH_WATER 16u /* messages of up to MESSAGE_SIZE_MAX, a client */
#define MMAP_THRESHOLD     (128 * 1024)

struct port {
	struct process process;
	struct reads reads;
	struct clients clients;
	struct lender lender, to_coordinator;
	uint64_t forwarded_bytes; /* lent to the coordinator's socket */
	uint64_t told_ns;
	void *socket; /* of the clients */
	void *coordinator;
	struct output out; /* the message of Answers being written */
	size_t header_size; /* of what lies in `out` */
	struct output repacked;
	struct work *spare; /* what the next message is received into */
	bool draining;
	const struct rights *rights; /* of the sender of the message that is being taken; NULL: none */
};

/* A message with questions that are answered here. */
struct work {
	struct clients_work queue; /* first */
	struct message message;
	struct request request; /* stands before the next operation */
	struct request_operation operation;
	struct reads_question *question;
	struct rights rights;           /* of the sender, when it came */
	bool has_operation;             /* `operation` is not yet answered */
	uint64_t asked_low, asked_high; /* numbers that waited already when this came: it repeats them */
};

static void answers_start(struct port *port)
{
	port->out.size = 0;
	output_reserve(&port->out, ANSWERS_HEADER_SIZE_MAX);
	port->out.size = port->header_size = answers_header_encode(PROTOCOL_VERSION, port->out.bytes);
}

static void work_free(struct port *port, struct work *work)
{
	reads_give_up(&port->reads, work->question);
	message_close(&work->message);
	free(work);
}

/* Its connection is gone. */
static void client_drop(struct port *port, struct client *client)
{
	bool held = client->has_reservation;
	struct clients_work *work;
	while ((work = clients_pop(&port->clients, client))) {
		held |= ((struct work *)work)->question != NULL;
		work_free(port, (struct work *)work);
	}
	clients_remove(&port->clients, client);
	if (held)
		clients_place_freed(&port->clients);
}

/* Sends what is in `out`. The client may be one without anything to do afterwards. */
static int answers_send_to(struct port *port, struct client *client)
{
	struct counter_block *counters = port->process.counters;
	uint32_t owner = clients_index(&port->clients, client);
	uint8_t marker[ANSWERS_HEADER_SIZE_MAX];
	int code = lend_bytes(&port->lender, port->socket, client->identity, client->identity_size, port->out.bytes,
	    port->out.size, owner, client->generation);
	if (code) {
		counter_add(counters, COUNTER_queue_refused, 1);
		return code;
	}
	clients_sent(&port->clients, client, port->out.size);
	counter_add(counters, COUNTER_bytes_sent, port->out.size);
	/* When this one comes back, the large one before it has left the encoder. */
	size_t size = port->out.size > CLIENTS_SMALL ? answers_header_encode(PROTOCOL_VERSION, marker) : 0;
	if (size && lend_bytes(&port->lender, port->socket, client->identity, client->identity_size, marker, size, owner,
	                client->generation) == 0)
		clients_sent(&port->clients, client, size);
	return 0;
}

/* Of a message that is answered at once. */
static void answers_send(struct port *port, const struct message *to)
{
	struct client *client = clients_find(&port->clients, to->identity, to->identity_size, true);
	bool may = client && clients_may_pass(&port->clients, client, port->out.size);
	/* Beyond that a client is told nothing more: it asks again, or its connection is closed. */
	if (!may)
		counter_add(port->process.counters, COUNTER_queue_refused, 1);
	else
		(void)answers_send_to(port, client);
	if (client)
		clients_release(&port->clients, client);
}

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

/* Certain refusals of those that are forwarded, or of those that are not: nothing of this copy was sent on. */
static void operations_refuse(
    struct port *port, const struct message *message, struct request request, bool forwarded, int code, const char *reason)
{
	struct request_operation operation;
	answers_start(port);
	while (request_next(&request, &operation) == 0) {
		if (router_is_forwarded(&port->process.topology, &operation) != forwarded ||
		    !router_is_permitted(port->rights, &operation))
			continue;
		answer_add(port, operation.number, code, reason);
		answers_send_when_large(port, message);
		counter_add(port->process.counters, forwarded ? COUNTER_writes_refused : COUNTER_queue_refused, 1);
	}
	answers_send(port, message);
}

static void forwarded_given_back(void *self, uint32_t owner, uint32_t tag, size_t size)
{
	struct port *port = self;
	(void)owner;
	(void)tag;
	port->forwarded_bytes -= size;
}

/* A message without questions is given away as it is; of another, the operations are copied. */
static int request_send(struct port *port, struct message *message, const struct router_plan *plan)
{
	struct request request = plan->request;
	struct request_operation operation;
	struct output *out = &port->repacked;
	size_t size = message_size(message);
	lend_collect(&port->to_coordinator, forwarded_given_back, port);
	if (port->forwarded_bytes + size > FORWARDED_MAX)
		return ERR_OVERLOADED;
	int code;
	if (!plan->others && !plan->unpermitted) {
		code = lend_message(
		    &port->to_coordinator, port->coordinator, message->identity, message->identity_size, message, 0, 0);
	} else {
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
		size = out->size;
		code = lend_bytes(&port->to_coordinator, port->coordinator, message->identity, message->identity_size,
		    out->bytes, size, 0, 0);
	}
	if (!code)
		port->forwarded_bytes += size;
	return code;
}

static void operations_forward(struct port *port, struct message *message, const struct router_plan *plan)
{
	if (port->draining) {
		operations_refuse(port, message, plan->request, true, ERR_DRAINING, NULL);
		return;
	}
	struct client *client = clients_find(&port->clients, message->identity, message->identity_size, false);
	if (client && clients_leave(&port->clients, client) == CLIENTS_LEAVE_NONE) {
		operations_refuse(
		    port, message, plan->request, true, ERR_OVERLOADED, "this client does not take the answers that it has");
		return;
	}
	if (request_send(port, message, plan)) {
		counter_add(port->process.counters, COUNTER_queue_refused, 1);
		operations_refuse(port, message, plan->request, true, ERR_OVERLOADED,
		    "the coordinator takes no more at the moment: its queue is full or it is being restarted");
	}
}

/* The number of the client's oldest question without an answer, 0 when there is none. */
static uint64_t oldest_number(const struct port *port, const struct client *client)
{
	const struct work *work = (const struct work *)client->first;
	if (!work || work->has_operation)
		return work ? work->operation.number : 0;
	struct request request = work->request;
	struct request_operation operation;
	while (request_next(&request, &operation) == 0)
		if (!router_is_forwarded(&port->process.topology, &operation) && router_is_permitted(&work->rights, &operation))
			return operation.number;
	return 0;
}

/* Takes the work over. */
static void questions_take(struct port *port, struct work *work, const struct router_plan *plan)
{
	const struct message *message = &work->message;
	struct client *client = clients_find(&port->clients, message->identity, message->identity_size, true);
	work->queue.size = sizeof *work + message_size(&work->message);
	if (!client || !clients_admit(&port->clients, client, work->queue.size)) {
		operations_refuse(port, message, plan->request, false, ERR_OVERLOADED, "too many questions wait for an answer");
		if (client)
			clients_release(&port->clients, client);
		work_free(port, work);
		return;
	}
	work->request = plan->request;
	work->rights = port->rights ? *port->rights : (struct rights){0};
	work->asked_low = oldest_number(port, client);
	work->asked_high = work->asked_low ? client->number_max : 0;
	if (!client->first)
		client->told_ns = clock_read().monotonic_ns;
	clients_push(&port->clients, client, &work->queue);
	if (plan->others_number_max > client->number_max)
		client->number_max = plan->others_number_max;
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
	logline_distinct(LOG_LEVEL_WARN, "not_permitted", logline_subject(user), "name=%s operations=%u", user, count);
}

static void message_take(struct port *port, struct work *work, struct clock_now now)
{
	struct router_plan plan;
	struct message *message = &work->message;
	const char *user = message_user(message);
	/* Of now, not of the time when the connection was made: a right that was taken away is gone. */
	port->rights = zap_rights(port->process.zap, user, now.monotonic_ns);
	router_plan(
	    &plan, &port->process.topology, port->rights, message_bytes(message), message_size(message), PROTOCOL_VERSION);
	if (plan.code)
		message_refuse(port, message, plan.code);
	if (!plan.code && plan.unpermitted)
		unpermitted_refuse(port, message, plan.request, user ? user : "");
	/* Writes do not wait behind the questions that came before: nobody was promised an order among what has no answer yet.
	 */
	if (!plan.code && plan.forwarded) {
		operations_forward(port, message, &plan);
		CRASH_POINT(write_forwarded);
	}
	if (!plan.code && plan.others)
		questions_take(port, work, &plan);
	else
		work_free(port, work);
}

/* ---- work on questions ---- */

enum step { STEP_ON, STEP_LEFT };

/* One operation, or a part of it. STEP_LEFT: the client does not go on in this turn. */
static enum step question_step(struct port *port, struct client *client, struct work *work, uint64_t now_ns, uint64_t until_ns)
{
	enum clients_leave leave = clients_leave(&port->clients, client);
	uint32_t kind = work->operation.kind;
	enum clients_leave needs = kind == ROUTER_SCAN || kind == ROUTER_BUCKET ? CLIENTS_LEAVE_ANY : CLIENTS_LEAVE_SMALL;
	if (leave < needs) {
		/* Whoever does not take his answers holds no rows; a long question begins again. */
		if (work->question)
			clients_place_freed(&port->clients);
		reads_give_up(&port->reads, work->question);
		work->question = NULL;
		clients_stall(&port->clients, client, needs);
		return STEP_LEFT;
	}
	size_t size_before = port->out.size;
	bool had_question = work->question != NULL;
	bool may_hold =
	    client->has_reservation || port->reads.question_count + port->clients.reservations < READS_QUESTIONS_MAX;
	switch (reads_answer(&port->reads, &work->operation, now_ns, until_ns, may_hold, &work->question, &port->out)) {
	case READS_CUT:
		clients_reservation_end(&port->clients, client);
		return STEP_LEFT;
	case READS_NO_PLACE:
		clients_wait(&port->clients, client);
		return STEP_LEFT;
	case READS_ANSWERED:
		break;
	}
	if (had_question)
		clients_place_freed(&port->clients);
	if (leave == CLIENTS_LEAVE_SMALL && port->out.size - size_before > CLIENTS_SMALL) {
		port->out.size = size_before;
		clients_stall(&port->clients, client, CLIENTS_LEAVE_ANY);
		return STEP_LEFT;
	}
	work->has_operation = false;
	counter_add(port->process.counters, COUNTER_reads, 1);
	return STEP_ON;
}

/* The next operation of the client's first message that is to be answered here. False when that has no more. */
static bool operation_next(const struct port *port, struct work *work)
{
	while (!work->has_operation && request_next(&work->request, &work->operation) == 0) {
		uint64_t number = work->operation.number;
		bool is_repeat = work->asked_low && number >= work->asked_low && number <= work->asked_high;
		work->has_operation = !is_repeat && !router_is_forwarded(&port->process.topology, &work->operation) &&
		                      router_is_permitted(&work->rights, &work->operation);
	}
	return work->has_operation;
}

static bool answers_flush(struct port *port, struct client *client)
{
	bool gone = false;
	if (port->out.size > port->header_size) { /* an answer may be as short as its number */
		gone = answers_send_to(port, client) == ERR_UNREACHABLE;
		client->told_ns = clock_read().monotonic_ns;
	}
	answers_start(port);
	return !gone;
}

/* One client's turn. */
static void client_turn(struct port *port, struct client *client, uint64_t slice_ns)
{
	struct histogram_block *histogram = &port->process.counters->histograms[HISTOGRAM_read_us];
	uint64_t start_ns = clock_read().monotonic_ns, now_ns = start_ns, until_ns = start_ns + slice_ns;
	enum step step = STEP_ON;
	bool there = true;
	answers_start(port);
	while (there && step == STEP_ON && client->first && now_ns < until_ns) {
		struct work *work = (struct work *)client->first;
		if (!operation_next(port, work)) {
			work_free(port, (struct work *)clients_pop(&port->clients, client));
		} else {
			step = question_step(port, client, work, now_ns, until_ns);
			if (port->out.size >= ANSWERS_SIZE_SENT)
				there = answers_flush(port, client);
			uint64_t before_ns = now_ns;
			now_ns = clock_read().monotonic_ns;
			histogram_add(histogram, (now_ns - before_ns) / 1000);
		}
	}
	there = there && answers_flush(port, client);
	clients_charge(&port->clients, client, now_ns - start_ns);
	/* A reservation that was not needed after all. */
	if (client->has_reservation && step == STEP_ON) {
		clients_reservation_end(&port->clients, client);
		clients_place_freed(&port->clients);
	}
	if (!there)
		client_drop(port, client);
}

static void client_given_back(void *self, uint32_t owner, uint32_t tag, size_t size)
{
	struct port *port = self;
	struct client *client = clients_at(&port->clients, owner, tag);
	if (!client)
		return;
	clients_given_back(&port->clients, client, size);
	clients_release(&port->clients, client);
}

static void clients_tell(struct port *port, enum client_place place, uint64_t now_ns)
{
	for (uint32_t i = port->clients.lists[place].first; i != CLIENTS_NONE;) {
		struct client *client = &port->clients.entries[i];
		i = client->behind;
		if (!client->first || now_ns - client->told_ns < TELL_AFTER_NS)
			continue;
		client->told_ns = now_ns;
		answers_start(port);
		if (answers_send_to(port, client) == ERR_UNREACHABLE)
			client_drop(port, client);
	}
}

static void port_tick(void *self, struct clock_now now)
{
	struct port *port = self;
	struct client *client;
	uint64_t slice_ns, end_ns = clock_read().monotonic_ns + TURN_NS;
	lend_collect(&port->lender, client_given_back, port);
	lend_collect(&port->to_coordinator, forwarded_given_back, port);
	clients_unstall(&port->clients);
	while ((client = clients_next(&port->clients, &slice_ns))) {
		client_turn(port, client, slice_ns);
		if (clock_read().monotonic_ns >= end_ns)
			break;
	}
	if (now.monotonic_ns >= port->told_ns + TELL_EVERY_NS) {
		port->told_ns = now.monotonic_ns;
		clients_tell(port, CLIENT_NEW, now.monotonic_ns);
		clients_tell(port, CLIENT_OLD, now.monotonic_ns);
		clients_tell(port, CLIENT_WAITING, now.monotonic_ns);
	}
	reads_end(&port->reads);
	counter_set(port->process.counters, COUNTER_memory_bytes,
	    port->clients.unsent_bytes + port->clients.queued_bytes + port->forwarded_bytes);
}

static bool port_has_work(void *self)
{
	struct port *port = self;
	return clients_have_work(&port->clients);
}

static uint64_t port_deadline_ns(void *self)
{
	struct port *port = self;
	if (!port->clients.lists[CLIENT_STALLED].count)
		return LOOP_NEVER;
	return clock_read().monotonic_ns + STALL_LOOK_NS;
}

/* ---- sockets ---- */

static uint32_t clients_drain(void *self, struct clock_now now, uint32_t limit)
{
	struct port *port = self;
	struct counter_block *counters = port->process.counters;
	uint32_t handled = 0;
	for (; handled < limit; handled++) {
		if (!port->spare && !(port->spare = malloc(sizeof *port->spare)))
			break;
		*port->spare = (struct work){0};
		int code = socket_receive(port->socket, &port->spare->message, false);
		if (code == ERR_MALFORMED) {
			counter_add(counters, COUNTER_frames_refused, 1);
			logline_distinct(LOG_LEVEL_WARN, "request_refused", 0, "code=MALFORMED reason=\"not one frame\"");
			continue;
		}
		if (code)
			break;
		struct work *work = port->spare;
		port->spare = NULL;
		counter_add(counters, COUNTER_bytes_received, message_size(&work->message));
		message_take(port, work, now);
	}
	return handled;
}

/* What cannot be passed on is dropped: the client asks again, and is answered from the coordinator's memory. */
static void answer_pass(struct port *port, struct message *message)
{
	struct counter_block *counters = port->process.counters;
	struct client *client = clients_find(&port->clients, message->identity, message->identity_size, true);
	size_t size = message_size(message);
	int code = !client || !clients_may_pass(&port->clients, client, size)
	               ? ERR_OVERLOADED
	               : lend_message(&port->lender, port->socket, message->identity, message->identity_size, message,
	                     clients_index(&port->clients, client), client->generation);
	if (code) {
		counter_add(counters, COUNTER_queue_refused, 1);
	} else {
		clients_sent(&port->clients, client, size);
		counter_add(counters, COUNTER_bytes_sent, size);
	}
	if (!code && size > CLIENTS_SMALL) {
		answers_start(port);
		(void)answers_send_to(port, client);
	}
	if (client)
		clients_release(&port->clients, client);
}

static uint32_t coordinator_drain(void *self, struct clock_now now, uint32_t limit)
{
	struct port *port = self;
	uint32_t handled = 0;
	(void)now;
	for (; handled < limit; handled++) {
		struct message message;
		int code = socket_receive(port->coordinator, &message, true);
		if (code == ERR_MALFORMED)
			continue;
		if (code)
			break;
		CRASH_POINT(answer_unsent);
		answer_pass(port, &message);
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
	struct socket_options options = {.own = &p->keys, .receive_high_water = RECEIVE_HIGH_WATER};
	if (clients_init(&port->clients))
		return error_set(error, ERR_NO_MEMORY, "memory for the clients' table");
	/* Large messages are pages of their own, and go back to the system with their answer. */
	mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD);
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
	code = socket_bind(&port->socket, p->context, ZMQ_ROUTER, endpoint, &options, error);
	/* Answers before requests: what is done leaves before more is taken in. */
	if (!code)
		code = loop_add_socket(p->loop, port->coordinator, coordinator_drain, port);
	if (!code)
		code = loop_add_socket(p->loop, port->socket, clients_drain, port);
	if (code && !error->text[0])
		error_set(error, code, "starting the router's loop");
	return code;
}

/* After the sockets were closed, which gives back all that was lent. */
static void port_stop(struct port *port)
{
	lend_collect(&port->lender, NULL, NULL);
	lend_collect(&port->to_coordinator, NULL, NULL);
	for (uint32_t i = 0; i < CLIENTS_MAX; i++) {
		struct client *client = &port->clients.entries[i];
		struct clients_work *work;
		while ((work = client->place == CLIENT_FREE ? NULL : clients_pop(&port->clients, client)))
			work_free(port, (struct work *)work);
	}
	clients_deinit(&port->clients);
	free(port->spare);
}

int router_main(int argc, char **argv)
{
	static struct port port;
	const struct loop_actor actor = {
	    .self = &port, .tick = port_tick, .has_work = port_has_work, .deadline_ns = port_deadline_ns};
	int exit_code = process_start(&port.process, ACTOR_ROUTER, NULL, NULL, argc, argv, &actor, port_command);
	if (exit_code)
		return exit_code < 0 ? 0 : exit_code;
	struct error_context error = {0};
	int code = port_start(&port, &error);
	if (code)
		return process_fail(&port.process, code, &error);
	process_ready(&port.process);
	exit_code = process_run(&port.process);
	port_stop(&port);
	reads_deinit(&port.reads);
	output_deinit(&port.out);
	output_deinit(&port.repacked);
	return exit_code;
}
