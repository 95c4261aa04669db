# shellcheck shell=bash
#
# The image "stack" of hack/make-bench-images: layers as a container engine makes them.
# shellcheck disable=SC2034,SC2154 # variables are those of the script

lowers=() # the trees below the next layer, highest first, as overlayfs wants them

# layer NAME COMMANDS: one more layer, with what the commands change in the root filesystem made so far
layer() {
    local name=$1 commands=$2 upper=$work/uppers/$1 merged=$work/merged
    mkdir "$upper"
    rm -rf "$work/overlay-work"
    mkdir "$work/overlay-work"
    mount -t overlay overlay "$merged" -o "lowerdir=$(IFS=:; echo "${lowers[*]}"),upperdir=$upper" \
        -o "workdir=$work/overlay-work,metacopy=off,redirect_dir=off"
    mount -t proc proc "$merged/proc"
    mount --bind /dev "$merged/dev"
    mount --bind /etc/resolv.conf "$merged/etc/resolv.conf"
    chroot "$merged" /bin/sh -euc "export PYTHONDONTWRITEBYTECODE=1
        keep_install() { apt-get install --yes \"\$@\"; }
        install() { keep_install -o APT::Keep-Downloaded-Packages=false \"\$@\"; }
        $commands" >"$work/$name.log" 2>&1 || fail "layer $name: $(tail -n 3 "$work/$name.log")"
    umount "$merged"/{proc,dev,etc/resolv.conf}
    scrub "$merged"
    umount "$merged"

    cp --archive --link "$upper" "$work/layer"
    say_removals_as_a_layer_does "$work/layer"
    pack "$work/layer" "$work/archives/$name.tar"
    rm -rf "$work/layer"
    lowers=("$upper" "${lowers[@]}")
}

# Overlayfs marks a removed file with a device 0:0, and a directory that hides what is below it with an attribute; a
# layer has a file .wh.NAME beside it, or .wh..wh..opq in it.
say_removals_as_a_layer_does() {
    local tree=$1 path lower
    while IFS= read -r -d '' path; do
        rm "$path"
        : >"${path%/*}/.wh.${path##*/}"
    done < <(find "$tree" -type c -print0)

    # It marks every directory that it makes, also where there is nothing to hide.
    while IFS= read -r path; do
        for lower in "${lowers[@]}"; do
            [[ ! -d $lower/$path ]] || : >"$tree/$path/.wh..wh..opq"
        done
    done < <(cd "$tree" && getfattr --recursive --physical --name trusted.overlay.opaque . 2>/dev/null |
        sed -n 's/^# file: //p')
}

build_stack() {
    build_debian
    lowers=("$work/debian")

    # As in a careless Dockerfile, package lists and archives stay in the layer ...
    layer 02-tools 'apt-get update
        keep_install attr ca-certificates curl less libcap2-bin openssl procps wget xz-utils'
    layer 03-perl 'install perl perl-doc'
    layer 04-python 'install python3 python3-venv python3-pip python3-dev'
    layer 05-git 'install git git-man openssh-client'
    # ... and a later one removes them: whiteouts, and opaque directories.
    layer 06-clean 'rm -r /var/cache/apt/archives /var/lib/apt/lists
        mkdir -p /var/cache/apt/archives/partial /var/lib/apt/lists/partial'
    layer 07-java 'mkdir -p /usr/share/man/man1
        apt-get update
        install openjdk-17-jre-headless'
    layer 08-node 'install nodejs npm'
    layer 09-purge 'apt-get purge --yes perl-doc python3-dev libpython3-dev libpython3.11-dev
        apt-get autoremove --yes
        rm -r /usr/share/doc /usr/share/info /var/lib/apt/lists/*
        mkdir /usr/share/doc
        echo "documentation is removed" >/usr/share/doc/README'
    # shellcheck disable=SC2016 # the loop is the chroot's
    # An application: much that does not compress, many small files, odd modes, links and attributes.
    layer 10-app 'useradd --uid 2000 --create-home vcap
        mkdir -p /app/static /app/data
        for i in $(seq 1500); do echo "asset $i" >/app/static/asset-$i.txt; done
        ln /app/static/asset-1.txt /app/static/hard-1.txt
        ln -s static/asset-3.txt /app/current
        openssl enc -aes-128-ctr -K 0 -iv 0 -in /dev/zero 2>/dev/null | head -c 20M >/app/data/blob
        cp -r /usr/share/perl/5.*.* /app/perl
        cp /bin/true /app/tool
        chown -R vcap:vcap /app
        chmod 4755 /app/static/asset-2.txt
        chmod 2775 /app/data
        setcap cap_net_bind_service=p /app/tool
        setfattr -n user.bench -v yes /app/tool
        echo stack >/etc/hostname
        rm /etc/motd /etc/cron.daily/*'
}
