/* SPDX-License-Identifier: Apache-2.0
 *
 * A history by key: each single operation, and what each transaction did to each of its keys, as an operation on a register. */
#ifndef GODWIT_CHECK_KEYED_H
#define GODWIT_CHECK_KEYED_H
#include "check/history.h"
#include "check/register.h"

/* What a key holds. Lists are judged by transactions alone; accounts of a bank have values that are not unique. */
enum key_kind { KEY_REGISTER, KEY_LIST, KEY_ACCOUNT };

struct keyed_operation {
	uint32_t key;
	struct register_operation operation; /* its source is the number of the operation in the history */
};

struct write {
	uint32_t key, value;
	uint32_t operation; /* in the history */
	uint32_t access;    /* in the history; NAME_NONE when not of a transaction */
	bool failed;        /* certainly did not happen */
	bool is_final;      /* of its transaction, on this key */
};
struct keyed {
	enum key_kind *kinds;               /* per key */
	struct keyed_operation *operations; /* of registers; by key, then by start; nothing that failed */
	uint32_t count, capacity;
	struct write *writes; /* each (key, value) once, also of lists; not of accounts */
	uint32_t write_count, write_capacity;
	uint32_t *slots, slot_count;
};

/* ERR_MALFORMED when a value was written twice. */
int keyed_init(struct keyed *keyed, const struct history *history, const char *bank_prefix, struct error_context *error);
void keyed_deinit(struct keyed *keyed);
/* Who wrote it; NULL if nobody. One that may have happened goes before one that failed. */
const struct write *keyed_writer(const struct keyed *keyed, uint32_t key, uint32_t value);

#endif
