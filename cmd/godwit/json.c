/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/godwit/json.h"

#include <string.h>

static bool fail(struct json_reader *r, const char *mistake)
{
	if (!r->mistake)
		r->mistake = mistake;
	return false;
}

static void blanks_skip(struct json_reader *r)
{
	while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r'))
		r->at++;
}

static bool byte_take(struct json_reader *r, char wanted)
{
	blanks_skip(r);
	if (r->at == r->end || *r->at != (uint8_t)wanted)
		return false;
	r->at++;
	return true;
}

static bool hex4_take(struct json_reader *r, uint32_t *value)
{
	*value = 0;
	if (r->end - r->at < 4)
		return false;
	for (int i = 0; i < 4; i++) {
		uint8_t c = *r->at++;
		uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
		                 : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a') + 10
		                 : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A') + 10
		                                        : 16;
		if (digit == 16)
			return false;
		*value = *value << 4 | digit;
	}
	return true;
}

static void utf8_add(struct text *out, uint32_t point)
{
	uint8_t bytes[4];
	size_t size;
	if (point < 0x80) {
		bytes[0] = (uint8_t)point;
		size = 1;
	} else if (point < 0x800) {
		bytes[0] = (uint8_t)(0xc0 | point >> 6);
		size = 2;
	} else if (point < 0x10000) {
		bytes[0] = (uint8_t)(0xe0 | point >> 12);
		size = 3;
	} else {
		bytes[0] = (uint8_t)(0xf0 | point >> 18);
		size = 4;
	}
	for (size_t i = 1; i < size; i++)
		bytes[i] = (uint8_t)(0x80 | (point >> (6 * (size - 1 - i)) & 0x3f));
	text_add_bytes(out, bytes, size);
}

static bool escape_take(struct json_reader *r, struct text *out)
{
	static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
	uint32_t point, low;
	if (r->at == r->end)
		return fail(r, "a string without its end");
	uint8_t letter = *r->at++;
	const char *found = letter ? strchr(letters, letter) : NULL;
	if (found) {
		text_add_bytes(out, &meanings[found - letters], 1);
		return true;
	}
	if (letter != 'u' || !hex4_take(r, &point))
		return fail(r, "an unknown escape in a string");
	if (point >= 0xdc00 && point < 0xe000)
		return fail(r, "half of a surrogate pair in a string");
	if (point >= 0xd800 && point < 0xdc00) {
		if (r->end - r->at < 6 || r->at[0] != '\\' || r->at[1] != 'u')
			return fail(r, "half of a surrogate pair in a string");
		r->at += 2;
		if (!hex4_take(r, &low) || low < 0xdc00 || low > 0xdfff)
			return fail(r, "half of a surrogate pair in a string");
		point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
	}
	utf8_add(out, point);
	return true;
}

/* Behind the opening quote. */
static bool string_take(struct json_reader *r, struct text *out)
{
	while (r->at < r->end) {
		const uint8_t *plain = r->at;
		while (r->at < r->end && *r->at != '"' && *r->at != '\\') {
			if (*r->at < 0x20)
				return fail(r, "a control character in a string");
			size_t step = text_utf8_size(r->at, (size_t)(r->end - r->at));
			if (step == 0)
				return fail(r, "a string that is not UTF-8");
			r->at += step;
		}
		text_add_bytes(out, plain, (size_t)(r->at - plain));
		if (r->at == r->end)
			break;
		if (*r->at++ == '"')
			return true;
		if (!escape_take(r, out))
			return false;
	}
	return fail(r, "a string without its end");
}

static bool digits_skip(struct json_reader *r)
{
	const uint8_t *start = r->at;
	while (r->at < r->end && *r->at >= '0' && *r->at <= '9')
		r->at++;
	return r->at > start;
}

static bool number_skip(struct json_reader *r)
{
	if (r->at < r->end && *r->at == '-')
		r->at++;
	bool zero = r->at < r->end && *r->at == '0';
	const uint8_t *start = r->at;
	if (!digits_skip(r) || (zero && r->at - start > 1))
		return fail(r, "a value that is no JSON");
	if (r->at < r->end && *r->at == '.') {
		r->at++;
		if (!digits_skip(r))
			return fail(r, "a value that is no JSON");
	}
	if (r->at < r->end && (*r->at == 'e' || *r->at == 'E')) {
		r->at++;
		if (r->at < r->end && (*r->at == '+' || *r->at == '-'))
			r->at++;
		if (!digits_skip(r))
			return fail(r, "a value that is no JSON");
	}
	return true;
}

static bool word_skip(struct json_reader *r, const char *word)
{
	size_t size = strlen(word);
	if ((size_t)(r->end - r->at) < size || memcmp(r->at, word, size) != 0)
		return fail(r, "a value that is no JSON");
	r->at += size;
	return true;
}

