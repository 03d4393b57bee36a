import pytest

from unit.hub.kit import Desk


@pytest.fixture
def desk(tmp_path):
    made = Desk(tmp_path / "data")
    yield made
    made.close()
