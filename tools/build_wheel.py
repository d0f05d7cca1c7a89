# SPDX-License-Identifier: MIT
"""Build a wheel of this checkout: `python tools/build_wheel.py OUT_DIR BUILD_DIR [MESON_OPTION]...`

Calls the build backend itself, because the pip of older distributions (before 23.1) cannot hand
it more than one option. meson-python, meson and ninja must be installed beside this Python.
"""

import shutil
import sys
from pathlib import Path

import mesonpy


def main() -> None:
    """Leave the wheel alone in OUT_DIR, and what was compiled in BUILD_DIR for the next time."""
    out, build = Path(sys.argv[1]), Path(sys.argv[2])
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    settings = {
        "build-dir": str(build),
        "setup-args": [f"-D{option}" for option in sys.argv[3:]],
    }
    mesonpy.build_wheel(str(out), settings)


if __name__ == "__main__":
    main()
