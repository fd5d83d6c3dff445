/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/request.h"

#include <string.h>

#include "base/bytes.h"
#include "base/error.h"

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct field {
	uint32_t number;
	enum wire_type type;
	uint64_t value; /* VARINT, FIXED64 */
	struct request_bytes bytes;
};

/* Protobuf's varint need not be the shortest, unlike those of core/varint.h. One of more than 64 bits is refused: the generated
 * code leaves the rest out of a number, but not out of a flag. */
static size_t varint_read(const uint8_t *at, const uint8_t *end, uint64_t *value)
{
	uint64_t result = 0;
	size_t n = 0;
	for (uint32_t shift = 0; shift < 70; shift += 7) {
		if (at + n == end)
			return 0;
		uint8_t byte = at[n++];
		if (shift == 63 && byte > 1)
			return 0;
		result |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80) {
			*value = result;
			return n;
		}
	}
	return 0;
}

/* The position behind the field, or NULL. */
static const uint8_t *field_read(struct field *f, const uint8_t *at, const uint8_t *end)
{
	uint64_t tag, size;
	size_t n = varint_read(at, end, &tag);
	if (!n || tag >> 3 == 0 || tag > UINT32_MAX)
		return NULL;
	at += n;
	f->number = (uint32_t)(tag >> 3);
	f->type = (enum wire_type)(tag & 7);
	switch (f->type) {
	case WIRE_VARINT:
		n = varint_read(at, end, &f->value);
		return n ? at + n : NULL;
	case WIRE_FIXED64:
		if (end - at < 8)
			return NULL;
		f->value = bytes_get_u64(at);
		return at + 8;
	case WIRE_FIXED32:
		return end - at < 4 ? NULL : at + 4;
	case WIRE_BYTES:
		n = varint_read(at, end, &size);
		if (!n || size > (uint64_t)(end - at) - n)
			return NULL;
		f->bytes = (struct request_bytes){at + n, (size_t)size};
		return at + n + size;
	default:
		return NULL;
	}
}

int request_open(struct request *request, const uint8_t *bytes, size_t size)
{
	*request = (struct request){.at = bytes, .end = bytes + size};
	struct field f;
	for (const uint8_t *at = bytes; at < request->end;) {
		at = field_read(&f, at, request->end);
		if (!at)
			return ERR_MALFORMED;
		if (f.number > 3)
			continue;
		static const enum wire_type types[] = {0, WIRE_VARINT, WIRE_FIXED64, WIRE_BYTES};
		if (f.type != types[f.number])
			return ERR_MALFORMED;
		if (f.number == 1)
			request->protocol = (uint32_t)f.value;
		else if (f.number == 2)
			request->client_id = f.value;
		else
			request->operation_count++;
	}
	return 0;
}

static int operation_read(struct request_operation *o, struct request_bytes whole)
{
	*o = (struct request_operation){.whole = whole};
	struct field f;
	const uint8_t *end = whole.bytes + whole.size;
	for (const uint8_t *at = whole.bytes; at < end;) {
		at = field_read(&f, at, end);
		if (!at)
			return ERR_MALFORMED;
		if (f.number > 18)
			continue;
		bool is_bytes = (f.number >= 3 && f.number <= 7) || f.number == 13 || f.number == 17;
		if (f.type != (is_bytes ? WIRE_BYTES : WIRE_VARINT))
			return ERR_MALFORMED;
		switch (f.number) {
		case 1:
			o->number = f.value;
			break;
		case 2:
			o->kind = (uint32_t)f.value;
			break;
		case 3:
			o->keyspace = f.bytes;
			break;
		case 4:
			o->key = f.bytes;
			break;
		case 5:
			o->value = f.bytes;
			break;
		case 6:
			o->context = f.bytes;
			break;
		case 7:
			o->after = f.bytes;
			break;
		case 8:
			o->limit = (uint32_t)f.value;
			break;
		case 9:
			o->limit_id = f.value;
			break;
		case 10:
			o->settled = f.value;
			break;
		case 11:
			o->age_ms = f.value;
			break;
		case 12:
			o->condition = (uint32_t)f.value;
			break;
		case 13:
			o->expected = f.bytes;
			break;
		case 14:
			o->level = (uint32_t)f.value;
			break;
		case 15:
			o->timeout_ms = (uint32_t)f.value;
			break;
		case 16:
			o->moved = f.value != 0;
			break;
		case 17:
			o->step_count++;
			break;
		case 18:
			o->token = f.value;
			break;
		}
	}
	return 0;
}

int request_next(struct request *request, struct request_operation *operation)
{
	struct field f;
	while (request->at < request->end) {
		request->at = field_read(&f, request->at, request->end);
		if (!request->at) {
			request->at = request->end;
			return ERR_MALFORMED;
		}
		if (f.number == 3)
			return operation_read(operation, f.bytes);
	}
	return ERR_EMPTY;
}

