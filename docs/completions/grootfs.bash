_grootfs() {
    local i cur prev opts cmd
    COMPREPLY=()
    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
        cur="$2"
    else
        cur="${COMP_WORDS[COMP_CWORD]}"
    fi
    prev="$3"
    cmd=""
    opts=""

    for i in "${COMP_WORDS[@]:0:COMP_CWORD}"
    do
        case "${cmd},${i}" in
            ",$1")
                cmd="grootfs"
                ;;
            grootfs,capacity)
                cmd="grootfs__subcmd__capacity"
                ;;
            grootfs,check)
                cmd="grootfs__subcmd__check"
                ;;
            grootfs,clean)
                cmd="grootfs__subcmd__clean"
                ;;
            grootfs,commit)
                cmd="grootfs__subcmd__commit"
                ;;
            grootfs,config)
                cmd="grootfs__subcmd__config"
                ;;
            grootfs,create)
                cmd="grootfs__subcmd__create"
                ;;
            grootfs,delete)
                cmd="grootfs__subcmd__delete"
                ;;
            grootfs,delete-store)
                cmd="grootfs__subcmd__delete__subcmd__store"
                ;;
            grootfs,diff)
                cmd="grootfs__subcmd__diff"
                ;;
            grootfs,doctor)
                cmd="grootfs__subcmd__doctor"
                ;;
            grootfs,flush-volumes)
                cmd="grootfs__subcmd__flush__subcmd__volumes"
                ;;
            grootfs,generate-volume-size-metadata)
                cmd="grootfs__subcmd__generate__subcmd__volume__subcmd__size__subcmd__metadata"
                ;;
            grootfs,help)
                cmd="grootfs__subcmd__help"
                ;;
            grootfs,init-store)
                cmd="grootfs__subcmd__init__subcmd__store"
                ;;
            grootfs,inspect)
                cmd="grootfs__subcmd__inspect"
                ;;
            grootfs,limit)
                cmd="grootfs__subcmd__limit"
                ;;
            grootfs,list)
                cmd="grootfs__subcmd__list"
                ;;
            grootfs,mount)
                cmd="grootfs__subcmd__mount"
                ;;
            grootfs,pull)
                cmd="grootfs__subcmd__pull"
                ;;
            grootfs,stats)
                cmd="grootfs__subcmd__stats"
                ;;
            grootfs,umount)
                cmd="grootfs__subcmd__umount"
                ;;
            grootfs,usage)
                cmd="grootfs__subcmd__usage"
                ;;
            grootfs,version)
                cmd="grootfs__subcmd__version"
                ;;
            grootfs__subcmd__config,check)
                cmd="grootfs__subcmd__config__subcmd__check"
                ;;
            grootfs__subcmd__config,help)
                cmd="grootfs__subcmd__config__subcmd__help"
                ;;
            grootfs__subcmd__config,show)
                cmd="grootfs__subcmd__config__subcmd__show"
                ;;
            grootfs__subcmd__config__subcmd__help,check)
                cmd="grootfs__subcmd__config__subcmd__help__subcmd__check"
                ;;
            grootfs__subcmd__config__subcmd__help,help)
                cmd="grootfs__subcmd__config__subcmd__help__subcmd__help"
                ;;
            grootfs__subcmd__config__subcmd__help,show)
                cmd="grootfs__subcmd__config__subcmd__help__subcmd__show"
                ;;
            grootfs__subcmd__help,capacity)
                cmd="grootfs__subcmd__help__subcmd__capacity"
                ;;
            grootfs__subcmd__help,check)
                cmd="grootfs__subcmd__help__subcmd__check"
                ;;
            grootfs__subcmd__help,clean)
                cmd="grootfs__subcmd__help__subcmd__clean"
                ;;
            grootfs__subcmd__help,commit)
                cmd="grootfs__subcmd__help__subcmd__commit"
                ;;
            grootfs__subcmd__help,config)
                cmd="grootfs__subcmd__help__subcmd__config"
                ;;
            grootfs__subcmd__help,create)
                cmd="grootfs__subcmd__help__subcmd__create"
                ;;
            grootfs__subcmd__help,delete)
                cmd="grootfs__subcmd__help__subcmd__delete"
                ;;
            grootfs__subcmd__help,delete-store)
                cmd="grootfs__subcmd__help__subcmd__delete__subcmd__store"
                ;;
            grootfs__subcmd__help,diff)
                cmd="grootfs__subcmd__help__subcmd__diff"
                ;;
            grootfs__subcmd__help,doctor)
                cmd="grootfs__subcmd__help__subcmd__doctor"
                ;;
            grootfs__subcmd__help,flush-volumes)
                cmd="grootfs__subcmd__help__subcmd__flush__subcmd__volumes"
                ;;
            grootfs__subcmd__help,generate-volume-size-metadata)
                cmd="grootfs__subcmd__help__subcmd__generate__subcmd__volume__subcmd__size__subcmd__metadata"
                ;;
            grootfs__subcmd__help,help)
                cmd="grootfs__subcmd__help__subcmd__help"
                ;;
            grootfs__subcmd__help,init-store)
                cmd="grootfs__subcmd__help__subcmd__init__subcmd__store"
                ;;
            grootfs__subcmd__help,inspect)
                cmd="grootfs__subcmd__help__subcmd__inspect"
                ;;
            grootfs__subcmd__help,limit)
                cmd="grootfs__subcmd__help__subcmd__limit"
                ;;
            grootfs__subcmd__help,list)
                cmd="grootfs__subcmd__help__subcmd__list"
                ;;
            grootfs__subcmd__help,mount)
                cmd="grootfs__subcmd__help__subcmd__mount"
                ;;
            grootfs__subcmd__help,pull)
                cmd="grootfs__subcmd__help__subcmd__pull"
                ;;
            grootfs__subcmd__help,stats)
                cmd="grootfs__subcmd__help__subcmd__stats"
                ;;
            grootfs__subcmd__help,umount)
                cmd="grootfs__subcmd__help__subcmd__umount"
                ;;
            grootfs__subcmd__help,usage)
                cmd="grootfs__subcmd__help__subcmd__usage"
                ;;
            grootfs__subcmd__help,version)
                cmd="grootfs__subcmd__help__subcmd__version"
                ;;
            grootfs__subcmd__help__subcmd__config,check)
                cmd="grootfs__subcmd__help__subcmd__config__subcmd__check"
                ;;
            grootfs__subcmd__help__subcmd__config,show)
                cmd="grootfs__subcmd__help__subcmd__config__subcmd__show"
                ;;
            *)
                ;;
        esac
    done

    case "${cmd}" in
        grootfs)
            opts="-v -h --config --store --driver --tardis-bin --drax-bin --btrfs-progs-path --newuidmap-bin --newgidmap-bin --metron-endpoint --metrics-file --log-level --log-file --log-timestamp-format --timeout --version --help init-store delete-store create delete stats list inspect pull limit diff commit check doctor usage mount umount clean config capacity version generate-volume-size-metadata flush-volumes help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 1 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --config)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --store)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --driver)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --tardis-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --drax-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --btrfs-progs-path)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newuidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newgidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metron-endpoint)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metrics-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-level)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-timestamp-format)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__capacity)
            opts="-h --config --store --driver --tardis-bin --drax-bin --btrfs-progs-path --newuidmap-bin --newgidmap-bin --metron-endpoint --metrics-file --log-level --log-file --log-timestamp-format --timeout --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --config)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --store)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --driver)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --tardis-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --drax-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --btrfs-progs-path)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newuidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newgidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metron-endpoint)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metrics-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-level)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-timestamp-format)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__check)
            opts="-h --repair --deep --json --config --store --driver --tardis-bin --drax-bin --btrfs-progs-path --newuidmap-bin --newgidmap-bin --metron-endpoint --metrics-file --log-level --log-file --log-timestamp-format --timeout --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --config)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --store)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --driver)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --tardis-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --drax-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --btrfs-progs-path)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newuidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newgidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metron-endpoint)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metrics-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-level)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-timestamp-format)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__clean)
            opts="-h --threshold-bytes --high-watermark-percent --low-watermark-percent --dry-run --json --config --store --driver --tardis-bin --drax-bin --btrfs-progs-path --newuidmap-bin --newgidmap-bin --metron-endpoint --metrics-file --log-level --log-file --log-timestamp-format --timeout --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --threshold-bytes)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --high-watermark-percent)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --low-watermark-percent)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --config)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --store)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --driver)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --tardis-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --drax-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --btrfs-progs-path)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newuidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newgidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metron-endpoint)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metrics-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-level)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-timestamp-format)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__commit)
            opts="-h --json --skip-layer-validation --insecure-registry --registry-mirror --concurrent-downloads --offline --without-layer-digests --stall-timeout-seconds --min-bytes-per-second --manifest-timeout-seconds --username --password --password-file --limit --no-progress --config --store --driver --tardis-bin --drax-bin --btrfs-progs-path --newuidmap-bin --newgidmap-bin --metron-endpoint --metrics-file --log-level --log-file --log-timestamp-format --timeout --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --skip-layer-validation)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --insecure-registry)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --registry-mirror)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --concurrent-downloads)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --offline)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --without-layer-digests)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --stall-timeout-seconds)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --min-bytes-per-second)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --manifest-timeout-seconds)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --username)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --password)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --password-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --limit)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --config)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --store)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --driver)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --tardis-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --drax-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --btrfs-progs-path)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newuidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newgidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metron-endpoint)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metrics-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-level)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-timestamp-format)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__config)
            opts="-h --config --store --driver --tardis-bin --drax-bin --btrfs-progs-path --newuidmap-bin --newgidmap-bin --metron-endpoint --metrics-file --log-level --log-file --log-timestamp-format --timeout --help show check help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --config)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --store)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --driver)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --tardis-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --drax-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --btrfs-progs-path)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newuidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newgidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metron-endpoint)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metrics-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-level)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-timestamp-format)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__config__subcmd__check)
            opts="-h --config --store --driver --tardis-bin --drax-bin --btrfs-progs-path --newuidmap-bin --newgidmap-bin --metron-endpoint --metrics-file --log-level --log-file --log-timestamp-format --timeout --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --config)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --store)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --driver)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --tardis-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --drax-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --btrfs-progs-path)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newuidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newgidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metron-endpoint)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metrics-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-level)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-timestamp-format)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__config__subcmd__help)
            opts="show check help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__config__subcmd__help__subcmd__check)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__config__subcmd__help__subcmd__help)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__config__subcmd__help__subcmd__show)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__config__subcmd__show)
            opts="-h --json --config --store --driver --tardis-bin --drax-bin --btrfs-progs-path --newuidmap-bin --newgidmap-bin --metron-endpoint --metrics-file --log-level --log-file --log-timestamp-format --timeout --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --config)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --store)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --driver)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --tardis-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --drax-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --btrfs-progs-path)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newuidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newgidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metron-endpoint)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metrics-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-level)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-timestamp-format)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__create)
            opts="-h --disk-limit-size-bytes --disk-limit-inodes --exclude-image-from-quota --with-clean --clean-log-file --without-mount --image-volumes --skip-layer-validation --insecure-registry --registry-mirror --concurrent-downloads --offline --without-layer-digests --stall-timeout-seconds --min-bytes-per-second --manifest-timeout-seconds --username --password --password-file --limit --no-progress --threshold-bytes --high-watermark-percent --low-watermark-percent --without-clean --with-mount --bundle --terminal --config --store --driver --tardis-bin --drax-bin --btrfs-progs-path --newuidmap-bin --newgidmap-bin --metron-endpoint --metrics-file --log-level --log-file --log-timestamp-format --timeout --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --disk-limit-size-bytes)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --disk-limit-inodes)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --exclude-image-from-quota)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --clean-log-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --image-volumes)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --skip-layer-validation)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --insecure-registry)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --registry-mirror)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --concurrent-downloads)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --offline)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --without-layer-digests)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --stall-timeout-seconds)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --min-bytes-per-second)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --manifest-timeout-seconds)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --username)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --password)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --password-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --limit)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --threshold-bytes)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --high-watermark-percent)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --low-watermark-percent)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --bundle)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --config)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --store)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --driver)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --tardis-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --drax-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --btrfs-progs-path)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newuidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newgidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metron-endpoint)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metrics-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-level)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-timestamp-format)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__delete)
            opts="-h --config --store --driver --tardis-bin --drax-bin --btrfs-progs-path --newuidmap-bin --newgidmap-bin --metron-endpoint --metrics-file --log-level --log-file --log-timestamp-format --timeout --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --config)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --store)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --driver)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --tardis-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --drax-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --btrfs-progs-path)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newuidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newgidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metron-endpoint)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metrics-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-level)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-timestamp-format)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__delete__subcmd__store)
            opts="-h --config --store --driver --tardis-bin --drax-bin --btrfs-progs-path --newuidmap-bin --newgidmap-bin --metron-endpoint --metrics-file --log-level --log-file --log-timestamp-format --timeout --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --config)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --store)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --driver)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --tardis-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --drax-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --btrfs-progs-path)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newuidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newgidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metron-endpoint)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metrics-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-level)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-timestamp-format)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__diff)
            opts="-h --json --config --store --driver --tardis-bin --drax-bin --btrfs-progs-path --newuidmap-bin --newgidmap-bin --metron-endpoint --metrics-file --log-level --log-file --log-timestamp-format --timeout --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --config)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --store)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --driver)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --tardis-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --drax-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --btrfs-progs-path)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newuidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newgidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metron-endpoint)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metrics-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-level)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-timestamp-format)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__doctor)
            opts="-h --json --config --store --driver --tardis-bin --drax-bin --btrfs-progs-path --newuidmap-bin --newgidmap-bin --metron-endpoint --metrics-file --log-level --log-file --log-timestamp-format --timeout --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --config)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --store)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --driver)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --tardis-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --drax-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --btrfs-progs-path)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newuidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newgidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metron-endpoint)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metrics-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-level)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-timestamp-format)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__flush__subcmd__volumes)
            opts="-h --config --store --driver --tardis-bin --drax-bin --btrfs-progs-path --newuidmap-bin --newgidmap-bin --metron-endpoint --metrics-file --log-level --log-file --log-timestamp-format --timeout --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --config)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --store)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --driver)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --tardis-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --drax-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --btrfs-progs-path)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newuidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newgidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metron-endpoint)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metrics-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-level)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-timestamp-format)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__generate__subcmd__volume__subcmd__size__subcmd__metadata)
            opts="-h --config --store --driver --tardis-bin --drax-bin --btrfs-progs-path --newuidmap-bin --newgidmap-bin --metron-endpoint --metrics-file --log-level --log-file --log-timestamp-format --timeout --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --config)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --store)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --driver)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --tardis-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --drax-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --btrfs-progs-path)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newuidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newgidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metron-endpoint)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metrics-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-level)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-timestamp-format)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__help)
            opts="init-store delete-store create delete stats list inspect pull limit diff commit check doctor usage mount umount clean config capacity version generate-volume-size-metadata flush-volumes help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__help__subcmd__capacity)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__help__subcmd__check)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__help__subcmd__clean)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__help__subcmd__commit)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__help__subcmd__config)
            opts="show check"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__help__subcmd__config__subcmd__check)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__help__subcmd__config__subcmd__show)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__help__subcmd__create)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__help__subcmd__delete)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__help__subcmd__delete__subcmd__store)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__help__subcmd__diff)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__help__subcmd__doctor)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__help__subcmd__flush__subcmd__volumes)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__help__subcmd__generate__subcmd__volume__subcmd__size__subcmd__metadata)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__help__subcmd__help)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__help__subcmd__init__subcmd__store)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__help__subcmd__inspect)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__help__subcmd__limit)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__help__subcmd__list)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__help__subcmd__mount)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__help__subcmd__pull)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__help__subcmd__stats)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__help__subcmd__umount)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__help__subcmd__usage)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__help__subcmd__version)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__init__subcmd__store)
            opts="-h --uid-mapping --gid-mapping --rootless --store-size-bytes --with-direct-io --without-quota --mount-images --shared-layers --config --store --driver --tardis-bin --drax-bin --btrfs-progs-path --newuidmap-bin --newgidmap-bin --metron-endpoint --metrics-file --log-level --log-file --log-timestamp-format --timeout --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --uid-mapping)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --gid-mapping)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --rootless)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --store-size-bytes)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --shared-layers)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --config)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --store)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --driver)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --tardis-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --drax-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --btrfs-progs-path)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newuidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newgidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metron-endpoint)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metrics-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-level)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-timestamp-format)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__inspect)
            opts="-h --json --skip-layer-validation --insecure-registry --registry-mirror --concurrent-downloads --offline --without-layer-digests --stall-timeout-seconds --min-bytes-per-second --manifest-timeout-seconds --username --password --password-file --limit --no-progress --config --store --driver --tardis-bin --drax-bin --btrfs-progs-path --newuidmap-bin --newgidmap-bin --metron-endpoint --metrics-file --log-level --log-file --log-timestamp-format --timeout --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --skip-layer-validation)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --insecure-registry)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --registry-mirror)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --concurrent-downloads)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --offline)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --without-layer-digests)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --stall-timeout-seconds)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --min-bytes-per-second)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --manifest-timeout-seconds)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --username)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --password)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --password-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --limit)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --config)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --store)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --driver)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --tardis-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --drax-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --btrfs-progs-path)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newuidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newgidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metron-endpoint)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metrics-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-level)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-timestamp-format)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__limit)
            opts="-h --inodes --exclude-image --include-image --config --store --driver --tardis-bin --drax-bin --btrfs-progs-path --newuidmap-bin --newgidmap-bin --metron-endpoint --metrics-file --log-level --log-file --log-timestamp-format --timeout --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --inodes)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --config)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --store)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --driver)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --tardis-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --drax-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --btrfs-progs-path)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newuidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newgidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metron-endpoint)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metrics-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-level)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-timestamp-format)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__list)
            opts="-l -h --long --json --config --store --driver --tardis-bin --drax-bin --btrfs-progs-path --newuidmap-bin --newgidmap-bin --metron-endpoint --metrics-file --log-level --log-file --log-timestamp-format --timeout --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --config)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --store)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --driver)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --tardis-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --drax-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --btrfs-progs-path)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newuidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newgidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metron-endpoint)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metrics-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-level)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-timestamp-format)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__mount)
            opts="-h --config --store --driver --tardis-bin --drax-bin --btrfs-progs-path --newuidmap-bin --newgidmap-bin --metron-endpoint --metrics-file --log-level --log-file --log-timestamp-format --timeout --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --config)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --store)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --driver)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --tardis-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --drax-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --btrfs-progs-path)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newuidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newgidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metron-endpoint)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metrics-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-level)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-timestamp-format)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__pull)
            opts="-h --json --skip-layer-validation --insecure-registry --registry-mirror --concurrent-downloads --offline --without-layer-digests --stall-timeout-seconds --min-bytes-per-second --manifest-timeout-seconds --username --password --password-file --limit --no-progress --config --store --driver --tardis-bin --drax-bin --btrfs-progs-path --newuidmap-bin --newgidmap-bin --metron-endpoint --metrics-file --log-level --log-file --log-timestamp-format --timeout --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --skip-layer-validation)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --insecure-registry)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --registry-mirror)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --concurrent-downloads)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --offline)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --without-layer-digests)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --stall-timeout-seconds)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --min-bytes-per-second)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --manifest-timeout-seconds)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --username)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --password)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --password-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --limit)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --config)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --store)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --driver)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --tardis-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --drax-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --btrfs-progs-path)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newuidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newgidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metron-endpoint)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metrics-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-level)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-timestamp-format)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__stats)
            opts="-h --config --store --driver --tardis-bin --drax-bin --btrfs-progs-path --newuidmap-bin --newgidmap-bin --metron-endpoint --metrics-file --log-level --log-file --log-timestamp-format --timeout --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --config)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --store)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --driver)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --tardis-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --drax-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --btrfs-progs-path)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newuidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newgidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metron-endpoint)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metrics-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-level)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-timestamp-format)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__umount)
            opts="-h --config --store --driver --tardis-bin --drax-bin --btrfs-progs-path --newuidmap-bin --newgidmap-bin --metron-endpoint --metrics-file --log-level --log-file --log-timestamp-format --timeout --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --config)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --store)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --driver)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --tardis-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --drax-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --btrfs-progs-path)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newuidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newgidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metron-endpoint)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metrics-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-level)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-timestamp-format)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__usage)
            opts="-h --json --exact --config --store --driver --tardis-bin --drax-bin --btrfs-progs-path --newuidmap-bin --newgidmap-bin --metron-endpoint --metrics-file --log-level --log-file --log-timestamp-format --timeout --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --config)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --store)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --driver)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --tardis-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --drax-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --btrfs-progs-path)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newuidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newgidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metron-endpoint)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metrics-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-level)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-timestamp-format)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        grootfs__subcmd__version)
            opts="-h --json --config --store --driver --tardis-bin --drax-bin --btrfs-progs-path --newuidmap-bin --newgidmap-bin --metron-endpoint --metrics-file --log-level --log-file --log-timestamp-format --timeout --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --config)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --store)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --driver)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --tardis-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --drax-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --btrfs-progs-path)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newuidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newgidmap-bin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metron-endpoint)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metrics-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-level)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-timestamp-format)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
    esac
}

