// Charts with one row for each method: dots with intervals, and shares.

const ROW = 34;

// Labels stand beside the rows where there is room, above them on a phone.
function rowLayout(width, labels) {
  const longest = Math.max(...labels.map(textWidth));
  const isNarrow = width < 560;
  return {
    isNarrow,
    left: isNarrow ? 12 : Math.min(longest + 14, width * 0.4),
    height: isNarrow ? ROW + 18 : ROW,
  };
}

function rowLabel(layout, y, text) {
  return layout.isNarrow
    ? label(2, y - 17, text, { fill: "#1d1d1f" })
    : label(layout.left - 10, y + 4, text, { fill: "#1d1d1f", "text-anchor": "end" });
}

// rows: [{label, note, first: {mean, ci95}, second: {mean, ci95}}], fractions.
function dumbbells(width, rows, name) {
  const values = rows.flatMap(({ first, second }) =>
    [first, second].flatMap((v) => [v.mean, ...(v.ci95 || [])]));
  const x = niceRange(values.map((v) => 100 * v), PERCENT);
  const layout = rowLayout(width, rows.map((row) => row.label));
  const height = rows.length * layout.height + 58;
  const at = frame({
    width, height, x, y: [0, 1], yTicks: [], name,
    xLabel: `${METRICS.accuracy_t1.unit}${x[0] > 0 ? ` (axis begins at ${x[0]})` : ""}`,
    pad: { left: layout.left, right: 20, top: 4 },
  });
  for (const tick of ticks(x[0], x[1], (at.right - layout.left) / 75)) {
    at.root.append(svg("line", {
      x1: at.sx(tick), x2: at.sx(tick), y1: 4, y2: at.bottom, stroke: "#e6e8eb",
    }));
  }
  rows.forEach((row, i) => {
    const y = 4 + (i + 1) * layout.height - ROW / 2;
    const dots = [row.first, row.second].map((v) => at.sx(100 * v.mean));
    at.root.append(
      rowLabel(layout, y, row.label),
      svg("line", {
        x1: dots[0], x2: dots[1], y1: y, y2: y, stroke: "#b9bec6", "stroke-width": 1.5,
      }));
    [row.first, row.second].forEach((value, t) => {
      at.root.append(dotWithInterval(at, y, value, t, row.label));
    });
  });
  return at.root;
}

function dotWithInterval(at, y, value, attempt, name) {
  const color = ATTEMPT_COLORS[attempt];
  const shifted = y + (attempt ? 5 : -5);
  const [low, high] = value.ci95 || [value.mean, value.mean];
  return svg(
    "g", null,
    svg("title", null,
      `${name}, attempt ${attempt + 1}: ${percent(value.mean)}`
      + (value.ci95 ? ` ${interval(value.ci95, percent)}` : "")),
    svg("line", {
      x1: at.sx(100 * low), x2: at.sx(100 * high), y1: shifted, y2: shifted,
      stroke: color, "stroke-width": 2.5,
    }),
    svg("circle", { cx: at.sx(100 * value.mean), cy: y, r: 5, fill: color }));
}

const SHARES = [
  ["c_to_c", "correct, stays correct", "#56B4E9"],
  ["i_to_c", "wrong, then correct (i→c)", "#009E73"],
  ["c_to_i", "correct, then wrong (c→i)", "#CC79A7"],
  ["i_to_i", "wrong both times", "#D9DCE1"],
];

function transitions(summary) {
  const [first, gained, lost] = ["accuracy_t1", "delta_i_to_c", "delta_c_to_i"]
    .map((name) => summary[name].mean);
  return {
    c_to_c: first - lost, i_to_c: gained, c_to_i: lost, i_to_i: 1 - first - gained,
  };
}

// rows: [{label, shares: {kind: fraction}}]; each row is all problems.
function shareBars(width, rows, name) {
  const layout = rowLayout(width, rows.map((row) => row.label));
  const at = frame({
    width, height: rows.length * layout.height + 58, x: [0, 100], y: [0, 1],
    yTicks: [], name, xLabel: "percent of all problems",
    pad: { left: layout.left, right: 20, top: 4 },
  });
  rows.forEach((row, i) => {
    const y = 4 + (i + 1) * layout.height - ROW / 2;
    at.root.append(rowLabel(layout, y, row.label));
    let start = 0;
    for (const [kind, text, color] of SHARES) {
      const end = start + row.shares[kind];
      const [x1, x2] = [at.sx(100 * start), at.sx(100 * end)];
      at.root.append(svg(
        "rect", { x: x1, y: y - 11, width: Math.max(x2 - x1, 0), height: 22, fill: color },
        svg("title", null, `${row.label}: ${percent(row.shares[kind])} % ${text}`)));
      if (x2 - x1 > 34) {
        at.root.append(label(
          (x1 + x2) / 2, y + 4, percent(row.shares[kind]),
          { "text-anchor": "middle", fill: "#1d1d1f" }));
      }
      start = end;
    }
  });
  return at.root;
}
