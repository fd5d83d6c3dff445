/* SPDX-License-Identifier: Apache-2.0
 *
 *   sim --seed N [--trace] [--operations N] [--history FILE]    one cluster
 *   sim --seeds N [--first N] [--jobs N] [--operations N]
 * Exit codes: 0 all good, 10 crash, 11 safety, 12 liveness (of the first seed that failed), 2 usage. */
#include "tests/sim/sim.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

const char *const sim_names[SIM_REGIONS_MAX] = {"us", "eu", "ap", "sa", "af"};
static volatile uint64_t seed_now; /* for the handler of a crash */

void sim_trace(struct sim *sim, const char *format, ...)
{
	if (!sim->trace)
		return;
	va_list arguments;
	va_start(arguments, format);
	printf("[%9.3f] ", (double)sim->now_ns / 1e6);
	vprintf(format, arguments);
	putchar('\n');
	va_end(arguments);
}

_Noreturn void sim_fail(struct sim *sim, enum sim_exit code, const char *format, ...)
{
	char text[512];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	fflush(stdout);
	fprintf(stderr, "seed %llu: %s at %.3f ms: %s\n  again: sim --seed %llu --operations %u --trace\n",
	    (unsigned long long)sim->seed, code == SIM_LIVENESS ? "liveness" : "safety", (double)sim->now_ns / 1e6, text,
	    (unsigned long long)sim->seed, sim->operations_wanted);
	_exit((int)code);
}

static void on_crash(int signal)
{
	char text[128];
	fflush(stdout);
	int size = snprintf(text, sizeof text, "seed %llu: crash (signal %d)\n", (unsigned long long)seed_now, signal);
	if (write(STDERR_FILENO, text, (size_t)size) < 0)
		_exit(SIM_CRASH);
	_exit(SIM_CRASH);
}

struct totals {
	_Atomic uint64_t seeds, hours_ns, ok, failed, unknown, crashes, machine_crashes, cuts, pauses, clock_jumps, conflicts,
	    messages, reads, comparisons, damages, cut_short, leaps, flaps, snapshots, segments, resyncs, hangs;
	_Atomic uint64_t stop, next; /* next: of the seeds, whoever is free takes it */
};

static void one_seed(uint64_t seed, uint32_t operations, bool trace, FILE *history, struct totals *totals)
{
	struct sim *sim = calloc(1, sizeof *sim);
	if (!sim)
		abort();
	seed_now = seed;
	sim->history = history;
	sim_run(sim, seed, operations, trace);
	totals->seeds++;
	totals->hours_ns += sim->now_ns;
	totals->ok += sim->counts.ok;
	totals->failed += sim->counts.failed;
	totals->unknown += sim->counts.unknown;
	totals->crashes += sim->counts.crashes;
	totals->machine_crashes += sim->counts.machine_crashes;
	totals->cuts += sim->counts.cuts;
	totals->pauses += sim->counts.pauses;
	totals->clock_jumps += sim->counts.clock_jumps;
	totals->conflicts += sim->counts.conflicts;
	totals->messages += sim->counts.messages;
	totals->reads += sim->counts.reads;
	totals->comparisons += sim->counts.comparisons;
	totals->damages += sim->counts.damages;
	totals->cut_short += sim->counts.cut_short;
	totals->leaps += sim->counts.leaps;
	totals->flaps += sim->counts.flaps;
	totals->snapshots += sim->counts.snapshots;
	totals->segments += sim->counts.segments;
	totals->resyncs += sim->counts.resyncs;
	totals->hangs += sim->counts.hangs;
	sim_release(sim);
	free(sim);
}

