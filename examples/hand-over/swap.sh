#!/bin/sh
# Who answers before a swap, and right after it, while requests come. Asks the Pointsman at $1, by default
# http://127.0.0.1:8080; $2 is the directory of its plugins, in which hand-over.wasm is.
at=${1:-http://127.0.0.1:8080}
file=${2:-plugins}/hand-over.wasm

spread() {
    for _ in $(seq 300); do
        curl -s "$at/" | head -n 1
    done | sort | uniq -c
}

spread > /dev/null
echo before:
spread
# The same algorithm as other bytes: a custom section that means nothing, its name "n".
{ cat "$file" && printf '\000\003\001n%s' "$(date +%S | cut -c2)"; } > "$file.next"
mv "$file.next" "$file"
sleep 1
echo after:
spread
