#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Brings wheels of Python for the tests: tests/peers/wheels.sh FOLDER
#
# FOLDER (tests/peers/NAME) has requirements.txt with versions and hashes. Afterwards build/peers/NAME is a folder for sys.path.
# `ready` comes last; nothing is done when it is there and the requirements are as they were. pip asks the index of its configuration.
set -euo pipefail
from=$(readlink -f "$1")
folder=$(readlink -f "$(dirname "$0")")/../../build/peers/$(basename "$from")
mkdir -p "$folder"
folder=$(readlink -f "$folder")
inputs=$(cat "$(readlink -f "$0")" "$from"/{fetch,requirements.txt} | sha256sum)
if [[ -e $folder/ready && $(cat "$folder/ready") == "$inputs" ]]; then
    exit 0
fi
rm -rf "$folder"
mkdir -p "$folder/wheels"
cd "$folder"
/usr/bin/python3 -m pip --disable-pip-version-check --quiet download --no-cache-dir --no-deps --only-binary :all: --require-hashes \
    -r "$from/requirements.txt" -d wheels
for wheel in wheels/*.whl; do
    /usr/bin/python3 -m zipfile -e "$wheel" .
done
rm -r wheels
echo "$inputs" >ready
