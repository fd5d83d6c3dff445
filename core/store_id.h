/* SPDX-License-Identifier: Apache-2.0
 *
 * Which store of a region: drawn at random when its data directory is made. Sequences alone do not tell whose they are, since
 * a wiped region counts from 1 again. */
#ifndef GODWIT_CORE_STORE_ID_H
#define GODWIT_CORE_STORE_ID_H
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define STORE_ID_SIZE 16u

struct store_id {
	uint8_t bytes[STORE_ID_SIZE]; /* all 0: not known */
};

static inline bool store_id_is_known(const struct store_id *id)
{
	static const struct store_id unknown = {{0}};
	return memcmp(id, &unknown, sizeof unknown) != 0;
}

static inline bool store_id_is_equal(const struct store_id *a, const struct store_id *b)
{
	return memcmp(a, b, sizeof *a) == 0;
}

#endif