static int step_read(struct request_step *s, struct request_bytes whole)
{
	*s = (struct request_step){0};
	struct field f;
	const uint8_t *end = whole.bytes + whole.size;
	for (const uint8_t *at = whole.bytes; at < end;) {
		at = field_read(&f, at, end);
		if (!at)
			return ERR_MALFORMED;
		if (f.number > 6)
			continue;
		if (f.type != (f.number == 1 || f.number == 5 ? WIRE_VARINT : WIRE_BYTES))
			return ERR_MALFORMED;
		switch (f.number) {
		case 1:
			s->kind = (uint32_t)f.value;
			break;
		case 2:
			s->keyspace = f.bytes;
			break;
		case 3:
			s->key = f.bytes;
			break;
		case 4:
			s->value = f.bytes;
			break;
		case 5:
			s->condition = (uint32_t)f.value;
			break;
		case 6:
			s->expected = f.bytes;
			break;
		}
	}
	return 0;
}

int request_step_next(const struct request_operation *operation, const uint8_t **at, struct request_step *step)
{
	struct field f;
	const uint8_t *end = operation->whole.bytes + operation->whole.size;
	if (!*at)
		*at = operation->whole.bytes;
	while (*at < end) {
		*at = field_read(&f, *at, end);
		if (!*at) {
			*at = end;
			return ERR_MALFORMED;
		}
		if (f.number == 17)
			return f.type == WIRE_BYTES ? step_read(step, f.bytes) : ERR_MALFORMED;
	}
	return ERR_EMPTY;
}

/* ---- writing ---- */

static size_t varint_write(uint64_t value, uint8_t *out)
{
	size_t n = 0;
	for (; value >= 0x80; value >>= 7)
		out[n++] = (uint8_t)(value | 0x80);
	out[n++] = (uint8_t)value;
	return n;
}

static size_t varint_write_size(uint64_t value)
{
	return (size_t)(70 - __builtin_clzll(value | 1)) / 7;
}

static uint8_t *number_write(uint8_t *out, uint8_t tag, uint64_t value)
{
	if (!value)
		return out;
	*out++ = tag;
	return out + varint_write(value, out);
}

static uint8_t *fixed64_write(uint8_t *out, uint8_t tag, uint64_t value)
{
	if (!value)
		return out;
	*out++ = tag;
	bytes_put_u64(out, value);
	return out + 8;
}

static uint8_t *bytes_write(uint8_t *out, uint8_t tag, const void *bytes, size_t size)
{
	if (!size)
		return out;
	*out++ = tag;
	out += varint_write(size, out);
	memcpy(out, bytes, size);
	return out + size;
}

#define TAG(number, type) (uint8_t)((number) << 3 | (type))

size_t request_header_encode(uint32_t protocol, uint64_t client_id, uint8_t out[static REQUEST_HEADER_SIZE_MAX])
{
	uint8_t *at = number_write(out, TAG(1, WIRE_VARINT), protocol);
	return (size_t)(fixed64_write(at, TAG(2, WIRE_FIXED64), client_id) - out);
}

size_t request_operation_encode(const struct request_operation *operation, uint8_t *out)
{
	out[0] = TAG(3, WIRE_BYTES);
	size_t n = 1 + varint_write(operation->whole.size, out + 1);
	if (operation->whole.size)
		memcpy(out + n, operation->whole.bytes, operation->whole.size);
	return n + operation->whole.size;
}

size_t answers_header_encode(uint32_t protocol, uint8_t out[static ANSWERS_HEADER_SIZE_MAX])
{
	return (size_t)(number_write(out, TAG(1, WIRE_VARINT), protocol) - out);
}

size_t answer_prefix_encode(size_t size, uint8_t *out)
{
	out[0] = TAG(2, WIRE_BYTES);
	return 1 + varint_write(size, out + 1);
}

static size_t reason_size(const struct answer *a)
{
	return a->reason ? strlen(a->reason) : 0;
}

size_t answer_size_max(const struct answer *a)
{
	return 96 + reason_size(a) + a->value.size + a->version.size;
}

static size_t bytes_field_size(size_t size)
{
	return size ? 1 + varint_write_size(size) + size : 0;
}
static size_t number_field_size(uint64_t value)
{
	return value ? 1 + varint_write_size(value) : 0;
}

size_t answer_encode(const struct answer *a, uint8_t *out)
{
	uint32_t code = (uint32_t)a->code << 1 ^ (uint32_t)(a->code >> 31); /* sint32: zigzag */
	size_t reason = reason_size(a);
	size_t size = number_field_size(a->number) + number_field_size(code) + bytes_field_size(reason) +
	              bytes_field_size(a->value.size) + bytes_field_size(a->version.size) + (a->hlc ? 9 : 0) +
	              number_field_size(a->siblings) + number_field_size(a->token);
	uint8_t *at = out + answer_prefix_encode(size, out);
	at = number_write(at, TAG(1, WIRE_VARINT), a->number);
	at = number_write(at, TAG(2, WIRE_VARINT), code);
	at = bytes_write(at, TAG(3, WIRE_BYTES), a->reason, reason);
	at = bytes_write(at, TAG(4, WIRE_BYTES), a->value.bytes, a->value.size);
	at = bytes_write(at, TAG(5, WIRE_BYTES), a->version.bytes, a->version.size);
	at = fixed64_write(at, TAG(6, WIRE_FIXED64), a->hlc);
	at = number_write(at, TAG(12, WIRE_VARINT), a->siblings);
	at = number_write(at, TAG(14, WIRE_VARINT), a->token);
	return (size_t)(at - out);
}
