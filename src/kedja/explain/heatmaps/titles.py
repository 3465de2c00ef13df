"""The sentences of heat maps that do not stand where they are said."""

from __future__ import annotations

from kedja.explain.backpropagation.sentences import mark

__all__ = ["ABOUT", "SIGNED", "TITLES", "share"]

TITLES = {
    "cam": "CAM",
    "grad_cam": "Grad-CAM",
    "gradient_times_input": mark("gradient × input"),
    "guided_backprop": mark("guided back-propagation"),
    "integrated_gradients": mark("integrated gradients"),
    "occlusion": mark("occlusion"),
    "saliency": mark("saliency"),
    "smooth_grad": "SmoothGrad",
}
SIGNED = ("cam", "gradient_times_input", "integrated_gradients", "occlusion")
ABOUT = {
    "logit": mark("the score s is the logit of the class, before softmax or sigmoid"),
    "output": mark("the score s is the output of the model as it is"),
    "probability": mark("the score s is the probability of the class"),
}


def share(probability: float) -> str:
    """A probability as it is read.

    >>> share(0.9312), share(0.99999), share(0.0001)
    ('93.1 %', '> 99.9 %', '< 0.1 %')
    """
    if probability > 0.9995:
        return "> 99.9 %"
    return "< 0.1 %" if probability < 0.0005 else f"{100 * probability:.1f} %"
