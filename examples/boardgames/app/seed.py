# SPDX-License-Identifier: MIT
"""The games an empty database starts with."""

_FIELDS = ("name", "category", "year", "min_players", "max_players", "minutes")

GAMES: list[dict[str, str | int]] = [
    dict(zip(_FIELDS, row, strict=True))
    for row in (
        ("Go", "abstract", -2000, 2, 2, 90),
        ("Chess", "abstract", 1475, 2, 2, 60),
        ("Backgammon", "race", -3000, 2, 2, 30),
        ("Catan", "trading", 1995, 3, 4, 90),
        ("Carcassonne", "tile-laying", 2000, 2, 5, 45),
        ("Ticket to Ride", "route-building", 2004, 2, 5, 60),
        ("Agricola", "worker-placement", 2007, 1, 5, 120),
        ("Pandemic", "cooperative", 2008, 2, 4, 45),
        ("Dominion", "deck-building", 2008, 2, 4, 30),
        ("7 Wonders", "drafting", 2010, 3, 7, 30),
        ("Azul", "tile-laying", 2017, 2, 4, 40),
        ("Wingspan", "engine-building", 2019, 1, 5, 60),
    )
]
