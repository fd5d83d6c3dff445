/* SPDX-License-Identifier: Apache-2.0
 *
 *   sim-commit --seed N [--trace]                one cluster
 *   sim-commit --seeds N [--first N] [--jobs N]  many, each another world
 *   sim-commit --seed N --hot [--local]          no faults, one key written from three regions an ocean apart (or next door;
 * with --regions, from five or seven): how often it commits
 * For each: --operations N, --keys N, --txn-keys N, --clients N, --impatient N (so many clients wait 60 ms), --regions N.
 * --wide LIST: what may be wide, names of SIM_WIDE_TABLE (sim.h) with commas, or all, or none; "-name" takes one away.
 * Exit codes: 0 all good, 10 crash, 11 safety, 12 liveness (of the first seed that failed), 2 usage. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/sim/commit/sim.h"

static const char *const wide_names[] = {
#define X(name, text) text,
    SIM_WIDE_TABLE(X)
#undef X
};
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

static void wide_print(uint32_t wide, char *out, size_t size)
{
	size_t at = (size_t)snprintf(out, size, "%s", wide == SIM_WIDE_EVERY ? "all" : "none");
	for (uint32_t bit = 0; wide != SIM_WIDE_EVERY && bit < SIM_WIDE_BITS && at < size; bit++)
		if (wide & 1u << bit)
			at += (size_t)snprintf(out + at, size - at, ",%s", wide_names[bit]);
}

static uint32_t wide_parse(const char *text)
{
	uint32_t wide = 0;
	char copy[256];
	snprintf(copy, sizeof copy, "%s", text ? text : "");
	for (char *rest = copy, *word; (word = strsep(&rest, ","));) {
		bool found = strcmp(word, "none") == 0, take = *word == '-';
		if (strcmp(word, "all") == 0) {
			wide = SIM_WIDE_EVERY;
			found = true;
		}
		for (uint32_t bit = 0; bit < SIM_WIDE_BITS; bit++) {
			if (strcmp(word + take, wide_names[bit]) != 0)
				continue;
			wide = take ? wide & ~(1u << bit) : wide | 1u << bit;
			found = true;
		}
		if (!found) {
			fprintf(stderr, "sim-commit: --wide: '%s' is unknown; see SIM_WIDE_TABLE in tests/sim/commit/sim.h\n",
			    word);
			exit(SIM_USAGE);
		}
	}
	return wide;
}

_Noreturn void sim_fail(struct sim *sim, enum sim_exit code, const char *format, ...)
{
	char text[512];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	fflush(stdout);
	char shape[256], wide[128];
	shape_describe(sim, shape, sizeof shape);
	wide_print(sim->flags.wide, wide, sizeof wide);
	fprintf(stderr,
	    "seed %llu: %s at %.3f ms: %s\n  %s\n  again: sim-commit --seed %llu --operations %u --wide %s --trace\n",
	    (unsigned long long)sim->seed, code == SIM_LIVENESS ? "liveness" : "safety", (double)sim->now_ns / 1e6, text, shape,
	    (unsigned long long)sim->seed, sim->flags.operations, wide);
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
	_Atomic uint64_t seeds, hours_ns, ok, reads, refused, failed, unknown, repeats, crashes, machine_crashes, losses, cuts,
	    pauses, clocks, recovered, messages, probes, slowest_ns, slowest_seed;
	_Atomic uint64_t stop,
	    next; /* next: of the seeds, whoever is free takes it; some worlds take a hundred times as long as others */
};

const char *sim_id(struct commit_id id)
{
	static char texts[8][48];
	static uint32_t next;
	char *text = texts[next++ % 8];
	snprintf(text, sizeof texts[0], "%llu.%u@%u/%u", (unsigned long long)(id.hlc >> 16) % 10000000,
	    (unsigned)(id.hlc & 0xffff), id.region, id.share);
	return text;
}

static void one_seed(uint64_t seed, const struct sim_flags *flags, struct totals *totals)
{
	struct sim *sim = calloc(1, sizeof *sim);
	if (!sim)
		abort();
	seed_now = seed;
	/* Now and then: what a wrong clock costs the other regions. */
	bool clock = flags->clock || (!flags->hot && flags->wide & SIM_WIDE_CLOCKS && seed % 50 == 49);
	(flags->hot ? sim_run_hot : clock ? sim_run_clock : sim_run)(sim, seed, flags);
	totals->seeds++;
	totals->hours_ns += sim->now_ns;
	totals->ok += sim->counts.ok;
	totals->reads += sim->counts.reads;
	totals->refused += sim->counts.refused;
	totals->failed += sim->counts.failed;
	totals->unknown += sim->counts.unknown;
	totals->repeats += sim->counts.repeats;
	totals->crashes += sim->counts.crashes;
	totals->machine_crashes += sim->counts.machine_crashes;
	totals->losses += sim->counts.losses;
	totals->cuts += sim->counts.cuts;
	totals->pauses += sim->counts.pauses;
	totals->recovered += sim->counts.recovered;
	totals->messages += sim->counts.messages;
	totals->clocks += sim->counts.clocks;
	totals->probes += sim->counts.probes;
	if (sim->quiet_ns > totals->slowest_ns) {
		totals->slowest_ns = sim->quiet_ns;
		totals->slowest_seed = seed;
	}
	sim_release(sim);
	free(sim);
}

