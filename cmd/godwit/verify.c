/* SPDX-License-Identifier: Apache-2.0
 *
 * verify: are the regions identical? Digests are compared only at equal vectors: regions that are on their way are waited for.
 * While writes go on, rows are compared instead, at two looks. A region that stays behind is said to be not comparable, which
 * is something else than divergent. */
#include "cmd/godwit/verify.h"

#include <stdlib.h>
#include <string.h>

#include "cmd/godwit/survey.h"
#include "runtime/waiting.h"

#define ASK_TIMEOUT_MS 2000u
#define PAUSE_MS       50u
#define NAMED_MAX      50u

struct verify_flags {
	const char *acked;
	uint64_t wait_ms;
};
static struct verify_flags flags = {.wait_ms = 10000};
static const struct option verify_options[] = {
    {"wait-ms", 0, OPTION_U64, offsetof(struct verify_flags, wait_ms), 0, 86400000, "MS",
        "how long regions may take to catch up (default: 10000)"},
    {"acked", 0, OPTION_TEXT, offsetof(struct verify_flags, acked), 0, 0, "FILE",
        "check instead that --region holds each write acknowledged to `load --acked FILE`"},
    {0},
};

enum verdict { VERDICT_IDENTICAL, VERDICT_DIVERGENT, VERDICT_BEHIND, VERDICT_UNREACHABLE };

static enum verdict judge(const struct survey *survey, uint64_t keyspaces)
{
	enum verdict verdict = VERDICT_IDENTICAL;
	for (uint32_t k = 0; k < survey->cli->topology.keyspace_count; k++) {
		if (!(keyspaces & 1ull << k))
			continue;
		const struct survey_keyspace *first = &survey->regions[0].keyspaces[k];
		for (uint32_t i = 0; i < survey->region_count; i++) {
			const struct survey_keyspace *other = &survey->regions[i].keyspaces[k];
			if (!first->answered || !other->answered)
				return VERDICT_UNREACHABLE;
			if (vector_compare(&first->applied, &other->applied) != VECTOR_EQUAL)
				verdict = VERDICT_BEHIND;
			else if (memcmp(first->buckets, other->buckets, sizeof first->buckets) != 0 &&
			         verdict == VERDICT_IDENTICAL)
				verdict = VERDICT_DIVERGENT;
		}
	}
	return verdict;
}

/* Which regions lack what, over all these keyspaces. */
static void behind_tell(const struct survey *survey, uint64_t keyspaces, char out[static BEHIND_TEXT_MAX])
{
	struct vector applied[REGIONS_MAX] = {{{0}}};
	uint32_t known = 0;
	for (uint32_t i = 0; i < survey->region_count; i++) {
		for (uint32_t k = 0; k < survey->cli->topology.keyspace_count; k++) {
			if (!(keyspaces & 1ull << k) || !survey->regions[i].keyspaces[k].answered)
				continue;
			vector_join(&applied[i], &survey->regions[i].keyspaces[k].applied);
			known |= 1u << i;
		}
	}
	behind_write(&survey->cli->topology, known, applied, out);
}

/* On standard error, and only when it takes long: what is waited for. */
static void wait_tell(const struct survey *survey, uint64_t keyspaces, struct waiting *waiting, uint64_t most_ms)
{
	char behind[BEHIND_TEXT_MAX];
	uint64_t now_ns = cli_now_ns();
	if (!waiting_is_due(waiting, now_ns))
		return;
	behind_tell(survey, keyspaces, behind);
	fprintf(stderr, "waiting for the regions to have applied the same writes (%.0f s of %.0f): %s\n",
	    (double)(now_ns - waiting->started_ns) / 1e9, (double)most_ms / 1e3, behind[0] ? behind : "not all of them answer");
}

struct bucket_row {
	uint8_t *key;
	size_t key_size;
	uint8_t digest[16];
	uint32_t region; /* place */
};
struct bucket {
	struct bucket_row *rows;
	size_t count, capacity;
};

