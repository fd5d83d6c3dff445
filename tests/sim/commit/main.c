/* SPDX-License-Identifier: Apache-2.0
 *
 *   sim-commit --seed N [--trace] [--operations N]       one cluster
 *   sim-commit --seed N --hot                            no faults, one key written from three regions: how often it commits
 *   sim-commit --seeds N [--first N] [--jobs N] [--operations N]
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
	fprintf(stderr, "seed %llu: %s at %.3f ms: %s\n  again: sim-commit --seed %llu --operations %u --trace\n",
	    (unsigned long long)sim->seed, code == SIM_LIVENESS ? "liveness" : "safety", (double)sim->now_ns / 1e6, text,
	    (unsigned long long)sim->seed, sim->wanted);
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
	    pauses, recovered, messages;
	_Atomic uint64_t stop;
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

static void one_seed(uint64_t seed, uint32_t operations, bool trace, bool hot, struct totals *totals)
{
	struct sim *sim = calloc(1, sizeof *sim);
	if (!sim)
		abort();
	seed_now = seed;
	(hot ? sim_run_hot : sim_run)(sim, seed, operations, trace);
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
	sim_release(sim);
	free(sim);
}

static int many_seeds(uint64_t first, uint64_t count, uint32_t jobs, uint32_t operations, struct totals *totals)
{
	int worst = 0, status;
	for (uint32_t job = 0; job < jobs; job++) {
		pid_t child = fork();
		if (child < 0) {
			perror("sim-commit: fork");
			return SIM_USAGE;
		}
		if (child == 0) {
			for (uint64_t i = job; i < count && !totals->stop; i += jobs)
				one_seed(first + i, operations, false, false, totals);
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
		fprintf(stderr, "sim-commit: %s: '%s' is not a number up to %llu\n", flag, text ? text : "",
		    (unsigned long long)most);
		exit(SIM_USAGE);
	}
	return value;
}

int main(int argc, char **argv)
{
	uint64_t seed = 0, seeds = 0, first = 1;
	uint32_t jobs = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN), operations = 200;
	bool trace = false, single = false, hot = false;
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--trace") == 0) {
			trace = true;
			continue;
		}
		if (strcmp(argv[i], "--hot") == 0) {
			hot = true;
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
		} else if (strcmp(argv[i], "--jobs") == 0) {
			jobs = (uint32_t)number(argv[i], value, 256);
		} else if (strcmp(argv[i], "--operations") == 0) {
			operations = (uint32_t)number(argv[i], value, 1000000);
		} else {
			fprintf(stderr, "sim-commit: unknown flag '%s'; see the top of tests/sim/commit/main.c\n", argv[i]);
			return SIM_USAGE;
		}
		i++;
	}
	if (single == (seeds > 0) || jobs == 0) {
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
	if (single)
		one_seed(seed, operations, trace, hot, totals);
	else
		code = many_seeds(first, seeds, jobs, operations, totals);
	printf("%llu seeds good, %.1f simulated hours; %llu writes ok, %llu reads, %llu checks failed, %llu refused, %llu "
	       "unknown, %llu "
	       "repeats; %llu recovered; %llu process kills, %llu machine crashes, %llu disks lost, %llu cuts, %llu pauses, "
	       "%llu messages\n",
	    (unsigned long long)totals->seeds, (double)totals->hours_ns / 3.6e12, (unsigned long long)totals->ok,
	    (unsigned long long)totals->reads, (unsigned long long)totals->failed, (unsigned long long)totals->refused,
	    (unsigned long long)totals->unknown, (unsigned long long)totals->repeats, (unsigned long long)totals->recovered,
	    (unsigned long long)totals->crashes, (unsigned long long)totals->machine_crashes,
	    (unsigned long long)totals->losses, (unsigned long long)totals->cuts, (unsigned long long)totals->pauses,
	    (unsigned long long)totals->messages);
	if (code == 0 && totals->seeds >= 50 && totals->ok < totals->seeds * operations / 10) {
		fprintf(stderr, "sim-commit: too little was acknowledged: that proves nothing\n");
		code = SIM_LIVENESS;
	}
	return code;
}
