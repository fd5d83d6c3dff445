/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/reconciler/message.h"

#include <assert.h>
#include <string.h>

#include "runtime/socket.h"

#define DIGEST_SIZE 16u

static void put_u64(uint8_t *out, uint64_t value)
{
	for (int i = 0; i < 8; i++)
		out[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t get_u64(const uint8_t *bytes)
{
	uint64_t value = 0;
	for (int i = 0; i < 8; i++)
		value |= (uint64_t)bytes[i] << 8 * i;
	return value;
}

static void digest_put(uint8_t out[static DIGEST_SIZE], struct digest digest)
{
	put_u64(out, digest.low);
	put_u64(out + 8, digest.high);
}

static struct digest digest_get(const uint8_t bytes[static DIGEST_SIZE])
{
	return (struct digest){.low = get_u64(bytes), .high = get_u64(bytes + 8)};
}

static void pack(struct packer *p, Godwit__Peer__Envelope *envelope)
{
	envelope->protocol = version_agree(PROTOCOL_VERSION, p->newest[p->to]);
	envelope->newest = PROTOCOL_VERSION + version_ahead();
	envelope->cluster = (char *)p->topology->cluster;
	envelope->region = p->self;
	p->size = godwit__peer__envelope__get_packed_size(envelope);
	assert(p->size <= sizeof(p->bytes)); /* pages are limited so that it is */
	godwit__peer__envelope__pack(envelope, p->bytes);
}

void pack_ask(struct packer *p, const struct reconciler_ask *ask)
{
	Godwit__Peer__DigestRequest request = GODWIT__PEER__DIGEST_REQUEST__INIT;
	p->to = ask->peer;
	request.number = ask->number;
	request.keyspace = ask->keyspace;
	request.bucket = ask->bucket;
	if (ask->mask)
		request.mask = (ProtobufCBinaryData){.len = RECONCILER_MASK_SIZE, .data = (uint8_t *)ask->mask};
	request.after = (ProtobufCBinaryData){.len = ask->after_size, .data = (uint8_t *)ask->after};
	Godwit__Peer__Envelope envelope = GODWIT__PEER__ENVELOPE__INIT;
	envelope.body_case = GODWIT__PEER__ENVELOPE__BODY_DIGEST_REQUEST;
	envelope.digest_request = &request;
	pack(p, &envelope);
}

static void pack_reply(struct packer *p, Godwit__Peer__DigestReply *reply, const Godwit__Peer__DigestRequest *request,
    const struct vector *applied)
{
	uint8_t vector[VECTOR_ENCODED_MAX];
	reply->number = request->number;
	reply->keyspace = request->keyspace;
	reply->bucket = request->bucket;
	reply->applied = (ProtobufCBinaryData){.len = vector_encode(applied, vector), .data = vector};
	Godwit__Peer__Envelope envelope = GODWIT__PEER__ENVELOPE__INIT;
	envelope.body_case = GODWIT__PEER__ENVELOPE__BODY_DIGEST_REPLY;
	envelope.digest_reply = reply;
	pack(p, &envelope);
}

void pack_digests(struct packer *p, const Godwit__Peer__DigestRequest *request, const struct vector *applied,
    const struct digest buckets[static DIGEST_BUCKETS], uint64_t live_rows)
{
	uint8_t bytes[DIGEST_BUCKETS * DIGEST_SIZE];
	for (uint32_t b = 0; b < DIGEST_BUCKETS; b++)
		digest_put(bytes + b * DIGEST_SIZE, buckets[b]);
	Godwit__Peer__DigestReply reply = GODWIT__PEER__DIGEST_REPLY__INIT;
	reply.buckets = (ProtobufCBinaryData){.len = sizeof(bytes), .data = bytes};
	reply.live_rows = live_rows;
	pack_reply(p, &reply, request, applied);
}

void pack_page(struct packer *p, const Godwit__Peer__DigestRequest *request, const struct vector *applied,
    const struct reconciler_page *page)
{
	Godwit__Peer__DigestReply reply = GODWIT__PEER__DIGEST_REPLY__INIT;
	assert(page->row_count <= PAGE_ROWS_MAX);
	for (uint32_t i = 0; i < page->row_count; i++) {
		const struct reconciler_row *row = &page->rows[i];
		Godwit__Peer__RowDigest *out = &p->row_digests[i];
		godwit__peer__row_digest__init(out);
		digest_put(p->digest_bytes[i], row->digest);
		out->key = (ProtobufCBinaryData){.len = row->key_size, .data = (uint8_t *)row->key};
		out->digest = (ProtobufCBinaryData){.len = DIGEST_SIZE, .data = p->digest_bytes[i]};
		p->row_pointers[i] = out;
	}
	reply.n_rows = page->row_count;
	reply.rows = p->row_pointers;
	reply.more = page->more;
	reply.next = (ProtobufCBinaryData){.len = page->end_size, .data = (uint8_t *)page->end};
	pack_reply(p, &reply, request, applied);
}

int envelope_check(const Godwit__Peer__Envelope *envelope, const struct topology *topology, uint32_t self, const char *user)
{
	if (!version_is_understood(envelope->protocol, PROTOCOL_VERSION))
		return ERR_WRONG_VERSION;
	const struct region *sender = topology_region_by_id(topology, envelope->region);
	if (!sender || envelope->region == self || strcmp(envelope->cluster, topology->cluster) != 0 ||
	    (user && strcmp(user, sender->name) != 0))
		return ERR_CONFIGURATION;
	return 0;
}

int request_check(
    const Godwit__Peer__DigestRequest *request, const struct topology *topology, uint8_t mask[static RECONCILER_MASK_SIZE])
{
	if (request->keyspace >= topology->keyspace_count)
		return ERR_UNKNOWN_KEYSPACE;
	if (request->bucket < -1 || request->bucket >= (int32_t)DIGEST_BUCKETS || request->after.len > RECONCILER_KEY_MAX ||
	    (request->mask.len != 0 && request->mask.len != RECONCILER_MASK_SIZE))
		return ERR_MALFORMED;
	memset(mask, 0, RECONCILER_MASK_SIZE);
	if (request->mask.len)
		memcpy(mask, request->mask.data, RECONCILER_MASK_SIZE);
	else if (request->bucket >= 0)
		mask[request->bucket / 8] = (uint8_t)(1u << request->bucket % 8);
	return 0;
}

static int reply_read_vector(const Godwit__Peer__DigestReply *reply, struct vector *applied)
{
	long size = vector_decode(applied, reply->applied.data, reply->applied.len);
	return size > 0 && (size_t)size == reply->applied.len ? 0 : ERR_MALFORMED;
}

int reply_read_digests(
    const Godwit__Peer__DigestReply *reply, struct vector *applied, struct digest buckets[static DIGEST_BUCKETS])
{
	if (reply->bucket != -1 || reply->buckets.len != DIGEST_BUCKETS * DIGEST_SIZE)
		return ERR_MALFORMED;
	for (uint32_t b = 0; b < DIGEST_BUCKETS; b++)
		buckets[b] = digest_get(reply->buckets.data + b * DIGEST_SIZE);
	return reply_read_vector(reply, applied);
}

int reply_read_page(const Godwit__Peer__DigestReply *reply, const uint8_t *after, uint32_t after_size, struct vector *applied,
    struct reconciler_row *rows, struct reconciler_page *page)
{
	if (reply->bucket == -1 || reply->n_rows > PAGE_ROWS_MAX || reply->next.len > RECONCILER_KEY_MAX)
		return ERR_MALFORMED;
	for (size_t i = 0; i < reply->n_rows; i++) {
		const Godwit__Peer__RowDigest *row = reply->rows[i];
		if (row->digest.len != DIGEST_SIZE || row->key.len > RECONCILER_KEY_MAX)
			return ERR_MALFORMED;
		rows[i] = (struct reconciler_row){
		    .key = row->key.data, .key_size = (uint32_t)row->key.len, .digest = digest_get(row->digest.data)};
	}
	*page = (struct reconciler_page){.rows = rows,
	    .row_count = (uint32_t)reply->n_rows,
	    .end = reply->next.data,
	    .end_size = (uint32_t)reply->next.len,
	    .more = reply->more};
	if (!reconciler_page_is_valid(page, after, after_size))
		return ERR_MALFORMED;
	return reply_read_vector(reply, applied);
}
