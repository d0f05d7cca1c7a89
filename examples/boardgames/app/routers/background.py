# SPDX-License-Identifier: MIT
"""Work that goes on after the response, with a database session of its own."""

import asyncio
import itertools
import logging

from fastapi import APIRouter, BackgroundTasks, HTTPException, status
from sqlalchemy import func, select

from ..database import Database, DatabaseDep
from ..models import Game
from ..schemas import Job

router = APIRouter(prefix="/background-safe", tags=["background"])
logger = logging.getLogger("boardgames")

MAX_JOBS = 1000
READ_WITHIN = 10.0  # seconds

numbers = itertools.count(1)
jobs: dict[int, Job] = {}
# Set when somebody asks after a job. A job waits for that, which shows it to be still at work
# when the response that announced it has arrived.
asked: dict[int, asyncio.Event] = {}


async def count_games(job: Job, event: asyncio.Event, database: Database) -> None:
    """Count the games for a job. The request's own session is closed by now."""
    job.status = "running"
    try:
        await asyncio.wait_for(event.wait(), timeout=READ_WITHIN)
    except TimeoutError:
        logger.warning("nobody asked after job %d", job.id)
    try:
        async with database.session() as session:
            job.games = await session.scalar(select(func.count()).select_from(Game))
        job.status = "done"
    except Exception:
        job.status = "failed"
        raise


@router.get("")
async def start_job(background: BackgroundTasks, database: DatabaseDep) -> Job:
    """Answer at once; the work begins when the response has been sent."""
    job = Job(id=next(numbers), status="scheduled")
    if len(jobs) >= MAX_JOBS:
        oldest = next(iter(jobs))
        del jobs[oldest]
        asked.pop(oldest).set()
    jobs[job.id], asked[job.id] = job, asyncio.Event()
    background.add_task(count_games, job, asked[job.id], database)
    return job


@router.get("/{job_id}")
async def read_job(job_id: int) -> Job:
    """How far a job has come."""
    if job_id not in jobs:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"there is no job {job_id}")
    seen = jobs[job_id].model_copy()
    asked[job_id].set()
    return seen
