"""An agent whose runs all fail at once: its machine or its script is broken, and it would burn the whole sweep."""

from __future__ import annotations

from respool import notices

IN_A_ROW = 5
AT_ONCE_SECONDS = 30.0


class Flapping:
    """Counts failures that came at once and in a row; after IN_A_ROW the agent is to give up."""

    def __init__(self) -> None:
        self._failed = 0

    def ended(self, code: int, seconds: float) -> None:
        """A run took so long, and ended with this code."""
        self._failed = self._failed + 1 if code and seconds < AT_ONCE_SECONDS else 0
        if self.given_up:
            notices.line(
                f"{IN_A_ROW} runs in a row failed within {AT_ONCE_SECONDS:.0f} s each: this agent gives up. Try the "
                "command by hand."
            )

    @property
    def given_up(self) -> bool:
        """Whether that was enough."""
        return self._failed >= IN_A_ROW
