# shellcheck shell=bash
#
# Where hack/bench works: one fresh XFS on a loop device, and a cgroup, both gone when the script ends, however it does.
# shellcheck disable=SC2034,SC2154 # dir is of hack/bench, what is set here of all others

export LC_ALL=C
scratch=$(mktemp -d "$dir/run.XXXXXX")
disk=$scratch/disk log=$scratch/log rows=$dir/raw.tsv
cgroup=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts)
[[ -n $cgroup ]] || fail "CPU times need a cgroup2 filesystem: mount -t cgroup2 cgroup2 /sys/fs/cgroup"
cgroup=$cgroup/grootfs-bench.$$
: >"$rows"

cleanup() {
    cd /
    end_daemons
    umount --quiet --recursive --lazy "$disk" || :
    rm -rf --one-file-system "$scratch"
    rmdir "$cgroup"/*/ "$cgroup" 2>/dev/null || :
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

mkdir "$cgroup" "$disk"
truncate --size 16G "$scratch/disk.img"
mkfs.xfs -q "$scratch/disk.img"
mount -o loop,noatime,pquota "$scratch/disk.img" "$disk" 2>/dev/null ||
    mount -o loop,noatime "$scratch/disk.img" "$disk" || fail "cannot mount XFS"
rm "$scratch/disk.img" # the loop device keeps it, for as long as it lives

# wipe DIR: everything a program left
wipe() {
    local target
    while read -r _ target _; do
        [[ $target != "$1"/* ]] || umount "$target"
    done < <(tac /proc/self/mounts)
    rm -rf "${1:?}"
    sync --file-system "$disk"
}
