/* SPDX-License-Identifier: Apache-2.0
 *
 * load: a file of records into one region, or dealt out over several. What is read is written, or counted and named. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "cmd/godwit/cli.h"
#include "cmd/godwit/records.h"
#include "shm/counters.h"

#define NAMED_MAX      10u /* refused records that are named one by one */
#define PROGRESS_NS    200000000ull
#define POLL_EACH      64u
#define RETRY_MS_FIRST 20u
#define RETRY_MS_MAX   640u

struct load_flags {
	const char *format, *key, *regions, *third, *suffix, *prefix, *acked;
	uint32_t pipeline;
	bool tenth;
};
static struct load_flags flags = {.pipeline = 1024};

static const struct option load_options[] = {
    {"format", 0, OPTION_TEXT, offsetof(struct load_flags, format), 0, 0, "FORMAT",
        "jsonl, tsv or deb822 (default: by name or first line)"},
    {"key", 0, OPTION_TEXT, offsetof(struct load_flags, key), 0, 0, "FIELD", "jsonl, deb822: which field is the key"},
    {"regions", 0, OPTION_TEXT, offsetof(struct load_flags, regions), 0, 0, "all|R,...",
        "deal the records out over these regions, in turn"},
    {"pipeline", 0, OPTION_U32, offsetof(struct load_flags, pipeline), 1, 65536, "N",
        "writes without an answer at a time, per region (default: 1024)"},
    {"third", 0, OPTION_TEXT, offsetof(struct load_flags, third), 0, 0, "I/N", "only the records whose place modulo N is I"},
    {"tenth", 0, OPTION_BOOL, offsetof(struct load_flags, tenth), 0, 0, NULL, "only each tenth record"},
    {"prefix", 0, OPTION_TEXT, offsetof(struct load_flags, prefix), 0, 0, "TEXT", "put before each key"},
    {"suffix", 0, OPTION_TEXT, offsetof(struct load_flags, suffix), 0, 0, "TEXT", "put behind each value"},
    {"acked", 0, OPTION_TEXT, offsetof(struct load_flags, acked), 0, 0, "FILE",
        "write what was acknowledged there, for verify --acked"},
    {0},
};

struct load;
struct flight { /* one record on its way */
	struct load_region *to;
	struct flight *next; /* in the list of those to be tried again */
	uint64_t line, started_ns, again_ns;
	uint32_t retry_ms;
	size_t key_size, value_size;
	uint8_t bytes[]; /* key, value */
};
struct load_region {
	struct load *load;
	const struct region *region;
	struct gw_connection *connection;
	struct flight *again, **again_end;
	uint64_t in_retry;
	uint64_t unreachable_since_ok;
};
struct load {
	struct cli *cli;
	struct load_region regions[REGIONS_MAX];
	uint32_t region_count;
	uint32_t third, thirds;
	FILE *acked;
	uint64_t acked_lines;
	uint64_t read, skipped, ok, refused, unknown, unreachable, retried, bytes;
	struct histogram_block latency; /* microseconds */
	uint64_t started_ns, progress_ns, file_size;
	struct text scratch, key, value;
	const struct region *lost;
};

static volatile sig_atomic_t interrupted;

static void interrupt(int signal_number)
{
	(void)signal_number;
	interrupted = 1;
}

static void refused_name(struct load *l, const struct flight *flight, const struct client_result *result)
{
	struct text line = {0};
	uint64_t failed = l->refused + l->unknown + l->unreachable;
	if (failed == NAMED_MAX + 1)
		fprintf(stderr, "further ones are only counted\n");
	if (failed > NAMED_MAX)
		return;
	text_add_escaped(&line, flight->bytes, flight->key_size < 60 ? flight->key_size : 60);
	fprintf(stderr, "line %llu, key %s, %s: %s: %s\n", (unsigned long long)flight->line, line.bytes ? line.bytes : "''",
	    flight->to->region->name, gw_error_name(result->code),
	    *result->reason ? result->reason : gw_error_text(result->code));
	text_deinit(&line);
}

static void acked_write(struct load *l, const struct flight *flight, const struct client_result *result)
{
	char version[DOTTED_TEXT_MAX];
	if (!l->acked)
		return;
	version_format(result->version, result->version_size, version);
	text_clear(&l->scratch);
	/* Whoever reads the file passes over one byte order mark: a first key that begins like one needs one before it. */
	if (!l->acked_lines++ && bytes_mark_size(flight->bytes, flight->key_size))
		text_add_bytes(&l->scratch, flight->bytes, bytes_mark_size(flight->bytes, flight->key_size));
	text_add_escaped(&l->scratch, flight->bytes, flight->key_size);
	text_add(&l->scratch, "\t%s\t%s\n", flight->to->region->name, version);
	fwrite(l->scratch.bytes, 1, l->scratch.size, l->acked);
}

