#!/bin/sh
# The programs that the tests talk to. Installs them where it may; else says what to install.
set -eu
PACKAGES="dcmtk dicom3tools orthanc orthanc-dicomweb chromium postgresql procps strace systemd"

missing=""
for package in $PACKAGES; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q "ok installed" ||
        missing="$missing $package"
done
[ -z "$missing" ] && exit 0

if [ "$(id -u)" -ne 0 ]; then
    echo "The tests need programs that are not installed. As root:" >&2
    echo "    apt-get install --no-install-recommends$missing" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $missing
