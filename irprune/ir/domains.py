"""Domains of operators as ONNX files name them."""

from __future__ import annotations


def plain_domain(domain: str) -> str:
    """The domain of an operator: files write that of standard ONNX as ``""`` or as ``ai.onnx``."""
    return "" if domain == "ai.onnx" else domain


def qualified_operator(op: str, domain: str) -> str:
    """An operator with its domain, such as ``com.microsoft::FusedConv``; standard ones stand alone."""
    domain = plain_domain(domain)
    return f"{domain}::{op}" if domain else op


def is_stored_tensor(op: str, domain: str) -> bool:
    """Whether a node is a Constant, as which files store tensors."""
    return op == "Constant" and not plain_domain(domain)
