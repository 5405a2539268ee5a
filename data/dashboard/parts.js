// Pieces that several views show.

import {el, fill} from "./dom.js";
import {moment, relative, words} from "./format.js";
import {recordsHref} from "./query.js";

export function stateBadge(state) {
  return el("span", {class: `state ${state}`}, el("i", {}), words(state));
}

// A time as a distance from now; the moment itself is in its title. Kept current by refreshTimes().
export function timeAgo(time, now) {
  if (!time) return el("span", {class: "faint"}, "never");
  return el("time", {datetime: time, title: moment(time), data: {relative: ""}}, relative(time, now));
}

export function refreshTimes(root, now) {
  for (const node of root.querySelectorAll("time[data-relative]")) {
    const text = relative(node.getAttribute("datetime"), now);
    if (node.textContent !== text) node.textContent = text;
  }
}

// Names that begin with '~' are the server's own.
export function shownLabels(labels) {
  return Object.entries(labels ?? {}).filter(([name]) => name !== "" && !name.startsWith("~"));
}

export function labelChips(labels, link = true) {
  return shownLabels(labels).map(([name, value]) => {
    const text = [el("span", {class: "chip-name"}, name), value];
    const title = `${name} = ${value}`;
    return link ? el("a", {class: "chip", href: recordsHref({label: `${name}:${value}`}), title}, text)
                : el("span", {class: "chip", title}, text);
  });
}

export function emptyState(title, text, ...more) {
  return el("div", {class: "empty"}, el("strong", {}, title), el("p", {}, text), more);
}

export function loading(text = "Loading …") {
  return el("div", {class: "empty loading", role: "status"}, el("p", {}, text));
}

export function failure(error, again) {
  return el("div", {class: "empty failed", role: "alert"}, el("strong", {}, "This could not be read"),
            el("p", {}, error.message), again ? el("button", {onclick: again}, "Try again") : null);
}

export function panel(title, {aside, wide, name} = {}, ...children) {
  const head = el("header", {}, el("h2", {}, title), aside ?? null);
  return el("section", {class: `panel ${name ?? ""} ${wide ? "wide" : ""}`}, head, children);
}

export {fill};