static int many_seeds(uint64_t first, uint64_t count, uint32_t jobs, const struct sim_flags *flags, struct totals *totals)
{
	int worst = 0, status;
	for (uint32_t job = 0; job < jobs; job++) {
		pid_t child = fork();
		if (child < 0) {
			perror("sim-commit: fork");
			return SIM_USAGE;
		}
		if (child == 0) {
			for (uint64_t i; (i = totals->next++) < count && !totals->stop;)
				one_seed(first + i, flags, totals);
			exit(0); /* not _exit: what counts the lines that were reached writes at exit */
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
		fprintf(stderr, "sim-commit: %s: '%s' is not a number up to %llu\n", flag, text ? text : "",
		    (unsigned long long)most);
		exit(SIM_USAGE);
	}
	return value;
}

static void report(const struct totals *t)
{
	printf(
	    "%llu seeds good, %.1f simulated hours; %llu writes ok, %llu reads, %llu checks failed, %llu refused, %llu "
	    "unknown, "
	    "%llu repeats; %llu recovered; %llu process kills, %llu machine crashes, %llu disks lost, %llu cuts, %llu pauses, "
	    "%llu wrong clocks, %llu messages; after the faults quiet within %.1f s (seed %llu), then %llu writes ok\n",
	    (unsigned long long)t->seeds, (double)t->hours_ns / 3.6e12, (unsigned long long)t->ok, (unsigned long long)t->reads,
	    (unsigned long long)t->failed, (unsigned long long)t->refused, (unsigned long long)t->unknown,
	    (unsigned long long)t->repeats, (unsigned long long)t->recovered, (unsigned long long)t->crashes,
	    (unsigned long long)t->machine_crashes, (unsigned long long)t->losses, (unsigned long long)t->cuts,
	    (unsigned long long)t->pauses, (unsigned long long)t->clocks, (unsigned long long)t->messages,
	    (double)t->slowest_ns / 1e9, (unsigned long long)t->slowest_seed, (unsigned long long)t->probes);
}

struct run {
	uint64_t seed, seeds, first;
	uint32_t jobs;
	bool single;
	struct sim_flags flags;
};

static void arguments_read(struct run *run, int argc, char **argv)
{
	struct sim_flags *f = &run->flags;
	for (int i = 1; i < argc; i++) {
		struct {
			const char *name;
			bool *flag;
		} flags[] = {{"--trace", &f->trace}, {"--hot", &f->hot}, {"--local", &f->local}, {"--clock", &f->clock}};
		struct {
			const char *name;
			uint32_t *value, most;
		} numbers[] = {{"--jobs", &run->jobs, 256}, {"--operations", &f->operations, 1000000},
		    {"--regions", &f->regions, SIM_REGIONS_MAX}, {"--keys", &f->keys, SIM_KEYS_MAX},
		    {"--txn-keys", &f->txn_keys, SIM_OPS_KEYS}, {"--clients", &f->clients, SIM_CLIENTS_MAX},
		    {"--impatient", &f->impatient, SIM_CLIENTS_MAX}};
		bool found = false;
		const char *value = i + 1 < argc ? argv[i + 1] : NULL;
		for (size_t j = 0; j < sizeof flags / sizeof *flags; j++)
			if (strcmp(argv[i], flags[j].name) == 0)
				*flags[j].flag = found = true;
		if (found)
			continue;
		for (size_t j = 0; j < sizeof numbers / sizeof *numbers; j++)
			if (strcmp(argv[i], numbers[j].name) == 0) {
				*numbers[j].value = (uint32_t)number(argv[i], value, numbers[j].most);
				found = true;
			}
		if (strcmp(argv[i], "--seed") == 0) {
			run->seed = number(argv[i], value, UINT64_MAX);
			run->single = found = true;
		} else if (strcmp(argv[i], "--seeds") == 0) {
			run->seeds = number(argv[i], value, UINT64_MAX);
			found = true;
		} else if (strcmp(argv[i], "--first") == 0) {
			run->first = number(argv[i], value, UINT64_MAX);
			found = true;
		} else if (strcmp(argv[i], "--wide") == 0) {
			f->wide = wide_parse(value);
			found = true;
		}
		if (!found) {
			fprintf(stderr, "sim-commit: unknown flag '%s'; see the top of tests/sim/commit/main.c\n", argv[i]);
			exit(SIM_USAGE);
		}
		i++;
	}
}

int main(int argc, char **argv)
{
	struct run run = {
	    .first = 1, .jobs = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN), .flags = {.wide = SIM_WIDE_EVERY, .operations = 200}};
	arguments_read(&run, argc, argv);
	if (run.single == (run.seeds > 0) || run.jobs == 0) {
		fprintf(stderr, "sim-commit: give --seed N, or --seeds N with at least one job\n");
		return SIM_USAGE;
	}
	struct totals *totals = mmap(NULL, sizeof *totals, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (totals == MAP_FAILED)
		return SIM_CRASH;
	int fatal[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
	for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++)
		signal(fatal[i], on_crash);
	int code = 0;
	if (run.single)
		one_seed(run.seed, &run.flags, totals);
	else
		code = many_seeds(run.first, run.seeds, run.jobs, &run.flags, totals);
	report(totals);
	if (code == 0 && totals->seeds >= 50 && totals->ok < totals->seeds * run.flags.operations / 10) {
		fprintf(stderr, "sim-commit: too little was acknowledged: that proves nothing\n");
		code = SIM_LIVENESS;
	}
	return code;
}
