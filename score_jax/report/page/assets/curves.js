// Parts that show curves: training, budgets, edits, test time.

const zip = ([xs, ys], scale) => xs.map((x, i) => [x, scale * ys[i]]);

// Training charts of a cell, as DATA.scalars says: those that it has curves for.
function cellCharts(cell) {
  const drawn = DATA.scalars.filter(({ name }) => name in cell.series);
  return unique(drawn.map(({ chart: title }) => title)).map((title) => {
    const ofChart = drawn.filter((scalar) => scalar.chart === title);
    const { unit, format } = ofChart[0];
    const { scale, limits } = FORMATS[format];
    const lines = ofChart.map((scalar) => ({
      ...lineStyle(scalar, ofChart), name: scalar.label,
      points: zip(cell.series[scalar.name], scale),
    }));
    return { title, unit, limits, lines };
  });
}

// Attempts have their colors. What is measured now and then has dots, without a
// line where the line of every step is there.
function lineStyle(scalar, ofChart) {
  const hasSteps = ofChart.some((other) => !other.is_validation);
  const others = ofChart.filter(({ attempt }) => attempt === null);
  const isAttempt = scalar.attempt !== null;
  const rest = others.length > 1 ? METHOD_COLORS : [GRAY];
  const colors = isAttempt ? ATTEMPT_COLORS : rest;
  const place = isAttempt ? scalar.attempt - 1 : others.indexOf(scalar);
  const isNamed = (isAttempt || others.length > 1) && !(scalar.is_validation && hasSteps);
  const style = { color: colors[place % colors.length], isNamed };
  if (!scalar.is_validation) return { ...style, isNoisy: true };
  return isAttempt || hasSteps ? { ...style, isDots: true } : { ...style, hasDots: true };
}

function cellRow(cell) {
  const time = isNumber(cell.wall_s) ? `, ${duration(cell.wall_s)}` : "";
  const end = Math.max(...cell.phases.map((phase) => phase.end), 1);
  return [
    cell.seed === "" ? null : el("h3", null, `${cell.label}, seed ${cell.seed}${time}`),
    el("div", { class: "grid" }, cellCharts(cell).map(
      ({ title, unit, lines, limits }) => el(
        "div", null, el("h4", null, title),
        chart((width) => lineChart({
          width, height: 250, lines, yLabel: unit, limits, x: [0, end], phases: cell.phases,
          xLabel: "training step", name: `${title}, ${cell.label}, seed ${cell.seed}`,
        }))))),
  ];
}

function trainingPart(cells) {
  const place = el("div");
  const controls = el("div", { class: "controls" });
  const names = unique(cells.map((cell) => cell.method));
  let name = names.includes("score") ? "score" : names[names.length - 1];
  // All seeds at once are many charts for a phone.
  let seed = innerWidth < 640 ? cells.find((c) => c.method === name).seed : "all";
  const show = () => {
    const ofMethod = cells.filter((cell) => cell.method === name);
    const seeds = ofMethod.map((cell) => cell.seed);
    if (!seeds.includes(seed)) seed = "all";
    seedMenu.replaceChildren(menu(
      "Seed", [...(seeds.length > 1 ? [["all", "all"]] : []), ...seeds.map((s) => [s, s])],
      seeds.length > 1 ? seed : seeds[0], (value) => { seed = value; draw(ofMethod); }));
    draw(ofMethod);
  };
  const draw = (ofMethod) => place.replaceChildren(...ofMethod
    .filter((cell) => seed === "all" || cell.seed === seed)
    .flatMap(cellRow).filter((node) => node));
  const options = names.map((key) => [key, cells.find((c) => c.method === key).label]);
  const seedMenu = el("div");
  controls.append(menu("Method", options, name, (value) => { name = value; show(); }), seedMenu);
  show();
  return [
    controls,
    legend([
      [mark(ATTEMPT_COLORS[0]), "attempt 1"],
      [mark(ATTEMPT_COLORS[1]), "attempt 2"],
      [mark(GRAY), "training samples (moving mean; thin: as measured)"],
      [mark(GRAY, { dot: true }), "validation, greedy"],
    ]),
    place,
  ];
}

// A method has one color and dash in every chart; what is not trained is gray.
const STYLES = (() => {
  const numbers = { true: 0, false: 0 };
  return Object.fromEntries(DATA.methods.map(({ name, is_trained: isTrained }) => {
    const i = numbers[isTrained]++;
    return [name, isTrained ? {
      color: METHOD_COLORS[i % METHOD_COLORS.length],
      dash: [null, "6 3", "2 2"][Math.floor(i / METHOD_COLORS.length) % 3],
    } : { color: GRAY, dash: ["2 3", "8 3 2 3"][i % 2] }];
  }));
})();

