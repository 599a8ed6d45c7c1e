"""The meaning of a network's output, by task: targets, losses, and the layers that are made of it."""
