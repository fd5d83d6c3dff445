/* SPDX-License-Identifier: Apache-2.0
 *
 * Frames made from the log, one position a subscriber. Subscribers that stand at the same place of the log and want the same
 * origins, as they do when all follow along, share the reading and the compression. */
#ifndef GODWIT_ACTORS_STREAMER_OUTBOX_H
#define GODWIT_ACTORS_STREAMER_OUTBOX_H
#include <stdbool.h>
#include <stdint.h>

#include "actors/streamer/frame.h"
#include "core/vector.h"
#include "store/log.h"

#define OUTBOX_FRAMES 4u

struct outbox_frame {
	bool used;
	bool shared;  /* no record was left out because one subscriber has it already */
	uint8_t peer; /* made for */
	uint32_t origins, records;
	uint32_t held;          /* origins that come to a stand in it: nothing of them is taken from there on */
	uint32_t held_keyspace; /* whose record that was, of the last of them */
	uint64_t keyspaces;
	uint64_t start_lsn, end_lsn;
	uint64_t stream;           /* of the maker, see outbox_stream.number */
	struct vector first, last; /* lowest and highest sequence in it by origin; 0 none */
	struct frame frame;        /* records > 0 only */
	uint8_t *payload;          /* FRAME_RAW_LIMIT bytes */
};

struct outbox_stream {
	bool open;
	uint64_t number;    /* of all streams ever opened, so that a frame of an earlier one is not taken for this one's */
	uint32_t origins;   /* less those that stand */
	uint64_t keyspaces; /* by id: whose records it may have */
	struct vector from; /* records covered by it are left out */
	uint64_t lsn;       /* everything before it is sent */
	struct log_reader *reader;
	bool carried; /* `entry` was read, but did not fit into the frame before */
	struct log_entry entry;
};

struct outbox {
	char log_dir[300];
	bool compress;
	uint64_t streams_opened;
	uint32_t next_frame;
	uint8_t *raw; /* FRAME_RAW_LIMIT bytes */
	struct outbox_frame frames[OUTBOX_FRAMES];
	struct outbox_stream streams[REGIONS_MAX];
};

int outbox_init(struct outbox *outbox, const char *log_dir, bool compress);
void outbox_deinit(struct outbox *outbox);
/* ERR_NEEDS_RESYNC when the log begins behind what is wanted; what the log reader says otherwise. */
int outbox_open(struct outbox *outbox, uint8_t peer, const struct vector *from, uint32_t origins, uint64_t keyspaces,
    struct error_context *error);
void outbox_close(struct outbox *outbox, uint8_t peer);
/* The frame that begins where the stream stands, from entries that end at or before limit_lsn. records may be 0: then nothing
 * is to be sent for this stretch. Borrowed until the next call. ERR_EMPTY: nothing there. */
int outbox_frame(
    struct outbox *outbox, uint8_t peer, uint64_t limit_lsn, const struct outbox_frame **frame, struct error_context *error);
/* The frame went out (or had no records). */
void outbox_advance(struct outbox *outbox, uint8_t peer, const struct outbox_frame *frame);

#endif
