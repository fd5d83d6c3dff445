# SPDX-License-Identifier: Apache-2.0
#
# Who may include whom (docs/architecture.md, "Folders"). Reads all sources, their paths relative to the root; prints one line a
# violation and exits with 1 if there was one.

BEGIN {
	may["base"] = "base"
	may["core"] = "core base"
	may["commit"] = "commit core base"
	may["proto"] = "proto core base"
	may["shm"] = "shm core base"
	may["store"] = "store core shm base"
	may["runtime"] = "runtime core shm proto base"
	may["check"] = "check core base"
	may["include"] = "" # what applications get: libc alone
	may["client"] = "client include core runtime proto base"
	may["link"] = "link core shm runtime base"
	may["actors"] = "core shm store runtime proto base commit" # and its own role
	may["cmd"] = "cmd core shm proto store runtime check client include link actors base commit"
	may["bench"] = "bench core shm proto store runtime client include base commit"
	may["examples"] = "" # <godwit.h>, as outside of this tree
	may["tools"] = "tools core shm proto store runtime client link actors cmd base commit"
	may["tests"] = "tests core shm proto store runtime check client include link actors cmd bench examples tools base commit"
	# What a state machine (actors/ROLE/ROLE.h, ROLE.c and what these include of their own folder) must not see.
	impure = "^(zmq|lmdb|sodium|time|unistd|fcntl|poll|signal|pthread|threads|dirent)\\.h$|^(sys|netinet|arpa)/|" \
		"^runtime/(socket|loop|process|admin|keys|logline)\\.h$|^store/"
}

FNR == 1 {
	sub(/^\.\//, "", FILENAME)
	path = FILENAME
}

/^[ \t]*#[ \t]*include[ \t]*["<]/ {
	name = $0
	sub(/^[ \t]*#[ \t]*include[ \t]*/, "", name)
	quoted = substr(name, 1, 1) == "\""
	name = substr(name, 2)
	sub(/[">].*/, "", name)
	check_folder(path, FNR, name, quoted)
	includes[path, ++include_count[path]] = name
	include_line[path, include_count[path]] = FNR
	sources[path]
}

function complain(path, line, text)
{
	printf "%s:%d: %s\n", path, line, text
	bad = 1
}

function listed(list, word)
{
	return index(" " list " ", " " word " ") > 0
}

function check_folder(path, line, name, quoted,    from, to, folder, target)
{
	split(path, from, "/")
	split(name, to, "/")
	folder = from[1]
	target = to[1]
	if (!(folder in may)) {
		complain(path, line, "the folder " folder " has no rule in tests/structure/includes.awk")
		return
	}
	if (folder == "actors" && from[2] == "supervisor" && name ~ /^(zmq\.h|runtime\/socket\.h)$/)
		complain(path, line, "the supervisor holds no ZeroMQ: " name)
	if (!quoted && !(target in may && name ~ /\//))
		return # a system header
	if (name !~ /\// || name ~ /\.\./) {
		complain(path, line, "\"" name "\" must be named from the root")
		return
	}
	if (!(target in may))
		complain(path, line, "\"" name "\" is in no folder of the tree")
	else if (folder == "actors" && target == "actors") {
		if (to[2] != from[2])
			complain(path, line, "actors/" from[2] " must not include another role: " name)
	} else if (!listed(may[folder], target))
		complain(path, line, folder " must not include " target ": " name)
}

# Follows a state machine's includes through its own folder.
function check_pure(path, role,    i, name)
{
	if (path in seen)
		return
	seen[path]
	for (i = 1; i <= include_count[path]; i++) {
		name = includes[path, i]
		if (name ~ impure)
			complain(path, include_line[path, i], "the state machine of " role " must not see " name)
		else if (index(name, "actors/" role "/") == 1)
			check_pure(name, role)
	}
}

END {
	for (path in sources) {
		split(path, part, "/")
		if (part[1] == "actors" && part[3] ~ ("^" part[2] "\\.[ch]$"))
			check_pure(path, part[2])
	}
	exit bad
}
