"""A sweep's file: YAML as people write it, where `1e-5` is a number."""

from __future__ import annotations

import re
from typing import Any

from respoold.cli.errors import CommandError, Exit

_EXPONENT = re.compile(r"[-+]?(?:\d[\d_]*\.?\d*|\.\d+)[eE][-+]?\d+$")
"""What YAML 1.2 takes for a number and YAML 1.1, which PyYAML reads, for a text."""


def read(path: str) -> dict[str, Any]:
    """What it holds. Raises CommandError naming the file."""
    import yaml  # noqa: PLC0415 - one command of many needs it

    class Loader(yaml.SafeLoader):  # type: ignore[misc] # PyYAML has no types
        """Of this file only: resolvers are shared by all who use a class."""

    Loader.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+.0123456789"))
    # A date is passed on as it was written: no script is given anything but text and numbers.
    Loader.add_constructor("tag:yaml.org,2002:timestamp", Loader.construct_yaml_str)
    try:
        with open(path, encoding="utf-8") as file:
            found = yaml.load(file, Loader)  # noqa: S506 - it is the safe one, with numbers
    except OSError as error:
        raise CommandError(Exit.USAGE, f"{path} cannot be read: {error.strerror}.", "Name a file.") from error
    except (yaml.YAMLError, ValueError) as error:
        said = " ".join(str(error).split())
        raise CommandError(Exit.USAGE, f"{path} is no YAML: {said}.", "Mend that line.") from error
    if not isinstance(found, dict):
        raise CommandError(Exit.USAGE, f"{path} holds no map.", "Write method: and parameters: into it.")
    return found
