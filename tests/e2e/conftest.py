"""What the end-to-end tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.zoo_support import Exports, shared_folder

if TYPE_CHECKING:
    from irprune.models.library import Library


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Exports:
    """Models of the zoo at test size, as files."""
    return Exports(shared_folder(tmp_path_factory, "zoo"))


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """Every architecture and its variants, as files."""
    from irprune.models.library import Library

    return Library(shared_folder(tmp_path_factory, "architectures"))
