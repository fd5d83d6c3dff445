/* SPDX-License-Identifier: Apache-2.0
 *
 * In the place of core/version.c: a build that understands as many versions more as the test says. */
#ifndef GODWIT_TESTS_UNIT_AHEAD_H
#define GODWIT_TESTS_UNIT_AHEAD_H
#include <stdint.h>

extern uint32_t ahead; /* 0 at first */

#endif
