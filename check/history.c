/* SPDX-License-Identifier: Apache-2.0 */
#include "check/history.h"

#include <stdio.h>

#include "check/member.h"
#include "check/memory.h"

static const char *const kind_words[] = {[OPERATION_GET] = "get",
    [OPERATION_PUT] = "put",
    [OPERATION_DELETE] = "delete",
    [OPERATION_CAS] = "cas",
    [OPERATION_APPEND] = "append",
    [OPERATION_TRANSACTION] = "txn",
    NULL};
static const char *const outcome_words[] = {[OUTCOME_OK] = "ok", [OUTCOME_FAIL] = "fail", [OUTCOME_UNKNOWN] = "unknown", NULL};

void history_init(struct history *history, size_t value_size_max)
{
	*history = (struct history){.values = {.size_max = value_size_max}};
}

void history_deinit(struct history *history)
{
	free(history->operations);
	free(history->accesses);
	free(history->list_values);
	names_deinit(&history->keys);
	names_deinit(&history->values);
	names_deinit(&history->clients);
	names_deinit(&history->sessions);
	names_deinit(&history->regions);
	names_deinit(&history->files);
	*history = (struct history){0};
}

/* Numbers of values start at 1, because 0 is no value. */
static int value_take(struct history *h, json_t *object, const char *name, uint32_t *value, struct error_context *error)
{
	uint32_t number;
	int code = member_name(object, name, &h->values, &number, error);
	if (!code)
		*value = number == NAME_NONE ? VALUE_ABSENT : number + 1;
	return code;
}

static int key_take(struct history *h, json_t *object, uint32_t *key, struct error_context *error)
{
	int code = member_name(object, "key", &h->keys, key, error);
	if (!code && *key == NAME_NONE)
		return error_set(error, ERR_MALFORMED, "no \"key\"");
	return code;
}

static int list_take(struct history *h, json_t *list, struct access *access, struct error_context *error)
{
	size_t index;
	json_t *element;
	access->is_list = true;
	access->list_first = h->list_count;
	access->list_count = (uint32_t)json_array_size(list);
	json_array_foreach(list, index, element)
	{
		uint32_t number;
		int code = member_name_of(element, "value", &h->values, &number, error);
		if (code)
			return code;
		if (number == NAME_NONE)
			return error_set(error, ERR_MALFORMED, "null in a list");
		h->list_values = memory_room(h->list_values, h->list_count, &h->list_capacity, sizeof *h->list_values);
		h->list_values[h->list_count++] = number + 1;
	}
	return 0;
}

/* One step: an element of "ops", or a whole line that is about a list. */
static int access_take(struct history *h, json_t *object, enum operation_kind kind, struct error_context *error)
{
	struct access access = {.kind = kind};
	json_t *value = json_object_get(object, "value");
	int code = key_take(h, object, &access.key, error);
	if (!code && json_is_array(value)) {
		if (kind != OPERATION_GET)
			return error_set(error, ERR_MALFORMED, "a list as the value of what is not a get");
		code = list_take(h, value, &access, error);
	} else if (!code && kind != OPERATION_DELETE)
		code = value_take(h, object, "value", &access.value, error);
	if (code)
		return code;
	if ((kind == OPERATION_PUT || kind == OPERATION_APPEND) && access.value == VALUE_ABSENT)
		return error_set(error, ERR_MALFORMED, "a put or append without a \"value\"");
	h->accesses = memory_room(h->accesses, h->access_count, &h->access_capacity, sizeof *h->accesses);
	h->accesses[h->access_count++] = access;
	return 0;
}

