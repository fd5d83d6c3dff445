/* SPDX-License-Identifier: Apache-2.0
 *
 * How things look: colours, JSON, escaped bytes, numbers and times. */
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cmd/godwit/cli.h"
#include "core/commit_entry.h"

static const char *colour(const char *sequence)
{
	static int terminal = -1;
	if (terminal < 0)
		terminal = isatty(STDOUT_FILENO);
	return terminal ? sequence : "";
}

const char *cli_bold(void)
{
	return colour("\033[1m");
}

const char *cli_red(void)
{
	return colour("\033[31m");
}

const char *cli_green(void)
{
	return colour("\033[32m");
}

const char *cli_plain(void)
{
	return colour("\033[0m");
}

void cli_print_json(struct text *json)
{
	fwrite(json->bytes, 1, json->size, stdout);
	fputc('\n', stdout);
	text_clear(json);
}

void json_add_text(struct text *json, const char *name, const char *value)
{
	text_add(json, "\"%s\":", name);
	text_add_json_string(json, value, strlen(value));
}

static bool bytes_are_utf8(const uint8_t *bytes, size_t size)
{
	for (size_t at = 0; at < size;) {
		size_t step = text_utf8_size(bytes + at, size - at);
		if (step == 0)
			return false;
		at += step;
	}
	return true;
}

static void text_add_base64(struct text *out, const uint8_t *bytes, size_t size)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	for (size_t at = 0; at < size; at += 3) {
		size_t left = size - at;
		uint32_t word =
		    (uint32_t)bytes[at] << 16 | (left > 1 ? (uint32_t)bytes[at + 1] << 8 : 0) | (left > 2 ? bytes[at + 2] : 0);
		char four[4] = {digits[word >> 18], digits[word >> 12 & 63], left > 1 ? digits[word >> 6 & 63] : '=',
		    left > 2 ? digits[word & 63] : '='};
		text_add_bytes(out, four, sizeof four);
	}
}

void json_add_bytes(struct text *json, const char *name, const void *bytes, size_t size)
{
	if (bytes_are_utf8(bytes, size)) {
		text_add(json, "\"%s\":", name);
		text_add_json_string(json, bytes, size);
		return;
	}
	text_add(json, "\"%s_base64\":\"", name);
	text_add_base64(json, bytes, size);
	text_add(json, "\"");
}

void version_format(const void *bytes, size_t size, char out[static DOTTED_TEXT_MAX])
{
	struct dotted version;
	struct commit_id commit;
	if (commit_version_decode(&commit, bytes, size) == 0)
		commit_version_format(commit, out);
	else if (size == 0 || dotted_decode(&version, bytes, size) < 0)
		strcpy(out, "-");
	else
		dotted_format(&version, out);
}

void json_add_version(struct text *json, const char *name, const void *bytes, size_t size)
{
	char version[DOTTED_TEXT_MAX];
	version_format(bytes, size, version);
	json_add_text(json, name, version);
}

void text_add_escaped(struct text *out, const void *bytes, size_t size)
{
	const char *at = bytes, *end = at + size;
	while (at < end) {
		const char *plain = at;
		while (at < end && *at != '\\' && *at != '\t' && *at != '\n' && *at != '\r' && *at != 0)
			at++;
		text_add_bytes(out, plain, (size_t)(at - plain));
		if (at == end)
			return;
		char letter = *at == '\\' ? '\\' : *at == '\t' ? 't' : *at == '\n' ? 'n' : *at == '\r' ? 'r' : '0';
		text_add_bytes(out, (char[2]){'\\', letter}, 2);
		at++;
	}
}

const char *grouped(uint64_t number, char out[static 32])
{
	char digits[24];
	size_t size = (size_t)snprintf(digits, sizeof digits, "%llu", (unsigned long long)number), used = 0;
	for (size_t i = 0; i < size; i++) {
		if (i && (size - i) % 3 == 0)
			out[used++] = ',';
		out[used++] = digits[i];
	}
	out[used] = 0;
	return out;
}

void time_format(uint64_t wall_ms, char out[static 40])
{
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm parts;
	char date[32];
	if (!gmtime_r(&seconds, &parts) || !strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts))
		strcpy(date, "?");
	snprintf(out, 40, "%s.%03uZ", date, (unsigned)(wall_ms % 1000));
}

const char *bytes_format(uint64_t bytes, char out[static 32])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	double value = (double)bytes;
	unsigned unit = 0;
	while (value >= 1024 && unit < 4) {
		value /= 1024;
		unit++;
	}
	snprintf(out, 32, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return out;
}
