"""The model that ships with the package: a small convolutional network for scikit-learn's 8x8 digits.

Run it (``python -m irprune.models.digits`` or ``python models/digits.py``) to train the network again and to
rewrite ``digits.onnx`` and ``digits_heldout.npz`` beside this file.  Pixels are stored as 0..16; the network
takes them divided by 16, as ``float32[batch, 1, 8, 8]``, and returns ten logits.

The network is wider than the task needs and is trained to be pruned: with a sparsity penalty on the scales of
batch norm (Liu et al., Learning Efficient Convolutional Networks through Network Slimming, 2017), with weight
decay, and with dropout of whole channels.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional as F

MODEL_PATH = Path(__file__).with_name("digits.onnx")
HELDOUT_PATH = Path(__file__).with_name("digits_heldout.npz")
PIXEL_MAX = 16
Pixels = npt.NDArray[np.uint8]

SEED = 0
EPOCHS = 60
BATCH = 64
LEARNING_RATE = 4e-3
WEIGHT_DECAY = 1.0
SCALE_PENALTY = 3e-2
DROP_CHANNEL = 0.15


class _ConvBN(nn.Module):
    """A biasless convolution with "same" padding, then batch norm."""

    def __init__(self, cin: int, cout: int, kernel: int, *, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(cout)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.bn(self.conv(x))
        return out


class _SqueezeExcite(nn.Module):
    """Channel gating (Hu et al., Squeeze-and-Excitation Networks, 2018)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, hidden, 1)
        self.excite = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = F.adaptive_avg_pool2d(x, 1)
        return x * torch.sigmoid(self.excite(F.relu(self.squeeze(pooled))))


