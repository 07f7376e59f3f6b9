#!/bin/sh
# Installs the appliance on a machine with systemd.
#
#   sh systemd/install.sh files   configuration, forms, units, user
#   sh systemd/install.sh venv    the program, in a virtual environment of its own
#   sh systemd/install.sh all     both
#
# DESTDIR=/some/root      lay everything out there instead; touches nothing else
# ENABLE=1                start at boot (nothing is enabled otherwise, nothing is ever started)
# PYTHON=/path/python3.11 the interpreter of the virtual environment
# TORCH_INDEX=address     the package index that has the wanted build of PyTorch
#
# What a site has written under /etc/appliance is never overwritten. pip's own variables
# (PIP_INDEX_URL, PIP_FIND_LINKS, …) choose where packages come from.
set -eu
umask 022

DESTDIR=${DESTDIR:-}
PYTHON=${PYTHON:-python3.11}
prefix=/opt/appliance
source=$(cd "$(dirname "$0")/.." && pwd)

say() { printf '%s\n' "$*"; }

# Put $1 at $2 unless the site has one there.
keep() {
    if [ -e "$2" ]; then
        cmp -s "$1" "$2" || say "kept ${2#"$DESTDIR"}; the shipped one is in $prefix/share"
    else
        install -D -m "$3" "$1" "$2"
    fi
}

install_files() {
    share=$DESTDIR$prefix/share
    etc=$DESTDIR/etc/appliance
    install -d "$share/forms" "$etc/forms"
    install -m 0644 "$source"/config/*.yaml "$source"/config/*.json "$source"/docs/*.md "$share"
    install -m 0644 "$source"/config/forms/*.yaml "$share/forms"
    keep "$source/config/appliance.yaml" "$etc/appliance.yaml" 0640
    for form in "$source"/config/forms/*.yaml; do
        keep "$form" "$etc/forms/${form##*/}" 0644
    done
    for unit in "$source"/systemd/*.service "$source"/systemd/*.socket "$source"/systemd/*.target; do
        install -D -m 0644 "$unit" "$DESTDIR/etc/systemd/system/${unit##*/}"
    done
    install -D -m 0644 "$source/systemd/appliance.sysusers" \
        "$DESTDIR/usr/lib/sysusers.d/appliance.conf"
    install -D -m 0644 "$source/systemd/appliance.tmpfiles" \
        "$DESTDIR/usr/lib/tmpfiles.d/appliance.conf"
    install -D -m 0755 "$source/systemd/appliance.sh" "$DESTDIR/usr/local/bin/appliance"
    if [ -z "$DESTDIR" ]; then
        make_user
    fi
    enable
}

make_user() {
    systemd-sysusers appliance.conf
    systemd-tmpfiles --create appliance.conf
    chgrp -R appliance /etc/appliance
    if [ -d /run/systemd/system ]; then
        systemctl daemon-reload
    fi
}

enable() {
    [ "${ENABLE:-}" = 1 ] || return 0
    systemctl --root="$DESTDIR/" enable appliance.target
}

# The units see no home folders: an interpreter that lives in one would not start there.
check_python() {
    home=$("$PYTHON" -c 'import sys; print(sys.base_prefix)')
    case $home in
    /root/* | /home/*)
        say "$PYTHON lives in $home, which the services can't see." \
            "Write PYTHON=/usr/bin/python3.11."
        [ -n "$DESTDIR" ] || exit 1
        ;;
    esac
}

# Built aside and moved into place whole: running services never see half of it, and
# venv.previous is the way back.
install_venv() {
    final=$DESTDIR$prefix/venv
    new=$final.new
    check_python
    rm -rf "$new"
    install -d "$DESTDIR$prefix"
    "$PYTHON" -m venv "$new"
    if [ -n "${TORCH_INDEX:-}" ]; then
        torch=$(sed -n 's/^ *\(torch==[0-9.]*\)$/\1/p' "$source/setup.cfg")
        "$new/bin/pip" install --no-compile --index-url "$TORCH_INDEX" "$torch"
    fi
    # pip leaves its traces beside what it builds: not in the checkout.
    copy=$(mktemp -d)
    trap 'rm -rf "$copy"' EXIT
    tar -C "$source" -c --exclude-vcs --exclude=./.venv --exclude=./build --exclude='*.egg-info' . |
        tar -C "$copy" -x
    "$new/bin/pip" install --no-compile "$copy"
    # Scripts name the interpreter by its path: let it be the final one.
    grep -rlIF "$new" "$new/bin" "$new/pyvenv.cfg" | while read -r file; do
        sed -i "s|$new|$prefix/venv|g" "$file"
    done
    rm -rf "$final.previous"
    if [ -d "$final" ]; then
        mv "$final" "$final.previous"
    fi
    mv "$new" "$final"
    # Some packages carry templates that are no Python; the others are compiled all the same.
    "$final/bin/python" -m compileall -q -j 0 -s "$DESTDIR" -p / "$final/lib" >/dev/null || true
}

case "${1:-}" in
files) install_files ;;
venv) install_venv ;;
all) install_venv && install_files ;;
*)
    sed -n '2,15s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
if [ -z "$DESTDIR" ]; then
    say "Edit /etc/appliance/appliance.yaml, then: appliance check && systemctl start appliance.target"
fi
