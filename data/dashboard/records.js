// The records that match a filter, a page at a time: however many there are, the page holds fifty.

import {el, fill, setText} from "./dom.js";
import {count} from "./format.js";
import {RowCursor} from "./list.js";
import {emptyState, failure, labelChips, loading, refreshTimes, stateBadge, timeAgo} from "./parts.js";
import {FILTERS, isKey, recordHref, recordsHref} from "./query.js";

const PAGE = 50;
const REFRESH_MS = 5000;
// The server looks through 10,000 entries for one answer; a rare match takes several.
const LOOKS_MAX = 200;

const FIELDS = {
  prefix: {label: "Key begins with", attributes: {placeholder: "evt_"}},
  type: {label: "Type", attributes: {list: "known-types", placeholder: "any"}},
  label: {label: "Label", attributes: {list: "known-labels", placeholder: "order_id=42"}},
  scope: {label: "Scope", attributes: {list: "known-scopes", placeholder: "any"}},
};
const STATES = [["", "any"], ["in_progress", "in progress"], ["completed", "completed"], ["unknown", "unknown"]];

function rowOf(record, now) {
  return el("a", {class: "row record-row", href: recordHref(record), data: {id: record.id}},
            el("span", {class: "cell state-cell"}, stateBadge(record.state)),
            el("span", {class: "cell key", title: record.key}, record.key),
            el("span", {class: "cell type", title: record.type}, record.type),
            el("span", {class: "cell labels"}, labelChips(record.labels, false)),
            el("span", {class: "cell number replays", title: "replays"}, count(record.replays)),
            el("span", {class: "cell created"}, timeAgo(record.created_at, now)),
            el("span", {class: "cell expires"}, timeAgo(record.expires_at, now)));
}

