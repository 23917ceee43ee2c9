"""Every model by its name."""

from . import (
    attention,
    autoencoder,
    conv1d,
    conv3d,
    convnext,
    deeplab,
    densenet,
    efficientnet,
    espcn,
    inception,
    maxvit,
    mlp,
    mnasnet,
    mobilenet,
    raft,
    regnet,
    resnet,
    shufflenet,
    siamese,
    squeezenet,
    unet,
    vgg,
    yolo,
)
from .entry import Entry

_FAMILIES = (
    resnet,
    densenet,
    inception,
    mobilenet,
    efficientnet,
    regnet,
    shufflenet,
    squeezenet,
    vgg,
    mnasnet,
    convnext,
    unet,
    deeplab,
    yolo,
    espcn,
    attention,
    conv1d,
    conv3d,
    autoencoder,
    mlp,
    siamese,
    raft,
    maxvit,
)

ZOO: dict[str, Entry] = {entry.name: entry for family in _FAMILIES for entry in family.ENTRIES}
"""All models at full and at test size."""
