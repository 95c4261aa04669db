# shellcheck shell=bash
#
# The part "registry" of hack/bench: pulling images that nobody has yet from a registry on this machine, beside other
# programs, and again with the registry far away. Sourced by hack/bench, whose variables and functions it uses.
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
# shellcheck disable=SC2154 # dir, disk, images, scratch, log, rows, cgroup, program and others are of hack/bench

readonly LATENCY_MS=50 BYTES_PER_SECOND=20000000 # of the proxy: for each answer, on each connection
registry_peers=(skopeo buildah ctr)

# Processes to end with the script: the registry and the proxy; and the containerd of the moment.
daemons=() containerd=

# end PID...: children of this shell
end() {
    kill "$@" 2>/dev/null || :
    wait "$@" 2>/dev/null || :
}

end_daemons() {
    [[ -z $containerd ]] || end "$containerd"
    [[ ${#daemons[@]} -eq 0 ]] || end "${daemons[@]}"
    daemons=() containerd=
}

need_for_registry() {
    need docker-registry docker-registry
    need skopeo skopeo
    need umoci umoci
    need buildah buildah
    need containerd containerd
}

# wait_for_port PORT
wait_for_port() {
    local try
    for ((try = 0; try < 200; try++)); do
        ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null || return 0
        sleep 0.05
    done
    fail "nothing listens on port $1: $(tail -n 1 "$log")"
}

# A port that is free now. Sets REPLY.
free_port() {
    REPLY=$((RANDOM % 20000 + 20000))
    while (exec 3<>"/dev/tcp/127.0.0.1/$REPLY") 2>/dev/null; do
        REPLY=$((RANDOM % 20000 + 20000))
    done
}

# start_registry IMAGE: sets near and far, host:port of the registry and of the proxy in front of it
start_registry() {
    local port
    free_port
    port=$REPLY
    cat >"$scratch/registry.yml" <<YML
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $scratch/registry}}
http: {addr: "127.0.0.1:$port"}
YML
    docker-registry serve "$scratch/registry.yml" >>"$log" 2>&1 &
    daemons+=($!)
    wait_for_port "$port"
    near=127.0.0.1:$port
    echo '{"default": [{"type": "insecureAcceptAnything"}]}' >"$scratch/policy.json"
    skopeo --policy "$scratch/policy.json" copy --quiet --dest-tls-verify=false \
        "oci:$images/$1:latest" "docker://$near/$1:latest" || fail "cannot fill the registry"
    find "$scratch/registry" -type f -exec cat {} + >/dev/null

    (cd "$here/.." && cargo build --quiet --release --example slow-proxy) || fail "the proxy does not build"
    "$(cd "$here/.." && realpath "${CARGO_TARGET_DIR:-target}")/release/examples/slow-proxy" \
        "$near" $LATENCY_MS $BYTES_PER_SECOND >"$scratch/proxy" 2>>"$log" &
    daemons+=($!)
    while [[ ! -s $scratch/proxy ]]; do sleep 0.05; done
    far=127.0.0.1:$(<"$scratch/proxy")
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
