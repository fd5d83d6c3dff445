/* SPDX-License-Identifier: Apache-2.0
 *
 * A counter in a strong keyspace, raised from two regions: each write names the version that was read, and is refused when
 * somebody else wrote in between.
 *
 *   godwit up --topology FILE                          with a keyspace "orders" of level strong
 *   compare_and_set [DIR [US-ENDPOINT AP-ENDPOINT]]    DIR: the data directory that `godwit up` made; default ./godwit-data */
#include <godwit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYSPACE "orders"
#define KEY      "example/counter"
#define EACH     10

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

struct counter {
	long value;
	uint8_t version[GW_VERSION_SIZE_MAX];
	size_t version_size; /* 0: there is none */
};

static const struct gw_read_options orders = {.keyspace = KEYSPACE};

static int counter_read(struct gw_connection *connection, struct counter *counter)
{
	struct gw_result result;
	char text[32];
	*counter = (struct counter){0};
	int code = gw_get(connection, gw_text(KEY), &orders, &result);
	if (code == GW_NOT_FOUND)
		return 0;
	if (code != GW_OK) {
		fprintf(stderr, "get: %s: %s\n", gw_error_name(code), result.reason);
		return code;
	}
	snprintf(text, sizeof text, "%.*s", (int)result.value.size, (const char *)result.value.data);
	counter->value = strtol(text, NULL, 10);
	memcpy(counter->version, result.version.data, result.version.size); /* the result is gone with the next call */
	counter->version_size = result.version.size;
	return 0;
}

/* Writes it only if it still is as it was read. */
static int counter_write(struct gw_connection *connection, const struct counter *read, long value, struct gw_result *result)
{
	char text[32];
	struct gw_write_options options = {.keyspace = KEYSPACE,
	    .condition = read->version_size ? GW_IF_VERSION : GW_IF_ABSENT,
	    .expected = gw_data(read->version, read->version_size)};
	snprintf(text, sizeof text, "%ld", value);
	return gw_put(connection, gw_text(KEY), gw_text(text), &options, result);
}

static int counter_raise(struct gw_connection *connection)
{
	struct gw_result result;
	struct counter counter;
	int code;
	do {
		if (counter_read(connection, &counter) != 0)
			return 1;
		code = counter_write(connection, &counter, counter.value + 1, &result);
	} while (code == GW_CHECK_FAILED); /* certainly not written: read again */
	if (code != GW_OK)                 /* if gw_outcome is unknown it may be written: to do it again might count twice */
		fprintf(stderr, "put: %s: %s\n", gw_error_name(code), result.reason);
	return code;
}

int main(int argc, char **argv)
{
	const char *dir = argc > 1 ? argv[1] : "./godwit-data";
	struct gw_connection *us = connect_to(dir, "us-east-1", argc > 2 ? argv[2] : "tcp://127.0.0.1:7400");
	struct gw_connection *ap = us ? connect_to(dir, "ap-south-1", argc > 3 ? argv[3] : "tcp://127.0.0.1:7420") : NULL;
	struct gw_result result;
	struct counter first, stale, last;
	int exit_code = 1;
	if (!us || !ap || counter_read(us, &first) != 0)
		goto out;
	for (int i = 0; i < EACH; i++)
		if (counter_raise(us) != 0 || counter_raise(ap) != 0)
			goto out;

	if (counter_read(us, &stale) != 0 || counter_raise(ap) != 0)
		goto out;
	int code = counter_write(us, &stale, 0, &result);
	printf("a write over what ap-south-1 has written since: %s\n", gw_error_name(code));
	if (code != GW_CHECK_FAILED || counter_read(us, &last) != 0)
		goto out;
	printf("raised from %ld to %ld\n", first.value, last.value);
	exit_code = last.value == first.value + 2 * EACH + 1 ? 0 : 1;
out:
	gw_close(us);
	gw_close(ap);
	return exit_code;
}
