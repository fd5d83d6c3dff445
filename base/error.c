/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

struct error_row {
	int code;
	int exit_code;
	enum error_outcome outcome;
	const char *name;
	const char *text;
};

static const struct error_row error_rows[] = {
#define X(name, value, exit_code, outcome, text) {value, exit_code, ERROR_OUTCOME_##outcome, #name, text},
    ERROR_TABLE(X)
#undef X
};

/* Searched, not indexed: codes arrive from the network as any number, and the table may get gaps. */
static const struct error_row *error_find(int code)
{
	for (size_t i = 0; i < sizeof error_rows / sizeof error_rows[0]; i++) {
		if (error_rows[i].code == code)
			return &error_rows[i];
	}
	return NULL;
}

const char *error_name(int code)
{
	const struct error_row *row = error_find(code);
	return row ? row->name : "INVALID_CODE";
}

const char *error_text(int code)
{
	const struct error_row *row = error_find(code);
	return row ? row->text : "a code that this version does not know";
}

int error_exit_code(int code)
{
	const struct error_row *row = error_find(code);
	/* An unknown code says nothing about what happened, so the outcome is not known either. */
	return row ? row->exit_code : error_exit_code(ERR_UNKNOWN_OUTCOME);
}

enum error_outcome error_outcome(int code)
{
	const struct error_row *row = error_find(code);
	return row ? row->outcome : ERROR_OUTCOME_UNKNOWN;
}

int error_set(struct error_context *e, int code, const char *format, ...)
{
	if (e) {
		va_list arguments;
		va_start(arguments, format);
		vsnprintf(e->text, sizeof e->text, format, arguments);
		va_end(arguments);
	}
	return code;
}
