/* SPDX-License-Identifier: Apache-2.0
 *
 * Writes to one region and reads from another.
 *
 *   godwit up
 *   put_get [DIR [US-ENDPOINT AP-ENDPOINT]]    DIR: the data directory that `godwit up` made; default ./godwit-data
 *
 * A write is acknowledged by the region that takes it, and reaches the others a moment later. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "client/admin.h"

static struct gw_connection *connect_to(const char *dir, const char *region, const char *endpoint)
{
	char key_dir[512], error[320];
	struct gw_connection *connection;
	snprintf(key_dir, sizeof key_dir, "%s/keys", dir);
	struct gw_options options = {.endpoint = endpoint, .key_dir = key_dir, .region = region};
	if (gw_connect(&connection, &options, error) != 0) {
		fprintf(stderr, "%s: %s\n", region, error);
		return NULL;
	}
	return connection;
}

int main(int argc, char **argv)
{
	const char *dir = argc > 1 ? argv[1] : "./godwit-data", *key = "example/greeting",
	           *value = "hello, other side of the world";
	struct gw_connection *us = connect_to(dir, "us-east-1", argc > 2 ? argv[2] : "tcp://127.0.0.1:7400");
	struct gw_connection *ap = us ? connect_to(dir, "ap-south-1", argc > 3 ? argv[3] : "tcp://127.0.0.1:7420") : NULL;
	struct client_result result;
	int exit_code = 1;
	if (!us || !ap)
		goto out;

	/* What comes back is 0, a refusal (certainly not applied), or GW's "unknown outcome": it may have happened. */
	if (client_put(us, NULL, key, strlen(key), value, strlen(value), &result) != 0) {
		fprintf(stderr, "put: %s: %s\n", gw_error_name(result.code), result.reason);
		goto out;
	}
	printf("us-east-1 has it on its disk after %.1f ms\n", (double)(result.answered_ns - result.submitted_ns) / 1e6);

	for (int i = 0; i < 500; i++) {
		int code = client_get(ap, NULL, key, strlen(key), &result);
		if (code == 0 && result.value_size == strlen(value) && memcmp(result.value, value, result.value_size) == 0) {
			printf("ap-south-1 reads: %.*s\n", (int)result.value_size, (const char *)result.value);
			exit_code = 0;
			break;
		}
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	}
	if (exit_code)
		fprintf(stderr, "ap-south-1 does not have it after 5 seconds\n");
out:
	gw_close(us);
	gw_close(ap);
	return exit_code;
}
