"""A picture is its bytes, and knows how to show itself in a notebook."""

from __future__ import annotations

from typing import Self


class Picture(bytes):
    """The bytes of a picture as svg, png, pdf, html or text, for whoever wants the file; notebooks show it.

    `form` names the format.
    """

    form: str

    def __new__(cls, data: bytes, form: str) -> Self:
        made = super().__new__(cls, data)
        made.form = form
        return made

    def __reduce__(self) -> tuple[type[Picture], tuple[bytes, str]]:
        return Picture, (bytes(self), self.form)

    def __repr__(self) -> str:
        return f"<picture: {self.form}, {len(self):,} bytes>"

    def _repr_svg_(self) -> str | None:
        return self.decode() if self.form == "svg" else None

    def _repr_png_(self) -> bytes | None:
        return bytes(self) if self.form == "png" else None

    def _repr_pdf_(self) -> bytes | None:
        return bytes(self) if self.form == "pdf" else None
