"""docs/intake.md, done as it says: its commands, its configurations, and requests as they make them."""

import hashlib
import hmac
import re
import shutil
import subprocess
import sys
from asyncio import to_thread
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
import yaml

from dispatcher.context import Context
from dispatcher.intake.defaults import Defaults
from dispatcher.intake.model import Kind
from dispatcher.web.problems import PROBLEMS
from tests.cli.conftest import Tidings, environment, shell, tidings
from tests.intake import payloads
from tests.intake.senders import Sender, proof
from tests.web.client import Answer, Api

__all__ = ["shell", "tidings"]

pytestmark = [pytest.mark.usefixtures("people"), pytest.mark.timeout(180)]

TEXT: Final = (Path(__file__).parents[2] / "docs" / "intake.md").read_text("utf-8")
URL: Final = "https://tidings.example.com/v1/intake/src_example"


@pytest.fixture
def on_database(ctx: Context) -> dict[str, str]:
    """The command line works on the installation that the test talks to."""
    settings = ctx.settings
    assert settings.database.url is not None
    assert settings.secret is not None
    return environment(
        DATABASE__URL=settings.database.url.get_secret_value(),
        SECRET=settings.secret.get_secret_value(),
        PUBLIC_URL=settings.public_url,
    )


def part(heading: str) -> str:
    """What stands below a heading, up to the next one."""
    return TEXT.split(f"### {heading}\n")[1].split("\n#")[0]


class Recipe:
    """One recipe with this installation's address and secret in it."""

    def __init__(self, heading: str, url: str, secret: str) -> None:
        self.text = part(heading).replace(URL, url).replace("the-secret", secret)

    def block(self, language: str) -> str:
        return self.text.split(f"```{language}\n")[1].split("```")[0]

    def data(self, language: str) -> Any:
        return yaml.safe_load(self.block(language))


async def cook(tidings: Tidings, heading: str) -> tuple[Recipe, str, str]:
    """Run the recipe's command; the recipe, and the address and the secret that were printed."""
    (line,) = re.findall(r"^    (tidings sources create .*)$", part(heading), re.MULTILINE)
    arguments = re.findall(r'"[^"]*"|\S+', line)[1:]
    made = await tidings(*(item.strip('"') for item in arguments))
    assert made.code == 0, made.err
    fields = dict(item.split(": ", 1) for item in made.out.splitlines())
    url, secret = fields["url"].strip(), fields["secret"].strip()
    return Recipe(heading, url, secret), url, secret


async def post(api: Api, url: str, body: object, headers: Mapping[str, str]) -> Answer:
    path = url.removeprefix(api.base)
    answer = await api.bearing(None).call("POST", path, raw=orjson.dumps(body), headers=headers)
    assert answer.status == 202, answer.body
    return answer


async def test_alertmanager_is_configured_as_the_recipe_says(api: Api, tidings: Tidings) -> None:
    recipe, url, _ = await cook(tidings, "Alertmanager")
    config = recipe.data("yaml")
    (webhook,) = config["receivers"][0]["webhook_configs"]
    assert config["route"]["receiver"] == config["receivers"][0]["name"]
    assert webhook["url"] == url
    said = webhook["http_config"]["authorization"]
    headers = {"Authorization": f"{said['type']} {said['credentials']}"}
    answer = await post(api, webhook["url"], payloads.alertmanager(), headers)
    assert answer.json["became"] == "draft"
    # And the inspector shows it.
    tail = await tidings("intake", "tail", "ops-alerts")
    assert f"draft {answer.json['update_id']}" in tail.out
    lines = (await tidings("intake", "tail", "ops-alerts", "--json")).out.splitlines()
    (event,) = [orjson.loads(line) for line in lines]
    again = await tidings("intake", "replay", event["id"])
    assert again.out.startswith("It was taken before: draft")
    forced: Any = (await tidings("intake", "replay", event["id"], "--force", "--json")).json
    assert (forced["became"], forced["incident_id"]) == ("extended", answer.json["incident_id"])


