"""Objects of a prediction against those of the truth: polygons, rasters of ids, and COCO's files."""
