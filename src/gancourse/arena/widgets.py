"""The widgets: traits that the browser and Python share. All drawing and training is done in the browser."""

from importlib.resources import files

import anywidget
import numpy as np
import traitlets

FIGURES = (
    "optimal-discriminator",
    "saturation",
    "divergences",
    "gaussian-fits",
    "dirac-gan",
    "transport",
)


def _module(name: str) -> str:
    """Text of a module; from the package, because on Colab there is no repository beside the notebook."""
    return files("gancourse.arena").joinpath(f"{name}.mjs").read_text(encoding="utf-8")


class Arena(anywidget.AnyWidget):
    """A GAN on points of the plane that trains in the reader's browser.

    Every control of the picture is a trait: set it here and the picture follows, turn it there and it can
    be read here. Learning rates lie in [1e-5, 1], `k` in 1..10, `batch` in 8..256, `width` in 4..64,
    `seed` in 0..999999, `r1_at` and `steps` in 0..20000. `r1_at` switches the penalty on from that step,
    `steps` trains up to that step. `preset` replaces all settings by those of a lesson ("healthy",
    "vanishing", "collapse", "oscillation", "recovery") and is empty again afterwards. `measures` holds
    step, value, generator_loss (nats), pull, covered and of.

    Raises:
        traitlets.TraitError: a value that the control does not have.
    """

    _esm = _module("arena")

    preset = traitlets.Enum(["", "healthy", "vanishing", "collapse", "oscillation", "recovery"], "").tag(
        sync=True
    )
    data = traitlets.Enum(["ring", "grid", "moons", "line", "drawn"], "ring").tag(sync=True)
    drawn = traitlets.Unicode("").tag(sync=True)
    loss = traitlets.Enum(["minimax", "nonsaturating", "wasserstein"], "nonsaturating").tag(sync=True)
    r1 = traitlets.Bool(False).tag(sync=True)
    lr_d = traitlets.Float(0.003, min=1e-5, max=1).tag(sync=True)
    lr_g = traitlets.Float(0.001, min=1e-5, max=1).tag(sync=True)
    k = traitlets.Int(1, min=1, max=10).tag(sync=True)
    batch = traitlets.Int(64, min=8, max=256).tag(sync=True)
    width = traitlets.Int(24, min=4, max=64).tag(sync=True)
    seed = traitlets.Int(1, min=0, max=999999).tag(sync=True)
    r1_at = traitlets.Int(0, min=0, max=20000).tag(sync=True)
    steps = traitlets.Int(0, min=0, max=20000).tag(sync=True)
    training = traitlets.Bool(False).tag(sync=True)
    size = traitlets.Enum(["full", "small"], "full").tag(sync=True)
    measures = traitlets.Dict().tag(sync=True)
    # The browser's bytes arrive as a view of memory, which the trait would refuse.
    _samples = traitlets.Bytes(b"").tag(sync=True, from_json=lambda value, _: bytes(value))

    @property
    def samples(self) -> np.ndarray:
        """The generated points of the picture, shape (256, 2), float64; (0, 2) before it was shown."""
        return np.frombuffer(self._samples, dtype="<f8").reshape(-1, 2)

    def discriminator_step(self) -> None:
        """One step of the discriminator alone, in a picture that is shown."""
        self.send({"do": "discriminator_step"})

    def generator_step(self) -> None:
        """One step of the generator alone, in a picture that is shown."""
        self.send({"do": "generator_step"})

    def reset(self) -> None:
        """Back to step 0 with the present settings, in a picture that is shown."""
        self.send({"do": "reset"})


class Figure(anywidget.AnyWidget):
    """A figure of the course with sliders; `figure` is one of `FIGURES`.

    Raises:
        traitlets.TraitError: a figure that there is not.
    """

    _esm = _module("figures")

    figure = traitlets.Enum(FIGURES, FIGURES[0]).tag(sync=True)

    def __init__(self, figure: str = FIGURES[0], **traits: object) -> None:
        super().__init__(figure=figure, **traits)
