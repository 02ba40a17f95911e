// Input of the reader -> state -> display.

const model = modelOf(JSON.parse(byId("data").textContent));
const state = {
  x: X,
  y: Y,
  model: "",
  sequence: "",
  precision: "",
  price: "stored",
  own: null,
  show: { now: true, baseline: true, mtp: true, off: true },
  hidden: new Set(),
  logX: false,
  logY: false,
  allPoints: true,
  lines: true,
  bars: true,
  labels: false,
  levels: true,
  zoom: null,
  pinned: [],
  comparison: null,
  changedLevels: new Map(),
  targets: (comparison) => state.changedLevels.get(comparison.number) ?? comparison.levels,
};
const svg = byId("chart");
let chart = null;
let focused = null;

const showing = () => model.curves.filter((curve) => chosen(state, curve));

function refresh({ keepZoom = false } = {}) {
  if (!keepZoom) state.zoom = null;
  showLegend();
  pickComparison();
  refreshChart();
  refreshComparison();
  if (byId("view-table").getAttribute("aria-pressed") === "true") showPoints(byId("points"), model, state);
  showPins();
}

// ---- the legend

function showLegend() {
  const had = document.activeElement?.dataset?.curve;
  byId("legend").replaceChildren(
    ...showing().map((curve) => {
      const key = draw("svg", { class: "key", viewBox: "-14 -8 28 16", "aria-hidden": "true" });
      key.style.setProperty("--c", `var(--c${curve.colour})`);
      const hollow = curve.hollow ? " hollow" : "";
      key.append(
        draw("path", { d: "M-14 0H14", class: `line${hollow}` }),
        draw("path", { d: SHAPES[curve.shape], class: `point${hollow}` }),
      );
      const toggle = () => {
        if (!state.hidden.delete(curve.number)) state.hidden.add(curve.number);
        refresh({ keepZoom: true });
      };
      const pressed = String(!state.hidden.has(curve.number));
      const label = curve.simulated ? `${curve.label} (simulated)` : curve.label;
      return make("button", { type: "button", "aria-pressed": pressed, "data-curve": curve.number, title: curve.identity, onclick: toggle }, key, label);
    }),
  );
  if (had !== undefined) byId("legend").querySelector(`[data-curve="${had}"]`)?.focus();
}

// ---- the comparison

function pickComparison() {
  const fitting = model.comparisons.filter((comparison) =>
    [comparison.candidate, comparison.reference].every((number) => chosen(state, model.curves[number])),
  );
  if (!fitting.some((comparison) => comparison.number === state.comparison)) {
    state.comparison = fitting[0]?.number ?? null;
  }
  const select = byId("comparison-choice");
  select.replaceChildren(
    ...fitting.map((comparison) =>
      make("option", { value: comparison.number, selected: comparison.number === state.comparison }, comparisonTitle(model, comparison)),
    ),
  );
  byId("comparison-pick").hidden = fitting.length < 2;
}

function refreshComparison() {
  const box = byId("comparison");
  const comparison = model.comparisons[state.comparison];
  if (!comparison) {
    box.replaceChildren(make("p", { class: "hint" }, "Nothing to compare among the curves shown: it takes MTP and Off, or two runs, of one model, sequence and precision."));
    return;
  }
  const onLevels = (change) => {
    const levels = typeof change === "function" ? change(state.targets(comparison)) : change;
    if (levels === null) state.changedLevels.delete(comparison.number);
    else state.changedLevels.set(comparison.number, levels);
    refreshComparison();
    refreshChart();
    announce(box.querySelector(".sentences")?.textContent || "not measured");
  };
  const place = [...box.querySelectorAll("input")].indexOf(document.activeElement);
  showComparison(box, model, state, comparison, onLevels);
  box.querySelectorAll("input")[place]?.focus();
}

// ---- the menus

function options(select, entries, chosenValue) {
  select.replaceChildren(...entries.map(([value, text]) => make("option", { value, selected: value === chosenValue }, text)));
}