static int accesses_take(struct history *h, json_t *list, struct operation *o, struct error_context *error)
{
	size_t index;
	json_t *element;
	if (!json_is_array(list) || json_array_size(list) == 0)
		return error_set(error, ERR_MALFORMED, "a transaction without a list \"ops\"");
	o->access_first = h->access_count;
	json_array_foreach(list, index, element)
	{
		int kind;
		if (!json_is_object(element))
			return error_set(error, ERR_MALFORMED, "\"ops\" holds what is not an object");
		int code = member_word(element, "op", kind_words, &kind, error);
		if (code)
			return code;
		if (kind < 0 || kind == OPERATION_CAS || kind == OPERATION_TRANSACTION)
			return error_set(error, ERR_MALFORMED, "a step that is not get, put, delete or append");
		code = access_take(h, element, (enum operation_kind)kind, error);
		if (code)
			return code;
	}
	o->access_count = h->access_count - o->access_first;
	return 0;
}

/* key, value, expect and applied, or the steps. */
static int content_take(struct history *h, json_t *object, struct operation *o, struct error_context *error)
{
	json_t *steps = json_object_get(object, "ops"), *applied = json_object_get(object, "applied");
	if (o->kind == OPERATION_TRANSACTION || (steps && !json_is_null(steps))) {
		if (o->kind != OPERATION_TRANSACTION)
			return error_set(error, ERR_MALFORMED, "\"ops\" in what is not a txn");
		return accesses_take(h, steps, o, error);
	}
	if (o->kind == OPERATION_APPEND || json_is_array(json_object_get(object, "value"))) {
		enum operation_kind kind = o->kind;
		o->kind = OPERATION_TRANSACTION;
		o->access_first = h->access_count;
		o->access_count = 1;
		return access_take(h, object, kind, error);
	}
	int code = key_take(h, object, &o->key, error);
	if (!code && o->kind != OPERATION_DELETE)
		code = value_take(h, object, "value", &o->value, error);
	if (!code && o->kind == OPERATION_CAS)
		code = value_take(h, object, "expect", &o->expect, error);
	if (code)
		return code;
	if (o->kind == OPERATION_PUT && o->value == VALUE_ABSENT)
		return error_set(error, ERR_MALFORMED, "a put without a \"value\"");
	if (o->kind == OPERATION_CAS && o->value == o->expect)
		return error_set(error, ERR_MALFORMED, "a cas that changes nothing cannot be judged");
	if (applied && !json_is_null(applied) && !json_is_boolean(applied))
		return error_set(error, ERR_MALFORMED, "\"applied\" is neither true nor false");
	o->applied = json_is_true(applied);
	if (o->kind == OPERATION_CAS && o->outcome == OUTCOME_OK && !json_is_boolean(applied))
		return error_set(error, ERR_MALFORMED, "a cas that is ok without \"applied\"");
	if ((o->kind == OPERATION_PUT || o->kind == OPERATION_DELETE) && o->outcome == OUTCOME_OK && json_is_false(applied))
		return error_set(error, ERR_MALFORMED, "ok, and not applied: only a cas can be that");
	if (o->outcome == OUTCOME_FAIL && o->applied)
		return error_set(error, ERR_MALFORMED, "fail, and applied");
	return 0;
}

static int who_take(struct history *h, json_t *object, struct operation *o, struct error_context *error)
{
	uint32_t session;
	int code = member_name(object, "client", &h->clients, &o->client, error);
	if (!code)
		code = member_name(object, "session", &h->sessions, &session, error);
	if (!code)
		code = member_name(object, "region", &h->regions, &o->region, error);
	if (code)
		return code;
	if (o->client == NAME_NONE)
		return error_set(error, ERR_MALFORMED, "no \"client\"");
	if (session == NAME_NONE) {
		/* Its own, under a name that no driver gives. */
		char name[32];
		int size = snprintf(name, sizeof name, "\n%u", o->client);
		session = names_add(&h->sessions, name, (size_t)size);
	}
	o->session = session;
	return 0;
}

