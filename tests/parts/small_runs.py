"""The smallest training runs."""

from __future__ import annotations

from typing import Any

SMALL: dict[str, Any] = {
    "arch": "fcn32s", "encoder": "timm:mobilenetv3_small_050", "encoder_weights": "none", "steps": 1, "crop": 32,
    "batch": 2, "set": {"fit.workers": 0, "fit.precision": "fp32", "fit.validate_every": 100},
}  # fmt: skip


RECIPE = """
ignore = [0]
[about]
name = "tones"
description = "Bright or dark"
licence = "CC0-1.0"
limitations = "Everything real."
[model]
arch = "fcn32s"
encoder = "resnet18"
[fit]
minutes = 0.02
[sampling]
crop = 64
batch = 2
[[classes]]
value = 4
name = "dark"
color = "#101010"
[[classes]]
value = 6
name = "bright"
color = "#f0f0f0"
[[bands]]
name = "grey"
mean = 100.0
std = 50.0
[[sources]]
name = "by raster"
licence = "CC0-1.0"
credit = "nobody"
images = "scenes/*.tif"
labels = "labels/{stem}_labels.tif"
[[sources]]
name = "by polygon"
licence = "CC0-1.0"
credit = "nobody"
images = "more/*.tif"
polygons = "bright.gpkg"
partial_class = "bright"
"""
