/* SPDX-License-Identifier: Apache-2.0
 *
 * What goes over the socket: batches out, answers in, repeats, deadlines. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/connection.h"
#include "runtime/socket.h"

#define RECEIVE_MESSAGES_MAX 256u

static struct slot *slot_of(struct gw_connection *c, uint64_t number)
{
	if (number < c->lowest || number >= c->next_number)
		return NULL;
	uint32_t place = c->window[number & (c->window_size - 1)];
	return place ? &c->slots[place - 1] : NULL;
}

/* Frees the slot before the result is handed over, so that the caller can submit the next operation from there. */
static void finish(
    struct gw_connection *c, struct slot *slot, struct client_result *result, uint64_t now_ns, struct receiver *receiver)
{
	result->number = slot->number;
	result->kind = slot->kind;
	result->user = slot->user;
	result->submitted_ns = slot->submitted_ns;
	result->answered_ns = now_ns;
	if (slot->state == SLOT_QUEUED)
		c->queued--;
	c->pending--;
	c->pending_bytes -= slot->capacity;
	if (slot->capacity > CONNECTION_SLOT_KEPT_MAX) {
		free(slot->encoded);
		slot->encoded = NULL;
		slot->capacity = 0;
	}
	slot->state = SLOT_FREE;
	c->window[slot->number & (c->window_size - 1)] = 0;
	c->free_slots[c->free_count++] = (uint32_t)(slot - c->slots);
	while (c->lowest < c->next_number && !c->window[c->lowest & (c->window_size - 1)])
		c->lowest++;
	if (c->scan_from < c->lowest)
		c->scan_from = c->lowest;
	receiver->results++;
	receiver->each(receiver->user, result);
}

static void queue_again(struct gw_connection *c, struct slot *slot)
{
	slot->state = SLOT_QUEUED;
	slot->refused = false;
	c->queued++;
	if (slot->number < c->scan_from)
		c->scan_from = slot->number;
}

void connection_requeue(struct gw_connection *c)
{
	for (uint64_t number = c->lowest; number < c->next_number; number++) {
		struct slot *slot = slot_of(c, number);
		if (slot && slot->state == SLOT_SENT)
			queue_again(c, slot);
	}
}

void connection_requeue_moved(struct gw_connection *c)
{
	for (uint64_t number = c->lowest; number < c->next_number; number++) {
		struct slot *slot = slot_of(c, number);
		if (!slot || slot->sends == 0)
			continue;
		slot->moved = true;
		slot->wait_ms = CONNECTION_REPEAT_MS;
		if (slot->state == SLOT_SENT)
			queue_again(c, slot);
	}
}

/* What a region needs to know of a repeated write: whether its memory of answers reaches back to the first copy, and whether
 * that copy came to it at all. */
static struct wire_tail tail_of(const struct gw_connection *c, const struct slot *slot, uint64_t settled, uint64_t now_ns)
{
	if (!kind_is_write(slot->kind))
		return (struct wire_tail){0};
	return (struct wire_tail){.settled = settled,
	    .age_ms = slot->sends ? (now_ns - slot->first_sent_ns) / 1000000 + 1 : 0,
	    .token = slot->sends ? slot->token : c->token,
	    .moved = slot->moved};
}

/* Picks queued operations for one message; returns its size and where the next one starts. */
static size_t batch_pick(struct gw_connection *c, uint64_t now_ns, uint32_t *picked, uint64_t *behind)
{
	size_t size = WIRE_REQUEST_HEADER_SIZE;
	uint64_t number = c->scan_from, settled = c->lowest - 1;
	for (*picked = 0; number < c->next_number && *picked < c->batch_max; number++) {
		struct slot *slot = slot_of(c, number);
		if (!slot || slot->state != SLOT_QUEUED)
			continue;
		struct wire_tail tail = tail_of(c, slot, settled, now_ns);
		size_t framed = wire_request_operation_size(slot->encoded_size, &tail);
		if (*picked && size + framed > CONNECTION_BATCH_BYTES_MAX)
			break;
		/* Once a message is enough: on the first write, since reads are answered by the router and go no further. */
		if (kind_is_write(slot->kind))
			settled = 0;
		size += framed;
		c->batch[(*picked)++] = (uint32_t)(slot - c->slots);
	}
	*behind = number;
	return size;
}

