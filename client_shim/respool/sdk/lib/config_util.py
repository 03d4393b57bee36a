"""What integrations import from W&B's module of this name."""

from __future__ import annotations

from respool.errors import Error


class ConfigError(Error):
    """Never raised: a config value that changes is recorded as a change."""
