/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/zipf.h"

#include <assert.h>
#include <math.h>

uint64_t random_next(struct random *random)
{
	uint64_t z = random->state += 0x9e3779b97f4a7c15ull;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

double random_unit(struct random *random)
{
	return (double)(random_next(random) >> 11) * 0x1p-53;
}

/* (exp(x) - 1) / x and log(1 + x) / x, also where the plain form would divide nothing by nothing. */
static double exp_minus_one_over(double x)
{
	return fabs(x) > 1e-8 ? expm1(x) / x : 1 + x / 2 * (1 + x / 3);
}

static double log_plus_one_over(double x)
{
	return fabs(x) > 1e-8 ? log1p(x) / x : 1 - x * (0.5 - x / 3);
}

static double density(const struct zipf *z, double x)
{
	return exp(-z->exponent * log(x));
}

static double integral(const struct zipf *z, double x)
{
	double log_x = log(x);
	return exp_minus_one_over((1 - z->exponent) * log_x) * log_x;
}

static double integral_inverse(const struct zipf *z, double x)
{
	double t = x * (1 - z->exponent);
	if (t < -1)
		t = -1; /* rounding, near the far end */
	return exp(log_plus_one_over(t) * x);
}

void zipf_init(struct zipf *z, uint64_t count, double exponent)
{
	assert(count > 0 && exponent >= 0);
	z->count = count;
	z->exponent = exponent;
	z->integral_first = integral(z, 1.5) - 1;
	z->integral_last = integral(z, (double)count + 0.5);
	z->shortcut = 2 - integral_inverse(z, integral(z, 2.5) - density(z, 2));
}

uint64_t zipf_next(const struct zipf *z, struct random *random)
{
	if (z->exponent == 0)
		return 1 + random_next(random) % z->count;
	for (;;) {
		double u = z->integral_last + random_unit(random) * (z->integral_first - z->integral_last);
		double x = integral_inverse(z, u);
		double rank = floor(x + 0.5);
		if (rank < 1)
			rank = 1;
		else if (rank > (double)z->count)
			rank = (double)z->count;
		if (rank - x <= z->shortcut || u >= integral(z, rank + 0.5) - density(z, rank))
			return (uint64_t)rank;
	}
}
