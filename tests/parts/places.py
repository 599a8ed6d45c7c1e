"""Where small rasters of tests lie."""

from __future__ import annotations

from affine import Affine

UTM = "EPSG:32633"


HALF_METRE = Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000)
