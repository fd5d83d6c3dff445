/* SPDX-License-Identifier: Apache-2.0
 *
 * Many writes on their way at a time: submit until the pipeline is full, take results as they come.
 *
 *   godwit up
 *   pipelined [DIR [ROWS [ENDPOINT]]]     DIR: default ./godwit-data; ROWS: default 100000 */
#include <godwit.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct count {
	unsigned long applied, refused, unknown;
};

/* Called by gw_poll for each result; what it points to is gone afterwards. */
static void take(void *context, const struct gw_result *result)
{
	struct count *count = context;
	switch (gw_outcome(result->code)) {
	case GW_OUTCOME_APPLIED:
		count->applied++;
		return;
	case GW_OUTCOME_REFUSED:
		count->refused++;
		break;
	case GW_OUTCOME_UNKNOWN:
		count->unknown++;
		break;
	}
	if (count->refused + count->unknown == 1)
		fprintf(stderr, "%s: %s\n", gw_error_name(result->code), result->reason);
}

/* Submits one write; while the pipeline is full, results are taken to make room. */
static int write_row(struct gw_connection *connection, unsigned long row, struct count *count)
{
	char key[32], value[64];
	int code;
	snprintf(key, sizeof key, "example/%08lu", row);
	snprintf(value, sizeof value, "row %lu", row);
	while ((code = gw_submit_put(connection, gw_text(key), gw_text(value), NULL, NULL)) == GW_FULL)
		gw_poll(connection, 100, take, count);
	if (code == GW_OK && row % 256 == 0)
		gw_poll(connection, 0, take, count); /* sends, and takes what is there without waiting */
	return code;
}

int main(int argc, char **argv)
{
	const char *dir = argc > 1 ? argv[1] : "./godwit-data";
	unsigned long rows = argc > 2 ? strtoul(argv[2], NULL, 10) : 100000;
	char key_dir[512], reason[GW_REASON_SIZE];
	struct gw_connection *connection;
	struct count count = {0};
	struct timespec began, ended;
	int code = GW_OK;
	snprintf(key_dir, sizeof key_dir, "%s/keys", dir);
	struct gw_options options = {.endpoint = argc > 3 ? argv[3] : "tcp://127.0.0.1:7400",
	    .key_dir = key_dir,
	    .region = "us-east-1",
	    .pipeline_max = 2048};
	if (gw_connect(&connection, &options, reason) != GW_OK) {
		fprintf(stderr, "%s\n", reason);
		return 1;
	}

	clock_gettime(CLOCK_MONOTONIC, &began);
	for (unsigned long row = 0; row < rows && code == GW_OK; row++)
		code = write_row(connection, row, &count);
	if (code != GW_OK)
		fprintf(stderr, "submit: %s\n", gw_error_text(code));
	while (gw_pending(connection) > 0)
		gw_poll(connection, 100, take, &count);
	clock_gettime(CLOCK_MONOTONIC, &ended);

	double seconds = (double)(ended.tv_sec - began.tv_sec) + (double)(ended.tv_nsec - began.tv_nsec) / 1e9;
	printf("%lu rows applied, %lu refused, %lu unknown, %.0f rows/s\n", count.applied, count.refused, count.unknown,
	    (double)count.applied / seconds);
	gw_close(connection);
	return count.applied == rows ? 0 : 1;
}
