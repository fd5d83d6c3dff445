/* SPDX-License-Identifier: Apache-2.0
 *
 * Moves money between two accounts from two regions at the same time. A transfer reads both accounts and writes both, if they
 * still are as they were read; when they are not it starts again.
 *
 *   godwit up --topology FILE                      with a keyspace "orders" of level strong
 *   transaction [DIR [US-ENDPOINT AP-ENDPOINT]]    DIR: the data directory that `godwit up` made; default ./godwit-data */
#include <godwit.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KEYSPACE  "orders"
#define TRANSFERS 10
#define OPENING   100

static const struct gw_read_options orders = {.keyspace = KEYSPACE};
static const char *const names[2] = {"example/account/alice", "example/account/bob"};

struct account {
	long balance;
	uint8_t version[GW_VERSION_SIZE_MAX];
	size_t version_size;
};

static int account_read(struct gw_connection *connection, const char *name, struct account *account)
{
	struct gw_result result;
	char text[32];
	int code = gw_get(connection, gw_text(name), &orders, &result);
	if (code != 0) {
		fprintf(stderr, "get: %s: %s\n", gw_error_name(code), result.reason);
		return code;
	}
	snprintf(text, sizeof text, "%.*s", (int)result.value.size, (const char *)result.value.data);
	account->balance = strtol(text, NULL, 10);
	memcpy(account->version, result.version.data, result.version.size); /* the result is gone with the next call */
	account->version_size = result.version.size;
	return 0;
}

/* read NULL: whatever is there now. */
static int account_set(struct gw_transaction *transaction, const char *name, const struct account *read, long balance)
{
	char text[32];
	struct gw_step_options options = {.keyspace = KEYSPACE};
	snprintf(text, sizeof text, "%ld", balance);
	if (read) {
		options.condition = GW_IF_VERSION;
		options.expected = gw_data(read->version, read->version_size);
	}
	return gw_transaction_put(transaction, gw_text(name), gw_text(text), &options); /* copies all of it */
}

/* Both accounts, or none. accounts NULL: whatever they are now. */
static int accounts_write(
    struct gw_connection *connection, const struct account *accounts, long first, long second, struct gw_result *result)
{
	struct gw_transaction *transaction;
	int code = gw_begin_global_transaction(connection, 0, &transaction);
	if (code == 0)
		code = account_set(transaction, names[0], accounts, first);
	if (code == 0)
		code = account_set(transaction, names[1], accounts ? accounts + 1 : NULL, second);
	*result = (struct gw_result){.code = code, .reason = gw_error_text(code)};
	if (code == GW_OK)
		code = gw_commit_global(transaction, result);
	gw_transaction_free(transaction);
	return code;
}

struct transfers {
	struct gw_connection *connection;
	long amount; /* from alice to bob */
	unsigned done, again;
};

static int transfer(struct transfers *t)
{
	struct account accounts[2];
	struct gw_result result;
	for (unsigned attempt = 0; attempt < 200; attempt++) {
		for (int i = 0; i < 2; i++)
			if (account_read(t->connection, names[i], &accounts[i]) != 0)
				return 1;
		int code = accounts_write(
		    t->connection, accounts, accounts[0].balance - t->amount, accounts[1].balance + t->amount, &result);
		if (code == 0)
			return 0;
		if (code != GW_CHECK_FAILED) { /* if gw_outcome is unknown it may be done: to do it again might move it twice */
			fprintf(stderr, "commit: %s: %s\n", gw_error_name(code), result.reason);
			return 1;
		}
		t->again++;
		nanosleep(&(struct timespec){.tv_nsec = (rand() % 20 + 1) * 1000000l}, NULL);
	}
	fprintf(stderr, "a transfer found other values each time\n");
	return 1;
}

static void *transfers_run(void *argument)
{
	struct transfers *t = argument;
	while (t->done < TRANSFERS && transfer(t) == 0)
		t->done++;
	return NULL;
}

static struct gw_connection *connect_to(const char *dir, const char *region, const char *endpoint)
{
	char key_dir[512], reason[GW_REASON_SIZE];
	struct gw_connection *connection;
	snprintf(key_dir, sizeof key_dir, "%s/keys", dir);
	struct gw_options options = {.endpoint = endpoint, .key_dir = key_dir, .region = region};
	if (gw_connect(&connection, &options, reason) != GW_OK) {
		fprintf(stderr, "%s: %s\n", region, reason);
		return NULL;
	}
	return connection;
}

int main(int argc, char **argv)
{
	const char *dir = argc > 1 ? argv[1] : "./godwit-data";
	struct transfers us = {.amount = 3}, ap = {.amount = -1};
	struct account accounts[2];
	struct gw_result result;
	pthread_t thread;
	int exit_code = 1;
	us.connection = connect_to(dir, "us-east-1", argc > 2 ? argv[2] : "tcp://127.0.0.1:7400");
	ap.connection = us.connection ? connect_to(dir, "ap-south-1", argc > 3 ? argv[3] : "tcp://127.0.0.1:7420") : NULL;
	if (!us.connection || !ap.connection)
		goto out;
	if (accounts_write(us.connection, NULL, OPENING, 0, &result) != 0) {
		fprintf(stderr, "opening the accounts: %s: %s\n", gw_error_name(result.code), result.reason);
		goto out;
	}

	/* A connection each: they are not for several threads. */
	if (pthread_create(&thread, NULL, transfers_run, &ap) != 0)
		goto out;
	transfers_run(&us);
	pthread_join(thread, NULL);

	for (int i = 0; i < 2; i++)
		if (account_read(ap.connection, names[i], &accounts[i]) != 0)
			goto out;
	long expected = OPENING - us.done * us.amount - ap.done * ap.amount;
	printf("%u transfers, %u begun again: alice has %ld, bob %ld\n", us.done + ap.done, us.again + ap.again,
	    accounts[0].balance, accounts[1].balance);
	if (us.done + ap.done == 2 * TRANSFERS && accounts[0].balance == expected && accounts[1].balance == OPENING - expected)
		exit_code = 0;
	else
		fprintf(stderr, "alice should have %ld, bob %ld\n", expected, OPENING - expected);
out:
	gw_close(us.connection);
	gw_close(ap.connection);
	return exit_code;
}
