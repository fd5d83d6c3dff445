/* SPDX-License-Identifier: Apache-2.0
 *
 * In the place of libgodwit: each operation of a command is answered by the test, in the process of the command, and noted in
 * the file `asked`, a line each. */
#ifndef GODWIT_TESTS_UNIT_CMD_FAKE_CLIENT_H
#define GODWIT_TESTS_UNIT_CMD_FAKE_CLIENT_H
#include "client/admin.h"
#include "proto/client.pb-c.h"

/* Fills in the result, whose answer is there and empty. */
extern void (*fake_answer)(
    const char *region, const struct client_operation *operation, struct client_result *result, Godwit__Client__Answer *answer);

#endif
