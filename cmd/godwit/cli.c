/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/godwit/cli.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cmd/godwit/hosts.h"
#include "cmd/godwit/processes.h"
#include "shm/layout.h"

static const char *advice(int code)
{
	switch (code) {
	case ERR_USAGE:
		return NULL; /* says it itself */
	case ERR_KEY_TOO_LARGE:
		return "keys have 1 to 1024 bytes";
	case ERR_VALUE_TOO_LARGE:
		return "split it, or keep it elsewhere and store where";
	case ERR_UNKNOWN_KEYSPACE:
		return "`godwit up --check` prints the configured ones";
	case ERR_LEVEL_UNAVAILABLE:
		return "`godwit keyspace list` prints the levels";
	case ERR_NO_QUORUM:
		return "`godwit status` shows who can be reached";
	case ERR_CONTEXT_AHEAD:
		return "wait until the region has caught up, or leave --context out";
	case ERR_OVERLOADED:
		return "try again later";
	case ERR_DISK_FULL:
		return "make room, or raise limits.log_disk_mib";
	case ERR_DRAINING:
	case ERR_ROW_DAMAGED:
		return "use another region";
	case ERR_UNKNOWN_OUTCOME:
	case ERR_EXPIRED:
		return "read the key to find out";
	case ERR_UNREACHABLE:
		return "`godwit status` shows what runs, `godwit up` starts it";
	case ERR_WRONG_VERSION:
		return "use programs of one build";
	default:
		return NULL;
	}
}

/* What came from outside may hold anything; what we print is one line. */
static void flatten(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = '?';
}

static int fail_print(const struct cli *cli, int code, char *reason)
{
	const char *what = advice(code);
	flatten(reason);
	fflush(stdout);
	fprintf(stderr, "%s%s:%s %s%s%s\n", isatty(STDERR_FILENO) ? "\033[31m" : "", error_name(code),
	    isatty(STDERR_FILENO) ? "\033[0m" : "", *reason ? reason : error_text(code), what ? "; " : "", what ? what : "");
	if (cli->json) {
		struct text json = {0};
		text_add(&json, "{");
		json_add_text(&json, "code", error_name(code));
		text_add(&json, ",");
		json_add_text(&json, "reason", *reason ? reason : error_text(code));
		text_add(&json, "}");
		cli_print_json(&json);
		text_deinit(&json);
	}
	return error_exit_code(code);
}

int cli_fail(struct cli *cli, int code, const char *format, ...)
{
	char reason[320];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(reason, sizeof reason, format, arguments);
	va_end(arguments);
	return fail_print(cli, code, reason);
}

int cli_fail_error(struct cli *cli, int code, const struct error_context *error)
{
	return cli_fail(cli, code, "%s", error->text);
}

int cli_fail_result(struct cli *cli, const struct client_result *result)
{
	if (result->code != ERR_CHECK_FAILED)
		return cli_fail(cli, result->code, "%s", result->reason);
	return cli_fail(cli, result->code, "%s; read again, then decide again",
	    *result->reason ? result->reason : error_text(result->code));
}

int cli_dir_resolve(struct cli *cli, struct error_context *error)
{
	char resolved[PATH_MAX];
	if (!realpath(cli->dir, resolved)) {
		if (errno != ENOENT)
			return error_set(error, ERR_CONFIGURATION, "--dir %s: %s", cli->dir, strerror(errno));
		snprintf(resolved, sizeof resolved, "%s", cli->dir);
	}
	if (strlen(resolved) >= sizeof cli->dir_path)
		return error_set(
		    error, ERR_CONFIGURATION, "--dir: the path is longer than %zu bytes", sizeof cli->dir_path - 1);
	strcpy(cli->dir_path, resolved);
	snprintf(cli->key_dir, sizeof cli->key_dir, "%s/keys", cli->dir_path);
	if (!cli->keys_path)
		return ERR_OK;
	/* Absolute: the programs started here may have another working directory. */
	if (!realpath(cli->keys_path, resolved)) {
		if (errno != ENOENT)
			return error_set(error, ERR_CONFIGURATION, "--keys %s: %s", cli->keys_path, strerror(errno));
		snprintf(resolved, sizeof resolved, "%s", cli->keys_path);
	}
	if (strlen(resolved) >= 208)
		return error_set(error, ERR_CONFIGURATION, "--keys: the path is longer than 207 bytes");
	snprintf(cli->key_dir, sizeof cli->key_dir, "%s", resolved);
	return ERR_OK;
}

