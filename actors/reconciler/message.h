/* SPDX-License-Identifier: Apache-2.0
 *
 * Envelopes of the reconciler: packing, and what is checked before anything in them is believed. */
#ifndef GODWIT_ACTORS_RECONCILER_MESSAGE_H
#define GODWIT_ACTORS_RECONCILER_MESSAGE_H
#include "actors/reconciler/pages.h"
#include "proto/peer.pb-c.h"
#include "runtime/topology.h"

#define RECONCILER_MESSAGE_MAX (1024u * 1024)

struct packer {
	const struct topology *topology;
	uint32_t self;
	uint32_t to;                  /* whom the next message is for */
	uint32_t newest[REGIONS_MAX]; /* version that each peer understands, as its last message told; 0: not told */
	Godwit__Peer__RowDigest row_digests[PAGE_ROWS_MAX];
	Godwit__Peer__RowDigest *row_pointers[PAGE_ROWS_MAX];
	uint8_t digest_bytes[PAGE_ROWS_MAX][16];
	size_t size;
	uint8_t bytes[RECONCILER_MESSAGE_MAX];
};

/* Each leaves the message in bytes and size. An answer goes to region `to` of the packer.*/
void pack_ask(struct packer *packer, const struct reconciler_ask *ask);
void pack_digests(struct packer *packer, const Godwit__Peer__DigestRequest *request, const struct vector *applied,
    const struct digest buckets[static DIGEST_BUCKETS], uint64_t live_rows);
void pack_page(struct packer *packer, const Godwit__Peer__DigestRequest *request, const struct vector *applied,
    const struct reconciler_page *page);

/* Protocol, cluster, sender (must be the region whose key the connection was made with; user may be NULL where there are no
 * keys, in tests). 0 or the code of the refusal. */
int envelope_check(const Godwit__Peer__Envelope *envelope, const struct topology *topology, uint32_t self, const char *user);
/* A question that can be answered; mask filled in where rows are asked for. ERR_MALFORMED, ERR_UNKNOWN_KEYSPACE. */
int request_check(
    const Godwit__Peer__DigestRequest *request, const struct topology *topology, uint8_t mask[static RECONCILER_MASK_SIZE]);
/* Answer to a question about all buckets. */
int reply_read_digests(
    const Godwit__Peer__DigestReply *reply, struct vector *applied, struct digest buckets[static DIGEST_BUCKETS]);
/* Answer to a question about rows behind `after`; rows: room for PAGE_ROWS_MAX, borrowing from the reply. */
int reply_read_page(const Godwit__Peer__DigestReply *reply, const uint8_t *after, uint32_t after_size, struct vector *applied,
    struct reconciler_row *rows, struct reconciler_page *page);

#endif
