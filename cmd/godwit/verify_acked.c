/* SPDX-License-Identifier: Apache-2.0
 *
 * verify --acked: reads each key that was acknowledged and compares versions. A write is there when the row has seen it: the
 * value may since have been replaced, by a write that had seen it or one that won. In a strong keyspace: when the row has that
 * version or a later one. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "cmd/godwit/cli.h"
#include "cmd/godwit/records.h"
#include "cmd/godwit/verify.h"
#include "core/commit_entry.h"
#include "runtime/waiting.h"

#define NAMED_MAX 20u

struct check {
	bool strong;
	struct commit_id commit; /* strong */
	struct vector version;   /* otherwise */
	uint64_t line;
	size_t key_size;
	uint8_t key[];
};
struct acked_check {
	struct cli *cli;
	uint64_t checked, missing, deleted, unanswered;
	struct text json;
};

static void missing_name(struct acked_check *a, const struct check *check, const char *what)
{
	struct text key = {0};
	if (a->missing + a->unanswered > NAMED_MAX)
		return;
	text_add_escaped(&key, check->key, check->key_size);
	if (!a->cli->json)
		printf("line %llu: %s: %s\n", (unsigned long long)check->line, key.bytes, what);
	text_add(&a->json, "%s{", a->json.size ? "," : "");
	json_add_bytes(&a->json, "key", check->key, check->key_size);
	text_add(&a->json, ",\"line\":%llu,", (unsigned long long)check->line);
	json_add_text(&a->json, "what", what);
	text_add(&a->json, "}");
	text_deinit(&key);
}

static bool version_parse(struct check *check, const char *text)
{
	check->strong = commit_version_parse(&check->commit, text) == 0;
	return check->strong || vector_parse(&check->version, text) >= 0;
}

static bool is_covered(const struct check *check, const struct client_result *result)
{
	struct commit_id commit;
	struct vector seen;
	if (check->strong)
		return commit_version_decode(&commit, result->version, result->version_size) == 0 &&
		       commit_id_compare(commit, check->commit) >= 0;
	return result->version_size && vector_decode(&seen, result->version, result->version_size) > 0 &&
	       vector_covers(&seen, &check->version);
}

static void check_done(void *user, const struct client_result *result)
{
	struct acked_check *a = user;
	struct check *check = result->user;
	char what[400], wanted[VECTOR_TEXT_MAX], found[DOTTED_TEXT_MAX];
	if (result->code && result->code != ERR_NOT_FOUND) {
		a->unanswered++;
		snprintf(what, sizeof what, "%s: %.200s", gw_error_name(result->code), result->reason);
		missing_name(a, check, what);
	} else if (!is_covered(check, result)) {
		a->missing++;
		if (check->strong)
			commit_version_format(check->commit, wanted);
		else
			vector_format(&check->version, wanted);
		version_format(result->version, result->version_size, found);
		snprintf(what, sizeof what, "acknowledged as %.150s, the region has seen %.150s", wanted, found);
		missing_name(a, check, what);
	} else {
		a->deleted += result->code == ERR_NOT_FOUND;
	}
	a->checked++;
	free(check);
}

/* A line as load wrote it: KEY (escaped) TAB REGION TAB VERSION. */
static int line_check(struct acked_check *a, struct gw_connection *connection, const char *path, uint64_t line, char *text,
    struct text *key, struct error_context *error)
{
	char *tab = strchr(text, '\t'), *second = tab ? strchr(tab + 1, '\t') : NULL;
	struct check parsed = {.line = line};
	if (second)
		second[strcspn(second, "\r\n")] = 0;
	if (!second || !version_parse(&parsed, second + 1) || !record_unescape((uint8_t *)text, (size_t)(tab - text), key) ||
	    key->size == 0 || key->size > KEY_SIZE_MAX)
		return error_set(
		    error, ERR_MALFORMED, "%s:%llu: not KEY TAB REGION TAB VERSION", path, (unsigned long long)line);
	struct check *check = malloc(sizeof *check + key->size);
	if (!check)
		return error_set(error, ERR_NO_MEMORY, "no memory");
	*check = parsed;
	check->key_size = key->size;
	memcpy(check->key, key->bytes, key->size);
	struct client_operation operation = {
	    .kind = CLIENT_GET, .keyspace = a->cli->keyspace, .key = check->key, .key_size = check->key_size, .user = check};
	int code;
	while ((code = client_submit(connection, &operation)) == ERR_FULL)
		client_poll(connection, 50, check_done, a);
	if (code) {
		free(check);
		return error_set(error, code, "%s:%llu: %s", path, (unsigned long long)line, error_text(code));
	}
	return ERR_OK;
}