int cli_topology_load(struct cli *cli)
{
	struct error_context error = {{0}};
	const char *path = cli->topology_path;
	if (!path) {
		snprintf(cli->topology_file, sizeof cli->topology_file, "%s/topology.yaml", cli->dir_path);
		if (access(cli->topology_file, F_OK) == 0)
			path = cli->topology_file;
		else if (errno != ENOENT)
			return cli_fail(cli, ERR_CONFIGURATION, "%s: %s", cli->topology_file, strerror(errno));
	} else {
		snprintf(cli->topology_file, sizeof cli->topology_file, "%s", path);
		if (access(path, R_OK) < 0)
			return cli_fail(cli, ERR_CONFIGURATION, "%s: %s", path, strerror(errno));
	}
	if (!path)
		cli->topology_file[0] = 0;
	/* Mistakes are printed one a line by the reader itself; without any, the reason is what is left to say. */
	char *mistakes = NULL;
	size_t mistakes_size = 0;
	FILE *stream = open_memstream(&mistakes, &mistakes_size);
	if (!stream)
		return cli_fail(cli, ERR_NO_MEMORY, "out of memory");
	int code = topology_load(&cli->topology, path, stream, &error);
	fclose(stream);
	int exit_code = 0;
	if (code && mistakes_size) {
		fputs(mistakes, stderr);
		exit_code = error_exit_code(code);
	} else if (code) {
		exit_code = cli_fail_error(cli, code, &error);
	}
	free(mistakes);
	return exit_code;
}

void cli_region_dir(const struct cli *cli, const struct region *region, char out[static 320])
{
	snprintf(out, 320, "%.250s/%.63s", cli->dir_path, region->name);
}

/* A region that runs here, else one that is kept here, else any; of several the primary, else the first. */
static const struct region *region_default(const struct cli *cli)
{
	const struct region *best = NULL;
	int best_rank = -1;
	for (uint32_t i = 0; i < cli->topology.region_count; i++) {
		const struct region *region = &cli->topology.regions[i];
		struct stat status;
		char dir[320];
		cli_region_dir(cli, region, dir);
		bool is_kept = stat(dir, &status) == 0, runs = is_kept && processes_running(dir, "supervisor");
		int rank = 4 * runs + 2 * is_kept + region->is_primary;
		if (rank <= best_rank)
			continue;
		best = region;
		best_rank = rank;
	}
	return best;
}

const struct region *cli_region(struct cli *cli, const char *name)
{
	char known[256] = "";
	size_t used = 0;
	if (!name)
		return region_default(cli);
	const struct region *region = topology_region(&cli->topology, name);
	if (region)
		return region;
	for (uint32_t i = 0; i < cli->topology.region_count && used < sizeof known - 1; i++)
		used +=
		    (size_t)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", cli->topology.regions[i].name);
	cli_fail(cli, ERR_USAGE, "there is no region '%.60s'; there are: %.180s", name, known);
	return NULL;
}

int cli_regions_parse(const struct topology *topology, const char *names, uint32_t *mask, struct error_context *error)
{
	*mask = 0;
	if (strcmp(names, "all") == 0) {
		*mask = (uint32_t)((1ull << topology->region_count) - 1);
		return ERR_OK;
	}
	for (const char *at = names; at;) {
		const char *comma = strchr(at, ',');
		size_t size = comma ? (size_t)(comma - at) : strlen(at);
		uint32_t place = 0;
		while (place < topology->region_count &&
		       (strlen(topology->regions[place].name) != size || memcmp(topology->regions[place].name, at, size) != 0))
			place++;
		if (place == topology->region_count)
			return error_set(error, ERR_USAGE, "there is no region '%.*s'", (int)(size < 60 ? size : 60), at);
		*mask |= 1u << place;
		at = comma ? comma + 1 : NULL;
	}
	return ERR_OK;
}