static int bucket_rows_take(struct bucket *bucket, uint32_t region, const Godwit__Client__Answer *answer)
{
	for (size_t i = 0; i < answer->n_rows; i++) {
		const Godwit__Client__Row *row = answer->rows[i];
		if (bucket->count == bucket->capacity) {
			size_t capacity = bucket->capacity ? bucket->capacity * 2 : 256;
			struct bucket_row *larger = realloc(bucket->rows, capacity * sizeof *larger);
			if (!larger)
				return ERR_NO_MEMORY;
			bucket->rows = larger;
			bucket->capacity = capacity;
		}
		if (row->value.len != 16 || row->key.len == 0 || row->key.len > KEY_SIZE_MAX)
			return ERR_MALFORMED;
		struct bucket_row *into = &bucket->rows[bucket->count];
		*into = (struct bucket_row){.key = malloc(row->key.len), .key_size = row->key.len, .region = region};
		if (!into->key)
			return ERR_NO_MEMORY;
		memcpy(into->key, row->key.data, row->key.len);
		memcpy(into->digest, row->value.data, 16);
		bucket->count++;
	}
	return ERR_OK;
}

/* All rows of one bucket in one region. */
static int bucket_read(struct survey *survey, uint32_t place, uint32_t keyspace, uint32_t number, struct bucket *bucket)
{
	struct survey_region *r = &survey->regions[place];
	uint8_t after[KEY_SIZE_MAX];
	size_t after_size = 0;
	struct client_result result;
	for (bool more = true; more;) {
		struct client_operation operation = {.kind = CLIENT_BUCKET,
		    .keyspace = survey->cli->topology.keyspaces[keyspace].name,
		    .level = GW_LEVEL_EVENTUAL, /* the rows as that region has them, in strong keyspaces too */
		    .limit = number,
		    .after = after,
		    .after_size = after_size};
		int code = client_call(r->connection, &operation, &result);
		if (code)
			return code;
		const Godwit__Client__Answer *answer = result.answer;
		code = bucket_rows_take(bucket, place, answer);
		if (code)
			return code;
		more = answer->more && answer->n_rows;
		if (more) {
			const ProtobufCBinaryData *last = &answer->rows[answer->n_rows - 1]->key;
			memcpy(after, last->data, last->len);
			after_size = last->len;
		}
	}
	return ERR_OK;
}

static int bucket_row_compare(const void *left, const void *right)
{
	const struct bucket_row *a = left, *b = right;
	size_t size = a->key_size < b->key_size ? a->key_size : b->key_size;
	int order = memcmp(a->key, b->key, size);
	if (order)
		return order;
	if (a->key_size != b->key_size)
		return a->key_size < b->key_size ? -1 : 1;
	return a->region < b->region ? -1 : a->region > b->region;
}

static void divergent_name(const struct survey *survey, uint32_t keyspace, const struct bucket_row *rows, size_t count,
    struct text *json, uint64_t found)
{
	struct text key = {0};
	text_add_escaped(&key, rows->key, rows->key_size < 80 ? rows->key_size : 80);
	if (!survey->cli->json && found <= NAMED_MAX)
		printf("  %s/%s:", survey->cli->topology.keyspaces[keyspace].name, key.bytes);
	if (found <= NAMED_MAX) {
		text_add(json, "%s{", found > 1 ? "," : "");
		json_add_text(json, "keyspace", survey->cli->topology.keyspaces[keyspace].name);
		text_add(json, ",");
		json_add_bytes(json, "key", rows->key, rows->key_size);
		text_add(json, ",\"digests\":{");
		for (uint32_t i = 0, at = 0; i < survey->region_count; i++) {
			const char *name = survey->regions[i].region->name;
			bool has = at < count && rows[at].region == i;
			char digest[9] = "absent";
			if (has) {
				const uint8_t *d = rows[at++].digest;
				snprintf(digest, sizeof digest, "%02x%02x%02x%02x", d[0], d[1], d[2], d[3]);
			}
			text_add(json, "%s", i ? "," : "");
			json_add_text(json, name, digest);
			if (!survey->cli->json)
				printf(" %s %s%s", name, digest, i + 1 < survey->region_count ? "," : "\n");
		}
		text_add(json, "}}");
	}
	text_deinit(&key);
}

/* Names the rows of one bucket that are not the same everywhere. */
static int bucket_compare(struct survey *survey, uint32_t keyspace, uint32_t number, struct text *json, uint64_t *found)
{
	struct bucket bucket = {0};
	int code = ERR_OK;
	for (uint32_t i = 0; !code && i < survey->region_count; i++)
		code = bucket_read(survey, i, keyspace, number, &bucket);
	if (!code && bucket.count)
		qsort(bucket.rows, bucket.count, sizeof *bucket.rows, bucket_row_compare);
	for (size_t at = 0, count; !code && at < bucket.count; at += count) {
		const struct bucket_row *first = &bucket.rows[at];
		bool same = true;
		for (count = 1; at + count < bucket.count; count++) {
			const struct bucket_row *other = &bucket.rows[at + count];
			if (other->key_size != first->key_size || memcmp(other->key, first->key, first->key_size) != 0)
				break;
			same = same && memcmp(first->digest, other->digest, 16) == 0;
		}
		if (!same || count != survey->region_count)
			divergent_name(survey, keyspace, first, count, json, ++*found);
	}
	for (size_t i = 0; i < bucket.count; i++)
		free(bucket.rows[i].key);
	free(bucket.rows);
	return code;
}

