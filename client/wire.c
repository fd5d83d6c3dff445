/* SPDX-License-Identifier: Apache-2.0 */
#include "client/wire.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define ARENA_CHUNK_SIZE   (64u * 1024)
#define OPERATION_OVERHEAD (16u * 11) /* more than tag and length or number of each field */

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct arena_chunk {
	struct arena_chunk *next;
	size_t used, capacity;
	_Alignas(16) uint8_t bytes[];
};

void *arena_take(struct arena *arena, size_t size)
{
	struct arena_chunk *chunk = arena->chunks;
	if (size > ARENA_SIZE_MAX)
		return NULL;
	size = (size + 15) & ~(size_t)15;
	if (!chunk || chunk->capacity - chunk->used < size) {
		size_t capacity = size > ARENA_CHUNK_SIZE ? size : ARENA_CHUNK_SIZE;
		if (arena->size + capacity > ARENA_SIZE_MAX)
			return NULL;
		chunk = malloc(sizeof *chunk + capacity);
		if (!chunk)
			return NULL;
		*chunk = (struct arena_chunk){.next = arena->chunks, .capacity = capacity};
		arena->chunks = chunk;
		arena->size += capacity;
	}
	void *memory = chunk->bytes + chunk->used;
	chunk->used += size;
	return memory;
}

void arena_reset(struct arena *arena)
{
	struct arena_chunk *chunk = arena->chunks, *kept = NULL;
	while (chunk) {
		struct arena_chunk *next = chunk->next;
		if (!kept && chunk->capacity == ARENA_CHUNK_SIZE)
			kept = chunk;
		else
			free(chunk);
		chunk = next;
	}
	if (kept) {
		kept->next = NULL;
		kept->used = 0;
	}
	arena->chunks = kept;
	arena->size = kept ? kept->capacity : 0;
}

void arena_deinit(struct arena *arena)
{
	arena_reset(arena);
	free(arena->chunks);
	*arena = (struct arena){0};
}

static void *allocator_take(void *user, size_t size)
{
	return arena_take(user, size);
}

static void allocator_free(void *user, void *memory)
{
	(void)user;
	(void)memory;
}

static size_t varint_size(uint64_t value)
{
	return (size_t)(70 - __builtin_clzll(value | 1)) / 7;
}

static uint8_t *varint_put(uint8_t *out, uint64_t value)
{
	while (value >= 0x80) {
		*out++ = (uint8_t)(value | 0x80);
		value >>= 7;
	}
	*out++ = (uint8_t)value;
	return out;
}

/* NULL when the bytes end inside it or it is longer than 64 bits. */
static const uint8_t *varint_get(const uint8_t *at, const uint8_t *end, uint64_t *value)
{
	uint64_t result = 0;
	for (unsigned shift = 0; at < end && shift < 64; shift += 7) {
		uint8_t byte = *at++;
		if (shift == 63 && byte > 1)
			return NULL;
		result |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			*value = result;
			return at;
		}
	}
	return NULL;
}

static uint8_t *tag_put(uint8_t *out, uint32_t field, enum wire_type type)
{
	return varint_put(out, (uint64_t)field << 3 | type);
}

static uint8_t *bytes_put(uint8_t *out, uint32_t field, const void *bytes, size_t size)
{
	if (size == 0)
		return out;
	out = varint_put(tag_put(out, field, WIRE_BYTES), size);
	memcpy(out, bytes, size);
	return out + size;
}

static uint8_t *number_put(uint8_t *out, uint32_t field, uint64_t value)
{
	return value ? varint_put(tag_put(out, field, WIRE_VARINT), value) : out;
}

static size_t number_size(uint64_t value)
{
	return value ? 1 + varint_size(value) : 0;
}

static size_t bytes_size(size_t size)
{
	return size ? 1 + varint_size(size) + size : 0;
}

static size_t keyspace_size(const struct client_operation *operation)
{
	return operation->keyspace ? strlen(operation->keyspace) : 0;
}

static size_t step_size(const struct client_operation *step)
{
	return number_size(step->kind) + bytes_size(keyspace_size(step)) + bytes_size(step->key_size) +
	       bytes_size(step->value_size) + number_size(step->condition) + bytes_size(step->expected_size);
}

