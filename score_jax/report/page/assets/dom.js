// Elements, numbers and controls. Text reaches the page as text nodes alone.

const DATA = JSON.parse(document.getElementById("data").textContent);
const ATTEMPT_COLORS = ["#0072B2", "#D55E00", "#CC79A7", "#009E73", "#E69F00"];
const METHOD_COLORS = [
  "#0072B2", "#D55E00", "#009E73", "#CC79A7",
  "#B07C00", "#3D9BD1", "#000000", "#777777",
];
const GRAY = "#5b5f66";
// What DATA says of metrics: how they are called and shown.
const { metrics: METRICS } = DATA;
const metricLabel = (name) => (name in METRICS ? METRICS[name].label : name);
const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value !== null && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child !== null));
  return node;
}

const el = (tag, attributes, ...children) =>
  fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) =>
  fill(document.createElementNS(SVG, tag), attributes, children);

const isNumber = (x) => typeof x === "number" && Number.isFinite(x);
const round = (x, digits) => (Math.round(x * 10 ** digits) / 10 ** digits) + 0;
const percent = (x, digits = 1) => round(100 * x, digits).toFixed(digits);
const signed = (x) => (round(100 * x, 1) > 0 ? "+" : "") + percent(x);
const count = (x) => Math.round(x).toLocaleString("en-US");
const interval = (ends, format) => `[${format(ends[0])}, ${format(ends[1])}]`;

function pValue(p) {
  if (!isNumber(p)) return "";
  return p < 0.001 ? "< 0.001" : p.toFixed(3);
}

function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) {
    return `${(seconds / 60).toFixed(seconds < 1200 ? 1 : 0)} min`;
  }
  return `${(seconds / 3600).toFixed(1)} h`;
}

const mean = (xs) => xs.reduce((sum, x) => sum + x, 0) / xs.length;
const unique = (xs) => [...new Set(xs)];

// A menu with a label; a single choice needs no menu and is not shown.
function menu(label, options, value, onChange) {
  const select = el("select", null, options.map(
    ([key, text]) => el("option", { value: key }, text)));
  select.value = value;
  select.addEventListener("change", () => onChange(select.value));
  return el("label", { hidden: options.length < 2 ? "" : null }, label, select);
}

function legend(entries) {
  return el("ul", { class: "legend" }, entries.map(
    ([mark, text]) => el("li", null, mark, text)));
}

function mark(color, { dash = null, dot = false, box = false, width = 2.5 } = {}) {
  const shape = box
    ? svg("rect", { x: 4, y: 1, width: 14, height: 10, fill: color })
    : dot
      ? svg("circle", { cx: 11, cy: 6, r: 4.5, fill: color })
      : svg("line", {
          x1: 0, x2: 22, y1: 6, y2: 6, stroke: color,
          "stroke-width": width, "stroke-dasharray": dash,
        });
  return svg("svg", { width: 22, height: 12, "aria-hidden": "true" }, shape);
}

// Draws now and whenever the width of its place changes, so that letters keep
// their size on every screen.
function chart(draw) {
  const place = el("div", { class: "chart" });
  let last = 0;
  const redraw = () => {
    const width = Math.floor(place.clientWidth);
    if (width > 0 && width !== last) {
      last = width;
      place.replaceChildren(draw(width));
    }
  };
  // Later: drawn at once, it would move what is being measured.
  new ResizeObserver(() => setTimeout(redraw)).observe(place);
  return place;
}

// A table that scrolls inside of its box; a long one in both directions.
function scrollBox(label, table) {
  const isLong = table.rows.length > 20;
  return el(
    "div",
    { class: isLong ? "scroll long" : "scroll", tabindex: 0, role: "region",
      "aria-label": label },
    table);
}
