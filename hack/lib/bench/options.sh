# shellcheck shell=bash
#
# The options of hack/bench, and what they choose.
# shellcheck disable=SC2034,SC2154 # variables are those of the script

builds=()             # the programs under test, by name
declare -A program=() # name -> path
all_peers=(umoci tar)
! command -v igzip >/dev/null || all_peers+=(tar-fast)
peers=("${all_peers[@]}")

add_build() {
    local name=${1%%=*} path=${1#*=}
    [[ $1 == *=* ]] || name=grootfs
    [[ $name =~ ^[a-z0-9._-]+$ ]] || fail "$1: the name may have small letters, digits and ._- only"
    [[ -z ${program[$name]:-} && " floor ${all_peers[*]} ${registry_peers[*]} " != *" $name "* ]] ||
        fail "$1: the name $name is taken, use another NAME=PATH"
    [[ -f $path && -x $path ]] || fail "$path is not a program"
    builds+=("$name")
    program[$name]=$(realpath "$path")
}

read_options() {
    local peer
    while [[ $# -gt 0 ]]; do
        if [[ $1 == -h || $1 == --help ]]; then
            sed -n '3,/^$/s/^# \{0,1\}//p' "$0"
            exit
        fi
        [[ $# -gt 1 ]] || fail "$1: unknown option or no value (--help)"
        case $1 in
            --grootfs) add_build "$2" ;;
            --only) parts=$2 ;;
            --cold) cold_images=$2 ;;
            --scale) sizes=$2 ;;
            --peers) IFS=, read -r -a peers <<<"${2/#none/}" ;;
            --rounds) rounds=$2 ;;
            --warm-rounds) warm_rounds=$2 ;;
            --dir) dir=$2 ;;
            *) fail "$1: unknown option (--help)" ;;
        esac
        shift 2
    done
    for peer in ${peers[@]+"${peers[@]}"}; do
        [[ " ${all_peers[*]} " == *" $peer "* ]] || fail "--peers: $peer is unknown or not installed"
    done
}
