#!/bin/sh
# Installs what Hookwheel needs, on Debian 12 and 13:
#
#   sh engine/setup.sh          to build it and run it
#   sh engine/setup.sh --test   and to run its tests
#
# Packages come from Debian.  mbedTLS 3.6 is built here from its pinned source with
# what is in proto/tls/mbedtls, into /usr/local/lib/hookwheel-deps (root) or
# ~/.cache/hookwheel (anyone else), where cmake looks for it.  Nothing is installed twice: a
# second run says so and ends.  This is the only place that installs or downloads anything.
set -eu

mbedtls_version=3.6.6
# The release's own archive; Debian's .orig.tar.bz2 is the same file.
mbedtls_sha256=8fb65fae8dcae5840f793c0a334860a411f884cc537ea290ce1c52bb64ca007a
mbedtls_upstream=https://github.com/Mbed-TLS/mbedtls/releases/download
mbedtls_cflags="-O3 -g1 -fPIC -fstack-protector-strong"

top=$(cd "$(dirname "$0")/.." && pwd)
work=
new=

say() {
    echo "setup: $*"
}

stop() {
    echo "setup: $*" >&2
    exit 1
}

clean_up() {
    if [ -n "$work" ]; then
        rm -rf "$work"
    fi
    if [ -n "$new" ]; then
        rm -rf "$new"
    fi
}

# A scratch folder, and a log in it that is shown only when something fails.
begin_work() {
    if [ -z "$work" ]; then
        work=$(mktemp -d)
        chmod 755 "$work" # apt downloads as a user of its own
        log=$work/log
    fi
}

# quietly WHAT COMMAND...: on failure its last lines and WHAT.
quietly() {
    what=$1
    shift
    "$@" >"$log" 2>&1 || {
        tail -n 15 "$log" >&2
        stop "$what"
    }
}

# --- packages -----------------------------------------------------------------------------

system_release() {
    [ -r /etc/os-release ] && command -v dpkg-query >/dev/null 2>&1 || return 0
    (. /etc/os-release && [ "${ID:-}" = debian ] && echo "${VERSION_ID:-}") || true
}

packages() {
    echo gcc libc6-dev make cmake pkg-config bzip2 ca-certificates curl
    echo libuv1-dev libc-ares-dev libhiredis-dev libjansson-dev nettle-dev redis-server python3
    case $release in
    12) echo node-llhttp ;;
    *) echo libllhttp-dev ;;
    esac
    if [ "$for_tests" = yes ]; then
        echo openssl python3-jsonschema python3-yaml
        # Whoever has Node.js from elsewhere keeps it.
        command -v node >/dev/null 2>&1 || echo nodejs
        command -v npm >/dev/null 2>&1 || echo npm
    fi
}

missing_packages() {
    wanted=$(packages)
    # shellcheck disable=SC2086
    dpkg-query -W -f='${db:Status-Status} ${Package}\n' $wanted 2>/dev/null |
        sed -n 's/^installed //p' >"$1"
    for package in $wanted; do
        grep -qx "$package" "$1" || printf '%s ' "$package"
    done
}

apt_get() {
    DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 \
        -o Acquire::Retries=2 -o Acquire::http::Timeout=30 "$@"
}

install_packages() {
    begin_work
    missing=$(missing_packages "$work/installed")
    [ -n "$missing" ] || return 0
    [ "$(id -u)" -eq 0 ] ||
        stop "not root, and these packages are missing: $missing- run once as root: sh engine/setup.sh$flag"
    say "installing packages: $missing"
    # A list that cannot be had may belong to a source that has nothing for us.
    apt_get update >"$log" 2>&1 || true
    # shellcheck disable=SC2086
    quietly "the packages could not be installed (see above; is there a network?): $missing" \
        apt_get install -y --no-install-recommends $missing
    did=yes
}

# --- what is not a package -----------------------------------------------------------------

# Put together beside its place and moved there at the end, so it is whole or absent.
is_there() {
    [ -d "$shared/$1" ] || [ -d "$deps/$1" ]
}

begin_place() {
    new=$deps/.new.$$
    mkdir -p "$new" 2>/dev/null || stop "cannot write to $deps"
}

end_place() {
    chmod -R a+rX "$new"
    # Another run may have been faster: then its copy stays.
    mv -T "$new" "$deps/$1" 2>/dev/null || is_there "$1" || stop "cannot write to $deps"
    did=yes
}

# --- mbedTLS ------------------------------------------------------------------------------

digest_of() {
    sha256sum "$1" | cut -d ' ' -f 1
}

short_digest_of() {
    digest_of "$1" | cut -c 1-12
}

# Of what we build mbedTLS with; CMakeLists.txt computes the same.
digest_of_ours() {
    for file in ecp.c gcm.c gcm_alt.h mbedtls_config.h; do
        digest_of "$ours/$file"
    done | tr -d '\n' | sha256sum | cut -c 1-12
}