int connection_send(struct gw_connection *c, uint64_t now_ns)
{
	while (c->queued) {
		uint32_t picked;
		uint64_t behind, settled = c->lowest - 1;
		if (!c->socket || c->disconnected)
			return ERR_OVERLOADED;
		if (c->blocked) { /* no batch is put together in vain */
			int events = 0;
			size_t events_size = sizeof events;
			if (zmq_getsockopt(c->socket, ZMQ_EVENTS, &events, &events_size) < 0 || !(events & ZMQ_POLLOUT))
				return ERR_OVERLOADED;
		}
		size_t size = batch_pick(c, now_ns, &picked, &behind);
		assert(picked > 0);
		zmq_msg_t message;
		if (zmq_msg_init_size(&message, size) < 0)
			return ERR_NO_MEMORY;
		uint8_t *out = zmq_msg_data(&message), *end = out + size;
		wire_request_header(PROTOCOL_VERSION, c->client_id, out);
		out += WIRE_REQUEST_HEADER_SIZE;
		for (uint32_t i = 0; i < picked; i++) {
			struct slot *slot = &c->slots[c->batch[i]];
			struct wire_tail tail = tail_of(c, slot, settled, now_ns);
			out = wire_request_operation(out, slot->encoded, slot->encoded_size, &tail);
			if (kind_is_write(slot->kind))
				settled = 0;
		}
		assert(out == end);
		c->blocked = zmq_msg_send(&message, c->socket, ZMQ_DONTWAIT) < 0;
		if (c->blocked) {
			zmq_msg_close(&message);
			return ERR_OVERLOADED;
		}
		c->scan_from = behind;
		c->queued -= picked;
		for (uint32_t i = 0; i < picked; i++) {
			struct slot *slot = &c->slots[c->batch[i]];
			slot->state = SLOT_SENT;
			if (slot->sends++ == 0) {
				slot->first_sent_ns = now_ns;
				slot->token = c->token;
				slot->link = c->links;
			}
			slot->sent_ns = now_ns;
		}
	}
	return ERR_OK;
}

/* A refusal is certain only of the copy of a write that it answers. Once a write was sent twice, only what every copy is bound
 * to meet says anything about the other one; after "overloaded", the first copy may still have been applied. A failed check is
 * final as long as all copies went over one connection: the region has had the first before, and remembers it; where it cannot
 * (a restart in between) it says UNKNOWN by itself. So it does with a copy that says it is moved, unless no copy can be applied
 * any more, wherever it is. */
static bool refusal_is_final(const struct gw_connection *c, const struct slot *slot, int code)
{
	if (!kind_is_write(slot->kind) || (slot->sends <= 1 && !slot->moved) || code == ERR_OK)
		return true;
	switch (code) {
	case ERR_USAGE:
	case ERR_KEY_TOO_LARGE:
	case ERR_VALUE_TOO_LARGE:
	case ERR_UNKNOWN_KEYSPACE:
	case ERR_LEVEL_UNAVAILABLE:
	case ERR_MALFORMED:
	case ERR_UNSUPPORTED:
	case ERR_UNKNOWN_OUTCOME:
	case ERR_EXPIRED:
		return true;
	case ERR_CHECK_FAILED:
		return slot->moved || slot->link == c->links;
	default:
		return false;
	}
}

/* The one copy that there is came when the region could not tell any more whether it was a repeat, and was not taken: with what
 * the answer says of the clock, it can be told. So after a long pause, or with the first write of a connection. */
