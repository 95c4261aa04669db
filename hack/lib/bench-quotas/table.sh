# shellcheck shell=bash
#
# What hack/bench-quotas prints in the end.
# shellcheck disable=SC2154 # rows is of hack/bench-quotas

table() {
    # The cases in the order in which they were measured, then the numbers, the smallest first.
    sort -t $'\t' -k3,3n "$rows" | awk -F '\t' -v kinds="${KINDS[*]}" '
        NR == FNR { if (!seen[$1]++) order[++cases] = $1; next }
        { key = $1 FS $2; value[key, ++count[key]] = $3 }
        function at(key, part) { return value[key, int((count[key] - 1) * part + 1.5)] / 1000 }
        END {
            n = split(kinds, kind, " ")
            print "| | off | simple | classic | simple/off | classic/off |\n|---|---:|---:|---:|---:|---:|"
            for (i = 1; i <= cases; i++) {
                row = "| " order[i] " |"
                for (k = 1; k <= n; k++) {
                    key = order[i] FS kind[k]
                    row = row (key in count ? sprintf(" %.1f (%.1f–%.1f) |", at(key, 0.5), at(key, 0.1), at(key, 0.9)) : " |")
                }
                for (k = 2; k <= n; k++) {
                    key = order[i] FS kind[k]
                    row = row (key in count ? sprintf(" %.2f |", at(key, 0.5) / at(order[i] FS kind[1], 0.5)) : " |")
                }
                print row
            }
        }' "$rows" -
    echo
    echo "Linux $(uname -r), $(nproc) processors, load $(cut -d ' ' -f 1-3 /proc/loadavg)"
}
