# shellcheck shell=bash
#
# Create, stats, delete and clean beside few images and many, for hack/bench-quotas.
# shellcheck disable=SC2034,SC2154 # variables are those of the script

one_round() {
    local kind=$1 size=$2
    measure "create, $size images" "$kind" create "$kind" measured
    measure "stats, $size images" "$kind" on "$kind" stats measured
    measure "delete, $size images" "$kind" on "$kind" delete measured
    measure "clean, $size images" "$kind" on "$kind" clean
}

measure_commands() {
    local present=1 size round kind
    for size in ${sizes//,/ }; do
        say "making $size images"
        for ((; present < size; present++)); do
            for kind in $(turn 1 "$size"); do
                create "$kind" "image-$present" >/dev/null
            done
        done
        for kind in $(turn 1 "$size"); do
            on "$kind" clean >/dev/null
            sync --file-system "$scratch/$kind"
        done
        say "measuring beside $size images"
        for ((round = 1; round <= rounds; round++)); do
            for kind in $(turn "$round" "$size"); do
                one_round "$kind" "$size"
            done
        done
    done
}
