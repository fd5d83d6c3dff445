/* SPDX-License-Identifier: Apache-2.0
 *
 * The monitor's process: sockets and shared memory around the state machine. */
#ifndef GODWIT_ACTORS_MONITOR_IO_H
#define GODWIT_ACTORS_MONITOR_IO_H

int monitor_main(int argc, char **argv);

#endif
