/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/supervisor/io.h"

int main(int argc, char **argv)
{
	return supervisor_main(argc, argv);
}
