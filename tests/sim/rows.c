/* SPDX-License-Identifier: Apache-2.0
 *
 * store/rows.h over the simulated disk, as far as readers use it: so the router's reads and the reconciler's pages are the
 * object files that ship. */
#include "store/rows.h"

#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

struct rows {
	struct sim_node *node;
};
struct rows_view {
	struct sim_disk *disk;
};
static struct sim *world;

void rows_show(struct sim *sim)
{
	world = sim;
}

int rows_open(struct rows **rows, const struct rows_options *options, struct error_context *error)
{
	(void)error;
	*rows = malloc(sizeof **rows);
	if (!*rows)
		abort();
	(*rows)->node = &world->nodes[options->region];
	return 0;
}

void rows_close(struct rows *rows)
{
	free(rows);
}

int rows_view_new(struct rows *rows, struct rows_view **view, struct error_context *error)
{
	(void)error;
	*view = malloc(sizeof **view);
	if (!*view)
		abort();
	(*view)->disk = &rows->node->disk;
	return 0;
}

void rows_view_free(struct rows_view *view)
{
	free(view);
}

int rows_view_begin(struct rows_view *view, struct error_context *error)
{
	(void)view;
	(void)error;
	return 0;
}

void rows_view_end(struct rows_view *view)
{
	(void)view;
}

struct rows_view *rows_view_of(struct sim_node *node)
{
	static struct rows_view view;
	view.disk = &node->disk;
	return &view;
}

int rows_get(struct rows_view *view, uint16_t keyspace, const uint8_t *key, size_t key_size, struct row *row)
{
	char text[SIM_KEY_SIZE] = {0};
	(void)keyspace;
	memcpy(text, key, key_size < SIM_KEY_SIZE ? key_size : SIM_KEY_SIZE - 1);
	const struct sim_row *stored = disk_row(view->disk, text, false);
	if (!stored || !stored->bytes)
		return ERR_NOT_FOUND;
	return row_decode(row, stored->bytes, stored->size);
}

int rows_get_committed(struct rows_view *view, uint16_t keyspace, const uint8_t *key, size_t key_size, struct commit_row *row)
{
	/* No keyspace here is strong: that has a simulator of its own. */
	(void)view;
	(void)keyspace;
	(void)key;
	(void)key_size;
	*row = (struct commit_row){0};
	return ERR_NOT_FOUND;
}

static int by_key(const void *a, const void *b)
{
	return strcmp((*(const struct sim_row *const *)a)->key, (*(const struct sim_row *const *)b)->key);
}

int rows_scan(struct rows_view *view, uint16_t keyspace, const uint8_t *prefix, size_t prefix_size, const uint8_t *after,
    size_t after_size, rows_visit *visit, void *user)
{
	const struct sim_disk *disk = view->disk;
	const struct sim_row **sorted = malloc((disk->row_count + 1) * sizeof *sorted);
	char behind[SIM_KEY_SIZE] = {0};
	uint32_t count = 0;
	(void)keyspace;
	if (!sorted)
		abort();
	if (after)
		memcpy(behind, after, after_size < SIM_KEY_SIZE ? after_size : SIM_KEY_SIZE - 1);
	for (uint32_t i = 0; i < disk->row_capacity; i++)
		if (disk->rows[i].bytes && strcmp(disk->rows[i].key, behind) > 0 && strlen(disk->rows[i].key) >= prefix_size &&
		    (!prefix_size || memcmp(disk->rows[i].key, prefix, prefix_size) == 0))
			sorted[count++] = &disk->rows[i];
	qsort(sorted, count, sizeof *sorted, by_key);
	for (uint32_t i = 0; i < count; i++)
		if (visit(user, (const uint8_t *)sorted[i]->key, strlen(sorted[i]->key), sorted[i]->bytes, sorted[i]->size))
			break;
	free(sorted);
	return 0;
}

int rows_view_meta(struct rows_view *view, struct rows_meta *meta)
{
	const struct sim_disk *disk = view->disk;
	*meta = (struct rows_meta){.applied_lsn = disk->applied_lsn,
	    .applied = disk->applied,
	    .hlc = disk->hlc,
	    .hlc_bound = disk->hlc_bound,
	    .conflicts = disk->conflicts};
	return 0;
}

int rows_view_digests(
    struct rows_view *view, uint16_t keyspace, struct digest buckets[static DIGEST_BUCKETS], uint64_t *live_rows)
{
	(void)keyspace;
	memcpy(buckets, view->disk->buckets, sizeof view->disk->buckets);
	*live_rows = view->disk->live_rows;
	return 0;
}

int rows_conflicts(
    struct rows_view *view, uint64_t before_id, int (*visit)(void *user, const struct conflict *conflict), void *user)
{
	(void)view;
	(void)before_id;
	(void)visit;
	(void)user;
	return ERR_UNSUPPORTED; /* the simulated store keeps no history of conflicts, and nobody asks for it */
}

int rows_conflict(struct rows_view *view, uint64_t id, struct conflict *conflict)
{
	(void)view;
	(void)id;
	(void)conflict;
	return ERR_UNSUPPORTED;
}
