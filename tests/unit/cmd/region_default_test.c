/* SPDX-License-Identifier: Apache-2.0
 *
 * Where a command without -r goes: to a region that runs on this machine, else to one that is kept here, else to any; of
 * several to the primary, else to the first. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "client/admin.h"
#include "shm/role_lock.h"
#include "tests/unit/cmd/command.h"
#include "tests/unit/cmd/fake_client.h"

static void answer(
    const char *region, const struct client_operation *operation, struct client_result *result, Godwit__Client__Answer *answer)
{
	(void)region;
	(void)operation;
	(void)answer;
	result->code = GW_OK;
	result->reason = "";
}

static void set_up(void)
{
	command_set_up();
	cr_assert(mkdir("data", 0700) == 0 && mkdir("data/keys", 0700) == 0);
	fake_answer = answer;
}
TestSuite(region_default, .init = set_up, .fini = command_tear_down);

/* Somebody who holds the supervisor's lock under its name, as long as the test runs. */
static void region_runs(const char *dir)
{
	char path[128], byte;
	struct error_context error;
	int told[2], fd;
	cr_assert_eq(pipe(told), 0);
	pid_t holder = fork();
	if (holder == 0) {
		prctl(PR_SET_NAME, "godwit-supervisor");
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		snprintf(path, sizeof path, "%s/supervisor.lock", dir);
		if (role_lock_take(path, "supervisor", 0, &fd, &error) == 0 && write(told[1], "y", 1) == 1)
			pause();
		_exit(1);
	}
	close(told[1]);
	cr_assert_eq(read(told[0], &byte, 1), 1);
	close(told[0]);
	snprintf(path, sizeof path, "%s/supervisor.pid", dir);
	put_file(path, "%d\n", (int)holder);
}

static void topology(const char *primary)
{
	const char *names[] = {"us", "eu", "ap"};
	char regions[512] = "";
	for (size_t i = 0; i < 3; i++)
		snprintf(regions + strlen(regions), sizeof regions - strlen(regions),
		    "  - { name: %s, id: %zu, nodes: [\"127.0.0.1:%zu\"], is_primary: %s }\n", names[i], i, 2400 + 10 * i,
		    strcmp(names[i], primary) == 0 ? "true" : "false");
	put_file("data/topology.yaml", "cluster: unit\nregions:\n%s", regions);
}

static void goes_to(const char *region)
{
	char wanted[64];
	put_file("asked", "%s", "");
	done("get k --dir data");
	snprintf(wanted, sizeof wanted, "%s get - key=k\n", region);
	cr_assert_str_eq(file_text("asked"), wanted);
}
/* It is kept here, and so nobody else is asked though it does not run. */
static void means(const char *region)
{
	char wanted[64];
	snprintf(wanted, sizeof wanted, "%s is not running", region);
	refused(5, wanted, "get k --dir data");
}

Test(region_default, options_of_those_that_run_the_primary)
{
	topology("");
	goes_to("us");
	topology("eu");
	goes_to("eu");
	cr_assert_eq(mkdir("data/ap", 0700), 0);
	means("ap"); /* kept here, and eu is not */
	cr_assert_eq(mkdir("data/eu", 0700), 0);
	means("eu");
	topology("");
	means("eu");
	topology("us");
	means("eu");
	region_runs("data/ap");
	goes_to("ap"); /* it alone runs */
	topology("eu");
	goes_to("ap");
	region_runs("data/eu");
	goes_to("eu");
}
