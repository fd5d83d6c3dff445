/* SPDX-License-Identifier: Apache-2.0
 *
 * scan and export: many rows, page by page. */
#include <stdlib.h>
#include <string.h>

#include "cmd/godwit/cli.h"

#define PAGE_ROWS          1000u
#define SCAN_LIMIT_DEFAULT 1000u

struct scan_flags {
	const char *prefix, *level;
	uint64_t limit;
	bool stale_ok;
};
static struct scan_flags scan_flags = {.limit = SCAN_LIMIT_DEFAULT};
static struct scan_flags export_flags;

#define LEVEL_HELP "that of the keyspace or a weaker one; the rows of a strong one are listed with eventual"
static const struct option scan_options[] = {
    {"prefix", 0, OPTION_TEXT, offsetof(struct scan_flags, prefix), 0, 0, "P", "only keys that begin with it"},
    {"level", 0, OPTION_TEXT, offsetof(struct scan_flags, level), 0, 0, "LEVEL", LEVEL_HELP},
    {"stale-ok", 0, OPTION_BOOL, offsetof(struct scan_flags, stale_ok), 0, 0, NULL, STALE_HELP},
    {"limit", 0, OPTION_U64, offsetof(struct scan_flags, limit), 1, UINT64_MAX, "N", "at most so many rows (default: 1000)"},
    {0},
};
static const struct option export_options[] = {
    {"prefix", 0, OPTION_TEXT, offsetof(struct scan_flags, prefix), 0, 0, "P", "only keys that begin with it"},
    {"level", 0, OPTION_TEXT, offsetof(struct scan_flags, level), 0, 0, "LEVEL", LEVEL_HELP},
    {"stale-ok", 0, OPTION_BOOL, offsetof(struct scan_flags, stale_ok), 0, 0, NULL, STALE_HELP},
    {0},
};

static void row_print(const Godwit__Client__Row *row, bool json, struct text *out)
{
	text_clear(out);
	if (!json) {
		text_add_escaped(out, row->key.data, row->key.len);
		text_add(out, "\t");
		text_add_escaped(out, row->value.data, row->value.len);
		text_add(out, "\n");
		fwrite(out->bytes, 1, out->size, stdout);
		return;
	}
	text_add(out, "{");
	json_add_bytes(out, "key", row->key.data, row->key.len);
	text_add(out, ",");
	json_add_bytes(out, "value", row->value.data, row->value.len);
	text_add(out, ",");
	json_add_version(out, "version", row->version.data, row->version.len);
	text_add(out, ",\"hlc\":\"%llu\",\"siblings\":%u}", (unsigned long long)row->hlc, row->siblings);
	cli_print_json(out);
}

/* limit 0: all. *more: there would have been more. */
static int rows_print(struct cli *cli, const struct scan_flags *flags, bool json, uint64_t limit, uint64_t *rows, bool *more)
{
	uint8_t after[KEY_SIZE_MAX];
	size_t after_size = 0;
	struct text out = {0};
	struct client_result result;
	enum gw_level level;
	int exit_code = cli_read_level(cli, flags->level, flags->stale_ok, &level);
	if (exit_code)
		return exit_code;
	struct gw_connection *connection = cli_connect_region(cli, &exit_code);
	if (!connection)
		return exit_code;
	*rows = 0;
	do {
		struct client_operation operation = {.kind = CLIENT_SCAN,
		    .keyspace = cli->keyspace,
		    .level = level,
		    .key = flags->prefix,
		    .key_size = flags->prefix ? strlen(flags->prefix) : 0,
		    .after = after,
		    .after_size = after_size,
		    .limit = limit && limit - *rows < PAGE_ROWS ? (uint32_t)(limit - *rows) : PAGE_ROWS};
		exit_code = 0;
		if (client_call(connection, &operation, &result) != 0) {
			exit_code = cli_fail_result(cli, &result);
			break;
		}
		const Godwit__Client__Answer *answer = result.answer;
		for (size_t i = 0; i < answer->n_rows; i++)
			row_print(answer->rows[i], json, &out);
		*rows += answer->n_rows;
		*more = answer->more;
		if (answer->n_rows == 0)
			break;
		const ProtobufCBinaryData *last = &answer->rows[answer->n_rows - 1]->key;
		if (last->len == 0 || last->len > sizeof after) {
			exit_code = cli_fail(cli, ERR_MALFORMED, "the region answers with a key of %zu bytes", last->len);
			break;
		}
		memcpy(after, last->data, last->len);
		after_size = last->len;
	} while (*more && (!limit || *rows < limit) && !ferror(stdout));
	text_deinit(&out);
	gw_close(connection);
	return exit_code;
}

static int scan_run(struct cli *cli)
{
	uint64_t rows;
	bool more = false;
	int exit_code = rows_print(cli, &scan_flags, cli->json, scan_flags.limit, &rows, &more);
	if (!exit_code && more) {
		fflush(stdout);
		fprintf(stderr, "there are more than %llu rows; use --limit, or export\n", (unsigned long long)rows);
	}
	return exit_code;
}

static int export_run(struct cli *cli)
{
	uint64_t rows;
	bool more;
	return rows_print(cli, &export_flags, true, 0, &rows, &more);
}

const struct command command_scan = {.name = "scan",
    .arguments = "",
    .summary = "print rows in the order of their keys: key TAB value",
    .detail =
        "Tab, newline, carriage return, NUL and backslash are printed as \\t \\n \\r \\0 \\\\, so that `load` reads them back.",
    .options = scan_options,
    .option_values = &scan_flags,
    .run = scan_run};
const struct command command_export = {.name = "export",
    .arguments = "",
    .summary = "print all rows as JSON lines",
    .detail = "Members: key, value, version, hlc, siblings; key_base64 and value_base64 for bytes that are not UTF-8.\n"
              "`load --format jsonl` reads them back.",
    .options = export_options,
    .option_values = &export_flags,
    .run = export_run};
