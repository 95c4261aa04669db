# shellcheck shell=bash
#
# The end-to-end tests that run on this kernel. Needs counting.sh and hack/scratch.sh.
# shellcheck disable=SC2154 # scratch and filter are of hack/scratch.sh and hack/test

# So many flaky tests fail no run.
readonly FLAKY_TESTS=2

run_host_tests() {
    heading "end to end, this kernel ($(uname -r))"
    local programs
    mapfile -t programs < <(test_programs host)
    [[ ${#programs[@]} -gt 0 ]] || return 0
    GROOTFS_TEST_LOGS=$scratch/logs/host part "end to end, this kernel" cargo test --workspace --no-fail-fast \
        "${programs[@]}" -- "${filter[@]}"
    run_failed_alone "end to end, this kernel" 3
}

# Runs the tests that have failed in the last part alone, as often as given, if they are few. One that always passes then
# is flaky: it is shown with what it printed, and is a defect of the test or of what it tests.
run_failed_alone() {
    local where=$1 times=$2 tests test
    mapfile -t tests < <(awk '/^ +Running .*\)$/ { program = $NF; gsub(/^.*\/|-[0-9a-f]+\)$/, "", program) }
        /^test .* \.\.\. FAILED$/ { print program, $2 }' "$scratch/log")
    [[ ${#tests[@]} -le $FLAKY_TESTS ]] || return 0
    for test in "${tests[@]}"; do
        say "failed, and runs $times times more, alone: $test"
        if passes_alone "${test% *}" "${test#* }" "$times"; then
            flaky+=("${test#* }")
            count "$where" 0 -1 0 0
        fi
    done
}

passes_alone() {
    local round
    for ((round = 0; round < $3; round++)); do
        cargo test --workspace --test "$1" -- --exact "$2" </dev/null | grep '^test result: ok. 1 passed' || return
    done
}
