/* SPDX-License-Identifier: Apache-2.0
 *
 * `keys`: the key pairs of this host, and the public keys of the others. docs/operating.md has the procedures. */
#ifndef GODWIT_CMD_GODWIT_KEYS_H
#define GODWIT_CMD_GODWIT_KEYS_H
#include "cmd/godwit/cli.h"
#include "runtime/keys.h"

#define KEYS_NAMES_MAX (REGIONS_MAX + KEY_CLIENTS_MAX + 8) /* in one directory */

struct keys_flags {
	struct option_list regions;
	const char *client, *rights, *keyspaces, *output;
	bool replace, finish;
};

/* Actions of `godwit keys`: the exit code, with failures printed. */
int keys_import_run(struct cli *cli, const struct keys_flags *flags);
int keys_check_run(struct cli *cli, const struct keys_flags *flags);
/* The directory that will hold --dir's keys, made when it is not there. */
int keys_parent_make(struct cli *cli, struct error_context *error);

#endif
