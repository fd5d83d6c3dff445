/* SPDX-License-Identifier: Apache-2.0
 *
 * The input of `txn`, one operation a line:
 *
 *   [in KEYSPACE] put K V
 *   [in KEYSPACE] del K
 *   [in KEYSPACE] check K VERSION|absent
 *
 * Words stand between blanks and tabs; one that holds such, or is empty, stands in double quotes, where \" \\ and \n mean those
 * bytes. Blank lines and lines that begin with # are skipped. A check and a write of the same key become one step. */
#ifndef GODWIT_CMD_GODWIT_TXN_FILE_H
#define GODWIT_CMD_GODWIT_TXN_FILE_H
#include <stdint.h>
#include <stdio.h>

#include "client/admin.h"
#include "core/commit_entry.h"

#define TXN_FILE_SIZE_MAX (8u * 1024 * 1024)

struct txn_step {
	uint64_t line; /* where the key stood first, from 1 */
	bool checked;  /* by a line of its own */
	uint8_t expected[COMMIT_VERSION_SIZE];
};
struct txn_file {
	uint32_t count;
	struct client_operation operations[GW_OPERATIONS_MAX]; /* steps, pointing into words and the keyspace given */
	struct txn_step steps[GW_OPERATIONS_MAX];
	char *words;
	uint64_t mistakes;
};

/* Reads all of it. Every mistake is one line "NAME:LINE: what" to `out`. keyspace: of lines that name none, NULL for the
 * default one. 0, ERR_USAGE when there was a mistake, ERR_NO_MEMORY. To be freed in any case. */
int txn_file_parse(struct txn_file *file, const char *bytes, size_t size, const char *name, const char *keyspace, FILE *out);
/* One more, of a line that is right by itself. What it quotes may hold anything; what is printed is one line. */
void txn_file_mistake(struct txn_file *file, const char *name, uint64_t line, FILE *out, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
void txn_file_deinit(struct txn_file *file);

#endif
