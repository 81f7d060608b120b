# SPDX-License-Identifier: Apache-2.0
"""Writes the Python sources of the shim into one C file, so that the worker needs no files.

Usage: embed.py SOURCE.py... OUT.c   The package itself comes first, the others in an order in which
each imports only what stands before it."""
import sys
from pathlib import Path

# A module may import those above it.
ORDER = ["__init__", "errors", "task", "report", "api", "fold", "resp", "sql", "toolkit", "service", "env",
         "mongo_values", "mongo_cursor", "mongo_write", "mongo_coll", "mongo", "conn", "probe", "threads",
         "config", "filters", "func", "entities", "web", "dataflux", "guance", "redis_like",
         "series", "sys_cache", "store", "sysdb", "dff"]


def module_name(path: Path) -> str:
    return "tenon_shim" if path.stem == "__init__" else "tenon_shim." + path.stem


def c_array(name: str, data: bytes) -> str:
    rows = [", ".join(str(b) for b in data[i:i + 24]) for i in range(0, len(data), 24)]
    return "static const unsigned char %s[] = {\n    %s};\n" % (name, ",\n    ".join(rows or ["0"]))


def main(out: str, sources: list) -> None:
    paths = sorted((Path(s) for s in sources), key=lambda p: ORDER.index(p.stem))
    parts = ["/* Made by pyshim/embed.py; do not edit. */", '#include "pyshim/shim.h"', ""]
    table = []
    for i, path in enumerate(paths):
        data = path.read_bytes()
        parts.append(c_array("text_%d" % i, data + b"\n"))
        table.append('    {"%s", text_%d, %d},' % (module_name(path), i, len(data)))
    parts.append("const struct embed_source embed_sources[] = {\n%s\n    {NULL, NULL, 0},\n};\n"
                 % "\n".join(table))
    Path(out).write_text("\n".join(parts))


if __name__ == "__main__":
    main(sys.argv[-1], sys.argv[1:-1])
