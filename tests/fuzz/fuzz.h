/* SPDX-License-Identifier: Apache-2.0
 *
 * What the fuzzers share: a promise that was broken ends the program, and input is taken from the front bit by bit. */
#ifndef GODWIT_TESTS_FUZZ_H
#define GODWIT_TESTS_FUZZ_H
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#define CHECK(condition)                                                                                                       \
	do {                                                                                                                   \
		if (!(condition)) {                                                                                            \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                                \
			abort();                                                                                               \
		}                                                                                                              \
	} while (0)

struct input {
	const uint8_t *at, *end;
};

static inline size_t input_left(const struct input *in)
{
	return (size_t)(in->end - in->at);
}

/* Zeros where the input is at its end. */
static inline uint64_t input_number(struct input *in, size_t size)
{
	uint64_t value = 0;
	for (size_t i = 0; i < size && in->at < in->end; i++)
		value |= (uint64_t)*in->at++ << (8 * i);
	return value;
}

/* In memory of its own, so that a byte too far is noticed. To be freed. */
static inline uint8_t *input_bytes(struct input *in, size_t size, size_t *taken)
{
	*taken = size < input_left(in) ? size : input_left(in);
	uint8_t *copy = malloc(*taken ? *taken : 1);
	if (copy == NULL)
		abort();
	if (*taken)
		memcpy(copy, in->at, *taken);
	in->at += *taken;
	return copy;
}

/* Reads each byte, so that the sanitizers look at it. */
static inline void bytes_touch(const void *bytes, size_t size)
{
	volatile uint8_t sum = 0;
	for (size_t i = 0; i < size; i++)
		sum = (uint8_t)(sum + ((const uint8_t *)bytes)[i]);
}

#endif
