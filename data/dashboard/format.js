// Numbers and times as people read them. Nothing here touches the page.

const NUMBER = new Intl.NumberFormat("en-US");
const NONE = "–";

export function count(value) {
  return Number.isFinite(value) ? NUMBER.format(value) : NONE;
}

// 9,999 as it is, 12.3k, 4.56M: never more than five characters wide.
export function short(value) {
  if (!Number.isFinite(value)) return NONE;
  if (value < 10_000) return NUMBER.format(value);
  for (const [size, unit] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (value < size) continue;
    const scaled = value / size;
    return (scaled < 100 ? scaled.toFixed(1) : scaled.toFixed(0)) + unit;
  }
  return String(value);
}

export function rate(value) {
  if (!Number.isFinite(value)) return NONE;
  if (value === 0) return "0";
  if (value < 10) return value.toFixed(1);
  return short(Math.round(value));
}

export function percent(part) {
  if (!Number.isFinite(part)) return NONE;
  const value = part * 100;
  // A rate is only shown as 100 if nothing is missing from it.
  if (value === 100 || value === 0) return String(value);
  return Math.min(value, 99.9).toFixed(1);
}

export function bytes(value) {
  if (!Number.isFinite(value)) return NONE;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  let scaled = value;
  while (scaled >= 1024 && unit < units.length - 1) {
    scaled /= 1024;
    ++unit;
  }
  return `${unit === 0 || scaled >= 100 ? scaled.toFixed(0) : scaled.toFixed(1)} ${units[unit]}`;
}

// Of a request: 44 µs, 1.3 ms, 205 ms, 2.1 s.
export function latency(ms) {
  if (!Number.isFinite(ms)) return NONE;
  if (ms < 1) return `${Math.round(ms * 1000)} µs`;
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return `${(ms / 1000).toFixed(1)} s`;
}

// Of something long, in its two largest units: 3 d 4 h, 12 min, 8 s.
export function span(ms) {
  if (!Number.isFinite(ms)) return NONE;
  let rest = Math.max(0, Math.round(ms / 1000));
  const parts = [];
  for (const [unit, seconds] of [["d", 86_400], ["h", 3600], ["min", 60], ["s", 1]]) {
    const whole = Math.floor(rest / seconds);
    rest -= whole * seconds;
    if (whole > 0) parts.push(`${whole} ${unit}`);
    else if (parts.length > 0) break;
    if (parts.length === 2) break;
  }
  return parts.join(" ") || "0 s";
}

// "4 min ago", "in 23 h"; one unit is enough.
export function relative(time, now) {
  const at = Date.parse(time);
  if (!Number.isFinite(at)) return NONE;
  const distance = at - now;
  const text = span(Math.abs(distance)).split(" ").slice(0, 2).join(" ");
  if (Math.abs(distance) < 1500) return "now";
  return distance < 0 ? `${text} ago` : `in ${text}`;
}

const two = (number) => String(number).padStart(2, "0");

export function clock(time) {
  const at = new Date(time);
  return Number.isNaN(at.getTime()) ? NONE : `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

// 2026-11-24 10:36:59.123, in the time zone of whoever looks.
export function moment(time) {
  const at = new Date(time);
  if (Number.isNaN(at.getTime())) return NONE;
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${day} ${clock(time)}.${String(at.getMilliseconds()).padStart(3, "0")}`;
}

export const words = (name) => name.replaceAll(/[_-]/g, " ");

// The least round number that is not below: 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 15 …
export function roundUp(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  const step = [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((factor) => factor * power >= value * (1 - 1e-9));
  return step * power;
}
