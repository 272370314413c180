// A recall under way: the server tells when something happened (server-sent events), the page then asks what.
// Without the events the page asks every two seconds by itself.
"use strict";

(() => {
  const watched = document.querySelector("#progress[data-events]");
  if (!watched || !window.EventSource) return;
  const source = new EventSource(watched.dataset.events);
  const refresh = () => {
    const progress = document.querySelector("#progress");
    if (progress?.matches("[data-settled]")) source.close();
    else if (progress) htmx.trigger(progress, "refresh");
  };
  for (const name of ["message", "progress", "settled"]) source.addEventListener(name, refresh);
  source.addEventListener("error", () => { if (source.readyState === EventSource.CLOSED) source.close(); });
  document.addEventListener("htmx:afterSettle", () => {
    if (document.querySelector("#progress[data-settled]")) source.close();
  });
})();
