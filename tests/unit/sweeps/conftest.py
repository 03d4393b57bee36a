import pytest

from unit.hub.kit import Desk


@pytest.fixture
def desk(tmp_path):
    """A hub without HTTP, whose clock stands still."""
    made = Desk(tmp_path / "data")
    yield made
    made.close()
