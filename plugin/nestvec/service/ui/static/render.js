// The page's parts, made of elements: what people type reaches them as text only.

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

export function replace(parent, ...children) {
  parent.replaceChildren(...children);
}

/** An input as it is shown: its text, or a small image. */
export function label(input) {
  if (!input.image) return document.createTextNode(input.text);
  return element("span", {}, element("img", { class: "small", src: input.image, alt: "" }), ` ${input.text}`);
}

const number = (value) => value.toFixed(3);

function move(row, before) {
  const change = before - row.rank;
  if (change === 0) return element("span", { class: "move" });
  const words = `${Math.abs(change)} ${change > 0 ? "higher" : "lower"} than at full length`;
  const attributes = { class: `move ${change > 0 ? "up" : "down"}`, title: words, "aria-label": words };
  return element("span", attributes, `${change > 0 ? "▲" : "▼"}${Math.abs(change)}`);
}

/** One column of neighbours: `rows` of `ranking`, `full` the ranks by index at full length. */
export function neighbours(dim, rows, inputs, full) {
  const items = rows.map((row) => {
    const share = element("span");
    share.style.setProperty("--share", `${Math.max(0, Math.min(1, row.score)) * 100}%`);
    return element("li", {},
      element("span", { class: "rank" }, String(row.rank)),
      element("span", { class: "label" }, label(inputs[row.index])),
      element("span", { class: "score" }, number(row.score), move(row, full.get(row.index))),
      element("span", { class: "bar", "aria-hidden": "true" }, share));
  });
  return element("div", { "data-dim": dim }, element("h3", {}, `${dim} dimensions`), element("ol", {}, ...items));
}

/** The rows of the similarity map. */
export function heatMap(names, values) {
  const head = names.map((name, at) => element("th", { scope: "col", title: name.text }, String(at + 1)));
  const rows = values.map((row, at) => {
    const cells = row.map((value) => {
      const cell = element("td", value > 0.72 ? { class: "strong" } : {}, value.toFixed(2));
      cell.style.setProperty("--warmth", Math.max(0, Math.min(1, value)).toFixed(3));
      return cell;
    });
    const name = element("th", { scope: "row", title: names[at].text }, `${at + 1}  `, label(names[at]));
    return element("tr", {}, name, ...cells);
  });
  return [
    element("thead", {}, element("tr", {}, element("td", { class: "corner" }), ...head)),
    element("tbody", {}, ...rows),
  ];
}

/** The query's ranking with prompts beside that without. */
export function promptTable(inputs, withPrompts, without) {
  const before = new Map(without.map((row) => [row.index, row]));
  const rows = withPrompts.map((row) => {
    const other = before.get(row.index);
    return element("tr", {},
      element("th", { scope: "row" }, label(inputs[row.index])),
      element("td", { class: "score" }, `${number(row.score)} (${row.rank})`),
      element("td", { class: "score" }, `${number(other.score)} (${other.rank})`));
  });
  const head = ["Text", "With prompts (rank)", "Without (rank)"].map((name) => element("th", { scope: "col" }, name));
  return [element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows)];
}

/** The tokens of one text. */
export function tokenRow(text, tokens, maximum) {
  const chips = tokens.map((token) => {
    const attributes = { class: token.special ? "token special" : "token", title: `id ${token.id}` };
    return element("span", attributes, token.text);
  });
  const over = tokens.length > maximum ? `, truncated to ${maximum}` : "";
  return element("div", { class: "tokens" },
    element("p", {}, `${text} — ${tokens.length} tokens${over}`), element("div", {}, ...chips));
}