class _Residual(nn.Module):
    """Two 3x3 convolutions, a gate and the identity (He et al., Deep Residual Learning, 2016)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.enter = _ConvBN(channels, hidden, 3)
        self.drop = nn.Dropout2d(DROP_CHANNEL)
        self.leave = _ConvBN(hidden, channels, 3)
        self.gate = _SqueezeExcite(channels, channels // 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.drop(F.relu(self.enter(x)))
        return F.relu(x + self.gate(self.leave(y)))


class _Inverted(nn.Module):
    """Expand, depthwise, gate, project (Sandler et al., MobileNetV2, 2018)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.expand = _ConvBN(channels, hidden, 1)
        self.depthwise = _ConvBN(hidden, hidden, 3, groups=hidden)
        self.gate = _SqueezeExcite(hidden, hidden // 8)
        self.drop = nn.Dropout2d(DROP_CHANNEL)
        self.project = _ConvBN(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.depthwise(F.relu(self.expand(x))))
        out: Tensor = x + self.project(self.drop(self.gate(y)))
        return out


class DigitsNet(nn.Module):
    """Stem, residual stage, strided concatenation, inverted-residual stage, pooled linear head."""

    def __init__(self, early: int = 48, late: int = 48, depth: int = 2) -> None:
        super().__init__()
        residuals = [_Residual(early, early // 2) for _ in range(depth)]
        inverted = [_Inverted(late, 2 * late) for _ in range(depth)]
        self.stem = _ConvBN(1, early, 3)
        self.early = nn.Sequential(*residuals, nn.Dropout2d(DROP_CHANNEL))
        self.down = _ConvBN(early, early // 2, 3, stride=2)
        self.down_drop = nn.Dropout2d(DROP_CHANNEL)
        self.merge = _ConvBN(early // 2 + early, late, 1)
        self.late = nn.Sequential(*inverted, nn.Dropout2d(DROP_CHANNEL))
        self.widen = _ConvBN(late, 2 * late, 1)
        self.widen_drop = nn.Dropout2d(DROP_CHANNEL)
        self.head = nn.Linear(2 * late, 10)
        # Layers that lose their output channels together: they are added up or filtered channel by channel.
        self.coupled = (
            (self.stem, *(block.leave for block in residuals)),
            (self.merge, *(block.project for block in inverted)),
            *((block.enter,) for block in residuals),
            *((block.expand, block.depthwise) for block in inverted),
            (self.down,),
            (self.widen,),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.early(F.relu(self.stem(x)))
        x = torch.cat((self.down_drop(F.relu(self.down(x))), F.max_pool2d(x, 2)), dim=1)
        x = self.widen_drop(F.relu(self.widen(self.late(self.merge(x)))))
        out: Tensor = self.head(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))
        return out

    def penalty(self) -> Tensor:
        """The norm of the batch-norm scales that go together, summed over all channels."""
        norms = [torch.stack([layer.bn.weight for layer in group]).norm(dim=0) for group in self.coupled]
        return torch.cat(norms).sum()


def load() -> tuple[Pixels, Pixels, Pixels, Pixels]:
    """Training images, held-out images (a stratified quarter), and the labels of both."""
    data = load_digits()
    images = data.images.astype(np.uint8)[:, np.newaxis]
    labels = data.target.astype(np.uint8)
    train_x, test_x, train_y, test_y = train_test_split(
        images, labels, test_size=0.25, random_state=SEED, stratify=labels
    )
    return train_x, test_x, train_y, test_y


def to_input(images: Pixels) -> npt.NDArray[np.float32]:
    """Stored pixels as the network takes them."""
    return images.astype(np.float32) / np.float32(PIXEL_MAX)


def _jitter(images: Tensor) -> Tensor:
    """Every image turned, scaled and moved a little, at random."""
    count = len(images)
    angle = (torch.rand(count) - 0.5) * 0.4
    scale = 1 + (torch.rand(count) - 0.5) * 0.2
    move = (torch.rand(count, 2) - 0.5) * 0.3
    cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
    rows = torch.stack((cos, -sin, move[:, 0], sin, cos, move[:, 1]), dim=1)
    grid = F.affine_grid(rows.view(count, 2, 3), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def train(images: Pixels, labels: Pixels) -> DigitsNet:
    """Train a network from the fixed seed, on one thread so that sums keep their order on any machine."""
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    model = DigitsNet()
    x, y = torch.from_numpy(to_input(images)), torch.from_numpy(labels.astype(np.int64))
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    steps = EPOCHS * (len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=LEARNING_RATE, total_steps=steps)
    model.train()
    for _ in range(EPOCHS):
        order = torch.randperm(len(x))
        for first in range(0, len(x) - BATCH + 1, BATCH):
            batch = order[first : first + BATCH]
            loss = F.cross_entropy(model(_jitter(x[batch])), y[batch], label_smoothing=0.05)
            optimizer.zero_grad()
            torch.autograd.backward(loss + SCALE_PENALTY * model.penalty())
            optimizer.step()
            schedule.step()
    return model.eval()


def export(model: DigitsNet, path: Path) -> None:
    """Write the network with a free batch size and its batch norms kept as nodes of their own."""
    with warnings.catch_warnings():
        # The older exporter alone leaves batch norm in place without leaving shape arithmetic as well.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            model,
            (torch.zeros(1, 1, 8, 8),),
            path,
            input_names=["image"],
            output_names=["logits"],
            dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}},
            training=torch.onnx.TrainingMode.PRESERVE,
            do_constant_folding=False,
            opset_version=18,
            dynamo=False,
        )
    onnx.checker.check_model(path, full_check=True)


def accuracy(path: Path, images: Pixels, labels: Pixels) -> float:
    """The share of the images that the exported network labels correctly, by ONNX Runtime."""
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    logits = np.asarray(session.run(None, {"image": to_input(images)})[0])
    return float(np.mean(logits.argmax(axis=1) == labels))


def main() -> None:
    """Train, export, save the held-out part and report."""
    train_x, test_x, train_y, test_y = load()
    export(train(train_x, train_y), MODEL_PATH)
    np.savez_compressed(HELDOUT_PATH, images=test_x, labels=test_y)
    with np.load(HELDOUT_PATH) as heldout:
        score = accuracy(MODEL_PATH, heldout["images"], heldout["labels"])
    print(f"{MODEL_PATH.name}: {MODEL_PATH.stat().st_size / 1000:.0f} kB")
    print(f"held-out accuracy with ONNX Runtime: {score:.4f} ({len(test_y)} images)")


if __name__ == "__main__":
    main()
