/* SPDX-License-Identifier: Apache-2.0
 *
 * Writes to one region and reads from another.
 *
 *   godwit up
 *   put_get [DIR [US-ENDPOINT AP-ENDPOINT]]    DIR: the data directory that `godwit up` made; default ./godwit-data
 *
 * A write is acknowledged by the region that takes it, and reaches the others a moment later. */
#include <godwit.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

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

static int write_it(struct gw_connection *connection, struct gw_bytes key, struct gw_bytes value)
{
	struct gw_result result;
	gw_put(connection, key, value, NULL, &result);
	switch (gw_outcome(result.code)) {
	case GW_OUTCOME_APPLIED:
		printf(
		    "us-east-1 has it on its disk after %.1f ms\n", (double)(result.answered_ns - result.submitted_ns) / 1e6);
		return 0;
	case GW_OUTCOME_REFUSED:
		fprintf(stderr, "certainly not written: %s: %s\n", gw_error_name(result.code), result.reason);
		return 1;
	case GW_OUTCOME_UNKNOWN: /* the same value again would do no harm here */
		break;
	}
	fprintf(stderr, "perhaps written: %s: %s\n", gw_error_name(result.code), result.reason);
	return 1;
}

static int wait_for(struct gw_connection *connection, struct gw_bytes key, struct gw_bytes value)
{
	struct gw_result result;
	for (int i = 0; i < 500; i++) {
		int code = gw_get(connection, key, NULL, &result);
		if (code == GW_OK && result.value.size == value.size &&
		    memcmp(result.value.data, value.data, value.size) == 0) {
			printf("ap-south-1 reads: %.*s\n", (int)result.value.size, (const char *)result.value.data);
			return 0;
		}
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	}
	fprintf(stderr, "ap-south-1 does not have it after 5 seconds\n");
	return 1;
}

int main(int argc, char **argv)
{
	const char *dir = argc > 1 ? argv[1] : "./godwit-data";
	struct gw_connection *us = connect_to(dir, "us-east-1", argc > 2 ? argv[2] : "tcp://127.0.0.1:7400");
	struct gw_connection *ap = us ? connect_to(dir, "ap-south-1", argc > 3 ? argv[3] : "tcp://127.0.0.1:7420") : NULL;
	struct gw_bytes key = gw_text("example/greeting"), value = gw_text("hello, other side of the world");
	int exit_code = us && ap && write_it(us, key, value) == 0 && wait_for(ap, key, value) == 0 ? 0 : 1;
	gw_close(us);
	gw_close(ap);
	return exit_code;
}
