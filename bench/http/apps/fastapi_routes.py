# SPDX-License-Identifier: MIT
"""FastAPI's features one by one: dependencies, a body, `def`, included routers, 800 routes."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Header, Query
from fastapi.middleware.cors import CORSMiddleware
from fastapi.middleware.gzip import GZipMiddleware
from pydantic import BaseModel


class Item(BaseModel):
    """What is sent and returned."""

    item_id: int
    name: str
    price: float = 1.5
    tags: list[str] = []


class Page(BaseModel):
    """What was asked for, and by whom."""

    limit: int
    token: str | None


app = FastAPI()


async def limited(limit: Annotated[int, Query(le=100)] = 10) -> int:
    return limit


async def page(
    limit: Annotated[int, Depends(limited)], x_token: Annotated[str | None, Header()] = None
) -> Page:
    return Page(limit=limit, token=x_token)


@app.get("/depends/{item_id}", response_model=Item)
async def depends(item_id: int, asked: Annotated[Page, Depends(page)]) -> Item:
    return Item(item_id=item_id, name="a game", price=asked.limit)


@app.post("/items", response_model=Item)
async def post(item: Item) -> Item:
    return item


@app.get("/thread/{item_id}", response_model=Item)
def thread(item_id: int) -> dict[str, object]:
    return {"item_id": item_id, "name": "a game"}


async def opened() -> AsyncIterator[str]:
    yield "a session"


@app.get("/opened/{item_id}", response_model=Item)
async def in_session(item_id: int, session: Annotated[str, Depends(opened)]) -> Item:
    return Item(item_id=item_id, name=session)


router = APIRouter(prefix="/games")


@router.get("/{item_id}", response_model=Item)
async def game(item_id: int) -> Item:
    return Item(item_id=item_id, name="a game")


app.include_router(router, prefix="/v1")

many = FastAPI()
for number in range(36):
    part = APIRouter(prefix=f"/part{number}")
    for route in range(22):
        part.get(f"/route{route}/{{item_id}}", response_model=Item)(game)
    many.include_router(part)

cors = FastAPI()
cors.add_middleware(CORSMiddleware, allow_origins=["*"])
cors.get("/")(limited)

gzip = FastAPI()
gzip.add_middleware(GZipMiddleware)


@gzip.get("/games")
async def games(limit: Annotated[int, Depends(limited)]) -> list[Item]:
    return [
        Item(item_id=number, name=f"game number {number}", price=number * 1.25, tags=["a", "b"])
        for number in range(limit)
    ]
