"""The table of operators: what each ONNX operator is in kedja's ops, and the way from a node to its function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import onnx

from kedja.errors import FormatError, KedjaError
from kedja.formats.onnx.lacking import lacking
from kedja.formats.onnx.older import modern
from kedja.formats.onnx.values import Coded, Value, Words, attributes, known_value

__all__ = ["OPERATORS", "Operator", "define", "domain_of", "operator", "translate"]

Function = Callable[..., Any]
F = TypeVar("F", bound=Function)
# What a function may ask for besides inputs and attributes; `scope` knows the values around the node.
CONTEXT = ("label", "opset", "outputs", "scope", "words")


class Operator(NamedTuple):
    """An operator's function, the positions of the inputs it must know, and what it asks for."""

    function: Function
    known: tuple[int, ...]
    context: tuple[str, ...]
    attributes: frozenset[str] | None
    coded: bool


OPERATORS: dict[tuple[str, str], Operator] = {}
"""(domain, name) → operator; the domain of the standard operators is ""."""


def define(name: str, function: Function, *, domain: str = "", known: Sequence[str] = (), coded: bool = False) -> None:
    """Enter a function for an operator.

    Inputs are its positional parameters and attributes its parameters by the same name, with ONNX's defaults. Inputs
    named in `known` come as NumPy arrays; those an operator gets as an attribute in older versions keep one name.
    `coded` functions also take words and numbers of small types.
    """
    parameters = inspect.signature(function).parameters
    names = list(parameters)
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    OPERATORS[domain, name] = Operator(
        function,
        tuple(names.index(k) for k in known),
        tuple(n for n in CONTEXT if n in names),
        None if takes_any else frozenset(names) - set(CONTEXT),
        coded,
    )


def operator(name: str, **how: Any) -> Callable[[F], F]:
    """`define` as a decorator."""

    def enter(function: F) -> F:
        define(name, function, **how)
        return function

    return enter


def domain_of(node: onnx.NodeProto) -> str:
    """The node's domain; the standard one has two names."""
    return "" if node.domain == "ai.onnx" else str(node.domain)


def translate(
    node: onnx.NodeProto, inputs: Sequence[Value], opset: int, given: Mapping[str, Any] | None = None,
    words: Any = None, scope: Any = None,
) -> list[Value]:  # fmt: skip
    """The outputs of one ONNX node as nodes of kedja's graph, one per name in `node.output`.

    `inputs` are Tensors, None where an optional input is left out; `opset` is the version of the node's domain;
    `given` its attributes, when they have been read already; `scope` what operators with graphs inside need.

    >>> from onnx import helper
    >>> import kedja as kj
    >>> node = helper.make_node("Gemm", ["a", "b"], ["y"], alpha=2.0)
    >>> translate(node, [kj.ones((1, 2)), kj.ones((2, 1))], opset=13)[0].numpy().tolist()
    [[4.0]]
    """
    found = OPERATORS.get((domain_of(node), node.op_type))
    label = f"{node.op_type} {node.name!r}" if node.name else node.op_type
    if found is None:
        raise FormatError(lacking(node))
    arguments, attrs = modern(node, inputs, dict(attributes(node) if given is None else given), opset)
    strange = set(attrs) - found.attributes if found.attributes is not None else set()
    if strange:
        raise FormatError(f"{label}: the attribute {sorted(strange)[0]!r} is not known to kedja's version of it")
    for i in found.known:
        if i < len(arguments) and arguments[i] is not None and not isinstance(arguments[i], Coded):
            arguments[i] = known_value(arguments[i], f"input {i} of {label}")
    if not found.coded and any(isinstance(x, Coded) for x in arguments):
        kinds = sorted({x.dtype.name for x in arguments if isinstance(x, Coded)})
        raise FormatError(f"{label}: kedja does not compute with values of type {', '.join(kinds)}")
    while arguments and arguments[-1] is None:
        arguments.pop()
    context = {
        "label": next(iter(node.output), ""), "opset": opset, "outputs": len(node.output),
        "words": Words() if words is None else words, "scope": scope,
    }  # fmt: skip
    try:
        made = found.function(*arguments, **attrs, **{n: context[n] for n in found.context})
    except KedjaError as error:
        raise type(error)(f"ONNX {label}: {error}") from None
    except TypeError as error:  # an input or attribute too many or too few
        raise FormatError(f"ONNX {label} with {len(inputs)} inputs and attributes {sorted(attrs)}: {error}") from error
    outputs = list(made) if isinstance(made, tuple) else [made]
    return outputs[: len(node.output)] + [None] * (len(node.output) - len(outputs))
