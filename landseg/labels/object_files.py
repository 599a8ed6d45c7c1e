"""Files of objects: vector files whose features have an id and a score."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from landseg.errors import VectorError


def read_scores(path: Path) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the ids (n,) and scores (n,) of the features of a vector file that have both.

    Raises:
        VectorError: a file that cannot be read, or that has no columns "id" and "score".
    """
    import pyogrio
    from pyogrio.errors import DataLayerError, DataSourceError

    try:
        table = pyogrio.read_dataframe(path, columns=["id", "score"], read_geometry=False)
        rows = table[["id", "score"]].dropna()
    except (DataSourceError, DataLayerError) as error:
        raise VectorError(f"{path} cannot be read: {error}") from error
    except KeyError as error:
        raise VectorError(
            f"{path} has no columns id and score: expected polygons of objects, as predict writes them"
        ) from error
    return rows["id"].to_numpy(np.int64), rows["score"].to_numpy(np.float32)
