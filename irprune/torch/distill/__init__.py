"""Train a pruned model towards the original, without labels."""

from .finetune import Tuned, finetune
from .training import Fidelity, Progress

__all__ = ["Fidelity", "Progress", "Tuned", "finetune"]
