/* SPDX-License-Identifier: Apache-2.0
 *
 * Many writes on their way at a time: submit until the pipeline is full, take results as they come.
 *
 *   godwit up
 *   pipelined [DIR [ROWS [ENDPOINT]]]     DIR: default ./godwit-data; ROWS: default 100000 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/admin.h"

struct count {
	unsigned long ok, failed;
};

/* Called by client_poll for each result; what it points to is gone afterwards. */
static void take(void *context, const struct client_result *result)
{
	struct count *count = context;
	if (result->code == 0) {
		count->ok++;
		return;
	}
	if (count->failed++ == 0)
		fprintf(stderr, "write %llu: %s: %s\n", (unsigned long long)result->number, gw_error_name(result->code),
		    result->reason);
}

int main(int argc, char **argv)
{
	const char *dir = argc > 1 ? argv[1] : "./godwit-data";
	unsigned long rows = argc > 2 ? strtoul(argv[2], NULL, 10) : 100000;
	char key_dir[512], error[320];
	struct gw_connection *connection;
	struct count count = {0};
	struct timespec began, ended;
	snprintf(key_dir, sizeof key_dir, "%s/keys", dir);
	struct gw_options options = {
	    .endpoint = argc > 3 ? argv[3] : "tcp://127.0.0.1:7400", .key_dir = key_dir, .region = "us-east-1", .pipeline_max = 2048};
	if (gw_connect(&connection, &options, error) != 0) {
		fprintf(stderr, "%s\n", error);
		return 1;
	}

	clock_gettime(CLOCK_MONOTONIC, &began);
	for (unsigned long i = 0; i < rows; i++) {
		char key[32], value[64];
		int key_size = snprintf(key, sizeof key, "example/%08lu", i),
		    value_size = snprintf(value, sizeof value, "row %lu", i);
		struct client_operation operation = {.kind = CLIENT_PUT,
		    .key = key,
		    .key_size = (size_t)key_size,
		    .value = value,
		    .value_size = (size_t)value_size};
		int code;
		/* Everything is copied; any refusal here is final, except that a full pipeline wants its results taken first.
		 */
		while ((code = client_submit(connection, &operation)) != 0 && gw_pending(connection) > 0)
			client_poll(connection, 100, take, &count);
		if (code != 0) {
			fprintf(stderr, "submit: %s\n", gw_error_name(code));
			gw_close(connection);
			return 1;
		}
		if (i % 256 == 0)
			client_poll(connection, 0, take, &count); /* sends, and takes what is there without waiting */
	}
	while (gw_pending(connection) > 0)
		client_poll(connection, 100, take, &count);
	clock_gettime(CLOCK_MONOTONIC, &ended);

	double seconds = (double)(ended.tv_sec - began.tv_sec) + (double)(ended.tv_nsec - began.tv_nsec) / 1e9;
	printf("%lu rows acknowledged, %lu failed, %.0f rows/s\n", count.ok, count.failed, (double)count.ok / seconds);
	gw_close(connection);
	return count.failed ? 1 : 0;
}
