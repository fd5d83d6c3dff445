/* SPDX-License-Identifier: Apache-2.0
 *
 * Just enough JSON (RFC 8259) to read one object a line: its members one by one, strings decoded, everything else as its text,
 * all of it checked. */
#ifndef GODWIT_CMD_GODWIT_JSON_H
#define GODWIT_CMD_GODWIT_JSON_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

#define JSON_DEPTH_MAX 64u

struct json_reader {
	const uint8_t *at, *end;
	const char *mistake; /* why it cannot be read; NULL until then */
	bool begun;
};
struct json_member {
	struct text name;
	struct text value; /* decoded when is_string, else the bytes of the JSON value */
	bool is_string;
};

/* The whole of bytes must be one object. */
void json_reader_init(struct json_reader *reader, const void *bytes, size_t size);
/* True with the next member (its texts are reused from call to call); false at the end or with reader->mistake set. */
bool json_next(struct json_reader *reader, struct json_member *member);
/* The same for a list: true with the bytes of the next item, borrowed. */
bool json_list_next(struct json_reader *reader, const uint8_t **item, size_t *size);
void json_member_deinit(struct json_member *member);
/* RFC 4648 with padding; false when it is none. */
bool base64_decode(const char *text, size_t size, struct text *out);

#endif
