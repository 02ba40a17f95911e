// The points as a table and as CSV, and one point in full.

const PAGE_ROWS = 200;

// Points that the chart shows, in its order.
function visiblePoints(model, state) {
  return model.curves
    .filter((curve) => chosen(state, curve) && !state.hidden.has(curve.number))
    .flatMap((curve) => curve.points.filter((point) => state.allPoints || curve.front.has(point)));
}

function measuredKeys(model, points) {
  const found = new Set(points.flatMap((point) => Object.keys(point.values)));
  return model.doc.metrics.map((metric) => metric.key).filter((key) => found.has(key) || DERIVED[key]);
}

function showPoints(box, model, state, most = PAGE_ROWS) {
  const points = visiblePoints(model, state);
  const keys = measuredKeys(model, points);
  const rows = points.slice(0, most).map((point) => {
    const price = priceOf(model, state, point.curve);
    return make(
      "tr",
      {},
      make("th", { scope: "row" }, point.curve.label),
      make("td", { class: "number" }, point.load),
      make("td", {}, point.curve.front.has(point) ? "yes" : "no"),
      ...keys.map((key) => numberCell(valueOf(point.values, key, price), model.metrics[key].digits)),
    );
  });
  const headers = ["curve", "load", "on the frontier", ...keys.map((key) => axisTitle(model.metrics[key]))];
  const shown = Math.min(most, points.length);
  const caption = `Measured points, ${shown} of ${points.length} (± is the half-width of the 95 % interval within the run)`;
  box.replaceChildren(tableOf(caption, headers, rows));
  if (shown < points.length) {
    box.append(make("button", { type: "button", onclick: () => showPoints(box, model, state, Infinity) }, "Show all points"));
  }
}

// A spreadsheet evaluates text that begins like a formula; a leading quote keeps it text.
function csvCell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function csvOf(model, state) {
  const points = visiblePoints(model, state);
  const keys = measuredKeys(model, points);
  const about = ["run", "model", "mode", "sequence", "precision", "hardware", "parallelism", "engine", "version"];
  const headers = [...about, "simulated", "cell", "load", "on_frontier", "measured_at", ...keys.flatMap((key) => [key, `${key}_half_width`]), "notes"];
  const rows = points.map((point) => {
    const { curve } = point;
    const price = priceOf(model, state, curve);
    const numbers = keys.flatMap((key) => valueOf(point.values, key, price) ?? [null, null]);
    return [
      ...about.map((name) => curve[name]),
      String(curve.simulated),
      point.cell,
      point.load,
      String(curve.front.has(point)),
      point.measured_at,
      ...numbers,
      point.notes.join("; "),
    ];
  });
  return [headers, ...rows].map((row) => row.map(csvCell).join(",")).join("\r\n") + "\r\n";
}

// All details of a point.
function pointCard(model, state, point, onUnpin) {
  const { curve } = point;
  const price = priceOf(model, state, curve);
  const list = make("dl", {});
  const add = (name, words) => words && list.append(make("div", {}, make("dt", {}, name), make("dd", {}, words)));
  for (const key of measuredKeys(model, [point])) {
    const metric = model.metrics[key];
    const value = valueOf(point.values, key, price);
    add(metric.title, value && `${withUncertainty(value, metric.digits)} ${metric.unit}`);
  }
  const { requests } = point;
  add("requests", requests && `${requests.finished} finished, ${requests.failed} failed, ${requests.observed} streams observed`);
  add("window", point.window_s && `${point.window_s.toFixed(0)} s`);
  add("measured", point.measured_at.replace("T", " ").slice(0, 19));
  add("engine", [curve.engine, curve.version, curve.hardware, curve.parallelism].filter(Boolean).join(" "));
  const title = `${curve.label}, ${loadWords(point)}`;
  const close = onUnpin && make("button", { type: "button", class: "small", "aria-label": `Unpin ${title}`, onclick: onUnpin }, "×");
  const notes = point.notes.map((note) => make("li", {}, note));
  const card = make(
    "article",
    { class: "card" },
    make("h3", {}, title, close),
    list,
    notes.length ? make("ul", { class: "notes" }, ...notes) : null,
    curve.simulated ? make("p", { class: "simulated" }, "Simulated: no hardware was measured") : null,
  );
  card.style.setProperty("--c", `var(--c${curve.colour})`);
  return card;
}
