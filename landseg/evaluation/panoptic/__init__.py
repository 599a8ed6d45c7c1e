"""Panoptic maps against the truth: folders in COCO's format, and class rasters with their rasters of ids."""
