/* SPDX-License-Identifier: Apache-2.0
 *
 * godwit-check: judges histories that drivers recorded (check/history.h says in which format). */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/bytes.h"
#include "check/judge.h"
#include "check/memory.h"

#define FILE_SIZE_MAX (16ull * 1024 * 1024 * 1024)
#define FINALS_MAX    16u

enum exit_code { EXIT_FINE = 0, EXIT_VIOLATION = 1, EXIT_USAGE = 2, EXIT_UNDECIDED = 3 };

static const char usage_text[] =
    "usage: godwit-check [OPTION]... HISTORY...\n"
    "Judges histories (JSON lines). Several files are one history, recorded with one clock.\n\n"
    "  --level LEVEL         eventual, session, causal or strong (strong)\n"
    "  --final FILE          what a region holds in the end (`godwit export`); once a region\n"
    "  --initial FILE        what was there before (`godwit export`)\n"
    "  --value-bytes N       histories hold only the first N bytes of each value (godwit-bench: 24)\n"
    "  --min-ok N            ok writes that every region needs (1)\n"
    "  --fault START:END     nanoseconds: as many are needed between these, and after them\n"
    "  --clock-skew-ms N     below strong, a write replaces another region's only if it is that much later (500)\n"
    "  --bank PREFIX[=TOTAL] keys that begin with PREFIX are accounts of a bank\n"
    "  --other-keys          regions may hold keys that the history does not write\n"
    "  --effort N            steps of a search before it is too hard (1000000000)\n"
    "  --json                one JSON object\n\n"
    "Exit codes: 0 fine, 1 violation, 2 usage or a file that cannot be read, 3 proves nothing or too hard.\n";

enum option_letter {
	OPTION_LEVEL = 256,
	OPTION_FINAL,
	OPTION_OK_MIN,
	OPTION_INITIAL,
	OPTION_VALUE_BYTES,
	OPTION_FAULT,
	OPTION_SKEW,
	OPTION_BANK,
	OPTION_OTHER,
	OPTION_EFFORT,
	OPTION_JSON,
	OPTION_HELP
};
static const struct option long_options[] = {{"level", required_argument, NULL, OPTION_LEVEL},
    {"final", required_argument, NULL, OPTION_FINAL}, {"min-ok", required_argument, NULL, OPTION_OK_MIN},
    {"initial", required_argument, NULL, OPTION_INITIAL}, {"value-bytes", required_argument, NULL, OPTION_VALUE_BYTES},
    {"fault", required_argument, NULL, OPTION_FAULT}, {"clock-skew-ms", required_argument, NULL, OPTION_SKEW},
    {"bank", required_argument, NULL, OPTION_BANK}, {"other-keys", no_argument, NULL, OPTION_OTHER},
    {"effort", required_argument, NULL, OPTION_EFFORT}, {"json", no_argument, NULL, OPTION_JSON},
    {"help", no_argument, NULL, OPTION_HELP}, {NULL, 0, NULL, 0}};

struct command_line {
	struct judge_options judge;
	const char *final_paths[FINALS_MAX];
	const char *initial_path;
	uint64_t value_bytes;
	bool json, help;
};

static bool number_parse(const char *text, uint64_t *value)
{
	char *end;
	errno = 0;
	*value = strtoull(text, &end, 10);
	return text[0] >= '0' && text[0] <= '9' && !*end && errno == 0;
}

static bool level_parse(const char *text, enum level *level)
{
	static const char *const names[] = {"eventual", "session", "causal", "strong"};
	for (int i = LEVEL_EVENTUAL; i <= LEVEL_STRONG; i++) {
		if (strcmp(text, names[i]) == 0) {
			*level = (enum level)i;
			return true;
		}
	}
	return false;
}

