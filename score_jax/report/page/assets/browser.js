// The browser of conversations.

const PAGE = 10;
const KIND_LABELS = {
  i_to_c: "wrong → correct",
  c_to_i: "correct → wrong",
  c_to_c: "correct → correct",
  i_to_i: "wrong → wrong",
};
const FILTERS = {
  all: ["all", () => true],
  i_to_c: ["i→c: wrong, then correct", (item) => item.kind === "i_to_c"],
  c_to_i: ["c→i: correct, then wrong", (item) => item.kind === "c_to_i"],
  unchanged: ["answer unchanged", (item) => item.is_unchanged],
  truncated: ["cut by the length limit",
    (item) => item.attempts.some((attempt) => attempt.is_truncated)],
  c_to_c: ["c→c: correct both times", (item) => item.kind === "c_to_c"],
  i_to_i: ["i→i: wrong both times", (item) => item.kind === "i_to_i"],
};

function matches(item, words) {
  const text = [
    item.id, item.source, item.question, item.gold,
    ...item.attempts.flatMap((attempt) => [attempt.text, attempt.answer]),
  ].join("\n").toLowerCase();
  return words.every((word) => text.includes(word));
}

// An attempt is marked against the one before it, the first against the second.
function attemptNode(item, number) {
  const attempt = item.attempts[number];
  const earlier = item.attempts[Math.max(number - 1, 0)].text;
  const parts = diff(earlier, item.attempts[Math.max(number, 1)].text);
  const isMarked = common(parts) >= 0.2 || earlier.length <= 60;
  const words = isMarked ? side(parts, number ? "ins" : "del") : [attempt.text];
  const answer = attempt.answer === attempt.text.trim() ? null : attempt.answer;
  return el(
    "div", { class: `attempt n${number + 1}` },
    el("h4", null, `Attempt ${number + 1}`),
    el("p", { class: "verdict" },
      el("b", null,
        (attempt.is_correct ? "✓ " : "✗ ") + attempt.status.replaceAll("_", " ")),
      answer === null ? "" : ` · answer ${answer}`,
      attempt.is_truncated ? " · cut by the length limit" : ""),
    el("div", { class: "words", tabindex: 0 }, words),
    isMarked || !number ? null
      : el("p", { class: "verdict" },
        "Not marked: it has little in common with the one before."),
    attempt.left_out
      ? el("p", { class: "verdict" },
        `${count(attempt.left_out)} characters more are in rollouts/`)
      : null);
}

function card(item, prompt) {
  const isCut = item.attempts.some((attempt) => attempt.is_truncated);
  const badges = [
    el("span", { class: `badge ${item.kind}` }, KIND_LABELS[item.kind]),
    item.is_unchanged ? el("span", { class: "badge" }, "answer unchanged") : null,
    isCut ? el("span", { class: "badge cut" }, "cut") : null,
    item.difficulty ? el("span", { class: "badge" }, item.difficulty) : null,
  ];
  return el("li", null, el(
    "article", null,
    el("header", null,
      el("h3", null, `Problem ${item.source || item.id}`), badges),
    el("p", { class: "question words" }, item.question),
    item.gold
      ? el("p", { class: "verdict words" }, "Expected: ", el("b", null, item.gold)) : null,
    item.correction_prompt === prompt ? null
      : el("p", { class: "verdict words" }, `Asked in between: ${item.correction_prompt}`),
    el("div", { class: "attempts" }, item.attempts.map((_, i) => attemptNode(item, i)))));
}

// What the address says after "#conversations?", and back.
function readAddress() {
  const [place, query] = location.hash.slice(1).split("?");
  return place === "conversations" ? Object.fromEntries(new URLSearchParams(query)) : {};
}

function writeAddress(state) {
  const query = new URLSearchParams(
    Object.entries(state).filter(([, value]) => value !== "" && value !== "all"));
  history.replaceState(null, "", `#conversations?${query}`);
}

