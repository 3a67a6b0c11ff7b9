"""Show `<name>-light.svg` on light pages and `<name>-dark.svg` on dark ones, with one number and one caption.

A chapter includes only the light picture. Its dark twin, with the same alternative text, is put beside it,
and both go into one box: the theme hides the caption next to a picture that it hides.
"""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

LIGHT, DARK = "-light.svg", "-dark.svg"


class PairPictures(SphinxTransform):
    """Replace every image whose file ends in `-light.svg` by a box with the light and the dark one."""

    default_priority = 500  # before Sphinx collects the image files, which happens after all transforms

    def apply(self) -> None:
        for light in list(self.document.findall(nodes.image)):
            if not light["uri"].endswith(LIGHT):
                continue
            dark = light.deepcopy()
            dark["uri"] = light["uri"].removesuffix(LIGHT) + DARK
            dark["ids"], dark["names"] = [], []
            light["classes"].append("only-light")
            dark["classes"].append("only-dark")
            box = nodes.container(classes=["figure-pair"])
            # Not `replace_self`: that would hand the classes of the picture on to the box.
            light.parent.replace(light, box)
            box += [light, dark]


def setup(app: Sphinx) -> dict[str, object]:
    """Register the transform."""
    app.add_transform(PairPictures)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
