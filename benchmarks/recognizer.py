"""A text recognizer that others trained and ship, at a share of its multiply-accumulates, from unlabeled lines.

    python -m benchmarks.recognizer rapidocr_onnxruntime-1.4.4-py3-none-any.whl --macs 0.5

The wheel (of PyPI) holds the network of PP-OCRv4: SE blocks, attention, CTC over 6,625 characters. Lines are rendered
with Pillow in the fonts of ``--fonts``; the words to judge by are others than those to prune with. Characters are
counted right by edit distance to the text that was rendered.
"""

from __future__ import annotations

import argparse
import io
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as oir
from numpy.typing import NDArray

import irprune
from irprune.backends.onnx import to_proto
from irprune.runtime.executable import Executable

Images = NDArray[np.float32]
HEIGHT, WIDTH, INPUT = 48, 320, "x"
MEMBER = "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx"


def render(count: int, fonts: Sequence[Path], *, seed: int) -> tuple[Images, list[str]]:
    """Lines ``[count, 3, 48, 320]`` in -1 to 1, and their texts. Seeds of different parity have no word in common."""
    from PIL import Image, ImageDraw, ImageFilter, ImageFont

    rng = np.random.default_rng(seed)
    words = _words(seed % 2)
    images, texts = [], []
    for _ in range(count):
        text = _line(rng, words)
        font = ImageFont.truetype(str(fonts[int(rng.integers(len(fonts)))]), int(rng.integers(26, 37)))
        left, top, right, bottom = font.getbbox(text)
        size = (int(right - left) + 16, int(bottom - top) + 16)
        picture = Image.new("L", size, 255)
        ImageDraw.Draw(picture).text((8 - left, 8 - top), text, fill=int(rng.integers(0, 90)), font=font)
        picture = picture.rotate(float(rng.uniform(-1.5, 1.5)), fillcolor=255, resample=Image.Resampling.BILINEAR)
        picture = picture.filter(ImageFilter.GaussianBlur(float(rng.uniform(0, 1.0))))
        width = min(WIDTH, round(size[0] * HEIGHT / size[1]))
        gray = np.asarray(picture.resize((width, HEIGHT), Image.Resampling.BILINEAR), dtype=np.float32)
        if rng.random() < 0.2:
            gray = 255 - gray
        gray = np.clip(gray + rng.normal(0, rng.uniform(0, 12), gray.shape), 0, 255)
        line = np.zeros((HEIGHT, WIDTH), np.float32)
        line[:, :width] = gray / 127.5 - 1
        images.append(np.repeat(line[None], 3, axis=0))
        texts.append(text)
    return np.stack(images).astype(np.float32), texts


def _words(part: int) -> list[str]:
    """Words of numpy's documentation; every other one."""
    found = sorted(
        set(re.findall(r"\b[A-Za-z][a-z]{1,10}\b", " ".join(str(item.__doc__) for item in vars(np).values())))
    )
    return found[part::2]


def _line(rng: np.random.Generator, words: Sequence[str]) -> str:
    parts: list[str] = []
    while len(" ".join(parts)) < 12:
        digits = rng.random() < 0.25
        parts.append(str(rng.integers(1, 100_000)) if digits else words[int(rng.integers(len(words)))])
    return " ".join(parts)[:22].strip()


def read(model: Executable, images: Images, alphabet: Sequence[str]) -> list[str]:
    """The greedy reading: the likeliest character of each frame, without repetitions and blanks."""
    found = []
    for k in range(0, len(images), 8):
        scores: NDArray[Any] = next(iter(model.run({INPUT: images[k : k + 8]}, optimize=True).values()))
        for best in scores.argmax(axis=-1):
            fresh = np.append(True, best[1:] != best[:-1]) & (best > 0)
            found.append("".join(alphabet[int(c)] for c in best[fresh]))
    return found


def characters(read: Sequence[str], texts: Sequence[str]) -> float:
    """The share of characters that are right: 1 minus the edit distance, relative to the length of all texts."""
    wrong = sum(min(_distance(a, b), len(b)) for a, b in zip(read, texts, strict=True))
    return 1 - wrong / sum(map(len, texts))