static bool fault_parse(char *text, struct judge_options *options)
{
	char *colon = strchr(text, ':');
	uint64_t start, end;
	if (!colon)
		return false;
	*colon = 0;
	if (!number_parse(text, &start) || !number_parse(colon + 1, &end) || start > end || end > INT64_MAX)
		return false;
	options->has_fault = true;
	options->fault_start_ns = (int64_t)start;
	options->fault_end_ns = (int64_t)end;
	return true;
}

static bool bank_parse(char *text, struct judge_options *options)
{
	char *equals = strrchr(text, '='), *end;
	options->bank_prefix = text;
	if (!equals)
		return *text != 0;
	*equals = 0;
	errno = 0;
	options->bank_total = strtoll(equals + 1, &end, 10);
	options->has_bank_total = true;
	return *text && equals[1] && !*end && errno == 0;
}

static bool option_take(struct command_line *line, int letter, char *argument)
{
	switch (letter) {
	case OPTION_LEVEL:
		return level_parse(argument, &line->judge.level);
	case OPTION_FINAL:
		if (line->judge.final_count == FINALS_MAX)
			return false;
		line->final_paths[line->judge.final_count++] = argument;
		return true;
	case OPTION_INITIAL:
		line->initial_path = argument;
		return true;
	case OPTION_VALUE_BYTES:
		return number_parse(argument, &line->value_bytes) && line->value_bytes > 0;
	case OPTION_OK_MIN:
		return number_parse(argument, &line->judge.ok_min);
	case OPTION_FAULT:
		return fault_parse(argument, &line->judge);
	case OPTION_SKEW:
		return number_parse(argument, &line->judge.clock_skew_ms);
	case OPTION_BANK:
		return bank_parse(argument, &line->judge);
	case OPTION_EFFORT:
		return number_parse(argument, &line->judge.effort) && line->judge.effort > 0;
	case OPTION_OTHER:
		line->judge.other_keys_allowed = true;
		return true;
	case OPTION_JSON:
		line->json = true;
		return true;
	default:
		line->help = letter == OPTION_HELP;
		return line->help;
	}
}

/* The whole file, or NULL with a message printed. */
static char *file_read(const char *path, size_t *size)
{
	FILE *file = fopen(path, "rb");
	char *bytes = NULL;
	size_t capacity = 0, got = 0;
	*size = 0;
	while (file && *size <= FILE_SIZE_MAX) {
		if (*size == capacity) {
			capacity = capacity ? capacity * 2 : 1 << 16;
			bytes = memory_resize(bytes, capacity, 1);
		}
		got = fread(bytes + *size, 1, capacity - *size, file);
		*size += got;
		if (got == 0)
			break;
	}
	if (file && !ferror(file) && got == 0) {
		fclose(file);
		return bytes;
	}
	fprintf(stderr, "godwit-check: %s: %s\n", path, *size > FILE_SIZE_MAX ? "larger than 16 GiB" : strerror(errno));
	if (file)
		fclose(file);
	free(bytes);
	return NULL;
}

enum file_kind { FILE_INITIAL, FILE_HISTORY, FILE_FINAL };

static int file_add(struct history *history, enum file_kind kind, const char *path, struct final_state *final)
{
	struct error_context error;
	struct final_state initial = {0};
	size_t size;
	char *whole = file_read(path, &size);
	if (!whole)
		return ERR_IO;
	size_t mark_size = bytes_mark_size(whole, size);
	const char *bytes = whole + mark_size;
	size -= mark_size;
	int code = kind == FILE_HISTORY
	               ? history_add_text(history, path, bytes, size, &error)
	               : final_state_add_text(kind == FILE_FINAL ? final : &initial, history, path, bytes, size, &error);
	if (kind == FILE_INITIAL && !code)
		history_add_initial(history, &initial);
	if (code)
		fprintf(stderr, "godwit-check: %s\n", error.text);
	final_state_deinit(&initial);
	free(whole);
	return code;
}

