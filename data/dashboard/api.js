// The control API as the page uses it. The token stays in this tab: it is never in an address and never in a cookie.

const STORED_TOKEN = "oncegate.token";
const TIMEOUT_MS = 8000;
const EVENT_BYTES_MAX = 1 << 20;

// The server said no, and why.
export class Refusal extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `The server answered ${status}.`);
    this.status = status;
    this.code = problem.code ?? "";
  }
}

// No answer came.
export class Unreachable extends Error {}

function remembered() {
  try {
    return sessionStorage.getItem(STORED_TOKEN) ?? "";
  } catch {
    return "";
  }
}

async function problemOf(response) {
  try {
    return await response.json();
  } catch {
    return {};
  }
}

// Splits a stream of server-sent events; `take(name, data)` gets each one.
export class EventParser {
  constructor(take) {
    this.take = take;
    this.rest = "";
  }

  push(text) {
    this.rest += text;
    if (this.rest.length > EVENT_BYTES_MAX) throw new Unreachable("An event of the server has no end.");
    let end = this.rest.indexOf("\n\n");
    for (; end >= 0; end = this.rest.indexOf("\n\n")) {
      this.event(this.rest.slice(0, end));
      this.rest = this.rest.slice(end + 2);
    }
  }

  event(block) {
    let name = "message";
    const data = [];
    for (const line of block.split("\n")) {
      const colon = line.indexOf(":");
      const field = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (field === "event") name = value;
      if (field === "data") data.push(value);
    }
    if (data.length > 0) this.take(name, data.join("\n"));
  }
}

export class Api {
  constructor() {
    this.token = remembered();
    this.onUnauthorized = () => {};
  }

  useToken(token) {
    this.token = token;
    try {
      if (token) sessionStorage.setItem(STORED_TOKEN, token);
      else sessionStorage.removeItem(STORED_TOKEN);
    } catch {
      // Without storage the token lives as long as the page.
    }
  }

  async send(method, path, {query = {}, body, signal, timeoutMs = TIMEOUT_MS, stream = false} = {}) {
    const url = new URL(path, document.baseURI);
    for (const [name, value] of Object.entries(query)) if (value) url.searchParams.set(name, value);
    const headers = {};
    if (this.token) headers.Authorization = `Bearer ${this.token}`;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const signals = [signal, stream ? null : AbortSignal.timeout(timeoutMs)].filter(Boolean);
    const bearing = this.token;
    let response;
    try {
      response = await fetch(url, {
        method,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        signal: signals.length > 0 ? AbortSignal.any(signals) : undefined,
        cache: "no-store",
        credentials: "omit",
        redirect: "error",
      });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Unreachable(error.name === "TimeoutError" ? "No answer in time." : "The server cannot be reached.");
    }
    if (response.ok || (path === "readyz" && response.status === 503)) return response;
    const refusal = new Refusal(response.status, await problemOf(response));
    // "May only read" is a 401 as well, and no reason to ask for another token.
    if (response.status === 401 && method === "GET" && bearing === this.token) this.onUnauthorized(refusal);
    throw refusal;
  }

  async get(path, query, signal) {
    const response = await this.send("GET", path, {query, signal});
    try {
      return await response.json();
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Unreachable("The answer broke off.");
    }
  }

  // For up to as long as an application may take.
  async change(method, path, {query, body} = {}) {
    const response = await this.send(method, path, {query, body, timeoutMs: 150_000});
    return response.status === 204 ? null : response.json();
  }

  static recordPath({scope, key}) {
    return `v1/records/${encodeURIComponent(scope)}/${encodeURIComponent(key)}`;
  }

  record(record, signal) {
    return this.get(Api.recordPath(record), {}, signal);
  }

  // Follows the server's events until they end.
  async follow({opened, take, signal}) {
    const response = await this.send("GET", "v1/events", {signal, stream: true});
    opened();
    const parser = new EventParser(take);
    const decoder = new TextDecoder();
    const reader = response.body.getReader();
    for (;;) {
      const {done, value} = await reader.read();
      if (done) return;
      parser.push(decoder.decode(value, {stream: true}));
    }
  }
}
