"""The errors that a user can cause or meet, as one tree.

::

    LandsegError
    ├── RasterError     a raster cannot be opened or read: missing, foreign, truncated, read error
    ├── GridError       grids that do not fit each other, an AOI outside the raster, a resolution
    ├── BandError       number, order, dtype or names of bands
    ├── ClassError      a class table, or raster values that it does not hold
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
    """The root of all errors that landseg raises on purpose; `except LandsegError` catches each of them."""


class RasterError(LandsegError):
    """The error of a raster that cannot be opened or read."""


class GridError(LandsegError):
    """The error of pixel grids, areas or resolutions that do not fit each other."""


class BandError(LandsegError):
    """The error of bands of the wrong number, order, dtype or names."""


class ClassError(LandsegError):
    """The error of a class table that contradicts itself, or of values that it does not hold."""


class VectorError(LandsegError):
    """The error of a vector file that cannot be read or written, or holds the wrong geometry."""


class OutputError(LandsegError):
    """The error of a target that exists, equals an input, or cannot be written."""


class ModelError(LandsegError):
    """The error of a model file that cannot be loaded, or does not fit the raster that it is used on."""


class PlanError(LandsegError):
    """The error of window, halo, stride and memory that do not go together."""


class ResumeError(LandsegError):
    """The error of a run that differs from the one that it is to continue."""


class TrainingError(LandsegError):
    """The error of training data or options from which nothing can be learned."""
