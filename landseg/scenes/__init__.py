"""Labelled rasters: read, counted, surveyed and split."""
