# SPDX-License-Identifier: MIT
"""The short form of ``python -m tests.stress ownership``; the sanitizers' step runs more."""

import pytest

from tests.loop.support import ours_only
from tests.stress import ownership


@ours_only  # asyncio's selector loses track of cancelled sock_* calls whose socket is closed
@pytest.mark.parametrize("seed", [20261124, 738])
def test_no_byte_goes_astray(seed):
    broken, text = ownership.run(1.0, seed)
    print(text)
    assert not broken, text