function budgetPart(methods) {
  const hidden = new Set();
  let [figure] = DATA.budget_metrics;
  const place = el("div");
  const redraw = () => place.replaceChildren(chart((width) => {
    const { title, format } = METRICS[figure];
    const { scale, limits } = FORMATS[format];
    const most = Math.max(...methods.flatMap((m) => m.curve.map((p) => p.conversations)), 1);
    const lines = methods.flatMap((method) => {
      if (hidden.has(method.name)) return [];
      return [{
        name: method.label, ...STYLES[method.name], hasDots: true, isNamed: width >= 640,
        points: method.curve.map((p) => [p.conversations, scale * p[figure]]),
      }];
    });
    if (!lines.length) return el("p", null, "Every method is switched off.");
    return lineChart({
      width, height: width < 640 ? 320 : 440, lines, x: [0, most],
      limits,
      xLabel: "conversations sampled for training", yLabel: `${title}, percent`,
      name: `${title} over the conversations sampled for training`,
    });
  }));
  const chips = methods.map((method) => {
    const { color, dash } = STYLES[method.name];
    const chip = el(
      "button", { type: "button", "aria-pressed": "true" },
      mark(color, { dash }), method.label);
    chip.addEventListener("click", () => {
      const isOff = hidden.delete(method.name);
      if (!isOff) hidden.add(method.name);
      chip.setAttribute("aria-pressed", String(isOff));
      redraw();
    });
    return chip;
  });
  redraw();
  return [
    el("div", { class: "controls" }, menu(
      "Figure", DATA.budget_metrics.map((key) => [key, METRICS[key].title]),
      figure, (value) => { figure = value; redraw(); })),
    place,
    el("div", { class: "chips", role: "group", "aria-label": "Methods shown" }, chips),
  ];
}

function histogram(width, { edges, counts }, highest, name) {
  const total = Math.max(counts.reduce((sum, n) => sum + n, 0), 1);
  const shares = counts.map((n) => (100 * n) / total);
  const at = frame({
    width, height: 170, x: [edges[0], edges[edges.length - 1]], y: [0, highest], name,
    pad: { left: 34, right: 12, top: 16 },
  });
  const tallest = shares.indexOf(Math.max(...shares));
  shares.forEach((share, i) => {
    const [x1, x2] = [at.sx(edges[i]), at.sx(edges[i + 1])];
    at.root.append(svg(
      "rect",
      { x: x1, y: at.sy(share), width: Math.max(x2 - x1 - 1, 0.5),
        height: at.bottom - at.sy(share), fill: ATTEMPT_COLORS[1] },
      svg("title", null, `${short(edges[i])} to ${short(edges[i + 1])}: ${share.toFixed(1)} %`)));
  });
  const place = at.sx((edges[tallest] + edges[tallest + 1]) / 2);
  at.root.append(label(
    Math.max(place, at.pad.left + 16), at.sy(shares[tallest]) - 4,
    `${shares[tallest].toFixed(0)} %`, { "text-anchor": "middle", fill: "#1d1d1f" }));
  return at.root;
}

function editPart(methods) {
  const highest = Math.max(...methods.map(({ edit_distance: { counts } }) =>
    (100 * Math.max(...counts)) / Math.max(counts.reduce((sum, n) => sum + n, 0), 1)));
  const top = niceRange([0, highest])[1];
  return el("div", { class: "grid small" }, methods.map((method) => el(
    "div", null, el("h4", null, method.label),
    chart((width) => histogram(
      width, method.edit_distance, top, `Edit distance, ${method.label}`)))));
}

function attemptsChart(methods) {
  const shown = methods.filter((m) => m.test_time.num_attempts);
  if (!shown.length) return [];
  const lines = shown.map((method) => ({
    name: method.label, ...STYLES[method.name], hasDots: true, isNamed: true,
    points: method.test_time.num_attempts.accuracy.map((a, k) => [k + 1, 100 * a]),
  }));
  const most = Math.max(...lines.map((line) => line.points.length));
  return [el("div", null, el("h4", null, "More attempts than it was trained on"),
    chart((width) => lineChart({
      width, height: 290, lines, x: [1, Math.max(most, 2)], limits: PERCENT,
      xTicks: Array.from({ length: most }, (_, i) => i + 1),
      xLabel: "attempt", yLabel: METRICS.accuracy_t1.unit,
      name: "Accuracy of each attempt at test time",
    })))];
}

function consistencyChart(method) {
  const rows = method.test_time.self_consistency || [];
  if (!rows.length) return [];
  const line = (key, color) => ({
    name: key, color, hasDots: true, isNamed: true,
    points: rows.map((row) => [Math.log2(row.budget), 100 * row[key]]),
  });
  const budgets = rows.map((row) => row.budget);
  const ends = [Math.log2(Math.min(...budgets)), Math.log2(Math.max(...budgets))];
  return [el(
    "div", null, el("h4", null, `Majority vote: ${method.label}`),
    chart((width) => votesChart(width, ends, budgets, [
      line("parallel", "#5b5f66"), line("sequential", "#007a5a"),
    ], method.label)),
    el("p", { class: "note" }, "Sequential − parallel: ", rows.map((row) =>
      `${row.budget}: ${signed(row.sequential - row.parallel)} `
      + interval(row.difference_ci95, signed)).join("; "), "."))];
}

function votesChart(width, ends, budgets, lines, name) {
  const x = ends[0] === ends[1] ? [ends[0] - 1, ends[1] + 1] : ends;
  const ys = niceRange(
    lines.flatMap((line) => line.points.map((p) => p[1])), PERCENT);
  const at = frame({
    width, height: 290, x, y: ys, xTicks: [], xLabel: "samples of a problem (doubling)",
    yLabel: METRICS.accuracy_t1.unit, name: `Majority vote, ${name}`, pad: { right: 84 },
  });
  at.root.append(
    ...budgets.map((b) => label(
      at.sx(Math.log2(b)), at.bottom + 17, String(b), { "text-anchor": "middle" })),
    ...lines.flatMap((line) => drawLine(at, line)),
    ...drawNames(at, lines, at.pad.top));
  return at.root;
}

function testTimePart(methods) {
  return el("div", { class: "grid" },
    attemptsChart(methods), methods.flatMap(consistencyChart));
}
