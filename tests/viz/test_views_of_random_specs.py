"""Any spec, in any view: nothing fails, nothing is lost, everything is clean."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings

from blockgraph.viz.check import problems
from blockgraph.viz.draw import compose
from blockgraph.viz.view import ALL, View
from tests.graphs import specs
from tests.viz.handmade import model

SOME = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
VIEWS = {
    "closed": View(depth=0),
    "one": View(depth=1),
    "all": View(depth=ALL),
    "unrolled": View(unroll=True),
    "unrolled-all": View(unroll=True, depth=ALL, direction="right"),
    "bare": View(shapes=False, params=False, direction="left"),
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
@SOME
@given(spec=specs())
def test_random_specs_are_clean_in_every_view(view: View, spec: dict[str, Any]) -> None:
    kept = {key: value for key, value in spec.items() if key not in ("blockgraph", "name")}
    drawn = compose(model(yaml.safe_dump(kept, sort_keys=False)), view)
    assert problems(drawn) == []
