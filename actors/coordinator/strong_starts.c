/* SPDX-License-Identifier: Apache-2.0
 *
 * Which start of a store a peer has met (store/starts.h): shown until it has, and judged when a peer shows its own. */
#include "actors/coordinator/io.h"
#include "base/bytes.h"
#include "runtime/logline.h"

/* Between two times that a peer is shown our starts: when it was not there, when it may be on its way, when it takes us for an
 * older copy. */
#define SHOW_AWAY_NS  100000000ull
#define SHOW_AGAIN_NS 250000000ull
#define SHOW_OLDER_NS 2000000000ull

#define KNOWN_SIZE (STRONG_ENVELOPE_SIZE + 9)

static void known_put(
    struct coordinator_io *io, uint8_t to, uint64_t nonce, enum strong_known known, uint8_t out[static KNOWN_SIZE])
{
	strong_envelope_begin(io, to, STRONG_KNOWN, out);
	bytes_put_u64(out + STRONG_ENVELOPE_SIZE, nonce);
	out[STRONG_ENVELOPE_SIZE + 8] = (uint8_t)known;
}

void strong_known_tell(struct coordinator_io *io, uint8_t to, uint64_t nonce, enum strong_known known)
{
	uint8_t out[KNOWN_SIZE];
	known_put(io, to, nonce, known, out);
	strong_envelope_send(io, to, out, sizeof out);
}

bool strong_starts_take(
    struct coordinator_io *io, uint8_t from, const uint8_t *bytes, size_t size, const uint8_t *identity, uint32_t identity_size)
{
	uint8_t out[KNOWN_SIZE];
	struct strong_peer *peer = &io->strong.peers[from];
	struct start_history history;
	struct error_context error;
	size_t nonces = size >= STRONG_ENVELOPE_SIZE + 8 ? (size - STRONG_ENVELOPE_SIZE - 8) / 8 : 0;
	if (!nonces || nonces > STARTS_KEPT || size != STRONG_ENVELOPE_SIZE + 8 + 8 * nonces)
		return false;
	history.first = bytes_get_u64(bytes + STRONG_ENVELOPE_SIZE);
	history.count = (uint32_t)nonces;
	for (uint32_t i = 0; i < nonces; i++)
		history.nonces[i] = bytes_get_u64(bytes + STRONG_ENVELOPE_SIZE + 8 + 8 * (size_t)i);
	struct start last = starts_last(&history);
	if (!history.first || last.number < history.first || last.nonce != bytes_get_u64(bytes + STRONG_NONCE_AT))
		return false;
	enum starts_verdict verdict = starts_compare(&io->starts.peers[from], &history);
	peer->is_older = verdict == STARTS_OLDER;
	if (verdict == STARTS_LATER) {
		int code = starts_keep(&io->starts, from, last, &error);
		if (code) {
			io_fail(io, code, &error);
			return true;
		}
	}
	if (!peer->is_older) {
		strong_known_tell(io, from, last.nonce, STRONG_MET);
		return true;
	}
	logline_distinct(LOG_LEVEL_ERROR, "region_reused", from,
	    "peer=%s reason=\"an older copy of its disk was put back, or runs beside it: it has no vote under its old id\"",
	    topology_region_by_id(&io->process.topology, from)->name);
	known_put(io, from, last.nonce, STRONG_OLDER, out);
	/* What does not arrive is sent when it shows its starts again. */
	(void)socket_send(io->strong.socket, identity, identity_size, out, sizeof out);
	return true;
}

bool strong_known_take(struct coordinator_io *io, uint8_t from, const uint8_t *bytes, size_t size)
{
	struct strong *strong = &io->strong;
	struct strong_peer *peer = &strong->peers[from];
	if (size != STRONG_ENVELOPE_SIZE + 9 || bytes[STRONG_ENVELOPE_SIZE + 8] > STRONG_OLDER)
		return false;
	if (peer->is_older)
		return true; /* of no weight */
	/* Of another start: what that one showed may have come late, behind what this one shows, and looked like an older copy.
	 */
	bool is_ours = bytes_get_u64(bytes + STRONG_ENVELOPE_SIZE) == starts_last(&io->starts.own).nonce;
	peer->knows_us = is_ours ? (enum strong_known)bytes[STRONG_ENVELOPE_SIZE + 8] : STRONG_UNMET;
	peer->start_at_ns = peer->knows_us == STRONG_MET     ? LOOP_NEVER
	                    : peer->knows_us == STRONG_OLDER ? io->now.monotonic_ns + SHOW_OLDER_NS
	                                                     : 0;
	strong->starts_at_ns = 0;
	uint32_t older_for = strong->older_for & ~(1u << from);
	if (peer->knows_us == STRONG_OLDER)
		older_for |= 1u << from;
	if (older_for == strong->older_for)
		return true;
	strong->older_for = older_for;
	if (older_for)
		logline_distinct(LOG_LEVEL_ERROR, "region_reused", from,
		    "of=%s reason=\"it has met a later start of this store: an older copy of this disk was put back\"",
		    topology_region_by_id(&io->process.topology, from)->name);
	gate_update(io);
	return true;
}

void strong_starts_show(struct coordinator_io *io)
{
	struct strong *strong = &io->strong;
	const struct start_history *own = &io->starts.own;
	uint64_t now_ns = io->now.monotonic_ns;
	if (now_ns < strong->starts_at_ns)
		return;
	strong->starts_at_ns = LOOP_NEVER;
	for (uint8_t id = 0; id < REGIONS_MAX; id++) {
		struct strong_peer *peer = &strong->peers[id];
		if (!peer->socket)
			continue;
		if (now_ns >= peer->start_at_ns) {
			uint8_t out[STRONG_ENVELOPE_SIZE + 8 + 8 * STARTS_KEPT];
			strong_envelope_begin(io, id, STRONG_STARTS, out);
			bytes_put_u64(out + STRONG_ENVELOPE_SIZE, own->first);
			for (uint32_t i = 0; i < own->count; i++)
				bytes_put_u64(out + STRONG_ENVELOPE_SIZE + 8 + 8 * (size_t)i, own->nonces[i]);
			bool sent = strong_envelope_send(io, id, out, STRONG_ENVELOPE_SIZE + 8 + 8 * (size_t)own->count);
			peer->start_at_ns = now_ns + (!sent                               ? SHOW_AWAY_NS
			                                 : peer->knows_us == STRONG_OLDER ? SHOW_OLDER_NS
			                                                                  : SHOW_AGAIN_NS);
		}
		if (peer->start_at_ns < strong->starts_at_ns)
			strong->starts_at_ns = peer->start_at_ns;
	}
}