static uint8_t *step_put(uint8_t *out, const struct client_operation *step)
{
	out = varint_put(tag_put(out, 17, WIRE_BYTES), step_size(step));
	out = number_put(out, 1, step->kind);
	out = bytes_put(out, 2, step->keyspace, keyspace_size(step));
	out = bytes_put(out, 3, step->key, step->key_size);
	out = bytes_put(out, 4, step->value, step->value_size);
	out = number_put(out, 5, step->condition);
	return bytes_put(out, 6, step->expected, step->expected_size);
}

size_t wire_operation_size_max(const struct client_operation *operation)
{
	size_t size = OPERATION_OVERHEAD + keyspace_size(operation) + operation->key_size + operation->value_size +
	              operation->version_size + operation->after_size + operation->expected_size;
	for (size_t i = 0; i < operation->step_count; i++)
		size += 2 + 5 + step_size(&operation->steps[i]);
	return size;
}

size_t wire_operation_encode(const struct client_operation *operation, uint64_t number, uint8_t *out)
{
	uint8_t *at = out;
	at = number_put(at, 1, number);
	at = number_put(at, 2, operation->kind);
	at = bytes_put(at, 3, operation->keyspace, keyspace_size(operation));
	at = bytes_put(at, 4, operation->key, operation->key_size);
	at = bytes_put(at, 5, operation->value, operation->value_size);
	at = bytes_put(at, 6, operation->version, operation->version_size);
	at = bytes_put(at, 7, operation->after, operation->after_size);
	at = number_put(at, 8, operation->limit);
	at = number_put(at, 9, operation->limit_id);
	at = number_put(at, 12, operation->condition);
	at = bytes_put(at, 13, operation->expected, operation->expected_size);
	at = number_put(at, 14, operation->level);
	if (operation->kind <= CLIENT_GET || operation->kind == CLIENT_TRANSACTION)
		at = number_put(at, 15, operation->timeout_ms);
	for (size_t i = 0; i < operation->step_count; i++)
		at = step_put(at, &operation->steps[i]);
	return (size_t)(at - out);
}

void wire_request_header(uint32_t protocol, uint64_t client_id, uint8_t out[static WIRE_REQUEST_HEADER_SIZE])
{
	_Static_assert(WIRE_REQUEST_HEADER_SIZE == 2 + 1 + 8, "protocol below 128, then a fixed64");
	out[0] = 1 << 3 | WIRE_VARINT;
	out[1] = (uint8_t)(protocol & 0x7f);
	out[2] = 2 << 3 | WIRE_FIXED64;
	for (unsigned i = 0; i < 8; i++)
		out[3 + i] = (uint8_t)(client_id >> (8 * i));
}

static size_t tail_size(const struct wire_tail *tail)
{
	return number_size(tail->settled) + number_size(tail->age_ms) + (tail->moved ? 3 : 0) +
	       (tail->token ? 1 + number_size(tail->token) : 0);
}

size_t wire_request_operation_size(size_t encoded_size, const struct wire_tail *tail)
{
	size_t body = encoded_size + tail_size(tail);
	return 1 + varint_size(body) + body;
}

uint8_t *wire_request_operation(uint8_t *out, const uint8_t *encoded, size_t encoded_size, const struct wire_tail *tail)
{
	out = varint_put(tag_put(out, 3, WIRE_BYTES), encoded_size + tail_size(tail));
	memcpy(out, encoded, encoded_size);
	out = number_put(number_put(out + encoded_size, 10, tail->settled), 11, tail->age_ms);
	return number_put(number_put(out, 16, tail->moved), 18, tail->token);
}

struct field {
	uint64_t number; /* of the field */
	enum wire_type type;
	uint64_t value;       /* VARINT, FIXED64 */
	const uint8_t *bytes; /* BYTES */
	size_t size;
};

static const uint8_t *field_get(const uint8_t *at, const uint8_t *end, struct field *field)
{
	uint64_t tag;
	at = varint_get(at, end, &tag);
	if (!at)
		return NULL;
	field->number = tag >> 3;
	field->type = (enum wire_type)(tag & 7);
	switch (field->type) {
	case WIRE_VARINT:
		return varint_get(at, end, &field->value);
	case WIRE_FIXED64:
		if (end - at < 8)
			return NULL;
		field->value = 0;
		for (unsigned i = 0; i < 8; i++)
			field->value |= (uint64_t)at[i] << (8 * i);
		return at + 8;
	case WIRE_BYTES:
		at = varint_get(at, end, &field->value);
		if (!at || field->value > (uint64_t)(end - at))
			return NULL;
		field->bytes = at;
		field->size = (size_t)field->value;
		return at + field->size;
	case WIRE_FIXED32:
		return end - at < 4 ? NULL : at + 4;
	}
	return NULL;
}

