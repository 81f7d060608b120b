#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Brings the jars of a Java server for the tests: tests/peers/maven.sh FOLDER [COMMAND…]
#
# FOLDER (tests/peers/NAME) has `coordinates` (lines group:artifact:version; # begins a comment) and `sha256sums` of every jar
# that they lead to. Afterwards build/peers/NAME/ has jars/, and `classpath` with all of them separated by colons. COMMAND runs
# in that folder with CLASSPATH set (say, javac of a main). `ready` comes last; nothing is done when it is there and FOLDER is as
# it was. WRITE_SUMS=1 writes sha256sums anew after a change of coordinates. Maven asks the repositories of its configuration.
set -euo pipefail

folder=$(readlink -f "$1")
shift
name=$(basename "$folder")
peers=$(readlink -f "$(dirname "$0")/../..")/build/peers
out=$peers/$name
command=("$@")
inputs() {  # what the folder was made of
    (cd "$folder" && find . -type f -not -name '*.py*' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum; echo "${command[@]}") | sha256sum
}

[[ -f $out/ready && $(<"$out/ready") == "$(inputs)" && ${WRITE_SUMS:-} != 1 ]] && exit 0
for tool in mvn java; do
    command -v $tool >/dev/null || { echo "$name: no $tool (Debian: maven default-jdk-headless)" >&2; exit 1; }
done
rm -rf "$out"
mkdir -p "$out/jars"

{
    echo '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
    echo "<groupId>peers</groupId><artifactId>$name</artifactId><version>1</version><dependencies>"
    sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$folder/coordinates" | while IFS=: read -r group artifact version; do
        echo "<dependency><groupId>$group</groupId><artifactId>$artifact</artifactId><version>$version</version></dependency>"
    done
    echo '</dependencies></project>'
} >"$out/pom.xml"

# one Maven at a time: its local repository is no place for two
(
    flock 9
    for attempt in 1 2 3; do
        mvn -B -q -f "$out/pom.xml" -Dmaven.repo.local="$peers/m2" dependency:copy-dependencies \
            -DoutputDirectory="$out/jars" -DincludeScope=runtime >"$out/mvn.log" 2>&1 && exit 0
        sleep $((attempt * 3))
    done
    tail -20 "$out/mvn.log" >&2
    exit 1
) 9>"$peers/m2.lock"

cd "$out/jars"
if [[ ${WRITE_SUMS:-} == 1 ]]; then
    LC_ALL=C sha256sum -- *.jar >"$folder/sha256sums"
fi
if ! sha256sum --strict --quiet -c "$folder/sha256sums" >&2 ||
    [[ $(find . -name '*.jar' | wc -l) != $(wc -l <"$folder/sha256sums") ]]; then
    echo "$name: the jars are not those of $name/sha256sums" >&2
    exit 1
fi
cd "$out"
CLASSPATH=$(printf '%s:' "$out"/jars/*.jar)
export CLASSPATH=${CLASSPATH%:}
echo "$CLASSPATH" >classpath
"${command[@]}"
inputs >ready
