/* SPDX-License-Identifier: Apache-2.0
 *
 * Prints every crash point, a line a program that comes by: PROGRAM/NAME WAY. */
#include <stdio.h>
#include <string.h>

#include "base/crash_point.h"

int main(void)
{
	static const struct {
		const char *name, *programs, *way;
	} points[] = {
#define X(name, programs, way) {#name, programs, way},
	    CRASH_POINT_TABLE(X)
#undef X
	};
	for (size_t i = 0; i < sizeof points / sizeof *points; i++)
		for (const char *at = points[i].programs; *at;) {
			int size = (int)strcspn(at, ",");
			printf("%.*s/%s %s\n", size, at, points[i].name, points[i].way);
			at += size + (at[size] == ',');
		}
	return 0;
}
