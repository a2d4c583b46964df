"""The files that others deploy by are true."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from dispatcher.cli.verbs import real_command
from dispatcher.config import Settings, environment_names, load_settings
from dispatcher.sandbox import SandboxSettings

REPOSITORY = Path(__file__).parents[2]
EXAMPLE = (REPOSITORY / ".env.example").read_text(encoding="utf-8")
SHOWN = dict(re.findall(r"^#?(TIDINGS_\w+)=(.*)$", EXAMPLE, re.MULTILINE))
COMPOSE: dict[str, Any] = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]


def test_the_example_environment_shows_every_setting_an_operator_has() -> None:
    for_tests = {name for name in environment_names() if name.startswith("TIDINGS_TEST__")}
    assert set(SHOWN) == set(environment_names()) - for_tests


def test_the_example_environment_shows_the_real_defaults() -> None:
    shown = load_settings(environ=SHOWN)
    brand = shown.brand.model_copy(update={"contact": Settings().brand.contact})
    assert shown.model_copy(update={"brand": brand}) == Settings()


def test_images_are_pinned_to_a_version() -> None:
    images = [service["image"] for service in SERVICES.values()]
    assert images
    assert all(re.search(r":[0-9]", image) for image in images)


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_port_is_published_on_loopback_only(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


def test_workers_can_be_multiplied() -> None:
    assert "container_name" not in SERVICES["worker"]
    assert "ports" not in SERVICES["worker"]


def test_nothing_starts_before_the_schema_is_there() -> None:
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    after_migrate = {"migrate": {"condition": "service_completed_successfully"}}
    assert SERVICES["web"]["depends_on"] == after_migrate
    assert SERVICES["worker"]["depends_on"] == after_migrate


def test_the_database_keeps_its_data_where_the_image_expects_it() -> None:
    assert SERVICES["postgres"]["volumes"] == ["database:/var/lib/postgresql"]
    assert "database" in COMPOSE["volumes"]


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"postgres"}))
def test_a_service_runs_a_command_that_tidings_has(name: str) -> None:
    verb, *arguments = SERVICES[name]["command"]
    # Parsing alone refuses an unknown verb or option, and starts nothing.
    assert real_command(verb).make_context(verb, arguments).info_name == verb


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"postgres"}))
def test_the_environment_of_a_service_consists_of_settings(name: str) -> None:
    assert set(SERVICES[name]["environment"]) <= set(environment_names())


def test_the_demo_environment_is_valid_and_fits_the_sandbox_of_the_compose_file() -> None:
    text = (REPOSITORY / ".env.demo").read_text(encoding="utf-8")
    shown = load_settings(environ=dict(re.findall(r"^(TIDINGS_\w+)=(.*)$", text, re.MULTILINE)))
    sandbox = SandboxSettings()
    assert shown.sendgrid.webhook_public_key == sandbox.sendgrid_webhook_public_key
    assert shown.sendgrid.api_key == sandbox.sendgrid_api_key
    assert shown.twilio.account_sid == sandbox.twilio_account_sid
    assert shown.twilio.auth_token == sandbox.twilio_auth_token
    assert shown.x.access_token_secret == sandbox.x_access_token_secret
    bases = {shown.sendgrid.base_url, shown.twilio.base_url, shown.x.base_url}
    assert all(base.startswith(f"http://sandbox:{sandbox.port}/") for base in bases)
    assert shown.channels.sendgrid.configured
    assert shown.channels.twilio.configured
    assert shown.channels.x.configured
