"""Fixtures that tests of several commands share."""

from __future__ import annotations

import pytest

from landseg.models.named import NamedModel
from tests.parts.predicting import MODEL


@pytest.fixture
def small_default_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a small model in the place of every model that a command names, the default one too."""
    monkeypatch.setattr("landseg.models.named.named_model", lambda _: NamedModel(MODEL))
