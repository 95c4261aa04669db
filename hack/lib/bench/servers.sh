# shellcheck shell=bash
#
# The servers of registry.sh: a registry on this machine, and a slow proxy in front of it.
# shellcheck disable=SC2034,SC2154 # here, images, scratch and log are of hack/bench; near and far are for registry.sh

readonly LATENCY_MS=50 BYTES_PER_SECOND=20000000 # of the proxy: for each answer, on each connection

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
