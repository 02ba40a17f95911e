// Draws a chart from a description: {x, y, series, rulers, options}; knows nothing of runs.
// axis: {title, log}; series: {label, colour, shape, hollow, line, points: [{x, y, label, data, front}]} with x and y
// as estimates; line: [[x, y, wide], ...] in small steps.

const MARGIN = { top: 14, right: 18, bottom: 46, left: 68 };
const NEAR_PX = 28;
const SHAPES = {
  circle: "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0",
  triangle: "M0 -5.4L5 4.2L-5 4.2Z",
  square: "M-4 -4H4V4H-4Z",
  star: "M0 -6L1.6 -1.8L6 -1.8L2.6 1L3.8 5.4L0 2.8L-3.8 5.4L-2.6 1L-6 -1.8L-1.6 -1.8Z",
  diamond: "M0 -6L6 0L0 6L-6 0Z",
};

function scaleOf(domain, from, to, log) {
  const bend = log ? Math.log : (v) => v;
  const unbend = log ? Math.exp : (v) => v;
  const [low, high] = domain.map(bend);
  return {
    at: (value) => from + ((bend(value) - low) / (high - low)) * (to - from),
    invert: (pixel) => unbend(low + ((pixel - from) / (to - from)) * (high - low)),
    ticks: () => ticksOf(domain, log),
  };
}

