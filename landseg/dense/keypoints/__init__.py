"""Keypoints of objects: skeletons, and six systems that make objects of the maps of a network."""