static int times_take(json_t *object, struct operation *o, struct error_context *error)
{
	bool has_start, has_end;
	int code = member_integer(object, "start_ns", 0, &o->start_ns, &has_start, error);
	if (!code)
		code = member_integer(object, "end_ns", 0, &o->end_ns, &has_end, error);
	if (code)
		return code;
	if (!has_start || (!has_end && o->outcome == OUTCOME_OK))
		return error_set(error, ERR_MALFORMED, "no \"%s\"", has_start ? "end_ns" : "start_ns");
	if (has_end && o->end_ns < o->start_ns)
		return error_set(error, ERR_MALFORMED, "it ends before it starts");
	if (o->outcome == OUTCOME_UNKNOWN || !has_end)
		o->end_ns = TIME_NEVER;
	return 0;
}

static int version_take(json_t *object, struct operation *o, struct error_context *error)
{
	int64_t hlc = 0, region_id = 0, sequence = 0;
	bool has_region, has_sequence;
	int code = member_integer(object, "hlc", 0, &hlc, &o->has_version, error);
	if (!code)
		code = member_integer(object, "region_id", 0, &region_id, &has_region, error);
	if (!code)
		code = member_integer(object, "sequence", 0, &sequence, &has_sequence, error);
	if (code)
		return code;
	if (region_id > UINT8_MAX)
		return error_set(error, ERR_MALFORMED, "\"region_id\" is above 255");
	o->has_version = o->has_version && has_region;
	o->hlc = (uint64_t)hlc;
	o->region_id = (uint8_t)region_id;
	o->sequence = (uint64_t)sequence;
	return 0;
}

static int operation_take(struct history *h, json_t *object, struct operation *o, struct error_context *error)
{
	int kind, outcome;
	int code = member_word(object, "op", kind_words, &kind, error);
	if (!code)
		code = member_word(object, "outcome", outcome_words, &outcome, error);
	if (code)
		return code;
	if (kind < 0 && json_is_array(json_object_get(object, "ops")))
		kind = OPERATION_TRANSACTION;
	if (kind < 0 || outcome < 0)
		return error_set(error, ERR_MALFORMED, "no \"%s\"", kind < 0 ? "op" : "outcome");
	o->kind = (enum operation_kind)kind;
	o->outcome = (enum outcome)outcome;
	code = who_take(h, object, o, error);
	if (!code)
		code = times_take(object, o, error);
	if (!code)
		code = version_take(object, o, error);
	return code ? code : content_take(h, object, o, error);
}

int history_add_line(
    struct history *h, const char *file, uint32_t line, const char *bytes, size_t size, struct error_context *error)
{
	struct error_context reason = {{0}};
	struct operation o = {.line = line, .file = names_add(&h->files, file, strlen(file))};
	size_t blank = 0;
	while (blank < size && strchr(" \t\r", bytes[blank]))
		blank++;
	if (blank == size)
		return 0;
	if (size > LINE_SIZE_MAX || h->count >= OPERATIONS_MAX)
		return error_set(error, ERR_FULL, "%s:%u: more than a history may hold", file, line);
	json_t *object = member_object(bytes, size, &reason);
	int code = object ? operation_take(h, object, &o, &reason) : ERR_MALFORMED;
	json_decref(object);
	if (code)
		return error_set(error, code, "%s:%u: %s", file, line, reason.text);
	h->operations = memory_room(h->operations, h->count, &h->capacity, sizeof *h->operations);
	h->operations[h->count++] = o;
	return 0;
}

int history_add_text(struct history *h, const char *file, const char *bytes, size_t size, struct error_context *error)
{
	uint32_t line = 0;
	for (size_t at = 0; at < size;) {
		const char *newline = memchr(bytes + at, '\n', size - at);
		size_t line_size = newline ? (size_t)(newline - bytes) - at : size - at;
		int code = history_add_line(h, file, ++line, bytes + at, line_size, error);
		if (code)
			return code;
		at += line_size + 1;
	}
	return 0;
}

