/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GODWIT_ACTORS_SUPERVISOR_IO_H
#define GODWIT_ACTORS_SUPERVISOR_IO_H

/* The whole program; returns its exit code: 0 stopped, 2 usage or configuration, 3 refused (another one runs, no room), 5. */
int supervisor_main(int argc, char **argv);

#endif