static void flight_done(void *user, const struct client_result *result)
{
	struct flight *flight = result->user;
	struct load_region *to = user;
	struct load *l = to->load;
	if (result->code == ERR_OVERLOADED && result->answered_ns < flight->started_ns + l->cli->timeout_ms * 1000000ull) {
		/* Certainly not applied: it may be written again under a new number. */
		flight->again_ns = result->answered_ns + flight->retry_ms * 1000000ull;
		flight->retry_ms = flight->retry_ms * 2 < RETRY_MS_MAX ? flight->retry_ms * 2 : RETRY_MS_MAX;
		flight->next = NULL;
		*to->again_end = flight;
		to->again_end = &flight->next;
		to->in_retry++;
		l->retried++;
		return;
	}
	switch (error_exit_code(result->code)) {
	case 0:
		l->ok++;
		l->bytes += flight->key_size + flight->value_size;
		to->unreachable_since_ok = 0;
		histogram_add(&l->latency, (result->answered_ns - flight->started_ns) / 1000);
		acked_write(l, flight, result);
		break;
	case 4:
		l->unknown++;
		refused_name(l, flight, result);
		break;
	case 5:
		l->unreachable++;
		if (++to->unreachable_since_ok >= flags.pipeline)
			l->lost = to->region;
		refused_name(l, flight, result);
		break;
	default:
		l->refused++;
		refused_name(l, flight, result);
	}
	free(flight);
}

/* True when it is on its way or settled; false when there is no room. */
static bool flight_submit(struct load_region *to, struct flight *flight)
{
	struct client_operation operation = {.kind = CLIENT_PUT,
	    .keyspace = to->load->cli->keyspace,
	    .key = flight->bytes,
	    .key_size = flight->key_size,
	    .value = flight->bytes + flight->key_size,
	    .value_size = flight->value_size,
	    .user = flight};
	int code = client_submit(to->connection, &operation);
	if (code == ERR_FULL)
		return false;
	if (code) {
		struct client_result result = {.code = code, .reason = gw_error_text(code), .user = flight};
		flight_done(to, &result);
	}
	return true;
}

static void region_turn(struct load_region *to, uint32_t wait_ms)
{
	uint64_t now_ns = cli_now_ns();
	while (to->again && to->again->again_ns <= now_ns) {
		struct flight *flight = to->again;
		if (!flight_submit(to, flight))
			break;
		to->again = flight->next;
		if (!to->again)
			to->again_end = &to->again;
		to->in_retry--;
	}
	client_poll(to->connection, wait_ms, flight_done, to);
}

static void progress_print(struct load *l, uint64_t read_bytes, bool last)
{
	char rows[32];
	uint64_t now_ns = cli_now_ns();
	if (l->cli->json || !isatty(STDERR_FILENO) || (!last && now_ns < l->progress_ns + PROGRESS_NS))
		return;
	l->progress_ns = now_ns;
	if (last) {
		fprintf(stderr, "\r\033[K");
		return;
	}
	double seconds = (double)(now_ns - l->started_ns) / 1e9;
	fprintf(stderr, "\r\033[K%s rows, %.0f/s", grouped(l->ok, rows), (double)l->ok / seconds);
	if (l->file_size) {
		unsigned done = (unsigned)(read_bytes * 30 / l->file_size);
		fprintf(stderr, "  [%.*s%.*s] %llu %%", (int)done, "##############################",
		    (int)(30 - (done < 30 ? done : 30)), "..............................",
		    (unsigned long long)(read_bytes * 100 / l->file_size));
	}
}

static void flight_fill(struct flight *flight, const struct input_record *record, size_t prefix, size_t suffix)
{
	uint8_t *at = flight->bytes;
	const struct {
		const void *bytes;
		size_t size;
	} parts[] = {{flags.prefix, prefix}, {record->key, record->key_size}, {record->value, record->value_size},
	    {flags.suffix, suffix}};
	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
		if (parts[i].size)
			memcpy(at, parts[i].bytes, parts[i].size);
		at += parts[i].size;
	}
}

