// The search field: one word finds keys that begin so, labels of that value, and types.

import {el, fill, setClass} from "./dom.js";
import {count} from "./format.js";
import {labelChips, stateBadge} from "./parts.js";
import {isKey, parseSearch, recordHref, recordsHref} from "./query.js";

const WAIT_MS = 120;
const KEYS_SHOWN = 6;
const LABELS_ASKED = 12;
const LABELLED_SHOWN = 3;
const LOOKS_MAX = 20;

export class Search {
  constructor(app) {
    this.app = app;
    this.input = el("input", {type: "search", placeholder: "Find a key, type or order id", autocomplete: "off", spellcheck: "false",
                              role: "combobox", "aria-expanded": "false", "aria-controls": "search-results", "aria-label": "Search"});
    this.results = el("div", {id: "search-results", class: "results", role: "listbox", hidden: true});
    this.node = el("form", {class: "search", role: "search", onsubmit: (event) => {
      event.preventDefault();
      this.enter();
    }}, this.input, el("kbd", {"aria-hidden": "true"}, "/"), this.results);
    this.input.addEventListener("input", () => this.later());
    this.input.addEventListener("focus", () => {
      this.learn();
      if (this.input.value.trim()) this.later();
    });
    this.input.addEventListener("keydown", (event) => this.key(event));
    this.node.addEventListener("focusout", (event) => {
      if (!this.node.contains(event.relatedTarget)) this.close();
    });
    this.selected = -1;
  }

  focus() {
    this.input.focus();
    this.input.select();
  }

  close() {
    clearTimeout(this.timer);
    this.asking?.abort();
    this.results.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
    this.selected = -1;
  }

  leave() {
    this.close();
    this.input.value = "";
    this.input.blur();
  }

  // Names of labels are not listed anywhere; those of the newest records are the ones people look for.
  async learn() {
    if (Date.now() - (this.learnt ?? 0) < 30_000) return;
    this.learnt = Date.now();
    try {
      this.app.remember((await this.app.api.get("v1/records", {limit: "200"})).records);
    } catch {
      // The search still finds keys.
    }
  }

  key(event) {
    if (event.key === "Escape") {
      if (this.results.hidden) this.input.blur();
      this.close();
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      this.select(this.selected + (event.key === "ArrowDown" ? 1 : -1));
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  get rows() {
    return [...this.results.querySelectorAll("a")];
  }

  select(index) {
    const {rows} = this;
    if (rows.length === 0) return;
    this.selected = (index + rows.length) % rows.length;
    rows.forEach((row, i) => {
      setClass(row, "selected", i === this.selected);
      row.setAttribute("aria-selected", String(i === this.selected));
    });
    rows[this.selected].scrollIntoView({block: "nearest"});
  }

  // Enter before the answer is there waits for it.
  async enter() {
    const text = this.input.value.trim();
    if (!text) return;
    if (this.selected < 0) await this.run();
    const row = this.rows[Math.max(0, this.selected)];
    const href = row?.getAttribute("href") ?? recordsHref({prefix: text});
    this.leave();
    this.app.go(href);
  }

  later() {
    clearTimeout(this.timer);
    this.selected = -1;
    this.timer = setTimeout(() => this.run(), WAIT_MS);
  }

  async run() {
    clearTimeout(this.timer);
    this.asking?.abort();
    const text = this.input.value.trim();
    if (!text) {
      this.close();
      return;
    }
    const asking = new AbortController();
    this.asking = asking;
    try {
      const groups = await this.find(text, asking.signal);
      if (!asking.signal.aborted) this.draw(groups, text);
    } catch (error) {
      if (!asking.signal.aborted) this.draw([], text, error.message);
    }
  }

  // [{title, rows: [{href, parts}], all: href or null}]
  async find(text, signal) {
    const {filter, free} = parseSearch(text);
    if (Object.keys(filter).length > 0) {
      const whole = {...filter, prefix: filter.prefix ?? free};
      const page = await this.list(whole, KEYS_SHOWN, signal);
      return [{title: "Records", rows: page.map((record) => this.recordRow(record)), all: recordsHref(whole)}];
    }
    const {api} = this.app;
    const types = (this.app.live.stats?.by_type ?? []).filter(({type}) => type.toLowerCase().includes(free.toLowerCase())).slice(0, 3);
    const exact = isKey(free) ? [...this.app.scopes].slice(0, LABELS_ASKED).map((scope) =>
      api.record({scope, key: free}, signal).catch((error) => {
        if (error.status === 404) return null;
        throw error;
      })) : [];
    const labelled = [...this.app.labelNames].slice(0, LABELS_ASKED).map(async (name) => ({
      name, records: (await api.get("v1/records", {label: `${name}:${free}`, limit: String(LABELLED_SHOWN)}, signal)).records}));
    const begin = isKey(free) ? this.list({prefix: free}, KEYS_SHOWN, signal) : [];
    const [whole, labels, prefixed] = await Promise.all([Promise.all(exact), Promise.all(labelled), begin]);
    const keys = new Map([...whole.filter(Boolean), ...prefixed].map((record) => [record.id, record]));
    this.app.remember([...keys.values()]);
    return [
      ...labels.filter(({records}) => records.length > 0).map(({name, records}) => ({
        title: `${name} is ${free}`, rows: records.map((record) => this.recordRow(record)), all: recordsHref({label: `${name}:${free}`})})),
      {title: "Keys", rows: [...keys.values()].map((record) => this.recordRow(record)), all: recordsHref({prefix: free})},
      {title: "Types", rows: types.map(({type, active}) => ({href: recordsHref({type}), parts: [
        el("span", {class: "key"}, type), el("span", {class: "note"}, `${count(active)} active`)]})), all: null},
    ].filter((group) => group.rows.length > 0);
  }

  async list(filter, limit, signal) {
    let cursor = "";
    const found = [];
    for (let looks = 0; looks < LOOKS_MAX && found.length < limit && cursor !== null; ++looks) {
      const page = await this.app.api.get("v1/records", {...filter, limit: String(limit - found.length), cursor}, signal);
      found.push(...page.records);
      cursor = page.next_cursor;
    }
    return found;
  }

  recordRow(record) {
    return {href: recordHref(record), parts: [stateBadge(record.state), el("span", {class: "key"}, record.key),
                                              el("span", {class: "note"}, record.type), labelChips(record.labels, false)]};
  }

  draw(groups, text, problem = "") {
    const nothing = problem || `Nothing is called “${text}”: no key begins so, and no label or type has this value.`;
    fill(this.results, groups.length === 0 ? el("p", {class: problem ? "quiet failed" : "quiet"}, nothing) : groups.map(({title, rows, all}) => [
      el("header", {}, title, all ? el("span", {class: "faint"}, "newest first") : null),
      rows.map(({href, parts}) => this.link(href, "result", parts)),
      all && rows.length >= LABELLED_SHOWN ? this.link(all, "result all", ["Show all"]) : null,
    ]));
    this.results.hidden = false;
    this.input.setAttribute("aria-expanded", "true");
    if (groups.length > 0) this.select(0);
  }

  link(href, name, parts) {
    return el("a", {class: name, href, role: "option", tabindex: "-1", onclick: () => this.leave(), onpointerdown: (event) => event.preventDefault()}, parts);
  }
}
