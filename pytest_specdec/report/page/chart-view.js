// The chart as a reader uses it: hover, focus, pin, zoom; the state and the redrawing are in page.js.

function refreshChart() {
  const had = focused && document.activeElement === focused.mark ? focused.point.data : null;
  const spec = chartSpec(model, state, svg.clientWidth);
  chart = drawChart(svg, spec);
  hideTip();
  byId("chart-title").textContent = `${capital(model.metrics[state.y].title)} over ${model.metrics[state.x].title}`;
  const count = chart.hits.length;
  byId("chart-count").textContent = `${count} point${count === 1 ? "" : "s"} of ${spec.series.length} curve${spec.series.length === 1 ? "" : "s"}`;
  byId("line-words").textContent =
    state.x === X
      ? "Line: interpolated between measured points of the Pareto frontier; dotted where a point is missing."
      : "Line: joins the frontier's points; nothing is interpolated over this axis.";
  const again = chart.hits.find((hit) => hit.point.data === had) ?? chart.hits[0];
  focused = null;
  if (again) makeCurrent(again, had !== null);
}

// One point at a time is in the tab order; the arrow keys go to the others.
function makeCurrent(hit, focus) {
  focused?.mark.setAttribute("tabindex", "-1");
  focused = hit;
  hit.mark.setAttribute("tabindex", "0");
  if (focus) hit.mark.focus();
}

function moveFocus(key) {
  const order = (hits) => [...hits].sort((a, b) => a.at[0] - b.at[0]);
  const mine = order(chart.hits.filter((hit) => hit.series === focused.series));
  const place = mine.indexOf(focused);
  const to = { ArrowRight: mine[place + 1], ArrowLeft: mine[place - 1], Home: mine[0], End: mine.at(-1) }[key];
  if (to) return makeCurrent(to, true);
  if (key !== "ArrowUp" && key !== "ArrowDown") return undefined;
  const series = [...new Set(chart.hits.map((hit) => hit.series))];
  const next = series[(series.indexOf(focused.series) + (key === "ArrowDown" ? 1 : series.length - 1)) % series.length];
  const near = chart.hits
    .filter((hit) => hit.series === next)
    .reduce((a, b) => (Math.abs(b.at[0] - focused.at[0]) < Math.abs(a.at[0] - focused.at[0]) ? b : a));
  return makeCurrent(near, true);
}

function showTip(hit) {
  const tip = byId("tip");
  tip.replaceChildren(pointCard(model, state, hit.point.data, null));
  tip.hidden = false;
  const [px, py] = hit.at;
  const room = svg.parentElement.clientWidth;
  const left = px + 16 + tip.offsetWidth > room ? px - 16 - tip.offsetWidth : px + 16;
  tip.style.left = `${Math.max(0, left)}px`;
  tip.style.top = `${Math.max(0, Math.min(py - 30, svg.clientHeight - tip.offsetHeight))}px`;
  const { x: fx, y: fy, height } = chart.frame;
  chart.over.replaceChildren(
    draw("path", { class: "cross", d: `M${fx} ${py}H${px}M${px} ${fy + height}V${py}` }),
    draw("circle", { class: "halo", cx: px, cy: py, r: 9 }),
  );
}

function hideTip() {
  byId("tip").hidden = true;
  chart?.over.replaceChildren();
}

function pin(hit) {
  const point = hit.point.data;
  const place = state.pinned.indexOf(point);
  if (place < 0) state.pinned.push(point);
  else state.pinned.splice(place, 1);
  announce(`${point.curve.label}, ${loadWords(point)}: ${place < 0 ? "pinned" : "no longer pinned"}`);
  hit.point.pinned = place < 0;
  hit.mark.setAttribute("aria-pressed", String(place < 0));
  hit.mark.classList.toggle("pinned", place < 0);
  showPins();
}

function showPins() {
  const cards = state.pinned.map((point) =>
    pointCard(model, state, point, () => {
      state.pinned.splice(state.pinned.indexOf(point), 1);
      refreshChart();
      showPins();
    }),
  );
  byId("pins").replaceChildren(...cards);
  byId("pinned").hidden = !cards.length;
}

