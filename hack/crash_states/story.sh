#!/usr/bin/env bash
#
# One part of what a store goes through while its disk is recorded: story.sh PART. Run by hack/crash-states, which knows
# their order; each ends as a mark in the record.

# shellcheck source=hack/crash_states/store.sh
. "$(dirname "${BASH_SOURCE[0]}")/store.sh"

case $1 in
    init) grootfs init-store ${INIT:+"$INIT"} ;;
    create) grootfs_unflushed create "$FIRST" first ;;
    write) dd if=/dev/zero of="$(own_file first)" bs=64K count=3 conv=fsync status=none ;;
    flush) grootfs flush-volumes ;;
    second)
        grootfs_unflushed create "$SECOND" second
        grootfs create "$FIRST" warm
        ;;
    # Until here what the container of the first image has written is there.
    own-goes) ;;
    delete)
        grootfs delete first
        grootfs delete second
        ;;
    clean)
        grootfs clean
        sync -f "$STORE"
        ;;
    again)
        grootfs create "$SECOND" second
        grootfs flush-volumes
        ;;
    damage)
        mkdir "$STORE/tmp/create.dead" "$STORE/tmp/dead.1" "$STORE/volumes/$(printf %064d 7)-incomplete-1-2"
        echo '[]' >"$STORE/meta/dependencies/image:gone.json"
        records=("$STORE"/meta/volume-*)
        : >"${records[0]}"
        sync -f "$STORE"
        ;;
    repair) grootfs check --repair ;;
    end)
        grootfs delete second
        grootfs delete warm
        grootfs clean
        ;;
    *) exit 2 ;;
esac
