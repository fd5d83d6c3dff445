/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/router/io.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/router/clients.h"
#include "actors/router/output.h"
#include "actors/router/reads.h"
#include "actors/router/router.h"
#include "base/crash_point.h"
#include "runtime/lend.h"
#include "runtime/logline.h"
#include "runtime/process.h"
#include "runtime/socket.h"

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

struct router_io {
	struct process process;
	struct reads reads;
	struct clients clients;
	struct lender lender, to_coordinator;
	uint64_t forwarded_bytes; /* lent to the coordinator's socket */
	uint64_t told_ns;
	void *socket; /* of the clients */
	void *coordinator;
	struct output out;  /* the message of Answers being written */
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

static void answers_start(struct router_io *io)
{
	io->out.size = 0;
	output_reserve(&io->out, ANSWERS_HEADER_SIZE_MAX);
	io->out.size = io->header_size = answers_header_encode(PROTOCOL_VERSION, io->out.bytes);
}

static void work_free(struct router_io *io, struct work *work)
{
	reads_give_up(&io->reads, work->question);
	message_close(&work->message);
	free(work);
}

/* Its connection is gone. */
static void client_drop(struct router_io *io, struct client *client)
{
	bool held = client->has_reservation;
	struct clients_work *work;
	while ((work = clients_pop(&io->clients, client))) {
		held |= ((struct work *)work)->question != NULL;
		work_free(io, (struct work *)work);
	}
	clients_remove(&io->clients, client);
	if (held)
		clients_place_freed(&io->clients);
}

/* Sends what is in `out`. The client may be one without anything to do afterwards. */
static int answers_send_to(struct router_io *io, struct client *client)
{
	struct counter_block *counters = io->process.counters;
	uint32_t owner = clients_index(&io->clients, client);
	uint8_t marker[ANSWERS_HEADER_SIZE_MAX];
	int code = lend_bytes(&io->lender, io->socket, client->identity, client->identity_size, io->out.bytes, io->out.size,
	    owner, client->generation);
	if (code) {
		counter_add(counters, COUNTER_queue_refused, 1);
		return code;
	}
	clients_sent(&io->clients, client, io->out.size);
	counter_add(counters, COUNTER_bytes_sent, io->out.size);
	/* When this one comes back, the large one before it has left the encoder. */
	size_t size = io->out.size > CLIENTS_SMALL ? answers_header_encode(PROTOCOL_VERSION, marker) : 0;
	if (size && lend_bytes(&io->lender, io->socket, client->identity, client->identity_size, marker, size, owner,
	                client->generation) == 0)
		clients_sent(&io->clients, client, size);
	return 0;
}

/* Of a message that is answered at once. */
static void answers_send(struct router_io *io, const struct message *to)
{
	struct client *client = clients_find(&io->clients, to->identity, to->identity_size, true);
	bool may = client && clients_may_pass(&io->clients, client, io->out.size);
	/* Beyond that a client is told nothing more: it asks again, or its connection is closed. */
	if (!may)
		counter_add(io->process.counters, COUNTER_queue_refused, 1);
	else
		(void)answers_send_to(io, client);
	if (client)
		clients_release(&io->clients, client);
}

static void answers_send_when_large(struct router_io *io, const struct message *to)
{
	if (io->out.size < ANSWERS_SIZE_SENT)
		return;
	answers_send(io, to);
	answers_start(io);
}

static void answer_add(struct router_io *io, uint64_t number, int code, const char *reason)
{
	struct answer answer = {.number = number, .code = code, .reason = reason ? reason : error_text(code)};
	output_reserve(&io->out, answer_size_max(&answer));
	io->out.size += answer_encode(&answer, io->out.bytes + io->out.size);
}

static void message_refuse(struct router_io *io, const struct message *message, int code)
{
	counter_add(io->process.counters, COUNTER_frames_refused, 1);
	logline_distinct(LOG_LEVEL_WARN, "request_refused", (uint64_t)-code, "code=%s", error_name(code));
	answers_start(io);
	answer_add(io, 0, code, NULL);
	answers_send(io, message);
}

/* Certain refusals of those that are forwarded, or of those that are not: nothing of this copy was sent on. */
static void operations_refuse(
    struct router_io *io, const struct message *message, struct request request, bool forwarded, int code, const char *reason)
{
	struct request_operation operation;
	answers_start(io);
	while (request_next(&request, &operation) == 0) {
		if (router_is_forwarded(&io->process.topology, &operation) != forwarded ||
		    !router_is_permitted(io->rights, &operation))
			continue;
		answer_add(io, operation.number, code, reason);
		answers_send_when_large(io, message);
		counter_add(io->process.counters, forwarded ? COUNTER_writes_refused : COUNTER_queue_refused, 1);
	}
	answers_send(io, message);
}

static void forwarded_given_back(void *self, uint32_t owner, uint32_t tag, size_t size)
{
	struct router_io *io = self;
	(void)owner;
	(void)tag;
	io->forwarded_bytes -= size;
}

/* A message without questions is given away as it is; of another, the operations are copied. */
static int request_send(struct router_io *io, struct message *message, const struct router_plan *plan)
{
	struct request request = plan->request;
	struct request_operation operation;
	struct output *out = &io->repacked;
	size_t size = message_size(message);
	lend_collect(&io->to_coordinator, forwarded_given_back, io);
	if (io->forwarded_bytes + size > FORWARDED_MAX)
		return ERR_OVERLOADED;
	int code;
	if (!plan->others && !plan->unpermitted) {
		code = lend_message(
		    &io->to_coordinator, io->coordinator, message->identity, message->identity_size, message, 0, 0);
	} else {
		out->size = 0;
		output_reserve(out, REQUEST_HEADER_SIZE_MAX);
		out->size = request_header_encode(PROTOCOL_VERSION, request.client_id, out->bytes);
		while (request_next(&request, &operation) == 0) {
			if (!router_is_forwarded(&io->process.topology, &operation) ||
			    !router_is_permitted(io->rights, &operation))
				continue;
			output_reserve(out, operation.whole.size + REQUEST_FIELD_OVERHEAD);
			out->size += request_operation_encode(&operation, out->bytes + out->size);
		}
		size = out->size;
		code = lend_bytes(
		    &io->to_coordinator, io->coordinator, message->identity, message->identity_size, out->bytes, size, 0, 0);
	}
	if (!code)
		io->forwarded_bytes += size;
	return code;
}

static void operations_forward(struct router_io *io, struct message *message, const struct router_plan *plan)
{
	if (io->draining) {
		operations_refuse(io, message, plan->request, true, ERR_DRAINING, NULL);
		return;
	}
	struct client *client = clients_find(&io->clients, message->identity, message->identity_size, false);
	if (client && clients_leave(&io->clients, client) == CLIENTS_LEAVE_NONE) {
		operations_refuse(
		    io, message, plan->request, true, ERR_OVERLOADED, "this client does not take the answers that it has");
		return;
	}
	if (request_send(io, message, plan)) {
		counter_add(io->process.counters, COUNTER_queue_refused, 1);
		operations_refuse(io, message, plan->request, true, ERR_OVERLOADED,
		    "the coordinator takes no more at the moment: its queue is full or it is being restarted");
	}
}

/* The number of the client's oldest question without an answer, 0 when there is none. */
static uint64_t oldest_number(const struct router_io *io, const struct client *client)
{
	const struct work *work = (const struct work *)client->first;
	if (!work || work->has_operation)
		return work ? work->operation.number : 0;
	struct request request = work->request;
	struct request_operation operation;
	while (request_next(&request, &operation) == 0)
		if (!router_is_forwarded(&io->process.topology, &operation) && router_is_permitted(&work->rights, &operation))
			return operation.number;
	return 0;
}

/* Takes the work over. */
static void questions_take(struct router_io *io, struct work *work, const struct router_plan *plan)
{
	const struct message *message = &work->message;
	struct client *client = clients_find(&io->clients, message->identity, message->identity_size, true);
	work->queue.size = sizeof *work + message_size(&work->message);
	if (!client || !clients_admit(&io->clients, client, work->queue.size)) {
		operations_refuse(io, message, plan->request, false, ERR_OVERLOADED, "too many questions wait for an answer");
		if (client)
			clients_release(&io->clients, client);
		work_free(io, work);
		return;
	}
	work->request = plan->request;
	work->rights = io->rights ? *io->rights : (struct rights){0};
	work->asked_low = oldest_number(io, client);
	work->asked_high = work->asked_low ? client->number_max : 0;
	if (!client->first)
		client->told_ns = clock_read().monotonic_ns;
	clients_push(&io->clients, client, &work->queue);
	if (plan->others_number_max > client->number_max)
		client->number_max = plan->others_number_max;
}

/* Certain refusals, and a line in the log that names the key. */
static void unpermitted_refuse(struct router_io *io, const struct message *message, struct request request, const char *user)
{
	struct request_operation operation;
	char reason[200];
	uint32_t count = 0;
	snprintf(reason, sizeof reason, "the key '%.40s' does not have the right to do this in %.60s", user,
	    io->process.region->name);
	answers_start(io);
	while (request_next(&request, &operation) == 0) {
		if (router_is_permitted(io->rights, &operation))
			continue;
		answer_add(io, operation.number, ERR_NOT_PERMITTED, reason);
		answers_send_when_large(io, message);
		count++;
	}
	answers_send(io, message);
	counter_add(io->process.counters, COUNTER_frames_refused, count);
	logline_distinct(LOG_LEVEL_WARN, "not_permitted", logline_subject(user), "name=%s operations=%u", user, count);
}

static void message_take(struct router_io *io, struct work *work, struct clock_now now)
{
	struct router_plan plan;
	struct message *message = &work->message;
	const char *user = message_user(message);
	/* Of now, not of the time when the connection was made: a right that was taken away is gone. */
	io->rights = zap_rights(io->process.zap, user, now.monotonic_ns);
	router_plan(&plan, &io->process.topology, io->rights, message_bytes(message), message_size(message), PROTOCOL_VERSION);
	if (plan.code)
		message_refuse(io, message, plan.code);
	if (!plan.code && plan.unpermitted)
		unpermitted_refuse(io, message, plan.request, user ? user : "");
	/* Writes do not wait behind the questions that came before: nobody was promised an order among what has no answer yet.
	 */
	if (!plan.code && plan.forwarded) {
		operations_forward(io, message, &plan);
		CRASH_POINT(write_forwarded);
	}
	if (!plan.code && plan.others)
		questions_take(io, work, &plan);
	else
		work_free(io, work);
}

/* ---- work on questions ---- */

enum step { STEP_ON, STEP_LEFT };

/* One operation, or a part of it. STEP_LEFT: the client does not go on in this turn. */
static enum step question_step(
    struct router_io *io, struct client *client, struct work *work, uint64_t now_ns, uint64_t until_ns)
{
	enum clients_leave leave = clients_leave(&io->clients, client);
	uint32_t kind = work->operation.kind;
	enum clients_leave needs = kind == ROUTER_SCAN || kind == ROUTER_BUCKET ? CLIENTS_LEAVE_ANY : CLIENTS_LEAVE_SMALL;
	if (leave < needs) {
		/* Whoever does not take his answers holds no rows; a long question begins again. */
		if (work->question)
			clients_place_freed(&io->clients);
		reads_give_up(&io->reads, work->question);
		work->question = NULL;
		clients_stall(&io->clients, client, needs);
		return STEP_LEFT;
	}
	size_t size_before = io->out.size;
	bool had_question = work->question != NULL;
	bool may_hold = client->has_reservation || io->reads.question_count + io->clients.reservations < READS_QUESTIONS_MAX;
	switch (reads_answer(&io->reads, &work->operation, now_ns, until_ns, may_hold, &work->question, &io->out)) {
	case READS_CUT:
		clients_reservation_end(&io->clients, client);
		return STEP_LEFT;
	case READS_NO_PLACE:
		clients_wait(&io->clients, client);
		return STEP_LEFT;
	case READS_ANSWERED:
		break;
	}
	if (had_question)
		clients_place_freed(&io->clients);
	if (leave == CLIENTS_LEAVE_SMALL && io->out.size - size_before > CLIENTS_SMALL) {
		io->out.size = size_before;
		clients_stall(&io->clients, client, CLIENTS_LEAVE_ANY);
		return STEP_LEFT;
	}
	work->has_operation = false;
	counter_add(io->process.counters, COUNTER_reads, 1);
	return STEP_ON;
}

/* The next operation of the client's first message that is to be answered here. False when that has no more. */
static bool operation_next(const struct router_io *io, struct work *work)
{
	while (!work->has_operation && request_next(&work->request, &work->operation) == 0) {
		uint64_t number = work->operation.number;
		bool is_repeat = work->asked_low && number >= work->asked_low && number <= work->asked_high;
		work->has_operation = !is_repeat && !router_is_forwarded(&io->process.topology, &work->operation) &&
		                      router_is_permitted(&work->rights, &work->operation);
	}
	return work->has_operation;
}

static bool answers_flush(struct router_io *io, struct client *client)
{
	bool gone = false;
	if (io->out.size > io->header_size) { /* an answer may be as short as its number */
		gone = answers_send_to(io, client) == ERR_UNREACHABLE;
		client->told_ns = clock_read().monotonic_ns;
	}
	answers_start(io);
	return !gone;
}

/* One client's turn. */
static void client_turn(struct router_io *io, struct client *client, uint64_t slice_ns)
{
	struct histogram_block *histogram = &io->process.counters->histograms[HISTOGRAM_read_us];
	uint64_t start_ns = clock_read().monotonic_ns, now_ns = start_ns, until_ns = start_ns + slice_ns;
	enum step step = STEP_ON;
	bool there = true;
	answers_start(io);
	while (there && step == STEP_ON && client->first && now_ns < until_ns) {
		struct work *work = (struct work *)client->first;
		if (!operation_next(io, work)) {
			work_free(io, (struct work *)clients_pop(&io->clients, client));
		} else {
			step = question_step(io, client, work, now_ns, until_ns);
			if (io->out.size >= ANSWERS_SIZE_SENT)
				there = answers_flush(io, client);
			uint64_t before_ns = now_ns;
			now_ns = clock_read().monotonic_ns;
			histogram_add(histogram, (now_ns - before_ns) / 1000);
		}
	}
	there = there && answers_flush(io, client);
	clients_charge(&io->clients, client, now_ns - start_ns);
	/* A reservation that was not needed after all. */
	if (client->has_reservation && step == STEP_ON) {
		clients_reservation_end(&io->clients, client);
		clients_place_freed(&io->clients);
	}
	if (!there)
		client_drop(io, client);
}

static void client_given_back(void *self, uint32_t owner, uint32_t tag, size_t size)
{
	struct router_io *io = self;
	struct client *client = clients_at(&io->clients, owner, tag);
	if (!client)
		return;
	clients_given_back(&io->clients, client, size);
	clients_release(&io->clients, client);
}

static void clients_tell(struct router_io *io, enum client_place place, uint64_t now_ns)
{
	for (uint32_t i = io->clients.lists[place].first; i != CLIENTS_NONE;) {
		struct client *client = &io->clients.entries[i];
		i = client->behind;
		if (!client->first || now_ns - client->told_ns < TELL_AFTER_NS)
			continue;
		client->told_ns = now_ns;
		answers_start(io);
		if (answers_send_to(io, client) == ERR_UNREACHABLE)
			client_drop(io, client);
	}
}

static void io_tick(void *self, struct clock_now now)
{
	struct router_io *io = self;
	struct client *client;
	uint64_t slice_ns, end_ns = clock_read().monotonic_ns + TURN_NS;
	lend_collect(&io->lender, client_given_back, io);
	lend_collect(&io->to_coordinator, forwarded_given_back, io);
	clients_unstall(&io->clients);
	while ((client = clients_next(&io->clients, &slice_ns))) {
		client_turn(io, client, slice_ns);
		if (clock_read().monotonic_ns >= end_ns)
			break;
	}
	if (now.monotonic_ns >= io->told_ns + TELL_EVERY_NS) {
		io->told_ns = now.monotonic_ns;
		clients_tell(io, CLIENT_NEW, now.monotonic_ns);
		clients_tell(io, CLIENT_OLD, now.monotonic_ns);
		clients_tell(io, CLIENT_WAITING, now.monotonic_ns);
	}
	reads_end(&io->reads);
	counter_set(io->process.counters, COUNTER_memory_bytes,
	    io->clients.unsent_bytes + io->clients.queued_bytes + io->forwarded_bytes);
}

static bool io_has_work(void *self)
{
	struct router_io *io = self;
	return clients_have_work(&io->clients);
}

static uint64_t io_deadline_ns(void *self)
{
	struct router_io *io = self;
	if (!io->clients.lists[CLIENT_STALLED].count)
		return LOOP_NEVER;
	return clock_read().monotonic_ns + STALL_LOOK_NS;
}

/* ---- sockets ---- */

static uint32_t clients_drain(void *self, struct clock_now now, uint32_t limit)
{
	struct router_io *io = self;
	struct counter_block *counters = io->process.counters;
	uint32_t handled = 0;
	for (; handled < limit; handled++) {
		if (!io->spare && !(io->spare = malloc(sizeof *io->spare)))
			break;
		*io->spare = (struct work){0};
		int code = socket_receive(io->socket, &io->spare->message, false);
		if (code == ERR_MALFORMED) {
			counter_add(counters, COUNTER_frames_refused, 1);
			logline_distinct(LOG_LEVEL_WARN, "request_refused", 0, "code=MALFORMED reason=\"not one frame\"");
			continue;
		}
		if (code)
			break;
		struct work *work = io->spare;
		io->spare = NULL;
		counter_add(counters, COUNTER_bytes_received, message_size(&work->message));
		message_take(io, work, now);
	}
	return handled;
}

/* What cannot be passed on is dropped: the client asks again, and is answered from the coordinator's memory. */
static void answer_pass(struct router_io *io, struct message *message)
{
	struct counter_block *counters = io->process.counters;
	struct client *client = clients_find(&io->clients, message->identity, message->identity_size, true);
	size_t size = message_size(message);
	int code = !client || !clients_may_pass(&io->clients, client, size)
	               ? ERR_OVERLOADED
	               : lend_message(&io->lender, io->socket, message->identity, message->identity_size, message,
	                     clients_index(&io->clients, client), client->generation);
	if (code) {
		counter_add(counters, COUNTER_queue_refused, 1);
	} else {
		clients_sent(&io->clients, client, size);
		counter_add(counters, COUNTER_bytes_sent, size);
	}
	if (!code && size > CLIENTS_SMALL) {
		answers_start(io);
		(void)answers_send_to(io, client);
	}
	if (client)
		clients_release(&io->clients, client);
}

static uint32_t coordinator_drain(void *self, struct clock_now now, uint32_t limit)
{
	struct router_io *io = self;
	uint32_t handled = 0;
	(void)now;
	for (; handled < limit; handled++) {
		struct message message;
		int code = socket_receive(io->coordinator, &message, true);
		if (code == ERR_MALFORMED)
			continue;
		if (code)
			break;
		CRASH_POINT(answer_unsent);
		answer_pass(io, &message);
		message_close(&message);
	}
	return handled;
}

static int io_command(void *self, const char *command, const char *argument, struct text *out, struct error_context *error)
{
	struct router_io *io = self;
	(void)argument;
	(void)error;
	if (strcmp(command, "drain") && strcmp(command, "undrain"))
		return ERR_UNSUPPORTED;
	io->draining = command[0] == 'd';
	text_add(out, "{\"draining\": %s}", io->draining ? "true" : "false");
	return 0;
}

static int io_start(struct router_io *io, struct error_context *error)
{
	struct process *p = &io->process;
	char endpoint[256];
	struct socket_options options = {.own = &p->keys, .receive_high_water = RECEIVE_HIGH_WATER};
	if (clients_init(&io->clients))
		return error_set(error, ERR_NO_MEMORY, "memory for the clients' table");
	/* Large messages are pages of their own, and go back to the system with their answer. */
	mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD);
	reads_init(&io->reads, &p->topology, p->region, p->shm.layout, p->region_dir);
	int code = process_serve_curve(p, true, error);
	if (code)
		return code;
	process_ipc(p, "coordinator.ipc", endpoint);
	struct socket_options local = {.reconnect_max_ms = 100};
	code = socket_connect(&io->coordinator, p->context, ZMQ_DEALER, endpoint, &local, error);
	if (code)
		return code;
	code = process_listens(p, SERVICE_CLIENT, endpoint, error);
	if (code)
		return code;
	code = socket_bind(&io->socket, p->context, ZMQ_ROUTER, endpoint, &options, error);
	/* Answers before requests: what is done leaves before more is taken in. */
	if (!code)
		code = loop_add_socket(p->loop, io->coordinator, coordinator_drain, io);
	if (!code)
		code = loop_add_socket(p->loop, io->socket, clients_drain, io);
	if (code && !error->text[0])
		error_set(error, code, "starting the router's loop");
	return code;
}

