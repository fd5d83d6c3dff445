/* SPDX-License-Identifier: Apache-2.0
 *
 * Strong keyspaces in the coordinator's process: log, rows, other regions' coordinators and clients around the machine of
 * commit/commit.h. strong.c carries out what the machine wants and tells it what became of it; strong_peers.c is what goes
 * between regions, strong_starts.c which start of a store that is from; strong_clients.c turns clients' requests into
 * transactions and reads.
 *
 * One message to a peer holds many of the machine's, all of a turn:
 *   u8 version | u8 from | u8 to | u8 kind | u64 topology_base_fingerprint | 16 bytes store id | u64 nonce of its start |
 *   u8 newest version that the sender understands (core/version.h; kinds 1 and 2 are in the oldest) | ...
 *   kind 0, messages: (u32 size, commit/message.h)...
 *   kind 1, the sender's starts (store/starts.h), until the other has met the last: u64 first | u64 nonce...
 *   kind 2, what it says of the other's start: u64 nonce of that | u8 enum strong_known
 * Little endian. What is not of the very store whose records are held here, and of its last start, is dropped: a region that
 * has lost its disk, or got an older copy of it, has no vote under its old id. Each region sends on a DEALER of its own to the
 * other's ROUTER; an answer comes the other way, but for kind 2 to an older copy: on the connection that showed its starts. */
#ifndef GODWIT_ACTORS_COORDINATOR_STRONG_H
#define GODWIT_ACTORS_COORDINATOR_STRONG_H
#include <stdbool.h>
#include <stdint.h>

#include "commit/commit.h"
#include "core/store_id.h"
#include "proto/request.h"
#include "runtime/loop.h"
#include "store/rows.h"
#include "store/starts.h"

#define STRONG_TICKETS   (1u << 20) /* entries of the machine in the log and not yet in the rows */
#define STRONG_FEW       16u
#define STRONG_BATCH_MAX (256u * 1024)
/* To a peer that does not read; twice what a link an ocean long holds at full load. */
#define STRONG_UNSENT_MAX  (32u * 1024 * 1024)
#define STRONG_MESSAGE_MAX (COMMIT_BODY_MAX + 64u * 1024)
#define STRONG_RESERVE     (2ull * LOG_BODY_MAX) /* room in the log before the machine is given anything */

#define STRONG_NONCE_AT      (4u + 8 + STORE_ID_SIZE)
#define STRONG_NEWEST_AT     (STRONG_NONCE_AT + 8)
#define STRONG_ENVELOPE_SIZE (STRONG_NEWEST_AT + 1)
enum strong_envelope { STRONG_MESSAGES, STRONG_STARTS, STRONG_KNOWN };
enum strong_known { STRONG_UNMET, STRONG_MET, STRONG_OLDER };

struct coordinator_io;
struct strong_peer {
	void *socket;
	uint8_t *batch;  /* STRONG_BATCH_MAX + STRONG_MESSAGE_MAX bytes */
	size_t size;     /* 0: nothing to send */
	uint32_t newest; /* version that it understands, as its last message told; 0: not told */
	uint64_t heard_ns;
	enum strong_known knows_us;
	bool is_older;        /* what answers there is an older copy of the store that this region met */
	uint64_t start_at_ns; /* when it is shown our starts, unless it knows the last */
	uint64_t asked_ns;    /* when it was last told that we do not know it */
};
struct strong {
	struct commit *machine; /* NULL: no keyspace is strong, or the rows do not hold the log yet */
	struct commit_effects *effects;
	struct commit_seen seen[COMMIT_OPERATIONS_MAX];
	struct rows_view *view; /* what the machine looks rows up in: the same from one apply to the next */
	bool wanted, viewing;
	uint64_t timer_ns;
	uint64_t *ticket_lsn; /* ring: where the entry of each ticket ends */
	uint64_t ticket, durable_ticket, applied_ticket;
	uint64_t floor;    /* no stamp above it was given out before the start */
	bool marked;       /* nothing of the machine was appended since the last mark */
	uint64_t mark_lsn; /* of that mark */
	uint8_t *scratch;  /* an entry put together */
	void *socket;
	struct strong_peer peers[REGIONS_MAX];
	uint64_t fingerprint;
	uint32_t reachable;
	uint64_t starts_at_ns; /* when some peer is shown our starts next */
	uint32_t older_for;    /* regions that have met a later start of this store than it knows of: it is an older copy */
	uint64_t started_ns;
	int refusing;
	struct commit_counts published;
};

