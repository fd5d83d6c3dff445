/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/monitor/io.h"

int main(int argc, char **argv)
{
	return monitor_main(argc, argv);
}
