#!/usr/bin/env bash
#
# Mounts one state of a disk, and looks whether it is one that a store may be in. Prints the kinds of findings that check
# has of it. Run by hack/crash-states in a mount namespace of its own, with its settings in the environment.

# shellcheck source=hack/crash_states/store.sh
. "$(dirname "${BASH_SOURCE[0]}")/store.sh"

fail() {
    echo "$*" >&2
    exit 1
}

# Of a check, 4 is an answer too.
check() {
    local code=0
    "$GROOTFS" --driver "$DRIVER" --store "$STORE" check --deep --json "$@" >"$SCRATCH/checked" || code=$?
    [[ $code == 0 || $code == 4 ]] || fail "check $*: exit code $code: $(<"$SCRATCH/checked")"
}
kinds() { jq -r '[.findings[].kind] | unique | join(" ")' "$SCRATCH/checked"; }

assert_whole() {
    local sums=$SUMS_FIRST
    [[ $1 != *second ]] || sums=$SUMS_SECOND
    (cd "$STORE/images/$1/rootfs" && sha256sum --quiet -c "$sums") || fail "$1 is torn"
}

mount --bind "$SCRATCH/boot_id" /proc/sys/kernel/random/boot_id
mount -t "$TYPE" -o loop,noatime "$STATE" "$STORE" || fail "the filesystem does not mount"
grootfs init-store ${INIT:+"$INIT"}
check
found=$(kinds)
echo "$found"
check --repair
grootfs init-store ${INIT:+"$INIT"} --mount-images
shopt -s nullglob
# What check does not warn of is whole.
if [[ ! $found =~ layer-(unflushed|differs|missing)|image-damaged|image-record ]]; then
    for image in "$STORE"/images/*; do assert_whole "${image##*/}"; done
fi
if [[ -n $OWN ]]; then
    [[ $(stat -c %s "$(own_file first)") == 196608 ]] || fail "what a container had fsynced is gone"
fi
grootfs create "$FIRST" new-first
grootfs create "$SECOND" new-second
assert_whole new-first
assert_whole new-second
for image in "$STORE"/images/*; do grootfs delete "${image##*/}"; done
grootfs clean
grootfs flush-volumes
check
[[ $(kinds) == "" ]] || fail "left: $(<"$SCRATCH/checked")"
umount -R "$STORE"
