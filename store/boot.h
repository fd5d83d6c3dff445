/* SPDX-License-Identifier: Apache-2.0
 *
 * The boot id: tells whether the machine went down since something was written. */
#ifndef GODWIT_STORE_BOOT_H
#define GODWIT_STORE_BOOT_H
#include <stdint.h>

#include "base/error.h"

/* Tests point this at a file of their own to play a machine crash. */
extern const char *boot_id_path;
int boot_id_read(uint8_t id[static 16], struct error_context *error);

#endif
