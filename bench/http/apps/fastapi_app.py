# SPDX-License-Identifier: MIT
"""FastAPI with a route that returns a dict, and one with parameters and a response model."""

from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()


class Item(BaseModel):
    """What `/items/{item_id}` returns."""

    item_id: int
    name: str
    q: str | None = None


@app.get("/")
async def hello() -> dict[str, str]:
    """A small JSON object."""
    return {"message": "Hello, world!"}


@app.get("/items/{item_id}", response_model=Item)
async def item(item_id: int, q: str | None = None) -> Item:
    """A path parameter, a query parameter and a model that is validated on the way out."""
    return Item(item_id=item_id, name="a game", q=q)
