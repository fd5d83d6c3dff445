/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/options.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "base/text.h"

static uint64_t option_maximum(const struct option *option)
{
	if (option->maximum)
		return option->maximum;
	return option->type == OPTION_U32 ? UINT32_MAX : UINT64_MAX;
}

/* Decimal digits only: strtoull would take signs, blanks and octal. */
static bool number_parse(const char *text, uint64_t *number)
{
	uint64_t value = 0;
	if (!*text)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		uint64_t digit = (uint64_t)(*text - '0');
		if (value > (UINT64_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*number = value;
	return true;
}

struct match {
	const struct option *option;
	void *into;
};

static struct match option_find(
    const struct option_set *sets, uint32_t set_count, const char *name, size_t name_size, char letter)
{
	for (uint32_t i = 0; i < set_count; i++)
		for (const struct option *o = sets[i].table; o && o->name; o++)
			if (letter ? o->letter == letter
			           : strlen(o->name) == name_size && memcmp(o->name, name, name_size) == 0)
				return (struct match){o, sets[i].into};
	return (struct match){0};
}

static int option_store(
    const char *program, const char *shown, struct match match, const char *value, struct error_context *error)
{
	const struct option *option = match.option;
	char *field = (char *)match.into + option->offset;
	uint64_t number = 0;
	switch (option->type) {
	case OPTION_TEXT:
		memcpy(field, &value, sizeof value);
		return 0;
	case OPTION_LIST: {
		struct option_list *list = (struct option_list *)(void *)field;
		if (list->count == OPTION_LIST_MAX)
			return error_set(error, ERR_USAGE, "%s: %s: given more than %u times", program, shown, OPTION_LIST_MAX);
		list->values[list->count++] = value;
		return 0;
	}
	case OPTION_U32:
	case OPTION_U64:
		if (!number_parse(value, &number) || number < option->minimum || number > option_maximum(option))
			return error_set(error, ERR_USAGE, "%s: %s: '%.60s' is not a number from %" PRIu64 " to %" PRIu64,
			    program, shown, value, option->minimum, option_maximum(option));
		if (option->type == OPTION_U32) {
			uint32_t narrow = (uint32_t)number;
			memcpy(field, &narrow, sizeof narrow);
		} else {
			memcpy(field, &number, sizeof number);
		}
		return 0;
	case OPTION_BOOL:
		break;
	}
	assert(false && "a flag without a value is stored by the caller");
	return ERR_USAGE;
}

/* One flag at argv[*at]; moves *at past it and its value. */
static int option_take(const struct option_set *sets, uint32_t set_count, const char *program, int argc, char **argv, int *at,
    struct error_context *error)
{
	const char *argument = argv[*at];
	bool is_long = argument[1] == '-';
	const char *name = is_long ? argument + 2 : argument + 1;
	size_t name_size = is_long ? strcspn(name, "=") : 1;
	const char *value = name[name_size] ? name + name_size + (is_long ? 1 : 0) : NULL;
	int shown_size = (int)(name - argument) + (int)(name_size < 40 ? name_size : 40);
	char shown[48];
	snprintf(shown, sizeof shown, "%.*s", shown_size, argument);
	struct match match = option_find(sets, set_count, name, name_size, is_long ? 0 : name[0]);
	if (!match.option)
		return error_set(error, ERR_USAGE, "%s: unknown flag %s; --help lists the known ones", program, shown);
	++*at;
	if (match.option->type == OPTION_BOOL) {
		if (value)
			return error_set(error, ERR_USAGE, "%s: %s takes no value", program, shown);
		bool yes = true;
		memcpy((char *)match.into + match.option->offset, &yes, sizeof yes);
		return 0;
	}
	if (!value) {
		if (*at >= argc)
			return error_set(error, ERR_USAGE, "%s: %s needs a value%s%s", program, shown,
			    match.option->value_name ? ": " : "", match.option->value_name ? match.option->value_name : "");
		value = argv[(*at)++];
	}
	return option_store(program, shown, match, value, error);
}

int options_parse_sets(const struct option_set *sets, uint32_t set_count, int *argc, char **argv, struct error_context *error)
{
	assert(*argc > 0);
	const char *slash = strrchr(argv[0], '/');
	const char *program = slash ? slash + 1 : argv[0];
	int kept = 1, at = 1;
	while (at < *argc) {
		if (argv[at][0] != '-' || argv[at][1] == 0) {
			argv[kept++] = argv[at++];
			continue;
		}
		if (strcmp(argv[at], "--") == 0) {
			at++;
			while (at < *argc)
				argv[kept++] = argv[at++];
			break;
		}
		int code = option_take(sets, set_count, program, *argc, argv, &at, error);
		if (code)
			return code;
	}
	*argc = kept;
	argv[kept] = NULL;
	return 0;
}

int options_parse(const struct option *table, void *into, int *argc, char **argv, struct error_context *error)
{
	return options_parse_sets(&(struct option_set){table, into}, 1, argc, argv, error);
}

void options_help(const struct option *table, FILE *out)
{
	for (const struct option *o = table; o && o->name; o++) {
		char left[64], letter[8] = "    ";
		if (o->letter)
			snprintf(letter, sizeof letter, "-%c, ", o->letter);
		snprintf(left, sizeof left, "%s--%s%s%s%s", letter, o->name, o->value_name ? " " : "",
		    o->value_name ? o->value_name : "", o->type == OPTION_LIST ? "..." : "");
		fprintf(out, "  %-34s %s", left, o->help ? o->help : "");
		if ((o->type == OPTION_U32 || o->type == OPTION_U64) && o->maximum)
			fprintf(out, " (%" PRIu64 " to %" PRIu64 ")", o->minimum, o->maximum);
		fputc('\n', out);
	}
}

static void text_add_json_text(struct text *out, const char *value)
{
	if (value)
		text_add_json_string(out, value, strlen(value));
	else
		text_add(out, "null");
}

static void option_json(const struct option *option, const char *field, struct text *out)
{
	switch (option->type) {
	case OPTION_TEXT: {
		const char *value;
		memcpy(&value, field, sizeof value);
		text_add_json_text(out, value);
		break;
	}
	case OPTION_U32: {
		uint32_t value;
		memcpy(&value, field, sizeof value);
		text_add(out, "%" PRIu32, value);
		break;
	}
	case OPTION_U64: {
		uint64_t value;
		memcpy(&value, field, sizeof value);
		text_add(out, "%" PRIu64, value);
		break;
	}
	case OPTION_BOOL: {
		bool value;
		memcpy(&value, field, sizeof value);
		text_add(out, value ? "true" : "false");
		break;
	}
	case OPTION_LIST: {
		const struct option_list *list = (const struct option_list *)(const void *)field;
		text_add(out, "[");
		for (uint32_t i = 0; i < list->count; i++) {
			text_add(out, i ? ", " : "");
			text_add_json_text(out, list->values[i]);
		}
		text_add(out, "]");
		break;
	}
	}
}

void options_json(const struct option *table, const void *from, struct text *out)
{
	text_add(out, "{");
	for (const struct option *o = table; o && o->name; o++) {
		text_add(out, "%s\"%s\": ", o == table ? "" : ", ", o->name);
		option_json(o, (const char *)from + o->offset, out);
	}
	text_add(out, "}");
}
