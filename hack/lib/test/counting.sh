# shellcheck shell=bash
#
# Runs the parts of hack/test, and counts tests by the place where they ran. Needs hack/scratch.sh, whose clean-up
# ends what is in `child`.
# shellcheck disable=SC2154 # scratch is of hack/scratch.sh

rows=() passed_total=0 failed_total=0
# Names of tests that passed alone after they had failed beside others.
flaky=()
readonly FAILURE_LINES=60

# Runs a command or function in a process group of its own and adds up the result lines of the test programs in its
# output. A command that prints none counts as one test; one that fails without naming a failed test, as one failed.
part() {
    local where=$1 log=$scratch/log pipe=$scratch/pipe status=0 begun=$SECONDS printer passed failed ignored
    shift
    [[ $(type -t "$1") != function ]] || set -- bash -euo pipefail -c "$1"
    rm -f "$pipe" && mkfifo "$pipe"
    tee "$log" <"$pipe" &
    printer=$!
    setsid "$@" >"$pipe" 2>&1 &
    child=$!
    wait "$child" || status=$?
    # Something left running would hold the pipe open.
    kill -KILL -- "-$child" 2>/dev/null || true
    child=''
    wait "$printer"
    read -r passed failed ignored < <(
        awk '/^test result: / { p += $4; f += $6; i += $8 } END { print p + 0, f + 0, i + 0 }' "$log"
    )
    if [[ $status -ne 0 && $failed -eq 0 ]]; then
        failed=1
    elif ! grep -q '^test result: ' "$log" && [[ $status -eq 0 ]]; then
        passed=1
    fi
    count "$where" "$passed" "$failed" "$ignored" $((SECONDS - begun))
    [[ $failed -eq 0 ]] || keep_failures "$where"
}

# What failed tests of the part that has just run printed, or the end of all output, to be shown once more in the end.
keep_failures() {
    printf '\n-- %s\n' "$1"
    grep -q '^---- .* stdout ----$' "$scratch/log" || tail -n "$FAILURE_LINES" "$scratch/log"
    awk -v most="$FAILURE_LINES" '
        /^---- .* stdout ----$/ { lines = 0; inside = 1 }
        /^failures:$|^test result: / { inside = 0 }
        inside && ++lines <= most' "$scratch/log"
} >>"$scratch/failures"

count() {
    rows+=("$1	$2	$3	$4	$5")
    passed_total=$((passed_total + $2))
    failed_total=$((failed_total + $3))
}

heading() { printf '\n== %s\n' "$*"; }

# What is to be looked into: flaky tests, and what failed tests have printed.
show_failures() {
    [[ -s $scratch/failures ]] || return 0
    heading "failures"
    cat "$scratch/failures"
    [[ ${#flaky[@]} -eq 0 ]] || printf '\nflaky, for it passes alone: %s\n' "${flaky[@]}"
}

# The rows of one place added up, in the order of their first appearance.
table() {
    printf '%s\n' "${rows[@]}" | awk -F '\t' '
        !($1 in seen) { seen[$1] = 1; order[++n] = $1 }
        { p[$1] += $2; f[$1] += $3; i[$1] += $4; s[$1] += $5 }
        END {
            printf "%-36s %7s %7s %8s %8s\n", "where", "passed", "failed", "ignored", "seconds"
            for (k = 1; k <= n; k++) { w = order[k]; printf "%-36s %7d %7d %8d %8d\n", w, p[w], f[w], i[w], s[w] }
        }'
}
