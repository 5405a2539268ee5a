// Runs before the first paint, so that a page whose theme was chosen does not flash in the other one.
"use strict";
(() => {
  let theme = null;
  try {
    theme = localStorage.getItem("oncegate.theme");
  } catch {
    // Storage is switched off: the system decides.
  }
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
})();
