"""Four times fewer multiply-accumulates, by pruning and fine-tuning in turns. Needs scikit-learn for its digits."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from irprune.models.digits import DigitsNet, load, to_input
from irprune.torch import IterativePruning, Program, importance

BATCH = 64


def fit(module: nn.Module, images: torch.Tensor, labels: torch.Tensor, epochs: int, rate: float) -> nn.Module:
    """Plain PyTorch: the module that irprune hands out trains like any other."""
    module.train()
    steps = epochs * (len(images) // BATCH)
    optimizer = torch.optim.AdamW(module.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=rate, total_steps=steps)
    for _ in range(steps):
        batch = torch.randint(len(images), (BATCH,))
        optimizer.zero_grad()
        F.cross_entropy(module(images[batch]), labels[batch], label_smoothing=0.05).backward()
        optimizer.step()
        schedule.step()
    return module.eval()


def accuracy(module: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    with torch.no_grad():
        return float((module(images).argmax(1) == labels).float().mean())


def main() -> tuple[float, float, float]:
    """Accuracy before and after on images held out, and the share of multiply-accumulates that is left."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    pixels, held_pixels, digits, held_digits = load()
    images, held = (torch.from_numpy(to_input(each)) for each in (pixels, held_pixels))
    labels, held_labels = (torch.from_numpy(each.astype(np.int64)) for each in (digits, held_digits))
    model = fit(DigitsNet(), images, labels, epochs=8, rate=4e-3)
    before = accuracy(model, held, held_labels)
    batches = [(images[k : k + BATCH], labels[k : k + BATCH]) for k in range(0, 512, BATCH)]

    def taylor(program: Program) -> np.ndarray:
        return importance(program, lambda module, batch: F.cross_entropy(module(batch[0]), batch[1]), batches)

    options = {"dynamic_shapes": ({0: torch.export.Dim.DYNAMIC},)}
    pruning = IterativePruning(model, (images[:4],), macs=0.25, steps=4, importance=taylor, options=options)
    for module in pruning:
        fit(module, images, labels, epochs=5, rate=2e-3)
    after = accuracy(pruning.model, held, held_labels)
    left = pruning.plans[-1].cost_after.macs / pruning.plans[0].cost_before.macs
    print(f"accuracy {before:.2%} -> {after:.2%}, multiply-accumulates {left:.1%}")
    return before, after, left


if __name__ == "__main__":
    main()
