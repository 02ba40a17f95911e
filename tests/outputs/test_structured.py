"""Structured output: what is the JSON that was asked for, and what is not."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_specdec.domain.outcome import Outcome
from pytest_specdec.errors import InvalidInputError
from pytest_specdec.outputs.structured import (
    Cluster,
    Event,
    JsonTask,
    Order,
    Person,
    Ticket,
    json_tasks,
    judge_structured,
    why_invalid,
)

GOOD: dict[type[msgspec.Struct], dict[str, Any]] = {
    Person: {"name": "Ada", "age": 36, "city": "Oslo", "email": None},
    Order: {
        "number": "N-1",
        "customer": "Bruno",
        "items": [{"article": "lamp", "quantity": 2, "price": 9}],
        "paid": False,
    },
    Event: {"title": "review", "day": "2026-03-07", "guests": ["Ada"], "online": True},
    Ticket: {"summary": "slow", "priority": "low", "component": "queue", "hours": 2.5},
    Cluster: {"region": "Graz", "servers": [{"host": "a", "port": 80}], "labels": {"team": "blue"}},
}
TASKS = json_tasks(0)
VALID = [json.dumps(GOOD[task.shape]) for task in TASKS]


@pytest.mark.parametrize("shape", GOOD)
def test_the_asked_json_is_valid_bare_indented_and_fenced(shape: type[msgspec.Struct]) -> None:
    text = json.dumps(GOOD[shape], indent=2)
    for answer in (text, f"\n{text}\n", f"```json\n{text}\n```", f"```\n{text}\n```\n", f"<think>{{}}</think>\n{text}"):
        assert why_invalid(answer, shape) is None


@pytest.mark.parametrize("shape", GOOD)
def test_a_missing_a_further_and_a_wrong_field_are_named(shape: type[msgspec.Struct]) -> None:
    good = GOOD[shape]
    for field in good:
        assert field in str(why_invalid(json.dumps({k: v for k, v in good.items() if k != field}), shape))
        assert f"$.{field}" in str(why_invalid(json.dumps({**good, field: [[1]]}), shape))
    assert "more" in str(why_invalid(json.dumps({**good, "more": 1}), shape))


@given(st.sampled_from(list(GOOD)), st.data())
def test_json_that_was_cut_is_invalid(shape: type[msgspec.Struct], data: st.DataObject) -> None:
    text = json.dumps(GOOD[shape])
    assert why_invalid(text[: data.draw(st.integers(0, len(text) - 1))], shape)


@pytest.mark.parametrize("text", ["", "Sure! {}", "{}{}", "null", "[" * 50_000, "\ud83d", '{"name": "Ada",}'])
def test_what_is_no_such_json_says_why(text: str) -> None:
    assert why_invalid(text, Person)


def test_tasks_are_reproducible_distinct_and_of_all_shapes() -> None:
    assert json_tasks(0) == TASKS
    assert len({task.prompt for task in TASKS}) == len(TASKS) == 60
    assert {task.shape for task in TASKS} == set(GOOD)
    assert json_tasks(1)[0] != TASKS[0]


@pytest.mark.parametrize("task", TASKS[:5], ids=lambda task: task.shape.__name__)
def test_the_response_format_has_a_schema_on_its_own(task: JsonTask) -> None:
    form = json.loads(json.dumps(task.response_format))
    schema = form["json_schema"]["schema"]
    assert (form["type"], schema["type"], schema["additionalProperties"]) == ("json_schema", "object", False)
    assert set(schema["required"]) == set(GOOD[task.shape])
    references = [part.split('"')[0] for part in json.dumps(schema).split('"$ref": "')[1:]]
    assert all(reference.removeprefix("#/$defs/") in schema["$defs"] for reference in references)
    for field in GOOD[task.shape]:
        assert field in task.prompt


def test_equal_rates_pass_more_invalid_answers_fail_and_few_tasks_prove_nothing() -> None:
    broken = ["{"] * 10 + VALID[10:]
    assert judge_structured(TASKS, VALID, VALID).outcome is Outcome.PASS
    verdict = judge_structured(TASKS, VALID, broken)
    assert verdict.outcome is Outcome.FAILED
    assert "invalid JSON: 10 of 60 with MTP, 0 without" in verdict.reasons[0]
    assert judge_structured(TASKS, broken, VALID).outcome is not Outcome.FAILED
    assert judge_structured(TASKS[:8], VALID[:8], VALID[:8]).outcome is Outcome.INCONCLUSIVE
    with pytest.raises(InvalidInputError, match="numbers differ"):
        judge_structured(TASKS, VALID[:1], VALID)
