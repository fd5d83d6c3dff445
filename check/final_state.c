/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "check/history.h"
#include "check/member.h"
#include "check/memory.h"

static int row_add(struct final_state *state, struct history *h, const char *bytes, size_t size, struct error_context *error)
{
	uint32_t key, value = NAME_NONE;
	json_t *object = member_object(bytes, size, error);
	if (!object)
		return ERR_MALFORMED;
	int code = member_name(object, "key", &h->keys, &key, error);
	if (!code)
		code = member_name(object, "value", &h->values, &value, error);
	json_decref(object);
	if (code)
		return code;
	if (key == NAME_NONE || value == NAME_NONE)
		return error_set(error, ERR_MALFORMED, "no \"%s\"", key == NAME_NONE ? "key" : "value");
	if (state->count == state->capacity) {
		uint32_t capacity = state->capacity;
		state->keys = memory_room(state->keys, state->count, &capacity, sizeof *state->keys);
		state->values = memory_room(state->values, state->count, &state->capacity, sizeof *state->values);
	}
	state->keys[state->count] = key;
	state->values[state->count++] = value + 1;
	return 0;
}

int final_state_add_text(
    struct final_state *state, struct history *h, const char *file, const char *bytes, size_t size, struct error_context *error)
{
	uint32_t line = 0;
	state->file = file;
	for (size_t at = 0; at < size;) {
		struct error_context reason;
		const char *newline = memchr(bytes + at, '\n', size - at);
		size_t line_size = newline ? (size_t)(newline - bytes) - at : size - at;
		line++;
		bool is_blank = line_size == 0 || (line_size == 1 && bytes[at] == '\r');
		int code = is_blank ? 0 : row_add(state, h, bytes + at, line_size, &reason);
		if (code)
			return error_set(error, code, "%s:%u: %s", file, line, reason.text);
		at += line_size + 1;
	}
	return 0;
}

void history_add_initial(struct history *h, const struct final_state *state)
{
	uint32_t nobody = names_add(&h->clients, "(initial)", 9), file = names_add(&h->files, state->file, strlen(state->file));
	for (uint32_t i = 0; i < state->count; i++) {
		struct operation o = {.kind = OPERATION_PUT,
		    .outcome = OUTCOME_OK,
		    .client = nobody,
		    .region = NAME_NONE,
		    .file = file,
		    .key = state->keys[i],
		    .value = state->values[i],
		    .line = i + 1,
		    .has_version = true,
		    .start_ns = -2,
		    .end_ns = -1};
		char session[32];
		/* A session each: none of them follows another. A version below all. */
		int size = snprintf(session, sizeof session, "\n(initial) %u", i);
		o.session = names_add(&h->sessions, session, (size_t)size);
		h->operations = memory_room(h->operations, h->count, &h->capacity, sizeof *h->operations);
		h->operations[h->count++] = o;
	}
}

void final_state_deinit(struct final_state *state)
{
	free(state->keys);
	free(state->values);
	*state = (struct final_state){0};
}
