"""Semantic segmentation of aerial and satellite rasters: read, window, network, stitch, write."""

__version__ = "0.1.0"
