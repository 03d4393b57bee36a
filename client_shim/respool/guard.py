"""What keeps a wrong argument out of a training loop: one warning instead of an exception."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

from respool import notices
from respool.errors import RecordLostError, Superseded, UsageError

_Method = TypeVar("_Method", bound=Callable[..., Any])


def guarded(result: Any) -> Callable[[_Method], _Method]:
    """A method of a Run that warns and returns `result` where an argument cannot be used; strict raises
    UsageError. Other exceptions pass: a signal handler of the script may raise its own at any place.
    """

    def wrap(method: _Method) -> _Method:
        @functools.wraps(method)
        def call(run: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                return method(run, *args, **kwargs)
            except (RecordLostError, Superseded):
                raise
            except UsageError as error:
                if run.settings.strict or _of_callback(run, error):
                    raise
                notices.warn(f"{method.__name__} {error}", f"{error} The call is ignored.")
                return result
            except (TypeError, ValueError, AttributeError) as error:
                if _of_callback(run, error):
                    raise
                text = f"{method.__name__}() cannot use what it was given: {error}"
                if run.settings.strict:
                    raise UsageError(f"{text}. Pass what its documentation names.") from error
                notices.warn(f"{method.__name__} {error}", f"{text}; the call is ignored.")
                return result

        return cast("_Method", call)

    return wrap


def _of_callback(run: Any, error: Exception) -> bool:
    """Whether a callback of the script raised it, in our call: that is for the script."""
    if error is not getattr(run, "_raised", None):
        return False
    run._raised = None
    return True
