"""What holds for every test, and for what it starts.

Hypothesis is the same in every run: a failure that was seen once is seen again. The machine's own disk may be as full
as it likes: tests of a full one bring theirs.
"""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "respool",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("respool")

os.environ["RESPOOL_FREE_FLOOR"] = "0"
