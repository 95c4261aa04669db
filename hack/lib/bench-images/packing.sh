# shellcheck shell=bash
#
# Trees become archives, and archives the images of hack/make-bench-images.
# shellcheck disable=SC2034,SC2154 # variables are those of the script

# pack TREE ARCHIVE: the contents of a directory as a layer's archive
pack() {
    find "$1" -mindepth 1 -printf '%P\0' | sort -z |
        tar --create --file "$2" --directory "$1" --format pax --no-recursion --null --files-from - \
            --pax-option 'exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime' --numeric-owner \
            --mtime "@$newest" --clamp-mtime --xattrs --xattrs-include 'security.capability' --xattrs-include 'user.*'
    say "$(basename "$2" .tar): $(du -h --apparent-size "$2" | cut -f1)"
}

# publish IMAGE ARCHIVE...: an OCI layout of these layers, there as a whole or not at all
publish() {
    local image=$1 layout=$work/layouts/$1 archive
    shift
    umoci init --layout "$layout"
    umoci new --image "$layout:latest"
    for archive in "$@"; do
        umoci raw add-layer --image "$layout:latest" "$archive"
    done
    umoci config --image "$layout:latest" --config.cmd /bin/sh \
        --config.env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    umoci gc --layout "$layout" 2>/dev/null
    mv "$layout" "$images/$image"
    say "image $image: $# layers, $(du -sh "$images/$image" | cut -f1) compressed"
}

# scrub ROOT: without what differs from one build to the next, as logs with the time in them and caches
scrub() {
    rm -f "$1"/var/log/{apt/*,*.log} "$1"/var/cache/{apt/*.bin,ldconfig/aux-cache,debconf/*-old} \
        "$1"/var/lib/dpkg/*-old
    find "$1/usr" -name __pycache__ -prune -exec rm -r {} +
    [[ ! -e $1/etc/machine-id ]] || : >"$1/etc/machine-id"
}
