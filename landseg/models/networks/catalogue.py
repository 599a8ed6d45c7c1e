"""The table of networks by name, with their options and encoders. It imports no torch.

``landseg.models.networks.build`` makes the networks. The table is separate, so that networks can be listed, and names
and options checked, without torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from landseg.errors import ModelError
from landseg.text.amounts import counted
from landseg.text.untrusted import brief

# landseg's name -> segmentation_models_pytorch's; "" for landseg's own
ENCODERS = {
    "efficientnet-lite0": "",
    "efficientnet-lite1": "",
    "efficientnet-lite2": "",
    "mobilenet-v2": "mobilenet_v2",
    "resnet18": "resnet18",
    "resnet34": "resnet34",
    "resnet50": "resnet50",
    "resnet101": "resnet101",
    "resnet152": "resnet152",
    "vgg16": "",
}
_TIMM = re.compile(r"timm:[A-Za-z0-9][A-Za-z0-9_.-]*")  # never the name of a model hub or a folder


@dataclass(frozen=True)
class Architecture:
    """One entry of the table of networks.

    Attributes:
        network: name of the class in landseg.models.networks, which takes ``classes`` and the options.
        summary: the paper and the network's parts, in one sentence.
        options: options with their defaults; ``output_stride`` is that of the encoder.
        encoders: the possible encoders; None for any.
        output_stride: output stride of the encoder, if it is no option.
        pool: pools of vgg16 in this architecture.
        on_vgg16: the entry for vgg16, if that is another network.
        fixed: further arguments of the class.
        fitted: True for a network without encoder whose weights are fitted at once, not learned in steps; the class
            then takes the number of bands.
        task: the one task of a network whose output is no map of classes.
    """

    network: str
    summary: str
    options: Mapping[str, Any]
    encoders: tuple[str, ...] | None = None
    output_stride: int = 32
    pool: int = 2
    on_vgg16: Architecture | None = None
    fixed: Mapping[str, Any] = field(default_factory=dict)
    fitted: bool = False
    task: str | None = None


NO_ENCODER = "none"
"""The name in place of an encoder for an architecture without encoder."""
PIXEL_FOREST = "pixel-forest"
TREES, LEAVES, DEPTH, WINDOWS = 32, 512, 14, (3, 7, 15)

_UP = {"upsampler": "aligned"}
_FCN = {"head_channels": 4096, "padding": 1, **_UP}
_VGG = ("vgg16",)
_NO_SKIPS = "FCN-32s (Long et al. 2015): scores at stride 32, no skip connections"

ARCHITECTURES: dict[str, Architecture] = {
    "deeplab-v3plus": Architecture(
        "DeepLabV3Plus",
        "DeepLabV3+ (Chen et al. 2018, ECCV): ASPP, and a decoder with a skip connection at stride 4",
        {
            "output_stride": 16,
            "rates": (6, 12, 18),
            "image_pooling": False,
            "decoder_channels": 256,
            "separable": True,
            **_UP,
        },
        pool=3,
    ),
    "deeplab-v3": Architecture(
        "DeepLabV3",
        "DeepLabV3 (Chen et al. 2017): ASPP (atrous spatial pyramid pooling), no decoder",
        {"output_stride": 16, "rates": None, "image_pooling": False, "head_channels": 256, "separable": False, **_UP},
        pool=3,
    ),
    "deeplab-v2": Architecture(
        "DeepLabV2",
        "DeepLabV2 (Chen et al. 2018, TPAMI): ASPP whose branches are summed scores",
        {"output_stride": 8, "rates": (6, 12, 18, 24), "hidden": None, "multi_scale": False, **_UP},
        pool=3,
    ),
    "deeplab-largefov": Architecture(
        "LargeFOV",
        "DeepLab-LargeFOV (Chen et al. 2015): VGG-16 at output stride 8 with a dilated fc6",
        {"kernel": 3, "rate": 12, "head_channels": None, **_UP},
        encoders=_VGG,
        output_stride=8,
        pool=3,
    ),
    "fcn32s": Architecture(
        "FCN32s",
        _NO_SKIPS,
        {"output_stride": 32, **_UP},
        on_vgg16=Architecture("VGGFCN", _NO_SKIPS, _FCN, encoders=_VGG, fixed={"skips": 0}),
    ),
    "fcn16s": Architecture(
        "VGGFCN",
        "FCN-16s (Long et al. 2015): a skip connection from pool4",
        {**_FCN, "at_once": False},
        encoders=_VGG,
        fixed={"skips": 1},
    ),
    "fcn8s": Architecture(
        "VGGFCN",
        "FCN-8s (Long et al. 2015): skip connections from pool4 and pool3",
        {**_FCN, "at_once": False},
        encoders=_VGG,
        fixed={"skips": 2},
    ),
    "fpn": Architecture(
        "SemanticFPN",
        "Semantic FPN (Kirillov et al. 2019): a feature pyramid whose levels are summed at stride 4",
        {"pyramid_channels": 256, "head_channels": 128, "norm": "batch", **_UP},
    ),
    "unet": Architecture(
        "UNet",
        "U-Net (Ronneberger et al. 2015): a decoder to stride 1 with skip connections from every encoder stage; "
        "blocks of segmentation_models_pytorch's Unet",
        {"decoder_channels": (256, 128, 64, 32, 16), "attention": "none", **_UP},
    ),
    "upernet": Architecture(
        "UPerNet",
        "UPerNet (Xiao et al. 2018): pyramid pooling and a feature pyramid; blocks of segmentation_models_pytorch's "
        "UPerNet; unbounded receptive field, or bounded with pool_scales=[]",
        {"decoder_channels": 256, "pool_scales": (1, 2, 3, 6), **_UP},
    ),
    PIXEL_FOREST: Architecture(
        "PixelForest",
        "extremely randomized trees (Geurts et al. 2006) on each pixel's bands, tones, local means and variances; no "
        "encoder, fitted at once in seconds; for few labels",
        {"trees": TREES, "leaves": LEAVES, "depth": DEPTH, "windows": WINDOWS},
        encoders=(NO_ENCODER,),
        fitted=True,
    ),
}

DETECTORS: dict[str, Architecture] = {
    "mask-rcnn": Architecture(
        "MaskRCNN",
        "Mask R-CNN (He et al. 2017) on a feature pyramid: boxes, scores and masks of objects (task detections)",
        {"box_channels": 512, "mask_channels": 128, "anchor_scale": 8, "things": 1},
        task="detections",
    ),
    "panoptic-fpn": Architecture(
        "PanopticFPN",
        "Panoptic FPN (Kirillov et al. 2019): Mask R-CNN for things and a semantic branch for stuff on one feature "
        "pyramid (task panoptic)",
        {"head_channels": 128, "box_channels": 512, "mask_channels": 128, "anchor_scale": 8, "things": 1, "stuff": 1},
        task="panoptic",
    ),
    "point-fpn": Architecture(
        "PointFPN",
        "Objects as Points (Zhou et al. 2019) on a feature pyramid: centres of trees, poles or boats (task points)",
        {"stride": 2, "pyramid_channels": 64, "head_channels": 64, "points": 1},
        task="points",
    ),
}
"""Networks whose output is no map of classes, each for one task."""
NETWORKS = {**ARCHITECTURES, **DETECTORS}
"""Every network by name."""

# The meaning of each option, in the terms of the papers and of the common libraries.
OPTIONS: dict[str, str] = {
    "output_stride": "input pixels per pixel of the encoder's last features: 8, 16 or 32; below 32 the last "
    "stages are dilated",
    "rates": "dilation (atrous) rates of the ASPP branches; deeplab-v3 takes 6, 12, 18, and twice that at output "
    "stride 8",
    "rate": "dilation (atrous) rate of fc6",
    "kernel": "kernel size of fc6",
    "image_pooling": "add global average pooling to ASPP; the receptive field is then unbounded",
    "decoder_channels": "channels of the decoder; in unet one number for each block, from stride 16 to 1",
    "head_channels": "channels of the segmentation head's hidden layers (fc6 and fc7 on vgg16); deeplab-largefov "
    "takes 1024 with a kernel of 3, else 4096",
    "pyramid_channels": "channels of the feature pyramid",
    "hidden": "channels of a hidden layer in each ASPP branch, 0 for none; 1024 on vgg16 and 0 on others",
    "separable": "depthwise separable convolutions in ASPP and the decoder",
    "multi_scale": "run on the image and on copies of 0.75 and 0.5 of its size, and take the maximum of the scores",
    "padding": "zero padding of the first convolution: 1, or 100 as in the authors' code",
    "at_once": "scale the skip connections so that training needs no stages",
    "norm": "normalization in the head: batch, or group as in the paper, whose receptive field is unbounded",
    "attention": "none, or scse (squeeze and excitation) in each block, whose receptive field is unbounded",
    "pool_scales": "bins of pyramid pooling; [] leaves it out, and the receptive field is bounded",
    "trees": "trees of the forest",
    "leaves": "the most leaves of a tree",
    "depth": "the most decisions from a tree's root to a leaf",
    "windows": "sides in pixels, odd, of the squares that local means and variances are of",
    "box_channels": "channels of the hidden layers of the head that scores and moves boxes",
    "mask_channels": "channels of the hidden layers of the head that makes masks",
    "anchor_scale": "side of the square anchor, in units of its level: 8 is 32 pixels at stride 4",
    "things": "classes of things; the training sets it",
    "stuff": "classes of stuff; the training sets it",
    "points": "classes of points; the training sets it",
    "stride": "pixels between two units of the maps of centres: 2 or 4",
    "upsampler": "aligned (bilinear, no weights), or learned: nearest, bilinear, transposed, fractional, shuffle, "
    "unpool",
}


def is_fitted(arch: str) -> bool:
    """Return True if an architecture is fitted at once, without an encoder; False for unknown names too."""
    return arch in ARCHITECTURES and ARCHITECTURES[arch].fitted


def detector_task(arch: str) -> str | None:
    """Return the one task of an architecture whose output is no map of classes; None for others, unknown ones too."""
    return DETECTORS[arch].task if arch in DETECTORS else None


def architecture(arch: str, encoder: str) -> Architecture:
    """Return the entry of an architecture for an encoder.

    Raises:
        ModelError: the architecture is unknown, or cannot have this encoder.
    """
    if arch not in NETWORKS:
        raise ModelError(f"there is no architecture {arch!r}; use one of {', '.join(NETWORKS)}")
    entry = NETWORKS[arch]
    if encoder == "vgg16" and entry.on_vgg16 is not None:
        return entry.on_vgg16
    if entry.fitted and encoder != NO_ENCODER:
        raise ModelError(f"{arch} has no encoder, got {encoder}; leave it out, or write {NO_ENCODER!r}")
    if entry.encoders is not None and encoder not in entry.encoders:
        raise ModelError(
            f"{arch} is a network on {' or '.join(entry.encoders)}, not on {encoder}; use it, or another architecture"
        )
    return entry


def check_encoder(name: str) -> None:
    """Raise ModelError if a name is neither an encoder of landseg nor of the form of timm's encoders."""
    if name not in ENCODERS and not _TIMM.fullmatch(name):
        raise ModelError(f"there is no encoder {name!r}; use one of {', '.join(ENCODERS)}, or timm:NAME")


_ENTRIES, _OPTION = 32, 1 << 16  # most entries of an option that is a list, and the largest number


def check_options(options: Mapping[str, Any]) -> None:
    """Raise ModelError for options of a network that could only exhaust memory, before the network is built.

    Raises:
        ModelError: a list has many entries, a number is large, or a value is no number, word or list of them.
    """
    for name, value in options.items():
        entries = value if isinstance(value, (list, tuple)) else (value,)
        if len(entries) > _ENTRIES:
            raise ModelError(
                f"option {brief(name)} has {counted(len(entries), 'entry')}, expected {_ENTRIES} at most"
            )
        for entry in entries:
            if not (entry is None or isinstance(entry, (bool, int, float, str))):
                got = brief(value)
                raise ModelError(f"option {brief(name)} should be a number, a word or a list of them, got {got}")
            if isinstance(entry, (int, float)) and not -_OPTION <= entry <= _OPTION:
                raise ModelError(f"option {brief(name)} should be {_OPTION} at most, got {brief(entry)}")
