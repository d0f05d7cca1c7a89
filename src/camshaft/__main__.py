# SPDX-License-Identifier: MIT
"""`python -m camshaft`: the same as the command."""

from camshaft.cli import main

if __name__ == "__main__":
    main()
