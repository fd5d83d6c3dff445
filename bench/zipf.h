/* SPDX-License-Identifier: Apache-2.0
 *
 * Ranks 1..count with probability proportional to 1 / rank^exponent: W. Hörmann, G. Derflinger, "Rejection-inversion to
 * generate variates from monotone discrete distributions", 1996. Nothing to prepare whatever the count, any exponent >= 0. */
#ifndef GODWIT_BENCH_ZIPF_H
#define GODWIT_BENCH_ZIPF_H
#include <stdint.h>

struct random { /* splitmix64: Steele, Lea, Flood, 2014 */
	uint64_t state;
};
uint64_t random_next(struct random *random);
double random_unit(struct random *random); /* 0 <= x < 1 */

struct zipf {
	double exponent, integral_first, integral_last, shortcut;
	uint64_t count;
};
void zipf_init(struct zipf *zipf, uint64_t count, double exponent);
uint64_t zipf_next(const struct zipf *zipf, struct random *random);

#endif
