/* SPDX-License-Identifier: Apache-2.0
 *
 * Prints the rows whose keys begin with a prefix, and counts them. The region sends them page by page; the loop does not see
 * that.
 *
 *   godwit up
 *   scan [DIR [PREFIX [ENDPOINT]]]    DIR: default ./godwit-data; PREFIX: default example/ */
#include <godwit.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	const char *dir = argc > 1 ? argv[1] : "./godwit-data", *prefix = argc > 2 ? argv[2] : "example/";
	char key_dir[512], reason[GW_REASON_SIZE];
	struct gw_connection *connection;
	struct gw_scan *scan;
	struct gw_row row;
	unsigned long rows = 0;
	int code;
	snprintf(key_dir, sizeof key_dir, "%s/keys", dir);
	struct gw_options options = {
	    .endpoint = argc > 3 ? argv[3] : "tcp://127.0.0.1:7400", .key_dir = key_dir, .region = "us-east-1"};
	if (gw_connect(&connection, &options, reason) != GW_OK) {
		fprintf(stderr, "%s\n", reason);
		return 1;
	}
	code = gw_scan_begin(connection, gw_text(prefix), NULL, &scan);
	if (code == GW_OK) {
		while ((code = gw_scan_next(scan, &row)) == GW_OK) {
			printf("%.*s\t%.*s\n", (int)row.key.size, (const char *)row.key.data, (int)row.value.size,
			    (const char *)row.value.data);
			rows++;
		}
		if (code != GW_EMPTY) /* there may be more: the scan could go on from here */
			fprintf(stderr, "scan: %s: %s\n", gw_error_name(code), gw_scan_reason(scan));
		gw_scan_free(scan);
	}
	fprintf(stderr, "%lu rows\n", rows);
	gw_close(connection);
	return code == GW_EMPTY ? 0 : 1;
}
