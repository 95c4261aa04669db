# shellcheck shell=bash
#
# The stores of hack/bench-quotas: a btrfs for each kind of quotas, each with one image.
# shellcheck disable=SC2154 # scratch is of hack/bench-quotas

make_stores() {
    local kind mode
    for kind in "${KINDS[@]}"; do
        truncate --size 24G "$scratch/$kind.img"
        mkfs.btrfs -q "$scratch/$kind.img" >/dev/null 2>&1
        mkdir "$scratch/$kind"
        mount -o loop,noatime "$scratch/$kind.img" "$scratch/$kind"
        rm "$scratch/$kind.img" # the loop device keeps it, for as long as it lives
        case $kind in
            off) on off init-store --without-quota ;;
            simple) on simple init-store ;;
            classic) btrfs quota enable "$scratch/classic" && on classic init-store ;;
        esac
        create "$kind" first >/dev/null
    done
    mode=$(cat "/sys/fs/btrfs/$(findmnt -no UUID "$scratch/simple")/qgroups/mode")
    [[ $mode == squota ]] || fail "this kernel has no simple quotas: they take Linux 6.7"
}
