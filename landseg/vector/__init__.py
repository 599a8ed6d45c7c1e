"""Land cover as polygons: regions, the arcs between them, and what is made of both."""
