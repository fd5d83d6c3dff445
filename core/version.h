/* SPDX-License-Identifier: Apache-2.0
 *
 * How two builds work side by side, so that regions can be upgraded one after the other. Each wire protocol and store format
 * has a number, and a build understands a range of them: from the oldest, which stands where the format is written down, to
 * `version_ahead` more.
 *
 * Agreed between peers (streams, heartbeats, digests: proto/peer.proto; commit envelopes: actors/coordinator/strong.h): each
 * message names the version that it is written in and the newest that its sender understands. A region writes to a peer in the
 * newest that both understand, by the last message heard of it; until one was heard, and in what opens an exchange (Subscribe,
 * Refusal, starts), in the oldest.
 *
 * Not agreed, since nobody knows who will read it (client protocol, admin, log, rows, transactions' bodies): written in the
 * oldest version that the build understands. So a new one is understood one release before any build writes it, and the release
 * before can still read what the next has written: it may be gone back to.
 *
 * What is outside the range is refused with WRONG_VERSION, as before. The parts of one region (its actors, shared memory) are
 * of one build: they are restarted together. */
#ifndef GODWIT_CORE_VERSION_H
#define GODWIT_CORE_VERSION_H
#include <stdbool.h>
#include <stdint.h>

/* How many versions this build understands beyond the oldest of each. 0 today; the programs of tests/e2e/next are linked
 * with 1. */
uint32_t version_ahead(void);

static inline bool version_is_understood(uint64_t version, uint32_t oldest)
{
	return version >= oldest && version <= (uint64_t)oldest + version_ahead();
}
/* In which version to write to a peer that understands up to `told`; 0: it has not told. */
static inline uint32_t version_agree(uint32_t oldest, uint32_t told)
{
	uint32_t newest = oldest + version_ahead();
	return told <= oldest ? oldest : told < newest ? told : newest;
}

#endif