static int divergent_list(struct survey *survey, uint64_t keyspaces, struct text *json, uint64_t *found)
{
	for (uint32_t k = 0; k < survey->cli->topology.keyspace_count; k++) {
		if (!(keyspaces & 1ull << k))
			continue;
		for (uint32_t b = 0; b < DIGEST_BUCKETS; b++) {
			bool differs = false;
			const struct digest *first = &survey->regions[0].keyspaces[k].buckets[b];
			for (uint32_t i = 1; i < survey->region_count; i++)
				differs |= memcmp(first, &survey->regions[i].keyspaces[k].buckets[b], sizeof *first) != 0;
			int code = differs ? bucket_compare(survey, k, b, json, found) : ERR_OK;
			if (code)
				return code;
		}
	}
	return ERR_OK;
}

static void table_print(const struct survey *survey, uint64_t keyspaces)
{
	printf("%s%-16s %12s  %-32s %s%s\n", cli_bold(), "REGION", "ROWS", "DIGEST", "APPLIED", cli_plain());
	for (uint32_t i = 0; i < survey->region_count; i++) {
		const struct survey_region *r = &survey->regions[i];
		char rows[32], digest[40], applied[VECTOR_TEXT_MAX] = "-";
		uint64_t live = 0;
		bool answered = true;
		for (uint32_t k = 0; k < survey->cli->topology.keyspace_count; k++) {
			if (!(keyspaces & 1ull << k))
				continue;
			answered &= r->keyspaces[k].answered;
			live += r->keyspaces[k].live_rows;
			vector_format(&r->keyspaces[k].applied, applied);
		}
		digest_format(survey_digest_sum(r, keyspaces), digest);
		if (answered)
			printf("%-16s %12s  %-32s %s\n", r->region->name, grouped(live, rows), digest, applied);
		else
			printf("%-16s %12s  %s%s%s\n", r->region->name, "-", cli_red(), *r->reason ? r->reason : "no answer",
			    cli_plain());
	}
}

static void outcome_json(const struct survey *survey, uint64_t keyspaces, enum verdict verdict, const char *reason,
    uint64_t divergent, const struct text *rows, uint64_t waited_ms)
{
	struct text json = {0};
	char digest[40];
	text_add(&json, "{\"identical\":%s,\"comparable\":%s,", verdict == VERDICT_IDENTICAL ? "true" : "false",
	    verdict <= VERDICT_DIVERGENT ? "true" : "false");
	digest_format(survey_digest_sum(&survey->regions[0], keyspaces), digest);
	if (verdict == VERDICT_IDENTICAL)
		text_add(&json, "\"digest\":\"%s\",", digest);
	json_add_text(&json, "reason", reason);
	text_add(&json, ",\"waited_ms\":%llu,\"divergent_rows\":%llu,\"divergent\":[%s],\"regions\":[",
	    (unsigned long long)waited_ms, (unsigned long long)divergent, rows->bytes ? rows->bytes : "");
	for (uint32_t i = 0; i < survey->region_count; i++) {
		const struct survey_region *r = &survey->regions[i];
		char applied[VECTOR_TEXT_MAX] = "-";
		uint64_t live = 0;
		for (uint32_t k = 0; k < survey->cli->topology.keyspace_count; k++) {
			if (!(keyspaces & 1ull << k) || !r->keyspaces[k].answered)
				continue;
			live += r->keyspaces[k].live_rows;
			vector_format(&r->keyspaces[k].applied, applied);
		}
		text_add(&json, "%s{", i ? "," : "");
		json_add_text(&json, "name", r->region->name);
		digest_format(survey_digest_sum(r, keyspaces), digest);
		text_add(
		    &json, ",\"rows\":%llu,\"digest\":\"%s\",\"applied\":\"%s\"}", (unsigned long long)live, digest, applied);
	}
	text_add(&json, "]}");
	cli_print_json(&json);
	text_deinit(&json);
}

