"""Three ways a hub can say no, and what each means for what was to be sent."""

from __future__ import annotations

from respoold.core.hubapi import Problem


class HubError(Exception):
    """Any request that was not done."""


class HubAway(HubError):
    """Waiting helps: no answer, a half one, garbage, 408, 425, 429 or 5xx. Nothing may be concluded."""

    def __init__(self, why: str, retry_after: float | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.retry_after = retry_after


class HubDenied(HubError):
    """The credential is refused (401, 403): hold everything, say so, try again later."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.cause)
        self.problem = problem


class HubRefused(HubError):
    """The hub understood and will not: the same request would be refused again."""

    def __init__(self, status: int, problem: Problem) -> None:
        super().__init__(problem.cause)
        self.status = status
        self.problem = problem


def plain(error: Exception) -> str:
    """What an exception says, for people: without the number in front that the system has for it."""
    text = str(error)
    number, bracket, rest = text.partition("] ")
    return (rest if bracket and number.startswith("[Errno ") else text) or type(error).__name__
