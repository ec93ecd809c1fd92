// The page: what is typed goes to the service that served it, and nowhere else.

import { embed, info, setKey, ServiceError, tokenize } from "./api.js";
import { element, heatMap, neighbours, promptTable, replace, tokenRow } from "./render.js";
import { cut, pairs, ranking } from "./vectors.js";

const MAX_INPUTS = 64;
const COMPARED = [64, 128, 384];
const byId = (id) => document.getElementById(id);

const state = { encoders: {}, maxImageBytes: 0, overlong: "truncate", images: [], result: null, running: null };

function say(message) {
  byId("message").textContent = message;
}

function report(error) {
  if (error.name === "AbortError") return;
  if (error instanceof ServiceError && error.status === 401) {
    byId("key-row").hidden = false;
    byId("key").focus();
  }
  say(error.message);
}

const chosen = () => state.encoders[byId("encoder").value];
const reads = (encoder, tower) => encoder.towers.includes(tower);

async function connect() {
  say("");
  try {
    const service = await info();
    byId("service").textContent = `${service.version}, ${service.engine}`;
    byId("key-row").hidden = !service.settings.guard.api_keys;
    state.maxImageBytes = service.settings.images.max_bytes;
    state.overlong = service.settings.overlong;
    const dense = Object.entries(service.encoders).filter(([, encoder]) => encoder.kind === "dense");
    state.encoders = Object.fromEntries(dense);
    replace(byId("encoder"), ...dense.map(([name]) => element("option", { value: name }, name)));
    byId("embed").disabled = dense.length === 0;
    if (dense.length === 0) {
      say("The service has no encoder of dense vectors.");
      return;
    }
    showEncoder();
  } catch (error) {
    byId("service").textContent = "Not connected";
    report(error);
  }
}

function showEncoder() {
  const encoder = chosen();
  const facts = [`${encoder.dim} dimensions`, encoder.precision, `at most ${encoder.max_tokens} tokens`];
  byId("encoder-facts").textContent = facts.join(", ");
  const hasText = reads(encoder, "text");
  byId("query-field").hidden = byId("text-field").hidden = !hasText;
  byId("image-field").hidden = !encoder.pictures;
  byId("drop-hint").textContent = hasText ? "Drop images here, or choose files."
    : "Drop images here, or choose files. The first one is the query.";
  byId("prompt-field").hidden = Object.keys(encoder.prompts).length === 0;
  const preferred = COMPARED.filter((dim) => encoder.dims.includes(dim) && dim < encoder.dim);
  const checked = new Set([...(preferred.length ? preferred : encoder.dims.slice(-2)), encoder.dim]);
  const ascending = [...encoder.dims].sort((left, right) => left - right);
  replace(byId("dims"), ...ascending.map((dim) => {
    const box = element("input", { type: "checkbox", value: dim });
    box.checked = checked.has(dim);
    box.addEventListener("change", showResult);
    return element("label", {}, box, String(dim));
  }));
  replace(byId("heat-dim"), ...[...ascending].reverse().map((dim) => element("option", { value: dim }, String(dim))));
  clearResult();
}

function clearResult() {
  state.running?.abort();
  state.result = null;
  for (const id of ["neighbours", "heat", "prompt-effects", "tokens"]) byId(id).hidden = true;
  byId("empty").hidden = false;
}

/** The query, then the texts and images: as many as are shown. */
function inputsOf(encoder) {
  const texts = reads(encoder, "text")
    ? byId("texts").value.split("\n").map((text) => text.trim()).filter(Boolean) : [];
  const items = texts.map((text) => ({ text, value: text }));
  if (encoder.pictures) {
    for (const image of state.images) items.push({ text: image.name, image: image.url, value: image.url });
  }
  const query = byId("query").value.trim();
  if (query && reads(encoder, "text")) return { query: { text: query, value: query }, items };
  // An encoder of images alone: the first image is the query.
  return { query: items[0], items: items.slice(1) };
}

function promptsOf(encoder, withPrompts) {
  const named = (name) => (withPrompts && name in encoder.prompts ? name : "");
  return [named("query"), named("document") || named("passage")];
}

async function run(event) {
  event?.preventDefault();
  const encoder = chosen();
  if (!encoder) return;
  say("");
  const { query, items } = inputsOf(encoder);
  if (!query || items.length === 0) {
    say(reads(encoder, "text") ? "Type a query and at least one text." : "Add at least two images.");
    return;
  }
  if (items.length > MAX_INPUTS) {
    say(`The page shows at most ${MAX_INPUTS} texts and images; there are ${items.length}.`);
    return;
  }
  state.running?.abort();
  const running = new AbortController();
  state.running = running;
  byId("embed").disabled = true;
  try {
    state.result = await embedded(byId("encoder").value, query, items, running.signal);
    showResult();
    if (window.matchMedia("(max-width: 60rem)").matches) byId("results").scrollIntoView();
  } catch (error) {
    report(error);
  } finally {
    if (state.running === running) byId("embed").disabled = false;
  }
}

