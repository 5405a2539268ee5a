// A list of rows that the keyboard can walk: j and k, Enter opens.

import {setClass} from "./dom.js";

export class RowCursor {
  // `rows()`: the elements, in order. `open(row)`: what Enter does.
  constructor(rows, open) {
    this.rows = rows;
    this.open = open;
    this.row = null;
  }

  get current() {
    return this.row !== null && this.row.isConnected ? this.row : null;
  }

  select(row) {
    if (this.row !== null) {
      setClass(this.row, "selected", false);
      this.row.removeAttribute("aria-current");
    }
    this.row = row;
    if (row === null) return;
    setClass(row, "selected", true);
    row.setAttribute("aria-current", "true");
    row.scrollIntoView({block: "nearest"});
  }

  move(step) {
    const rows = this.rows();
    if (rows.length === 0) return;
    const at = rows.indexOf(this.current);
    this.select(at < 0 ? rows[step > 0 ? 0 : rows.length - 1] : rows[Math.min(rows.length - 1, Math.max(0, at + step))]);
  }

  // Whether the key meant something.
  key(key) {
    if (key === "j" || key === "ArrowDown") this.move(1);
    else if (key === "k" || key === "ArrowUp") this.move(-1);
    else if (key === "Enter" && this.current !== null) this.open(this.current);
    else return false;
    return true;
  }
}
