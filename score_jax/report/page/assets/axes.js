// Axes and what stands on them.

function ticks(low, high, wanted) {
  const rough = (high - low) / Math.max(wanted, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999);
  const first = Math.ceil(low / step - 1e-9);
  const result = [];
  for (let i = first; i * step <= high + 1e-9 * step; i++) {
    result.push(round(i * step, 10));
  }
  return result;
}

// Ends that hold all values and fall on ticks.
const PERCENT = { floor: 0, ceiling: 100, least: 4 };

function niceRange(values, { floor = -Infinity, ceiling = Infinity, least = 1e-9 } = {}) {
  let low = Math.min(...values);
  let high = Math.max(...values);
  if (!(high - low >= least)) {
    const room = Math.max(least, Math.abs(high) * 0.1, 1e-3) / 2;
    const center = (low + high) / 2;
    [low, high] = [Math.max(center - room, floor), Math.min(center + room, ceiling)];
  }
  const steps = ticks(low, high, 5);
  const step = steps.length > 1 ? steps[1] - steps[0] : high - low;
  return [
    Math.max(round(Math.floor(low / step + 1e-6) * step, 10), floor),
    Math.min(round(Math.ceil(high / step - 1e-6) * step, 10), ceiling),
  ];
}

const short = (x) => {
  if (Math.abs(x) >= 1e6) return `${round(x / 1e6, 2)}M`;
  if (Math.abs(x) >= 1e4) return `${round(x / 1e3, 1)}k`;
  return String(Number(x.toPrecision(6)));
};

// How values are shown: as text, and on an axis.
const FORMATS = {
  percent: { text: percent, scale: 100, limits: PERCENT },
  points: { text: signed, scale: 100, limits: { least: PERCENT.least } },
  number: { text: short, scale: 1, limits: {} },
};

const textWidth = (text) => 6.9 * text.length;

function label(x, y, text, attributes) {
  return svg("text", { x, y, "font-size": 12, fill: GRAY, ...attributes }, text);
}

// A frame with both axes. `x` and `y` are [low, high]; the result maps data to
// pixels and holds the svg element to draw in.
function frame(options) {
  const { width, height, x, y, xLabel, yLabel, name } = options;
  const pad = { top: 12, right: 14, bottom: xLabel ? 42 : 26, left: 44, ...options.pad };
  if (yLabel) pad.top += 16;
  const yTicks = options.yTicks || ticks(y[0], y[1], (height - pad.bottom - pad.top) / 36);
  pad.left = Math.max(pad.left, ...yTicks.map((tick) => textWidth(short(tick)) + 8));
  const right = width - pad.right;
  const bottom = height - pad.bottom;
  const sx = (v) => pad.left + ((v - x[0]) / (x[1] - x[0])) * (right - pad.left);
  const sy = (v) => bottom - ((v - y[0]) / (y[1] - y[0])) * (bottom - pad.top);
  // The view box lets it shrink with its place until it is drawn anew.
  const root = svg("svg", {
    width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": name,
  });
  for (const tick of yTicks) {
    root.append(
      svg("line", {
        x1: pad.left, x2: right, y1: sy(tick), y2: sy(tick), stroke: "#e6e8eb",
      }),
      label(pad.left - 6, sy(tick) + 4, short(tick), { "text-anchor": "end" }));
  }
  const xTicks = options.xTicks || ticks(x[0], x[1], (right - pad.left) / 75);
  for (const tick of xTicks) {
    root.append(
      svg("line", {
        x1: sx(tick), x2: sx(tick), y1: bottom, y2: bottom + 4, stroke: GRAY,
      }),
      label(sx(tick), bottom + 17, short(tick), { "text-anchor": "middle" }));
  }
  root.append(svg("line", {
    x1: pad.left, x2: right, y1: bottom, y2: bottom, stroke: GRAY,
  }));
  if (xLabel) {
    root.append(label(
      (pad.left + right) / 2, height - 6, xLabel, { "text-anchor": "middle" }));
  }
  if (yLabel) root.append(label(2, 12, yLabel));
  return { root, sx, sy, pad, right, bottom };
}

// Moves places apart, in their order, until neighbours are `gap` from another.
function spread(places, gap, low, high) {
  const order = places.map((_, i) => i).sort((a, b) => places[a] - places[b]);
  const limit = Math.max(high - gap * (places.length - 1), low);
  const result = [];
  let last = -Infinity;
  order.forEach((index, rank) => {
    last = Math.max(last, places[index] - gap * rank);
    result[index] = Math.min(Math.max(last, low), limit) + gap * rank;
  });
  return result;
}
