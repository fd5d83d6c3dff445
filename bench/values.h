/* SPDX-License-Identifier: Apache-2.0
 *
 * What is written: a value begins with VALUE_ID_SIZE characters that no other write of any run has; the rest is one half random
 * base64 and one half words of English, so that LZ4 finds about what it finds in records of applications, neither noise nor
 * zeros. */
#ifndef GODWIT_BENCH_VALUES_H
#define GODWIT_BENCH_VALUES_H
#include <stdint.h>

#include "bench/zipf.h"

#define VALUE_ID_SIZE       24u
#define BENCH_KEY_SIZE      16u
#define BENCH_KEY_TEXT_SIZE (BENCH_KEY_SIZE + 1)
/* size >= VALUE_ID_SIZE. */
void value_fill(char *out, uint32_t size, uint32_t run, uint32_t client, uint64_t number, struct random *random);
/* "k" and 15 digits. */
void key_fill(char out[static BENCH_KEY_TEXT_SIZE], uint64_t key);

#endif
