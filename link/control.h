/* SPDX-License-Identifier: Apache-2.0
 *
 * Commands of the link emulator, as they come through its admin socket (ipc://DIR/link.admin):
 *   list | delay A B MS | jitter A B MS | bandwidth A B KIB | cut A B | heal A B
 * A and B are region names, "*" any of them; a command is about the direction from A to B only. Bandwidth is in KiB a second, 0
 * unlimited. heal ends a cut and leaves the rest as it is. Every command but list answers with the links it changed. */
#ifndef GODWIT_LINK_CONTROL_H
#define GODWIT_LINK_CONTROL_H
#include "base/error.h"
#include "base/text.h"
#include "link/proxy.h"

int control_command(struct proxy *proxy, const struct topology *topology, const char *command, const char *argument,
    struct text *out, struct error_context *error);
/* Round trips of three continents: first and second region of the topology 75 ms, second and third 110, first and third 190,
 * any other pair 100; half of it each way. */
void control_set_wan(struct proxy *proxy, const struct topology *topology);

/* The whole program: flags, files, loop. Returns the exit code. */
int link_main(int argc, char **argv);

#endif
