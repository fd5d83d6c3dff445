/* SPDX-License-Identifier: Apache-2.0
 *
 * What `load` reads: lines never go back, keys and values are whole, and a mistake is told with its line. Input: u8 format (3
 * bits: guess, jsonl, tsv, deb822; 8: with a key field) | the file. */
#include <sys/mman.h>
#include <unistd.h>

#include "base/text.h"
#include "cmd/godwit/json.h"
#include "cmd/godwit/records.h"
#include "tests/fuzz/fuzz.h"

static void escape(struct text *out, const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		static const char letters[] = "\\\t\n\r", names[] = "\\tnr";
		const char *found = bytes[i] ? strchr(letters, bytes[i]) : NULL;
		if (found)
			text_add(out, "\\%c", names[found - letters]);
		else if (!bytes[i])
			text_add(out, "\\0");
		else
			text_add_bytes(out, bytes + i, 1);
	}
}

/* Escaped and read again it is the same. */
static void tsv_again(const struct input_record *record)
{
	struct text escaped = {0}, plain = {0};
	escape(&escaped, record->value, record->value_size);
	CHECK(record_unescape((const uint8_t *)(escaped.bytes ? escaped.bytes : ""), escaped.size, &plain));
	CHECK(plain.size == record->value_size && (!plain.size || memcmp(plain.bytes, record->value, plain.size) == 0));
	text_deinit(&escaped);
	text_deinit(&plain);
}

static void read_all(int fd, enum record_format format, const char *key_field)
{
	struct records *records;
	struct input_record record;
	struct error_context error = {0};
	uint64_t line = 0, index = 0;
	int code = records_open(&records, fd, "file", format, key_field, &error);
	if (code) {
		CHECK(records == NULL && error.text[0]);
		return;
	}
	while ((code = records_next(records, &record, &error)) == 0) {
		CHECK(record.line > line && record.index == index++);
		line = record.line;
		CHECK(record.value_size <= RECORDS_VALUE_SIZE_MAX &&
		      (format != FORMAT_TSV || record.key_size <= RECORDS_LINE_SIZE_MAX));
		bytes_touch(record.key, record.key_size);
		bytes_touch(record.value, record.value_size);
		tsv_again(&record);
	}
	CHECK(code == ERR_EMPTY || (code == ERR_MALFORMED && strncmp(error.text, "file:", 5) == 0));
	records_close(records);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static int fd = -1;
	if (fd < 0)
		fd = memfd_create("fuzz", MFD_CLOEXEC);
	CHECK(fd >= 0);
	if (size == 0)
		return 0;
	CHECK(ftruncate(fd, 0) == 0 && pwrite(fd, bytes + 1, size - 1, 0) == (ssize_t)size - 1 && lseek(fd, 0, SEEK_SET) == 0);
	read_all(fd, (enum record_format)(bytes[0] & 3), bytes[0] & 8 ? "id" : NULL);
	struct text out = {0};
	base64_decode((const char *)bytes + 1, size - 1, &out);
	record_unescape(bytes + 1, size - 1, &out);
	text_deinit(&out);
	return 0;
}
