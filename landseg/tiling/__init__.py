"""The engine: a raster goes through a network window by window, and nobody can tell from the result."""
