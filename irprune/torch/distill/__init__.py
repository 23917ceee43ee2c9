"""Train a pruned model towards the original, without labels."""

from .finetune import Tuned, finetune, require_trainable
from .training import Fidelity, Progress

__all__ = ["Fidelity", "Progress", "Tuned", "finetune", "require_trainable"]
