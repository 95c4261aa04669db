# shellcheck shell=bash
#
# The images of hack/make-test-images with one more layer, which other tools packed.
# shellcheck disable=SC2034,SC2154 # variables are those of the script

# What the additional layer does to a root filesystem.
change() {
    local rootfs=$1
    mkdir -p "$rootfs/srv/packed/deep/er"
    echo "added by a packer" >"$rootfs/srv/packed/file"
    ln "$rootfs/srv/packed/file" "$rootfs/srv/packed/deep/hard"
    ln -s ../file "$rootfs/srv/packed/deep/soft"
    touch -d '2001-02-03 04:05:06.789 UTC' "$rootfs/srv/packed/deep/er"
    chmod 2750 "$rootfs/srv/packed/deep"
    chown -R 1234:4321 "$rootfs/srv/packed/deep"
    # Changed, replaced by another type, deleted.
    echo "changed by a packer" >>"$rootfs/etc/passwd"
    chmod 711 "$rootfs/root"
    rm -r "${rootfs:?}/home" && echo "no longer a directory" >"$rootfs/home"
    rm -r "$rootfs/var/log"
}

pack_umoci() {
    local name=$1
    say "$name-umoci"
    cp -a "$images/$name" "$work/$name-umoci"
    umoci unpack --image "$work/$name-umoci:latest" "$work/bundle"
    change "$work/bundle/rootfs"
    umoci repack --refresh-bundle --image "$work/$name-umoci:latest" "$work/bundle"
    umoci gc --layout "$work/$name-umoci"
    rm -r "$work/bundle"
    mv "$work/$name-umoci" "$images/"
}

pack_buildah() {
    local name=$1 container mounted options=(--quiet --format oci)
    say "$name-buildah"
    # buildah unpacks a layer and packs it again, and cannot repeat files with holes byte by byte.
    [[ $name != stack ]] || options+=(--squash)
    # Its store is thrown away; vfs works on every filesystem and below every kernel.
    local buildah=(buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs)
    container=$("${buildah[@]}" from --quiet "oci:$images/$name:latest")
    mounted=$("${buildah[@]}" mount "$container")
    change "$mounted"
    "${buildah[@]}" umount "$container" >/dev/null
    "${buildah[@]}" commit "${options[@]}" "$container" "oci:$work/$name-buildah:latest" >/dev/null
    "${buildah[@]}" rm --all >/dev/null
    "${buildah[@]}" rmi --all --force >/dev/null
    mv "$work/$name-buildah" "$images/"
}

pack_skopeo() {
    local name=$1
    say "$name-skopeo, $name-skopeo-zstd"
    local skopeo=(skopeo --insecure-policy copy --quiet)
    "${skopeo[@]}" --format v2s2 --dest-decompress "oci:$images/$name:latest" "dir:$work/docker"
    "${skopeo[@]}" --format oci "dir:$work/docker" "oci:$work/$name-skopeo:latest"
    "${skopeo[@]}" --dest-compress-format zstd "oci:$images/$name:latest" "oci:$work/$name-skopeo-zstd:latest"
    rm -r "$work/docker"
    mv "$work/$name-skopeo" "$work/$name-skopeo-zstd" "$images/"
}
