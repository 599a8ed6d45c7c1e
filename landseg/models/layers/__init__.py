"""Layers that networks are built from, each of which keeps every value where its evidence is."""
