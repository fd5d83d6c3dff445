/* SPDX-License-Identifier: Apache-2.0
 *
 * The reconciler's messages and I/O: asks each peer's reconciler for digests, answers theirs, from the rows mapped read-only.
 * Own admin commands: drain (asks no more; goes on answering), digests (what is held and how each comparison stands). */
#ifndef GODWIT_ACTORS_RECONCILER_IO_H
#define GODWIT_ACTORS_RECONCILER_IO_H

/* The whole process. Returns the exit code. */
int reconciler_main(int argc, char **argv);

#endif
