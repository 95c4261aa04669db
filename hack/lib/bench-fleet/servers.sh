# shellcheck shell=bash
#
# The registry of hack/bench-fleet, and the caches in front of it.
# shellcheck disable=SC2034,SC2154 # variables are those of the script

# start PORT COMMAND...: a server, which is waited for
start() {
    local port=$1 try
    "${@:2}" >>"$scratch/log" 2>&1 &
    daemons+=($!)
    for ((try = 0; try < 200; try++)); do
        ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || return 0
        sleep 0.05
    done
    fail "nothing listens on port $port: $(tail -n 1 "$scratch/log")"
}

free_port() {
    REPLY=$((RANDOM % 20000 + 20000))
    while (exec 3<>"/dev/tcp/127.0.0.1/$REPLY") 2>/dev/null; do REPLY=$((RANDOM % 20000 + 20000)); done
}

# The registry, whose access log is in $scratch/access.
start_origin() {
    free_port && origin=127.0.0.1:$REPLY
    cat >"$scratch/origin.yml" <<YML
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $scratch/origin}}
http: {addr: "$origin"}
YML
    docker-registry serve "$scratch/origin.yml" >"$scratch/access" 2>>"$scratch/log" &
    daemons+=($!)
    until (exec 3<>"/dev/tcp/127.0.0.1/$REPLY") 2>/dev/null; do sleep 0.1; done
    echo '{"default": [{"type": "insecureAcceptAnything"}]}' >"$scratch/policy.json"
    skopeo --policy "$scratch/policy.json" copy --quiet --dest-tls-verify=false "oci:$layout:latest" \
        "docker://$origin/app:latest" || fail "cannot fill the registry"
}

start_pull_through() {
    free_port && mirror=127.0.0.1:$REPLY
    cat >"$scratch/mirror-$REPLY.yml" <<YML
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $scratch/mirror-$REPLY}}
http: {addr: "$mirror"}
proxy: {remoteurl: "http://$origin"}
YML
    start "$REPLY" docker-registry serve "$scratch/mirror-$REPLY.yml"
}

start_nginx() {
    free_port && mirror=127.0.0.1:$REPLY
    mkdir -p "$scratch/nginx"
    cat >"$scratch/nginx.conf" <<CONF
daemon off; master_process off; user root; pid $scratch/nginx/pid; error_log $scratch/log;
events {}
http {
    access_log off; client_body_temp_path $scratch/nginx/body; proxy_temp_path $scratch/nginx/temp;
    proxy_cache_path $scratch/nginx/cache keys_zone=registry:1m max_size=10g inactive=7d use_temp_path=off;
    server {
        listen $mirror;
        location /v2/ {
            proxy_pass http://$origin;
            proxy_cache registry;
            proxy_cache_key \$uri\$http_accept;
            proxy_cache_valid 200 1m;
            proxy_cache_lock on; proxy_cache_lock_timeout 10m; proxy_cache_lock_age 10m;
            proxy_max_temp_file_size 0;
        }
    }
}
CONF
    start "$REPLY" nginx -c "$scratch/nginx.conf"
}
