# shellcheck shell=bash
#
# What the scripts of this directory share. Sourced by them, after `set -euo pipefail`.

program=hack/$(basename "$0")

say() { echo "$program: $*"; }

# No script goes by the configuration of the machine that it runs on.
export GROOTFS_CONFIG=''

fail() {
    echo "$program: $*" >&2
    exit 1
}

need_root() { [[ $EUID -eq 0 ]] || fail "must run as root: sudo $program"; }

# Installs those of the given packages that are missing; quick when none is.
install_packages() {
    command -v apt-get >/dev/null || fail "no apt-get: this works on Debian and Ubuntu; elsewhere install by hand: $*"
    local package missing=()
    for package; do
        [[ $(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
            missing+=("$package")
    done
    [[ ${#missing[@]} -gt 0 ]] || return 0
    say "installing with apt: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq || fail "apt-get update failed"
    # Ubuntu has some of them in universe, which minimal systems have switched off.
    local unknown=()
    for package in "${missing[@]}"; do
        apt-cache show "$package" >/dev/null 2>&1 || unknown+=("$package")
    done
    [[ ${#unknown[@]} -eq 0 ]] ||
        fail "apt does not know ${unknown[*]}. On Ubuntu they are in universe: add-apt-repository universe (package software-properties-common), then run this again"
    apt-get install -qq --no-install-recommends "${missing[@]}" >/dev/null ||
        fail "apt could not install: ${missing[*]}"
}

# Finds cargo, also where sudo has taken it off the path, and checks that it is new enough.
find_toolchain() {
    local wanted found user_home
    wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
    PATH=$PATH:$HOME/.cargo/bin
    if ! command -v cargo >/dev/null && [[ -n ${SUDO_USER:-} ]]; then
        # The user's toolchain, but not the user's package cache: root's files do not belong there.
        user_home=$(getent passwd "$SUDO_USER" | cut -d : -f 6)
        PATH=$PATH:$user_home/.cargo/bin
        [[ ! -d $user_home/.rustup ]] || export RUSTUP_HOME=${RUSTUP_HOME:-$user_home/.rustup}
    fi
    export PATH
    found=$(cargo --version 2>/dev/null | cut -d ' ' -f 2) || true
    [[ -n $found ]] || fail "no Rust toolchain. Install Rust $wanted or later, as yourself, then run this again:
  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
    [[ $(printf '%s\n' "$wanted" "${found%%-*}" | sort -V | head -n 1) == "$wanted" ]] ||
        fail "Rust $found is too old: $wanted or later is needed. With rustup: rustup update. Otherwise install it, then run this again:
  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
}

# Whether this kernel has XFS with project quotas: tried out, since nothing else tells for certain.
kernel_has_xfs_quota() {
    local scratch status=0
    scratch=$(mktemp -d)
    truncate -s 320M "$scratch/file"
    mkdir "$scratch/mount"
    mkfs.xfs -q "$scratch/file"
    mount -t xfs -o loop,pquota "$scratch/file" "$scratch/mount" 2>/dev/null || status=1
    if [[ $status -eq 0 ]]; then
        grep -q " $scratch/mount xfs .*\bprjquota\b" /proc/mounts || status=1
        umount "$scratch/mount"
    fi
    rm -r "$scratch"
    return $status
}
