"""A block type of one's own, all four faces: `blockgraph build examples/plugin.yaml --plugin examples/my_blocks.py`."""

from torch import Tensor, nn

from blockgraph.builder.rules import Construct, Rules
from blockgraph.specs.options import Options
from blockgraph.specs.registry import BlockType, Port
from blockgraph.viz.faces import Face


class MaxoutOptions(Options):  # what the YAML may say
    width: int
    pieces: int = 2


class MaxoutRules(Rules[MaxoutOptions]):  # what it means: shapes, arguments, weights, FLOPs
    def outputs(self, o, i):
        return {"out": i["x"].widened(o.width)}

    def construct(self, o, i):
        return Construct("Maxout", {"in_width": i["x"].width, "width": o.width, "pieces": o.pieces})

    def weights(self, o, i):
        return {"linear.weight": (o.width * o.pieces, i["x"].width), "linear.bias": (o.width * o.pieces,)}

    def flops(self, o, i):
        return 2 * i["x"].numbers * o.width * o.pieces


class Maxout(nn.Module):  # what runs: the largest of several linear maps (Goodfellow et al. 2013)
    def __init__(self, in_width: int, width: int, pieces: int) -> None:
        super().__init__()
        self.linear, self.pieces = nn.Linear(in_width, width * pieces), pieces

    def forward(self, x: Tensor) -> Tensor:  # [B, T, in_width] -> [B, T, width]
        return self.linear(x).unflatten(-1, (-1, self.pieces)).amax(-1)


face = Face("ffn", ("Maxout",))  # how it is drawn
maxout = BlockType("maxout", "a maximum of linears", (Port("x"),), MaxoutOptions, MaxoutRules, __name__, lambda _: face)