static int file_check(struct acked_check *a, struct gw_connection *connection, const char *path, struct error_context *error)
{
	FILE *file = fopen(path, "re");
	char *text = NULL;
	size_t capacity = 0;
	struct text key = {0};
	int code = ERR_OK;
	if (!file)
		return error_set(error, ERR_USAGE, "%.200s: %s", path, strerror(errno));
	ssize_t size;
	struct waiting waiting = {.started_ns = cli_now_ns()};
	cli_interrupt_catch();
	for (uint64_t line = 1; !code && !cli_interrupted() && (size = getline(&text, &capacity, file)) >= 0; line++) {
		code = line_check(
		    a, connection, path, line, text + (line == 1 ? bytes_mark_size(text, (size_t)size) : 0), &key, error);
		if (waiting_is_due(&waiting, cli_now_ns()))
			fprintf(stderr, "checking: %llu of %llu lines of %s answered, %llu writes missing so far\n",
			    (unsigned long long)a->checked, (unsigned long long)line, path, (unsigned long long)a->missing);
	}
	if (!code && ferror(file))
		code = error_set(error, ERR_IO, "reading %s: %s", path, strerror(errno));
	while (gw_pending(connection) && !cli_interrupted()) {
		client_poll(connection, 100, check_done, a);
		if (waiting_is_due(&waiting, cli_now_ns()))
			fprintf(stderr, "checking: waiting for %u answers of %llu\n", gw_pending(connection),
			    (unsigned long long)(a->checked + gw_pending(connection)));
	}
	text_deinit(&key);
	free(text);
	fclose(file);
	return code;
}

int verify_acked(struct cli *cli, const char *path)
{
	struct acked_check a = {.cli = cli};
	struct error_context error = {{0}};
	char checked[32];
	int exit_code;
	struct gw_connection *connection = cli_connect_region(cli, &exit_code);
	if (!connection)
		return exit_code;
	int code = file_check(&a, connection, path, &error);
	gw_close(connection);
	if (cli->json && !code)
		printf("{\"checked\":%llu,\"missing\":%llu,\"unanswered\":%llu,\"deleted_since\":%llu,\"named\":[%s]}\n",
		    (unsigned long long)a.checked, (unsigned long long)a.missing, (unsigned long long)a.unanswered,
		    (unsigned long long)a.deleted, a.json.bytes ? a.json.bytes : "");
	else if (!code)
		printf("%s acknowledged writes checked, %llu missing\n", grouped(a.checked, checked),
		    (unsigned long long)a.missing);
	text_deinit(&a.json);
	if (code)
		return cli_fail_error(cli, code, &error);
	cli->json = false;
	if (a.missing)
		return cli_fail(cli, ERR_CHECK_FAILED, "%llu acknowledged writes are missing", (unsigned long long)a.missing);
	if (cli_interrupted()) {
		fprintf(stderr, "interrupted: the rest of %s was not checked\n", path);
		return CLI_EXIT_INTERRUPTED;
	}
	if (a.unanswered)
		return cli_fail(cli, ERR_UNREACHABLE, "%llu keys could not be read", (unsigned long long)a.unanswered);
	return 0;
}
