/* Glue between htmx and the page: notices, errors, current row, focus. Everything works without it. */
(() => {
  "use strict";
  const toasts = () => document.getElementById("toasts");
  const say = (text, tone) => {
    const template = document.getElementById("notice-template");
    if (!template || !toasts()) return;
    const notice = template.content.firstElementChild.cloneNode(true);
    notice.classList.add(`notice-${tone}`);
    notice.querySelector("[data-text]").textContent = text;
    toasts().append(notice);
  };
  const words = (name) => document.body.dataset[name] || "";

  document.addEventListener("click", (event) => {
    const close = event.target.closest("[data-dismiss]");
    if (close) close.closest(".notice").remove();
    const print = event.target.closest("[data-print]");
    if (print) window.print();
  });
  // Selects and radio buttons of a filter form apply at once; without JavaScript the form's own button does it.
  document.addEventListener("change", (event) => {
    const { form } = event.target;
    if (form?.matches("form[data-auto]")) form.requestSubmit();
  });
  // A full error page answered to a fragment request would be nested into the page: say its meaning instead.
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr } = event.detail;
    if (xhr.status < 400 || xhr.status === 422) return;
    if (/<html/i.test(xhr.responseText.slice(0, 300))) {
      event.detail.shouldSwap = false;
      say(xhr.status === 403 ? words("textForbidden") : words("textFailed"), "bad");
    }
  });
  document.addEventListener("htmx:sendError", () => say(words("textOffline"), "bad"));
  document.addEventListener("htmx:timeout", () => say(words("textOffline"), "bad"));
  // Mark the opened row, and move focus to the detail's heading so that a screen reader hears the change.
  document.addEventListener("htmx:afterSwap", (event) => {
    const target = event.detail.target;
    if (target.id !== "detail") return;
    const split = target.closest(".split");
    if (split) split.classList.add("has-detail");
    const ref = target.querySelector("[data-ref]")?.dataset.ref;
    document.querySelectorAll("[data-row]").forEach((row) => {
      const here = row.dataset.row === ref;
      row.classList.toggle("is-current", here);
      row.querySelector("a")?.toggleAttribute("aria-current", here);
    });
    if (window.matchMedia("(max-width: 991.98px)").matches) window.scrollTo(0, 0);
    const heading = target.querySelector("[data-focus]");
    if (heading && event.detail.requestConfig?.triggeringEvent?.type === "click") heading.focus({ preventScroll: true });
  });
  // Several rows at once: what is chosen is said, and buttons wait for a choice.
  const bulk = () => document.querySelector("[data-bulk]");
  const boxes = () => Array.from(document.querySelectorAll("input[name=case][form=bulk]"));
  const every = () => bulk()?.querySelector("[name=every]");
  const tell = () => {
    if (!bulk()) return;
    bulk().querySelectorAll("[data-script]").forEach((item) => { item.hidden = false; });
    const number = boxes().filter((box) => box.checked).length;
    const all = Boolean(every()?.checked);
    const told = bulk().querySelector("[data-chosen]");
    told.textContent = all ? told.dataset.every : number ? told.dataset.some.replace("#", number) : "";
    const page = bulk().querySelector("[data-choose-page]");
    page.checked = number > 0 && number === boxes().length;
    page.indeterminate = number > 0 && !page.checked;
    bulk().querySelectorAll("[data-needs-choice]").forEach((button) => { button.disabled = !all && !number; });
    boxes().forEach((box) => { box.disabled = all; });
  };
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-choose-page]")) boxes().forEach((box) => { box.checked = event.target.checked; });
    if (event.target.closest("[data-bulk]") || event.target.matches("input[form=bulk]")) tell();
  });
  document.addEventListener("DOMContentLoaded", tell);
  document.addEventListener("htmx:afterSettle", tell);
  window.addEventListener("pageshow", tell);
  // A visible page asks whether it still shows what is. What somebody has a hand on is left alone.
  const ask = () => {
    if (document.visibilityState !== "visible") return;
    document.querySelectorAll("[data-fresh]").forEach((mark) => {
      const shown = document.querySelector(mark.dataset.fresh);
      const inHand = shown?.contains(document.activeElement) || shown?.querySelector("[name=case]:checked, [name=every]:checked");
      if (shown && !inHand) htmx.trigger(mark, "fresh");
    });
  };
  setInterval(ask, Number(document.body.dataset.freshSeconds || 15) * 1000);
  document.addEventListener("visibilitychange", ask);
  // Back and Forward: the history cache is off, so the address is simply loaded again.
})();
