# shellcheck shell=bash
#
# The part "registry" of hack/bench: pulling images that nobody has yet from a registry on this machine, beside other
# programs, and again with the registry far away (servers.sh). Sourced by hack/bench, whose variables and functions it uses.
#
# Each program ends with the image unpacked:
#
#   skopeo    skopeo copy to an OCI layout, then umoci unpack
#   buildah   buildah pull, overlay driver
#   ctr       ctr images pull, overlayfs snapshotter, with a containerd of its own that was started before
#
# What they keep, temporary files included, is on the disk that is measured. "written" is what that disk was told to
# write until all was flushed, from the statistics of its block device. "peak" is the largest resident set of a process;
# for ctr that of containerd and ctr together. The CPU time of containerd counts; that of the registry and the proxy does
# not, though they work on the same processors.
# shellcheck disable=SC2034,SC2154 # dir, disk, images, scratch, log, rows, cgroup, program and others are of hack/bench

registry_peers=(skopeo buildah ctr)

need_for_registry() {
    need docker-registry docker-registry
    need skopeo skopeo
    need umoci umoci
    need buildah buildah
    need containerd containerd
}

# prepare_pull NAME: where it is to keep things; for ctr, its daemon
prepare_pull() {
    local home=$disk/$1
    if [[ -n ${program[$1]:-} ]]; then
        init_store "$1"
    else
        mkdir -p "$home/tmp"
    fi
    if [[ $1 == ctr ]]; then
        cat >"$scratch/containerd.toml" <<TOML
version = 2
root = "$home/root"
state = "$scratch/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "$scratch/containerd.sock"
TOML
        TMPDIR=$home/tmp containerd --config "$scratch/containerd.toml" --log-level error >>"$log" 2>&1 &
        containerd=$!
        until ctr --address "$scratch/containerd.sock" version >/dev/null 2>&1; do sleep 0.1; done
    fi
    sync --file-system "$disk"
}

# pull NAME HOST IMAGE
pull() {
    local home=$disk/$1 url=docker://$2/$3:latest timed=(/usr/bin/time --format %M --output "$scratch/peak" --append)
    case $1 in
        skopeo)
            TMPDIR=$home/tmp "${timed[@]}" skopeo --policy "$scratch/policy.json" copy --quiet --src-tls-verify=false \
                "$url" "oci:$home/layout:latest" &&
                TMPDIR=$home/tmp "${timed[@]}" umoci unpack --image "$home/layout:latest" "$home/bundle"
            ;;
        buildah)
            TMPDIR=$home/tmp "${timed[@]}" buildah --root "$home/root" --runroot "$home/run" --storage-driver overlay \
                pull --quiet --signature-policy "$scratch/policy.json" --tls-verify=false "$url"
            ;;
        ctr)
            # From here on its time is that of the pull.
            echo "$containerd" >"$group/cgroup.procs" &&
                "${timed[@]}" ctr --address "$scratch/containerd.sock" images pull --plain-http "${url#docker://}"
            ;;
        *)
            # shellcheck disable=SC2034 # of hack/bench; and this is in a shell of its own, see measure
            under=("${timed[@]}")
            grootfs "$1" create --insecure-registry "$2" "$url" first
            ;;
    esac
}

# Bytes that the disk was told to write, in KiB. Sets REPLY.
written() {
    local fields
    read -r -a fields <"/sys/block/$(basename "$(findmnt --noheadings --output SOURCE "$disk")")/stat"
    REPLY=$((fields[6] / 2))
}

# The largest of what pull has left, and containerd's. Sets REPLY.
peak() {
    REPLY=$(sort -n "$scratch/peak" | tail -n 1)
    [[ -z $containerd ]] ||
        REPLY=$((REPLY + $(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB$/\1/p' "/proc/$containerd/status")))
}

registry() {
    local image=stack round name host where before
    start_registry "$image"
    for ((round = 1; round <= rounds; round++)); do
        for host in "$near" "$far"; do
            where="pull $image"
            [[ $host == "$near" ]] || where+=", far away"
            say "$where, round $round of $rounds"
            for name in $(turn "$round" "${builds[@]}" "${registry_peers[@]}"); do
                prepare_pull "$name"
                rm -f "$scratch/peak"
                written && before=$REPLY
                measure "$where" "$name" pull "$name" "$host" "$image"
                written
                printf '%s: MiB written\t%s\tKiB\t%d\n' "$where" "$name" $((REPLY - before)) >>"$rows"
                peak
                printf '%s: MiB of memory\t%s\tKiB\t%d\n' "$where" "$name" "$REPLY" >>"$rows"
                [[ -z $containerd ]] || end "$containerd"
                containerd=
                wipe "$disk/$name"
            done
        done
    done
    end_daemons
}