static bool value_skip(struct json_reader *r, unsigned depth, struct text *scratch);

static bool container_skip(struct json_reader *r, bool object, unsigned depth, struct text *scratch)
{
	char close = object ? '}' : ']';
	if (depth > JSON_DEPTH_MAX)
		return fail(r, "nested too deep");
	if (byte_take(r, close))
		return true;
	do {
		if (object) {
			text_clear(scratch);
			if (!byte_take(r, '"'))
				return fail(r, "a member without a name");
			if (!string_take(r, scratch))
				return false;
			if (!byte_take(r, ':'))
				return fail(r, "a name without a colon");
		}
		if (!value_skip(r, depth, scratch))
			return false;
	} while (byte_take(r, ','));
	return byte_take(r, close) || fail(r, object ? "an object without its end" : "a list without its end");
}

static bool value_skip(struct json_reader *r, unsigned depth, struct text *scratch)
{
	blanks_skip(r);
	if (r->at == r->end)
		return fail(r, "a value is missing");
	switch (*r->at) {
	case '"':
		r->at++;
		text_clear(scratch);
		return string_take(r, scratch);
	case '{':
	case '[':
		r->at++;
		return container_skip(r, r->at[-1] == '{', depth + 1, scratch);
	case 't':
		return word_skip(r, "true");
	case 'f':
		return word_skip(r, "false");
	case 'n':
		return word_skip(r, "null");
	default:
		return number_skip(r);
	}
}

void json_reader_init(struct json_reader *reader, const void *bytes, size_t size)
{
	*reader = (struct json_reader){.at = bytes, .end = (const uint8_t *)bytes + size};
}

static bool whole_end(struct json_reader *r)
{
	blanks_skip(r);
	return r->at == r->end ? false : fail(r, "something behind its end");
}

bool json_next(struct json_reader *r, struct json_member *member)
{
	if (r->mistake)
		return false;
	if (!r->begun) {
		if (!byte_take(r, '{'))
			return fail(r, "not a JSON object");
		r->begun = true;
		if (byte_take(r, '}'))
			return whole_end(r);
	} else {
		if (byte_take(r, '}'))
			return whole_end(r);
		if (!byte_take(r, ','))
			return fail(r, "an object without its end");
	}
	text_clear(&member->name);
	if (!byte_take(r, '"'))
		return fail(r, "a member without a name");
	if (!string_take(r, &member->name))
		return false;
	if (!byte_take(r, ':'))
		return fail(r, "a name without a colon");
	blanks_skip(r);
	text_clear(&member->value);
	member->is_string = r->at < r->end && *r->at == '"';
	if (member->is_string) {
		r->at++;
		return string_take(r, &member->value);
	}
	const uint8_t *start = r->at;
	struct text scratch = {0};
	bool good = value_skip(r, 0, &scratch);
	text_deinit(&scratch);
	if (good)
		text_add_bytes(&member->value, start, (size_t)(r->at - start));
	return good;
}

bool json_list_next(struct json_reader *r, const uint8_t **item, size_t *size)
{
	if (r->mistake || (!r->begun && !byte_take(r, '[')))
		return fail(r, "not a JSON list");
	bool first = !r->begun;
	r->begun = true;
	if (byte_take(r, ']'))
		return whole_end(r);
	if (!first && !byte_take(r, ','))
		return fail(r, "a list without its end");
	blanks_skip(r);
	*item = r->at;
	struct text scratch = {0};
	bool good = value_skip(r, 0, &scratch);
	text_deinit(&scratch);
	*size = (size_t)(r->at - *item);
	return good;
}

void json_member_deinit(struct json_member *member)
{
	text_deinit(&member->name);
	text_deinit(&member->value);
}

static int base64_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool base64_decode(const char *text, size_t size, struct text *out)
{
	text_clear(out);
	if (size % 4 != 0)
		return false;
	for (size_t at = 0; at < size; at += 4) {
		int digits[4];
		unsigned padding = 0;
		for (unsigned i = 0; i < 4; i++) {
			bool pad = text[at + i] == '=' && at + 4 == size && i >= 2;
			if (padding && !pad)
				return false;
			padding += pad;
			digits[i] = pad ? 0 : base64_digit(text[at + i]);
			if (digits[i] < 0)
				return false;
		}
		uint32_t word =
		    (uint32_t)digits[0] << 18 | (uint32_t)digits[1] << 12 | (uint32_t)digits[2] << 6 | (uint32_t)digits[3];
		uint8_t bytes[3] = {(uint8_t)(word >> 16), (uint8_t)(word >> 8), (uint8_t)word};
		text_add_bytes(out, bytes, 3 - padding);
	}
	return true;
}
