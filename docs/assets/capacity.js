// The calculator of the page Capacity. Nothing is fetched, and nothing leaves the page.

(function () {
  "use strict";

  const BYTES = { float: 4, float16: 2, int8: 1, binary: 1 / 8 };
  // A graph of HNSW: 2 M neighbours of four bytes on the lowest layer, and M on 1 / M of the rows above each.
  const LINK_BYTES = 4;

  /** Bytes of one field's vectors, and of its index in memory. */
  function fieldBytes(rows, dim, form, index, m) {
    const vectors = rows * dim * BYTES[form];
    if (index === "hnsw") return { vectors, index: vectors + rows * LINK_BYTES * (2 * m + m / (m - 1)) };
    return { vectors, index: vectors };
  }

  /** Everything that the page shows, from the numbers of its form. */
  function capacity(input) {
    const fields = input.dims.map((dim) => fieldBytes(input.rows, dim, input.form, input.index, input.m));
    const vectors = fields.reduce((sum, field) => sum + field.vectors, 0);
    const index = fields.reduce((sum, field) => sum + field.index, 0);
    const scalars = input.rows * input.textBytes;
    const tokens = input.rows * input.tokens;
    const hours = tokens / input.rate / 3600;
    // A node's memory is filled to 70 %: segments are loaded before others are released.
    const nodes = Math.max(1, Math.ceil(index * input.copies / (input.nodeMemory * 0.7)));
    // Replicas run at 70 %, where a query waits little: see the simulation on the page.
    const perSecond = input.queries * input.queryTokens + input.writes * input.tokens;
    const replicas = Math.max(1, Math.ceil(perSecond / (input.rate * 0.7)));
    return { vectors, index, storage: vectors + scalars, hours, nodes, replicas };
  }

  function bytes(value) {
    const units = ["B", "kB", "MB", "GB", "TB", "PB"];
    let at = 0;
    while (value >= 1000 && at < units.length - 1) { value /= 1000; at += 1; }
    return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[at]}`;
  }

  function duration(hours) {
    if (hours < 1 / 60) return `${Math.max(1, Math.round(hours * 3600))} s`;
    if (hours < 1) return `${Math.round(hours * 60)} min`;
    return hours < 100 ? `${hours.toFixed(1)} h` : `${Math.round(hours / 24)} days`;
  }

  function read(form) {
    const number = (name) => Number(form.elements[name].value);
    const dims = form.elements.dims.value.split(",").map((dim) => Math.trunc(Number(dim)));
    const input = {
      rows: number("rows"), dims, form: form.elements.form.value, index: form.elements.index.value,
      m: number("m"), tokens: number("tokens"), textBytes: number("textBytes"), rate: number("rate"),
      nodeMemory: number("nodeMemory") * 1e9, copies: number("copies"), queries: number("queries"),
      queryTokens: number("queryTokens"), writes: number("writes"),
    };
    const wanted = [input.rows, input.tokens, input.rate, input.nodeMemory, input.copies, ...dims];
    const isValid = wanted.every((value) => value > 0 && Number.isFinite(value)) && input.m > 1;
    return isValid ? input : null;
  }

  function show(form) {
    const input = read(form);
    const set = (name, text) => { form.querySelector(`[data-result="${name}"]`).textContent = text; };
    const names = ["vectors", "index", "storage", "hours", "nodes", "replicas"];
    if (!input) {
      names.forEach((name) => set(name, "–"));
      return;
    }
    const result = capacity(input);
    for (const name of ["vectors", "index", "storage"]) set(name, bytes(result[name]));
    set("hours", duration(result.hours));
    set("nodes", String(result.nodes));
    set("replicas", String(result.replicas));
  }

  function start() {
    const form = document.getElementById("capacity-form");
    if (!form || form.dataset.started) return;
    form.dataset.started = "true";
    form.addEventListener("input", () => show(form));
    form.addEventListener("submit", (event) => event.preventDefault());
    form.elements.preset.addEventListener("change", () => {
      if (form.elements.preset.value) form.elements.rate.value = form.elements.preset.value;
      show(form);
    });
    show(form);
  }

  window.nestvecCapacity = capacity;
  // The theme replaces pages without loading them, and tells so by document$.
  if (typeof document$ !== "undefined") document$.subscribe(start);
  else if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
