# shellcheck shell=bash
#
# The unit tests, and those in documentation. Needs counting.sh and hack/scratch.sh.
# shellcheck disable=SC2154 # scratch and filter are of hack/scratch.sh and hack/test

# As a user without privileges, from copies that any user may read: what needs more belongs into tests/privileged/.
run_unit_tests() {
    heading "unit tests, as nobody"
    local program unit=$scratch/unit
    local as_nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-all --no-new-privs env -C /)
    mkdir -m 1777 "$unit"
    if ! cargo test --workspace --lib --bins --no-run --message-format json >"$scratch/built"; then
        count "unit tests" 0 1 0 0
        return
    fi
    while IFS= read -r program; do
        install -m 755 "$program" "$unit"
        part "unit tests" "${as_nobody[@]}" TMPDIR="$unit" "$unit/${program##*/}" "${filter[@]}"
    done < <(jq -r 'select(.reason == "compiler-artifact" and .profile.test and .executable != null) | .executable' "$scratch/built")
    rm -rf "$unit"
    part "unit tests" cargo test --workspace --no-fail-fast --doc -- "${filter[@]}"
}
