# shellcheck shell=bash
#
# What hack/bench prints in the end: the machine, and a table of the medians.
# shellcheck disable=SC2034,SC2154 # the options, builds and rows are of hack/bench

describe_machine() {
    local name quota=without
    ! grep -q " $disk xfs .*prjquota" /proc/self/mounts || quota=with
    echo "$(date -u +%F), $(nproc) processors ($(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1))," \
        "Linux $(uname -r); XFS $quota project quotas on a loop device on $(df --output=fstype "$dir" | tail -n 1)"
    for name in "${builds[@]}"; do
        echo "$name: ${program[$name]} ($("${program[$name]}" --version | head -n 1))"
    done
    [[ " ${peers[*]:-} " != *" umoci "* ]] || umoci --version
    [[ ,$parts, != *,registry,* ]] || { skopeo --version && buildah --version && containerd --version; }
    echo
}

# The raw rows are: case, name, unit of the value, value, CPU, CPU of others, flush; times in microseconds.
table() {
    awk -F '\t' -v processors="$(nproc)" -v first="${builds[0]}" -v names="${builds[*]} ${peers[*]:-} floor ${registry_peers[*]}" '
        { count[$1, $2]++; n = count[$1, $2]; value[$1, $2, n] = $4 / ($3 == "KiB" ? 1024 : 1000) }
        !($1 in known) { known[$1]; cases[++number] = $1 }
        $3 == "us" {
            cpu[$1, $2, n] = $5 / 1000; flush[$1, $2, n] = $7 / 1000
            others[$1, $2] += $6; time[$1, $2] += $4; all_others += $6; all_time += $4
        }

        # sorts the numbers of a case and a name, and leaves their middle in median
        function rank(numbers, key,    i, j, n, one) {
            n = count[key]
            for (i = 2; i <= n; i++) {
                one = numbers[key, i]
                for (j = i - 1; j > 0 && numbers[key, j] > one; j--) numbers[key, j + 1] = numbers[key, j]
                numbers[key, j + 1] = one
            }
            return n % 2 ? numbers[key, (n + 1) / 2] : (numbers[key, n / 2] + numbers[key, n / 2 + 1]) / 2
        }
        function tenth(a) { return sprintf("%.1f", a) }
        function ratio(a, b) { return b > 0 ? sprintf("%.2f", a / b) : "-" }
        function percent(a, b) { return a > 0 ? sprintf("%.0f %%", 100 * a / b / processors) : "0 %" }
        function line(a, b, c, d, e, f, g, h, i, j, k) {
            printf "| %-36s | %-8s | %3s | %7s | %7s | %7s | %5s | %7s | %5s | %6s | %6s |\n",
                a, b, c, d, e, f, g, h, i, j, k
        }

        END {
            line("case", "program", "n", "min", "median", "max", "x", "CPU", "x", "flush", "others")
            line("---", "---", "--:", "--:", "--:", "--:", "--:", "--:", "--:", "--:", "--:")
            columns = split(names, order, " ")
            for (c = 1; c <= number; c++) for (o = 1; o <= columns; o++) {
                key = cases[c] SUBSEP order[o]
                if (!(key in count)) continue
                middle = rank(value, key)
                if (order[o] == first) base = middle
                split("", more)
                if (key in time) {
                    middle_cpu = rank(cpu, key)
                    if (order[o] == first) base_cpu = middle_cpu
                    split(tenth(middle_cpu) SUBSEP ratio(middle_cpu, base_cpu) SUBSEP tenth(rank(flush, key)) \
                        SUBSEP (time[key] < 1e6 ? "" : percent(others[key], time[key])), more, SUBSEP)
                }
                line(cases[c], order[o], count[key], tenth(value[key, 1]), tenth(middle), tenth(value[key, count[key]]),
                    ratio(middle, base), more[1], more[2], more[3], more[4])
            }
            printf "\nTimes in ms; CPU and flush are medians; x is the ratio to %s. ", first
            printf "Other work took %s of the processors meanwhile.\n", percent(all_others, all_time)
        }' "$rows"
}
