# SPDX-License-Identifier: MIT
"""What two outcomes differ in, as a short key; the file settled.toml says why each is right."""

import tomllib
from pathlib import Path

from fuzz.differential.parsers import Outcome, Request

SETTLED = Path(__file__).with_name("settled.toml")


def plain(headers: list[tuple[bytes, bytes]], case: bool) -> list[tuple[bytes, bytes]]:
    return [(name, (value.lower() if case else value).rstrip(b" \t")) for name, value in headers]


def difference_of_requests(ours: Request, theirs: Request) -> str | None:
    for name in ("method", "target", "version", "body", "keep_alive"):
        if getattr(ours, name) != getattr(theirs, name):
            return name
    if ours.headers == theirs.headers:
        return None
    if ours.headers == plain(theirs.headers, case=False):
        return "white space"
    if plain(ours.headers, case=True) == plain(theirs.headers, case=True):
        return "case"
    return "headers"


def difference(ours: Outcome, theirs: Outcome) -> str | None:
    """Return the first difference, None if there is none.

    `accepts REASON`: they have a request where we refuse. `refuses REASON`: the other way round,
    with their reason. `differs FIELD`: both have it, and not the same. `waits`: they have not
    refused yet what we refuse, `early`: they have, and we have not yet. `completes` and
    `incomplete`: they, or we, have a request where the other waits for the rest of it. `switches`:
    they stop reading HTTP after a request that offers another protocol.
    """
    for i in range(max(len(ours.requests), len(theirs.requests))):
        if theirs.switched and i == len(theirs.requests) - 1:
            return "switches"
        if i == len(ours.requests):
            if ours.error is not None:
                return f"accepts {ours.error}"
            return None if ours.closed else "completes"
        if i == len(theirs.requests):
            if theirs.error is not None:
                return f"refuses {theirs.error}"
            return "incomplete"
        field = difference_of_requests(ours.requests[i], theirs.requests[i])
        if field is not None:
            return f"differs {field}"
    if ours.error is not None and theirs.error is None:
        return "waits"
    if theirs.error is not None and ours.error is None and not ours.closed:
        return "early"
    return None


def read_settled() -> dict[str, dict[str, dict[str, str]]]:
    """Return why each difference is right: by peer and key, each with `section` and `why`."""
    return tomllib.loads(SETTLED.read_text())