// `kept`: what app.keptList was when a list was left, if that is to be shown again.
export function records(app, filter, kept = null) {
  const stopped = new AbortController();
  const href = recordsHref(filter);
  let wanted = kept?.href === href ? kept.selected : null;
  // Where each page begins that was seen; the last one is shown.
  const cursors = kept?.href === href ? kept.cursors : [""];
  let next = null;
  let busy = false;
  let shown = "";

  const rows = el("div", {class: "rows record-rows", onclick: (event) => cursor.select(event.target.closest(".record-row"))}, loading());
  const note = el("p", {class: "note", role: "status"});
  const older = el("button", {type: "button", onclick: () => turn(1)}, "Older");
  const newer = el("button", {type: "button", onclick: () => turn(-1)}, "Newer");
  const list = (id, values) => el("datalist", {id}, values.map((value) => el("option", {value})));

  const inputs = Object.entries(FIELDS).map(([name, {label, attributes}]) => {
    const value = name === "label" ? (filter.label ?? "").replace(":", "=") : filter[name] ?? "";
    return el("label", {}, label, el("input", {name, value, autocomplete: "off", spellcheck: "false", ...attributes}));
  });
  const state = el("label", {}, "State", el("select", {name: "state"}, STATES.map(([value, text]) =>
    el("option", {value, selected: value === (filter.state ?? "")}, text))));
  const form = el("form", {class: "filters", role: "search", onsubmit: (event) => {
    event.preventDefault();
    apply();
  }, onchange: () => apply()}, inputs.slice(0, 2), state, inputs.slice(2),
      el("div", {class: "filter-buttons"}, el("button", {type: "submit", class: "primary"}, "Find"),
         FILTERS.some((name) => filter[name]) ? el("a", {class: "button", href: recordsHref()}, "Clear") : null),
      list("known-types", app.live.stats?.by_type.map((type) => type.type) ?? []),
      list("known-labels", [...app.labelNames].map((name) => `${name}=`)), list("known-scopes", [...app.scopes]));

  function apply() {
    const given = new FormData(form);
    const asked = Object.fromEntries(FILTERS.map((name) => [name, String(given.get(name) ?? "").trim()]));
    asked.label = asked.label.replace(/^([^=:]+)=/, "$1:");
    app.go(recordsHref(asked));
  }

  const header = el("div", {class: "row record-head"}, ["State", "Key", "Type", "Labels", "Replays", "Created", "Expires"].map((text, i) =>
    el("span", {class: `cell ${["state-cell", "key-head", "type", "labels", "number replays", "created", "expires"][i]}`}, text)));
  const node = el("div", {class: "records-view"}, form,
                  el("section", {class: "panel list-panel"}, header, rows,
                     el("footer", {class: "pager"}, note, el("div", {class: "buttons"}, newer, older))));
  const cursor = new RowCursor(() => [...rows.querySelectorAll(".record-row")], (row) => app.go(row.getAttribute("href")));

  // One page, looking on while the server found nothing in what it looked through.
  async function fetchPage(from) {
    let at = from;
    const found = [];
    for (let looks = 1; ; ++looks) {
      const page = await app.api.get("v1/records", {...filter, limit: String(PAGE - found.length), cursor: at}, stopped.signal);
      found.push(...page.records);
      at = page.next_cursor;
      if (at === null || found.length >= PAGE || looks >= LOOKS_MAX) return {found, next: at};
      setText(note, `Looking further back … (${count(looks * 10_000)} looked through)`);
    }
  }

  async function load({quiet = false} = {}) {
    if (busy) return;
    if (filter.prefix && !isKey(filter.prefix)) {
      fill(rows, emptyState("No key has these characters", "Keys are made of letters, digits and . _ : = + / @ ~ -"));
      return;
    }
    busy = true;
    if (!quiet) node.classList.add("busy");
    try {
      const page = await fetchPage(cursors.at(-1));
      next = page.next;
      app.remember(page.found);
      draw(page.found);
    } catch (error) {
      if (!stopped.signal.aborted && !quiet) {
        shown = "";
        fill(rows, failure(error, () => load()));
      }
    } finally {
      busy = false;
      node.classList.remove("busy");
    }
  }

  function draw(found) {
    const page = cursors.length;
    setText(note, found.length === 0 ? "" : `${count((page - 1) * PAGE + 1)} to ${count((page - 1) * PAGE + found.length)}, newest first`);
    older.disabled = next === null;
    newer.disabled = page === 1;
    const text = JSON.stringify(found.map(({id, state: its, replays, attempt}) => [id, its, replays, attempt]));
    if (text === shown) return;
    shown = text;
    const selected = cursor.current?.dataset.id ?? wanted;
    wanted = null;
    if (found.length === 0) {
      const narrowed = FILTERS.some((name) => filter[name]);
      fill(rows, narrowed ? emptyState("No record matches", "Expired and released keys are no longer listed.")
                          : emptyState("No records yet", "The first delivery with a key makes one."));
    } else {
      fill(rows, found.map((record) => rowOf(record, app.live.now())));
    }
    cursor.select([...rows.querySelectorAll(".record-row")].find((row) => row.dataset.id === selected) ?? null);
  }

  async function turn(step) {
    if (busy || (step > 0 ? next === null : cursors.length === 1)) return;
    if (step > 0) cursors.push(next);
    else cursors.pop();
    await load();
    rows.scrollTop = 0;
    cursor.select(null);
  }

  const tick = () => refreshTimes(rows, app.live.now());
  app.live.addEventListener("stats", tick);
  const timer = setInterval(() => {
    if (!document.hidden && cursors.length === 1) load({quiet: true});
  }, REFRESH_MS);
  load();

  return {
    title: "Records",
    node,
    key(event) {
      if (event.key === "n") turn(1);
      else if (event.key === "p") turn(-1);
      else return cursor.key(event.key);
      return true;
    },
    dispose() {
      app.keptList = {href, cursors, selected: cursor.current?.dataset.id ?? null};
      stopped.abort();
      clearInterval(timer);
      app.live.removeEventListener("stats", tick);
    },
  };
}
