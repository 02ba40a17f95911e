// Curves read and compared by the rules of estimate.py, curve.py, comparison.py and cost.py; tests/web compares the two.
// An estimate is [value, half-width of the 95 % interval or null].

const X = "interactivity_tok_s_user";
const Y = "total_tok_s_gpu";
const WIDE_BRACKET = 2;
const TIE = 1.01;
const SECONDS_PER_HOUR_PER_MILLION = 0.0036;

const halfOf = (estimate) => estimate[1] ?? 0;
const relative = ([value, half]) => (half === null || value === 0 ? null : half / Math.abs(value));
const scaled = ([value, half], factor) => [value * factor, half === null ? null : half * Math.abs(factor)];

function inverse(estimate, numerator = 1) {
  const value = numerator / estimate[0];
  const share = relative(estimate);
  return [value, share === null ? null : Math.abs(value) * share];
}

function ratio(above, below) {
  const value = above[0] / below[0];
  const known = [relative(above), relative(below)].filter((share) => share !== null);
  return [value, known.length ? Math.abs(value) * Math.hypot(...known) : null];
}

// Metrics that follow from throughput; price is {usd_per_gpu_hour, kw_per_gpu}.
const DERIVED = {
  cost_usd_mtok: { from: Y, by: (price, rate) => inverse(rate, price.usd_per_gpu_hour / SECONDS_PER_HOUR_PER_MILLION) },
  cost_usd_mtok_output: {
    from: "output_tok_s_gpu",
    by: (price, rate) => inverse(rate, price.usd_per_gpu_hour / SECONDS_PER_HOUR_PER_MILLION),
  },
  tok_s_mw: { from: Y, by: (price, rate) => scaled(rate, 1000 / price.kw_per_gpu) },
  j_tok: { from: Y, by: (price, rate) => inverse(rate, price.kw_per_gpu * 1000) },
};

// A metric of a point or of a reading; null where it was not measured, or has no price.
function valueOf(values, key, price) {
  const derived = DERIVED[key];
  if (!derived) return values[key] ?? null;
  const rate = values[derived.from];
  return rate && price ? derived.by(price, rate) : null;
}

// Points that no other beats in both interactivity and throughput, by rising interactivity.
function frontierOf(points) {
  const rising = points
    .filter((point) => point.values[X] && point.values[Y])
    .sort(
      (a, b) =>
        a.values[X][0] - b.values[X][0] || b.values[Y][0] - a.values[Y][0] || a.concurrency - b.concurrency,
    );
  const best = [];
  for (const point of rising.reverse()) {
    const last = best[best.length - 1];
    if (last && point.values[Y][0] <= last.values[Y][0]) continue;
    if (last && point.values[X][0] === last.values[X][0]) best.pop();
    best.push(point);
  }
  return best.reverse();
}

// d3's curveMonotoneX: Steffen's slopes; the end slopes are not limited and may overshoot.
function steffenSlopes(x, y) {
  const n = x.length;
  const h = [];
  const s = [];
  for (let i = 0; i < n - 1; i++) {
    h.push(x[i + 1] - x[i]);
    s.push((y[i + 1] - y[i]) / h[i]);
  }
  if (n === 2) return [s[0], s[0]];
  const slopes = new Array(n);
  for (let i = 1; i < n - 1; i++) {
    const parabola = (s[i - 1] * h[i] + s[i] * h[i - 1]) / (h[i - 1] + h[i]);
    const limit = Math.min(Math.abs(s[i - 1]), Math.abs(s[i]), Math.abs(parabola) / 2);
    slopes[i] = (Math.sign(s[i - 1]) + Math.sign(s[i])) * limit;
  }
  slopes[0] = (3 * s[0] - slopes[1]) / 2;
  slopes[n - 1] = (3 * s[n - 2] - slopes[n - 2]) / 2;
  return slopes;
}

// A function of x through the knots, clamped to the range of their values.
function spline(x, y) {
  if (x.length === 1) return () => y[0];
  const slopes = steffenSlopes(x, y);
  const low = Math.min(...y);
  const high = Math.max(...y);
  return (at) => {
    const i = Math.max(0, Math.min(x.length - 2, firstAtLeast(x, at) - 1));
    const h = x[i + 1] - x[i];
    const t = (at - x[i]) / h;
    const value =
      y[i] * (1 + 2 * t) * (1 - t) ** 2 +
      slopes[i] * h * t * (1 - t) ** 2 +
      y[i + 1] * t * t * (3 - 2 * t) +
      slopes[i + 1] * h * t * t * (t - 1);
    return Math.min(Math.max(value, low), high);
  };
}

