# shellcheck shell=bash
#
# The parts of hack/bench but "registry", each in rounds.
# shellcheck disable=SC2034,SC2154 # the options, builds, disk, scratch, log and rows are of hack/bench

# A pass over the blobs, so that nobody reads them from the disk.
cache_blobs() {
    cat "$images/$1"/blobs/sha256/* >/dev/null
}

cold() {
    local image=$1 round name
    cache_blobs "$image"
    for ((round = 1; round <= rounds; round++)); do
        say "cold $image, round $round of $rounds"
        for name in $(turn "$round" "${builds[@]}" ${peers[@]+"${peers[@]}"}); do
            prepare "$name"
            measure "cold create $image" "$name" unpack "$name" "$image"
            if [[ -n ${program[$name]:-} ]]; then
                measure "delete $image, first" "$name" grootfs "$name" delete first
                measure "clean $image, all layers" "$name" grootfs "$name" clean
            fi
            wipe "$disk/$name"
        done
    done
}

memory() {
    local image=$1 peak=$scratch/peak round name
    cache_blobs "$image"
    for ((round = 1; round <= rounds; round++)); do
        say "memory $image, round $round of $rounds"
        for name in $(turn "$round" "${builds[@]}" ${peers[@]+"${peers[@]}"}); do
            prepare "$name"
            rm -f "$peak"
            under=(/usr/bin/time --format %M --output "$peak")
            unpack "$name" "$image" >>"$log" 2>&1 || [[ $? -eq "$declined" ]] || fail "$name: $(tail -n 1 "$log")"
            under=()
            wipe "$disk/$name"
            [[ -e $peak ]] || continue
            printf 'peak memory in MiB, %s\t%s\tKiB\t%d\n' "$image" "$name" "$(<"$peak")" >>"$rows"
        done
    done
}

# warm_round NAME IMAGE WITH: every command once; leaves the store as it was
warm_round() {
    local name=$1 image=$2 with=$3
    if [[ $name == floor ]]; then
        measure "create$with" floor "$scratch/floor" "$disk/floor"
        measure "stats$with" floor /bin/true
        measure "list$with" floor /bin/true
        measure "delete$with" floor "$scratch/floor" "$disk/floor" delete
        measure "clean$with" floor /bin/true
        return
    fi
    measure "create$with" "$name" create "$name" "$image" another
    measure "stats$with" "$name" grootfs "$name" stats another
    measure "list$with" "$name" grootfs "$name" list
    measure "delete$with" "$name" grootfs "$name" delete another
    measure "clean$with" "$name" grootfs "$name" clean
}

warm() {
    local round name
    prepare_floor
    for name in "${builds[@]}"; do
        init_store "$name"
        create "$name" stack first >>"$log" 2>&1 || fail "$name create: $(tail -n 1 "$log")"
    done
    sync --file-system "$disk"
    say "warm, $warm_rounds rounds"
    for ((round = 1; round <= warm_rounds; round++)); do
        for name in $(turn "$round" "${builds[@]}" floor); do
            warm_round "$name" stack ", warm"
        done
    done
    for name in "${builds[@]}" floor; do
        wipe "$disk/$name"
    done
}

scale() {
    local round name size i have=0
    for name in "${builds[@]}"; do
        init_store "$name"
    done
    for size in ${sizes//,/ }; do
        say "scale $size, $warm_rounds rounds"
        for name in "${builds[@]}"; do
            for ((i = have; i < size; i++)); do
                create "$name" small "existing-$i" >>"$log" 2>&1 || fail "$name create: $(tail -n 1 "$log")"
            done
        done
        have=$size
        sync --file-system "$disk"
        for ((round = 1; round <= warm_rounds; round++)); do
            for name in $(turn "$round" "${builds[@]}"); do
                warm_round "$name" small ", beside $size"
            done
        done
    done
    for name in "${builds[@]}"; do
        wipe "$disk/$name"
    done
}
