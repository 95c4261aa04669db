#!/bin/sh
# The unit tests; see unit.yml.
set -eu
export CARGO_HOME="$PWD/cargo-home" CARGO_TARGET_DIR="$PWD/target"
cd grootfs
exec make unit
