"""Rasters on a map in the browser."""