static void reason_write(const struct survey *survey, uint64_t keyspaces, enum verdict verdict, char *out, size_t size)
{
	size_t used = 0;
	out[0] = 0;
	if (verdict == VERDICT_BEHIND) {
		char behind[BEHIND_TEXT_MAX];
		behind_tell(survey, keyspaces, behind);
		used = (size_t)snprintf(out, size, "not comparable: the regions have not applied the same writes %s", "");
		used += (size_t)(cli_interrupted()
		                     ? snprintf(out + used, size - used, "so far (interrupted)")
		                     : snprintf(out + used, size - used, "after %llu ms", (unsigned long long)flags.wait_ms));
		snprintf(out + used, size - used, "%s%s%s", behind[0] ? ": " : "", behind,
		    cli_interrupted() ? "" : "; is a link cut? (--wait-ms)");
	}
	if (verdict != VERDICT_UNREACHABLE)
		return;
	used = (size_t)snprintf(out, size, "not comparable: no answer from ");
	for (uint32_t i = 0, named = 0; i < survey->region_count && used < size - 1; i++) {
		bool answered = true;
		for (uint32_t k = 0; k < survey->cli->topology.keyspace_count; k++)
			answered &= !(keyspaces & 1ull << k) || survey->regions[i].keyspaces[k].answered;
		if (!answered)
			used += (size_t)snprintf(out + used, size - used, "%s%s (%.100s)", named++ ? ", " : "",
			    survey->regions[i].region->name, *survey->regions[i].reason ? survey->regions[i].reason : "silent");
	}
}

static int conclude(struct survey *survey, uint64_t keyspaces, enum verdict verdict, uint64_t waited_ms)
{
	struct cli *cli = survey->cli;
	struct text rows = {0};
	uint64_t divergent = 0;
	char reason[512];
	int code = ERR_OK;
	reason_write(survey, keyspaces, verdict, reason, sizeof reason);
	if (!cli->json)
		table_print(survey, keyspaces);
	if (verdict == VERDICT_DIVERGENT)
		code = divergent_list(survey, keyspaces, &rows, &divergent);
	if (verdict == VERDICT_DIVERGENT)
		snprintf(reason, sizeof reason, "%llu rows differ between regions that applied the same writes",
		    (unsigned long long)divergent);
	if (code)
		snprintf(
		    reason, sizeof reason, "the digests differ, and the rows could not be compared (%s)", error_name(code));
	if (cli->json) {
		outcome_json(survey, keyspaces, verdict, reason, divergent, &rows, waited_ms);
		cli->json = false;
	} else if (verdict == VERDICT_IDENTICAL) {
		printf("%sidentical%s\n", cli_green(), cli_plain());
	}
	text_deinit(&rows);
	int exit_code = verdict == VERDICT_IDENTICAL ? 0 : cli_fail(cli, ERR_CHECK_FAILED, "%s", reason);
	return cli_interrupted() && verdict > VERDICT_DIVERGENT ? CLI_EXIT_INTERRUPTED : exit_code;
}

/* ---- while writes go on ----
 *
 * Equal vectors are never met then. Instead: a first look at all rows (A1, B1, ...), then every region applies all that any had
 * applied by the end of that look, then a second look. States of a row only grow, by merging writes. A row that no region has
 * changed between the looks contains, in each, all that the others had at the first look; so it is the same everywhere, or it
 * diverges. A row that has changed is compared by the next `verify`. In strong keyspaces a commit may be in the rows before its
 * stream brings it, for as long as another region needs to take a silent coordinator's place: the second look comes later
 * there. */
#define MOVING_STRONG_MS 15000u

static bool rows_same(const struct bucket_row *a, size_t a_count, const struct bucket_row *b, size_t b_count)
{
	bool same = a_count == b_count;
	for (size_t i = 0; same && i < a_count; i++)
		same = a[i].region == b[i].region && memcmp(a[i].digest, b[i].digest, 16) == 0;
	return same;
}

/* How many rows from here on are of one key; *differs: not the same in all regions. */
static size_t key_rows(const struct survey *survey, const struct bucket *bucket, size_t at, bool *differs)
{
	const struct bucket_row *first = &bucket->rows[at];
	size_t count = 1;
	*differs = false;
	for (; at + count < bucket->count; count++) {
		const struct bucket_row *other = &bucket->rows[at + count];
		if (other->key_size != first->key_size || memcmp(other->key, first->key, first->key_size) != 0)
			break;
		*differs |= memcmp(first->digest, other->digest, 16) != 0;
	}
	*differs |= count != survey->region_count;
	return count;
}