static int record_write(struct load *l, const struct input_record *record)
{
	struct load_region *to = &l->regions[record->index % l->region_count];
	size_t prefix = flags.prefix ? strlen(flags.prefix) : 0, suffix = flags.suffix ? strlen(flags.suffix) : 0;
	size_t key_size = prefix + record->key_size, value_size = record->value_size + suffix;
	struct flight *flight = malloc(sizeof *flight + key_size + value_size);
	if (!flight)
		return ERR_NO_MEMORY;
	*flight = (struct flight){.to = to,
	    .line = record->line,
	    .started_ns = cli_now_ns(),
	    .retry_ms = RETRY_MS_FIRST,
	    .key_size = key_size,
	    .value_size = value_size};
	flight_fill(flight, record, prefix, suffix);
	/* What waits to be tried again takes room as well, or an overloaded region would fill our memory. */
	while (to->in_retry >= flags.pipeline)
		region_turn(to, 5);
	while (!flight_submit(to, flight)) {
		region_turn(to, 5);
		for (uint32_t i = 0; i < l->region_count && l->region_count > 1; i++)
			region_turn(&l->regions[i], 0);
	}
	return ERR_OK;
}

static int file_load(struct load *l, struct records *records, struct error_context *error)
{
	struct input_record record;
	int code;
	while (!interrupted && !l->lost && (code = records_next(records, &record, error)) == ERR_OK) {
		l->read++;
		if ((l->thirds && record.index % l->thirds != l->third) || (flags.tenth && record.index % 10 != 0)) {
			l->skipped++;
			continue;
		}
		if (record_write(l, &record))
			return error_set(error, ERR_NO_MEMORY, "no memory for a record of %zu bytes", record.value_size);
		if (l->read % POLL_EACH == 0) {
			for (uint32_t i = 0; i < l->region_count; i++)
				region_turn(&l->regions[i], 0);
			progress_print(l, records_bytes_read(records), false);
		}
	}
	if (interrupted || l->lost || code == ERR_EMPTY)
		return ERR_OK;
	return code;
}

static void load_drain(struct load *l, uint64_t read_bytes)
{
	for (uint32_t waiting = 1; waiting;) {
		waiting = 0;
		for (uint32_t i = 0; i < l->region_count; i++) {
			struct load_region *to = &l->regions[i];
			if (!gw_pending(to->connection) && !to->again)
				continue;
			waiting++;
			region_turn(to, 5);
		}
		progress_print(l, read_bytes, false);
	}
	progress_print(l, read_bytes, true);
}

static void report(struct load *l)
{
	double seconds = (double)(cli_now_ns() - l->started_ns) / 1e9;
	double rate = (double)l->ok / seconds;
	double p50_ms = (double)histogram_quantile(&l->latency, 0.5) / 1000,
	       p99_ms = (double)histogram_quantile(&l->latency, 0.99) / 1000;
	char a[32], b[32];
	if (l->cli->json) {
		printf("{\"read\":%llu,\"skipped\":%llu,\"ok\":%llu,\"refused\":%llu,\"unknown\":%llu,\"unreachable\":%llu,"
		       "\"retried\":%llu,"
		       "\"bytes\":%llu,\"seconds\":%.3f,\"rows_per_second\":%.1f,\"p50_ms\":%.3f,\"p99_ms\":%.3f}\n",
		    (unsigned long long)l->read, (unsigned long long)l->skipped, (unsigned long long)l->ok,
		    (unsigned long long)l->refused, (unsigned long long)l->unknown, (unsigned long long)l->unreachable,
		    (unsigned long long)l->retried, (unsigned long long)l->bytes, seconds, rate, p50_ms, p99_ms);
		return;
	}
	printf("%s rows written (%s) in %.1f s, %.0f/s; latency p50 %.1f ms, p99 %.1f ms\n", grouped(l->ok, a),
	    bytes_format(l->bytes, b), seconds, rate, p50_ms, p99_ms);
	if (l->refused)
		printf("%s refused: certainly not written\n", grouped(l->refused, a));
	if (l->unknown)
		printf("%s with an unknown outcome: may have been written\n", grouped(l->unknown, a));
	if (l->unreachable)
		printf("%s not sent: certainly not written\n", grouped(l->unreachable, a));
}

static int regions_connect(struct load *l)
{
	struct cli *cli = l->cli;
	struct error_context error = {{0}};
	uint32_t mask;
	int code;
	if (flags.regions && cli->region)
		return cli_fail(cli, ERR_USAGE, "give either --region or --regions");
	if (!flags.regions) {
		const struct region *region = cli_region(cli, cli->region);
		if (!region)
			return error_exit_code(ERR_USAGE);
		mask = 1u << topology_region_index(&cli->topology, region->id);
	} else {
		code = cli_regions_parse(&cli->topology, flags.regions, &mask, &error);
		if (code)
			return cli_fail_error(cli, code, &error);
	}
	for (uint32_t i = 0; i < cli->topology.region_count; i++) {
		if (!(mask & 1u << i))
			continue;
		struct load_region *to = &l->regions[l->region_count++];
		*to = (struct load_region){.load = l, .region = &cli->topology.regions[i], .again_end = &to->again};
		code = cli_connect(cli, to->region, flags.pipeline, &to->connection, &error);
		if (code)
			return cli_fail_error(cli, code, &error);
	}
	return 0;
}