// Makes `state` one that exists: of each choice the values that are left by the
// choices before it, the first where the state has none of them.
function settle(state, groups) {
  let left = groups;
  const options = {};
  for (const name of ["method", "seed", "phase"]) {
    options[name] = unique(left.map((group) => group[name]));
    if (!options[name].includes(state[name])) {
      const hasScore = name === "method" && options.method.includes("score");
      state[name] = hasScore ? "score" : options[name][0];
    }
    left = left.filter((group) => group[name] === state[name]);
  }
  if (!(state.kind in FILTERS)) state.kind = "all";
  return { options, group: left[0] };
}

// The menus of what there is to choose; `update` gets what changes.
function choiceMenus({ options, group }, state, groups, update) {
  const choices = [
    ["method", "Method", "label"], ["seed", "Seed", "seed"], ["phase", "After", "phase_label"],
  ];
  const menus = choices.map(([name, title, label]) => [name, menu(
    title,
    options[name].map((value) => [value, groups.find((g) => g[name] === value)[label]]),
    state[name], (value) => update({ [name]: value }))]);
  const kinds = Object.entries(FILTERS).map(([key, [name, test]]) => [
    key, `${name} (${group.items.filter(test).length})`]);
  menus.push(["kind", menu("Show", kinds, state.kind, (value) => update({ kind: value }))]);
  return menus.map(([name, node]) => {
    node.querySelector("select").dataset.name = name;
    return node;
  });
}

function found(items, { kind, search }) {
  const words = search.toLowerCase().split(/\s+/).filter((word) => word);
  return items.filter((item) => FILTERS[kind][1](item) && matches(item, words));
}

function conversationsPart(groups) {
  const controls = el("div", { class: "controls" });
  const status = el("p", { class: "note", role: "status" });
  const prompt = el("p", { class: "note words" });
  const list = el("ol", { class: "cards" });
  const more = el("button", { type: "button" });
  const state = {
    method: "", seed: "", phase: "", kind: "all", search: "", ...readAddress(),
  };
  let shown = PAGE;

  const search = el(
    "input", { type: "search", value: state.search, placeholder: "words, numbers" });
  const searchLabel = el("label", null, "Search", search);
  const update = (changes) => {
    Object.assign(state, changes);
    shown = PAGE;
    draw();
    writeAddress(state);
  };
  const drawControls = (settled) => {
    const had = document.activeElement && document.activeElement.dataset.name;
    controls.replaceChildren(...choiceMenus(settled, state, groups, update), searchLabel);
    // The menu that was just used is a new one, and keeps the focus.
    const again = had && controls.querySelector(`[data-name="${had}"]`);
    if (again) again.focus();
  };
  const draw = () => {
    const settled = settle(state, groups);
    const { group } = settled;
    if (document.activeElement !== search) drawControls(settled);
    const items = found(group.items, state);
    const first = group.items[0].correction_prompt;
    status.textContent =
      `${count(items.length)} of the ${count(group.items.length)} conversations kept here,`
      + ` of ${count(group.num_evaluated)} evaluated.`;
    prompt.textContent = `Asked between two attempts: ${first}`;
    list.replaceChildren(...items.slice(0, shown).map((item) => card(item, first)));
    more.hidden = items.length <= shown;
    more.textContent = `Show ${Math.min(PAGE, items.length - shown)} more`;
  };
  search.addEventListener("input", () => update({ search: search.value }));
  more.addEventListener("click", () => {
    const next = list.children.length;
    shown += PAGE;
    draw();
    const added = list.children[next];
    added.setAttribute("tabindex", "-1");
    added.focus();
  });
  addEventListener("hashchange", () => {
    if (!location.hash.startsWith("#conversations?")) return;
    Object.assign(state, { kind: "all", search: "" }, readAddress());
    search.value = state.search;
    shown = PAGE;
    draw();
  });
  draw();
  return [controls, status, prompt, list, more];
}