static void bucket_free(struct bucket *bucket)
{
	for (size_t i = 0; i < bucket->count; i++)
		free(bucket->rows[i].key);
	free(bucket->rows);
	*bucket = (struct bucket){0};
}

/* Reads one bucket everywhere. former NULL: keeps in *kept what differs. Else names what differs just as it did in `former`. */
static int bucket_look(struct survey *survey, uint32_t keyspace, uint32_t number, const struct bucket *former,
    struct bucket *kept, struct text *json, uint64_t *found)
{
	struct bucket bucket = {0};
	int code = ERR_OK;
	for (uint32_t i = 0; !code && i < survey->region_count; i++)
		code = bucket_read(survey, i, keyspace, number, &bucket);
	if (!code && bucket.count)
		qsort(bucket.rows, bucket.count, sizeof *bucket.rows, bucket_row_compare);
	for (size_t at = 0, count, old = 0; !code && at < bucket.count; at += count) {
		bool differs, was;
		size_t old_count = 0;
		count = key_rows(survey, &bucket, at, &differs);
		while (former && old < former->count && bucket_row_compare(&former->rows[old], &bucket.rows[at]) < 0 &&
		       (former->rows[old].key_size != bucket.rows[at].key_size ||
		           memcmp(former->rows[old].key, bucket.rows[at].key, bucket.rows[at].key_size) != 0))
			old++;
		if (former && old < former->count)
			old_count = key_rows(survey, former, old, &was);
		if (differs && former && old_count && former->rows[old].key_size == bucket.rows[at].key_size &&
		    memcmp(former->rows[old].key, bucket.rows[at].key, bucket.rows[at].key_size) == 0 &&
		    rows_same(&former->rows[old], old_count, &bucket.rows[at], count))
			divergent_name(survey, keyspace, &bucket.rows[at], count, json, ++*found);
	}
	if (!code && !former) {
		*kept = bucket;
		return ERR_OK;
	}
	bucket_free(&bucket);
	return code;
}

static bool differs_anywhere(const struct survey *survey, const struct bucket *bucket)
{
	bool any = false, differs;
	for (size_t at = 0; at < bucket->count && !any; at += key_rows(survey, bucket, at, &differs), any = any || differs)
		;
	return any;
}

/* Until each region has applied all that any of them has now. */
static bool cut_wait(struct survey *survey, uint64_t keyspaces, uint64_t pause_ms)
{
	struct vector cut = {{0}};
	uint64_t started_ns = cli_now_ns();
	struct waiting waiting = {.started_ns = started_ns};
	uint32_t k = (uint32_t)__builtin_ctzll(keyspaces);
	survey_ask(survey, false, 1ull << k, ASK_TIMEOUT_MS);
	for (uint32_t i = 0; i < survey->region_count; i++)
		vector_join(&cut, &survey->regions[i].keyspaces[k].applied);
	for (;;) {
		bool there = cli_now_ns() >= started_ns + pause_ms * 1000000;
		survey_ask(survey, false, 1ull << k, ASK_TIMEOUT_MS);
		for (uint32_t i = 0; i < survey->region_count; i++)
			there &= survey->regions[i].keyspaces[k].answered &&
			         vector_covers(&survey->regions[i].keyspaces[k].applied, &cut);
		if (there)
			return true;
		if (cli_interrupted())
			return false;
		wait_tell(survey, keyspaces, &waiting, pause_ms + flags.wait_ms);
		if (cli_now_ns() >= started_ns + (pause_ms + flags.wait_ms) * 1000000)
			return false;
		cli_sleep_ms(PAUSE_MS);
	}
}

static void look_tell(const struct survey *survey, uint32_t keyspace, uint32_t bucket, struct waiting *waiting)
{
	if (waiting_is_due(waiting, cli_now_ns()))
		fprintf(stderr, "comparing the rows of %s while they are written: %u of %u parts\n",
		    survey->cli->topology.keyspaces[keyspace].name, bucket + 1, DIGEST_BUCKETS);
}

