# SPDX-License-Identifier: Apache-2.0
#
# The binary interface of a public header: reads the header after the preprocessor (cc -E -P), writes a C program that prints each
# function with its arguments, each value of an enum, and the size and the place of each member of a struct, a line each.

BEGIN {
	print "#include <godwit.h>"
	print "#include <stdio.h>"
	print "#define SHOW(type, member) printf(\"member %s.%s at %zu, %zu bytes\\n\", #type, #member, offsetof(type, member), sizeof(((type *)NULL)->member))"
	print "int main(void)\n{"
}

{
	line = $0
	gsub(/[ \t]+/, " ", line)
	sub(/^ /, "", line)
	# One declaration, however many lines it has, and however many of them are on one.
	text = text (text == "" ? "" : " ") line
	while (match(text, /[;{}]/)) {
		take(substr(text, 1, RSTART - 1), substr(text, RSTART, 1))
		text = substr(text, RSTART + 1)
		sub(/^ /, "", text)
	}
}

function take(words, end)
{
	if (end == "{") {
		opened[++depth] = depth == 1 ? words : opened[1]
	} else if (end == "}") {
		if (opened[depth] ~ /^enum gw_/)
			enumerators(words)
		if (depth > 0)
			depth--
	} else if (depth > 0 && opened[1] ~ /^struct gw_[a-z0-9_]+ ?$/) {
		members(opened[1], words)
	} else if (depth == 0 && words ~ /(^|[ *])gw_[a-z0-9_]+ ?\(/) {
		gsub(/ ?\( ?/, "(", words)
		gsub(/ ?\) ?/, ")", words)
		printf "\tputs(\"function %s\");\n", words
	}
}

function enumerators(words,    list, count, i, name)
{
	count = split(words, list, ",")
	for (i = 1; i <= count; i++) {
		name = list[i]
		gsub(/=.*| /, "", name)
		if (name != "")
			printf "\tprintf(\"value %s = %%d\\n\", (int)%s);\n", name, name
	}
}

function members(type, words,    list, count, i, name)
{
	sub(/ $/, "", type)
	if (!(type in sized)) {
		sized[type]
		printf "\tprintf(\"%s of %%zu bytes\\n\", sizeof(%s));\n", type, type
	}
	count = split(words, list, ",")
	for (i = 1; i <= count; i++) {
		name = list[i]
		sub(/ $/, "", name)
		sub(/.*[ *]/, "", name)
		printf "\tSHOW(%s, %s);\n", type, name
	}
}

END {
	print "\treturn 0;\n}"
}
