#!/bin/sh
# Everything; see test.yml.
set -eu
export CARGO_HOME="$PWD/cargo-home" CARGO_TARGET_DIR="$PWD/target"
cd grootfs
exec hack/test
