"""A tokenizer in which a word is a token, as the known-timing server counts: most load generators must have one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_WORDS = 8000
_UNKNOWN, _END = "[UNK]", "[END]"


def write_word_tokenizer(folder: Path) -> Path:
    """Write the files that `AutoTokenizer.from_pretrained` reads."""
    words = [_UNKNOWN, _END, "hello", "word", *(f"w{number}" for number in range(_WORDS))]
    tokenizer: dict[str, Any] = {
        "version": "1.0",
        "added_tokens": [
            {
                "id": index,
                "content": word,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for index, word in enumerate((_UNKNOWN, _END))
        ],
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "model": {
            "type": "WordLevel",
            "vocab": {word: index for index, word in enumerate(words)},
            "unk_token": _UNKNOWN,
        },
    }
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": _UNKNOWN,
        "eos_token": _END,
        "model_max_length": 1_000_000,
        "chat_template": "{% for message in messages %}{{ message['content'] }} {% endfor %}",
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder
