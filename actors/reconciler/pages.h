/* SPDX-License-Identifier: Apache-2.0
 *
 * Pages of row digests, read from a view of the rows: what one side of a comparison sends, and the other sets beside it. */
#ifndef GODWIT_ACTORS_RECONCILER_PAGES_H
#define GODWIT_ACTORS_RECONCILER_PAGES_H
#include "actors/reconciler/reconciler.h"
#include "base/error.h"
#include "store/rows.h"

#define PAGE_ROWS_MAX      8192u
#define PAGE_KEY_BYTES_MAX (512u * 1024)
#define PAGE_EXAMINED_MAX  65536u /* rows looked at: a view is to be short, and another peer waits */

struct page_buffer {
	struct reconciler_page page; /* borrows from here */
	struct reconciler_row rows[PAGE_ROWS_MAX];
	uint32_t key_bytes;
	uint8_t keys[PAGE_KEY_BYTES_MAX];
	uint8_t end[RECONCILER_KEY_MAX];
};

/* Live rows of the buckets in the mask, behind `after`. Ends early, with `more`, at one of the limits above. */
int page_read(struct page_buffer *buffer, struct rows_view *view, uint16_t keyspace,
    const uint8_t mask[static RECONCILER_MASK_SIZE], const uint8_t *after, uint32_t after_size);

#endif
