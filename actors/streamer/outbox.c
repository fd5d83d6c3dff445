/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/streamer/outbox.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/commit_entry.h"
#include "core/record.h"

/* Entries looked at for one frame: a stretch of other origins' records must not keep the loop from its other work. */
#define SCAN_MAX 16384u

int outbox_init(struct outbox *outbox, const char *log_dir, bool compress)
{
	*outbox = (struct outbox){.compress = compress};
	if ((size_t)snprintf(outbox->log_dir, sizeof outbox->log_dir, "%s", log_dir) >= sizeof outbox->log_dir)
		return ERR_CONFIGURATION;
	outbox->raw = malloc(FRAME_RAW_LIMIT);
	bool complete = outbox->raw != NULL;
	for (uint32_t i = 0; i < OUTBOX_FRAMES; i++) {
		outbox->frames[i].payload = malloc(FRAME_RAW_LIMIT);
		complete = complete && outbox->frames[i].payload;
	}
	return complete ? 0 : ERR_NO_MEMORY;
}

void outbox_deinit(struct outbox *outbox)
{
	for (uint8_t peer = 0; peer < REGIONS_MAX; peer++)
		outbox_close(outbox, peer);
	for (uint32_t i = 0; i < OUTBOX_FRAMES; i++)
		free(outbox->frames[i].payload);
	free(outbox->raw);
	*outbox = (struct outbox){0};
}

int outbox_open(struct outbox *outbox, uint8_t peer, const struct vector *from, uint32_t origins, uint64_t keyspaces,
    struct error_context *error)
{
	struct outbox_stream *stream = &outbox->streams[peer];
	outbox_close(outbox, peer);
	int code = log_reader_open(&stream->reader, outbox->log_dir, error);
	if (code)
		return code;
	code = log_reader_seek_vector(stream->reader, from, origins, error);
	if (code) {
		log_reader_close(stream->reader);
		stream->reader = NULL;
		return code;
	}
	stream->open = true;
	stream->number = ++outbox->streams_opened;
	stream->origins = origins;
	stream->keyspaces = keyspaces;
	stream->from = *from;
	stream->lsn = log_reader_lsn(stream->reader);
	return 0;
}

void outbox_close(struct outbox *outbox, uint8_t peer)
{
	struct outbox_stream *stream = &outbox->streams[peer];
	if (stream->open)
		log_reader_close(stream->reader);
	*stream = (struct outbox_stream){0};
}

static bool frame_fits_stream(const struct outbox_frame *frame, uint8_t peer, const struct outbox_stream *stream)
{
	if (!frame->used || frame->start_lsn != stream->lsn || frame->origins != stream->origins ||
	    frame->keyspaces != stream->keyspaces)
		return false;
	if (frame->peer == peer && frame->stream == stream->number)
		return true;
	if (!frame->shared)
		return false;
	for (uint32_t origin = 0; origin < REGIONS_MAX; origin++)
		if (frame->first.sequence[origin] && frame->first.sequence[origin] <= stream->from.sequence[origin])
			return false;
	return true;
}

static int stream_next(struct outbox_stream *stream, uint64_t limit_lsn, struct error_context *error)
{
	if (stream->carried) {
		stream->carried = false;
		return 0;
	}
	return log_reader_next(stream->reader, limit_lsn, &stream->entry, error);
}

/* A reader that stood still while another subscriber's frames were used has to catch up. */
static int stream_align(struct outbox_stream *stream, struct error_context *error)
{
	if (stream->carried && stream->entry.lsn == stream->lsn)
		return 0;
	stream->carried = false;
	if (log_reader_lsn(stream->reader) == stream->lsn)
		return 0;
	return log_reader_seek(stream->reader, stream->lsn, error);
}

static void frame_note_dot(struct outbox_frame *frame, struct dot dot)
{
	if (frame->first.sequence[dot.region] == 0)
		frame->first.sequence[dot.region] = dot.sequence;
	frame->last.sequence[dot.region] = dot.sequence;
}

