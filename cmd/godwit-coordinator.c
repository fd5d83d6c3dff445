/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/coordinator/io.h"

int main(int argc, char **argv)
{
	return coordinator_main(argc, argv);
}
