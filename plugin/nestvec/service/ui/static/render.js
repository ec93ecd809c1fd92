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

/** A number without a minus before zero. */
const fixed = (value, digits) => value.toFixed(digits).replace(/^-(0\.0*)$/, "$1");
const number = (value) => fixed(value, 3);

/** Tokens of a text that may need more room than they get. */
const MANY_TOKENS = 64;

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
      element("span", { class: "label", title: inputs[row.index].text }, label(inputs[row.index])),
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
      const cell = element("td", value > 0.72 ? { class: "strong" } : {}, fixed(value, 2));
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

/** The tokens of one text; `overlong` is what the service does with more of them than `maximum`. */
export function tokenRow(text, tokens, maximum, overlong) {
  const chips = tokens.map((token) => {
    const attributes = { class: token.special ? "token special" : "token", title: `id ${token.id}` };
    return element("span", attributes, token.text);
  });
  const treated = overlong === "mean" ? `embedded as the mean of chunks of at most ${maximum}` : `truncated to ${maximum}`;
  const over = tokens.length > maximum ? `, ${treated}` : "";
  const scrolls = { class: "chips" };
  if (tokens.length > MANY_TOKENS) {
    Object.assign(scrolls, { tabindex: 0, role: "region", "aria-label": `Tokens of ${text.slice(0, 60)}` });
  }
  return element("div", { class: "tokens" },
    element("p", {}, element("span", { class: "label", title: text }, text), `${tokens.length} tokens${over}`),
    element("div", scrolls, ...chips));
}
