from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser import Browser, browser


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A running browser, shared by all tests of a worker; each takes a page of its own."""
    with browser() as found:
        if found is None:
            pytest.skip("NOT TESTED IN A BROWSER: there is no Chromium here (apt-get install chromium)")
        yield found
