"""landseg turns georeferenced rasters into land-cover maps whose result does not depend on how they were cut.

The package imports nothing heavy: each use case is a module of its own, such as `landseg.predict`.
"""

__version__ = "0.1.0"
