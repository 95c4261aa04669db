# shellcheck shell=bash
#
# The test programs that need XFS quotas: on this kernel if it has them, else in guests. Needs counting.sh and hack/scratch.sh.
# shellcheck disable=SC2154 # scratch, filter and guest_programs are of hack/test and hack/scratch.sh

readonly GUEST_SECONDS=1200 LARGEST_GUEST_PROGRAM=guest_quota

# A script that runs the test programs of one share, of those that cargo has named in "built", in the directories of their
# packages as cargo would. "all" is every share.
write_quota_script() {
    local share=$1
    echo '#!/bin/bash'
    echo "export TMPDIR=$scratch/quota GROOTFS_TEST_LOGS=$scratch/logs/guest-$share"
    cat <<'SCRIPT'
# A disk for the scratch, so that it does not have to fit the guest's memory.
if [[ -n ${VM_DISK:-} ]]; then
    mkfs.xfs -q "$VM_DISK" && mount "$VM_DISK" "$TMPDIR" && chmod 755 "$TMPDIR" || exit
fi
status=0
run() {
    echo "     Running $2"
    (export CARGO_MANIFEST_DIR=$1 && cd "$1" && exec "$2" --test-threads=1 "${@:3}") || status=1
}
SCRIPT
    jq -r --arg share "$share" --arg largest "$LARGEST_GUEST_PROGRAM" --args \
        'select(.reason == "compiler-artifact" and .executable != null and .target.kind == ["test"])
            | select($share == "all" or (.target.name == $largest) == ($share == "largest"))
            | ["run", (.manifest_path | rtrimstr("/Cargo.toml")), .executable, $ARGS.positional[]] | @sh' \
        "${filter[@]}" <"$scratch/built"
    # shellcheck disable=SC2016 # for the script to expand
    echo 'exit "$status"'
}

# A guest has one processor. One guest runs the largest program while another runs all others, whose output comes after.
run_guests() {
    local share=(hack/vm-run -m "$guest_memory" -t "$GUEST_SECONDS" -d 40G -o) status=0 others
    "${share[@]}" "$scratch/logs/guest-others" "$scratch/quota-tests-others" >"$scratch/others" 2>&1 &
    others=$!
    "${share[@]}" "$scratch/logs/guest-largest" "$scratch/quota-tests-largest" || status=$?
    wait "$others" || status=$?
    cat "$scratch/others"
    return "$status"
}

run_guest_tests() {
    local where="XFS quotas, guest kernel" share
    if kernel_has_xfs_quota; then
        where="XFS quotas, this kernel"
    fi
    heading "end to end, $where"
    if ! cargo test --workspace "${guest_programs[@]}" --no-run --message-format json >"$scratch/built"; then
        count "$where" 0 1 0 0
        return
    fi
    mkdir "$scratch/quota"
    for share in all largest others; do
        mkdir -p "$scratch/logs/guest-$share"
        write_quota_script "$share" >"$scratch/quota-tests-$share"
        chmod 755 "$scratch/quota-tests-$share"
    done
    if [[ $where == *"this kernel" ]]; then
        part "$where" "$scratch/quota-tests-all"
        return
    fi
    if ! (install_packages user-mode-linux); then
        say "this kernel has no XFS quotas, and there is no guest kernel to run those tests in: install user-mode-linux"
        count "$where" 0 1 0 0
        return
    fi
    guest_memory=$(awk '/^MemAvailable/ { mib = int($2 / 4096); print mib < 4096 ? mib : 4096 }' /proc/meminfo)
    export scratch guest_memory GUEST_SECONDS
    part "$where" run_guests
    if [[ -x hack/test-power-cut ]]; then
        heading "power cuts, guest kernel"
        part "power cuts, guest kernel" hack/test-power-cut
    fi
}

# What `part` runs in a shell of its own.
export -f run_guests
