"""The worked examples as a reader sees them: the exact figures of scope 1.7 and 9, in the rendered text."""

import json

import pytest

import kedja as kj

# What must stand on the page, from scope.md; eight digits after the point.
FIGURES = {
    "1.7": ["c = a + b = 2 + 1 = 3", "d = b + 1 = 1 + 1 = 2", "e = c · d = 3 · 2 = 6", "∂e/∂c = d = 2", "∂e/∂d = c = 3",
            "∂c/∂a = 1", "∂c/∂b = 1", "∂d/∂b = 1", "∂e/∂a = ∂e/∂c = 2", "∂e/∂b = ∂e/∂d + ∂e/∂c = 3 + 2 = 5"],
    "9.1": ["z = w₀ + w @ x = 1 + (3, -2) @ (-1, 2) = -6", "ŷ = σ(z) = σ(-6) = 0.00247262"],
    "9.2": ["w[in, out]", "x₁ = I₁ · w₁₁ + I₂ · w₂₁ = 1 · 0.9 + 0.5 · 0.3 = 1.05", "x = I @ W",
            "x₂ = I₁ · w₁₂ + I₂ · w₂₂ = 1 · 0.2 + 0.5 · 0.8 = 0.6", "y₁ = σ(x₁) = σ(1.05) = 0.7407749",
            "y₂ = σ(x₂) = σ(0.6) = 0.64565631"],
    "9.3": ["w[out, in]", "(1.16, 0.42, 0.62)", "(0.76133271, 0.60348325, 0.65021855)",
            "(0.97594736, 0.88858496, 1.25461119)", "(0.72630335, 0.70859807, 0.77809706)",
            "X_h₁ = w_ih₁₁ · I₁ + w_ih₁₂ · I₂ + w_ih₁₃ · I₃ = 0.9 · 0.9 + 0.3 · 0.1 + 0.4 · 0.8 = 1.16"],
    "9.4": ["w[in, out]", "o = σ(net) = σ(2) = 0.88079708", "∂E/∂o = -2 · (t - o)", "= -1.6",
            "∂E/∂w₁₁ = ∂E/∂o · ∂o/∂net · ∂net/∂w₁₁ = -1.6 · 0.10499359 · 0.4 = -0.06719589",
            "w₁₁ ← w₁₁ - ε · ∂E/∂w₁₁ = 2 - 0.1 · (-0.06719589) = 2.00671959", "= -0.03359795", "= 2.00335979",
            "lies outside what a sigmoid can reach"],
    "9.5": ["w[hidden, out]", "= (2, 0.8)", "(0.88079708, 0.68997448)", "0.57 0.73", "2.1 2.9",
            "0.54988917 0.71787891", "0.549889 0.717879", "divides by zero"],
    "9.6": ["∂E/∂w = (y - t) · x = -4", "∂E/∂y = a - t = -0.37754067",
            "∂E/∂y = ∂E/∂a · a · (1 - a) = -1.60653066 · 0.62245933 · (1 - 0.62245933) = -0.37754067"],
    "9.7": ["∂h₁/∂x = W₁ᵀ", "∂z₁/∂h₁ = z₁ ∘ (1 - z₁)", "∂z₂/∂z₁ = W₂ᵀ", "∂Loss/∂z₂ = 2 · (z₂ - y)"],
    "9.8": ["∂E/∂a₂ = 2 · (a₂ - T)", "∂E/∂y₂ = ∂E/∂a₂ ∘ a₂ ∘ (1 - a₂)", "∂E/∂W₂ = a₁ᵀ @ ∂E/∂y₂",
            "∂E/∂a₁ = ∂E/∂y₂ @ W₂ᵀ", "∂E/∂y₁ = ∂E/∂a₁ ∘ a₁ ∘ (1 - a₁)", "∂E/∂W₁ = Iᵀ @ ∂E/∂y₁", "shape (784, 100)",
            "shape (100, 10)", "shape (1, 100)", "shape (1, 10)"],
    "9.9": ["(2.30258509, 1.60943791, 0.51082562)", "= 1.47428288", "= 0.53666667"],
    "9.10": ["t = 1 / q = 1 / 1.36787944 = 0.73105858", "∂t/∂p = -∂t/∂u₁ = -(-0.19661193) = 0.19661193",
             "(-0.19661193, -0.39322387, 0.19661193)"],
}  # fmt: skip


def squeezed(page: object) -> str:
    """The text of a page with single spaces, so that an equation over several lines is one."""
    return " ".join(str(page).split())


@pytest.mark.parametrize("name", FIGURES)
def test_page_shows_the_figures_of_the_scope(name):
    """Every figure of the scope stands in the text of the example."""
    text = squeezed(kj.explain.example(name))
    assert [figure for figure in FIGURES[name] if figure not in text] == []


def test_there_is_an_example_for_every_row():
    """1.7 and 9.1 to 9.10, nothing else."""
    from kedja.explain.examples import EXAMPLES

    assert set(EXAMPLES) == {"1.7", *(f"9.{i}" for i in range(1, 11))}


@pytest.mark.parametrize("name", FIGURES)
def test_every_form_of_an_example_can_be_made(name):
    """Markdown, LaTeX, HTML and JSON have the same title, and JSON survives a round trip."""
    page = kj.explain.example(name)
    data = json.loads(json.dumps(page.to_dict()))
    assert all(page.title in form for form in (str(page), page.markdown(), page.html())) and data["example"] == name


def test_multiplied_out_gradients_agree_with_pytorch():
    """Example 9.7's five gradients are those PyTorch finds for the same numbers."""
    import torch

    given = {"x": [[1.0, 0.5]], "W₁": [[0.9, 0.2], [0.3, 0.8]], "b₁": [0.1, -0.1], "W₂": [[0.5], [-0.4]], "b₂": [0.2]}
    leaves = {k: torch.tensor(v, dtype=torch.float64, requires_grad=True) for k, v in given.items()}
    z = torch.sigmoid(leaves["x"] @ leaves["W₁"] + leaves["b₁"]) @ leaves["W₂"] + leaves["b₂"]
    ((z - 1.0) ** 2).sum().backward()
    walk = kj.explain.example("9.7").walks[0]
    for name, leaf in leaves.items():
        assert walk[f"∂Loss/∂{name}"] == pytest.approx(leaf.grad.numpy(), abs=1e-12)


def test_example_takes_a_number_too():
    """example(9.4) is example("9.4")."""
    assert str(kj.explain.example(9.4)) == str(kj.explain.example("9.4"))


def test_unknown_example_lists_the_known():
    """The error names the examples there are."""
    with pytest.raises(kj.ops.op.KedjaError, match="unknown example '9.12'.*1.7, 9.1, 9.10"):
        kj.explain.example("9.12")