static int files_read(struct history *history, struct command_line *line, struct final_state *finals, int count, char **paths)
{
	int code = line->initial_path ? file_add(history, FILE_INITIAL, line->initial_path, NULL) : 0;
	for (int i = 0; i < count && !code; i++)
		code = file_add(history, FILE_HISTORY, paths[i], NULL);
	for (uint32_t i = 0; i < line->judge.final_count && !code; i++)
		code = file_add(history, FILE_FINAL, line->final_paths[i], &finals[i]);
	return code;
}

static void report_print(const struct report *report)
{
	for (uint32_t i = 0; i < report->count; i++) {
		const struct check *check = &report->checks[i];
		printf("%-16s %-15s %s\n", check->name, verdict_name(check->verdict), check->counts);
	}
	for (uint32_t i = 0; i < report->count; i++) {
		const struct check *check = &report->checks[i];
		for (uint64_t j = 0; j < check->violations && j < VIOLATIONS_KEPT_MAX; j++)
			printf("\n%s: %s\n", check->name, check->texts[j]);
		if (check->violations > VIOLATIONS_KEPT_MAX)
			printf("\n%s: and %llu more\n", check->name,
			    (unsigned long long)(check->violations - VIOLATIONS_KEPT_MAX));
	}
	printf("\n%s\n", verdict_name(report_verdict(report)));
}

static void report_print_json(const struct report *report)
{
	json_t *checks = json_array(), *whole;
	for (uint32_t i = 0; i < report->count; i++) {
		const struct check *check = &report->checks[i];
		json_t *texts = json_array();
		for (uint64_t j = 0; j < check->violations && j < VIOLATIONS_KEPT_MAX; j++)
			json_array_append_new(texts, json_string(check->texts[j]));
		json_array_append_new(
		    checks, json_pack("{s:s, s:s, s:s, s:I, s:o}", "name", check->name, "verdict", verdict_name(check->verdict),
		                "counts", check->counts, "findings", (json_int_t)check->violations, "texts", texts));
	}
	whole = json_pack("{s:s, s:o}", "verdict", verdict_name(report_verdict(report)), "checks", checks);
	json_dumpf(whole, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(whole);
}

static enum exit_code history_judge(const struct history *history, const struct command_line *line)
{
	static const enum exit_code codes[] = {[VERDICT_FINE] = EXIT_FINE,
	    [VERDICT_VIOLATION] = EXIT_VIOLATION,
	    [VERDICT_PROVES_NOTHING] = EXIT_UNDECIDED,
	    [VERDICT_TOO_HARD] = EXIT_UNDECIDED};
	struct report report = {.count = 0};
	struct error_context error;
	enum exit_code exit_code = EXIT_USAGE;
	if (judge(history, &line->judge, &report, &error))
		fprintf(stderr, "godwit-check: %s\n", error.text);
	else {
		(line->json ? report_print_json : report_print)(&report);
		exit_code = codes[report_verdict(&report)];
	}
	report_deinit(&report);
	return exit_code;
}

int main(int argc, char **argv)
{
	struct command_line line = {.judge = JUDGE_OPTIONS_DEFAULT};
	struct final_state finals[FINALS_MAX] = {{0}};
	struct history history;
	int letter;
	while ((letter = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (option_take(&line, letter, optarg))
			continue;
		if (letter != '?')
			fprintf(stderr, "godwit-check: %s cannot be used with %s\n", optarg, argv[optind - 1]);
		return EXIT_USAGE;
	}
	if (line.help || optind == argc) {
		fputs(usage_text, line.help ? stdout : stderr);
		return line.help ? EXIT_FINE : EXIT_USAGE;
	}
	history_init(&history, line.value_bytes);
	line.judge.finals = finals;
	enum exit_code exit_code =
	    files_read(&history, &line, finals, argc - optind, argv + optind) ? EXIT_USAGE : history_judge(&history, &line);
	for (uint32_t i = 0; i < line.judge.final_count; i++)
		final_state_deinit(&finals[i]);
	history_deinit(&history);
	return (int)exit_code;
}
