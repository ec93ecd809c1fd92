// The calls of the service. The API key is a field of this module: never in storage, in a cookie or in an address.

let key = "";

export function setKey(value) {
  key = value.trim();
}

export class ServiceError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function call(path, options, signal) {
  const headers = { "content-type": "application/json" };
  if (key) headers.authorization = `Bearer ${key}`;
  let response;
  try {
    response = await fetch(path, {
      ...options, headers, signal, credentials: "omit", cache: "no-store", redirect: "error",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServiceError(0, "The service does not answer. Is it running?");
  }
  if (response.ok) return response.json();
  let message = `The service answered with status ${response.status}.`;
  try {
    const body = await response.json();
    if (typeof body.error === "string") message = body.error;
  } catch { /* a proxy's page: the status says enough */ }
  throw new ServiceError(response.status, message);
}

function post(path, encoder, body, signal) {
  const address = `${path}?encoder=${encodeURIComponent(encoder)}`;
  return call(address, { method: "POST", body: JSON.stringify(body) }, signal);
}

export function info(signal) {
  return call("info", { method: "GET" }, signal);
}

/** Full-length vectors; `prompt` is the name of one, or empty for none, not even the checkpoint's default. */
export function embed(encoder, inputs, prompt, signal) {
  return post("embed", encoder, { inputs, prompt_name: prompt }, signal);
}

export function tokenize(encoder, inputs, signal) {
  return post("tokenize", encoder, { inputs }, signal);
}
