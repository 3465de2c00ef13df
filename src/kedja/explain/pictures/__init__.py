"""Pictures of graphs, networks, data and training (scope 10): one kind a file, each loaded when it is first used."""

__all__ = ["HOMES"]

# Where the public names live; `kedja.explain` has them all.
HOMES: dict[str, tuple[str, ...]] = {
    "boundary": ("Boundary", "boundary"),
    "convolution_steps": ("ConvolutionSteps", "convolution_steps"),
    "feature_maps": ("FeatureMaps", "Filters", "feature_maps", "filters"),
    "fits": ("Fits", "fits"),
    "gradient_sizes": ("GradientSizes", "gradient_sizes"),
    "graph": ("GraphDrawing", "draw_graph"),
    "loss_surface": ("LossSurface", "loss_surface"),
    "network": ("NetworkDrawing", "draw_network"),
    "race": ("Race", "race"),
    "rates": ("Rates", "rates"),
    "responses": ("Responses", "responses"),
    "trail": ("Trail",),
    "width_error": ("WidthError", "width_error"),
}
