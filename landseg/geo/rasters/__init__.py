"""Rasters read: their bands, their validity, mosaics, and what GDAL reads in silence though it is broken."""