# Ids of images in the store that the line names so far, where one is expected.
_grootfs_or_ids() {
    local -a options=()
    local command="" operands=0 i=1 word value next line id
    while ((i < COMP_CWORD)); do
        word=${COMP_WORDS[i]}
        i=$((i + 1))
        case $word in
            --exclude-image|--help|--include-image|--json|--no-progress|--version|-h|-v) ;;
            -*)
                # A `=` is a word of its own.
                [[ ${COMP_WORDS[i]} == "=" ]] && i=$((i + 1))
                ((i < COMP_CWORD)) || { _grootfs "$@"; return; }
                value=${COMP_WORDS[i]}
                i=$((i + 1))
                case $word in
                    --store | --config | --driver) options+=("$word" "${value/#\~\//$HOME/}") ;;
                esac
                ;;
            *) if [[ -z $command ]]; then command=$word; else operands=$((operands + 1)); fi ;;
        esac
    done
    next=${COMP_WORDS[COMP_CWORD]}
    case $command in
        delete|stats|inspect|limit|diff|commit|mount|umount) ;;
        *) _grootfs "$@"; return ;;
    esac
    if ((operands > 0)) || [[ $next == -* ]]; then
        _grootfs "$@"
        return
    fi
    COMPREPLY=()
    while IFS= read -r line; do
        [[ $line == /*/images/* ]] || continue
        id=${line##*/images/}
        [[ $id == "$next"* ]] && COMPREPLY+=("$(printf %q "$id")")
    done < <("$1" "${options[@]}" list 2>/dev/null)
}

if [[ "${BASH_VERSINFO[0]}" -eq 4 && "${BASH_VERSINFO[1]}" -ge 4 || "${BASH_VERSINFO[0]}" -gt 4 ]]; then
    complete -F _grootfs_or_ids -o nosort -o bashdefault -o default grootfs
else
    complete -F _grootfs_or_ids -o bashdefault -o default grootfs
fi