/* After the sockets were closed, which gives back all that was lent. */
static void io_stop(struct router_io *io)
{
	lend_collect(&io->lender, NULL, NULL);
	lend_collect(&io->to_coordinator, NULL, NULL);
	for (uint32_t i = 0; i < CLIENTS_MAX; i++) {
		struct client *client = &io->clients.entries[i];
		struct clients_work *work;
		while ((work = client->place == CLIENT_FREE ? NULL : clients_pop(&io->clients, client)))
			work_free(io, (struct work *)work);
	}
	clients_deinit(&io->clients);
	free(io->spare);
}

int router_main(int argc, char **argv)
{
	static struct router_io io;
	const struct loop_actor actor = {.self = &io, .tick = io_tick, .has_work = io_has_work, .deadline_ns = io_deadline_ns};
	int exit_code = process_start(&io.process, ACTOR_ROUTER, NULL, NULL, argc, argv, &actor, io_command);
	if (exit_code)
		return exit_code < 0 ? 0 : exit_code;
	struct error_context error = {0};
	int code = io_start(&io, &error);
	if (code)
		return process_fail(&io.process, code, &error);
	process_ready(&io.process);
	exit_code = process_run(&io.process);
	io_stop(&io);
	reads_deinit(&io.reads);
	output_deinit(&io.out);
	output_deinit(&io.repacked);
	return exit_code;
}
