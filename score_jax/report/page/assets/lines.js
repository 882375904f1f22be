// Line charts with a name at the end of every line.

// Centred moving mean over a seventh of the curve, shorter at its ends.
function smooth(points) {
  const half = Math.ceil(points.length / 14);
  return points.map(([x], i) => {
    const near = points.slice(Math.max(i - half, 0), i + half + 1);
    return [x, mean(near.map((point) => point[1]))];
  });
}

function path(points, at, attributes) {
  const d = points.map(([x, y], i) =>
    `${i ? "L" : "M"}${at.sx(x).toFixed(1)},${at.sy(y).toFixed(1)}`).join("");
  return svg("path", { d, fill: "none", "stroke-width": 2, ...attributes });
}

function drawLine(at, line) {
  const { color, points, dash } = line;
  const parts = [];
  if (line.isNoisy) {
    parts.push(
      path(points, at, { stroke: color, "stroke-width": 1, opacity: 0.28 }),
      path(smooth(points), at, { stroke: color }));
  } else if (points.length > 1 && !line.isDots) {
    parts.push(path(points, at, { stroke: color, "stroke-dasharray": dash }));
  }
  if (line.isDots || line.hasDots) {
    for (const [x, y] of points) {
      parts.push(svg(
        "circle",
        { cx: at.sx(x), cy: at.sy(y), r: line.isDots ? 4 : 2.6, fill: color,
          stroke: "#fff", "stroke-width": line.isDots ? 1.2 : 0 },
        svg("title", null, `${line.name}: ${short(round(y, 4))} at ${count(x)}`)));
    }
  }
  return parts;
}

function drawNames(at, lines, top) {
  const named = lines.filter((line) => line.isNamed && line.points.length);
  const ends = named.map((line) => {
    const points = line.isNoisy ? smooth(line.points) : line.points;
    const [x, y] = points[points.length - 1];
    return [at.sx(x), at.sy(y)];
  });
  const places = spread(ends.map((end) => end[1]), 15, top, at.bottom);
  return named.flatMap((line, i) => [
    svg("line", {
      x1: ends[i][0] + 3, y1: ends[i][1], x2: at.right + 9, y2: places[i],
      stroke: line.color, opacity: 0.4, "stroke-dasharray": "1 3",
    }),
    label(at.right + 12, places[i] + 4, line.name, { fill: line.color }),
  ]);
}

function drawPhases(at, phases, top) {
  return phases.flatMap(({ label: name, start, end }, i) => {
    const room = at.sx(end) - at.sx(start);
    const fits = textWidth(name) < room + 4;
    return [
      i === 0 ? null : svg("line", {
        x1: at.sx(start), x2: at.sx(start), y1: top, y2: at.bottom,
        stroke: GRAY, "stroke-dasharray": "4 3",
      }),
      fits ? label(
        (at.sx(start) + at.sx(end)) / 2, top - 6, name, { "text-anchor": "middle" })
        : null,
    ].filter((part) => part);
  });
}

// lines: [{name, color, points, dash, isNoisy, isDots, hasDots, isNamed}].
function lineChart(options) {
  const { width, lines, phases = [] } = options;
  const points = lines.flatMap((line) => line.points);
  const xs = points.map((point) => point[0]);
  const ys = points.map((point) => point[1]);
  const names = lines.filter((line) => line.isNamed).map((line) => line.name);
  const longest = names.length ? Math.max(...names.map(textWidth)) : 0;
  const x = options.x || [Math.min(0, ...xs), Math.max(...xs, 1)];
  const y = niceRange(ys, options.limits);
  const at = frame({
    ...options, x, y,
    pad: {
      right: longest ? longest + 16 : 14,
      top: phases.length ? 26 : 12,
    },
  });
  at.root.append(
    ...drawPhases(at, phases, at.pad.top),
    ...lines.flatMap((line) => drawLine(at, line)),
    ...drawNames(at, lines, at.pad.top));
  return at.root;
}
