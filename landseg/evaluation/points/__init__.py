"""Points of a prediction against those of the truth, such as trees."""
