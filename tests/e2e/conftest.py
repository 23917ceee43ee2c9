"""What the end-to-end tests share."""

import pytest

from tests.e2e.zoo_support import Exports, shared_folder


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Exports:
    """Models of the zoo at test size, as files."""
    return Exports(shared_folder(tmp_path_factory, "zoo"))
