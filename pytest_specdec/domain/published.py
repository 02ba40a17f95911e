"""Published comparison tables that come with the package, to print beside measured numbers."""

from __future__ import annotations

from importlib import resources

import msgspec

from pytest_specdec.domain.cell import short_model
from pytest_specdec.domain.curve import CurveIdentity
from pytest_specdec.domain.price import Price


class PublishedSide(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Published values of one mode at one level."""

    total_tok_s_gpu: float
    cost_usd_mtok: float
    tok_s_mw: float
    concurrency: float


class PublishedLevel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Both modes at one interactivity."""

    interactivity_tok_s_user: float
    mtp: PublishedSide
    off: PublishedSide


class PublishedTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One published comparison with its source and the price it was made with."""

    model: str
    hardware: str
    precision: str
    sequence: str
    mtp_mode: str
    """Mode of the MTP side, with the number of draft tokens: `mtp3`."""
    title: str
    source: str
    price: Price
    levels: tuple[PublishedLevel, ...]


def published_tables() -> list[PublishedTable]:
    """Every table in the package."""
    folder = resources.files("pytest_specdec") / "published"
    files = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".json")), key=lambda entry: entry.name)
    return [msgspec.json.decode(entry.read_bytes(), type=PublishedTable) for entry in files]


def published_for(identity: CurveIdentity) -> PublishedTable | None:
    """Find the table of a measured curve's model, hardware, precision and sequence; None if none is known."""
    hardware = identity.hardware.lower().removeprefix("simulated-")
    wanted = (short_model(identity.model), hardware, identity.precision, identity.sequence)
    found = (t for t in published_tables() if (t.model, t.hardware, t.precision, t.sequence) == wanted)
    return next(found, None)
