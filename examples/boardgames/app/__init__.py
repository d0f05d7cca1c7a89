# SPDX-License-Identifier: MIT
"""A board-games API: FastAPI over SQLAlchemy 2's asyncio extension."""
