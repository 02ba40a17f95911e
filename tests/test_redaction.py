"""Secrets: taken out by value and by form; what only looks a little like one stays."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from measured import ENVIRONMENT, measured
from msgspec.structs import replace

from pytest_specdec.errors import EngineError
from pytest_specdec.redaction import Secrets, find_secrets, without_credentials

KEY = "hunter2-hunter2"


@pytest.mark.parametrize(
    "text",
    [
        f"https://me:{KEY}@host:8000/v1 is down",
        f"https://{KEY}@host/v1",
        f"vllm serve m --api-key {KEY} --port 1",
        f"vllm serve m --api-key={KEY}",
        f"serve --hf-token {KEY}",
        f"serve --token '{KEY} {KEY}' --port 1",
        f"non-default args: {{'api_key': ['{KEY}'], 'port': 1}}",
        f'{{"api_key": "{KEY}"}}',
        f"HF_TOKEN={KEY} vllm serve",
        f"AWS_SECRET_ACCESS_KEY={KEY} vllm serve",
        f"GET /v1/models?api_key={KEY}&x=1",
        f"GET /v1/models?token={KEY}",
        f"Authorization: Bearer {KEY}",
        f"{{'Authorization': 'Basic {KEY}'}}",
        f"headers authorization={KEY}",
        f"X-Gateway-Key: {KEY}",
        f"Cookie: session={KEY}; other",
        f"refused the bearer {KEY}",
    ],
)
def test_what_has_the_form_of_a_secret_is_taken_out(text: str) -> None:
    redacted = Secrets().redact(text)
    assert KEY not in redacted
    assert "***" in redacted


@pytest.mark.parametrize(
    "key",
    [
        "sk-proj-abcdefghijklmnop",
        "hf_abcdefghijklmnopqrstuv",
        "ghp_abcdefghijklmnopqrstuv",
        "nvapi-abcdefghijklmnopqrstuv",
    ],
)
def test_keys_of_well_known_services_are_known_by_their_form(key: str) -> None:
    assert Secrets().redact(f"Incorrect key provided: {key}.") == "Incorrect key provided: ***."


@pytest.mark.parametrize(
    "text",
    [
        "vllm serve Qwen/Qwen3.5-397B-A17B-FP8 --max-num-batched-tokens 8192 --tokenizer Qwen/Q",
        "--speculative-config {'method': 'mtp', 'num_speculative_tokens': 3}",
        "tokens: usage 100, server 101; the bearer of news",
        "http://a:8000/v1 serves org/Model@main",
        "pytest suites --specdec-endpoint mtp=3=http://b:8000/v1 -k 'not slow'",
        "step time 12.3 ms: the drafter, not the kernels",
        "The API key comes from SPECDEC_API_KEY (or OPENAI_API_KEY).",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert Secrets().redact(text) == text


def test_known_values_are_taken_out_wherever_they_stand_and_short_words_stay() -> None:
    secrets = find_secrets(
        values=[f"Bearer {KEY}", "tenant", None],
        urls=["https://me:passw0rd-of-me@host/v1", None],
        commands=["vllm serve m --api-key of-the-command --port 1"],
        environment={"HF_TOKEN": "of-the-environment", "HOME": "/home/somebody"},
    )
    said = f"no {KEY}, passw0rd-of-me, of-the-command, of-the-environment; /home/somebody is of a tenant"
    assert secrets.redact(said) == "no ***, ***, ***, ***; /home/somebody is of a tenant"
    assert KEY not in repr(secrets)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://token-of-me@gateway/v1", "refused token-of-me"),
        ("https://:token-of-me@gateway/v1", "refused token-of-me"),
        ("https://me:p%40ss-w0rd%2Fof@gateway/v1", "refused p%40ss-w0rd%2Fof"),
        ("https://me:p%40ss-w0rd%2Fof@gateway/v1", "refused p@ss-w0rd/of"),
        ("https://tok%2Fen-of-me@gateway/v1", "refused tok/en-of-me"),
        # Basic authentication, as the clients send it
        ("https://me:p%40ss-w0rd@gateway/v1", f"refused {base64.b64encode(b'me:p@ss-w0rd').decode()}"),
        ("https://token-of-me@gateway/v1", f"refused {base64.b64encode(b'token-of-me:').decode()}"),
    ],
)
def test_credentials_of_a_url_are_known_as_they_stand_as_they_are_meant_and_as_they_are_sent(
    url: str, said: str
) -> None:
    assert find_secrets(urls=[url]).redact(said) == "refused ***"


def test_a_user_name_beside_a_password_is_no_secret() -> None:
    assert (
        find_secrets(urls=["https://somebody:passw0rd-of-me@gateway/v1"]).redact("hello somebody") == "hello somebody"
    )


def test_a_value_that_a_message_cuts_off_is_taken_out_as_far_as_it_goes() -> None:
    secrets = find_secrets(values=["0123456789abcdefgh"])
    assert secrets.redact("refused 0123456789abcd, then 0123456789ab") == "refused ***, then ***"
    assert secrets.redact("refused 0123456789a") == "refused 0123456789a"


def test_a_header_of_the_command_line_is_hidden_whatever_its_length_and_a_variable_is_shown() -> None:
    arguments = [
        "pytest",
        "--specdec-header",
        "X-Tenant: abc",
        "--specdec-header=X-B: d",
        "--specdec-header",
        "X-C: @VAR",
    ]
    assert Secrets().command(arguments) == (
        "pytest --specdec-header X-Tenant: *** --specdec-header=X-B: *** --specdec-header X-C: @VAR"
    )


def test_a_record_is_cleaned_down_to_its_facts_and_keeps_its_cell() -> None:
    environment = replace(ENVIRONMENT, facts={"image": f"https://me:{KEY}@registry/vllm"})
    measurement = replace(measured(environment=environment), notes=(f"server said: wrong key {KEY}",))
    cleaned = find_secrets(values=[KEY]).clean(measurement, keep=("cell",))
    assert KEY not in str(cleaned)
    assert cleaned.cell is measurement.cell
    assert cleaned.values == measurement.values
    assert Secrets().clean(measured(), keep=("cell",)) == measured()


def test_an_error_keeps_its_kind() -> None:
    error = find_secrets(values=[KEY]).error(EngineError(f"refused {KEY}"))
    assert type(error) is EngineError
    assert str(error) == "refused ***"


@given(
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=40),
    st.text(max_size=40),
    st.text(max_size=40),
)
def test_no_known_value_survives_in_any_surroundings(secret: str, before: str, after: str) -> None:
    redacted = find_secrets(values=[secret]).redact(f"{before}{secret}{after}")
    assert secret not in redacted or secret in before + "***" + after


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://host:8000/v1", "http://host:8000/v1"),
        ("https://me:hunter2@host:8000/v1?token=hunter2#hunter2", "https://host:8000/v1"),
        ("https://hunter2@[::1]:8000", "https://[::1]:8000"),
        ("http://host/v1?token=hunter2@hunter2", "http://host/v1"),
        ("me:hunter2@host:3128", "host:3128"),
        ("mtp=3=http://me:hunter2@host/v1?token=hunter2", "host/v1"),
        ("http://me:hunter2@[host/v1", "[host/v1"),
        ("http://me:12/hunter2@host/v1", "host/v1"),
    ],
)
def test_a_url_is_shown_without_credentials(url: str, shown: str) -> None:
    assert without_credentials(url) == shown


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="@"), min_size=6))
def test_no_password_is_left_in_a_url_whatever_its_characters(rest: str) -> None:
    assert without_credentials(f"http://me:x{rest}@host:8000/v1") in {"http://host:8000/v1", "host:8000/v1"}
