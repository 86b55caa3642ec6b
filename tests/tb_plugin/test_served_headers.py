"""What the tab's server says of what it serves: its types, and the policy of the page."""

import pytest
from support.attention_logs import write_log
from support.plugin_server import ROUTE, Tab, slow_loader

pytestmark = pytest.mark.one_stack

QUERY = {"run": "attention", "method": "rollout", "probe": "0"}
TYPES = {
    "runs": "application/json",
    "setup": "application/json",
    "epochs": "application/octet-stream",
    "heat": "application/octet-stream",
    "keys": "application/json",
    "index.js": "text/javascript; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "vendor/uPlot.LICENSE": "text/plain; charset=utf-8",
}


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logs")
    write_log(folder, (-1, 0), names=("<script>hit()</script>",) * 2)
    with slow_loader(folder) as source:
        yield Tab(source)


@pytest.mark.parametrize("route", TYPES)
def test_every_answer_has_its_type_and_none_is_guessed_at(tab, route):
    response = tab.get(route, **QUERY, kind="heads")
    assert response.status_code == 200
    assert response.content_type == TYPES[route]
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_pictures_of_the_log_are_served_as_bytes_alone(tab):
    keys = tab.json("setup", run="attention")["pictures"]
    response = tab.get("blobs", key=keys)
    assert response.content_type == "application/octet-stream"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("route", ["setup", "nothing", "runs"])
def test_errors_are_plain_text(tab, route):
    for method in ("GET", "POST"):
        response = tab.client.open(f"{ROUTE}{route}?run=<script>", method=method)
        if response.status_code != 200:
            assert response.mimetype == "text/plain"
            assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_the_page_around_the_tab_runs_scripts_of_its_own_host_alone(tab):
    response = tab.client.get("/data/plugin_entry.html?name=attention")
    policy = dict(
        part.strip().split(" ", 1)
        for part in response.headers["Content-Security-Policy"].split(";")
        if " " in part.strip()
    )
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert policy["default-src"] == "'self'"
    assert policy["object-src"] == "'none'"
    scripts = policy["script-src"].split()
    # TensorBoard itself allows `eval`, which the tab's modules don't use.
    others = [each for each in scripts if not each.startswith("'sha256-")]
    assert set(others) <= {"'self'", "'unsafe-eval'"}
    assert "http" not in policy.get("connect-src", "'self'")
