/* SPDX-License-Identifier: Apache-2.0 */
#include "check/member.h"

#include <stdio.h>

#include "check/memory.h"

json_t *member_object(const char *bytes, size_t size, struct error_context *error)
{
	json_error_t mistake;
	json_t *object = json_loadb(bytes, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &mistake);
	if (!object)
		error_set(error, ERR_MALFORMED, "%s", mistake.text);
	else if (!json_is_object(object)) {
		error_set(error, ERR_MALFORMED, "not a JSON object");
		json_decref(object);
		object = NULL;
	}
	return object;
}

static int base64_digit(char c)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *found = c ? strchr(digits, c) : NULL;
	return found ? (int)(found - digits) : -1;
}

/* RFC 4648 with padding; the size of what was written, or -1. out has room for size bytes. */
static long base64_decode(const char *text, size_t size, char *out)
{
	size_t padding = 0, written = 0;
	if (size % 4 != 0)
		return -1;
	while (padding < 2 && padding < size && text[size - 1 - padding] == '=')
		padding++;
	for (size_t at = 0; at < size; at += 4) {
		uint32_t word = 0;
		for (size_t i = 0; i < 4; i++) {
			int digit = at + i >= size - padding ? 0 : base64_digit(text[at + i]);
			if (digit < 0)
				return -1;
			word = word << 6 | (uint32_t)digit;
		}
		for (int shift = 16; shift >= 0; shift -= 8)
			out[written++] = (char)(word >> shift & 0xff);
	}
	return (long)(written - padding);
}

int member_name_of(json_t *value, const char *name, struct names *names, uint32_t *number, struct error_context *error)
{
	char digits[32];
	*number = NAME_NONE;
	if (!value || json_is_null(value))
		return 0;
	if (json_is_integer(value)) {
		int size = snprintf(digits, sizeof digits, "%lld", (long long)json_integer_value(value));
		*number = names_add(names, digits, (size_t)size);
	} else if (json_is_string(value))
		*number = names_add(names, json_string_value(value), json_string_length(value));
	else
		return error_set(error, ERR_MALFORMED, "\"%s\" is neither text nor a whole number", name);
	return 0;
}

int member_name(json_t *object, const char *name, struct names *names, uint32_t *number, struct error_context *error)
{
	char name_base64[64];
	snprintf(name_base64, sizeof name_base64, "%s_base64", name);
	json_t *plain = json_object_get(object, name), *encoded = json_object_get(object, name_base64);
	if (!encoded || json_is_null(encoded))
		return member_name_of(plain, name, names, number, error);
	if (plain && !json_is_null(plain))
		return error_set(error, ERR_MALFORMED, "both \"%s\" and \"%s\"", name, name_base64);
	if (!json_is_string(encoded))
		return error_set(error, ERR_MALFORMED, "\"%s\" is not text", name_base64);
	size_t size = json_string_length(encoded);
	char *bytes = memory_resize(NULL, size, 1);
	long decoded = base64_decode(json_string_value(encoded), size, bytes);
	if (decoded >= 0)
		*number = names_add(names, bytes, (size_t)decoded);
	free(bytes);
	return decoded >= 0 ? 0 : error_set(error, ERR_MALFORMED, "\"%s\" is not base64", name_base64);
}

int member_integer(json_t *object, const char *name, int64_t minimum, int64_t *value, bool *given, struct error_context *error)
{
	json_t *member = json_object_get(object, name);
	*given = member && !json_is_null(member);
	if (!*given)
		return 0;
	if (!json_is_integer(member) || json_integer_value(member) < minimum)
		return error_set(error, ERR_MALFORMED, "\"%s\" is not a whole number from %lld", name, (long long)minimum);
	*value = json_integer_value(member);
	return 0;
}

int member_word(json_t *object, const char *name, const char *const *words, int *index, struct error_context *error)
{
	json_t *member = json_object_get(object, name);
	*index = -1;
	if (!member || json_is_null(member))
		return 0;
	if (!json_is_string(member))
		return error_set(error, ERR_MALFORMED, "\"%s\" is not text", name);
	for (int i = 0; words[i]; i++)
		if (strcmp(words[i], json_string_value(member)) == 0)
			*index = i;
	return *index >= 0 ? 0
	                   : error_set(error, ERR_MALFORMED, "\"%s\" is \"%.40s\", which is none of its words", name,
	                         json_string_value(member));
}
