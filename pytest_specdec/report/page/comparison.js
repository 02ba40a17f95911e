// Two curves read at levels that the reader may change; outside the measured range the answer is "not measured".

const LEVEL_HEADERS = ["tok/s/user", "mode", "tok/s/GPU", "ratio", "$/M tok", "saving", "tok/s/MW", "concurrency", "between"];

function comparisonTitle(model, comparison) {
  const curve = model.curves[comparison.candidate];
  const what = [curve.model, curve.hardware, curve.engine, curve.parallelism, curve.precision, curve.sequence];
  return `${comparison.names[0]} against ${comparison.names[1]}: ${what.filter(Boolean).join(" ")}`;
}

// Both sides stand at one price, so that the ratio of costs is that of throughputs.
function comparisonPrice(model, state, comparison) {
  return state.price === "stored" ? comparison.price : priceOf(model, state, model.curves[comparison.candidate]);
}

function showComparison(box, model, state, comparison, onLevels) {
  const [candidate, reference] = [model.curves[comparison.candidate], model.curves[comparison.reference]];
  const price = comparisonPrice(model, state, comparison);
  const levels = state.targets(comparison);
  const read = levels.map((level) => compareAt(candidate, reference, comparison.names, level));
  const rows = read.flatMap((level, place) => levelRows(level, place, comparison, price, onLevels));
  const notes = [...comparison.cautions, ...read.flatMap((level) => level.missing)];
  if (comparison.why_no_levels && !levels.length) notes.unshift(comparison.why_no_levels);
  if (read.some((level) => level.sides?.some((side) => side.bracket.wide))) {
    notes.push(
      "WIDE: interpolated across more than one doubling of concurrency; a point in between may move it by 10 % and more",
    );
  }
  notes.push(price ? `price: ${priceWords(price)}` : "price: none is known, so there is no cost and no tok/s/MW");
  const table = tableOf(`${comparisonTitle(model, comparison)}, at matched interactivity`, LEVEL_HEADERS, rows);
  table.classList.add("levels");
  const said = make("ul", { class: "sentences" });
  for (const level of read) if (level.sentence) said.append(make("li", {}, level.sentence));
  const add = make("button", { type: "button", onclick: () => onLevels([...levels, nextLevel(candidate, reference, levels)]) }, "Add a level");
  const reset = make("button", { type: "button", onclick: () => onLevels(null) }, "Reset levels");
  const range = make("p", { class: "hint" }, rangeWords(candidate, reference, comparison));
  const listed = make("ul", { class: "notes" }, ...notes.map((note) => make("li", {}, note)));
  box.replaceChildren(said, table, make("p", { class: "buttons" }, add, reset), range, listed);
  const matched = concurrencyTable(candidate, reference, comparison);
  if (matched) box.append(matched);
}

const priceWords = (price) =>
  `$${general(price.usd_per_gpu_hour)}/GPU-hour, ${general(price.kw_per_gpu)} kW/GPU (${price.source})`;

function rangeWords(candidate, reference, comparison) {
  const spans = [candidate, reference].map((curve, i) => {
    const x = curve.frontier.map((point) => point.values[X][0]);
    return `${comparison.names[i]} ${x[0].toFixed(1)} to ${x[x.length - 1].toFixed(1)}`;
  });
  return `Measured: ${spans.join("; ")} tok/s/user. Change a level to compare elsewhere; nothing is extrapolated.`;
}

function nextLevel(candidate, reference, levels) {
  const spans = [candidate, reference].map((curve) => curve.frontier.map((point) => point.values[X][0]));
  const low = Math.max(spans[0][0], spans[1][0]);
  const high = Math.min(spans[0].at(-1), spans[1].at(-1));
  const free = [0.5, 0.25, 0.75, 0.1, 0.9].map((q) => Math.round(low + q * (high - low)));
  return free.find((level) => level > 0 && !levels.includes(level)) ?? Math.max(1, Math.round(low));
}

function levelRows(level, place, comparison, price, onLevels) {
  const input = make("input", {
    type: "number",
    min: "0",
    step: "any",
    value: general(level.level),
    "aria-label": `Level ${place + 1}, tok/s/user`,
    onchange: (event) => onLevels(changed(place, Number(event.target.value))),
  });
  const remove = make("button", {
    type: "button",
    class: "small",
    "aria-label": `Remove level ${general(level.level)}`,
    onclick: () => onLevels(changed(place, null)),
  }, "×");
  const head = (span) => make("th", { scope: "rowgroup", rowspan: span }, make("span", { class: "level" }, input, remove));
  if (level.missing.length) {
    const cell = make("td", { colspan: LEVEL_HEADERS.length - 1, class: "missing" }, "not measured");
    return [make("tr", {}, head(1), cell)];
  }
  return level.sides.map((side, i) => {
    const cost = price && DERIVED.cost_usd_mtok.by(price, side.values[Y]);
    const power = price && DERIVED.tok_s_mw.by(price, side.values[Y]);
    const saving = make("td", { class: "number" });
    if (i === 0) {
      // The saving is a part of the other's cost: a ratio of 1.62 saves 38 %.
      saving.append(`${((1 - 1 / level.gain[0]) * 100).toFixed(0)} %`);
      saving.dataset.value = 1 - 1 / level.gain[0];
    }
    const cells = [
      make("td", {}, comparison.names[i]),
      numberCell(side.values[Y], 1),
      i === 0 ? numberCell(level.gain, 2, "x") : make("td", {}),
      numberCell(cost && [cost[0], null], 3),
      saving,
      numberCell(power && [power[0], null], 0),
      make("td", { class: "number" }, `~${side.concurrency.toFixed(0)}`),
      make("td", { class: side.bracket.measured ? "measured" : "interpolated" }, side.bracket.words),
    ];
    return make("tr", { class: i ? "second" : "" }, ...(i === 0 ? [head(2)] : []), ...cells);
  });
}

// A change of one level, to be applied to all of them; null removes it.
const changed = (place, value) => (levels) =>
  value === null
    ? levels.filter((_, i) => i !== place)
    : levels.map((level, i) => (i === place && value > 0 && Number.isFinite(value) ? value : level));

function concurrencyTable(candidate, reference, comparison) {
  const at = (curve, concurrency) =>
    [...curve.points]
      .filter((point) => point.concurrency === concurrency && point.values[X] && point.values[Y])
      .sort((a, b) => a.values[X][0] - b.values[X][0] || b.values[Y][0] - a.values[Y][0])[0];
  const shared = [...new Set(candidate.points.map((point) => point.concurrency))]
    .filter((c) => c > 0 && at(candidate, c) && at(reference, c))
    .sort((a, b) => a - b);
  if (!shared.length) return null;
  const rows = shared.map((c) => {
    const [mine, theirs] = [at(candidate, c), at(reference, c)];
    const cells = [X, Y].flatMap((key) => [
      numberCell([mine.values[key][0], null], 1),
      numberCell([theirs.values[key][0], null], 1),
      numberCell(ratio(mine.values[key], theirs.values[key]), 2, "x"),
    ]);
    return make("tr", {}, make("th", { scope: "row" }, String(c)), ...cells);
  });
  const [first, second] = comparison.names;
  const headers = ["concurrency", `tok/s/user ${first}`, second, "ratio", `tok/s/GPU ${first}`, second, "ratio"];
  const table = tableOf("At matched concurrency, measured points only", headers, rows);
  table.classList.add("matched");
  return make("details", {}, make("summary", {}, "At matched concurrency"), table);
}