static void totals_print(const struct totals *t)
{
	const struct {
		const char *text;
		uint64_t count;
	} lines[] = {
	    {"seeds good", t->seeds},
	    {"writes ok", t->ok},
	    {"refused", t->failed},
	    {"unknown", t->unknown},
	    {"conflicts", t->conflicts},
	    {"reads", t->reads},
	    {"messages", t->messages},
	    {"comparisons", t->comparisons},
	    {"snapshots", t->snapshots},
	    {"segments dropped", t->segments},
	};
	const struct {
		const char *text;
		uint64_t count;
	} faults[] = {
	    {"process kills", t->crashes},
	    {"of them between two effects", t->cut_short},
	    {"hanging starts", t->hangs},
	    {"pauses", t->pauses},
	    {"machine crashes", t->machine_crashes},
	    {"cuts", t->cuts},
	    {"flapping links", t->flaps},
	    {"clock jumps", t->clock_jumps},
	    {"leaps", t->leaps},
	    {"rows damaged", t->damages},
	    {"links that need a resync", t->resyncs},
	};
	printf("%.1f simulated hours", (double)t->hours_ns / 3.6e12);
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
		printf("%s%llu %s", i ? ", " : ": ", (unsigned long long)lines[i].count, lines[i].text);
	for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
		printf("%s%llu %s", i ? ", " : "; faults: ", (unsigned long long)faults[i].count, faults[i].text);
	putchar('\n');
}

static int many_seeds(uint64_t first, uint64_t count, uint32_t jobs, uint32_t operations, struct totals *totals)
{
	int worst = 0, status;
	for (uint32_t job = 0; job < jobs; job++) {
		pid_t child = fork();
		if (child < 0) {
			perror("sim: fork");
			return SIM_USAGE;
		}
		if (child == 0) {
			for (uint64_t i; (i = totals->next++) < count && !totals->stop;)
				one_seed(first + i, operations, false, NULL, totals);
			_exit(0);
		}
	}
	while (wait(&status) > 0) {
		int code = WIFEXITED(status) ? WEXITSTATUS(status) : SIM_CRASH;
		if (code != 0) {
			totals->stop = 1;
			if (worst == 0)
				worst = code;
		}
	}
	return worst;
}

static uint64_t number(const char *flag, const char *text, uint64_t most)
{
	char *end = NULL;
	errno = 0;
	unsigned long long value = text ? strtoull(text, &end, 10) : 0;
	if (!text || *text < '0' || *text > '9' || *end || errno || value > most) {
		fprintf(stderr, "sim: %s: '%s' is not a number up to %llu\n", flag, text ? text : "", (unsigned long long)most);
		exit(SIM_USAGE);
	}
	return value;
}

int main(int argc, char **argv)
{
	uint64_t seed = 0, seeds = 0, first = 1;
	uint32_t jobs = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN), operations = 1000;
	bool trace = false, single = false;
	FILE *history = NULL;
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--trace") == 0) {
			trace = true;
			continue;
		}
		const char *value = i + 1 < argc ? argv[i + 1] : NULL;
		if (strcmp(argv[i], "--seed") == 0) {
			seed = number(argv[i], value, UINT64_MAX);
			single = true;
		} else if (strcmp(argv[i], "--seeds") == 0) {
			seeds = number(argv[i], value, UINT64_MAX);
		} else if (strcmp(argv[i], "--first") == 0) {
			first = number(argv[i], value, UINT64_MAX);
		} else if (strcmp(argv[i], "--history") == 0) {
			history = value ? fopen(value, "w") : NULL;
			if (!history) {
				fprintf(stderr, "sim: --history: cannot write '%s'\n", value ? value : "");
				return SIM_USAGE;
			}
		} else if (strcmp(argv[i], "--jobs") == 0) {
			jobs = (uint32_t)number(argv[i], value, 256);
		} else if (strcmp(argv[i], "--operations") == 0) {
			operations = (uint32_t)number(argv[i], value, 1000000);
		} else {
			fprintf(stderr, "sim: unknown flag '%s'; see the top of tests/sim/main.c\n", argv[i]);
			return SIM_USAGE;
		}
		i++;
	}
	if (single == (seeds > 0) || jobs == 0 || (history && !single)) {
		fprintf(stderr, "sim: give --seed N, or --seeds N with at least one job\n");
		return SIM_USAGE;
	}
	struct totals *totals = mmap(NULL, sizeof *totals, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (totals == MAP_FAILED)
		return SIM_CRASH;
	int fatal[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
	for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++)
		signal(fatal[i], on_crash);
	int code = 0;
	if (single)
		one_seed(seed, operations, trace, history, totals);
	else
		code = many_seeds(first, seeds, jobs, operations, totals);
	totals_print(totals);
	if (history && fclose(history) != 0) {
		perror("sim: --history");
		return SIM_USAGE;
	}
	return code;
}