static bool region_is_local(const struct cli *cli, const struct region *region)
{
	struct host host;
	hosts_look_one(cli, region, &host);
	return host.is_local;
}

bool cli_region_may_answer(const struct cli *cli, const struct region *region)
{
	char dir[320];
	struct stat status;
	cli_region_dir(cli, region, dir);
	return stat(dir, &status) < 0 || !region_is_local(cli, region) || processes_running(dir, "supervisor");
}

int cli_connect(struct cli *cli, const struct region *region, uint32_t pipeline_max, struct gw_connection **connection,
    struct error_context *error)
{
	char endpoint[128];
	topology_client_endpoint(region, endpoint);
	struct gw_options options = {.endpoint = endpoint,
	    .key_dir = cli->key_dir,
	    .region = region->name,
	    .timeout_ms = cli->timeout_ms,
	    .pipeline_max = pipeline_max};
	return gw_connect(connection, &options, error->text);
}

struct gw_connection *cli_connect_region(struct cli *cli, int *exit_code)
{
	struct gw_connection *connection;
	struct error_context error = {{0}};
	const struct region *region = cli_region(cli, cli->region);
	*exit_code = error_exit_code(ERR_USAGE);
	if (!region)
		return NULL;
	if (!cli_region_may_answer(cli, region)) {
		*exit_code = cli_fail(cli, ERR_UNREACHABLE, "%s is not running", region->name);
		return NULL;
	}
	int code = cli_connect(cli, region, 0, &connection, &error);
	if (code) {
		*exit_code = cli_fail_error(cli, code, &error);
		return NULL;
	}
	return connection;
}

const struct keyspace *cli_keyspace(struct cli *cli, const char *name)
{
	if (!name)
		name = cli->keyspace ? cli->keyspace : "";
	int place = topology_keyspace(&cli->topology, name);
	if (place >= 0)
		return &cli->topology.keyspaces[place];
	cli_fail(cli, ERR_UNKNOWN_KEYSPACE, "there is no keyspace '%.60s'", name);
	return NULL;
}

int cli_level_parse(struct cli *cli, const char *text, enum gw_level *level)
{
	for (int i = LEVEL_EVENTUAL; i <= LEVEL_STRONG; i++) {
		if (strcmp(text, level_name((enum level)i)) == 0) {
			*level = (enum gw_level)(i + GW_LEVEL_EVENTUAL);
			return 0;
		}
	}
	return cli_fail(cli, ERR_USAGE, "--level '%.40s': use eventual, session, causal or strong", text);
}

int cli_read_level(struct cli *cli, const char *text, bool stale_ok, enum gw_level *level)
{
	*level = stale_ok ? GW_LEVEL_STALE : GW_LEVEL_OWN;
	if (stale_ok && text)
		return cli_fail(cli, ERR_USAGE, "--stale-ok takes what is here, so it has no --level");
	int exit_code = text ? cli_level_parse(cli, text, level) : 0;
	if (exit_code || !text)
		return exit_code;
	const struct keyspace *keyspace = cli_keyspace(cli, NULL);
	if (!keyspace)
		return error_exit_code(ERR_UNKNOWN_KEYSPACE);
	if ((int)*level - GW_LEVEL_EVENTUAL > (int)keyspace->level)
		return cli_fail(cli, ERR_LEVEL_UNAVAILABLE, "keyspace %s is %s: a read may ask for that level or a weaker one",
		    keyspace->name, level_name(keyspace->level));
	return 0;
}

static volatile sig_atomic_t interrupted;

static void interrupt_note(int signal_number)
{
	(void)signal_number;
	interrupted = 1;
}

void cli_interrupt_catch(void)
{
	/* Once: who asks a second time means it. */
	struct sigaction action = {.sa_handler = interrupt_note, .sa_flags = SA_RESETHAND};
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

bool cli_interrupted(void)
{
	return interrupted != 0;
}

uint64_t cli_now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t cli_wall_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void cli_sleep_ms(uint32_t ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
	nanosleep(&t, NULL);
}
