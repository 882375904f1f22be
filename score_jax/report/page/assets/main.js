// Puts the parts of the report together; a part without data is left out.

const main = document.querySelector("main");
const links = el("ul");
document.querySelector("nav").append(links);

function part(id, title, note, ...content) {
  main.append(el(
    "section", { id, "aria-labelledby": `${id}-title` },
    el("h2", { id: `${id}-title` }, title),
    note ? el("p", { class: "note" }, note) : null, ...content));
  links.append(el("li", null, el("a", { href: `#${id}` }, title)));
}

const { methods, cells } = DATA;
const isStudy = DATA.kind === "study";
const attempts = () => legend([
  [mark(ATTEMPT_COLORS[0], { dot: true }), "attempt 1"],
  [mark(ATTEMPT_COLORS[1], { dot: true }), "attempt 2"],
]);

function heading() {
  const seeds = unique(cells.map((cell) => cell.seed)).length;
  const facts = [
    isStudy ? `${methods.length} methods` : null,
    isStudy ? `${seeds} ${seeds === 1 ? "seed" : "seeds"}` : null,
    `${count(DATA.num_problems)} test problems`,
    isNumber(DATA.wall_s) ? duration(DATA.wall_s) : null,
  ].filter((fact) => fact);
  document.getElementById("top").append(
    el("h1", null, `${isStudy ? "Study" : "Run"}: ${DATA.title}`),
    el("p", { class: "note" }, facts.join(" · ")));
  if (DATA.unfinished.length) {
    document.getElementById("top").append(el(
      "p", null, `Not finished, and not in this report: ${DATA.unfinished.join(", ")}.`));
  }
}

function results() {
  const place = el("div");
  const draw = (rows) => place.replaceChildren(chart((width) => dumbbells(
    width, rows.map(({ label, summary }) => ({
      label, first: summary.accuracy_t1, second: summary.accuracy_t2,
    })), "Accuracy of both attempts with intervals")));
  draw(methods);
  const table = resultsTable(methods, draw);
  const box = el("input", { type: "checkbox" });
  box.addEventListener("change", () => table.showSeeds(box.checked));
  const hasSeeds = methods.some((m) => (m.summary.accuracy_t2.per_seed || []).length > 1);
  part(
    "results", "Results",
    `Greedy, percent of all test problems, with 95 % intervals. ${meanings()}.`
    + (isStudy ? " p: McNemar's test of i→c against c→i." : "")
    + " A click on the head of a column sorts.",
    hasSeeds ? el("div", { class: "controls" },
      el("label", { class: "check" }, box, "show every seed")) : null,
    table.node, el("h3", null, "Accuracy of both attempts"), attempts(), place);
}

function otherTables() {
  if (DATA.comparisons.length) {
    part(
      "comparisons", "Comparisons",
      "Differences in points of percent between methods on the same problems. An interval"
      + " that holds 0 (gray) does not tell the two apart.",
      ...comparisonsPart(DATA.comparisons));
  }
  part(
    "transitions", "Transitions",
    "What becomes of a problem between the two attempts; a row is all problems.",
    legend(SHARES.map(([, text, color]) => [mark(color, { box: true }), text])),
    chart((width) => shareBars(width, methods.map(
      ({ label, summary }) => ({ label, shares: transitions(summary) })),
    "Transitions between the attempts")));
}

function curveParts() {
  const withCurve = methods.filter((m) => (m.curve || []).length);
  if (withCurve.some((m) => m.is_trained)) {
    part(
      "budget", "Budget",
      "Greedy accuracy on validation problems, mean over seeds, against the conversations"
      + " that were sampled for training since the base model.",
      ...budgetPart(withCurve));
  }
  const trained = cells.filter((cell) => Object.keys(cell.series).length && cell.phases.length);
  if (trained.length) {
    part(
      "training", "Training",
      "Both attempts over all phases. The reward is 1 for a correct attempt, so its mean is"
      + " the accuracy of what was sampled.",
      ...trainingPart(trained));
  }
}

function difficulty() {
  const shown = methods.filter((m) => Object.keys(m.by_difficulty || {}).length);
  if (!shown.length) return;
  const place = el("div");
  const draw = (name) => {
    const { by_difficulty: groups } = shown.find((m) => m.name === name);
    place.replaceChildren(chart((width) => dumbbells(
      width, Object.entries(groups).map(([text, d]) => ({
        label: `${text} (n ${count(d.n)})`,
        first: { mean: d.accuracy_t1 }, second: { mean: d.accuracy_t2 },
      })), `Accuracy by difficulty, ${methodLabel(name)}`)));
  };
  const start = shown.some((m) => m.name === "score") ? "score" : shown[shown.length - 1].name;
  draw(start);
  part(
    "difficulty", "By difficulty",
    "Accuracy of attempt 1 → attempt 2, in percent of the problems of that difficulty.",
    difficultyTable(shown),
    el("div", { class: "controls" },
      menu("Method", shown.map((m) => [m.name, m.label]), start, draw)),
    attempts(), place);
}

function lastParts() {
  const edited = methods.filter((m) => m.edit_distance);
  if (edited.length) {
    part(
      "edits", "Edits",
      "How far attempt 2 is from attempt 1: edit distance divided by the length of both"
      + " (horizontal), percent of problems (vertical). All axes are the same.",
      editPart(edited));
  }
  const tested = methods.filter((m) => m.test_time);
  if (tested.length) {
    part(
      "test-time", "Test time",
      "Attempts beyond those of training, and majority votes with the same number of"
      + " samples: all in parallel, or half of them as corrections of the other half.",
      testTimePart(tested));
  }
  if (DATA.warnings !== null) {
    part(
      "warnings", "Warnings", "What the monitors of collapse and of sandbagging saw.",
      DATA.warnings.length ? warningsTable(DATA.warnings) : el("p", null, "None warned."));
  }
  if (DATA.conversations.length) {
    part(
      "conversations", "Conversations",
      "Greedy answers to test problems, picked so that every kind of transition is there:"
      + " their numbers are not shares. Marked is what only one of two attempts holds:"
      + " struck through in the first, underlined in the second.",
      ...conversationsPart(DATA.conversations));
  }
  part("settings", "Settings", null, DATA.documents.map(({ title, content }) => el(
    "details", null, el("summary", null, title),
    el("pre", { tabindex: 0 }, JSON.stringify(content, null, 2)))));
}

heading();
if (methods.length) {
  results();
  otherTables();
}
curveParts();
difficulty();
lastParts();
const target = document.getElementById(location.hash.slice(1).split("?")[0]);
if (target) target.scrollIntoView();