int wire_answers_start(struct wire_answers *answers, const uint8_t *bytes, size_t size)
{
	struct field field;
	*answers = (struct wire_answers){.at = bytes, .end = bytes + size};
	for (const uint8_t *at = bytes; at < answers->end;) {
		at = field_get(at, answers->end, &field);
		if (!at || (field.number == 2 && field.type != WIRE_BYTES))
			return ERR_MALFORMED;
		if (field.number == 1 && field.type == WIRE_VARINT)
			answers->protocol = (uint32_t)field.value;
	}
	return ERR_OK;
}

static int answer_take(Godwit__Client__Answer *answer, const struct field *field, struct arena *arena)
{
	ProtobufCBinaryData bytes = {.len = field->size, .data = (uint8_t *)(uintptr_t)field->bytes};
	switch (field->number) {
	case 1:
		answer->number = field->value;
		return field->type == WIRE_VARINT ? ERR_OK : ERR_MALFORMED;
	case 2: /* zigzag */
		answer->code = (int32_t)((uint32_t)field->value >> 1) ^ -(int32_t)(field->value & 1);
		return field->type == WIRE_VARINT ? ERR_OK : ERR_MALFORMED;
	case 3:
		if (field->type != WIRE_BYTES)
			return ERR_MALFORMED;
		answer->reason = arena_take(arena, field->size + 1);
		if (!answer->reason)
			return ERR_NO_MEMORY;
		memcpy(answer->reason, field->bytes, field->size);
		answer->reason[field->size] = 0;
		return ERR_OK;
	case 4:
		answer->value = bytes;
		return field->type == WIRE_BYTES ? ERR_OK : ERR_MALFORMED;
	case 5:
		answer->version = bytes;
		return field->type == WIRE_BYTES ? ERR_OK : ERR_MALFORMED;
	case 6:
		answer->hlc = field->value;
		return field->type == WIRE_FIXED64 ? ERR_OK : ERR_MALFORMED;
	case 8:
		answer->more = field->value != 0;
		return field->type == WIRE_VARINT ? ERR_OK : ERR_MALFORMED;
	case 12:
		answer->siblings = (uint32_t)field->value;
		return field->type == WIRE_VARINT ? ERR_OK : ERR_MALFORMED;
	case 14:
		answer->token = field->value;
		return field->type == WIRE_VARINT ? ERR_OK : ERR_MALFORMED;
	default:
		return ERR_UNSUPPORTED;
	}
}

static int answer_decode(const uint8_t *bytes, size_t size, struct arena *arena, const Godwit__Client__Answer **out)
{
	Godwit__Client__Answer *answer = arena_take(arena, sizeof *answer);
	if (!answer)
		return ERR_NO_MEMORY;
	godwit__client__answer__init(answer);
	for (const uint8_t *at = bytes, *end = bytes + size; at < end;) {
		struct field field = {0};
		at = field_get(at, end, &field);
		if (!at)
			return ERR_MALFORMED;
		int code = answer_take(answer, &field, arena);
		if (code == ERR_UNSUPPORTED) { /* a list, or a field of a newer version */
			ProtobufCAllocator allocator = {allocator_take, allocator_free, arena};
			*out = godwit__client__answer__unpack(&allocator, size, bytes);
			return *out ? ERR_OK : ERR_MALFORMED;
		}
		if (code < 0)
			return code;
	}
	*out = answer;
	return ERR_OK;
}

int wire_answers_next(struct wire_answers *answers, struct arena *arena, const Godwit__Client__Answer **answer)
{
	while (answers->at < answers->end) {
		struct field field = {0};
		answers->at = field_get(answers->at, answers->end, &field);
		if (!answers->at) {
			answers->end = NULL;
			return ERR_MALFORMED;
		}
		if (field.number == 2 && field.type == WIRE_BYTES)
			return answer_decode(field.bytes, field.size, arena, answer);
	}
	return ERR_EMPTY;
}
