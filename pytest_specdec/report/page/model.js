// The document of the page -> curves with points and frontiers; the reader's selection -> the chart's description.

const COLOURS = 8;
const SHAPE_NAMES = ["circle", "triangle", "square", "star"];
const STEP_PX = 6;

// Curves know their points; a point's values are by key of its metric.
function modelOf(doc) {
  const metrics = Object.fromEntries(doc.metrics.map((metric) => [metric.key, metric]));
  metrics.concurrency = { key: "concurrency", title: "concurrency", unit: "requests in flight", digits: 0, formula: "" };
  const curves = doc.curves.map((curve, number) => ({ ...curve, number, points: [] }));
  doc.points.forEach((point, number) => {
    const values = {};
    doc.metrics.forEach(({ key }, place) => {
      if (point.values[place]) values[key] = point.values[place];
    });
    const curve = curves[point.curve];
    curve.points.push({ ...point, number, values, curve });
  });
  // Colours tell families apart, shapes what speculates, a hollow shape and a broken line the earlier run.
  const families = (speculates) => [...new Set(curves.filter((c) => c.speculates === speculates).map(familyOf))];
  const [fast, plain] = [families(true), families(false)];
  for (const curve of curves) {
    const family = (curve.speculates ? fast : plain).indexOf(familyOf(curve));
    curve.frontier = frontierOf(curve.points);
    curve.front = new Set(curve.frontier);
    // The plain side is grey while there is one of it; with more it takes colours from the other end.
    const colour = curve.speculates ? family : COLOURS - 1 - family;
    curve.colour = ((colour % COLOURS) + COLOURS) % COLOURS;
    curve.shape = curve.speculates ? SHAPE_NAMES[1 + (family % 3)] : "circle";
    curve.hollow = curve.run === "baseline";
  }
  return { doc, metrics, curves, comparisons: doc.comparisons.map((c, number) => ({ ...c, number })) };
}

// A curve's identity across two runs: it has one colour in both.
const familyOf = (curve) =>
  [curve.model, curve.precision, curve.sequence, curve.hardware, curve.parallelism, curve.mode].join("|");

// The price that a curve is shown at; null where a list does not have its hardware.
function priceOf(model, state, curve) {
  if (state.price === "own") return state.own;
  if (state.price === "stored") return curve.price;
  return model.doc.prices[state.price]?.[curve.hardware] ?? null;
}

// Selected by the menus; the legend may still hide it.
function chosen(state, curve) {
  return (
    ["model", "sequence", "precision"].every((field) => state[field] === "" || state[field] === curve[field]) &&
    state.show[curve.run] &&
    state.show[curve.speculates ? "mtp" : "off"]
  );
}

function coordinate(point, key, price) {
  if (key === "concurrency") return point.concurrency ? [point.concurrency, null] : null;
  return valueOf(point.values, key, price);
}

const axisTitle = (metric) => `${metric.title}${metric.unit ? ` (${metric.unit})` : ""}`;

function pointWords(model, point, keys, price) {
  const numbers = keys.map((key) => {
    const metric = model.metrics[key];
    const value = coordinate(point, key, price);
    return `${metric.title} ${value ? `${withUncertainty(value, metric.digits)} ${metric.unit}` : "not measured"}`;
  });
  return `${point.curve.label}, ${loadWords(point)}: ${numbers.join(", ")}`;
}

const loadWords = (point) => (point.concurrency ? `concurrency ${point.load}` : point.load);

// The chart as data: axes, series, rulers, switches.
function chartSpec(model, state, width) {
  const [mx, my] = [model.metrics[state.x], model.metrics[state.y]];
  const curves = model.curves.filter((curve) => chosen(state, curve) && !state.hidden.has(curve.number));
  const series = curves.map((curve) => seriesOf(model, state, curve, width));
  // The run that is shown lies above the earlier one.
  series.sort((a, b) => Number(b.hollow) - Number(a.hollow));
  return {
    x: { title: axisTitle(mx), log: state.logX },
    y: { title: axisTitle(my), log: state.logY },
    series: series.filter((each) => each.points.length),
    rulers: state.x === X && state.levels ? rulersOf(model, state) : [],
    bars: state.bars,
    labels: state.labels,
    zoom: state.zoom,
    watermark: curves.some((curve) => curve.simulated) ? "SIMULATED: no hardware was measured" : "",
  };
}

function seriesOf(model, state, curve, width) {
  const price = priceOf(model, state, curve);
  const points = [];
  for (const point of curve.points) {
    const front = curve.front.has(point);
    const [x, y] = [coordinate(point, state.x, price), coordinate(point, state.y, price)];
    if (!x || !y || (!front && !state.allPoints)) continue;
    if ((state.logX && x[0] <= 0) || (state.logY && y[0] <= 0)) continue;
    points.push({
      x,
      y,
      front,
      data: point,
      tag: point.concurrency ? `c${point.load}` : point.load,
      pinned: state.pinned.includes(point),
      label: pointWords(model, point, [state.x, state.y], price),
    });
  }
  const line = state.lines ? lineOf(state, curve, price, width) : [];
  return { ...pick(curve, ["label", "colour", "shape", "hollow"]), points, line, straight: state.x !== X };
}

const pick = (from, names) => Object.fromEntries(names.map((name) => [name, from[name]]));

// Over interactivity the frontier as it is interpolated; over anything else only the order of the points.
function lineOf(state, curve, price, width) {
  const knots = curve.frontier;
  const ends = knots.map((point) => [coordinate(point, state.x, price), coordinate(point, state.y, price)]);
  if (ends.some(([x, y]) => !x || !y)) return [];
  if (state.x !== X) return ends.map(([x, y]) => [x[0], y[0], false]);
  if (knots.length < 2) return [];
  const derived = DERIVED[state.y];
  const x = knots.map((point) => point.values[X][0]);
  const key = derived ? derived.from : state.y;
  const read =
    key === "concurrency"
      ? spline(x, knots.map((point) => point.concurrency))
      : spline(x, knots.map((point) => point.values[key][0]));
  const at = (value) => (derived ? derived.by(price, [read(value), null])[0] : read(value));
  const steps = Math.max(2, Math.min(16, Math.ceil(width / STEP_PX / knots.length)));
  const found = [[x[0], at(x[0]), false]];
  for (let i = 1; i < knots.length; i++) {
    const { wide } = bracketOf(knots[i - 1], knots[i]);
    for (let step = 1; step <= steps; step++) {
      const value = step === steps ? x[i] : x[i - 1] + ((x[i] - x[i - 1]) * step) / steps;
      found.push([value, at(value), wide]);
    }
  }
  return found;
}

// Where the chosen comparison reads its two curves.
function rulersOf(model, state) {
  const comparison = model.comparisons[state.comparison];
  if (!comparison) return [];
  return state.targets(comparison).map((level) => {
    const readings = [];
    for (const number of [comparison.candidate, comparison.reference]) {
      const curve = model.curves[number];
      if (!chosen(state, curve) || state.hidden.has(number)) continue;
      const read = readAt(curve.frontier, level);
      const estimate = read && valueOf({ ...read.values }, state.y, priceOf(model, state, curve));
      if (estimate && !read.bracket.measured) readings.push({ estimate, colour: curve.colour });
    }
    return { x: level, readings };
  });
}