def _distance(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, left in enumerate(a):
        before, row[0] = i, i + 1
        for j, right in enumerate(b):
            before, row[j + 1] = row[j + 1], min(row[j + 1] + 1, row[j] + 1, before + (left != right))
    return row[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--macs", type=float, nargs="+", default=[0.5])
    parser.add_argument("--fit", type=int, default=64, help="lines to prune with")
    parser.add_argument("--tune", type=int, default=300, help="lines to distil on")
    parser.add_argument("--judge", type=int, default=300, help="lines to judge by")
    parser.add_argument("--minutes", type=float, default=0.0, help="of distillation; 0: none")
    parser.add_argument("--fonts", type=Path, default=Path("/usr/share/fonts/truetype"))
    given = parser.parse_args()
    fonts = sorted(path for path in given.fonts.rglob("*.ttf") if path.name.startswith(("DejaVu", "Liberation")))
    fonts = [path for path in fonts if "Math" not in path.name]
    if not fonts:
        parser.error(f"no DejaVu or Liberation fonts below {given.fonts}")
    model = onnx.load(io.BytesIO(zipfile.ZipFile(given.wheel).read(MEMBER)))
    listed = next(entry.value for entry in model.metadata_props if entry.key == "character")
    alphabet = ["", *listed.splitlines(), " "]
    fit, judge = render(given.fit, fonts, seed=0), render(given.judge, fonts, seed=1)
    print(f"{len(fonts)} fonts, {given.judge} lines, {sum(map(len, judge[1]))} characters\n")
    print("| way | MACs left | characters | of the original's | lines | CPU s |\n|---|---:|---:|---:|---:|---:|")
    original = _row("original", Executable(model), 1.0, judge, alphabet, 0.0, None)
    for macs in given.macs:
        for criterion, repair in (("l2", "none"), ("obs", "none"), ("obs", "reconstruct")):
            began = time.process_time()
            options: Any = {"criterion": criterion, "repair": repair, "align": 1}
            result = irprune.prune(model, macs=macs, data={INPUT: fit[0]}, verify=False, **options)
            seconds = time.process_time() - began
            small = result.model
            proto = to_proto(small) if isinstance(small, oir.Model) else small
            reached = result.plan.cost_after.macs / result.plan.cost_before.macs
            _row(f"{criterion}, {repair}", Executable(proto), reached, judge, alphabet, seconds, original)
        if given.minutes:
            tuned, seconds = _tuned(model, proto, render(given.tune, fonts, seed=2)[0], given.minutes)
            _row(f"{criterion}, {repair}, distilled", Executable(tuned), reached, judge, alphabet, seconds, original)


def _tuned(
    model: onnx.ModelProto, small: onnx.ModelProto, images: Images, minutes: float
) -> tuple[onnx.ModelProto, float]:
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder) / name) for name in ("original.onnx", "small.onnx", "lines.npz", "tuned.onnx")]
        onnx.save(model, paths[0])
        onnx.save(small, paths[1])
        arrays: dict[str, Any] = {INPUT: images}
        np.savez(paths[2], **arrays)
        command = [sys.executable, "-m", "irprune", "finetune", paths[0], paths[1], "--data", paths[2], "-o", paths[3]]
        subprocess.run([*command, "--minutes", str(minutes)], check=True, stdout=subprocess.DEVNULL)
        return onnx.load(paths[3]), time.monotonic() - began


def _row(
    way: str,
    model: Executable,
    macs: float,
    judge: tuple[Images, list[str]],
    alphabet: Sequence[str],
    seconds: float,
    original: float | None,
) -> float:
    found = read(model, judge[0], alphabet)
    share = characters(found, judge[1])
    lines = np.mean([a == b for a, b in zip(found, judge[1], strict=True)])
    relative = share / original if original else 1.0
    print(f"| {way} | {macs:.1%} | {share:.1%} | {relative:.1%} | {lines:.1%} | {seconds:.0f} |", flush=True)
    return share


if __name__ == "__main__":
    main()
