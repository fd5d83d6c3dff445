// SPDX-License-Identifier: Apache-2.0
#include "store/boot.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const char *boot_id_path = "/proc/sys/kernel/random/boot_id";

int boot_id_read(uint8_t id[static 16], struct error_context *error)
{
	FILE *f = fopen(boot_id_path, "re");
	if (f == NULL)
		return error_set(error, ERR_IO, "%s: %s", boot_id_path, strerror(errno));

	uint32_t digits = 0;
	memset(id, 0, 16);
	for (int c; digits < 32 && (c = fgetc(f)) != EOF && c != '\n';) {
		if (c == '-')
			continue;
		const int value = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
		if (value < 0)
			break;
		id[digits / 2] = (uint8_t)(id[digits / 2] << 4 | value);
		digits++;
	}
	fclose(f);
	if (digits != 32)
		return error_set(error, ERR_IO, "%s: not a boot id", boot_id_path);
	return 0;
}
