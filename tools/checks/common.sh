# SPDX-License-Identifier: MIT
# Sourced by the steps of tools/check; a step ends with 0, with 77 for "skipped", else it failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
venv=.venv
python=$venv/bin/python
example=examples/boardgames
test_requirements=(tools/requirements/test.txt "$example/requirements.txt")
# How pytest is to run whole suites: in three processes, as there may be another step beside this one.
side_by_side=(-n 3 --dist loadscope)

# This machine cannot run the step, for the stated reason.
skip() {
    echo "skipped: $*"
    exit 77
}

# The C sources and headers, NUL-separated.
c_files() {
    local places=(csrc tests)
    [ ! -d fuzz ] || places+=(fuzz)
    [ ! -d bench ] || places+=(bench)
    find "${places[@]}" -name "$1" -print0
}

# Those of the named test directories that exist.
existing() {
    local directory
    for directory; do
        [ ! -d "$directory" ] || echo "$directory"
    done
}
