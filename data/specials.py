"""Ids that stand for no text, as everything that reads data knows them. They are decoding's too, so they live there."""

from blockgraph.running.specials import NAMES, Specials, specials_of

__all__ = ["NAMES", "Specials", "specials_of"]