static int keyspace_look(struct survey *survey, uint32_t keyspace, struct text *json, uint64_t *found, bool *reached)
{
	static struct bucket former[DIGEST_BUCKETS];
	const bool strong = survey->cli->topology.keyspaces[keyspace].level == LEVEL_STRONG;
	struct waiting waiting = {.started_ns = cli_now_ns()};
	bool any = false;
	int code = ERR_OK;
	for (uint32_t b = 0; !code && b < DIGEST_BUCKETS && !cli_interrupted(); b++) {
		code = bucket_look(survey, keyspace, b, NULL, &former[b], json, found);
		look_tell(survey, keyspace, b, &waiting);
		if (!code && !differs_anywhere(survey, &former[b]))
			bucket_free(&former[b]);
		any |= former[b].count != 0;
	}
	*reached = code || !any || cut_wait(survey, 1ull << keyspace, strong ? MOVING_STRONG_MS : 0);
	for (uint32_t b = 0; b < DIGEST_BUCKETS; b++) {
		if (!code && *reached && former[b].count && !cli_interrupted()) {
			code = bucket_look(survey, keyspace, b, &former[b], NULL, json, found);
			look_tell(survey, keyspace, b, &waiting);
		}
		bucket_free(&former[b]);
	}
	*reached &= !cli_interrupted();
	return code;
}

/* 0 or an exit code; -1: some region does not get as far as the others were, so there is no verdict. */
static int moving_verify(struct survey *survey, uint64_t keyspaces)
{
	struct cli *cli = survey->cli;
	struct text rows = {0}, json = {0};
	uint64_t found = 0;
	bool reached = true;
	int code = ERR_OK;
	for (uint32_t k = 0; !code && reached && k < cli->topology.keyspace_count; k++)
		if (keyspaces & 1ull << k)
			code = keyspace_look(survey, k, &rows, &found, &reached);
	if (!code && reached && cli->json) {
		text_add(&json,
		    "{\"identical\":%s,\"comparable\":true,\"while_written\":true,\"divergent_rows\":%llu,\"divergent\":[%s]}",
		    found ? "false" : "true", (unsigned long long)found, rows.bytes ? rows.bytes : "");
		cli_print_json(&json);
	}
	text_deinit(&rows);
	text_deinit(&json);
	if (!reached)
		return -1;
	if (code)
		return cli_fail(cli, code, "the rows could not be compared while they are written");
	if (!found && !cli->json)
		printf("%sidentical%s, compared row by row while writes go on\n", cli_green(), cli_plain());
	cli->json = found ? false : cli->json;
	return found ? cli_fail(cli, ERR_CHECK_FAILED, "%llu rows differ between regions that applied the same writes to them",
	                   (unsigned long long)found)
	             : 0;
}

static int verify_run(struct cli *cli)
{
	static struct survey survey;
	uint64_t keyspaces = survey_keyspaces_served(&cli->topology);
	enum verdict verdict;
	if (flags.acked)
		return verify_acked(cli, flags.acked);
	if (cli->region)
		return cli_fail(cli, ERR_USAGE, "--region goes with --acked only: all regions are compared");
	if (cli->keyspace) {
		int keyspace = topology_keyspace(&cli->topology, cli->keyspace);
		if (keyspace < 0)
			return cli_fail(cli, ERR_UNKNOWN_KEYSPACE, "there is no keyspace '%.60s'", cli->keyspace);
		if (!(keyspaces & 1ull << keyspace))
			return cli_fail(
			    cli, ERR_LEVEL_UNAVAILABLE, "keyspace %s is of a level that is not available", cli->keyspace);
		keyspaces = 1ull << keyspace;
	}
	int exit_code = survey_open(&survey, cli);
	if (exit_code)
		return exit_code;
	bool all_run = true;
	for (uint32_t i = 0; i < survey.region_count; i++)
		all_run &= survey.regions[i].connection != NULL;
	uint64_t started_ns = cli_now_ns(), waited_ms;
	struct waiting waiting = {.started_ns = started_ns};
	cli_interrupt_catch();
	for (;;) {
		survey_ask(&survey, false, keyspaces, ASK_TIMEOUT_MS);
		verdict = judge(&survey, keyspaces);
		waited_ms = (cli_now_ns() - started_ns) / 1000000;
		if (verdict <= VERDICT_DIVERGENT || !all_run || waited_ms >= flags.wait_ms || cli_interrupted())
			break;
		wait_tell(&survey, keyspaces, &waiting, flags.wait_ms);
		cli_sleep_ms(PAUSE_MS);
	}
	exit_code = verdict == VERDICT_BEHIND && all_run && !cli_interrupted() ? moving_verify(&survey, keyspaces) : -1;
	if (exit_code < 0)
		exit_code = conclude(&survey, keyspaces, verdict, waited_ms);
	survey_close(&survey);
	return exit_code;
}

const struct command command_verify = {.name = "verify",
    .arguments = "",
    .summary = "are all regions identical? exit code 1 and the rows that differ if not",
    .options = verify_options,
    .option_values = &flags,
    .run = verify_run};
