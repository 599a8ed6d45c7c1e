"""Everything that touches raster and vector files and their coordinates. Knows no torch."""
