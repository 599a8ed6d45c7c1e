"""Semantic segmentation of aerial and satellite rasters: read, window, network, stitch, write."""

import os

from landseg.surroundings import settle as _settle

__version__ = "0.1.0"

_settle()  # before rasterio, pyproj or pyogrio are loaded

# Readers, writers and other programs take processors from the network's threads in turns. GNU OpenMP lets the rest of
# the threads spin meanwhile, for milliseconds at every layer: five times slower beside one busy program. So they soon
# sleep instead. This works where torch is not imported yet; whoever has set one of the two keeps it.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
