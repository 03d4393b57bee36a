"""A request that is not done: the status and the Problem that say why."""

from __future__ import annotations

from typing import Any

from respoold.core.hubapi import Problem

STATUS = {
    "bad-request": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "missing": 404,
    "unknown-attempt": 404,
    "method": 405,
    "conflict": 409,
    "exists": 409,
    "live": 409,
    "damaged": 410,
    "deleted": 410,
    "missing-blob": 409,
    "bad-range": 416,
    "too-large": 413,
    "quota": 409,
    "bad-frames": 422,
    "digest-mismatch": 422,
    "internal": 500,
    "store": 503,
    "full": 507,
}


class RefusalError(Exception):
    """Nothing was changed. `status` is the HTTP status of `problem`."""

    def __init__(self, problem: Problem, status: int | None = None) -> None:
        super().__init__(problem.cause)
        self.problem = problem
        self.status = status or STATUS[problem.code]


def refuse(code: str, cause: str, advice: str = "", **detail: Any) -> RefusalError:
    """The error to raise."""
    return RefusalError(Problem(code, cause, advice, detail))