/* The keyspaces that the record writes to, as a mask. */
static uint64_t keyspaces_of(const struct log_entry *entry)
{
	struct record record;
	struct commit_head head;
	struct commit_body body;
	if (record_decode(&record, entry->body, entry->size) < 0)
		return UINT64_MAX;
	if (!record.entry)
		return 1ull << record.keyspace;
	if (commit_entry_open(record.entry, record.entry_size, &head, &body) < 0)
		return UINT64_MAX;
	return body.bytes ? commit_body_keyspaces(&body) : 0;
}

/* Is the record not for this subscriber? Then its origin stands from here on. */
static bool frame_holds(struct outbox_frame *frame, const struct log_entry *entry, uint8_t origin)
{
	if (frame->keyspaces == UINT64_MAX)
		return false;
	uint64_t not_there = keyspaces_of(entry) & ~frame->keyspaces;
	if (!not_there)
		return false;
	frame->held |= 1u << origin;
	frame->held_keyspace = (uint32_t)__builtin_ctzll(not_there);
	return true;
}

static int frame_build(struct outbox *outbox, struct outbox_stream *stream, struct outbox_frame *frame, uint64_t limit_lsn,
    struct error_context *error)
{
	struct frame_builder builder;
	frame_builder_init(&builder, outbox->raw);
	int code = stream_align(stream, error);
	uint32_t scanned = 0;
	for (; code == 0 && scanned < SCAN_MAX; scanned++) {
		code = stream_next(stream, limit_lsn, error);
		if (code)
			break;
		const struct log_entry *entry = &stream->entry;
		struct dot dot;
		if (entry->type == LOG_RECORD) {
			if (record_peek(entry->body, entry->size, &dot) != 0 || dot.region >= REGIONS_MAX)
				return error_set(error, ERR_CORRUPT, "a log entry at %llu that is no record",
				    (unsigned long long)entry->lsn);
			bool wanted = (stream->origins & ~frame->held) >> dot.region & 1;
			bool covered = wanted && vector_covers_dot(&stream->from, dot);
			frame->shared = frame->shared && !covered;
			if (wanted && !covered && !frame_holds(frame, entry, dot.region)) {
				if (frame_builder_add(&builder, entry->body, entry->size) != 0) {
					stream->carried = true;
					break;
				}
				frame_note_dot(frame, dot);
			}
		}
		frame->end_lsn = entry->end_lsn;
	}
	if (code && code != ERR_EMPTY)
		return code;
	if (frame->end_lsn == frame->start_lsn)
		return ERR_EMPTY;
	frame->records = builder.records;
	if (builder.records)
		frame_builder_finish(&builder, outbox->compress, frame->payload, &frame->frame);
	return 0;
}

int outbox_frame(
    struct outbox *outbox, uint8_t peer, uint64_t limit_lsn, const struct outbox_frame **out, struct error_context *error)
{
	struct outbox_stream *stream = &outbox->streams[peer];
	assert(stream->open);
	for (uint32_t i = 0; i < OUTBOX_FRAMES; i++)
		if (frame_fits_stream(&outbox->frames[i], peer, stream)) {
			*out = &outbox->frames[i];
			return 0;
		}
	struct outbox_frame *frame = &outbox->frames[outbox->next_frame];
	outbox->next_frame = (outbox->next_frame + 1) % OUTBOX_FRAMES;
	*frame = (struct outbox_frame){.shared = true,
	    .peer = peer,
	    .origins = stream->origins,
	    .keyspaces = stream->keyspaces,
	    .start_lsn = stream->lsn,
	    .end_lsn = stream->lsn,
	    .stream = stream->number,
	    .payload = frame->payload};
	int code = frame_build(outbox, stream, frame, limit_lsn, error);
	if (code)
		return code;
	frame->used = true;
	*out = frame;
	return 0;
}

void outbox_advance(struct outbox *outbox, uint8_t peer, const struct outbox_frame *frame)
{
	struct outbox_stream *stream = &outbox->streams[peer];
	assert(stream->open && frame->start_lsn == stream->lsn);
	stream->lsn = frame->end_lsn;
	stream->origins &= ~frame->held;
}
