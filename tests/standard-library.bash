# For tests/portability: the standard library of other targets. rustup's where it has one, else built
# from source: rustup's again, or that of Debian's rust-src of the very same compiler version, which
# any machine with apt can read without installing it.

made=$PWD/target/portability
mkdir -p "$made"
toolchain=$(rustc --print sysroot)
compiler=$(rustc --version | cut -d' ' -f2)
# How long rustup may take for one download before it counts as out of reach.
rustup_patience=60
rustup_fails=

# Sets `cargo_env` and `cargo_args` to what cargo needs to build for a target.
standard_library() {
    local target=$1
    cargo_env=() cargo_args=(--target "$target")
    if [[ -d $toolchain/lib/rustlib/$target ]]; then
        return
    fi
    # What an earlier run has built stays in use.
    if [[ ! -d $made/sysroot-$compiler ]]; then
        if from_rustup target add "$target"; then
            return
        fi
        if [[ ! -d $toolchain/lib/rustlib/src/rust/library ]]; then
            from_rustup component add rust-src || source_from_debian || return
        fi
    fi
    cargo_env=(RUSTC_BOOTSTRAP=1)
    case $target in
        *-none-*) cargo_args+=(-Zbuild-std=core,alloc) ;;
        *) cargo_args+=(-Zbuild-std) ;;
    esac
    if [[ -d $made/sysroot-$compiler ]]; then
        cargo_env+=(RUSTC="$made/sysroot-$compiler/rustc")
    fi
}

# A target that rustup does not have fails at once, and others may still work.
from_rustup() {
    local status=0
    [[ -z $rustup_fails ]] && command -v rustup > /dev/null || return
    timeout "$rustup_patience" rustup --quiet "$@" > "$made/rustup.log" 2>&1 || status=$?
    [[ $status -ne 124 ]] || rustup_fails=yes
    return "$status"
}

# A sysroot that is the toolchain's own, by links, with the source beside it.
source_from_debian() {
    local root=$made/sysroot-$compiler new=$made/sysroot.new file
    command -v apt-get dpkg-deb > /dev/null || return
    rm -rf "$new"
    mkdir -p "$new/source" "$new/lib/rustlib/src"
    (cd "$new" && download_rust_src && dpkg-deb -x rust-src_*.deb source && rm rust-src_*.deb) ||
        return
    for file in "$toolchain"/lib/*; do
        [[ ${file##*/} == rustlib ]] || ln -s "$file" "$new/lib/"
    done
    for file in "$toolchain"/lib/rustlib/*-*-*; do
        [[ ! -d $file ]] || ln -s "$file" "$new/lib/rustlib/"
    done
    ln -s "$toolchain/bin" "$new/bin"
    ln -s ../../../source/usr/src/rustc-"$compiler" "$new/lib/rustlib/src/rust"
    [[ -e $new/lib/rustlib/src/rust/library/Cargo.lock ]] || return
    printf '#!/bin/sh\nexec "%s/bin/rustc" --sysroot "%s" "$@"\n' "$toolchain" "$root" > "$new/rustc"
    chmod +x "$new/rustc"
    mv "$new" "$root"
}

# Into the current folder, from the first suite that has this version. The lists are apt's, checked as
# always, but kept here; the machine's own lists and packages stay as they are.
download_rust_src() {
    local mirror suite version apt=$made/apt
    local keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    [[ -e $keyring ]] || return
    mirror=$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' |
        awk '$1 == "Debian" { print $2; exit }')
    [[ -n $mirror ]] || return
    for suite in trixie-backports testing unstable; do
        rm -rf "$apt"
        mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
        : > "$apt/status"
        echo "deb [signed-by=$keyring] $mirror $suite main" > "$apt/sources.list"
        local options=(-qq -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=-
            -o Dir::State::lists="$apt/lists" -o Dir::State::status="$apt/status"
            -o Dir::Cache="$apt/cache" -o APT::Sandbox::User= -o Acquire::Languages=none)
        apt-get "${options[@]}" update || continue
        version=$(apt-cache "${options[@]}" madison rust-src |
            awk -v compiler="$compiler" 'index($3, compiler "+") == 1 { print $3; exit }')
        if [[ -n $version ]]; then
            apt-get "${options[@]}" download rust-src="$version"
            return
        fi
    done
    return 1
}
