"""Fixtures of the tests of commands."""

import pytest

from landseg.models.named import NamedModel
from tests.parts.predicting import MODEL


@pytest.fixture
def small_default_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the small model of the tests be the one that commands take where none is named."""
    monkeypatch.setattr("landseg.models.named.named_model", lambda _: NamedModel(MODEL))
