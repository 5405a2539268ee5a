// What an operator does to one key, each behind a dialog that says what will happen.

import {Api} from "./api.js";
import {el, fill, setText} from "./dom.js";
import {words} from "./format.js";

const UNKNOWN = "unknown";

// The actions that make sense for a record: {name, label, danger}.
export function actionsFor(record) {
  if (record.state === UNKNOWN) return ["resolve", "redeliver", "release"];
  if (record.state === "completed") return ["redeliver", "release"];
  return ["release"];
}

const LABELS = {resolve: "Resolve", redeliver: "Redeliver", release: "Release"};

export function actionButtons(app, record, done) {
  return actionsFor(record).map((name) => el("button", {
    class: `action ${name}`,
    type: "button",
    disabled: app.session.readOnly,
    title: app.session.readOnly ? "Your token may only read" : null,
    onclick: (event) => {
      event.stopPropagation();
      openAction(app, name, record, done);
    },
  }, LABELS[name]));
}

function choice(name, value, title, text, checked) {
  return el("label", {class: "choice"}, el("input", {type: "radio", name, value, checked}),
            el("span", {}, el("b", {}, title), el("small", {}, text)));
}

// Each: what the dialog says, what its button says, and what is sent.
const FORMS = {
  resolve() {
    const status = el("input", {name: "status", inputmode: "numeric", value: "200", maxlength: "3", pattern: "[2-5][0-9]{2}"});
    const type = el("input", {name: "type", value: "application/json", spellcheck: "false"});
    const body = el("textarea", {name: "body", rows: "3", spellcheck: "false", placeholder: "nothing"});
    const answer = el("fieldset", {class: "answer"}, el("legend", {}, "What retries will get"),
                      el("label", {}, "Status", status), el("label", {}, "Content-Type", type),
                      el("label", {class: "whole"}, "Body", body));
    const choices = el("div", {class: "choices", onchange: (event) => {
      answer.hidden = event.target.value !== "completed";
    }}, choice("as", "completed", "It took effect", "The key is completed. Retries get the answer below, and the application never sees it again.", true),
        choice("as", "released", "It did not take effect", "The key is forgotten. The next delivery is executed.", false));
    return {
      title: "Settle this outcome",
      text: "An attempt was sent to the application and no whole answer came back. Find out there what became of it, then say so here.",
      fields: [choices, answer],
      button: "Settle",
      send(api, record, form) {
        const as = form.get("as");
        const sent = {as};
        if (as === "completed") {
          sent.response = {status: Number(form.get("status"))};
          const text = form.get("body");
          if (text) Object.assign(sent.response, {body: text, headers: [["Content-Type", form.get("type")]]});
        }
        return api.change("POST", `${Api.recordPath(record)}/resolve`, {body: sent});
      },
      done: (_, form) => (form.get("as") === "completed" ? "Settled as completed" : "Settled as released"),
    };
  },

  redeliver(record) {
    const again = record.state === "completed";
    return {
      title: again ? "Execute this once more?" : "Send the stored request again?",
      text: again
        ? "This key has an outcome. Its request will be executed a second time, and the new outcome takes the old one's place."
        : "If the earlier attempt did take effect, the application does it a second time. Attempt "
          + `${record.attempt + 1} carries Oncegate-Redelivery: true, so that it can tell.`,
      danger: true,
      button: again ? "Execute once more" : "Send again",
      send: (api, target) => api.change("POST", `${Api.recordPath(target)}/redeliver`, {query: {force: again ? "true" : ""}}),
      done: (answer) => `The application answered ${answer.status}; the key is ${words(answer.state ?? "released")}`,
    };
  },

  release(record) {
    const running = record.state === "in_progress";
    return {
      title: running ? "Release a key that is being executed?" : "Forget this key?",
      text: running
        ? "Somebody is executing it now. Its outcome will not be stored, and the next delivery is executed beside it."
        : "Its outcome is forgotten, and the next delivery is executed as if it were the first.",
      danger: true,
      button: "Release",
      send: (api, target) => api.change("DELETE", Api.recordPath(target), {query: {force: running ? "true" : ""}}),
      done: () => "Released: the next delivery is executed",
    };
  },
};

export function openAction(app, name, record, done = () => {}) {
  if (app.session.readOnly) {
    app.toast("Your token may only read", "failed");
    return;
  }
  const form = FORMS[name](record);
  const problem = el("p", {class: "problem", role: "alert", hidden: true});
  const confirm = el("button", {type: "submit", class: form.danger ? "danger" : "primary"}, form.button);
  const cancel = el("button", {type: "button", onclick: () => dialog.close()}, "Cancel");
  const content = el("form", {onsubmit: async (event) => {
    event.preventDefault();
    const data = new FormData(content);
    confirm.disabled = true;
    problem.hidden = true;
    try {
      const answer = await form.send(app.api, record, data);
      dialog.close();
      app.toast(form.done(answer, data));
      done();
    } catch (error) {
      setText(problem, error.message);
      problem.hidden = false;
      confirm.disabled = false;
    }
  }}, el("h2", {}, form.title), el("p", {class: "subject"}, el("code", {}, record.key), ` in ${record.scope}`),
      el("p", {}, form.text), form.fields ?? null, problem, el("div", {class: "buttons"}, cancel, confirm));
  const dialog = el("dialog", {class: `confirm ${name}`, onclose: () => dialog.remove()}, content);
  document.body.append(dialog);
  dialog.showModal();
  // The safe way out is the one that Enter takes.
  (form.danger ? cancel : confirm).focus();
}

const KEYS = [
  ["/", "find a key, type or label value"],
  ["j  k", "down, up"],
  ["Enter", "open"],
  ["Esc", "close, leave the field, go back"],
  ["g o", "overview"],
  ["g r", "records"],
  ["g u", "unknown outcomes"],
  ["n  p", "next page, previous page"],
  ["s  d  x", "settle, redeliver, release the record"],
  ["t", "dark, light, as the system"],
  ["?", "this list"],
];

export function openHelp() {
  const close = () => dialog.close();
  const dialog = el("dialog", {class: "help", onclose: () => dialog.remove(), onclick: (event) => event.target === dialog && close()},
                    el("h2", {}, "Keyboard"), el("dl", {}, KEYS.map(([keys, text]) => [
                      el("dt", {}, keys.split("  ").map((key) => el("kbd", {}, key))), el("dd", {}, text)])),
                    el("h2", {}, "Words of the search field"),
                    el("p", {}, "evt_1 finds keys that begin so, and labels of that value. type:stripe, state:unknown, "
                       + "scope:shop, key:evt_ and order_id=42 say which."),
                    el("div", {class: "buttons"}, el("button", {onclick: close, autofocus: true}, "Close")));
  document.body.append(dialog);
  dialog.showModal();
}

export {fill};
