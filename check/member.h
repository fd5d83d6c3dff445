/* SPDX-License-Identifier: Apache-2.0
 *
 * Members of one JSON object, checked. */
#ifndef GODWIT_CHECK_MEMBER_H
#define GODWIT_CHECK_MEMBER_H
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "check/names.h"

/* The one object that bytes hold; NULL with a reason. json_decref when done. */
json_t *member_object(const char *bytes, size_t size, struct error_context *error);
/* Text, a number or base64 (NAME_base64) as a number of the table; NAME_NONE when missing or null. */
int member_name(json_t *object, const char *name, struct names *names, uint32_t *number, struct error_context *error);
/* The same of a value that is already at hand. */
int member_name_of(json_t *value, const char *name, struct names *names, uint32_t *number, struct error_context *error);
/* A whole number from minimum; *given tells whether it was there. */
int member_integer(json_t *object, const char *name, int64_t minimum, int64_t *value, bool *given, struct error_context *error);
/* Which of the words, a list that ends with NULL; -1 when missing. */
int member_word(json_t *object, const char *name, const char *const *words, int *index, struct error_context *error);

#endif
