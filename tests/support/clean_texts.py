# ruff: noqa: E501, RUF001, SIM905 - texts of many languages, as people write them
"""Answers as healthy models give them, in many languages and forms: no canary may fire on any of them."""

from __future__ import annotations

import json

from pytest_specdec.workload.categories import Category, Entropy, Size, write_prompt

LANGUAGES = {
    "English": "The tide comes in twice a day because the moon pulls on the water nearest to it more strongly than on the "
    "earth below, and on the earth more strongly than on the water behind. That is why there are two bulges and not one, "
    "and why the harbour which you have seen empty in the morning is full again after lunch.",
    "German": "Die Fähre legt um neun ab, sofern der Wind nicht dreht. Wer „MENÜ“ auf der Tafel liest, der findet auch den "
    "Preis für das Mittagessen; es ist nicht teuer, und die Suppe wird mit dem Brot serviert, das man sich selbst nimmt. "
    "Übrigens: Größe, Maß und Straße schreibt man weiterhin mit ß.",
    "French": "Le train de nuit est parti avec douze minutes de retard, mais personne sur le quai n’en fut étonné. « C’est "
    "toujours ainsi », dit le contrôleur, qui avait déjà fermé les portes. À l’aube, nous étions dans la vallée, où les "
    "vignes sont encore vertes ; le CAFÉ” d’en face était fermé.",
    "Spanish": "El puente está cerrado por obras, así que los vecinos dan la vuelta por el lago. ¿Por qué no lo dijeron "
    "antes? ¡Nadie lo sabe! Para los niños es una aventura; para el panadero, una hora más de camino con la masa en el "
    "coche, pero también hay quien dice que esto es muy bueno.",
    "Portuguese": "A estação não fecha no inverno, mas os comboios são mais raros. Você também pode ir a pé: são três "
    "quilómetros pelo caminho do rio, com vista para as ilhas. IRMÃOS, PÃO, AÇÃO e CORAÇÃO escrevem-se com til.",
    "Italian": "Il faro è stato ricostruito pietra su pietra, un po’ più lontano dalla scogliera. Perché? Perché gli "
    "abitanti non volevano perderlo, e questo è anche il motivo della festa di settembre, che dura tre giorni.",
    "Chinese": "潮汐每天涨落两次，因为月球对近侧海水的引力大于对地球本身的引力，而对地球的引力又大于对远侧海水的引力。因此海面会出现两处"
    "隆起，而不是一处。港口早晨露出滩涂，到了下午又被海水淹没。渔民们按照潮汐表安排出海的时间，孩子们则在退潮后去捡贝壳。",
    "Japanese": "夜行列車は十二分遅れて港の駅を出発したが、ホームにいた人は誰も驚かなかった。車掌は「いつものことです」と言って扉を閉めた。"
    "夜が明けるころ、私たちはまだ緑の残る谷を走っていた。ハハハハハ、と誰かが笑った。",
    "Korean": "밤 열차는 십이 분 늦게 항구 역을 떠났지만 승강장에 있던 사람들은 아무도 놀라지 않았다. 차장은 늘 그렇다고 말하며 문을 닫았다. ㅋㅋㅋㅋㅋㅋ",
    "Arabic": "يرتفع المد مرتين في اليوم لأن القمر يجذب الماء القريب منه بقوة أكبر مما يجذب الأرض، ويجذب الأرض بقوة أكبر مما "
    "يجذب الماء البعيد. لهذا السبب نرى انتفاخين لا واحدًا، ولهذا يمتلئ المرفأ من جديد بعد الظهر. هههههه",
    "Hebrew": "הגאות מגיעה פעמיים ביום, משום שהירח מושך את המים הקרובים אליו חזק יותר משהוא מושך את כדור הארץ עצמו.",
    "Hindi": "ज्वार दिन में दो बार आता है, क्योंकि चंद्रमा अपने निकट के जल को पृथ्वी की तुलना में अधिक बल से खींचता है। इसलिए समुद्र में दो उभार होते हैं।",
    "Thai": "น้ำขึ้นวันละสองครั้งเพราะดวงจันทร์ดึงดูดน้ำด้านที่อยู่ใกล้แรงกว่าดึงดูดโลก และดึงดูดโลกแรงกว่าน้ำด้านไกล 55555",
    "Russian": "Ночной поезд отошёл от станции с опозданием на двенадцать минут, и никто на перроне не удивился. Проводник "
    "сказал, что так бывает всегда, и закрыл двери. К рассвету мы были уже в долине. ",
    "Greek": "Το νυχτερινό τρένο έφυγε από τον σταθμό με δώδεκα λεπτά καθυστέρηση και κανείς στην αποβάθρα δεν ξαφνιάστηκε.",
    "Turkish": "Gece treni limandaki istasyondan on iki dakika geç ayrıldı; “RÜZGÂR” yazan tabelanın altında kimse şaşırmadı.",
    "Vietnamese": "Chuyến tàu đêm rời ga cảng muộn mười hai phút, nhưng không ai trên sân ga tỏ ra ngạc nhiên cả.",
    "Icelandic": "Næturlestin fór tólf mínútum of seint af stað, en enginn á brautarpallinum varð hissa. ÞÓ “SÓL” væri úti.",
}

