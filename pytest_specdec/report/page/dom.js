// Elements and numbers. All text is set as text: nothing of a run is ever parsed as HTML.

const SVG = "http://www.w3.org/2000/svg";

function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function draw(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

const byId = (id) => document.getElementById(id);

function grouped(number, digits) {
  const text = number.toFixed(digits);
  if (Math.abs(number) < 10000) return text;
  const [whole, part] = text.split(".");
  const spaced = whole.replace(/\B(?=(\d{3})+$)/g, "\u202f");
  return part ? `${spaced}.${part}` : spaced;
}

function withUncertainty(estimate, digits) {
  if (!estimate) return "";
  const [value, half] = estimate;
  return half === null ? grouped(value, digits) : `${grouped(value, digits)} ± ${grouped(half, digits)}`;
}

// A table cell with a number; the full precision is in its data and its title.
function numberCell(estimate, digits, unit = "") {
  const cell = make("td", { class: "number" });
  if (!estimate) return cell;
  const [value, half] = estimate;
  cell.append(withUncertainty(estimate, digits) + unit);
  cell.dataset.value = value;
  if (half !== null) cell.dataset.half = half;
  cell.title = half === null ? String(value) : `${value} ± ${half}`;
  return cell;
}

function tableOf(caption, headers, rows) {
  const head = make("tr", {}, ...headers.map((header) => make("th", { scope: "col" }, header)));
  const table = make("table", {}, make("caption", {}, caption), make("thead", {}, head), make("tbody", {}, ...rows));
  // A wide table scrolls by itself, also by keyboard.
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, table);
}

function download(name, content, type) {
  const blob = content instanceof Blob ? content : new Blob([content], { type });
  const url = URL.createObjectURL(blob);
  const link = make("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

function announce(text) {
  byId("status").textContent = text;
}
