"""Hypothesis, the same in every run: a failure that was seen once is seen again."""

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