_GRID = "grid = [\n" + "    [0, 0, 0, 0, 0, 0, 0, 0],\n" * 8 + "]\n"
_GETTERS = "".join(
    f"    public {kind} get{name}() {{\n        return {name.lower()};\n    }}\n\n"
    f"    public void set{name}({kind} value) {{\n        this.{name.lower()} = value;\n    }}\n\n"
    for kind, name in zip(
        ["int", "String", "long", "double", "boolean"] * 3,
        "Id Name Size Weight Open Row Title Offset Price Ready Count City Epoch Rate Paid".split(),
        strict=True,
    )
)
_RECORDS = [{"id": i, "name": f"item {i}", "price": i * 1.5, "tags": ["new", "sale"]} for i in range(1, 25)]

FORMS = {
    "laughter": "Ha ha ha ha ha ha! No, no, no, no, no. That was very, very, very funny. Hahahahahahahahaha!!! 😂😂😂😂😂😂",
    "refrain": (
        "The boats go out, the boats come in,\nThe gulls cry over the bay,\n"
        "And row, row, row, my brothers, row,\nFor home is far away.\n\n"
        "The lamp is lit, the nets are dry,\nThe winter is on its way,\n"
        "And row, row, row, my brothers, row,\nFor home is far away.\n\n"
        "The priest has gone, the bell is cracked,\nThe children no longer play,\n"
        "And row, row, row, my brothers, row,\nFor home is far away.\n"
    )
    * 2,
    "emoji": "🌅 Good morning! 👩‍🚀👨‍👩‍👧‍👦 Weather: ☀️🌤️⛅🌧️ · Flags: 🇪🇺🇯🇵🇧🇷🏴󠁧󠁢󠁳󠁣󠁴󠁿 · 1️⃣ 2️⃣ 3️⃣ 🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉 👍🏽",
    "python": "```python\nimport math\n\n\ndef primes(limit: int) -> list[int]:\n    sieve = [True] * (limit + 1)\n"
    "    for n in range(2, math.isqrt(limit) + 1):\n        if sieve[n]:\n            sieve[n * n :: n] = [False] * "
    "len(sieve[n * n :: n])\n    return [n for n in range(2, limit + 1) if sieve[n]]\n\n\n"
    "assert primes(20) == [2, 3, 5, 7, 11, 13, 17, 19]\n```",
    "matrix": f"Start with an empty board:\n\n```python\n{_GRID}```\nThen place the knights.",
    "getters": f"```java\npublic class Item {{\n{_GETTERS}}}\n```",
    "c": "#include <stdio.h>\n\n/* " + "=" * 72 + " */\nint main(void)\n{\n\tfor (int i = 0; i < 10; i++)\n"
    '\t\tprintf("%d\\n", i);\n\treturn 0;\n}\n/* ' + "=" * 72 + " */\n",
    "html": "<ul>\n"
    + "".join(f'  <li class="entry"><a href="#s{i}">Section {i}</a></li>\n' for i in range(20))
    + "</ul>",
    "sql": "\n".join(
        f"INSERT INTO stock (id, place, amount) VALUES ({i}, 'hall {i % 4}', {i * 37 % 101});" for i in range(30)
    ),
    "table": "| city | open | price | stars |\n|------|------|-------|-------|\n"
    + "\n".join(
        f"| {city} | yes | {i * 3} | *** |" for i, city in enumerate("Oslo Graz Lyon Turin Quito Osaka".split())
    )
    + "\n\n"
    + "-" * 100
    + "\n",
    "wide table": "+" + ("-" * 18 + "+") * 6 + "\n" + ("| x" + " " * 16) * 6 + "|\n" + "+" + ("-" * 18 + "+") * 6,
    "box": "┌" + "─" * 60 + "┐\n│" + " " * 60 + "│\n└" + "─" * 60 + "┘\n[" + "█" * 40 + "░" * 40 + "] 50 %",
    "checklist": "\n".join(f"- [{'x' if i % 3 else ' '}] Check valve {i} of the east wing" for i in range(1, 25)),
    "list": "\n".join(f"{i}. Step {i}: tighten screw {i} by a quarter turn." for i in range(1, 30)),
    "times table": "\n".join(f"7 x {i} = {7 * i}" for i in range(1, 41)),
    "sums": "\n".join(f"{i} + {i} = {2 * i}, since two equal terms are twice the term." for i in range(10, 40)),
    "json": json.dumps(_RECORDS, indent=2),
    "json lines": "\n".join(map(json.dumps, _RECORDS)),
    "nulls": json.dumps({"values": [None] * 20, "zeros": [0] * 60, "flags": [False] * 12}),
    "csv": "day,low,high,rain\n" + "\n".join(f"2026-03-{d:02d},{d % 7},{d % 7 + 9},0.0" for d in range(1, 31)),
    "maths": r"By induction, $\sum_{k=1}^{n} k^2 = \frac{n(n+1)(2n+1)}{6}$. For $n=1$ both sides are $1$. Let $α, β ∈ ℝ$ "
    r"and $\varepsilon > 0$; then ∀x ∃δ: |x − a| < δ ⇒ |f(x) − f(a)| < ε. \[ \begin{pmatrix} 1 & 0 & 0 \\ 0 & 1 & 0 "
    r"\\ 0 & 0 & 1 \end{pmatrix} \] Hence 10^24 = 1000000000000000000000000 and 𝑓(𝑥) = ½·π ≈ 1.5707963267948966.",
    "log": "\n".join(
        f"2026-05-0{1 + i % 9}T12:00:{i:02d}Z INFO worker-{i % 4} finished batch {i * 7} in {i * 13 % 90} ms"
        for i in range(30)
    ),
    "hex": "\n".join(f"{i * 16:08x}  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 {i:02x}" for i in range(12)),
    "dna": "The sequence is ATGGCGTACGCTTGAACGGGATATATATATATATATCCGTAGCTAGGGGGGGGGACCATTTACG, 63 bases in all.",
    "typography": "“Wait…” — she said — ‘it’s 20\u202f°C, 5\u2009% more than ±2 µm, ½ price: €5, £4, ¥600, ©®™, §3, «ici», A²+B³.”",
    "signs": "Use `&&` and `||`; a rule:\n\n***\n\n~~~~~~~~~~\n........................................ 12\n",
    "transcript": "\n".join(f"{'AB'[i % 2]}: {'Yes.' if i % 2 else f'Is it {i}?'}" for i in range(30)),
    "tests": "\n\n".join(
        f"def test_case_{i}():\n    result = run(case={i})\n    assert result.status == 'ok'\n    assert result.value == {i * i}"
        for i in range(15)
    ),
}

ANSWERS = {
    f"{category}, {size}": str(write_prompt(category, 3, entropy=Entropy.LOW, size=size).expected)
    for category in Category
    for size in (Size.SHORT, Size.MEDIUM)
}
"""The right answers to prompts of low entropy: long copies, boilerplate and tables."""

PROSE = {
    f"prose of {category}": write_prompt(category, 5, entropy=Entropy.HIGH, size=Size.MEDIUM).text.partition("] ")[2]
    for category in Category
}

CLEAN = {**LANGUAGES, **FORMS, **ANSWERS, **PROSE}
