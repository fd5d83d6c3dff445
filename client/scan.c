/* SPDX-License-Identifier: Apache-2.0
 *
 * A scan: one page of rows at a time, copied, so that the rows outlive other calls with the connection. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/connection.h"
#include "core/record.h"

#define PAGE_ROWS_DEFAULT 1000u

struct gw_scan {
	struct gw_connection *connection;
	uint32_t timeout_ms, page_rows;
	enum gw_level level;
	char keyspace[CONNECTION_KEYSPACE_MAX + 1];
	size_t prefix_size, after_size;
	uint8_t prefix[KEY_SIZE_MAX], after[KEY_SIZE_MAX]; /* after: the last key of the pages so far */

	struct gw_row *rows; /* of this page; what they point to lies behind them */
	size_t row_count, next;
	bool ended; /* the region has no further page */
	char reason[GW_REASON_SIZE];
};

int gw_scan_begin(
    struct gw_connection *connection, struct gw_bytes prefix, const struct gw_scan_options *options, struct gw_scan **scan)
{
	static const struct gw_scan_options defaults;
	const struct gw_scan_options *o = options ? options : &defaults;
	const char *keyspace = o->keyspace ? o->keyspace : "";
	*scan = NULL;
	if (prefix.size > KEY_SIZE_MAX || o->after.size > KEY_SIZE_MAX)
		return ERR_KEY_TOO_LARGE;
	if (strlen(keyspace) > CONNECTION_KEYSPACE_MAX)
		return ERR_UNKNOWN_KEYSPACE;
	if (o->level > GW_LEVEL_STALE)
		return ERR_USAGE;
	struct gw_scan *s = calloc(1, sizeof *s);
	if (!s)
		return ERR_NO_MEMORY;
	s->connection = connection;
	s->timeout_ms = o->timeout_ms;
	s->page_rows = o->page_rows ? o->page_rows : PAGE_ROWS_DEFAULT;
	s->level = o->level;
	memcpy(s->keyspace, keyspace, strlen(keyspace) + 1);
	s->prefix_size = prefix.size;
	s->after_size = o->after.size;
	if (prefix.size)
		memcpy(s->prefix, prefix.data, prefix.size);
	if (o->after.size)
		memcpy(s->after, o->after.data, o->after.size);
	*scan = s;
	return ERR_OK;
}

static int fail(struct gw_scan *s, int code, const char *reason)
{
	snprintf(s->reason, sizeof s->reason, "%s", reason);
	return code;
}

/* Rows in the order of their keys, each behind the one before: a scan can only go forward. */
static bool is_in_order(const struct gw_scan *s, const Godwit__Client__Answer *answer)
{
	ProtobufCBinaryData last = {.len = s->after_size, .data = (uint8_t *)(uintptr_t)s->after};
	for (size_t i = 0; i < answer->n_rows; i++) {
		const ProtobufCBinaryData *key = &answer->rows[i]->key;
		size_t common = key->len < last.len ? key->len : last.len;
		int order = common ? memcmp(key->data, last.data, common) : 0;
		if (!key->len || key->len > KEY_SIZE_MAX || order < 0 || (order == 0 && key->len <= last.len))
			return false;
		last = *key;
	}
	return true;
}

static struct gw_bytes copy_bytes(uint8_t **at, const ProtobufCBinaryData *bytes)
{
	struct gw_bytes copy = gw_data(*at, bytes->len);
	if (bytes->len)
		memcpy(*at, bytes->data, bytes->len);
	*at += bytes->len;
	return copy;
}

static int page_keep(struct gw_scan *s, const Godwit__Client__Answer *answer)
{
	size_t size = answer->n_rows * sizeof *s->rows;
	if (!is_in_order(s, answer))
		return fail(s, ERR_MALFORMED, "the region answers with rows out of order");
	for (size_t i = 0; i < answer->n_rows; i++)
		size += answer->rows[i]->key.len + answer->rows[i]->value.len + answer->rows[i]->version.len;
	struct gw_row *rows = size ? malloc(size) : NULL;
	if (size && !rows)
		return fail(s, ERR_NO_MEMORY, "no memory for a page of rows");
	uint8_t *at = (uint8_t *)(rows + answer->n_rows);
	for (size_t i = 0; i < answer->n_rows; i++) {
		const Godwit__Client__Row *row = answer->rows[i];
		rows[i] = (struct gw_row){.hlc = row->hlc, .siblings = row->siblings};
		rows[i].key = copy_bytes(&at, &row->key);
		rows[i].value = copy_bytes(&at, &row->value);
		rows[i].version = copy_bytes(&at, &row->version);
	}
	if (answer->n_rows) {
		const ProtobufCBinaryData *last = &answer->rows[answer->n_rows - 1]->key;
		memcpy(s->after, last->data, last->len);
		s->after_size = last->len;
	}
	s->rows = rows;
	s->row_count = answer->n_rows;
	s->ended = !answer->more || !answer->n_rows;
	return ERR_OK;
}

static int page_fetch(struct gw_scan *s)
{
	struct client_operation operation = {.kind = CLIENT_SCAN,
	    .keyspace = s->keyspace,
	    .key = s->prefix,
	    .key_size = s->prefix_size,
	    .after = s->after,
	    .after_size = s->after_size,
	    .limit = s->page_rows,
	    .level = s->level,
	    .timeout_ms = s->timeout_ms};
	struct client_result result;
	free(s->rows);
	s->rows = NULL;
	s->row_count = s->next = 0;
	if (client_call(s->connection, &operation, &result) != ERR_OK)
		return fail(s, result.code, result.reason);
	return page_keep(s, result.answer);
}

int gw_scan_next(struct gw_scan *s, struct gw_row *row)
{
	s->reason[0] = 0;
	if (s->next == s->row_count && !s->ended) {
		int code = page_fetch(s);
		if (code)
			return code;
	}
	if (s->next == s->row_count)
		return ERR_EMPTY;
	*row = s->rows[s->next++];
	return ERR_OK;
}

const char *gw_scan_reason(const struct gw_scan *scan)
{
	return scan->reason;
}

void gw_scan_free(struct gw_scan *s)
{
	if (s)
		free(s->rows);
	free(s);
}
