#!/usr/bin/env bash
# Would a program that was compiled with the last release's header run with this library? Compares what a C compiler
# makes of the two headers: functions and types by abidiff, constants by their values. abi/released.h is the header of
# the last release, or the first one as long as nothing is released.
#
#   scripts/abi.sh              compare, then plant breaks and see each of them found
#   scripts/abi.sh --release    make today's header the one to compare with
#
# A library of empty functions is compared rather than ours: Rust's debug information tells the insides of opaque
# types as well, and with those left out by folder abidiff sees no change at all. Of the stubs it needs no suppressions;
# one for members that take the place of a reserve (has_data_member_inserted_between) hid every other change of the
# same structs. Such a member is entered in abi/released.h by hand, where a review sees it. That the header is what
# the library does is for tests/header.rs.
set -eu
cd "$(dirname "$0")/.."
released=abi/released.h
[ "${1:-}" != --release ] || { cp include/quorate.h "$released"; exit 0; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# seen HEADER: what C sees of it, beside it: a library of its functions, each empty, and its constants.
seen() {
    local name=${1%.h}
    printf '#include "%s"\n' "$1" >"$name.c"
    gcc -std=c2x -fsyntax-only -aux-info "$name.prototypes" "$name.c"
    sed -n 's/^.* \*\/ extern \(.*[ *]quorate_[a-z0-9_]* (.*)\);$/\1 { __builtin_trap(); }/p' "$name.prototypes" >>"$name.c"
    gcc -std=c2x -g -shared -fPIC -Wl,-soname,libquorate.so -o "$name.so" "$name.c"
    gcc -dM -E "$1" | grep -E '^#define QUORATE_[A-Z0-9_]+ \(?-?[0-9]+u?\)?$' | grep -Ev ' QUORATE_(VERSION|API_LEVEL)' |
        sort >"$name.constants"
}

# breaks OLD NEW: whether programs of the old header break with the new one; says how.
breaks() {
    local gone
    gone=$(comm -23 "${1%.h}.constants" "${2%.h}.constants")
    [ -z "$gone" ] || { printf 'gone or changed: %s\n' "$gone"; return 0; }
    ! abidiff --no-added-syms "${1%.h}.so" "${2%.h}.so"
}

# planted breaks|keeps WHAT SED: a change of today's header, of which that must be found.
planted() {
    local found=keeps
    sed "$3" "$scratch/today.h" >"$scratch/planted.h"
    ! cmp -s "$scratch/today.h" "$scratch/planted.h" || { printf 'planted: nothing was changed: %s\n' "$2" >&2; exit 1; }
    seen "$scratch/planted.h"
    ! breaks "$scratch/today.h" "$scratch/planted.h" >/dev/null || found=breaks
    [ "$found" = "$1" ] || { printf 'planted: %s programs, says the comparison: %s\n' "$found" "$2" >&2; exit 1; }
    printf 'planted: %s: %s\n' "$1" "$2"
}

cp include/quorate.h "$scratch/today.h"
cp "$released" "$scratch/released.h"
seen "$scratch/today.h"
seen "$scratch/released.h"
awk '!/^#/ { print $2 }' abi/symbols.txt | sort >"$scratch/listed"
nm -D --defined-only "$scratch/today.so" | sed -n 's/.* T //p' | sort >"$scratch/compared"
diff "$scratch/listed" "$scratch/compared" >&2 || { echo 'abi: abi/symbols.txt (<) and the header (>) differ' >&2; exit 1; }
if breaks "$scratch/released.h" "$scratch/today.h" >&2; then
    printf 'abi: programs made with %s break. A new name for what changed, or another soname.\n' "$released" >&2
    exit 1
fi
printf 'abi: %s functions, %s constants; programs of %s run\n' \
    "$(wc -l <"$scratch/compared")" "$(wc -l <"$scratch/today.constants")" "$released"

planted breaks 'a member in the middle' '/^typedef struct quorate_call {/,/^}/ s/^  uint64_t timeout_ns;/  uint64_t planted;\n&/'
planted breaks 'members change places' '/^typedef struct quorate_bytes {/,/^}/ { s/^  size_t len;/  const uint8_t *data;/; t; s/^  const uint8_t \*data;/  size_t len;/ }'
planted breaks 'a narrower argument' '/quorate_wait(/,/;/ s/uint64_t/uint32_t/'
planted breaks 'a function gone' '/^.*quorate_node_wake(/d'
planted breaks 'an error renumbered' 's/^#define QUORATE_E_TYPE .*/#define QUORATE_E_TYPE (-99)/'
planted breaks 'a struct grown behind its reserve' '/^typedef struct quorate_call {/,/^}/ s/^  uint64_t reserved\[2\];/&\n  uint64_t planted;/'
planted breaks 'a member in the place of a reserve' '/^typedef struct quorate_call {/,/^}/ s/^  uint64_t reserved\[2\];/  uint64_t planted;\n  uint64_t reserved[1];/'
planted keeps 'a function more' 's/^#endif \/\* QUORATE_H \*\//int quorate_planted(int);\n&/'

# The breaks of everything else that is promised wait for the soak.
scripts/breaks.sh --check
