/* Sets light or dark before the first paint (loaded in <head> without defer), remembers the choice, follows the system until one is made. */
(() => {
  "use strict";
  const KEY = "pssync.theme";
  const stored = () => { try { return localStorage.getItem(KEY); } catch (refused) { return null; } };
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const apply = (theme) => { document.documentElement.dataset.bsTheme = theme; };
  apply(stored() || (system.matches ? "dark" : "light"));
  system.addEventListener("change", () => { if (!stored()) apply(system.matches ? "dark" : "light"); });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-theme-toggle]");
    if (!button) return;
    const next = document.documentElement.dataset.bsTheme === "dark" ? "light" : "dark";
    apply(next);
    try { localStorage.setItem(KEY, next); } catch (refused) { /* private mode: the choice lasts for this page only */ }
  });
})();