function ticksOf([low, high], log) {
  if (log) {
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
      for (const digit of [1, 2, 5]) {
        const tick = Number(`${digit}e${power}`);
        if (tick >= low && tick <= high) found.push(tick);
      }
    }
    if (found.length >= 3) return found;
  }
  const raw = (high - low) / 6;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= raw) * power;
  const first = Math.ceil(low / step - 1e-9);
  const count = Math.floor(high / step + 1e-9) - first;
  return Array.from({ length: count + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

const tickText = (tick) => (Math.abs(tick) >= 1e6 ? tick.toExponential(0) : grouped(tick, decimalsOf(tick)));
const decimalsOf = (tick) => (String(tick).split(".")[1] ?? "").length;

// From the smallest to the largest value with a little air; from 0 where that is near.
function domainOf(values, log) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (!(low <= high)) return log ? [1, 10] : [0, 1];
  if (low === high) [low, high] = [low * 0.9, high * 1.1 || 1];
  if (log) return [low / (high / low) ** 0.06, high * (high / low) ** 0.06];
  const air = (high - low) * 0.06;
  return [low > 0 && low < 0.45 * high ? 0 : low - air, high + air];
}

// Draws into the SVG element and returns how to find points and turn pixels into values.
function drawChart(svg, spec) {
  const width = Math.max(320, svg.clientWidth);
  const height = svg.clientHeight;
  const shown = spec.series.flatMap((series) => series.points);
  const positive = (axis, key) => shown.map((p) => p[key][0]).filter((v) => !axis.log || v > 0);
  const xDomain = spec.zoom?.x ?? domainOf(positive(spec.x, "x"), spec.x.log);
  const yDomain = spec.zoom?.y ?? domainOf(positive(spec.y, "y"), spec.y.log);
  const x = scaleOf(xDomain, MARGIN.left, width - MARGIN.right, spec.x.log);
  const y = scaleOf(yDomain, height - MARGIN.bottom, MARGIN.top, spec.y.log);
  const inside = (p) =>
    p.x[0] >= xDomain[0] && p.x[0] <= xDomain[1] && p.y[0] >= yDomain[0] && p.y[0] <= yDomain[1];

  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const plot = draw("g", { "clip-path": "url(#plot)" });
  const marks = draw("g", {});
  const over = draw("g", { class: "over", "aria-hidden": "true" });
  const frame = { x: MARGIN.left, y: MARGIN.top, width: width - MARGIN.left - MARGIN.right };
  frame.height = height - MARGIN.top - MARGIN.bottom;
  const clip = draw("clipPath", { id: "plot" }, draw("rect", frame));
  svg.replaceChildren(draw("defs", {}, clip), axes(spec, x, y, frame), plot, marks, over);
  if (spec.watermark) plot.append(watermark(spec.watermark, frame));

  const hits = [];
  for (const series of spec.series) {
    plot.append(...lines(series, x, y));
    if (spec.bars) plot.append(bars(series, x, y, inside));
  }
  for (const ruler of spec.rulers) plot.append(...rulerOf(ruler, x, y, frame));
  for (const series of spec.series) {
    const group = draw("g", { role: "group", "aria-label": series.label });
    group.style.setProperty("--c", `var(--c${series.colour})`);
    for (const point of series.points) {
      if (!inside(point)) continue;
      const at = [x.at(point.x[0]), y.at(point.y[0])];
      const mark = draw("path", {
        d: SHAPES[series.shape],
        transform: `translate(${at[0].toFixed(1)} ${at[1].toFixed(1)})${point.front ? "" : " scale(.75)"}`,
        class: `point${series.hollow ? " hollow" : ""}${point.front ? "" : " behind"}${point.pinned ? " pinned" : ""}`,
        role: "button",
        tabindex: "-1",
        "aria-pressed": String(Boolean(point.pinned)),
        "aria-label": point.label,
      });
      group.append(mark);
      hits.push({ at, mark, point, series });
    }
    if (group.childNodes.length) marks.append(group);
  }
  if (spec.labels) marks.append(labels(hits, frame));
  return {
    hits,
    frame,
    x,
    y,
    over,
    nearest: (px, py, reach = NEAR_PX) => nearest(hits, px, py, reach),
    domain: { x: xDomain, y: yDomain },
  };
}

function nearest(hits, px, py, reach) {
  let best = null;
  let least = reach * reach;
  for (const hit of hits) {
    const distance = (hit.at[0] - px) ** 2 + (hit.at[1] - py) ** 2;
    if (distance <= least) [best, least] = [hit, distance];
  }
  return best;
}

function axes(spec, x, y, frame) {
  const group = draw("g", { class: "axes", "aria-hidden": "true" });
  const [right, bottom] = [frame.x + frame.width, frame.y + frame.height];
  let free = -Infinity;
  for (const tick of x.ticks()) {
    const at = x.at(tick);
    group.append(draw("line", { x1: at, x2: at, y1: frame.y, y2: bottom, class: "grid" }));
    const text = tickText(tick);
    if (at - text.length * 3.5 < free) continue;
    free = at + text.length * 3.5 + 6;
    group.append(draw("text", { x: at, y: bottom + 17, "text-anchor": "middle" }, text));
  }
  for (const tick of y.ticks()) {
    const at = y.at(tick);
    group.append(draw("line", { x1: frame.x, x2: right, y1: at, y2: at, class: "grid" }));
    group.append(draw("text", { x: frame.x - 8, y: at + 4, "text-anchor": "end" }, tickText(tick)));
  }
  group.append(draw("path", { d: `M${frame.x} ${frame.y}V${bottom}H${right}`, class: "frame" }));
  const middle = frame.y + frame.height / 2;
  group.append(
    draw("text", { x: frame.x + frame.width / 2, y: bottom + 38, "text-anchor": "middle", class: "title" }, spec.x.title),
    draw("text", { transform: `translate(16 ${middle}) rotate(-90)`, "text-anchor": "middle", class: "title" }, spec.y.title),
  );
  return group;
}

const watermark = (text, frame) =>
  draw(
    "text",
    { x: frame.x + frame.width - 10, y: frame.y + 22, "text-anchor": "end", class: "watermark" },
    frame.width < 420 ? text.split(":")[0] : text,
  );

// One path for what is interpolated, and a dashed one across missing points.
function lines(series, x, y) {
  const paths = { line: "", "line wide": "" };
  let before = null;
  for (const [vx, vy, wide] of series.line) {
    const name = wide ? "line wide" : "line";
    const to = `${x.at(vx).toFixed(1)} ${y.at(vy).toFixed(1)}`;
    if (before) paths[name] += paths[name].endsWith(before) ? `L${to}` : `M${before}L${to}`;
    before = to;
  }
  return Object.entries(paths)
    .filter(([, d]) => d)
    .map(([name, d]) => {
      const path = draw("path", { d, class: `${name}${series.hollow ? " hollow" : ""}${series.straight ? " straight" : ""}` });
      path.style.setProperty("--c", `var(--c${series.colour})`);
      return path;
    });
}

// Both intervals of every point, one path per series.
function bars(series, x, y, inside) {
  let d = "";
  for (const point of series.points) {
    if (!inside(point)) continue;
    const [px, py] = [x.at(point.x[0]).toFixed(1), y.at(point.y[0]).toFixed(1)];
    for (const [estimate, scale, line] of [
      [point.y, y, (a, b) => `M${px} ${a}V${b}`],
      [point.x, x, (a, b) => `M${a} ${py}H${b}`],
    ]) {
      const low = scale.at(estimate[0] - halfOf(estimate));
      const high = scale.at(estimate[0] + halfOf(estimate));
      if (Number.isFinite(low) && Math.abs(high - low) > 1) d += line(low.toFixed(1), high.toFixed(1));
    }
  }
  const path = draw("path", { d, class: "bar" });
  path.style.setProperty("--c", `var(--c${series.colour})`);
  return path;
}

// A level of the comparison: a vertical line, and a hollow diamond where each curve is read.
function rulerOf(ruler, x, y, frame) {
  const at = x.at(ruler.x);
  const found = [draw("line", { x1: at, x2: at, y1: frame.y, y2: frame.y + frame.height, class: "ruler" })];
  for (const { estimate, colour } of ruler.readings) {
    const low = y.at(estimate[0] - halfOf(estimate));
    const high = y.at(estimate[0] + halfOf(estimate));
    const group = draw(
      "g",
      { class: "reading" },
      draw("path", { d: Number.isFinite(low) ? `M${at} ${low}V${high}` : "" }),
      draw("path", { d: SHAPES.diamond, transform: `translate(${at} ${y.at(estimate[0])})` }),
    );
    group.style.setProperty("--c", `var(--c${colour})`);
    found.push(group);
  }
  return found;
}

// The load beside each point, where there is room.
function labels(hits, frame) {
  const group = draw("g", { class: "labels", "aria-hidden": "true" });
  const taken = new Set();
  for (const { at, point } of hits) {
    const text = point.tag;
    const place = [`${Math.round(at[0] / 26)},${Math.round(at[1] / 13)}`, `${Math.round(at[0] / 26) + 1},${Math.round(at[1] / 13)}`];
    if (place.some((each) => taken.has(each))) continue;
    place.forEach((each) => taken.add(each));
    const left = at[0] > frame.x + frame.width - 40;
    group.append(
      draw("text", { x: at[0] + (left ? -8 : 8), y: at[1] - 6, "text-anchor": left ? "end" : "start" }, text),
    );
  }
  return group;
}

// A copy that stands alone: every style that the page gave it is written into it.
function standalone(svg) {
  const copy = svg.cloneNode(true);
  const kept = ["fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "font-size", "font-family", "font-weight"];
  const originals = svg.querySelectorAll("*");
  copy.querySelectorAll("*").forEach((element, i) => {
    const style = getComputedStyle(originals[i]);
    for (const name of kept) element.setAttribute(name, style.getPropertyValue(name));
    for (const name of ["class", "style", "tabindex", "role", "aria-pressed"]) element.removeAttribute(name);
  });
  const box = svg.viewBox.baseVal;
  copy.setAttribute("xmlns", SVG);
  copy.setAttribute("width", box.width);
  copy.setAttribute("height", box.height);
  for (const name of ["class", "id", "tabindex", "aria-describedby", "aria-labelledby"]) copy.removeAttribute(name);
  const paper = draw("rect", { width: box.width, height: box.height });
  paper.setAttribute("fill", getComputedStyle(document.body).backgroundColor);
  copy.prepend(paper);
  return { text: new XMLSerializer().serializeToString(copy), width: box.width, height: box.height };
}

async function pngOf({ text, width, height }) {
  const image = new Image();
  image.src = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
  await image.decode();
  const canvas = make("canvas", { width: width * 2, height: height * 2 });
  canvas.getContext("2d").drawImage(image, 0, 0, width * 2, height * 2);
  URL.revokeObjectURL(image.src);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}
