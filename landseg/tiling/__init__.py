"""The engine: a raster goes through a network window by window, and the result does not show it."""
