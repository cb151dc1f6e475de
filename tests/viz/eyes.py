"""How colours look: contrast (WCAG 2.2), difference (CIE76 in CIELAB under D65), and what readers without one kind of
cone see: Machado, Oliveira and Fernandes 2009, "A Physiologically-based Model for Simulation of Color Vision
Deficiency", the matrices of severity 1.0, applied to linear RGB."""

from __future__ import annotations

from math import dist

RGB = tuple[float, float, float]
Matrix = tuple[RGB, RGB, RGB]

EYES: dict[str, Matrix] = {
    "usual": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "protan": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deutan": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritan": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}
XYZ: Matrix = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
WHITE: RGB = (0.95047, 1.0, 1.08883)


def linear(color: str) -> RGB:
    """`#rrggbb` as amounts of light."""
    red, green, blue = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return _light(red), _light(green), _light(blue)


def _light(share: float) -> float:
    return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4


def _times(matrix: Matrix, vector: RGB) -> RGB:
    a, b, c = (sum(x * y for x, y in zip(row, vector, strict=True)) for row in matrix)
    return a, b, c


def seen(color: str, eyes: str) -> RGB:
    """The colour in CIELAB as `eyes` see it."""
    red, green, blue = (min(max(x, 0.0), 1.0) for x in _times(EYES[eyes], linear(color)))
    x, y, z = (_bent(v / w) for v, w in zip(_times(XYZ, (red, green, blue)), WHITE, strict=True))
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def _bent(share: float) -> float:
    return share ** (1 / 3) if share > 216 / 24389 else (24389 / 27 * share + 16) / 116


def difference(a: str, b: str, eyes: str = "usual") -> float:
    """ΔE76: below about 2.3 nobody sees it."""
    return dist(seen(a, eyes), seen(b, eyes))


def contrast(a: str, b: str) -> float:
    """WCAG contrast ratio, 1 to 21."""
    dark, light = sorted(_times(XYZ, linear(color))[1] for color in (a, b))
    return (light + 0.05) / (dark + 0.05)
