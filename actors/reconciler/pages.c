/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/reconciler/pages.h"

#include <assert.h>
#include <string.h>

struct page_reader {
	struct page_buffer *buffer;
	const uint8_t *mask;
	const uint8_t *after;
	uint32_t after_size;
	uint16_t keyspace;
	uint32_t examined;
	uint32_t group_size; /* of the key looked at last, cut; its bytes are in buffer->end */
};

static bool page_is_full(const struct page_reader *reader)
{
	const struct page_buffer *b = reader->buffer;
	return reader->examined >= PAGE_EXAMINED_MAX || b->page.row_count == PAGE_ROWS_MAX ||
	       b->key_bytes + RECONCILER_KEY_MAX > PAGE_KEY_BYTES_MAX;
}

static void page_add(struct page_buffer *b, const uint8_t *group, uint32_t group_size, bool same_group, struct digest digest)
{
	struct reconciler_row *last = b->page.row_count ? &b->rows[b->page.row_count - 1] : NULL;
	if (last && same_group && reconciler_key_compare(last->key, last->key_size, group, group_size) == 0) {
		digest_add(&last->digest, digest);
		return;
	}
	assert(b->page.row_count < PAGE_ROWS_MAX && b->key_bytes + group_size <= PAGE_KEY_BYTES_MAX);
	uint8_t *key = b->keys + b->key_bytes;
	memcpy(key, group, group_size);
	b->key_bytes += group_size;
	b->rows[b->page.row_count++] = (struct reconciler_row){.key = key, .key_size = group_size, .digest = digest};
}

static int page_visit(void *user, const uint8_t *key, size_t key_size, const uint8_t *row, size_t row_size)
{
	struct page_reader *reader = user;
	struct page_buffer *b = reader->buffer;
	uint32_t group_size = key_size < RECONCILER_KEY_MAX ? (uint32_t)key_size : RECONCILER_KEY_MAX;
	/* Behind a cut key the rest of its group comes again. */
	if (reader->after_size && reconciler_key_compare(key, group_size, reader->after, reader->after_size) <= 0)
		return 0;
	bool same_group = reader->group_size && reconciler_key_compare(key, group_size, b->end, reader->group_size) == 0;
	if (!same_group) {
		/* A page ends between groups only. */
		if (page_is_full(reader)) {
			b->page.more = true;
			return 1;
		}
		memcpy(b->end, key, group_size);
		reader->group_size = group_size;
	}
	reader->examined++;
	uint32_t bucket = row_digest_bucket(key, key_size);
	if (!(reader->mask[bucket / 8] & 1u << bucket % 8))
		return 0;
	if (row != NULL && row_bytes_are_deleted(row, row_size) == 1)
		return 0;
	/* A damaged row is like no row: the comparison names it. */
	const struct digest damaged = {.low = UINT64_MAX, .high = UINT64_MAX};
	page_add(b, b->end, group_size, same_group,
	    row != NULL ? row_digest(reader->keyspace, key, key_size, row, row_size) : damaged);
	return 0;
}

int page_read(struct page_buffer *buffer, struct rows_view *view, uint16_t keyspace,
    const uint8_t mask[static RECONCILER_MASK_SIZE], const uint8_t *after, uint32_t after_size)
{
	struct page_reader reader = {
	    .buffer = buffer, .mask = mask, .after = after, .after_size = after_size, .keyspace = keyspace};
	buffer->page = (struct reconciler_page){.rows = buffer->rows};
	buffer->key_bytes = 0;
	int rc = rows_scan(view, keyspace, NULL, 0, after_size ? after : NULL, after_size, page_visit, &reader);
	buffer->page.end = buffer->end;
	buffer->page.end_size = buffer->page.more ? reader.group_size : 0;
	return rc;
}
