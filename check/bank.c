/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "check/checkers.h"
#include "check/memory.h"

struct bank {
	const struct history *h;
	const struct keyed *keyed;
	struct check *check;
	bool *is_account;  /* keys that occur */
	uint32_t *seen_in; /* per key: number of the transaction + 1 that was the last to read it */
	uint32_t account_count;
	uint64_t read_alls;
	bool has_total;
	int64_t total;
};

/* A whole number at the start of the value; what follows may make it unique. An account that is not there has 0. */
static bool balance_parse(const struct bank *b, uint32_t value, int64_t *balance)
{
	char *end;
	*balance = 0;
	if (value == VALUE_ABSENT)
		return true;
	errno = 0;
	const char *text = b->h->values.all[value - 1].bytes;
	*balance = strtoll(text, &end, 10);
	return end > text && errno == 0 && (*end < '0' || *end > '9');
}

static void accounts_find(struct bank *b)
{
	for (uint32_t i = 0; i < b->h->access_count; i++)
		b->is_account[b->h->accesses[i].key] |= b->keyed->kinds[b->h->accesses[i].key] == KEY_ACCOUNT;
	for (uint32_t k = 0; k < b->h->keys.count; k++)
		b->account_count += b->is_account[k];
}

static bool total_of(struct bank *b, uint32_t number, int64_t *total)
{
	const struct operation *o = &b->h->operations[number];
	uint32_t read = 0;
	bool good = true;
	*total = 0;
	for (uint32_t i = o->access_first; i < o->access_first + o->access_count; i++) {
		const struct access *a = &b->h->accesses[i];
		int64_t balance;
		if (!b->is_account[a->key])
			continue;
		if (a->kind != OPERATION_GET)
			return false;
		if (b->seen_in[a->key] == number + 1)
			continue;
		b->seen_in[a->key] = number + 1;
		read++;
		good &= balance_parse(b, a->value, &balance) && !__builtin_add_overflow(*total, balance, total);
	}
	if (read == 0 || read < b->account_count)
		return false;
	if (!good) {
		char text[DESCRIPTION_MAX];
		check_fails(
		    b->check, VERDICT_VIOLATION, "an account that holds no number:\n    %s", operation_describe(b->h, o, text));
	}
	return good;
}

void check_bank(const struct history *h, const struct keyed *keyed, const struct judge_options *options, struct check *check)
{
	struct bank b = {
	    .h = h, .keyed = keyed, .check = check, .has_total = options->has_bank_total, .total = options->bank_total};
	b.is_account = memory_zeroed(h->keys.count, sizeof *b.is_account);
	b.seen_in = memory_zeroed(h->keys.count, sizeof *b.seen_in);
	accounts_find(&b);
	for (uint32_t i = 0; i < h->count; i++) {
		int64_t total;
		char text[DESCRIPTION_MAX];
		if (h->operations[i].kind != OPERATION_TRANSACTION || h->operations[i].outcome != OUTCOME_OK ||
		    !total_of(&b, i, &total))
			continue;
		b.read_alls++;
		if (!b.has_total) {
			b.has_total = true;
			b.total = total;
		}
		if (total != b.total)
			check_fails(check, VERDICT_VIOLATION, "all accounts together hold %lld, not %lld:\n    %s",
			    (long long)total, (long long)b.total, operation_describe(h, &h->operations[i], text));
	}
	if (b.read_alls == 0)
		check_fails(check, VERDICT_PROVES_NOTHING, "no ok transaction read all %u accounts", b.account_count);
	check_counts(check, "%u accounts, %llu transactions read them all, total %lld", b.account_count,
	    (unsigned long long)b.read_alls, (long long)b.total);
	free(b.is_account);
	free(b.seen_in);
}
