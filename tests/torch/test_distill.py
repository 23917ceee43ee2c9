"""Which samples are trained on together."""

from __future__ import annotations

import numpy as np
import pytest

import irprune
from irprune.torch import finetune
from tests.golden.helpers.models import model_of


@pytest.mark.parametrize("steps", [20, 32])  # 32 is also the number of samples of a run
def test_outputs_with_time_first_are_not_stacked_along_time(steps: int) -> None:
    model = model_of(
        f"""(float[n,{steps},4] x) => (float[{steps},n,3] z)
        <float[1,64,4] w, float[1,64,16] r, float[16,3] a> {{
          t = Transpose <perm = [1, 0, 2]> (x)
          y, h = LSTM <hidden_size = 16> (t, w, r)
          axis = Constant <value_ints = [1]> ()
          s = Squeeze (y, axis)
          z = MatMul (s, a)
        }}"""
    )
    data = np.random.default_rng(0).standard_normal((320, steps, 4)).astype(np.float32)
    pruned = irprune.prune(model, ratio=0.3, align=1)
    tuned = finetune(model, pruned.model, data, plan=pruned.plan, steps=20, block_steps=0)
    assert tuned.after.error < tuned.before.error
