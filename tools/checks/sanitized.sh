# SPDX-License-Identifier: MIT
# Sourced after common.sh: camshaft with AddressSanitizer and UndefinedBehaviorSanitizer.
#
# PYTHONMALLOC=malloc: pymalloc's arenas hide both overflows and uses after free. Leaks are the
# refleaks step's: here every interned string would be one.
#
# What is found is reported to files, as the process may be one that a test has started and whose end
# nobody looks at: a worker that dies is replaced.

asan=$(gcc -print-file-name=libasan.so)
ubsan=$(gcc -print-file-name=libubsan.so)
[ -e "$asan" ] && [ -e "$ubsan" ] || skip "gcc has no sanitizer runtimes here"

reports=$(mktemp -d)
trap 'rm -rf "$reports"' EXIT
# Workers that have become another user write there, too.
chmod 1777 "$reports"
export ASAN_OPTIONS=detect_leaks=0:abort_on_error=0:allocator_may_return_null=1:log_path=$reports/asan
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1:log_path=$reports/ubsan

# Python with that camshaft.
sanitized() {
    env LD_PRELOAD="$asan $ubsan" PYTHONMALLOC=malloc PYTHONPATH="$PWD/$venv/sanitized" \
        "$python" "$@"
}

# Print what has been reported since the last time; fails if that is anything.
nothing_reported() {
    local report found=0
    for report in "$reports"/*; do
        [ -e "$report" ] || continue
        found=1
        echo "= reported by process ${report##*.}"
        cat "$report"
        rm -f "$report"
    done
    return $found
}

# Build it, and see that it is used and that a fault is found wherever it happens.
set_up_sanitized() {
    tools/setup --into "$venv/sanitized" --option b_sanitize=address,undefined \
        --option b_lundef=false --option buildtype=debugoptimized "${test_requirements[@]}"
    sanitized -c '
import camshaft._core as core
assert "/sanitized/" in core.__file__, core.__file__
' || exit 1
    # In the child of a child, which ends as if nothing had been.
    sanitized -c '
import subprocess, sys
fault = "import ctypes; ctypes.memset(ctypes.create_string_buffer(64), 0, 4096)"
subprocess.run([sys.executable, "-c", f"import os; os.fork() or exec({fault!r}); os.wait()"])
'
    if nothing_reported >/dev/null; then
        echo "a fault made on purpose, in the child of a child, was not reported"
        exit 1
    fi
}
