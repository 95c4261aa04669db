# shellcheck shell=bash
#
# A directory for all that a script makes, and leaving nothing of it, however the script ends. Sourced after common.sh.

# What is running in a process group of its own, to be ended as a whole.
child=''

# Makes the directory, which is TMPDIR from here on.
make_scratch() {
    scratch=$(mktemp -d "/var/tmp/grootfs-$1.XXXXXX")
    chmod 755 "$scratch"
    export TMPDIR=$scratch
    trap 'set +e; clean_up' EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

mounts_below_scratch() { awk -v dir="$scratch/" 'index($5, dir) == 1 { print $5 }' /proc/self/mountinfo | tac; }
loops_below_scratch() {
    losetup --list --noheadings --output NAME,BACK-FILE | awk -v dir="$scratch/" 'index($2, dir) == 1 { print $1 }'
}

clean_up() {
    local left
    if [[ -n $child ]]; then
        # What ignores the polite request gets no second one.
        kill -TERM -- "-$child" 2>/dev/null && sleep 2
        kill -KILL -- "-$child" 2>/dev/null
    fi
    while IFS= read -r left; do
        say "left mounted: $left"
        umount "$(printf %b "$left")" 2>/dev/null || umount -l "$(printf %b "$left")"
    done < <(mounts_below_scratch)
    while IFS= read -r left; do
        say "left attached: $left"
        losetup --detach "$left"
    done < <(loops_below_scratch)
    rm -rf --one-file-system "$scratch"
}
