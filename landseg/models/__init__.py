"""Networks and nothing else: no files of rasters, no coordinates."""
