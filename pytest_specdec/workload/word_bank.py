"""Words and sentences of the prompts by category, combined anew for every prompt."""

from __future__ import annotations

from pytest_specdec.workload.stable_random import Dice

NAMES = (
    "Ada", "Bruno", "Chiara", "Dmitri", "Emeka", "Fatima", "Greta", "Hana", "Ivo", "Jana", "Kofi", "Lena", "Mateo",
    "Nadia", "Oskar", "Priya", "Quentin", "Rosa", "Samir", "Tilda", "Uwe", "Vera", "Wanda", "Yusuf", "Zoe",
)  # fmt: skip
TRADES = (
    "clockmaker", "ferry pilot", "beekeeper", "night nurse", "map seller", "organ tuner", "tax clerk", "mountain guide",
    "lock keeper", "radio engineer", "botanist", "puppet maker", "court translator", "well digger", "cheese trader",
)  # fmt: skip
PLACES = (
    "the harbour", "the upper valley", "the salt works", "the old observatory", "the printing house", "the grain store",
    "the east gate", "the glass factory", "the island hospital", "the terminus", "the quarry", "the botanical garden",
    "the customs house", "the weather station", "the river lock",
)  # fmt: skip
THINGS = (
    "a sealed letter", "a broken compass", "a crate of lemons", "an unsigned map", "a brass key", "a borrowed violin",
    "a jar of seeds", "a list of names", "a wet ledger", "a one-way ticket", "a cracked bell", "a blue lantern",
)  # fmt: skip
DEEDS = (
    "counted the boats twice", "refused to sign the protocol", "kept a second set of books", "painted over the sign",
    "sold the last two tickets", "wrote everything down in pencil", "asked for a day's delay", "took the longer road",
    "mended the pump overnight", "left the lights burning", "carried the samples uphill", "misread the gauge",
    "paid in foreign coins", "opened the sluice too early", "would not speak to the inspector",
    "measured the wall again",
)  # fmt: skip
REASONS = (
    "because the frost came early", "although nobody had asked", "while the others were at lunch",
    "since the bridge was closed", "before the mail arrived", "after the third warning", "as the contract required",
    "for reasons that were never recorded", "when the power came back", "until the fog lifted",
    "so that the count would agree", "despite the new rules",
)  # fmt: skip
FORMS = (
    "a short story", "a letter to a friend", "a monologue", "a newspaper column from another century", "a fable",
    "a radio play of one scene", "a diary of three days", "a travel report",
)  # fmt: skip
MOODS = (
    "dry and funny", "melancholy", "breathless", "formal to the point of absurdity", "warm", "suspicious of everybody",
    "dreamlike", "matter-of-fact",
)  # fmt: skip
PROGRAMS = (
    "schedules the watering of a greenhouse", "keeps the score of a card game with changing rules",
    "finds duplicate photographs by their content", "plans the rounds of a mobile library",
    "turns a knitting pattern into instructions", "simulates a lift in a tall house",
    "merges two calendars that disagree", "guesses the language of a short note",
)  # fmt: skip
CONSTRAINTS = (
    "It must run on a machine with 64 MB of memory.", "Nobody may lose data when the power fails.",
    "The rules change every month and are written by people who do not program.", "It has to explain each decision.",
    "Two people use it at the same time without a network between them.", "A child should be able to extend it.",
)  # fmt: skip
VERBS = ("load", "store", "merge", "split", "check", "count", "render", "parse", "update", "remove", "rank", "group")
NOUNS = ("invoice", "shipment", "reading", "ticket", "sensor", "booking", "account", "segment", "recipe", "voucher")
FIELDS = ("amount", "weight", "status", "region", "owner", "created", "priority", "balance", "length", "category")
COLOURS = ("amber", "black", "blue", "green", "grey", "red", "silver", "white", "yellow")
CITIES = ("Graz", "Lisbon", "Lyon", "Nairobi", "Osaka", "Oslo", "Quito", "Tartu", "Tunis", "Turin")
OPINIONS = (
    "whether a town should keep a railway line that loses money", "what makes a rule worth following",
    "how one learns to listen", "why some tools feel good in the hand", "what a museum owes to its visitors",
    "whether maps make places smaller", "what is lost when letters are no longer written",
)  # fmt: skip
PUZZLES = (
    "a ferry that may carry two of {n} people at a time, each with a different pace",
    "{n} lamps in a ring, where every switch also turns its two neighbours",
    "a staircase of {n} steps that may be climbed by one, two or three",
    "{n} travellers who each know one rumour and meet in pairs",
    "a field of {n} by {n} squares that is to be covered with L-shaped tiles",
)


def sentence(dice: Dice) -> str:
    """Return one of some hundred thousand sentences of a report."""
    who = f"{dice.pick(NAMES)} the {dice.pick(TRADES)}"
    deed, place, reason = dice.pick(DEEDS), dice.pick(PLACES), dice.pick(REASONS)
    match dice.whole(0, 3):
        case 0:
            return f"{who} {deed} at {place} {reason}."
        case 1:
            return f"At {place}, {who} {deed} {reason}."
        case 2:
            return f"{reason[0].upper()}{reason[1:]}, {who} {deed} at {place}."
        case _:
            return f"{who} came to {place} with {dice.pick(THINGS)} and {deed} {reason}."


def paragraph(dice: Dice, sentences: int) -> str:
    """Return a paragraph of so many sentences."""
    return " ".join(sentence(dice) for _ in range(sentences))


def function(dice: Dice, number: int) -> str:
    """Return a Python function in the style of business software."""
    verb, noun, field, other = dice.pick(VERBS), dice.pick(NOUNS), dice.pick(FIELDS), dice.pick(FIELDS)
    most = dice.whole(2, 500)
    return (
        f"def {verb}_{noun}_{number}({noun}s, limit={most}):\n"
        f'    """Return each {noun} whose {field} fits, sorted by {other}."""\n'
        f"    chosen = []\n"
        f"    for {noun} in {noun}s:\n"
        f'        if {noun}["{field}"] <= limit:\n'
        f"            chosen.append({noun})\n"
        f'    return sorted(chosen, key=lambda {noun}: {noun}["{other}"])\n'
    )
