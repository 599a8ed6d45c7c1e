"""Words, numbers and small tables, as users write and read them. Nothing here knows rasters."""
