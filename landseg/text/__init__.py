"""Words, numbers and small tables: text that people write, and text that they read. Knows no rasters."""
