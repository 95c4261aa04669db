# shellcheck shell=bash
#
# How hack/bench measures: one row of raw.tsv for each run of a command.
# shellcheck disable=SC2034,SC2154 # disk, log, rows and cgroup are of hack/bench

declined=77 # exit status of a program that cannot do what is asked, which is no failure
measured=0

# Processor time that the whole machine has used, in ticks of 10 ms. Sets REPLY.
machine_ticks() {
    local user nice system irq softirq steal
    read -r _ user nice system _ _ irq softirq steal _ </proc/stat
    REPLY=$((user + nice + system + irq + softirq + steal))
}

# measure CASE NAME COMMAND...: runs the command, and adds a row about it
measure() {
    local case=$1 name=$2 group=$cgroup/$((++measured)) status=0 row start
    shift 2
    mkdir "$group"
    row=$(
        echo "$BASHPID" >"$group/cgroup.procs"
        machine_ticks && ticks=$REPLY start=${EPOCHREALTIME/./}
        "$@" >>"$log" 2>&1 || exit
        end=${EPOCHREALTIME/./}
        read -r _ cpu <"$group/cpu.stat"
        machine_ticks
        printf '%d\t%d\t%d' $((end - start)) "$cpu" $(((REPLY - ticks) * 10000 - cpu))
    ) || status=$?
    rmdir "$group" 2>/dev/null || : # not while a process that was left behind is in it
    [[ $status -ne "$declined" ]] || return 0
    [[ $status -eq 0 ]] || fail "$case: $name exited with status $status: $(tail -n 1 "$log")"

    start=${EPOCHREALTIME/./}
    sync --file-system "$disk"
    printf '%s\t%s\tus\t%s\t%d\n' "$case" "$name" "$row" $((${EPOCHREALTIME/./} - start)) >>"$rows"
}

# turn ROUND NAME...: the names, in another order each round
turn() {
    local first=$((($1 - 1) % ($# - 1)))
    shift
    echo "${@:first+1}" "${@:1:first}"
}
