// Tables: results, comparisons, difficulties, warnings.

// Metrics that share a column stand in it side by side, and are ordered by
// their sum; one that has its own shows its interval and its seeds too.
function metricColumn(names) {
  const text = (name, value) => FORMATS[METRICS[name].format].text(value);
  return {
    name: METRICS[names[0]].column,
    isPresent: ({ summary }) => names.every((name) => summary[name] !== undefined),
    order: ({ summary }) => names.reduce((sum, name) => sum + summary[name].mean, 0),
    cell: ({ summary }, showsSeeds) => {
      if (names.length > 1) {
        return el("td", null, names.map((name) => text(name, summary[name].mean)).join(", "));
      }
      const [name] = names;
      const { mean: center, ci95, per_seed: seeds, std } = summary[name];
      const format = (value) => text(name, value);
      // A spread has no sign.
      const spreadText = METRICS[name].format === "number" ? short : percent;
      return el(
        "td", null, format(center),
        ci95 ? el("small", null, interval(ci95, format)) : null,
        showsSeeds && seeds ? el("small", null, seeds.map(format).join(" · ")) : null,
        showsSeeds && isNumber(std) ? el("small", null, `std ${spreadText(std)}`) : null);
    },
  };
}

// What the headings of the columns mean.
const meanings = () => DATA.columns
  .map(([name]) => METRICS[name])
  .filter(({ meaning }) => meaning)
  .map(({ column, meaning }) => `${column}: ${meaning}`)
  .join("; ");

const OTHER_COLUMNS = [
  {
    name: "p",
    isPresent: (method) => isNumber(method.mcnemar_p),
    order: (method) => method.mcnemar_p,
    cell: (method) => el("td", null, pValue(method.mcnemar_p)),
  },
  {
    name: "Conversations",
    isPresent: (method) => isNumber(method.conversations),
    order: (method) => method.conversations,
    cell: (method) => el("td", null, count(method.conversations)),
  },
  {
    name: "Time",
    isPresent: (method) => Array.isArray(method.wall_s) && method.wall_s.length > 0,
    order: (method) => mean(method.wall_s),
    cell: (method, showsSeeds) => el(
      "td", null, duration(mean(method.wall_s)),
      showsSeeds ? el("small", null, method.wall_s.map(duration).join(" · ")) : null),
  },
];

function resultsTable(methods, onOrder) {
  const columns = [...DATA.columns.map(metricColumn), ...OTHER_COLUMNS]
    .filter((column) => methods.some(column.isPresent));
  const heads = columns.map((column) => {
    const button = el("button", { type: "button" }, column.name);
    const head = el("th", { scope: "col" }, button);
    button.addEventListener("click", () => {
      const isDown = head.getAttribute("aria-sort") === "descending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", isDown ? "ascending" : "descending");
      sortBy(column, isDown ? 1 : -1);
    });
    return head;
  });
  const body = el("tbody");
  let rows = methods;
  let showsSeeds = false;
  const draw = () => body.replaceChildren(...rows.map((method) => el(
    "tr", null, el("th", { scope: "row" }, method.label),
    columns.map((column) => (column.isPresent(method)
      ? column.cell(method, showsSeeds) : el("td", null, ""))))));
  const sortBy = (column, sign) => {
    const key = (m) => (column.isPresent(m) ? column.order(m) : -Infinity);
    rows = [...methods].sort((a, b) => sign * (key(a) - key(b)));
    draw();
    onOrder(rows);
  };
  draw();
  const first = el("th", { scope: "col", class: "text" },
    DATA.kind === "study" ? "Method" : "Policy");
  const table = el(
    "table", { id: "results-table" },
    el("thead", null, el("tr", null, first, heads)), body);
  return {
    node: scrollBox("Results", table),
    showSeeds: (value) => { showsSeeds = value; draw(); },
  };
}

