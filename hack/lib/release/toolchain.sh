# shellcheck shell=bash
#
# Compilers and standard libraries for the static programs of hack/release.
# shellcheck disable=SC2034,SC2154 # variables are those of the script

# What the compiler and cargo are to know about the target; empties `std` where the toolchain has its library.
prepare_toolchain() {
    local arch=$1 target=$2 name=${2//-/_}
    std=(-Z "build-std=std,panic_unwind")
    export "CFLAGS_$name=$c_flags" "CARGO_TARGET_${name^^}_RUSTFLAGS=$remap"
    [[ ! -e $(rustc --print target-libdir --target "$target")/self-contained/libc.a ]] || std=()
    if [[ $arch == "$(uname -m)" && ${#std[@]} -eq 0 ]]; then
        command -v musl-gcc >/dev/null || fail "no musl-gcc: apt-get install musl-tools"
        export "CC_$name=musl-gcc"
        say "$target: with the toolchain's standard library"
        return
    fi
    use_debian_musl "$arch" "$name"
    if [[ ${#std[@]} -eq 0 ]]; then
        say "$target: with the toolchain's standard library and $arch-linux-gnu-gcc"
    else
        [[ -d $sysroot/lib/rustlib/src/rust/library ]] ||
            fail "no standard library for $target: rustup target add $target (or: rustup component add rust-src)"
        say "$target: the toolchain has no standard library for it, so that is built from its source, with Debian's musl"
        use_built_std "$arch" "$name"
    fi
}

# A compiler and linker for musl, made of Debian's compiler for glibc as its musl-gcc is.
use_debian_musl() {
    local arch=$1 name=$2 gcc=$1-linux-gnu-gcc specs=/usr/lib/$1-linux-musl/musl-gcc.specs debian
    debian=$([[ $arch == aarch64 ]] && echo arm64 || echo amd64)
    command -v "$gcc" >/dev/null || fail "no $gcc: apt-get install gcc-${arch/_/-}-linux-gnu libc6-dev-$debian-cross"
    [[ -e $specs ]] || fail "no musl for $arch: dpkg --add-architecture $debian; apt-get update; apt-get install musl-dev:$debian"
    # Debian's file does not know static programs that can be loaded anywhere.
    sed -e "s|%{!shared: \(.*\)/Scrt1.o}|%{static-pie: \1/rcrt1.o; !shared: \1/Scrt1.o}|" \
        -e "s|%{static:-static}|%{static:-static} %{static-pie:-static -pie --no-dynamic-linker -z text}|" \
        "$specs" >"$scratch/$arch.specs"
    printf '#!/bin/sh\nexec %s "$@" -specs %s\n' "$gcc" "$scratch/$arch.specs" >"$scratch/$arch-musl-gcc"
    chmod 755 "$scratch/$arch-musl-gcc"
    export "CC_$name=$scratch/$arch-musl-gcc" "AR_$name=$arch-linux-gnu-ar"
    export "CARGO_TARGET_${name^^}_LINKER=$scratch/$arch-musl-gcc"
}

# The standard library is a feature of nightly cargo, which a released one has, too.
use_built_std() {
    local arch=$1 name=$2 source=$sysroot/lib/rustlib/src/rust/src/llvm-project/libunwind file flags
    local built=$scratch/unwind
    mkdir -p "$built"
    export RUSTC_BOOTSTRAP=1
    # LLVM's unwinder, which the toolchain has in its library for musl, too.
    for file in Unwind-sjlj.c UnwindLevel1-gcc-ext.c UnwindLevel1.c UnwindRegistersRestore.S UnwindRegistersSave.S libunwind.cpp; do
        flags=(-O2 -fPIC -funwind-tables -fvisibility=hidden -D_LIBUNWIND_IS_NATIVE_ONLY -DNDEBUG -I "$source/include")
        flags+=("-ffile-prefix-map=$sysroot=/rust")
        [[ $file != *.cpp ]] || flags+=(-nostdinc++ -fno-exceptions -fno-rtti -std=c++17)
        [[ $file == *.cpp ]] || flags+=(-std=c99 -fexceptions)
        "$scratch/$arch-musl-gcc" "${flags[@]}" -c "$source/src/$file" -o "$built/$file.o" ||
            fail "the unwinder could not be compiled: $source/src/$file (C++ needs: apt-get install g++-$arch-linux-gnu)"
    done
    rm -f "$built/libunwind.a"
    "$arch-linux-gnu-ar" -Drc "$built/libunwind.a" "$built"/*.o
    export "CARGO_TARGET_${name^^}_RUSTFLAGS=$remap -C link-self-contained=no -L native=$built -L native=/usr/lib/$arch-linux-musl"
}
