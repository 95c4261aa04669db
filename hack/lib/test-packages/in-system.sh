# shellcheck shell=bash
#
# What hack/test-packages does in a system, as root there.

in_system() {
    step() { echo "  - $*"; }
    quietly() { "$@" >/tmp/log 2>&1 || { tail -n 20 /tmp/log; echo "failed: $*"; return 1; }; }
    export DEBIAN_FRONTEND=noninteractive LC_ALL=C
    local package store=/var/lib/grootfs/xfs backing=/var/lib/grootfs/xfs.backing-store said
    local unit=/usr/lib/systemd/system/grootfs-store@.service
    package=$(echo /root/package/*.deb)
    unit_command() { sed -n 's/^ExecStart=//p' "/usr/lib/systemd/system/$1" | sed "s/%I/xfs/g; s/ *\$INIT_OPTIONS/ $2/"; }

    step "install"
    quietly apt-get install -y "$package"
    [[ $(stat -c %a:%U /usr/bin/drax) == 4755:root && $(readlink /usr/bin/tardis) == drax ]]
    cmp -s /etc/grootfs/config.yml <(dpkg-deb --fsys-tarfile "$package" | tar -xO ./etc/grootfs/config.yml)
    grootfs --version

    step "use"
    grootfs --store $store --driver overlay-xfs init-store --store-size-bytes 320M --without-quota
    grootfs --store $store create oci:///root/image:latest first >/dev/null
    [[ $(chroot $store/images/first/rootfs /bin/sh -c 'echo written >/file; cat /etc/motd') == *busybox* ]]
    grootfs --store $store stats first
    [[ $(grootfs --store $store list) == $store/images/first ]]
    # The helper runs as whoever calls it, and refuses what is not that user's.
    said=$(setpriv --reuid 65534 --clear-groups drax stats --volume-path $store/images/first 2>&1) && return 1
    [[ -n $said && $said != *setuid* ]]

    step "the units, as after a reboot"
    umount -R $store
    eval "$(unit_command grootfs-store@.service "--mount-images --without-quota")"
    [[ $(cat $store/images/first/rootfs/file) == written ]]
    eval "$(unit_command grootfs-clean@.service '')"
    if quietly apt-get install -y --no-install-recommends systemd; then
        said=$(systemd-analyze verify --man=no $unit /usr/lib/systemd/system/grootfs-clean@.timer 2>&1 | grep -i grootfs) || true
        [[ -z $said ]] || { echo "$said"; return 1; }
    fi

    step "upgrade: a changed configuration is kept"
    echo '# mine' >>/etc/grootfs/config.yml
    quietly apt-get install -y --reinstall "$package"
    [[ $(tail -n 1 /etc/grootfs/config.yml) == '# mine' ]]
    grootfs --store $store delete first

    step "remove, and purge: stores stay"
    umount -R $store
    quietly apt-get remove -y grootfs
    [[ ! -e /usr/bin/grootfs && ! -e /usr/bin/drax && ! -e /usr/bin/tardis && -e /etc/grootfs/config.yml && -e $backing ]]
    quietly apt-get purge -y grootfs
    grep "is kept" /tmp/log
    [[ ! -e /etc/grootfs && ! -e /var/log/grootfs && -e $backing ]]
    rm $backing
}
