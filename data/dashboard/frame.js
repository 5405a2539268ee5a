// What stands around every view: the header, what is wrong right now, and the way in.

import {openHelp} from "./actions.js";
import {el, fill, icon, setClass, setText} from "./dom.js";
import {clock, short, span} from "./format.js";
import {recordsHref} from "./query.js";

const THEME = "oncegate.theme";
const THEMES = ["auto", "dark", "light"];
const THEME_ICONS = {auto: "auto", dark: "moon", light: "sun"};

const themeNow = () => document.documentElement.dataset.theme ?? "auto";

function useTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  try {
    if (theme === "auto") localStorage.removeItem(THEME);
    else localStorage.setItem(THEME, theme);
  } catch {
    // It holds until the page is left.
  }
}

export class Frame {
  constructor(app, search) {
    this.app = app;
    this.status = el("span", {class: "status connecting", role: "status"}, "connecting");
    this.uptime = el("span", {class: "uptime"});
    this.unknown = el("span", {class: "badge", hidden: true});
    this.links = {
      overview: el("a", {href: "#/"}, "Overview"),
      records: el("a", {href: recordsHref()}, "Records"),
      unknown: el("a", {href: recordsHref({state: "unknown"})}, "Unknown", this.unknown),
    };
    this.theme = el("button", {type: "button", class: "ghost theme", onclick: () => this.nextTheme()});
    this.who = el("button", {type: "button", class: "ghost who", title: "Forget the token", hidden: true, onclick: () => app.leave()});
    this.banners = el("div", {class: "banners"});
    this.main = el("main", {});
    this.toasts = el("div", {class: "toasts", role: "status", "aria-live": "polite"});
    const mark = el("a", {class: "mark", href: "#/", "aria-label": "oncegate, overview"}, el("span", {class: "glyph", "aria-hidden": "true"},
                    el("i", {}), el("i", {}), el("i", {})), "oncegate");
    this.node = el("div", {class: "frame"},
                   el("header", {class: "top"}, mark, el("nav", {"aria-label": "Views"}, Object.values(this.links)), search.node,
                      el("div", {class: "tools"}, this.uptime, this.status, this.who, this.theme,
                         el("button", {type: "button", class: "ghost", title: "Keyboard (?)", "aria-label": "Keyboard", onclick: openHelp}, icon("help")))),
                   this.banners, this.main, this.toasts);
    this.drawTheme();
    app.live.addEventListener("stats", () => this.update());
    app.live.addEventListener("ready", () => this.update());
    app.live.addEventListener("connection", () => this.update());
    setInterval(() => this.update(), 1000);
  }

  nextTheme() {
    useTheme(THEMES[(THEMES.indexOf(themeNow()) + 1) % THEMES.length]);
    this.drawTheme();
  }

  drawTheme() {
    const theme = themeNow();
    fill(this.theme, icon(THEME_ICONS[theme]));
    const text = theme === "auto" ? "Colours as the system has them" : `Colours: ${theme}`;
    this.theme.title = `${text} (t)`;
    this.theme.setAttribute("aria-label", text);
  }

  drawSession({name, readOnly, token}) {
    this.who.hidden = !token;
    fill(this.who, el("span", {}, [name, readOnly ? "read-only" : null].filter(Boolean).join(", ") || "token"), icon("leave"));
  }

  current(view, filter) {
    const state = view === "records" && filter.state === "unknown" ? "unknown" : view === "record" ? "records" : view;
    for (const [name, link] of Object.entries(this.links)) {
      if (name === state) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  }

  update() {
    const {connection, stats} = this.app.live;
    const names = {connecting: "connecting", live: "live", lost: "no connection", refused: "trouble"};
    setText(this.status, names[connection.state]);
    this.status.className = `status ${connection.state}`;
    setText(this.uptime, stats && Number.isFinite(stats.uptime_seconds) ? `up ${span(stats.uptime_seconds * 1000)}` : "");
    const unknown = stats?.records.unknown ?? 0;
    this.unknown.hidden = unknown === 0;
    setText(this.unknown, short(unknown));
    setClass(this.node, "stale", connection.state === "lost" || connection.state === "refused");
    document.title = `${unknown > 0 ? `(${short(unknown)} unknown) ` : ""}${this.app.title} · oncegate`;
    this.drawBanners();
  }

  drawBanners() {
    const {connection, ready, stats} = this.app.live;
    const banners = [];
    if (connection.state === "lost" || connection.state === "refused") {
      const wait = Math.max(0, Math.ceil((connection.retryAt - Date.now()) / 1000));
      const age = stats ? ` What is shown is from ${clock(Date.parse(stats.now))}.` : "";
      banners.push(["bad", `${connection.message}${age}`, wait > 0 ? `Trying again in ${wait} s.` : "Trying again now."]);
    }
    if (ready?.reason && connection.state === "live") banners.push(["bad", `Not ready: ${ready.reason}.`, ""]);
    if (ready?.restored || stats?.restored) {
      const policy = stats?.restored?.policy ?? ready.restored;
      banners.push(["warn", "This store was restored from a backup.", policy === "hold" ? "Keys that it may have forgotten are refused."
                                                                      : "Keys that it may have forgotten are executed, marked as possible duplicates."]);
    }
    if (ready?.upstream?.startsWith("unreachable")) banners.push(["warn", "The application cannot be reached.", "Replays go on; first deliveries get 502."]);
    const text = JSON.stringify(banners);
    if (text === this.bannered) return;
    this.bannered = text;
    fill(this.banners, banners.map(([level, what, more]) => el("p", {class: `banner ${level}`, role: "alert"}, el("b", {}, what), " ", more)));
  }

  toast(text, kind = "done") {
    const node = el("p", {class: `toast ${kind}`}, text);
    while (this.toasts.children.length >= 3) this.toasts.firstChild.remove();
    this.toasts.append(node);
    setTimeout(() => node.remove(), 5000);
  }
}

// Asks for a token. `use(token)` says whether it holds, or throws.
export function login(message, use) {
  const input = el("input", {type: "password", name: "token", autocomplete: "off", spellcheck: "false", required: true,
                             "aria-label": "Token"});
  const problem = el("p", {class: "problem", role: "alert", hidden: !message}, message ?? "");
  const button = el("button", {type: "submit", class: "primary"}, "Open");
  const form = el("form", {class: "login", onsubmit: async (event) => {
    event.preventDefault();
    const token = input.value.trim();
    if (!token) return;
    button.disabled = true;
    problem.hidden = true;
    try {
      await use(token);
    } catch (error) {
      setText(problem, error.message);
      problem.hidden = false;
      button.disabled = false;
      input.select();
    }
  }}, el("span", {class: "glyph large", "aria-hidden": "true"}, el("i", {}), el("i", {}), el("i", {})),
      el("h1", {}, "oncegate"),
      el("p", {}, "This control listener asks for a token: a line of its ", el("code", {}, "--control-token-file"), "."),
      input, button, problem,
      el("p", {class: "note"}, "It stays in this tab and is forgotten with it. One that may only read is enough to look."));
  return {node: form, focus: () => input.focus()};
}
