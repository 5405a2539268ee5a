// Elements without markup: whatever is shown becomes a text node or an attribute, never HTML.

const SVG = "http://www.w3.org/2000/svg";

function apply(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) {
      node.addEventListener(name.slice(2), value);
    } else if (name === "data") {
      Object.assign(node.dataset, value);
    } else {
      node.setAttribute(name, value === true ? "" : value);
    }
  }
}

function append(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}

// el("a", {class: "key", href: "#/", onclick: f, data: {id: 1}}, "text", otherElement, [more])
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  apply(node, attributes);
  return append(node, children);
}

export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  apply(node, attributes);
  return append(node, children);
}

export function fill(node, ...children) {
  node.replaceChildren();
  return append(node, children);
}

// Leaves the node alone where nothing changes, so that a selection in it survives.
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setClass(node, name, on) {
  node.classList.toggle(name, Boolean(on));
}

export function icon(name) {
  const paths = {
    sun: "M8 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1 1M12 12l1 1M13 3l-1 1M4 12l-1 1",
    moon: "M13.5 9.5A6 6 0 0 1 6.5 2.5a6 6 0 1 0 7 7z",
    auto: "M8 2a6 6 0 1 0 0 12zM8 2a6 6 0 0 1 0 12",
    search: "M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10zM10.6 10.6 14 14",
    help: "M5.6 6a2.4 2.4 0 1 1 3.4 2.2c-.7.3-1 .8-1 1.6M8 12.4v.1",
    leave: "M6 2.5H3v11h3M10 5l3 3-3 3M13 8H6.5",
    back: "M9.5 3.5 5 8l4.5 4.5",
    copy: "M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z",
  };
  return svg("svg", {class: "icon", viewBox: "0 0 16 16", "aria-hidden": "true"}, svg("path", {d: paths[name]}));
}