function zoomBy(factor, at = null) {
  const { x, y, frame } = chart;
  const [cx, cy] = at ?? [frame.x + frame.width / 2, frame.y + frame.height / 2];
  const [right, bottom] = [frame.x + frame.width, frame.y + frame.height];
  const to = (edge, centre) => centre + (edge - centre) * factor;
  state.zoom = {
    x: [x.invert(to(frame.x, cx)), x.invert(to(right, cx))],
    y: [y.invert(to(bottom, cy)), y.invert(to(frame.y, cy))],
  };
  refreshChart();
}

function resetZoom() {
  state.zoom = null;
  refreshChart();
}

function listenToChart() {
  let start = null;
  const place = (event) => {
    const box = svg.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  svg.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "mouse" && event.button === 0) start = { at: place(event), domain: chart.domain };
  });
  svg.addEventListener("pointermove", (event) => {
    const at = place(event);
    if (start && event.buttons === 1) {
      start.moved ||= Math.hypot(at[0] - start.at[0], at[1] - start.at[1]) > 6;
      if (!start.moved) return;
      if (event.shiftKey) pan(start, at);
      else chart.over.replaceChildren(boxBetween(start.at, at));
      start.to = at;
      return;
    }
    const hit = chart.nearest(...at);
    if (hit) showTip(hit);
    else hideTip();
  });
  svg.addEventListener("pointerleave", () => start?.moved || hideTip());
  window.addEventListener("pointerup", (event) => {
    if (start?.moved && start.to && !event.shiftKey) zoomTo(start.at, start.to);
    setTimeout(() => (start = null));
  });
  svg.addEventListener("click", (event) => {
    if (start?.moved) return;
    const hit = chart.nearest(...place(event), 16);
    if (!hit) return hideTip();
    makeCurrent(hit, false);
    showTip(hit);
    pin(hit);
  });
  svg.addEventListener("dblclick", resetZoom);
  svg.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    zoomBy(event.deltaY > 0 ? 1.25 : 0.8, place(event));
  }, { passive: false });
  svg.addEventListener("focusin", (event) => {
    const hit = chart.hits.find((each) => each.mark === event.target);
    if (hit) {
      makeCurrent(hit, false);
      showTip(hit);
    }
  });
  svg.addEventListener("focusout", hideTip);
  svg.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !focused) return;
    const does = { Enter: () => pin(focused), " ": () => pin(focused), Escape: hideTip, "+": () => zoomBy(0.7), "-": () => zoomBy(1 / 0.7), 0: resetZoom };
    if (does[event.key]) does[event.key]();
    else if (["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"].includes(event.key)) moveFocus(event.key);
    else return;
    event.preventDefault();
  });
  let drawnAt = svg.clientWidth;
  new ResizeObserver(() => {
    if (svg.clientWidth === drawnAt || !svg.clientWidth) return;
    drawnAt = svg.clientWidth;
    refreshChart();
  }).observe(svg.parentElement);
}

function boxBetween([ax, ay], [bx, by]) {
  return draw("rect", { class: "zoom", x: Math.min(ax, bx), y: Math.min(ay, by), width: Math.abs(ax - bx), height: Math.abs(ay - by) });
}

function zoomTo([ax, ay], [bx, by]) {
  if (Math.abs(ax - bx) < 8 || Math.abs(ay - by) < 8) return hideTip();
  const { x, y } = chart;
  state.zoom = {
    x: [x.invert(Math.min(ax, bx)), x.invert(Math.max(ax, bx))],
    y: [y.invert(Math.max(ay, by)), y.invert(Math.min(ay, by))],
  };
  return refreshChart();
}

function pan(start, at) {
  const { x, y, frame } = (start.chart ??= chart);
  const [dx, dy] = [at[0] - start.at[0], at[1] - start.at[1]];
  state.zoom = {
    x: [x.invert(frame.x - dx), x.invert(frame.x + frame.width - dx)],
    y: [y.invert(frame.y + frame.height - dy), y.invert(frame.y - dy)],
  };
  refreshChart();
}