static int third_parse(struct load *l)
{
	char behind;
	if (!flags.third)
		return 0;
	if (sscanf(flags.third, "%u/%u%c", &l->third, &l->thirds, &behind) != 2 || l->thirds == 0 || l->third >= l->thirds)
		return cli_fail(l->cli, ERR_USAGE, "--third '%.40s' is not I/N with I below N, like 0/3", flags.third);
	return 0;
}

static int load_file(struct load *l, int fd, const char *path, enum record_format format)
{
	struct error_context error = {{0}};
	struct records *records;
	int code = records_open(&records, fd, path, format, flags.key, &error);
	if (code)
		return cli_fail_error(l->cli, code, &error);
	struct sigaction action = {.sa_handler = interrupt};
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	l->started_ns = cli_now_ns();
	code = file_load(l, records, &error);
	load_drain(l, records_bytes_read(records));
	records_close(records);
	bool written = !l->acked || (fflush(l->acked) == 0 && !ferror(l->acked));
	report(l);
	l->cli->json = false; /* one object is out already */
	if (code)
		return cli_fail_error(l->cli, code, &error);
	if (!written)
		return cli_fail(l->cli, ERR_IO, "%s: %s", flags.acked, strerror(errno));
	if (l->lost)
		return cli_fail(
		    l->cli, ERR_UNREACHABLE, "%s does not answer; the rest of the file was not read", l->lost->name);
	if (interrupted)
		return 130;
	if (l->unknown)
		return error_exit_code(ERR_UNKNOWN_OUTCOME);
	if (l->unreachable)
		return error_exit_code(ERR_UNREACHABLE);
	return l->refused ? error_exit_code(ERR_OVERLOADED) : 0;
}

static int load_run(struct cli *cli)
{
	static struct load l; /* the histogram is large */
	const char *path = cli->arguments[0];
	int fd = STDIN_FILENO, format = flags.format ? record_format_parse(flags.format) : FORMAT_GUESS;
	struct stat status;
	l.cli = cli;
	if (format < 0)
		return cli_fail(cli, ERR_USAGE, "--format '%.40s': use jsonl, tsv or deb822", flags.format);
	int exit_code = third_parse(&l);
	if (exit_code)
		return exit_code;
	if (strcmp(path, "-") != 0)
		fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &status) < 0)
		return cli_fail(cli, ERR_USAGE, "%.200s: %s", path, strerror(errno));
	if (S_ISDIR(status.st_mode))
		return cli_fail(cli, ERR_USAGE, "%.200s is a directory", path);
	l.file_size = S_ISREG(status.st_mode) ? (uint64_t)status.st_size : 0;
	if (flags.acked && !(l.acked = fopen(flags.acked, "we")))
		return cli_fail(cli, ERR_USAGE, "%.200s: %s", flags.acked, strerror(errno));
	exit_code = regions_connect(&l);
	if (!exit_code)
		exit_code = load_file(&l, fd, strcmp(path, "-") == 0 ? "standard input" : path, (enum record_format)format);
	for (uint32_t i = 0; i < l.region_count; i++)
		gw_close(l.regions[i].connection);
	if (l.acked)
		fclose(l.acked);
	text_deinit(&l.scratch);
	return exit_code;
}

const struct command command_load = {.name = "load",
    .arguments = "FILE",
    .summary = "write a file of records; - reads standard input",
    .detail =
        "tsv: key TAB value, with \\t \\n \\r \\0 \\\\ for those bytes.\n"
        "jsonl: an object a line with key (or key_base64) and value (or value_base64), as export prints them;\n"
        "       with --key FIELD that member is the key and the line the value.\n"
        "deb822: paragraphs as in Debian's package lists; the key is Package=Version:Architecture, or --key FIELD.\n"
        "Lines end with a newline, or with a carriage return and a newline; a byte order mark (UTF-8) in front of the file is "
        "no part\n"
        "of the first key. UTF-16 is refused.\n"
        "Input that cannot be read stops the load at its line (exit code 3), after the counts of what was written before.",
    .options = load_options,
    .option_values = &flags,
    .arguments_min = 1,
    .arguments_max = 1,
    .run = load_run};
