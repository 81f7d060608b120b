#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A Go that is new enough, for peers that are built from modules.
#
#   tests/peers/go.sh WANTED              prints the path of a go of at least that version (1.24, 1.24.2)
#   tests/peers/go.sh WANTED ARGUMENT…    runs it, with settings that do not depend on the user's
#
# The first go on PATH that is new enough; else the toolchain pinned below, which any go from 1.16 on (Debian's golang-go)
# brings as a module through the proxy it is configured for, into build/peers/go. Its checksum is compared before it is used.
set -euo pipefail
PINNED=1.25.1
declare -A SUMS=([amd64]='h1:bPMvVVpMGzzlM0lLtOuX0U9tVPCVdaeMGLUq/SZX0YA=')
WANTED=${1:?usage: go.sh WANTED [ARGUMENT…]}
shift
root=$(dirname "$(dirname "$(dirname "$(readlink -f "$0")")")")
folder=$root/build/peers/go
export GOTOOLCHAIN=local GOFLAGS=-modcacherw
export HOME=${HOME:-$folder}

# at_least VERSION: is it WANTED or newer? "go1.26rc1" counts as 1.26.
at_least() {
    local have=${1#go}
    have=${have%%[!0-9.]*}
    [[ $(printf '%s\n%s\n' "$WANTED" "$have" | sort -V | head -n 1) == "$WANTED" ]]
}

version_of() {
    (cd / && "$1" version 2>/dev/null) | cut -d ' ' -f 3
}

bootstrap() {
    local go=$1 arch module answer sum tmp
    arch=$(cd / && "$go" env GOARCH)
    module=golang.org/toolchain@v0.0.1-go$PINNED.linux-$arch
    if [[ -z ${SUMS[$arch]:-} ]]; then
        echo "no toolchain is pinned for $arch: put a go >= $WANTED on PATH" >&2
        return 1
    fi
    rm -rf "$folder/new"
    mkdir -p "$folder/new"
    # the sum is pinned here, so no other place is asked whether it is right
    answer=$(cd "$folder/new" && GOMODCACHE=$folder/new GOSUMDB=off \
        "$go" mod download -json "$module") || {
        echo "$module could not be brought: $answer" >&2
        return 1
    }
    sum=$(sed -n 's/^\t"Sum": "\(.*\)",\{0,1\}$/\1/p' <<<"$answer")
    if [[ $sum != "${SUMS[$arch]}" ]]; then
        echo "$module is $sum, pinned is ${SUMS[$arch]}" >&2
        return 1
    fi
    tmp=$folder/new/$module
    chmod -R u+w "$folder/new"
    chmod 755 "$tmp"/bin/* "$tmp"/pkg/tool/*/*  # a module's files are no programs until somebody says so
    rm -rf "${folder:?}/$PINNED"
    mv "$tmp" "$folder/$PINNED"
    rm -rf "$folder/new"
}

found='' any=''
while read -r go; do
    any=${any:-$go}
    if at_least "$(version_of "$go")"; then
        found=$go
        break
    fi
done < <(type -aP go || true)
if [[ -z $found ]]; then
    if ! at_least "$PINNED"; then
        echo "go >= $WANTED is wanted, $PINNED is pinned in tests/peers/go.sh" >&2
        exit 1
    fi
    mkdir -p "$folder"
    exec 9>"$folder/lock"  # two peers may want it at once
    flock 9
    if [[ $(version_of "$folder/$PINNED/bin/go") != go$PINNED ]]; then
        if [[ -z $any ]]; then
            echo "no go on PATH to start from (Debian: golang-go)" >&2
            exit 1
        fi
        bootstrap "$any" >&2
    fi
    exec 9>&-
    found=$folder/$PINNED/bin/go
fi
if [[ $# -eq 0 ]]; then
    echo "$found"
else
    exec "$found" "$@"
fi
