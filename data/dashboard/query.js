// Addresses of the page (what stands behind '#') and the words of the search field.

const KEY = /^[A-Za-z0-9._:=+/@~-]{1,255}$/;
const STATES = ["in_progress", "completed", "unknown"];
export const FILTERS = ["prefix", "type", "state", "label", "scope"];

export const isKey = (text) => KEY.test(text);

export function recordHref({scope, key}) {
  return `#/records/${encodeURIComponent(scope)}/${encodeURIComponent(key)}`;
}

export function recordsHref(filter = {}) {
  const query = new URLSearchParams();
  for (const name of FILTERS) if (filter[name]) query.set(name, filter[name]);
  return `#/records${query.size > 0 ? `?${query}` : ""}`;
}

// {view: "overview"}, {view: "records", filter} or {view: "record", scope, key}; anything else is the overview.
export function parseHash(hash) {
  const [path, query = ""] = hash.replace(/^#/, "").split(/\?(.*)/s);
  let parts;
  try {
    parts = path.split("/").filter(Boolean).map(decodeURIComponent);
  } catch {
    return {view: "overview"};
  }
  if (parts[0] !== "records") return {view: "overview"};
  if (parts.length === 3) return {view: "record", scope: parts[1], key: parts[2]};
  const given = new URLSearchParams(query);
  return {view: "records", filter: Object.fromEntries(FILTERS.map((name) => [name, given.get(name) ?? ""]))};
}

// type:stripe  state:unknown  scope:shop  key:evt_  order_id=42; what is left over is free text.
export function parseSearch(text) {
  const filter = {};
  const free = [];
  for (const word of text.trim().split(/\s+/).filter(Boolean)) {
    const [, name, value] = /^(type|state|scope|key|label):(.+)$/s.exec(word) ?? [];
    const [, label, labelled] = /^([\w.-]+)=(.+)$/s.exec(word) ?? [];
    if (name === "key") filter.prefix = value;
    else if (name === "state") filter.state = STATES.find((state) => state.startsWith(value.replace("-", "_"))) ?? value;
    else if (name === "label") filter.label = value.includes(":") ? value : value.replace("=", ":");
    else if (name) filter[name] = value;
    else if (label) filter.label = `${label}:${labelled}`;
    else free.push(word);
  }
  // What cannot be asked for as a key was meant as a whole.
  if (free.length > 0 && Object.keys(filter).length > 0 && !isKey(free.join(" "))) return {filter: {}, free: text.trim()};
  return {filter, free: free.join(" ")};
}
