// Webmail: the frame around HTML mail, moving through the list by keys, the seconds in which a message can be taken back.
"use strict";

(() => {
  // the frame runs no script; it is of this origin so that it can be measured here
  const fit = (frame) => {
    const page = frame.contentDocument;
    if (page && page.body) frame.style.height = `${page.documentElement.scrollHeight}px`;
  };
  document.addEventListener("load", (event) => {
    if (event.target.matches?.("[data-message-body]")) fit(event.target);
  }, true);
  window.addEventListener("load", () => document.querySelectorAll("[data-message-body]").forEach(fit));
  window.addEventListener("resize", () => document.querySelectorAll("[data-message-body]").forEach(fit));

  // whoever opened a message reads on in it
  document.addEventListener("htmx:afterSettle", (event) => {
    if (event.detail.target?.id !== "reading") return;
    const reading = document.getElementById("reading");
    reading.scrollTop = 0;
    document.getElementById("subject")?.focus({ preventScroll: true });
  });

  const refresh = () => htmx.trigger("#refreshing", "refresh");
  document.addEventListener("htmx:responseError", (event) => {
    if (event.detail.xhr.status === 404 && event.detail.elt.matches(".row")) refresh();
  });

  // a list that was asked for before a message was opened, or by itself, does not know of it
  document.addEventListener("htmx:afterSettle", () => {
    for (const row of document.querySelectorAll(".row")) {
      if (new URL(row.href).pathname === location.pathname) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
    }
  });

  document.addEventListener("keydown", (event) => {
    const row = event.target.closest?.(".row");
    if (!row || !["ArrowDown", "ArrowUp", "Home", "End"].includes(event.key)) return;
    const rows = [...document.querySelectorAll(".row")];
    const at = rows.indexOf(row);
    const next = { ArrowDown: rows[at + 1], ArrowUp: rows[at - 1], Home: rows[0], End: rows.at(-1) }[event.key];
    if (next) { event.preventDefault(); next.focus(); }
  });

  const toast = document.querySelector("[data-countdown]");
  if (toast) {
    const end = performance.now() + Number(toast.dataset.countdown) * 1000;
    const tick = setInterval(() => {
      const left = Math.ceil((end - performance.now()) / 1000);
      if (left > 0) toast.querySelector("[data-left]").textContent = left;
      else {
        clearInterval(tick);
        toast.remove();
        // it lies in Sent once it is delivered: in a moment, or a little later where there is much to do
        for (const seconds of [1, 3, 10]) setTimeout(refresh, seconds * 1000);
      }
    }, 250);
    // to load the page anew must not count down again
    history.replaceState(history.state, "", location.pathname);
  }
})();
