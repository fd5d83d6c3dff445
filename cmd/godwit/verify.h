/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GODWIT_CMD_GODWIT_VERIFY_H
#define GODWIT_CMD_GODWIT_VERIFY_H
#include "cmd/godwit/cli.h"

/* Every write that FILE lists as acknowledged is in --region. Returns the exit code. */
int verify_acked(struct cli *cli, const char *path);

#endif
