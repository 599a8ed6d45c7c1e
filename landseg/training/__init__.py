"""Training: targets, losses, data, augmentation and the loop."""
