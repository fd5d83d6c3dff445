/* SPDX-License-Identifier: Apache-2.0
 *
 * The router as a process: clients on one side, the coordinator on the other, reads in between. */
#ifndef GODWIT_ACTORS_ROUTER_IO_H
#define GODWIT_ACTORS_ROUTER_IO_H

int router_main(int argc, char **argv);

#endif
