/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/streamer/inbox.h"

#include <assert.h>
#include <stdlib.h>

#include "base/crash_point.h"

int inbox_take(struct inbox *inbox, uint8_t peer, const struct frame *frame, uint32_t origins, struct error_context *error)
{
	int code = frame_check(frame, error);
	if (code)
		return code;
	struct inbox_frame *held = malloc(sizeof *held + frame->raw_size);
	if (!held)
		return error_set(error, ERR_NO_MEMORY, "no memory for a frame of %u bytes", frame->raw_size);
	*held = (struct inbox_frame){.raw_size = frame->raw_size};
	uint32_t records;
	/* A peer that relays may send us what we wrote ourselves; that is skipped, not refused. */
	code = frame_open(frame, origins | 1u << inbox->region, held->raw, &records, error);
	if (code) {
		free(held);
		return code;
	}
	if (inbox->queues[peer].last)
		inbox->queues[peer].last->next = held;
	else
		inbox->queues[peer].first = held;
	inbox->queues[peer].last = held;
	inbox->bytes += held->raw_size;
	return 0;
}

static void inbox_remove_first(struct inbox *inbox, uint8_t peer)
{
	struct inbox_frame *frame = inbox->queues[peer].first;
	inbox->queues[peer].first = frame->next;
	if (!frame->next)
		inbox->queues[peer].last = NULL;
	inbox->bytes -= frame->raw_size;
	free(frame);
}

void inbox_drop(struct inbox *inbox, uint8_t peer)
{
	while (inbox->queues[peer].first)
		inbox_remove_first(inbox, peer);
}

/* One frame, from where it was left. */
static int deliver_frame(struct inbox *inbox, struct inbox_frame *frame, const struct vector *applied, uint32_t records_max,
    struct inbox_delivery *delivery)
{
	const uint8_t *bytes;
	uint32_t size, offset = frame->offset;
	while (delivery->pushed + delivery->skipped < records_max &&
	       frame_next(frame->raw, frame->raw_size, &offset, &bytes, &size) == 0) {
		struct dot dot;
		int code = record_peek(bytes, size, &dot);
		assert(code == 0); /* frame_open has decoded it */
		if (dot.region == inbox->region || vector_covers_dot(applied, dot)) {
			delivery->skipped++;
		} else {
			code = ring_push(&inbox->ring, INBOX_RECORD, bytes, size);
			if (code)
				return code;
			delivery->pushed++;
			CRASH_POINT(frame_half_delivered);
		}
		frame->offset = offset;
	}
	return 0;
}

int inbox_deliver(struct inbox *inbox, const struct vector *applied, uint32_t records_max, struct inbox_delivery *delivery)
{
	*delivery = (struct inbox_delivery){0};
	while (!inbox_is_empty(inbox) && delivery->pushed + delivery->skipped < records_max) {
		/* Frame by frame around the peers, so that one that is catching up does not hold up the others. */
		while (!inbox->queues[inbox->turn].first)
			inbox->turn = (uint8_t)((inbox->turn + 1) % REGIONS_MAX);
		uint8_t peer = inbox->turn;
		struct inbox_frame *frame = inbox->queues[peer].first;
		int code = deliver_frame(inbox, frame, applied, records_max, delivery);
		if (code)
			return code;
		if (frame->offset < frame->raw_size)
			continue; /* records_max */
		delivery->delivered[peer] += frame->raw_size;
		inbox_remove_first(inbox, peer);
		inbox->turn = (uint8_t)((inbox->turn + 1) % REGIONS_MAX);
	}
	return 0;
}
