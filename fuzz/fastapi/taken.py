# SPDX-License-Identifier: MIT
"""What the functions of a random application take from the request."""

from dataclasses import dataclass

# Types of scalars, with an example that is valid.
SCALARS = {
    "str": "abc",
    "int": "7",
    "float": "1.5",
    "bool": "yes",
    "uuid.UUID": "12345678-1234-5678-1234-567812345678",
    "Color": "blue",
    "datetime.date": "2026-01-02",
    "datetime.datetime": "2026-01-02T03:04:05Z",
    "decimal.Decimal": "1.10",
    'Literal["a", "b"]': "a",
}


@dataclass
class Taken:
    """What a function takes from the request."""

    place: str  # "path", "query", "header", "cookie", "body", "form", "file"
    key: str
    example: object
    several: bool = False
