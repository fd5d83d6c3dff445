/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/rights.h"

#include <stdio.h>
#include <string.h>

#include "runtime/keys.h"

const struct rights rights_all = {.read = true, .write = true, .admin = true, .keyspaces = "*"};

static bool word_is(const char *word, size_t size, const char *text)
{
	return strlen(text) == size && memcmp(word, text, size) == 0;
}

static size_t word_size(const char *at)
{
	return strcspn(at, ",");
}

int rights_parse(const char *words, const char *keyspaces, struct rights *rights, struct error_context *error)
{
	*rights = (struct rights){0};
	for (const char *at = words; at;) {
		size_t size = word_size(at);
		if (word_is(at, size, "read"))
			rights->read = true;
		else if (word_is(at, size, "write"))
			rights->write = true;
		else if (word_is(at, size, "admin"))
			rights->admin = true;
		else
			return error_set(error, ERR_CONFIGURATION,
			    "'%.*s' is no right; use read, write, admin, separated by commas", (int)(size < 40 ? size : 40),
			    at);
		at = at[size] ? at + size + 1 : NULL;
	}
	size_t size = strlen(keyspaces);
	if (size == 0 || size >= sizeof rights->keyspaces)
		return error_set(error, ERR_CONFIGURATION, "the list of keyspaces is empty or too long; * means all");
	memcpy(rights->keyspaces, keyspaces, size + 1);
	return 0;
}

int rights_parse_text(const char *text, struct rights *rights, struct error_context *error)
{
	char words[64], keyspaces[sizeof rights->keyspaces];
	const char *end = strchr(text, '\n');
	size_t first = end ? (size_t)(end - text) : 0, second = end ? strcspn(end + 1, "\n") : 0;
	if (!end || first >= sizeof words || second >= sizeof keyspaces)
		return error_set(error, ERR_CONFIGURATION, "rights are two lines: read,write,admin and keyspaces");
	snprintf(words, sizeof words, "%.*s", (int)first, text);
	snprintf(keyspaces, sizeof keyspaces, "%.*s", (int)second, end + 1);
	return rights_parse(words, keyspaces, rights, error);
}

void rights_format(const struct rights *rights, char out[static RIGHTS_TEXT_MAX])
{
	char words[32] = "";
	snprintf(words, sizeof words, "%s%s%s", rights->read ? ",read" : "", rights->write ? ",write" : "",
	    rights->admin ? ",admin" : "");
	snprintf(out, RIGHTS_TEXT_MAX, "%s\n%s", words[0] ? words + 1 : "", rights->keyspaces);
}

bool rights_has_keyspace(const struct rights *rights, const void *name, size_t size)
{
	if (strcmp(rights->keyspaces, "*") == 0)
		return true;
	if (size == 0) {
		name = "default";
		size = strlen(name);
	}
	for (const char *at = rights->keyspaces; at;) {
		size_t length = word_size(at);
		if (length == size && memcmp(at, name, size) == 0)
			return true;
		at = at[length] ? at + length + 1 : NULL;
	}
	return false;
}

int rights_load(const char *key_dir, const char *name, struct rights *rights, struct error_context *error)
{
	char text[RIGHTS_TEXT_MAX + 1];
	struct error_context reason = {0};
	*rights = (struct rights){0};
	int code = keys_read_file(key_dir, name, "rights", text, sizeof text, error);
	if (code)
		return code;
	code = rights_parse_text(text, rights, &reason);
	return code ? error_set(error, code, "%s/%s.rights: %.200s", key_dir, name, reason.text) : 0;
}
