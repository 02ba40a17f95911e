// Sections that do not depend on the menus: verdicts, changes, tables, environments, remarks, formulas.

const OUTCOME_SIGNS = {
  unhealthy: "✗",
  regressed: "▼",
  inconclusive: "?",
  "not comparable": "≠",
  "no baseline": "–",
  warn: "!",
  improved: "▲",
  pass: "✓",
};
const WORST_FIRST = Object.keys(OUTCOME_SIGNS);

const badge = (outcome) =>
  make("span", { class: `badge ${outcome.replace(" ", "-")}` }, `${OUTCOME_SIGNS[outcome] ?? "•"} ${outcome}`);

function showVerdicts(box, summary, model) {
  const { verdicts, headline, promises } = model.doc;
  byId("headline").textContent = headline;
  byId("headline").className = `headline ${headline.split(":")[0].toLowerCase()}`;
  box.hidden = !verdicts.length;
  if (!verdicts.length) return;
  const counts = new Map();
  for (const { outcome } of verdicts) counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
  const words = WORST_FIRST.filter((outcome) => counts.has(outcome));
  summary.append(
    ...words.map((outcome) => make("span", { class: "count" }, `${counts.get(outcome)} `, badge(outcome))),
  );
  // The worst outcome comes first.
  const sorted = [...verdicts].sort((a, b) => WORST_FIRST.indexOf(a.outcome) - WORST_FIRST.indexOf(b.outcome));
  const rows = sorted.flatMap((verdict) => verdictRows(model, verdict));
  const headers = ["cell", "verdict", "metric", "baseline", "measured", "change", "margin"];
  box.append(tableOf("Verdicts against the stored baselines", headers, rows));
  if (promises.length) box.append(make("ul", { class: "notes" }, ...promises.map((words) => make("li", {}, words))));
}

function verdictRows(model, verdict) {
  const why = verdict.why.join("; ");
  const span = Math.max(1, verdict.metrics.length) + (why && verdict.metrics.length ? 1 : 0);
  const head = [
    make("th", { scope: "rowgroup", rowspan: span }, verdict.cell),
    make("td", { rowspan: span }, badge(verdict.outcome)),
  ];
  const rows = verdict.metrics.map((metric) => {
    const about = model.metrics[metric.metric] ?? { title: metric.metric, digits: 2, unit: "" };
    const text = metric.change ? changeWords(metric.change) : "";
    const pairs = metric.pairs ? `, ${metric.pairs} pairs` : "";
    return [
      make("td", { class: metric.tolerance === null ? "shown" : "" }, `${about.title} ${about.unit}`),
      numberCell(metric.baseline, about.digits),
      numberCell(metric.measured, about.digits),
      make("td", { class: `number ${metric.outcome}` }, text),
      make("td", {}, metric.tolerance === null ? "not gated" : `${(metric.tolerance * 100).toFixed(0)} %${pairs}`),
    ];
  });
  if (why) rows.push([make("td", { colspan: "5", class: "why" }, why)]);
  if (!rows.length) rows.push([make("td", { colspan: "5" })]);
  return rows.map((cells, i) => make("tr", { class: i ? "second" : "" }, ...(i === 0 ? head : []), ...cells));
}

function changeWords([factor, half]) {
  const percent = (share) => `${(share * 100).toFixed(1)} %`;
  return `${factor > 1 ? "+" : ""}${percent(factor - 1)}${half === null ? "" : ` ± ${percent(half)}`}`;
}

function showTables(box, model) {
  const { tables, changes } = model.doc;
  const changed = Object.entries(changes);
  if (changed.length) {
    const rows = changed.map(([cell, why]) => make("tr", {}, make("th", { scope: "row" }, cell), make("td", {}, why)));
    box.append(tableOf("Causes of changed output throughput against the baseline run", ["cell", "diagnosis"], rows));
  }
  for (const table of tables) {
    const rows = table.rows.map((row) => {
      const filled = [...row, ...Array(table.headers.length - row.length).fill("")];
      return make("tr", {}, ...filled.map((text) => make("td", { class: /^[-+~±\d]/.test(text) ? "number" : "" }, text)));
    });
    const said = [...table.sentences, ...table.notes].map((text) => make("li", {}, text));
    box.append(tableOf(table.title, table.headers, rows));
    if (said.length) box.append(make("ul", { class: "notes" }, ...said));
  }
  box.hidden = !(changed.length || tables.length);
}

// Every fact of every environment; differing facts come first.
function showEnvironments(box, model) {
  const { environments } = model.doc;
  const used = environments.map((_, i) => model.curves.filter((curve) => curve.environment === i).map((c) => c.label));
  const names = [...new Set(environments.flatMap((environment) => Object.keys(environment.facts)))];
  const rows = names.map((name) => {
    const values = environments.map((environment) => environment.facts[name] || "unknown");
    return { name, values, differs: new Set(values).size > 1 };
  });
  rows.sort((a, b) => Number(b.differs) - Number(a.differs));
  const headers = ["fact", ...(environments.length > 1 ? ["compared"] : []), ...used.map((labels) => several(labels))];
  const lines = rows.map(({ name, values, differs }) =>
    make(
      "tr",
      { class: differs ? "differs" : "same" },
      make("th", { scope: "row" }, name),
      environments.length > 1 ? make("td", {}, differs ? "differs" : "same") : null,
      ...values.map((value) => make("td", { class: value === "unknown" ? "unknown" : "" }, value)),
    ),
  );
  const table = tableOf("Environment of each engine", headers, lines);
  const only = make("input", {
    type: "checkbox",
    onchange: () => table.classList.toggle("only-differences", only.checked),
  });
  if (environments.length > 1) box.append(make("label", { class: "switch" }, only, "Differences only"));
  box.append(table);
  box.hidden = !environments.length;
}

const several = (labels) => (labels.length > 3 ? `${labels.slice(0, 2).join(", ")} and ${labels.length - 2} more` : labels.join(", "));

function showRemarks(box, list, model) {
  const notes = new Map();
  for (const curve of model.curves) {
    for (const point of curve.points) {
      for (const note of point.notes) notes.set(note, [...(notes.get(note) ?? []), `${point.cell}${curve.run === "baseline" ? " (baseline)" : ""}`]);
    }
  }
  const ofCells = [...notes].map(([note, cells]) => `${several(cells)}: ${note}`);
  const all = [...model.doc.remarks, ...ofCells];
  list.append(...all.map((text) => make("li", {}, text)));
  box.hidden = !all.length;
}

function showFormulas(list, model) {
  for (const metric of model.doc.metrics) {
    const better = metric.better ? `; ${metric.better} is better` : "";
    list.append(
      make("dt", {}, `${metric.title}${metric.unit ? ` (${metric.unit}${better})` : ""}`),
      make("dd", {}, metric.formula),
    );
  }
}

function showAbout(list, model) {
  for (const [name, words] of Object.entries(model.doc.about)) {
    list.append(make("dt", {}, name), make("dd", {}, words));
  }
}
