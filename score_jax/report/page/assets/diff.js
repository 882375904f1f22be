// What two attempts have in common: by word, or by character where a text is
// one short word, such as a number.

const MAX_CELLS = 3e6;

function split(text, isByCharacter) {
  return isByCharacter
    ? [...text] : text.match(/\s+|[\p{L}\p{M}]+|\p{N}+|[^]/gu) || [];
}

// Parts [kind, text], kind one of "same", "del" (only in a), "ins" (only in b).
function diff(a, b) {
  const isWord = (text) => text.length <= 60 && !/\s/.test(text);
  const isByCharacter = isWord(a) && isWord(b);
  return joined(alignment(split(a, isByCharacter), split(b, isByCharacter)));
}

function alignment(a, b) {
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  let end = 0;
  while (end < a.length - start && end < b.length - start
    && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  const left = a.slice(start, a.length - end);
  const right = b.slice(start, b.length - end);
  return [
    ...a.slice(0, start).map((token) => ["same", token]),
    ...middle(left, right),
    ...a.slice(a.length - end).map((token) => ["same", token]),
  ];
}

// Longest common subsequence; texts too long for its table differ as a whole.
function middle(a, b) {
  const [rows, columns] = [a.length + 1, b.length + 1];
  if (rows * columns > MAX_CELLS) {
    return [...a.map((token) => ["del", token]), ...b.map((token) => ["ins", token])];
  }
  const best = new Uint16Array(rows * columns);
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      best[i * columns + j] = a[i] === b[j]
        ? best[(i + 1) * columns + j + 1] + 1
        : Math.max(best[(i + 1) * columns + j], best[i * columns + j + 1]);
    }
  }
  const parts = [];
  let [i, j] = [0, 0];
  while (i < a.length && j < b.length) {
    if (a[i] === b[j]) {
      parts.push(["same", a[i++]]);
      j++;
    } else if (best[(i + 1) * columns + j] >= best[i * columns + j + 1]) {
      parts.push(["del", a[i++]]);
    } else {
      parts.push(["ins", b[j++]]);
    }
  }
  while (i < a.length) parts.push(["del", a[i++]]);
  while (j < b.length) parts.push(["ins", b[j++]]);
  return parts;
}

// Neighbours of one kind as one part. A blank between two changes is a part of
// them: islands of one space make a change hard to read.
function joined(parts) {
  const isChange = (part) => part !== undefined && part[0] !== "same";
  const result = [];
  let [removed, added] = ["", ""];
  const flush = () => {
    if (removed) result.push(["del", removed]);
    if (added) result.push(["ins", added]);
    [removed, added] = ["", ""];
  };
  parts.forEach(([kind, text], i) => {
    const isIsland = kind === "same" && /^\s+$/.test(text) && !text.includes("\n")
      && isChange(parts[i - 1]) && isChange(parts[i + 1]) && removed && added;
    if (kind === "del" || isIsland) removed += text;
    if (kind === "ins" || isIsland) added += text;
    if (kind === "same" && !isIsland) {
      flush();
      const last = result[result.length - 1];
      if (last && last[0] === "same") last[1] += text;
      else result.push(["same", text]);
    }
  });
  flush();
  return result;
}

// Share of the longer text that is in both, in characters.
function common(parts) {
  const [same, removed, added] = ["same", "del", "ins"].map((kind) => parts
    .filter((part) => part[0] === kind)
    .reduce((sum, part) => sum + part[1].trim().length, 0));
  return same / Math.max(same + removed, same + added, 1);
}

// One side of a diff as nodes: "del" for the earlier text, "ins" for the later.
function side(parts, kind) {
  return parts.filter(([k]) => k === "same" || k === kind).map(
    ([k, text]) => (k === kind ? el(kind, null, text) : text));
}
