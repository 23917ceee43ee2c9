"""What every test may use: the hypothesis profile and the folder of real exported models."""

from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]

settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci")


@pytest.fixture(scope="session")
def shared_models() -> Path:
    """The folder of models that others exported; it lies beside the repository and is not part of it."""
    folder = ROOT.parent / "shared" / "models"
    if not folder.is_dir():
        pytest.skip(f"no folder of exported models at {folder}")
    return folder