static bool is_late_only(const struct slot *slot, const Godwit__Client__Answer *answer)
{
	return answer->code == ERR_EXPIRED && kind_is_write(slot->kind) && slot->state == SLOT_SENT && slot->sends == 1 &&
	       !slot->moved && answer->token > slot->token && slot->renewed < CONNECTION_RENEWALS_MAX;
}

static void answer_take(
    struct gw_connection *c, const Godwit__Client__Answer *answer, uint64_t now_ns, struct receiver *receiver)
{
	struct slot *slot = slot_of(c, answer->number);
	if (answer->token > c->token)
		c->token = answer->token;
	if (!slot || slot->sends == 0)
		return; /* answered before: a repeat was answered as well */
	if (is_late_only(slot, answer)) {
		slot->sends = 0;
		slot->renewed++;
		queue_again(c, slot);
		return;
	}
	if (!refusal_is_final(c, slot, answer->code)) {
		slot->refused = true; /* it is sent once more when its time comes */
		return;
	}
	uint64_t *highest = &c->highest_answer[kind_is_write(slot->kind)];
	if (answer->number > *highest)
		*highest = answer->number;
	struct client_result result = {.code = answer->code,
	    .reason = answer->reason ? answer->reason : "",
	    .value = answer->value.data,
	    .value_size = answer->value.len,
	    .version = answer->version.data,
	    .version_size = answer->version.len,
	    .hlc = answer->hlc,
	    .siblings = answer->siblings,
	    .answer = answer};
	finish(c, slot, &result, now_ns, receiver);
}

/* The other side speaks another version: nothing that it was handed was applied by it. */
static void version_refused(struct gw_connection *c, uint32_t protocol, uint64_t now_ns, struct receiver *receiver)
{
	for (uint64_t number = c->lowest, end = c->next_number; number < end; number++) {
		struct slot *slot = slot_of(c, number);
		if (!slot || slot->sends == 0)
			continue;
		struct client_result result = {
		    .code = refusal_is_final(c, slot, ERR_WRONG_VERSION) ? ERR_WRONG_VERSION : ERR_UNKNOWN_OUTCOME,
		    .reason = c->reason};
		snprintf(c->reason, sizeof c->reason, "%s speaks protocol version %u, this client %u", c->region, protocol,
		    PROTOCOL_VERSION);
		finish(c, slot, &result, now_ns, receiver);
	}
}

/* A message that could not be read as a whole, and nobody can say which: some of its writes may have been taken. */
static void message_refused(
    struct gw_connection *c, const Godwit__Client__Answer *answer, uint64_t now_ns, struct receiver *receiver)
{
	for (uint64_t number = c->lowest, end = c->next_number; number < end; number++) {
		struct slot *slot = slot_of(c, number);
		if (!slot || slot->sends == 0)
			continue;
		struct client_result result = {
		    .code = kind_is_write(slot->kind) ? ERR_UNKNOWN_OUTCOME : answer->code, .reason = c->reason};
		snprintf(c->reason, sizeof c->reason, "%s refused a whole message: %s", c->region,
		    answer->reason && *answer->reason ? answer->reason : error_text(answer->code));
		finish(c, slot, &result, now_ns, receiver);
	}
}

static void message_take(struct gw_connection *c, uint64_t now_ns, struct receiver *receiver)
{
	struct wire_answers answers;
	const Godwit__Client__Answer *answer;
	int code = wire_answers_start(&answers, zmq_msg_data(&c->held), zmq_msg_size(&c->held));
	if (code == ERR_OK && !version_is_understood(answers.protocol, PROTOCOL_VERSION)) {
		version_refused(c, answers.protocol, now_ns, receiver);
		return;
	}
	while (code == ERR_OK && (code = wire_answers_next(&answers, &c->arena, &answer)) == ERR_OK) {
		if (answer->number == 0 && answer->code == ERR_WRONG_VERSION)
			version_refused(c, answers.protocol, now_ns, receiver);
		else if (answer->number == 0 && answer->code < 0)
			message_refused(c, answer, now_ns, receiver);
		else
			answer_take(c, answer, now_ns, receiver);
	}
	/* What was in a message that ends in the middle is asked for again. */
}

