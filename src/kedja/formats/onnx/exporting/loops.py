"""Writers of loops: scan and map are ONNX's Scan, whose body is a graph that sees what is around it."""

from __future__ import annotations

import numpy as np

from kedja.formats.onnx.exporting.sites import Body, Site
from kedja.formats.onnx.exporting.writer import Node, Subgraph, Writer, writes


@writes("item")
def item(w: Writer, s: Site) -> str:
    return w.many[s.inputs[0]][s.attrs["index"]]


@writes("scan", "map")
def scan(w: Writer, s: Site) -> str:
    """Outputs of ours: last carries, stacked results, and the carries before each step; only those used are written."""
    body: Body = s.attrs["body"]
    carries, sequences = s.attrs.get("carries", 0), s.attrs["sequences"]
    used = sorted(w.used[s])
    inner = Writer(w.opset, w)
    inputs = []
    for site in body.inputs[: carries + sequences]:
        inner.names[site] = name = w.fresh(f"{s.layer}/step_input" if s.layer else "step_input")
        w.shared.ranks[name] = site.ndim
        inputs.append((name, site))
    outer = [w.of(x) for x in s.inputs[: carries + sequences]]
    if not sequences:  # ONNX wants something to go through
        counted = w.fresh("step_number")
        whole = Site("step", (), {}, (), np.dtype(np.int64), s.layer, s.node)
        inputs.append((counted, whole))
        outer.append(w.constant(np.arange(s.attrs["length"]), np.int64))
    results = len(body.outputs)
    stacked = [k for k in used if k >= carries]
    ends = [*body.outputs[:carries], *(body.outputs[k] if k < results else body.inputs[k - results] for k in stacked)]
    inner.write(ends)
    made = {name for node in inner.nodes for name in node.outputs}
    outputs = []
    for site in ends:
        name = inner.of(site)
        if name not in made:  # a result must be made by the body, once
            copy = w.fresh(f"{s.layer}/step_output" if s.layer else "step_output")
            inner.nodes.append(Node("Identity", [name], [copy]))
            name = copy
        made.discard(name)
        outputs.append((name, site))
    graph = Subgraph(w.fresh(f"{s.layer}/body" if s.layer else "body"), inputs, outputs, inner.nodes)
    count = max(sequences, 1)
    w.scope = s.layer
    back = int(s.attrs.get("reverse", False))
    names = w.add_many(
        "Scan", outer, len(outputs), body=graph, num_scan_inputs=count, scan_input_directions=[back] * count,
        scan_output_directions=[back] * len(stacked) if stacked else None,
    )  # fmt: skip
    w.many[s] = dict(zip([*range(carries), *stacked], names, strict=True))
    return names[0]
