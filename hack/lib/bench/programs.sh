# shellcheck shell=bash
#
# What hack/bench measures: builds of grootfs, the peers that do the same work, and the least that it takes.
# shellcheck disable=SC2034,SC2154 # program, images, disk, scratch and log are of hack/bench

under=() # a command to run the program under

# grootfs NAME ARGUMENT...: one of the builds, on its store
grootfs() {
    local name=$1
    shift
    ${under[@]+"${under[@]}"} "${program[$name]}" --store "$disk/$name" "$@"
}

init_store() {
    mkdir "$disk/$1"
    grootfs "$1" init-store >>"$log" 2>&1 || grootfs "$1" init-store --without-quota >>"$log" 2>&1 ||
        fail "$1 init-store: $(tail -n 1 "$log")"
}

create() {
    grootfs "$1" create "oci://$images/$2:latest" "$3"
}

# A peer is a function peer_NAME IMAGE DIR that unpacks the image's OCI layout in a directory that is its own. What it
# runs under "${under[@]}" has its memory measured.

peer_umoci() {
    [[ $1 != *-zstd ]] || return "$declined" # version 0.4 cannot
    ${under[@]+"${under[@]}"} umoci unpack --image "$images/$1:latest" "$2/bundle"
}

peer_tar() {
    untar_layers gzip 1 "$@"
}

peer_tar-fast() {
    untar_layers igzip 2 "$@"
}

# untar_layers GUNZIP PARALLEL IMAGE DIR
untar_layers() {
    [[ ${#under[@]} -eq 0 ]] || return "$declined" # many processes
    local gunzip=$1 parallel=$2 blobs=$images/$3/blobs/sha256 manifest
    manifest=$(jq -r '.manifests[0].digest' "$images/$3/index.json")
    # shellcheck disable=SC2016 # the last script is for the inner shell
    jq -r '.layers[] | .mediaType + " " + .digest' "$blobs/${manifest#sha256:}" |
        sed "s/^.*zstd sha256:/zstd /; s/^.* sha256:/$gunzip /" |
        xargs -P "$parallel" -L 1 bash -euc 'mkdir "$1/$3"
            "$2" -dc <"$0/$3" | tar -x -p --numeric-owner --xattrs --xattrs-include="*" -C "$1"' "$blobs" "$4"
}

# unpack NAME IMAGE: what a build or a peer does to an image it has never seen
unpack() {
    if [[ -n ${program[$1]:-} ]]; then
        create "$1" "$2" first
    else
        "peer_$1" "$2" "$disk/$1"
    fi
}

prepare() {
    if [[ -n ${program[$1]:-} ]]; then
        init_store "$1"
    else
        mkdir "$disk/$1"
    fi
    sync --file-system "$disk"
}

# The least that create and delete can do: one process, system calls only.
prepare_floor() {
    mkdir -p "$disk/floor/l"/{0..9}
    cc -O2 -static -o "$scratch/floor" -x c - <<'C'
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *layers =
    "lowerdir=l/0:l/1:l/2:l/3:l/4:l/5:l/6:l/7:l/8:l/9,upperdir=image/diff,workdir=image/workdir";

static int create(void) {
    return mkdir("image", 0755) || mkdir("image/diff", 0755) || mkdir("image/workdir", 0755) ||
           mkdir("image/rootfs", 0755) || mount("overlay", "image/rootfs", "overlay", 0, layers);
}

static int delete(void) {
    return umount("image/rootfs") || rmdir("image/rootfs") || rmdir("image/workdir/work") || rmdir("image/workdir") ||
           rmdir("image/diff") || rmdir("image");
}

int main(int count, char **words) {
    return chdir(words[1]) || (count > 2 ? delete() : create());
}
C
}