async function embedded(name, query, items, signal) {
  const encoder = state.encoders[name];
  const both = async (prompts) => {
    const values = items.map((item) => item.value);
    if (prompts[0] === prompts[1]) {
      const all = await embed(name, [query.value, ...values], prompts[0], signal);
      return { query: all[0], items: all.slice(1) };
    }
    const [first, rest] = await Promise.all([
      embed(name, [query.value], prompts[0], signal), embed(name, values, prompts[1], signal),
    ]);
    return { query: first[0], items: rest };
  };
  const texts = [query, ...items].filter((item) => !item.image).map((item) => item.text);
  const uses = byId("prompts").value === "roles";
  const named = promptsOf(encoder, true);
  const hasPrompts = named.some(Boolean);
  const [vectors, other, tokens] = await Promise.all([
    both(promptsOf(encoder, uses)),
    hasPrompts ? both(promptsOf(encoder, !uses)) : null,
    texts.length ? tokenize(name, texts, signal) : [],
  ]);
  const [withPrompts, without] = uses ? [vectors, other] : [other, vectors];
  return { encoder, query, items, vectors, withPrompts, without, hasPrompts, named, texts, tokens };
}

function rankingAt(vectors, dim) {
  const [query, ...items] = cut([vectors.query, ...vectors.items], dim);
  return ranking(query, items);
}

function showResult() {
  const { result } = state;
  if (!result) return;
  const { encoder, items, vectors } = result;
  byId("empty").hidden = true;
  const full = new Map(rankingAt(vectors, encoder.dim).map((row) => [row.index, row.rank]));
  const dims = [...byId("dims").querySelectorAll("input:checked")].map((box) => Number(box.value));
  replace(byId("columns"), ...dims.map((dim) => neighbours(dim, rankingAt(vectors, dim), items, full)));
  byId("neighbours").hidden = dims.length === 0;
  showMap();
  byId("prompt-effects").hidden = !result.hasPrompts;
  if (result.hasPrompts) {
    const quoted = result.named.map((name) => (name === "" ? "none" : JSON.stringify(encoder.prompts[name])));
    byId("prompt-note").textContent = `Query: ${quoted[0]}. Texts: ${quoted[1]}. At ${encoder.dim} dimensions.`;
    const rows = [result.withPrompts, result.without].map((side) => rankingAt(side, encoder.dim));
    replace(byId("prompt-table"), ...promptTable(items, ...rows));
  }
  byId("tokens").hidden = result.texts.length === 0;
  // The texts of a chat model, which reads images without a tower for them, cannot be split.
  const isChat = encoder.pictures && !reads(encoder, "image");
  const overlong = isChat ? "truncate" : state.overlong;
  const rows = result.texts.map((text, at) => tokenRow(text, result.tokens[at], encoder.max_tokens, overlong));
  replace(byId("token-rows"), ...rows);
}

function showMap() {
  const { query, items, vectors } = state.result;
  const dim = Number(byId("heat-dim").value);
  const all = cut([vectors.query, ...vectors.items], dim);
  replace(byId("map"), ...heatMap([query, ...items], pairs(all)));
  byId("heat").hidden = false;
}

function addImages(files) {
  say("");
  for (const file of files) {
    if (!file.type.startsWith("image/")) say(`${file.name} is not an image.`);
    else if (file.size > state.maxImageBytes) say(`${file.name} is larger than the service takes.`);
    else {
      const reader = new FileReader();
      reader.addEventListener("load", () => {
        state.images.push({ name: file.name, url: reader.result });
        showImages();
      });
      reader.readAsDataURL(file);
    }
  }
}

function showImages() {
  replace(byId("images"), ...state.images.map((image) => {
    const remove = element("button", { type: "button", "aria-label": `Remove ${image.name}` }, "×");
    remove.addEventListener("click", () => {
      state.images = state.images.filter((other) => other !== image);
      showImages();
      byId("files").focus();
    });
    return element("li", {}, element("img", { class: "thumb", src: image.url, alt: image.name }), remove);
  }));
}

function listen() {
  byId("form").addEventListener("submit", run);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) run(event);
  });
  byId("encoder").addEventListener("change", showEncoder);
  byId("heat-dim").addEventListener("change", showMap);
  byId("prompts").addEventListener("change", () => state.result && run());
  const useKey = () => {
    setKey(byId("key").value);
    connect();
  };
  byId("connect").addEventListener("click", useKey);
  byId("key").addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    event.stopPropagation();
    useKey();
  });
  byId("files").addEventListener("change", (event) => {
    addImages(event.target.files);
    event.target.value = "";
  });
  const drop = byId("drop");
  // Anywhere else on the page, a dropped file would replace the page.
  for (const type of ["dragover", "drop"]) document.addEventListener(type, (event) => event.preventDefault());
  drop.addEventListener("dragover", () => drop.classList.add("over"));
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    drop.classList.remove("over");
    addImages(event.dataTransfer.files);
  });
}

listen();
connect();