bool operation_may_write(const struct operation *o)
{
	if (o->outcome == OUTCOME_FAIL || o->kind == OPERATION_GET || o->kind == OPERATION_TRANSACTION)
		return false;
	return o->kind != OPERATION_CAS || o->outcome == OUTCOME_UNKNOWN || o->applied;
}

bool operation_wrote(const struct operation *o)
{
	return o->outcome == OUTCOME_OK && operation_may_write(o);
}

static const char *name_text(const struct name *name, char out[static NAME_TEXT_MAX])
{
	size_t shown = name->size > 48 ? 48 : name->size;
	for (size_t i = 0; i < shown; i++)
		out[i] = name->bytes[i] > 0x20 && name->bytes[i] < 0x7f ? name->bytes[i] : '?';
	out[shown] = 0;
	if (name->size > shown)
		strcpy(out + shown, "...");
	return out;
}

const char *value_text(const struct history *h, uint32_t value, char out[static NAME_TEXT_MAX])
{
	if (value != VALUE_ABSENT)
		return name_text(&h->values.all[value - 1], out);
	strcpy(out, "(none)");
	return out;
}

const char *key_text(const struct history *h, uint32_t key, char out[static NAME_TEXT_MAX])
{
	return name_text(&h->keys.all[key], out);
}

static void steps_describe(const struct history *h, const struct operation *o, char *out, size_t size)
{
	char key[NAME_TEXT_MAX], value[NAME_TEXT_MAX];
	size_t used = (size_t)snprintf(out, size, "txn");
	for (uint32_t i = 0; i < o->access_count; i++) {
		const struct access *a = &h->accesses[o->access_first + i];
		key_text(h, a->key, key);
		if (used + NAME_TEXT_MAX * 2 + 32 > size) {
			snprintf(out + used, size - used, "; and %u more", o->access_count - i);
			return;
		}
		used += (size_t)snprintf(out + used, size - used, "%s %s %s", i ? ";" : "", kind_words[a->kind], key);
		if (a->is_list)
			used += (size_t)snprintf(out + used, size - used, " = %u elements%s%s", a->list_count,
			    a->list_count ? ", last " : "",
			    a->list_count ? value_text(h, h->list_values[a->list_first + a->list_count - 1], value) : "");
		else if (a->kind != OPERATION_DELETE)
			used += (size_t)snprintf(out + used, size - used, " = %s", value_text(h, a->value, value));
	}
}

static void content_describe(const struct history *h, const struct operation *o, char *out, size_t size)
{
	char key[NAME_TEXT_MAX], value[NAME_TEXT_MAX], expect[NAME_TEXT_MAX];
	if (o->kind == OPERATION_TRANSACTION) {
		steps_describe(h, o, out, size);
		return;
	}
	key_text(h, o->key, key);
	value_text(h, o->value, value);
	value_text(h, o->expect, expect);
	switch (o->kind) {
	case OPERATION_CAS:
		snprintf(out, size, "cas %s %s -> %s%s", key, expect, value,
		    o->outcome != OUTCOME_OK ? ""
		    : o->applied             ? " applied"
		                             : " refused");
		break;
	case OPERATION_DELETE:
		snprintf(out, size, "delete %s", key);
		break;
	default:
		snprintf(out, size, "%s %s = %s", kind_words[o->kind], key, value);
	}
}

const char *operation_describe(const struct history *h, const struct operation *o, char out[static DESCRIPTION_MAX])
{
	char content[400], client[NAME_TEXT_MAX], end[32];
	content_describe(h, o, content, sizeof content);
	if (o->end_ns == TIME_NEVER)
		strcpy(end, "...");
	else
		snprintf(end, sizeof end, "%lld", (long long)o->end_ns);
	snprintf(out, DESCRIPTION_MAX, "%.40s:%u client %.20s: %s %s [%lld, %s]", h->files.all[o->file].bytes, o->line,
	    name_text(&h->clients.all[o->client], client), content, outcome_words[o->outcome], (long long)o->start_ns, end);
	return out;
}