# Where the machine's own apt finds Debian.
debian_mirrors() {
    uris=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian')
    [ -n "$uris" ] || uris=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages')
    echo "$uris" | sort -u
}

# try_download TO COMMAND...: true when the right file has come.
try_download() {
    to=$1
    shift
    rm -f "$to"
    "$@" >>"$log" 2>&1 || return 1
    [ -f "$to" ] && [ "$(digest_of "$to")" = "$mbedtls_sha256" ]
}

fetch_mbedtls() {
    to=$work/mbedtls.tar.bz2
    : >"$log"
    for mirror in $(debian_mirrors 2>/dev/null || true); do
        for pool in pool/main/m/mbedtls pool/updates/main/m/mbedtls; do
            try_download "$to" /usr/lib/apt/apt-helper -o Acquire::http::Timeout=30 download-file \
                "$mirror$pool/mbedtls_$mbedtls_version.orig.tar.bz2" "$to" \
                "SHA256:$mbedtls_sha256" && return 0
        done
    done
    try_download "$to" curl -fsSL --retry 2 --connect-timeout 20 -o "$to" \
        "$mbedtls_upstream/mbedtls-$mbedtls_version/mbedtls-$mbedtls_version.tar.bz2" && return 0
    tail -n 15 "$log" >&2
    stop "the source of mbedTLS $mbedtls_version could not be downloaded (see above; is there a network?)"
}

build_mbedtls() {
    begin_work
    say "building mbedTLS $mbedtls_version"
    fetch_mbedtls
    quietly "the source of mbedTLS does not unpack" tar -xjf "$work/mbedtls.tar.bz2" -C "$work"
    source=$work/mbedtls-$mbedtls_version
    cp "$ours/mbedtls_config.h" "$source/include/mbedtls/"
    cp "$ours/gcm_alt.h" "$source/include/"
    mv "$source/library/ecp.c" "$source/library/ecp_upstream.c"
    cp "$ours/ecp.c" "$ours/gcm.c" "$source/library/"
    quietly "mbedTLS does not build" make -C "$source/library" -j "$(nproc)" GEN_FILES= \
        CC="${CC:-cc}" CFLAGS="$mbedtls_cflags" static

    begin_place
    mkdir "$new/lib" "$new/include"
    cp "$source/library/libmbedtls.a" "$source/library/libmbedx509.a" \
        "$source/library/libmbedcrypto.a" "$new/lib/"
    cp -R "$source/include/mbedtls" "$source/include/psa" \
        "$source/3rdparty/everest/include/everest" "$ours/gcm_alt.h" "$new/include/"
    cp "$source/LICENSE" "$new/"
    end_place "$mbedtls"
}

# --- the tests' npm packages ---------------------------------------------------------------

# A folder of test/support with a package-lock.json, by the name of what is made of it.
place_of() {
    echo "$1-$(short_digest_of "$top/test/support/$1/package-lock.json")"
}

# install_node FOLDER WHAT
install_node() {
    begin_work
    say "installing $2"
    begin_place
    cp "$top/test/support/$1/package.json" "$top/test/support/$1/package-lock.json" "$new/"
    quietly "npm could not install the packages of test/support/$1 (see above)" \
        npm ci --prefix "$new" --omit=dev --ignore-scripts --no-audit --no-fund
    end_place "$(place_of "$1")"
}

# -------------------------------------------------------------------------------------------

for_tests=no
flag=
did=no
case ${1:-} in
'') ;;
--test)
    for_tests=yes
    flag=' --test'
    ;;
*) stop "unknown argument $1; usage: sh engine/setup.sh [--test]" ;;
esac

trap clean_up EXIT
trap 'exit 130' INT TERM

release=$(system_release)
case $release in
12 | 13) ;;
*) stop "this system is neither Debian 12 nor 13: install libuv, c-ares, llhttp, hiredis, jansson, nettle, mbedTLS 3.6, redis-server, cmake and a C compiler by hand; then cmake -DHOOKWHEEL_SYSTEM_MBEDTLS=ON" ;;
esac

install_packages

# What root has installed serves everyone; who is not root and finds it lacking uses his own.
shared=/usr/local/lib/hookwheel-deps
deps=$shared
[ "$(id -u)" -eq 0 ] || deps=${XDG_CACHE_HOME:-$HOME/.cache}/hookwheel

ours=$top/proto/tls/mbedtls
mbedtls=mbedtls-$mbedtls_version-$(digest_of_ours)

is_there "$mbedtls" || build_mbedtls
if [ "$for_tests" = yes ]; then
    # The published library that receivers verify signatures with; what lints openapi.yaml.
    is_there "$(place_of verifier)" || install_node verifier "the Standard Webhooks verifier"
    is_there "$(place_of linter)" || install_node linter "the OpenAPI linter"
fi

if [ "$did" = yes ]; then
    say "done"
else
    say "everything is there already"
fi