function comparisonRow(row, limit) {
  const [low, high] = row.ci95;
  return el(
    "tr", null,
    el("th", { scope: "row" }, `${methodLabel(row.a)} − ${methodLabel(row.b)}`),
    el("td", { class: "text" }, metricLabel(row.metric)),
    el("td", null, signed(row.difference), el("small", null, interval(row.ci95, signed))),
    el("td", null, whisker(row.difference, low, high, limit)),
    el("td", null, pValue(row.p)),
    el("td", { class: "text wide" }, row.statement));
}

// A difference with its interval on an axis that all rows share; 0 is marked.
function whisker(center, low, high, limit) {
  const [width, height] = [130, 22];
  const x = (v) => width / 2 + (v / limit) * (width / 2 - 6);
  const color = low > 0 || high < 0 ? "#1d1d1f" : "#8a8f97";
  return svg(
    "svg", { width, height, "aria-hidden": "true" },
    svg("line", { x1: x(0), x2: x(0), y1: 0, y2: height, stroke: "#b9bec6" }),
    svg("line", {
      x1: x(low), x2: x(high), y1: 11, y2: 11, stroke: color, "stroke-width": 2,
    }),
    svg("circle", { cx: x(center), cy: 11, r: 4, fill: color }));
}

function comparisonsPart(rows) {
  const place = el("div");
  const show = (metric) => place.replaceChildren(
    comparisonsTable(rows.filter((row) => metric === "all" || row.metric === metric)));
  const found = unique(rows.map((row) => row.metric));
  const start = rows.length > 20 ? found[0] : "all";
  show(start);
  const options = [["all", "all"], ...found.map((key) => [key, metricLabel(key)])];
  return [el("div", { class: "controls" }, menu("Figure", options, start, show)), place];
}

function comparisonsTable(rows) {
  const limit = Math.max(...rows.flatMap((row) => row.ci95.map(Math.abs)), 1e-6);
  const edge = percent(limit, 0);
  const heads = [
    ["Pair", "text"], ["Figure", "text"], ["Difference", ""],
    [`−${edge}  …  0  …  +${edge}`, "axis"], ["p", ""], ["What it says", "text"],
  ];
  return scrollBox("Comparisons", el(
    "table", null,
    el("thead", null, el("tr", null, heads.map(
      ([text, kind]) => el("th", { scope: "col", class: kind }, text)))),
    el("tbody", null, rows.map((row) => comparisonRow(row, limit)))));
}

function difficultyTable(methods) {
  const labels = unique(methods.flatMap((m) => Object.keys(m.by_difficulty)));
  const cell = (d) => (d === undefined ? el("td", null, "") : el(
    "td", null, `${percent(d.accuracy_t1)} → ${percent(d.accuracy_t2)}`,
    el("small", null,
      ["delta_i_to_c", "delta_c_to_i"].map(
        (name) => `${metricLabel(name)} ${percent(d[name])}, `),
      `n ${count(d.n)}`)));
  return scrollBox("By difficulty", el(
    "table", null,
    el("thead", null, el(
      "tr", null, el("th", { scope: "col", class: "text" }, "Difficulty"),
      labels.map((text) => el("th", { scope: "col" }, text)))),
    el("tbody", null, methods.map((method) => el(
      "tr", null, el("th", { scope: "row" }, method.label),
      labels.map((text) => cell(method.by_difficulty[text])))))));
}

function warningsTable(rows) {
  const heads = ["Method", "Seed", "Phase", "Step", "Monitor", "What it saw"];
  return scrollBox("Warnings", el(
    "table", null,
    el("thead", null, el("tr", null, heads.map(
      (text) => el("th", { scope: "col", class: "text" }, text)))),
    el("tbody", null, rows.map((row) => el(
      "tr", null, el("th", { scope: "row" }, methodLabel(row.method)),
      [row.seed, row.phase, row.step, row.name].map(
        (value) => el("td", { class: "text" }, String(value))),
      el("td", { class: "text wide" }, row.message))))));
}

function methodLabel(name) {
  const method = DATA.methods.find((m) => m.name === name);
  return method ? method.label : String(name);
}
