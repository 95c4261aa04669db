# shellcheck shell=bash
#
# How the parts of hack/crash-states talk to their store. Sourced by them; what they are told is in the environment:
# GROOTFS, DRIVER, STORE, SCRATCH, INIT.

set -euo pipefail

# Runs grootfs, which must work, on the store.
grootfs() {
    "${wrapper[@]}" "$GROOTFS" --driver "$DRIVER" --store "$STORE" "$@" >"$SCRATCH/said" ||
        { echo "grootfs $*: $(<"$SCRATCH/said")" >&2; exit 1; }
}
wrapper=()

# The same with a flush of new layers that never comes: the next fsync of anybody brings their names to the disk without
# their content.
# shellcheck disable=SC2034 # of grootfs
grootfs_unflushed() {
    local wrapper=(strace -f -qq -o /dev/null -e trace=syncfs -e inject=syncfs:error=EIO)
    grootfs "$@"
}

# The path of a file that the container of an image has written.
own_file() { [[ $DRIVER == btrfs ]] && echo "$STORE/images/$1/rootfs/own" || echo "$STORE/images/$1/diff/own"; }
