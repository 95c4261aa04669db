# shellcheck shell=bash
#
# What containers write, measured by hack/bench-quotas.
# shellcheck disable=SC2154 # scratch, rows and write_rounds are of hack/bench-quotas

unpack_files() {
    tar -x -C "$1" -f "$scratch/files.tar" && sync --file-system "$1"
}

# write_rate CASE KIND ROOTFS FIO_ARGUMENT...: notes how many KiB a second fio writes
write_rate() {
    local case=$1 kind=$2 rootfs=$3 rate
    shift 3
    rate=$(fio --name=file --filename="$rootfs/file" --size=256M --end_fsync=1 --ioengine=psync --output-format=json "$@" |
        jq '.jobs[0].write.bw')
    printf '%s\t%s\t%d\n' "$case" "$kind" "$rate" >>"$rows"
}

measure_containers() {
    local round kind rootfs
    tar -c -C "$scratch/off/store/images/first/rootfs" -f "$scratch/files.tar" --exclude=./dev .
    say "measuring what containers write"
    for ((round = 1; round <= write_rounds; round++)); do
        for kind in $(turn "$round"); do
            create "$kind" written >/dev/null
            rootfs=$scratch/$kind/store/images/written/rootfs
            sync --file-system "$scratch/$kind"
            mkdir "$rootfs/files"
            measure files "$kind" unpack_files "$rootfs/files"
            write_rate "sequential, MB/s" "$kind" "$rootfs" --rw=write --bs=1M
            write_rate "random, MB/s" "$kind" "$rootfs" --rw=randwrite --bs=4k
            on "$kind" delete written >/dev/null
            on "$kind" clean >/dev/null
        done
    done
}
