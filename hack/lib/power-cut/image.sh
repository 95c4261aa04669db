# shellcheck shell=bash
#
# The image of hack/test-power-cut: a layout with one layer, its files' contents derived from their names.
# shellcheck disable=SC2034,SC2154 # work and files are of hack/test-power-cut, bytes is for it

content() {
    printf 'content of file %d\n%.0s' "$1" {1..200}
}

make_layout() {
    local tree=$work/tree layout=$work/layout blobs=$work/layout/blobs/sha256 n
    mkdir -p "$tree" "$blobs"
    for ((n = 0; n < files; n++)); do content "$n" >"$tree/$n"; done
    (cd "$tree" && sha256sum -- *) >"$work/sums"
    bytes=$(cat "$tree"/* | wc -c)
    tar -C "$tree" --sort=name --owner=0 --group=0 --numeric-owner -cf "$work/layer.tar" .
    gzip -n <"$work/layer.tar" >"$work/layer.tar.gz"
    local diff_id layer config manifest
    diff_id=$(digest "$work/layer.tar")
    layer=$(blob "$blobs" "$work/layer.tar.gz")
    printf '{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' "$diff_id" >"$work/config"
    config=$(blob "$blobs" "$work/config")
    printf '{"schemaVersion":2,"config":%s,"layers":[%s]}' \
        "$(descriptor application/vnd.oci.image.config.v1+json "$config" "$work/config")" \
        "$(descriptor application/vnd.oci.image.layer.v1.tar+gzip "$layer" "$work/layer.tar.gz")" >"$work/manifest"
    manifest=$(blob "$blobs" "$work/manifest")
    printf '{"schemaVersion":2,"manifests":[%s]}' \
        "$(descriptor application/vnd.oci.image.manifest.v1+json "$manifest" "$work/manifest")" >"$layout/index.json"
}

digest() {
    local sum
    sum=$(sha256sum <"$1")
    echo "${sum%% *}"
}

# Stores a file as a blob and prints its digest.
blob() {
    local hex
    hex=$(digest "$2")
    cp "$2" "$1/$hex"
    echo "$hex"
}

descriptor() {
    printf '{"mediaType":"%s","digest":"sha256:%s","size":%d}' "$1" "$2" "$(stat -c %s "$3")"
}