function fillMenus() {
  for (const field of ["model", "sequence", "precision"]) {
    const values = [...new Set(model.curves.map((curve) => curve[field]))];
    // Different models and sequences share a chart only when the reader selects "all".
    state[field] = values.length === 1 || field !== "precision" ? (values[0] ?? "") : "";
    options(byId(field), [...(values.length > 1 ? [["", "all"]] : []), ...values.map((v) => [v, v || "unknown"])], state[field]);
    byId(field).disabled = values.length < 2;
    byId(field).addEventListener("change", (event) => {
      state[field] = event.target.value;
      refresh();
    });
  }
  const anyPoint = (key) => DERIVED[key] || key === "concurrency" || model.doc.points.some((p) => p.values[model.doc.metrics.findIndex((m) => m.key === key)]);
  const entry = (key) => [key, axisTitle(model.metrics[key])];
  options(byId("x"), [...model.doc.x_axes, "concurrency"].filter((key) => model.metrics[key] && anyPoint(key)).map(entry), state.x);
  const groups = Object.entries(model.doc.y_axes).map(([name, keys]) => {
    const found = keys.filter((key) => model.metrics[key] && anyPoint(key));
    return found.length ? make("optgroup", { label: name }, ...found.map((key) => make("option", { value: key }, axisTitle(model.metrics[key])))) : null;
  });
  byId("y").append(...groups.filter(Boolean));
  for (const axis of ["x", "y"]) {
    byId(axis).addEventListener("change", (event) => {
      state[axis] = event.target.value;
      refresh();
    });
  }
  fillPrices();
  const switches = { "log-x": "logX", "log-y": "logY", "all-points": "allPoints", lines: "lines", bars: "bars", labels: "labels", levels: "levels" };
  for (const [id, name] of Object.entries(switches)) {
    byId(id).checked = state[name];
    byId(id).addEventListener("change", (event) => {
      state[name] = event.target.checked;
      refresh({ keepZoom: !name.startsWith("log") });
    });
  }
  for (const name of Object.keys(state.show)) {
    const box = byId(`show-${name}`);
    box.checked = true;
    box.addEventListener("change", () => {
      state.show[name] = box.checked;
      refresh();
    });
  }
  byId("runs").hidden = !model.curves.some((curve) => curve.run === "baseline");
}

function fillPrices() {
  const stored = model.curves.find((curve) => curve.price)?.price;
  const tiers = Object.keys(model.doc.prices);
  if (!stored) state.price = tiers[0] ?? "own";
  state.own = { usd_per_gpu_hour: stored?.usd_per_gpu_hour ?? 2, kw_per_gpu: stored?.kw_per_gpu ?? 1.4, source: "your own" };
  const list = (tier) => {
    const prices = Object.values(model.doc.prices[tier]);
    const same = prices.every((price) => price.usd_per_gpu_hour === prices[0].usd_per_gpu_hour);
    return same ? `${tier}: $${general(prices[0].usd_per_gpu_hour)}, ${general(prices[0].kw_per_gpu)} kW` : tier;
  };
  options(byId("price"), [...(stored ? [["stored", "as stored with the run"]] : []), ...tiers.map((tier) => [tier, list(tier)]), ["own", "own price and power"]], state.price);
  const own = () => {
    byId("own").hidden = state.price !== "own";
    const [usd, kw] = [Number(byId("usd").value), Number(byId("kw").value)];
    const valid = usd > 0 && kw > 0 && Number.isFinite(usd) && Number.isFinite(kw);
    if (valid) state.own = { usd_per_gpu_hour: usd, kw_per_gpu: kw, source: "your own" };
    for (const id of ["usd", "kw"]) byId(id).setAttribute("aria-invalid", String(!valid));
    refresh();
  };
  byId("usd").value = state.own.usd_per_gpu_hour;
  byId("kw").value = state.own.kw_per_gpu;
  byId("price").addEventListener("change", (event) => {
    state.price = event.target.value;
    own();
  });
  byId("usd").addEventListener("change", own);
  byId("kw").addEventListener("change", own);
}

function listenToButtons() {
  const click = (id, does) => byId(id).addEventListener("click", does);
  click("zoom-in", () => zoomBy(0.7));
  click("zoom-out", () => zoomBy(1 / 0.7));
  click("zoom-reset", resetZoom);
  click("unpin", () => {
    state.pinned = [];
    refreshChart();
    showPins();
  });
  click("show-all", () => {
    state.hidden.clear();
    refresh({ keepZoom: true });
  });
  click("hide-all", () => {
    showing().forEach((curve) => state.hidden.add(curve.number));
    refresh({ keepZoom: true });
  });
  const view = (table) => {
    byId("view-chart").setAttribute("aria-pressed", String(!table));
    byId("view-table").setAttribute("aria-pressed", String(table));
    byId("chart-view").hidden = table;
    byId("points").hidden = !table;
    if (table) showPoints(byId("points"), model, state);
    else refreshChart();
  };
  click("view-chart", () => view(false));
  click("view-table", () => view(true));
  click("csv", () => download("specdec-points.csv", csvOf(model, state), "text/csv"));
  click("svg", () => download(`specdec-${state.y}.svg`, standalone(svg).text, "image/svg+xml"));
  click("png", async () => download(`specdec-${state.y}.png`, await pngOf(standalone(svg)), "image/png"));
  byId("comparison-choice").addEventListener("change", (event) => {
    state.comparison = Number(event.target.value);
    refreshComparison();
    refreshChart();
  });
  byId("theme").addEventListener("change", (event) => {
    if (event.target.value === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = event.target.value;
  });
}

byId("simulated").hidden = !model.doc.simulated;
showAbout(byId("about"), model);
showVerdicts(byId("verdicts"), byId("counts"), model);
showTables(byId("tables"), model);
showEnvironments(byId("environments"), model);
showRemarks(byId("remarks"), byId("remark-list"), model);
showFormulas(byId("formulas"), model);
fillMenus();
listenToButtons();
listenToChart();
refresh();
document.documentElement.dataset.ready = String(Math.round(performance.now()));
