// Begins here: who is asking, which view, which key was pressed.

import {openHelp} from "./actions.js";
import {Api, Refusal} from "./api.js";
import {el, fill} from "./dom.js";
import {Frame, login} from "./frame.js";
import {Live} from "./live.js";
import {overview} from "./overview.js";
import {shownLabels} from "./parts.js";
import {parseHash, recordsHref} from "./query.js";
import {recordView} from "./record.js";
import {records} from "./records.js";
import {Search} from "./search.js";

const REMEMBERED_MAX = 64;
const RETRY_MS = 2000;
const CHORD_MS = 1200;

class App {
  constructor(root) {
    this.root = root;
    this.api = new Api();
    this.live = new Live(this.api);
    this.session = {name: null, readOnly: false, token: false};
    this.title = "oncegate";
    this.view = null;
    // What the search can ask for besides keys: names that were seen.
    this.labelNames = new Set();
    this.scopes = new Set(["default"]);
    this.search = new Search(this);
    this.frame = new Frame(this, this.search);
    this.api.onUnauthorized = () => this.ask(this.api.token ? "The token is no longer accepted." : "");
    addEventListener("hashchange", () => this.route());
    addEventListener("keydown", (event) => this.key(event));
    document.addEventListener("visibilitychange", () => this.live.visibilityChanged());
    addEventListener("online", () => this.live.pollNow?.());
  }

  // Opens the page if the server lets us, asks for a token if it wants one, tries again if it does not answer.
  async start() {
    try {
      await this.open(this.api.token);
    } catch (error) {
      if (error instanceof Refusal && error.status === 401) {
        this.ask(this.api.token ? "The token is no longer accepted." : "");
        return;
      }
      fill(this.root, el("div", {class: "login"}, el("h1", {}, "oncegate"), el("p", {class: "problem", role: "alert"}, error.message),
                         el("p", {class: "note"}, "Trying again by itself.")));
      setTimeout(() => this.start(), RETRY_MS);
    }
  }

  async open(token) {
    const probe = new Api();
    probe.token = token;
    const session = await probe.get("v1/session");
    this.api.useToken(token);
    this.session = {name: session.name, readOnly: session.read_only, token: token !== ""};
    this.asking = false;
    this.frame.drawSession(this.session);
    fill(this.root, this.frame.node);
    this.live.start();
    this.route();
  }

  ask(message) {
    if (this.asking) return;
    this.asking = true;
    this.live.stop();
    this.show(null);
    const form = login(message, async (token) => {
      try {
        await this.open(token);
      } catch (error) {
        if (error instanceof Refusal && error.status === 401) throw new Error("This token is not one of the listener's.", {cause: error});
        throw error;
      }
    });
    fill(this.root, form.node);
    form.focus();
  }

  leave() {
    this.api.useToken("");
    this.live.stop();
    location.reload();
  }

  go(href) {
    if (location.hash === href) this.route();
    else location.hash = href;
  }

  route() {
    if (this.asking || !this.frame.node.isConnected) return;
    const place = parseHash(location.hash);
    this.search.leave();
    this.frame.current(place.view, place.filter);
    // Whoever comes back from a record finds the list as it was.
    const kept = this.place?.view === "record" && place.view === "records" ? this.keptList : null;
    this.place = place;
    if (place.view === "record") this.show(recordView(this, place));
    else if (place.view === "records") this.show(records(this, place.filter, kept));
    else this.show(overview(this));
  }

  show(view) {
    this.view?.dispose();
    this.view = view;
    if (view === null) return;
    this.title = view.title;
    fill(this.frame.main, view.node);
    this.frame.update();
    scrollTo(0, 0);
  }

  toast(text, kind) {
    this.frame.toast(text, kind);
    this.live.pollNow?.();
  }

  remember(found) {
    for (const record of found) {
      if (this.scopes.size < REMEMBERED_MAX) this.scopes.add(record.scope);
      for (const [name] of shownLabels(record.labels)) if (this.labelNames.size < REMEMBERED_MAX) this.labelNames.add(name);
    }
  }

  key(event) {
    const {target} = event;
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || this.asking || document.querySelector("dialog[open]")) return;
    if (target.matches("input, textarea, select")) {
      if (event.key === "Escape") target.blur();
      return;
    }
    if (event.key === "Enter" && target.matches("a, button")) return;
    if (this.shortcut(event)) event.preventDefault();
  }

  shortcut(event) {
    const chord = Date.now() - (this.chordAt ?? 0) < CHORD_MS;
    this.chordAt = 0;
    if (chord) {
      const href = {o: "#/", r: recordsHref(), u: recordsHref({state: "unknown"})}[event.key];
      if (href) {
        this.go(href);
        return true;
      }
    }
    switch (event.key) {
      case "g":
        this.chordAt = Date.now();
        return true;
      case "/":
        this.search.focus();
        return true;
      case "?":
        openHelp();
        return true;
      case "t":
        this.frame.nextTheme();
        return true;
      default:
        break;
    }
    if (this.view?.key(event)) return true;
    if (event.key !== "Escape" || parseHash(location.hash).view === "overview") return false;
    history.back();
    return true;
  }
}

new App(document.getElementById("app")).start();
