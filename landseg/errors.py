"""Every error that a user can cause or meet, as one tree.

::

    LandsegError
    ├── RasterError     a raster cannot be opened or read: missing, foreign, truncated, read error
    ├── GridError       grids that do not fit each other, an AOI outside the raster, a resolution
    ├── BandError       number, order, dtype or names of bands
    ├── ClassError      a class table, or raster values that it does not know
    ├── VectorError     a vector file or its geometry
    ├── OutputError     the target exists, equals an input, cannot be written, the disk is full
    ├── ModelError      a model file that is unreadable or foreign, or a card that does not match
    ├── PlanError       window, halo, stride or memory that do not go together
    ├── ResumeError     a started run cannot be continued as it is asked to
    └── TrainingError   training data or options from which nothing can be learned

A message is one clear sentence: what was expected, what was found, and what to do. The library raises;
only the command line prints and exits.
"""


class LandsegError(Exception):
    """The root: catch this to catch everything that landseg raises on purpose."""


class RasterError(LandsegError):
    """A raster cannot be opened or read."""


class GridError(LandsegError):
    """Pixel grids, areas or resolutions that do not fit each other."""


class BandError(LandsegError):
    """The wrong number, order, dtype or names of bands."""


class ClassError(LandsegError):
    """A class table that contradicts itself, or values that it does not hold."""


class VectorError(LandsegError):
    """A vector file cannot be read or written, or holds the wrong geometry."""


class OutputError(LandsegError):
    """A target exists, equals an input, or cannot be written."""


class ModelError(LandsegError):
    """A model file cannot be loaded, or does not match what it is used on."""


class PlanError(LandsegError):
    """Window, halo, stride and memory do not go together."""


class ResumeError(LandsegError):
    """A started run differs from the one that is to be continued."""


class TrainingError(LandsegError):
    """Training data or options from which nothing can be learned."""
