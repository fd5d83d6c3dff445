/* SPDX-License-Identifier: Apache-2.0
 *
 * The rights of a client's key, as NAME.rights beside it says: two lines of words separated by commas.
 *
 *   read,write,admin
 *   orders,default          keyspaces, or * for all
 *
 * read: get, scan, digests, the checks of a transaction. write: put, delete, the writes of a transaction. admin: transactions
 * in doubt and the list of conflicts, of all keyspaces. Pure: text in, a struct out. */
#ifndef GODWIT_RUNTIME_RIGHTS_H
#define GODWIT_RUNTIME_RIGHTS_H
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define RIGHTS_TEXT_MAX 600 /* of the file */

struct rights {
	bool read, write, admin;
	char keyspaces[512]; /* names separated by commas; "*": all */
};
/* Every right. */
extern const struct rights rights_all;

/* `words` and `keyspaces` as above, without line ends. Refuses a word that is no right, and an empty list of keyspaces. */
int rights_parse(const char *words, const char *keyspaces, struct rights *rights, struct error_context *error);
int rights_parse_text(const char *text, struct rights *rights, struct error_context *error);
void rights_format(const struct rights *rights, char out[static RIGHTS_TEXT_MAX]);
/* name of `size` bytes; none: the keyspace "default". */
bool rights_has_keyspace(const struct rights *rights, const void *name, size_t size);

int rights_load(const char *key_dir, const char *name, struct rights *rights, struct error_context *error);

#endif
