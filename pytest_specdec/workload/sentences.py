"""Sentences of the generated prompts."""

from __future__ import annotations

CLOSING = "Continue these notes in the same manner, at length and without repeating them."
FILLER = "Go on."

SENTENCES = (
    "The night train left the harbour station twelve minutes late and nobody on the platform seemed surprised.",
    "A cache only helps when the same question is asked twice within its lifetime.",
    "She measured the beam three times, wrote down the smallest value and cut the wood.",
    "Rain had washed the chalk lines off the field, so the second half was played by memory.",
    "The committee agreed on the budget but not on what it should be spent on.",
    "Every function in that module returned early unless the flag was set by hand.",
    "Bread rises more slowly in a cold kitchen, which many bakers consider an advantage.",
    "Two of the five sensors disagreed, and the older pair turned out to be right.",
    "The museum keeps its oldest maps in a dark room at constant humidity.",
    "If the queue grows faster than the workers drain it, latency has no upper bound.",
    "An orchestra tunes to the oboe because its pitch is the hardest to change.",
    "The second experiment repeated the first one with a larger sample and a smaller effect.",
    "Farmers in the valley plant the late beans after the last frost of May.",
    "He explained the theorem with a napkin, two coins and a great deal of patience.",
    "The bridge was closed for repairs, so the parade took the long way around the lake.",
    "Most of the memory traffic came from weights that were read again at every step.",
    "Her grandfather repaired clocks and never owned a watch that told the right time.",
    "The letter arrived in autumn, although it had been posted in the spring.",
    "A good index answers the query without touching the table at all.",
    "Glaciers carve wide valleys while rivers cut narrow ones.",
    "The patient was asked to walk, to stop, to turn and to walk back again.",
    "Nobody could say who had changed the setting, but everyone knew when.",
    "The price of copper fell for a third week as new mines opened in the north.",
    "They rebuilt the old lighthouse stone by stone a little further from the cliff.",
    "A compiler may reorder the loads as long as the program cannot tell the difference.",
    "The recipe calls for two eggs, a cup of flour and more butter than seems reasonable.",
    "Students who taught the lesson to each other remembered more of it a month later.",
    "The satellite passes over the island every ninety minutes and takes one picture.",
    "In the third act the messenger returns with news that the audience has already guessed.",
    "The lawyer read the contract aloud, pausing at each comma.",
    "Small errors cancel when they are independent and add up when they are not.",
    "The garden wall keeps the wind out and the warmth of the afternoon in.",
    "Our ferry turned back because the waves at the harbour mouth were too high.",
    "The speaker thanked the translators first and the sponsors last.",
    "Old growth forests store more carbon in the soil than in the trees.",
    "It took the team a week to find the bug and a minute to fix it.",
    "The violin had been repaired so often that little of the original remained.",
    "Whales sing differently in every ocean, and their songs change from year to year.",
    "The inspector counted the rivets on one side and multiplied by two.",
    "Salt was once so valuable that towns were founded where it could be found.",
)
