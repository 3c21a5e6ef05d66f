/* Keyboard: j/k move, Enter opens, / searches, g then a letter goes, x chooses (X up to here), a takes, s snoozes, r previews, c comments, ? helps, Esc closes.
   Can be switched off in the help (WCAG 2.1.4). Nothing runs in a system from a key without its preview. */
(() => {
  "use strict";
  const KEY = "pssync.keys";
  const read = () => { try { return localStorage.getItem(KEY); } catch (refused) { return null; } };
  let enabled = read() !== "off";
  let waitingForGo = 0;
  const rows = () => Array.from(document.querySelectorAll("[data-row]")).filter((row) => row.offsetParent !== null);
  const link = (row) => row.querySelector("a[href]");
  const help = () => document.getElementById("keys-help");

  const move = (step) => {
    const all = rows();
    if (!all.length) return;
    const focused = all.findIndex((row) => row.contains(document.activeElement));
    const from = focused >= 0 ? focused : all.findIndex((row) => row.classList.contains("is-current"));
    const next = all[Math.min(all.length - 1, Math.max(0, from < 0 ? 0 : from + step))];
    link(next)?.focus();
    next.scrollIntoView({ block: "nearest" });
  };
  let lastChosen = -1;
  const choose = (upToHere) => {
    const all = rows();
    const at = all.findIndex((row) => row.contains(document.activeElement));
    const box = all[at]?.querySelector("input[type=checkbox]");
    if (!box) return;
    const wanted = upToHere && lastChosen >= 0 ? true : !box.checked;
    const from = upToHere && lastChosen >= 0 ? Math.min(lastChosen, at) : at;
    const to = upToHere && lastChosen >= 0 ? Math.max(lastChosen, at) : at;
    all.slice(from, to + 1).forEach((row) => { const one = row.querySelector("input[type=checkbox]"); if (one && !one.disabled) one.checked = wanted; });
    lastChosen = at;
    box.dispatchEvent(new Event("change", { bubbles: true }));
  };
  const typing = (target) => target.closest("input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]");
  const press = (key) => {
    const target = Array.from(document.querySelectorAll(`[data-key="${CSS.escape(key)}"]`)).find((item) => item.offsetParent !== null && !item.disabled);
    if (!target) return false;
    if (target.matches("input, textarea, select")) target.focus(); else target.click();
    if (target.matches("summary") && target.parentElement.open) target.parentElement.querySelector("input, select, textarea")?.focus();
    return true;
  };

  // In the list the row that has the focus, together with what is chosen; elsewhere the open case.
  const snooze = () => {
    const row = rows().find((one) => one.contains(document.activeElement));
    const box = row?.querySelector("input[type=checkbox]");
    if (box && !box.checked && !box.disabled) choose(false);
    press("s");
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.key === "Escape" && typing(event.target)) { event.target.blur(); return; }
    if (typing(event.target) || !enabled || help()?.open) return;
    if (waitingForGo && Date.now() - waitingForGo < 1500) {
      waitingForGo = 0;
      const goal = document.querySelector(`[data-go="${CSS.escape(event.key)}"]`);
      if (goal) { event.preventDefault(); goal.click(); }
      return;
    }
    switch (event.key) {
      case "j": move(1); break;
      case "k": move(-1); break;
      case "x": choose(false); break;
      case "X": choose(true); break;
      case "g": waitingForGo = Date.now(); break;
      case "/": document.querySelector("[data-search]")?.focus(); break;
      case "?": help()?.showModal(); break;
      case "s": snooze(); break;
      default: if (!/^[a-z\[\]]$/.test(event.key) || !press(event.key)) return;
    }
    event.preventDefault();
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-keys-help]")) help()?.showModal();
    if (event.target.closest("[data-keys-close]")) help()?.close();
  });
  document.addEventListener("DOMContentLoaded", () => {
    const toggle = document.querySelector("[data-keys-toggle]");
    if (!toggle) return;
    toggle.checked = enabled;
    toggle.addEventListener("change", () => {
      enabled = toggle.checked;
      try { localStorage.setItem(KEY, enabled ? "on" : "off"); } catch (refused) { /* lasts for this page only */ }
    });
  });
})();
