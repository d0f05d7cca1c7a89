# SPDX-License-Identifier: MIT
"""Tasks made and cancelled by hand."""

import asyncio
from typing import Any

from fastapi import APIRouter

from ..remote import fetch

router = APIRouter(prefix="/tasks", tags=["tasks"])


@router.get("/create")
async def create() -> dict[str, Any]:
    """Start a task, do something else meanwhile, collect its answer."""
    events: list[str] = []

    async def work() -> str:
        events.append("task runs")
        return await fetch("games", 0.01)

    task = asyncio.create_task(work(), name="collector")
    events.append("request goes on")
    answer = await task
    events.append("answer collected")
    return {"name": task.get_name(), "events": events, "answer": answer}


@router.get("/cancel")
async def cancel() -> dict[str, Any]:
    """Start a task that would take long, cancel it, and let it clean up."""
    events: list[str] = []
    running = asyncio.Event()

    async def work() -> None:
        events.append("started")
        running.set()
        try:
            await fetch("archive", 30)
        except asyncio.CancelledError:
            events.append("cleaned up")
            raise

    task = asyncio.create_task(work())
    await running.wait()
    task.cancel("no longer wanted")
    try:
        await task
    except asyncio.CancelledError:
        events.append("gone")
    return {"events": events, "cancelled": task.cancelled()}
