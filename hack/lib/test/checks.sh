# shellcheck shell=bash
#
# Static checks of hack/test: of the sources, and of the release build that they make. Needs counting.sh.
# shellcheck disable=SC2154 # target and guest_programs are of hack/test

# drax runs with the setuid bit: what is in it, and how large it may be.
readonly DRAX_CRATES='drax libc' DRAX_BYTES=$((560 * 1024))

check_drax() {
    local crates bytes
    crates=$(cargo tree --package drax --edges normal --prefix none --format '{p}' | awk '{ print $1 }' | sort -u | xargs)
    cargo build --quiet --release --package drax
    bytes=$(stat -c %s "$target/release/drax")
    echo "drax: $bytes bytes (at most $DRAX_BYTES), made of: $crates (nothing but: $DRAX_CRATES)"
    [[ $crates == "$DRAX_CRATES" && $bytes -le $DRAX_BYTES ]]
}

# Of the release, which is no profile that other tests are built with: a panic unwinds, and is one line.
check_release() {
    local said status=0
    cargo build --quiet --release
    said=$(strace -qq -o /dev/null -e inject=write:retval=1000000000:when=1 "$target/release/grootfs" --version) || status=$?
    echo "grootfs: $(stat -c %s "$target/release/grootfs") bytes; with a panic, it says: $said"
    [[ $status -eq 1 && $said == "internal error: "*"please report it" ]]
}

check_scripts() {
    local scripts
    mapfile -t scripts < <(grep -lIrE '^#!/.*\b(ba)?sh$|^# shellcheck shell=' hack ci .ci)
    shellcheck --external-sources "${scripts[@]}"
}

run_checks() {
    heading "static checks"
    part "static checks" cargo fmt --all --check
    part "static checks" cargo fmt --manifest-path fuzz/Cargo.toml --check
    part "static checks" cargo clippy --workspace --all-targets -- -D warnings
    # --all-targets leaves out what has `test = false`.
    part "static checks" cargo clippy --workspace "${guest_programs[@]}" --test collected_logs -- -D warnings
    part "static checks" hack/fuzz --check
    part "static checks" env RUSTDOCFLAGS="-D warnings" cargo doc --quiet --no-deps --workspace
    part "static checks" check_scripts
    part "static checks" check_drax
    part "static checks" check_release
    if_installed deny "licences, bans and sources of dependencies" cargo deny check licenses bans sources
    if_installed machete "unused dependencies" cargo machete
    if_installed typos "spelling" typos
}

# if_installed TOOL WHAT COMMAND...: of cargo, or a program of that name; WHAT is not checked without it.
if_installed() {
    if command -v "$1" "cargo-$1" >/dev/null; then
        part "static checks" "${@:3}"
    else
        say "$1 is not installed (cargo install): $2 are not checked"
    fi
}

# What `part` runs in a shell of its own.
export DRAX_CRATES DRAX_BYTES
export -f check_drax check_release check_scripts