/* strong.c */
/* After the store has started. floor: no stamp above it was given out here. The machine itself starts once the rows hold the
 * whole log: at once, unless the disk was full. */
int strong_start(struct coordinator_io *io, uint64_t floor, struct error_context *error);
void strong_stop(struct coordinator_io *io);
/* One event to the machine, and what it wants. Not while strong_room() says otherwise, but for DURABLE and APPLIED. */
void strong_step(struct coordinator_io *io, struct commit_event event);
/* Is there room in the log for whatever the machine may want? 0, or the refusal. */
int strong_room(const struct coordinator_io *io);
/* May a transaction of another region be appended? */
bool strong_takes_streams(const struct coordinator_io *io);
void strong_streamed(struct coordinator_io *io, uint64_t end_lsn, const uint8_t *entry, size_t size);
/* For the pace of groups: entries of transactions that are not known to be durable, since somebody waits for each; 0 when they
 * are STRONG_FEW or less. A handful goes to the disk at once: to wait for more would cost each of its up to three waits for a
 * disk PACE_GAP_NS. */
uint64_t strong_waiting(const struct coordinator_io *io);
/* Before the log is flushed; before and after the rows change; refusals that changed; once a second. */
void strong_durable(struct coordinator_io *io);
void strong_apply_begin(struct coordinator_io *io);
void strong_applied(struct coordinator_io *io);
void strong_refuse(struct coordinator_io *io, int code, bool takes_deletes);
void strong_upkeep(struct coordinator_io *io);
/* Timers, and who can be reached. */
void strong_tick(struct coordinator_io *io);
uint64_t strong_deadline_ns(const struct coordinator_io *io);

/* strong_peers.c */
int strong_connect(struct coordinator_io *io, struct error_context *error);
void strong_disconnect(struct coordinator_io *io);
void strong_send(struct coordinator_io *io, uint32_t to, const struct commit_message *message);
void strong_send_all(struct coordinator_io *io);
void strong_envelope_begin(const struct coordinator_io *io, uint8_t to, enum strong_envelope kind, uint8_t *out);
bool strong_envelope_send(struct coordinator_io *io, uint8_t to, const uint8_t *bytes, size_t size);
/* Tells the machine who seems to be there, when that has changed. */
void strong_peers_look(struct coordinator_io *io);
/* When the next of them has been silent for too long, unless it is heard before; LOOP_NEVER: none. */
uint64_t strong_peers_deadline_ns(const struct coordinator_io *io);

/* strong_starts.c */
/* Shows this store's starts to peers that have not met the last one. */
void strong_starts_show(struct coordinator_io *io);
/* Envelopes of these two kinds. False: it cannot be read. An older copy hears so on the connection that it has made
 * (`identity`): it may be another process than the one at its region's address. */
bool strong_starts_take(struct coordinator_io *io, uint8_t from, const uint8_t *bytes, size_t size, const uint8_t *identity,
    uint32_t identity_size);
bool strong_known_take(struct coordinator_io *io, uint8_t from, const uint8_t *bytes, size_t size);
void strong_known_tell(struct coordinator_io *io, uint8_t to, uint64_t nonce, enum strong_known known);

/* strong_clients.c */
/* True when the operation is for a strong keyspace, or about strong transactions: then it is taken care of. */
bool strong_operation(struct coordinator_io *io, uint64_t route, uint64_t client_id, const struct request_operation *operation);
void strong_answer(struct coordinator_io *io, const struct commit_answer *answer);

#endif