function firstAtLeast(x, at) {
  const found = x.findIndex((each) => each >= at);
  return found < 0 ? x.length : found;
}

// Reading of a frontier at an interactivity; null outside the measured range: nothing is extrapolated.
function readAt(frontier, at) {
  const x = frontier.map((point) => point.values[X][0]);
  if (!frontier.length || at < x[0] || at > x[x.length - 1]) return null;
  const right = firstAtLeast(x, at);
  const left = x[right] === at ? right : right - 1;
  const values = {};
  for (const key of Object.keys(frontier[0].values)) {
    if (key !== X && !DERIVED[key] && frontier.every((point) => point.values[key])) {
      values[key] = interpolated(frontier, x, key, at, left, right);
    }
  }
  const concurrency = spline(x, frontier.map((point) => point.concurrency))(at);
  return { at, values, concurrency, bracket: bracketOf(frontier[left], frontier[right]) };
}

// The half-width joins the neighbours' own uncertainty with how far a chord and a power law would differ.
function interpolated(frontier, x, key, at, left, right) {
  const lower = frontier[left].values[key];
  if (left === right) return lower;
  const upper = frontier[right].values[key];
  const value = spline(x, frontier.map((point) => point.values[key][0]))(at);
  const share = (at - x[left]) / (x[right] - x[left]);
  const others = [lower[0] + share * (upper[0] - lower[0])];
  if (lower[0] > 0 && upper[0] > 0) {
    others.push(lower[0] * (upper[0] / lower[0]) ** (Math.log(at / x[left]) / Math.log(x[right] / x[left])));
  }
  const spread = Math.max(...others.map((other) => Math.abs(value - other)));
  const slope = (upper[0] - lower[0]) / (x[right] - x[left]);
  const sideways = slope * Math.max(halfOf(frontier[left].values[X]), halfOf(frontier[right].values[X]));
  return [value, Math.hypot(spread, (1 - share) * halfOf(lower), share * halfOf(upper), sideways)];
}

// The two measured points around a reading; `lower` has less interactivity and more concurrency.
function bracketOf(lower, upper) {
  const measured = lower === upper;
  const [few, many] = [lower.concurrency, upper.concurrency].sort((a, b) => a - b);
  const wide = many / few > WIDE_BRACKET;
  const words = measured
    ? `c${lower.concurrency} measured`
    : `c${upper.concurrency}-c${lower.concurrency}${wide ? " WIDE" : ""}`;
  return { lower, upper, measured, wide, words };
}

// Two curves at one interactivity; `missing` says which side does not reach it.
function compareAt(candidate, reference, names, level) {
  const sides = [candidate, reference].map((curve) => readAt(curve.frontier, level));
  const missing = [candidate, reference]
    .map((curve, i) => (sides[i] ? "" : outside(curve, names[i], level)))
    .filter(Boolean);
  if (missing.length) return { level, missing };
  const gain = ratio(sides[0].values[Y], sides[1].values[Y]);
  const where = `${general(level)} tok/s/user`;
  return { level, missing, sides, gain, sentence: sentenceOf(where, names, sides[0].values[Y], sides[1].values[Y], gain) };
}

function outside(curve, name, level) {
  const x = curve.frontier.map((point) => point.values[X][0]);
  const range = x.length ? `${x[0].toFixed(1)} to ${x[x.length - 1].toFixed(1)} of ${name}` : `${name}: it has no points`;
  return `not measured: ${general(level)} tok/s/user lies outside ${range}`;
}

// Winner and its advantage, as ratio and as saving.
function sentenceOf(where, names, candidate, reference, gain) {
  let [winner, loser] = names;
  let [mine, theirs, factor] = [candidate[0], reference[0], gain[0]];
  if (1 / TIE < factor && factor < TIE) {
    return `At ${where} ${winner} and ${loser} are level: ${mine.toFixed(1)} against ${theirs.toFixed(1)} tok/s/GPU.`;
  }
  if (factor < 1) {
    [winner, loser, factor, mine, theirs] = [loser, winner, 1 / factor, theirs, mine];
  }
  const decided = gain[0] - halfOf(gain) > 1 || gain[0] + halfOf(gain) < 1;
  return (
    `At ${where} ${winner} serves ${factor.toFixed(2)}x the tokens per GPU of ${loser} ` +
    `(${mine.toFixed(1)} against ${theirs.toFixed(1)} tok/s/GPU), ` +
    `so a token costs ${((1 - 1 / factor) * 100).toFixed(0)} % less.` +
    (decided ? "" : " The uncertainty does not exclude a tie.")
  );
}

// Python's :g for the numbers that people type.
const general = (number) => String(Number(number.toPrecision(6)));