async def test_grafana_is_configured_as_the_recipe_says(
    api: Api, ctx: Context, tidings: Tidings
) -> None:
    recipe, _, _ = await cook(tidings, "Grafana")
    (receiver,) = recipe.data("yaml")["contactPoints"][0]["receivers"]
    settings, body = receiver["settings"], payloads.grafana()
    sent_at = str(int(ctx.now().timestamp()))
    signing = settings["hmacConfig"]
    signed = f"{sent_at}:".encode() + orjson.dumps(body)
    right = hmac.new(signing["secret"].encode(), signed, hashlib.sha256).hexdigest()
    headers = {signing["header"]: right, signing["timestampHeader"]: sent_at}
    answer = await post(api, settings["url"], body, headers)
    assert answer.json["became"] == "draft"
    older = {"Authorization": f"Bearer {signing['secret']}"}
    again = await post(api, settings["url"], body, older)
    assert again.headers["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize(
    ("heading", "kind", "name", "secret"),
    [
        ("PagerDuty", Kind.PAGERDUTY, "pager", "made-by-pagerduty-0123456789"),
        ("incident.io", Kind.INCIDENTIO, "incidents", "whsec_" + "QUJD" * 8),
    ],
)
async def test_a_sender_that_makes_the_secret_gives_it_to_the_source(
    api: Api, ctx: Context, tidings: Tidings, heading: str, kind: Kind, name: str, secret: str
) -> None:
    recipe, url, _ = await cook(tidings, heading)
    if kind is Kind.PAGERDUTY:
        subscription = recipe.data("json")["webhook_subscription"]
        assert subscription["delivery_method"]["url"] == url
        assert {"incident.triggered", "incident.resolved"} < set(subscription["events"])
    (line,) = re.findall(r"^    tidings (sources rotate .*)$", recipe.text, re.MULTILINE)
    assert name in line
    rotated = await tidings(*line.split(), stdin=secret)
    assert rotated.code == 0, rotated.err
    body = payloads.of_every_kind()[kind][0]
    headers = proof(kind, secret, orjson.dumps(body), ctx.now(), "msg_1")
    assert (await post(api, url, body, headers)).json["state"] == "draft"


async def test_statuspage_is_given_the_address_as_it_was_printed(
    api: Api, tidings: Tidings, tmp_path: Path
) -> None:
    recipe, url, secret = await cook(tidings, "Statuspage")
    assert url.endswith(f"/{secret}")
    assert (await post(api, url, payloads.statuspage(), {})).json["became"] == "update"
    # It may be bound to its networks, and we are in none of them.
    (line,) = re.findall(r"^    tidings (sources change .*)$", recipe.text, re.MULTILINE)
    settings = tmp_path / line.split()[-1]
    settings.write_text(recipe.block("yaml"))
    changed = await tidings(*line.split())
    assert changed.code == 0, changed.err
    path = url.removeprefix(api.base)
    refused = await api.bearing(None).call("POST", path, payloads.statuspage())
    assert refused.kind == "forged-event"
    assert "1 forged" in (await tidings("sources", "list")).out.replace("\n", " ")


async def test_opsgenie_shows_the_secret_in_a_header_of_ones_own(
    api: Api, tidings: Tidings
) -> None:
    recipe, url, _ = await cook(tidings, "Opsgenie")
    headers = orjson.loads(recipe.block("json"))
    assert (await post(api, url, payloads.opsgenie(), headers)).json["became"] == "draft"


async def run(*arguments: str) -> Any:
    done = await to_thread(
        subprocess.run, arguments, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return orjson.loads(done.stdout)


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
async def test_the_lines_of_curl_send_updates(api: Api, tidings: Tidings) -> None:
    recipe, _, _ = await cook(tidings, "CloudEvents, with curl")
    structured, binary = [text.split("```")[0] for text in recipe.text.split("```sh\n")[1:]]
    answer = await run("sh", "-c", structured)
    assert (answer["became"], answer["state"]) == ("update", "dispatching")
    incident = (await api.get(answer["links"]["incident"])).json
    assert (incident["title"], incident["status"]) == (
        "Some customers cannot check out",
        "investigating",
    )
    over = await run("sh", "-c", binary)
    assert (over["became"], over["incident_id"]) == ("update", answer["incident_id"])
    assert (await api.get(over["links"]["incident"])).json["status"] == "resolved"


async def test_the_lines_of_python_send_an_update(api: Api, ctx: Context, tidings: Tidings) -> None:
    recipe, url, secret = await cook(tidings, "Own systems, with Python")
    answer = await run(sys.executable, "-c", recipe.block("python"))
    assert (answer["became"], answer["state"]) == ("update", "dispatching")
    made = Sender(api, Kind.STANDARD_WEBHOOKS, "", url.removeprefix(api.base), secret)
    assert (await made.send(payloads.own_webhook(), ctx.now(), "INC-43-1")).headers[
        "Idempotency-Replayed"
    ] == "true"


def test_the_tables_name_every_kind_every_field_and_every_problem() -> None:
    kinds, fields = (
        set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\|([^|]*)\|", table, re.MULTILINE))))
        for table in (
            TEXT.split("## What becomes what")[1].split("##")[0],
            TEXT.split("## What the operator says")[1].split("##")[0],
        )
    )
    assert kinds == set(Kind)
    assert fields == set(Defaults.model_fields)
    for problem in ("malformed-event", "forged-event", "source-disabled"):
        assert f"`{problem}`" in TEXT
        assert problem in PROBLEMS
