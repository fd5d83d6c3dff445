/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/values.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static const char digits[64] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char words[32][12] = {"order ", "customer ", "address ", "region ", "status ", "pending ", "shipped ", "invoice ",
    "price ", "total ", "currency ", "quantity ", "article ", "delivery ", "account ", "created ", "updated ", "payment ",
    "street ", "country ", "the ", "of ", "and ", "is ", "not ", "yes ", "no ", "true ", "false ", "null ", "note ", "email "};

static char *put_random(char *out, uint32_t size, struct random *random)
{
	while (size) {
		uint64_t bits = random_next(random);
		for (uint32_t i = 0; i < 10 && size; i++, size--, bits >>= 6)
			*out++ = digits[bits & 63];
	}
	return out;
}

static void put_words(char *out, uint32_t size, struct random *random)
{
	while (size) {
		uint64_t bits = random_next(random);
		for (uint32_t i = 0; i < 12 && size; i++, bits >>= 5) {
			const char *word = words[bits & 31];
			size_t length = strlen(word);
			if (length > size)
				length = size;
			memcpy(out, word, length);
			out += length;
			size -= (uint32_t)length;
		}
	}
}

/* By hand: printf would cost more than the rest of an operation. */
static char *put_hex(char *out, uint64_t value, int count)
{
	for (int i = count - 1; i >= 0; i--)
		*out++ = "0123456789abcdef"[value >> 4 * i & 15];
	return out;
}

void value_fill(char *out, uint32_t size, uint32_t run, uint32_t client, uint64_t number, struct random *random)
{
	assert(size >= VALUE_ID_SIZE && client <= 0xffff);
	char *at = put_hex(out, run, 8);
	at = put_hex(at, client, 4);
	*at++ = '-';
	at = put_hex(at, number, 10);
	*at++ = ' ';
	uint32_t left = size - VALUE_ID_SIZE;
	at = put_random(at, left / 2, random);
	put_words(at, left - left / 2, random);
}

void key_fill(char out[static BENCH_KEY_TEXT_SIZE], uint64_t key)
{
	out[0] = 'k';
	for (uint32_t i = BENCH_KEY_SIZE - 1; i > 0; i--, key /= 10)
		out[i] = (char)('0' + key % 10);
	out[BENCH_KEY_SIZE] = 0;
}
