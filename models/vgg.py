"""Plain convolutional networks whose linear layers read a flattened image: AlexNet and VGG."""

from collections.abc import Sequence

from torch import nn

from .entry import Entry


def flat_classifier(channels: int, side: int, hidden: int, num_classes: int) -> list[nn.Module]:
    """Pool to ``side`` x ``side``, flatten, and apply two hidden linear layers, each with a dropout in front."""
    return [
        nn.AdaptiveAvgPool2d(side),
        nn.Flatten(),
        nn.Dropout(),
        nn.Linear(channels * side * side, hidden),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, num_classes),
    ]


def alexnet(
    *,
    widths: tuple[int, int, int, int, int] = (64, 192, 384, 256, 256),
    hidden: int = 4096,
    side: int = 6,
    num_classes: int = 1000,
) -> nn.Sequential:
    """AlexNet on one device (Krizhevsky, One Weird Trick, 2014)."""
    c1, c2, c3, c4, c5 = widths
    return nn.Sequential(
        nn.Conv2d(3, c1, 11, 4, 2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(c1, c2, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(c2, c3, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(c3, c4, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(c4, c5, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        *flat_classifier(c5, side, hidden, num_classes),
    )


def vgg(
    depths: Sequence[int],
    *,
    batch_norm: bool = False,
    widths: Sequence[int] = (64, 128, 256, 512, 512),
    hidden: int = 4096,
    side: int = 7,
    num_classes: int = 1000,
) -> nn.Sequential:
    """VGG; with batch normalization too the convolutions have a bias (Simonyan and Zisserman, 2015)."""
    model = nn.Sequential()
    channels = 3
    for width, depth in zip(widths, depths, strict=True):
        for _ in range(depth):
            model.append(nn.Conv2d(channels, width, 3, padding=1))
            if batch_norm:
                model.append(nn.BatchNorm2d(width))
            model.append(nn.ReLU())
            channels = width
        model.append(nn.MaxPool2d(2, 2))
    return model.extend(flat_classifier(channels, side, hidden, num_classes))


def _tiny(batch_norm: bool) -> nn.Sequential:
    return vgg((2, 2, 2), batch_norm=batch_norm, widths=(8, 12, 16), hidden=24, side=2, num_classes=10)


ENTRIES = (
    Entry(
        "alexnet",
        alexnet,
        lambda: alexnet(widths=(8, 12, 16, 12, 12), hidden=24, side=2, num_classes=10),
        (1, 3, 224, 224),
        (1, 3, 96, 96),
    ),
    Entry(
        "vgg16",
        lambda: vgg((2, 2, 3, 3, 3)),
        lambda: _tiny(batch_norm=False),
        (1, 3, 224, 224),
        (1, 3, 16, 16),
    ),
    Entry(
        "vgg16_bn",
        lambda: vgg((2, 2, 3, 3, 3), batch_norm=True),
        lambda: _tiny(batch_norm=True),
        (1, 3, 224, 224),
        (1, 3, 16, 16),
    ),
)