/* Each message has a time of its own, read when it is there: an answer must never seem older than what it tells of, however
 * long this thread was kept from running. Histories are judged by these times. */
void connection_receive(struct gw_connection *c, struct receiver *receiver)
{
	for (uint32_t messages = 0; c->socket && c->pending && messages < RECEIVE_MESSAGES_MAX; messages++) {
		zmq_msg_t message;
		zmq_msg_init(&message);
		if (zmq_msg_recv(&message, c->socket, ZMQ_DONTWAIT) < 0) {
			zmq_msg_close(&message);
			return;
		}
		uint64_t now_ns = connection_now_ns();
		bool whole = !zmq_msg_more(&message);
		c->heard_ns = now_ns;
		c->silence_ms = CONNECTION_SILENCE_MS;
		if (c->held_open)
			zmq_msg_close(&c->held);
		zmq_msg_init(&c->held);
		zmq_msg_move(&c->held, &message);
		c->held_open = true;
		arena_reset(&c->arena);
		if (whole) {
			message_take(c, now_ns, receiver);
			continue;
		}
		while (zmq_msg_more(&c->held) && zmq_msg_recv(&c->held, c->socket, ZMQ_DONTWAIT) >= 0)
			;
	}
}

/* Certain only when it was never handed over. */
static void deadline_pass(struct gw_connection *c, struct slot *slot, uint64_t now_ns, struct receiver *receiver)
{
	struct client_result result = {.code = ERR_UNREACHABLE, .reason = c->reason};
	unsigned long long waited_ms = (now_ns - slot->submitted_ns) / 1000000;
	if (slot->sends && kind_is_write(slot->kind))
		result.code = ERR_UNKNOWN_OUTCOME;
	if (slot->sends)
		snprintf(
		    c->reason, sizeof c->reason, "no answer from %s (%s) within %llu ms", c->region, c->endpoint, waited_ms);
	else if (c->key_refused)
		snprintf(c->reason, sizeof c->reason, "%s (%s) refused the keys of this client", c->region, c->endpoint);
	else
		snprintf(
		    c->reason, sizeof c->reason, "no connection to %s (%s) within %llu ms", c->region, c->endpoint, waited_ms);
	finish(c, slot, &result, now_ns, receiver);
}

/* Sent again when its time is over and: nothing at all was heard for a while, or an operation sent later was answered, so that
 * this one's answer is lost, or it was refused as a repeat. A region that only is slow is not sent more work. */
static bool repeat_is_due(const struct gw_connection *c, const struct slot *slot, uint64_t now_ns)
{
	if (slot->state != SLOT_SENT || now_ns < slot->sent_ns + slot->wait_ms * 1000000ull)
		return false;
	return slot->refused || now_ns >= c->heard_ns + CONNECTION_REPEAT_MS * 1000000ull ||
	       c->highest_answer[kind_is_write(slot->kind)] > slot->number;
}

void connection_check(struct gw_connection *c, uint64_t now_ns, struct receiver *receiver)
{
	uint64_t next_ns = now_ns + CONNECTION_CHECK_NS;
	for (uint64_t number = c->lowest, end = c->next_number; number < end; number++) {
		struct slot *slot = slot_of(c, number);
		if (!slot)
			continue;
		if (now_ns >= slot->deadline_ns) {
			deadline_pass(c, slot, now_ns, receiver);
			continue;
		}
		if (repeat_is_due(c, slot, now_ns)) {
			queue_again(c, slot);
			slot->wait_ms =
			    slot->wait_ms * 2 < CONNECTION_REPEAT_MS_MAX ? slot->wait_ms * 2 : CONNECTION_REPEAT_MS_MAX;
		}
		if (slot->deadline_ns < next_ns)
			next_ns = slot->deadline_ns;
	}
	c->check_ns = next_ns;
}
