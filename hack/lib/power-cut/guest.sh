# shellcheck shell=bash
#
# What every boot of hack/test-power-cut does first, in the guest. Its arguments are the binary, the directory of the test
# and the bytes of the image. init-store also finds the store of an earlier boot.

set -euo pipefail
binary=$1 work=$2 bytes=$3
mkdir -p /mnt/disk
mount -o pquota,noatime "$VM_DISK" /mnt/disk
grootfs() {
    local answer
    answer=$("$binary" --store /mnt/disk/store "$@") || { echo "FAILED: grootfs $*: $answer"; exit 1; }
}
grootfs init-store

# Creates the image and compares every file with what it should be.
create() {
    grootfs create "oci://$work/layout" "$1"
    (cd "/mnt/disk/store/images/$1/rootfs" && sha256sum --quiet -c "$work/sums" && [[ $(find . -mindepth 1 | wc -l) -eq $(wc -l <"$work/sums") ]]) ||
        { echo TORN; exit 1; }
    echo WHOLE
}

# What earlier boots left, whatever became of it, does not stand in anybody's way.
settle() {
    local image
    for image in /mnt/disk/store/images/*; do
        [[ ${image##*/} != "$1" && -e $image ]] || continue
        # Its mount went with the power, so that it can only be deleted; its numbers may be gone as well, but not wrong.
        [[ $("$binary" --store /mnt/disk/store stats "$image") =~ total_bytes_used.:$bytes,|"it is empty" ]] ||
            { echo "FAILED: wrong stats of $image"; exit 1; }
        grootfs delete "$image"
    done
    grootfs clean
}

# Makes warm and cold images for ever, beside a process that calls fsync all the time.
create_beside_neighbour() {
    # A system call takes long here: one program for all the calls.
    dd if=/dev/zero of=/mnt/disk/neighbour bs=1 count=1 conv=fsync status=none
    (while :; do sync /mnt/disk/neighbour; sleep 0.03; echo >>/mnt/disk/neighbour; done) &
    local n=0
    while :; do
        n=$((n + 1))
        grootfs create "oci://$work/layout" "beside-$1-$n"
        if [[ $((n % 2)) -eq 0 ]]; then
            grootfs delete "beside-$1-$((n - 1))"
        fi
        echo "CREATED $n"
    done
}

# What survived a cut beside the neighbour is whole in every record, though it is not mounted.
judge() {
    local image answer count=0 findings
    findings=$("$binary" --store /mnt/disk/store check) || true
    ! grep -E 'image-record-damaged|image-damaged|layer-missing' <<<"$findings" || { echo "FAILED: $findings"; exit 1; }
    for image in /mnt/disk/store/images/*; do
        [[ -e $image ]] || continue
        answer=$("$binary" --store /mnt/disk/store stats "$image") || { echo "FAILED: $answer"; exit 1; }
        [[ $answer =~ total_bytes_used.:([0-9]+), && ${BASH_REMATCH[1]} -ge $bytes ]] || { echo "FAILED: $answer"; exit 1; }
        grootfs delete "$image"
        count=$((count + 1))
    done
    grootfs clean
    echo "JUDGED $count"
}

# Brings the journal to the disk, as any fsync of any program does.
flush_journal() { echo >/mnt/disk/unrelated && sync /mnt/disk/unrelated; }
