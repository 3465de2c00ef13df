"""Expressions as people type them, drawn at random."""

from hypothesis import strategies as st

LEAVES = st.sampled_from(["x", "y", "2", "3", "0.5", "pi"])


def larger(part):
    """An expression made of smaller ones."""
    return st.one_of(
        st.tuples(part, st.sampled_from("+-*/^"), part).map(lambda t: f"({t[0]}){t[1]}({t[2]})"),
        part.map(lambda p: f"-({p})"),
        st.tuples(st.sampled_from(["sin", "exp", "sqrt", "tanh"]), part).map(lambda t: f"{t[0]}({t[1]})"),
    )


EXPRESSIONS = st.recursive(LEAVES, larger, max_leaves=8)
