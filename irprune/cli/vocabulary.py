"""``irprune vocabulary``: a language model without the tokens that nobody uses."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError, TargetError
from . import options as o
from .exits import DONE, FAILED, complain

FORMAT = "irprune.vocabulary/1"


def vocabulary(
    model: o.Model,
    output: o.Output,
    keep_tokens: Annotated[
        Path,
        typer.Option(
            "--keep-tokens", metavar="FILE", help="Token ids, one a line, or a tokenizer.json together with --corpus."
        ),
    ],
    corpus: Annotated[
        Path | None,
        typer.Option("--corpus", metavar="FILE", help="Keep the tokens of this text (as the tokenizer.json reads it)."),
    ] = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option("--tokenizer", metavar="FILE", help="A tokenizer.json to cut as well, beside a file of ids."),
    ] = None,
    ids: Annotated[
        list[str] | None,
        typer.Option("--ids", metavar="INPUT", help="The input of token ids; by default that of the largest table."),
    ] = None,
    plan_file: Annotated[
        Path | None, typer.Option("--plan", metavar="FILE", help="Write the plan there as well.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="For the inputs of the comparison.")] = 0,
    rtol: o.RTol = None,
    no_verify: o.NoVerify = False,
    as_json: o.AsJSON = False,
) -> None:
    """Keep some tokens of a language model: rows of embeddings and columns of heads; exact for these tokens.

    Beside OUT.onnx it writes OUT.ids.json (the old id of each new one) and, of a tokenizer, OUT.tokenizer.json.
    """
    from ..vocabulary import tokens
    from ..vocabulary.tables import find_vocabulary
    from ..vocabulary.verify import verify
    from .artifacts import OnnxFile
    from .outputs import require_distinct, require_writable, staged_text
    from .progress import step
    from .work import open_checked

    source = keep_tokens if tokens.is_tokenizer(keep_tokens) else tokenizer
    if tokens.is_tokenizer(keep_tokens) and (corpus is None or tokenizer is not None):
        raise InputError("--keep-tokens with a tokenizer.json needs --corpus, and no --tokenizer")
    if corpus is not None and source is None:
        raise InputError("--corpus is read by a tokenizer.json: give it to --keep-tokens")
    body = None if source is None else tokens.read_tokenizer(source)
    map_file, cut_file = output.with_suffix(".ids.json"), output.with_suffix(".tokenizer.json")
    beside = [path for path in (map_file, cut_file if body else None, plan_file) if path is not None]
    require_distinct(output, *beside)
    for path in beside:
        require_writable(path, inputs=[path for path in (model, keep_tokens, corpus, tokenizer) if path is not None])
    opened = open_checked(model, [output], runnable=not no_verify)
    if not isinstance(opened.artifact, OnnxFile):
        raise InputError(f"{model}: vocabulary takes ONNX models; export the program first (torch.onnx.export)")
    with step("finding tables of tokens"):
        found = find_vocabulary(opened.graph, ids or ())
    wanted = tokens.counted(keep_tokens, corpus) if corpus is not None and source == keep_tokens else None
    asked = tokens.read_ids(keep_tokens) if wanted is None else wanted
    tokens.require_range(asked, found.size, str(keep_tokens))
    kept = asked
    if body is not None:
        kept = tokens.closed(body, [*asked, *tokens.special(body)])
        tokens.require_range(kept, found.size, str(source))
    if len(kept) >= found.size:
        raise TargetError(f"{model}: all {found.size} tokens are kept: there is nothing to remove")
    with step("removing tokens"):
        smaller = found.cut(kept, seed).of(opened.artifact.identity)
    plan, report = smaller.plan, None
    with opened.artifact.staged(output) as stage, ExitStack() as stack:
        opened.artifact.write_smaller(smaller, found.analysis, stage.path)
        size = sum(made.stat().st_size for made in stage.folder.iterdir())
        if not no_verify:
            with step("verifying it"):
                report = verify(model, stage.path, plan, found, kept, seed=seed, rtol=rtol)
            plan = plan.with_verification(report.as_json())
        is_written = report is None or report.ok
        if is_written:
            texts = {map_file: json.dumps({"format": FORMAT, "size": found.size, "kept": kept})}
            if body is not None:
                texts[cut_file] = json.dumps(tokens.cut_tokenizer(body, kept), ensure_ascii=False, indent=1)
            if plan_file is not None:
                texts[plan_file] = plan.dumps()
            stages = [stack.enter_context(staged_text(path, text)) for path, text in texts.items()]
            stage.commit()
            for other in stages:
                other.commit()
    added = len(kept) - len(asked)
    if as_json:
        document = {
            "format": "irprune.result/1",
            "ok": is_written,
            "verified": report is not None,
            "output": {"path": str(output), "bytes": size} if is_written else None,
            "tokens": {"before": found.size, "after": len(kept), "added": added, "inputs": list(found.ids)},
            "cost": plan.as_json()["cost"],
            "verification": plan.verification,
        }
        print(json.dumps(document, indent=1))
    else:
        from . import report as tables

        print(f"{found.size} tokens before, {len(kept)} after; new id k is the old id kept[k] of {map_file.name}")
        if added:
            print(f"{added} of them were not asked for: special tokens, and what a tokenizer needs to reach others")
        if report is not None:
            tables.console().print(tables.judged(report))
        if is_written:
            print(f"wrote {output} ({'verified' if report is not None else 'not verified'})")
    if not is_written:
        assert report is not None
        complain(f"{output} was not written: {report.refusal()}")
    raise typer.Exit(DONE if is_written else FAILED)
