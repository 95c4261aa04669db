# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_grootfs_global_optspecs
    string join \n config= store= driver= tardis-bin= drax-bin= btrfs-progs-path= newuidmap-bin= newgidmap-bin= metron-endpoint= metrics-file= log-level= log-file= log-timestamp-format= timeout= v/version h/help
end

function __fish_grootfs_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_grootfs_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_grootfs_using_subcommand
    set -l cmd (__fish_grootfs_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c grootfs -n "__fish_grootfs_needs_command" -l config -d 'Configuration file (YAML); environment variables and flags win over it [default: /etc/grootfs/config.yml]' -r -F
complete -c grootfs -n "__fish_grootfs_needs_command" -l store -d 'Directory of the store: layers and images [default: /var/lib/grootfs]' -r
complete -c grootfs -n "__fish_grootfs_needs_command" -l driver -d 'Filesystem driver, overlay-xfs or btrfs' -r
complete -c grootfs -n "__fish_grootfs_needs_command" -l tardis-bin -d 'Setuid helper for XFS quotas, for callers who are not root [default: tardis]' -r
complete -c grootfs -n "__fish_grootfs_needs_command" -l drax-bin -d 'Setuid helper for quotas, for callers who are not root [default: drax]' -r
complete -c grootfs -n "__fish_grootfs_needs_command" -l btrfs-progs-path -d 'Directory that holds mkfs.btrfs' -r
complete -c grootfs -n "__fish_grootfs_needs_command" -l newuidmap-bin -d 'Program that maps the user ids of a namespace, for callers who are not root [default: newuidmap]' -r
complete -c grootfs -n "__fish_grootfs_needs_command" -l newgidmap-bin -d 'Program that maps the group ids of a namespace, for callers who are not root [default: newgidmap]' -r
complete -c grootfs -n "__fish_grootfs_needs_command" -l metron-endpoint -d 'Metron agent that metrics are sent to (UDP)' -r
complete -c grootfs -n "__fish_grootfs_needs_command" -l metrics-file -d 'File that metrics are kept in, for the textfile collector of Prometheus\' node_exporter' -r
complete -c grootfs -n "__fish_grootfs_needs_command" -l log-level -d 'Log level: debug, info, error or fatal [default: fatal]' -r
complete -c grootfs -n "__fish_grootfs_needs_command" -l log-file -d 'File that logs are appended to, at level info at least' -r
complete -c grootfs -n "__fish_grootfs_needs_command" -l log-timestamp-format -d 'Timestamp format of log lines: rfc3339 (with a level word) or unix-epoch (with a log_level number) [default: rfc3339]' -r
complete -c grootfs -n "__fish_grootfs_needs_command" -l timeout -d 'Give up after this time, as 90, 90s, 5m or 2h [default: 0]' -r
complete -c grootfs -n "__fish_grootfs_needs_command" -s v -l version -d 'Print the version'
complete -c grootfs -n "__fish_grootfs_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c grootfs -n "__fish_grootfs_needs_command" -f -a "init-store" -d 'Initialize a Store Directory'
complete -c grootfs -n "__fish_grootfs_needs_command" -f -a "delete-store" -d 'Deletes the given store from the system'
complete -c grootfs -n "__fish_grootfs_needs_command" -f -a "create" -d 'Creates a root filesystem for the provided image'
complete -c grootfs -n "__fish_grootfs_needs_command" -f -a "delete" -d 'Deletes a container image'
complete -c grootfs -n "__fish_grootfs_needs_command" -f -a "stats" -d 'Return filesystem stats'
complete -c grootfs -n "__fish_grootfs_needs_command" -f -a "list" -d 'Lists images in store'
complete -c grootfs -n "__fish_grootfs_needs_command" -f -a "inspect" -d 'Shows an image of the store, or one to create from: source, digest, layers, configuration, limits'
complete -c grootfs -n "__fish_grootfs_needs_command" -f -a "pull" -d 'Pulls the layers of images into the store ahead of create'
complete -c grootfs -n "__fish_grootfs_needs_command" -f -a "limit" -d 'Changes the disk limit of an image'
complete -c grootfs -n "__fish_grootfs_needs_command" -f -a "diff" -d 'Shows what a container added, changed and deleted of its image'
complete -c grootfs -n "__fish_grootfs_needs_command" -f -a "commit" -d 'Writes what a container changed, on top of its image\'s layers, as an image'
complete -c grootfs -n "__fish_grootfs_needs_command" -f -a "check" -d 'Checks the store for damage; exit codes: 0 no findings, 4 findings, 1 not checked'
complete -c grootfs -n "__fish_grootfs_needs_command" -f -a "doctor" -d 'Checks whether this machine supports what a store needs; exit codes: 0 it does, 4 something fails'
complete -c grootfs -n "__fish_grootfs_needs_command" -f -a "usage" -d 'Shows who uses the store: images, layers, what can be freed'
complete -c grootfs -n "__fish_grootfs_needs_command" -f -a "mount" -d 'Mounts the root filesystem of an image again, as after a reboot'
complete -c grootfs -n "__fish_grootfs_needs_command" -f -a "umount" -d 'Unmounts the root filesystem of an image that is not in use'
complete -c grootfs -n "__fish_grootfs_needs_command" -f -a "clean" -d 'Cleans up unused layers'
complete -c grootfs -n "__fish_grootfs_needs_command" -f -a "config" -d 'Shows the settings, or checks the configuration'
complete -c grootfs -n "__fish_grootfs_needs_command" -f -a "capacity" -d 'Return filesystem capacity'
complete -c grootfs -n "__fish_grootfs_needs_command" -f -a "version" -d 'Print the version'
complete -c grootfs -n "__fish_grootfs_needs_command" -f -a "generate-volume-size-metadata" -d 'Writes the size records that volumes made by old versions lack'
complete -c grootfs -n "__fish_grootfs_needs_command" -f -a "flush-volumes" -d 'Writes new layers to disk; started by create'
complete -c grootfs -n "__fish_grootfs_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c grootfs -n "__fish_grootfs_using_subcommand init-store" -l uid-mapping -d 'User ids of the store\'s images: <namespace id>:<host id>:<size>; repeatable' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand init-store" -l gid-mapping -d 'Group ids of the store\'s images: <namespace id>:<host id>:<size>; repeatable' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand init-store" -l rootless -d 'Take the mappings of this user and group from /etc/subuid and /etc/subgid' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand init-store" -l store-size-bytes -d 'Size of the filesystem that init-store makes in <store>.backing-store, or makes larger [default: 0]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand init-store" -l shared-layers -d 'Use the layers of the store at this path, which has no id mappings, with the ids of this one (overlay-xfs only)' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand init-store" -l config -d 'Configuration file (YAML); environment variables and flags win over it [default: /etc/grootfs/config.yml]' -r -F
complete -c grootfs -n "__fish_grootfs_using_subcommand init-store" -l store -d 'Directory of the store: layers and images [default: /var/lib/grootfs]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand init-store" -l driver -d 'Filesystem driver, overlay-xfs or btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand init-store" -l tardis-bin -d 'Setuid helper for XFS quotas, for callers who are not root [default: tardis]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand init-store" -l drax-bin -d 'Setuid helper for quotas, for callers who are not root [default: drax]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand init-store" -l btrfs-progs-path -d 'Directory that holds mkfs.btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand init-store" -l newuidmap-bin -d 'Program that maps the user ids of a namespace, for callers who are not root [default: newuidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand init-store" -l newgidmap-bin -d 'Program that maps the group ids of a namespace, for callers who are not root [default: newgidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand init-store" -l metron-endpoint -d 'Metron agent that metrics are sent to (UDP)' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand init-store" -l metrics-file -d 'File that metrics are kept in, for the textfile collector of Prometheus\' node_exporter' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand init-store" -l log-level -d 'Log level: debug, info, error or fatal [default: fatal]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand init-store" -l log-file -d 'File that logs are appended to, at level info at least' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand init-store" -l log-timestamp-format -d 'Timestamp format of log lines: rfc3339 (with a level word) or unix-epoch (with a log_level number) [default: rfc3339]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand init-store" -l timeout -d 'Give up after this time, as 90, 90s, 5m or 2h [default: 0]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand init-store" -l with-direct-io -d 'Use direct I/O between the loop device of that filesystem and its backing file: no double caching'
complete -c grootfs -n "__fish_grootfs_using_subcommand init-store" -l without-quota -d 'Accept a filesystem without project quotas; creating with a limit then fails'
complete -c grootfs -n "__fish_grootfs_using_subcommand init-store" -l mount-images -d 'Mount the images whose root filesystems a reboot has unmounted (overlay-xfs only)'
complete -c grootfs -n "__fish_grootfs_using_subcommand init-store" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c grootfs -n "__fish_grootfs_using_subcommand delete-store" -l config -d 'Configuration file (YAML); environment variables and flags win over it [default: /etc/grootfs/config.yml]' -r -F
complete -c grootfs -n "__fish_grootfs_using_subcommand delete-store" -l store -d 'Directory of the store: layers and images [default: /var/lib/grootfs]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand delete-store" -l driver -d 'Filesystem driver, overlay-xfs or btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand delete-store" -l tardis-bin -d 'Setuid helper for XFS quotas, for callers who are not root [default: tardis]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand delete-store" -l drax-bin -d 'Setuid helper for quotas, for callers who are not root [default: drax]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand delete-store" -l btrfs-progs-path -d 'Directory that holds mkfs.btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand delete-store" -l newuidmap-bin -d 'Program that maps the user ids of a namespace, for callers who are not root [default: newuidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand delete-store" -l newgidmap-bin -d 'Program that maps the group ids of a namespace, for callers who are not root [default: newgidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand delete-store" -l metron-endpoint -d 'Metron agent that metrics are sent to (UDP)' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand delete-store" -l metrics-file -d 'File that metrics are kept in, for the textfile collector of Prometheus\' node_exporter' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand delete-store" -l log-level -d 'Log level: debug, info, error or fatal [default: fatal]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand delete-store" -l log-file -d 'File that logs are appended to, at level info at least' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand delete-store" -l log-timestamp-format -d 'Timestamp format of log lines: rfc3339 (with a level word) or unix-epoch (with a log_level number) [default: rfc3339]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand delete-store" -l timeout -d 'Give up after this time, as 90, 90s, 5m or 2h [default: 0]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand delete-store" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c grootfs -n "__fish_grootfs_using_subcommand create" -l disk-limit-size-bytes -d 'Limit of the root filesystem in bytes, image included [default: 0]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand create" -l disk-limit-inodes -d 'Limit of the root filesystem in inodes (files, directories, links), image included (overlay-xfs only)' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand create" -l exclude-image-from-quota -d 'Count only what the container writes against the limits, not the image' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand create" -l clean-log-file -d 'Log file of that cleaning' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand create" -l image-volumes -d 'Volumes that the image declares: bind or ignore [default: bind]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand create" -l skip-layer-validation -d 'Do not verify digests, diff ids and sizes of layers, nor the digests of manifests and configurations (oci:// images only)' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand create" -l insecure-registry -d 'Registry whose certificate is not verified and which may speak plain HTTP; repeatable' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand create" -l registry-mirror -d 'Mirror of a registry, asked before it; repeatable' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand create" -l concurrent-downloads -d 'Number of layers to download at the same time [default: 0]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand create" -l offline -d 'Use no network, only what the store has' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand create" -l without-layer-digests -d 'Record no digests of the files of new layers' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand create" -l stall-timeout-seconds -d 'Seconds after which a server that sends nothing is dropped [default: 30]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand create" -l min-bytes-per-second -d 'Bytes a second that a server must send, measured over the stall timeout [default: 1024]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand create" -l manifest-timeout-seconds -d 'Seconds in which a manifest, configuration or token must arrive, redirects and logins included [default: 60]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand create" -l username -d 'User name for the registry' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand create" -l password -d 'Password for the registry; other users of this machine may see it for a moment, so use --password-file instead' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand create" -l password-file -d 'File that holds the password for the registry; a trailing newline is ignored' -r -F
complete -c grootfs -n "__fish_grootfs_using_subcommand create" -l limit -d 'Limit on what an image may have, as in the section create.limits of the configuration; repeatable' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand create" -l threshold-bytes -d 'Clean only if the layers in the store take at least this many bytes [default: 0]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand create" -l high-watermark-percent -d 'Clean only if at least this part of the filesystem is in use, and then down to the low watermark [default: 0]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand create" -l low-watermark-percent -d 'Part of the filesystem in use at which a clean above the high watermark ends [default: 0]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand create" -l bundle -d 'Write an OCI runtime bundle into this directory, which must be new or empty: `runc run -b DIR NAME` starts it' -r -F
complete -c grootfs -n "__fish_grootfs_using_subcommand create" -l config -d 'Configuration file (YAML); environment variables and flags win over it [default: /etc/grootfs/config.yml]' -r -F
complete -c grootfs -n "__fish_grootfs_using_subcommand create" -l store -d 'Directory of the store: layers and images [default: /var/lib/grootfs]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand create" -l driver -d 'Filesystem driver, overlay-xfs or btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand create" -l tardis-bin -d 'Setuid helper for XFS quotas, for callers who are not root [default: tardis]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand create" -l drax-bin -d 'Setuid helper for quotas, for callers who are not root [default: drax]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand create" -l btrfs-progs-path -d 'Directory that holds mkfs.btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand create" -l newuidmap-bin -d 'Program that maps the user ids of a namespace, for callers who are not root [default: newuidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand create" -l newgidmap-bin -d 'Program that maps the group ids of a namespace, for callers who are not root [default: newgidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand create" -l metron-endpoint -d 'Metron agent that metrics are sent to (UDP)' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand create" -l metrics-file -d 'File that metrics are kept in, for the textfile collector of Prometheus\' node_exporter' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand create" -l log-level -d 'Log level: debug, info, error or fatal [default: fatal]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand create" -l log-file -d 'File that logs are appended to, at level info at least' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand create" -l log-timestamp-format -d 'Timestamp format of log lines: rfc3339 (with a level word) or unix-epoch (with a log_level number) [default: rfc3339]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand create" -l timeout -d 'Give up after this time, as 90, 90s, 5m or 2h [default: 0]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand create" -l with-clean -d 'Remove unused layers first'
complete -c grootfs -n "__fish_grootfs_using_subcommand create" -l without-mount -d 'Do not mount the root filesystem: print the mount for the caller to make'
complete -c grootfs -n "__fish_grootfs_using_subcommand create" -l no-progress -d 'Show no progress, not even on a terminal'
complete -c grootfs -n "__fish_grootfs_using_subcommand create" -l without-clean -d 'Do not remove unused layers, whatever the configuration says [default]'
complete -c grootfs -n "__fish_grootfs_using_subcommand create" -l with-mount -d 'Mount the root filesystem, whatever the configuration says [default]'
complete -c grootfs -n "__fish_grootfs_using_subcommand create" -l terminal -d 'Give the bundle\'s process a terminal of its own (process.terminal), as for an interactive shell; the runtime must be started on one'
complete -c grootfs -n "__fish_grootfs_using_subcommand create" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c grootfs -n "__fish_grootfs_using_subcommand delete" -l config -d 'Configuration file (YAML); environment variables and flags win over it [default: /etc/grootfs/config.yml]' -r -F
complete -c grootfs -n "__fish_grootfs_using_subcommand delete" -l store -d 'Directory of the store: layers and images [default: /var/lib/grootfs]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand delete" -l driver -d 'Filesystem driver, overlay-xfs or btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand delete" -l tardis-bin -d 'Setuid helper for XFS quotas, for callers who are not root [default: tardis]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand delete" -l drax-bin -d 'Setuid helper for quotas, for callers who are not root [default: drax]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand delete" -l btrfs-progs-path -d 'Directory that holds mkfs.btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand delete" -l newuidmap-bin -d 'Program that maps the user ids of a namespace, for callers who are not root [default: newuidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand delete" -l newgidmap-bin -d 'Program that maps the group ids of a namespace, for callers who are not root [default: newgidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand delete" -l metron-endpoint -d 'Metron agent that metrics are sent to (UDP)' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand delete" -l metrics-file -d 'File that metrics are kept in, for the textfile collector of Prometheus\' node_exporter' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand delete" -l log-level -d 'Log level: debug, info, error or fatal [default: fatal]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand delete" -l log-file -d 'File that logs are appended to, at level info at least' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand delete" -l log-timestamp-format -d 'Timestamp format of log lines: rfc3339 (with a level word) or unix-epoch (with a log_level number) [default: rfc3339]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand delete" -l timeout -d 'Give up after this time, as 90, 90s, 5m or 2h [default: 0]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand delete" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c grootfs -n "__fish_grootfs_using_subcommand stats" -l config -d 'Configuration file (YAML); environment variables and flags win over it [default: /etc/grootfs/config.yml]' -r -F
complete -c grootfs -n "__fish_grootfs_using_subcommand stats" -l store -d 'Directory of the store: layers and images [default: /var/lib/grootfs]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand stats" -l driver -d 'Filesystem driver, overlay-xfs or btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand stats" -l tardis-bin -d 'Setuid helper for XFS quotas, for callers who are not root [default: tardis]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand stats" -l drax-bin -d 'Setuid helper for quotas, for callers who are not root [default: drax]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand stats" -l btrfs-progs-path -d 'Directory that holds mkfs.btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand stats" -l newuidmap-bin -d 'Program that maps the user ids of a namespace, for callers who are not root [default: newuidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand stats" -l newgidmap-bin -d 'Program that maps the group ids of a namespace, for callers who are not root [default: newgidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand stats" -l metron-endpoint -d 'Metron agent that metrics are sent to (UDP)' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand stats" -l metrics-file -d 'File that metrics are kept in, for the textfile collector of Prometheus\' node_exporter' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand stats" -l log-level -d 'Log level: debug, info, error or fatal [default: fatal]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand stats" -l log-file -d 'File that logs are appended to, at level info at least' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand stats" -l log-timestamp-format -d 'Timestamp format of log lines: rfc3339 (with a level word) or unix-epoch (with a log_level number) [default: rfc3339]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand stats" -l timeout -d 'Give up after this time, as 90, 90s, 5m or 2h [default: 0]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand stats" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c grootfs -n "__fish_grootfs_using_subcommand list" -l config -d 'Configuration file (YAML); environment variables and flags win over it [default: /etc/grootfs/config.yml]' -r -F
complete -c grootfs -n "__fish_grootfs_using_subcommand list" -l store -d 'Directory of the store: layers and images [default: /var/lib/grootfs]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand list" -l driver -d 'Filesystem driver, overlay-xfs or btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand list" -l tardis-bin -d 'Setuid helper for XFS quotas, for callers who are not root [default: tardis]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand list" -l drax-bin -d 'Setuid helper for quotas, for callers who are not root [default: drax]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand list" -l btrfs-progs-path -d 'Directory that holds mkfs.btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand list" -l newuidmap-bin -d 'Program that maps the user ids of a namespace, for callers who are not root [default: newuidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand list" -l newgidmap-bin -d 'Program that maps the group ids of a namespace, for callers who are not root [default: newgidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand list" -l metron-endpoint -d 'Metron agent that metrics are sent to (UDP)' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand list" -l metrics-file -d 'File that metrics are kept in, for the textfile collector of Prometheus\' node_exporter' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand list" -l log-level -d 'Log level: debug, info, error or fatal [default: fatal]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand list" -l log-file -d 'File that logs are appended to, at level info at least' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand list" -l log-timestamp-format -d 'Timestamp format of log lines: rfc3339 (with a level word) or unix-epoch (with a log_level number) [default: rfc3339]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand list" -l timeout -d 'Give up after this time, as 90, 90s, 5m or 2h [default: 0]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand list" -s l -l long -d 'Print a table: size, limit, age and mount of each image'
complete -c grootfs -n "__fish_grootfs_using_subcommand list" -l json -d 'Print one JSON document; docs/json.md describes it'
complete -c grootfs -n "__fish_grootfs_using_subcommand list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c grootfs -n "__fish_grootfs_using_subcommand inspect" -l skip-layer-validation -d 'Do not verify digests, diff ids and sizes of layers, nor the digests of manifests and configurations (oci:// images only)' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand inspect" -l insecure-registry -d 'Registry whose certificate is not verified and which may speak plain HTTP; repeatable' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand inspect" -l registry-mirror -d 'Mirror of a registry, asked before it; repeatable' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand inspect" -l concurrent-downloads -d 'Number of layers to download at the same time [default: 0]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand inspect" -l offline -d 'Use no network, only what the store has' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand inspect" -l without-layer-digests -d 'Record no digests of the files of new layers' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand inspect" -l stall-timeout-seconds -d 'Seconds after which a server that sends nothing is dropped [default: 30]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand inspect" -l min-bytes-per-second -d 'Bytes a second that a server must send, measured over the stall timeout [default: 1024]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand inspect" -l manifest-timeout-seconds -d 'Seconds in which a manifest, configuration or token must arrive, redirects and logins included [default: 60]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand inspect" -l username -d 'User name for the registry' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand inspect" -l password -d 'Password for the registry; other users of this machine may see it for a moment, so use --password-file instead' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand inspect" -l password-file -d 'File that holds the password for the registry; a trailing newline is ignored' -r -F
complete -c grootfs -n "__fish_grootfs_using_subcommand inspect" -l limit -d 'Limit on what an image may have, as in the section create.limits of the configuration; repeatable' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand inspect" -l config -d 'Configuration file (YAML); environment variables and flags win over it [default: /etc/grootfs/config.yml]' -r -F
complete -c grootfs -n "__fish_grootfs_using_subcommand inspect" -l store -d 'Directory of the store: layers and images [default: /var/lib/grootfs]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand inspect" -l driver -d 'Filesystem driver, overlay-xfs or btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand inspect" -l tardis-bin -d 'Setuid helper for XFS quotas, for callers who are not root [default: tardis]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand inspect" -l drax-bin -d 'Setuid helper for quotas, for callers who are not root [default: drax]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand inspect" -l btrfs-progs-path -d 'Directory that holds mkfs.btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand inspect" -l newuidmap-bin -d 'Program that maps the user ids of a namespace, for callers who are not root [default: newuidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand inspect" -l newgidmap-bin -d 'Program that maps the group ids of a namespace, for callers who are not root [default: newgidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand inspect" -l metron-endpoint -d 'Metron agent that metrics are sent to (UDP)' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand inspect" -l metrics-file -d 'File that metrics are kept in, for the textfile collector of Prometheus\' node_exporter' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand inspect" -l log-level -d 'Log level: debug, info, error or fatal [default: fatal]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand inspect" -l log-file -d 'File that logs are appended to, at level info at least' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand inspect" -l log-timestamp-format -d 'Timestamp format of log lines: rfc3339 (with a level word) or unix-epoch (with a log_level number) [default: rfc3339]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand inspect" -l timeout -d 'Give up after this time, as 90, 90s, 5m or 2h [default: 0]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand inspect" -l json -d 'Print one JSON document; docs/json.md describes it'
complete -c grootfs -n "__fish_grootfs_using_subcommand inspect" -l no-progress -d 'Show no progress, not even on a terminal'
complete -c grootfs -n "__fish_grootfs_using_subcommand inspect" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c grootfs -n "__fish_grootfs_using_subcommand pull" -l skip-layer-validation -d 'Do not verify digests, diff ids and sizes of layers, nor the digests of manifests and configurations (oci:// images only)' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand pull" -l insecure-registry -d 'Registry whose certificate is not verified and which may speak plain HTTP; repeatable' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand pull" -l registry-mirror -d 'Mirror of a registry, asked before it; repeatable' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand pull" -l concurrent-downloads -d 'Number of layers to download at the same time [default: 0]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand pull" -l offline -d 'Use no network, only what the store has' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand pull" -l without-layer-digests -d 'Record no digests of the files of new layers' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand pull" -l stall-timeout-seconds -d 'Seconds after which a server that sends nothing is dropped [default: 30]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand pull" -l min-bytes-per-second -d 'Bytes a second that a server must send, measured over the stall timeout [default: 1024]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand pull" -l manifest-timeout-seconds -d 'Seconds in which a manifest, configuration or token must arrive, redirects and logins included [default: 60]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand pull" -l username -d 'User name for the registry' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand pull" -l password -d 'Password for the registry; other users of this machine may see it for a moment, so use --password-file instead' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand pull" -l password-file -d 'File that holds the password for the registry; a trailing newline is ignored' -r -F
complete -c grootfs -n "__fish_grootfs_using_subcommand pull" -l limit -d 'Limit on what an image may have, as in the section create.limits of the configuration; repeatable' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand pull" -l config -d 'Configuration file (YAML); environment variables and flags win over it [default: /etc/grootfs/config.yml]' -r -F
complete -c grootfs -n "__fish_grootfs_using_subcommand pull" -l store -d 'Directory of the store: layers and images [default: /var/lib/grootfs]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand pull" -l driver -d 'Filesystem driver, overlay-xfs or btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand pull" -l tardis-bin -d 'Setuid helper for XFS quotas, for callers who are not root [default: tardis]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand pull" -l drax-bin -d 'Setuid helper for quotas, for callers who are not root [default: drax]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand pull" -l btrfs-progs-path -d 'Directory that holds mkfs.btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand pull" -l newuidmap-bin -d 'Program that maps the user ids of a namespace, for callers who are not root [default: newuidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand pull" -l newgidmap-bin -d 'Program that maps the group ids of a namespace, for callers who are not root [default: newgidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand pull" -l metron-endpoint -d 'Metron agent that metrics are sent to (UDP)' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand pull" -l metrics-file -d 'File that metrics are kept in, for the textfile collector of Prometheus\' node_exporter' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand pull" -l log-level -d 'Log level: debug, info, error or fatal [default: fatal]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand pull" -l log-file -d 'File that logs are appended to, at level info at least' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand pull" -l log-timestamp-format -d 'Timestamp format of log lines: rfc3339 (with a level word) or unix-epoch (with a log_level number) [default: rfc3339]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand pull" -l timeout -d 'Give up after this time, as 90, 90s, 5m or 2h [default: 0]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand pull" -l json -d 'Print one JSON document; docs/json.md describes it'
complete -c grootfs -n "__fish_grootfs_using_subcommand pull" -l no-progress -d 'Show no progress, not even on a terminal'
complete -c grootfs -n "__fish_grootfs_using_subcommand pull" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c grootfs -n "__fish_grootfs_using_subcommand limit" -l inodes -d 'Inodes (overlay-xfs only) [default: one for each 4 KiB of the size, 10000 at least; 0: no limit]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand limit" -l config -d 'Configuration file (YAML); environment variables and flags win over it [default: /etc/grootfs/config.yml]' -r -F
complete -c grootfs -n "__fish_grootfs_using_subcommand limit" -l store -d 'Directory of the store: layers and images [default: /var/lib/grootfs]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand limit" -l driver -d 'Filesystem driver, overlay-xfs or btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand limit" -l tardis-bin -d 'Setuid helper for XFS quotas, for callers who are not root [default: tardis]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand limit" -l drax-bin -d 'Setuid helper for quotas, for callers who are not root [default: drax]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand limit" -l btrfs-progs-path -d 'Directory that holds mkfs.btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand limit" -l newuidmap-bin -d 'Program that maps the user ids of a namespace, for callers who are not root [default: newuidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand limit" -l newgidmap-bin -d 'Program that maps the group ids of a namespace, for callers who are not root [default: newgidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand limit" -l metron-endpoint -d 'Metron agent that metrics are sent to (UDP)' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand limit" -l metrics-file -d 'File that metrics are kept in, for the textfile collector of Prometheus\' node_exporter' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand limit" -l log-level -d 'Log level: debug, info, error or fatal [default: fatal]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand limit" -l log-file -d 'File that logs are appended to, at level info at least' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand limit" -l log-timestamp-format -d 'Timestamp format of log lines: rfc3339 (with a level word) or unix-epoch (with a log_level number) [default: rfc3339]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand limit" -l timeout -d 'Give up after this time, as 90, 90s, 5m or 2h [default: 0]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand limit" -l exclude-image -d 'Count only what the container writes [default: as it was created]'
complete -c grootfs -n "__fish_grootfs_using_subcommand limit" -l include-image -d 'Count the image, too [default: as it was created]'
complete -c grootfs -n "__fish_grootfs_using_subcommand limit" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c grootfs -n "__fish_grootfs_using_subcommand diff" -l config -d 'Configuration file (YAML); environment variables and flags win over it [default: /etc/grootfs/config.yml]' -r -F
complete -c grootfs -n "__fish_grootfs_using_subcommand diff" -l store -d 'Directory of the store: layers and images [default: /var/lib/grootfs]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand diff" -l driver -d 'Filesystem driver, overlay-xfs or btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand diff" -l tardis-bin -d 'Setuid helper for XFS quotas, for callers who are not root [default: tardis]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand diff" -l drax-bin -d 'Setuid helper for quotas, for callers who are not root [default: drax]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand diff" -l btrfs-progs-path -d 'Directory that holds mkfs.btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand diff" -l newuidmap-bin -d 'Program that maps the user ids of a namespace, for callers who are not root [default: newuidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand diff" -l newgidmap-bin -d 'Program that maps the group ids of a namespace, for callers who are not root [default: newgidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand diff" -l metron-endpoint -d 'Metron agent that metrics are sent to (UDP)' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand diff" -l metrics-file -d 'File that metrics are kept in, for the textfile collector of Prometheus\' node_exporter' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand diff" -l log-level -d 'Log level: debug, info, error or fatal [default: fatal]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand diff" -l log-file -d 'File that logs are appended to, at level info at least' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand diff" -l log-timestamp-format -d 'Timestamp format of log lines: rfc3339 (with a level word) or unix-epoch (with a log_level number) [default: rfc3339]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand diff" -l timeout -d 'Give up after this time, as 90, 90s, 5m or 2h [default: 0]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand diff" -l json -d 'Print one JSON document; docs/json.md describes it'
complete -c grootfs -n "__fish_grootfs_using_subcommand diff" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c grootfs -n "__fish_grootfs_using_subcommand commit" -l skip-layer-validation -d 'Do not verify digests, diff ids and sizes of layers, nor the digests of manifests and configurations (oci:// images only)' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand commit" -l insecure-registry -d 'Registry whose certificate is not verified and which may speak plain HTTP; repeatable' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand commit" -l registry-mirror -d 'Mirror of a registry, asked before it; repeatable' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand commit" -l concurrent-downloads -d 'Number of layers to download at the same time [default: 0]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand commit" -l offline -d 'Use no network, only what the store has' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand commit" -l without-layer-digests -d 'Record no digests of the files of new layers' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand commit" -l stall-timeout-seconds -d 'Seconds after which a server that sends nothing is dropped [default: 30]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand commit" -l min-bytes-per-second -d 'Bytes a second that a server must send, measured over the stall timeout [default: 1024]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand commit" -l manifest-timeout-seconds -d 'Seconds in which a manifest, configuration or token must arrive, redirects and logins included [default: 60]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand commit" -l username -d 'User name for the registry' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand commit" -l password -d 'Password for the registry; other users of this machine may see it for a moment, so use --password-file instead' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand commit" -l password-file -d 'File that holds the password for the registry; a trailing newline is ignored' -r -F
complete -c grootfs -n "__fish_grootfs_using_subcommand commit" -l limit -d 'Limit on what an image may have, as in the section create.limits of the configuration; repeatable' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand commit" -l config -d 'Configuration file (YAML); environment variables and flags win over it [default: /etc/grootfs/config.yml]' -r -F
complete -c grootfs -n "__fish_grootfs_using_subcommand commit" -l store -d 'Directory of the store: layers and images [default: /var/lib/grootfs]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand commit" -l driver -d 'Filesystem driver, overlay-xfs or btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand commit" -l tardis-bin -d 'Setuid helper for XFS quotas, for callers who are not root [default: tardis]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand commit" -l drax-bin -d 'Setuid helper for quotas, for callers who are not root [default: drax]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand commit" -l btrfs-progs-path -d 'Directory that holds mkfs.btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand commit" -l newuidmap-bin -d 'Program that maps the user ids of a namespace, for callers who are not root [default: newuidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand commit" -l newgidmap-bin -d 'Program that maps the group ids of a namespace, for callers who are not root [default: newgidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand commit" -l metron-endpoint -d 'Metron agent that metrics are sent to (UDP)' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand commit" -l metrics-file -d 'File that metrics are kept in, for the textfile collector of Prometheus\' node_exporter' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand commit" -l log-level -d 'Log level: debug, info, error or fatal [default: fatal]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand commit" -l log-file -d 'File that logs are appended to, at level info at least' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand commit" -l log-timestamp-format -d 'Timestamp format of log lines: rfc3339 (with a level word) or unix-epoch (with a log_level number) [default: rfc3339]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand commit" -l timeout -d 'Give up after this time, as 90, 90s, 5m or 2h [default: 0]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand commit" -l json -d 'Print one JSON document; docs/json.md describes it'
complete -c grootfs -n "__fish_grootfs_using_subcommand commit" -l no-progress -d 'Show no progress, not even on a terminal'
complete -c grootfs -n "__fish_grootfs_using_subcommand commit" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c grootfs -n "__fish_grootfs_using_subcommand check" -l config -d 'Configuration file (YAML); environment variables and flags win over it [default: /etc/grootfs/config.yml]' -r -F
complete -c grootfs -n "__fish_grootfs_using_subcommand check" -l store -d 'Directory of the store: layers and images [default: /var/lib/grootfs]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand check" -l driver -d 'Filesystem driver, overlay-xfs or btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand check" -l tardis-bin -d 'Setuid helper for XFS quotas, for callers who are not root [default: tardis]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand check" -l drax-bin -d 'Setuid helper for quotas, for callers who are not root [default: drax]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand check" -l btrfs-progs-path -d 'Directory that holds mkfs.btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand check" -l newuidmap-bin -d 'Program that maps the user ids of a namespace, for callers who are not root [default: newuidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand check" -l newgidmap-bin -d 'Program that maps the group ids of a namespace, for callers who are not root [default: newgidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand check" -l metron-endpoint -d 'Metron agent that metrics are sent to (UDP)' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand check" -l metrics-file -d 'File that metrics are kept in, for the textfile collector of Prometheus\' node_exporter' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand check" -l log-level -d 'Log level: debug, info, error or fatal [default: fatal]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand check" -l log-file -d 'File that logs are appended to, at level info at least' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand check" -l log-timestamp-format -d 'Timestamp format of log lines: rfc3339 (with a level word) or unix-epoch (with a log_level number) [default: rfc3339]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand check" -l timeout -d 'Give up after this time, as 90, 90s, 5m or 2h [default: 0]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand check" -l repair -d 'Repair what can be repaired without losing what containers wrote'
complete -c grootfs -n "__fish_grootfs_using_subcommand check" -l deep -d 'Read every file of every layer, and compare it with what was unpacked'
complete -c grootfs -n "__fish_grootfs_using_subcommand check" -l json -d 'Print one JSON document; docs/json.md describes it'
complete -c grootfs -n "__fish_grootfs_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c grootfs -n "__fish_grootfs_using_subcommand doctor" -l config -d 'Configuration file (YAML); environment variables and flags win over it [default: /etc/grootfs/config.yml]' -r -F
complete -c grootfs -n "__fish_grootfs_using_subcommand doctor" -l store -d 'Directory of the store: layers and images [default: /var/lib/grootfs]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand doctor" -l driver -d 'Filesystem driver, overlay-xfs or btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand doctor" -l tardis-bin -d 'Setuid helper for XFS quotas, for callers who are not root [default: tardis]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand doctor" -l drax-bin -d 'Setuid helper for quotas, for callers who are not root [default: drax]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand doctor" -l btrfs-progs-path -d 'Directory that holds mkfs.btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand doctor" -l newuidmap-bin -d 'Program that maps the user ids of a namespace, for callers who are not root [default: newuidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand doctor" -l newgidmap-bin -d 'Program that maps the group ids of a namespace, for callers who are not root [default: newgidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand doctor" -l metron-endpoint -d 'Metron agent that metrics are sent to (UDP)' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand doctor" -l metrics-file -d 'File that metrics are kept in, for the textfile collector of Prometheus\' node_exporter' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand doctor" -l log-level -d 'Log level: debug, info, error or fatal [default: fatal]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand doctor" -l log-file -d 'File that logs are appended to, at level info at least' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand doctor" -l log-timestamp-format -d 'Timestamp format of log lines: rfc3339 (with a level word) or unix-epoch (with a log_level number) [default: rfc3339]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand doctor" -l timeout -d 'Give up after this time, as 90, 90s, 5m or 2h [default: 0]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand doctor" -l json -d 'Print one JSON document; docs/json.md describes it'
complete -c grootfs -n "__fish_grootfs_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c grootfs -n "__fish_grootfs_using_subcommand usage" -l config -d 'Configuration file (YAML); environment variables and flags win over it [default: /etc/grootfs/config.yml]' -r -F
complete -c grootfs -n "__fish_grootfs_using_subcommand usage" -l store -d 'Directory of the store: layers and images [default: /var/lib/grootfs]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand usage" -l driver -d 'Filesystem driver, overlay-xfs or btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand usage" -l tardis-bin -d 'Setuid helper for XFS quotas, for callers who are not root [default: tardis]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand usage" -l drax-bin -d 'Setuid helper for quotas, for callers who are not root [default: drax]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand usage" -l btrfs-progs-path -d 'Directory that holds mkfs.btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand usage" -l newuidmap-bin -d 'Program that maps the user ids of a namespace, for callers who are not root [default: newuidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand usage" -l newgidmap-bin -d 'Program that maps the group ids of a namespace, for callers who are not root [default: newgidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand usage" -l metron-endpoint -d 'Metron agent that metrics are sent to (UDP)' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand usage" -l metrics-file -d 'File that metrics are kept in, for the textfile collector of Prometheus\' node_exporter' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand usage" -l log-level -d 'Log level: debug, info, error or fatal [default: fatal]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand usage" -l log-file -d 'File that logs are appended to, at level info at least' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand usage" -l log-timestamp-format -d 'Timestamp format of log lines: rfc3339 (with a level word) or unix-epoch (with a log_level number) [default: rfc3339]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand usage" -l timeout -d 'Give up after this time, as 90, 90s, 5m or 2h [default: 0]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand usage" -l json -d 'Print one JSON document; docs/json.md describes it'
complete -c grootfs -n "__fish_grootfs_using_subcommand usage" -l exact -d 'Walk all files, and tell what each image and layer takes on the disk'
complete -c grootfs -n "__fish_grootfs_using_subcommand usage" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c grootfs -n "__fish_grootfs_using_subcommand mount" -l config -d 'Configuration file (YAML); environment variables and flags win over it [default: /etc/grootfs/config.yml]' -r -F
complete -c grootfs -n "__fish_grootfs_using_subcommand mount" -l store -d 'Directory of the store: layers and images [default: /var/lib/grootfs]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand mount" -l driver -d 'Filesystem driver, overlay-xfs or btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand mount" -l tardis-bin -d 'Setuid helper for XFS quotas, for callers who are not root [default: tardis]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand mount" -l drax-bin -d 'Setuid helper for quotas, for callers who are not root [default: drax]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand mount" -l btrfs-progs-path -d 'Directory that holds mkfs.btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand mount" -l newuidmap-bin -d 'Program that maps the user ids of a namespace, for callers who are not root [default: newuidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand mount" -l newgidmap-bin -d 'Program that maps the group ids of a namespace, for callers who are not root [default: newgidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand mount" -l metron-endpoint -d 'Metron agent that metrics are sent to (UDP)' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand mount" -l metrics-file -d 'File that metrics are kept in, for the textfile collector of Prometheus\' node_exporter' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand mount" -l log-level -d 'Log level: debug, info, error or fatal [default: fatal]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand mount" -l log-file -d 'File that logs are appended to, at level info at least' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand mount" -l log-timestamp-format -d 'Timestamp format of log lines: rfc3339 (with a level word) or unix-epoch (with a log_level number) [default: rfc3339]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand mount" -l timeout -d 'Give up after this time, as 90, 90s, 5m or 2h [default: 0]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand mount" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c grootfs -n "__fish_grootfs_using_subcommand umount" -l config -d 'Configuration file (YAML); environment variables and flags win over it [default: /etc/grootfs/config.yml]' -r -F
complete -c grootfs -n "__fish_grootfs_using_subcommand umount" -l store -d 'Directory of the store: layers and images [default: /var/lib/grootfs]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand umount" -l driver -d 'Filesystem driver, overlay-xfs or btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand umount" -l tardis-bin -d 'Setuid helper for XFS quotas, for callers who are not root [default: tardis]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand umount" -l drax-bin -d 'Setuid helper for quotas, for callers who are not root [default: drax]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand umount" -l btrfs-progs-path -d 'Directory that holds mkfs.btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand umount" -l newuidmap-bin -d 'Program that maps the user ids of a namespace, for callers who are not root [default: newuidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand umount" -l newgidmap-bin -d 'Program that maps the group ids of a namespace, for callers who are not root [default: newgidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand umount" -l metron-endpoint -d 'Metron agent that metrics are sent to (UDP)' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand umount" -l metrics-file -d 'File that metrics are kept in, for the textfile collector of Prometheus\' node_exporter' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand umount" -l log-level -d 'Log level: debug, info, error or fatal [default: fatal]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand umount" -l log-file -d 'File that logs are appended to, at level info at least' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand umount" -l log-timestamp-format -d 'Timestamp format of log lines: rfc3339 (with a level word) or unix-epoch (with a log_level number) [default: rfc3339]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand umount" -l timeout -d 'Give up after this time, as 90, 90s, 5m or 2h [default: 0]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand umount" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c grootfs -n "__fish_grootfs_using_subcommand clean" -l threshold-bytes -d 'Clean only if the layers in the store take at least this many bytes [default: 0]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand clean" -l high-watermark-percent -d 'Clean only if at least this part of the filesystem is in use, and then down to the low watermark [default: 0]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand clean" -l low-watermark-percent -d 'Part of the filesystem in use at which a clean above the high watermark ends [default: 0]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand clean" -l config -d 'Configuration file (YAML); environment variables and flags win over it [default: /etc/grootfs/config.yml]' -r -F
complete -c grootfs -n "__fish_grootfs_using_subcommand clean" -l store -d 'Directory of the store: layers and images [default: /var/lib/grootfs]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand clean" -l driver -d 'Filesystem driver, overlay-xfs or btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand clean" -l tardis-bin -d 'Setuid helper for XFS quotas, for callers who are not root [default: tardis]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand clean" -l drax-bin -d 'Setuid helper for quotas, for callers who are not root [default: drax]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand clean" -l btrfs-progs-path -d 'Directory that holds mkfs.btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand clean" -l newuidmap-bin -d 'Program that maps the user ids of a namespace, for callers who are not root [default: newuidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand clean" -l newgidmap-bin -d 'Program that maps the group ids of a namespace, for callers who are not root [default: newgidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand clean" -l metron-endpoint -d 'Metron agent that metrics are sent to (UDP)' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand clean" -l metrics-file -d 'File that metrics are kept in, for the textfile collector of Prometheus\' node_exporter' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand clean" -l log-level -d 'Log level: debug, info, error or fatal [default: fatal]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand clean" -l log-file -d 'File that logs are appended to, at level info at least' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand clean" -l log-timestamp-format -d 'Timestamp format of log lines: rfc3339 (with a level word) or unix-epoch (with a log_level number) [default: rfc3339]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand clean" -l timeout -d 'Give up after this time, as 90, 90s, 5m or 2h [default: 0]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand clean" -l dry-run -d 'Print what would be removed, and remove nothing'
complete -c grootfs -n "__fish_grootfs_using_subcommand clean" -l json -d 'Print one JSON document; docs/json.md describes it'
complete -c grootfs -n "__fish_grootfs_using_subcommand clean" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and not __fish_seen_subcommand_from show check help" -l config -d 'Configuration file (YAML); environment variables and flags win over it [default: /etc/grootfs/config.yml]' -r -F
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and not __fish_seen_subcommand_from show check help" -l store -d 'Directory of the store: layers and images [default: /var/lib/grootfs]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and not __fish_seen_subcommand_from show check help" -l driver -d 'Filesystem driver, overlay-xfs or btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and not __fish_seen_subcommand_from show check help" -l tardis-bin -d 'Setuid helper for XFS quotas, for callers who are not root [default: tardis]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and not __fish_seen_subcommand_from show check help" -l drax-bin -d 'Setuid helper for quotas, for callers who are not root [default: drax]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and not __fish_seen_subcommand_from show check help" -l btrfs-progs-path -d 'Directory that holds mkfs.btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and not __fish_seen_subcommand_from show check help" -l newuidmap-bin -d 'Program that maps the user ids of a namespace, for callers who are not root [default: newuidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and not __fish_seen_subcommand_from show check help" -l newgidmap-bin -d 'Program that maps the group ids of a namespace, for callers who are not root [default: newgidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and not __fish_seen_subcommand_from show check help" -l metron-endpoint -d 'Metron agent that metrics are sent to (UDP)' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and not __fish_seen_subcommand_from show check help" -l metrics-file -d 'File that metrics are kept in, for the textfile collector of Prometheus\' node_exporter' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and not __fish_seen_subcommand_from show check help" -l log-level -d 'Log level: debug, info, error or fatal [default: fatal]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and not __fish_seen_subcommand_from show check help" -l log-file -d 'File that logs are appended to, at level info at least' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and not __fish_seen_subcommand_from show check help" -l log-timestamp-format -d 'Timestamp format of log lines: rfc3339 (with a level word) or unix-epoch (with a log_level number) [default: rfc3339]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and not __fish_seen_subcommand_from show check help" -l timeout -d 'Give up after this time, as 90, 90s, 5m or 2h [default: 0]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and not __fish_seen_subcommand_from show check help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and not __fish_seen_subcommand_from show check help" -f -a "show" -d 'Shows each setting with its value and where it comes from: a flag, the environment, the file or the default'
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and not __fish_seen_subcommand_from show check help" -f -a "check" -d 'Checks the configuration file and the environment; exit codes: 0 nothing to tell, 4 findings, 1 it could not be read'
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and not __fish_seen_subcommand_from show check help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and __fish_seen_subcommand_from show" -l config -d 'Configuration file (YAML); environment variables and flags win over it [default: /etc/grootfs/config.yml]' -r -F
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and __fish_seen_subcommand_from show" -l store -d 'Directory of the store: layers and images [default: /var/lib/grootfs]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and __fish_seen_subcommand_from show" -l driver -d 'Filesystem driver, overlay-xfs or btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and __fish_seen_subcommand_from show" -l tardis-bin -d 'Setuid helper for XFS quotas, for callers who are not root [default: tardis]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and __fish_seen_subcommand_from show" -l drax-bin -d 'Setuid helper for quotas, for callers who are not root [default: drax]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and __fish_seen_subcommand_from show" -l btrfs-progs-path -d 'Directory that holds mkfs.btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and __fish_seen_subcommand_from show" -l newuidmap-bin -d 'Program that maps the user ids of a namespace, for callers who are not root [default: newuidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and __fish_seen_subcommand_from show" -l newgidmap-bin -d 'Program that maps the group ids of a namespace, for callers who are not root [default: newgidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and __fish_seen_subcommand_from show" -l metron-endpoint -d 'Metron agent that metrics are sent to (UDP)' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and __fish_seen_subcommand_from show" -l metrics-file -d 'File that metrics are kept in, for the textfile collector of Prometheus\' node_exporter' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and __fish_seen_subcommand_from show" -l log-level -d 'Log level: debug, info, error or fatal [default: fatal]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and __fish_seen_subcommand_from show" -l log-file -d 'File that logs are appended to, at level info at least' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and __fish_seen_subcommand_from show" -l log-timestamp-format -d 'Timestamp format of log lines: rfc3339 (with a level word) or unix-epoch (with a log_level number) [default: rfc3339]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and __fish_seen_subcommand_from show" -l timeout -d 'Give up after this time, as 90, 90s, 5m or 2h [default: 0]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and __fish_seen_subcommand_from show" -l json -d 'Print one JSON document; docs/json.md describes it'
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and __fish_seen_subcommand_from check" -l config -d 'Configuration file (YAML); environment variables and flags win over it [default: /etc/grootfs/config.yml]' -r -F
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and __fish_seen_subcommand_from check" -l store -d 'Directory of the store: layers and images [default: /var/lib/grootfs]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and __fish_seen_subcommand_from check" -l driver -d 'Filesystem driver, overlay-xfs or btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and __fish_seen_subcommand_from check" -l tardis-bin -d 'Setuid helper for XFS quotas, for callers who are not root [default: tardis]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and __fish_seen_subcommand_from check" -l drax-bin -d 'Setuid helper for quotas, for callers who are not root [default: drax]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and __fish_seen_subcommand_from check" -l btrfs-progs-path -d 'Directory that holds mkfs.btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and __fish_seen_subcommand_from check" -l newuidmap-bin -d 'Program that maps the user ids of a namespace, for callers who are not root [default: newuidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and __fish_seen_subcommand_from check" -l newgidmap-bin -d 'Program that maps the group ids of a namespace, for callers who are not root [default: newgidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and __fish_seen_subcommand_from check" -l metron-endpoint -d 'Metron agent that metrics are sent to (UDP)' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and __fish_seen_subcommand_from check" -l metrics-file -d 'File that metrics are kept in, for the textfile collector of Prometheus\' node_exporter' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and __fish_seen_subcommand_from check" -l log-level -d 'Log level: debug, info, error or fatal [default: fatal]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and __fish_seen_subcommand_from check" -l log-file -d 'File that logs are appended to, at level info at least' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and __fish_seen_subcommand_from check" -l log-timestamp-format -d 'Timestamp format of log lines: rfc3339 (with a level word) or unix-epoch (with a log_level number) [default: rfc3339]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and __fish_seen_subcommand_from check" -l timeout -d 'Give up after this time, as 90, 90s, 5m or 2h [default: 0]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "show" -d 'Shows each setting with its value and where it comes from: a flag, the environment, the file or the default'
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "check" -d 'Checks the configuration file and the environment; exit codes: 0 nothing to tell, 4 findings, 1 it could not be read'
complete -c grootfs -n "__fish_grootfs_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c grootfs -n "__fish_grootfs_using_subcommand capacity" -l config -d 'Configuration file (YAML); environment variables and flags win over it [default: /etc/grootfs/config.yml]' -r -F
complete -c grootfs -n "__fish_grootfs_using_subcommand capacity" -l store -d 'Directory of the store: layers and images [default: /var/lib/grootfs]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand capacity" -l driver -d 'Filesystem driver, overlay-xfs or btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand capacity" -l tardis-bin -d 'Setuid helper for XFS quotas, for callers who are not root [default: tardis]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand capacity" -l drax-bin -d 'Setuid helper for quotas, for callers who are not root [default: drax]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand capacity" -l btrfs-progs-path -d 'Directory that holds mkfs.btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand capacity" -l newuidmap-bin -d 'Program that maps the user ids of a namespace, for callers who are not root [default: newuidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand capacity" -l newgidmap-bin -d 'Program that maps the group ids of a namespace, for callers who are not root [default: newgidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand capacity" -l metron-endpoint -d 'Metron agent that metrics are sent to (UDP)' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand capacity" -l metrics-file -d 'File that metrics are kept in, for the textfile collector of Prometheus\' node_exporter' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand capacity" -l log-level -d 'Log level: debug, info, error or fatal [default: fatal]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand capacity" -l log-file -d 'File that logs are appended to, at level info at least' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand capacity" -l log-timestamp-format -d 'Timestamp format of log lines: rfc3339 (with a level word) or unix-epoch (with a log_level number) [default: rfc3339]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand capacity" -l timeout -d 'Give up after this time, as 90, 90s, 5m or 2h [default: 0]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand capacity" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c grootfs -n "__fish_grootfs_using_subcommand version" -l config -d 'Configuration file (YAML); environment variables and flags win over it [default: /etc/grootfs/config.yml]' -r -F
complete -c grootfs -n "__fish_grootfs_using_subcommand version" -l store -d 'Directory of the store: layers and images [default: /var/lib/grootfs]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand version" -l driver -d 'Filesystem driver, overlay-xfs or btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand version" -l tardis-bin -d 'Setuid helper for XFS quotas, for callers who are not root [default: tardis]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand version" -l drax-bin -d 'Setuid helper for quotas, for callers who are not root [default: drax]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand version" -l btrfs-progs-path -d 'Directory that holds mkfs.btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand version" -l newuidmap-bin -d 'Program that maps the user ids of a namespace, for callers who are not root [default: newuidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand version" -l newgidmap-bin -d 'Program that maps the group ids of a namespace, for callers who are not root [default: newgidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand version" -l metron-endpoint -d 'Metron agent that metrics are sent to (UDP)' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand version" -l metrics-file -d 'File that metrics are kept in, for the textfile collector of Prometheus\' node_exporter' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand version" -l log-level -d 'Log level: debug, info, error or fatal [default: fatal]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand version" -l log-file -d 'File that logs are appended to, at level info at least' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand version" -l log-timestamp-format -d 'Timestamp format of log lines: rfc3339 (with a level word) or unix-epoch (with a log_level number) [default: rfc3339]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand version" -l timeout -d 'Give up after this time, as 90, 90s, 5m or 2h [default: 0]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand version" -l json -d 'Print one JSON document; docs/json.md describes it'
complete -c grootfs -n "__fish_grootfs_using_subcommand version" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c grootfs -n "__fish_grootfs_using_subcommand generate-volume-size-metadata" -l config -d 'Configuration file (YAML); environment variables and flags win over it [default: /etc/grootfs/config.yml]' -r -F
complete -c grootfs -n "__fish_grootfs_using_subcommand generate-volume-size-metadata" -l store -d 'Directory of the store: layers and images [default: /var/lib/grootfs]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand generate-volume-size-metadata" -l driver -d 'Filesystem driver, overlay-xfs or btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand generate-volume-size-metadata" -l tardis-bin -d 'Setuid helper for XFS quotas, for callers who are not root [default: tardis]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand generate-volume-size-metadata" -l drax-bin -d 'Setuid helper for quotas, for callers who are not root [default: drax]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand generate-volume-size-metadata" -l btrfs-progs-path -d 'Directory that holds mkfs.btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand generate-volume-size-metadata" -l newuidmap-bin -d 'Program that maps the user ids of a namespace, for callers who are not root [default: newuidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand generate-volume-size-metadata" -l newgidmap-bin -d 'Program that maps the group ids of a namespace, for callers who are not root [default: newgidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand generate-volume-size-metadata" -l metron-endpoint -d 'Metron agent that metrics are sent to (UDP)' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand generate-volume-size-metadata" -l metrics-file -d 'File that metrics are kept in, for the textfile collector of Prometheus\' node_exporter' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand generate-volume-size-metadata" -l log-level -d 'Log level: debug, info, error or fatal [default: fatal]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand generate-volume-size-metadata" -l log-file -d 'File that logs are appended to, at level info at least' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand generate-volume-size-metadata" -l log-timestamp-format -d 'Timestamp format of log lines: rfc3339 (with a level word) or unix-epoch (with a log_level number) [default: rfc3339]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand generate-volume-size-metadata" -l timeout -d 'Give up after this time, as 90, 90s, 5m or 2h [default: 0]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand generate-volume-size-metadata" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c grootfs -n "__fish_grootfs_using_subcommand flush-volumes" -l config -d 'Configuration file (YAML); environment variables and flags win over it [default: /etc/grootfs/config.yml]' -r -F
complete -c grootfs -n "__fish_grootfs_using_subcommand flush-volumes" -l store -d 'Directory of the store: layers and images [default: /var/lib/grootfs]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand flush-volumes" -l driver -d 'Filesystem driver, overlay-xfs or btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand flush-volumes" -l tardis-bin -d 'Setuid helper for XFS quotas, for callers who are not root [default: tardis]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand flush-volumes" -l drax-bin -d 'Setuid helper for quotas, for callers who are not root [default: drax]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand flush-volumes" -l btrfs-progs-path -d 'Directory that holds mkfs.btrfs' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand flush-volumes" -l newuidmap-bin -d 'Program that maps the user ids of a namespace, for callers who are not root [default: newuidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand flush-volumes" -l newgidmap-bin -d 'Program that maps the group ids of a namespace, for callers who are not root [default: newgidmap]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand flush-volumes" -l metron-endpoint -d 'Metron agent that metrics are sent to (UDP)' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand flush-volumes" -l metrics-file -d 'File that metrics are kept in, for the textfile collector of Prometheus\' node_exporter' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand flush-volumes" -l log-level -d 'Log level: debug, info, error or fatal [default: fatal]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand flush-volumes" -l log-file -d 'File that logs are appended to, at level info at least' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand flush-volumes" -l log-timestamp-format -d 'Timestamp format of log lines: rfc3339 (with a level word) or unix-epoch (with a log_level number) [default: rfc3339]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand flush-volumes" -l timeout -d 'Give up after this time, as 90, 90s, 5m or 2h [default: 0]' -r
complete -c grootfs -n "__fish_grootfs_using_subcommand flush-volumes" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c grootfs -n "__fish_grootfs_using_subcommand help; and not __fish_seen_subcommand_from init-store delete-store create delete stats list inspect pull limit diff commit check doctor usage mount umount clean config capacity version generate-volume-size-metadata flush-volumes help" -f -a "init-store" -d 'Initialize a Store Directory'
complete -c grootfs -n "__fish_grootfs_using_subcommand help; and not __fish_seen_subcommand_from init-store delete-store create delete stats list inspect pull limit diff commit check doctor usage mount umount clean config capacity version generate-volume-size-metadata flush-volumes help" -f -a "delete-store" -d 'Deletes the given store from the system'
complete -c grootfs -n "__fish_grootfs_using_subcommand help; and not __fish_seen_subcommand_from init-store delete-store create delete stats list inspect pull limit diff commit check doctor usage mount umount clean config capacity version generate-volume-size-metadata flush-volumes help" -f -a "create" -d 'Creates a root filesystem for the provided image'
complete -c grootfs -n "__fish_grootfs_using_subcommand help; and not __fish_seen_subcommand_from init-store delete-store create delete stats list inspect pull limit diff commit check doctor usage mount umount clean config capacity version generate-volume-size-metadata flush-volumes help" -f -a "delete" -d 'Deletes a container image'
complete -c grootfs -n "__fish_grootfs_using_subcommand help; and not __fish_seen_subcommand_from init-store delete-store create delete stats list inspect pull limit diff commit check doctor usage mount umount clean config capacity version generate-volume-size-metadata flush-volumes help" -f -a "stats" -d 'Return filesystem stats'
complete -c grootfs -n "__fish_grootfs_using_subcommand help; and not __fish_seen_subcommand_from init-store delete-store create delete stats list inspect pull limit diff commit check doctor usage mount umount clean config capacity version generate-volume-size-metadata flush-volumes help" -f -a "list" -d 'Lists images in store'
complete -c grootfs -n "__fish_grootfs_using_subcommand help; and not __fish_seen_subcommand_from init-store delete-store create delete stats list inspect pull limit diff commit check doctor usage mount umount clean config capacity version generate-volume-size-metadata flush-volumes help" -f -a "inspect" -d 'Shows an image of the store, or one to create from: source, digest, layers, configuration, limits'
complete -c grootfs -n "__fish_grootfs_using_subcommand help; and not __fish_seen_subcommand_from init-store delete-store create delete stats list inspect pull limit diff commit check doctor usage mount umount clean config capacity version generate-volume-size-metadata flush-volumes help" -f -a "pull" -d 'Pulls the layers of images into the store ahead of create'
complete -c grootfs -n "__fish_grootfs_using_subcommand help; and not __fish_seen_subcommand_from init-store delete-store create delete stats list inspect pull limit diff commit check doctor usage mount umount clean config capacity version generate-volume-size-metadata flush-volumes help" -f -a "limit" -d 'Changes the disk limit of an image'
complete -c grootfs -n "__fish_grootfs_using_subcommand help; and not __fish_seen_subcommand_from init-store delete-store create delete stats list inspect pull limit diff commit check doctor usage mount umount clean config capacity version generate-volume-size-metadata flush-volumes help" -f -a "diff" -d 'Shows what a container added, changed and deleted of its image'
complete -c grootfs -n "__fish_grootfs_using_subcommand help; and not __fish_seen_subcommand_from init-store delete-store create delete stats list inspect pull limit diff commit check doctor usage mount umount clean config capacity version generate-volume-size-metadata flush-volumes help" -f -a "commit" -d 'Writes what a container changed, on top of its image\'s layers, as an image'
complete -c grootfs -n "__fish_grootfs_using_subcommand help; and not __fish_seen_subcommand_from init-store delete-store create delete stats list inspect pull limit diff commit check doctor usage mount umount clean config capacity version generate-volume-size-metadata flush-volumes help" -f -a "check" -d 'Checks the store for damage; exit codes: 0 no findings, 4 findings, 1 not checked'
complete -c grootfs -n "__fish_grootfs_using_subcommand help; and not __fish_seen_subcommand_from init-store delete-store create delete stats list inspect pull limit diff commit check doctor usage mount umount clean config capacity version generate-volume-size-metadata flush-volumes help" -f -a "doctor" -d 'Checks whether this machine supports what a store needs; exit codes: 0 it does, 4 something fails'
complete -c grootfs -n "__fish_grootfs_using_subcommand help; and not __fish_seen_subcommand_from init-store delete-store create delete stats list inspect pull limit diff commit check doctor usage mount umount clean config capacity version generate-volume-size-metadata flush-volumes help" -f -a "usage" -d 'Shows who uses the store: images, layers, what can be freed'
complete -c grootfs -n "__fish_grootfs_using_subcommand help; and not __fish_seen_subcommand_from init-store delete-store create delete stats list inspect pull limit diff commit check doctor usage mount umount clean config capacity version generate-volume-size-metadata flush-volumes help" -f -a "mount" -d 'Mounts the root filesystem of an image again, as after a reboot'
complete -c grootfs -n "__fish_grootfs_using_subcommand help; and not __fish_seen_subcommand_from init-store delete-store create delete stats list inspect pull limit diff commit check doctor usage mount umount clean config capacity version generate-volume-size-metadata flush-volumes help" -f -a "umount" -d 'Unmounts the root filesystem of an image that is not in use'
complete -c grootfs -n "__fish_grootfs_using_subcommand help; and not __fish_seen_subcommand_from init-store delete-store create delete stats list inspect pull limit diff commit check doctor usage mount umount clean config capacity version generate-volume-size-metadata flush-volumes help" -f -a "clean" -d 'Cleans up unused layers'
complete -c grootfs -n "__fish_grootfs_using_subcommand help; and not __fish_seen_subcommand_from init-store delete-store create delete stats list inspect pull limit diff commit check doctor usage mount umount clean config capacity version generate-volume-size-metadata flush-volumes help" -f -a "config" -d 'Shows the settings, or checks the configuration'
complete -c grootfs -n "__fish_grootfs_using_subcommand help; and not __fish_seen_subcommand_from init-store delete-store create delete stats list inspect pull limit diff commit check doctor usage mount umount clean config capacity version generate-volume-size-metadata flush-volumes help" -f -a "capacity" -d 'Return filesystem capacity'
complete -c grootfs -n "__fish_grootfs_using_subcommand help; and not __fish_seen_subcommand_from init-store delete-store create delete stats list inspect pull limit diff commit check doctor usage mount umount clean config capacity version generate-volume-size-metadata flush-volumes help" -f -a "version" -d 'Print the version'
complete -c grootfs -n "__fish_grootfs_using_subcommand help; and not __fish_seen_subcommand_from init-store delete-store create delete stats list inspect pull limit diff commit check doctor usage mount umount clean config capacity version generate-volume-size-metadata flush-volumes help" -f -a "generate-volume-size-metadata" -d 'Writes the size records that volumes made by old versions lack'
complete -c grootfs -n "__fish_grootfs_using_subcommand help; and not __fish_seen_subcommand_from init-store delete-store create delete stats list inspect pull limit diff commit check doctor usage mount umount clean config capacity version generate-volume-size-metadata flush-volumes help" -f -a "flush-volumes" -d 'Writes new layers to disk; started by create'
complete -c grootfs -n "__fish_grootfs_using_subcommand help; and not __fish_seen_subcommand_from init-store delete-store create delete stats list inspect pull limit diff commit check doctor usage mount umount clean config capacity version generate-volume-size-metadata flush-volumes help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c grootfs -n "__fish_grootfs_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "show" -d 'Shows each setting with its value and where it comes from: a flag, the environment, the file or the default'
complete -c grootfs -n "__fish_grootfs_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "check" -d 'Checks the configuration file and the environment; exit codes: 0 nothing to tell, 4 findings, 1 it could not be read'

# Ids of images in the store that the line names so far.
function __fish_grootfs_ids
    set -l line (commandline -opc)
    set -l options
    for i in (seq 2 (count $line))
        switch $line[$i]
            case --store --config --driver
                set -l next (math $i + 1)
                set -a options $line[$i] $line[$next]
            case '--store=*' '--config=*' '--driver=*'
                set -a options $line[$i]
        end
    end
    $line[1] $options list 2>/dev/null | string match -r '^/.*/images/\K[^/]+$'
end
complete -c grootfs -n "__fish_grootfs_using_subcommand delete stats inspect limit diff commit mount umount" -f -a "(__fish_grootfs_ids)"
