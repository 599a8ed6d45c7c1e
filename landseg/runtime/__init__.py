"""The machine that a run is on: disk, memory, devices, threads, progress. Knows no rasters."""
